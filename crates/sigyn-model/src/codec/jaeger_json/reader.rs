//! Reading: the spans of one process after the other, for many spans share few.

use std::collections::HashMap;

use crate::Value;
use crate::codec::jaeger::{JaegerSpan, Process, RefType, Reference, Spans};
use crate::codec::json::{JsonError, Scalar, Scanner};
use crate::codec::otlp_json::fields::{
    boolean, double, integer, object, refused, skip, text, unsigned,
};
use crate::codec::sink::{SpanSink, TagRef, Text, ValueRef, body_text};
use crate::codec::{DecodeError, Format, base64};

/// Reads an answer of the query API, or one trace of it.
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    let text = body_text(body, sink).map_err(|over| DecodeError::over(Format::JaegerJson, over))?;
    let mut json = Scanner::new(&text);
    let mut reader = Reader { spans: Spans::new(sink) };
    let read = reader.answer(&mut json).and_then(|()| match json.peek() {
        None => Ok(()),
        Some(_) => Err(JsonError::new("Malformed: more than one value")),
    });
    read.map_err(|cause| DecodeError {
        over_limit: cause.is_over_limit(),
        ..DecodeError::reading(Format::JaegerJson, &cause)
    })
}

/// Processes of one trace.
const PROCESSES_MAX: usize = 100_000;

struct Reader<'a, 's, S> {
    spans: Spans<'a, 's, S>,
}

/// A span that nobody has looked into.
struct Unread<'a> {
    /// Which process is its.
    process: usize,
    /// How many spans stand before it in the message.
    index: usize,
    json: Scanner<'a>,
}

impl<'a, S: SpanSink> Reader<'a, '_, S> {
    /// `{"data": [trace, ..], ..}`, or a trace alone.
    fn answer(&mut self, json: &mut Scanner<'a>) -> Result<(), JsonError> {
        let start = json.clone();
        let mut is_answer = false;
        object(json, |json, field| match field {
            "data" => {
                is_answer = true;
                json.list(|json, _| self.trace(json))
            }
            _ => skip(json),
        })?;
        if is_answer { Ok(()) } else { self.trace(&mut start.clone()) }
    }

    fn trace(&mut self, json: &mut Scanner<'a>) -> Result<(), JsonError> {
        let mut spans = None;
        let mut processes = Vec::new();
        let mut by_id: HashMap<String, usize> = HashMap::new();
        object(json, |json, field| match field {
            "spans" => {
                spans = Some(json.clone());
                skip(json)
            }
            "processes" => object(json, |json, id| {
                if by_id.len() >= PROCESSES_MAX {
                    return Err(JsonError::new(format!("more than {PROCESSES_MAX} processes")));
                }
                by_id.insert(id.to_owned(), processes.len());
                processes.push(json.clone());
                skip(json)
            }),
            _ => skip(json),
        })?;
        let Some(mut json) = spans else { return Ok(()) };
        let nobody = usize::MAX;
        let first = self.spans.seen;
        let mut unread = Vec::new();
        json.list(|json, at| {
            // Two bytes may be one, though a bad one.
            self.spans.hold(size_of::<Unread<'_>>() + size_of::<Scanner<'_>>())?;
            let mut process = nobody;
            let start = json.clone();
            if json.peek() == Some(b'{') {
                object(json, |json, field| match field {
                    "processID" => {
                        let known =
                            text(json, field).ok().and_then(|id| by_id.get(&*id.read()).copied());
                        process = known.unwrap_or(process);
                        Ok(())
                    }
                    "process" => {
                        // As it is stored: each span with a process of its own.
                        process = processes.len();
                        processes.push(json.clone());
                        skip(json)
                    }
                    _ => skip(json),
                })?;
            } else {
                skip(json)?;
            }
            unread.push(Unread { process, index: first + at, json: start });
            Ok(())
        })?;
        let behind = first + unread.len();
        unread.sort_by_key(|span| span.process);
        let mut now = nobody;
        let mut process = Process::default();
        self.spans.next_process();
        for mut span in unread {
            if now != span.process {
                now = span.process;
                process = match processes.get_mut(now) {
                    Some(json) => read_process(json)?,
                    None => Process::default(),
                };
                self.spans.next_process();
            }
            self.spans.seen = span.index;
            self.spans.span.clear();
            match read_span(&mut span.json, &mut self.spans.span) {
                Ok(()) => self.spans.finish(&process)?,
                Err(cause) => self.spans.bad(cause.to_string())?,
            }
        }
        self.spans.seen = behind;
        Ok(())
    }
}

fn read_process<'a>(json: &mut Scanner<'a>) -> Result<Process<'a>, JsonError> {
    let mut process = Process::default();
    json.peek();
    let start = json.clone();
    object(json, |json, field| match field {
        "serviceName" => {
            process.service_name = text(json, field)?;
            Ok(())
        }
        "tags" => json.list(|json, _| {
            let (key, value) = read_tag(json)?;
            process.tag(TagRef::new(key, value));
            Ok(())
        }),
        _ => skip(json),
    })?;
    process.came_as(json.since(&start).as_bytes());
    process.finish();
    Ok(process)
}

fn read_span<'a>(json: &mut Scanner<'a>, span: &mut JaegerSpan<'a>) -> Result<(), JsonError> {
    let mut ids = (Text::default(), Text::default());
    object(json, |json, field| {
        match field {
            "traceID" => ids.0 = text(json, field)?,
            "spanID" => ids.1 = text(json, field)?,
            "parentSpanID" => {
                let id = text(json, field)?;
                span.parent_id = if id.is_empty() { 0 } else { span_id(&id, field)? };
            }
            "operationName" => span.name = text(json, field)?,
            "flags" => span.flags = u32::try_from(unsigned(json, field)?).unwrap_or(0),
            "startTime" => span.start_ns = nanos(unsigned(json, field)?).unwrap_or(0),
            "duration" => span.duration_ns = nanos(unsigned(json, field)?),
            "references" => json.list(|json, _| {
                span.reference(read_reference(json)?);
                Ok(())
            })?,
            "tags" => json.list(|json, _| {
                let (key, value) = read_tag(json)?;
                span.tag(key, value);
                Ok(())
            })?,
            "logs" => json.list(|json, _| read_log(json, span))?,
            _ => skip(json)?,
        }
        Ok(())
    })?;
    span.trace_id = hex(&ids.0, "traceID", 32)?;
    span.span_id = span_id(&ids.1, "spanID")?;
    Ok(())
}

/// One whose ids are no ids points nowhere, and is no reason to lose the span.
fn read_reference(json: &mut Scanner<'_>) -> Result<Reference, JsonError> {
    let mut reference = Reference { kind: RefType::ChildOf, trace_id: 0, span_id: 0 };
    object(json, |json, field| {
        match field {
            "refType" if text(json, field)?.read() == "FOLLOWS_FROM" => {
                reference.kind = RefType::FollowsFrom;
            }
            "refType" => {}
            "traceID" => reference.trace_id = hex(&text(json, field)?, field, 32).unwrap_or(0),
            "spanID" => reference.span_id = span_id(&text(json, field)?, field).unwrap_or(0),
            _ => skip(json)?,
        }
        Ok(())
    })?;
    Ok(reference)
}

fn read_log<'a>(json: &mut Scanner<'a>, span: &mut JaegerSpan<'a>) -> Result<(), JsonError> {
    let (mut time, mut fields) = (0, Vec::new());
    object(json, |json, field| {
        match field {
            "timestamp" => time = nanos(unsigned(json, field)?).unwrap_or(0),
            "fields" => json.list(|json, _| {
                span.field().map_err(|many| JsonError::new(many.to_string()))?;
                let (key, value) = read_tag(json)?;
                fields.push(TagRef::new(key, value));
                Ok(())
            })?,
            _ => skip(json)?,
        }
        Ok(())
    })?;
    span.log(time, fields);
    Ok(())
}

/// The type says how to read the value, wherever it stands. A value that is not of its type is text.
fn read_tag<'a>(json: &mut Scanner<'a>) -> Result<(Text<'a>, ValueRef<'a>), JsonError> {
    let (mut key, mut kind, mut value) = (Text::default(), Text::default(), None);
    object(json, |json, field| {
        match field {
            "key" => key = text(json, field)?,
            "type" => kind = text(json, field)?,
            "value" => {
                json.peek();
                value = Some(json.clone());
                skip(json)?;
            }
            _ => skip(json)?,
        }
        Ok(())
    })?;
    let Some(mut json) = value else { return Ok((key, ValueRef::Text(Text::default()))) };
    let value = match typed(&kind.read(), &mut json.clone()) {
        Some(value) => value,
        None => ValueRef::Text(as_text(&mut json)?),
    };
    Ok((key, value))
}

fn typed<'a>(kind: &str, json: &mut Scanner<'a>) -> Option<ValueRef<'a>> {
    match kind {
        "bool" => match json.peek() {
            Some(b'"') => text(json, kind).ok()?.read().parse().ok().map(ValueRef::Bool),
            _ => boolean(json, kind).ok().map(ValueRef::Bool),
        },
        "int64" => integer(json, kind).ok().map(ValueRef::Int),
        "float64" => double(json, kind).ok().map(ValueRef::Double),
        "binary" => {
            let bytes = base64::decode(&text(json, kind).ok()?.read())?;
            Some(ValueRef::Owned(Value::Bytes(bytes)))
        }
        "string" => None,
        // Without a type it is what JSON says.
        _ => match json.clone().scalar().ok()? {
            Scalar::Bool(value) => Some(ValueRef::Bool(value)),
            Scalar::Number(number) => match number.parse() {
                Ok(number) => Some(ValueRef::Int(number)),
                Err(_) => double(json, kind).ok().map(ValueRef::Double),
            },
            Scalar::Str(_) | Scalar::Null => None,
        },
    }
}

/// A string, or whatever else as it is spelled.
fn as_text<'a>(json: &mut Scanner<'a>) -> Result<Text<'a>, JsonError> {
    if json.null() {
        return Ok(Text::default());
    }
    if json.peek() == Some(b'"') {
        return text(json, "value");
    }
    let start = json.clone();
    skip(json)?;
    Ok(Text::Str(json.since(&start)))
}

/// Microseconds; `None` for those past the year 2554.
fn nanos(us: u64) -> Option<u64> {
    us.checked_mul(1_000)
}

fn span_id(text: &Text<'_>, field: &str) -> Result<u64, JsonError> {
    Ok(u64::try_from(hex(text, field, 16)?).unwrap_or(u64::MAX))
}

/// Hexadecimal digits in any case, without the zeros on the left or with them.
fn hex(text: &Text<'_>, field: &str, digits_max: usize) -> Result<u128, JsonError> {
    let text = text.read();
    let all_hex = text.len() <= digits_max && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u128::from_str_radix(&text, 16).ok().filter(|_| all_hex);
    id.ok_or_else(|| refused(field, &text, &format!("up to {digits_max} hexadecimal digits")))
}
