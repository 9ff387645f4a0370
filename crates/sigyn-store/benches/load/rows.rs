//! The same spans as lines of JSON, in the columns that OpenTelemetry's exporter to ClickHouse has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use sigyn_model::{Kind, Span, StatusCode, Tags, Timestamp};

use super::sources::Source;

type Map = BTreeMap<String, String>;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    timestamp: String,
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    trace_state: &'a str,
    span_name: &'a str,
    span_kind: &'static str,
    service_name: &'a str,
    resource_attributes: Map,
    scope_name: &'a str,
    scope_version: &'a str,
    span_attributes: Map,
    duration: u64,
    status_code: &'static str,
    status_message: &'a str,
    #[serde(rename = "Events.Timestamp")]
    event_times: Vec<String>,
    #[serde(rename = "Events.Name")]
    event_names: Vec<&'a str>,
    #[serde(rename = "Events.Attributes")]
    event_attributes: Vec<Map>,
}

/// As ClickHouse reads a time.
fn seconds(at: Timestamp) -> String {
    let nanos = at.nanos();
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

fn map(tags: &Tags) -> Map {
    tags.iter().map(|(key, value)| (key.clone(), value.text().into_owned())).collect()
}

impl<'a> Row<'a> {
    fn of(span: &'a Span) -> Self {
        let scope = span.scope.as_deref();
        Self {
            timestamp: span.timestamp.map(seconds).unwrap_or_default(),
            trace_id: span.trace_id.to_string(),
            span_id: span.id.to_string(),
            parent_span_id: span.parent_id.map(|id| id.to_string()).unwrap_or_default(),
            trace_state: &span.trace_state,
            span_name: &span.name,
            span_kind: match span.kind {
                None => "Internal",
                Some(Kind::Server) => "Server",
                Some(Kind::Client) => "Client",
                Some(Kind::Producer) => "Producer",
                Some(Kind::Consumer) => "Consumer",
            },
            service_name: span.service_name().unwrap_or_default(),
            resource_attributes: span.resource.as_ref().map(|it| map(&it.tags)).unwrap_or_default(),
            scope_name: scope.map_or("", |scope| &scope.name),
            scope_version: scope.map_or("", |scope| &scope.version),
            span_attributes: map(&span.tags),
            duration: span.duration.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(0)),
            status_code: match span.status.code {
                StatusCode::Unset => "Unset",
                StatusCode::Ok => "Ok",
                StatusCode::Error => "Error",
            },
            status_message: &span.status.message,
            event_times: span.annotations.iter().map(|event| seconds(event.timestamp)).collect(),
            event_names: span.annotations.iter().map(|event| event.value.as_str()).collect(),
            event_attributes: span.annotations.iter().map(|event| map(&event.tags)).collect(),
        }
    }
}

/// Writes at least so many; returns how many.
pub(crate) fn write(source: Source, spans: usize, path: &Path) -> io::Result<usize> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut written = 0;
    for request in source.requests() {
        if written >= spans {
            break;
        }
        for span in &request {
            serde_json::to_writer(&mut out, &Row::of(span))?;
            out.write_all(b"\n")?;
        }
        written += request.len();
    }
    out.flush()?;
    Ok(written)
}
