//! Columns in memory: values with their levels, written whole and read by ranges of rows.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::column::reader::{get_column_reader, get_typed_column_reader};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;

/// A leaf column's values, and how deep each entry is defined and where rows begin. Required
/// columns have no levels, optional ones only the first kind.
pub(crate) struct Column<T: DataType> {
    pub(crate) values: Vec<T::T>,
    pub(crate) def: Vec<i16>,
    pub(crate) rep: Vec<i16>,
}

impl<T: DataType> Default for Column<T> {
    fn default() -> Self {
        Self { values: Vec::new(), def: Vec::new(), rep: Vec::new() }
    }
}

impl<T: DataType> Column<T> {
    /// A row of an optional column.
    pub(crate) fn push_optional(&mut self, value: Option<T::T>) {
        self.def.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    /// A row of a repeated column, whose elements are defined at `def_max`; without any, the row is
    /// defined at `def_empty`.
    pub(crate) fn push_list(
        &mut self,
        values: impl Iterator<Item = T::T>,
        def_max: i16,
        def_empty: i16,
    ) {
        let before = self.values.len();
        self.values.extend(values);
        let count = self.values.len() - before;
        if count == 0 {
            self.def.push(def_empty);
            self.rep.push(0);
            return;
        }
        self.def.resize(self.def.len() + count, def_max);
        self.rep.push(0);
        self.rep.resize(self.rep.len() + count - 1, 1);
    }
}

/// A column of any type.
pub(crate) trait WriteColumn<W: Write + Send> {
    fn write(&self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()>;
}

impl<T: DataType, W: Write + Send> WriteColumn<W> for Column<T> {
    fn write(&self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        let mut column = group.next_column()?.ok_or_else(|| general("too few columns"))?;
        let def = (!self.def.is_empty()).then_some(self.def.as_slice());
        let rep = (!self.rep.is_empty()).then_some(self.rep.as_slice());
        column.typed::<T>().write_batch(&self.values, def, rep)?;
        column.close()
    }
}

/// Reads rows of a row group whose bytes are at hand.
#[derive(Debug)]
pub(crate) struct GroupReader<'a> {
    pub(crate) metadata: &'a RowGroupMetaData,
    pub(crate) bytes: Arc<GroupBytes>,
    /// Which rows, in order.
    pub(crate) rows: &'a [Range<usize>],
    pub(crate) next_column: usize,
}

impl GroupReader<'_> {
    /// The next column, the wanted rows of it.
    pub(crate) fn column<T: DataType>(&mut self) -> Result<Column<T>> {
        let index = self.next_column;
        self.next_column += 1;
        let metadata =
            self.metadata.columns().get(index).ok_or_else(|| general("too few columns"))?;
        let mut column = Column::default();
        if is_empty(metadata) {
            // A decompressor costs more than all that is in there.
            let count = self.rows.iter().map(ExactSizeIterator::len).sum();
            column.def.resize(count, 0);
            column.rep.resize(count, 0);
            return Ok(column);
        }
        let rows = usize::try_from(self.metadata.num_rows()).unwrap_or(0);
        let pages = SerializedPageReader::new(self.bytes.clone(), metadata, rows, None)?;
        let descriptor = metadata.column_descr_ptr();
        let (has_def, has_rep) = (descriptor.max_def_level() > 0, descriptor.max_rep_level() > 0);
        let reader = get_column_reader(descriptor, Box::new(pages));
        let mut reader = get_typed_column_reader::<T>(reader);
        let mut at = 0;
        for range in self.rows {
            let skipped = reader.skip_records(range.start - at)?;
            at += skipped;
            while at < range.end {
                let (records, _, _) = reader.read_records(
                    range.end - at,
                    has_def.then_some(&mut column.def),
                    has_rep.then_some(&mut column.rep),
                    &mut column.values,
                )?;
                if records == 0 {
                    return Err(general("too few rows"));
                }
                at += records;
            }
        }
        Ok(column)
    }
}

/// Whether no row of a column has a value, and absent is absent at one level alone.
fn is_empty(metadata: &ColumnChunkMetaData) -> bool {
    let nulls = metadata.statistics().and_then(Statistics::null_count_opt);
    metadata.column_descr().max_def_level() == 1
        && nulls.is_some_and(|nulls| u64::try_from(metadata.num_values()) == Ok(nulls))
}

fn general(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

/// A row group's bytes, at their place in the file.
#[derive(Debug)]
pub(crate) struct GroupBytes {
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

impl GroupBytes {
    fn slice(&self, start: u64, len: Option<usize>) -> Result<Bytes> {
        let from = start.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok());
        let range = from.and_then(|from| {
            let end = len.map_or(Some(self.bytes.len()), |len| from.checked_add(len))?;
            (from <= end && end <= self.bytes.len()).then_some(from..end)
        });
        range.map(|range| self.bytes.slice(range)).ok_or_else(|| general("outside the row group"))
    }
}

impl Length for GroupBytes {
    fn len(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl ChunkReader for GroupBytes {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(Box::new(self.slice(start, None)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.slice(start, Some(length))
    }
}

/// Walks a column's rows in step with other columns.
pub(crate) struct Rows<T: DataType> {
    values: std::vec::IntoIter<T::T>,
    def: std::iter::Peekable<std::vec::IntoIter<i16>>,
    rep: std::iter::Peekable<std::vec::IntoIter<i16>>,
}

impl<T: DataType> From<Column<T>> for Rows<T> {
    fn from(column: Column<T>) -> Self {
        Self {
            values: column.values.into_iter(),
            def: column.def.into_iter().peekable(),
            rep: column.rep.into_iter().peekable(),
        }
    }
}

impl<T: DataType> Rows<T> {
    /// The next row of a required column; `None` past the last.
    pub(crate) fn required(&mut self) -> Option<T::T> {
        self.values.next()
    }

    /// The next row of an optional column; `None` past the last, too.
    pub(crate) fn optional(&mut self) -> Option<T::T> {
        (self.def.next()? == 1).then(|| self.values.next())?
    }

    /// The next row of a repeated column whose elements are defined at `def_max`, and the level at
    /// which the row itself is.
    pub(crate) fn list(&mut self, def_max: i16) -> (Vec<T::T>, i16) {
        let Some(def) = self.def.next() else { return (Vec::new(), 0) };
        self.rep.next();
        if def < def_max {
            return (Vec::new(), def);
        }
        let mut values: Vec<T::T> = self.values.next().into_iter().collect();
        while self.rep.next_if_eq(&1).is_some() {
            self.def.next();
            values.extend(self.values.next());
        }
        (values, def)
    }
}
