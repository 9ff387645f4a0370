//! Rate, errors and durations of spans: per group, and per step of time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::selection::{nanos_of, span_nanos};
use crate::{Field, Searched, Selection, Sketch, Span, Steps, StepsError};

/// Of one answer.
const STEPS_MAX: u32 = 10_000;
const SERIES_MAX: usize = 1_000;
/// Series times steps: each may have a sketch of its own.
const CELLS_MAX: usize = 100_000;
const FIELDS_MAX: usize = 6;
const MINUTE_US: u64 = 60_000_000;
/// About so many bytes of names of groups, and of how many spans each has, are held to choose among.
const WEIGHED_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a value that names a group; a longer one is cut.
const VALUE_MAX: usize = 256;

/// A valid question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedQuery {
    selection: Selection,
    by: Vec<Field>,
    steps: Steps,
    series_max: usize,
    weighed_bytes_max: u64,
}

/// Why there is no such question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedError {
    #[error(transparent)]
    Steps(#[from] StepsError),
    #[error("no more than {FIELDS_MAX} fields to group by")]
    TooManyFields,
    #[error("a span has many annotations: they do not group it")]
    Annotation,
}

/// The answer, as far as spans have been added. Parts that were made of different spans by the same
/// query merge to the answer of the whole. If there are too many groups this tells only which have most spans, and
/// [`Red::again`] what to add all spans to once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Red {
    query: RedQuery,
    kept: Kept,
    /// By the values of the fields in their order, empty where a span has none.
    series: BTreeMap<Vec<String>, Series>,
    rest: Option<Measure>,
    /// About what the series take in memory.
    bytes: u64,
}

/// Which groups have series.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    /// All, as long as there are no more than may be.
    All,
    /// None: there are too many, and first it must be known which have most spans.
    None(Weighed),
    /// Those that had most spans, and the others are together in `rest`.
    Most { keys: BTreeSet<Vec<String>>, is_limited: bool },
}

/// How many spans each group has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Weighed {
    spans: BTreeMap<Vec<String>, u64>,
    /// The first in order that there was no room for. Those before it have been counted from the beginning.
    end: Option<Vec<String>>,
}

/// One group of spans, by steps in which any of them started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    pub steps: BTreeMap<u32, Measure>,
}

/// How many spans there were, how many failed, and how long those took that say so, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    pub spans: u64,
    pub errors: u64,
    pub durations: Sketch,
}

impl RedQuery {
    /// Where steps are whole minutes the window becomes so, too, at both ends: spans are counted ahead by
    /// the minute.
    pub fn new(selection: Selection, by: Vec<Field>, step_us: u64) -> Result<Self, RedError> {
        if by.len() > FIELDS_MAX {
            return Err(RedError::TooManyFields);
        }
        if by.contains(&Field::Annotation) {
            return Err(RedError::Annotation);
        }
        let selection = if step_us > 0 && step_us.is_multiple_of(MINUTE_US) {
            let start_us = selection.start_us - selection.start_us % MINUTE_US;
            let end_us = selection.end_us - selection.end_us % MINUTE_US;
            let end_us = end_us.saturating_add(MINUTE_US - 1);
            Selection { start_us, end_us, ..selection }
        } else {
            selection
        };
        let steps = Steps::new(&selection, step_us, STEPS_MAX)?;
        let series_max = (CELLS_MAX / steps.count() as usize).clamp(1, SERIES_MAX);
        Ok(Self { selection, by, steps, series_max, weighed_bytes_max: WEIGHED_BYTES_MAX })
    }

    /// The same, with no more groups than this.
    #[must_use]
    pub fn with_series_max(self, max: usize) -> Self {
        Self { series_max: self.series_max.min(max.max(1)), ..self }
    }

    /// The same, choosing among no more groups than this has room for.
    #[must_use]
    pub fn with_weighed_bytes_max(self, max: u64) -> Self {
        Self { weighed_bytes_max: self.weighed_bytes_max.min(max), ..self }
    }

    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    pub fn by(&self) -> &[Field] {
        &self.by
    }

    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The name of the group in which a span is.
    pub fn key(&self, span: &impl Searched) -> Vec<String> {
        let text =
            |field: &Field| field.of(span).map_or_else(String::new, |text| cut(&text).to_owned());
        self.by.iter().map(text).collect()
    }
}

impl Red {
    pub fn new(query: RedQuery) -> Self {
        Self { query, kept: Kept::All, series: BTreeMap::new(), rest: None, bytes: 0 }
    }

    /// The answer for whole traces.
    pub fn of(query: &RedQuery, traces: &[Vec<Span>]) -> Self {
        let look = |mut red: Self| {
            traces.iter().for_each(|trace| red.add(trace));
            red
        };
        let first = look(Self::new(query.clone()));
        first.again().map_or(first, look)
    }

    /// Where there are too many groups, to what all spans are added once more: those groups that have most spans
    /// are kept in it, of those with as many the first in order.
    pub fn again(&self) -> Option<Self> {
        let Kept::None(weighed) = &self.kept else { return None };
        let mut most: Vec<(&Vec<String>, &u64)> = weighed.spans.iter().collect();
        // Already in the order of their names.
        most.sort_by_key(|(_, spans)| Reverse(**spans));
        most.truncate(self.query.series_max);
        let keys = most.into_iter().map(|(key, _)| key.clone()).collect();
        let kept = Kept::Most { keys, is_limited: weighed.end.is_some() };
        Some(Self { kept, ..Self::new(self.query.clone()) })
    }

    /// Whether there were more groups than could be chosen among: of those that are later in order some may have more
    /// spans than the ones that are told.
    pub fn is_limited(&self) -> bool {
        matches!(self.kept, Kept::Most { is_limited: true, .. })
    }

    pub fn query(&self) -> &RedQuery {
        &self.query
    }

    /// By the values of the fields in their order.
    pub fn series(&self) -> &BTreeMap<Vec<String>, Series> {
        &self.series
    }

    /// Spans of groups that there was no room for.
    pub fn rest(&self) -> Option<&Measure> {
        self.rest.as_ref()
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds one whole trace.
    pub fn add(&mut self, trace: &[Span]) {
        for span in self.query.selection.spans(trace) {
            self.add_span(span);
        }
    }

    /// Adds a span that is meant, and in the window.
    pub fn add_span(&mut self, span: &Span) {
        self.change(span, 1, |measure| measure.add(span));
    }

    /// Adds a span that is meant, and in the window, by the key that [`RedQuery::key`] gives it, and whether
    /// it failed.
    pub fn add_one(&mut self, key: &[String], span: &impl Searched, is_error: bool) {
        if let Some(at) = span.timestamp() {
            let nanos = span.duration().map(nanos_of);
            self.change_at(key, at.micros(), 1, |measure| measure.add_one(is_error, nanos));
        }
    }

    /// Takes out a span that was added more than once, and stays at least once.
    pub fn remove_span(&mut self, span: &Span) {
        self.change(span, -1, |measure| measure.remove(span));
    }

    fn change(&mut self, span: &Span, spans: i64, change: impl FnOnce(&mut Measure)) {
        if let Some(at) = span.timestamp {
            self.change_at(&self.query.key(span), at.micros(), spans, change);
        }
    }

    /// Adds spans that are meant, and in one step of the window, by the key that [`RedQuery::key`] gives them.
    pub fn add_measure(&mut self, key: &[String], at_us: u64, theirs: Measure) {
        self.change_at(key, at_us, theirs.spans.cast_signed(), |measure| {
            // Most steps of most groups are counted in one place.
            if measure.spans == 0 {
                *measure = theirs;
            } else {
                measure.merge(&theirs);
            }
        });
    }

    /// Changes the measure of a group in a step, which makes it so many spans more.
    fn change_at(
        &mut self,
        key: &[String],
        at_us: u64,
        spans: i64,
        change: impl FnOnce(&mut Measure),
    ) {
        let is_known = self.series.contains_key(key);
        let is_kept = match &self.kept {
            Kept::All => is_known || self.series.len() < self.query.series_max,
            Kept::None(_) => false,
            Kept::Most { keys, .. } => is_known || keys.contains(key),
        };
        if !is_kept {
            return match self.kept {
                Kept::All | Kept::None(_) => self.weigh(key, spans),
                Kept::Most { .. } => change(self.rest.get_or_insert_default()),
            };
        }
        if !is_known {
            self.bytes += name_bytes(key);
            self.series.insert(key.to_vec(), Series::default());
        }
        let Some(series) = self.series.get_mut(key) else { return };
        let measure = series.steps.entry(self.query.steps.of(at_us)).or_default();
        let before = if measure.spans == 0 { 0 } else { measure.bytes() };
        change(measure);
        self.bytes = self.bytes + measure.bytes() - before;
    }

    fn weigh(&mut self, key: &[String], spans: i64) {
        let weighed = self.weighed();
        if weighed.end.as_deref().is_some_and(|end| key >= end) {
            return;
        }
        if let Some(known) = weighed.spans.get_mut(key) {
            *known = known.wrapping_add_signed(spans);
            return;
        }
        weighed.spans.insert(key.to_vec(), spans.cast_unsigned());
        self.bytes += name_bytes(key);
        self.make_room();
    }

    /// From here on only how many spans each group has is told, also of those that were added before.
    fn weighed(&mut self) -> &mut Weighed {
        if !matches!(self.kept, Kept::None(_)) {
            let series = std::mem::take(&mut self.series).into_iter();
            let spans: BTreeMap<Vec<String>, u64> = series
                .map(|(key, series)| (key, series.steps.values().map(|step| step.spans).sum()))
                .collect();
            self.bytes = spans.keys().map(|key| name_bytes(key)).sum();
            self.kept = Kept::None(Weighed { spans, end: None });
        }
        match &mut self.kept {
            Kept::None(weighed) => weighed,
            Kept::All | Kept::Most { .. } => unreachable!("it was just made so"),
        }
    }

    /// Of more groups than there is room for the last in order go, and those behind them stay away.
    fn make_room(&mut self) {
        let Kept::None(weighed) = &mut self.kept else { return };
        while self.bytes > self.query.weighed_bytes_max
            && let Some((last, _)) = weighed.spans.pop_last()
        {
            self.bytes -= name_bytes(&last);
            weighed.end = Some(last);
        }
    }

    /// Adds what was made of other spans by the same query, and at the same look.
    pub fn merge(&mut self, mut other: Self) {
        let is_much = |red: &Self| matches!(red.kept, Kept::None(_));
        if is_much(self) || is_much(&other) {
            let theirs = std::mem::take(other.weighed());
            if let Some(end) = theirs.end {
                let ours = self.weighed();
                ours.spans.split_off(&end);
                ours.end = Some(ours.end.take().map_or(end.clone(), |ours| ours.min(end)));
                self.bytes = ours.spans.keys().map(|key| name_bytes(key)).sum();
            }
            for (key, spans) in theirs.spans {
                self.weigh(&key, spans.cast_signed());
            }
            return self.make_room();
        }
        for (key, theirs) in other.series {
            let ours = self.series.entry(key).or_default();
            for (step, measure) in theirs.steps {
                ours.steps.entry(step).or_default().merge(&measure);
            }
        }
        if let Some(theirs) = other.rest {
            self.rest.get_or_insert_default().merge(&theirs);
        }
        let bytes = self.series.iter().map(|(key, series)| name_bytes(key) + series.bytes());
        self.bytes = bytes.sum();
        if self.series.len() > self.query.series_max {
            self.weighed();
            self.make_room();
        }
    }
}

/// About what the name of a series takes in memory, with the series' own place.
fn name_bytes(key: &[String]) -> u64 {
    let texts = key.iter().map(|text| size_of::<String>() + text.len());
    (size_of::<Series>() + size_of::<Vec<String>>() + texts.sum::<usize>()) as u64
}

impl Series {
    fn bytes(&self) -> u64 {
        self.steps.values().map(Measure::bytes).sum()
    }

    /// All steps together.
    pub fn total(&self) -> Measure {
        Measure {
            spans: self.steps.values().map(|step| step.spans).sum(),
            errors: self.steps.values().map(|step| step.errors).sum(),
            durations: Sketch::sum_of(self.steps.values().map(|step| &step.durations)),
        }
    }
}

impl Measure {
    fn add(&mut self, span: &Span) {
        self.add_one(span.is_error(), span_nanos(span));
    }

    /// Adds a span: whether it failed, and how long it took if it says so.
    pub fn add_one(&mut self, is_error: bool, nanos: Option<u64>) {
        self.spans += 1;
        self.errors += u64::from(is_error);
        if let Some(nanos) = nanos {
            self.durations.add(nanos);
        }
    }

    /// See [`Red::remove_span`].
    fn remove(&mut self, span: &Span) {
        self.spans -= 1;
        self.errors -= u64::from(span.is_error());
        if let Some(nanos) = span_nanos(span) {
            self.durations.remove(nanos);
        }
    }

    /// About what it takes in memory.
    fn bytes(&self) -> u64 {
        size_of::<(u32, Self)>() as u64 + self.durations.bytes()
    }

    pub fn merge(&mut self, other: &Self) {
        self.spans += other.spans;
        self.errors += other.errors;
        self.durations.merge(&other.durations);
    }
}

/// No more of a text than may name something.
fn cut(text: &str) -> &str {
    text.get(..VALUE_MAX.min(text.len())).unwrap_or_else(|| {
        let end = (0..VALUE_MAX).rev().find(|at| text.is_char_boundary(*at));
        &text[..end.unwrap_or(0)]
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Endpoint, Filter, SpanId, Timestamp, TraceId, arbitrary};

    fn query(filter: &str, by: &[&str], step_us: u64, series_max: usize) -> RedQuery {
        let filter: Filter = filter.parse().unwrap();
        let selection = Selection { filter, start_us: 10, end_us: 59 };
        let by = by.iter().map(|name| Field::read(name)).collect();
        RedQuery::new(selection, by, step_us).unwrap().with_series_max(series_max)
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let check = |by: Vec<Field>, step_us, expected: &str| {
            let selection = Selection { filter: Filter::default(), start_us: 0, end_us: 20_000 };
            assert_eq!(RedQuery::new(selection, by, step_us).unwrap_err().to_string(), expected);
        };
        check(vec![], 0, "step <= 0");
        check(vec![], 1, "more than 10000 steps: ask for longer ones, or for a shorter time");
        check(vec![Field::Annotation], 10, "a span has many annotations: they do not group it");
        check(vec![Field::Name; 7], 10, "no more than 6 fields to group by");
    }

    #[test]
    fn groups_with_most_spans_are_kept_whatever_their_names() {
        let of = |spans: &[(&str, u64)]| {
            let spans = spans.iter().flat_map(|(service, count)| {
                let span = move |n| {
                    let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::from_raw(n));
                    span.timestamp = Timestamp::from_micros(10 + n % 40);
                    span.local_endpoint = Some(Endpoint::named(service));
                    span
                };
                (0..*count).map(span)
            });
            vec![spans.collect::<Vec<Span>>()]
        };
        let traces = of(&[("a", 1), ("b", 1), ("c", 3), ("d", 1), ("z", 9)]);
        let check = |bytes_max, expected: &[&str], rest, is_limited| {
            let query = query("", &["service"], 10, 3).with_weighed_bytes_max(bytes_max);
            let red = Red::of(&query, &traces);
            let names: Vec<&str> = red.series().keys().map(|key| key[0].as_str()).collect();
            assert_eq!((&*names, red.is_limited()), (expected, is_limited));
            assert_eq!(red.rest().map(|rest| rest.spans), Some(rest));
        };
        check(u64::MAX, &["a", "c", "z"], 2, false);
        // There is room for four names.
        check(4 * name_bytes(&["a".to_owned()]), &["a", "b", "c"], 10, true);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("größe"), "größe");
        assert_eq!(cut(&"x".repeat(300)).len(), 256);
        assert_eq!(cut(&format!("x{}", "ö".repeat(300))).len(), 255);
    }

    /// Everything at once, span by span, with sorted lists in place of sketches.
    fn naive(query: &RedQuery, traces: &[Vec<Span>]) -> BTreeMap<(Vec<String>, u64), Vec<Span>> {
        let mut cells: BTreeMap<(Vec<String>, u64), Vec<Span>> = BTreeMap::new();
        for trace in traces {
            for span in query.selection.filter.selected(trace) {
                let Some(us) = span.timestamp.map(Timestamp::micros) else { continue };
                if us < query.selection.start_us || us > query.selection.end_us {
                    continue;
                }
                let text = |field: &Field| field.of(span).unwrap_or_default().into_owned();
                let key = (query.by.iter().map(text).collect(), us / query.steps.len_us());
                cells.entry(key).or_default().push(span.clone());
            }
        }
        cells
    }

    fn any_query() -> impl Strategy<Value = RedQuery> {
        let filter = prop::sample::select(vec![
            "",
            "error",
            "not { kind = client }",
            "{ service = a } and { duration > 10us }",
        ]);
        let by =
            prop::sample::subsequence(vec!["service", "name", "kind", "status", "remote"], 0..4);
        let bytes = prop_oneof![Just(u64::MAX), 0..2_000u64];
        (filter, by, 1..70u64, 1..20usize, bytes).prop_map(|(filter, by, step_us, max, bytes)| {
            query(filter, &by, step_us, max).with_weighed_bytes_max(bytes)
        })
    }

    fn any_traces() -> impl Strategy<Value = Vec<Vec<Span>>> {
        prop::collection::vec(
            prop::collection::vec(prop_oneof![arbitrary::plain_span(), arbitrary::span()], 0..6),
            0..8,
        )
    }

    proptest! {
        #[test]
        fn every_span_is_counted_once_in_its_place(query in any_query(), traces in any_traces()) {
            let cells = naive(&query, &traces);
            let red = Red::of(&query, &traces);
            let mut keys: Vec<&Vec<String>> = cells.keys().map(|(key, _)| key).collect();
            keys.dedup();
            let mut left_out = vec![];
            let (count, mut bytes) = (keys.len(), 0);
            if count > query.series_max {
                let has_room = |key: &&Vec<String>| {
                    bytes += name_bytes(key);
                    bytes <= query.weighed_bytes_max
                };
                let held = keys.iter().copied().take_while(has_room).count();
                left_out = keys.split_off(held);
                prop_assert_eq!(red.is_limited(), held < count);
                let spans = |key: &Vec<String>| {
                    let of_key = cells.iter().filter(|((other, _), _)| other == key);
                    of_key.map(|(_, spans)| spans.len()).sum::<usize>()
                };
                keys.sort_by_key(|key| (Reverse(spans(key)), *key));
                left_out.extend(keys.split_off(keys.len().min(query.series_max)));
                keys.sort();
            }
            prop_assert_eq!(red.series.keys().collect::<Vec<_>>(), keys);
            let mut rest = 0;
            for ((key, step), spans) in &cells {
                if left_out.contains(&key) {
                    rest += spans.len() as u64;
                    continue;
                }
                let step = u32::try_from(step - query.steps.start_us() / query.steps.len_us()).unwrap();
                let measure = &red.series[key].steps[&step];
                prop_assert_eq!(measure.spans, spans.len() as u64);
                let errors = spans.iter().filter(|span| span.is_error()).count() as u64;
                prop_assert_eq!(measure.errors, errors);
                let mut nanos: Vec<u64> = spans.iter().filter_map(span_nanos).collect();
                nanos.sort_unstable();
                prop_assert_eq!(measure.durations.count(), nanos.len() as u64);
                prop_assert_eq!(measure.durations.max(), nanos.last().copied());
            }
            prop_assert_eq!(red.rest.as_ref().map_or(0, |rest| rest.spans), rest);
            let bytes = red.series.iter().map(|(key, series)| name_bytes(key) + series.bytes());
            prop_assert_eq!(red.bytes(), bytes.sum::<u64>());
        }

        #[test]
        fn what_was_counted_ahead_and_twice_makes_no_difference(
            query in any_query(), traces in any_traces(), at in any::<prop::sample::Index>(),
        ) {
            let meant = traces.iter().flat_map(|trace| query.selection.spans(trace));
            let meant: Vec<&Span> = meant.collect();
            let mut cells: BTreeMap<(Vec<String>, u64), Measure> = BTreeMap::new();
            for span in &meant {
                let at_us = span.timestamp.unwrap().micros();
                let place = (query.key(*span), at_us / query.steps.len_us() * query.steps.len_us());
                cells.entry(place).or_default().add(span);
            }
            let look = |mut red: Red| {
                for ((key, at_us), measure) in &cells {
                    red.add_measure(key, (*at_us).max(10), measure.clone());
                }
                if !meant.is_empty() {
                    let twin = at.get(&meant);
                    red.add_span(twin);
                    red.remove_span(twin);
                }
                red
            };
            let first = look(Red::new(query.clone()));
            prop_assert_eq!(first.again().map_or(first, look), Red::of(&query, &traces));
        }

        #[test]
        fn parts_merge_to_the_whole(query in any_query(), traces in any_traces(), at in 0..8usize) {
            let look = |empty: &Red, traces: &[Vec<Span>]| {
                let mut red = empty.clone();
                traces.iter().for_each(|trace| red.add(trace));
                red
            };
            let (first, second) = traces.split_at(at.min(traces.len()));
            let merged = |empty: &Red| {
                let mut merged = look(empty, second);
                merged.merge(look(empty, first));
                merged
            };
            let empty = Red::new(query.clone());
            let whole = merged(&empty);
            prop_assert_eq!(&whole, &look(&empty, &traces));
            let whole = whole.again().map_or(whole, |empty| merged(&empty));
            prop_assert_eq!(whole, Red::of(&query, &traces));
        }
    }
}
