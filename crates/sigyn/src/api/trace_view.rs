//! `/api/v1/trace/{id}/columns` and `/spans`: one trace as a waterfall reads it, rows in preorder.
//!
//! Columns instead of objects: a trace of 100,000 spans is a few hundred kilobytes on the wire and
//! some milliseconds to parse. Tags travel apart, for the rows that are looked at.

use std::collections::HashMap;
use std::hash::{Hash, Hasher as _};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use sigyn_model::codec::json_v2;
use sigyn_model::{Kind, Labels, Row, Span, SpanTree, TraceId};
use sigyn_store::Stop;

use super::Params;
use super::answer::{Answer, AnswerError};
use super::ask::Asker;
use super::losses::{Completeness, Known, Loss};
use crate::reply::{ApiError, failure, json};

/// Rows of one answer to `/spans`.
const ROWS_MAX: usize = 500;
/// Annotations are ticks on bars: beyond this many nobody can tell them apart.
const ANNOTATIONS_MAX: usize = 20_000;
/// Gaps that are listed; each is a line of text.
const GAPS_MAX: usize = 1_000;

mod flag {
    pub(super) const ERROR: u8 = 1;
    pub(super) const DEBUG: u8 = 2;
    pub(super) const SHARED: u8 = 4;
    pub(super) const PARENT_MISSING: u8 = 8;
    pub(super) const NO_TIMESTAMP: u8 = 16;
    pub(super) const NO_DURATION: u8 = 32;
}

#[derive(Clone, Debug)]
struct View {
    asker: Asker,
    known: Known,
}

pub(crate) fn router(asker: Asker, known: Known) -> Router {
    Router::new()
        .route("/api/v1/trace/{id}/columns", get(columns))
        .route("/api/v1/trace/{id}/spans", get(spans))
        .with_state(View { asker, known })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Columns<'a> {
    /// Version of this form.
    v: u8,
    trace_id: String,
    /// Changes when a span is added, and with it what a row number means.
    rev: String,
    start_us: u64,
    duration_us: u64,
    n: usize,
    services: Vec<&'a str>,
    names: Vec<&'a str>,
    targets: Vec<HashMap<&'a str, &'a str>>,
    /// Rows up to the parent; 0 for a row without one.
    parent_delta: Vec<usize>,
    /// Microseconds after the parent's start; negative where clocks disagree.
    start_delta: Vec<i64>,
    duration: Vec<u64>,
    service: Vec<i32>,
    name: Vec<i32>,
    kind: Vec<u8>,
    flags: Vec<u8>,
    remote: Vec<i32>,
    target: Vec<i32>,
    /// Row and microseconds from the trace's start.
    annotations: Vec<(usize, i64)>,
    gaps: Vec<Gap>,
    loss: Vec<LossWindow>,
    complete: Completeness,
}

/// A span that should be there and is not.
#[derive(Serialize)]
struct Gap {
    /// The row that proves it.
    row: usize,
    service: String,
    reason: &'static str,
    target: Option<String>,
    spans: u64,
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LossWindow {
    from_us: i64,
    to_us: i64,
    target: String,
    spans: u64,
    reason: &'static str,
}

async fn columns(State(view): State<View>, Path(id): Path<String>) -> Response {
    let answer = async {
        let id = parse_id(&id)?;
        let View { asker, known } = view;
        let written = asker.ask(move |q| {
            let spans = q.trace(id).map_err(AnswerError::of_one)?;
            Ok::<_, AnswerError>(
                (!spans.is_empty()).then(|| write(id, &spans, &known)).transpose()?,
            )
        });
        written.await?.ok_or_else(|| missing(id))
    };
    match answer.await {
        Ok(body) => json(body),
        Err(error) => failure(&error),
    }
}

fn parse_id(text: &str) -> Result<TraceId, ApiError> {
    TraceId::parse(text.trim()).map_err(|error| ApiError::bad(error.to_string()))
}

fn missing(id: TraceId) -> ApiError {
    ApiError::not_found(format!("no span of trace {id} is stored"))
}

fn write(id: TraceId, spans: &[Span], known: &Known) -> Result<String, serde_json::Error> {
    let tree = SpanTree::build(spans);
    let rows = tree.rows();
    let times = spans.iter().filter_map(|span| Some((span.timestamp?.micros(), span.end_us()?)));
    let (from_us, to_us) =
        times.fold((u64::MAX, 0), |(from, to), (start, end)| (from.min(start), to.max(end)));
    let losses = known.losses(from_us, to_us);
    serde_json::to_string(&build(id, spans, &tree, &rows, &losses, known.completeness()))
}

fn build<'a>(
    id: TraceId,
    spans: &[Span],
    tree: &'a SpanTree,
    rows: &[Row],
    losses: &[Loss],
    complete: Completeness,
) -> Columns<'a> {
    let merged = |row: &Row| &tree.nodes[row.node].span;
    let start_us =
        rows.iter().filter_map(|row| Some(merged(row).timestamp?.micros())).min().unwrap_or(0);
    let end_us = rows.iter().filter_map(|row| merged(row).end_us()).max().unwrap_or(start_us);
    let mut services = Names::default();
    let mut names = Names::default();
    let mut targets: Vec<&Arc<Labels>> = Vec::new();
    let mut target_index: HashMap<&Labels, i32> = HashMap::new();
    let mut starts: Vec<i64> = Vec::with_capacity(rows.len());
    let mut out = Columns {
        v: 1,
        trace_id: id.to_string(),
        rev: revision(spans),
        start_us,
        duration_us: end_us.saturating_sub(start_us),
        n: rows.len(),
        services: Vec::new(),
        names: Vec::new(),
        targets: Vec::new(),
        parent_delta: Vec::with_capacity(rows.len()),
        start_delta: Vec::with_capacity(rows.len()),
        duration: Vec::with_capacity(rows.len()),
        service: Vec::with_capacity(rows.len()),
        name: Vec::with_capacity(rows.len()),
        kind: Vec::with_capacity(rows.len()),
        flags: Vec::with_capacity(rows.len()),
        remote: Vec::with_capacity(rows.len()),
        target: Vec::with_capacity(rows.len()),
        annotations: Vec::new(),
        gaps: gaps(tree, rows, losses),
        loss: Vec::new(),
        complete,
    };
    for (i, row) in rows.iter().enumerate() {
        let span = merged(row);
        let parent_start = row.parent.map_or(0, |parent| starts[parent]);
        let start =
            span.timestamp.map_or(parent_start, |at| signed(at.micros()) - signed(start_us));
        starts.push(start);
        out.parent_delta.push(row.parent.map_or(0, |parent| i - parent));
        out.start_delta.push(start - parent_start);
        out.duration.push(span.duration_us().unwrap_or(0));
        out.service.push(span.service_name().map_or(-1, |name| services.index(name)));
        out.name.push(if span.name.is_empty() { -1 } else { names.index(&span.name) });
        out.kind.push(kind(span.kind));
        out.flags.push(flags(span, row));
        out.remote.push(span.remote_service_name().map_or(-1, |name| services.index(name)));
        out.target.push(span.target.as_ref().map_or(-1, |labels| {
            *target_index.entry(labels.as_ref()).or_insert_with(|| {
                targets.push(labels);
                index(targets.len() - 1)
            })
        }));
        let left = ANNOTATIONS_MAX - out.annotations.len();
        let ticks = span.annotations.iter().take(left);
        out.annotations.extend(ticks.map(|a| (i, signed(a.timestamp.micros()) - signed(start_us))));
    }
    out.services = services.list;
    out.names = names.list;
    out.targets = targets.iter().map(|labels| label_map(labels)).collect();
    out.loss = losses
        .iter()
        .filter(|loss| out.services.contains(&loss.service.as_str()))
        .map(|loss| LossWindow {
            from_us: signed(loss.from_us) - signed(start_us),
            to_us: signed(loss.to_us) - signed(start_us),
            target: loss.target.clone(),
            spans: loss.spans,
            reason: loss.reason,
        })
        .collect();
    out
}

/// What is missing, with the proof where there is one: a target that lost spans at that time.
fn gaps(tree: &SpanTree, rows: &[Row], losses: &[Loss]) -> Vec<Gap> {
    let mut has_children = vec![false; rows.len()];
    for parent in rows.iter().filter_map(|row| row.parent) {
        has_children[parent] = true;
    }
    let mut gaps = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let span = &tree.nodes[row.node].span;
        let (from, to) = match (span.timestamp, span.end_us()) {
            (Some(from), Some(to)) => (from.micros(), to),
            _ => continue,
        };
        if row.parent_missing {
            // Whoever the parent was, it ran in a service that lost spans then.
            let proof = losses.iter().find(|loss| loss.overlaps(from, to));
            gaps.push(Gap::new(
                i,
                proof.map_or("", |loss| &loss.service),
                "parent not received",
                proof,
            ));
        } else if matches!(span.kind, Some(Kind::Client | Kind::Producer)) && !has_children[i] {
            // A call without its other side is a gap only if that side is known to have lost spans.
            let peer = span.remote_service_name();
            let proof = losses
                .iter()
                .find(|loss| Some(loss.service.as_str()) == peer && loss.overlaps(from, to));
            if let Some(loss) = proof {
                gaps.push(Gap::new(i, &loss.service, "not received", Some(loss)));
            }
        }
        if gaps.len() == GAPS_MAX {
            break;
        }
    }
    gaps
}

impl Gap {
    fn new(row: usize, service: &str, what: &'static str, proof: Option<&Loss>) -> Self {
        let text = match proof {
            Some(loss) => {
                format!("{} lost {} spans, {}", loss.target, loss.spans, loss.explained())
            }
            None => format!("{what}, cause unknown"),
        };
        Self {
            row,
            service: service.to_owned(),
            reason: proof.map_or("unknown", |loss| loss.reason),
            target: proof.map(|loss| loss.target.clone()),
            spans: proof.map_or(0, |loss| loss.spans),
            text,
        }
    }
}

async fn spans(State(view): State<View>, Path(id): Path<String>, params: Params) -> Response {
    let answer = async {
        let (from, to) = range(params.wanted("rows")?)?;
        let id = parse_id(&id)?;
        let rev = params.text("rev").filter(|rev| !rev.is_empty());
        let written = view.asker.ask(move |q| {
            let spans = q.trace(id).map_err(AnswerError::of_one)?;
            if spans.is_empty() {
                return Ok(Err(missing(id)));
            }
            if rev.is_some_and(|rev| rev != revision(&spans)) {
                let message = "the trace has changed: read its columns again";
                return Ok(Err(ApiError::new(http::StatusCode::CONFLICT, message)));
            }
            Ok::<_, AnswerError>(Ok(write_spans(&spans, from, to, q.stop())?))
        });
        written.await?
    };
    match answer.await {
        Ok(body) => json(body),
        Err(error) => failure(&error),
    }
}

fn write_spans(spans: &[Span], from: usize, to: usize, stop: &Stop) -> Result<String, AnswerError> {
    let tree = SpanTree::build(spans);
    let rows = tree.rows();
    let mut answer = Answer::new(stop);
    let wanted = rows.iter().enumerate().skip(from).take(to - from + 1);
    answer.list(wanted, |answer, (i, row)| {
        answer.write(|out| write_row(i, &tree.nodes[row.node].span, out))
    })?;
    Ok(answer.finish())
}

fn write_row(row: usize, span: &Span, out: &mut String) {
    out.push_str(&format!("{{\"row\":{row},\"span\":"));
    json_v2::write_span(span, out);
    out.push_str(",\"target\":");
    match &span.target {
        None => out.push_str("null"),
        Some(labels) => {
            out.push('{');
            for (i, (name, value)) in labels.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                json_v2::write_json_str(out, name);
                out.push(':');
                json_v2::write_json_str(out, value);
            }
            out.push('}');
        }
    }
    out.push('}');
}

/// `a-b`, both ends included.
fn range(text: &str) -> Result<(usize, usize), ApiError> {
    let read = || {
        let (from, to) = text.split_once('-')?;
        Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
    };
    let (from, to) =
        read().ok_or_else(|| ApiError::bad(format!("rows {text:?} is not of the form a-b")))?;
    if to < from || to - from >= ROWS_MAX {
        return Err(ApiError::bad(format!("rows {text:?} is not a range of 1 to {ROWS_MAX} rows")));
    }
    Ok((from, to))
}

/// Differs when spans were added.
fn revision(spans: &[Span]) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    spans.len().hash(&mut hasher);
    for span in spans {
        (span.id, span.parent_id, span.timestamp, span.duration, span.shared, span.tags.len())
            .hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// Distinct names, each with its place.
#[derive(Default)]
struct Names<'a> {
    list: Vec<&'a str>,
    places: HashMap<&'a str, i32>,
}

impl<'a> Names<'a> {
    fn index(&mut self, name: &'a str) -> i32 {
        *self.places.entry(name).or_insert_with(|| {
            self.list.push(name);
            index(self.list.len() - 1)
        })
    }
}

fn index(place: usize) -> i32 {
    i32::try_from(place).unwrap_or(-1)
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

fn label_map(labels: &Labels) -> HashMap<&str, &str> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn kind(kind: Option<Kind>) -> u8 {
    match kind {
        None => 0,
        Some(Kind::Client) => 1,
        Some(Kind::Server) => 2,
        Some(Kind::Producer) => 3,
        Some(Kind::Consumer) => 4,
    }
}

fn flags(span: &Span, row: &Row) -> u8 {
    let set = |on: bool, flag: u8| if on { flag } else { 0 };
    set(span.is_error(), flag::ERROR)
        | set(span.debug, flag::DEBUG)
        | set(span.shared, flag::SHARED)
        | set(row.parent_missing, flag::PARENT_MISSING)
        | set(span.timestamp.is_none(), flag::NO_TIMESTAMP)
        | set(span.duration.is_none(), flag::NO_DURATION)
}
