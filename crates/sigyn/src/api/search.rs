//! `/api/v1/search`: what a list of traces shows, without their spans.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sigyn_model::{Span, SpanId, TracePlace, TraceQuery, trace_root, trace_start};

use super::Params;
use super::ask::Asker;
use super::asked::{self, Asked, Refused, is_zero};
use super::cursor::{Cursor, NoCursor};
use crate::environment::Environment;
use crate::reply::ApiError;

/// How many summaries one answer holds if the client does not say.
const LIMIT: u64 = 100;
/// Zipkin's, and our own.
const PARAMETERS: [&str; 11] = [
    "q",
    "endTs",
    "lookback",
    "limit",
    "cursor",
    "serviceName",
    "spanName",
    "remoteServiceName",
    "annotationQuery",
    "minDuration",
    "maxDuration",
];
/// A list longer than this is not read by a person, and costs the server.
const LIMIT_MAX: u64 = 2_000;

pub(crate) fn router(asker: &Asker, environment: &Environment) -> Router {
    asked::router("/api/v1/search", search, asker, environment)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    traces: Vec<Summary>,
    /// More traces match than were asked for.
    limited: bool,
    /// Asks for the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// Traces that were passed over, each too large to be held.
    #[serde(skip_serializing_if = "is_zero")]
    too_large: u64,
    took_ms: f64,
}

/// One line of the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    trace_id: String,
    root: Root,
    start_us: u64,
    duration_us: u64,
    spans: usize,
    errors: usize,
    /// Spans whose parent is not stored.
    missing: usize,
    services: Vec<Service>,
}

impl Summary {
    /// About what it takes in memory.
    fn bytes(&self) -> u64 {
        let texts = self.root.service.len() + self.root.name.len() + self.trace_id.len();
        let services =
            self.services.iter().map(|service| size_of::<Service>() + service.name.len());
        (size_of::<Self>() + texts + services.sum::<usize>()) as u64
    }
}

#[derive(Serialize)]
struct Root {
    service: String,
    name: String,
}

#[derive(Serialize)]
struct Service {
    name: String,
    spans: usize,
}

async fn search(State(asked): State<Asked>, params: Params) -> Response {
    match find(&asked, &params).await {
        Ok(found) => asked.asker.answer(&found),
        Err(error) => error.into_response(),
    }
}

async fn find(asked: &Asked, params: &Params) -> Result<Found, Refused> {
    params.each_once(&PARAMETERS)?;
    let limit = asked::number(params, "limit", LIMIT, LIMIT_MAX)?.cast_signed();
    let mut query = asked::trace_query(params, limit, asked.lookback)?;
    query = query.with_filter(asked::filter(params, "q")?);
    if let Some(text) = params.first("cursor").filter(|text| !text.is_empty()) {
        let bad = || ApiError::bad("this cursor was not made by a search");
        let Cursor { window_us, place } = text.parse().map_err(|NoCursor| bad())?;
        query = query.with_window_us(window_us).after(place);
    }
    let started = Instant::now();
    let (limit, window_us) = (query.limit(), query.window_us());
    // One more than asked for tells whether there are more.
    let one_more: TraceQuery = query.with_limit(limit + 1);
    let found = asked.asker.ask(move |q| {
        q.traces_as(&one_more, |trace| {
            let line = summary(&trace).zip(TracePlace::of(&trace));
            let bytes = line.as_ref().map_or(0, |(line, _)| line.bytes());
            (line, bytes)
        })
    });
    let (found, too_large) = found.await?;
    let limited = found.len() > limit;
    let (traces, places): (Vec<_>, Vec<_>) = found.into_iter().take(limit).flatten().unzip();
    let last = places.last().filter(|_| limited);
    let cursor = last.map(|place| Cursor { window_us, place: *place }.to_string());
    let took_ms = started.elapsed().as_secs_f64() * 1e3;
    Ok(Found { traces, limited, cursor, too_large, took_ms })
}

fn summary(trace: &[Span]) -> Option<Summary> {
    let start_us = trace_start(trace)?.micros();
    let first = trace.iter().filter_map(|span| span.timestamp).min()?.micros();
    let end = trace.iter().filter_map(Span::end_us).max()?;
    let ids: HashSet<SpanId> = trace.iter().map(|span| span.id).collect();
    let orphan = |span: &&Span| span.parent_id.is_some_and(|parent| !ids.contains(&parent));
    let root = trace_root(trace)?;
    let mut services: BTreeMap<&str, usize> = BTreeMap::new();
    for name in trace.iter().filter_map(Span::service_name) {
        *services.entry(name).or_default() += 1;
    }
    Some(Summary {
        trace_id: root.trace_id.to_string(),
        root: Root {
            service: root.service_name().unwrap_or("").to_owned(),
            name: root.name.clone(),
        },
        start_us,
        duration_us: end.saturating_sub(first),
        spans: trace.len(),
        errors: trace.iter().filter(|span| span.is_error()).count(),
        missing: trace.iter().filter(orphan).count(),
        services: services
            .into_iter()
            .map(|(name, spans)| Service { name: name.to_owned(), spans })
            .collect(),
    })
}
