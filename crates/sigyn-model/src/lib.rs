//! What a span is: the model, its codecs, and the one definition of what a query matches.
//!
//! Pure on purpose: no input or output, no async, no clock, no serde on these types. Whatever needs
//! one of those stands in another crate and speaks to this one in plain data.

mod account;
#[cfg(test)]
mod arbitrary;
mod batch;
pub mod codec;
mod endpoint;
mod filter;
mod id;
mod link;
mod merge;
pub mod pull;
mod query;
mod span;
mod time;
mod tree;
mod value;

pub use account::{Account, EpochAccount, LossReason, Losses};
pub use batch::{Labels, SpanBatch, TargetProgress};
pub use endpoint::Endpoint;
pub use filter::{Field, Filter, FilterError, Need, trace_duration};
pub use id::{IdError, SpanId, TraceId};
pub use link::{DependencyLink, Linker};
pub use query::{
    QueryError, QueryParams, Searched, TagTerm, TracePlace, TraceQuery, trace_root, trace_start,
};
pub use span::{Annotation, Kind, Link, Resource, Scope, Span, Status, StatusCode};
pub use time::Timestamp;
pub use tree::{Row, SpanNode, SpanTree};
pub use value::{Tags, Value};
