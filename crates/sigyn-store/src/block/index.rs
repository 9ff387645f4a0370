//! A block's index: which traces stand in which rows, when they start, and what is said in them.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use sigyn_model::{Timestamp, TraceQuery};

use super::entry::{Entry, TRACE_BYTES_MIN, TraceRows};
use super::group_writer::Said;
use super::plan::Plan;
use super::source::{Source, SourceRow};
use crate::codec::{Decoder, Encoder, Malformed};
use crate::facts::{Facts, Strictness, TraceKey};
use crate::least::Least;
use crate::names::{NAMES_MAX, Names, ServiceNames};
use crate::wanted::{Candidate, Met, Wanted, Word};

/// All shapes of a block have no more words than this: names that are unique make every shape so.
const SHAPE_WORDS_MAX: usize = if cfg!(test) { 40 } else { 1 << 20 };

/// Kept in memory for as long as the block is open.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Index {
    /// By key.
    pub(crate) traces: Vec<Entry>,
    /// What spans of this block say.
    words: Vec<Word>,
    /// Sets of words, each by the words' numbers. Traces that look alike share one.
    shapes: Vec<Vec<u32>>,
    pub(crate) names: Names,
    /// Of the few traces whose root is not their earliest span.
    late_roots: HashMap<TraceKey, Timestamp>,
    /// All times at which a trace of this block may start.
    starts: Option<(Timestamp, Timestamp)>,
    /// What it takes in memory, estimated.
    pub(crate) bytes: u64,
}

/// Collects an index while its block is written.
pub(super) struct IndexBuilder<'a> {
    source: &'a dyn Source,
    plan: &'a Plan,
    traces: Vec<TraceRows>,
    words: Vec<Word>,
    shapes: Vec<Vec<u32>>,
    names: Names,
    word_numbers: HashMap<Word, u32>,
    shape_numbers: HashMap<Vec<u32>, u32>,
    /// Numbers of words by what they were in the source.
    known_words: HashMap<(Sort, u32), u32, RandomState>,
    /// Service, name and peer of spans that were looked at.
    named: HashSet<[u32; 3], RandomState>,
    /// In all shapes together.
    shape_words: usize,
    rows: u32,
    /// Where a shape is put together.
    shape: Vec<u32>,
}

/// What a word of an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sort {
    Error,
    Service,
    SpanName,
    RemoteService,
}

/// Names of so many spans are remembered at a time.
const NAMED_MAX: usize = 64 << 10;

impl<'a> IndexBuilder<'a> {
    pub(super) fn new(source: &'a dyn Source, plan: &'a Plan) -> Self {
        Self {
            source,
            plan,
            traces: Vec::new(),
            words: Vec::new(),
            shapes: Vec::new(),
            names: Names::default(),
            word_numbers: HashMap::new(),
            shape_numbers: HashMap::new(),
            known_words: HashMap::default(),
            named: HashSet::default(),
            shape_words: 0,
            rows: 0,
            shape: Vec::new(),
        }
    }

    /// Adds the next trace; its spans take the next rows.
    pub(super) fn add(&mut self, key: TraceKey, spans: &[Said]) {
        let rows = number(spans.len());
        let mut facts = Facts::default();
        self.shape.clear();
        for said in spans {
            let SourceRow { name, local_endpoint, remote_endpoint, .. } = said.span;
            facts.add_times(said.span.parent_id.is_none(), said.span.timestamp, said.duration_us());
            let (plan, source) = (self.plan, self.source);
            let service = plan.endpoint(local_endpoint).service;
            let remote = plan.endpoint(remote_endpoint).service;
            let text = |service: u32| plan.services[service as usize].clone();
            if let Some(number) = service {
                self.word(Sort::Service, number, || Word::Service(text(number)));
            }
            if name != 0 {
                self.word(Sort::SpanName, name, || Word::SpanName(source.name(name).to_owned()));
            }
            if let Some(number) = remote {
                self.word(Sort::RemoteService, number, || Word::RemoteService(text(number)));
            }
            if said.says_error {
                self.word(Sort::Error, 0, || Word::Error);
            }
            if self.named.len() >= NAMED_MAX {
                self.named.clear();
            }
            if let (Some(service), true) =
                (service, self.named.insert([name, local_endpoint, remote_endpoint]))
            {
                let remote = remote.map(text).unwrap_or_default();
                self.names.add_names(&text(service), source.name(name), &remote);
            }
        }
        let shape = self.shape_number().map_or(0, |shape| shape + 1);
        self.traces.push(TraceRows { key, facts, first_row: self.rows, rows, shape });
        self.rows = self.rows.saturating_add(rows);
    }

    /// Adds a word to the shape that is put together.
    fn word(&mut self, sort: Sort, of_source: u32, word: impl FnOnce() -> Word) {
        let words = &mut self.words;
        let word_numbers = &mut self.word_numbers;
        let number = *self.known_words.entry((sort, of_source)).or_insert_with(|| {
            *word_numbers.entry(word()).or_insert_with_key(|word| {
                words.push(word.clone());
                number(words.len() - 1)
            })
        });
        if !self.shape.contains(&number) {
            self.shape.push(number);
        }
    }

    fn shape_number(&mut self) -> Option<u32> {
        self.shape.sort_unstable();
        if let Some(number) = self.shape_numbers.get(&self.shape) {
            return Some(*number);
        }
        if self.shape_words + self.shape.len() > SHAPE_WORDS_MAX {
            return None;
        }
        self.shape_words += self.shape.len();
        let new = number(self.shapes.len());
        self.shapes.push(self.shape.clone());
        self.shape_numbers.insert(self.shape.clone(), new);
        Some(new)
    }

    /// The earliest and the latest timestamp.
    pub(super) fn starts_ns(&self) -> Option<(u64, u64)> {
        let times = |at: fn(&Facts) -> Option<Timestamp>| {
            self.traces.iter().filter_map(move |trace| at(&trace.facts).map(Timestamp::nanos))
        };
        times(|facts| facts.start).min().zip(times(|facts| facts.latest).max())
    }

    /// The index's bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.traces.sort_unstable_by_key(|entry| entry.key);
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
        for shape in &self.shapes {
            encoder.count(shape.len());
            shape.iter().for_each(|number| encoder.uint(u64::from(*number)));
        }
        encoder.count(self.names.services().len());
        for (service, names) in self.names.services() {
            encoder.string(service);
            for names in [&names.spans, &names.remotes] {
                encoder.count(names.len());
                names.iter().for_each(|name| encoder.string(name));
            }
        }
        let starts = self.traces.iter().filter_map(|entry| entry.facts.start);
        let base = starts.min().map_or(0, Timestamp::nanos);
        encoder.uint(base);
        encoder.count(self.traces.len());
        for entry in &self.traces {
            entry.encode(base, &mut encoder);
        }
        encoder.into_bytes()
    }
}

impl Index {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
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
        let shapes = decoder.list(|decoder| decoder.list(Decoder::uint_as))?;
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
        let base = decoder.uint()?;
        let mut late_roots = HashMap::new();
        let mut starts: Option<(Timestamp, Timestamp)> = None;
        let count = decoder.count()?;
        let mut traces: Vec<Entry> = Vec::with_capacity(count.min(bytes.len() / TRACE_BYTES_MIN));
        for _ in 0..count {
            let read = TraceRows::decode(base, &mut decoder)?;
            let TraceRows { key, facts, .. } = read;
            if traces.last().is_some_and(|last| last.key >= key) {
                return Err(Malformed { what: "traces out of order" });
            }
            for at in [facts.start, facts.root_start].into_iter().flatten() {
                let (first, last) = starts.unwrap_or((at, at));
                starts = Some((first.min(at), last.max(at)));
            }
            let entry = Entry::of(&read);
            if let (true, Some(at)) = (entry.is_root_late(), facts.root_start) {
                late_roots.insert(key, at);
            }
            traces.push(entry);
        }
        decoder.end()?;
        let mut index = Self { traces, words, shapes, names, late_roots, starts, bytes: 0 };
        index.bytes = index.estimate();
        Ok(index)
    }

    fn estimate(&self) -> u64 {
        /// What a list, a text or an entry of a map takes beside its contents.
        const PLACE: usize = 48;
        let words: usize = self.words.iter().map(|word| PLACE + word.text().len()).sum();
        let shapes: usize = self.shapes.iter().map(|shape| PLACE + size_of_val(&shape[..])).sum();
        let traces = self.traces.capacity() * size_of::<Entry>() + self.late_roots.len() * PLACE;
        (words + shapes + self.names.bytes() + traces) as u64
    }
}

/// No block has as many rows, and so nothing in it.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Index {
    /// All parts of the traces of a group.
    pub(crate) fn group(&self, group: TraceKey, strictness: Strictness) -> &[Entry] {
        let first = self.traces.partition_point(|entry| entry.key < group);
        let rest = self.traces.get(first..).unwrap_or_default();
        let is_part = |entry: &&Entry| strictness.group(entry.key) == group;
        rest.get(..rest.iter().take_while(is_part).count()).unwrap_or_default()
    }

    /// Looks the words of a query up, once.
    pub(crate) fn look_up<'a>(&'a self, wanted: &'a Wanted) -> LookedUp<'a> {
        let find = |word: &Word| self.words.iter().position(|other| other == word).map(number);
        LookedUp { index: self, wanted, numbers: wanted.words.iter().map(find).collect() }
    }
}

/// A query's words as numbers of one index.
#[derive(Debug)]
pub(crate) struct LookedUp<'a> {
    index: &'a Index,
    wanted: &'a Wanted,
    numbers: Vec<Option<u32>>,
}

impl LookedUp<'_> {
    /// Which conditions the traces of a group meet here, or may meet.
    pub(crate) fn met_by(&self, group: TraceKey, strictness: Strictness) -> Met {
        let mut met = Met::default();
        for entry in self.index.group(group, strictness) {
            met.add(self.met_by_entry(entry));
        }
        met
    }

    fn met_by_entry(&self, entry: &Entry) -> Met {
        let mut met = Met::default();
        let shape = entry.shape.checked_sub(1);
        let shape = shape.and_then(|shape| self.index.shapes.get(shape as usize));
        for (condition, number) in self.numbers.iter().enumerate() {
            let is_met = match (shape, number) {
                (None, _) => true,
                (Some(shape), Some(number)) => shape.contains(number),
                (Some(_), None) => false,
            };
            met.set(condition, is_met);
        }
        met.set(self.numbers.len(), self.wanted.is_long_enough(entry.longest_us_max()));
        met
    }

    /// Calls `add` with each trace that may start in the query's window.
    pub(crate) fn candidates(&self, query: &TraceQuery, add: &mut impl FnMut(Candidate)) {
        let (start_us, end_us) = query.window_us();
        let may_overlap = self
            .index
            .starts
            .is_some_and(|(first, last)| first.micros() <= end_us && last.micros() >= start_us);
        if !may_overlap {
            return;
        }
        for entry in &self.index.traces {
            if let Some(start_max) =
                entry.facts(&self.index.late_roots).start_within(|start| query.covers(start))
            {
                let Entry { key, rows, .. } = *entry;
                add(Candidate { key, start_max, met: self.met_by_entry(entry), rows });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::block::order::Order;
    use crate::head::HeadWriter;
    use crate::testing;

    #[test]
    fn an_index_reads_back_as_written() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let spans: Vec<_> =
                (0..random.usize(0..90)).map(|_| testing::span(&mut random)).collect();
            let mut head = HeadWriter::new();
            head.insert(&spans, 1);
            let view = head.view();
            let order = Order::of(&view, &|| true).unwrap();
            let plan = Plan::of(&view, &order);
            let mut builder = IndexBuilder::new(&view, &plan);
            for trace in &order.traces {
                let first = trace.first as usize;
                let rows = &order.rows[first..first + trace.rows as usize];
                let said = |row: &u32| Said { span: view.row(*row), says_error: random.bool() };
                builder.add(trace.key, &rows.iter().map(said).collect::<Vec<_>>());
            }
            let written = builder.traces.clone();
            let index = Index::decode(&builder.finish()).unwrap();
            assert_eq!(index.traces.len(), written.len(), "seed {seed}");
            for TraceRows { key, facts, first_row, rows, .. } in written {
                let [entry] = index.group(key, Strictness::Strict) else { panic!("seed {seed}") };
                assert_eq!((entry.first_row, entry.rows), (first_row, rows));
                let read = entry.facts(&index.late_roots);
                assert_eq!((read.start, read.root_start), (facts.start, facts.root_start));
                assert!(entry.longest_us_max() >= facts.longest_us);
                for at in [facts.start, facts.latest].into_iter().flatten() {
                    assert!(entry.may_touch(at.millis(), at.millis()), "seed {seed}");
                }
                assert_eq!(entry.may_touch(0, u64::MAX), facts.start.is_some());
            }
        }
    }
}
