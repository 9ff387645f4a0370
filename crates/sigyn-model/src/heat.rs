//! Durations over time as a map of cells: how many, how many failed, and a few to look at.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::selection::{nanos_of, trace_nanos};
use crate::{
    Searched, Selection, Span, SpanFilter, Steps, StepsError, Timestamp, TraceId, Unit, trace_start,
};

/// Of one answer.
const STEPS_MAX: u32 = 1_000;
/// Cells between a duration and its double: 2, 4 or 8, by powers of two.
const OCTAVE_BITS_MAX: u32 = 3;
/// Nothing is shorter: whatever is stands in the lowest cell.
const NANOS_MIN: u64 = 1 << 10;
/// Traces that a cell names.
const TRACES_MAX: usize = 3;

/// A valid question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeatQuery {
    selection: Selection,
    of: Unit,
    steps: Steps,
    octave_bits: u32,
}

/// Why there is no such question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeatError {
    #[error(transparent)]
    Steps(#[from] StepsError),
    #[error("perOctave is 1, 2, 4 or 8")]
    PerOctave,
}

/// The answer, as far as traces have been added. Parts merge to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heat {
    query: HeatQuery,
    cells: BTreeMap<(u32, Level), Cell>,
}

/// As much of a trace as a map needs, of which spans are shown one by one, in any order and how often
/// they like: a trace may have more than can be held.
#[derive(Clone, Debug)]
pub struct Gathered {
    filter: SpanFilter,
    is_meant: bool,
    is_error: bool,
    root_start: Option<Timestamp>,
    start: Option<Timestamp>,
    end_nanos: u64,
    /// The trace is called as its first span is.
    first: Option<(Timestamp, u64, bool, TraceId)>,
}

/// A stretch of durations: so many of them make one octave, from a power of two of nanoseconds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u16);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub count: u64,
    pub errors: u64,
    /// Those with an error first, then by id, which is as good as at random.
    traces: Vec<(bool, TraceId)>,
}

impl HeatQuery {
    pub fn new(
        selection: Selection,
        of: Unit,
        step_us: u64,
        per_octave: u32,
    ) -> Result<Self, HeatError> {
        let octave_bits = (0..=OCTAVE_BITS_MAX).find(|bits| 1 << bits == per_octave);
        let octave_bits = octave_bits.ok_or(HeatError::PerOctave)?;
        let steps = Steps::new(&selection, step_us, STEPS_MAX)?;
        Ok(Self { selection, of, steps, octave_bits })
    }

    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    pub fn of(&self) -> Unit {
        self.of
    }

    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The stretch in which a duration is.
    fn level(&self, nanos: u64) -> Level {
        let nanos = nanos.max(NANOS_MIN);
        let highest = 63 - nanos.leading_zeros();
        let below = (nanos >> (highest - self.octave_bits)) - (1 << self.octave_bits);
        let level = (u64::from(highest) << self.octave_bits) + below;
        Level(u16::try_from(level).unwrap_or(u16::MAX))
    }

    /// Nanoseconds at which a stretch begins, and at which the next one does.
    pub fn bounds(&self, level: Level) -> (u64, u64) {
        let begin = |level: u64| {
            let (highest, below) =
                (level >> self.octave_bits, level & ((1 << self.octave_bits) - 1));
            let shift = u32::try_from(highest).unwrap_or(u32::MAX) - self.octave_bits;
            ((1 << self.octave_bits) + below).checked_mul(1u64.checked_shl(shift).unwrap_or(0))
        };
        let next = begin(u64::from(level.0) + 1).filter(|next| *next > 0);
        (begin(u64::from(level.0)).unwrap_or(0), next.unwrap_or(u64::MAX))
    }
}

impl Heat {
    pub fn new(query: HeatQuery) -> Self {
        Self { query, cells: BTreeMap::new() }
    }

    pub fn query(&self) -> &HeatQuery {
        &self.query
    }

    /// By number of the step, then stretch of durations. None is empty.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = (u32, Level, &Cell)> {
        self.cells.iter().map(|((step, level), cell)| (*step, *level, cell))
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> u64 {
        let cell = size_of::<(u32, Level, Cell)>() + TRACES_MAX * size_of::<(bool, TraceId)>();
        (self.cells.len() * cell) as u64
    }

    /// All stretches of durations from the shortest that there is to the longest.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        let used = || self.cells.keys().map(|(_, level)| *level);
        let (first, last) = used().min().zip(used().max()).unwrap_or((Level(1), Level(0)));
        (first.0..=last.0).map(Level)
    }

    /// Adds one whole trace.
    pub fn add(&mut self, trace: &[Span]) {
        match self.query.of {
            Unit::Traces => {
                if let Some(first) = trace.first() {
                    self.add_trace(trace, first.trace_id, || trace.iter().any(Span::is_error));
                }
            }
            Unit::Spans => {
                for span in self.query.selection.spans(trace) {
                    self.add_span(span, span.trace_id, span.is_error());
                }
            }
        }
    }

    /// Adds one whole trace where traces are asked for: its id, and how to tell whether a span of it failed.
    pub fn add_trace<S: Searched>(
        &mut self,
        trace: &[S],
        id: TraceId,
        is_error: impl FnOnce() -> bool,
    ) {
        if !self.query.selection.has_trace(trace) {
            return;
        }
        if let (Some(start), Some(nanos)) = (trace_start(trace), trace_nanos(trace)) {
            self.put(start.micros(), nanos, is_error(), id);
        }
    }

    /// Where traces are asked for: what a trace is gathered in, if its spans need not stand together. A filter
    /// must ask each of them alone, and nothing that differs where a span came twice.
    pub fn gathering(&self) -> Option<Gathered> {
        let filter = self.query.selection.filter.of_spans();
        let filter = filter.filter(|filter| self.query.of == Unit::Traces && !filter.asks_target());
        Some(Gathered {
            filter: filter?,
            is_meant: false,
            is_error: false,
            root_start: None,
            start: None,
            end_nanos: 0,
            first: None,
        })
    }

    /// Adds a trace of which all spans were shown.
    pub fn add_gathered(&mut self, trace: &Gathered) {
        let Gathered { is_meant, is_error, root_start, start, end_nanos, first, .. } = *trace;
        let Some((earliest, (.., id))) = start.zip(first) else { return };
        let start = root_start.unwrap_or(earliest);
        if is_meant && self.query.selection.covers(start.micros()) {
            self.put(start.micros(), end_nanos - earliest.nanos(), is_error, id);
        }
    }

    /// Adds a span that is meant, and in the window, where spans are asked for: of which trace it is, and
    /// whether it failed.
    pub fn add_span(&mut self, span: &impl Searched, id: TraceId, is_error: bool) {
        if let (Some(at), Some(took)) = (span.timestamp(), span.duration()) {
            self.put(at.micros(), nanos_of(took), is_error, id);
        }
    }

    /// For whoever has many spans to add, one after the other.
    pub fn adding(&mut self) -> Adding<'_> {
        let at_hand = (0..AT_HAND).map(|_| None).collect();
        Adding { heat: self, at_hand }
    }

    fn put(&mut self, at_us: u64, nanos: u64, is_error: bool, id: TraceId) {
        let place = (self.query.steps.of(at_us), self.query.level(nanos));
        let cell = self.cells.entry(place).or_default();
        cell.count += 1;
        cell.errors += u64::from(is_error);
        cell.name(!is_error, id);
    }

    /// Adds what was made of other traces by the same query.
    pub fn merge(&mut self, other: Self) {
        for (place, theirs) in other.cells {
            let ours = self.cells.entry(place).or_default();
            ours.count += theirs.count;
            ours.errors += theirs.errors;
            theirs.traces.into_iter().for_each(|(is_well, id)| ours.name(is_well, id));
        }
    }
}

impl Gathered {
    /// Shows a span: with its id and that of its trace, and how to tell whether it failed.
    pub fn show<S: Searched>(
        &mut self,
        span: &S,
        trace_id: TraceId,
        id: impl FnOnce() -> u64,
        is_error: impl FnOnce() -> bool,
    ) {
        let at = span.timestamp();
        let by = at.unwrap_or(Timestamp::MAX);
        if self.first.is_none_or(|(first, ..)| by <= first) {
            let one = (by, id(), span.shared(), trace_id);
            self.first = Some(self.first.map_or(one, |first| first.min(one)));
        }
        self.is_meant = self.is_meant || self.filter.means(span);
        self.is_error = self.is_error || is_error();
        let Some(at) = at else { return };
        let earlier = |old: Option<Timestamp>| Some(old.map_or(at, |old| old.min(at)));
        self.start = earlier(self.start);
        if span.is_root() {
            self.root_start = earlier(self.root_start);
        }
        let took = span.duration().map_or(0, nanos_of);
        self.end_nanos = self.end_nanos.max(at.nanos().saturating_add(took));
    }
}

/// A cell, by number of the step and stretch of durations.
type Placed = ((u32, Level), Cell);

/// Adds many spans: cells that were needed last are at hand.
#[derive(Debug)]
pub struct Adding<'a> {
    heat: &'a mut Heat,
    /// Taken out of the map meanwhile, each to a place that follows from its own.
    at_hand: Box<[Option<Placed>]>,
}

/// A page of spans has cells of few steps, and a few dozen stretches.
const AT_HAND: usize = 1 << 10;
/// Cells of two steps that follow each other are so far apart.
const STEP_APART: usize = 167;

impl Adding<'_> {
    /// Adds a span that is meant, and in the window, where spans are asked for. Of which trace it is, is asked
    /// if that may be named; a span of none is not named.
    pub fn add(
        &mut self,
        at: Timestamp,
        took: Duration,
        is_error: bool,
        id: impl FnOnce() -> Option<TraceId>,
    ) {
        let Self { heat, at_hand } = self;
        let query = &heat.query;
        let (step, level) = (query.steps.of(at.micros()), query.level(nanos_of(took)));
        let at = (step as usize * STEP_APART + usize::from(level.0)) % AT_HAND;
        let slot = &mut at_hand[at];
        if slot.as_ref().is_none_or(|(place, _)| *place != (step, level)) {
            let wanted = heat.cells.remove(&(step, level)).unwrap_or_default();
            if let Some((place, cell)) = slot.replace(((step, level), wanted)) {
                heat.cells.insert(place, cell);
            }
        }
        let Some((_, cell)) = slot else { return };
        cell.count += 1;
        cell.errors += u64::from(is_error);
        if cell.may_name(!is_error)
            && let Some(id) = id()
        {
            cell.name(!is_error, id);
        }
    }
}

impl Drop for Adding<'_> {
    fn drop(&mut self) {
        self.heat.cells.extend(self.at_hand.iter_mut().filter_map(Option::take));
    }
}

impl Cell {
    /// Whether there is room for a trace, or one that is less good to look at.
    fn may_name(&self, is_well: bool) -> bool {
        let worst = self.traces.get(TRACES_MAX - 1);
        worst.is_none_or(|(worst_is_well, _)| is_well <= *worst_is_well)
    }

    /// A few of the traces in it.
    pub fn traces(&self) -> impl Iterator<Item = TraceId> {
        self.traces.iter().map(|(_, id)| *id)
    }

    /// Each trace once, and by its best side.
    fn name(&mut self, is_well: bool, id: TraceId) {
        if self.traces.get(TRACES_MAX - 1).is_some_and(|worst| *worst <= (is_well, id)) {
            return;
        }
        match self.traces.iter_mut().find(|(_, other)| *other == id) {
            Some(known) => known.0 &= is_well,
            None => self.traces.push((is_well, id)),
        }
        self.traces.sort_unstable();
        self.traces.truncate(TRACES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{Filter, arbitrary};

    fn query(filter: &str, of: Unit, step_us: u64, per_octave: u32) -> HeatQuery {
        let filter: Filter = filter.parse().unwrap();
        let selection = Selection { filter, start_us: 0, end_us: 60 };
        HeatQuery::new(selection, of, step_us, per_octave).unwrap()
    }

    #[test]
    fn stretches_follow_each_other_without_gap() {
        for per_octave in [1, 2, 4, 8] {
            let query = query("", Unit::Spans, 10, per_octave);
            let (mut level, mut next) = (query.level(0), NANOS_MIN);
            let first = level;
            loop {
                let (from, to) = query.bounds(level);
                assert_eq!(from, next, "{level:?} of {per_octave}");
                assert_eq!((query.level(from), query.level(to - 1)), (level, level));
                next = to;
                if to == u64::MAX {
                    break;
                }
                level = Level(level.0 + 1);
            }
            assert_eq!(u32::from(level.0 - first.0) + 1, 54 * per_octave);
        }
        assert_eq!(query("", Unit::Spans, 10, 2).bounds(Level(2 * 20 + 1)), (3 << 19, 1 << 21));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let check = |step_us, per_octave, expected: &str| {
            let selection = Selection { filter: Filter::default(), start_us: 0, end_us: 1_000 };
            let refused = HeatQuery::new(selection, Unit::Traces, step_us, per_octave);
            assert_eq!(refused.unwrap_err().to_string(), expected);
        };
        check(0, 1, "step <= 0");
        check(1, 1, "more than 1000 steps: ask for longer ones, or for a shorter time");
        check(10, 3, "perOctave is 1, 2, 4 or 8");
        check(10, 16, "perOctave is 1, 2, 4 or 8");
    }

    #[test]
    fn a_cell_names_traces_with_errors_first() {
        let id = |n| TraceId::new(n).unwrap();
        let mut cell = Cell::default();
        for (is_well, n) in [(true, 5), (true, 1), (true, 2), (true, 9), (false, 9), (true, 9)] {
            cell.name(is_well, id(n));
        }
        assert_eq!(cell.traces().collect::<Vec<_>>(), [id(9), id(1), id(2)]);
    }

    fn any_traces() -> impl Strategy<Value = Vec<Vec<Span>>> {
        let trace = prop::collection::vec(arbitrary::plain_span(), 1..6);
        let trace = (trace, 1..9u128).prop_map(|(mut spans, id)| {
            spans.iter_mut().for_each(|span| span.trace_id = TraceId::new(id).unwrap());
            spans
        });
        prop::collection::vec(trace, 0..9)
    }

    proptest! {
        #[test]
        fn every_trace_or_span_is_in_one_cell(
            traces in any_traces(),
            filter in prop::sample::select(vec!["", "error", "kind = client"]),
            is_traces in any::<bool>(),
            step_us in 1..70u64,
        ) {
            let of = if is_traces { Unit::Traces } else { Unit::Spans };
            let query = query(filter, of, step_us, 4);
            let mut heat = Heat::new(query.clone());
            traces.iter().for_each(|trace| heat.add(trace));
            // When each starts, how long it takes, and whose it is.
            let mut all: Vec<(u64, u64, TraceId)> = Vec::new();
            for trace in &traces {
                let selection = &query.selection;
                match of {
                    Unit::Traces => if selection.has_trace(trace) {
                        let start = trace_start(trace).unwrap().micros();
                        all.push((start, trace_nanos(trace).unwrap(), trace[0].trace_id));
                    },
                    Unit::Spans => all.extend(selection.spans(trace).iter().filter_map(|span| {
                        Some((span.timestamp?.micros(), nanos_of(span.duration?), span.trace_id))
                    })),
                }
            }
            let mut total = 0;
            for (step, level, cell) in heat.cells() {
                let (from, to) = query.bounds(level);
                let at = |us: u64| us / step_us == u64::from(step);
                let is_in = |(us, nanos, _): &&(u64, u64, TraceId)| {
                    at(*us) && (from..to).contains(&(*nanos).max(NANOS_MIN))
                };
                let inside: Vec<_> = all.iter().filter(is_in).collect();
                prop_assert_eq!(cell.count, inside.len() as u64);
                let ids: BTreeSet<TraceId> = inside.iter().map(|(_, _, id)| *id).collect();
                let named: BTreeSet<TraceId> = cell.traces().collect();
                prop_assert!(named.is_subset(&ids));
                prop_assert_eq!(named.len(), ids.len().min(TRACES_MAX));
                total += cell.count;
            }
            prop_assert_eq!(total, all.len() as u64);
            // In pieces.
            let (first, second) = traces.split_at(traces.len() / 2);
            let mut merged = Heat::new(query.clone());
            second.iter().for_each(|trace| merged.add(trace));
            let mut other = Heat::new(query);
            first.iter().for_each(|trace| other.add(trace));
            merged.merge(other);
            prop_assert_eq!(&merged, &heat);
            // Traces span by span, some of them twice.
            let mut gathered = Heat::new(heat.query.clone());
            for trace in &traces {
                let Some(mut one) = gathered.gathering() else { break };
                for span in trace.iter().rev().chain(&trace[..trace.len() / 2]) {
                    one.show(span, span.trace_id, || span.id.as_u64(), || span.is_error());
                }
                gathered.add_gathered(&one);
            }
            prop_assert!(of == Unit::Spans || gathered == heat);
            // Many at once.
            if of == Unit::Spans {
                let mut at_once = Heat::new(heat.query.clone());
                for traces in [first, second] {
                    let mut adding = at_once.adding();
                    for span in traces.iter().flat_map(|trace| heat.query.selection.spans(trace)) {
                        if let (Some(at), Some(took)) = (span.timestamp, span.duration) {
                            adding.add(at, took, span.is_error(), || Some(span.trace_id));
                        }
                    }
                }
                prop_assert_eq!(at_once, heat);
            }
        }
    }
}
