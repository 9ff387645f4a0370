//! A head's rows as frames of the log: each word where it is first used, and by number after that.
//!
//! `docs/formats/wal.md` has every byte.

use std::ops::Range;

use sigyn_model::{SpanId, TargetProgress, TraceId};

use super::rare::{Extra, List};
use super::words::Words;
use super::writer::{HeadWriter, StagedTag};
use crate::codec::Encoder;
use sigyn_model::columns::fact;

/// After so many bytes words are told anew: damage reaches no farther, and a log that is read can be made a block
/// at these places.
const CHAPTER_BYTES: u64 = if cfg!(test) { 2_000 } else { 8 << 20 };

/// Sorts of words, in the order in which they stand in a frame: each is told by those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Text,
    Key,
    Tag,
    Endpoint,
    Resource,
    Scope,
    Target,
    Origin,
    Extra,
}

pub(super) const SORTS: [Sort; 10] = [
    Sort::Name,
    Sort::Text,
    Sort::Key,
    Sort::Tag,
    Sort::Endpoint,
    Sort::Resource,
    Sort::Scope,
    Sort::Target,
    Sort::Origin,
    Sort::Extra,
];

/// The bits of a row in a frame.
pub(super) mod bit {
    /// Two bits: the trace of the row before, that of another row, or one that follows.
    pub(crate) const SAME_TRACE: u32 = 0;
    pub(crate) const TRACE_OF_ROW: u32 = 1;
    pub(crate) const NEW_TRACE: u32 = 2;
    pub(crate) const TRACE: u32 = 3;
    /// Two bits: no parent, one that is a row of this frame, or one that follows.
    pub(crate) const PARENT_SHIFT: u32 = 2;
    pub(crate) const PARENT_IN_FRAME: u32 = 1 << PARENT_SHIFT;
    pub(crate) const OTHER_PARENT: u32 = 2 << PARENT_SHIFT;
    pub(crate) const PARENT: u32 = 3 << PARENT_SHIFT;
    /// Three bits, as in columns.
    pub(crate) const KIND_SHIFT: u32 = 4;
    pub(crate) const TIMESTAMP: u32 = 1 << 7;
    pub(crate) const DURATION: u32 = 1 << 8;
    pub(crate) const REMOTE: u32 = 1 << 9;
    pub(crate) const EXTRA: u32 = 1 << 10;
    pub(crate) const ANNOTATIONS: u32 = 1 << 11;
    /// Two bits, as in columns.
    pub(crate) const STATUS_SHIFT: u32 = 12;
    pub(crate) const SHARED: u32 = 1 << 14;
    pub(crate) const DEBUG: u32 = 1 << 15;
    pub(crate) const LINKS: u32 = 1 << 16;
    pub(crate) const LONG_DURATION: u32 = 1 << 17;
    pub(crate) const ALL: u32 = (1 << 18) - 1;
}

/// What readers of the log know after the frames so far, since words were told anew.
///
/// A word stands in the first two frames that use it: whichever one of all frames is damaged, no other
/// is lost with it.
#[derive(Debug, Default)]
pub(crate) struct Chapter {
    /// The frame that began it.
    first_seq: u64,
    /// Of its frames so far; none before it has begun.
    bytes: u64,
    told: [Told; SORTS.len()],
    /// Words that this frame tells first.
    firsts: Vec<(Sort, u32)>,
    sections: [Section; SORTS.len()],
    rows: Vec<u8>,
    seen: Seen,
}

/// Words of one sort by the head's number: what they are called in the log, and how often they were told.
#[derive(Debug, Default)]
struct Told {
    words: Vec<u32>,
    last: u32,
}

/// Two bits beside a word's number in the log.
const HERE: u32 = 1;
const ONCE: u32 = 2;
const TWICE: u32 = 3;

/// Words of one sort that a frame tells.
#[derive(Debug, Default)]
struct Section {
    count: u64,
    bytes: Vec<u8>,
}

impl Chapter {
    /// Words are told anew from the next frame on: it stands in another segment, or frames before it are
    /// not there after all.
    pub(crate) fn end(&mut self) {
        self.bytes = 0;
    }

    /// Appends a batch's payload to `out`: staged rows, with the progress of their target.
    pub(crate) fn put(
        &mut self,
        out: &mut Vec<u8>,
        seq: u64,
        head: &HeadWriter,
        batch: Range<u32>,
        arrival_ms: u64,
        progress: Option<&TargetProgress>,
    ) {
        if self.bytes == 0 || self.bytes >= CHAPTER_BYTES {
            self.begin(seq);
        }
        let before = out.len();
        put_uint(out, arrival_ms);
        put_uint(out, seq - self.first_seq);
        let mut encoder = Encoder::default();
        encoder.optional(progress, Encoder::progress);
        out.extend_from_slice(&encoder.into_bytes());
        self.put_rows(head, batch);
        let told = self.sections.iter().filter(|section| section.count > 0).count();
        put_uint(out, told as u64);
        for (sort, section) in SORTS.iter().zip(&mut self.sections) {
            if section.count > 0 {
                out.push(*sort as u8);
                put_uint(out, section.count);
                out.append(&mut section.bytes);
                section.count = 0;
                section.bytes.shrink_to(1 << 16);
            }
        }
        out.append(&mut self.rows);
        self.rows.shrink_to(1 << 20);
        for (sort, word) in self.firsts.drain(..) {
            let told = &mut self.told[sort as usize].words[word as usize];
            *told = *told & !3 | ONCE;
        }
        self.bytes += (out.len() - before) as u64;
    }

    fn begin(&mut self, seq: u64) {
        (self.first_seq, self.bytes) = (seq, 0);
        for told in &mut self.told {
            told.words.fill(0);
            told.last = 0;
        }
    }

    /// What a word is called in the log; it is told first if it has to be.
    #[inline]
    fn word(&mut self, head: &HeadWriter, sort: Sort, word: u32) -> u64 {
        match self.told[sort as usize].words.get(word as usize) {
            Some(told) if matches!(told & 3, HERE | TWICE) => u64::from(told >> 2),
            _ => self.untold_word(head, sort, word),
        }
    }

    #[inline(never)]
    fn untold_word(&mut self, head: &HeadWriter, sort: Sort, word: u32) -> u64 {
        if word == 0 {
            return 0;
        }
        let told = &mut self.told[sort as usize];
        if told.words.len() <= word as usize {
            told.words.resize(word as usize + 1, 0);
        }
        let before = told.words[word as usize];
        let now = match before & 3 {
            HERE | TWICE => return u64::from(before >> 2),
            ONCE => before | TWICE,
            _ => {
                told.last += 1;
                self.firsts.push((sort, word));
                told.last << 2 | HERE
            }
        };
        told.words[word as usize] = now;
        let number = u64::from(now >> 2);
        self.tell(head, sort, word, number);
        number
    }

    fn tell(&mut self, head: &HeadWriter, sort: Sort, word: u32, number: u64) {
        let shared = &head.head;
        let about = |words: &Words| words.about(word);
        // Those that it is told by go before it.
        let by: [Option<u64>; 3] = match sort {
            Sort::Tag => [Some(self.word(head, Sort::Key, about(&shared.tags))), None, None],
            Sort::Endpoint => {
                [Some(self.word(head, Sort::Name, about(&shared.endpoints))), None, None]
            }
            Sort::Origin => {
                let origin = shared.origins.get(word);
                [
                    Some(self.word(head, Sort::Resource, origin.resource)),
                    Some(self.word(head, Sort::Scope, origin.scope)),
                    Some(self.word(head, Sort::Target, origin.target)),
                ]
            }
            Sort::Extra => {
                let extra = Extra::from_bytes(head.bytes_of(&shared.extras, word));
                [
                    Some(self.word(head, Sort::Text, extra.status_message)),
                    Some(self.word(head, Sort::Text, extra.trace_state)),
                    None,
                ]
            }
            _ => [None; 3],
        };
        let section = &mut self.sections[sort as usize];
        section.count += 1;
        let out = &mut section.bytes;
        put_uint(out, number);
        by.into_iter().flatten().for_each(|number| put_uint(out, number));
        let words = match sort {
            Sort::Name => &shared.names,
            Sort::Text => &shared.texts,
            Sort::Key => &shared.keys,
            Sort::Tag => &shared.tags,
            Sort::Endpoint => &shared.endpoints,
            Sort::Resource => &shared.origins.resources.words,
            Sort::Scope => &shared.origins.scopes.words,
            Sort::Target => &shared.origins.targets.words,
            Sort::Origin => return,
            Sort::Extra => {
                let Extra { dropped_tags, dropped_annotations, dropped_links, flags, .. } =
                    Extra::from_bytes(head.bytes_of(&shared.extras, word));
                for number in [dropped_tags, dropped_annotations, dropped_links, flags] {
                    put_uint(out, number.into());
                }
                return;
            }
        };
        put_bytes(out, head.bytes_of(words, word));
    }

    fn put_rows(&mut self, head: &HeadWriter, batch: Range<u32>) {
        let (rows, tags, tags_before) = head.staged_from(batch.start);
        let rows = &rows[..batch.len()];
        put_uint(&mut self.rows, rows.len() as u64);
        self.seen.begin(rows.len());
        for (at, new) in rows.iter().enumerate() {
            self.seen.put_id(new.id, at);
            self.rows.extend_from_slice(&new.id.to_be_bytes());
        }
        let mut last_trace = None;
        let mut last_time = 0u64;
        let first_tag = match batch.start.checked_sub(1) {
            Some(before) => head.tag_end(before),
            None => 0,
        };
        let mut tag = (first_tag - tags_before) as usize;
        for (at, new) in rows.iter().enumerate() {
            let facts = new.facts;
            let has_same_trace = last_trace == Some(new.trace_id);
            let twin = match has_same_trace {
                true => None,
                false => self.seen.row_of_trace(new.trace_id, at, |row| rows[row].trace_id),
            };
            let has_parent = facts & fact::PARENT != 0;
            let parent = match has_parent {
                true => self.seen.row_of_id(new.parent_id, |row| rows[row].id),
                false => None,
            };
            let has = |is_so: bool, bit: u32| if is_so { bit } else { 0 };
            let bits = match (has_same_trace, twin) {
                (true, _) => bit::SAME_TRACE,
                (false, Some(_)) => bit::TRACE_OF_ROW,
                (false, None) => bit::NEW_TRACE,
            } | match (has_parent, parent) {
                (false, _) => 0,
                (true, Some(_)) => bit::PARENT_IN_FRAME,
                (true, None) => bit::OTHER_PARENT,
            } | u32::from(facts & fact::KIND) << bit::KIND_SHIFT
                | u32::from(facts >> fact::STATUS_SHIFT & 3) << bit::STATUS_SHIFT
                | has(facts & fact::TIMESTAMP != 0, bit::TIMESTAMP)
                | has(facts & fact::DURATION != 0, bit::DURATION)
                | has(facts & fact::LONG_DURATION != 0, bit::LONG_DURATION)
                | has(facts & fact::SHARED != 0, bit::SHARED)
                | has(facts & fact::DEBUG != 0, bit::DEBUG)
                | has(facts & fact::ANNOTATIONS != 0, bit::ANNOTATIONS)
                | has(facts & fact::LINKS != 0, bit::LINKS)
                | has(new.remote_endpoint != 0, bit::REMOTE)
                | has(new.extra != 0, bit::EXTRA);
            put_uint(&mut self.rows, bits.into());
            if let Some(twin) = twin {
                put_uint(&mut self.rows, (at - twin) as u64);
            } else if bits & bit::TRACE == bit::NEW_TRACE {
                self.rows.extend_from_slice(&new.trace_id.as_u128().to_be_bytes());
            }
            last_trace = Some(new.trace_id);
            if let Some(parent) = parent {
                // Both are numbers of rows, which fit.
                put_int(&mut self.rows, (at as i64).wrapping_sub(parent as i64));
            } else if has_parent {
                self.rows.extend_from_slice(&new.parent_id.to_be_bytes());
            }
            self.put_word(head, Sort::Name, new.name);
            if bits & bit::TIMESTAMP != 0 {
                put_int(&mut self.rows, new.timestamp.wrapping_sub(last_time).cast_signed());
                last_time = new.timestamp;
            }
            if let Some(long) = new.long_duration {
                put_uint(&mut self.rows, long.as_secs());
                put_uint(&mut self.rows, long.subsec_nanos().into());
            } else if bits & bit::DURATION != 0 {
                put_uint(&mut self.rows, new.duration);
            }
            self.put_word(head, Sort::Endpoint, new.local_endpoint);
            if new.remote_endpoint != 0 {
                self.put_word(head, Sort::Endpoint, new.remote_endpoint);
            }
            self.put_word(head, Sort::Origin, new.origin);
            if new.extra != 0 {
                self.put_word(head, Sort::Extra, new.extra);
            }
            let end = (new.tag_end - tags_before) as usize;
            put_uint(&mut self.rows, (end - tag) as u64);
            tags[tag..end].iter().for_each(|tag| self.put_tag(head, *tag));
            tag = end;
            if bits & bit::ANNOTATIONS != 0 {
                self.put_annotations(head, new.annotations);
            }
            if bits & bit::LINKS != 0 {
                self.put_links(head, new.links);
            }
        }
    }

    #[inline]
    fn put_word(&mut self, head: &HeadWriter, sort: Sort, word: u32) {
        let number = self.word(head, sort, word);
        put_uint(&mut self.rows, number);
    }

    /// One that hardly comes again stands where it is, behind a zero.
    #[inline]
    fn put_tag(&mut self, head: &HeadWriter, tag: StagedTag) {
        if tag.is_unique() {
            self.put_unique_tag(head, tag.number());
        } else {
            self.put_word(head, Sort::Tag, tag.number());
        }
    }

    fn put_unique_tag(&mut self, head: &HeadWriter, tag: u32) {
        let shared = &head.head;
        self.rows.push(0);
        self.put_word(head, Sort::Key, shared.tags.about(tag));
        put_bytes(&mut self.rows, head.bytes_of(&shared.tags, tag));
    }

    fn put_nested_tags(&mut self, head: &HeadWriter, list: List) {
        put_uint(&mut self.rows, list.len.into());
        for at in list.range() {
            let tag = head.head.rares.nested_tags.get(at);
            self.put_tag(head, head.staged_tag(tag));
        }
    }

    fn put_annotations(&mut self, head: &HeadWriter, list: List) {
        let shared = &head.head;
        put_uint(&mut self.rows, list.len.into());
        for at in list.range() {
            let annotation = shared.rares.annotations.get(at);
            self.rows.extend_from_slice(&annotation.timestamp.nanos().to_be_bytes());
            self.put_word(head, Sort::Text, annotation.value);
            put_uint(&mut self.rows, annotation.dropped_tags.into());
            self.put_nested_tags(head, annotation.tags);
        }
    }

    fn put_links(&mut self, head: &HeadWriter, list: List) {
        let shared = &head.head;
        put_uint(&mut self.rows, list.len.into());
        for at in list.range() {
            let link = shared.rares.links.get(at);
            let trace_id = link.trace_id.map_or(0, TraceId::as_u128);
            self.rows.extend_from_slice(&trace_id.to_be_bytes());
            self.rows.extend_from_slice(&SpanId::as_u64(link.span_id).to_be_bytes());
            self.put_word(head, Sort::Text, link.trace_state);
            put_uint(&mut self.rows, link.dropped_tags.into());
            put_uint(&mut self.rows, link.flags.into());
            self.put_nested_tags(head, link.tags);
        }
    }
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits are what is asked for")]
fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The same for numbers of either sign: 0, -1, 1, -2, ..
fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, (value << 1 ^ value >> 63).cast_unsigned());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Rows of a frame by their ids and traces, as far as there is a place for each: who is not found is written
/// down.
#[derive(Debug, Default)]
struct Seen {
    /// One more than the row; zero for none.
    ids: Vec<u32>,
    traces: Vec<u32>,
    mask: usize,
}

impl Seen {
    fn begin(&mut self, rows: usize) {
        let places = (rows * 2).next_power_of_two().clamp(16, 1 << 14);
        self.mask = places - 1;
        for seen in [&mut self.ids, &mut self.traces] {
            seen.clear();
            seen.resize(places, 0);
        }
    }

    fn place(&self, id: u64) -> usize {
        let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        usize::try_from(mixed).unwrap_or(0) & self.mask
    }

    fn put_id(&mut self, id: u64, row: usize) {
        let place = self.place(id);
        self.ids[place] = one_more(row);
    }

    fn row_of_id(&self, id: u64, id_of: impl Fn(usize) -> u64) -> Option<usize> {
        let row = self.ids[self.place(id)].checked_sub(1)? as usize;
        (id_of(row) == id).then_some(row)
    }

    /// A row before this one that is of this trace. The next search finds this one.
    fn row_of_trace(
        &mut self,
        id: TraceId,
        row: usize,
        id_of: impl Fn(usize) -> TraceId,
    ) -> Option<usize> {
        let place = self.place(id.low());
        let seen = std::mem::replace(&mut self.traces[place], one_more(row));
        let seen = seen.checked_sub(1)? as usize;
        (id_of(seen) == id).then_some(seen)
    }
}

/// Rows beyond what 32 bits count are not found, and written down.
fn one_more(row: usize) -> u32 {
    u32::try_from(row + 1).unwrap_or(0)
}
