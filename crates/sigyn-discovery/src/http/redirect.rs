//! Where a server sends us, and whether it may know there who we are. The rules are Go's and
//! Prometheus'.

use http::header::{HeaderMap, LOCATION};
use http::{Method, StatusCode, Uri};
use url::Url;

use super::error::ClientError;

/// How many requests one may become.
pub(super) const REQUESTS_MAX: usize = 10;

/// One request's way from server to server.
#[derive(Debug)]
pub(super) struct Chain {
    /// Whom we meant to ask.
    host: String,
    /// Whether any server on the way was neither that one nor below it. Coming back to it does not
    /// undo that.
    left: bool,
    requests: usize,
}

/// What to ask next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) uri: Uri,
    /// Whether method and body stay; else it is a GET without one.
    pub(super) same_request: bool,
}

impl Chain {
    pub(super) fn new(uri: &Uri) -> Self {
        Self { host: host(uri), left: false, requests: 1 }
    }

    /// Whether credentials have to stay here.
    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    /// Where an answer sends us. `None` if it is the one to keep.
    pub(super) fn next(
        &mut self,
        method: &Method,
        uri: &Uri,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Option<Hop>, ClientError> {
        let same_request = match status.as_u16() {
            301..=303 => matches!(*method, Method::GET | Method::HEAD),
            307 | 308 => true,
            _ => return Ok(None),
        };
        let location = headers.get(LOCATION).map_or(&[][..], |value| value.as_bytes());
        if location.is_empty() {
            return Ok(None);
        }
        if self.requests == REQUESTS_MAX {
            return Err(ClientError::Redirects);
        }
        self.requests += 1;
        let location = String::from_utf8_lossy(location);
        let uri = joined(uri, &location).ok_or_else(|| ClientError::Location {
            location: location.chars().take(200).collect(),
        })?;
        self.left |= !is_same_or_below(&host(&uri), &self.host);
        Ok(Some(Hop { uri, same_request }))
    }
}

/// What a location means to whoever asked for `base`, without a name and a fragment in it.
fn joined(base: &Uri, location: &str) -> Option<Uri> {
    let mut url = Url::parse(&base.to_string()).ok()?.join(location).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    url.set_fragment(None);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.as_str().parse().ok()
}

/// The host in lower case, an IPv6 address without its brackets.
fn host(uri: &Uri) -> String {
    uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase()
}

/// Whether `host` is `parent`, or has a name below its name.
fn is_same_or_below(host: &str, parent: &str) -> bool {
    if parent.is_empty() || host == parent {
        return !parent.is_empty();
    }
    // An IPv6 address with a zone may end in anything.
    !host.contains([':', '%']) && host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn next(
        chain: &mut Chain,
        method: &Method,
        from: &str,
        status: u16,
        location: &str,
    ) -> Result<Option<Hop>, ClientError> {
        let status = StatusCode::from_u16(status).unwrap();
        let location = HeaderValue::from_str(location).unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, location)]);
        chain.next(method, &from.parse().unwrap(), status, &headers)
    }

    #[test]
    fn locations_are_read_as_seen_from_whoever_sends_us() {
        for (location, expected) in [
            ("http://127.0.0.2:1/x?y", Some("http://127.0.0.2:1/x?y")),
            ("//127.0.0.2/x", Some("http://127.0.0.2/x")),
            ("/x", Some("http://127.0.0.1:9/x")),
            ("x?y=1", Some("http://127.0.0.1:9/a/x?y=1")),
            ("?y", Some("http://127.0.0.1:9/a/b?y")),
            ("../x#fragment", Some("http://127.0.0.1:9/x")),
            ("https://me:pw@127.0.0.1/", Some("https://127.0.0.1/")),
            ("ftp://127.0.0.1/", None),
            ("http://", None),
        ] {
            let mut chain = Chain::new(&Uri::from_static("http://127.0.0.1:9"));
            let hop = next(&mut chain, &Method::GET, "http://127.0.0.1:9/a/b?q", 302, location);
            match expected {
                Some(expected) => assert_eq!(hop.unwrap().unwrap().uri, expected, "{location}"),
                None => assert!(matches!(hop, Err(ClientError::Location { .. })), "{location}"),
            }
        }
    }

    #[test]
    fn which_answers_send_us_on_and_what_stays_of_the_request() {
        for (method, status, expected) in [
            (Method::GET, 301, Some(true)),
            (Method::HEAD, 303, Some(true)),
            (Method::POST, 301, Some(false)),
            (Method::POST, 302, Some(false)),
            (Method::PUT, 303, Some(false)),
            (Method::POST, 307, Some(true)),
            (Method::POST, 308, Some(true)),
            (Method::GET, 300, None),
            (Method::GET, 304, None),
            (Method::GET, 200, None),
        ] {
            let mut chain = Chain::new(&Uri::from_static("http://127.0.0.1"));
            let hop = next(&mut chain, &method, "http://127.0.0.1", status, "/x").unwrap();
            assert_eq!(hop.map(|hop| hop.same_request), expected, "{method} {status}");
        }
        let mut chain = Chain::new(&Uri::from_static("http://127.0.0.1"));
        assert_eq!(next(&mut chain, &Method::GET, "http://127.0.0.1", 302, "").unwrap(), None);
    }

    #[test]
    fn the_tenth_redirect_is_one_too_many() {
        let mut chain = Chain::new(&Uri::from_static("http://127.0.0.1"));
        let mut follow = || next(&mut chain, &Method::GET, "http://127.0.0.1", 302, "/");
        for _ in 1..10 {
            assert!(follow().unwrap().is_some());
        }
        assert_eq!(follow().unwrap_err().to_string(), "stopped after 10 redirects");
    }

    #[test]
    fn who_left_has_left() {
        let check = |origin: &str, hops: &[&str], expected: bool| {
            let mut chain = Chain::new(&origin.parse().unwrap());
            let mut at = origin.to_owned();
            for hop in hops {
                at =
                    next(&mut chain, &Method::GET, &at, 307, hop).unwrap().unwrap().uri.to_string();
            }
            assert_eq!(chain.has_left(), expected, "{origin} {hops:?}");
        };
        check("http://a.test", &[], false);
        check("http://a.test", &["/x", "http://a.test:8080/", "https://A.TEST/"], false);
        check("http://a.test", &["http://b.a.test/", "http://c.b.a.test/"], false);
        check("http://b.a.test", &["http://a.test/"], true);
        check("http://a.test", &["http://ba.test/"], true);
        check("http://a.test", &["http://b.test/", "http://a.test/"], true);
        check("http://127.0.0.1", &["http://127.0.0.1:9/"], false);
        check("http://127.0.0.1", &["http://127.0.0.2/"], true);
        check("http://[::1]:80", &["http://[::1]:81/"], false);
        check("http://[::1]:80", &["http://127.0.0.1:81/"], true);
    }

    #[test]
    fn an_address_with_a_zone_is_below_nothing() {
        assert!(is_same_or_below("b.a.test", "a.test"));
        assert!(!is_same_or_below("::1%.a.test", "a.test"));
        assert!(!is_same_or_below("", "") && !is_same_or_below("a", ""));
    }
}
