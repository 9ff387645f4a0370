//! Which service calls which.

use std::collections::BTreeMap;
use std::sync::Arc;

use sigyn_model::{Span, each_link};

use super::Checked;
use crate::block::links::{Links, minute_of};
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

    pub(super) fn row(&mut self, span: &Span) {
        if self.links.leaves_out(span.trace_id.into()) {
            return;
        }
        let mut bare = Span::new(span.trace_id, span.id);
        (bare.parent_id, bare.kind, bare.shared) = (span.parent_id, span.kind, span.shared);
        (bare.timestamp, bare.duration) = (span.timestamp, span.duration);
        bare.local_endpoint = span.local_endpoint.clone();
        bare.remote_endpoint = span.remote_endpoint.clone();
        if span.is_error() {
            bare.set_tag("error", "");
        }
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
