//! Everything there and back, and what foreign senders send.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::codec::proto::{
    put_bytes_field, put_fixed64_field, put_message_field, put_text_field, put_varint_field,
};
use crate::codec::sink::{BadSpan, ResourceRef, ScopeRef, SpanRef, SpanSink};
use crate::codec::{Limits, OverLimit, otlp_json};
use crate::{Endpoint, Kind, Span, SpanId, StatusCode, Tags, Timestamp, TraceId, Value, arbitrary};

type Out = Vec<u8>;
/// Writes one of many parts of a span: the one of this number.
type Part<'a> = &'a dyn Fn(&mut Out, u64);

/// A request with one resource of these fields, and one scope of these spans.
fn request(resource: impl FnOnce(&mut Out), spans: &[&dyn Fn(&mut Out)]) -> Out {
    let mut out = Vec::new();
    put_message_field(&mut out, 1, |out| {
        resource(out);
        put_message_field(out, 2, |out| {
            for span in spans {
                put_message_field(out, 2, span);
            }
        });
    });
    out
}

fn ids(out: &mut Out) {
    put_bytes_field(out, 1, &[1; 16]);
    put_bytes_field(out, 2, &[2; 8]);
}

fn text_attribute(out: &mut Out, number: u32, key: &str, value: &str) {
    put_message_field(out, number, |out| {
        put_text_field(out, 1, key);
        put_message_field(out, 2, |out| put_bytes_field(out, 1, value.as_bytes()));
    });
}

fn decode_one(body: &[u8]) -> Span {
    let mut decoded = decode(body).unwrap();
    assert_eq!(decoded.problems, Vec::<String>::new());
    assert_eq!(decoded.spans.len(), 1);
    decoded.spans.remove(0)
}

#[test]
fn a_span_is_read_as_opentelemetry_writes_it() {
    let span = decode_one(&request(
        |out| {
            put_message_field(out, 1, |out| {
                text_attribute(out, 1, "service.name", "Shop");
                text_attribute(out, 1, "host.name", "h1");
                put_varint_field(out, 2, 3);
            });
        },
        &[&|out: &mut Out| {
            ids(out);
            put_text_field(out, 3, "a=b");
            put_bytes_field(out, 4, &[3; 8]);
            put_text_field(out, 5, "GET /Users");
            put_varint_field(out, 6, 3);
            put_fixed64_field(out, 7, 1_000);
            put_fixed64_field(out, 8, 3_500);
            text_attribute(out, 9, "peer.service", "DB");
            put_message_field(out, 15, |out| {
                put_text_field(out, 2, "broken");
                put_varint_field(out, 3, 2);
            });
        }],
    ));
    assert_eq!(span.service_name(), Some("shop"));
    assert_eq!(span.remote_service_name(), Some("db"));
    assert_eq!(span.resource.as_ref().unwrap().tags[0].1, Value::from("Shop"));
    assert_eq!(span.name, "get /users");
    assert_eq!(span.kind, Some(Kind::Client));
    assert_eq!(span.parent_id.unwrap().to_string(), "0303030303030303");
    assert_eq!(span.timestamp, Some(Timestamp::from_nanos(1_000)));
    assert_eq!(span.duration, Some(Duration::from_nanos(2_500)));
    assert_eq!(span.status.code, StatusCode::Error);
    assert_eq!(span.zipkin_tag("error").unwrap(), "broken");
    assert_eq!(span.trace_state, "a=b");
}

#[test]
fn what_spans_share_may_come_after_them_and_unknown_fields_anywhere() {
    let unknown = |out: &mut Out| {
        put_varint_field(out, 100, 5);
        put_text_field(out, 101, "later");
        put_fixed64_field(out, 102, 1);
    };
    let mut body = Vec::new();
    unknown(&mut body);
    put_message_field(&mut body, 1, |out| {
        put_message_field(out, 2, |out| {
            put_message_field(out, 2, |out| {
                unknown(out);
                ids(out);
            });
            put_message_field(out, 1, |out| put_text_field(out, 1, "lib"));
            put_text_field(out, 3, "https://schema");
        });
        put_message_field(out, 1, |out| {
            unknown(out);
            text_attribute(out, 1, "service.name", "late");
        });
    });
    let span = decode_one(&body);
    assert_eq!(span.service_name(), Some("late"));
    assert_eq!(span.scope.unwrap().name, "lib");
}

#[test]
fn a_bad_span_is_a_problem_and_takes_no_other_with_it() {
    let check = |bad: &dyn Fn(&mut Out), expected: &str| {
        let decoded = decode(&request(|_| {}, &[&ids, bad, &ids])).unwrap();
        assert_eq!(decoded.spans.len(), 2, "{expected}");
        assert_eq!(decoded.problems, [format!("span 1: {expected}")]);
    };
    let with_ids = |trace_id: &'static [u8], id: &'static [u8]| {
        move |out: &mut Out| {
            put_bytes_field(out, 1, trace_id);
            put_bytes_field(out, 2, id);
        }
    };
    check(&|_| {}, "trace_id has 0 bytes, not 16");
    check(&with_ids(&[1; 15], &[1; 8]), "trace_id has 15 bytes, not 16");
    check(&with_ids(&[0; 16], &[1; 8]), "trace_id is all zeros");
    check(&with_ids(&[1; 16], &[1; 9]), "span_id has 9 bytes, not 8");
    check(&with_ids(&[1; 16], &[0; 8]), "span_id is all zeros");
    check(
        &|out| {
            ids(out);
            put_bytes_field(out, 4, &[1]);
        },
        "parent_span_id has 1 bytes, not 8",
    );
    check(
        &|out| {
            ids(out);
            put_bytes_field(out, 15, &[0x1a, 9]);
        },
        "Truncated: length 9 > bytes available 0",
    );
    // A number that has ended, and a byte that begins nothing.
    check(
        &|out| {
            ids(out);
            put_bytes_field(out, 9, b"\x0a\x01a\x12\x03\x18\x05\x01");
        },
        "Malformed: field 0 of wire type 1",
    );
    // Values nested deeper than any sender nests them.
    let mut value = Vec::new();
    for _ in 0..70 {
        let inner = std::mem::take(&mut value);
        put_message_field(&mut value, 5, |out| put_bytes_field(out, 1, &inner));
    }
    check(
        &|out| {
            ids(out);
            put_message_field(out, 9, |out| put_bytes_field(out, 2, &value));
        },
        "Malformed: values nested too deep",
    );
}

#[test]
fn however_many_spans_are_bad_the_good_ones_are_kept() {
    let mut spans: Vec<&dyn Fn(&mut Out)> = vec![&|_| {}; 10_002];
    spans.push(&ids);
    let decoded = decode(&request(|_| {}, &spans)).unwrap();
    let counts = (decoded.spans.len(), decoded.rejected, decoded.problems.len());
    assert_eq!(counts, (1, 10_002, 10_000));
    assert_eq!(decoded.problems[9_999], "span 9999: trace_id has 0 bytes, not 16");
}

#[test]
fn a_truncated_message_is_an_error() {
    let body = request(|_| {}, &[&ids, &ids]);
    for length in 1..body.len() {
        let message = decode(&body[..length]).unwrap_err().message;
        assert!(message.ends_with("reading ExportTraceServiceRequest from protobuf"), "{message}");
    }
    assert_eq!(decode(&[]).unwrap().spans, []);
    // Bodies of several messages, one after the other, are one message.
    assert_eq!(decode(&[body.clone(), body].concat()).unwrap().spans.len(), 4);
}

#[test]
fn what_contradicts_itself_is_put_right() {
    let check = |fields: &dyn Fn(&mut Out), expected: &dyn Fn(&mut Span)| {
        let span = decode_one(&request(
            |_| {},
            &[&|out: &mut Out| {
                ids(out);
                fields(out);
            }],
        ));
        let mut bare = decode_one(&request(|_| {}, &[&ids]));
        expected(&mut bare);
        assert_eq!(span, bare);
    };
    let times = |start, end| {
        move |out: &mut Out| {
            put_fixed64_field(out, 7, start);
            put_fixed64_field(out, 8, end);
        }
    };
    let at = |nanos| Some(Timestamp::from_nanos(nanos));
    check(&times(0, 0), &|_| {});
    check(&times(0, 9), &|_| {});
    check(&times(9, 0), &|span| span.timestamp = at(9));
    check(&times(9, 8), &|span| span.timestamp = at(9));
    check(&times(9, 9), &|span| {
        span.timestamp = at(9);
        span.duration = Some(Duration::from_nanos(1));
    });
    check(&|out| put_bytes_field(out, 4, &[0; 8]), &|_| {});
    check(&|out| put_bytes_field(out, 4, &[2; 8]), &|_| {});
    check(&|out| put_varint_field(out, 6, 1), &|_| {});
    check(&|out| put_varint_field(out, 6, 77), &|_| {});
    check(&|out| put_bytes_field(out, 5, b"a\xff"), &|span| span.name = "a\u{fffd}".to_owned());
    // A link to nowhere.
    check(&|out| put_message_field(out, 13, |_| {}), &|span| span.dropped_links = 1);
    check(
        &|out| {
            text_attribute(out, 9, "k", "1");
            text_attribute(out, 9, "j", "2");
            text_attribute(out, 9, "k", "3");
            put_message_field(out, 9, |out| put_text_field(out, 1, "empty"));
        },
        &|span| {
            span.set_tag("k", "3");
            span.set_tag("j", "2");
            span.set_tag("empty", Value::Empty);
        },
    );
    // Facts of Zipkin with values that they cannot have are tags.
    check(
        &|out| {
            text_attribute(out, 9, "zipkin.remote.service_name", "X");
            text_attribute(out, 9, "zipkin.remote.ipv4", "nowhere");
            text_attribute(out, 9, "zipkin.debug", "yes");
        },
        &|span| {
            span.remote_endpoint = Endpoint::named("x").into_option();
            span.set_tag("zipkin.remote.ipv4", "nowhere");
            span.set_tag("zipkin.debug", "yes");
        },
    );
}

#[test]
fn a_span_has_room_for_ten_thousand_of_each() {
    let span = decode_one(&request(
        |out| {
            put_message_field(out, 1, |out| {
                for i in 0..1_001 {
                    text_attribute(out, 1, &i.to_string(), "");
                }
            });
        },
        &[&|out: &mut Out| {
            ids(out);
            put_varint_field(out, 10, 5);
            for i in 0..1_000_000 {
                text_attribute(out, 9, &i.to_string(), "");
            }
            for _ in 0..10_002 {
                put_message_field(out, 11, |_| {});
                put_message_field(out, 13, ids);
            }
            put_varint_field(out, 12, 5);
            put_varint_field(out, 14, 5);
            put_message_field(out, 11, |_| {});
        }],
    ));
    assert_eq!((span.tags.len(), span.dropped_tags), (10_000, 990_005));
    assert_eq!((span.links.len(), span.dropped_links), (10_000, 7));
    // Equal events are one.
    assert_eq!((span.annotations.len(), span.dropped_annotations), (1, 8));
    assert_eq!(span.resource.unwrap().tags.len(), 1_000);
    let in_event = decode_one(&request(
        |_| {},
        &[&|out: &mut Out| {
            ids(out);
            put_message_field(out, 11, |out| {
                (0..10_001).for_each(|i| text_attribute(out, 3, &i.to_string(), ""));
                put_varint_field(out, 4, 2);
            });
        }],
    ));
    let event = &in_event.annotations[0];
    assert_eq!((event.tags.len(), event.dropped_tags), (10_000, 3));
}

#[test]
fn a_message_may_not_become_more_than_its_reader_has_room_for() {
    let within = |body: &[u8], bytes_max| {
        decode_within(body, Limits { bytes_max })
            .map(|decoded| (decoded.spans.len(), decoded.rejected))
            .map_err(|error| (error.message, error.over_limit))
    };
    let refused = |cause: &str| {
        Err((format!("{cause} reading ExportTraceServiceRequest from protobuf"), true))
    };
    let body = request(|_| {}, &[&ids, &|_: &mut Out| {}, &ids]);
    let problem = "span 1: trace_id has 0 bytes, not 16".len() + size_of::<String>();
    let bytes = body.len() + 2 * size_of::<Span>() + problem;
    let cause = |bytes: usize| format!("more than {bytes} bytes of spans in one message");
    assert_eq!(within(&body, bytes), Ok((2, 1)));
    assert_eq!(within(&body, bytes - 1), refused(&cause(bytes - 1)));
    // A few bytes each, and yet all but one of them take memory.
    let tag = |out: &mut Out, i: u64| put_text_field(out, 1, &i.to_string());
    let event = |out: &mut Out, i: u64| put_fixed64_field(out, 1, i);
    let link = |out: &mut Out, _: u64| ids(out);
    let status = |_: &mut Out, _: u64| {};
    let parts: [Part<'_>; 4] = [&tag, &event, &link, &status];
    let numbers = [("tags", 9), ("events", 11), ("links", 13), ("status", 15)];
    for ((what, number), part) in numbers.into_iter().zip(parts) {
        let body = request(
            |_| {},
            &[&|out: &mut Out| {
                ids(out);
                (0..5_000).for_each(|i| put_message_field(out, number, |out| part(out, i)));
            }],
        );
        let fits = within(&body, body.len() + 100_000).is_ok();
        assert_eq!(fits, what == "status", "{what}");
    }
    // So does what stands in a list.
    let mut list = Vec::new();
    (0..5_000).for_each(|_| put_message_field(&mut list, 1, |_| {}));
    let body = request(
        |_| {},
        &[&|out: &mut Out| {
            ids(out);
            put_message_field(out, 9, |out| {
                put_message_field(out, 2, |out| put_bytes_field(out, 5, &list));
            });
        }],
    );
    assert_eq!(within(&body, 100_000), refused(&cause(100_000)));
    // Each span gets a copy of its service's name.
    let named = |length| {
        let name = "x".repeat(length);
        let body = request(
            |out| put_message_field(out, 1, |out| text_attribute(out, 1, "service.name", &name)),
            &[&ids as &dyn Fn(&mut Out); 100],
        );
        within(&body, 100_000)
    };
    assert_eq!(named(10), Ok((100, 0)));
    assert_eq!(named(1_000), refused(&cause(100_000)));
}

#[test]
fn what_spans_share_is_held_once() {
    /// A resource, if any, with a schema of its own, and as many scopes as spans: two.
    fn check(resource: Option<&[u8]>, schema_url: &str) {
        let mut body = Vec::new();
        put_message_field(&mut body, 1, |out| {
            if let Some(resource) = resource {
                put_bytes_field(out, 1, resource);
            }
            (0..2).for_each(|_| {
                put_message_field(out, 2, |out| put_message_field(out, 2, ids));
            });
            put_text_field(out, 3, schema_url);
        });
        let bytes_max = body.len() + 2 * size_of::<Span>() + size_of::<crate::Resource>();
        let spans = decode_within(&body, Limits { bytes_max }).unwrap().spans;
        assert!(decode_within(&body, Limits { bytes_max: bytes_max - 1 }).is_err());
        let shared: Vec<_> = spans.iter().filter_map(|span| span.resource.as_ref()).collect();
        assert_eq!(shared[0].schema_url, schema_url);
        assert!(std::sync::Arc::ptr_eq(shared[0], shared[1]));
    }
    let url = "u".repeat(100_000);
    check(None, &url);
    check(Some(&[]), &url);
    check(Some(&[]), "");
    // A field that nobody knows.
    check(Some(&[0x28, 1]), &url);
}

/// Counts what it is told.
#[derive(Default)]
struct Told {
    resources: usize,
    scopes: usize,
}

impl SpanSink for Told {
    fn resource(&mut self, _: Option<&ResourceRef<'_>>) -> Result<(), OverLimit> {
        self.resources += 1;
        Ok(())
    }

    fn scope(&mut self, _: Option<&ScopeRef<'_>>) -> Result<(), OverLimit> {
        self.scopes += 1;
        Ok(())
    }

    fn span(&mut self, _: &SpanRef<'_>) -> Result<(), OverLimit> {
        Ok(())
    }

    fn problem(&mut self, _: BadSpan) -> Result<(), OverLimit> {
        Ok(())
    }
}

#[test]
fn a_resource_is_told_once_however_many_scopes_it_has() {
    let mut body = Vec::new();
    put_message_field(&mut body, 1, |out| {
        put_text_field(out, 3, "https://schema");
        (0..1_000).for_each(|_| put_message_field(out, 2, |_| {}));
    });
    let mut told = Told::default();
    read(&body, &mut told).unwrap();
    assert_eq!((told.resources, told.scopes), (1, 1_000));
    let scope = r#"{"spans":[]}"#;
    let scopes = vec![scope; 1_000].join(",");
    let body =
        format!(r#"{{"resourceSpans":[{{"schemaUrl":"https:\/\/x","scopeSpans":[{scopes}]}}]}}"#);
    let mut told = Told::default();
    otlp_json::read(body.as_bytes(), &mut told).unwrap();
    assert_eq!((told.resources, told.scopes), (1, 1_000));
}

#[test]
fn all_that_one_span_nests_is_bounded() {
    // A span of so many parts of this number, each with so many attributes of that number.
    let read = |(part, attribute): (u32, u32), parts: u32, attributes: u32| {
        let decoded = decode(&request(
            |_| {},
            &[
                &|out: &mut Out| {
                    ids(out);
                    for _ in 0..parts {
                        put_message_field(out, part, |out| {
                            (0..attributes).for_each(|_| put_bytes_field(out, attribute, &[]));
                        });
                    }
                },
                &ids,
            ],
        ))
        .unwrap();
        (decoded.spans.len(), decoded.problems)
    };
    let many = vec!["span 0: more than 100000 values nested in one span".to_owned()];
    for (event, attribute) in [(11, 3), (13, 4)] {
        assert_eq!(read((event, attribute), 10, 10_000), (2, vec![]));
        assert_eq!(read((event, attribute), 10, 10_001), (1, many.clone()));
        assert_eq!(read((event, attribute), 10_000, 11), (1, many.clone()));
    }
}

#[test]
fn what_is_no_text_is_counted_as_the_text_that_it_becomes() {
    let broken = vec![0xff; 100_000];
    let check = |part: &dyn Fn(&mut Out)| {
        let body = request(|_| {}, &[part]);
        let fits = |bytes_max| decode_within(&body, Limits { bytes_max }).is_ok();
        assert!(!fits(300_000) && fits(1_500_000));
    };
    let list = |out: &mut Out| put_message_field(out, 1, |out| put_bytes_field(out, 1, &broken));
    check(&|out| {
        ids(out);
        put_bytes_field(out, 5, &broken);
    });
    check(&|out| {
        ids(out);
        put_message_field(out, 9, |out| {
            put_message_field(out, 2, |out| put_bytes_field(out, 1, &broken));
        });
    });
    check(&|out| {
        ids(out);
        put_message_field(out, 9, |out| put_bytes_field(out, 1, &broken));
    });
    check(&|out| {
        ids(out);
        put_message_field(out, 9, |out| {
            put_message_field(out, 2, |out| put_message_field(out, 5, list));
        });
    });
    check(&|out| {
        ids(out);
        put_message_field(out, 15, |out| put_bytes_field(out, 2, &broken));
    });
    for times in 1..=2 {
        check(&|out| {
            ids(out);
            (0..times).for_each(|_| {
                put_message_field(out, 11, |out| put_bytes_field(out, 2, &broken));
            });
        });
    }
    // What nests is made before it is counted.
    let huge = vec![0xff; 2_000_000];
    let list = |out: &mut Out| put_message_field(out, 1, |out| put_bytes_field(out, 1, &huge));
    let body = request(
        |_| {},
        &[&|out: &mut Out| {
            ids(out);
            put_message_field(out, 9, |out| {
                put_message_field(out, 2, |out| put_message_field(out, 5, list));
            });
        }],
    );
    let problems = decode(&body).unwrap().problems;
    assert_eq!(problems, ["span 0: more than 100000 values nested in one span"]);
}

#[test]
fn a_duration_that_cannot_be_is_a_tag() {
    let key = "zipkin.duration_ns";
    let span = |text: &'static str| {
        decode_one(&request(
            |_| {},
            &[&move |out: &mut Out| {
                ids(out);
                text_attribute(out, 9, key, text);
            }],
        ))
    };
    let longest = span("18446744073709551615");
    assert_eq!(longest.duration, Some(Duration::from_nanos(u64::MAX)));
    let beyond = span("18446744073709551616");
    assert_eq!((beyond.duration, beyond.zipkin_tag(key).is_some()), (None, true));
    // A span that was made in this process may claim anything.
    let claims = Span { duration: Some(Duration::MAX), ..longest.clone() };
    assert_eq!(decode_one(&encode([&claims])), longest);
}

#[test]
fn every_reader_of_otlp_sees_the_service_of_a_span_from_zipkin() {
    let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(2).unwrap());
    span.local_endpoint = Endpoint::named("shop").into_option();
    let body = encode([&span]);
    let needle = b"service.name";
    assert!(body.windows(needle.len()).any(|window| window == needle));
    assert_eq!(decode_one(&body), span);
}

#[test]
fn a_name_of_megabytes_is_not_copied_into_each_span() {
    let long = "x".repeat(1_025);
    let body = request(
        |out| put_message_field(out, 1, |out| text_attribute(out, 1, "service.name", &long)),
        &[&ids],
    );
    let span = decode_one(&body);
    assert_eq!(span.local_endpoint, None);
    assert_eq!(decode_one(&encode([&span])), span);
    // A span from Zipkin keeps its own.
    let zipkins = Span { local_endpoint: Endpoint::named(&long).into_option(), ..span };
    assert_eq!(decode_one(&encode([&zipkins])), zipkins);
    let alone = Span { resource: None, ..zipkins };
    assert_eq!(decode_one(&encode([&alone])), alone);
}

#[test]
fn equal_resources_become_one() {
    let resource = |name: &str| {
        let tags: Tags = vec![("service.name".to_owned(), Value::from(name))];
        Some(std::sync::Arc::new(crate::Resource { tags, ..crate::Resource::default() }))
    };
    let spans: Vec<Span> = (1..=40)
        .map(|id| {
            let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(id).unwrap());
            let name = if id % 2 == 0 { "a" } else { "b" };
            span.resource = resource(name);
            span.local_endpoint = Endpoint::named(name).into_option();
            span
        })
        .collect();
    let body = encode(&spans);
    let needle = b"service.name";
    assert_eq!(body.windows(needle.len()).filter(|window| window == needle).count(), 2);
    let mut decoded = decode(&body).unwrap().spans;
    decoded.sort_by_key(|span| span.id);
    assert_eq!(decoded, spans);
}

proptest! {
    #[test]
    fn whatever_a_span_holds_comes_back(span in arbitrary::span()) {
        let decoded = decode(&encode([&span])).unwrap();
        prop_assert_eq!(decoded.problems, Vec::<String>::new());
        prop_assert_eq!(decoded.spans, [span]);
    }

    #[test]
    fn lists_come_back_grouped(mut spans in prop::collection::vec(arbitrary::span(), 0..6), same in any::<bool>()) {
        for (id, i) in (1..).zip(0..spans.len()) {
            spans[i].id = SpanId::from_raw(id);
            if same {
                spans[i].resource = spans[0].resource.clone();
                spans[i].scope = spans[0].scope.clone();
            }
            spans[i].normalize();
        }
        let mut decoded = decode(&encode(&spans)).unwrap().spans;
        decoded.sort_by_key(|span| span.id);
        prop_assert_eq!(decoded, spans);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(
        span in arbitrary::span(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut body = encode([&span]);
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok(decoded) = decode(&body) {
            // What was read can be written and read again.
            let again = decode(&encode(&decoded.spans)).unwrap();
            prop_assert_eq!(again.problems, Vec::<String>::new());
            prop_assert_eq!(again.spans.len(), decoded.spans.len());
        }
    }
}
