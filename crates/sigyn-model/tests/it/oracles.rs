//! Other readers, and ours: what prost and serde_json see in a message is what we see.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use sigyn_model::codec::{json_v2, otlp};
use sigyn_model::{StatusCode, Tags, Timestamp, Value};

fn any_value() -> impl Strategy<Value = Option<AnyValue>> {
    let value = prop_oneof![
        4 => "[a-zA-Zé]{0,200}".prop_map(Any::StringValue),
        1 => any::<bool>().prop_map(Any::BoolValue),
        2 => prop_oneof![-200..20_000i64, any::<i64>()].prop_map(Any::IntValue),
        1 => (-1e9..1e9f64).prop_map(Any::DoubleValue),
        1 => vec(any::<u8>(), 0..5).prop_map(Any::BytesValue),
    ];
    option::weighted(0.95, value).prop_map(|value| Some(AnyValue { value }))
}

/// Keys are all different, and none of them means anything to us.
fn attributes(count: usize) -> impl Strategy<Value = Vec<KeyValue>> {
    vec(any_value(), 0..count).prop_map(|values| {
        let attribute = |(i, value)| KeyValue {
            key: format!("key.of.number.{i}"),
            value,
            ..KeyValue::default()
        };
        values.into_iter().enumerate().map(attribute).collect()
    })
}

fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(1..=u8::MAX, bytes)
}

fn event() -> impl Strategy<Value = span::Event> {
    (any::<u64>(), "[a-z]{0,9}", attributes(4), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| span::Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = span::Link> {
    (id(16), id(8), "[a-z=]{0,9}", attributes(3), any::<u32>(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| {
            span::Link {
                trace_id,
                span_id,
                trace_state,
                attributes,
                dropped_attributes_count,
                flags,
            }
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    (
        (id(16), id(8), prop_oneof![Just(Vec::new()), id(8)], "[a-z=]{0,9}", "[a-zA-ZÄ /]{0,30}"),
        (0..6i32, any::<u64>(), any::<u64>(), attributes(30), any::<u32>()),
        (vec(event(), 0..4), any::<u32>(), vec(link(), 0..3), any::<u32>(), any::<u32>()),
        option::of(("[a-z]{0,9}", 0..3i32)),
    )
        .prop_map(|(ids, own, nested, status)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: ids.3,
            name: ids.4,
            kind: own.0,
            start_time_unix_nano: own.1,
            end_time_unix_nano: own.2,
            attributes: own.3,
            dropped_attributes_count: own.4,
            events: nested.0,
            dropped_events_count: nested.1,
            links: nested.2,
            dropped_links_count: nested.3,
            flags: nested.4,
            status: status.map(|(message, code)| Status { message, code }),
        })
}

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = ("[a-z]{0,9}", "[0-9.]{0,5}", attributes(3), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    let scope_spans = (option::of(scope), vec(span(), 0..4), "[a-z]{0,5}").prop_map(
        |(scope, spans, schema_url)| ScopeSpans {
            schema_url: if scope.is_some() { schema_url } else { String::new() },
            scope,
            spans,
        },
    );
    let resource = (attributes(20), any::<u32>()).prop_map(|(attributes, dropped)| Resource {
        attributes,
        dropped_attributes_count: dropped,
        ..Resource::default()
    });
    let resource_spans = (option::of(resource), vec(scope_spans, 0..3), "[a-z]{0,5}").prop_map(
        |(resource, scope_spans, schema_url)| ResourceSpans {
            schema_url: if resource.is_some() { schema_url } else { String::new() },
            resource,
            scope_spans,
        },
    );
    vec(resource_spans, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn tags(attributes: &[KeyValue]) -> Tags {
    let value = |value: &Option<AnyValue>| match value.as_ref().and_then(|v| v.value.clone()) {
        Some(Any::StringValue(text)) => Value::Str(text),
        Some(Any::BoolValue(value)) => Value::Bool(value),
        Some(Any::IntValue(value)) => Value::Int(value),
        Some(Any::DoubleValue(value)) => Value::Double(value),
        Some(Any::BytesValue(bytes)) => Value::Bytes(bytes),
        _ => Value::Empty,
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), value(&attribute.value))).collect()
}

/// Field by field: what our span has to say of prost's.
fn check(ours: &sigyn_model::Span, theirs: &Span, scope: &ScopeSpans, resource: &ResourceSpans) {
    assert_eq!(ours.trace_id.as_u128().to_be_bytes().as_slice(), theirs.trace_id);
    assert_eq!(ours.id.as_u64().to_be_bytes().as_slice(), theirs.span_id);
    let parent = ours.parent_id.map_or_else(Vec::new, |id| id.as_u64().to_be_bytes().to_vec());
    let theirs_parent = Some(&theirs.parent_span_id).filter(|id| **id != theirs.span_id);
    assert_eq!(parent, theirs_parent.cloned().unwrap_or_default());
    assert_eq!(ours.trace_state, theirs.trace_state);
    assert_eq!(ours.name, theirs.name.to_lowercase());
    let kind = [None, None, Some("SERVER"), Some("CLIENT"), Some("PRODUCER"), Some("CONSUMER")];
    assert_eq!(ours.kind.map(|kind| kind.as_str()), kind[theirs.kind as usize]);
    let (start, end) = (theirs.start_time_unix_nano, theirs.end_time_unix_nano);
    assert_eq!(ours.timestamp.map_or(0, Timestamp::nanos), start);
    let takes = (start > 0 && end >= start).then(|| Duration::from_nanos((end - start).max(1)));
    assert_eq!(ours.duration, takes);
    assert_eq!(ours.tags, tags(&theirs.attributes));
    assert_eq!(ours.dropped_tags, theirs.dropped_attributes_count);
    assert_eq!(ours.dropped_annotations, theirs.dropped_events_count);
    assert_eq!(ours.dropped_links, theirs.dropped_links_count);
    assert_eq!(ours.flags, theirs.flags);
    let status = theirs.status.clone().unwrap_or_default();
    let code = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error][status.code as usize];
    assert_eq!((ours.status.code, &ours.status.message), (code, &status.message));
    let mut events = theirs.events.clone();
    events.sort_by(|a, b| (a.time_unix_nano, &a.name).cmp(&(b.time_unix_nano, &b.name)));
    events.dedup();
    assert_eq!(ours.annotations.len(), events.len());
    for (ours, theirs) in ours.annotations.iter().zip(&events) {
        assert_eq!((ours.timestamp.nanos(), &ours.value), (theirs.time_unix_nano, &theirs.name));
        assert_eq!(ours.tags, tags(&theirs.attributes));
        assert_eq!(ours.dropped_tags, theirs.dropped_attributes_count);
    }
    assert_eq!(ours.links.len(), theirs.links.len());
    for (ours, theirs) in ours.links.iter().zip(&theirs.links) {
        assert_eq!(ours.trace_id.as_u128().to_be_bytes().as_slice(), theirs.trace_id);
        assert_eq!(ours.span_id.as_u64().to_be_bytes().as_slice(), theirs.span_id);
        assert_eq!(ours.trace_state, theirs.trace_state);
        assert_eq!((ours.tags.clone(), ours.flags), (tags(&theirs.attributes), theirs.flags));
        assert_eq!(ours.dropped_tags, theirs.dropped_attributes_count);
    }
    let ours_scope = ours.scope.as_deref();
    assert_eq!(ours_scope.is_some(), scope.scope.is_some());
    if let (Some(ours), Some(theirs)) = (ours_scope, &scope.scope) {
        assert_eq!((&ours.name, &ours.version), (&theirs.name, &theirs.version));
        assert_eq!((&ours.schema_url, &ours.tags), (&scope.schema_url, &tags(&theirs.attributes)));
        assert_eq!(ours.dropped_tags, theirs.dropped_attributes_count);
    }
    assert_eq!(ours.resource.is_some(), resource.resource.is_some());
    if let (Some(ours), Some(theirs)) = (ours.resource.as_deref(), &resource.resource) {
        assert_eq!(ours.tags, tags(&theirs.attributes));
        assert_eq!(ours.schema_url, resource.schema_url);
        assert_eq!(ours.dropped_tags, theirs.dropped_attributes_count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prost_and_we_see_the_same_spans(request in request()) {
        let decoded = otlp::decode(&request.encode_to_vec()).unwrap();
        prop_assert!(decoded.problems.is_empty());
        let mut ours = decoded.spans.iter();
        for resource in &request.resource_spans {
            for scope in &resource.scope_spans {
                for span in &scope.spans {
                    check(ours.next().unwrap(), span, scope, resource);
                }
            }
        }
        prop_assert!(ours.next().is_none());
    }

    #[test]
    fn a_message_that_ends_early_never_becomes_more(request in request()) {
        let body = request.encode_to_vec();
        let all = otlp::decode(&body).unwrap().spans.len();
        for end in (0..body.len()).step_by(1 + body.len() / 500) {
            let ours = otlp::decode(&body[..end]);
            // Between two resources it is whole.
            prop_assert_eq!(ours.is_ok(), ExportTraceServiceRequest::decode(&body[..end]).is_ok());
            prop_assert!(ours.map_or(0, |decoded| decoded.spans.len()) <= all);
        }
    }

    #[test]
    fn serde_json_and_we_see_the_same_spans(
        spans in vec(
            (1..u64::MAX, 1..u64::MAX, any::<String>(), 0..1u64 << 60, vec((any::<String>(), any::<String>()), 0..6)),
            0..5,
        ),
        pretty in any::<bool>(),
    ) {
        let list: Vec<serde_json::Value> = spans
            .iter()
            .map(|(trace_id, id, name, time, tags)| serde_json::json!({
                "traceId": format!("{trace_id:032x}"),
                "id": format!("{id:x}"),
                "name": name,
                "timestamp": time,
                "unknown": [{"a": name}, null, 1.5e3],
                "duration": time.to_string(),
                "localEndpoint": {"serviceName": name, "port": time % 65_536},
                "annotations": [{"timestamp": 1 + time, "value": name}],
                "tags": tags.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            }))
            .collect();
        let list = serde_json::Value::Array(list);
        let text = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) };
        let text = text.unwrap();
        let ours = json_v2::decode_list(text.as_bytes()).unwrap();
        let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
        let theirs = theirs.as_array().unwrap();
        prop_assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            let name = theirs["name"].as_str().unwrap();
            let time = theirs["timestamp"].as_u64().unwrap();
            prop_assert_eq!(ours.trace_id.as_u128(), u128::from_str_radix(theirs["traceId"].as_str().unwrap(), 16).unwrap());
            prop_assert_eq!(ours.id.as_u64(), u64::from_str_radix(theirs["id"].as_str().unwrap(), 16).unwrap());
            prop_assert_eq!(&ours.name, &name.to_lowercase());
            let kept = Timestamp::from_micros(time).filter(|_| time > 0);
            prop_assert_eq!(ours.timestamp, kept);
            prop_assert_eq!(ours.service_name().unwrap_or(""), name.to_lowercase());
            let annotation = Timestamp::from_micros(1 + time).map(|time| (time, name.to_owned()));
            let annotations: Vec<_> = ours.annotations.iter().map(|a| (a.timestamp, a.value.clone())).collect();
            prop_assert_eq!(annotations, annotation.into_iter().collect::<Vec<_>>());
            let tags: Tags = theirs["tags"].as_object().unwrap().iter()
                .map(|(key, value)| (key.clone(), Value::from(value.as_str().unwrap())))
                .collect();
            prop_assert_eq!(&ours.tags, &tags);
        }
        for end in (0..text.len()).step_by(1 + text.len() / 500) {
            prop_assert!(json_v2::decode_list(&text.as_bytes()[..end]).is_err() || end == 0);
        }
    }
}
