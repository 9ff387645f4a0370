//! Pages back to values: each is read by itself, and decoded only after its checksum is right.

use std::ops::Range;
use std::sync::Arc;

use super::bits::Bits;
use super::delta;
use super::hybrid::{decode, decode_bits, take, take_array, width_of};
use super::page::{Encoding, PageHeader};
use super::pages::PagePlace;
use super::schema::{TagColumn, TagSort, place};
use super::{Block, BlockError};
use crate::codec::Malformed;
use crate::disk::Reader;

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Ids,
    /// Big endian, as they are printed.
    SpanIds,
    Words64,
    Words32,
    Bools,
    Texts,
}

/// How a column is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Required,
    Optional,
    /// With the level of a value.
    List(u32),
}

/// The most that any page may become.
const RAW_BYTES_MAX: u32 = i32::MAX.unsigned_abs();

/// Values of some rows of one column.
#[derive(Debug)]
pub(super) struct Page {
    /// None if all rows have a value.
    present: Option<Bits>,
    /// For lists: where the elements of each row begin, and one more; and of each element, and one
    /// more, how many values stand before it.
    elements: Option<(Vec<u32>, Vec<u32>)>,
    values: Content,
}

#[derive(Debug)]
enum Content {
    Ids(Vec<[u8; 16]>),
    Bools(Bits),
    Plain(Words),
    Codes(Vec<u32>, Arc<Words>),
}

/// Values, or the words of a dictionary.
#[derive(Debug)]
pub(super) enum Words {
    Words64(Vec<u64>),
    Words32(Vec<u32>),
    Texts(Texts),
}

/// Byte strings behind one another.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    pub(super) fn get(&self, at: usize) -> Option<&[u8]> {
        let begin = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(begin as usize..*self.ends.get(at)? as usize)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(u32::try_from(self.bytes.len()).map_err(|_| WRONG)?);
        Ok(())
    }
}

impl Words {
    fn len(&self) -> usize {
        match self {
            Self::Words64(words) => words.len(),
            Self::Words32(words) => words.len(),
            Self::Texts(texts) => texts.ends.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Words64(words) => words.capacity() * 8,
            Self::Words32(words) => words.capacity() * 4,
            Self::Texts(texts) => texts.bytes.capacity() + texts.ends.capacity() * 4,
        }
    }
}

impl Page {
    /// Where the value of a row is among the values.
    fn place(&self, row: usize) -> Option<usize> {
        match &self.present {
            None => Some(row),
            Some(present) => present.get(row).then(|| present.rank(row)),
        }
    }

    pub(super) fn id(&self, row: usize) -> Option<[u8; 16]> {
        let Content::Ids(ids) = &self.values else { return None };
        ids.get(self.place(row)?).copied()
    }

    pub(super) fn word64(&self, row: usize) -> Option<u64> {
        self.word64_at(self.place(row)?)
    }

    pub(super) fn word64_at(&self, at: usize) -> Option<u64> {
        match &self.values {
            Content::Plain(Words::Words64(words)) => words.get(at).copied(),
            Content::Codes(codes, words) => match &**words {
                Words::Words64(words) => words.get(*codes.get(at)? as usize).copied(),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn word32(&self, row: usize) -> Option<u32> {
        let at = self.place(row)?;
        match &self.values {
            Content::Plain(Words::Words32(words)) => words.get(at).copied(),
            Content::Codes(codes, words) => match &**words {
                Words::Words32(words) => words.get(*codes.get(at)? as usize).copied(),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn is_true(&self, row: usize) -> Option<bool> {
        let Content::Bools(bools) = &self.values else { return None };
        self.place(row).map(|at| bools.get(at))
    }

    pub(super) fn text(&self, row: usize) -> Option<&[u8]> {
        self.text_at(self.place(row)?)
    }

    pub(super) fn text_at(&self, at: usize) -> Option<&[u8]> {
        match &self.values {
            Content::Plain(Words::Texts(texts)) => texts.get(at),
            Content::Codes(codes, words) => match &**words {
                Words::Texts(texts) => texts.get(*codes.get(at)? as usize),
                _ => None,
            },
            _ => None,
        }
    }

    /// Elements of a row that is a list, each with the place of its value if it has one.
    pub(super) fn elements(&self, row: usize) -> impl Iterator<Item = Option<usize>> {
        let (begins, values): (&[u32], &[u32]) =
            self.elements.as_ref().map_or((&[], &[]), |(begins, values)| (begins, values));
        let range = match begins.get(row..row + 2) {
            Some([begin, end]) => *begin as usize..*end as usize,
            _ => 0..0,
        };
        let pairs = values.get(range.start..(range.end + 1).min(values.len())).unwrap_or_default();
        pairs.windows(2).map(|pair| (pair[1] > pair[0]).then_some(pair[0] as usize))
    }
}

/// What stands in a column of a block.
fn column(at: usize, tags: &[TagColumn]) -> (Sort, Shape) {
    let sort = match at {
        place::TRACE_ID => Sort::Ids,
        place::SPAN_ID | place::PARENT_ID => Sort::SpanIds,
        place::PARENT_DELTA | place::FLAGS => Sort::Words32,
        place::START | place::DURATION | place::ANNOTATION_TIME => Sort::Words64,
        place::SHARED | place::DEBUG => Sort::Bools,
        _ if at == place::LOCAL + 2 || at == place::REMOTE + 2 => Sort::Words32,
        _ => match at.checked_sub(place::TAGS).and_then(|at| tags.get(at)).map(|tag| tag.sort) {
            Some(TagSort::Int | TagSort::Double) => Sort::Words64,
            Some(TagSort::Bool) => Sort::Bools,
            Some(TagSort::Text) | None => Sort::Texts,
        },
    };
    let shape = match at {
        place::TRACE_ID | place::SPAN_ID => Shape::Required,
        place::ANNOTATION_TIME | place::ANNOTATION_VALUE => Shape::List(1),
        place::ANNOTATION_TAGS => Shape::List(2),
        _ => Shape::Optional,
    };
    (sort, shape)
}

/// Reads pages of one block.
pub(super) struct PageReader<'a> {
    block: &'a Block,
    file: Reader,
    zstd: zstd::bulk::Decompressor<'static>,
}

impl<'a> PageReader<'a> {
    pub(super) fn new(block: &'a Block) -> Result<Self, BlockError> {
        let file = block.disk.open_reader(&block.path)?;
        Ok(Self { block, file, zstd: zstd::bulk::Decompressor::new()? })
    }

    /// A page of a column; `None` if no row of the group has a value.
    pub(super) fn page(
        &mut self,
        group: usize,
        column_at: usize,
        page: usize,
        rows: Range<usize>,
    ) -> Result<Option<Page>, BlockError> {
        let pages = self.block.pages(group)?;
        if pages.column(column_at).ok_or(BlockError::Schema)?.is_absent {
            return Ok(None);
        }
        let (sort, shape) = column(column_at, &self.block.root.tag_columns);
        let dictionary = match pages.dictionary(column_at) {
            Some((offset, place)) => Some(self.dictionary(sort, offset, place)?),
            None => None,
        };
        let (offset, place) = pages.page(column_at, page).ok_or(BlockError::Schema)?;
        let (header, raw) = self.read(sort, offset, place)?;
        Ok(Some(decode_page(&header, &raw, sort, shape, rows.len(), dictionary)?))
    }

    /// Words of a column, which many pages share.
    fn dictionary(
        &mut self,
        sort: Sort,
        offset: u64,
        place: PagePlace,
    ) -> Result<Arc<Words>, BlockError> {
        let block = self.block;
        block.cache.get((block.number, offset), || {
            let (header, raw) = self.read(sort, offset, place)?;
            let words = decode_words(sort, &raw, header.values as usize)?;
            let bytes = words.bytes();
            Ok((words, bytes))
        })
    }

    fn read(
        &mut self,
        sort: Sort,
        offset: u64,
        place: PagePlace,
    ) -> Result<(PageHeader, Vec<u8>), BlockError> {
        let bytes = self.file.read_at(offset, place.bytes as usize)?;
        if crc32c::crc32c(&bytes) != place.crc {
            return Err(BlockError::Checksum("a page"));
        }
        let mut rest = &bytes[..];
        let header = PageHeader::take(&mut rest)?;
        if header.bytes as usize != rest.len() || header.raw_bytes > RAW_BYTES_MAX {
            return Err(WRONG.into());
        }
        let raw = match sort {
            Sort::SpanIds => rest.to_vec(),
            _ => self.zstd.decompress(rest, header.raw_bytes as usize).map_err(|_| WRONG)?,
        };
        Ok((header, raw))
    }
}

const WRONG: Malformed = Malformed { what: "a page that is not what it says" };

fn decode_page(
    header: &PageHeader,
    mut raw: &[u8],
    sort: Sort,
    shape: Shape,
    rows: usize,
    dictionary: Option<Arc<Words>>,
) -> Result<Page, Malformed> {
    let entries = header.values as usize;
    let mut levels = || -> Result<&[u8], Malformed> {
        let len = u32::from_le_bytes(take_array(&mut raw)?);
        take(&mut raw, len as usize)
    };
    let (mut present, mut elements) = (None, None);
    let mut count = entries;
    match shape {
        Shape::Required => {}
        Shape::Optional => {
            let mut bits = decode_bits(levels()?, entries)?;
            count = bits.count();
            present = (count != entries).then_some(bits);
        }
        Shape::List(defined) => {
            let repetition = decode_bits(levels()?, entries)?;
            let definition = decode(levels()?, width_of(defined), entries)?;
            let (begins, values) = lists(&repetition, &definition, defined)?;
            count = values.last().copied().unwrap_or(0) as usize;
            elements = Some((begins, values));
        }
    }
    let rows_there = elements.as_ref().map_or(entries, |(begins, _)| begins.len() - 1);
    if rows_there != rows {
        return Err(WRONG);
    }
    let values = match (header.encoding, sort) {
        (Encoding::DeltaBytes, Sort::Ids) => Content::Ids(delta::decode_ids(raw, count)?),
        (Encoding::Plain, Sort::Bools) => {
            let mut bits = Bits::default();
            bits.push_packed(raw, count);
            Content::Bools(bits)
        }
        (Encoding::Dictionary, _) => {
            let words = dictionary.ok_or(WRONG)?;
            let [width] = take_array(&mut raw)?;
            if width > 32 {
                return Err(WRONG);
            }
            let codes = decode(raw, u32::from(width), count)?;
            if codes.iter().any(|code| *code as usize >= words.len()) {
                return Err(WRONG);
            }
            Content::Codes(codes, words)
        }
        (Encoding::ByteStreams, Sort::Words64) => {
            let word = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
            Content::Plain(Words::Words64(streams(raw, count, word)?))
        }
        (Encoding::ByteStreams, Sort::Words32) => {
            let word = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
            Content::Plain(Words::Words32(streams(raw, count, word)?))
        }
        (Encoding::DeltaLengths, Sort::Texts) => {
            let mut texts = Texts::default();
            for length in delta::decode_lengths(&mut raw, count)? {
                texts.push(take(&mut raw, length as usize)?)?;
            }
            Content::Plain(Words::Texts(texts))
        }
        (Encoding::Plain, Sort::SpanIds | Sort::Words64 | Sort::Words32) => {
            Content::Plain(decode_words(sort, raw, count)?)
        }
        _ => return Err(WRONG),
    };
    let there = match &values {
        Content::Ids(ids) => ids.len(),
        Content::Bools(bools) => bools.len(),
        Content::Plain(words) => words.len(),
        Content::Codes(codes, _) => codes.len(),
    };
    if there != count {
        return Err(WRONG);
    }
    Ok(Page { present, elements, values })
}

/// Plain values.
fn decode_words(sort: Sort, mut raw: &[u8], count: usize) -> Result<Words, Malformed> {
    let words = match sort {
        Sort::SpanIds | Sort::Words64 => {
            let (words, _) = raw.as_chunks::<8>();
            let is_big = sort == Sort::SpanIds;
            let word = |bytes: &[u8; 8]| match is_big {
                true => u64::from_be_bytes(*bytes),
                false => u64::from_le_bytes(*bytes),
            };
            Words::Words64(words.iter().map(word).collect())
        }
        Sort::Words32 => {
            let (words, _) = raw.as_chunks::<4>();
            Words::Words32(words.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
        }
        Sort::Texts => {
            let mut texts = Texts::default();
            for _ in 0..count {
                let len = u32::from_le_bytes(take_array(&mut raw)?);
                texts.push(take(&mut raw, len as usize)?)?;
            }
            Words::Texts(texts)
        }
        Sort::Ids | Sort::Bools => return Err(WRONG),
    };
    if words.len() == count { Ok(words) } else { Err(WRONG) }
}

fn streams<T, const N: usize>(
    raw: &[u8],
    count: usize,
    word: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, Malformed> {
    if raw.len() != count * N {
        return Err(WRONG);
    }
    let byte = |at: usize, stream: usize| raw[stream * count + at];
    Ok((0..count).map(|at| word(std::array::from_fn(|stream| byte(at, stream)))).collect())
}

/// Where the elements of each row begin, and how many values stand before each element.
fn lists(
    repetition: &Bits,
    definition: &[u32],
    defined: u32,
) -> Result<(Vec<u32>, Vec<u32>), Malformed> {
    let (mut begins, mut values) = (Vec::new(), vec![0]);
    let mut value = 0;
    for (at, level) in definition.iter().enumerate() {
        if !repetition.get(at) {
            begins.push(u32::try_from(values.len() - 1).map_err(|_| WRONG)?);
        } else if begins.is_empty() {
            return Err(WRONG);
        }
        if *level > 0 {
            value += u32::from(*level == defined);
            values.push(value);
        }
    }
    begins.push(u32::try_from(values.len() - 1).map_err(|_| WRONG)?);
    Ok((begins, values))
}
