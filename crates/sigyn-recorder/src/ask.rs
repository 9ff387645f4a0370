//! What a request asks for, read once. What cannot be read is as if it had not been sent.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;
use sigyn_model::TraceId;
use sigyn_model::pull::{self, Cursor, Sampling};

use crate::negotiate;
use crate::peers::Peer;
use crate::scrapers::NAME_BYTES_MAX;

/// A scrape timeout beyond this is taken for this: an hour is no timeout any more.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// The parts of a scrape's request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ask {
    /// It is a 2017 Loki server's, and from there, if that is known.
    pub(crate) legacy: bool,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) scraper: Option<String>,
    /// It has a name that is none.
    pub(crate) scraper_unreadable: bool,
    pub(crate) interval: Option<Duration>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) cursor_unreadable: bool,
    pub(crate) bytes_max: Option<usize>,
    pub(crate) wait: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) budget: Option<f64>,
    pub(crate) sampling: Option<Arc<Sampling>>,
    /// Traces that nobody sampled, and that are wanted all the same.
    pub(crate) collect: Vec<TraceId>,
    /// It asks for every epoch of a spool.
    pub(crate) follows_siblings: bool,
}

impl Ask {
    pub(crate) fn read(request: &Parts) -> Self {
        let header = |name: &str| {
            request.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
        };
        let scraper = header(pull::SCRAPER).filter(|name| is_name(name));
        let cursor = header(pull::CURSOR).map(str::parse);
        let query = request.uri.query().unwrap_or("");
        let bytes_max = query.split('&').find_map(|pair| pair.strip_prefix("max_bytes="));
        let legacy = negotiate::is_legacy(&request.headers);
        let peer = request.extensions.get::<Peer>().filter(|_| legacy);
        Self {
            legacy,
            peer: peer.map(|peer| peer.0.to_canonical()),
            scraper_unreadable: scraper.is_none() && request.headers.contains_key(pull::SCRAPER),
            scraper: scraper.map(str::to_owned),
            interval: header(pull::INTERVAL).and_then(seconds),
            cursor_unreadable: matches!(cursor, Some(Err(_))),
            cursor: cursor.and_then(Result::ok),
            bytes_max: bytes_max.and_then(|text| text.parse().ok()),
            wait: wait(&request.headers),
            budget: header(pull::BUDGET).and_then(budget),
            sampling: header(pull::SAMPLING)
                .and_then(|text| text.parse().ok())
                .filter(|sampling: &Sampling| !sampling.is_empty())
                .map(Arc::new),
            collect: header(pull::COLLECT).map(pull::parse_trace_ids).unwrap_or_default(),
            follows_siblings: header(pull::SIBLINGS) == Some("1"),
            timeout: header(pull::SCRAPE_TIMEOUT).and_then(seconds).map(|t| t.min(TIMEOUT_MAX)),
        }
    }
}

/// Something to know a scraper by.
fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
}

/// `wait=10` among the preferences of RFC 7240.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let preferences = values.flat_map(|value| value.split([',', ';']));
    let mut waits = preferences.filter_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("wait").then(|| seconds(value)).flatten()
    });
    waits.next()
}

/// Seconds, whole or with a fraction; `None` for what is no span of time.
fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// Spans in a second.
fn budget(text: &str) -> Option<f64> {
    text.parse().ok().filter(|budget: &f64| budget.is_finite() && *budget > 0.0)
}
