//! How requests to the APIs fared and how long they took, under the names that Zipkin's dashboards read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};

use super::{Distribution, Family, Series};

/// Upper ends of the buckets, in seconds.
const BOUNDS: [f64; 13] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, f64::INFINITY];
/// Paths are those of routes and methods the known ones, so there are few series; were there ever
/// more, further ones would not be kept apart.
const SERIES_MAX: usize = 1_000;

/// The times of all requests to `/api` and `/zipkin/api`.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Starts and ends with a slash.
    route_prefix: String,
    times: Mutex<BTreeMap<Key, Times>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    method: &'static str,
    status: u16,
    uri: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    sum: Duration,
    buckets: [u64; BOUNDS.len()],
}

impl Requests {
    pub(crate) fn new(route_prefix: &str) -> Self {
        Self { route_prefix: route_prefix.to_owned(), times: Mutex::default() }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let series = times.iter().map(|(key, times)| {
            let labels = vec![
                ("method", key.method.to_owned()),
                ("status", key.status.to_string()),
                ("uri", key.uri.clone()),
            ];
            let buckets = BOUNDS.into_iter().zip(times.buckets).collect();
            (labels, Distribution { sum: times.sum.as_secs_f64(), buckets })
        });
        vec![Family {
            name: "http_server_requests_seconds",
            help: "How long requests to the APIs took",
            series: Series::Histogram(series.collect()),
        }]
    }

    fn record(&self, key: Key, took: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let full = times.len() >= SERIES_MAX && !times.contains_key(&key);
        let key = if full { Key { uri: "UNKNOWN".to_owned(), ..key } } else { key };
        let times = times.entry(key).or_default();
        times.sum += took;
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            times.buckets[bucket] += 1;
        }
    }
}

/// Measures a request, from the moment its head is here until the head of its answer is.
pub(crate) async fn measure(
    State(requests): State<Arc<Requests>>,
    request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = matched.as_deref().unwrap_or_else(|| request.uri().path());
    let Some(path) = api_path(path, &requests.route_prefix).map(str::to_owned) else {
        return next.run(request).await;
    };
    let method = method_name(request.method());
    let from = Instant::now();
    let response = next.run(request).await;
    let status = response.status();
    let uri = match status {
        StatusCode::NOT_FOUND => "NOT_FOUND".to_owned(),
        status if status.is_redirection() => "REDIRECTION".to_owned(),
        _ if matched.is_none() => "UNKNOWN".to_owned(),
        _ => path,
    };
    requests.record(Key { method, status: status.as_u16(), uri }, from.elapsed());
    response
}

/// `/api/..` of a path, wherever it is mounted; `None` for any other path.
fn api_path<'a>(path: &'a str, route_prefix: &str) -> Option<&'a str> {
    let path = path.strip_prefix(route_prefix.trim_end_matches('/'))?;
    let path = path.strip_prefix("/zipkin").filter(|rest| rest.starts_with("/api")).unwrap_or(path);
    path.starts_with("/api").then_some(path)
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_mounts_of_the_api_are_one_and_nothing_else_is_measured() {
        let check = |path, prefix, expected| assert_eq!(api_path(path, prefix), expected, "{path}");
        check("/api/v2/spans", "/", Some("/api/v2/spans"));
        check("/zipkin/api/v2/spans", "/", Some("/api/v2/spans"));
        check("/tracing/zipkin/api/v2/spans", "/tracing/", Some("/api/v2/spans"));
        check("/zipkin/", "/", None);
        check("/health", "/", None);
        check("/api/v2/spans", "/tracing/", None);
    }

    #[test]
    fn a_time_falls_into_one_bucket() {
        let requests = Requests::new("/");
        let key = Key { method: "GET", status: 200, uri: "/api/v2/spans".to_owned() };
        for millis in [1, 2, 20_000] {
            requests.record(key.clone(), Duration::from_millis(millis));
        }
        let families = requests.families();
        let Series::Histogram(series) = &families[0].series else { panic!("a histogram") };
        let counts: Vec<u64> = series[0].1.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
