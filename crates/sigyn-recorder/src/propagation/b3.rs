//! Zipkin's own: `b3` in one header, or `X-B3-*` in several.
//!
//! Ids are read in either case, as some senders write capitals, and written in lower case.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::{HeaderMap, HeaderName};
use sigyn_model::{SpanId, TraceId};

use super::{Context, Ids, Invalid, Said, header, put};

static SINGLE: HeaderName = HeaderName::from_static("b3");
static TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
static SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
static PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
static SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
static FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

pub(super) static NAMES: [HeaderName; 6] = [
    HeaderName::from_static("b3"),
    HeaderName::from_static("x-b3-traceid"),
    HeaderName::from_static("x-b3-spanid"),
    HeaderName::from_static("x-b3-parentspanid"),
    HeaderName::from_static("x-b3-sampled"),
    HeaderName::from_static("x-b3-flags"),
];

/// `b3` at its longest.
const SINGLE_LEN_MAX: usize = 32 + 1 + 16 + 2 + 1 + 16;

/// `traceid-spanid`, `traceid-spanid-state`, `traceid-spanid-state-parentid`, or a state alone.
pub(super) fn read_single(headers: &HeaderMap) -> Result<Option<Said>, Invalid> {
    let Some(text) = header(headers, &SINGLE)? else { return Ok(None) };
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or("");
    let (second, third, fourth) = (parts.next(), parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(Invalid);
    }
    let Some(second) = second else { return state(first).map(Some) };
    if ![16, 32].contains(&first.len()) || second.len() != 16 {
        return Err(Invalid);
    }
    let parent_id = fourth.map(span_id).transpose()?;
    let ids = Ids { trace_id: trace_id(first)?, span_id: span_id(second)?, parent_id };
    let said = third.map(state).transpose()?.unwrap_or_default();
    Ok(Some(Said { ids: Some(ids), ..said }))
}

/// Debug is its own flag here, and implies that the trace is sampled.
pub(super) fn read_multi(headers: &HeaderMap) -> Result<Option<Said>, Invalid> {
    let trace = header(headers, &TRACE_ID)?;
    let span = header(headers, &SPAN_ID)?;
    let parent_id = header(headers, &PARENT_ID)?.map(span_id).transpose()?;
    let debug = header(headers, &FLAGS)? == Some("1");
    let sampled = match header(headers, &SAMPLED)? {
        _ if debug => Some(true),
        None => None,
        Some("1") => Some(true),
        Some("0") => Some(false),
        // Older tracers wrote words.
        Some(word) if word.eq_ignore_ascii_case("true") => Some(true),
        Some(word) if word.eq_ignore_ascii_case("false") => Some(false),
        Some(_) => return Err(Invalid),
    };
    let ids = match (trace, span) {
        (Some(trace), Some(span)) => {
            Some(Ids { trace_id: trace_id(trace)?, span_id: span_id(span)?, parent_id })
        }
        (None, None) => None,
        _ => return Err(Invalid),
    };
    let said = Said { ids, sampled, debug };
    Ok((said != Said::default()).then_some(said))
}

pub(super) fn write_single(context: &Context, headers: &mut HeaderMap) {
    let state = match (context.debug, context.sampled) {
        (true, _) => Some("d"),
        (false, Some(true)) => Some("1"),
        (false, Some(false)) => Some("0"),
        (false, None) => None,
    };
    let mut text = String::with_capacity(SINGLE_LEN_MAX);
    if let Some(span_id) = context.span_id {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}-{span_id}", context.trace_id);
        if let Some(state) = state {
            let _ = write!(text, "-{state}");
            // Its place comes after the state.
            if let Some(parent_id) = context.parent_id {
                let _ = write!(text, "-{parent_id}");
            }
        }
    } else if let Some(state) = state {
        text.push_str(state);
    } else {
        return;
    }
    put(headers, &SINGLE, text);
}

pub(super) fn write_multi(context: &Context, headers: &mut HeaderMap) {
    if let Some(span_id) = context.span_id {
        put(headers, &TRACE_ID, context.trace_id.to_string());
        put(headers, &SPAN_ID, span_id.to_string());
        if let Some(parent_id) = context.parent_id {
            put(headers, &PARENT_ID, parent_id.to_string());
        }
    }
    match (context.debug, context.sampled) {
        (true, _) => put(headers, &FLAGS, "1".to_owned()),
        (false, Some(sampled)) => put(headers, &SAMPLED, u8::from(sampled).to_string()),
        (false, None) => {}
    }
}

fn state(text: &str) -> Result<Said, Invalid> {
    let (sampled, debug) = match text {
        "0" => (false, false),
        "1" => (true, false),
        "d" => (true, true),
        _ => return Err(Invalid),
    };
    Ok(Said { ids: None, sampled: Some(sampled), debug })
}

fn trace_id(text: &str) -> Result<TraceId, Invalid> {
    TraceId::parse(&lower(text)).map_err(|_| Invalid)
}

fn span_id(text: &str) -> Result<SpanId, Invalid> {
    let id = SpanId::parse(&lower(text)).map_err(|_| Invalid)?;
    SpanId::new(id.as_u64()).ok_or(Invalid)
}

/// Few write capitals.
fn lower(text: &str) -> Cow<'_, str> {
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_ascii_lowercase()) }
}
