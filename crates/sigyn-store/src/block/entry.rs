//! One trace in a block's index: on disk, and as narrow as it can be in memory.

use std::collections::HashMap;

use sigyn_model::Timestamp;

use crate::codec::{Decoder, Encoder, Malformed};
use crate::facts::{Facts, TraceKey};

/// One trace, or the part of it that is in this block. There may be a hundred million of them in
/// memory, so numbers are as narrow as they can be, and bounds where they need not be exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: TraceKey,
    /// The earliest timestamp, if `times` says that there is one.
    start: Timestamp,
    /// From `start` to the latest timestamp, rounded up; at the maximum it may be any more.
    latest_after_ms: u32,
    /// The longest duration; at the maximum it may be any more.
    longest_us: u32,
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    /// One more than the number of its shape. Zero where shapes are too many to be kept: such a
    /// trace may say anything.
    pub(super) shape: u32,
    times: Times,
}

/// Which times a trace has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    None,
    /// A start, and no span without parent that has one.
    NoRoot,
    /// The earliest span has no parent.
    RootFirst,
    /// The earliest span without parent is later; `Index::late_roots` has its time.
    LateRoot,
}

/// One trace's entry as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct TraceRows {
    pub(super) key: TraceKey,
    pub(super) facts: Facts,
    pub(super) first_row: u32,
    pub(super) rows: u32,
    pub(super) shape: u32,
}

/// No trace's entry has fewer bytes.
pub(super) const TRACE_BYTES_MIN: usize = 21;

/// Which times of a trace follow.
const HAS_START: u8 = 1;
const HAS_ROOT: u8 = 2;

impl TraceRows {
    pub(super) fn encode(&self, base: u64, encoder: &mut Encoder<'_>) {
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
        encoder.uint(u64::from(self.shape));
        encoder.uint(longest_us);
    }

    pub(super) fn decode(base: u64, decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
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
        let shape = decoder.uint_as()?;
        facts.longest_us = decoder.uint()?;
        Ok(Self { key, facts, first_row, rows, shape })
    }
}

impl Entry {
    /// As much of a trace's facts as decides when it starts.
    pub(super) fn facts(&self, late_roots: &HashMap<TraceKey, Timestamp>) -> Facts {
        let start = Some(self.start).filter(|_| self.times != Times::None);
        let root_start = match self.times {
            Times::None | Times::NoRoot => None,
            Times::RootFirst => start,
            Times::LateRoot => late_roots.get(&self.key).copied(),
        };
        Facts { root_start, start, ..Facts::default() }
    }

    /// Whether the trace's root is among the late roots.
    pub(super) fn is_root_late(&self) -> bool {
        self.times == Times::LateRoot
    }

    pub(super) fn of(read: &TraceRows) -> Self {
        let TraceRows { key, facts, first_row, rows, shape } = *read;
        let times = match (facts.start, facts.root_start) {
            (None, _) => Times::None,
            (_, None) => Times::NoRoot,
            (start, root) if start == root => Times::RootFirst,
            _ => Times::LateRoot,
        };
        let none = Timestamp::from_nanos(0);
        let (start, latest) = facts.start.zip(facts.latest).unwrap_or((none, none));
        let latest_after_ms = (latest.nanos() - start.nanos()).div_ceil(1_000_000);
        Self {
            key,
            start,
            latest_after_ms: u32::try_from(latest_after_ms).unwrap_or(u32::MAX),
            longest_us: u32::try_from(facts.longest_us).unwrap_or(u32::MAX),
            first_row,
            rows,
            shape,
            times,
        }
    }

    /// Whether any span may start in these milliseconds, both ends included.
    pub(crate) fn may_touch(&self, start_ms: u64, end_ms: u64) -> bool {
        let latest_ms = match self.latest_after_ms {
            u32::MAX => u64::MAX,
            after => self.start.millis().saturating_add(u64::from(after)).saturating_add(1),
        };
        self.times != Times::None && self.start.millis() <= end_ms && latest_ms >= start_ms
    }

    /// At least as long as the longest span.
    pub(super) fn longest_us_max(&self) -> u64 {
        if self.longest_us == u32::MAX { u64::MAX } else { u64::from(self.longest_us) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_takes_no_more_memory_than_the_documents_say() {
        assert_eq!(size_of::<Entry>(), 48);
    }
}
