//! Spans as columns: what many of them say is kept once, and known by a number.
//!
//! A span is a row of numbers of fixed width, and its tags are four bytes each. Whoever needs whole spans
//! gets them made.
//!
//! There are two ways in. [`Columns::push`] takes an owned span. [`Columns::read`] takes a message as it
//! arrives, and makes no span of it in between: that is how doors and scrapes fill a batch. Whoever takes a
//! batch over into a dictionary of his own does so in numbers: see [`Codes`].

mod codes;
mod dictionary;
mod encoding;
mod interner;
mod lists;
mod origins;
mod row;
mod sink;
mod spares;
mod spellings;
pub mod table;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::codec::sink::{BadSpan, EndpointRef};
use crate::codec::{self, DecodeError, Format, Limits};
use crate::{Endpoint, Kind, Labels, Span, SpanId, StatusCode, Timestamp, TraceId};

use dictionary::Dictionary;
use interner::{Interner, grow, room};
use lists::Lists;
use origins::Origins;
pub use row::Row;

pub use codes::{AnnotationCodes, Codes, ExtraCodes, LinkCodes, RowCodes, fact};
pub use spares::Spares;

/// Names of spans and services that are kept once; of more, each takes its own place.
const NAMES_BYTES_MAX: usize = 16 << 20;
/// The same for what annotations, statuses and trace states say, and for endpoints.
const TEXTS_BYTES_MAX: usize = 32 << 20;
const ENDPOINTS_BYTES_MAX: usize = 16 << 20;
/// Columns that have grown beyond this are not filled a second time, but made anew.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Spans in columns.
#[derive(Debug)]
pub struct Columns {
    limits: Limits,
    /// Which words these are: numbers mean the same in all columns of the same ones.
    words: u64,
    /// What was there already when they were cleared.
    kept: Kept,
    /// Of those that may wait to be filled again.
    ticket: Option<spares::Ticket>,
    trace_ids: Vec<TraceId>,
    ids: Vec<Ids>,
    times: Vec<Times>,
    numbers: Vec<Numbers>,
    /// Where each row's tags end.
    tag_ends: Vec<usize>,
    tags: Vec<u32>,

    annotation_lists: Lists,
    annotations: Vec<AnnotationRow>,
    link_lists: Lists,
    links: Vec<LinkRow>,
    /// Of annotations and links.
    nested_tags: Vec<u32>,
    /// Those that 64 bits of nanoseconds do not hold.
    long_durations: Vec<(u32, Duration)>,

    dictionary: Dictionary,
    origins: Origins,
    /// Of spans and services.
    name_texts: Interner,
    texts: Interner,
    /// Number of the name, which addresses there are, port, addresses.
    endpoints: Interner,
    /// What few spans say beside the rest; those that do say it alike.
    extras: Interner,
    problems: Vec<BadSpan>,
    rejected: usize,
    last: Last,
}

/// Memory that was taken for spans that are gone.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    words: usize,
    rows: usize,
}

/// A row's ids; without a parent, zero stands there.
#[derive(Clone, Copy, Debug)]
struct Ids {
    id: u64,
    parent_id: u64,
}

/// In nanoseconds, zero where there is none.
#[derive(Clone, Copy, Debug)]
struct Times {
    timestamp: u64,
    duration: u64,
}

/// What a row says that others say, too, by number.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    name: u32,
    local_endpoint: u32,
    remote_endpoint: u32,
    origin: u32,
    extra: u32,
    /// Which of ids and times are there, and what needs a bit or two.
    facts: Facts,
}

/// What the last span said, with its number: most often the next one says the same.
#[derive(Debug, Default)]
struct Last {
    local_endpoint: Option<(Endpoint, u32)>,
    extra: Option<(Extra, u32)>,
}

/// A row's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Facts(u16);

impl Facts {
    /// Three bits: none, or one more than its place among the kinds.
    const KIND: u16 = 7;
    const PARENT: u16 = 1 << 3;
    const TIMESTAMP: u16 = 1 << 4;
    const DURATION: u16 = 1 << 5;
    const LONG_DURATION: u16 = 1 << 6;
    const DEBUG: u16 = 1 << 7;
    const SHARED: u16 = 1 << 8;
    /// Two bits.
    const STATUS_SHIFT: u32 = 9;
    const ANNOTATIONS: u16 = 1 << 11;
    const LINKS: u16 = 1 << 12;

    fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }
}

const KINDS: [Kind; 4] = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];

#[derive(Clone, Debug)]
struct AnnotationRow {
    timestamp: Timestamp,
    value: u32,
    dropped_tags: u32,
    /// In the list of nested tags.
    tags: Range<usize>,
}

#[derive(Clone, Debug)]
struct LinkRow {
    trace_id: TraceId,
    span_id: SpanId,
    trace_state: u32,
    dropped_tags: u32,
    flags: u32,
    tags: Range<usize>,
}

/// What few spans have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extra {
    status_message: u32,
    trace_state: u32,
    dropped_tags: u32,
    dropped_annotations: u32,
    dropped_links: u32,
    flags: u32,
}

/// What a row says once lists and texts have their places.
struct NewRow<'a> {
    trace_id: TraceId,
    parent_id: Option<SpanId>,
    id: SpanId,
    kind: Option<Kind>,
    name: &'a str,
    timestamp: Option<Timestamp>,
    duration: Option<Duration>,
    local_endpoint: Option<EndpointRef<'a>>,
    remote_endpoint: Option<EndpointRef<'a>>,
    debug: bool,
    shared: bool,
    status_code: StatusCode,
    extra: Extra,
}

/// How much there was at a time; see [`Columns::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    rows: usize,
    tags: usize,
    annotation_lists: usize,
    annotations: usize,
    link_lists: usize,
    links: usize,
    nested_tags: usize,
    long_durations: usize,
    dictionary: dictionary::Mark,
    origins: origins::Mark,
    name_texts: usize,
    texts: usize,
    endpoints: usize,
    extras: usize,
    problems: usize,
    rejected: usize,
}

impl Default for Columns {
    fn default() -> Self {
        Self::within(Limits::default())
    }
}

impl Columns {
    /// Columns that take no more memory than this from a reader.
    pub fn within(limits: Limits) -> Self {
        /// Of all columns there are.
        static WORDS: AtomicU64 = AtomicU64::new(0);
        Self {
            limits,
            words: WORDS.fetch_add(1, Ordering::Relaxed),
            kept: Kept::default(),
            ticket: None,
            trace_ids: Vec::new(),
            ids: Vec::new(),
            times: Vec::new(),
            numbers: Vec::new(),
            tag_ends: Vec::new(),
            tags: Vec::new(),
            annotation_lists: Lists::default(),
            annotations: Vec::new(),
            link_lists: Lists::default(),
            links: Vec::new(),
            nested_tags: Vec::new(),
            long_durations: Vec::new(),
            dictionary: Dictionary::new(),
            origins: Origins::new(),
            name_texts: Interner::new(NAMES_BYTES_MAX),
            texts: Interner::new(TEXTS_BYTES_MAX),
            endpoints: Interner::new(ENDPOINTS_BYTES_MAX),
            extras: Interner::new(TEXTS_BYTES_MAX),
            problems: Vec::new(),
            rejected: 0,
            last: Last::default(),
        }
    }

    /// How many spans there are.
    pub fn len(&self) -> usize {
        self.trace_ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.trace_ids.is_empty()
    }

    /// One span, by its number from 0. `None` beyond the last.
    pub fn get(&self, row: u32) -> Option<Row<'_>> {
        ((row as usize) < self.len()).then_some(Row::new(self, row))
    }

    /// All spans, in the order in which they came.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..next_row(self.len())).map(|row| Row::new(self, row))
    }

    /// Labels of the target that the spans which are read next come from.
    pub fn set_target(&mut self, target: Option<&Arc<Labels>>) {
        self.origins.set_target(target);
    }

    /// A message of this format is read next. Its spans come from nowhere until it tells.
    pub fn begin(&mut self, format: Format) {
        self.origins.begin(format);
    }

    /// Reads a whole message: all of it, or after an error nothing.
    pub fn read(&mut self, format: Format, body: &[u8]) -> Result<(), DecodeError> {
        let mark = self.mark();
        self.begin(format);
        codec::read(format, body, self).inspect_err(|_| self.truncate(mark))
    }

    /// Spans that could not be kept, and why: the first [`codec::PROBLEMS_MAX`] of them.
    pub fn problems(&self) -> &[BadSpan] {
        &self.problems
    }

    /// How many spans could not be kept.
    pub fn rejected(&self) -> usize {
        self.rejected
    }

    /// Adds an owned span; returns its number.
    pub fn push(&mut self, span: &Span) -> u32 {
        let row = next_row(self.len());
        grow(&mut self.tags, span.tags.len());
        for (key, value) in &span.tags {
            self.tags.push(self.dictionary.owned_tag(key, value));
        }
        for annotation in &span.annotations {
            let first = self.nested_tags.len();
            for (key, value) in &annotation.tags {
                self.nested_tags.push(self.dictionary.owned_tag(key, value));
            }
            grow(&mut self.annotations, 1);
            self.annotations.push(AnnotationRow {
                timestamp: annotation.timestamp,
                value: self.texts.intern(annotation.value.as_bytes()),
                dropped_tags: annotation.dropped_tags,
                tags: first..self.nested_tags.len(),
            });
        }
        for link in &span.links {
            let first = self.nested_tags.len();
            for (key, value) in &link.tags {
                self.nested_tags.push(self.dictionary.owned_tag(key, value));
            }
            self.links.push(LinkRow {
                trace_id: link.trace_id,
                span_id: link.span_id,
                trace_state: self.texts.intern(link.trace_state.as_bytes()),
                dropped_tags: link.dropped_tags,
                flags: link.flags,
                tags: first..self.nested_tags.len(),
            });
        }
        let Span { resource, scope, target, .. } = span;
        self.origins.set_shared(resource.as_ref(), scope.as_ref(), target.as_ref());
        let extra = Extra {
            status_message: self.texts.intern(span.status.message.as_bytes()),
            trace_state: self.texts.intern(span.trace_state.as_bytes()),
            dropped_tags: span.dropped_tags,
            dropped_annotations: span.dropped_annotations,
            dropped_links: span.dropped_links,
            flags: span.flags,
        };
        self.put(NewRow {
            trace_id: span.trace_id,
            parent_id: span.parent_id,
            id: span.id,
            kind: span.kind,
            name: &span.name,
            timestamp: span.timestamp,
            duration: span.duration,
            local_endpoint: span.local_endpoint.as_ref().map(EndpointRef::from),
            remote_endpoint: span.remote_endpoint.as_ref().map(EndpointRef::from),
            debug: span.debug,
            shared: span.shared,
            status_code: span.status.code,
            extra,
        });
        row
    }

    /// Adds a row to every column, for the lists that have grown since the row before.
    #[inline]
    fn put(&mut self, new: NewRow<'_>) {
        let row = next_row(self.len());
        if self.trace_ids.len() == self.trace_ids.capacity() {
            self.grow_rows();
        }
        let mut facts = match new.kind {
            None => 0,
            Some(Kind::Client) => 1,
            Some(Kind::Server) => 2,
            Some(Kind::Producer) => 3,
            Some(Kind::Consumer) => 4,
        };
        let mut note = |is_so: bool, bit: u16| facts |= if is_so { bit } else { 0 };
        note(new.parent_id.is_some(), Facts::PARENT);
        note(new.timestamp.is_some(), Facts::TIMESTAMP);
        note(new.duration.is_some(), Facts::DURATION);
        note(new.debug, Facts::DEBUG);
        note(new.shared, Facts::SHARED);
        note(new.status_code == StatusCode::Ok, 1 << Facts::STATUS_SHIFT);
        note(new.status_code == StatusCode::Error, 2 << Facts::STATUS_SHIFT);
        if self.annotations.len() > self.annotation_lists.end() {
            self.annotation_lists.put(row, self.annotations.len());
            note(true, Facts::ANNOTATIONS);
        }
        if self.links.len() > self.link_lists.end() {
            self.link_lists.put(row, self.links.len());
            note(true, Facts::LINKS);
        }
        let duration = new.duration.map_or(Ok(0), |duration| u64::try_from(duration.as_nanos()));
        if let (Err(_), Some(long)) = (duration, new.duration) {
            self.long_durations.push((row, long));
            note(true, Facts::LONG_DURATION);
        }
        let name = self.name_texts.intern(new.name.as_bytes());
        let local_endpoint = self.local_endpoint(new.local_endpoint);
        let remote_endpoint = new.remote_endpoint.map_or(0, |endpoint| self.endpoint(endpoint));
        let extra = self.extra(new.extra);
        self.trace_ids.push(new.trace_id);
        let parent_id = new.parent_id.map_or(0, SpanId::as_u64);
        self.ids.push(Ids { id: new.id.as_u64(), parent_id });
        let timestamp = new.timestamp.map_or(0, Timestamp::nanos);
        self.times.push(Times { timestamp, duration: duration.unwrap_or(u64::MAX) });
        self.numbers.push(Numbers {
            name,
            local_endpoint,
            remote_endpoint,
            origin: self.origins.now(),
            extra,
            facts: Facts(facts),
        });
        self.tag_ends.push(self.tags.len());
    }

    #[cold]
    fn grow_rows(&mut self) {
        grow(&mut self.trace_ids, 1);
        let more = self.trace_ids.capacity() - self.trace_ids.len();
        self.ids.reserve_exact(more);
        self.times.reserve_exact(more);
        self.numbers.reserve_exact(more);
        self.tag_ends.reserve_exact(more);
    }

    fn local_endpoint(&mut self, endpoint: Option<EndpointRef<'_>>) -> u32 {
        let Some(endpoint) = endpoint else { return 0 };
        match &self.last.local_endpoint {
            Some((last, number)) if EndpointRef::from(last) == endpoint => return *number,
            _ => {}
        }
        let number = self.endpoint(endpoint);
        self.last.local_endpoint = Some((endpoint.to_owned(), number));
        number
    }

    fn endpoint(&mut self, endpoint: EndpointRef<'_>) -> u32 {
        let name = self.name_texts.intern(endpoint.service_name.as_bytes());
        let mut bytes = [0; row::ENDPOINT_BYTES_MAX];
        let len = row::put_endpoint(&mut bytes, name, endpoint);
        self.endpoints.intern(&bytes[..len])
    }

    fn extra(&mut self, extra: Extra) -> u32 {
        if extra == Extra::default() {
            return 0;
        }
        if let Some((last, number)) = self.last.extra
            && last == extra
        {
            return number;
        }
        let number = self.extras.intern(extra.to_bytes().as_flattened());
        self.last.extra = Some((extra, number));
        number
    }

    /// Remembers how much there is, so that what comes now can be taken back.
    pub fn mark(&self) -> Mark {
        Mark {
            rows: self.len(),
            tags: self.tags.len(),
            annotation_lists: self.annotation_lists.len(),
            annotations: self.annotations.len(),
            link_lists: self.link_lists.len(),
            links: self.links.len(),
            nested_tags: self.nested_tags.len(),
            long_durations: self.long_durations.len(),
            dictionary: self.dictionary.mark(),
            origins: self.origins.mark(),
            name_texts: self.name_texts.len(),
            texts: self.texts.len(),
            endpoints: self.endpoints.len(),
            extras: self.extras.len(),
            problems: self.problems.len(),
            rejected: self.rejected,
        }
    }

    /// Takes back all that came since. Later marks mean nothing after that.
    pub fn truncate(&mut self, mark: Mark) {
        self.last = Last::default();
        self.trace_ids.truncate(mark.rows);
        self.ids.truncate(mark.rows);
        self.times.truncate(mark.rows);
        self.numbers.truncate(mark.rows);
        self.tag_ends.truncate(mark.rows);
        self.tags.truncate(mark.tags);
        self.annotation_lists.truncate(mark.annotation_lists);
        self.annotations.truncate(mark.annotations);
        self.link_lists.truncate(mark.link_lists);
        self.links.truncate(mark.links);
        self.nested_tags.truncate(mark.nested_tags);
        self.long_durations.truncate(mark.long_durations);
        self.dictionary.truncate(mark.dictionary);
        self.origins.truncate(mark.origins);
        self.name_texts.truncate(mark.name_texts);
        self.texts.truncate(mark.texts);
        self.endpoints.truncate(mark.endpoints);
        self.extras.truncate(mark.extras);
        self.problems.truncate(mark.problems);
        self.rejected = mark.rejected;
    }

    /// Takes out all spans. What they said is still known: spans that say the same are read with less
    /// effort, and their numbers mean what they meant before. The target is forgotten.
    pub fn clear(&mut self) {
        let words = self.words_bytes();
        if words + self.rows_bytes() > KEPT_BYTES_MAX || self.is_full() {
            *self = Self { ticket: self.ticket.take(), ..Self::within(self.limits) };
            return;
        }
        self.trace_ids.clear();
        self.ids.clear();
        self.times.clear();
        self.numbers.clear();
        self.tag_ends.clear();
        self.tags.clear();
        self.annotation_lists.truncate(0);
        self.annotations.clear();
        self.link_lists.truncate(0);
        self.links.clear();
        self.nested_tags.clear();
        self.long_durations.clear();
        self.dictionary.clear();
        self.origins.clear();
        self.problems.clear();
        self.rejected = 0;
        self.kept = Kept { words, rows: self.rows_bytes() };
    }

    /// Whether there are words that are kept for one row alone. They would be there for ever.
    fn is_full(&self) -> bool {
        let texts = [&self.name_texts, &self.texts, &self.endpoints, &self.extras];
        self.dictionary.is_full()
            || self.origins.is_full()
            || texts.into_iter().any(Interner::is_full)
    }

    /// What they take in memory beside what they took when they were cleared, room for more included.
    /// Constant effort.
    pub fn bytes(&self) -> usize {
        let words = self.words_bytes().saturating_sub(self.kept.words);
        let rows = match self.kept.rows {
            0 => self.rows_bytes(),
            kept => self.rows_bytes().saturating_sub(kept).max(self.used_bytes()),
        };
        size_of::<Self>() + words + rows
    }

    fn words_bytes(&self) -> usize {
        self.dictionary.bytes()
            + self.origins.bytes()
            + self.name_texts.bytes()
            + self.texts.bytes()
            + self.endpoints.bytes()
            + self.extras.bytes()
    }

    fn rows_bytes(&self) -> usize {
        room(&self.trace_ids)
            + room(&self.ids)
            + room(&self.times)
            + room(&self.numbers)
            + room(&self.tag_ends)
            + room(&self.tags)
            + self.annotation_lists.bytes()
            + room(&self.annotations)
            + self.link_lists.bytes()
            + room(&self.links)
            + room(&self.nested_tags)
            + room(&self.long_durations)
            + self.dictionary.passing_bytes()
            + room(&self.problems)
    }

    /// What rows take of the room that is there.
    fn used_bytes(&self) -> usize {
        let row = size_of::<TraceId>()
            + size_of::<Ids>()
            + size_of::<Times>()
            + size_of::<Numbers>()
            + size_of::<usize>();
        self.len() * row
            + size_of_val(self.tags.as_slice())
            + size_of_val(self.annotations.as_slice())
            + size_of_val(self.links.as_slice())
            + size_of_val(self.nested_tags.as_slice())
            + self.dictionary.passing_used()
    }
}

impl Extra {
    fn to_bytes(self) -> [[u8; 4]; 6] {
        [
            self.status_message,
            self.trace_state,
            self.dropped_tags,
            self.dropped_annotations,
            self.dropped_links,
            self.flags,
        ]
        .map(u32::to_le_bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |i: usize| words.get(i).map_or(0, |word| u32::from_le_bytes(*word));
        Self {
            status_message: word(0),
            trace_state: word(1),
            dropped_tags: word(2),
            dropped_annotations: word(3),
            dropped_links: word(4),
            flags: word(5),
        }
    }
}

/// The number of the next row. Memory ends before numbers do.
fn next_row(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
