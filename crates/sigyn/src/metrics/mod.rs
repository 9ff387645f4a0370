//! `/metrics` and `/prometheus`: the tracer's own figures and Zipkin's, read from its parts when they
//! are asked for.

pub(crate) mod collect;
pub(crate) mod discovery;
pub(crate) mod requests;
pub(crate) mod scrape;
pub(crate) mod store;
pub(crate) mod together;
pub(crate) mod web;
pub(crate) mod zipkin;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::reply::{self, ApiError};

/// One metric with all its series, as a part of the program reports it.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) series: Series,
}

#[derive(Clone, Debug)]
pub(crate) enum Series {
    Counter(Vec<(LabelPairs, u64)>),
    Gauge(Vec<(LabelPairs, f64)>),
    Histogram(Vec<(LabelPairs, Distribution)>),
}

/// How values are spread over buckets.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    pub(crate) sum: f64,
    /// The upper end of each bucket, and what fell into it and into none before.
    pub(crate) buckets: Vec<(f64, u64)>,
}

pub(crate) type LabelPairs = Vec<(&'static str, String)>;

/// Reads the figures of one part, at the time of the request.
pub(crate) type Source = Arc<dyn Fn() -> Vec<Family> + Send + Sync>;

/// How the configuration fared, for the figures that Prometheus has of it.
#[derive(Debug, Default)]
pub(crate) struct ReloadState {
    pub(crate) successful: AtomicU64,
    pub(crate) success_at_s: AtomicU64,
    /// When it failed first after it had succeeded, or never.
    pub(crate) failed_at_s: AtomicU64,
}

impl ReloadState {
    pub(crate) fn record(&self, ok: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let was_ok = self.successful.swap(u64::from(ok), Ordering::Relaxed) == 1;
        if ok {
            self.success_at_s.store(now, Ordering::Relaxed);
        } else if was_ok {
            self.failed_at_s.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed) as f64;
        vec![
            gauge(
                "sigyn_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful",
                load(&self.successful),
            ),
            gauge(
                "sigyn_config_last_reload_success_timestamp_seconds",
                "Time of the last successful configuration reload",
                load(&self.success_at_s),
            ),
            Family {
                name: "sigyn_build_info",
                help: "A constant 1, labelled by version",
                series: Series::Gauge(vec![(
                    vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
                    1.0,
                )]),
            },
        ]
    }
}

/// A gauge without labels.
pub(crate) fn gauge(name: &'static str, help: &'static str, value: f64) -> Family {
    Family { name, help, series: Series::Gauge(vec![(Vec::new(), value)]) }
}

/// A counter without labels.
pub(crate) fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
    Family { name, help, series: Series::Counter(vec![(Vec::new(), value)]) }
}

/// Reads Zipkin's figures, at the time of the request.
pub(crate) type ZipkinSource = Arc<dyn Fn() -> Vec<zipkin::Transport> + Send + Sync>;

#[derive(Clone)]
struct Pages {
    registry: Arc<Registry>,
    zipkin: ZipkinSource,
}

/// `zipkin` is told apart from the other sources since it has a page of its own.
pub(crate) fn router(sources: Vec<Source>, zipkin: ZipkinSource) -> Router {
    let mut registry = Registry::default();
    for source in sources {
        registry.register_collector(Box::new(Part(source)));
    }
    let for_prometheus = Arc::clone(&zipkin);
    registry
        .register_collector(Box::new(Part(Arc::new(move || zipkin::families(&for_prometheus())))));
    let only_get = async || StatusCode::METHOD_NOT_ALLOWED;
    Router::new()
        .route("/metrics", get(metrics))
        .route("/prometheus", get(prometheus).fallback(only_get))
        .route("/actuator/prometheus", get(prometheus).fallback(only_get))
        .with_state(Pages { registry: Arc::new(registry), zipkin })
}

/// What a client that asks for figures can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OpenMetrics,
    /// Prometheus' older text form.
    Text,
    /// Zipkin's page: its own figures alone, in JSON.
    Zipkin,
}

impl Form {
    /// A scraper of metrics names a form of text; whoever does not, expects what Zipkin answers.
    fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let wanted =
            accept.flat_map(|list| list.split(',')).filter(|item| !reply::is_refused(item));
        let accept = wanted.collect::<Vec<_>>().join(",").to_ascii_lowercase();
        let names = |type_: &str| accept.contains(type_);
        if names("application/openmetrics-text") {
            Self::OpenMetrics
        } else if names("application/json") {
            Self::Zipkin
        } else if names("text/plain") {
            Self::Text
        } else {
            Self::Zipkin
        }
    }
}

async fn metrics(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    match Form::accepted(&headers) {
        Form::OpenMetrics => page(pages.registry, false).await,
        Form::Text => page(pages.registry, true).await,
        Form::Zipkin => reply::json(zipkin::json(&(pages.zipkin)())),
    }
}

async fn prometheus(State(pages): State<Pages>) -> Response {
    page(pages.registry, true).await
}

async fn page(registry: Arc<Registry>, older: bool) -> Response {
    let encoded = tokio::task::spawn_blocking(move || {
        let mut body = String::new();
        text::encode(&mut body, &registry).map_err(ApiError::failed)?;
        Ok(if older { older_text(&body) } else { body })
    });
    let body = match encoded.await.map_err(ApiError::failed) {
        Ok(Ok(body)) => body,
        Ok(Err(error)) | Err(error) => return error.into_response(),
    };
    let type_ = if older {
        "text/plain; version=0.0.4; charset=utf-8"
    } else {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    };
    ([(CONTENT_TYPE, HeaderValue::from_static(type_))], body).into_response()
}

/// The older form names a counter's type with its suffix, and has no end mark.
fn older_text(body: &str) -> String {
    let mut counters: HashSet<&str> = HashSet::new();
    for line in body.lines() {
        counters
            .extend(line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")));
    }
    let mut out = String::with_capacity(body.len());
    for line in body.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                out.push_str(&format!("# {what} {name}_total {rest}"));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

struct Part(Source);

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").finish_non_exhaustive()
    }
}

impl Collector for Part {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in (self.0)() {
            match &family.series {
                Series::Counter(series) => {
                    // The format adds `_total` itself.
                    let name = family.name.strip_suffix("_total").unwrap_or(family.name);
                    let mut metric =
                        encoder.encode_descriptor(name, family.help, None, MetricType::Counter)?;
                    for (labels, value) in series {
                        ConstCounter::new(*value).encode(metric.encode_family(labels)?)?;
                    }
                }
                Series::Histogram(series) => {
                    let mut metric = encoder.encode_descriptor(
                        family.name,
                        family.help,
                        None,
                        MetricType::Histogram,
                    )?;
                    for (labels, spread) in series {
                        let count = spread.buckets.iter().map(|(_, count)| count).sum();
                        metric.encode_family(labels)?.encode_histogram::<LabelPairs>(
                            spread.sum,
                            count,
                            &spread.buckets,
                            None,
                        )?;
                    }
                }
                Series::Gauge(series) => {
                    let mut metric = encoder.encode_descriptor(
                        family.name,
                        family.help,
                        None,
                        MetricType::Gauge,
                    )?;
                    for (labels, value) in series {
                        ConstGauge::new(*value).encode(metric.encode_family(labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_decides_who_is_answered() {
        let check = |accept: Option<&'static str>, expected: Form| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Form::accepted(&headers), expected, "{accept:?}");
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        check(Some(prometheus), Form::OpenMetrics);
        check(Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"), Form::Text);
        check(Some("text/plain"), Form::Text);
        check(None, Form::Zipkin);
        check(Some("*/*"), Form::Zipkin);
        check(Some("application/json, text/plain, */*"), Form::Zipkin);
        check(Some("application/openmetrics-text;q=0, application/json"), Form::Zipkin);
        check(Some("application/openmetrics-text; version=1.0.0; q=0.0, text/plain"), Form::Text);
        check(Some("text/html,application/xhtml+xml,*/*;q=0.8"), Form::Zipkin);
    }

    #[test]
    fn the_older_form_names_counters_with_their_suffix() {
        let body = "# HELP a Counted.\n# TYPE a counter\na_total{x=\"y\"} 1\n# HELP b Now.\n# TYPE b gauge\nb 2.0\n# EOF\n";
        let older = "# HELP a_total Counted.\n# TYPE a_total counter\na_total{x=\"y\"} 1\n# HELP b Now.\n# TYPE b gauge\nb 2.0\n";
        assert_eq!(older_text(body), older);
    }
}
