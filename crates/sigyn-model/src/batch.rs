//! What the store commits in one record: spans, and how far their target has been read.

use crate::pull::Cursor;
use crate::{Account, Span};

/// Labels of a target, sorted by name. Targets have labels; spans have tags.
pub type Labels = Vec<(String, String)>;

/// Spans that become durable together, with the cursor that covers them.
///
/// A cursor must never be durable before its spans, nor the spans without it: that is what makes
/// pulling exactly-once, and why both travel in one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanBatch {
    pub spans: Vec<Span>,
    /// `None` for spans that were pushed.
    pub progress: Option<TargetProgress>,
}

/// How far one target has been read, and what became of all its spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetProgress {
    /// Which target: stable over restarts and over changes of its labels.
    pub target: String,
    /// The next segment to ask for; `None` for a target that knows no cursor.
    pub cursor: Option<Cursor>,
    pub account: Account,
}
