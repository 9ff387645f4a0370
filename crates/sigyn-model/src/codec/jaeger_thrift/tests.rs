//! What the `thrift` crate writes in either protocol, and what may be wrong with it.

use proptest::prelude::*;
use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TFieldIdentifier, TListIdentifier,
    TMessageIdentifier, TMessageType, TOutputProtocol, TStructIdentifier, TType,
};

use super::*;
use crate::codec::jaeger::tests::{as_json, spans, told};
use crate::codec::jaeger::words;
use crate::codec::{Decoded, Limits, SpanVec, decode};
use crate::{Span, SpanId, TraceId, Value as Said};

const FORMATS: [Format; 2] = [Format::JaegerThrift, Format::JaegerThriftCompact];

/// Writes as generated code does.
struct Out<'a>(Box<dyn TOutputProtocol + 'a>);

impl Out<'_> {
    fn structure(&mut self, fields: impl FnOnce(&mut Self)) {
        self.0.write_struct_begin(&TStructIdentifier::new("s")).unwrap();
        fields(self);
        self.0.write_field_stop().unwrap();
        self.0.write_struct_end().unwrap();
    }

    fn field(&mut self, number: i16, kind: TType, value: impl FnOnce(&mut Self)) {
        self.0.write_field_begin(&TFieldIdentifier::new("f", kind, number)).unwrap();
        value(self);
        self.0.write_field_end().unwrap();
    }

    fn i32(&mut self, number: i16, value: i32) {
        self.field(number, TType::I32, |out| out.0.write_i32(value).unwrap());
    }

    fn i64(&mut self, number: i16, value: u64) {
        self.field(number, TType::I64, |out| out.0.write_i64(value.cast_signed()).unwrap());
    }

    fn text(&mut self, number: i16, text: &str) {
        self.field(number, TType::String, |out| out.0.write_string(text).unwrap());
    }

    fn structs<T>(&mut self, number: i16, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.field(number, TType::List, |out| {
            let count = i32::try_from(items.len()).unwrap();
            out.0.write_list_begin(&TListIdentifier::new(TType::Struct, count)).unwrap();
            for item in items {
                out.structure(|out| write(out, item));
            }
            out.0.write_list_end().unwrap();
        });
    }

    fn trace_id(&mut self, low_number: i16, id: u128) {
        let id = TraceId::new(id).unwrap();
        self.i64(low_number, id.low());
        self.i64(low_number + 1, id.high());
    }

    fn batch(&mut self, spans: &[Span]) {
        self.structure(|out| {
            let (name, tags) = words::process(&spans[0]);
            out.field(1, TType::Struct, |out| {
                out.structure(|out| {
                    out.text(1, &name);
                    out.tags(2, &tags);
                });
            });
            out.structs(2, spans, Self::span);
            out.i64(3, 9);
        });
    }

    fn span(&mut self, span: &Span) {
        self.trace_id(1, span.trace_id.as_u128());
        self.i64(3, span.id.as_u64());
        let parent_id = span.parent_id.map(SpanId::as_u64);
        let references = words::references(span, parent_id);
        // Most clients say who the parent is in the field alone.
        let (parents, references): (Vec<_>, Vec<_>) =
            references.into_iter().partition(|reference| {
                reference.kind == RefType::ChildOf
                    && reference.trace_id == span.trace_id.as_u128()
                    && Some(reference.span_id) == parent_id
            });
        self.i64(4, parents.first().map_or(0, |parent| parent.span_id));
        self.text(5, &span.name);
        self.structs(6, &references, |out, reference| {
            out.i32(1, i32::from(reference.kind == RefType::FollowsFrom));
            out.trace_id(2, reference.trace_id);
            out.i64(4, reference.span_id);
        });
        self.i32(7, words::flags(span).cast_signed());
        self.i64(8, span.timestamp.map_or(0, |timestamp| timestamp.micros()));
        self.i64(9, span.duration_us().unwrap_or(0));
        self.tags(10, &words::tags(span));
        self.structs(11, &span.annotations, |out, annotation| {
            out.i64(1, annotation.timestamp.micros());
            out.tags(2, &words::fields(annotation));
        });
    }

    fn tags(&mut self, number: i16, tags: &words::Words<'_>) {
        self.structs(number, tags, |out, (key, value)| {
            out.text(1, key);
            match &**value {
                Said::Double(value) => {
                    out.i32(2, 1);
                    out.field(4, TType::Double, |out| out.0.write_double(*value).unwrap());
                }
                Said::Bool(value) => {
                    out.i32(2, 2);
                    out.field(5, TType::Bool, |out| out.0.write_bool(*value).unwrap());
                }
                Said::Int(value) => {
                    out.i32(2, 3);
                    out.i64(6, value.cast_unsigned());
                }
                Said::Bytes(bytes) => {
                    out.i32(2, 4);
                    out.field(7, TType::String, |out| out.0.write_bytes(bytes).unwrap());
                }
                other => {
                    out.i32(2, 0);
                    out.text(3, &other.text());
                }
            }
        });
    }

    /// A call of the agent, with one argument.
    fn call(&mut self, name: &str, kind: TType, argument: impl FnOnce(&mut Self)) {
        let message = TMessageIdentifier::new(name, TMessageType::OneWay, 1);
        self.0.write_message_begin(&message).unwrap();
        self.structure(|out| out.field(1, kind, argument));
        self.0.write_message_end().unwrap();
    }
}

fn written(format: Format, write: impl FnOnce(&mut Out<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let protocol: Box<dyn TOutputProtocol + '_> = match format {
        Format::JaegerThriftCompact => Box::new(TCompactOutputProtocol::new(&mut bytes)),
        _ => Box::new(TBinaryOutputProtocol::new(&mut bytes, true)),
    };
    write(&mut Out(protocol));
    bytes
}

fn read_agent(datagram: &[u8]) -> Result<Decoded, String> {
    let mut sink = SpanVec::within(Limits::default(), datagram.len()).unwrap();
    read_agent_message(datagram, &mut sink).map_err(|error| error.message)?;
    Ok(sink.into_decoded())
}

fn span(id: u64) -> Span {
    Span::new(TraceId::new(1 << 64 | 2).unwrap(), SpanId::from_raw(id))
}

#[test]
fn a_bad_span_is_a_problem_and_takes_no_other_with_it() {
    let mut many = span(1);
    many.annotations = vec![crate::Annotation {
        timestamp: crate::Timestamp::from_nanos(0),
        value: String::new(),
        tags: vec![("k".to_owned(), Said::Empty); 100_001],
        dropped_tags: 0,
    }];
    for format in FORMATS {
        let body = written(format, |out| out.batch(&[span(1), span(0), many.clone(), span(4)]));
        let decoded = decode(format, &body, Limits::default()).unwrap();
        assert_eq!(decoded.spans.len(), 2);
        let expected =
            ["span 1: span id is all zeros", "span 2: more than 100000 values nested in one span"];
        assert_eq!(decoded.problems, expected);
    }
}

#[test]
fn spans_wait_for_a_process_behind_them() {
    for format in FORMATS {
        let body = written(format, |out| {
            out.structure(|out| {
                out.structs(2, &[span(1)], Out::span);
                out.field(1, TType::Struct, |out| out.structure(|out| out.text(1, "Late")));
            });
        });
        let decoded = decode(format, &body, Limits::default()).unwrap();
        assert_eq!(decoded.spans[0].service_name(), Some("late"));
    }
}

#[test]
fn all_lists_of_spans_are_read_wherever_their_process_stands() {
    for format in FORMATS {
        let body = written(format, |out| {
            out.structure(|out| {
                out.structs(2, &[span(1), span(0)], Out::span);
                out.structs(2, &[span(3)], Out::span);
                out.field(1, TType::Struct, |out| out.structure(|out| out.text(1, "Late")));
                out.structs(2, &[span(0), span(5)], Out::span);
            });
        });
        let decoded = decode(format, &body, Limits::default()).unwrap();
        let mut ids: Vec<u64> = decoded.spans.iter().map(|span| span.id.as_u64()).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 3, 5], "{format:?}");
        assert!(decoded.spans.iter().all(|span| span.service_name() == Some("late")));
        let mut problems = decoded.problems;
        problems.sort();
        assert_eq!(problems, ["span 1: span id is all zeros", "span 3: span id is all zeros"]);
    }
}

#[test]
fn the_agents_calls_are_read_in_either_protocol() {
    for format in FORMATS {
        let body = written(format, |out| {
            out.call("emitBatch", TType::Struct, |out| out.batch(&[span(1), span(0)]));
        });
        let decoded = read_agent(&body).unwrap();
        assert_eq!((decoded.spans.len(), decoded.problems.len()), (1, 1));
        assert_eq!(decoded.spans[0].trace_id.high(), 1);

        let body = written(format, |out| {
            out.call("emitZipkinBatch", TType::List, |out| {
                let list = TListIdentifier::new(TType::Struct, 1);
                out.0.write_list_begin(&list).unwrap();
                out.structure(|out| {
                    out.i64(1, 5);
                    out.text(3, "Get");
                    out.i64(4, 6);
                });
                out.0.write_list_end().unwrap();
            });
        });
        let decoded = read_agent(&body).unwrap();
        assert_eq!((decoded.spans[0].id.as_u64(), decoded.spans[0].name.as_str()), (6, "get"));

        let body = written(format, |out| {
            out.call("getSamplingStrategy", TType::String, |out| out.0.write_string("x").unwrap());
        });
        let expected = "the agent knows no call \"getSamplingStrategy\"";
        assert_eq!(read_agent(&body).unwrap_err(), expected);
    }
    assert!(read_agent(&[]).unwrap_err().ends_with("reading Batch from TBinary"));
    assert!(read_agent(&[0x82]).unwrap_err().ends_with("reading Batch from TCompact"));
}

#[test]
fn a_message_that_is_cut_is_refused() {
    let mut span = span(1);
    span.parent_id = Some(SpanId::from_raw(2));
    span.name = "name".to_owned();
    span.timestamp = Some(crate::Timestamp::from_nanos(1 << 60));
    span.set_tag("text", "value");
    span.set_tag("number", 5);
    span.set_tag("truth", true);
    span.annotations = vec![crate::Annotation {
        timestamp: crate::Timestamp::from_nanos(1 << 60),
        value: "event".to_owned(),
        tags: Vec::new(),
        dropped_tags: 0,
    }];
    for format in FORMATS {
        let body = written(format, |out| out.batch(&[span.clone(), span.clone()]));
        for length in 0..body.len() {
            let cut = decode(format, &body[..length], Limits::default());
            assert!(cut.unwrap_err().message.contains("Truncated"), "{format:?} {length}");
        }
    }
}

/// Spans of one process.
fn of_one_process() -> impl Strategy<Value = Vec<Span>> {
    spans().prop_map(|mut spans| {
        let (resource, local) = (spans[0].resource.clone(), spans[0].local_endpoint.clone());
        for span in &mut spans {
            (span.resource, span.local_endpoint) = (resource.clone(), local.clone());
        }
        spans
    })
}

proptest! {
    #[test]
    fn it_says_what_json_says(spans in of_one_process()) {
        let json = as_json(&spans);
        for format in FORMATS {
            let body = written(format, |out| out.batch(&spans));
            prop_assert_eq!(told(format, &body), told(Format::JaegerJson, json.as_bytes()));
        }
    }

    #[test]
    fn no_damage_makes_it_panic(
        spans in of_one_process(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        for format in FORMATS {
            let mut body = written(format, |out| {
                out.call("emitBatch", TType::Struct, |out| out.batch(&spans));
            });
            for (at, byte) in &damage {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let _ = read_agent(&body);
        }
    }
}
