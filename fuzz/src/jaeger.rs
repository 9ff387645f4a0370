//! Jaeger's batches, read by others in one encoding and said again to our reader of the other one.

use ::thrift::protocol::TType;
use prost::Message;
use sigyn_model::codec::{Format, Limits, decode};

use crate::proto::{self, field_numbers, stands_twice};
use crate::thrift::{self, Protocol, Thrift};
use crate::{Theirs, Trouble};

/// The same request with spans that are still bytes: one that is malformed takes no other with it.
#[derive(prost::Message)]
struct RawPostSpans {
    #[prost(bytes = "vec", repeated, tag = "1")]
    batches: Vec<Vec<u8>>,
}

#[derive(prost::Message)]
struct RawBatch {
    #[prost(bytes = "vec", repeated, tag = "1")]
    spans: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "2")]
    process: Option<Process>,
}

#[derive(prost::Message)]
struct RawSpan {
    #[prost(bytes = "vec", repeated, tag = "9")]
    logs: Vec<Vec<u8>>,
}

#[derive(prost::Message)]
struct PostSpans {
    #[prost(message, optional, tag = "1")]
    batch: Option<Batch>,
}

#[derive(prost::Message)]
struct Batch {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<Span>,
    #[prost(message, optional, tag = "2")]
    process: Option<Process>,
}

#[derive(prost::Message)]
struct Process {
    #[prost(bytes = "vec", tag = "1")]
    service_name: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    tags: Vec<KeyValue>,
}

#[derive(prost::Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    operation_name: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    references: Vec<Reference>,
    #[prost(uint32, tag = "5")]
    flags: u32,
    #[prost(message, optional, tag = "6")]
    start_time: Option<Time>,
    #[prost(message, optional, tag = "7")]
    duration: Option<Time>,
    #[prost(message, repeated, tag = "8")]
    tags: Vec<KeyValue>,
    #[prost(message, repeated, tag = "9")]
    logs: Vec<Log>,
}

/// `Timestamp` and `Duration` look alike.
#[derive(prost::Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(prost::Message)]
struct Reference {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(int32, tag = "3")]
    kind: i32,
}

#[derive(prost::Message)]
struct Log {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Time>,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<KeyValue>,
}

#[derive(prost::Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(int32, tag = "2")]
    kind: i32,
    #[prost(bytes = "vec", tag = "3")]
    text: Vec<u8>,
    #[prost(bool, tag = "4")]
    truth: bool,
    #[prost(int64, tag = "5")]
    int: i64,
    #[prost(double, tag = "6")]
    double: f64,
    #[prost(bytes = "vec", tag = "7")]
    binary: Vec<u8>,
}

fn said_again(format: Format, body: &[u8]) -> Result<Theirs, Trouble> {
    match decode(format, body, Limits::default()) {
        Ok(decoded) => Ok(Theirs { spans: decoded.spans, problems: decoded.problems.len() }),
        Err(error) => Err(Trouble::Bad(error.message)),
    }
}

/// Thrift to protobuf.
pub(crate) fn read_thrift(protocol: Protocol, body: &[u8]) -> Result<Theirs, Trouble> {
    let tree = thrift::read(protocol, false, body)?;
    let mut batch = Batch::default();
    for (field, value) in unique(&tree)? {
        match (field, value) {
            (1, process @ Thrift::Struct(_)) => {
                let mut out = Process::default();
                for (field, value) in unique(process)? {
                    match (field, value) {
                        (1, Thrift::Bytes(name)) => out.service_name = name.clone(),
                        (2, list) => {
                            out.tags = structs(list)?.iter().map(tag).collect::<Result<_, _>>()?
                        }
                        _ => {}
                    }
                }
                batch.process = Some(out);
            }
            (2, list) => batch.spans = structs(list)?.iter().map(span).collect::<Result<_, _>>()?,
            _ => {}
        }
    }
    // Thrift requires what protobuf may leave out.
    if batch.process.is_none() {
        return Err(Trouble::Unclear);
    }
    said_again(Format::JaegerProto, &PostSpans { batch: Some(batch) }.encode_to_vec())
}

/// Fields that stand once; which of two counts is each reader's own affair.
fn unique(tree: &Thrift) -> Result<&[(i16, Thrift)], Trouble> {
    let fields = tree.fields();
    let twice = |(i, (id, _)): (usize, &(i16, Thrift))| fields[..i].iter().any(|(k, _)| k == id);
    if fields.iter().enumerate().any(twice) { Err(Trouble::Unclear) } else { Ok(fields) }
}

fn structs(list: &Thrift) -> Result<&[Thrift], Trouble> {
    match list {
        Thrift::List(TType::Struct, values) => Ok(values),
        _ => Err(Trouble::Unclear),
    }
}

fn bytes_of(number: i64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn micros(us: i64) -> Result<Time, Trouble> {
    // Before 1970 the two encodings round differently.
    if us < 0 {
        return Err(Trouble::Unclear);
    }
    let nanos = i32::try_from(us % 1_000_000 * 1_000).expect("below a billion");
    Ok(Time { seconds: us / 1_000_000, nanos })
}

fn span(tree: &Thrift) -> Result<Span, Trouble> {
    let mut out = Span::default();
    let (mut low, mut high, mut id, mut parent) = (0, 0, 0, 0);
    for (field, value) in unique(tree)? {
        match (field, value) {
            (1, Thrift::I64(value)) => low = *value,
            (2, Thrift::I64(value)) => high = *value,
            (3, Thrift::I64(value)) => id = *value,
            (4, Thrift::I64(value)) => parent = *value,
            (5, Thrift::Bytes(name)) => out.operation_name = name.clone(),
            (6, list) => {
                out.references = structs(list)?.iter().map(reference).collect::<Result<_, _>>()?;
            }
            (7, Thrift::I32(flags)) => out.flags = flags.cast_unsigned(),
            (8, Thrift::I64(us)) => out.start_time = Some(micros(*us)?),
            (9, Thrift::I64(us)) => out.duration = Some(micros(*us)?),
            (10, list) => out.tags = structs(list)?.iter().map(tag).collect::<Result<_, _>>()?,
            (11, list) => out.logs = structs(list)?.iter().map(log).collect::<Result<_, _>>()?,
            _ => {}
        }
    }
    out.trace_id = [bytes_of(high), bytes_of(low)].concat();
    out.span_id = bytes_of(id);
    if parent != 0 {
        // Protobuf says the parent among the references alone; both at once may contradict each other.
        if !out.references.is_empty() {
            return Err(Trouble::Unclear);
        }
        let (trace_id, span_id) = (out.trace_id.clone(), bytes_of(parent));
        out.references.insert(0, Reference { trace_id, span_id, kind: 0 });
    }
    Ok(out)
}

fn reference(tree: &Thrift) -> Result<Reference, Trouble> {
    let (mut low, mut high, mut id, mut kind) = (0, 0, 0, 0);
    for (field, value) in unique(tree)? {
        match (field, value) {
            (1, Thrift::I32(value)) => kind = *value,
            (2, Thrift::I64(value)) => low = *value,
            (3, Thrift::I64(value)) => high = *value,
            (4, Thrift::I64(value)) => id = *value,
            _ => {}
        }
    }
    let trace_id = [bytes_of(high), bytes_of(low)].concat();
    Ok(Reference { trace_id, span_id: bytes_of(id), kind })
}

fn log(tree: &Thrift) -> Result<Log, Trouble> {
    let mut out = Log::default();
    for (field, value) in unique(tree)? {
        match (field, value) {
            (1, Thrift::I64(us)) => out.timestamp = Some(micros(*us)?),
            (2, list) => out.fields = structs(list)?.iter().map(tag).collect::<Result<_, _>>()?,
            _ => {}
        }
    }
    Ok(out)
}

/// Thrift numbers the types otherwise, and a tag may hold a value that its type does not speak of.
fn tag(tree: &Thrift) -> Result<KeyValue, Trouble> {
    let mut out = KeyValue::default();
    let (mut kind, mut values) = (None, 0);
    for (field, value) in unique(tree)? {
        match (field, value) {
            (1, Thrift::Bytes(key)) => out.key = key.clone(),
            (2, Thrift::I32(number)) => kind = Some(*number),
            (3, Thrift::Bytes(text)) => out.text = text.clone(),
            // Protobuf leaves out a zero, and with it its sign.
            (4, Thrift::Double(value)) if *value == 0.0 && value.is_sign_negative() => {
                return Err(Trouble::Unclear);
            }
            (4, Thrift::Double(value)) => out.double = *value,
            (5, Thrift::Bool(value)) => out.truth = *value,
            (6, Thrift::I64(value)) => out.int = *value,
            (7, Thrift::Bytes(value)) => out.binary = value.clone(),
            _ => {}
        }
        values += usize::from((3..=7).contains(field));
    }
    out.kind = match kind {
        Some(0) => 0,
        Some(1) => 3,
        Some(2) => 1,
        Some(3) => 2,
        Some(4) => 4,
        _ => return Err(Trouble::Unclear),
    };
    if values == 1 { Ok(out) } else { Err(Trouble::Unclear) }
}

/// Protobuf to thrift.
pub(crate) fn read_proto(body: &[u8]) -> Result<Theirs, Trouble> {
    let request: RawPostSpans = proto::decode(body)?;
    let [batch] = &request.batches[..] else { return Err(Trouble::Unclear) };
    if stands_twice(batch, 2) {
        return Err(Trouble::Unclear);
    }
    let batch: RawBatch = proto::decode(batch)?;
    let process = batch.process.ok_or(Trouble::Unclear)?;
    let process = Thrift::Struct(vec![
        (1, Thrift::Bytes(process.service_name)),
        (2, list(process.tags.iter().map(tag_of_proto))?),
    ]);
    let (mut spans, mut malformed) = (Vec::new(), 0);
    for bytes in &batch.spans {
        // A process of its own, which thrift cannot say; and times that stand twice, which prost merges.
        let twice = stands_twice(bytes, 6) || stands_twice(bytes, 7);
        if twice || field_numbers(bytes).contains(&10) {
            return Err(Trouble::Unclear);
        }
        match proto::decode(bytes) {
            Ok(RawSpan { logs }) if logs.iter().any(|log| stands_twice(log, 1)) => {
                return Err(Trouble::Unclear);
            }
            Ok(RawSpan { .. }) => match proto::decode(bytes) {
                Ok(span) => spans.push(span_of_proto(&span)?),
                Err(Trouble::Bad(_)) => malformed += 1,
                Err(unclear) => return Err(unclear),
            },
            Err(Trouble::Bad(_)) => malformed += 1,
            Err(unclear) => return Err(unclear),
        }
    }
    let tree = Thrift::Struct(vec![(1, process), (2, Thrift::List(TType::Struct, spans))]);
    let theirs = said_again(Format::JaegerThrift, &thrift::write(Protocol::Binary, &tree))?;
    Ok(Theirs { problems: theirs.problems + malformed, ..theirs })
}

fn list(values: impl Iterator<Item = Result<Thrift, Trouble>>) -> Result<Thrift, Trouble> {
    Ok(Thrift::List(TType::Struct, values.collect::<Result<_, _>>()?))
}

/// Ids of any other length cannot be said in thrift.
fn halves(id: &[u8]) -> Result<(i64, i64), Trouble> {
    let id: [u8; 16] = id.try_into().map_err(|_| Trouble::Unclear)?;
    let (high, low) = id.split_at(8);
    let number = |half: &[u8]| i64::from_be_bytes(half.try_into().expect("eight bytes"));
    Ok((number(high), number(low)))
}

fn number(id: &[u8]) -> Result<i64, Trouble> {
    Ok(i64::from_be_bytes(id.try_into().map_err(|_| Trouble::Unclear)?))
}

fn micros_of(time: Option<&Time>) -> Result<i64, Trouble> {
    let Some(time) = time else { return Ok(0) };
    let sane =
        (0..10_000_000_000).contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos);
    // Thrift has no nanoseconds.
    if !sane || time.nanos % 1_000 != 0 {
        return Err(Trouble::Unclear);
    }
    Ok(time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000)
}

fn span_of_proto(span: &Span) -> Result<Thrift, Trouble> {
    let (high, low) = halves(&span.trace_id)?;
    let references = span.references.iter().map(|reference| {
        let (high, low) = halves(&reference.trace_id)?;
        Ok(Thrift::Struct(vec![
            (1, Thrift::I32(reference.kind)),
            (2, Thrift::I64(low)),
            (3, Thrift::I64(high)),
            (4, Thrift::I64(number(&reference.span_id)?)),
        ]))
    });
    let logs = span.logs.iter().map(|log| {
        Ok(Thrift::Struct(vec![
            (1, Thrift::I64(micros_of(log.timestamp.as_ref())?)),
            (2, list(log.fields.iter().map(tag_of_proto))?),
        ]))
    });
    Ok(Thrift::Struct(vec![
        (1, Thrift::I64(low)),
        (2, Thrift::I64(high)),
        (3, Thrift::I64(number(&span.span_id)?)),
        (4, Thrift::I64(0)),
        (5, Thrift::Bytes(span.operation_name.clone())),
        (6, list(references)?),
        (7, Thrift::I32(span.flags.cast_signed())),
        (8, Thrift::I64(micros_of(span.start_time.as_ref())?)),
        (9, Thrift::I64(micros_of(span.duration.as_ref())?)),
        (10, list(span.tags.iter().map(tag_of_proto))?),
        (11, list(logs)?),
    ]))
}

fn tag_of_proto(tag: &KeyValue) -> Result<Thrift, Trouble> {
    let (kind, value) = match tag.kind {
        0 => (0, (3, Thrift::Bytes(tag.text.clone()))),
        1 => (2, (5, Thrift::Bool(tag.truth))),
        2 => (3, (6, Thrift::I64(tag.int))),
        3 => (1, (4, Thrift::Double(tag.double))),
        4 => (4, (7, Thrift::Bytes(tag.binary.clone()))),
        _ => return Err(Trouble::Unclear),
    };
    Ok(Thrift::Struct(vec![(1, Thrift::Bytes(tag.key.clone())), (2, Thrift::I32(kind)), value]))
}
