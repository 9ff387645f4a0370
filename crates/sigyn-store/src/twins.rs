//! Spans that stand in several parts of a store, and so are counted more than once if each part is counted
//! by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sigyn_model::Span;

use crate::block::{Block, QueryFailed};
use crate::facts::{Strictness, TraceKey};
use crate::head::{Counts, HeadView};
use crate::query::{Bounds, HEAD_TRACES, READ_ROWS_MAX, READ_TRACES_MAX};
use crate::size::Weight;
use crate::stop::Stop;
use crate::trace::assemble;
use crate::view::Parts;

/// What was found out about pairs of blocks, which do not change.
#[derive(Debug, Default)]
pub(crate) struct Twins(Mutex<Pairs<TraceKey>>);

/// By the numbers of two blocks, what they have in common.
type Pairs<T> = HashMap<(u64, u64), Arc<[T]>>;

impl Twins {
    /// Traces with a span that is in two of these blocks, and maybe others.
    pub(crate) fn of(
        &self,
        blocks: &[Arc<Block>],
        bounds: Bounds<'_>,
    ) -> Result<Vec<TraceKey>, QueryFailed> {
        let mut found = Vec::new();
        let mut pairs = Pairs::new();
        for (at, one) in blocks.iter().enumerate() {
            bounds.stop.check()?;
            for other in &blocks[at + 1..] {
                if one.common_ms(other).is_none() {
                    continue;
                }
                let pair = (one.number(), other.number());
                let known =
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&pair).cloned();
                let twins = match known {
                    Some(twins) => twins,
                    None => between(one, other, bounds)?.into(),
                };
                found.extend_from_slice(&twins);
                pairs.insert(pair, twins);
            }
        }
        // Other blocks are no more.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pairs;
        Ok(found)
    }
}

/// The same for traces of which parts stand in several blocks, or under several ids: right halves of ids.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<Pairs<u64>>);

impl Shares {
    /// Of these blocks.
    pub(crate) fn of(&self, blocks: &[Arc<Block>], stop: &Stop) -> Result<Vec<u64>, QueryFailed> {
        let mut found = Vec::new();
        let mut pairs = Pairs::new();
        for (at, one) in blocks.iter().enumerate() {
            for other in &blocks[at..] {
                stop.check()?;
                let pair = (one.number(), other.number());
                let known =
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&pair).cloned();
                let shares = match known {
                    Some(shares) => shares,
                    None if Arc::ptr_eq(one, other) => shared_within(one)?.into(),
                    None => shared_between(one, other, stop)?.into(),
                };
                found.extend_from_slice(&shares);
                pairs.insert(pair, shares);
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pairs;
        Ok(found)
    }
}

fn shared_within(block: &Block) -> Result<Vec<u64>, QueryFailed> {
    let mut lows = Vec::new();
    block.each_entry(&mut |entry| lows.push(entry.key.low))?;
    lows.sort_unstable();
    Ok(lows.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).map(|same| same[0]).collect())
}

fn shared_between(one: &Block, other: &Block, stop: &Stop) -> Result<Vec<u64>, QueryFailed> {
    let is_less = one.entry().traces <= other.entry().traces;
    let (less, more) = if is_less { (one, other) } else { (other, one) };
    let mut lows = Vec::new();
    less.each_entry(&mut |entry| lows.push(entry.key.low))?;
    let mut shared = Vec::new();
    for (n, low) in lows.into_iter().enumerate() {
        if n % HEAD_TRACES == 0 {
            stop.check()?;
        }
        if !more.group(TraceKey { low, high: 0 }, Strictness::Lenient)?.is_empty() {
            shared.push(low);
        }
    }
    Ok(shared)
}

/// Traces with a span that is in both blocks; and those too large to be looked at.
fn between(one: &Block, other: &Block, bounds: Bounds<'_>) -> Result<Vec<TraceKey>, QueryFailed> {
    let Some((start_ms, end_ms)) = one.common_ms(other) else { return Ok(Vec::new()) };
    let is_less = one.entry().traces <= other.entry().traces;
    let (less, more) = if is_less { (one, other) } else { (other, one) };
    let mut asked: Vec<(TraceKey, u32)> = Vec::new();
    less.touching(start_ms, end_ms, &mut |entry| asked.push((entry.key, entry.rows)))?;
    let mut both: Vec<(TraceKey, u32)> = Vec::new();
    for (n, (key, rows)) in asked.into_iter().enumerate() {
        if n % HEAD_TRACES == 0 {
            bounds.stop.check()?;
        }
        let there = more.group(key, Strictness::Strict)?;
        if there.iter().any(|entry| entry.may_touch(start_ms, end_ms)) {
            let there = there.iter().map(|entry| entry.rows).fold(0, u32::saturating_add);
            both.push((key, rows.saturating_add(there)));
        }
    }
    let mut twins = Vec::new();
    let mut rest = both.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(readable(rest));
        rest = later;
        let keys: Vec<TraceKey> = now.iter().map(|(key, _)| *key).collect();
        let mut spans: HashMap<TraceKey, Vec<Span>> = HashMap::new();
        let mut weight = Weight::default();
        for block in [one, other] {
            block.read(&keys, Strictness::Strict, bounds.stop, &mut |span| {
                weight.add(&span);
                if weight.bytes <= bounds.bytes_max {
                    spans.entry(span.trace_id.into()).or_default().push(span);
                }
            })?;
        }
        if weight.bytes > bounds.bytes_max {
            twins.extend(keys);
            continue;
        }
        let is_twin = |spans: Vec<Span>| spans.len() > assemble(spans).len();
        twins.extend(keys.into_iter().filter(|key| spans.remove(key).is_some_and(is_twin)));
    }
    Ok(twins)
}

/// How many of these to read at a time: one at least.
fn readable(traces: &[(TraceKey, u32)]) -> usize {
    let mut sum = 0;
    let fits = traces.iter().take(READ_TRACES_MAX).take_while(|(_, rows)| {
        sum += u64::from(*rows);
        sum <= READ_ROWS_MAX
    });
    fits.count().max(1)
}

impl Parts {
    /// Notes which traces of a head, the one with this number, are also in blocks or in heads before it.
    pub(crate) fn look_for_others(
        &self,
        number: usize,
        view: &HeadView,
        counts: &mut Counts,
        stop: &Stop,
    ) -> Result<(), QueryFailed> {
        let is_known = |block: &&Arc<Block>| counts.blocks.contains(&block.number());
        let new: Vec<&Arc<Block>> = self.blocks.iter().filter(|block| !is_known(block)).collect();
        let all: Vec<&Arc<Block>> = self.blocks.iter().collect();
        let before = &self.heads[..number];
        let (old, end) = if new.is_empty() {
            (Vec::new(), counts.looked_for)
        } else {
            let (mut keys, _) = view.traces_from(0);
            keys.truncate(counts.looked_for as usize);
            (keys, counts.looked_for)
        };
        let (young, end) = view.traces_from(end);
        let end = end.max(counts.looked_for);
        for (keys, blocks, heads) in [(old, &new, &before[..0]), (young, &all, before)] {
            for keys in keys.chunks(HEAD_TRACES) {
                stop.check()?;
                for key in keys {
                    let mut is_there = heads.iter().any(|head| head.trace(*key).is_some());
                    for block in blocks {
                        is_there |= !block.group(*key, Strictness::Strict)?.is_empty();
                    }
                    if is_there {
                        counts.shared.insert(*key, 0);
                    }
                }
            }
        }
        counts.looked_for = end;
        counts.blocks = all.iter().map(|block| block.number()).collect();
        Ok(())
    }
}
