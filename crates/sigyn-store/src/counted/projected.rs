//! What a block counted ahead, in the groups and steps of a question. It is kept from question to question, so it is
//! packed: durations of a busy service are in hundreds of buckets each minute, most with a few spans.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use sigyn_model::{Field, Measure, Sketch};

use super::Counting;
use crate::block::rollup::{Cells, MINUTE_US, Rollup, Sums};
use crate::block::{Block, QueryFailed};
use crate::codec::{Decoder, Encoder, Malformed};
use crate::query::Bounds;

/// Spans of a block in the groups of a question.
#[derive(Debug, Default)]
pub(super) struct Projected {
    asked: (String, Vec<Field>, u64),
    has_names: bool,
    groups: Vec<Group>,
    /// Buckets of durations of all steps, one after another.
    packed: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    key: Vec<String>,
    steps: Vec<Step>,
}

/// Spans of a group that start in one step.
#[derive(Debug)]
struct Step {
    /// The least microsecond of it that was asked for.
    at_us: u64,
    spans: u64,
    errors: u64,
    /// Of durations, as the least and the greatest are.
    sum: u128,
    min: u64,
    max: u64,
    /// How many buckets there are.
    buckets: u32,
}

impl Block {
    /// What was counted ahead, in the groups of a question; `None` if that does not tell them apart.
    pub(super) fn projected(
        &self,
        counting: &Counting<'_>,
        bounds: Bounds<'_>,
    ) -> Result<Option<Arc<Projected>>, QueryFailed> {
        let Some((first, last)) = self.minutes() else { return Ok(None) };
        let window = counting.minutes();
        if last < *window.start() || first > *window.end() {
            return Ok(Some(Arc::default()));
        }
        let work_out = |rollup: &Rollup| {
            let projected = Projected::of(self, rollup, counting, &window, bounds)?;
            let bytes = projected.bytes();
            Ok((projected, bytes))
        };
        let is_told = |projected: &Arc<Projected>| projected.has_names || !counting.needs_names;
        if window.contains(&first) && window.contains(&last) {
            let asked = counting.asked();
            let mut hasher = DefaultHasher::new();
            asked.hash(&mut hasher);
            let projected = self.of_counts(Some(hasher.finish()), work_out)?;
            // Two questions may hash to the same.
            if projected.as_ref().is_none_or(|projected| projected.asked == asked) {
                return Ok(projected.filter(is_told));
            }
        }
        Ok(self.of_counts(None, work_out)?.filter(is_told))
    }
}

impl Projected {
    fn of(
        block: &Block,
        rollup: &Rollup,
        counting: &Counting<'_>,
        minutes: &RangeInclusive<u32>,
        bounds: Bounds<'_>,
    ) -> Result<Self, QueryFailed> {
        let wrong = |error: Malformed| block.miscounted(error);
        let mut sorts: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
        for (number, sort) in rollup.sorts().enumerate() {
            if let Some(key) = counting.key(&sort) {
                sorts.entry(key).or_default().push(number);
            }
        }
        let step_us = counting.query.steps().len_us();
        let (mut cells, mut sums) = (Cells::default(), Sums::default());
        let mut groups: Vec<Group> = Vec::new();
        let mut packed = Encoder::default();
        let mut bytes = 0;
        for (key, sorts) in sorts {
            bounds.stop.check()?;
            cells.clear();
            let mut places: Vec<(u64, usize, bool)> = Vec::new();
            for sort in sorts {
                rollup.read(sort, minutes, &mut cells).map_err(wrong)?;
                for (at, cell) in cells.cells.iter().enumerate().skip(places.len()) {
                    let at_us = u64::from(cell.minute) * MINUTE_US;
                    places.push((at_us / step_us * step_us, at, rollup.is_error(sort)));
                }
            }
            places.sort_unstable();
            let mut steps = Vec::new();
            let mut of_step: Vec<usize> = Vec::new();
            for step in places.chunk_by(|a, b| a.0 == b.0) {
                of_step.clear();
                of_step.extend(step.iter().map(|(_, at, _)| *at));
                let (spans, durations) = cells.total(&of_step, &mut sums).map_err(wrong)?;
                let failed = step.iter().filter(|(_, _, is_error)| *is_error);
                let errors = failed.map(|(_, at, _)| cells.cells[*at].spans).sum();
                let step = Step {
                    at_us: step[0].0,
                    spans,
                    errors,
                    sum: durations.sum(),
                    min: durations.min().unwrap_or(0),
                    max: durations.max().unwrap_or(0),
                    buckets: u32::try_from(durations.counts().len()).unwrap_or(0),
                };
                pack(durations.counts(), &mut packed);
                steps.push(step);
            }
            let group = Group { key, steps };
            bytes += group.bytes();
            bounds.check((bytes + packed.len()) as u64)?;
            groups.push(group);
        }
        let mut packed = packed.into_bytes();
        packed.shrink_to_fit();
        Ok(Self { asked: counting.asked(), has_names: rollup.has_names, groups, packed })
    }

    /// Calls `each` with a group's key, a time in a step of it, and what was counted there.
    pub(super) fn each(
        &self,
        each: &mut impl FnMut(&[String], u64, Measure),
    ) -> Result<(), Malformed> {
        let mut decoder = Decoder::new(&self.packed);
        for Group { key, steps } in &self.groups {
            for step in steps {
                let counts = unpack(step.buckets, &mut decoder)?;
                let durations = Sketch::of_counts(counts, step.sum, step.min, step.max);
                let durations = durations.ok_or(WRONG)?;
                let Step { at_us, spans, errors, .. } = *step;
                each(key, at_us, Measure { spans, errors, durations });
            }
        }
        Ok(())
    }

    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        self.groups.iter().map(Group::bytes).sum::<usize>() + self.packed.len()
    }
}

impl Group {
    fn bytes(&self) -> usize {
        let key = self.key.iter().map(|text| size_of::<String>() + text.len());
        size_of::<Self>() + key.sum::<usize>() + size_of_val(self.steps.as_slice())
    }
}

const WRONG: Malformed = Malformed { what: "counts that no spans have" };

/// A bucket takes a byte where it is near to the one before, and has few spans: how many buckets lie between, and the
/// count. Where that is not so the byte is zero, and both follow.
const NEAR: u8 = 16;
const FEW: u8 = 16;

fn pack(counts: &[(u16, u64)], out: &mut Encoder<'_>) {
    let mut next = 0;
    for (bucket, count) in counts {
        let gap = u64::from(bucket - next);
        next = bucket + 1;
        match (u8::try_from(gap), u8::try_from(*count)) {
            (Ok(gap @ 0..NEAR), Ok(count @ 0..FEW)) => out.byte(gap * FEW + count),
            _ => {
                out.byte(0);
                out.uint(gap);
                out.uint(*count);
            }
        }
    }
}

fn unpack(buckets: u32, decoder: &mut Decoder<'_>) -> Result<Vec<(u16, u64)>, Malformed> {
    let mut counts = Vec::with_capacity(buckets as usize);
    let mut next = 0u16;
    for _ in 0..buckets {
        let (gap, count) = match decoder.byte()? {
            0 => (decoder.uint_as()?, decoder.uint()?),
            both => (u16::from(both / FEW), u64::from(both % FEW)),
        };
        let bucket = next.checked_add(gap).ok_or(WRONG)?;
        counts.push((bucket, count));
        next = bucket.checked_add(1).ok_or(WRONG)?;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_come_out_as_they_went_in_and_most_take_a_byte() {
        let check = |counts: &[(u16, u64)], bytes: usize| {
            let mut packed = Encoder::default();
            pack(counts, &mut packed);
            let packed = packed.into_bytes();
            assert_eq!(packed.len(), bytes, "{counts:?}");
            let mut decoder = Decoder::new(&packed);
            let buckets = u32::try_from(counts.len()).unwrap();
            assert_eq!(unpack(buckets, &mut decoder).unwrap(), counts);
            decoder.end().unwrap();
        };
        check(&[], 0);
        check(&[(0, 1), (1, 15), (17, 3)], 3);
        check(&[(15, 15)], 1);
        check(&[(0, 16)], 3);
        check(&[(16, 1)], 3);
        check(&[(3, 1), (3_775, u64::MAX)], 14);
    }
}
