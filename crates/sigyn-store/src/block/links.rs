//! Which service calls which, as a block's traces tell, minute by minute: no trace need be read to know it,
//! but for those that are not in this block alone.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use sigyn_model::Timestamp;
use sigyn_model::codec::sink::EndpointRef;

use super::group_writer::Row;
use super::per_source::PerSource;
use super::source::Source;
use super::{Block, BlockError, QueryFailed};
use crate::codec::{Decoder, Encoder, Malformed};
use crate::facts::TraceKey;
use crate::spots::{Named, Spot, Tree, put_in_order};

/// The kind of the section among a block's extras.
pub(super) const KIND: u8 = 3;
pub(crate) const MINUTE_MS: u64 = 60_000;
/// Spans of a trace that is linked here.
const SPANS_MAX: usize = if cfg!(test) { 12 } else { 1 << 17 };
/// Endpoints, services, and links by minute, of which each: of more nothing is counted.
const KNOWN_MAX: usize = if cfg!(test) { 300 } else { 1 << 16 };
/// Traces that are left out, one in so many of all, and these beside.
const LEFT_OUT: usize = 16;
const LEFT_OUT_MIN: usize = 64;
const WRONG: Malformed = Malformed { what: "links that no traces have" };

/// Collects links while a block is written.
#[derive(Debug, Default)]
pub(super) struct LinkBuilder {
    /// Endpoint and service, by what an endpoint is in the source.
    known: PerSource<(u32, u32)>,
    named: Named,
    /// Of the trace that comes in.
    spots: Vec<Spot>,
    /// Whether it has more.
    has_more: bool,
    start: Option<Timestamp>,
    tree: Tree,
    traces: usize,
    left_out: Vec<TraceKey>,
    /// Calls and errors by parent, child and minute.
    counts: HashMap<[u32; 3], (u64, u64), RandomState>,
    is_full: bool,
}

/// The minute in which the spans of a trace begin.
pub(crate) fn minute_of(start: Timestamp) -> u32 {
    u32::try_from(start.millis() / MINUTE_MS).unwrap_or(u32::MAX)
}

impl LinkBuilder {
    pub(super) fn begin_source(&mut self) {
        self.known.clear();
    }

    pub(super) fn row(&mut self, row: &Row<'_>, is_error: bool) {
        if self.is_full {
            return;
        }
        let span = row.span;
        self.start = match (self.start, span.timestamp) {
            (Some(start), Some(at)) => Some(start.min(at)),
            (one, other) => one.or(other),
        };
        if self.spots.len() >= SPANS_MAX {
            self.has_more = true;
            return;
        }
        let (endpoint, service) = self.endpoint(row.source, span.local_endpoint);
        let (_, remote) = self.endpoint(row.source, span.remote_endpoint);
        self.spots.push(Spot {
            id: span.id.as_u64(),
            parent: span.parent_id.map(|id| id.as_u64()),
            kind: span.kind,
            is_shared: span.shared,
            is_error,
            endpoint,
            service,
            remote,
        });
    }

    fn endpoint(&mut self, source: &dyn Source, number: u32) -> (u32, u32) {
        if let Some(known) = self.known.get(number) {
            return known;
        }
        let endpoint = source.endpoint(number).map(EndpointRef::to_owned);
        let numbers = self.named.numbers(endpoint);
        self.is_full |= self.named.len() > KNOWN_MAX;
        self.known.get_or_insert_with(number, || numbers)
    }

    pub(super) fn end_trace(&mut self, key: TraceKey) {
        if self.is_full {
            return;
        }
        self.traces += 1;
        if let Some(start) = self.start.take() {
            let (tree, counts, minute) = (&mut self.tree, &mut self.counts, minute_of(start));
            if !self.has_more && put_in_order(&mut self.spots) {
                tree.link(&self.spots, |parent, child, is_error| {
                    let (calls, errors) = counts.entry([parent, child, minute]).or_default();
                    *calls += 1;
                    *errors += u64::from(is_error);
                });
            } else {
                self.left_out.push(key);
            }
        }
        self.spots.clear();
        self.has_more = false;
        self.is_full = self.counts.len() > KNOWN_MAX
            || self.left_out.len() > LEFT_OUT_MIN + self.traces / LEFT_OUT;
    }

    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        const LINK_BYTES: usize = 2 * size_of::<([u32; 3], (u64, u64))>();
        self.counts.len() * LINK_BYTES + self.named.bytes() + size_of_val(&self.left_out[..])
    }

    /// Counts nothing any more.
    pub(super) fn give_up(&mut self) {
        *self = Self { is_full: true, ..Self::default() };
    }

    /// The section's bytes; `None` if links are not counted.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        if self.is_full {
            return None;
        }
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_unstable();
        let mut encoder = Encoder::default();
        encoder.count(self.named.services().len());
        self.named.services().iter().for_each(|name| encoder.string(name));
        let of_pair = |[parent, child, _]: &[u32; 3]| (*parent, *child);
        let pairs: Vec<_> = counts.chunk_by(|a, b| of_pair(a.0) == of_pair(b.0)).collect();
        encoder.count(pairs.len());
        for pair in pairs {
            let (parent, child) = of_pair(pair[0].0);
            [parent, child].iter().for_each(|number| encoder.uint(u64::from(number - 1)));
            encoder.count(pair.len());
            let mut last = 0;
            for ([_, _, minute], (calls, errors)) in pair {
                encoder.uint(u64::from(minute - last));
                encoder.uint(*calls);
                encoder.uint(*errors);
                last = *minute;
            }
        }
        encoder.count(self.left_out.len());
        for TraceKey { low, high } in &self.left_out {
            encoder.fixed_u64(*low);
            encoder.fixed_u64(*high);
        }
        Some(encoder.into_bytes())
    }
}

/// Links of a block.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Links {
    services: Vec<String>,
    pairs: Vec<Pair>,
    /// Traces that are counted nowhere, in order.
    left_out: Vec<TraceKey>,
}

#[derive(Debug, PartialEq)]
struct Pair {
    parent: u32,
    child: u32,
    /// Calls and errors by minute.
    counts: Vec<(u32, u64, u64)>,
}

impl Links {
    fn decode(raw: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(raw);
        let services = decoder.list(Decoder::string)?;
        let number = |decoder: &mut Decoder<'_>| {
            let number: u32 = decoder.uint_as()?;
            if services.len() > number as usize { Ok(number) } else { Err(WRONG) }
        };
        let pairs = decoder.list(|decoder| {
            let (parent, child) = (number(decoder)?, number(decoder)?);
            let mut counts = Vec::new();
            let mut minute = 0u32;
            for _ in 0..decoder.count_of(3)? {
                decoder.expand(size_of::<(u32, u64, u64)>())?;
                minute = minute.checked_add(decoder.uint_as()?).ok_or(WRONG)?;
                counts.push((minute, decoder.uint()?, decoder.uint()?));
            }
            Ok(Pair { parent, child, counts })
        })?;
        let mut left_out = decoder.list(|decoder| {
            Ok(TraceKey { low: decoder.fixed_u64()?, high: decoder.fixed_u64()? })
        })?;
        decoder.end()?;
        left_out.sort_unstable();
        Ok(Self { services, pairs, left_out })
    }

    /// Calls `each` with parent, child, calls and errors of those traces that begin in such minutes.
    pub(crate) fn each(
        &self,
        is_meant: impl Fn(u32) -> bool,
        each: &mut impl FnMut(&str, &str, u64, u64),
    ) {
        for Pair { parent, child, counts } in &self.pairs {
            let (mut calls, mut errors) = (0u64, 0u64);
            for (_, more, failed) in counts.iter().filter(|(minute, _, _)| is_meant(*minute)) {
                (calls, errors) = (calls.saturating_add(*more), errors.saturating_add(*failed));
            }
            let names = [parent, child].map(|number| self.services.get(*number as usize));
            if let ([Some(parent), Some(child)], 1..) = (names, calls) {
                each(parent, child, calls, errors);
            }
        }
    }

    /// Calls `each` with parent, child, minute, calls and errors.
    pub(super) fn each_minute(&self, each: &mut impl FnMut(&str, &str, u32, u64, u64)) {
        let name = |number: u32| self.services.get(number as usize).map_or("", String::as_str);
        for Pair { parent, child, counts } in &self.pairs {
            for (minute, calls, errors) in counts {
                each(name(*parent), name(*child), *minute, *calls, *errors);
            }
        }
    }

    pub(crate) fn left_out(&self) -> &[TraceKey] {
        &self.left_out
    }

    pub(crate) fn leaves_out(&self, key: TraceKey) -> bool {
        self.left_out.binary_search(&key).is_ok()
    }

    fn bytes(&self) -> usize {
        let names = self.services.iter().map(|name| size_of::<String>() + name.len());
        let pairs = self.pairs.iter().map(|pair| size_of::<Pair>() + size_of_val(&pair.counts[..]));
        names.sum::<usize>() + pairs.sum::<usize>() + size_of_val(&self.left_out[..])
    }
}

impl Block {
    /// `None` if no links were counted.
    pub(crate) fn links(&self) -> Result<Option<Arc<Links>>, QueryFailed> {
        let Some(extra) = self.root.extras.iter().find(|extra| extra.kind == KIND) else {
            return Ok(None);
        };
        let read = || -> Result<(Links, usize), BlockError> {
            let links = Links::decode(&self.section(&extra.section)?)?;
            let bytes = links.bytes();
            Ok((links, bytes))
        };
        let links = self.cache.get((self.number, extra.section.offset), read);
        links.map(Some).map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fastrand::Rng;
    use sigyn_model::{Endpoint, Span, SpanId, TraceId, each_link};

    use super::*;
    use crate::block::tests::{open, sealed};
    use crate::testing;

    /// Most ids stand once, or twice as the halves of a call.
    fn trace(random: &mut Rng, n: u64) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for id in 1..=random.u64(1..10) {
            let mut span = testing::span(random);
            span.id = SpanId::from_raw(id);
            span.shared = random.u8(0..6) == 0;
            span.local_endpoint =
                Endpoint::named(["", "a", "b", "c"][random.usize(0..4)]).into_option();
            span.parent_id = match random.u64(0..8) {
                0 => None,
                1 => Some(SpanId::from_raw(random.u64(1..12))),
                _ => Some(SpanId::from_raw(random.u64(1..=id))).filter(|parent| *parent != span.id),
            };
            if random.u8(0..4) == 0 {
                let mut half = testing::span(random);
                (half.id, half.parent_id, half.shared) = (span.id, span.parent_id, !span.shared);
                if random.u8(0..8) == 0 {
                    half.shared = span.shared;
                }
                spans.push(half);
            }
            spans.push(span);
        }
        let id = TraceId::new(u128::from(n) + 1).unwrap();
        spans.iter_mut().for_each(|span| span.trace_id = id);
        spans
    }

    #[test]
    fn what_is_counted_of_a_block_is_what_its_traces_link_one_by_one() {
        let (mut linked, mut left_out) = (0, 0);
        for seed in 0..40 {
            let mut random = Rng::with_seed(seed);
            let traces: Vec<_> = (0..random.u64(1..40)).map(|n| trace(&mut random, n)).collect();
            let (disk, entry) = sealed(traces.concat());
            let block = open(&disk, &entry).unwrap();
            let links = block.links().unwrap().unwrap();
            let mut expected: BTreeMap<(String, String, u32), (u64, u64)> = BTreeMap::new();
            for trace in traces {
                let Some(start) = trace.iter().filter_map(|span| span.timestamp).min() else {
                    continue;
                };
                if links.leaves_out(trace[0].trace_id.into()) {
                    left_out += 1;
                    continue;
                }
                linked += 1;
                each_link(&crate::trace::assemble(trace), &mut |parent, child, is_error| {
                    let key = (parent.to_owned(), child.to_owned(), minute_of(start));
                    let (calls, errors) = expected.entry(key).or_default();
                    *calls += 1;
                    *errors += u64::from(is_error);
                });
            }
            let mut found = BTreeMap::new();
            let minutes: Vec<u32> =
                links.pairs.iter().flat_map(|p| &p.counts).map(|c| c.0).collect();
            for minute in minutes {
                links.each(|other| other == minute, &mut |parent, child, calls, errors| {
                    found.insert((parent.to_owned(), child.to_owned(), minute), (calls, errors));
                });
            }
            assert_eq!(found, expected, "seed {seed}");
        }
        assert!(linked > 200 && left_out > 50, "{linked} {left_out}");
    }
}
