//! The context of a trace as it travels between processes: B3 (single and multi) and W3C Trace Context,
//! and [`Baggage`] beside it.
//!
//! **In**, all three forms are read, in this order: `b3`, `X-B3-*`, `traceparent`. The first that is
//! valid and has ids gives the context. A form that is invalid is as if it were absent, and is counted.
//! A form that holds a decision alone (`b3: 0`) passes that decision on to whichever form gives the ids;
//! if none does, it decides for the trace that starts here. `tracestate` is kept if the `traceparent`
//! beside it names the same trace.
//!
//! **Out**, [`inject`] writes `b3` and `traceparent`, which is what most of the world reads;
//! [`inject_as`] writes what it is told to. Either takes away the forms it does not write, so that a
//! forwarded request never carries two opinions.

mod b3;
mod baggage;
mod w3c;

use http::{HeaderMap, HeaderName, HeaderValue};
use sigyn_model::{SpanId, TraceId};

pub use baggage::Baggage;

use crate::ids;

/// Where in which trace we are, and whether the trace is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Which trace it is.
    pub trace_id: TraceId,
    /// `None` if nothing is above: the caller sent a decision and no ids.
    pub span_id: Option<SpanId>,
    /// The parent of that span, where known; only B3 tells.
    pub parent_id: Option<SpanId>,
    /// `None` leaves the decision to whoever records first.
    pub sampled: Option<bool>,
    /// B3's debug flag: recorded whatever the sampler says, here and everywhere after.
    pub debug: bool,
    /// W3C `tracestate`, passed on as it came; empty means absent.
    pub trace_state: String,
}

/// One way to write a context into headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `b3`, the whole context in one header.
    B3Single,
    /// `X-B3-TraceId` and its like.
    B3Multi,
    /// `traceparent` and `tracestate`. Cannot say "undecided", and says "not sampled" instead.
    W3c,
}

/// What [`read`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extracted {
    /// What the first form says that can be read and has ids.
    pub context: Option<Context>,
    /// Forms that were there and could not be read.
    pub invalid: u32,
}

/// What one form says. Both may be absent, but not at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    ids: Option<Ids>,
    sampled: Option<bool>,
    debug: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: Option<SpanId>,
}

/// Which forms have a header at all: one look at all names is less than one for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct There {
    single: bool,
    multi: bool,
    w3c: bool,
}

impl There {
    fn among(headers: &HeaderMap) -> Self {
        let mut there = Self::default();
        for name in headers.keys() {
            match name.as_str().as_bytes() {
                b"b3" => there.single = true,
                [b'x', b'-', b'b', b'3', b'-', ..] => there.multi = true,
                b"traceparent" | b"tracestate" => there.w3c = true,
                _ => {}
            }
        }
        there
    }
}

/// A form that is there and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Invalid;

/// The context of an incoming request, if it has one.
pub fn extract(headers: &HeaderMap) -> Option<Context> {
    read(headers).context
}

/// Like [`extract`], and says how much of what was there could not be read. `Recorder::extract` counts it.
pub fn read(headers: &HeaderMap) -> Extracted {
    let mut invalid = 0;
    let mut valid = |form: Result<Option<Said>, Invalid>| {
        form.unwrap_or_else(|Invalid| {
            invalid += 1;
            None
        })
    };
    let there = There::among(headers);
    let traceparent = if there.w3c { valid(w3c::read(headers)) } else { None };
    let single = if there.single { valid(b3::read_single(headers)) } else { None };
    let multi = if there.multi { valid(b3::read_multi(headers)) } else { None };
    let forms = [single, multi, traceparent];
    let mut decision: Option<Said> = None;
    let mut context = None;
    for said in forms.into_iter().flatten() {
        let by = decision.unwrap_or(said);
        if let Some(ids) = said.ids {
            let beside = traceparent.and_then(|said| said.ids).map(|ids| ids.trace_id);
            let same_trace = beside == Some(ids.trace_id);
            context = Some(Context {
                trace_id: ids.trace_id,
                span_id: Some(ids.span_id),
                parent_id: ids.parent_id,
                sampled: by.sampled,
                debug: by.debug,
                trace_state: if same_trace { w3c::state(headers) } else { String::new() },
            });
            break;
        }
        decision = Some(by);
    }
    let context = context.or_else(|| {
        let Said { sampled, debug, .. } = decision?;
        Some(Context { span_id: None, sampled, debug, ..Context::root() })
    });
    Extracted { context, invalid }
}

/// Writes a context as `b3` and `traceparent`.
pub fn inject(context: &Context, headers: &mut HeaderMap) {
    inject_as(context, &[Format::B3Single, Format::W3c], headers);
}

/// Writes a context in these formats, and takes away all others.
pub fn inject_as(context: &Context, formats: &[Format], headers: &mut HeaderMap) {
    if There::among(headers) != There::default() {
        for name in b3::NAMES.iter().chain(&w3c::NAMES) {
            headers.remove(name);
        }
    }
    for format in formats {
        match format {
            Format::B3Single => b3::write_single(context, headers),
            Format::B3Multi => b3::write_multi(context, headers),
            Format::W3c => w3c::write(context, headers),
        }
    }
}

impl Context {
    /// A new trace with a span at its root, undecided.
    #[inline]
    pub(crate) fn root() -> Self {
        let (trace_id, span_id) = ids::trace_and_span();
        Self {
            trace_id,
            span_id: Some(span_id),
            parent_id: None,
            sampled: None,
            debug: false,
            trace_state: String::new(),
        }
    }

    /// Whether it is recorded, where that is said.
    #[inline]
    pub(crate) fn decision(&self) -> Option<bool> {
        if self.debug { Some(true) } else { self.sampled }
    }

    /// A span below this one.
    #[inline]
    pub(crate) fn child(&self) -> Self {
        let mut span_id = ids::span();
        while Some(span_id) == self.span_id {
            span_id = ids::span();
        }
        let Self { trace_id, sampled, debug, .. } = *self;
        let state = &self.trace_state;
        let trace_state = if state.is_empty() { String::new() } else { state.clone() };
        Self {
            trace_id,
            span_id: Some(span_id),
            parent_id: self.span_id,
            sampled,
            debug,
            trace_state,
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Invalid> {
    let value = headers.get(name).map(|value| value.to_str().map_err(|_| Invalid));
    Ok(value.transpose()?.map(str::trim))
}

fn put(headers: &mut HeaderMap, name: &HeaderName, value: String) {
    // All but a foreign `tracestate` is hexadecimal, and that came out of a header.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name.clone(), value);
    }
}

#[cfg(test)]
mod tests;
