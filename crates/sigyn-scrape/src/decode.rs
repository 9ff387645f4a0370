//! Bytes to spans of this target: which format a body is in, and what a scraped span is given.

use std::sync::Arc;

use http::{HeaderMap, header};
use sigyn_model::codec::sink::{BadSpan, EndpointRef, ResourceRef, ScopeRef, SpanRef, SpanSink};
use sigyn_model::codec::{self, DecodeError, OverLimit};
use sigyn_model::columns::Columns;
use sigyn_model::pull::media;
use sigyn_model::{Endpoint, Labels};

/// The formats we ask for, best first.
pub(crate) fn accept() -> String {
    let weighted = [
        (media::ZIPKIN_PROTO3, "0.8"),
        (media::OTLP_JSON, "0.6"),
        (media::ZIPKIN_JSON, "0.5"),
        (media::THRIFT, "0.1"),
    ];
    let others: String =
        weighted.iter().map(|(media_type, weight)| format!(", {media_type};q={weight}")).collect();
    format!("{}{others}", media::OTLP)
}

/// What a `Content-Type` says of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Named(codec::Format),
    /// Protobuf of no named message: of a target that speaks the protocol it is OTLP.
    Protobuf,
    /// A list of Zipkin's v1 spans, in one of two protocols.
    Thrift,
    NotSpans,
    /// No type, or the one that a library gives to bytes that it knows nothing of. A 2017 Loki client
    /// names none and means thrift; most others have no spans.
    Untyped,
}

impl Format {
    pub(crate) const OTLP: Self = Self::Named(codec::Format::OtlpProto);
    pub(crate) const ZIPKIN_JSON: Self = Self::Named(codec::Format::ZipkinJsonV2);

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
                Some(media::OTLP_MESSAGE) => Self::OTLP,
                Some(media::ZIPKIN_PROTO3_MESSAGE) => Self::Named(codec::Format::ZipkinProto3),
                Some(_) => Self::NotSpans,
            },
            media::ZIPKIN_JSON => match parameter("profile") {
                None => Self::ZIPKIN_JSON,
                Some(media::OTLP_PROFILE) => Self::Named(codec::Format::OtlpJson),
                Some(_) => Self::NotSpans,
            },
            media::THRIFT => Self::Named(codec::Format::ZipkinThriftCompact),
            "application/x-thrift" => Self::Thrift,
            "application/octet-stream" => Self::Untyped,
            _ => Self::NotSpans,
        }
    }

    /// Whether there is any use in another body of this type after one that could not be read.
    pub(crate) fn is_read(self) -> bool {
        self != Self::NotSpans
    }

    /// The spans of a body, as those of their target, in these columns, which are empty.
    pub(crate) fn read(
        self,
        body: &[u8],
        into: Box<Columns>,
        origin: &Origin,
    ) -> Result<Box<Columns>, DecodeError> {
        let format = match self {
            Self::Named(format) => format,
            Self::Protobuf => codec::Format::OtlpProto,
            Self::Thrift => thrift(body),
            Self::Untyped if thrift(body) == codec::Format::ZipkinThriftCompact => {
                codec::Format::ZipkinThriftCompact
            }
            Self::Untyped => return Err(DecodeError::new("the answer names no content type")),
            Self::NotSpans => {
                return Err(DecodeError::new("the content type is not one of spans"));
            }
        };
        let mut reading = origin.reading(into);
        reading.spans.begin(format);
        codec::read(format, body, &mut reading)?;
        Ok(reading.spans)
    }

    /// Whether a body that cannot be decoded was meant to be spans, where nothing else says so: many a
    /// service answers every path with some JSON, or with a protobuf of its own.
    pub(crate) fn claims_spans(self, body: &[u8]) -> bool {
        match self {
            Self::ZIPKIN_JSON => {
                let beginning = &body[..body.len().min(BEGINNING)];
                let first = beginning.iter().find(|byte| !byte.is_ascii_whitespace());
                let key = b"\"traceId\"";
                first == Some(&b'[') && beginning.windows(key.len()).any(|window| window == key)
            }
            Self::Named(_) | Self::Thrift => true,
            Self::Protobuf | Self::NotSpans | Self::Untyped => false,
        }
    }
}

/// The protocol of a list of structs. The binary one begins with their kind, and four bytes of a count
/// follow; the compact one has both in its first byte, or a sign there that the count follows.
fn thrift(body: &[u8]) -> codec::Format {
    const STRUCT: u8 = 12;
    match body {
        [STRUCT, _, _, _, _, ..] => codec::Format::ZipkinThrift,
        [first, ..] if first & 0xf == STRUCT => codec::Format::ZipkinThriftCompact,
        _ => codec::Format::ZipkinThrift,
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
    fn reading(&self, mut spans: Box<Columns>) -> Reading {
        spans.set_target(Some(&self.labels));
        Reading { spans, service_name: Endpoint::named(&self.service_name).service_name }
    }
}

/// Puts the target's labels beside each span. What a span says of itself, and of its peers, stays.
#[derive(Debug)]
struct Reading {
    spans: Box<Columns>,
    service_name: String,
}

impl SpanSink for Reading {
    fn resource(&mut self, resource: Option<&ResourceRef<'_>>) -> Result<(), OverLimit> {
        self.spans.resource(resource)
    }

    fn scope(&mut self, scope: Option<&ScopeRef<'_>>) -> Result<(), OverLimit> {
        self.spans.scope(scope)
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), OverLimit> {
        let local = span.local_endpoint;
        if self.service_name.is_empty() || local.is_some_and(|own| !own.service_name.is_empty()) {
            return self.spans.span(span);
        }
        let nowhere = EndpointRef { service_name: "", ipv4: None, ipv6: None, port: 0 };
        let local = local.unwrap_or(nowhere);
        let named = EndpointRef { service_name: &self.service_name, ..local };
        self.spans.span(&SpanRef { local_endpoint: Some(named), ..span.clone() })
    }

    fn problem(&mut self, problem: BadSpan) -> Result<(), OverLimit> {
        self.spans.problem(problem)
    }

    fn hold(&mut self, bytes: usize) -> Result<(), OverLimit> {
        self.spans.hold(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use sigyn_model::{Span, SpanId, TraceId};

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
        let compact = Format::Named(codec::Format::ZipkinThriftCompact);
        check(Some("application/vnd.apache.thrift.compact"), compact);
        check(Some("application/x-thrift"), Format::Thrift);
        check(Some("application/octet-stream"), Format::Untyped);
        check(Some("application/json"), Format::ZIPKIN_JSON);
        check(Some("application/json; charset=utf-8"), Format::ZIPKIN_JSON);
        let otlp_json = Format::Named(codec::Format::OtlpJson);
        check(Some("application/json; profile=\"otlp\""), otlp_json);
        check(
            Some("application/x-protobuf; messageType=\"zipkin.proto3.ListOfSpans\""),
            Format::Named(codec::Format::ZipkinProto3),
        );
        check(
            Some("application/x-protobuf;messagetype=io.prometheus.client.MetricFamily"),
            Format::NotSpans,
        );
        check(Some("text/html; charset=utf-8"), Format::NotSpans);
        check(Some("text/plain; version=0.0.4"), Format::NotSpans);
        check(Some(media::OTLP), Format::OTLP);
    }

    #[test]
    fn a_body_that_cannot_be_decoded_claims_to_be_spans_or_not() {
        let check = |format: Format, body: &str, expected| {
            assert_eq!(format.claims_spans(body.as_bytes()), expected, "{format:?} {body}");
        };
        check(Format::ZIPKIN_JSON, " [{\"traceId\":7}]", true);
        check(Format::ZIPKIN_JSON, "{\"traceId\":7}", false);
        check(Format::ZIPKIN_JSON, "[{\"name\":7}]", false);
        check(Format::ZIPKIN_JSON, "", false);
        check(Format::OTLP, "?", true);
        check(Format::Thrift, "?", true);
        check(Format::Protobuf, "?", false);
        check(Format::Untyped, "?", false);
    }

    #[test]
    fn whatever_is_asked_for_is_read() {
        let span = Span::new(TraceId::new(1).unwrap(), SpanId::new(2).unwrap());
        let spans = [span];
        let check = |content_type: &'static str, body: &[u8]| {
            let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
            let format = Format::of(&HeaderMap::from_iter(headers));
            let origin = Origin { labels: Arc::default(), service_name: String::new() };
            let read = format.read(body, Box::default(), &origin).map(|spans| spans.len());
            assert_eq!(read, Ok(1), "{content_type}");
        };
        check(media::OTLP, &codec::otlp::encode(&spans));
        check("application/x-protobuf", &codec::otlp::encode(&spans));
        check(media::ZIPKIN_PROTO3, &codec::zipkin_proto3::encode_list(&spans));
        check(media::OTLP_JSON, codec::otlp_json::encode(&spans).as_bytes());
        check(media::ZIPKIN_JSON, codec::json_v2::encode_list(&spans).as_bytes());
        check(media::THRIFT, &codec::zipkin_thrift::encode_list_compact(&spans));
        check("application/x-thrift", &codec::zipkin_thrift::encode_list_compact(&spans));
        check("application/x-thrift", &codec::zipkin_thrift::encode_list(&spans));
        check("application/octet-stream", &codec::zipkin_thrift::encode_list_compact(&spans));
        let asked = accept();
        for media_type in
            [media::OTLP, media::ZIPKIN_PROTO3, media::OTLP_JSON, media::ZIPKIN_JSON, media::THRIFT]
        {
            assert!(asked.contains(media_type), "{asked}");
        }
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
        let body = codec::json_v2::encode_list(&[span(), named, addressed]);
        let read = Format::ZIPKIN_JSON.read(body.as_bytes(), Box::default(), &origin).unwrap();
        let spans: Vec<Span> = read.rows().map(Span::from).collect();
        let names: Vec<_> = spans.iter().map(|span| span.service_name().unwrap()).collect();
        assert_eq!(names, ["api", "own", "api"]);
        assert_eq!(spans[2].local_endpoint.as_ref().unwrap().port, 80);
        assert_eq!(spans[2].remote_service_name(), Some("db"));
        assert!(spans.iter().all(|span| span.target.as_ref() == Some(&labels)));
    }
}
