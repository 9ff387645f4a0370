//! `/metrics`: the tracer's own figures, read from its parts when they are asked for.

pub(crate) mod collect;
pub(crate) mod discovery;
pub(crate) mod scrape;
pub(crate) mod store;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::reply::ApiError;

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
}

pub(crate) type LabelPairs = Vec<(&'static str, String)>;

/// Reads the figures of one part, at the time of the request.
pub(crate) type Source = Arc<dyn Fn() -> Vec<Family> + Send + Sync>;

/// How the configuration fared, for the figures that Prometheus has of it.
#[derive(Debug, Default)]
pub(crate) struct ReloadState {
    pub(crate) successful: AtomicU64,
    pub(crate) success_at_s: AtomicU64,
}

impl ReloadState {
    pub(crate) fn record(&self, ok: bool) {
        self.successful.store(u64::from(ok), Ordering::Relaxed);
        if ok {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.success_at_s.store(now.as_secs(), Ordering::Relaxed);
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

pub(crate) fn router(sources: Vec<Source>) -> Router {
    let mut registry = Registry::default();
    for source in sources {
        registry.register_collector(Box::new(Part(source)));
    }
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry))
}

/// OpenMetrics for whoever knows it, as every Prometheus does; else Prometheus' older text form.
async fn metrics(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let older = accept.contains("text/plain") && !accept.contains("application/openmetrics-text");
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
    fn the_older_form_names_counters_with_their_suffix() {
        let body = "# HELP a Counted.\n# TYPE a counter\na_total{x=\"y\"} 1\n# HELP b Now.\n# TYPE b gauge\nb 2.0\n# EOF\n";
        let older = "# HELP a_total Counted.\n# TYPE a_total counter\na_total{x=\"y\"} 1\n# HELP b Now.\n# TYPE b gauge\nb 2.0\n";
        assert_eq!(older_text(body), older);
    }
}
