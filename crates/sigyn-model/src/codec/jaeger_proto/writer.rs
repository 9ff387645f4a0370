//! Writing, for tests: one batch a process.

use crate::Span;
use crate::Value;
use crate::codec::jaeger::{RefType, words};
use crate::codec::proto::{
    put_bytes_field, put_fixed64_field, put_message_field, put_text_field, put_varint_field,
};

/// Writes a `PostSpansRequest` whose spans have their own processes.
pub(super) fn encode_spans(spans: &[Span]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message_field(&mut out, 1, |out| {
        for span in spans {
            put_message_field(out, 1, |out| write_span(out, span));
        }
    });
    out
}

fn write_span(out: &mut Vec<u8>, span: &Span) {
    put_bytes_field(out, 1, &span.trace_id.as_u128().to_be_bytes());
    put_bytes_field(out, 2, &span.id.as_u64().to_be_bytes());
    put_text_field(out, 3, &span.name);
    for reference in words::references(span, span.parent_id.map(crate::SpanId::as_u64)) {
        put_message_field(out, 4, |out| {
            put_bytes_field(out, 1, &reference.trace_id.to_be_bytes());
            put_bytes_field(out, 2, &reference.span_id.to_be_bytes());
            put_varint_field(out, 3, u64::from(reference.kind == RefType::FollowsFrom));
        });
    }
    put_varint_field(out, 5, u64::from(words::flags(span)));
    put_nanos(out, 6, span.timestamp.map_or(0, |timestamp| timestamp.nanos()));
    if let Some(duration) = span.duration {
        put_nanos(out, 7, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
    put_tags(out, 8, &words::tags(span));
    for annotation in &span.annotations {
        put_message_field(out, 9, |out| {
            put_nanos(out, 1, annotation.timestamp.nanos());
            put_tags(out, 2, &words::fields(annotation));
        });
    }
    let (name, tags) = words::process(span);
    put_message_field(out, 10, |out| {
        put_text_field(out, 1, &name);
        put_tags(out, 2, &tags);
    });
}

fn put_tags(out: &mut Vec<u8>, number: u32, tags: &words::Words<'_>) {
    for (key, value) in tags {
        put_message_field(out, number, |out| {
            put_text_field(out, 1, key);
            match &**value {
                Value::Bool(value) => {
                    put_varint_field(out, 2, 1);
                    put_varint_field(out, 4, u64::from(*value));
                }
                Value::Int(value) => {
                    put_varint_field(out, 2, 2);
                    put_varint_field(out, 5, value.cast_unsigned());
                }
                Value::Double(value) => {
                    put_varint_field(out, 2, 3);
                    put_fixed64_field(out, 6, value.to_bits());
                }
                Value::Bytes(bytes) => {
                    put_varint_field(out, 2, 4);
                    put_bytes_field(out, 7, bytes);
                }
                other => put_text_field(out, 3, &other.text()),
            }
        });
    }
}

fn put_nanos(out: &mut Vec<u8>, number: u32, nanos: u64) {
    put_message_field(out, number, |out| {
        put_varint_field(out, 1, nanos / 1_000_000_000);
        put_varint_field(out, 2, nanos % 1_000_000_000);
    });
}
