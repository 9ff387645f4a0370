//! Which service calls which.

use std::collections::BTreeMap;
use std::sync::Arc;

use sigyn_model::{Searched, Span, SpanId, TraceId, each_link};

use super::{Checked, kinds::Kind};
use crate::block::links::{Links, minute_of};
use crate::block::page_row::PageRow;
use crate::trace::assemble;

/// Calls and errors, by who calls whom in which minute.
type Counts = BTreeMap<(String, String, u32), (u64, u64)>;

pub(super) struct Calls {
    links: Arc<Links>,
    /// What decides of each span of the trace that comes in.
    trace: Vec<Span>,
    counted: Counts,
}

impl Calls {
    pub(super) fn of(links: Arc<Links>) -> Self {
        Self { links, trace: Vec::new(), counted: Counts::default() }
    }

    /// What decides of a span, but for ids and times.
    pub(super) fn bare(span: &Span) -> Span {
        let mut bare = Span::new(span.trace_id, span.id);
        bare.kind = span.kind;
        bare.local_endpoint = span.local_endpoint.clone();
        bare.remote_endpoint = span.remote_endpoint.clone();
        if span.is_error() {
            bare.set_tag("error", "");
        }
        bare
    }

    pub(super) fn row(&mut self, trace_id: TraceId, kind: &Kind, row: &PageRow<'_, '_>) {
        let Some(id) = row.id().filter(|_| !self.links.leaves_out(trace_id.into())) else { return };
        let mut bare = kind.bare.clone();
        (bare.trace_id, bare.id) = (trace_id, SpanId::from_raw(id));
        (bare.parent_id, bare.shared) = (row.parent().map(SpanId::from_raw), row.shared());
        (bare.timestamp, bare.duration) = (row.timestamp(), row.duration());
        self.trace.push(bare);
    }

    /// The next row is of another trace.
    pub(super) fn end_trace(&mut self) {
        let trace = std::mem::take(&mut self.trace);
        let Some(start) = trace.iter().filter_map(|span| span.timestamp).min() else { return };
        each_link(&assemble(trace), &mut |parent, child, is_error| {
            let key = (parent.to_owned(), child.to_owned(), minute_of(start));
            let (calls, errors) = self.counted.entry(key).or_default();
            *calls += 1;
            *errors += u64::from(is_error);
        });
    }

    pub(super) fn end(mut self) -> Checked {
        self.end_trace();
        let mut told = Counts::default();
        self.links.each_minute(&mut |parent, child, minute, calls, errors| {
            let key = (parent.to_owned(), child.to_owned(), minute);
            let counts = told.entry(key).or_default();
            *counts = (counts.0.saturating_add(calls), counts.1.saturating_add(errors));
        });
        if told == self.counted {
            return Ok(());
        }
        let all = told.keys().chain(self.counted.keys());
        let differs = |key: &&(String, String, u32)| told.get(*key) != self.counted.get(*key);
        let (parent, child, minute) = all.into_iter().find(differs).cloned().unwrap_or_default();
        Err(format!(
            "its calls of {parent:?} to {child:?} in minute {minute} since 1970 are not those of its rows"
        ))
    }
}
