//! A block's index: which traces stand in which rows, when they start, and what is said in them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sigyn_model::{Resource, Span, Timestamp, TraceQuery};

use crate::codec::{Decoder, Encoder, Malformed};
use crate::facts::{Facts, TraceKey};
use crate::names::{Names, ServiceNames};
use crate::wanted::{Met, Wanted, Word, has_error};

/// All shapes of a block have no more words than this: names that are unique make every shape so.
const SHAPE_WORDS_MAX: usize = if cfg!(test) { 40 } else { 1 << 20 };

/// Kept in memory for as long as the block is open.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Index {
    pub(crate) row_groups: Vec<RowGroup>,
    /// By key.
    pub(crate) traces: Vec<Entry>,
    /// What spans of this block say.
    words: Vec<Word>,
    /// Sets of words, each by the words' numbers. Traces that look alike share one.
    shapes: Vec<Vec<u32>>,
    pub(crate) names: Names,
    /// All times at which a trace of this block may start.
    starts: Option<(Timestamp, Timestamp)>,
}

/// Where a row group's bytes stand, and what they must add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowGroup {
    pub(crate) rows: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) crc: u32,
}

/// One trace, or the part of it that is in this block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: TraceKey,
    pub(crate) facts: Facts,
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    /// `None` where shapes are too many to be kept: such a trace may say anything.
    shape: Option<u32>,
}

/// Collects an index while its block is written.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    index: Index,
    word_numbers: HashMap<Word, u32>,
    shape_numbers: HashMap<Vec<u32>, u32>,
    /// Resources, held so that their addresses stay theirs, and whether they say `error`.
    errors: HashMap<*const Resource, (Arc<Resource>, bool)>,
    /// In all shapes together.
    shape_words: usize,
    rows: u32,
}

impl IndexBuilder {
    /// Adds the next trace; its spans take the next rows.
    pub(crate) fn add(&mut self, key: TraceKey, spans: &[Span]) {
        let rows = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        let shape = self.shape(spans);
        self.index.traces.push(Entry {
            key,
            facts: Facts::of(spans),
            first_row: self.rows,
            rows,
            shape,
        });
        self.rows = self.rows.saturating_add(rows);
        spans.iter().for_each(|span| self.index.names.add(span));
    }

    fn shape(&mut self, spans: &[Span]) -> Option<u32> {
        let errors = &mut self.errors;
        let mut resource_says_error = |resource: &Arc<Resource>| {
            let known = errors.entry(Arc::as_ptr(resource));
            known.or_insert_with(|| (resource.clone(), has_error(resource))).1
        };
        let mut words: BTreeSet<Word> = BTreeSet::new();
        for span in spans {
            words.extend(Word::of(span, &mut resource_says_error));
        }
        if self.shape_words + words.len() > SHAPE_WORDS_MAX {
            return None;
        }
        let mut shape: Vec<u32> = Vec::with_capacity(words.len());
        for word in words {
            let Index { words, .. } = &mut self.index;
            shape.push(*self.word_numbers.entry(word).or_insert_with_key(|word| {
                words.push(word.clone());
                number(words.len() - 1)
            }));
        }
        if let Some(number) = self.shape_numbers.get(&shape) {
            return Some(*number);
        }
        self.shape_words += shape.len();
        let new = number(self.index.shapes.len());
        self.index.shapes.push(shape.clone());
        self.shape_numbers.insert(shape, new);
        Some(new)
    }

    pub(crate) fn finish(mut self, row_groups: Vec<RowGroup>) -> Index {
        self.index.row_groups = row_groups;
        self.index.complete();
        self.index
    }
}

impl Index {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.count(self.row_groups.len());
        for group in &self.row_groups {
            encoder.uint(u64::from(group.rows));
            encoder.uint(group.offset);
            encoder.uint(group.bytes);
            encoder.uint(u64::from(group.crc));
        }
        encoder.count(self.words.len());
        for word in &self.words {
            let (sort, text) = match word {
                Word::Error => (0, ""),
                Word::Service(name) => (1, name.as_str()),
                Word::SpanName(name) => (2, name.as_str()),
                Word::RemoteService(name) => (3, name.as_str()),
            };
            encoder.byte(sort);
            encoder.string(text);
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
        let base = self.starts.map_or(0, |(first, _)| first.nanos());
        encoder.uint(base);
        encoder.count(self.traces.len());
        for entry in &self.traces {
            entry.encode(base, &mut encoder);
        }
        encoder.into_bytes()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let row_groups = decoder.list(|decoder| {
            Ok(RowGroup {
                rows: decoder.uint_as()?,
                offset: decoder.uint()?,
                bytes: decoder.uint()?,
                crc: decoder.uint_as()?,
            })
        })?;
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
                spans: spans.into_iter().collect(),
                remotes: remotes.into_iter().collect(),
            };
            names.insert(service, of_service);
        }
        let base = decoder.uint()?;
        let traces = decoder.list(|decoder| Entry::decode(base, decoder))?;
        decoder.end()?;
        let mut index = Self { row_groups, traces, words, shapes, names, starts: None };
        index.complete();
        Ok(index)
    }
}

/// Which times of a trace follow.
const HAS_START: u8 = 1;
const HAS_ROOT: u8 = 2;

impl Entry {
    fn encode(&self, base: u64, encoder: &mut Encoder<'_>) {
        encoder.fixed_u64(self.key.low);
        encoder.fixed_u64(self.key.high);
        let Facts { root_start, start, latest, longest_us } = self.facts;
        let has_root = if root_start.is_some() { HAS_ROOT } else { 0 };
        let has_start = if start.is_some() { HAS_START } else { 0 };
        encoder.byte(has_start | has_root);
        if let (Some(start), Some(latest)) = (start, latest) {
            encoder.uint(start.nanos() - base);
            encoder.uint(latest.nanos() - start.nanos());
            if let Some(root_start) = root_start {
                encoder.uint(root_start.nanos() - start.nanos());
            }
        }
        encoder.uint(u64::from(self.first_row));
        encoder.uint(u64::from(self.rows));
        encoder.uint(self.shape.map_or(0, |shape| u64::from(shape) + 1));
        encoder.uint(longest_us);
    }

    fn decode(base: u64, decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let key = TraceKey { low: decoder.fixed_u64()?, high: decoder.fixed_u64()? };
        let has = decoder.byte()?;
        let mut facts = Facts::default();
        if has & HAS_START != 0 {
            let mut after = |from: u64| {
                let at = from.checked_add(decoder.uint()?);
                at.ok_or(Malformed { what: "a time past the end of time" })
            };
            let start = after(base)?;
            facts.start = Some(Timestamp::from_nanos(start));
            facts.latest = Some(Timestamp::from_nanos(after(start)?));
            if has & HAS_ROOT != 0 {
                facts.root_start = Some(Timestamp::from_nanos(after(start)?));
            }
        }
        let (first_row, rows) = (decoder.uint_as()?, decoder.uint_as()?);
        let shape = match decoder.uint_as::<u32>()? {
            0 => None,
            number => Some(number - 1),
        };
        facts.longest_us = decoder.uint()?;
        Ok(Self { key, facts, first_row, rows, shape })
    }
}

/// No block has as many rows, and so nothing in it.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Index {
    /// Sorts, and derives what is not written.
    fn complete(&mut self) {
        self.traces.sort_unstable_by_key(|entry| entry.key);
        let starts = || {
            let of_entry = |e: &Entry| [e.facts.root_start, e.facts.start];
            self.traces.iter().flat_map(of_entry).flatten()
        };
        self.starts = starts().min().zip(starts().max());
    }

    fn find(&self, key: TraceKey) -> Option<&Entry> {
        let at = self.traces.binary_search_by_key(&key, |entry| entry.key).ok()?;
        self.traces.get(at)
    }

    pub(crate) fn contains(&self, key: TraceKey) -> bool {
        self.find(key).is_some()
    }

    /// The rows of a trace, as first and count.
    pub(crate) fn rows_of(&self, key: TraceKey) -> Option<(u32, u32)> {
        self.find(key).map(|entry| (entry.first_row, entry.rows))
    }

    /// All traces whose ids end alike.
    pub(crate) fn traces_of(&self, low: u64) -> &[Entry] {
        let first = self.traces.partition_point(|entry| entry.key.low < low);
        let rest = self.traces.get(first..).unwrap_or_default();
        let count = rest.partition_point(|entry| entry.key.low == low);
        rest.get(..count).unwrap_or_default()
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
    /// Which conditions a trace meets here, or may meet.
    pub(crate) fn met_by(&self, key: TraceKey) -> Met {
        self.index.find(key).map_or_else(Met::default, |entry| self.met_by_entry(entry))
    }

    fn met_by_entry(&self, entry: &Entry) -> Met {
        let mut met = Met::default();
        let shape = entry.shape.and_then(|shape| self.index.shapes.get(shape as usize));
        for (condition, number) in self.numbers.iter().enumerate() {
            let is_met = match (shape, number) {
                (None, _) => true,
                (Some(shape), Some(number)) => shape.contains(number),
                (Some(_), None) => false,
            };
            met.set(condition, is_met);
        }
        met.set(self.numbers.len(), self.wanted.is_long_enough(entry.facts.longest_us));
        met
    }

    /// Calls `add` with each trace that may start in the query's window: its key, how late it may
    /// start, and which conditions it meets.
    pub(crate) fn candidates(
        &self,
        query: &TraceQuery,
        add: &mut impl FnMut(TraceKey, Timestamp, Met),
    ) {
        let (start_us, end_us) = query.window_us();
        let may_overlap = self
            .index
            .starts
            .is_some_and(|(first, last)| first.micros() <= end_us && last.micros() >= start_us);
        if !may_overlap {
            return;
        }
        for entry in &self.index.traces {
            if let Some(start_max) = entry.facts.start_within(|start| query.covers(start)) {
                add(entry.key, start_max, self.met_by_entry(entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn an_index_reads_back_as_written() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut builder = IndexBuilder::default();
            for low in 0..random.u64(0..40) {
                let spans: Vec<Span> = (0..3).map(|_| testing::span(&mut random)).collect();
                builder.add(TraceKey { low, high: random.u64(..) }, &spans);
            }
            let group = RowGroup { rows: 120, offset: 4, bytes: 1 << 40, crc: u32::MAX };
            let index = builder.finish(vec![group, group]);
            assert_eq!(Index::decode(&index.encode()), Ok(index), "seed {seed}");
        }
    }
}
