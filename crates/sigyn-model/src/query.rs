//! The one definition of "this trace matches", which every store must agree with.
//!
//! The rules are Zipkin's; each is told where it is applied. `docs/zipkin.md` lists the differences.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::time::Duration;

use crate::filter::Filter;
use crate::{Kind, Labels, Resource, Scope, Span, StatusCode, Timestamp, TraceId, window_us};

/// A search as it came over the wire: Zipkin's names and units, nothing checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryParams {
    pub service_name: Option<String>,
    pub remote_service_name: Option<String>,
    pub span_name: Option<String>,
    pub annotation_query: Option<String>,
    pub min_duration_us: Option<i64>,
    pub max_duration_us: Option<i64>,
    pub end_ts_ms: i64,
    pub lookback_ms: i64,
    pub limit: i64,
}

/// A valid search for traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceQuery {
    service_name: Option<String>,
    remote_service_name: Option<String>,
    span_name: Option<String>,
    terms: Vec<TagTerm>,
    min_duration_us: Option<u64>,
    max_duration_us: Option<u64>,
    start_us: u64,
    end_us: u64,
    limit: usize,
    filter: Filter,
    after: Option<TracePlace>,
}

/// Where a trace stands in a list, newest first: by its start, and by its id among those that start
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TracePlace {
    pub start: Reverse<Timestamp>,
    pub id: TraceId,
}

/// One term of Zipkin's `annotationQuery`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagTerm {
    pub key: String,
    /// `None`: the key alone must be there, as a tag or as an annotation's value.
    pub value: Option<String>,
}

/// Why parameters make no query. The messages are Zipkin's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("endTs <= 0")]
    EndTs,
    #[error("limit <= 0")]
    Limit,
    #[error("lookback <= 0")]
    Lookback,
    #[error("minDuration <= 0")]
    MinDuration,
    #[error("maxDuration < minDuration")]
    MaxBelowMin,
    #[error("maxDuration is only valid with minDuration")]
    MaxWithoutMin,
}

impl TraceQuery {
    /// Checks in Zipkin's order, so that the first message is the one that Zipkin would give.
    pub fn new(params: &QueryParams) -> Result<Self, QueryError> {
        let positive = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
        let end_ts_ms = positive(params.end_ts_ms).ok_or(QueryError::EndTs)?;
        let limit = positive(params.limit).ok_or(QueryError::Limit)?;
        let lookback_ms = positive(params.lookback_ms).ok_or(QueryError::Lookback)?;
        let min = params.min_duration_us.map(|n| positive(n).ok_or(QueryError::MinDuration));
        let min_duration_us = min.transpose()?;
        let max_duration_us = match (params.max_duration_us, min_duration_us) {
            (None, _) => None,
            (Some(_), None) => return Err(QueryError::MaxWithoutMin),
            (Some(max), Some(min)) => {
                Some(positive(max).filter(|max| *max >= min).ok_or(QueryError::MaxBelowMin)?)
            }
        };
        let (start_us, end_us) = window_us(end_ts_ms, lookback_ms);
        Ok(Self {
            service_name: name(params.service_name.as_deref()),
            remote_service_name: name(params.remote_service_name.as_deref()),
            span_name: name(params.span_name.as_deref()).filter(|name| name != "all"),
            terms: parse_annotation_query(params.annotation_query.as_deref().unwrap_or("")),
            min_duration_us,
            max_duration_us,
            start_us,
            end_us,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            filter: Filter::default(),
            after: None,
        })
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The same query with another limit.
    pub fn with_limit(&self, limit: usize) -> Self {
        Self { limit, ..self.clone() }
    }

    /// The same query with these terms, which need not be such as an `annotationQuery` can say.
    #[must_use]
    pub fn with_terms(self, terms: Vec<TagTerm>) -> Self {
        Self { terms, ..self }
    }

    /// The same query for traces that match this filter, too.
    #[must_use]
    pub fn with_filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// The same query in another window, both ends included, in microseconds.
    #[must_use]
    pub fn with_window_us(self, (start_us, end_us): (u64, u64)) -> Self {
        Self { start_us, end_us, ..self }
    }

    /// The same query for what comes behind this place: the next page.
    #[must_use]
    pub fn after(self, place: TracePlace) -> Self {
        Self { after: Some(place), ..self }
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether spans that stand in a trace twice do not keep it from matching: see
    /// [`Filter::bears_duplicates`].
    pub fn bears_duplicates(&self) -> bool {
        self.filter.bears_duplicates()
    }

    /// Whether a trace in this place is not on an earlier page.
    pub fn is_ahead(&self, place: TracePlace) -> bool {
        self.after.is_none_or(|after| place > after)
    }

    /// The local service that must take part, if one is asked for.
    pub fn service_name(&self) -> Option<&str> {
        self.service_name.as_deref()
    }

    /// The service that must be named as a peer, if one is asked for.
    pub fn remote_service_name(&self) -> Option<&str> {
        self.remote_service_name.as_deref()
    }

    /// The name that a span must have, if one is asked for.
    pub fn span_name(&self) -> Option<&str> {
        self.span_name.as_deref()
    }

    /// The terms that must all be met.
    pub fn terms(&self) -> &[TagTerm] {
        &self.terms
    }

    /// How long a span must last at least, if that is asked for, in microseconds.
    pub fn min_duration_us(&self) -> Option<u64> {
        self.min_duration_us
    }

    /// The window in which a trace must start, both ends included, in microseconds.
    pub fn window_us(&self) -> (u64, u64) {
        (self.start_us, self.end_us)
    }

    /// Whether a trace that starts then is in the window, and not on an earlier page by its start alone.
    pub fn covers(&self, start: Timestamp) -> bool {
        (self.start_us..=self.end_us).contains(&start.micros())
            && self.after.is_none_or(|after| start <= after.start.0)
    }

    /// Whether this trace, given whole, matches.
    ///
    /// Only spans of the service asked for are considered, and at least one must exist. Each
    /// further condition must hold for *any* of them; different spans may satisfy different ones.
    /// The filter goes by rules of its own, and considers all spans.
    pub fn matches<S: Searched>(&self, trace: &[S]) -> bool {
        trace_start(trace).is_some_and(|start| self.covers(start)) && self.says(trace)
    }

    /// Whether a trace that starts in the window matches, given whole.
    pub fn says<S: Searched>(&self, trace: &[S]) -> bool {
        let considered: Vec<&S> = trace
            .iter()
            .filter(|span| {
                self.service_name.as_deref().is_none_or(|name| span.service_name() == Some(name))
            })
            .collect();
        let any = |condition: &dyn Fn(&S) -> bool| considered.iter().any(|span| condition(span));
        let remote = self.remote_service_name.as_deref();
        !considered.is_empty()
            && remote.is_none_or(|name| any(&|span| span.remote_service_name() == Some(name)))
            && self.span_name.as_deref().is_none_or(|name| any(&|span| span.name() == name))
            // Before the terms: it is sooner told.
            && self.min_duration_us.is_none_or(|min| {
                let range = min..=self.max_duration_us.unwrap_or(u64::MAX);
                any(&|span| range.contains(&span.duration_us().unwrap_or(0)))
            })
            && self.terms.iter().all(|term| any(&|span| term.matches(span)))
            && (self.filter.is_empty() || self.filter.matches(trace))
    }

    /// The naive reference: what a store must answer if it holds exactly these traces. Newest
    /// first by their start, then by id, cut at the limit.
    pub fn run(&self, traces: impl IntoIterator<Item = Vec<Span>>) -> Vec<Vec<Span>> {
        let mut found: Vec<(TracePlace, Vec<Span>)> = traces
            .into_iter()
            .filter(|trace| self.matches(trace))
            .filter_map(|trace| Some((TracePlace::of(&trace)?, trace)))
            .filter(|(place, _)| self.is_ahead(*place))
            .collect();
        found.sort_by_key(|(place, _)| *place);
        found.truncate(self.limit);
        found.into_iter().map(|(_, trace)| trace).collect()
    }
}

impl TracePlace {
    /// `None` for a trace without any timestamp, which stands in no list.
    pub fn of(trace: &[Span]) -> Option<Self> {
        Some(Self { start: Reverse(trace_start(trace)?), id: trace.first()?.trace_id })
    }
}

impl TagTerm {
    /// A key alone is an annotation's value, a tag or a target's label; a key with a value is a tag
    /// or a label of exactly this value. A label is written `target.<name>`.
    pub fn matches(&self, span: &impl Searched) -> bool {
        let tag = span.zipkin_tag(&self.key);
        let label = || {
            let name = self.key.strip_prefix("target.")?;
            let labels = span.target()?;
            labels.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
        };
        match &self.value {
            None => tag.is_some() || span.has_annotation(&self.key) || label().is_some(),
            Some(value) => {
                tag.is_some_and(|tag| tag == value.as_str()) || label() == Some(value.as_str())
            }
        }
    }
}

/// When a trace starts, which decides whether it is in a window: at its root, else at its earliest
/// span. `None` if no span has a timestamp: such a trace is found by id alone.
///
/// Zipkin takes the first root *listed*; we take the earliest, so that the answer does not depend on
/// the order in which spans arrived.
pub fn trace_start<S: Searched>(trace: &[S]) -> Option<Timestamp> {
    let earliest = |roots_only: bool| {
        let spans = trace.iter().filter(|span| !roots_only || span.is_root());
        spans.filter_map(Searched::timestamp).min()
    };
    earliest(true).or_else(|| earliest(false))
}

/// The span that a trace is named after: its earliest root, else its earliest span. `None` if no span
/// has a timestamp.
pub fn trace_root<S: Searched>(trace: &[S]) -> Option<&S> {
    let key = |span: &S| {
        (!span.is_root(), span.timestamp(), span.shared(), span.service_name().map(str::to_owned))
    };
    let timed = trace.iter().filter(|span| span.timestamp().is_some());
    timed.min_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.name().cmp(b.name())))
}

impl Span {
    /// The duration as Zipkin shows it: whole microseconds, at least one. No more than a timestamp
    /// reaches, so that the two can be added.
    pub fn duration_us(&self) -> Option<u64> {
        self.duration.map(shown_us)
    }
}

pub(crate) fn shown_us(duration: Duration) -> u64 {
    /// As far as a timestamp reaches.
    const MAX: u64 = u64::MAX / 1_000;
    u64::try_from(duration.as_micros()).unwrap_or(MAX).clamp(1, MAX)
}

/// What searches ask of a span, in whatever form it is kept: how they ask stands here alone.
pub trait Searched {
    /// It has no parent.
    fn is_root(&self) -> bool;
    fn timestamp(&self) -> Option<Timestamp>;
    fn duration(&self) -> Option<Duration>;
    fn name(&self) -> &str;
    fn kind(&self) -> Option<Kind>;
    fn shared(&self) -> bool;
    /// See [`Span::service_name`].
    fn service_name(&self) -> Option<&str>;
    /// See [`Span::remote_service_name`].
    fn remote_service_name(&self) -> Option<&str>;
    /// One of the span's own tags, as Zipkin shows it.
    fn own_tag(&self, key: &str) -> Option<Cow<'_, str>>;
    fn status_code(&self) -> StatusCode;
    fn status_message(&self) -> &str;
    fn scope(&self) -> Option<&Scope>;
    fn resource(&self) -> Option<&Resource>;
    fn target(&self) -> Option<&Labels>;
    /// Whether this holds for the value of any annotation.
    fn any_annotation(&self, holds: &mut dyn FnMut(&str) -> bool) -> bool;

    /// Whether an annotation has exactly this value.
    fn has_annotation(&self, value: &str) -> bool {
        self.any_annotation(&mut |other| other == value)
    }

    /// See [`Span::duration_us`].
    fn duration_us(&self) -> Option<u64> {
        self.duration().map(shown_us)
    }

    /// See [`Span::zipkin_tag`].
    fn zipkin_tag(&self, key: &str) -> Option<Cow<'_, str>> {
        if let Some(text) = self.own_tag(key) {
            return Some(text);
        }
        let scope = |text: fn(&Scope) -> &String| {
            self.scope().map(text).filter(|text| !text.is_empty()).map(String::as_str)
        };
        let said = match key {
            "service.name" => return None,
            "error" => self.status_code().as_error(self.status_message()),
            "otel.status_code" => self.status_code().as_tag(),
            "otel.scope.name" => scope(|scope| &scope.name),
            "otel.scope.version" => scope(|scope| &scope.version),
            _ => None,
        };
        said.map(Cow::Borrowed).or_else(|| {
            let tags = &self.resource()?.tags;
            tags.iter().find(|(k, _)| k == key).map(|(_, value)| value.text())
        })
    }

    /// See [`Span::is_error`].
    fn is_error(&self) -> bool {
        self.status_code() == StatusCode::Error || self.zipkin_tag("error").is_some()
    }
}

impl Searched for Span {
    fn is_root(&self) -> bool {
        self.parent_id.is_none()
    }

    fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    fn duration(&self) -> Option<Duration> {
        self.duration
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> Option<Kind> {
        self.kind
    }

    fn shared(&self) -> bool {
        self.shared
    }

    fn service_name(&self) -> Option<&str> {
        self.service_name()
    }

    fn remote_service_name(&self) -> Option<&str> {
        self.remote_service_name()
    }

    fn own_tag(&self, key: &str) -> Option<Cow<'_, str>> {
        self.tags.iter().find(|(k, _)| k == key).map(|(_, value)| value.text())
    }

    fn status_code(&self) -> StatusCode {
        self.status.code
    }

    fn status_message(&self) -> &str {
        &self.status.message
    }

    fn scope(&self) -> Option<&Scope> {
        self.scope.as_deref()
    }

    fn resource(&self) -> Option<&Resource> {
        self.resource.as_deref()
    }

    fn target(&self) -> Option<&Labels> {
        self.target.as_deref()
    }

    fn any_annotation(&self, holds: &mut dyn FnMut(&str) -> bool) -> bool {
        self.annotations.iter().any(|annotation| holds(&annotation.value))
    }
}

/// A name as Zipkin compares it: lower case, and absent where it is empty.
fn name(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_lowercase)
}

/// `key`, `key=value`, joined by `" and "`. Later terms of a key replace earlier ones, and a key with
/// a value replaces the key alone: Zipkin keeps them in a map.
fn parse_annotation_query(text: &str) -> Vec<TagTerm> {
    /// Zipkin splits into no more pieces than this; the last keeps the rest.
    const PIECES_MAX: usize = 100;
    let mut terms: Vec<TagTerm> = Vec::new();
    if text.is_empty() {
        return terms;
    }
    for piece in text.splitn(PIECES_MAX, " and ") {
        let (key, value) = match piece.split_once('=') {
            Some((key, value)) => (key.trim(), value.trim()),
            None => (piece.trim(), ""),
        };
        if key.is_empty() && value.is_empty() {
            continue;
        }
        let value = (!value.is_empty()).then(|| value.to_owned());
        match terms.iter_mut().find(|term| term.key == key) {
            Some(term) => {
                if value.is_some() {
                    term.value = value;
                }
            }
            None => terms.push(TagTerm { key: key.to_owned(), value }),
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Annotation, Endpoint, SpanId, arbitrary};

    fn params() -> QueryParams {
        QueryParams { end_ts_ms: 1_000, lookback_ms: 500, limit: 10, ..QueryParams::default() }
    }

    fn span(id: u64, parent: u64, service: &str, at_ms: u64, duration_us: u64) -> Span {
        let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(id).unwrap());
        span.parent_id = SpanId::new(parent);
        span.local_endpoint = Endpoint::named(service).into_option();
        span.timestamp = Timestamp::from_micros(at_ms * 1_000);
        span.duration = (duration_us > 0).then(|| Duration::from_micros(duration_us));
        span
    }

    fn check(trace: &[Span], params: QueryParams, expected: bool) {
        let query = TraceQuery::new(&params).unwrap();
        assert_eq!(query.matches(trace), expected, "{params:?}");
    }

    #[test]
    fn bad_parameters_are_refused_in_zipkins_words_and_order() {
        let refused = |params: QueryParams| TraceQuery::new(&params).unwrap_err().to_string();
        assert_eq!(refused(QueryParams { end_ts_ms: 0, limit: 0, ..params() }), "endTs <= 0");
        assert_eq!(refused(QueryParams { limit: 0, lookback_ms: 0, ..params() }), "limit <= 0");
        assert_eq!(refused(QueryParams { lookback_ms: -1, ..params() }), "lookback <= 0");
        assert_eq!(
            refused(QueryParams { min_duration_us: Some(0), ..params() }),
            "minDuration <= 0"
        );
        let both =
            |min, max| QueryParams { min_duration_us: min, max_duration_us: max, ..params() };
        assert_eq!(refused(both(Some(2), Some(1))), "maxDuration < minDuration");
        assert_eq!(refused(both(None, Some(1))), "maxDuration is only valid with minDuration");
    }

    #[test]
    fn annotation_queries_read_as_zipkin_reads_them() {
        let check = |text: &str, expected: &[(&str, Option<&str>)]| {
            let terms = parse_annotation_query(text);
            let got: Vec<_> = terms.iter().map(|t| (t.key.as_str(), t.value.as_deref())).collect();
            assert_eq!(got, expected, "{text}");
        };
        check("a=b=c", &[("a", Some("b=c"))]);
        check("foo and foo=bar", &[("foo", Some("bar"))]);
        check("foo=bar and foo", &[("foo", Some("bar"))]);
        check("foo=bar and foo=baz", &[("foo", Some("baz"))]);
        check("foo=", &[("foo", None)]);
        check("foo AND bar", &[("foo AND bar", None)]);
        check("=x", &[("", Some("x"))]);
        check(" error and http.method = GET ", &[("error", None), ("http.method", Some("GET"))]);
    }

    #[test]
    fn a_trace_is_in_the_window_by_its_root_with_both_ends_included() {
        let at = |root_ms| [span(1, 0, "a", root_ms, 0), span(2, 1, "a", 700, 0)];
        check(&at(500), params(), true);
        check(&at(1_000), params(), true);
        check(&at(499), params(), false);
        check(&at(1_001), params(), false);
        let at_us = |us: u64| {
            let mut root = span(1, 0, "a", 0, 0);
            root.timestamp = Timestamp::from_micros(us);
            [root]
        };
        check(&at_us(499_999), params(), false);
        check(&at_us(1_000_999), params(), true);
        check(&[span(2, 1, "a", 700, 0)], params(), true);
        let mut no_time = span(1, 0, "a", 0, 0);
        no_time.timestamp = None;
        check(&[no_time], params(), false);
    }

    #[test]
    fn conditions_may_be_met_by_different_spans_of_the_service() {
        let mut client = span(1, 0, "frontend", 600, 10);
        client.remote_endpoint = Endpoint::named("backend").into_option();
        let mut server = span(2, 1, "frontend", 601, 100);
        server.name = "get".to_owned();
        server.set_tag("http.method", "GET");
        server.annotations.push(Annotation {
            timestamp: Timestamp::from_nanos(1),
            value: "retry".to_owned(),
            tags: Vec::new(),
            dropped_tags: 0,
        });
        let other = span(3, 1, "other", 601, 1_000);
        let trace = [client, server, other];
        let some = |text: &str| Some(text.to_owned());
        let full = QueryParams {
            service_name: some("FrontEnd"),
            remote_service_name: some("backend"),
            span_name: some("GET"),
            annotation_query: some("http.method=GET and retry"),
            min_duration_us: Some(10),
            max_duration_us: Some(10),
            ..params()
        };
        check(&trace, full.clone(), true);
        check(&trace, QueryParams { service_name: some("backend"), ..params() }, false);
        check(
            &trace,
            QueryParams { min_duration_us: Some(1_000), max_duration_us: None, ..full.clone() },
            false,
        );
        check(&trace, QueryParams { annotation_query: some("retry=1"), ..params() }, false);
        check(
            &trace,
            QueryParams { span_name: some("all"), service_name: some(""), ..params() },
            true,
        );
    }

    #[test]
    fn the_end_of_a_span_can_always_be_told() {
        let check = |nanos: Option<u64>, duration: Option<Duration>, expected: Option<u64>| {
            let mut span = span(1, 0, "a", 0, 0);
            (span.timestamp, span.duration) = (nanos.map(Timestamp::from_nanos), duration);
            assert_eq!(span.end_us(), expected, "{nanos:?} {duration:?}");
        };
        check(None, Some(Duration::MAX), None);
        check(Some(5_999), None, Some(5));
        check(Some(5_999), Some(Duration::from_nanos(1)), Some(6));
        check(Some(u64::MAX), Some(Duration::MAX), Some(2 * (u64::MAX / 1_000)));
    }

    #[test]
    fn target_labels_are_searched_by_their_prefix() {
        let mut scraped = span(1, 0, "a", 600, 0);
        scraped.target = Some(std::sync::Arc::new(vec![("zone".to_owned(), "eu-1b".to_owned())]));
        let query =
            |text: &str| QueryParams { annotation_query: Some(text.to_owned()), ..params() };
        check(&[scraped.clone()], query("target.zone=eu-1b"), true);
        check(&[scraped.clone()], query("target.zone"), true);
        check(&[scraped], query("target.zone=eu-1a"), false);
    }

    #[test]
    fn the_newest_traces_come_first_and_the_limit_keeps_them() {
        let trace = |id: u128, at_ms| {
            let mut span = span(1, 0, "a", at_ms, 0);
            span.trace_id = TraceId::new(id).unwrap();
            vec![span]
        };
        let query = TraceQuery::new(&QueryParams { limit: 2, ..params() }).unwrap();
        let found = query.run([trace(1, 600), trace(2, 800), trace(3, 700), trace(4, 100)]);
        let ids: Vec<_> = found.iter().map(|t| t[0].trace_id.as_u128()).collect();
        assert_eq!(ids, [2, 3]);
    }

    fn any_params() -> impl Strategy<Value = QueryParams> {
        let text = || {
            let words =
                prop::sample::select(vec!["", "a", "ALL", "error", "error=", " and a=b and "]);
            prop::option::of(prop_oneof![words.prop_map(str::to_owned), any::<String>()])
        };
        let number = || prop_oneof![3 => 0..100i64, 1 => any::<i64>()];
        let texts = (text(), text(), text(), text());
        let durations = (prop::option::of(number()), prop::option::of(number()));
        (texts, durations, number(), number(), number()).prop_map(
            |(texts, durations, end_ts_ms, lookback_ms, limit)| QueryParams {
                service_name: texts.0,
                remote_service_name: texts.1,
                span_name: texts.2,
                annotation_query: texts.3,
                min_duration_us: durations.0,
                max_duration_us: durations.1,
                end_ts_ms,
                lookback_ms,
                limit,
            },
        )
    }

    proptest! {
        #[test]
        fn any_query_answers_any_traces_within_its_limit(
            params in any_params(),
            mut traces in prop::collection::vec(
                prop::collection::vec(prop_oneof![arbitrary::plain_span(), arbitrary::span()], 0..5),
                0..5,
            ),
        ) {
            if let Ok(query) = TraceQuery::new(&params) {
                let found = query.run(traces.clone());
                prop_assert!(found.len() <= query.limit());
                prop_assert!(found.iter().all(|trace| query.matches(trace)));
                // Neither the order of spans nor of what is asked in vain changes what matches.
                for trace in &mut traces {
                    let matches = query.matches(trace);
                    trace.reverse();
                    prop_assert_eq!(query.matches(trace), matches);
                }
            }
        }

        #[test]
        fn a_term_finds_what_the_view_shows(span in arbitrary::span()) {
            let tags = span.zipkin_tags();
            prop_assert_eq!(span.is_error(), tags.contains_key("error"));
            for key in ["error", "otel.status_code", "otel.scope.name", "otel.scope.version", "x"] {
                prop_assert_eq!(span.zipkin_tag(key), tags.get(key).cloned());
            }
            for (key, value) in &tags {
                let found = span.zipkin_tag(key);
                prop_assert_eq!(found.as_ref(), Some(value));
                let term = |value: Option<String>| TagTerm { key: (*key).to_owned(), value };
                prop_assert!(term(None).matches(&span));
                prop_assert!(term(Some(value.clone().into_owned())).matches(&span));
            }
        }
    }
}
