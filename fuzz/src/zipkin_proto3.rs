//! `zipkin.proto3.ListOfSpans` by prost, mapped by Zipkin's rules.

use std::time::Duration;

use sigyn_model::{Annotation, Endpoint, Kind, Span, SpanId, Timestamp, TraceId, Value};

use crate::proto::{self, stands_twice, text};
use crate::tags::last_of_each;
use crate::{Theirs, Trouble};

#[derive(prost::Message)]
struct List {
    #[prost(bytes = "vec", repeated, tag = "1")]
    spans: Vec<Vec<u8>>,
}

#[derive(prost::Message)]
struct ProtoSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    parent_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    id: Vec<u8>,
    #[prost(uint64, tag = "4")]
    kind: u64,
    #[prost(bytes = "vec", tag = "5")]
    name: Vec<u8>,
    #[prost(fixed64, tag = "6")]
    timestamp: u64,
    #[prost(uint64, tag = "7")]
    duration: u64,
    #[prost(message, tag = "8")]
    local: Option<ProtoEndpoint>,
    #[prost(message, tag = "9")]
    remote: Option<ProtoEndpoint>,
    #[prost(message, repeated, tag = "10")]
    annotations: Vec<ProtoAnnotation>,
    #[prost(message, repeated, tag = "11")]
    tags: Vec<Entry>,
    #[prost(bool, tag = "12")]
    debug: bool,
    #[prost(bool, tag = "13")]
    shared: bool,
}

#[derive(prost::Message)]
struct ProtoEndpoint {
    #[prost(bytes = "vec", tag = "1")]
    service_name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    ipv4: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    ipv6: Vec<u8>,
    #[prost(int64, tag = "4")]
    port: i64,
}

#[derive(prost::Message)]
struct ProtoAnnotation {
    #[prost(fixed64, tag = "1")]
    timestamp: u64,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(prost::Message)]
struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

pub(crate) fn read(body: &[u8]) -> Result<Theirs, Trouble> {
    let list: List = proto::decode(body)?;
    let spans = list.spans.iter().map(|span| read_span(span)).collect::<Result<_, _>>()?;
    Ok(Theirs { spans, problems: 0 })
}

fn read_span(bytes: &[u8]) -> Result<Span, Trouble> {
    // An endpoint that stands twice is merged by prost, and of an id the first is forgotten unread.
    if [1, 2, 3, 8, 9].iter().any(|number| stands_twice(bytes, *number)) {
        return Err(Trouble::Unclear);
    }
    let span: ProtoSpan = proto::decode(bytes)?;
    let bad = |error: sigyn_model::IdError| Trouble::Bad(error.to_string());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let trace_id = TraceId::parse(&hex(&span.trace_id)).map_err(bad)?;
    let id = SpanId::parse(&hex(&span.id)).map_err(bad)?;
    let mut out = Span::new(trace_id, id);
    if !span.parent_id.is_empty() {
        out.parent_id = SpanId::parse_parent(&hex(&span.parent_id)).map_err(bad)?;
    }
    out.kind = match span.kind {
        1 => Some(Kind::Client),
        2 => Some(Kind::Server),
        3 => Some(Kind::Producer),
        4 => Some(Kind::Consumer),
        _ => None,
    };
    out.name = text(&span.name).to_lowercase();
    out.timestamp = micros(span.timestamp);
    out.duration = i64::try_from(span.duration)
        .ok()
        .filter(|us| *us > 0)
        .map(|us| Duration::from_micros(us.unsigned_abs().min(Timestamp::MAX.micros())));
    out.local_endpoint = span.local.map(endpoint).transpose()?;
    out.remote_endpoint = span.remote.map(endpoint).transpose()?;
    for annotation in span.annotations {
        if annotation.value.is_empty() || !is_positive(annotation.timestamp) {
            continue;
        }
        let Some(timestamp) = micros(annotation.timestamp) else {
            out.dropped_annotations += 1;
            continue;
        };
        let value = text(&annotation.value);
        out.annotations.push(Annotation { timestamp, value, tags: Vec::new(), dropped_tags: 0 });
    }
    let tags = span.tags.iter().map(|tag| (text(&tag.key), Value::Str(text(&tag.value))));
    out.tags = last_of_each(tags.collect());
    out.debug = span.debug;
    out.shared = span.shared;
    out.normalize();
    Ok(out)
}

fn is_positive(us: u64) -> bool {
    i64::try_from(us).is_ok_and(|us| us > 0)
}

fn micros(us: u64) -> Option<Timestamp> {
    i64::try_from(us)
        .ok()
        .filter(|us| *us > 0)
        .and_then(|us| Timestamp::from_micros(us.unsigned_abs()))
}

fn endpoint(sent: ProtoEndpoint) -> Result<Endpoint, Trouble> {
    let mut out = Endpoint::named(&text(&sent.service_name));
    for bytes in [&sent.ipv4, &sent.ipv6] {
        if let Ok(bytes) = <[u8; 4]>::try_from(&bytes[..]) {
            out.ipv4 = Some(bytes.into());
        } else if let Ok(bytes) = <[u8; 16]>::try_from(&bytes[..]) {
            let loopback = bytes[..15].iter().all(|byte| *byte == 0) && bytes[15] == 1;
            if bytes[..12].iter().all(|byte| *byte == 0) && !loopback {
                out.ipv4 = Some([bytes[12], bytes[13], bytes[14], bytes[15]].into());
            } else {
                out.ipv6 = Some(bytes.into());
            }
        }
    }
    // A port is 32 bits on the wire; what stands above them is nobody's.
    if i32::try_from(sent.port).is_err() {
        return Err(Trouble::Unclear);
    }
    out.port = u16::try_from(sent.port.max(0)).map_err(|_| Trouble::Bad("port".into()))?;
    Ok(out)
}
