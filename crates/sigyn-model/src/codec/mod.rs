//! Bytes to spans and back, one file a format.

pub(crate) mod json;
pub mod json_v2;
pub mod otlp;
pub(crate) mod proto;

pub use json_v2::write_json_str;

use crate::Span;

/// What came out of a body: spans, and what was wrong with the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    pub spans: Vec<Span>,
    /// Spans that could not be kept, each with its reason. Empty for formats whose contract refuses
    /// the whole message instead.
    pub problems: Vec<String>,
}

/// Why a body holds no spans at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    pub message: String,
}

impl DecodeError {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
