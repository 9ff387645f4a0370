//! Which spans, or traces, a question is about: a filter and a window of time.

use std::time::Duration;

use crate::{Filter, Searched, Span, trace_duration, trace_start};

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub filter: Filter,
    /// Microseconds, both ends included.
    pub start_us: u64,
    pub end_us: u64,
}

/// What a question counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whole traces, by their start.
    Traces,
    /// Single spans, by theirs.
    Spans,
}

impl Selection {
    /// Whether a whole trace is meant: it starts in the window and matches.
    pub fn has_trace<S: Searched>(&self, trace: &[S]) -> bool {
        trace_start(trace).is_some_and(|start| self.covers(start.micros()))
            && self.filter.matches(trace)
    }

    /// The spans of a whole trace that are meant and start in the window, wherever the trace starts.
    pub fn spans<'a, S: Searched>(&self, trace: &'a [S]) -> Vec<&'a S> {
        let is_in = |span: &&S| span.timestamp().is_some_and(|at| self.covers(at.micros()));
        if !trace.iter().any(|span| is_in(&span)) {
            return Vec::new();
        }
        self.filter.selected(trace).into_iter().filter(is_in).collect()
    }

    pub(crate) fn covers(&self, at_us: u64) -> bool {
        (self.start_us..=self.end_us).contains(&at_us)
    }
}

/// Nanoseconds that a whole trace takes: none if none of its spans has a time.
pub(crate) fn trace_nanos<S: Searched>(trace: &[S]) -> Option<u64> {
    trace_duration(trace).map(nanos_of)
}

pub(crate) fn span_nanos(span: &Span) -> Option<u64> {
    span.duration.map(nanos_of)
}

/// As many as can be counted.
pub(crate) fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The steps of a window: each begins at a multiple of its length, so the first and the last may reach
/// beyond the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    first: u64,
    len_us: u64,
    count: u32,
}

/// A window that cannot be cut into steps of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    #[error("step <= 0")]
    Zero,
    #[error("more than {max} steps: ask for longer ones, or for a shorter time")]
    TooMany { max: u32 },
}

impl Steps {
    pub fn new(selection: &Selection, len_us: u64, max: u32) -> Result<Self, StepsError> {
        let first = selection.start_us.checked_div(len_us).ok_or(StepsError::Zero)?;
        let last = selection.end_us.checked_div(len_us).ok_or(StepsError::Zero)?;
        let count = (last.saturating_sub(first)).saturating_add(1);
        let count = u32::try_from(count).ok().filter(|count| *count <= max);
        Ok(Self { first, len_us, count: count.ok_or(StepsError::TooMany { max })? })
    }

    /// Microseconds at which the first step begins.
    pub fn start_us(&self) -> u64 {
        self.first.saturating_mul(self.len_us)
    }

    pub fn len_us(&self) -> u64 {
        self.len_us
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// The number of the step in which a time of the window is.
    pub(crate) fn of(&self, at_us: u64) -> u32 {
        let step = (at_us / self.len_us).saturating_sub(self.first);
        u32::try_from(step).unwrap_or(u32::MAX).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_begin_at_multiples_of_their_length() {
        let check = |start_us, end_us, len_us, expected: Result<(u64, u32), StepsError>| {
            let selection = Selection { filter: Filter::default(), start_us, end_us };
            let steps = Steps::new(&selection, len_us, 10);
            let told = steps.map(|steps| (steps.start_us(), steps.count()));
            assert_eq!(told, expected, "{start_us}..={end_us} by {len_us}");
        };
        check(0, 99, 10, Ok((0, 10)));
        check(5, 99, 10, Ok((0, 10)));
        check(10, 100, 10, Ok((10, 10)));
        check(0, 100, 10, Err(StepsError::TooMany { max: 10 }));
        check(0, u64::MAX, 1, Err(StepsError::TooMany { max: 10 }));
        check(0, u64::MAX, u64::MAX, Ok((0, 2)));
        check(7, 3, 10, Ok((0, 1)));
        check(0, 9, 0, Err(StepsError::Zero));
    }
}
