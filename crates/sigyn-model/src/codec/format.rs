//! Every format that spans come in, under one name each.

use super::sink::SpanSink;
use super::{
    DecodeError, Decoded, Limits, SpanVec, jaeger_json, jaeger_proto, jaeger_thrift, json_v1,
    json_v2, otlp, otlp_json, zipkin_proto3, zipkin_thrift,
};

/// A format of whole messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Zipkin v2: a JSON list.
    ZipkinJsonV2,
    /// Zipkin v2: `zipkin.proto3.ListOfSpans`.
    ZipkinProto3,
    /// Zipkin v1: a JSON list.
    ZipkinJsonV1,
    /// Zipkin v1: a thrift list in the binary protocol.
    ZipkinThrift,
    /// Zipkin v1: a thrift list in the compact protocol, as Loki's clients wrote it.
    ZipkinThriftCompact,
    /// `ExportTraceServiceRequest`, which is what `TracesData` looks like too.
    OtlpProto,
    OtlpJson,
    /// Jaeger's `api_v2.PostSpansRequest`.
    JaegerProto,
    /// An answer of Jaeger's query API, or one trace of it.
    JaegerJson,
    /// Jaeger's `Batch` in thrift's binary protocol.
    JaegerThrift,
    /// Jaeger's `Batch` in thrift's compact protocol.
    JaegerThriftCompact,
}

impl Format {
    /// What its messages are, in the words of an error: `... reading List<Span> from json`.
    pub(crate) fn content(self) -> &'static str {
        match self {
            Self::ZipkinJsonV2 | Self::ZipkinJsonV1 => "List<Span> from json",
            Self::ZipkinProto3 => "List<Span> from proto3",
            Self::ZipkinThrift => "List<Span> from TBinary",
            Self::ZipkinThriftCompact => "List<Span> from TCompact",
            Self::OtlpProto => "ExportTraceServiceRequest from protobuf",
            Self::OtlpJson => "ExportTraceServiceRequest from json",
            Self::JaegerProto => "PostSpansRequest from protobuf",
            Self::JaegerJson => "traces from json",
            Self::JaegerThrift => "Batch from TBinary",
            Self::JaegerThriftCompact => "Batch from TCompact",
        }
    }
}

/// Reads a whole message into owned spans.
pub fn decode(format: Format, body: &[u8], limits: Limits) -> Result<Decoded, DecodeError> {
    let mut sink =
        SpanVec::within(limits, body.len()).map_err(|over| DecodeError::over(format, over))?;
    read(format, body, &mut sink)?;
    Ok(sink.into_decoded())
}

/// Reads a whole message into a sink. What the sink took before an error it has taken.
pub fn read(format: Format, body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    match format {
        Format::ZipkinJsonV2 => json_v2::read(body, sink),
        Format::ZipkinProto3 => zipkin_proto3::read(body, sink),
        Format::ZipkinJsonV1 => json_v1::read(body, sink),
        Format::ZipkinThrift => zipkin_thrift::read(body, sink),
        Format::ZipkinThriftCompact => zipkin_thrift::read_compact(body, sink),
        Format::OtlpProto => otlp::read(body, sink),
        Format::OtlpJson => otlp_json::read(body, sink),
        Format::JaegerProto => jaeger_proto::read(body, sink),
        Format::JaegerJson => jaeger_json::read(body, sink),
        Format::JaegerThrift => jaeger_thrift::read(body, sink),
        Format::JaegerThriftCompact => jaeger_thrift::read_compact(body, sink),
    }
}
