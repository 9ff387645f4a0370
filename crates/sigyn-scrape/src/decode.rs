//! Bytes to spans of this target: which format a body is in, and what a scraped span is given.

use std::sync::Arc;

use http::{HeaderMap, header};
use sigyn_model::codec::{self, DecodeError, Decoded, Limits};
use sigyn_model::pull::media;
use sigyn_model::{Endpoint, Labels, Span};

/// The formats we ask for, best first. One that cannot be read yet is not offered.
pub(crate) fn accept() -> String {
    format!("{}, {};q=0.5", media::OTLP, media::ZIPKIN_JSON)
}

/// What a `Content-Type` says of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Otlp,
    /// Protobuf of no named message: of a target that speaks the protocol it is OTLP.
    Protobuf,
    ZipkinJson,
    /// Spans, in a format that this version does not read.
    Unread(&'static str),
    NotSpans,
    /// No type at all. A 2017 Loki client names none and means Thrift; most others have no spans.
    Untyped,
}

impl Format {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Self::Untyped };
        let Ok(text) = value.to_str() else { return Self::NotSpans };
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameter = |wanted: &str| {
            parts.clone().filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
                name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
            })
        };
        match media_type.as_str() {
            media::PROTOBUF | "application/protobuf" => match parameter("messageType") {
                None => Self::Protobuf,
                Some(media::OTLP_MESSAGE) => Self::Otlp,
                Some(media::ZIPKIN_PROTO3_MESSAGE) => Self::Unread("Zipkin proto3"),
                Some(_) => Self::NotSpans,
            },
            media::ZIPKIN_JSON => match parameter("profile") {
                None => Self::ZipkinJson,
                Some(media::OTLP_PROFILE) => Self::Unread("OTLP JSON"),
                Some(_) => Self::NotSpans,
            },
            media::THRIFT => Self::Unread("Thrift"),
            _ => Self::NotSpans,
        }
    }

    /// Whether this version reads it. Of a format that it does not, another body is no better.
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Self::Otlp | Self::Protobuf | Self::ZipkinJson)
    }

    pub(crate) fn decode(self, body: &[u8], limits: Limits) -> Result<Decoded, DecodeError> {
        match self {
            Self::Otlp | Self::Protobuf => codec::otlp::decode_within(body, limits),
            Self::ZipkinJson => codec::json_v2::decode_list_within(body, limits)
                .map(|spans| Decoded { spans, problems: Vec::new() }),
            Self::Unread(name) => {
                Err(DecodeError::new(format!("this version does not read {name}")))
            }
            Self::NotSpans => Err(DecodeError::new("the content type is not one of spans")),
            Self::Untyped => Err(DecodeError::new("the answer names no content type")),
        }
    }

    /// Whether a body that cannot be decoded was meant to be spans, where nothing else says so: many a
    /// service answers every path with some JSON, or with a protobuf of its own.
    pub(crate) fn claims_spans(self, body: &[u8]) -> bool {
        match self {
            Self::Otlp | Self::Unread(_) => true,
            Self::ZipkinJson => {
                let beginning = &body[..body.len().min(BEGINNING)];
                let first = beginning.iter().find(|byte| !byte.is_ascii_whitespace());
                let key = b"\"traceId\"";
                first == Some(&b'[') && beginning.windows(key.len()).any(|window| window == key)
            }
            Self::Protobuf | Self::NotSpans | Self::Untyped => false,
        }
    }
}

/// Bytes of a body that are searched for what every span has.
const BEGINNING: usize = 4096;

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
        check(None, Format::Untyped);
        check(Some("application/x-protobuf"), Format::Protobuf);
        check(Some("Application/Protobuf"), Format::Protobuf);
        check(Some("application/vnd.apache.thrift.compact"), Format::Unread("Thrift"));
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
        check(Some(media::OTLP), Format::Otlp);
    }

    #[test]
    fn a_body_that_cannot_be_decoded_claims_to_be_spans_or_not() {
        let check = |format: Format, body: &str, expected| {
            assert_eq!(format.claims_spans(body.as_bytes()), expected, "{format:?} {body}");
        };
        check(Format::ZipkinJson, " [{\"traceId\":7}]", true);
        check(Format::ZipkinJson, "{\"traceId\":7}", false);
        check(Format::ZipkinJson, "[{\"name\":7}]", false);
        check(Format::ZipkinJson, "", false);
        check(Format::Otlp, "?", true);
        check(Format::Unread("Thrift"), "?", true);
        check(Format::Protobuf, "?", false);
        check(Format::Untyped, "?", false);
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
