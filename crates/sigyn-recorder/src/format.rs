//! What bodies are written in: segments as runs that concatenate, and what stands around them.

use std::sync::Arc;

use sigyn_model::Span;
use sigyn_model::codec::zipkin_thrift::{self, Hosts};
use sigyn_model::codec::{self, json_v2, otlp_json, zipkin_proto3};
use sigyn_model::pull::media;

use crate::intern::Glossary;
use crate::layout::Header;
use crate::otlp;
use crate::ring::Segment;
use crate::view::{View, views};
use crate::whole::{Own, Reading};

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    Otlp,
    ZipkinProto3,
    ZipkinJson,
    OtlpJson,
    Thrift,
    /// For those who put their own hosts in the place of ours.
    ThriftWithoutHosts,
}

/// Spans in a form that concatenates: without what stands around them.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) bytes: Vec<u8>,
    pub(crate) spans: usize,
}

impl Format {
    /// All that can be asked for; of several that are liked alike, the first.
    pub(crate) const OFFERED: [Self; 5] =
        [Self::Otlp, Self::ZipkinProto3, Self::ZipkinJson, Self::OtlpJson, Self::Thrift];

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Otlp => media::OTLP,
            Self::ZipkinProto3 => media::ZIPKIN_PROTO3,
            Self::ZipkinJson => media::ZIPKIN_JSON,
            Self::OtlpJson => media::OTLP_JSON,
            Self::Thrift | Self::ThriftWithoutHosts => media::THRIFT,
        }
    }

    /// One segment as a run.
    pub(crate) fn encode(self, segment: &Segment, own: &Own) -> Run {
        if self != Self::Otlp {
            return self.run(spans(segment, own, |_| true));
        }
        let bytes = segment.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        let mut writer = otlp::Writer::new(own, bytes);
        let mut spans = 0;
        read(segment, own, |view, reading| {
            writer.push(view, reading);
            spans += 1;
        });
        Run { bytes: writer.finish(), spans }
    }

    pub(crate) fn run(self, mut spans: Vec<Span>) -> Run {
        if matches!(self, Self::ZipkinJson | Self::Thrift | Self::ThriftWithoutHosts) {
            // There zero is no id, and a reader would refuse all spans for one that has it.
            spans.retain(|span| span.id.as_u64() != 0);
        }
        let spans = &*spans;
        let mut bytes = match self {
            Self::Otlp => codec::otlp::encode(spans),
            Self::ZipkinProto3 => zipkin_proto3::encode_list(spans),
            Self::ZipkinJson => json_v2::encode_list(spans).into_bytes(),
            Self::OtlpJson => otlp_json::encode(spans).into_bytes(),
            Self::Thrift => zipkin_thrift::encode_run_compact(spans, Hosts::Told),
            Self::ThriftWithoutHosts => zipkin_thrift::encode_run_compact(spans, Hosts::LeftOut),
        };
        let (open, close) = self.brackets();
        bytes.truncate(bytes.len().saturating_sub(close.len()));
        bytes.drain(..open.len().min(bytes.len()));
        Run { bytes, spans: spans.len() }
    }

    /// What stands before the first run of a body with so many spans.
    pub(crate) fn open(self, spans: usize) -> Vec<u8> {
        match self {
            Self::Thrift | Self::ThriftWithoutHosts => zipkin_thrift::compact_list_header(spans),
            _ => self.brackets().0.into(),
        }
    }

    pub(crate) fn between(self) -> &'static str {
        match self {
            Self::ZipkinJson | Self::OtlpJson => ",",
            Self::Otlp | Self::ZipkinProto3 | Self::Thrift | Self::ThriftWithoutHosts => "",
        }
    }

    pub(crate) fn close(self) -> &'static str {
        self.brackets().1
    }

    /// Protobuf needs none, and thrift's depend on what is between them.
    fn brackets(self) -> (&'static str, &'static str) {
        match self {
            Self::ZipkinJson => ("[", "]"),
            Self::OtlpJson => ("{\"resourceSpans\":[", "]}"),
            Self::Otlp | Self::ZipkinProto3 | Self::Thrift | Self::ThriftWithoutHosts => ("", ""),
        }
    }
}

/// Hands out all spans of a segment, and what it takes to understand them.
fn read(segment: &Segment, own: &Own, mut each: impl FnMut(&View<'_>, &Reading<'_>)) {
    let glossary = own.names.clone().unwrap_or_else(|| Arc::new(Glossary::now()));
    for chunk in &segment.chunks {
        let reading = Reading {
            glossary: &glossary,
            own,
            origins: &chunk.origins,
            wall_offset: segment.wall_offset,
        };
        views(&chunk.bytes).for_each(|view| each(&view, &reading));
    }
}

/// The spans of a segment that are wanted.
pub(crate) fn spans(segment: &Segment, own: &Own, wanted: impl Fn(&Header) -> bool) -> Vec<Span> {
    let mut spans = Vec::new();
    read(segment, own, |view, reading| {
        if wanted(&view.header) {
            spans.extend(reading.span(view));
        }
    });
    spans
}

#[cfg(test)]
mod tests;
