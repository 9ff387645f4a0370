//! What is asked of a target: the request of one scrape, all but the cursor built once.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use sigyn_discovery::http::{Client, ClientError};
use sigyn_model::TraceId;
use sigyn_model::pull::{self, Cursor, Sampling};
use tokio::time::Instant;

use crate::decode;
use crate::door::Door;
use crate::schedule::Schedule;

/// What a body may hold on the wire unless its limit is small: more waits behind `Sigyn-More`. Small
/// pages share the memory for spans better than large ones, and a round trip costs little.
const PAGE_BYTES_MAX: u64 = 1 << 20;
/// So many pages in a row that fit, and the next may be larger again.
const PAGES_BEFORE_GROWTH: u32 = 16;
/// How much larger spans are unpacked than packed, with room to spare.
const PACKED_RATIO: u64 = 16;

/// Why no request can be made for a target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("unsupported protocol scheme {scheme:?}")]
    Scheme { scheme: String },
    #[error("cannot read the target's URL")]
    Url { source: http::uri::InvalidUri },
    #[error("the target's URL has no host")]
    NoHost,
    #[error("{what} cannot be sent in a header")]
    Header { what: &'static str, source: http::header::InvalidHeaderValue },
}

/// One target's request, but for its cursor.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    client: Client,
    uri: Uri,
    headers: HeaderMap,
    /// `max_bytes` where nothing speaks against it.
    whole_page_bytes: u64,
    /// `max_bytes` now; see [`Ask::shrink`].
    page_bytes: u64,
    pages_that_fit: u32,
}

impl Ask {
    #[expect(clippy::too_many_arguments, reason = "each is another thing that the request says")]
    pub(crate) fn new(
        client: Client,
        url: &str,
        schedule: Schedule,
        scraper_name: &str,
        user_agent: &str,
        compressed: bool,
        body_limit: u64,
        span_budget: Option<u32>,
        sampling: &Sampling,
    ) -> Result<Self, RequestError> {
        let uri: Uri = url.parse().map_err(|source| RequestError::Url { source })?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            return Err(RequestError::Scheme { scheme: scheme.to_owned() });
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(RequestError::NoHost);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value("the list of formats", &decode::accept())?);
        let packed = if compressed { "zstd, gzip" } else { "identity" };
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(packed));
        headers.insert(USER_AGENT, value("the user agent", user_agent)?);
        headers.insert(
            HeaderName::from_static(pull::SCRAPER),
            value("the scraper's name", scraper_name)?,
        );
        for (name, duration) in
            [(pull::INTERVAL, schedule.interval()), (pull::SCRAPE_TIMEOUT, schedule.timeout())]
        {
            headers.insert(HeaderName::from_static(name), seconds(duration));
        }
        headers.insert(HeaderName::from_static(pull::SIBLINGS), HeaderValue::from_static("1"));
        if let Some(budget) = span_budget {
            headers.insert(HeaderName::from_static(pull::BUDGET), HeaderValue::from(budget));
        }
        if !sampling.is_empty() {
            let sampling = value("the job's sampling", &sampling.to_string())?;
            headers.insert(HeaderName::from_static(pull::SAMPLING), sampling);
        }
        let page_bytes = PAGE_BYTES_MAX.min(body_limit / PACKED_RATIO).max(1);
        // A target's own parameters may say how much a body holds.
        let own = uri.query().and_then(|query| query.split('&').find_map(max_bytes));
        let page_bytes = own.unwrap_or(page_bytes);
        Ok(Self {
            client,
            uri,
            headers,
            whole_page_bytes: page_bytes,
            page_bytes,
            pages_that_fit: 0,
        })
    }

    /// What the target is asked beside its spans.
    pub(crate) fn door(&self) -> Door {
        Door::new(self.client.clone(), self.uri.clone(), &self.headers)
    }

    /// Asks for less at a time, after a body that was too large. False if it is as little as can be:
    /// a single segment.
    pub(crate) fn shrink(&mut self) -> bool {
        self.shrink_to(self.page_bytes / 4)
    }

    /// Asks for one segment at a time, to find the one that cannot be read.
    pub(crate) fn shrink_to_one_segment(&mut self) -> bool {
        self.shrink_to(1)
    }

    fn shrink_to(&mut self, bytes: u64) -> bool {
        let shrinks = self.page_bytes > 1;
        self.page_bytes = bytes.max(1);
        self.pages_that_fit = 0;
        shrinks
    }

    /// A page was read and stored. After some of them the next may be larger again.
    pub(crate) fn fitted(&mut self) {
        self.pages_that_fit += 1;
        if self.pages_that_fit >= PAGES_BEFORE_GROWTH {
            self.pages_that_fit = 0;
            self.page_bytes = self.page_bytes.saturating_mul(4).min(self.whole_page_bytes);
        }
    }

    /// Asks. The head of the answer is there by `deadline`, or there is none.
    pub(crate) async fn send(
        &self,
        cursor: Option<Cursor>,
        collect: &[TraceId],
        wait: Option<Duration>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, ClientError> {
        self.client.send(self.request(cursor, collect, wait), deadline).await
    }

    fn request(
        &self,
        cursor: Option<Cursor>,
        collect: &[TraceId],
        wait: Option<Duration>,
    ) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.uri_for_page();
        *request.headers_mut() = self.headers.clone();
        if let Some(cursor) = cursor
            && let Ok(value) = HeaderValue::from_str(&cursor.to_string())
        {
            request.headers_mut().insert(HeaderName::from_static(pull::CURSOR), value);
        }
        if !collect.is_empty()
            && let Ok(value) = HeaderValue::from_str(&pull::trace_ids(collect))
        {
            request.headers_mut().insert(HeaderName::from_static(pull::COLLECT), value);
        }
        if let Some(wait) = wait
            && let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs_f64()))
        {
            request.headers_mut().insert(HeaderName::from_static("prefer"), value);
        }
        request
    }

    fn uri_for_page(&self) -> Uri {
        let path = self.uri.path();
        let own = self.uri.query().unwrap_or("").split('&');
        let kept = own.filter(|pair| !pair.is_empty() && max_bytes(pair).is_none());
        let query: String = kept.map(|pair| format!("{pair}&")).collect();
        let mut parts = self.uri.clone().into_parts();
        // Text of a valid URI and digits make a valid URI again; should they not, it is asked as it was.
        let Ok(paged) = format!("{path}?{query}max_bytes={}", self.page_bytes).parse() else {
            return self.uri.clone();
        };
        parts.path_and_query = Some(paged);
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }
}

/// What `max_bytes=<n>` says.
fn max_bytes(pair: &str) -> Option<u64> {
    pair.strip_prefix("max_bytes=")?.parse().ok()
}

fn value(what: &'static str, text: &str) -> Result<HeaderValue, RequestError> {
    HeaderValue::from_str(text).map_err(|source| RequestError::Header { what, source })
}

fn seconds(duration: Duration) -> HeaderValue {
    // Digits and a point are always a header's value.
    HeaderValue::from_str(&duration.as_secs_f64().to_string())
        .unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use sigyn_discovery::http::{Config, Options};

    use super::*;

    fn ask(url: &str, body_limit: u64) -> Result<Ask, RequestError> {
        let schedule = Schedule::new(Duration::from_secs(15), Duration::from_millis(2500)).unwrap();
        let client = Client::new(&Config::default(), Options::default()).unwrap();
        let sampling = "rate=0.1,operation:get%20%2F=1".parse().unwrap();
        Ask::new(client, url, schedule, "sigyn-a", "Sigyn/1", true, body_limit, Some(50), &sampling)
    }

    #[test]
    fn a_request_carries_the_protocols_headers() {
        let ask = ask("http://127.0.0.1:9/traces", 64 << 20).unwrap();
        let cursor = Some(Cursor { epoch: 0x9f, seq: 7 });
        let request = ask.request(cursor, &[], None);
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("sigyn-scraper"), "sigyn-a");
        assert_eq!(header("sigyn-cursor"), "000000000000009f:7");
        assert_eq!(header("sigyn-interval"), "15");
        assert_eq!(header("sigyn-budget"), "50");
        assert_eq!(header("sigyn-sampling"), "rate=0.1,operation:get%20%2F=1");
        assert!(!request.headers().contains_key("sigyn-collect"));
        assert_eq!(header("x-prometheus-scrape-timeout-seconds"), "2.5");
        assert_eq!(header("accept-encoding"), "zstd, gzip");
        assert_eq!(header("user-agent"), "Sigyn/1");
        assert!(header("accept").starts_with("application/x-protobuf; messageType=\"opentelem"));
        assert!(!request.headers().contains_key("prefer"));
        let ids = [1, 0xab].map(|id| TraceId::new(id).unwrap());
        let collect = ask.request(cursor, &ids, None).headers()["sigyn-collect"].clone();
        assert_eq!(collect, format!("{:032x},{:032x}", 1, 0xab));
        let request = ask.request(None, &[], Some(Duration::from_millis(7500)));
        assert!(!request.headers().contains_key("sigyn-cursor"));
        assert_eq!(request.headers()["prefer"], "wait=7.5");
    }

    #[test]
    fn the_page_size_is_added_to_the_targets_own_query() {
        let check = |url: &str, limit: u64, expected: &str| {
            let ask = ask(url, limit).unwrap();
            assert_eq!(ask.request(None, &[], None).uri().to_string(), expected);
        };
        check("http://h:1/traces", 1 << 30, "http://h:1/traces?max_bytes=1048576");
        check("http://h:1", 16000, "http://h:1/?max_bytes=1000");
        check("http://h:1/t?a=b", 16000, "http://h:1/t?a=b&max_bytes=1000");
        check("http://h:1/t?", 16000, "http://h:1/t?max_bytes=1000");
        check("http://h:1/t?max_bytes=5", 16000, "http://h:1/t?max_bytes=5");
        check("http://h:1/t?max_bytes=5&a=b", 16000, "http://h:1/t?a=b&max_bytes=5");
    }

    #[test]
    fn pages_shrink_to_one_segment_and_grow_again() {
        let mut ask = ask("http://h:1/t", 16 * 8).unwrap();
        let query = |ask: &Ask| ask.request(None, &[], None).uri().query().unwrap().to_owned();
        assert!(ask.shrink() && ask.shrink());
        assert_eq!(query(&ask), "max_bytes=1");
        assert!(!ask.shrink() && !ask.shrink_to_one_segment());
        for expected in ["max_bytes=4", "max_bytes=8", "max_bytes=8"] {
            (0..PAGES_BEFORE_GROWTH).for_each(|_| ask.fitted());
            assert_eq!(query(&ask), expected);
        }
        assert!(ask.shrink_to_one_segment());
        assert_eq!(query(&ask), "max_bytes=1");
    }

    #[test]
    fn what_cannot_be_asked_is_refused_clearly() {
        let check = |url: &str, expected: &str| {
            assert_eq!(ask(url, 100).unwrap_err().to_string(), expected);
        };
        check("ftp://h:1/traces", "unsupported protocol scheme \"ftp\"");
        check("/traces", "unsupported protocol scheme \"\"");
        check("http://a b/traces", "cannot read the target's URL");
    }
}
