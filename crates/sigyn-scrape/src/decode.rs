//! Bytes to spans of this target: which format a body is in, and what a scraped span is given.

use std::sync::Arc;

use http::{HeaderMap, header};
use sigyn_model::codec::{self, DecodeError, Decoded};
use sigyn_model::{Endpoint, Labels, Span};

/// The formats we ask for, best first. One that cannot be read yet is not offered.
pub(crate) const ACCEPT: &str = "application/x-protobuf; \
    messageType=\"opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest\", \
    application/json;q=0.5";

const OTLP_MESSAGE: &str = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";

/// What a `Content-Type` says of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Otlp,
    ZipkinJson,
    /// Spans, in a format that this version does not read.
    Unread(&'static str),
    NotSpans,
}

impl Format {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        // A 2017 Loki client names no type and means Thrift.
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Self::Unread("Thrift") };
        let Ok(text) = value.to_str() else { return Self::NotSpans };
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameter = |wanted: &str| {
            parts.clone().filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
                name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
            })
        };
        match media_type.as_str() {
            "application/x-protobuf" | "application/protobuf" => match parameter("messageType") {
                None | Some(OTLP_MESSAGE) => Self::Otlp,
                Some("zipkin.proto3.ListOfSpans") => Self::Unread("Zipkin proto3"),
                Some(_) => Self::NotSpans,
            },
            "application/json" => match parameter("profile") {
                None => Self::ZipkinJson,
                Some("otlp") => Self::Unread("OTLP JSON"),
                Some(_) => Self::NotSpans,
            },
            "application/vnd.apache.thrift.compact" => Self::Unread("Thrift"),
            _ => Self::NotSpans,
        }
    }

    pub(crate) fn decode(self, body: &[u8]) -> Result<Decoded, DecodeError> {
        match self {
            Self::Otlp => codec::otlp::decode(body),
            Self::ZipkinJson => codec::json_v2::decode_list(body)
                .map(|spans| Decoded { spans, problems: Vec::new() }),
            Self::Unread(name) => {
                Err(DecodeError::new(format!("this version does not read {name}")))
            }
            Self::NotSpans => Err(DecodeError::new("the content type is not one of spans")),
        }
    }
}

/// Who the spans are from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) labels: Arc<Labels>,
    /// The name for spans whose process does not name itself: the target's `job`.
    pub(crate) service_name: String,
}

impl Origin {
    /// Puts the target's labels beside each span. What a span says of itself, and of its peers, stays.
    pub(crate) fn mark(&self, spans: &mut [Span]) {
        for span in spans {
            span.target = Some(Arc::clone(&self.labels));
            if span.service_name().is_none() && !self.service_name.is_empty() {
                let named = Endpoint::named(&self.service_name);
                span.local_endpoint.get_or_insert_default().service_name = named.service_name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use sigyn_model::{SpanId, TraceId};

    #[test]
    fn a_content_type_names_a_format() {
        let check = |content_type: Option<&'static str>, expected| {
            let mut headers = HeaderMap::new();
            if let Some(text) = content_type {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(text));
            }
            assert_eq!(Format::of(&headers), expected, "{content_type:?}");
        };
        check(None, Format::Unread("Thrift"));
        check(Some("application/x-protobuf"), Format::Otlp);
        check(Some("Application/Protobuf"), Format::Otlp);
        check(Some("application/json"), Format::ZipkinJson);
        check(Some("application/json; charset=utf-8"), Format::ZipkinJson);
        check(Some("application/json; profile=\"otlp\""), Format::Unread("OTLP JSON"));
        check(
            Some("application/x-protobuf; messageType=\"zipkin.proto3.ListOfSpans\""),
            Format::Unread("Zipkin proto3"),
        );
        check(
            Some("application/x-protobuf;messagetype=io.prometheus.client.MetricFamily"),
            Format::NotSpans,
        );
        check(Some("text/html; charset=utf-8"), Format::NotSpans);
        check(Some("text/plain; version=0.0.4"), Format::NotSpans);
        let otlp = ACCEPT.split(", ").next().unwrap();
        check(Some(otlp), Format::Otlp);
    }

    #[test]
    fn a_span_keeps_its_own_name_and_its_peers() {
        let span = || Span::new(TraceId::new(1).unwrap(), SpanId::new(1).unwrap());
        let labels = Arc::new(vec![("job".to_owned(), "Api".to_owned())]);
        let origin = Origin { labels: Arc::clone(&labels), service_name: "Api".to_owned() };
        let mut named = span();
        named.local_endpoint = Some(Endpoint::named("own"));
        let mut addressed = span();
        addressed.local_endpoint = Some(Endpoint { port: 80, ..Endpoint::default() });
        addressed.remote_endpoint = Some(Endpoint::named("db"));
        let mut spans = [span(), named, addressed];
        origin.mark(&mut spans);
        let names: Vec<_> = spans.iter().map(|span| span.service_name().unwrap()).collect();
        assert_eq!(names, ["api", "own", "api"]);
        assert_eq!(spans[2].local_endpoint.as_ref().unwrap().port, 80);
        assert_eq!(spans[2].remote_service_name(), Some("db"));
        assert!(spans.iter().all(|span| span.target.as_ref() == Some(&labels)));
    }
}
