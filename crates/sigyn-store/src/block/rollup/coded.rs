//! Counts as a block has them: in four streams, so that what is alike stands together. `docs/formats/block.md`
//! has every byte.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

use sigyn_model::{Kind, Measure, Sketch, bounds_of};

use super::{RollupBuilder, Sort, Status};
use crate::codec::{Decoder, Encoder, Malformed};

const KINDS: [Kind; 4] = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];
const STATUSES: [Status; 3] = [Status::Unset, Status::Ok, Status::Error];
const WRONG: Malformed = Malformed { what: "counts that no spans have" };

/// Where cells stand, and how many spans they have; their buckets; and what buckets leave out.
const STREAMS: usize = 3;
const CELLS: usize = 0;
const BUCKETS: usize = 1;
const VALUES: usize = 2;

/// A bucket takes a byte if it is so near to the one before, and has so few durations.
const GAPS: u64 = 63;
const COUNTS: u64 = 4;
/// What stands before others.
const LONG: u8 = 252;

/// Counts of a block.
#[derive(Debug, PartialEq)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Rollup {
    pub(crate) has_names: bool,
    first_minute: u32,
    last_minute: u32,
    texts: Vec<String>,
    sorts: Vec<Place>,
    streams: [Vec<u8>; STREAMS],
}

/// A sort of spans, and where its cells are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    service: u32,
    name: u32,
    kind: Option<Kind>,
    status: Status,
    cells: u32,
    /// In each stream.
    begins: [usize; STREAMS],
    ends: [usize; STREAMS],
}

/// Where one cell's durations are in a list of buckets.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) minute: u32,
    pub(crate) spans: u64,
    pub(crate) buckets: Range<usize>,
    pub(crate) sum: u128,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// Cells that are read together.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    pub(crate) cells: Vec<Cell>,
    pub(crate) buckets: Vec<(u16, u64)>,
}

fn put_wide(encoder: &mut Encoder<'_>, mut value: u128) {
    while value >= 0x80 {
        encoder.byte(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    encoder.byte(value.to_le_bytes()[0]);
}

fn take_wide(decoder: &mut Decoder<'_>) -> Result<u128, Malformed> {
    let mut value = 0u128;
    for shift in (0..126).step_by(7) {
        let byte = decoder.byte()?;
        value |= u128::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(WRONG)
}

/// The least that values in these buckets can add up to.
fn least_sum(buckets: &[(u16, u64)]) -> u128 {
    buckets
        .iter()
        .map(|(bucket, count)| u128::from(bounds_of(*bucket).0) * u128::from(*count))
        .sum()
}

fn put_cell(streams: &mut [Encoder<'_>; STREAMS], gap: u32, measure: &Measure) {
    let (buckets, durations) = (measure.durations.counts(), &measure.durations);
    let [cells, places, values] = streams;
    cells.uint(u64::from(gap));
    cells.uint(measure.spans);
    cells.uint(measure.spans - durations.count());
    cells.count(buckets.len());
    let (Some((first, _)), Some((last, _))) = (buckets.first(), buckets.last()) else { return };
    let mut next = 0;
    for (bucket, count) in buckets {
        let (gap, more) = (u64::from(bucket - next), count - 1);
        next = bucket + 1;
        match u8::try_from(gap * COUNTS + more) {
            Ok(short) if gap < GAPS && more < COUNTS => places.byte(short),
            _ => {
                places.byte(LONG);
                places.uint(gap);
                places.uint(more);
            }
        }
    }
    put_wide(values, durations.sum() - least_sum(buckets));
    if durations.count() > 1 {
        values.uint(durations.min().unwrap_or_default() - bounds_of(*first).0);
        values.uint(durations.max().unwrap_or_default() - bounds_of(*last).0);
    }
}

impl RollupBuilder {
    /// The section's bytes; `None` if nothing was counted.
    pub(crate) fn encode(&mut self) -> Option<Vec<u8>> {
        self.settle();
        let has_names = self.has_names()?;
        let sorts: Vec<Sort<'_>> = self.sorts().collect();
        let mut numbers: Vec<usize> = (0..sorts.len()).collect();
        numbers.sort_unstable_by_key(|number| sorts[*number]);
        let mut rank = vec![0; sorts.len()];
        for (at, number) in numbers.iter().enumerate() {
            rank[*number] = at;
        }
        let mut cells: Vec<(usize, u32, &Measure)> =
            self.cells().map(|(sort, minute, cell)| (rank[sort as usize], minute, cell)).collect();
        cells.sort_unstable_by_key(|(sort, minute, _)| (*sort, *minute));
        let minutes = || cells.iter().map(|(_, minute, _)| *minute);
        let (first_minute, last_minute) = minutes().min().zip(minutes().max())?;
        let mut head = Encoder::default();
        head.byte(u8::from(has_names));
        head.uint(u64::from(first_minute));
        head.uint(u64::from(last_minute - first_minute));
        head.count(sorts.len());
        let mut streams = [(); STREAMS].map(|()| Encoder::default());
        for cells in cells.chunk_by(|a, b| a.0 == b.0) {
            let Sort { service, name, kind, status } = sorts[numbers[cells[0].0]];
            head.string(service);
            head.string(name);
            let kind = KINDS.iter().position(|known| Some(*known) == kind).map_or(0, |at| at + 1);
            head.count(kind * STATUSES.len() + status as usize);
            head.count(cells.len());
            let begins = streams.each_ref().map(Encoder::len);
            let mut last = first_minute;
            for (_, minute, measure) in cells {
                put_cell(&mut streams, minute - last, measure);
                last = *minute;
            }
            for (stream, begin) in streams.iter().zip(begins) {
                head.count(stream.len() - begin);
            }
        }
        for stream in streams {
            head.bytes(&stream.into_bytes());
        }
        Some(head.into_bytes())
    }
}

impl Rollup {
    pub(crate) fn decode(raw: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(raw);
        let has_names = decoder.byte()? != 0;
        let first_minute: u32 = decoder.uint_as()?;
        let last_minute = first_minute.checked_add(decoder.uint_as()?).ok_or(WRONG)?;
        let count = decoder.count()?;
        let mut texts: Vec<String> = Vec::new();
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut sorts = Vec::new();
        let mut ends = [0usize; STREAMS];
        for _ in 0..count {
            let mut text = |text: String| {
                *numbers.entry(text).or_insert_with_key(|text| {
                    texts.push(text.clone());
                    u32::try_from(texts.len() - 1).unwrap_or(u32::MAX)
                })
            };
            let (service, name) = (text(decoder.string()?), text(decoder.string()?));
            let (kind, status) = {
                let both = usize::try_from(decoder.uint()?).unwrap_or(usize::MAX);
                let kind = both / STATUSES.len();
                let known = kind.checked_sub(1).map(|at| KINDS.get(at).copied().ok_or(WRONG));
                (known.transpose()?, STATUSES[both % STATUSES.len()])
            };
            let cells = decoder.uint_as()?;
            let begins = ends;
            for end in &mut ends {
                *end = end.checked_add(decoder.uint_as()?).ok_or(WRONG)?;
            }
            sorts.push(Place { service, name, kind, status, cells, begins, ends });
        }
        let mut streams = [(); STREAMS].map(|()| Vec::new());
        for (stream, end) in streams.iter_mut().zip(ends) {
            *stream = decoder.bytes()?.to_vec();
            if stream.len() != end {
                return Err(WRONG);
            }
        }
        decoder.end()?;
        Ok(Self { has_names, first_minute, last_minute, texts, sorts, streams })
    }

    /// All minutes in which a span starts are among these.
    #[cfg(test)]
    fn minutes(&self) -> RangeInclusive<u32> {
        self.first_minute..=self.last_minute
    }

    /// All sorts of spans, by number.
    pub(crate) fn sorts(&self) -> impl Iterator<Item = Sort<'_>> {
        self.sorts.iter().map(|place| {
            let text = |number: u32| self.texts.get(number as usize).map_or("", String::as_str);
            let Place { service, name, kind, status, .. } = *place;
            Sort { service: text(service), name: text(name), kind, status }
        })
    }

    /// Whether spans of this sort failed.
    pub(crate) fn is_error(&self, sort: usize) -> bool {
        self.sorts.get(sort).is_some_and(|place| place.status == Status::Error)
    }

    /// Appends the cells of a sort that are in these minutes, in order.
    pub(crate) fn read(
        &self,
        sort: usize,
        minutes: &RangeInclusive<u32>,
        out: &mut Cells,
    ) -> Result<(), Malformed> {
        let place = self.sorts.get(sort).ok_or(WRONG)?;
        let stream = |at: usize| {
            let bytes = self.streams[at].get(place.begins[at]..place.ends[at]);
            Decoder::new(bytes.unwrap_or_default())
        };
        let [mut heads, mut places, mut values] = [stream(CELLS), stream(BUCKETS), stream(VALUES)];
        let mut minute = self.first_minute;
        for _ in 0..place.cells {
            minute = minute.checked_add(heads.uint_as()?).ok_or(WRONG)?;
            let (spans, untimed) = (heads.uint()?, heads.uint()?);
            let durations = spans.checked_sub(untimed).ok_or(WRONG)?;
            let begin = out.buckets.len();
            let mut next = 0u16;
            let mut least = 0u128;
            for _ in 0..heads.uint()? {
                let short = places.byte()?;
                let (gap, more) = match u64::from(short) {
                    _ if short == LONG => (places.uint_as()?, places.uint()?),
                    both => (u16::from(short / 4), both % COUNTS),
                };
                let bucket = next.checked_add(gap).ok_or(WRONG)?;
                let count = more.checked_add(1).ok_or(WRONG)?;
                if bucket > BUCKET_MAX {
                    return Err(WRONG);
                }
                least += u128::from(bounds_of(bucket).0) * u128::from(count);
                next = bucket + 1;
                out.buckets.push((bucket, count));
            }
            let (mut sum, mut min, mut max) = (0, 0, 0);
            if let (Some(first), Some(last)) = (out.buckets.get(begin), out.buckets.last()) {
                sum = least.checked_add(take_wide(&mut values)?).ok_or(WRONG)?;
                (min, max) = match durations {
                    1 => u64::try_from(sum).map(|one| (one, one)).map_err(|_| WRONG)?,
                    _ => {
                        let above = |bucket: u16, more: u64| {
                            bounds_of(bucket).0.checked_add(more).ok_or(WRONG)
                        };
                        let min = above(first.0, values.uint()?)?;
                        (min, above(last.0, values.uint()?)?)
                    }
                };
            }
            if !minutes.contains(&minute) {
                out.buckets.truncate(begin);
                continue;
            }
            let buckets = begin..out.buckets.len();
            out.cells.push(Cell { minute, spans, buckets, sum, min, max });
        }
        // Each sort has bytes of its own, all of them: no byte is read for many.
        [heads, places, values].iter().try_for_each(Decoder::end)
    }
}

/// The bucket of the greatest number.
const BUCKET_MAX: u16 = 3_775;

impl Cells {
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.buckets.clear();
    }

    /// Those of one step of time together: the buckets are added up in `sums`, which is zero before and
    /// after.
    pub(crate) fn total(
        &self,
        cells: &[usize],
        sums: &mut Sums,
    ) -> Result<(u64, Sketch), Malformed> {
        let mut spans = 0u64;
        let (mut sum, mut min, mut max) = (0u128, u64::MAX, 0);
        for at in cells {
            let cell = &self.cells[*at];
            spans = spans.saturating_add(cell.spans);
            if cell.buckets.is_empty() {
                continue;
            }
            sums.add(&self.buckets[cell.buckets.clone()]);
            sum = sum.saturating_add(cell.sum);
            (min, max) = (min.min(cell.min), max.max(cell.max));
        }
        let counts = sums.take();
        let min = if counts.is_empty() { 0 } else { min };
        Ok((spans, Sketch::of_counts(counts, sum, min, max).ok_or(WRONG)?))
    }
}

/// Counts by bucket, all of them side by side.
#[derive(Debug)]
pub(crate) struct Sums {
    counts: Box<[u64]>,
    /// The first and the last that may not be zero.
    used: Option<(u16, u16)>,
}

impl Default for Sums {
    fn default() -> Self {
        Self { counts: vec![0; usize::from(BUCKET_MAX) + 1].into_boxed_slice(), used: None }
    }
}

impl Sums {
    fn add(&mut self, buckets: &[(u16, u64)]) {
        let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else { return };
        let (from, to) = self.used.unwrap_or((first.0, last.0));
        self.used = Some((from.min(first.0), to.max(last.0)));
        for (bucket, count) in buckets {
            let sum = &mut self.counts[usize::from(*bucket)];
            *sum = sum.saturating_add(*count);
        }
    }

    fn take(&mut self) -> Vec<(u16, u64)> {
        let Some((first, last)) = self.used.take() else { return Vec::new() };
        let mut counts = Vec::new();
        for bucket in first..=last {
            let count = std::mem::take(&mut self.counts[usize::from(bucket)]);
            if count > 0 {
                counts.push((bucket, count));
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::block::rollup::minute_of;
    use crate::block::source::Source;
    use crate::head::HeadWriter;
    use crate::testing;
    use sigyn_model::{Searched as _, Span};

    type Naive = BTreeMap<(String, String, Option<Kind>, Status, u32), Measure>;

    fn naive(spans: &[Span], has_names: bool) -> Naive {
        let mut cells = Naive::new();
        for span in spans {
            let Some(at) = span.timestamp else { continue };
            let name = if has_names { span.name.clone() } else { String::new() };
            let service = span.service_name().unwrap_or("").to_owned();
            let status = Status::of(span.status_code(), span.is_error());
            let nanos =
                span.duration.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            let measure = cells.entry((service, name, span.kind, status, minute_of(at)));
            measure.or_default().add_one(span.is_error(), nanos);
        }
        cells
    }

    fn read(rollup: &Rollup, minutes: &RangeInclusive<u32>) -> Naive {
        let (mut all, mut sums) = (Naive::new(), Sums::default());
        for (number, sort) in rollup.sorts().enumerate() {
            let mut cells = Cells::default();
            rollup.read(number, minutes, &mut cells).unwrap();
            for (at, cell) in cells.cells.iter().enumerate() {
                let (spans, durations) = cells.total(&[at], &mut sums).unwrap();
                let Sort { service, name, kind, status } = sort;
                let key = (service.to_owned(), name.to_owned(), kind, status, cell.minute);
                let errors = if rollup.is_error(number) { spans } else { 0 };
                all.insert(key, Measure { spans, errors, durations });
            }
        }
        all
    }

    #[test]
    fn no_sort_reads_what_is_anothers() {
        let mut random = fastrand::Rng::with_seed(1);
        let spans: Vec<Span> = (0..60).map(|_| testing::span(&mut random)).collect();
        let mut head = HeadWriter::new();
        head.insert(&spans, 1);
        let view = head.view();
        let mut builder = RollupBuilder::default();
        for row in 0..Source::rows(&view) {
            builder.add(&view, &view.row(row), &[]);
        }
        let rollup = Rollup::decode(&builder.encode().unwrap()).unwrap();
        let read = |change: fn(&mut Place)| {
            let mut rollup = rollup.clone();
            change(&mut rollup.sorts[1]);
            rollup.read(1, &(0..=u32::MAX), &mut Cells::default())
        };
        assert_eq!(read(|_| {}), Ok(()));
        // More than there are, or fewer.
        read(|place| place.cells += 1).unwrap_err();
        read(|place| place.cells -= 1).unwrap_err();
        read(|place| place.ends = place.begins).unwrap_err();
        read(|place| place.begins = [0; STREAMS]).unwrap_err();
    }

    #[test]
    fn counts_read_back_as_they_were_and_with_names_as_long_as_there_is_room() {
        let mut kinds_of_room = [false; 3];
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut builder = RollupBuilder::default();
            let mut all = Vec::new();
            for _ in 0..random.usize(0..4) {
                let mut spans: Vec<Span> =
                    (0..random.usize(0..60)).map(|_| testing::span(&mut random)).collect();
                if seed % 5 == 1 {
                    spans.iter_mut().for_each(|span| span.name = random.u64(..).to_string());
                }
                if seed % 5 == 2 {
                    let mut at = || sigyn_model::Timestamp::from_nanos(random.u64(..));
                    spans.iter_mut().for_each(|span| span.timestamp = Some(at()));
                }
                let mut head = HeadWriter::new();
                head.insert(&spans, 1);
                let view = head.view();
                builder.begin_source();
                for row in 0..Source::rows(&view) {
                    let (mut tags, mut ends) = (Vec::new(), Vec::new());
                    view.tags_into(&[row], &mut tags, &mut ends);
                    builder.add(&view, &view.row(row), &tags);
                }
                all.extend(spans);
            }
            builder.settle();
            let Some(has_names) = builder.has_names() else {
                kinds_of_room[2] = true;
                assert_eq!(builder.encode(), None);
                continue;
            };
            kinds_of_room[usize::from(!has_names)] = true;
            let expected = naive(&all, has_names);
            let Some(raw) = builder.encode() else {
                assert!(expected.is_empty());
                continue;
            };
            let rollup = Rollup::decode(&raw).unwrap();
            assert_eq!(rollup.has_names, has_names);
            assert_eq!(read(&rollup, &rollup.minutes()), expected, "seed {seed}");
            let (first, last) = rollup.minutes().into_inner();
            let some = first + (last - first) / 3..=last - (last - first) / 4;
            let expected = expected.into_iter().filter(|((.., at), _)| some.contains(at)).collect();
            assert_eq!(read(&rollup, &some), expected, "seed {seed}");
            assert!((0..raw.len()).all(|len| Rollup::decode(&raw[..len]).is_err()));
        }
        assert_eq!(kinds_of_room, [true; 3]);
    }
}
