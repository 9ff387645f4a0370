//! Pages back to values: each is read by itself, and decoded only after its checksum is right.

mod many;

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::bits::Bits;
use super::delta;
use super::hybrid::{Codes, Run, decode, decode_bits, take, take_array, width_of};
use super::page::{Encoding, PageHeader};
use super::pages::PagePlace;
use super::schema::{TagColumn, TagSort, place};
use super::{Block, BlockError, unpack};
use crate::codec::Malformed;
use crate::disk::Reader;
use crate::room::{NoRoom, Opened};
use crate::stop::Stop;

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

/// Values of some rows of one column, for one who reads them. Those that are asked for are decoded, so rows
/// should be asked for in their order.
#[derive(Debug)]
pub(super) struct Page {
    decoded: Arc<Decoded>,
    /// Of its dictionary.
    words: Option<Arc<Words>>,
    /// Where the last code was found.
    last: Cell<Run>,
    /// Whether something was asked for that should be there and is not.
    is_wrong: Cell<bool>,
    /// What it counts as for the question that reads it, its dictionary included.
    _opened: Option<Opened>,
}

/// What all have in common who read a page.
#[derive(Debug)]
struct Decoded {
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
    Codes(Codes),
}

/// Values, or the words of a dictionary.
#[derive(Debug)]
pub(super) enum Words {
    Numbers(Numbers),
    Texts(Texts),
}

/// Numbers of a fixed width, as they are written.
#[derive(Debug)]
pub(super) struct Numbers {
    bytes: Bytes,
    count: usize,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Big64,
    Little64,
    Little32,
    /// The first bytes of all numbers, then the second ones.
    Streams64,
    Streams32,
}

impl Numbers {
    fn new(bytes: Bytes, count: usize, form: Form) -> Result<Self, Malformed> {
        let width = match form {
            Form::Big64 | Form::Little64 | Form::Streams64 => 8,
            Form::Little32 | Form::Streams32 => 4,
        };
        let is_right = count.checked_mul(width) == Some(bytes.len());
        if is_right { Ok(Self { bytes, count, form }) } else { Err(WRONG) }
    }

    fn word64(&self, at: usize) -> Option<u64> {
        let whole = |read: fn([u8; 8]) -> u64| self.bytes.as_chunks().0.get(at).copied().map(read);
        match self.form {
            Form::Big64 => whole(u64::from_be_bytes),
            Form::Little64 => whole(u64::from_le_bytes),
            Form::Streams64 => self.streamed(at).map(u64::from_le_bytes),
            Form::Little32 | Form::Streams32 => None,
        }
    }

    fn word32(&self, at: usize) -> Option<u32> {
        match self.form {
            Form::Little32 => self.bytes.as_chunks().0.get(at).copied().map(u32::from_le_bytes),
            Form::Streams32 => self.streamed(at).map(u32::from_le_bytes),
            Form::Big64 | Form::Little64 | Form::Streams64 => None,
        }
    }

    fn streamed<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let byte = |stream: usize| self.bytes[stream * self.count + at];
        (at < self.count).then(|| std::array::from_fn(byte))
    }
}

/// Byte strings behind one another.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Bytes,
    /// Where each of them begins, and ends.
    places: Vec<(u32, u32)>,
}

impl Texts {
    /// Byte strings of these lengths, from `begin` on.
    fn of_lengths(bytes: Bytes, begin: usize, lengths: &[i64]) -> Result<Self, Malformed> {
        let mut end = u32::try_from(begin).map_err(|_| WRONG)?;
        let mut places = Vec::with_capacity(lengths.len());
        for length in lengths {
            let length = u32::try_from(*length).map_err(|_| WRONG)?;
            let next = end.checked_add(length).ok_or(WRONG)?;
            places.push((end, next));
            end = next;
        }
        if end as usize > bytes.len() { Err(WRONG) } else { Ok(Self { bytes, places }) }
    }

    /// Byte strings that each have their length in front.
    fn prefixed(bytes: Bytes, count: usize) -> Result<Self, Malformed> {
        let mut rest = &bytes[..];
        let mut places = Vec::with_capacity(count.min(rest.len() / 4));
        for _ in 0..count {
            let len = u32::from_le_bytes(take_array(&mut rest)?);
            let begin = u32::try_from(bytes.len() - rest.len()).map_err(|_| WRONG)?;
            take(&mut rest, len as usize)?;
            places.push((begin, begin + len));
        }
        Ok(Self { bytes, places })
    }

    pub(super) fn get(&self, at: usize) -> Option<&[u8]> {
        let (begin, end) = *self.places.get(at)?;
        self.bytes.get(begin as usize..end as usize)
    }
}

impl Words {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.count,
            Self::Texts(texts) => texts.places.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.bytes.len(),
            Self::Texts(texts) => texts.bytes.len() + size_of_val(&texts.places[..]),
        }
    }

    fn word64(&self, at: usize) -> Option<u64> {
        let Self::Numbers(numbers) = self else { return None };
        numbers.word64(at)
    }

    fn word32(&self, at: usize) -> Option<u32> {
        let Self::Numbers(numbers) = self else { return None };
        numbers.word32(at)
    }

    fn text(&self, at: usize) -> Option<&[u8]> {
        let Self::Texts(texts) = self else { return None };
        texts.get(at)
    }
}

impl Decoded {
    /// What it takes in memory without its dictionary.
    fn bytes(&self) -> usize {
        let elements = self.elements.as_ref();
        let lists = elements.map_or(0, |(begins, values)| 4 * (begins.len() + values.len()));
        let values = match &self.values {
            Content::Ids(ids) => size_of_val(&ids[..]),
            Content::Bools(bools) => bools.bytes(),
            Content::Plain(words) => words.bytes(),
            Content::Codes(codes) => codes.bytes(),
        };
        let present = self.present.as_ref().map_or(0, Bits::bytes);
        size_of::<Self>() + lists + values + present
    }
}

impl Page {
    fn new(decoded: Arc<Decoded>, words: Option<Arc<Words>>, stop: &Stop) -> Result<Self, NoRoom> {
        let bytes = decoded.bytes() + words.as_ref().map_or(0, |words| words.bytes());
        let opened = stop.open(bytes)?;
        let (last, is_wrong) = (Cell::default(), Cell::new(false));
        Ok(Self { decoded, words, last, is_wrong, _opened: opened })
    }

    /// Where the value of a row is among the values.
    fn place(&self, row: usize) -> Option<usize> {
        match &self.decoded.present {
            None => Some(row),
            Some(present) => present.get(row).then(|| present.rank(row)),
        }
    }

    /// What it takes in memory, its dictionary included.
    pub(super) fn bytes(&self) -> usize {
        self.decoded.bytes() + self.words.as_ref().map_or(0, |words| words.bytes())
    }

    /// A value that must be there, or the page is not what it says.
    fn there<T>(&self, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.is_wrong.set(true);
        }
        value
    }

    /// Errors if anything that was asked for was not as it should be.
    pub(super) fn check(&self) -> Result<(), Malformed> {
        if self.is_wrong.get() { Err(WRONG) } else { Ok(()) }
    }

    pub(super) fn id(&self, row: usize) -> Option<[u8; 16]> {
        let at = self.place(row)?;
        let Content::Ids(ids) = &self.decoded.values else { return self.there(None) };
        self.there(ids.get(at).copied())
    }

    /// The place of a value among words, and these.
    fn word(&self, at: usize) -> Option<(usize, &Words)> {
        match &self.decoded.values {
            Content::Plain(words) => Some((at, words)),
            Content::Codes(codes) => {
                Some((codes.get(at, &self.last)? as usize, self.words.as_deref()?))
            }
            Content::Ids(_) | Content::Bools(_) => None,
        }
    }

    pub(super) fn word64(&self, row: usize) -> Option<u64> {
        self.word64_at(self.place(row)?)
    }

    pub(super) fn word64_at(&self, at: usize) -> Option<u64> {
        self.there(self.word(at).and_then(|(at, words)| words.word64(at)))
    }

    pub(super) fn word32(&self, row: usize) -> Option<u32> {
        let at = self.place(row)?;
        self.there(self.word(at).and_then(|(at, words)| words.word32(at)))
    }

    /// Whether a row has a value.
    pub(super) fn has(&self, row: usize) -> bool {
        self.place(row).is_some()
    }

    /// Which word of its dictionary a row has, if there is one.
    pub(super) fn code(&self, row: usize) -> Option<u32> {
        let Content::Codes(codes) = &self.decoded.values else { return None };
        codes.get(self.place(row)?, &self.last)
    }

    /// A number that rows of its group have in common which have the same value; `None` if it has none.
    pub(super) fn number(&self, row: usize) -> Option<u32> {
        match &self.decoded.values {
            Content::Codes(codes) => self.there(codes.get(self.place(row)?, &self.last)),
            Content::Bools(_) => self.is_true(row).map(u32::from),
            Content::Ids(_) | Content::Plain(_) => None,
        }
    }

    pub(super) fn is_true(&self, row: usize) -> Option<bool> {
        let at = self.place(row)?;
        let Content::Bools(bools) = &self.decoded.values else { return self.there(None) };
        Some(bools.get(at))
    }

    pub(super) fn text(&self, row: usize) -> Option<&[u8]> {
        self.text_at(self.place(row)?)
    }

    pub(super) fn text_at(&self, at: usize) -> Option<&[u8]> {
        self.there(self.word(at).and_then(|(at, words)| words.text(at)))
    }

    /// Elements of a row that is a list, each with the place of its value if it has one.
    pub(super) fn elements(&self, row: usize) -> impl Iterator<Item = Option<usize>> {
        let (begins, values): (&[u32], &[u32]) =
            self.decoded.elements.as_ref().map_or((&[], &[]), |(begins, values)| (begins, values));
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

#[cfg(test)]
thread_local! {
    /// How many pages this thread has read.
    pub(crate) static READ: Cell<u64> = const { Cell::new(0) };
}

/// Reads pages of one block.
pub(super) struct PageReader<'a> {
    block: &'a Block,
    file: Reader,
    /// Whether pages may be wanted again by others.
    keeps: bool,
    /// Of the question that they are read for.
    stop: Stop,
}

/// A reader without its block.
pub(super) struct Paused {
    file: Reader,
    stop: Stop,
}

impl<'a> PageReader<'a> {
    /// For whoever reads much, and that once.
    pub(super) fn new(block: &'a Block, stop: &Stop) -> Result<Self, BlockError> {
        let file = block.disk.open_reader(&block.path)?;
        Ok(Self { block, file, keeps: false, stop: stop.clone() })
    }

    /// For whoever reads a few rows: what is asked for again is read once.
    pub(super) fn keeping(block: &'a Block, stop: &Stop) -> Result<Self, BlockError> {
        Ok(Self { keeps: true, ..Self::new(block, stop)? })
    }

    /// Goes on with what [`PageReader::pause`] left.
    pub(super) fn resume(block: &'a Block, paused: Paused) -> Self {
        let Paused { file, stop } = paused;
        Self { block, file, keeps: false, stop }
    }

    pub(super) fn pause(self) -> Paused {
        Paused { file: self.file, stop: self.stop }
    }

    /// A page of a column; `None` if no row of the group has a value.
    pub(super) fn page(
        &self,
        group: usize,
        column_at: usize,
        page: usize,
        rows: Range<usize>,
    ) -> Result<Option<Page>, BlockError> {
        let pages = self.block.pages(group)?;
        if pages.column(column_at).ok_or(BlockError::Schema)?.is_absent {
            return Ok(None);
        }
        let (offset, place) = pages.page(column_at, page).ok_or(BlockError::Schema)?;
        let (sort, shape) = column(column_at, &self.block.root.tag_columns);
        let words = match pages.dictionary(column_at) {
            Some((offset, place)) => Some(self.dictionary(sort, offset, place)?),
            None => None,
        };
        let read = || -> Result<_, BlockError> {
            let (header, raw) = self.read(sort, offset, place)?;
            #[cfg(test)]
            READ.set(READ.get() + 1);
            let decoded = decode_page(&header, raw, sort, shape, rows.len())?;
            let bytes = decoded.bytes();
            Ok((decoded, bytes))
        };
        let block = self.block;
        let decoded = match self.keeps {
            true => block.cache.get_one_of_many((block.number, offset), read),
            false => read().map(|(decoded, _)| Arc::new(decoded)),
        };
        let decoded = decoded?;
        if matches!(decoded.values, Content::Codes(_)) && words.is_none() {
            return Err(WRONG.into());
        }
        Ok(Some(Page::new(decoded, words, &self.stop)?))
    }

    /// Words of a column, which many pages share.
    fn dictionary(
        &self,
        sort: Sort,
        offset: u64,
        place: PagePlace,
    ) -> Result<Arc<Words>, BlockError> {
        let block = self.block;
        block.cache.get((block.number, offset), || {
            let (header, raw) = self.read(sort, offset, place)?;
            let words = decode_words(sort, raw, header.values as usize)?;
            let bytes = words.bytes();
            Ok((words, bytes))
        })
    }

    fn read(
        &self,
        sort: Sort,
        offset: u64,
        place: PagePlace,
    ) -> Result<(PageHeader, Bytes), BlockError> {
        if sort == Sort::SpanIds {
            let bytes = self.file.read_at(offset, place.bytes as usize)?;
            let (header, rest) = whole(&bytes, place)?;
            return Ok((header, bytes.slice_ref(rest)));
        }
        unpack::read_at(&self.file, offset, place.bytes as usize, |bytes| {
            let (header, rest) = whole(bytes, place)?;
            // Before anything large is made of something small.
            let _opened = self.stop.open(header.raw_bytes as usize)?;
            let raw = unpack::decompress(rest, header.raw_bytes as usize);
            Ok((header, raw.map_err(|_| WRONG)?.into()))
        })?
    }
}

/// A page's header and what follows it, if its checksum is right.
fn whole(bytes: &[u8], place: PagePlace) -> Result<(PageHeader, &[u8]), BlockError> {
    if crc32c::crc32c(bytes) != place.crc {
        return Err(BlockError::Checksum("rows"));
    }
    let mut rest = bytes;
    let header = PageHeader::take(&mut rest)?;
    if header.bytes as usize != rest.len() || header.raw_bytes > RAW_BYTES_MAX {
        return Err(WRONG.into());
    }
    Ok((header, rest))
}

const WRONG: Malformed = Malformed { what: "a page that is not what it says" };

fn decode_page(
    header: &PageHeader,
    raw: Bytes,
    sort: Sort,
    shape: Shape,
    rows: usize,
) -> Result<Decoded, Malformed> {
    let entries = header.values as usize;
    let mut rest = &raw[..];
    let mut levels = || -> Result<&[u8], Malformed> {
        let len = u32::from_le_bytes(take_array(&mut rest)?);
        take(&mut rest, len as usize)
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
    let raw = raw.slice_ref(rest);
    let numbers = |form| Numbers::new(raw.clone(), count, form).map(Words::Numbers);
    let values = match (header.encoding, sort) {
        (Encoding::DeltaBytes, Sort::Ids) => Content::Ids(delta::decode_ids(&raw, count)?),
        (Encoding::Plain, Sort::Bools) => {
            let mut bits = Bits::default();
            bits.push_packed(&raw, count);
            Content::Bools(bits)
        }
        (Encoding::Dictionary, _) => Content::Codes(Codes::new(raw)?),
        (Encoding::ByteStreams, Sort::Words64) => Content::Plain(numbers(Form::Streams64)?),
        (Encoding::ByteStreams, Sort::Words32) => Content::Plain(numbers(Form::Streams32)?),
        (Encoding::DeltaLengths, Sort::Texts) => {
            let mut rest = &raw[..];
            let lengths = delta::decode_ints(&mut rest, count)?;
            let begin = raw.len() - rest.len();
            Content::Plain(Words::Texts(Texts::of_lengths(raw, begin, &lengths)?))
        }
        (Encoding::Plain, Sort::SpanIds | Sort::Words64 | Sort::Words32) => {
            Content::Plain(decode_words(sort, raw, count)?)
        }
        _ => return Err(WRONG),
    };
    // Codes are counted as far as they are asked for.
    let there = match &values {
        Content::Ids(ids) => ids.len(),
        Content::Bools(bools) => bools.len(),
        Content::Plain(words) => words.len(),
        Content::Codes(..) => count,
    };
    if there != count {
        return Err(WRONG);
    }
    Ok(Decoded { present, elements, values })
}

/// Plain values.
fn decode_words(sort: Sort, raw: Bytes, count: usize) -> Result<Words, Malformed> {
    let numbers = |form| Numbers::new(raw.clone(), count, form).map(Words::Numbers);
    match sort {
        Sort::SpanIds => numbers(Form::Big64),
        Sort::Words64 => numbers(Form::Little64),
        Sort::Words32 => numbers(Form::Little32),
        Sort::Texts => Texts::prefixed(raw, count).map(Words::Texts),
        Sort::Ids | Sort::Bools => Err(WRONG),
    }
}

/// Where the elements of each row begin, and how many values stand before each element.
fn lists(
    repetition: &Bits,
    definition: &[u32],
    defined: u32,
) -> Result<(Vec<u32>, Vec<u32>), Malformed> {
    let (mut begins, mut values) = (Vec::with_capacity(definition.len() + 1), vec![0]);
    let mut value = 0;
    let begin = |values: &[u32]| u32::try_from(values.len() - 1).map_err(|_| WRONG);
    for (number, levels) in definition.chunks(64).enumerate() {
        let repeated = repetition.word(number);
        // Most rows have no list.
        if repeated == 0 && levels.iter().all(|level| *level == 0) {
            begins.resize(begins.len() + levels.len(), begin(&values)?);
            continue;
        }
        for (at, level) in levels.iter().enumerate() {
            if repeated >> at & 1 == 0 {
                begins.push(begin(&values)?);
            } else if begins.is_empty() {
                return Err(WRONG);
            }
            if *level > 0 {
                value += u32::from(*level == defined);
                values.push(value);
            }
        }
    }
    begins.push(begin(&values)?);
    Ok((begins, values))
}

#[cfg(test)]
mod tests {
    use sigyn_model::{Annotation, Span, SpanId, Timestamp, TraceId};

    use super::super::tests::{open, sealed};
    use super::*;
    use crate::facts::Strictness;
    use crate::stop::Stop;

    #[test]
    fn pages_are_read_once_and_those_of_annotations_where_there_are_any() {
        let mut spans = Vec::new();
        for id in 1..=100 {
            let trace_id = TraceId::new(id).unwrap();
            let mut span = Span::new(trace_id, SpanId::from_raw(1));
            span.timestamp = Some(Timestamp::from_nanos(7));
            if id == 50 {
                span.annotations.push(Annotation {
                    timestamp: Timestamp::from_nanos(9),
                    value: "late".to_owned(),
                    tags: vec![("by".to_owned(), "much".into())],
                    dropped_tags: 0,
                });
            }
            spans.push(span);
        }
        let (disk, entry) = sealed(spans.clone());
        let block = open(&disk, &entry).unwrap();
        let read = |id: usize| {
            let (mut read, before) = (Vec::new(), READ.get());
            let key = TraceId::new(id as u128).unwrap().into();
            block
                .read(&[key], Strictness::Strict, &Stop::default(), &mut |span| read.push(span))
                .unwrap();
            assert_eq!(read, [spans[id - 1].clone()]);
            READ.get() - before
        };
        // The ids of spans, their times, and what annotations say.
        assert_eq!([read(1), read(2), read(50), read(50)], [3, 0, 2, 0]);
        let before = READ.get();
        let all = |_: usize| block.read_all(&Stop::default(), &mut |_| {}).unwrap();
        (0..2).for_each(all);
        assert!(READ.get() - before > 2 * 5, "who reads all keeps nothing");
    }
}
