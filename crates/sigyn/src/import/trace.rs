//! What an import carries: spans as their source wrote them, beside what they say.

use std::borrow::Cow;
use std::collections::HashSet;

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

/// The spans of one trace, each once, in the order in which they were listed.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) items: Vec<Item>,
    /// When a search of Zipkin's says that it starts.
    pub(super) start_us: Option<u64>,
    /// How many spans were listed once more.
    pub(super) repeated: u64,
    /// Why the others cannot be kept, one text a span.
    pub(super) refused: Vec<String>,
}

impl Trace {
    pub(super) fn spans(&self) -> u64 {
        (self.items.len() + self.refused.len()) as u64
    }

    /// A JSON list of v2 spans.
    fn read(json: &str) -> anyhow::Result<Self> {
        let listed: Vec<&RawValue> = serde_json::from_str(json)?;
        let mut trace = Self::default();
        let mut known = HashSet::new();
        let (mut root_us, mut earliest_us) = (None, None::<u64>);
        for (raw, span) in listed.iter().zip(decode_each(json, &listed)) {
            let span = match span {
                Ok(span) => span,
                Err(error) => {
                    trace.refused.push(error.message);
                    continue;
                }
            };
            // Zipkin lets the first root *listed* decide.
            let at_us = span.timestamp.map(|timestamp| timestamp.micros());
            if span.parent_id.is_none() {
                root_us = root_us.or(at_us);
            }
            earliest_us = earliest_us.into_iter().chain(at_us).min();
            let normal = written(&span);
            if !known.insert(normal.clone()) {
                trace.repeated += 1;
                continue;
            }
            let payload = Payload::Zipkin((*raw).to_owned());
            trace.items.push(Item { trace_id: span.trace_id, normal, payload });
        }
        trace.start_us = root_us.or(earliest_us);
        Ok(trace)
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

/// The spans of a list, each as what it is or why it is none.
fn decode_each(json: &str, listed: &[&RawValue]) -> Vec<Result<Span, DecodeError>> {
    match json_v2::decode_list(json.as_bytes()) {
        Ok(spans) if spans.len() == listed.len() => spans.into_iter().map(Ok).collect(),
        // One bad span refuses its list: each for itself then.
        _ => listed
            .iter()
            .map(|raw| {
                let list = format!("[{}]", raw.get());
                let mut spans = json_v2::decode_list(list.as_bytes())?;
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
pub(super) fn seen_by_zipkin(span: &Span) -> String {
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
        let [Trace { items, repeated: 1, .. }] = &traces[..] else { panic!("{traces:?}") };
        let Payload::Zipkin(raw) = &items[0].payload else { panic!("{items:?}") };
        assert_eq!(raw.get(), r#"{"id":"2", "traceId":"1","name":"GET"}"#);
        assert_eq!(items.len(), 1);
        assert!(items[0].normal.contains(r#""name":"get""#), "{}", items[0].normal);
    }

    #[test]
    fn a_bad_span_does_not_take_its_neighbours_along() {
        let traces = read(
            r#"[[{"traceId":"1","id":"2"},{"traceId":"1","id":"x"},{"traceId":"1","id":"3"}]]"#,
        );
        assert_eq!((traces[0].items.len(), traces[0].refused.len()), (2, 1));
        assert_eq!(traces[0].spans(), 3);
    }

    #[test]
    fn a_trace_starts_where_zipkin_says() {
        let start = |spans: &str| read(&format!("[[{spans}]]"))[0].start_us;
        let child = r#"{"traceId":"1","id":"2","parentId":"1","timestamp":5}"#;
        let root = r#"{"traceId":"1","id":"1","timestamp":9}"#;
        let other_root = r#"{"traceId":"1","id":"3","timestamp":7}"#;
        assert_eq!(start(child), Some(5));
        assert_eq!(start(&format!("{child},{root},{other_root}")), Some(9));
        assert_eq!(start(r#"{"traceId":"1","id":"1"}"#), None);
    }

    #[test]
    fn nuls_behind_an_answer_are_no_part_of_it() {
        assert_eq!(read("[[{\"traceId\":\"1\",\"id\":\"2\"}]]\0\0\0").len(), 1);
        assert!(read_traces(b"{}").is_err());
        assert!(read_traces(b"").is_err());
    }
}
