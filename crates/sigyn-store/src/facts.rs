//! What an index must know of one trace's part: enough to tell that the trace is not wanted.

use sigyn_model::{Timestamp, TraceId};

/// A trace's place in every index: by the low half of its id first, so that all spellings of an id
/// that 64-bit and 128-bit tracers share stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TraceKey {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl TraceKey {
    /// The id; of a group of several, the one without a left half.
    pub(crate) fn trace_id(self) -> Option<TraceId> {
        TraceId::new(u128::from(self.high) << 64 | u128::from(self.low))
    }
}

impl From<TraceId> for TraceKey {
    fn from(id: TraceId) -> Self {
        Self { low: id.low(), high: id.high() }
    }
}

/// Whether the left half of a trace's id counts: what Zipkin calls `STRICT_TRACE_ID`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Traces are one if their ids are equal.
    #[default]
    Strict,
    /// Traces are one if the right halves of their ids are: some of a system's tracers may know only
    /// 64 bits of an id that others made of 128. Spans keep the ids that they came with.
    Lenient,
}

impl Strictness {
    /// The key that all parts of a trace have in common.
    pub(crate) fn group(self, key: TraceKey) -> TraceKey {
        match self {
            Self::Strict => key,
            Self::Lenient => TraceKey { high: 0, ..key },
        }
    }
}

/// Times of those spans of one trace that stand in one place: a head or a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The earliest timestamp of a span without parent.
    pub(crate) root_start: Option<Timestamp>,
    /// The earliest timestamp.
    pub(crate) start: Option<Timestamp>,
    /// The latest timestamp (a start, not an end).
    pub(crate) latest: Option<Timestamp>,
    /// Zero if no span has a duration.
    pub(crate) longest_us: u64,
}

impl Facts {
    #[cfg(test)]
    pub(crate) fn of(spans: &[sigyn_model::Span]) -> Self {
        let mut facts = Self::default();
        for span in spans {
            facts.add_times(span.parent_id.is_none(), span.timestamp, span.duration_us());
        }
        facts
    }

    pub(crate) fn add_times(
        &mut self,
        is_root: bool,
        timestamp: Option<Timestamp>,
        duration_us: Option<u64>,
    ) {
        self.longest_us = self.longest_us.max(duration_us.unwrap_or(0));
        let Some(at) = timestamp else { return };
        let earlier = |old: Option<Timestamp>| Some(old.map_or(at, |old| old.min(at)));
        if is_root {
            self.root_start = earlier(self.root_start);
        }
        self.start = earlier(self.start);
        self.latest = Some(self.latest.map_or(at, |old| old.max(at)));
    }

    /// The latest time at which the whole trace may start, as far as this part decides it, if that
    /// is in the window. A trace starts at the earliest root of all its parts, else at the earliest
    /// span of all: so at one of these two times of one of its parts.
    pub(crate) fn start_within(&self, covers: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
        let starts = [self.root_start, self.start].into_iter().flatten();
        starts.filter(|start| covers(*start)).max()
    }
}
