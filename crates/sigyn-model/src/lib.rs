//! What a span is: the model, its codecs, and the one definition of what a query matches.
//!
//! Pure on purpose: no input or output, no async, no clock, no serde on these types. Whatever needs
//! one of those stands in another crate and speaks to this one in plain data.

mod account;
#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
mod batch;
pub mod codec;
pub mod columns;
mod differences;
mod endpoint;
mod filter;
mod heat;
mod id;
mod link;
mod merge;
mod outline;
pub mod pull;
mod query;
mod red;
mod selection;
mod sketch;
mod span;
mod terminal;
mod time;
mod tree;
mod value;
mod vocabulary;
mod waterfall;
mod window;

pub use account::{Account, EpochAccount, LossReason, Losses};
pub use batch::{Labels, SpanBatch, TargetProgress};
pub use differences::{Difference, Differences, DifferencesQuery};
pub use endpoint::Endpoint;
pub use filter::{
    Alike, Field, FieldError, Filter, FilterError, Need, Sought, SpanFilter, status_word,
    trace_duration,
};
pub use heat::{Adding, Cell, Gathered, Heat, HeatError, HeatQuery, Level};
pub use id::{IdError, SpanId, TraceId};
pub use link::{DependencyLink, Linker, each_link};
pub use outline::{Outline, Outlines};
pub use query::{
    QueryError, QueryParams, Searched, TagTerm, TracePlace, TraceQuery, trace_root, trace_start,
};
pub use red::{Measure, Red, RedError, RedQuery, Series};
pub use selection::{Selection, Steps, StepsError, Unit};
pub use sketch::{RELATIVE_ERROR, Sketch, bounds_of, bucket_of};
pub use span::{Annotation, Kind, Link, Resource, Scope, Span, Status, StatusCode};
pub use terminal::plain;
pub use time::Timestamp;
pub use tree::{Row, SpanNode, SpanTree};
pub use value::{Tags, Value};
pub use vocabulary::{Seen, Tagged, What, Words, WordsQuery};
pub use waterfall::{Line, Waterfall};
pub use window::window_us;
