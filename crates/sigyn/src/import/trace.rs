//! What an import carries: spans as their source wrote them, beside what they say.

use std::borrow::Cow;

use anyhow::Context as _;
use serde_json::value::RawValue;
use sigyn_model::codec::{DecodeError, json_v2};
use sigyn_model::{Span, TraceId};

/// One span.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) trace_id: TraceId,
    /// The span in Zipkin's normal form. Two spans with the same one are the same span.
    pub(super) normal: String,
    pub(super) payload: Payload,
}

/// How a span goes on to the tracer.
#[derive(Debug)]
pub(super) enum Payload {
    /// Zipkin v2 JSON, as its source wrote it.
    Zipkin(Box<RawValue>),
    /// A span from a format that says more than Zipkin's.
    Otlp(Box<Span>),
}

/// Spans in the order in which they were listed, and why others cannot be kept, one text a span.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) items: Vec<Item>,
    pub(super) refused: Vec<String>,
}

/// One trace that a search found.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) part: Part,
    /// When it starts, as a search has it; `None` if that cannot be told.
    pub(super) start_us: Option<u64>,
}

impl Item {
    /// A span of one of Zipkin's formats that is not JSON v2.
    pub(super) fn zipkin(span: &Span) -> Self {
        let normal = written(span);
        // What was just written is JSON.
        let payload = match RawValue::from_string(normal.clone()) {
            Ok(raw) => Payload::Zipkin(raw),
            Err(_) => Payload::Otlp(Box::new(span.clone())),
        };
        Self { trace_id: span.trace_id, normal, payload }
    }

    /// A span of a format that says more.
    pub(super) fn otlp(span: Span) -> Self {
        let normal = seen_by_zipkin(&span);
        Self { trace_id: span.trace_id, normal, payload: Payload::Otlp(Box::new(span)) }
    }
}

impl Part {
    /// Spans in JSON v2.
    pub(super) fn of(listed: &[&RawValue]) -> Self {
        Self::of_decoded(listed, decode_each(listed))
    }

    fn of_decoded(listed: &[&RawValue], decoded: Vec<Result<Span, DecodeError>>) -> Self {
        let mut part = Self::default();
        for (raw, span) in listed.iter().zip(decoded) {
            match span {
                Ok(span) => part.items.push(Item {
                    trace_id: span.trace_id,
                    normal: written(&span),
                    payload: Payload::Zipkin((*raw).to_owned()),
                }),
                Err(error) => part.refused.push(error.message),
            }
        }
        part
    }
}

impl Trace {
    /// A JSON list of v2 spans.
    fn read(json: &str) -> anyhow::Result<Self> {
        let listed: Vec<&RawValue> = serde_json::from_str(json)?;
        let decoded = decode_each(&listed);
        let whole = decoded.iter().all(Result::is_ok);
        let start_us = start_us(decoded.iter().flatten()).filter(|_| whole);
        Ok(Self { part: Part::of_decoded(&listed, decoded), start_us })
    }
}

/// Zipkin's memory storage lets the first root *listed* decide, Sigyn the earliest, and both the
/// earliest span if there is no root. Where they would differ, nobody knows.
fn start_us<'a>(spans: impl Iterator<Item = &'a Span> + Clone) -> Option<u64> {
    let at_us = |span: &Span| span.timestamp.map(|timestamp| timestamp.micros());
    let mut roots = spans.clone().filter(|span| span.parent_id.is_none()).filter_map(at_us);
    match roots.next() {
        Some(first) => roots.all(|other| other >= first).then_some(first),
        None => spans.filter_map(at_us).min(),
    }
}

/// The traces of an answer of `/api/v2/traces` or `/api/v2/traceMany`.
pub(super) fn read_traces(body: &[u8]) -> anyhow::Result<Vec<Trace>> {
    let text = json_text(body);
    let lists: Vec<&RawValue> =
        serde_json::from_str(&text).context("the answer is no list of traces")?;
    let traces = lists.iter().map(|list| Trace::read(list.get()));
    traces.collect::<Result<_, _>>().context("the answer is no list of lists of spans")
}

/// An answer's text. Zipkin miscounts some texts beyond ASCII and fills its answer up with NULs.
fn json_text(body: &[u8]) -> Cow<'_, str> {
    let end = body.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    String::from_utf8_lossy(&body[..end])
}

/// Spans as one list again.
pub(super) fn joined(listed: &[&RawValue]) -> String {
    let spans: Vec<&str> = listed.iter().map(|raw| raw.get()).collect();
    format!("[{}]", spans.join(","))
}

/// Each span as what it is, or why it is none.
fn decode_each(listed: &[&RawValue]) -> Vec<Result<Span, DecodeError>> {
    match json_v2::decode_list(joined(listed).as_bytes()) {
        Ok(spans) if spans.len() == listed.len() => spans.into_iter().map(Ok).collect(),
        // One bad span refuses its list: each for itself then.
        _ => listed
            .iter()
            .map(|raw| {
                let mut spans = json_v2::decode_list(joined(&[raw]).as_bytes())?;
                spans.pop().ok_or_else(|| DecodeError::new("no span"))
            })
            .collect(),
    }
}

/// A span from Zipkin's JSON in its normal form.
fn written(span: &Span) -> String {
    let mut out = String::new();
    json_v2::write_span(span, &mut out);
    out
}

/// A span from elsewhere, as Zipkin's JSON shows it and reads it back.
fn seen_by_zipkin(span: &Span) -> String {
    let shown = written(span);
    let list = format!("[{shown}]");
    match json_v2::decode_list(list.as_bytes()).as_deref() {
        Ok([span]) => written(span),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<Trace> {
        read_traces(json.as_bytes()).unwrap()
    }

    #[test]
    fn spans_stay_as_they_were_written_and_are_known_by_what_they_say() {
        let traces = read(
            r#"[[{"id":"2", "traceId":"1","name":"GET"},{"traceId":"1","id":"0000000000000002","name":"get"}]]"#,
        );
        let items = &traces[0].part.items;
        let Payload::Zipkin(raw) = &items[0].payload else { panic!("{items:?}") };
        assert_eq!(raw.get(), r#"{"id":"2", "traceId":"1","name":"GET"}"#);
        assert_eq!(items[0].normal, items[1].normal);
        assert!(items[0].normal.contains(r#""name":"get""#), "{}", items[0].normal);
    }

    #[test]
    fn a_bad_span_does_not_take_its_neighbours_along() {
        let traces = read(
            r#"[[{"traceId":"1","id":"2"},{"traceId":"1","id":"x"},{"traceId":"1","id":"3"}]]"#,
        );
        let part = &traces[0].part;
        assert_eq!((part.items.len(), part.refused.len()), (2, 1));
    }

    #[test]
    fn a_trace_starts_where_zipkin_says() {
        let start = |spans: &str| read(&format!("[[{spans}]]"))[0].start_us;
        let child = r#"{"traceId":"1","id":"2","parentId":"1","timestamp":5}"#;
        let root = r#"{"traceId":"1","id":"1","timestamp":9}"#;
        let other_root = r#"{"traceId":"1","id":"3","timestamp":7}"#;
        assert_eq!(start(child), Some(5));
        assert_eq!(start(&format!("{child},{root}")), Some(9));
        assert_eq!(start(&format!("{other_root},{child},{root}")), Some(7));
        assert_eq!(start(&format!("{root},{other_root}")), None);
        assert_eq!(start(&format!(r#"{root},{{"traceId":"1"}}"#)), None);
        assert_eq!(start(r#"{"traceId":"1","id":"1"}"#), None);
    }

    #[test]
    fn nuls_behind_an_answer_are_no_part_of_it() {
        assert_eq!(read("[[{\"traceId\":\"1\",\"id\":\"2\"}]]\0\0\0").len(), 1);
        assert!(read_traces(b"{}").is_err());
        assert!(read_traces(b"").is_err());
    }
}
