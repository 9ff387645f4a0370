//! What the store commits in one record: spans, and how far their target has been read.

use crate::columns::Columns;
use crate::pull::Cursor;
use crate::{Account, Span};

/// Labels of a target, sorted by name. Targets have labels; spans have tags.
pub type Labels = Vec<(String, String)>;

/// Spans that become durable together, with the cursor that covers them.
///
/// A cursor must never be durable before its spans, nor the spans without it: that is what makes
/// pulling exactly-once, and why both travel in one value.
#[derive(Debug, Default)]
pub struct SpanBatch {
    pub spans: Box<Columns>,
    /// `None` for spans that were pushed.
    pub progress: Option<TargetProgress>,
}

impl SpanBatch {
    /// Of owned spans.
    pub fn of(spans: &[Span], progress: Option<TargetProgress>) -> Self {
        let mut columns = Box::<Columns>::default();
        spans.iter().for_each(|span| _ = columns.push(span));
        Self { spans: columns, progress }
    }
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
