//! Of the spans of one trace no more than decides where each stands in its tree and how its line looks: a few
//! dozen bytes each, so that a trace of a million spans can be laid out.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(test, doc))]
use crate::Span;
use crate::{Endpoint, Kind, Labels, SpanId, Timestamp, TraceId};

/// What is told of one span. What it shares with others is told by number: zero for none.
#[derive(Clone, Copy, Debug)]
pub struct Outline {
    pub id: SpanId,
    pub parent_id: Option<SpanId>,
    pub timestamp: Option<Timestamp>,
    pub duration: Option<Duration>,
    pub kind: Option<Kind>,
    pub shared: bool,
    pub debug: bool,
    pub is_error: bool,
    pub trace: u32,
    pub name: u32,
    pub local: u32,
    /// The name of the service at the other end.
    pub remote: u32,
    pub target: u32,
}

/// Spans of a trace, and what their numbers mean.
#[derive(Debug, Default)]
pub struct Outlines {
    spans: Vec<Packed>,
    traces: Vec<TraceId>,
    by_trace: HashMap<TraceId, u32>,
    names: Vec<Arc<str>>,
    by_name: HashMap<Arc<str>, u32>,
    endpoints: Vec<Endpoint>,
    by_endpoint: HashMap<Endpoint, u32>,
    targets: Vec<Arc<Labels>>,
    by_target: HashMap<Arc<Labels>, u32>,
    /// When something was noted: of which span, in the order of these.
    ticks: Vec<(u32, Timestamp)>,
    /// What the tables take.
    bytes: usize,
}

/// An outline in little room.
#[derive(Clone, Copy, Debug)]
struct Packed {
    id: u64,
    parent_id: u64,
    timestamp: u64,
    /// In nanoseconds, as long as they can be told.
    duration: u64,
    trace: u32,
    name: u32,
    local: u32,
    remote: u32,
    target: u32,
    kind: Option<Kind>,
    facts: u8,
}

mod fact {
    pub(super) const PARENT: u8 = 1;
    pub(super) const TIMESTAMP: u8 = 2;
    pub(super) const DURATION: u8 = 4;
    pub(super) const SHARED: u8 = 8;
    pub(super) const DEBUG: u8 = 16;
    pub(super) const ERROR: u8 = 32;
}

/// What a name or an endpoint takes in its tables, beside its text.
const ENTRY_BYTES: usize = 128;

impl Outlines {
    /// What one of them takes in memory.
    pub const SPAN_BYTES: usize = size_of::<Packed>();

    /// Room for so many spans.
    pub fn with_capacity(spans: usize) -> Self {
        Self { spans: Vec::with_capacity(spans), ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What its tables take in memory, beside its spans.
    pub fn table_bytes(&self) -> usize {
        self.bytes + self.ticks.capacity() * size_of::<(u32, Timestamp)>()
    }

    pub fn push(&mut self, outline: &Outline) {
        let set = |is: bool, fact: u8| if is { fact } else { 0 };
        let nanos = |took: Duration| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.spans.push(Packed {
            id: outline.id.as_u64(),
            parent_id: outline.parent_id.map_or(0, SpanId::as_u64),
            timestamp: outline.timestamp.map_or(0, Timestamp::nanos),
            duration: outline.duration.map_or(0, nanos),
            trace: outline.trace,
            name: outline.name,
            local: outline.local,
            remote: outline.remote,
            target: outline.target,
            kind: outline.kind,
            facts: set(outline.parent_id.is_some(), fact::PARENT)
                | set(outline.timestamp.is_some(), fact::TIMESTAMP)
                | set(outline.duration.is_some(), fact::DURATION)
                | set(outline.shared, fact::SHARED)
                | set(outline.debug, fact::DEBUG)
                | set(outline.is_error, fact::ERROR),
        });
    }

    /// Something was noted then in the span that is pushed next.
    pub fn tick(&mut self, at: Timestamp) {
        self.ticks.push((number_of(self.spans.len()), at));
    }

    pub fn ticks(&self) -> &[(u32, Timestamp)] {
        &self.ticks
    }

    /// A span by its place.
    pub fn get(&self, place: usize) -> Outline {
        let span = &self.spans[place];
        let has = |fact: u8| span.facts & fact != 0;
        Outline {
            id: SpanId::from_raw(span.id),
            parent_id: has(fact::PARENT).then(|| SpanId::from_raw(span.parent_id)),
            timestamp: has(fact::TIMESTAMP).then(|| Timestamp::from_nanos(span.timestamp)),
            duration: has(fact::DURATION).then(|| Duration::from_nanos(span.duration)),
            kind: span.kind,
            shared: has(fact::SHARED),
            debug: has(fact::DEBUG),
            is_error: has(fact::ERROR),
            trace: span.trace,
            name: span.name,
            local: span.local,
            remote: span.remote,
            target: span.target,
        }
    }

    /// The number of a trace's id.
    pub fn trace(&mut self, id: TraceId) -> u32 {
        let Self { traces, by_trace, bytes, .. } = self;
        *by_trace.entry(id).or_insert_with(|| {
            *bytes += ENTRY_BYTES;
            traces.push(id);
            number_of(traces.len())
        })
    }

    pub(crate) fn trace_id(&self, number: u32) -> Option<TraceId> {
        at(&self.traces, number).copied()
    }

    /// The number of a span's name, or a service's.
    pub fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let name: Arc<str> = name.into();
        self.bytes += ENTRY_BYTES + name.len();
        self.names.push(Arc::clone(&name));
        let number = number_of(self.names.len());
        self.by_name.insert(name, number);
        number
    }

    pub fn name_of(&self, number: u32) -> Option<&str> {
        at(&self.names, number).map(|name| &**name)
    }

    pub fn endpoint(&mut self, endpoint: Option<Endpoint>) -> u32 {
        let Some(endpoint) = endpoint else { return 0 };
        if let Some(number) = self.by_endpoint.get(&endpoint) {
            return *number;
        }
        self.bytes += 2 * (ENTRY_BYTES + endpoint.service_name.len());
        self.endpoints.push(endpoint.clone());
        let number = number_of(self.endpoints.len());
        self.by_endpoint.insert(endpoint, number);
        number
    }

    pub(crate) fn endpoint_number(&self, endpoint: &Endpoint) -> Option<u32> {
        self.by_endpoint.get(endpoint).copied()
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The number of a target's labels.
    pub fn target(&mut self, target: Option<&Arc<Labels>>) -> u32 {
        let Some(target) = target else { return 0 };
        if let Some(number) = self.by_target.get(target) {
            return *number;
        }
        self.targets.push(Arc::clone(target));
        self.bytes += ENTRY_BYTES;
        let number = number_of(self.targets.len());
        self.by_target.insert(Arc::clone(target), number);
        number
    }

    /// By their numbers, less one.
    pub fn targets(&self) -> &[Arc<Labels>] {
        &self.targets
    }

    /// Differs when spans were added, in whatever order they stand. One that is there twice changes nothing.
    pub fn revision(&self) -> u64 {
        let hash = |span: &Packed| {
            let mut hasher = DefaultHasher::new();
            let Packed { id, parent_id, timestamp, duration, kind, facts, .. } = span;
            (id, parent_id, timestamp, duration, kind, facts).hash(&mut hasher);
            hasher.finish()
        };
        let mut hashes: Vec<u64> = self.spans.iter().map(hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut hasher = DefaultHasher::new();
        hashes.hash(&mut hasher);
        hasher.finish()
    }

    /// Those of whole spans.
    #[cfg(test)]
    pub(crate) fn of(spans: &[Span]) -> Self {
        let mut outlines = Self::with_capacity(spans.len());
        for span in spans {
            span.annotations.iter().for_each(|one| outlines.tick(one.timestamp));
            let outline = Outline {
                id: span.id,
                parent_id: span.parent_id,
                timestamp: span.timestamp,
                duration: span.duration,
                kind: span.kind,
                shared: span.shared,
                debug: span.debug,
                is_error: span.is_error(),
                trace: outlines.trace(span.trace_id),
                name: outlines.name(&span.name),
                local: outlines.endpoint(span.local_endpoint.clone()),
                remote: outlines.name(span.remote_service_name().unwrap_or("")),
                target: outlines.target(span.target.as_ref()),
            };
            outlines.push(&outline);
        }
        outlines
    }
}

fn number_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What stands at a number in a list that begins with one.
pub(crate) fn at<T>(list: &[T], number: u32) -> Option<&T> {
    list.get((number as usize).checked_sub(1)?)
}
