//! A block's index: which traces stand in which rows, when they start, and what is said in them.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use sigyn_model::{Timestamp, TraceQuery};

use super::entry::{self, Entry, PAGE_ENTRIES};
use super::filter::{Filter, mix};
use super::group_writer::Row;
use super::per_source::{PerSource, at};
use super::section::Section;
use super::source::SourceRow;
use super::values::Where;
use super::{Block, BlockError, QueryFailed};
use crate::codec::{Decoder, Encoder, Malformed};
use crate::facts::{Facts, Strictness, TraceKey};
use crate::least::Least;
use crate::names::{NAMES_MAX, Names, ServiceNames};
use crate::stop::Stop;
use crate::wanted::{Candidate, Met, Wanted, Word};

/// All shapes of a block have no more words than this: names that are unique make every shape so.
pub(super) const SHAPE_WORDS_MAX: usize = if cfg!(test) { 40 } else { 1 << 20 };
/// Places of traces that are read together.
const PAGE_PLACES: usize = if cfg!(test) { 8 } else { 1_024 };

/// What is said in a block, and where its traces are told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) words: Section,
    pub(super) names: Section,
    pub(super) filter: Section,
    /// Entries of traces, the newest first.
    pub(super) entries: Vec<EntryPage>,
    /// Numbers of entries, by what ids are mixed to.
    pub(super) ids: Vec<IdPage>,
}

/// A page of entries, and what all of them have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EntryPage {
    pub(super) section: Section,
    /// The earliest start, the latest that a trace may start at, and the latest timestamp.
    pub(super) times: Option<PageTimes>,
}

impl EntryPage {
    /// Whether any span of its traces may start in these milliseconds.
    fn may_touch(&self, start_ms: u64, end_ms: u64) -> bool {
        self.times
            .is_some_and(|times| times.oldest / 1_000_000 <= end_ms && times.latest_ms >= start_ms)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageTimes {
    pub(super) oldest: u64,
    pub(super) newest: u64,
    pub(super) latest_ms: u64,
}

/// A page of numbers of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IdPage {
    /// What the first of its ids is mixed to.
    pub(super) first: u32,
    pub(super) section: Section,
}

/// What spans of a block say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Words {
    pub(super) words: Vec<Word>,
    pub(super) shapes: Shapes,
}

/// Sets of words, each by the words' numbers. Traces that look alike share one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shapes {
    /// Of all of them, one behind the other.
    pub(super) numbers: Vec<u32>,
    ends: Vec<u32>,
}

impl Shapes {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn push(&mut self, shape: &[u32]) {
        self.numbers.extend_from_slice(shape);
        self.ends.push(number(self.numbers.len()));
    }

    fn of(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let lengths: Vec<u32> = decoder.list(Decoder::uint_as)?;
        let mut shapes = Self::default();
        for length in lengths {
            let mut next = 0u32;
            for _ in 0..length {
                let number = next.checked_add(decoder.uint_as()?);
                let number = number.filter(|number| *number < u32::MAX);
                let number = number.ok_or(Malformed { what: "a word past the last one" })?;
                shapes.numbers.push(number);
                next = number + 1;
            }
            shapes.ends.push(number(shapes.numbers.len()));
        }
        Ok(shapes)
    }

    /// As blocks of version 3 have them.
    fn of_3(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut shapes = Self::default();
        for _ in 0..decoder.count()? {
            for _ in 0..decoder.count()? {
                shapes.numbers.push(decoder.uint_as()?);
            }
            shapes.ends.push(number(shapes.numbers.len()));
        }
        Ok(shapes)
    }

    pub(super) fn get(&self, at: usize) -> Option<&[u32]> {
        let begin = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.numbers.get(begin as usize..*self.ends.get(at)? as usize)
    }
}

/// Half of what an id is mixed to.
pub(crate) fn mixed(low: u64) -> u32 {
    u32::try_from(mix(low) >> 32).unwrap_or(0)
}

/// Collects an index while its block is written.
pub(super) struct IndexBuilder {
    traces: Vec<Entry>,
    /// The earliest and the latest timestamp.
    starts_ns: Option<(u64, u64)>,
    words: Vec<Word>,
    shapes: Shapes,
    names: Names,
    word_numbers: HashMap<Word, u32, RandomState>,
    shape_numbers: HashMap<Vec<u32>, u32, RandomState>,
    known: KnownWords,
    /// Service, name and peer of spans that were looked at, by the numbers of these words, and those of
    /// the last ones.
    named: HashSet<[u32; 3], RandomState>,
    named_last: [[u32; 3]; NAMED_LAST],
    /// Rows before the trace, and those of it.
    rows: u32,
    rows_of_trace: u32,
    facts: Facts,
    /// Where the trace's shape is put together.
    shape: Vec<u32>,
    /// By number of a word, how many traces there were before the last one that has it, and one.
    met_in: Vec<u32>,
}

/// Numbers of words by what they are in the source; none for those that say nothing.
#[derive(Debug, Default)]
struct KnownWords {
    services: PerSource<Option<u32>>,
    names: PerSource<Option<u32>>,
    remotes: PerSource<Option<u32>>,
}

/// So few are found without a look-up.
const NAMED_LAST: usize = 256;
/// No word has this number.
const NONE: u32 = u32::MAX;
/// Names of so many spans are remembered at a time.
const NAMED_MAX: usize = 64 << 10;

impl Default for IndexBuilder {
    fn default() -> Self {
        Self {
            traces: Vec::new(),
            starts_ns: None,
            words: Vec::new(),
            shapes: Shapes::default(),
            names: Names::default(),
            word_numbers: HashMap::default(),
            shape_numbers: HashMap::default(),
            known: KnownWords::default(),
            named: HashSet::default(),
            named_last: [[NONE; 3]; NAMED_LAST],
            rows: 0,
            rows_of_trace: 0,
            facts: Facts::default(),
            shape: Vec::new(),
            met_in: Vec::new(),
        }
    }
}

impl IndexBuilder {
    /// Rows are those of another source from here on. A trace may go on in it.
    pub(super) fn begin_source(&mut self) {
        self.known = KnownWords::default();
    }

    /// The next row of the block.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        let source = row.source;
        let SourceRow { name, local_endpoint, remote_endpoint, .. } = *row.span;
        self.rows_of_trace = self.rows_of_trace.saturating_add(1);
        let span = row.span;
        self.facts.add_times(span.parent_id.is_none(), span.timestamp, row.duration_us());
        let service_of = |endpoint: u32| {
            let name = source.endpoint(endpoint).map(|endpoint| endpoint.service_name);
            name.filter(|name| !name.is_empty())
        };
        let words = &mut (&mut self.word_numbers, &mut self.words);
        let service = self.known.services.get_or_insert_with(local_endpoint, || {
            service_of(local_endpoint).map(|name| number_of(words, Word::Service(name.to_owned())))
        });
        let span_name = self.known.names.get_or_insert_with(name, || {
            (name != 0).then(|| number_of(words, Word::SpanName(source.name(name).to_owned())))
        });
        let remote = self.known.remotes.get_or_insert_with(remote_endpoint, || {
            let name = service_of(remote_endpoint);
            name.map(|name| number_of(words, Word::RemoteService(name.to_owned())))
        });
        let error = row.says_error.then(|| number_of(words, Word::Error));
        [service, span_name, remote, error].into_iter().flatten().for_each(|word| self.word(word));
        if let Some(service) = service
            && self.is_new([service, span_name.unwrap_or(NONE), remote.unwrap_or(NONE)])
        {
            let text = |endpoint| service_of(endpoint).unwrap_or_default();
            self.names.add_names(text(local_endpoint), source.name(name), text(remote_endpoint));
        }
    }

    /// Whether a span with these words has not been looked at, or not for long.
    fn is_new(&mut self, words: [u32; 3]) -> bool {
        let [service, name, remote] = words.map(|word| word as usize);
        let place = (service ^ name.rotate_left(3) ^ remote.rotate_left(5)) % NAMED_LAST;
        if self.named_last[place] == words {
            return false;
        }
        self.named_last[place] = words;
        if self.named.len() >= NAMED_MAX {
            self.named.clear();
        }
        self.named.insert(words)
    }

    /// All rows since the last trace ended were of this one.
    pub(super) fn end_trace(&mut self, key: TraceKey) {
        let rows = std::mem::take(&mut self.rows_of_trace);
        let facts = std::mem::take(&mut self.facts);
        let shape = self.shape_number().map_or(0, |shape| shape + 1);
        self.shape.clear();
        if let (Some(start), Some(latest)) = (facts.start, facts.latest) {
            let (start, latest) = (start.nanos(), latest.nanos());
            let (first, last) = self.starts_ns.unwrap_or((start, latest));
            self.starts_ns = Some((first.min(start), last.max(latest)));
        }
        self.traces.push(Entry::new(key, &facts, self.rows, rows, shape));
        self.rows = self.rows.saturating_add(rows);
    }

    /// Adds a word to the shape that is put together.
    fn word(&mut self, word: u32) {
        // A trace may say as many words as it has spans.
        let trace = number(self.traces.len() + 1);
        let met_in = at(&mut self.met_in, word);
        if *met_in != trace {
            *met_in = trace;
            self.shape.push(word);
        }
    }

    fn shape_number(&mut self) -> Option<u32> {
        self.shape.sort_unstable();
        if let Some(number) = self.shape_numbers.get(&self.shape) {
            return Some(*number);
        }
        if self.shapes.numbers.len() + self.shape.len() > SHAPE_WORDS_MAX {
            return None;
        }
        let new = number(self.shapes.len());
        self.shapes.push(&self.shape);
        self.shape_numbers.insert(self.shape.clone(), new);
        Some(new)
    }

    /// The earliest and the latest timestamp.
    pub(super) fn starts_ns(&self) -> Option<(u64, u64)> {
        self.starts_ns
    }

    /// Hands the index's sections to `put`, one after the other; returns where they are, and the numbers
    /// of the traces' entries, in the order in which the traces were added.
    pub(super) fn finish<E>(
        mut self,
        mut put: impl FnMut(&[u8]) -> Result<Section, E>,
    ) -> Result<(Places, Vec<u32>), E> {
        let newest = |entry: &Entry| entry.start.max(entry.root_start);
        self.traces.sort_unstable_by_key(|entry| (std::cmp::Reverse(newest(entry)), entry.key));
        let words = Words::in_order_of(&mut self.traces, &self.words, &self.shapes);
        let mut places = Places {
            words: put(&words.encode())?,
            names: put(&encode_names(&self.names))?,
            ..Places::default()
        };
        let mut lows: Vec<u64> = self.traces.iter().map(|entry| entry.key.low).collect();
        lows.sort_unstable();
        lows.dedup();
        places.filter = put(&Filter::of(&lows).encode())?;
        for entries in self.traces.chunks(PAGE_ENTRIES) {
            let starts = entries.iter().filter_map(|entry| entry.start);
            let latest_ms = entries.iter().filter_map(Entry::latest_ms).max();
            let times = starts.min().zip(latest_ms).map(|(oldest, latest_ms)| PageTimes {
                oldest: oldest.nanos(),
                newest: entries.iter().filter_map(newest).max().map_or(0, Timestamp::nanos),
                latest_ms,
            });
            places.entries.push(EntryPage { section: put(&entry::encode(entries))?, times });
        }
        let numbered = (0..).zip(&self.traces);
        let mut ids: Vec<(u32, u32)> =
            numbered.map(|(number, entry)| (mixed(entry.key.low), number)).collect();
        ids.sort_unstable();
        for ids in ids.chunks(PAGE_PLACES) {
            let mut encoder = Encoder::default();
            let first = ids.first().map_or(0, |(id, _)| *id);
            let mut last = first;
            encoder.count(ids.len());
            for (id, _) in ids {
                encoder.uint(u64::from(id - last));
                last = *id;
            }
            ids.iter().for_each(|(_, number)| encoder.uint(u64::from(*number)));
            places.ids.push(IdPage { first, section: put(&encoder.into_bytes())? });
        }
        let mut numbers: Vec<u32> = (0..number(self.traces.len())).collect();
        numbers.sort_unstable_by_key(|number| self.traces[*number as usize].first_row);
        Ok((places, numbers))
    }
}

/// The number of a word, by which it is known from here on.
fn number_of(
    words: &mut (&mut HashMap<Word, u32, RandomState>, &mut Vec<Word>),
    word: Word,
) -> u32 {
    let (numbers, words) = words;
    *numbers.entry(word).or_insert_with_key(|word| {
        words.push(word.clone());
        number(words.len() - 1)
    })
}

/// Numbers of entries, each behind what its id is mixed to.
#[derive(Debug)]
struct Ids(Vec<(u32, u32)>);

impl Ids {
    fn decode(bytes: &[u8], first: u32) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let count = decoder.count_of(2)?;
        let mut ids = Vec::with_capacity(count);
        let mut last = first;
        for _ in 0..count {
            let next = last.checked_add(decoder.uint_as()?);
            last = next.ok_or(Malformed { what: "an id past the last one" })?;
            ids.push((last, 0));
        }
        for (_, number) in &mut ids {
            *number = decoder.uint_as()?;
        }
        decoder.end()?;
        Ok(Self(ids))
    }
}

fn encode_names(names: &Names) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.count(names.services().len());
    for (service, names) in names.services() {
        encoder.string(service);
        for names in [&names.spans, &names.remotes] {
            encoder.count(names.len());
            names.iter().for_each(|name| encoder.string(name));
        }
    }
    encoder.into_bytes()
}

fn decode_names(bytes: &[u8]) -> Result<Names, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let mut names = Names::default();
    for (service, spans, remotes) in decoder.list(|decoder| {
        let service = decoder.string()?;
        Ok((service, decoder.list(Decoder::string)?, decoder.list(Decoder::string)?))
    })? {
        let of_service = ServiceNames {
            spans: Least::of(NAMES_MAX, spans),
            remotes: Least::of(NAMES_MAX, remotes),
        };
        names.insert(service, of_service);
    }
    decoder.end()?;
    Ok(names)
}

impl Words {
    /// The words of these sets, those first that most sets have, so that numbers are small; and the sets as
    /// these traces have them, which learn of their new numbers.
    fn in_order_of(traces: &mut [Entry], words: &[Word], shapes: &Shapes) -> Self {
        let mut uses = vec![0u32; words.len()];
        shapes.numbers.iter().for_each(|number| uses[*number as usize] += 1);
        let mut by_use: Vec<u32> = (0..number(words.len())).collect();
        by_use.sort_by_key(|number| std::cmp::Reverse(uses[*number as usize]));
        let mut ranks = vec![0; words.len()];
        (0..).zip(&by_use).for_each(|(rank, number)| ranks[*number as usize] = rank);
        let (mut ordered, mut known) = (Shapes::default(), vec![0; shapes.len()]);
        let mut ranked: Vec<u32> = Vec::new();
        for entry in traces {
            let Some(at) = entry.shape.checked_sub(1).map(|at| at as usize) else { continue };
            if known[at] == 0 {
                ranked.clear();
                let of_shape = shapes.get(at).unwrap_or_default();
                ranked.extend(of_shape.iter().map(|number| ranks[*number as usize]));
                ranked.sort_unstable();
                ordered.push(&ranked);
                known[at] = number(ordered.len());
            }
            entry.shape = known[at];
        }
        let words = by_use.into_iter().map(|number| words[number as usize].clone()).collect();
        Self { words, shapes: ordered }
    }

    fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.count(self.words.len());
        for word in &self.words {
            encoder.byte(match word {
                Word::Error => 0,
                Word::Service(_) => 1,
                Word::SpanName(_) => 2,
                Word::RemoteService(_) => 3,
            });
            encoder.string(word.text());
        }
        encoder.count(self.shapes.len());
        let shapes = || (0..self.shapes.len()).filter_map(|at| self.shapes.get(at));
        shapes().for_each(|shape| encoder.count(shape.len()));
        for shape in shapes() {
            let mut next = 0;
            for number in shape {
                encoder.uint(u64::from(number - next));
                next = number + 1;
            }
        }
        encoder.into_bytes()
    }

    fn decode(bytes: &[u8], is_of_3: bool) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let words = decoder.list(|decoder| {
            Ok(match (decoder.byte()?, decoder.string()?) {
                (0, _) => Word::Error,
                (1, name) => Word::Service(name),
                (2, name) => Word::SpanName(name),
                (3, name) => Word::RemoteService(name),
                _ => return Err(Malformed { what: "an unknown sort of word" }),
            })
        })?;
        let shapes = if is_of_3 { Shapes::of_3(&mut decoder)? } else { Shapes::of(&mut decoder)? };
        decoder.end()?;
        Ok(Self { words, shapes })
    }

    /// What they take in memory, estimated.
    fn bytes(&self) -> usize {
        /// What a list or a text takes beside its contents.
        const PLACE: usize = 48;
        let words: usize = self.words.iter().map(|word| PLACE + word.text().len()).sum();
        words + size_of_val(&self.shapes.numbers[..]) + size_of_val(&self.shapes.ends[..])
    }
}

/// No block has as many rows, and so nothing in it.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Block {
    /// Names of its services, their spans and their peers.
    pub(crate) fn names(&self) -> Result<Arc<Names>, QueryFailed> {
        let section = &self.root.places.names;
        let names = self.cache.get((self.number, section.offset), || {
            let names = decode_names(&self.section(section)?)?;
            let bytes = names.bytes();
            Ok((names, bytes))
        });
        names.map_err(|error| self.failed(error))
    }

    pub(super) fn words(&self) -> Result<Arc<Words>, BlockError> {
        let section = &self.root.places.words;
        self.cache.get((self.number, section.offset), || {
            let words = Words::decode(&self.section(section)?, self.root.is_of_3)?;
            let bytes = words.bytes();
            Ok((words, bytes))
        })
    }

    fn entries(&self, page: &EntryPage) -> Result<Arc<Vec<Entry>>, BlockError> {
        self.cache.get((self.number, page.section.offset), || {
            let entries = self.read_entries(page)?;
            let bytes = size_of_val(&entries[..]);
            Ok((entries, bytes))
        })
    }

    pub(super) fn read_entries(&self, page: &EntryPage) -> Result<Vec<Entry>, BlockError> {
        Ok(entry::decode(&self.section(&page.section)?, self.root.is_of_3)?)
    }

    /// Each with the number of its entry.
    pub(super) fn read_ids(&self, page: &IdPage) -> Result<Vec<(u32, u32)>, BlockError> {
        Ok(Ids::decode(&self.section(&page.section)?, page.first)?.0)
    }

    fn ids(&self, page: &IdPage) -> Result<Arc<Ids>, BlockError> {
        self.cache.get((self.number, page.section.offset), || {
            let ids = Ids::decode(&self.section(&page.section)?, page.first)?;
            let bytes = size_of_val(&ids.0[..]);
            Ok((ids, bytes))
        })
    }

    /// All parts of the traces of a group, in no order.
    pub(crate) fn group(
        &self,
        group: TraceKey,
        strictness: Strictness,
    ) -> Result<Vec<Entry>, QueryFailed> {
        let found = self.find(group, strictness).map_err(|error| self.failed(error))?;
        Ok(found.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The same, with their numbers.
    fn find(
        &self,
        group: TraceKey,
        strictness: Strictness,
    ) -> Result<Vec<(u32, Entry)>, BlockError> {
        #[cfg(test)]
        LOOKED_UP.set(LOOKED_UP.get() + 1);
        let mut found = Vec::new();
        if !self.filter.may_have(group.low) {
            return Ok(found);
        }
        let (id, pages) = (mixed(group.low), &self.root.places.ids);
        // Ids that are mixed to the same may stand in several pages.
        let first = pages.partition_point(|page| page.first < id).saturating_sub(1);
        for page in pages[first..].iter().take_while(|page| page.first <= id) {
            let ids = self.ids(page)?;
            let from = ids.0.partition_point(|(other, _)| *other < id);
            for (_, number) in ids.0[from..].iter().take_while(|(other, _)| *other == id) {
                let entry = self.entry_at(*number)?;
                if strictness.group(entry.key) == group {
                    found.push((*number, entry));
                }
            }
        }
        Ok(found)
    }

    fn entry_at(&self, number: u32) -> Result<Entry, BlockError> {
        let at = number as usize;
        let page = self.root.places.entries.get(at / PAGE_ENTRIES);
        let entries = self.entries(page.ok_or(MISSING)?)?;
        Ok(*entries.get(at % PAGE_ENTRIES).ok_or(MISSING)?)
    }

    /// Calls `each` with all entries of which some span may start in these milliseconds.
    pub(crate) fn touching(
        &self,
        start_ms: u64,
        end_ms: u64,
        each: &mut impl FnMut(&Entry) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        for page in &self.root.places.entries {
            if !page.may_touch(start_ms, end_ms) {
                continue;
            }
            let entries = self.entries(page).map_err(|error| self.failed(error))?;
            let touches = |entry: &&Entry| entry.may_touch(start_ms, end_ms);
            entries.iter().filter(touches).try_for_each(&mut *each)?;
        }
        Ok(())
    }

    /// Calls `each` with those of them that start at a time that is not meant; whoever is meant between
    /// two others is so, too.
    pub(crate) fn touching_from_elsewhere(
        &self,
        start_ms: u64,
        end_ms: u64,
        is_meant: impl Fn(Timestamp) -> bool,
        each: &mut impl FnMut(&Entry) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        for page in &self.root.places.entries {
            let Some(times) = page.times else { continue };
            let [oldest, newest] = [times.oldest, times.newest].map(Timestamp::from_nanos);
            let is_apart = oldest.millis() > end_ms || times.latest_ms < start_ms;
            if is_apart || is_meant(oldest) && is_meant(newest) {
                continue;
            }
            let entries = self.entries(page).map_err(|error| self.failed(error))?;
            let is_elsewhere = |entry: &&Entry| {
                entry.may_touch(start_ms, end_ms) && !entry.start.is_some_and(&is_meant)
            };
            entries.iter().filter(is_elsewhere).try_for_each(&mut *each)?;
        }
        Ok(())
    }

    /// Keys of all traces.
    #[cfg(test)]
    pub(super) fn keys(&self) -> Result<Vec<TraceKey>, BlockError> {
        let mut keys = Vec::new();
        for page in &self.root.places.entries {
            keys.extend(self.entries(page)?.iter().map(|entry| entry.key));
        }
        Ok(keys)
    }

    /// Looks the words of a query up, once.
    pub(crate) fn look_up<'a>(&'a self, wanted: &'a Wanted) -> Result<LookedUp<'a>, QueryFailed> {
        let places = wanted.sought.iter().map(|sought| self.find_value(sought));
        let places = places.collect::<Result<_, _>>()?;
        Ok(LookedUp { block: self, words: OnceCell::new(), wanted, places })
    }
}

#[cfg(test)]
thread_local! {
    /// How many traces were looked up.
    pub(crate) static LOOKED_UP: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

const MISSING: Malformed = Malformed { what: "a trace that nothing tells of" };

/// A block's words, and those of a query by their numbers.
#[derive(Debug)]
struct Numbered {
    words: Arc<Words>,
    numbers: Vec<Option<u32>>,
}

/// What a query wants, as one index knows it.
#[derive(Debug)]
pub(crate) struct LookedUp<'a> {
    block: &'a Block,
    /// Read when a trace is judged by them.
    words: OnceCell<Numbered>,
    wanted: &'a Wanted,
    /// Of the values that are sought.
    places: Vec<Where>,
}

impl LookedUp<'_> {
    /// Which conditions the traces of a group meet here, or may meet.
    pub(crate) fn met_by(
        &self,
        group: TraceKey,
        strictness: Strictness,
    ) -> Result<Met, QueryFailed> {
        let mut met = Met::default();
        self.each_part(group, strictness, &mut |_, of_part, _| met.add(of_part))?;
        Ok(met)
    }

    /// Calls `each` with what is told of the parts of a group: times, what they meet, how many rows.
    pub(crate) fn each_part(
        &self,
        group: TraceKey,
        strictness: Strictness,
        each: &mut impl FnMut(Facts, Met, u32),
    ) -> Result<(), QueryFailed> {
        let found = self.block.find(group, strictness).map_err(|error| self.block.failed(error))?;
        for (number, entry) in found {
            each(entry.facts(), self.met_by_entry(number, &entry)?, entry.rows);
        }
        Ok(())
    }

    /// Calls `each` with all entries of which some span may start in these milliseconds, and with what they
    /// meet.
    pub(crate) fn touching(
        &self,
        start_ms: u64,
        end_ms: u64,
        each: &mut impl FnMut(&Entry, Met),
    ) -> Result<(), QueryFailed> {
        for (page, first) in self.block.root.places.entries.iter().zip((0..).step_by(PAGE_ENTRIES))
        {
            if !page.may_touch(start_ms, end_ms) {
                continue;
            }
            let entries = self.block.entries(page).map_err(|error| self.block.failed(error))?;
            for (number, entry) in (first..).zip(entries.iter()) {
                if entry.may_touch(start_ms, end_ms) {
                    each(entry, self.met_by_entry(number, entry)?);
                }
            }
        }
        Ok(())
    }

    /// Whether any trace here may meet all conditions, as far as that is told at once.
    pub(crate) fn may_meet_all(&self) -> Result<bool, QueryFailed> {
        let is_nowhere =
            |place: &Where| matches!(place, Where::Entries(entries) if entries.is_empty());
        if self.places.iter().any(is_nowhere) {
            return Ok(false);
        }
        for word in &self.wanted.words {
            if let Word::Service(service) = word
                && !self.block.names()?.may_have_service(service)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Of the values that are sought, which traces may have them here.
    pub(crate) fn places(&self) -> &[Where] {
        &self.places
    }

    /// The parts of traces that have the value with this number, for the few that have it; rows are read
    /// where that must be.
    pub(crate) fn parts_with(
        &self,
        sought: usize,
        stop: &Stop,
    ) -> Result<Vec<TraceKey>, QueryFailed> {
        let (Some(place), Some(value)) = (self.places.get(sought), self.wanted.sought.get(sought))
        else {
            return Ok(Vec::new());
        };
        let keys = match place {
            Where::Anywhere => Ok(Vec::new()),
            Where::Entries(entries) => {
                let key = |number: &u32| self.block.entry_at(*number).map(|entry| entry.key);
                entries.iter().map(key).collect()
            }
            Where::Pages(pages) => return self.block.traces_in(pages, value, stop),
        };
        keys.map_err(|error| self.block.failed(error))
    }

    fn words(&self) -> Result<&Numbered, QueryFailed> {
        if let Some(words) = self.words.get() {
            return Ok(words);
        }
        let words = self.block.words().map_err(|error| self.block.failed(error))?;
        let find = |word: &Word| words.words.iter().position(|other| other == word).map(number);
        let numbers = self.wanted.words.iter().map(find).collect();
        Ok(self.words.get_or_init(|| Numbered { words, numbers }))
    }

    fn met_by_entry(&self, number: u32, entry: &Entry) -> Result<Met, QueryFailed> {
        let mut met = Met::default();
        let words = self.wanted.words.len();
        if words > 0 {
            let Numbered { words, numbers } = self.words()?;
            let shape = entry.shape.checked_sub(1);
            let shape = shape.and_then(|shape| words.shapes.get(shape as usize));
            for (condition, number) in numbers.iter().enumerate() {
                let is_met = match (shape, number) {
                    (None, _) => true,
                    (Some(shape), Some(number)) => shape.contains(number),
                    (Some(_), None) => false,
                };
                met.set(condition, is_met);
            }
        }
        met.set(words, self.wanted.is_long_enough(entry.longest_us));
        for (sought, place) in self.places.iter().enumerate() {
            let may_meet = match place {
                Where::Anywhere => true,
                Where::Entries(entries) => entries.binary_search(&number).is_ok(),
                Where::Pages(pages) => self.block.touches(entry, pages),
            };
            met.set(words + 1 + sought, may_meet);
        }
        Ok(met)
    }

    /// Pages with traces that may start in the query's window, and before which time these do.
    pub(crate) fn pages(&self, query: &TraceQuery) -> impl Iterator<Item = (Timestamp, usize)> {
        let (start_us, end_us) = query.window_us();
        let pages = self.block.root.places.entries.iter().enumerate();
        pages.filter_map(move |(number, page)| {
            let times = page.times?;
            let is_in = times.oldest / 1_000 <= end_us && times.newest / 1_000 >= start_us;
            is_in.then_some((Timestamp::from_nanos(times.newest), number))
        })
    }

    /// Calls `add` with each trace of a page that may start in the query's window.
    pub(crate) fn candidates(
        &self,
        page: usize,
        query: &TraceQuery,
        add: &mut impl FnMut(Candidate),
    ) -> Result<(), QueryFailed> {
        let first = number(page * PAGE_ENTRIES);
        let Some(page) = self.block.root.places.entries.get(page) else { return Ok(()) };
        let entries = self.block.entries(page).map_err(|error| self.block.failed(error))?;
        for (number, entry) in (first..).zip(entries.iter()) {
            let start_max = entry.facts().start_within(|start| query.covers(start));
            if let Some(start_max) = start_max {
                let Entry { key, rows, .. } = *entry;
                let met = self.met_by_entry(number, entry)?;
                add(Candidate { key, start_max, met, rows, block: None });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_names_read_back_as_written() {
        let mut shapes = Shapes::default();
        [&[0, 2][..], &[]].into_iter().for_each(|shape| shapes.push(shape));
        let words = Words {
            words: vec![Word::Error, Word::Service("a".into()), Word::SpanName("a".into())],
            shapes,
        };
        assert_eq!(Words::decode(&words.encode(), false), Ok(words));
        let mut names = Names::default();
        names.add_names("shop", "get", "");
        names.add_names("shop", "put", "mysql");
        assert_eq!(decode_names(&encode_names(&names)), Ok(names));
        assert!(Words::decode(&[1, 9, 0, 0], false).is_err() && decode_names(&[1]).is_err());
    }
}
