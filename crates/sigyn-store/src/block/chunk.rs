//! Column chunks, straight from numbers: a dictionary's page and pages of codes, or plain values.

use parquet::basic::{Compression, Encoding as ParquetEncoding, ZstdLevel};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::delta;
use super::dictionary::Dictionary;
use super::hybrid::{self, width_of};
use super::page::{Encoding, PageHeader};
use super::pages::{ColumnPages, PagePlace};
use super::schema::PAGE_ROWS;
use super::writer::WriteError;

/// Which rows of a row group have a value.
#[derive(Debug)]
pub(super) enum Present<'a> {
    All,
    /// These, in order.
    Rows(&'a [u32]),
}

/// Values of a column, those that are there.
pub(super) enum Values<'a> {
    /// Trace ids.
    Ids(&'a [[u8; 16]]),
    SpanIds(&'a [u64]),
    /// Numbers that differ in their low bytes.
    Streams64(&'a [u64]),
    Streams32(&'a [i32]),
    Bools(&'a [bool]),
    /// Numbers of things, and how each is written.
    Codes(&'a [u32], &'a dyn Words),
    /// The same, but always with a dictionary, however little it is used: what many rows say may be so
    /// large that it cannot be written once for each of them.
    Shared(&'a [u32], &'a dyn Words),
    /// Numbers that the column shares with no other one: a dictionary has all words as they are.
    Own(&'a [u32], &'a Dictionary),
    OwnShared(&'a [u32], &'a Dictionary),
}

/// What numbers stand for.
pub(super) trait Words {
    /// Whether they are byte strings; else they are numbers of a fixed width.
    fn are_bytes(&self) -> bool;
    /// Appends what a number stands for.
    fn put(&self, number: u32, out: &mut Vec<u8>);
}

/// Which rows of a column have lists, and what is in them.
#[derive(Debug)]
pub(super) struct Lists<'a> {
    /// Those that have one, and how many elements.
    pub(super) rows: &'a [u32],
    pub(super) counts: &'a [u32],
    /// Which of the elements have a value; `None` if all of them must.
    pub(super) has: Option<&'a [bool]>,
}

/// A finished chunk: its bytes, and what others must know of it.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) metadata: ColumnChunkMetaData,
    pub(super) pages: ColumnPages,
}

/// A dictionary with fewer words than this is always worth it.
const WORDS_FEW: usize = 64;
/// Codes save space from so many uses of a word on.
const USES_MIN: usize = 4;
/// A dictionary of more bytes must be used more.
const DICTIONARY_BYTES: usize = 512 << 10;
const USES_MIN_OF_MANY_BYTES: usize = 32;

/// Writes chunks one after another; what they need is made once.
pub(super) struct ChunkEncoder {
    zstd: zstd::bulk::Compressor<'static>,
    /// A page's bytes before they are compressed, and after.
    raw: Vec<u8>,
    packed: Vec<u8>,
    /// Levels and codes of a page, and which of its rows have a value.
    levels: Vec<u32>,
    repetition: Vec<u32>,
    has: Vec<u64>,
    codes: Vec<u32>,
    words: Vec<u8>,
    lengths: Vec<i64>,
    /// By number, when it was met and which word it became.
    met: Vec<(u32, u32)>,
    chunk: u32,
}

impl ChunkEncoder {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            zstd: zstd::bulk::Compressor::new(1)?,
            raw: Vec::new(),
            packed: Vec::new(),
            levels: Vec::new(),
            repetition: Vec::new(),
            has: Vec::new(),
            codes: Vec::new(),
            words: Vec::new(),
            lengths: Vec::new(),
            met: Vec::new(),
            chunk: 0,
        })
    }

    /// Appends a column of so many rows to `out`, which begins at `offset` in the file.
    pub(super) fn flat(
        &mut self,
        descriptor: ColumnDescPtr,
        rows: usize,
        present: &Present<'_>,
        values: &Values<'_>,
        out: &mut Vec<u8>,
        offset: u64,
    ) -> Result<Chunk, WriteError> {
        let is_optional = descriptor.max_def_level() > 0;
        let mut chunk = Writing::new(descriptor, matches!(values, Values::SpanIds(_)), out, offset);
        if let Present::Rows([]) = present {
            self.raw.clear();
            put_levels(&mut self.raw, |raw| hybrid::put_run(0, rows, 1, raw));
            chunk.page(self, Encoding::Plain, rows)?;
            return chunk.finish(rows, true);
        }
        let words = self.dictionary(values, &mut chunk)?;
        let mut from = 0;
        for first in (0..rows).step_by(PAGE_ROWS) {
            let end = rows.min(first + PAGE_ROWS);
            self.raw.clear();
            let to = match present {
                Present::All => {
                    if is_optional {
                        put_levels(&mut self.raw, |raw| hybrid::put_run(1, end - first, 1, raw));
                    }
                    end
                }
                Present::Rows(present) => {
                    let of_page = present[from..].partition_point(|row| (*row as usize) < end);
                    self.has.clear();
                    self.has.resize((end - first).div_ceil(64), 0);
                    for row in &present[from..from + of_page] {
                        let at = *row as usize - first;
                        self.has[at / 64] |= 1 << (at % 64);
                    }
                    put_levels(&mut self.raw, |raw| {
                        hybrid::encode_bits(&self.has, end - first, raw);
                    });
                    from + of_page
                }
            };
            let encoding = self.values(values, from..to, words);
            chunk.page(self, encoding, end - first)?;
            from = to;
        }
        chunk.finish(rows, false)
    }

    /// The same for a column whose rows are lists.
    pub(super) fn list(
        &mut self,
        descriptor: ColumnDescPtr,
        rows: usize,
        lists: &Lists<'_>,
        values: &Values<'_>,
        out: &mut Vec<u8>,
        offset: u64,
    ) -> Result<Chunk, WriteError> {
        let width = width_of(u32::from(descriptor.max_def_level().unsigned_abs()));
        let mut chunk = Writing::new(descriptor, false, out, offset);
        if lists.rows.is_empty() {
            self.raw.clear();
            put_levels(&mut self.raw, |raw| hybrid::put_run(0, rows, 1, raw));
            put_levels(&mut self.raw, |raw| hybrid::put_run(0, rows, width, raw));
            chunk.page(self, Encoding::Plain, rows)?;
            return chunk.finish(rows, true);
        }
        let words = self.dictionary(values, &mut chunk)?;
        let mut with = lists.rows.iter().zip(lists.counts).peekable();
        let mut has = lists.has.map(<[bool]>::iter);
        let (mut all, mut from) = (0, 0);
        for first in (0..rows).step_by(PAGE_ROWS) {
            let end = rows.min(first + PAGE_ROWS);
            let (mut next, mut to) = (first, from);
            self.levels.clear();
            self.repetition.clear();
            while let Some((row, count)) = with.next_if(|(row, _)| (**row as usize) < end) {
                let gap = self.levels.len() + *row as usize - next;
                self.levels.resize(gap, 0);
                self.repetition.resize(gap, 0);
                next = *row as usize + 1;
                for element in 0..*count {
                    let has = has.as_mut().map(|has| has.next().is_some_and(|has| *has));
                    self.repetition.push(u32::from(element > 0));
                    self.levels.push(if has == Some(true) { 2 } else { 1 });
                    to += usize::from(has != Some(false));
                }
            }
            let len = self.levels.len() + end - next;
            self.levels.resize(len, 0);
            self.repetition.resize(len, 0);
            self.raw.clear();
            put_levels(&mut self.raw, |raw| hybrid::encode(&self.repetition, 1, raw));
            put_levels(&mut self.raw, |raw| hybrid::encode(&self.levels, width, raw));
            let encoding = self.values(values, from..to, words);
            chunk.page(self, encoding, len)?;
            (all, from) = (all + len, to);
        }
        chunk.finish(all, false)
    }

    /// Writes a dictionary, if one is worth it; returns the width of its codes. The codes of all
    /// values stand in `self.codes` then.
    fn dictionary(
        &mut self,
        values: &Values<'_>,
        chunk: &mut Writing<'_>,
    ) -> Result<Option<u32>, WriteError> {
        let (numbers, words, is_shared) = match values {
            Values::Codes(numbers, words) => (*numbers, *words, false),
            Values::Shared(numbers, words) => (*numbers, *words, true),
            Values::Own(numbers, words) => {
                return self.own_dictionary(numbers.len(), words, false, chunk);
            }
            Values::OwnShared(numbers, words) => {
                return self.own_dictionary(numbers.len(), words, true, chunk);
            }
            _ => return Ok(None),
        };
        if numbers.is_empty() {
            return Ok(None);
        }
        self.chunk += 1;
        self.raw.clear();
        self.codes.clear();
        let mut count = 0u32;
        for number in numbers {
            let at = *number as usize;
            if self.met.len() <= at {
                self.met.resize(at + 1, (0, 0));
            }
            if self.met[at].0 != self.chunk {
                self.met[at] = (self.chunk, count);
                count += 1;
                put_word(words, *number, &mut self.raw);
                if !is_shared && !is_worth_it(numbers.len(), count as usize, self.raw.len()) {
                    return Ok(None);
                }
            }
            self.codes.push(self.met[at].1);
        }
        chunk.dictionary(self, count)?;
        Ok(Some(code_width(count)))
    }

    /// The same for words that no other column has: their numbers are the codes.
    fn own_dictionary(
        &mut self,
        uses: usize,
        words: &Dictionary,
        is_shared: bool,
        chunk: &mut Writing<'_>,
    ) -> Result<Option<u32>, WriteError> {
        let count = words.len();
        let lengths = if words.are_bytes() { 4 * count as usize } else { 0 };
        let is_worth_it = is_worth_it(uses, count as usize, words.bytes() + lengths);
        if uses == 0 || (!is_shared && !is_worth_it) {
            return Ok(None);
        }
        self.raw.clear();
        (0..count).for_each(|number| put_word(words, number, &mut self.raw));
        chunk.dictionary(self, count)?;
        Ok(Some(code_width(count)))
    }

    /// Appends values to the page; returns how they are written.
    fn values(
        &mut self,
        values: &Values<'_>,
        range: std::ops::Range<usize>,
        width: Option<u32>,
    ) -> Encoding {
        let raw = &mut self.raw;
        match values {
            Values::Ids(ids) => {
                delta::encode_ids(&ids[range], raw);
                Encoding::DeltaBytes
            }
            Values::SpanIds(ids) => {
                ids[range].iter().for_each(|id| raw.extend_from_slice(&id.to_be_bytes()));
                Encoding::Plain
            }
            Values::Streams64(numbers) => {
                put_streams(&numbers[range], |number| number.to_le_bytes(), raw);
                Encoding::ByteStreams
            }
            Values::Streams32(numbers) => {
                put_streams(&numbers[range], |number| number.to_le_bytes(), raw);
                Encoding::ByteStreams
            }
            Values::Bools(bools) => {
                super::bits::pack(bools[range].iter().map(|is_so| u64::from(*is_so)), 1, raw);
                Encoding::Plain
            }
            Values::Codes(numbers, words) | Values::Shared(numbers, words) => match width {
                Some(width) => put_codes(&self.codes[range], width, raw),
                None => self.plain(&numbers[range], *words),
            },
            Values::Own(numbers, words) | Values::OwnShared(numbers, words) => match width {
                Some(width) => put_codes(&numbers[range], width, raw),
                None => self.plain(&numbers[range], *words),
            },
        }
    }

    /// Appends what numbers stand for; returns how it is written.
    fn plain(&mut self, numbers: &[u32], words: &dyn Words) -> Encoding {
        let raw = &mut self.raw;
        if !words.are_bytes() {
            numbers.iter().for_each(|number| words.put(*number, raw));
            return Encoding::Plain;
        }
        self.words.clear();
        self.lengths.clear();
        for number in numbers {
            let before = self.words.len();
            words.put(*number, &mut self.words);
            let len = i64::try_from(self.words.len() - before).unwrap_or(i64::MAX);
            self.lengths.push(len);
        }
        delta::encode_ints(&self.lengths, raw);
        raw.extend_from_slice(&self.words);
        Encoding::DeltaLengths
    }
}

fn put_codes(codes: &[u32], width: u32, raw: &mut Vec<u8>) -> Encoding {
    raw.push(width.to_le_bytes()[0]);
    hybrid::encode(codes, width, raw);
    Encoding::Dictionary
}

/// Whether a dictionary of so many words and bytes is worth it for so many uses.
fn is_worth_it(uses: usize, words: usize, bytes: usize) -> bool {
    let is_large = bytes > DICTIONARY_BYTES && words > uses / USES_MIN_OF_MANY_BYTES;
    words <= (uses / USES_MIN).max(WORDS_FEW) && !is_large
}

fn code_width(words: u32) -> u32 {
    match width_of(words.saturating_sub(1)) {
        // Of whole bytes the compressor makes fewer.
        5..=7 => 8,
        width => width,
    }
}

/// A chunk that is being written.
struct Writing<'a> {
    descriptor: ColumnDescPtr,
    is_raw: bool,
    out: &'a mut Vec<u8>,
    begin: usize,
    offset: u64,
    raw_bytes: u64,
    pages: ColumnPages,
    data_offset: Option<u64>,
    encodings: Vec<ParquetEncoding>,
}

impl<'a> Writing<'a> {
    fn new(descriptor: ColumnDescPtr, is_raw: bool, out: &'a mut Vec<u8>, offset: u64) -> Self {
        Self {
            descriptor,
            is_raw,
            begin: out.len(),
            out,
            offset,
            raw_bytes: 0,
            pages: ColumnPages::default(),
            data_offset: None,
            encodings: vec![ParquetEncoding::RLE],
        }
    }

    fn dictionary(&mut self, encoder: &mut ChunkEncoder, words: u32) -> Result<(), WriteError> {
        self.pages.dictionary = Some(self.put(encoder, true, Encoding::Plain, words)?);
        Ok(())
    }

    fn page(
        &mut self,
        encoder: &mut ChunkEncoder,
        encoding: Encoding,
        values: usize,
    ) -> Result<(), WriteError> {
        self.data_offset.get_or_insert(self.offset + (self.out.len() - self.begin) as u64);
        let values = u32::try_from(values).map_err(|_| WriteError::TooLarge)?;
        let page = self.put(encoder, false, encoding, values)?;
        self.pages.pages.push(page);
        Ok(())
    }

    fn put(
        &mut self,
        encoder: &mut ChunkEncoder,
        is_dictionary: bool,
        encoding: Encoding,
        values: u32,
    ) -> Result<PagePlace, WriteError> {
        let raw = &encoder.raw;
        let bytes = if self.is_raw {
            raw
        } else {
            encoder.packed.clear();
            encoder.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
            encoder.zstd.compress_to_buffer(raw, &mut encoder.packed)?;
            &encoder.packed
        };
        // What Parquet counts has 31 bits.
        let size = |len: usize| {
            let size = u32::try_from(len).ok().filter(|size| *size <= i32::MAX.unsigned_abs());
            size.ok_or(WriteError::TooLarge)
        };
        let header = PageHeader {
            is_dictionary,
            values,
            encoding,
            raw_bytes: size(raw.len())?,
            bytes: size(bytes.len())?,
            crc: crc32fast::hash(bytes),
        };
        let begin = self.out.len();
        header.put(self.out);
        self.raw_bytes += (self.out.len() - begin + raw.len()) as u64;
        self.out.extend_from_slice(bytes);
        let known = match encoding {
            Encoding::Plain => ParquetEncoding::PLAIN,
            Encoding::Rle => ParquetEncoding::RLE,
            Encoding::DeltaLengths => ParquetEncoding::DELTA_LENGTH_BYTE_ARRAY,
            Encoding::DeltaBytes => ParquetEncoding::DELTA_BYTE_ARRAY,
            Encoding::Dictionary => ParquetEncoding::RLE_DICTIONARY,
            Encoding::ByteStreams => ParquetEncoding::BYTE_STREAM_SPLIT,
        };
        if !self.encodings.contains(&known) {
            self.encodings.push(known);
        }
        let page = &self.out[begin..];
        Ok(PagePlace { bytes: size(page.len())?, crc: crc32c::crc32c(page) })
    }

    fn finish(mut self, values: usize, is_absent: bool) -> Result<Chunk, WriteError> {
        let bytes = (self.out.len() - self.begin) as u64;
        let signed = |n: u64| i64::try_from(n).map_err(|_| WriteError::TooLarge);
        let compression = if self.is_raw {
            Compression::UNCOMPRESSED
        } else {
            Compression::ZSTD(ZstdLevel::try_new(1)?)
        };
        let dictionary_offset = self.pages.dictionary.map(|_| signed(self.offset)).transpose()?;
        let metadata = ColumnChunkMetaData::builder(self.descriptor)
            .set_encodings(self.encodings)
            .set_compression(compression)
            .set_num_values(signed(values as u64)?)
            .set_total_compressed_size(signed(bytes)?)
            .set_total_uncompressed_size(signed(self.raw_bytes)?)
            .set_data_page_offset(signed(self.data_offset.unwrap_or(self.offset))?)
            .set_dictionary_page_offset(dictionary_offset)
            .build()?;
        self.pages.bytes = bytes;
        self.pages.is_absent = is_absent;
        Ok(Chunk { metadata, pages: self.pages })
    }
}

impl Chunk {
    /// Says between which two numbers all values are.
    pub(super) fn with_range(
        mut self,
        least: u64,
        greatest: u64,
        nulls: u64,
    ) -> Result<Self, WriteError> {
        let statistics = Statistics::int64(
            Some(least.cast_signed()),
            Some(greatest.cast_signed()),
            None,
            Some(nulls),
            false,
        );
        self.metadata = self.metadata.into_builder().set_statistics(statistics).build()?;
        Ok(self)
    }
}

fn put_word(words: &dyn Words, number: u32, out: &mut Vec<u8>) {
    if !words.are_bytes() {
        words.put(number, out);
        return;
    }
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    words.put(number, out);
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// Levels stand behind their length.
fn put_levels(raw: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = raw.len();
    raw.extend_from_slice(&[0; 4]);
    put(raw);
    let len = u32::try_from(raw.len() - at - 4).unwrap_or(u32::MAX);
    raw[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// First the lowest bytes of all numbers, then the next ones.
fn put_streams<T: Copy, const N: usize>(
    numbers: &[T],
    bytes: impl Fn(T) -> [u8; N],
    out: &mut Vec<u8>,
) {
    for stream in 0..N {
        out.extend(numbers.iter().map(|number| bytes(*number)[stream]));
    }
}
