//! The newest spans, in memory, as the log has them: by trace, searchable at once.

use std::collections::BTreeMap;
use std::ops::Bound;

use sigyn_model::Span;

use crate::columns::{Columns, Row};
use crate::facts::{Facts, Strictness, TraceKey};
use crate::names::Names;

/// Spans of batches that no block holds yet. One writer; readers share a lock with it, shortly.
#[derive(Debug, Default)]
pub(crate) struct Head {
    columns: Columns,
    /// Of each row, the next one of its trace.
    next_rows: Vec<u32>,
    traces: BTreeMap<TraceKey, Entry>,
    names: Names,
    /// How many names were left out since somebody asked.
    unlisted_names: u64,
    /// What rows had been named when they were looked at last. A few thousand of them are most.
    named: Named,
    /// When the first and the last batch arrived.
    arrivals_ms: Option<(u64, u64)>,
}

/// One trace.
#[derive(Debug)]
struct Entry {
    first_row: u32,
    last_row: u32,
    rows: u32,
    facts: Facts,
}

/// The spans of one trace in the order of their arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadTrace<'a> {
    head: &'a Head,
    entry: &'a Entry,
}

/// After the last row of a trace.
const NO_ROW: u32 = u32::MAX;

/// What an entry takes in a map whose nodes are two thirds full.
const TRACE_BYTES: usize = (size_of::<TraceKey>() + size_of::<Entry>()) * 3 / 2;

impl Head {
    pub(crate) fn insert(&mut self, spans: Vec<Span>, arrival_ms: u64) {
        let (first, last) = self.arrivals_ms.unwrap_or((arrival_ms, arrival_ms));
        self.arrivals_ms = Some((first.min(arrival_ms), last.max(arrival_ms)));
        for span in spans {
            self.insert_span(&span);
        }
    }

    fn insert_span(&mut self, span: &Span) {
        let row = self.columns.push(span);
        self.next_rows.push(NO_ROW);
        let new = || Entry { first_row: row, last_row: row, rows: 0, facts: Facts::default() };
        let trace = self.traces.entry(span.trace_id.into()).or_insert_with(new);
        if trace.rows > 0 {
            self.next_rows[trace.last_row as usize] = row;
        }
        trace.last_row = row;
        trace.rows += 1;
        trace.facts.add(span);
        let names = self.columns.get(row).map(|row| row.names()).unwrap_or_default();
        if self.named.is_new(names) {
            self.unlisted_names += self.names.add(span);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub(crate) fn span_count(&self) -> u64 {
        self.columns.len() as u64
    }

    pub(crate) fn trace_count(&self) -> u64 {
        self.traces.len() as u64
    }

    /// An estimate of its memory; nothing if it is empty.
    pub(crate) fn bytes(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let rows = self.columns.bytes() + self.next_rows.capacity() * size_of::<u32>();
        (rows + self.traces.len() * TRACE_BYTES + self.names.bytes()) as u64
    }

    pub(crate) fn arrivals_ms(&self) -> Option<(u64, u64)> {
        self.arrivals_ms
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// How many names were left out of its lists since this was asked last.
    pub(crate) fn take_unlisted_names(&mut self) -> u64 {
        std::mem::take(&mut self.unlisted_names)
    }

    pub(crate) fn trace(&self, key: TraceKey) -> Option<HeadTrace<'_>> {
        self.traces.get(&key).map(|entry| HeadTrace { head: self, entry })
    }

    /// All parts of the traces of a group, by the key of their own.
    pub(crate) fn group(
        &self,
        group: TraceKey,
        strictness: Strictness,
    ) -> impl Iterator<Item = (TraceKey, HeadTrace<'_>)> {
        self.traces_from(Bound::Included(group))
            .take_while(move |(key, _)| strictness.group(*key) == group)
    }

    /// Traces from this key on, in order.
    pub(crate) fn traces_from(
        &self,
        from: Bound<TraceKey>,
    ) -> impl Iterator<Item = (TraceKey, HeadTrace<'_>)> {
        let traces = self.traces.range((from, Bound::Unbounded));
        traces.map(|(key, entry)| (*key, HeadTrace { head: self, entry }))
    }
}

impl<'a> HeadTrace<'a> {
    pub(crate) fn facts(&self) -> &'a Facts {
        &self.entry.facts
    }

    /// How many spans it has.
    pub(crate) fn len(&self) -> u32 {
        self.entry.rows
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'a>> {
        let Head { columns, next_rows, .. } = self.head;
        let mut next = self.entry.first_row;
        std::iter::from_fn(move || {
            let row = columns.get(next)?;
            next = next_rows.get(next as usize).copied().unwrap_or(NO_ROW);
            Some(row)
        })
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> {
        self.rows().map(Span::from)
    }
}

/// Remembers what was seen last, as far as it has room.
#[derive(Debug)]
struct Named(Vec<[u32; 3]>);

impl Default for Named {
    fn default() -> Self {
        // No row has this for its names.
        Self(vec![[u32::MAX; 3]; 4_096])
    }
}

impl Named {
    fn is_new(&mut self, names: [u32; 3]) -> bool {
        let mixed = names
            .iter()
            .fold(0u32, |mixed, number| (mixed.rotate_left(11) ^ number).wrapping_mul(0x9e37_79b1));
        let place = (mixed >> 20) as usize % self.0.len();
        std::mem::replace(&mut self.0[place], names) != names
    }
}
