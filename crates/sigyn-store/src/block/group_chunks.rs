//! Chunks of a row group, one after the other.

use parquet::schema::types::{ColumnDescPtr, SchemaDescPtr};

use super::chunk::{Chunk, ChunkEncoder, Lists, Present, Values, Words};
use super::dictionary::Dictionary;
use super::sparse::Sparse;
use super::writer::WriteError;

/// What a group becomes.
pub(super) struct GroupChunks<'a, F> {
    pub(super) schema: &'a SchemaDescPtr,
    pub(super) encoder: &'a mut ChunkEncoder,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) offset: u64,
    pub(super) rows: usize,
    pub(super) chunks: Vec<Chunk>,
    pub(super) go_on: F,
}

impl<F: Fn() -> Result<(), WriteError>> GroupChunks<'_, F> {
    fn put(
        &mut self,
        put: impl FnOnce(
            &mut ChunkEncoder,
            ColumnDescPtr,
            &mut Vec<u8>,
            u64,
        ) -> Result<Chunk, WriteError>,
    ) -> Result<(), WriteError> {
        (self.go_on)()?;
        let descriptor = self.schema.column(self.chunks.len());
        let offset = self.offset + self.out.len() as u64;
        let chunk = put(self.encoder, descriptor, self.out, offset)?;
        self.chunks.push(chunk);
        Ok(())
    }

    pub(super) fn dense(&mut self, values: &Values<'_>) -> Result<(), WriteError> {
        let rows = self.rows;
        self.put(|encoder, descriptor, out, offset| {
            encoder.flat(descriptor, rows, &Present::All, values, out, offset)
        })
    }

    pub(super) fn flat(&mut self, present: &[u32], values: &Values<'_>) -> Result<(), WriteError> {
        let rows = self.rows;
        let present = if present.len() == rows { Present::All } else { Present::Rows(present) };
        self.put(|encoder, descriptor, out, offset| {
            encoder.flat(descriptor, rows, &present, values, out, offset)
        })
    }

    pub(super) fn codes(
        &mut self,
        column: &Sparse<u32>,
        words: &dyn Words,
    ) -> Result<(), WriteError> {
        self.flat(&column.rows, &Values::Codes(&column.values, words))
    }

    /// Codes of words that no other column has.
    pub(super) fn own(
        &mut self,
        column: &Sparse<u32>,
        words: &Dictionary,
    ) -> Result<(), WriteError> {
        self.flat(&column.rows, &Values::Own(&column.values, words))
    }

    /// Numbers of which readers learn the least and the greatest.
    pub(super) fn range(&mut self, column: &Sparse<u64>) -> Result<(), WriteError> {
        self.flat(&column.rows, &Values::Streams64(&column.values))?;
        let range = column.values.iter().min().zip(column.values.iter().max());
        if let Some((least, greatest)) = range
            && let Some(chunk) = self.chunks.pop()
        {
            let nulls = (self.rows - column.values.len()) as u64;
            self.chunks.push(chunk.with_range(*least, *greatest, nulls)?);
        }
        Ok(())
    }

    pub(super) fn list(
        &mut self,
        lists: &Lists<'_>,
        values: &Values<'_>,
    ) -> Result<(), WriteError> {
        let rows = self.rows;
        self.put(|encoder, descriptor, out, offset| {
            encoder.list(descriptor, rows, lists, values, out, offset)
        })
    }
}
