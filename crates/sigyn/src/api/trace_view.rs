//! `/api/v1/trace/{id}/columns` and `/spans`: one trace as a waterfall reads it, rows in preorder.
//!
//! Columns instead of objects: a trace of 100,000 spans is a few hundred kilobytes on the wire and
//! some milliseconds to parse. Tags travel apart, for the rows that are looked at.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use sigyn_model::codec::json_v2;
use sigyn_model::{Kind, Labels, Line, Outlines, Span, TraceId, Waterfall};
use sigyn_store::{Outlined, QueryFailed, Stop};

use super::Params;
use super::answer::{Answer, AnswerError, check};
use super::ask::Asker;
use super::losses::{Completeness, Known, Loss};
use crate::reply::{ApiError, failure, json};

/// Rows of one answer to `/spans`.
const ROWS_MAX: usize = 500;
/// What a row takes in the columns, and then as text.
const ROW_BYTES: usize = 100;
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

async fn columns(State(view): State<View>, Path(id): Path<String>, params: Params) -> Response {
    let answer = async {
        params.each_once(&[])?;
        let id = parse_id(&id)?;
        let View { asker, known } = view;
        let written = asker.ask(move |q| {
            let written = q.outlined(id, ROW_BYTES, |outlined| {
                let Outlined { outlines, .. } = outlined;
                Ok(write(id, outlines, &known, q.stop()))
            });
            written.map_err(AnswerError::of_rows)?.transpose()
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

fn write(
    id: TraceId,
    outlines: &Outlines,
    known: &Known,
    stop: &Stop,
) -> Result<String, AnswerError> {
    let waterfall = Waterfall::new(outlines);
    check(stop)?;
    let times = (0..waterfall.len()).filter_map(|row| {
        let line = waterfall.line(row);
        Some((line.timestamp?.micros(), line.end_us()?))
    });
    let (from_us, to_us) =
        times.fold((u64::MAX, 0), |(from, to), (start, end)| (from.min(start), to.max(end)));
    let losses = known.losses(from_us, to_us);
    let built = build(id, outlines, &waterfall, (from_us, to_us), &losses, known.completeness());
    check(stop)?;
    Ok(serde_json::to_string(&built)?)
}

fn build<'a>(
    id: TraceId,
    outlines: &'a Outlines,
    waterfall: &'a Waterfall<'_>,
    (from_us, to_us): (u64, u64),
    losses: &[Loss],
    complete: Completeness,
) -> Columns<'a> {
    let start_us = if from_us == u64::MAX { 0 } else { from_us };
    let end_us = to_us.max(start_us);
    let count = waterfall.len();
    let mut services = Names::default();
    let mut names = Names::default();
    let mut targets: Vec<&Arc<Labels>> = Vec::new();
    let mut target_index: HashMap<u32, i32> = HashMap::new();
    let mut starts: Vec<i64> = Vec::with_capacity(count);
    let mut out = Columns {
        v: 1,
        trace_id: id.to_string(),
        rev: revision(outlines),
        start_us,
        duration_us: end_us.saturating_sub(start_us),
        n: count,
        services: Vec::new(),
        names: Vec::new(),
        targets: Vec::new(),
        parent_delta: Vec::with_capacity(count),
        start_delta: Vec::with_capacity(count),
        duration: Vec::with_capacity(count),
        service: Vec::with_capacity(count),
        name: Vec::with_capacity(count),
        kind: Vec::with_capacity(count),
        flags: Vec::with_capacity(count),
        remote: Vec::with_capacity(count),
        target: Vec::with_capacity(count),
        annotations: Vec::new(),
        gaps: gaps(waterfall, losses),
        loss: Vec::new(),
        complete,
    };
    for row in 0..count {
        let line = waterfall.line(row);
        let parent_start = line.parent.map_or(0, |parent| starts[parent]);
        let start =
            line.timestamp.map_or(parent_start, |at| signed(at.micros()) - signed(start_us));
        starts.push(start);
        out.parent_delta.push(line.parent.map_or(0, |parent| row - parent));
        out.start_delta.push(start - parent_start);
        out.duration.push(line.duration_us.unwrap_or(0));
        out.service.push(line.service.map_or(-1, |name| services.index(name)));
        out.name.push(if line.name.is_empty() { -1 } else { names.index(line.name) });
        out.kind.push(kind(line.kind));
        out.flags.push(flags(&line));
        out.remote.push(line.remote.map_or(-1, |name| services.index(name)));
        let labels = outlines.targets().get((line.target as usize).wrapping_sub(1));
        out.target.push(labels.map_or(-1, |labels| {
            *target_index.entry(line.target).or_insert_with(|| {
                targets.push(labels);
                index(targets.len() - 1)
            })
        }));
    }
    let ticks = waterfall.ticks(ANNOTATIONS_MAX).into_iter();
    out.annotations =
        ticks.map(|(row, at)| (row, signed(at.micros()) - signed(start_us))).collect();
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
fn gaps(waterfall: &Waterfall<'_>, losses: &[Loss]) -> Vec<Gap> {
    let mut has_children = vec![false; waterfall.len()];
    for parent in (0..waterfall.len()).filter_map(|row| waterfall.line(row).parent) {
        has_children[parent] = true;
    }
    let mut gaps = Vec::new();
    for (i, has_children) in has_children.into_iter().enumerate() {
        let line = waterfall.line(i);
        let (from, to) = match (line.timestamp, line.end_us()) {
            (Some(from), Some(to)) => (from.micros(), to),
            _ => continue,
        };
        if line.parent_missing {
            // Whoever the parent was, it ran in a service that lost spans then.
            let proof = losses.iter().find(|loss| loss.overlaps(from, to));
            gaps.push(Gap::new(
                i,
                proof.map_or("", |loss| &loss.service),
                "parent not received",
                proof,
            ));
        } else if matches!(line.kind, Some(Kind::Client | Kind::Producer)) && !has_children {
            // A call without its other side is a gap only if that side is known to have lost spans.
            let peer = line.remote;
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
        params.each_once(&["rows", "rev"])?;
        let (from, to) = range(params.wanted("rows")?)?;
        let id = parse_id(&id)?;
        let rev = params.text("rev").filter(|rev| !rev.is_empty());
        let written = view.asker.ask(move |q| {
            let written = q.outlined(id, 0, |outlined| {
                if rev.as_ref().is_some_and(|rev| *rev != revision(&outlined.outlines)) {
                    let message = "the trace has changed: read its columns again";
                    return Ok(Ok(Err(ApiError::new(http::StatusCode::CONFLICT, message))));
                }
                Ok(write_spans(outlined, from, to, q.stop())?.map(Ok))
            });
            let written = written.map_err(AnswerError::of_rows)?.transpose()?;
            Ok::<_, AnswerError>(written.unwrap_or_else(|| Err(missing(id))))
        });
        written.await?
    };
    match answer.await {
        Ok(body) => json(body),
        Err(error) => failure(&error),
    }
}

fn write_spans(
    outlined: &Outlined<'_>,
    from: usize,
    to: usize,
    stop: &Stop,
) -> Result<Result<String, AnswerError>, QueryFailed> {
    let waterfall = Waterfall::new(&outlined.outlines);
    let rows = from..waterfall.len().min(to + 1);
    let sources: Vec<&[u32]> = rows.clone().map(|row| waterfall.sources(row)).collect();
    let parts = outlined.spans(&sources)?;
    let mut answer = Answer::new(stop);
    let written = answer.list(rows.zip(&parts), |answer, (row, parts)| {
        let Some(span) = waterfall.span(row, parts) else { return Ok(()) };
        answer.write(|out| write_row(row, &span, out))
    });
    Ok(written.map(|()| answer.finish()))
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
fn revision(outlines: &Outlines) -> String {
    format!("{:016x}", outlines.revision())
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

fn flags(line: &Line<'_>) -> u8 {
    let set = |on: bool, flag: u8| if on { flag } else { 0 };
    set(line.is_error, flag::ERROR)
        | set(line.debug, flag::DEBUG)
        | set(line.shared, flag::SHARED)
        | set(line.parent_missing, flag::PARENT_MISSING)
        | set(line.timestamp.is_none(), flag::NO_TIMESTAMP)
        | set(line.duration_us.is_none(), flag::NO_DURATION)
}
