//! What was found, and what became of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::query::time::count;

/// So many reasons are told apart; the others are one.
const REASONS_MAX: usize = 20;
const OTHER_REASONS: &str = "other reasons";

/// Every span that is found ends up in exactly one of `stored`, `there`, `unkept` and `refused`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Tally {
    pub(super) windows: u64,
    pub(super) traces: u64,
    pub(super) spans: u64,
    pub(super) stored: u64,
    pub(super) there: u64,
    /// Spans that the tracer took, and of whose traces it has nothing: those that its sampling leaves out.
    pub(super) unkept: u64,
    pub(super) refused: u64,
    pub(super) reasons: BTreeMap<String, u64>,
    /// Spans that were listed once more, word for word. Not counted among the others.
    pub(super) repeated: u64,
    /// Traces of which the tracer has too much to compare with: their spans are sent whatever it has.
    pub(super) uncompared: u64,
    /// Windows that may hold more than was found.
    pub(super) partial: u64,
    /// Files, or parts of them, that could not be read.
    pub(super) unread: u64,
}

impl Tally {
    pub(super) fn refuse(&mut self, spans: u64, reason: &str) {
        self.refused += spans;
        let known = self.reasons.contains_key(reason) || self.reasons.len() < REASONS_MAX;
        let reason = if known { reason } else { OTHER_REASONS };
        *self.reasons.entry(reason.to_owned()).or_insert(0) += spans;
    }

    /// Whether everything that is there to be found is where it belongs.
    pub(super) fn is_complete(&self) -> bool {
        self.refused == 0 && self.unkept == 0 && self.partial == 0 && self.unread == 0
    }

    /// For one line; `dry` if nothing is sent.
    pub(super) fn brief(&self, dry: bool) -> String {
        let stored = if dry { "would be stored" } else { "stored" };
        format!(
            "{} traces, {} spans: {} {stored}, {} already there",
            count(self.traces),
            count(self.spans),
            count(self.stored),
            count(self.there)
        )
    }

    /// The closing count. Without `windows` for files, which have none; `dry` if nothing was sent.
    pub(super) fn closing(&self, dry: bool) -> String {
        let mut out = String::new();
        let windows = match self.windows {
            0 => String::new(),
            windows => format!(" in {} windows", count(windows)),
        };
        let mut row = |name: &str, what: String| {
            let _ = writeln!(out, "{name:<14} {what}");
        };
        row(
            "found",
            format!("{} traces, {} spans{windows}", count(self.traces), count(self.spans)),
        );
        row(if dry { "to be stored" } else { "stored" }, spans(self.stored));
        row("already there", spans(self.there));
        if self.unkept > 0 {
            let why = "taken and left out again: is COLLECTOR_SAMPLE_RATE set there?";
            row("not kept", format!("{}, {why}", spans(self.unkept)));
        }
        row("refused", spans(self.refused));
        for (reason, spans) in &self.reasons {
            row("", format!("{}: {reason}", count(*spans)));
        }
        if self.repeated > 0 {
            row("repeated", format!("{}, each counted once", spans(self.repeated)));
        }
        if self.uncompared > 0 {
            let why = "too large to compare, sent whatever is there";
            row("uncompared", format!("{} traces, {why}", count(self.uncompared)));
        }
        if self.partial > 0 {
            row("incomplete", format!("{} windows may hold more", count(self.partial)));
        }
        if self.unread > 0 {
            row("unreadable", format!("{} files or parts of files", count(self.unread)));
        }
        out
    }
}

fn spans(n: u64) -> String {
    format!("{} spans", count(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_apart_within_bounds() {
        let mut tally = Tally::default();
        for n in 0..100 {
            tally.refuse(2, &format!("reason {n:02}"));
        }
        assert_eq!(tally.refused, 200);
        assert_eq!(tally.reasons.len(), REASONS_MAX + 1);
        assert_eq!(tally.reasons[OTHER_REASONS], 160);
    }

    #[test]
    fn the_closing_count_is_read_at_a_glance() {
        let mut tally =
            Tally { windows: 7, traces: 1_200, spans: 5_000, stored: 4_998, ..Tally::default() };
        tally.refuse(2, "id is empty");
        assert_eq!(
            tally.closing(false),
            "found          1,200 traces, 5,000 spans in 7 windows\n\
             stored         4,998 spans\n\
             already there  0 spans\n\
             refused        2 spans\n               \
             2: id is empty\n"
        );
        assert!(!tally.is_complete());
        let brief = "1,200 traces, 5,000 spans: 4,998 would be stored, 0 already there";
        assert_eq!(tally.brief(true), brief);
    }
}
