//! Frames of the log into a head: words once for each chapter, rows in numbers.

use std::sync::Arc;

use sigyn_model::{TargetProgress, Timestamp, TraceId};

use super::chapter::{SORTS, Sort, bit};
use super::origins::Origin;
use super::rare::{AnnotationCodes, Extra, LinkCodes, List};
use super::writer::{ERROR_KEY, HeadWriter, NewRow, SAYS_ERROR, StagedTag};
use crate::codec::{Decoder, Malformed};
use sigyn_model::columns::fact;

/// What words are called in the head, by their numbers in the log.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The frame that began the chapter.
    first_seq: u64,
    pub(super) words: [Vec<u32>; SORTS.len()],
    has_error_tags: bool,
}

/// What a frame holds beside its spans.
#[derive(Debug, PartialEq)]
pub(crate) struct Replayed {
    pub(crate) arrival_ms: u64,
    pub(crate) progress: Option<TargetProgress>,
}

impl Replayed {
    pub(crate) fn of(payload: &[u8]) -> Result<Self> {
        Ok(Self::read(&mut Decoder::new(payload))?.0)
    }

    /// About how much more a head takes with the spans of this frame; nothing is known of one that cannot be read.
    pub(crate) fn head_bytes(payload: &[u8]) -> u64 {
        let mut decoder = Decoder::new(payload);
        let counted = Self::read(&mut decoder).and_then(|_| count(&mut decoder));
        let (words, rows) = counted.unwrap_or_default();
        rows * HEAD_PER_ROW + words * HEAD_PER_WORD + payload.len() as u64
    }

    /// With how many frames before this one the chapter began.
    fn read(decoder: &mut Decoder<'_>) -> Result<(Self, u64)> {
        let (arrival_ms, distance) = (decoder.uint()?, decoder.uint()?);
        Ok((Self { arrival_ms, progress: decoder.optional(Decoder::progress)? }, distance))
    }
}

/// What a head takes for a span that says nothing but its ids and is alone in its trace: its place in every column,
/// in those of traces, and in the tables that find these, which are between a third and three quarters full, and
/// those that they have outgrown. And for a word beside its bytes: with its place in a table, too.
const HEAD_PER_ROW: u64 = 256;
const HEAD_PER_WORD: u64 = 64;

/// No number of the log is larger.
const WORDS_MAX: usize = 1 << 27;
pub(super) const UNKNOWN: u32 = u32::MAX;

type Result<T> = std::result::Result<T, Malformed>;

const fn malformed(what: &'static str) -> Malformed {
    Malformed { what }
}

impl Replay {
    /// Publishes the spans of a frame. Nothing of one that cannot be read, unless it be words that others use.
    pub(crate) fn read(
        &mut self,
        seq: u64,
        payload: &[u8],
        head: &mut HeadWriter,
    ) -> Result<Replayed> {
        let read = self.read_frame(seq, payload, head);
        match &read {
            Ok(Replayed { arrival_ms, .. }) => head.publish(*arrival_ms, *arrival_ms),
            Err(_) => head.discard(),
        }
        read
    }

    /// Whether a frame goes on with the words of the last one.
    pub(crate) fn goes_on_with(&self, seq: u64, payload: &[u8]) -> bool {
        let distance = Replayed::read(&mut Decoder::new(payload)).map(|(_, distance)| distance);
        distance.is_ok_and(|distance| seq.checked_sub(distance) == Some(self.first_seq))
    }

    /// Learns what words mean of a frame whose spans nobody wants.
    pub(crate) fn learn(&mut self, seq: u64, payload: &[u8], head: &mut HeadWriter) -> Result<()> {
        let mut decoder = Decoder::new(payload);
        let (_, distance) = Replayed::read(&mut decoder)?;
        self.go_to_chapter(seq, distance)?;
        let read = self.read_words(&mut decoder, head);
        head.settle();
        read
    }

    /// Learns what words mean, and leaves the spans where they are.
    pub(crate) fn read_words_alone(
        &mut self,
        seq: u64,
        payload: &[u8],
        head: &mut HeadWriter,
    ) -> Result<Replayed> {
        let read = self.read_frame(seq, payload, head);
        head.discard();
        read
    }

    fn read_frame(&mut self, seq: u64, payload: &[u8], head: &mut HeadWriter) -> Result<Replayed> {
        let mut decoder = Decoder::new(payload);
        let (replayed, distance) = Replayed::read(&mut decoder)?;
        self.go_to_chapter(seq, distance)?;
        let read = self.read_words(&mut decoder, head);
        // Those that use them need not be lost with this frame.
        head.settle();
        read?;
        self.read_rows(&mut decoder, head)?;
        decoder.end()?;
        Ok(replayed)
    }

    fn go_to_chapter(&mut self, seq: u64, distance: u64) -> Result<()> {
        let first_seq = seq.checked_sub(distance).ok_or(malformed("no such frame"))?;
        if first_seq != self.first_seq {
            *self = Self { first_seq, ..Self::default() };
        }
        Ok(())
    }

    fn read_words(&mut self, decoder: &mut Decoder<'_>, head: &mut HeadWriter) -> Result<()> {
        let mut sorts = SORTS.iter();
        for _ in 0..decoder.count()? {
            let which = usize::from(decoder.byte()?);
            let sort = sorts.find(|sort| **sort as usize == which);
            let sort = *sort.ok_or(malformed("an unknown sort of words"))?;
            for _ in 0..decoder.count()? {
                self.read_word(sort, decoder, head)?;
            }
        }
        Ok(())
    }

    fn read_word(
        &mut self,
        sort: Sort,
        decoder: &mut Decoder<'_>,
        head: &mut HeadWriter,
    ) -> Result<()> {
        let number = decoder.uint_as::<usize>()?;
        if number == 0 || number > WORDS_MAX {
            return Err(malformed("no number of a word"));
        }
        let is_known = self.words[sort as usize].get(number).is_some_and(|word| *word != UNKNOWN);
        // What is told by a word that was lost is lost, too.
        let word = match sort {
            Sort::Name => Some(head.name(text(decoder)?)),
            Sort::Text => Some(head.text(text(decoder)?)),
            Sort::Key => {
                let key = head.key(text(decoder)?);
                self.has_error_tags |= key == ERROR_KEY;
                Some(key)
            }
            Sort::Tag => {
                let (key, value) = (self.told(Sort::Key, decoder)?, decoder.bytes()?);
                key.filter(|_| !is_known).map(|key| head.tag(key, value).number())
            }
            Sort::Endpoint => {
                let (name, bytes) = (self.told(Sort::Name, decoder)?, decoder.bytes()?);
                name.map(|name| head.endpoint(name, bytes))
            }
            Sort::Resource => {
                let bytes = decoder.bytes()?;
                let resource = whole(bytes, |decoder| decoder.resource_content())?;
                Some(head.resource(bytes, || Arc::new(resource)))
            }
            Sort::Scope => {
                let bytes = decoder.bytes()?;
                let scope = whole(bytes, |decoder| decoder.scope_content())?;
                Some(head.scope(bytes, || Arc::new(scope)))
            }
            Sort::Target => {
                let bytes = decoder.bytes()?;
                let labels = whole(bytes, |decoder| decoder.labels())?;
                Some(head.target(bytes, || Arc::new(labels)))
            }
            Sort::Origin => {
                let resource = self.told(Sort::Resource, decoder)?;
                let scope = self.told(Sort::Scope, decoder)?;
                let target = self.told(Sort::Target, decoder)?;
                match (resource, scope, target) {
                    (Some(resource), Some(scope), Some(target)) => {
                        Some(head.origin_of(Origin { resource, scope, target }))
                    }
                    _ => None,
                }
            }
            Sort::Extra => {
                let status_message = self.told(Sort::Text, decoder)?;
                let trace_state = self.told(Sort::Text, decoder)?;
                let [dropped_tags, dropped_annotations, dropped_links, flags] =
                    [decoder.uint_as(), decoder.uint_as(), decoder.uint_as(), decoder.uint_as()];
                let extra = Extra {
                    status_message: status_message.unwrap_or(0),
                    trace_state: trace_state.unwrap_or(0),
                    dropped_tags: dropped_tags?,
                    dropped_annotations: dropped_annotations?,
                    dropped_links: dropped_links?,
                    flags: flags?,
                };
                status_message.and(trace_state).map(|_| head.extra(extra))
            }
        };
        if let Some(word) = word.filter(|_| !is_known) {
            let words = &mut self.words[sort as usize];
            if words.len() <= number {
                words.resize(number + 1, UNKNOWN);
            }
            words[number] = word;
        }
        Ok(())
    }

    /// A number of the log, as the head's.
    #[inline]
    fn word(&self, sort: Sort, decoder: &mut Decoder<'_>) -> Result<u32> {
        self.told(sort, decoder)?.ok_or(malformed("a word that was not told"))
    }

    /// The same, if it was told.
    #[inline]
    fn told(&self, sort: Sort, decoder: &mut Decoder<'_>) -> Result<Option<u32>> {
        Ok(self.known(sort, decoder.uint_as()?))
    }

    #[inline]
    fn known(&self, sort: Sort, number: usize) -> Option<u32> {
        if number == 0 {
            return Some(0);
        }
        self.words[sort as usize].get(number).copied().filter(|word| *word != UNKNOWN)
    }

    fn read_rows(&self, decoder: &mut Decoder<'_>, head: &mut HeadWriter) -> Result<()> {
        let count = decoder.count()?;
        let ids = decoder.take(count.checked_mul(8).ok_or(malformed("too many rows"))?)?;
        let (ids, _) = ids.as_chunks::<8>();
        let first = head.staged().end;
        let mut last_trace: Option<TraceId> = None;
        let mut last_time = 0u64;
        for (n, id) in ids.iter().enumerate() {
            let bits = decoder.uint_as::<u32>()?;
            if bits & !bit::ALL != 0 {
                return Err(malformed("an unknown part of a span"));
            }
            let has = |bit: u32| bits & bit != 0;
            let before = |back: usize| n.checked_sub(back).filter(|_| back > 0);
            let trace_id = match bits & bit::TRACE {
                bit::SAME_TRACE => last_trace.ok_or(malformed("a span without a trace"))?,
                bit::TRACE_OF_ROW => {
                    let row = before(decoder.uint_as()?).ok_or(malformed("no row before it"))?;
                    head.staged_row(first + u32::try_from(row).unwrap_or(0)).trace_id
                }
                bit::NEW_TRACE => decoder.trace_id()?,
                _ => return Err(malformed("an unknown sort of trace")),
            };
            last_trace = Some(trace_id);
            let parent_id = match bits & bit::PARENT {
                0 => 0,
                bit::PARENT_IN_FRAME => {
                    let row = i64::try_from(n).unwrap_or(0).checked_sub(decoder.int()?);
                    let row = row.and_then(|row| usize::try_from(row).ok());
                    let id = row.and_then(|row| ids.get(row)).ok_or(malformed("no such row"))?;
                    u64::from_be_bytes(*id)
                }
                bit::OTHER_PARENT => decoder.fixed_u64()?,
                _ => return Err(malformed("an unknown sort of parent")),
            };
            let kind = bits >> bit::KIND_SHIFT & 7;
            let status = bits >> bit::STATUS_SHIFT & 3;
            if kind > 4 || status > 2 {
                return Err(malformed("an unknown kind or status"));
            }
            let name = self.word(Sort::Name, decoder)?;
            let mut timestamp = 0;
            if has(bit::TIMESTAMP) {
                timestamp = last_time.wrapping_add(decoder.int()?.cast_unsigned());
                last_time = timestamp;
            }
            let (mut duration, mut long_duration) = (0, None);
            if has(bit::LONG_DURATION) {
                (duration, long_duration) = (u64::MAX, Some(decoder.duration()?));
            } else if has(bit::DURATION) {
                duration = decoder.uint()?;
            }
            let local_endpoint = self.word(Sort::Endpoint, decoder)?;
            let remote_endpoint =
                if has(bit::REMOTE) { self.word(Sort::Endpoint, decoder)? } else { 0 };
            let origin = self.word(Sort::Origin, decoder)?;
            let extra = if has(bit::EXTRA) { self.word(Sort::Extra, decoder)? } else { 0 };
            let mut says_error = false;
            for _ in 0..decoder.count()? {
                let (key, tag) = self.tag(decoder, head)?;
                says_error |= key == ERROR_KEY;
                head.put_tag(tag);
            }
            let (mut annotations, mut links) = (List::default(), List::default());
            if has(bit::ANNOTATIONS) {
                annotations = self.annotations(decoder, head, &mut says_error)?;
            }
            if has(bit::LINKS) {
                links = self.links(decoder, head)?;
            }
            let fact_of = |is_so: bool, fact: u16| if is_so { fact } else { 0 };
            let facts = u16::try_from(kind | status << fact::STATUS_SHIFT).unwrap_or(0)
                | fact_of(bits & bit::PARENT != 0, fact::PARENT)
                | fact_of(has(bit::TIMESTAMP), fact::TIMESTAMP)
                | fact_of(has(bit::DURATION), fact::DURATION)
                | fact_of(has(bit::LONG_DURATION), fact::LONG_DURATION)
                | fact_of(has(bit::SHARED), fact::SHARED)
                | fact_of(has(bit::DEBUG), fact::DEBUG)
                | fact_of(annotations.len > 0, fact::ANNOTATIONS)
                | fact_of(links.len > 0, fact::LINKS)
                | fact_of(says_error, SAYS_ERROR);
            head.stage(NewRow {
                trace_id,
                id: u64::from_be_bytes(*id),
                parent_id,
                timestamp,
                duration,
                facts,
                name,
                local_endpoint,
                remote_endpoint,
                origin,
                extra,
                long_duration,
                annotations,
                links,
                tag_end: 0,
            });
        }
        Ok(())
    }

    /// A tag's key, if anybody asks for it, and its number.
    #[inline]
    fn tag(&self, decoder: &mut Decoder<'_>, head: &mut HeadWriter) -> Result<(u32, StagedTag)> {
        match decoder.uint_as::<usize>()? {
            0 => {
                let key = self.word(Sort::Key, decoder)?;
                Ok((key, head.unique_tag(key, decoder.bytes()?)))
            }
            number => {
                let tag = self.known(Sort::Tag, number);
                let tag = tag.ok_or(malformed("a word that was not told"))?;
                let key = if self.has_error_tags { head.head().tags.about(tag) } else { 0 };
                Ok((key, head.staged_tag(tag)))
            }
        }
    }

    fn nested(&self, decoder: &mut Decoder<'_>, head: &mut HeadWriter) -> Result<List> {
        let mut tags = Vec::new();
        for _ in 0..decoder.count()? {
            tags.push(self.tag(decoder, head)?.1.number());
        }
        Ok(head.put_nested_tags(tags.into_iter()))
    }

    fn annotations(
        &self,
        decoder: &mut Decoder<'_>,
        head: &mut HeadWriter,
        says_error: &mut bool,
    ) -> Result<List> {
        let mut list = List { first: head.list_ends().0, len: 0 };
        for _ in 0..decoder.count()? {
            let timestamp = Timestamp::from_nanos(decoder.fixed_u64()?);
            let value = self.word(Sort::Text, decoder)?;
            let dropped_tags = decoder.uint_as()?;
            let tags = self.nested(decoder, head)?;
            *says_error |= head.text_is(value, "error");
            head.put_annotation(&AnnotationCodes { timestamp, value, dropped_tags, tags });
            list.len += 1;
        }
        Ok(list)
    }

    fn links(&self, decoder: &mut Decoder<'_>, head: &mut HeadWriter) -> Result<List> {
        let mut list = List { first: head.list_ends().1, len: 0 };
        for _ in 0..decoder.count()? {
            let link = LinkCodes {
                trace_id: Some(decoder.trace_id()?),
                span_id: sigyn_model::SpanId::from_raw(decoder.fixed_u64()?),
                trace_state: self.word(Sort::Text, decoder)?,
                dropped_tags: decoder.uint_as()?,
                flags: decoder.uint_as()?,
                tags: self.nested(decoder, head)?,
            };
            head.put_link(&link);
            list.len += 1;
        }
        Ok(list)
    }
}

/// How many words a frame tells, and how many spans it has.
fn count(decoder: &mut Decoder<'_>) -> Result<(u64, u64)> {
    let mut words = 0;
    for _ in 0..decoder.count()? {
        let sort = usize::from(decoder.byte()?);
        let sort = *SORTS.get(sort).ok_or(malformed("an unknown sort of words"))?;
        let of_section = decoder.count()?;
        for _ in 0..of_section {
            // Its number, and those of the words that it is told by.
            let numbers = match sort {
                Sort::Tag | Sort::Endpoint => 2,
                Sort::Origin => 4,
                Sort::Extra => 7,
                _ => 1,
            };
            for _ in 0..numbers {
                decoder.uint()?;
            }
            if !matches!(sort, Sort::Origin | Sort::Extra) {
                decoder.bytes()?;
            }
        }
        words += of_section as u64;
    }
    Ok((words, decoder.count()? as u64))
}

fn text<'a>(decoder: &mut Decoder<'a>) -> Result<&'a str> {
    std::str::from_utf8(decoder.bytes()?).map_err(|_| malformed("a text that is no UTF-8"))
}

/// A record that is these bytes, no more and no less.
fn whole<T>(bytes: &[u8], read: impl FnOnce(&mut Decoder<'_>) -> Result<T>) -> Result<T> {
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder)?;
    decoder.end()?;
    Ok(value)
}
