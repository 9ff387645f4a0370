//! Writing: one trace, with the processes of its spans beside them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::codec::jaeger::{RefType, Reference, words};
use crate::codec::json_text::Json;
use crate::codec::{base64, write_json_str};
use crate::{Span, Value};

/// JSON's numbers are doubles to browsers: an integer beyond these is written as text.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// Appends a trace as Jaeger's query API answers it.
pub fn write_trace(out: &mut String, spans: &[Span]) {
    let mut json = Json(std::mem::take(out));
    let mut processes = Processes::default();
    let own_ids = OwnIds::of(spans);
    json.object(|json| {
        let trace_id = spans.first().map_or_else(String::new, |span| span.trace_id.to_string());
        json.quoted("traceID", format_args!("{trace_id}"));
        json.list_always("spans", spans, |json, span| {
            write_span(json, span, &own_ids, processes.number_of(span));
        });
        json.field("processes");
        json.object(|json| {
            for (at, process) in processes.written.iter().enumerate() {
                json.field(&format!("p{}", at + 1));
                json.0.push_str(process);
            }
        });
        json.field("warnings");
        json.0.push_str("null");
    });
    *out = json.0;
}

/// To Jaeger an id is one span's: of two that share one, the server's half gets an id of its own,
/// below the client's.
#[derive(Default)]
struct OwnIds<'a> {
    /// By shared id and the server's service.
    own: HashMap<(u64, Option<&'a str>), u64>,
}

impl<'a> OwnIds<'a> {
    fn of(spans: &'a [Span]) -> Self {
        let mut own = Self::default();
        if spans.iter().all(|span| !span.shared) {
            return own;
        }
        let mut taken: HashSet<u64> = spans.iter().map(|span| span.id.as_u64()).collect();
        let clients: HashSet<u64> =
            spans.iter().filter(|span| !span.shared).map(|span| span.id.as_u64()).collect();
        for span in spans.iter().filter(|span| span.shared) {
            let id = span.id.as_u64();
            let place = (id, span.service_name());
            if clients.contains(&id) && !own.own.contains_key(&place) {
                let mut id = id.rotate_left(32) ^ 0x5a5a_5a5a_5a5a_5a5a;
                while id == 0 || !taken.insert(id) {
                    id = id.wrapping_add(1);
                }
                own.own.insert(place, id);
            }
        }
        own
    }

    /// A span's id, and that of its parent.
    fn of_span(&self, span: &Span) -> (u64, Option<u64>) {
        let (id, service) = (span.id.as_u64(), span.service_name());
        let parent_id = span.parent_id.map(crate::SpanId::as_u64);
        match self.own.get(&(id, service)) {
            Some(own) if span.shared => (*own, Some(id)),
            _ => {
                let below = parent_id.and_then(|parent_id| self.own.get(&(parent_id, service)));
                (id, below.copied().or(parent_id))
            }
        }
    }
}

/// What spans share, as it is written: equal ones become one.
#[derive(Default)]
struct Processes<'a> {
    written: Vec<String>,
    by_text: HashMap<String, usize>,
    /// Which was the last span's. Most often it is the next one's too.
    last: Option<(&'a Span, usize)>,
}

impl<'a> Processes<'a> {
    /// Which process is a span's, counted from one.
    fn number_of(&mut self, span: &'a Span) -> usize {
        let number = match self.last {
            Some((last, number)) if share_process(last, span) => number,
            _ => self.find(span),
        };
        self.last = Some((span, number));
        number
    }

    fn find(&mut self, span: &Span) -> usize {
        let mut json = Json::default();
        let (name, tags) = words::process(span);
        json.object(|json| {
            json.field("serviceName");
            write_json_str(&mut json.0, &name);
            write_tags(json, "tags", &tags);
        });
        *self.by_text.entry(json.0).or_insert_with_key(|text| {
            self.written.push(text.clone());
            self.written.len()
        })
    }
}

/// Whether two spans have one process, seen without comparing all that they hold.
fn share_process(a: &Span, b: &Span) -> bool {
    let same_resource = match (&a.resource, &b.resource) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    same_resource && a.local_endpoint == b.local_endpoint
}

fn write_span(json: &mut Json, span: &Span, own_ids: &OwnIds<'_>, process: usize) {
    let (id, parent_id) = own_ids.of_span(span);
    json.quoted("traceID", format_args!("{}", span.trace_id));
    json.quoted("spanID", format_args!("{id:016x}"));
    json.count("flags", words::flags(span));
    json.field("operationName");
    write_json_str(&mut json.0, &span.name);
    json.list_always("references", &words::references(span, parent_id), write_reference);
    json.field("startTime");
    json.display(format_args!("{}", span.timestamp.map_or(0, |timestamp| timestamp.micros())));
    json.field("duration");
    json.display(format_args!("{}", span.duration_us().unwrap_or(0)));
    write_tags(json, "tags", &words::tags(span));
    json.list_always("logs", &span.annotations, |json, annotation| {
        json.field("timestamp");
        json.display(format_args!("{}", annotation.timestamp.micros()));
        write_tags(json, "fields", &words::fields(annotation));
    });
    json.quoted("processID", format_args!("p{process}"));
    json.field("warnings");
    json.0.push_str("null");
}

fn write_reference(json: &mut Json, reference: &Reference) {
    let kind = match reference.kind {
        RefType::ChildOf => "CHILD_OF",
        RefType::FollowsFrom => "FOLLOWS_FROM",
    };
    json.quoted("refType", format_args!("{kind}"));
    let (high, low) = (reference.trace_id >> 64, reference.trace_id);
    let digits = if high == 0 { 16 } else { 32 };
    json.quoted("traceID", format_args!("{low:0digits$x}"));
    json.quoted("spanID", format_args!("{:016x}", reference.span_id));
}

fn write_tags(json: &mut Json, name: &str, tags: &words::Words<'_>) {
    json.list_always(name, tags, |json, (key, value)| {
        json.field("key");
        write_json_str(&mut json.0, key);
        let (kind, value) = (kind_of(value), &**value);
        json.quoted("type", format_args!("{kind}"));
        match value {
            Value::Bool(value) => {
                json.field("value");
                json.display(format_args!("{value}"));
            }
            Value::Int(value) if value.unsigned_abs() > SAFE_INTEGER_MAX => {
                json.quoted("value", format_args!("{value}"));
            }
            Value::Int(value) => {
                json.field("value");
                json.display(format_args!("{value}"));
            }
            Value::Double(value) if value.is_finite() => {
                json.field("value");
                json.display(format_args!("{value}"));
            }
            Value::Double(value) => json.quoted("value", format_args!("{}", infinite(*value))),
            Value::Bytes(bytes) => {
                json.field("value");
                json.0.push('"');
                base64::encode(&mut json.0, bytes);
                json.0.push('"');
            }
            other => {
                json.field("value");
                write_json_str(&mut json.0, &other.text());
            }
        }
    });
}

/// What has no type of Jaeger's is text.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Double(_) => "float64",
        Value::Bytes(_) => "binary",
        Value::Str(_) | Value::List(_) | Value::Map(_) | Value::Empty => "string",
    }
}

/// A double that JSON has no number for.
fn infinite(value: f64) -> &'static str {
    match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}
