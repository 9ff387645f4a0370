//! Every format that spans come in, under one name each.

use super::sink::SpanSink;
use super::{DecodeError, Decoded, Limits, json_v2, otlp};

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
    /// Jaeger's `Batch` in thrift's binary protocol.
    JaegerThrift,
    /// Jaeger's `Batch` in thrift's compact protocol.
    JaegerThriftCompact,
}

/// Reads a whole message into owned spans.
pub fn decode(format: Format, body: &[u8], limits: Limits) -> Result<Decoded, DecodeError> {
    match format {
        Format::ZipkinJsonV2 => {
            let spans = json_v2::decode_list_within(body, limits)?;
            Ok(Decoded { spans, problems: Vec::new() })
        }
        Format::OtlpProto => otlp::decode_within(body, limits),
        _ => Err(DecodeError::new(format!("{format:?} cannot be read"))),
    }
}

/// Reads a whole message into a sink. What the sink took before an error it has taken.
pub fn read(format: Format, body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    let _ = (body, sink);
    Err(DecodeError::new(format!("{format:?} cannot be read")))
}
