//! How values are distributed, in little room: counts in buckets whose width grows with the value.
//!
//! A DDSketch (Masson, Rim and Lee, VLDB 2019) with the linearly interpolated mapping: a power of two
//! is split into 64 buckets of equal width. So it is exact arithmetic on whole numbers, the same on every
//! machine, and every value up to 64 bits has its bucket: none is ever collapsed. The sketch of a
//! union is the sum of the sketches.

use std::cmp::Ordering;

/// Of a quantile, at most: what is told lies this far from a value that was added, as a share of that value.
pub const RELATIVE_ERROR: f64 = 1.0 / 129.0;

/// Bits of a value, below its highest, that choose its bucket.
const BITS: u32 = 6;

/// A sketch with so many times fewer buckets than another is added to it bucket by bucket.
const MUCH_SMALLER: usize = 16;

/// Values that were added, by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// By bucket; none is zero.
    counts: Vec<(u16, u64)>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// The bucket of a value: values below 64 have one each.
pub fn bucket_of(value: u64) -> u16 {
    let highest = 63 - value.max(1).leading_zeros();
    let bucket = match highest.checked_sub(BITS) {
        None => value,
        // The highest bit is set: it stands for the 64 buckets of the octaves before.
        Some(shift) => (u64::from(shift) << BITS) + (value >> shift),
    };
    u16::try_from(bucket).unwrap_or(u16::MAX)
}

/// The least and the greatest value of a bucket that a value has.
pub fn bounds_of(bucket: u16) -> (u64, u64) {
    let bucket = u64::from(bucket);
    match (bucket >> BITS).checked_sub(1) {
        None | Some(0) => (bucket, bucket),
        Some(shift) => {
            let least = (bucket - (shift << BITS)) << shift;
            (least, least + ((1 << shift) - 1))
        }
    }
}

/// Counts of two, each in order.
fn merged(mut a: &[(u16, u64)], mut b: &[(u16, u64)]) -> Vec<(u16, u64)> {
    let mut both = Vec::with_capacity(a.len().max(b.len()));
    while let ([first_a, rest_a @ ..], [first_b, rest_b @ ..]) = (a, b) {
        match first_a.0.cmp(&first_b.0) {
            Ordering::Less => {
                both.push(*first_a);
                a = rest_a;
            }
            Ordering::Greater => {
                both.push(*first_b);
                b = rest_b;
            }
            Ordering::Equal => {
                both.push((first_a.0, first_a.1 + first_b.1));
                (a, b) = (rest_a, rest_b);
            }
        }
    }
    both.extend_from_slice(a);
    both.extend_from_slice(b);
    both
}

impl Sketch {
    pub fn add(&mut self, value: u64) {
        self.add_many(bucket_of(value), 1);
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum += u128::from(value);
    }

    fn add_many(&mut self, bucket: u16, count: u64) {
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.counts[at].1 += count,
            Err(at) => self.counts.insert(at, (bucket, count)),
        }
    }

    /// Adds all that was added to another.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if other.counts.len() < self.counts.len() / MUCH_SMALLER {
            other.counts.iter().for_each(|(bucket, count)| self.add_many(*bucket, *count));
        } else {
            self.counts = merged(&self.counts, &other.counts);
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
    }

    /// All that was added to any of these.
    pub fn sum_of<'a>(sketches: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sums = vec![0u64; usize::from(bucket_of(u64::MAX)) + 1];
        let mut total = Self { min: u64::MAX, ..Self::default() };
        for sketch in sketches.into_iter().filter(|sketch| sketch.count > 0) {
            for (bucket, count) in &sketch.counts {
                sums[usize::from(*bucket)] += count;
            }
            total.count += sketch.count;
            total.sum += sketch.sum;
            total.min = total.min.min(sketch.min);
            total.max = total.max.max(sketch.max);
        }
        if total.count == 0 {
            return Self::default();
        }
        let used = (0..).zip(sums).filter(|(_, count)| *count > 0);
        total.counts = used.collect();
        total
    }

    /// Takes out one of several equal values that were added: another one must stay.
    pub fn remove(&mut self, value: u64) {
        let bucket = bucket_of(value);
        let found = self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket);
        if let Ok(at) = found
            && self.counts[at].1 > 1
        {
            self.counts[at].1 -= 1;
            self.count -= 1;
            self.sum -= u128::from(value);
        }
    }

    /// What was counted elsewhere: by bucket, in order and none of them zero. `None` if these values
    /// cannot have such a sum, least and greatest one.
    pub fn of_counts(counts: Vec<(u16, u64)>, sum: u128, min: u64, max: u64) -> Option<Self> {
        let (Some(first), Some(last)) = (counts.first(), counts.last()) else {
            return (sum == 0 && min == 0 && max == 0).then(Self::default);
        };
        let (mut count, mut next) = (0u64, 0);
        for (bucket, of_bucket) in &counts {
            if *of_bucket == 0 || u32::from(*bucket) < next {
                return None;
            }
            next = u32::from(*bucket) + 1;
            count = count.checked_add(*of_bucket)?;
        }
        let is_right = (bucket_of(min), bucket_of(max)) == (first.0, last.0)
            && (min <= max)
            && u128::from(min) * u128::from(count) <= sum
            && sum <= u128::from(max) * u128::from(count);
        is_right.then_some(Self { counts, count, sum, min, max })
    }

    /// How many values are in each bucket: what [`Sketch::of_counts`] takes.
    pub fn counts(&self) -> &[(u16, u64)] {
        &self.counts
    }

    /// What its buckets take in memory, but for room to grow.
    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(self.counts.as_slice()) as u64
    }

    /// How many values were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Exact.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// Exact; `None` of no values.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// Exact; `None` of no values.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// Exact, but for what a floating point number leaves out.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The value that stands at `q` times the last place when all are sorted, places counted from 0 and
    /// rounded down: no further from it than [`RELATIVE_ERROR`]. The first and the last place are told exactly.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let last = self.count.checked_sub(1)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the last place"
        )]
        let place = (q.clamp(0.0, 1.0) * last as f64) as u64;
        if place == 0 || place >= last {
            return Some(if place == 0 { self.min } else { self.max });
        }
        let mut before = 0;
        let (bucket, _) = self.counts.iter().find(|(_, count)| {
            before += count;
            before > place
        })?;
        let (least, greatest) = bounds_of(*bucket);
        // What is as far from one end as from the other, each taken as a share of that end.
        let (a, b) = (u128::from(least), u128::from(greatest));
        let middle = a + a * (b - a) / (a + b).max(1);
        let middle = u64::try_from(middle).unwrap_or(greatest);
        Some(middle.clamp(self.min, self.max))
    }

    /// Counts by bucket: the least and the greatest value of each, and how many are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        self.counts.iter().map(|(bucket, count)| {
            let (least, greatest) = bounds_of(*bucket);
            (least, greatest, *count)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    #[test]
    fn buckets_follow_each_other_without_gap_up_to_the_last_value() {
        let mut next = 0;
        for bucket in 0..=bucket_of(u64::MAX) {
            let (least, greatest) = bounds_of(bucket);
            assert_eq!(least, next, "{bucket}");
            assert_eq!((bucket_of(least), bucket_of(greatest)), (bucket, bucket));
            next = greatest.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends with the last value");
        assert_eq!(bucket_of(u64::MAX), 3_775);
    }

    #[test]
    fn a_few_values_are_told_as_they_are() {
        let check = |values: &[u64], q: f64, expected: Option<u64>| {
            assert_eq!(sketch(values).quantile(q), expected, "{values:?} {q}");
        };
        check(&[], 0.5, None);
        check(&[0], 0.5, Some(0));
        check(&[1_000_000], 0.99, Some(1_000_000));
        check(&[1, 2, 3, 4], 0.0, Some(1));
        check(&[1, 2, 3, 4], 0.5, Some(2));
        check(&[4, 3, 2, 1], 1.0, Some(4));
        check(&[1, u64::MAX], 1.0, Some(u64::MAX));
        let some = sketch(&[5, 1_000_000_007, 20]);
        assert_eq!(
            (some.min(), some.max(), some.sum()),
            (Some(5), Some(1_000_000_007), 1_000_000_032)
        );
        assert_eq!((Sketch::default().min(), Sketch::default().mean()), (None, None));
        assert_eq!(some.buckets().map(|(_, _, count)| count).sum::<u64>(), some.count());
    }

    #[test]
    fn counts_that_no_values_have_are_no_sketch() {
        let check = |counts: &[(u16, u64)], sum, min, max, expected: bool| {
            let sketch = Sketch::of_counts(counts.to_vec(), sum, min, max);
            assert_eq!(sketch.is_some(), expected, "{counts:?} {sum} {min} {max}");
        };
        check(&[], 0, 0, 0, true);
        check(&[], 1, 0, 0, false);
        check(&[(5, 2)], 10, 5, 5, true);
        check(&[(5, 2)], 11, 5, 5, false);
        check(&[(5, 2)], 10, 5, 6, false);
        check(&[(5, 0)], 0, 5, 5, false);
        check(&[(6, 1), (5, 1)], 11, 5, 6, false);
        check(&[(5, 1), (6, 1)], 11, 5, 6, true);
        check(&[(5, u64::MAX), (6, 1)], 11, 5, 6, false);
        check(&[(9_999, 1)], 11, 11, 11, false);
    }

    fn values() -> impl Strategy<Value = Vec<u64>> {
        let value = prop_oneof![
            0..100u64,
            1_000..1_000_000_000u64,
            any::<u64>(),
            (0..64u32).prop_map(|bit| 1 << bit),
        ];
        prop::collection::vec(value, 0..60)
    }

    proptest! {
        #[test]
        fn a_quantile_is_as_near_as_it_says(mut values in values(), q in 0.0..=1.0f64) {
            let told = sketch(&values).quantile(q);
            values.sort_unstable();
            // The place is the greatest that is no more than `q` times the last.
            let last = values.len().saturating_sub(1);
            let place = (0..=last).rev().find(|place| *place as f64 <= q * last as f64);
            let expected = values.get(place.unwrap()).copied();
            prop_assert_eq!(told.is_some(), expected.is_some());
            if let (Some(told), Some(expected)) = (told, expected) {
                let error = told.abs_diff(expected) as f64;
                // Half a unit for what whole numbers leave out.
                prop_assert!(error <= expected as f64 * RELATIVE_ERROR + 0.5, "{} {}", told, expected);
            }
        }

        #[test]
        fn what_was_counted_comes_back_and_twins_go(values in values(), at in any::<prop::sample::Index>()) {
            let whole = sketch(&values);
            let (min, max) = (whole.min().unwrap_or(0), whole.max().unwrap_or(0));
            let again = Sketch::of_counts(whole.counts().to_vec(), whole.sum(), min, max);
            prop_assert_eq!(again.as_ref(), Some(&whole));
            if !values.is_empty() {
                let twin = *at.get(&values);
                let mut more = whole.clone();
                more.add(twin);
                more.remove(twin);
                prop_assert_eq!(more, whole);
            }
        }

        #[test]
        fn the_sketch_of_a_union_is_the_sum_in_whatever_pieces_and_order(
            a in values(), b in values(), c in values(),
        ) {
            let whole = sketch(&[a.clone(), b.clone(), c.clone()].concat());
            let (a, b, c) = (sketch(&a), sketch(&b), sketch(&c));
            prop_assert_eq!(&Sketch::sum_of([&a, &b, &c]), &whole);
            let mut left = a.clone();
            left.merge(&b);
            left.merge(&c);
            let mut right = c;
            right.merge(&a);
            right.merge(&b);
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(&right, &whole);
        }
    }
}
