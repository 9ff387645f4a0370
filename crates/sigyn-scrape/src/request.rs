//! What is asked of a target: the request of one scrape, all but the cursor built once.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Empty;
use sigyn_model::pull::{self, Cursor};

use crate::decode;
use crate::schedule::Schedule;

/// What a body may hold on the wire unless its limit is small: more waits behind `Sigyn-More`.
const PAGE_BYTES_MAX: u64 = 4 << 20;
/// How much larger spans are unpacked than packed, with room to spare.
const PACKED_RATIO: u64 = 16;

/// Why no request can be made for a target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("this version scrapes over http only, not {scheme}")]
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
    uri: Uri,
    headers: HeaderMap,
    /// The target's own parameters say how much a body holds.
    max_bytes_is_set: bool,
    /// `max_bytes` at first; see [`Ask::shrink`].
    page_bytes: u64,
}

impl Ask {
    pub(crate) fn new(
        url: &str,
        schedule: Schedule,
        scraper_name: &str,
        user_agent: &str,
        compressed: bool,
        body_limit: u64,
    ) -> Result<Self, RequestError> {
        let uri: Uri = url.parse().map_err(|source| RequestError::Url { source })?;
        match uri.scheme_str() {
            Some("http") => {}
            scheme => {
                return Err(RequestError::Scheme {
                    scheme: scheme.unwrap_or("a URL without a scheme").to_owned(),
                });
            }
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(RequestError::NoHost);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(decode::ACCEPT));
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
        let max_bytes_is_set = uri
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("max_bytes=")));
        let page_bytes = PAGE_BYTES_MAX.min(body_limit / PACKED_RATIO).max(1);
        Ok(Self { uri, headers, max_bytes_is_set, page_bytes })
    }

    /// Asks for less at a time, after a body that was over its limit. False if it is as little as can
    /// be: a single segment.
    pub(crate) fn shrink(&mut self) -> bool {
        let shrinks = self.page_bytes > 1 && !self.max_bytes_is_set;
        self.page_bytes = (self.page_bytes / 4).max(1);
        shrinks
    }

    /// `host:port`, as messages name the target.
    pub(crate) fn address(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    pub(crate) fn request(&self, cursor: Option<Cursor>) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.uri_for_page();
        *request.headers_mut() = self.headers.clone();
        if let Some(cursor) = cursor
            && let Ok(value) = HeaderValue::from_str(&cursor.to_string())
        {
            request.headers_mut().insert(HeaderName::from_static(pull::CURSOR), value);
        }
        request
    }

    fn uri_for_page(&self) -> Uri {
        if self.max_bytes_is_set {
            return self.uri.clone();
        }
        let path = self.uri.path();
        let query = match self.uri.query() {
            Some(query) if !query.is_empty() => format!("{query}&"),
            _ => String::new(),
        };
        let mut parts = self.uri.clone().into_parts();
        // Text of a valid URI and digits make a valid URI again; should they not, it is asked as it was.
        let Ok(paged) = format!("{path}?{query}max_bytes={}", self.page_bytes).parse() else {
            return self.uri.clone();
        };
        parts.path_and_query = Some(paged);
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }
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
    use super::*;

    fn ask(url: &str, body_limit: u64) -> Result<Ask, RequestError> {
        let schedule = Schedule::new(Duration::from_secs(15), Duration::from_millis(2500)).unwrap();
        Ask::new(url, schedule, "sigyn-a", "Sigyn/1", true, body_limit)
    }

    #[test]
    fn a_request_carries_the_protocols_headers() {
        let ask = ask("http://127.0.0.1:9/traces", 64 << 20).unwrap();
        let request = ask.request(Some(Cursor { epoch: 0x9f, seq: 7 }));
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("sigyn-scraper"), "sigyn-a");
        assert_eq!(header("sigyn-cursor"), "000000000000009f:7");
        assert_eq!(header("sigyn-interval"), "15");
        assert_eq!(header("x-prometheus-scrape-timeout-seconds"), "2.5");
        assert_eq!(header("accept-encoding"), "zstd, gzip");
        assert_eq!(header("user-agent"), "Sigyn/1");
        assert!(header("accept").starts_with("application/x-protobuf; messageType=\"opentelem"));
        assert!(!ask.request(None).headers().contains_key("sigyn-cursor"));
    }

    #[test]
    fn the_page_size_is_added_to_the_targets_own_query() {
        let check = |url: &str, limit: u64, expected: &str| {
            let ask = ask(url, limit).unwrap();
            assert_eq!(ask.request(None).uri().to_string(), expected);
        };
        check("http://h:1/traces", 1 << 30, "http://h:1/traces?max_bytes=4194304");
        check("http://h:1", 16000, "http://h:1/?max_bytes=1000");
        check("http://h:1/t?a=b", 16000, "http://h:1/t?a=b&max_bytes=1000");
        check("http://h:1/t?", 16000, "http://h:1/t?max_bytes=1000");
        check("http://h:1/t?max_bytes=5", 16000, "http://h:1/t?max_bytes=5");
    }

    #[test]
    fn pages_shrink_to_one_segment() {
        let mut ask = ask("http://h:1/t", 16 * 8).unwrap();
        assert!(ask.shrink() && ask.shrink());
        assert_eq!(ask.request(None).uri().query(), Some("max_bytes=1"));
        assert!(!ask.shrink());
    }

    #[test]
    fn what_cannot_be_asked_is_refused_clearly() {
        let check = |url: &str, expected: &str| {
            assert_eq!(ask(url, 100).unwrap_err().to_string(), expected);
        };
        check("https://h:1/traces", "this version scrapes over http only, not https");
        check("/traces", "this version scrapes over http only, not a URL without a scheme");
        check("http://a b/traces", "cannot read the target's URL");
    }
}
