//! What spans of HTTP are called and say, by OpenTelemetry's conventions.

use http::uri::{Scheme, Uri};
use http::{Method, StatusCode, Version};
use sigyn_recorder::{ActiveSpan, Endpoint};

use crate::call::Side;
use crate::current::CurrentSpan;

const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "QUERY"];

/// What a method is called in names, and in the tag. Others than these could be anything.
pub(crate) fn method(method: &Method) -> (&'static str, &'static str) {
    let known = METHODS.iter().find(|known| **known == method.as_str());
    known.map_or(("HTTP", "_OTHER"), |known| (known, known))
}

/// Which HTTP it is, in a tag.
pub(crate) fn version(version: Version) -> Option<&'static str> {
    [
        (Version::HTTP_11, "1.1"),
        (Version::HTTP_2, "2"),
        (Version::HTTP_3, "3"),
        (Version::HTTP_10, "1.0"),
        (Version::HTTP_09, "0.9"),
    ]
    .into_iter()
    .find_map(|(known, name)| (known == version).then_some(name))
}

/// A server is not to blame for a status 4xx; a client has failed.
pub(crate) fn respond(span: &CurrentSpan, side: Side, status: StatusCode) {
    span.tag("http.response.status_code", status.as_u16());
    let failed = status.is_server_error() || (side == Side::Client && status.is_client_error());
    if failed {
        span.tag("error.type", status.as_str());
        match status.canonical_reason() {
            Some(reason) => span.error(&format!("{} {reason}", status.as_str())),
            None => span.error(status.as_str()),
        };
    }
}

/// Where a client's request goes. Of the address, what is behind `?` and before `@` is nobody's business.
pub(crate) fn destination(span: &mut ActiveSpan, uri: &Uri, path: bool) {
    let Some(host) = uri.host() else {
        if path {
            span.tag("url.path", uri.path());
        }
        return;
    };
    let host = host.trim_matches(['[', ']']);
    span.tag("server.address", host);
    let port = port(uri);
    if let Some(port) = port {
        span.tag("server.port", port);
    }
    if path {
        let scheme = uri.scheme_str().unwrap_or("http");
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let authority = authority.rsplit_once('@').map_or(authority, |(_, behind)| behind);
        span.tag("url.full", format_args!("{scheme}://{authority}{}", uri.path()));
    }
}

/// Whom a client's request goes to: by the name that it was given, and by the address if there is one.
pub(crate) fn server(uri: &Uri, name: &str) -> Endpoint {
    let mut endpoint = Endpoint::named(name);
    if let Some(host) = uri.host() {
        endpoint.set_ip_text(host.trim_matches(['[', ']']));
        endpoint.port = port(uri).unwrap_or_default();
    }
    endpoint
}

fn port(uri: &Uri) -> Option<u16> {
    uri.port_u16().or_else(|| {
        let scheme = uri.scheme()?;
        [(Scheme::HTTP, 80), (Scheme::HTTPS, 443)]
            .into_iter()
            .find_map(|(known, port)| (known == *scheme).then_some(port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_anybody_may_invent_are_one() {
        assert_eq!(method(&Method::PATCH), ("PATCH", "PATCH"));
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), ("HTTP", "_OTHER"));
        assert_eq!(method(&Method::from_bytes(b"get").unwrap()), ("HTTP", "_OTHER"));
    }

    #[test]
    fn a_server_is_known_by_its_address_or_by_name() {
        let check = |uri: &'static str, expected: (&str, &str, u16)| {
            let endpoint = server(&Uri::from_static(uri), "Cart");
            let v4 = endpoint.ipv4.map_or(String::new(), |ip| ip.to_string());
            let v6 = endpoint.ipv6.map_or(String::new(), |ip| ip.to_string());
            assert_eq!(endpoint.service_name, "cart");
            assert_eq!((v4.as_str(), v6.as_str(), endpoint.port), expected, "{uri}");
        };
        check("http://127.0.0.1:81/a", ("127.0.0.1", "", 81));
        check("https://[::1]/a", ("", "::1", 443));
        check("http://cart/a", ("", "", 80));
        check("/a", ("", "", 0));
    }
}
