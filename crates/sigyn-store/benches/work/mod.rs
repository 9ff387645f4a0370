//! What is measured: bodies in, spans out, by us and by others.

#[path = "../corpus/mod.rs"]
mod corpus;
mod spans;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde::Deserialize;
use sigyn_model::codec::sink::{BadSpan, ResourceRef, ScopeRef, SpanRef, SpanSink};
use sigyn_model::codec::{self, Format, Limits, OverLimit};
use sigyn_model::columns::{Columns, Spares};
use sigyn_store::TakenIn;

pub(crate) use spans::Corpus;

/// One way to read a corpus. Each returns how many spans it found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) format: Format,
    /// Says what happens, and nothing of the format.
    pub(crate) name: &'static str,
    run: fn(Format, &[Vec<u8>]) -> usize,
}

impl Work {
    pub(crate) const ALL: [Self; 10] = [
        Self::new(Format::OtlpProto, "columns", into_columns),
        Self::new(Format::OtlpProto, "count", into_count),
        Self::new(Format::OtlpProto, "owned", into_owned),
        Self::new(Format::OtlpProto, "taken_in", taken_in),
        Self::new(Format::OtlpProto, "prost", by_prost),
        Self::new(Format::ZipkinJsonV2, "columns", into_columns),
        Self::new(Format::ZipkinJsonV2, "count", into_count),
        Self::new(Format::ZipkinJsonV2, "owned", into_owned),
        Self::new(Format::ZipkinJsonV2, "taken_in", taken_in),
        Self::new(Format::ZipkinJsonV2, "serde_json", by_serde_json),
    ];

    const fn new(format: Format, name: &'static str, run: fn(Format, &[Vec<u8>]) -> usize) -> Self {
        Self { format, name, run }
    }

    pub(crate) fn group(&self) -> &'static str {
        match self.format {
            Format::OtlpProto => "otlp",
            _ => "zipkin_json",
        }
    }

    #[inline(never)]
    pub(crate) fn run(&self, corpus: &Corpus) -> usize {
        let bodies = match self.format {
            Format::OtlpProto => &corpus.otlp,
            _ => &corpus.zipkin,
        };
        (self.run)(self.format, bodies)
    }
}

/// What doors do: read into the columns of a batch.
fn into_columns(format: Format, bodies: &[Vec<u8>]) -> usize {
    let mut columns = Columns::default();
    for body in bodies {
        codec::read(format, body, &mut columns).expect("good spans");
    }
    columns.len()
}

/// Reading alone.
fn into_count(format: Format, bodies: &[Vec<u8>]) -> usize {
    let mut count = Count::default();
    for body in bodies {
        codec::read(format, body, &mut count).expect("good spans");
    }
    count.spans
}

/// Spans as the rest of the program has them.
fn into_owned(format: Format, bodies: &[Vec<u8>]) -> usize {
    let decoded = |body: &Vec<u8>| codec::decode(format, body, Limits::default());
    bodies.iter().map(|body| decoded(body).expect("good spans").spans.len()).sum()
}

/// What the server does: columns of each body, their frame of the log, and the head.
fn taken_in(format: Format, bodies: &[Vec<u8>]) -> usize {
    let mut taken = TakenIn::default();
    let (spares, mut frame) = (Spares::default(), Vec::new());
    for body in bodies {
        let mut columns = spares.take(Limits::default());
        columns.read(format, body).expect("good spans");
        frame.clear();
        taken.take_in(&columns, &mut frame);
        spares.give_back(columns);
        std::hint::black_box(&frame);
    }
    usize::try_from(taken.spans()).expect("few enough")
}

fn by_prost(_: Format, bodies: &[Vec<u8>]) -> usize {
    let mut spans = 0;
    for body in bodies {
        let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("a request");
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        spans += scopes.map(|scope| scope.spans.len()).sum::<usize>();
        std::hint::black_box(request);
    }
    spans
}

fn by_serde_json(_: Format, bodies: &[Vec<u8>]) -> usize {
    let mut spans = 0;
    for body in bodies {
        let list: Vec<JsonSpan> = serde_json::from_slice(body).expect("a list");
        spans += list.len();
        std::hint::black_box(list);
    }
    spans
}

/// Looks at no more than that there is a span.
#[derive(Debug, Default)]
struct Count {
    spans: usize,
}

impl SpanSink for Count {
    fn resource(&mut self, _: Option<&ResourceRef<'_>>) -> Result<(), OverLimit> {
        Ok(())
    }

    fn scope(&mut self, _: Option<&ScopeRef<'_>>) -> Result<(), OverLimit> {
        Ok(())
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), OverLimit> {
        std::hint::black_box(span);
        self.spans += 1;
        Ok(())
    }

    fn problem(&mut self, _: BadSpan) -> Result<(), OverLimit> {
        Ok(())
    }
}

/// A span as one would write it down for serde.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "reading them is all that is measured")]
struct JsonSpan {
    trace_id: String,
    parent_id: Option<String>,
    id: String,
    kind: Option<String>,
    name: Option<String>,
    timestamp: Option<u64>,
    duration: Option<u64>,
    local_endpoint: Option<JsonEndpoint>,
    remote_endpoint: Option<JsonEndpoint>,
    #[serde(default)]
    annotations: Vec<JsonAnnotation>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    debug: bool,
    #[serde(default)]
    shared: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "reading them is all that is measured")]
struct JsonEndpoint {
    service_name: Option<String>,
    ipv4: Option<String>,
    ipv6: Option<String>,
    port: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "reading them is all that is measured")]
struct JsonAnnotation {
    timestamp: u64,
    value: String,
}
