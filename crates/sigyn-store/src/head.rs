//! The newest spans, in memory, as the log has them: in columns, searchable at once, read without locks
//! while they are written.
//!
//! One thread writes, through a [`HeadWriter`]. It puts rows where nobody looks yet, and publishes them by
//! raising one number, of whole groups of batches at a time. Readers take that number once, as a
//! [`HeadView`], and see what was there at that moment. Whatever stands in a column stays as it is.

mod bring;
mod chapter;
mod column;
mod counts;
mod hand_over;
mod hint;
mod linked;
mod origins;
mod outlined;
mod rare;
mod replay;
mod row;
mod source;
#[cfg(test)]
mod tests;
mod traces;
mod words;
mod writer;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use sigyn_model::Span;

pub(crate) use chapter::Chapter;
use column::Column;
pub(crate) use counts::{Counts, rows_of};
use hint::Sort;
pub(crate) use linked::LinkedRows;
use origins::Origins;
pub(crate) use outlined::OutlinedRows;
use rare::Rares;
pub(crate) use replay::{Replay, Replayed};
pub(crate) use row::Row;
use traces::Traces;
use words::{Slabs, Words};
pub(crate) use writer::HeadWriter;

use crate::facts::{Facts, Strictness, TraceKey};
use crate::names::Names;
use crate::turn::Turn;
use crate::wanted::Word;

/// Spans of batches that no block holds yet.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// How many rows are published.
    len: AtomicU32,
    rows: Rows,
    rares: Rares,
    traces: Traces,
    slabs: Slabs,
    /// Of spans and services.
    names: Words,
    /// What annotations, statuses and trace states say.
    texts: Words,
    keys: Words,
    /// Values, about their keys.
    tags: Words,
    /// Addresses, about names.
    endpoints: Words,
    extras: Words,
    origins: Origins,
    /// The only lock of the writer's, which takes it for names that are new, readers for lists of names.
    listed: RwLock<Arc<Names>>,
    /// When the first and the last batch arrived. None did while the first is after the last.
    first_arrival_ms: AtomicU64,
    last_arrival_ms: AtomicU64,
    /// What the writer takes beside.
    writer_bytes: AtomicUsize,
    /// For questions alone: the writer does not know of it.
    counts: Turn<Counts>,
    counts_bytes: AtomicUsize,
    /// How many of its first rows the head before it has, too.
    again_rows: AtomicU32,
    /// Traces that the next head has as a whole, once that is known, in order: no block is made of them.
    left_out: OnceLock<Vec<u32>>,
}

/// A row's columns of fixed width.
#[derive(Debug, Default)]
struct Rows {
    traces: Column<AtomicU32>,
    ids: Column<AtomicU64>,
    parent_ids: Column<AtomicU64>,
    timestamps: Column<AtomicU64>,
    durations: Column<AtomicU64>,
    /// Which of the above are there, and what needs a bit or two; see [`fact`](sigyn_model::columns::fact).
    facts: Column<AtomicU16>,
    names: Column<AtomicU32>,
    local_endpoints: Column<AtomicU32>,
    remote_endpoints: Column<AtomicU32>,
    origins: Column<AtomicU32>,
    rares: Column<AtomicU32>,
    /// Where each row's tags end.
    tag_ends: Column<AtomicU32>,
    tags: Column<AtomicU32>,
    /// The next row of the same trace; zero for none yet.
    next_rows: Column<AtomicU32>,
}

/// A head as it was at one moment.
#[derive(Clone, Debug)]
pub(crate) struct HeadView {
    head: Arc<Head>,
    rows: u32,
    /// Of these, some of the last may begin after the rows.
    traces: u32,
}

/// The spans of one trace in the order of their arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadTrace<'a> {
    head: &'a Head,
    trace: u32,
    rows: u32,
}

/// No time is before it.
const NEVER_MS: u64 = u64::MAX;

impl Head {
    fn new() -> Self {
        let head = Self::default();
        head.first_arrival_ms.store(NEVER_MS, Ordering::Relaxed);
        head
    }

    /// What there is now.
    pub(crate) fn view(self: &Arc<Self>) -> HeadView {
        let rows = self.len.load(Ordering::Acquire);
        HeadView { head: self.clone(), rows, traces: self.traces.count() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Leaves these traces, which are in order, out of its block, for good: the next head has them. Nobody adds
    /// to this one any more.
    pub(crate) fn leave_out(&self, traces: Vec<u32>) {
        let first = self.left_out.set(traces);
        debug_assert!(first.is_ok(), "a head leaves traces out once");
    }

    /// An estimate of its memory; nothing if it is empty.
    pub(crate) fn bytes(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let words =
            [&self.names, &self.texts, &self.keys, &self.tags, &self.endpoints, &self.extras];
        let bytes = self.rows.bytes()
            + self.rares.bytes()
            + self.traces.bytes()
            + self.slabs.bytes()
            + words.map(Words::bytes).iter().sum::<usize>()
            + self.origins.bytes()
            + self.listed().bytes()
            + self.writer_bytes.load(Ordering::Relaxed)
            + self.counts_bytes.load(Ordering::Relaxed);
        bytes as u64
    }

    pub(crate) fn arrivals_ms(&self) -> Option<(u64, u64)> {
        let first = self.first_arrival_ms.load(Ordering::Relaxed);
        let last = self.last_arrival_ms.load(Ordering::Relaxed);
        (first != NEVER_MS).then_some((first, last.max(first)))
    }

    /// As they are now. The writer does not wait for whoever looks at them.
    fn listed(&self) -> Arc<Names> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HeadView {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn span_count(&self) -> u64 {
        self.rows.into()
    }

    pub(crate) fn trace_count(&self) -> u64 {
        self.traces.into()
    }

    /// How many of its first spans the head before it has, too, for as long as that is there, and of how many
    /// traces.
    pub(crate) fn again(&self) -> (u32, u32) {
        let rows = self.head.again_rows.load(Ordering::Relaxed).min(self.rows);
        let (mut first, mut end) = (0, self.traces);
        while first < end {
            let middle = first.midpoint(end);
            match self.head.traces.is_in(middle, rows) {
                true => first = middle + 1,
                false => end = middle,
            }
        }
        (rows, end)
    }

    /// The traces to which the last rows belong, those of the very last first, each with its number and how
    /// many rows it has.
    pub(crate) fn last_traces(&self, rows: u32) -> impl Iterator<Item = (u32, u32)> {
        let mut seen: HashSet<u32> = HashSet::new();
        let last = (self.rows.saturating_sub(rows)..self.rows).rev();
        let traces = last.map(|row| self.head.rows.traces.get(row));
        traces
            .filter(move |trace| seen.insert(*trace))
            .map(|trace| (trace, self.head.traces.rows(trace)))
    }

    /// Traces that the next head has, too.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = TraceKey> {
        let left_out = self.head.left_out.get().into_iter();
        left_out.flatten().map(|trace| self.head.traces.key(*trace))
    }

    /// A trace by its number.
    pub(crate) fn trace_numbered(&self, trace: u32) -> (TraceKey, HeadTrace<'_>) {
        (self.head.traces.key(trace), self.numbered(trace))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.head.bytes()
    }

    pub(crate) fn arrivals_ms(&self) -> Option<(u64, u64)> {
        self.head.arrivals_ms()
    }

    /// Calls `each` with the names of its spans and services. They may be of more spans than the view has.
    pub(crate) fn with_names<T>(&self, each: impl FnOnce(&Names) -> T) -> T {
        each(&self.head.listed())
    }

    pub(crate) fn trace(&self, key: TraceKey) -> Option<HeadTrace<'_>> {
        self.head.traces.find(key, self.rows).map(|trace| self.numbered(trace))
    }

    /// All parts of the traces of a group, by the key of their own.
    pub(crate) fn group(
        &self,
        group: TraceKey,
        strictness: Strictness,
    ) -> impl Iterator<Item = (TraceKey, HeadTrace<'_>)> {
        // Nobody is bound to make ids that end differently: where whole ids count, others are not looked at.
        let is_strict = strictness == Strictness::Strict;
        let one = if is_strict { self.head.traces.find(group, self.rows) } else { None };
        let all = (!is_strict).then(|| self.head.traces.group(group.low, self.rows));
        let traces = one.into_iter().chain(all.into_iter().flatten());
        traces.map(|trace| (self.head.traces.key(trace), self.numbered(trace)))
    }

    /// A span by the number of its row.
    pub(crate) fn span(&self, row: u32) -> Span {
        Row::new(&self.head, row).into()
    }

    /// All traces, in the order of their first spans.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (TraceKey, HeadTrace<'_>)> {
        let traces = (0..self.traces).filter(|trace| self.head.traces.is_in(*trace, self.rows));
        traces.map(|trace| (self.head.traces.key(trace), self.numbered(trace)))
    }

    /// All spans, in the order in which they came.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows).map(|row| Row::new(&self.head, row))
    }

    fn numbered(&self, trace: u32) -> HeadTrace<'_> {
        HeadTrace { head: &self.head, trace, rows: self.rows }
    }
}

impl<'a> HeadTrace<'a> {
    /// Of its rows, and maybe of some that came since.
    pub(crate) fn facts(&self) -> Facts {
        self.head.traces.facts(self.trace)
    }

    /// How many spans it has by now.
    pub(crate) fn len(&self) -> u32 {
        self.head.traces.rows(self.trace)
    }

    /// Whether some span may say this. If not, none does.
    pub(crate) fn may_say(&self, word: &Word) -> bool {
        let bit = match word {
            Word::Service(name) => hint::of(Sort::Service, name),
            Word::SpanName(name) => hint::of(Sort::SpanName, name),
            Word::RemoteService(name) => hint::of(Sort::RemoteService, name),
            Word::Error => hint::ERROR,
        };
        self.head.traces.words(self.trace) & bit != 0
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'a>> {
        let Self { head, trace, rows } = *self;
        let mut next = Some(head.traces.first_row(trace));
        std::iter::from_fn(move || {
            let row = next.filter(|row| *row < rows)?;
            // No row comes before itself, so zero is none.
            next = Some(head.rows.next_rows.get(row)).filter(|next| *next > row);
            Some(Row::new(head, row))
        })
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> {
        self.rows().map(Span::from)
    }

    /// Those of them that came after so many of the head.
    pub(crate) fn spans_after(&self, rows: u32) -> impl Iterator<Item = Span> {
        self.rows().filter(move |row| rows <= row.number()).map(Span::from)
    }
}

impl Rows {
    fn bytes(&self) -> usize {
        let wide = [&self.ids, &self.parent_ids, &self.timestamps, &self.durations];
        let narrow = [
            &self.traces,
            &self.names,
            &self.local_endpoints,
            &self.remote_endpoints,
            &self.origins,
            &self.rares,
            &self.tag_ends,
            &self.tags,
            &self.next_rows,
        ];
        wide.map(Column::bytes).iter().sum::<usize>()
            + narrow.map(Column::bytes).iter().sum::<usize>()
            + self.facts.bytes()
    }
}
