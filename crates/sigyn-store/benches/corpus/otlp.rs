//! The spans of a request as an SDK sends them: encoded by prost, not by us.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message as _;
use sigyn_model::{Annotation, Kind, Tags, Timestamp, Value};

pub(crate) fn encode(spans: &[sigyn_model::Span]) -> Vec<u8> {
    let first = &spans[0];
    let resource = first.resource.as_ref().expect("every span has one");
    let scope = first.scope.as_ref().expect("every span has one");
    let scope_spans = ScopeSpans {
        scope: Some(InstrumentationScope {
            name: scope.name.clone(),
            version: scope.version.clone(),
            ..InstrumentationScope::default()
        }),
        spans: spans.iter().map(as_sent).collect(),
        schema_url: String::new(),
    };
    let resource_spans = ResourceSpans {
        resource: Some(Resource { attributes: attributes(&resource.tags), ..Resource::default() }),
        scope_spans: vec![scope_spans],
        schema_url: resource.schema_url.clone(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn as_sent(span: &sigyn_model::Span) -> Span {
    let begins = span.timestamp.map_or(0, Timestamp::nanos);
    let takes = span.duration.map_or(0, |duration| duration.as_nanos());
    let kind = match span.kind {
        None => 1,
        Some(Kind::Server) => 2,
        Some(Kind::Client) => 3,
        Some(Kind::Producer) => 4,
        Some(Kind::Consumer) => 5,
    };
    let failed = !span.status.message.is_empty();
    Span {
        trace_id: span.trace_id.as_u128().to_be_bytes().to_vec(),
        span_id: span.id.as_u64().to_be_bytes().to_vec(),
        parent_span_id: span
            .parent_id
            .map_or_else(Vec::new, |id| id.as_u64().to_be_bytes().to_vec()),
        name: span.name.clone(),
        kind,
        start_time_unix_nano: begins,
        end_time_unix_nano: begins + u64::try_from(takes).unwrap_or(0),
        attributes: attributes(&span.tags),
        events: span.annotations.iter().map(event).collect(),
        status: failed.then(|| Status { message: span.status.message.clone(), code: 2 }),
        flags: span.flags,
        ..Span::default()
    }
}

fn event(annotation: &Annotation) -> span::Event {
    span::Event {
        time_unix_nano: annotation.timestamp.nanos(),
        name: annotation.value.clone(),
        attributes: attributes(&annotation.tags),
        dropped_attributes_count: 0,
    }
}

fn attributes(tags: &Tags) -> Vec<KeyValue> {
    let attribute = |(key, value): &(String, Value)| {
        let value = match value {
            Value::Int(value) => Any::IntValue(*value),
            value => Any::StringValue(value.text().into_owned()),
        };
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.clone(), value, ..KeyValue::default() }
    };
    tags.iter().map(attribute).collect()
}
