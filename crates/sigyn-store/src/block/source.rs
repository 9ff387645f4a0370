//! What a block is made of: spans by number, and what they say as numbers of lists that they share.

use std::sync::Arc;
use std::time::Duration;

use sigyn_model::codec::sink::EndpointRef;
use sigyn_model::{
    Kind, Labels, Link, Resource, Scope, Span, SpanId, StatusCode, Tags, Timestamp, TraceId, Value,
};

/// Spans that stand somewhere in columns: a head, or blocks that are merged.
///
/// Numbers of shared things are small: lists are made by them. Where it says so, zero stands for none. Things
/// that are the same may have several numbers, and each number means one thing.
pub(crate) trait Source {
    /// How many spans there are.
    fn rows(&self) -> u32;
    /// Whether things that are the same often have several numbers.
    fn says_again(&self) -> bool {
        false
    }
    /// When the first and the last batch of them arrived.
    fn arrivals_ms(&self) -> Option<(u64, u64)>;
    fn row(&self, row: u32) -> SourceRow;
    /// The same for many, in place of what `out` had.
    fn rows_into(&self, rows: &[u32], out: &mut Vec<SourceRow>);
    /// Spans of one trace have the same number; some traces may have no spans.
    fn trace(&self, row: u32) -> u32;
    fn trace_count(&self) -> u32;
    /// Whether no block has anything of this trace.
    fn leaves_out(&self, _trace: u32) -> bool {
        false
    }
    fn trace_id(&self, trace: u32) -> TraceId;
    /// Where the span stands in its trace: by time, those without one last, then by id.
    fn place(&self, row: u32) -> (Timestamp, SpanId, bool);
    /// Whether it has no parent.
    fn is_root(&self, row: u32) -> bool;
    /// Its own endpoint, and its name.
    fn names_of(&self, row: u32) -> (u32, u32);
    /// The numbers of these spans' own tags, each one's in their order, in place of what `out` had; and where
    /// those of each span end.
    fn tags_into(&self, rows: &[u32], out: &mut Vec<u32>, ends: &mut Vec<usize>);
    /// Calls `each` with numbers of tags: those of all spans.
    fn each_tags(&self, each: &mut dyn FnMut(&[u32]));
    /// Calls `each` with the annotations, in their order.
    fn annotations(&self, row: u32, each: &mut dyn FnMut(SourceAnnotation<'_>));
    fn links(&self, row: u32) -> Vec<Link>;
    /// The whole span, for the few of which more than numbers is asked.
    fn span(&self, row: u32) -> Span;

    /// A tag's key, and what it says.
    fn tag(&self, tag: u32) -> (u32, TagValue<'_>);
    /// The same, whatever it is.
    fn tag_value(&self, tag: u32) -> Value;
    /// About how many bytes it takes.
    fn tag_bytes(&self, tag: u32) -> usize;
    fn key(&self, key: u32) -> &str;
    /// A name of spans; zero is the empty one.
    fn name(&self, name: u32) -> &str;
    /// What statuses, trace states and annotations say; zero is the empty one.
    fn text(&self, text: u32) -> &str;
    /// `None` for zero.
    fn endpoint(&self, endpoint: u32) -> Option<EndpointRef<'_>>;
    /// `None` for zero.
    fn resource(&self, resource: u32) -> Option<&Arc<Resource>>;
    /// `None` for zero.
    fn scope(&self, scope: u32) -> Option<&Arc<Scope>>;
    /// `None` for zero.
    fn target(&self, target: u32) -> Option<&Arc<Labels>>;
}

/// What a span says, without its lists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SourceRow {
    pub(crate) trace_id: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) duration: Option<Duration>,
    pub(crate) kind: Option<Kind>,
    pub(crate) debug: bool,
    pub(crate) shared: bool,
    pub(crate) status_code: StatusCode,
    pub(crate) has_annotations: bool,
    pub(crate) has_links: bool,
    pub(crate) name: u32,
    pub(crate) local_endpoint: u32,
    pub(crate) remote_endpoint: u32,
    pub(crate) resource: u32,
    pub(crate) scope: u32,
    pub(crate) target: u32,
    pub(crate) status_message: u32,
    pub(crate) trace_state: u32,
    /// Tags, annotations, links.
    pub(crate) dropped: [u32; 3],
    pub(crate) flags: u32,
}

impl SourceRow {
    /// One of which nothing else is known yet.
    pub(crate) fn new(trace_id: TraceId, id: SpanId) -> Self {
        Self {
            trace_id,
            id,
            parent_id: None,
            timestamp: None,
            duration: None,
            kind: None,
            debug: false,
            shared: false,
            status_code: StatusCode::Unset,
            has_annotations: false,
            has_links: false,
            name: 0,
            local_endpoint: 0,
            remote_endpoint: 0,
            resource: 0,
            scope: 0,
            target: 0,
            status_message: 0,
            trace_state: 0,
            dropped: [0; 3],
            flags: 0,
        }
    }
}

/// An annotation of a span.
#[derive(Debug)]
pub(crate) struct SourceAnnotation<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) value: u32,
    pub(crate) dropped_tags: u32,
    pub(crate) tags: &'a dyn TagsOf,
}

/// Tags that are made when they are asked for.
pub(crate) trait TagsOf: std::fmt::Debug {
    fn is_empty(&self) -> bool;
    fn to_tags(&self) -> Tags;
}

/// The values of tags that columns of their own can hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TagValue<'a> {
    /// UTF-8: whoever only passes it on need not look.
    Text(&'a [u8]),
    Int(i64),
    Double(f64),
    Bool(bool),
    Other,
}
