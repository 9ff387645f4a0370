//! W3C Trace Context: `traceparent`, and `tracestate` carried along unread.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName};
use sigyn_model::{SpanId, TraceId};

use super::{Context, Ids, Invalid, Said, header, put};
use crate::draft::TRACE_STATE_BYTES_MAX;

static PARENT: HeaderName = HeaderName::from_static("traceparent");
static STATE: HeaderName = HeaderName::from_static("tracestate");
/// `traceparent`, as it is written.
const LEN: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;
/// W3C allows no more entries.
const ENTRIES_MAX: usize = 32;

pub(super) static NAMES: [HeaderName; 2] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// `00-<32 hex>-<16 hex>-<2 hex>`. Of a later version the same beginning is read, as W3C asks.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Said>, Invalid> {
    if headers.get_all(&PARENT).iter().nth(1).is_some() {
        return Err(Invalid);
    }
    let Some(text) = header(headers, &PARENT)? else { return Ok(None) };
    let mut parts = text.split('-');
    let mut part = |len: usize| parts.next().filter(|part| part.len() == len).ok_or(Invalid);
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let version = byte(version)?;
    if version == 0xff || (version == 0 && parts.next().is_some()) {
        return Err(Invalid);
    }
    let trace_id = TraceId::parse(trace).map_err(|_| Invalid)?;
    let span_id = SpanId::parse(span).map_err(|_| Invalid)?;
    let sampled = Some(byte(flags)? & 1 == 1);
    let ids = Ids { trace_id, span_id, parent_id: None };
    Ok(Some(Said { ids: Some(ids), sampled, debug: false }))
}

/// All `tracestate` headers as one; nothing if they are too long or no text. Half of it would be wrong.
pub(super) fn state(headers: &HeaderMap) -> String {
    let values: Option<Vec<&str>> =
        headers.get_all(&STATE).iter().map(|value| value.to_str().ok().map(str::trim)).collect();
    let state = values.unwrap_or_default().join(",");
    let fits = state.len() <= TRACE_STATE_BYTES_MAX && state.split(',').count() <= ENTRIES_MAX;
    if fits { state } else { String::new() }
}

pub(super) fn write(context: &Context, headers: &mut HeaderMap) {
    let Some(span_id) = context.span_id else { return };
    let sampled = context.debug || context.sampled == Some(true);
    let (trace_id, flags) = (context.trace_id.as_u128(), u8::from(sampled));
    // A 64-bit trace id is padded on the left: this header knows one width.
    let mut text = String::with_capacity(LEN);
    // Writing to a string cannot fail.
    let _ = write!(text, "00-{trace_id:032x}-{span_id}-{flags:02x}");
    put(headers, &PARENT, text);
    if !context.trace_state.is_empty() {
        put(headers, &STATE, context.trace_state.clone());
    }
}

/// Two lower-case hexadecimal digits.
fn byte(text: &str) -> Result<u8, Invalid> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if lower { u8::from_str_radix(text, 16).map_err(|_| Invalid) } else { Err(Invalid) }
}
