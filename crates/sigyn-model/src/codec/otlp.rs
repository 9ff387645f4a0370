//! OTLP protobuf: `ExportTraceServiceRequest`, read and written by hand.

use super::{DecodeError, Decoded};
use crate::Span;

/// Reads an `ExportTraceServiceRequest`. A bad span is a problem and takes no other with it.
pub fn decode(body: &[u8]) -> Result<Decoded, DecodeError> {
    let _ = body;
    Err(DecodeError::new("not written yet"))
}

/// Writes an `ExportTraceServiceRequest`, spans grouped by resource and scope in order of appearance.
pub fn encode<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Vec<u8> {
    let _ = spans.into_iter();
    Vec::new()
}
