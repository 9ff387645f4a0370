//! Bytes to spans and back, one file a format.

pub(crate) mod base64;
mod detect;
pub(crate) mod draft;
mod format;
mod jaeger;
pub mod jaeger_json;
pub mod jaeger_proto;
pub mod jaeger_thrift;
pub(crate) mod json;
pub(crate) mod json_text;
pub mod json_v1;
pub mod json_v2;
mod limits;
pub mod otlp;
pub mod otlp_json;
mod owned;
pub mod proto;
pub(crate) mod scan;
pub(crate) mod shapes;
pub mod sink;
pub(crate) mod thrift;
mod v1;
mod zipkin;
pub mod zipkin_proto3;
pub mod zipkin_thrift;

pub use detect::{check_list, detect};
pub use format::{Format, decode, read};
pub use json_v2::write_json_str;
pub use limits::{Limits, ManyNested, OverLimit, PROBLEMS_MAX};
pub use owned::SpanVec;
pub use scan::same_bytes;

pub(crate) use limits::{
    ANNOTATIONS_MAX, LINKS_MAX, Meter, ORIGIN_TAGS_MAX, Room, VALUE_DEPTH_MAX, shortened,
};

use std::borrow::Cow;
use std::fmt;

use crate::Span;

/// What came out of a body: spans, and what was wrong with the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    pub spans: Vec<Span>,
    /// What is wrong with spans that could not be kept: the first [`PROBLEMS_MAX`] of them. Empty for
    /// formats whose contract refuses the whole message instead.
    pub problems: Vec<String>,
    /// How many could not be kept.
    pub rejected: usize,
}

/// A message about a body is no longer than this, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why a body holds no spans at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// At most 300 characters: whatever was sent, it can be logged and kept.
    pub message: String,
    /// Nothing is wrong with the body but its size: it breaks the [`Limits`] of its reader.
    pub over_limit: bool,
}

impl DecodeError {
    pub fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        let message = match shortened(&message, MESSAGE_CHARS_MAX) {
            Cow::Borrowed(_) => message,
            Cow::Owned(shorter) => shorter,
        };
        Self { message, over_limit: false }
    }

    /// What is wrong with a body of this format.
    pub(crate) fn reading(format: Format, cause: &dyn fmt::Display) -> Self {
        Self::new(format!("{cause} reading {}", format.content()))
    }

    /// Which limit a body of this format breaks.
    pub(crate) fn over(format: Format, over: OverLimit) -> Self {
        Self { over_limit: true, ..Self::reading(format, &over) }
    }
}
