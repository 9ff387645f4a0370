//! A block's index: which traces stand in which rows, when they start, which services take part.

use std::collections::{BTreeSet, HashMap};

use sigyn_model::{Span, Timestamp, TraceQuery};

use crate::facts::{Facts, TraceKey};
use crate::names::{Names, ServiceNames};
use crate::wal::record::{Decoder, Encoder, Malformed};

/// Kept in memory for as long as the block is open.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Index {
    pub(crate) row_groups: Vec<RowGroup>,
    /// By key.
    pub(crate) traces: Vec<Entry>,
    /// Sets of services that traces name by number; each set by number of service.
    service_sets: Vec<Vec<u32>>,
    /// By number.
    services: Vec<String>,
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
    service_set: u32,
}

/// Collects an index while its block is written.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    index: Index,
    service_numbers: HashMap<String, u32>,
    set_numbers: HashMap<Vec<u32>, u32>,
    rows: u32,
}

impl IndexBuilder {
    /// Adds the next trace; its spans take the next rows.
    pub(crate) fn add(&mut self, key: TraceKey, spans: &[Span]) {
        let rows = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        let services: BTreeSet<&str> = spans.iter().filter_map(Span::service_name).collect();
        let set: Vec<u32> = services.into_iter().map(|service| self.service(service)).collect();
        let sets = &mut self.index.service_sets;
        let service_set = *self.set_numbers.entry(set).or_insert_with_key(|set| {
            sets.push(set.clone());
            number(sets.len() - 1)
        });
        self.index.traces.push(Entry {
            key,
            facts: Facts::of(spans),
            first_row: self.rows,
            rows,
            service_set,
        });
        self.rows = self.rows.saturating_add(rows);
        spans.iter().for_each(|span| self.index.names.add(span));
    }

    fn service(&mut self, service: &str) -> u32 {
        if let Some(number) = self.service_numbers.get(service) {
            return *number;
        }
        let services = &mut self.index.services;
        services.push(service.to_owned());
        self.service_numbers.insert(service.to_owned(), number(services.len() - 1));
        number(services.len() - 1)
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
        encoder.count(self.services.len());
        self.services.iter().for_each(|service| encoder.string(service));
        encoder.count(self.service_sets.len());
        for set in &self.service_sets {
            encoder.count(set.len());
            set.iter().for_each(|number| encoder.uint(u64::from(*number)));
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
        let services = decoder.list(Decoder::string)?;
        let service_sets = decoder.list(|decoder| decoder.list(Decoder::uint_as))?;
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
        let mut index = Self { row_groups, traces, service_sets, services, names, starts: None };
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
        let Facts { root_start, start, latest } = self.facts;
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
        encoder.uint(u64::from(self.service_set));
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
        Ok(Self {
            key,
            facts,
            first_row: decoder.uint_as()?,
            rows: decoder.uint_as()?,
            service_set: decoder.uint_as()?,
        })
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

    pub(crate) fn trace_has_service(&self, key: TraceKey, service: &str) -> bool {
        self.service_number(service)
            .is_some_and(|n| self.find(key).is_some_and(|entry| self.has_service(entry, n)))
    }

    fn service_number(&self, service: &str) -> Option<u32> {
        self.services.iter().position(|other| other == service).map(number)
    }

    fn has_service(&self, entry: &Entry, service: u32) -> bool {
        let set = self.service_sets.get(entry.service_set as usize);
        set.is_some_and(|set| set.contains(&service))
    }

    /// Calls `add` with each trace that may start in the query's window: its key, how late it may
    /// start, and whether the service asked for is in it.
    pub(crate) fn candidates(
        &self,
        query: &TraceQuery,
        add: &mut impl FnMut(TraceKey, Timestamp, bool),
    ) {
        let (start_us, end_us) = query.window_us();
        let may_overlap = self
            .starts
            .is_some_and(|(first, last)| first.micros() <= end_us && last.micros() >= start_us);
        if !may_overlap {
            return;
        }
        let service = query.service_name().map(|service| self.service_number(service));
        for entry in &self.traces {
            if let Some(start_max) = entry.facts.start_within(|start| query.covers(start)) {
                let has_service = match service {
                    None => true,
                    Some(None) => false,
                    Some(Some(number)) => self.has_service(entry, number),
                };
                add(entry.key, start_max, has_service);
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
