//! Zipkin v2 JSON: a strict reader with Zipkin's rules and texts, and a writer with Zipkin's order of fields.

use super::DecodeError;
use crate::{DependencyLink, Span};

/// Reads a list of spans. One bad span refuses the whole message: Zipkin's contract.
pub fn decode_list(body: &[u8]) -> Result<Vec<Span>, DecodeError> {
    let _ = body;
    Err(DecodeError::new("not written yet"))
}

/// Appends one span as JSON.
pub fn write_span(span: &Span, out: &mut String) {
    let _ = (span, out);
}

/// A list of spans as JSON.
pub fn encode_list<'a>(spans: impl IntoIterator<Item = &'a Span>) -> String {
    let _ = spans.into_iter();
    String::new()
}

/// A list of dependency links as JSON.
pub fn encode_links(links: &[DependencyLink]) -> String {
    let _ = links;
    String::new()
}

/// Appends a JSON string, quoted and escaped as Zipkin escapes.
pub fn write_json_str(out: &mut String, text: &str) {
    let _ = (out, text);
}
