//! What is told of one trace's part in a block, and pages of them.

use std::ops::Range;

use sigyn_model::Timestamp;

use super::delta::{unzigzag, zigzag};
use crate::codec::{Decoder, Encoder, Malformed};
use crate::facts::{Facts, TraceKey};

/// One trace, or the part of it that is in this block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: TraceKey,
    pub(crate) start: Option<Timestamp>,
    pub(super) root_start: Option<Timestamp>,
    /// From the start to the latest timestamp, rounded up.
    pub(super) latest_after_ms: u64,
    /// At least as long as the longest span.
    pub(super) longest_us: u64,
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    /// One more than the number of its shape. Zero where shapes are too many to be kept: such a
    /// trace may say anything.
    pub(super) shape: u32,
}

/// Where the rows of a trace are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) key: TraceKey,
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
}

/// Whatever knows where it is.
pub(crate) trait Placed {
    fn place(&self) -> Place;
}

impl Placed for Place {
    fn place(&self) -> Place {
        *self
    }
}

impl Placed for Entry {
    fn place(&self) -> Place {
        let Self { key, first_row, rows, .. } = *self;
        Place { key, first_row, rows }
    }
}

/// Entries that are read together.
pub(super) const PAGE_ENTRIES: usize = if cfg!(test) { 8 } else { 512 };

/// The least that one of them has in a page: an id, two bytes of a duration, and one for each of the rest.
const BYTES_MIN: usize = 16 + 2 + 5;

/// Which times a trace has.
const HAS_START: u8 = 1;
const HAS_ROOT: u8 = 2;
/// The earliest one without parent is not the earliest of all.
const HAS_LATE_ROOT: u8 = 4;

impl Entry {
    pub(super) fn new(key: TraceKey, facts: &Facts, first_row: u32, rows: u32, shape: u32) -> Self {
        let Facts { root_start, start, latest, longest_us } = *facts;
        let after = start.zip(latest).map_or(0, |(start, latest)| latest.nanos() - start.nanos());
        Self {
            key,
            start,
            root_start,
            latest_after_ms: after.div_ceil(1_000_000),
            longest_us: from_coarse(coarse(longest_us)),
            first_row,
            rows,
            shape,
        }
    }

    /// As much of a trace's facts as decides when it starts.
    pub(super) fn facts(&self) -> Facts {
        Facts { root_start: self.root_start, start: self.start, ..Facts::default() }
    }

    /// Its rows.
    pub(crate) fn range(&self) -> Range<u64> {
        let first = u64::from(self.first_row);
        first..first + u64::from(self.rows)
    }

    /// When the trace starts, if all of it is here.
    pub(crate) fn start_alone(&self) -> Option<Timestamp> {
        self.root_start.or(self.start)
    }

    /// No span of it has a later timestamp.
    pub(crate) fn latest_ms(&self) -> Option<u64> {
        let start = self.start?;
        Some(start.millis().saturating_add(self.latest_after_ms).saturating_add(1))
    }

    /// Whether any span may start in these milliseconds, both ends included.
    pub(crate) fn may_touch(&self, start_ms: u64, end_ms: u64) -> bool {
        self.start.is_some_and(|start| start.millis() <= end_ms)
            && self.latest_ms().is_some_and(|latest| latest >= start_ms)
    }
}

/// A duration in two bytes, rounded up by less than one in 128: eight bits, and how far they are shifted.
fn coarse(us: u64) -> u16 {
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(8);
    let bits = us.div_ceil(1 << shift);
    // Rounded up it may have nine bits.
    let (shift, bits) = if bits == 256 { (shift + 1, 128) } else { (shift, bits) };
    u16::try_from(u64::from(shift) << 8 | bits).unwrap_or(u16::MAX)
}

fn from_coarse(coarse: u16) -> u64 {
    let (bits, shift) = (u64::from(coarse & 0xff), u32::from(coarse >> 8));
    bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits).unwrap_or(u64::MAX)
}

/// A page of entries, field by field, so that what is alike stands together.
pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.count(entries.len());
    entries.iter().for_each(|entry| encoder.fixed_u64(entry.key.low));
    entries.iter().for_each(|entry| encoder.fixed_u64(entry.key.high));
    for entry in entries {
        let bit = |is_so: bool, bit: u8| if is_so { bit } else { 0 };
        encoder.byte(
            bit(entry.start.is_some(), HAS_START)
                | bit(entry.root_start.is_some(), HAS_ROOT)
                | bit(entry.root_start.is_some() && entry.root_start != entry.start, HAS_LATE_ROOT),
        );
    }
    let mut last = 0;
    for start in entries.iter().filter_map(|entry| entry.start) {
        encoder.uint(zigzag(start.nanos().wrapping_sub(last).cast_signed()));
        last = start.nanos();
    }
    for entry in entries {
        if let (Some(start), Some(root)) = (entry.start, entry.root_start)
            && start != root
        {
            encoder.uint(root.nanos() - start.nanos());
        }
    }
    entries.iter().for_each(|entry| encoder.uint(entry.latest_after_ms));
    for entry in entries {
        let [low, high] = coarse(entry.longest_us).to_le_bytes();
        encoder.byte(low);
        encoder.byte(high);
    }
    entries.iter().for_each(|entry| encoder.uint(u64::from(entry.first_row)));
    entries.iter().for_each(|entry| encoder.uint(u64::from(entry.rows)));
    // Sets have numbers in the order in which entries have them, so most are the next one.
    let mut last = 0;
    for entry in entries {
        encoder.uint(zigzag(i64::from(entry.shape) - last));
        last = i64::from(entry.shape);
    }
    encoder.into_bytes()
}

/// Those of a block of version 3 have something else in the end.
pub(super) fn decode(bytes: &[u8], is_of_3: bool) -> Result<Vec<Entry>, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let count = decoder.count_of(BYTES_MIN)?;
    let key = TraceKey { low: 0, high: 0 };
    let mut entries = vec![Entry::new(key, &Facts::default(), 0, 0, 0); count];
    for entry in &mut entries {
        entry.key.low = decoder.fixed_u64()?;
    }
    for entry in &mut entries {
        entry.key.high = decoder.fixed_u64()?;
    }
    let mut has = Vec::with_capacity(count);
    for _ in 0..count {
        has.push(decoder.byte()?);
    }
    let mut last = 0u64;
    for (entry, has) in entries.iter_mut().zip(&has) {
        if has & HAS_START != 0 {
            last = last.wrapping_add(unzigzag(decoder.uint()?).cast_unsigned());
            let start = Timestamp::from_nanos(last);
            entry.start = Some(start);
            entry.root_start = (has & HAS_ROOT != 0).then_some(start);
        }
    }
    for (entry, has) in entries.iter_mut().zip(&has) {
        if let (Some(start), true) = (entry.start, has & HAS_LATE_ROOT != 0) {
            let root = start.nanos().checked_add(decoder.uint()?);
            let root = root.ok_or(Malformed { what: "a time past the end of time" })?;
            entry.root_start = Some(Timestamp::from_nanos(root));
        }
    }
    for entry in &mut entries {
        entry.latest_after_ms = decoder.uint()?;
    }
    for entry in &mut entries {
        let (low, high) = (decoder.byte()?, decoder.byte()?);
        entry.longest_us = from_coarse(u16::from_le_bytes([low, high]));
    }
    for entry in &mut entries {
        entry.first_row = decoder.uint_as()?;
    }
    for entry in &mut entries {
        entry.rows = decoder.uint_as()?;
    }
    let mut last = 0i64;
    for entry in &mut entries {
        entry.shape = match is_of_3 {
            true => decoder.uint_as()?,
            false => {
                last = last.wrapping_add(unzigzag(decoder.uint()?));
                u32::try_from(last)
                    .map_err(|_| Malformed { what: "a set of words that is none" })?
            }
        };
    }
    decoder.end()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up_by_little() {
        let mut random = fastrand::Rng::with_seed(1);
        for us in (0..1_000).chain((0..10_000).map(|_| random.u64(..) >> random.u32(0..64))) {
            let rounded = from_coarse(coarse(us));
            assert!(rounded >= us, "{us}: {rounded}");
            assert!(u128::from(rounded) <= u128::from(us) + u128::from(us) / 128 + 1, "{us}");
            assert_eq!(from_coarse(coarse(rounded)), rounded, "{us}");
        }
    }

    #[test]
    fn entries_read_back_as_written() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in 0..40 {
            let mut entry = |_| {
                let time = |n: u64| Timestamp::from_nanos(n);
                let start = time(random.u64(..) >> random.u32(0..64));
                let later = |random: &mut fastrand::Rng| time(random.u64(start.nanos()..));
                let facts = match random.u8(0..4) {
                    0 => Facts::default(),
                    1 => Facts { start: Some(start), latest: Some(start), ..Facts::default() },
                    at => Facts {
                        start: Some(start),
                        root_start: Some(if at == 2 { start } else { later(&mut random) }),
                        latest: Some(later(&mut random)),
                        longest_us: random.u64(..) >> random.u32(0..64),
                    },
                };
                let key = TraceKey { low: random.u64(..), high: random.u64(..) };
                let entry = Entry::new(key, &facts, random.u32(..), random.u32(..), random.u32(..));
                assert!(entry.longest_us >= facts.longest_us);
                for at in [facts.start, facts.latest].into_iter().flatten() {
                    assert!(entry.may_touch(at.millis(), at.millis()));
                }
                assert_eq!(entry.may_touch(0, u64::MAX), facts.start.is_some());
                entry
            };
            let entries: Vec<Entry> = (0..count).map(&mut entry).collect();
            let bytes = encode(&entries);
            assert_eq!(decode(&bytes, false).unwrap(), entries);
            assert!((0..bytes.len()).all(|len| decode(&bytes[..len], false).is_err()));
        }
    }
}
