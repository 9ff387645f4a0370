//! The answer to a request for a page or a file of the UI.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::asset::{Asset, file, gzip};
use crate::index::{Frame, Index, Theme};

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; \
                   connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";

/// Answers `GET` and `HEAD` of `path`, which begins with a slash and no longer has the route prefix.
///
/// A file of `dist/` is served from the root and below `/zipkin/`. A path whose last part looks like
/// a file name and is none of ours is 404; any other path is a page, and the page is `index.html`.
pub fn respond(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    frame: Frame<'_>,
) -> Response<Bytes> {
    if method != Method::GET && method != Method::HEAD {
        let mut response =
            text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let name = path.trim_start_matches('/');
    let name = match name.strip_prefix("zipkin/").unwrap_or(name) {
        // Asked for by old browsers and by Zipkin's own links; every browser of today takes the drawing.
        "favicon.ico" => "favicon.svg",
        name => name,
    };
    let mut response = match file(name) {
        Some(asset) if name != "index.html" => asset_response(asset, headers),
        None if looks_like_a_file(name) => text(StatusCode::NOT_FOUND, "there is no such file\n"),
        _ => index_response(headers, frame),
    };
    if method == Method::HEAD {
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        *response.body_mut() = Bytes::new();
    }
    response
}

/// `x.js` is one, `checkout` is not. Nor is a service's page, whose name may hold dots.
fn looks_like_a_file(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    !name.starts_with("services/")
        && last.rsplit_once('.').is_some_and(|(_, extension)| !extension.is_empty())
}

fn asset_response(asset: &'static Asset, headers: &HeaderMap) -> Response<Bytes> {
    let zipped = accepts_gzip(headers).then(|| asset.gzipped()).flatten();
    let cache = if asset.is_immutable() { "max-age=31536000, immutable" } else { "max-age=60" };
    let representation = Representation {
        mime: asset.mime(),
        etag: asset.etag(),
        cache,
        vary: "Accept-Encoding",
        gzipped: zipped.is_some(),
        body: zipped.unwrap_or_else(|| asset.bytes()),
    };
    representation.response(headers)
}

fn index_response(headers: &HeaderMap, frame: Frame<'_>) -> Response<Bytes> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let theme = cookies.filter_map(Theme::from_cookies).next();
    let Some(index) = Index::new(frame, theme) else {
        return text(StatusCode::NOT_FOUND, "the UI was built without its page\n");
    };
    let gzipped = accepts_gzip(headers);
    let html = index.html.into_bytes();
    let representation = Representation {
        mime: "text/html; charset=utf-8",
        etag: &index.etag,
        cache: "max-age=60",
        vary: "Accept-Encoding, Cookie",
        gzipped,
        body: if gzipped { gzip(&html) } else { html.into() },
    };
    representation.response(headers)
}

/// One form of a file, ready to be sent.
struct Representation<'a> {
    mime: &'static str,
    etag: &'a str,
    cache: &'static str,
    vary: &'static str,
    gzipped: bool,
    body: Bytes,
}

impl Representation<'_> {
    fn response(self, request: &HeaderMap) -> Response<Bytes> {
        // A strong ETag names the bytes sent, so the gzipped form has its own.
        let etag = if self.gzipped {
            format!("\"{}-gz\"", self.etag)
        } else {
            format!("\"{}\"", self.etag)
        };
        let fresh = matches_etag(request, &etag);
        let mut response = Response::new(if fresh { Bytes::new() } else { self.body });
        if fresh {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        if let Ok(etag) = HeaderValue::try_from(etag) {
            headers.insert(ETAG, etag);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache));
        headers.insert(VARY, HeaderValue::from_static(self.vary));
        if !fresh {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.mime));
            if self.gzipped {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        secure(headers);
        response
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    secure(response.headers_mut());
    response
}

fn secure(headers: &mut HeaderMap) {
    const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(OPENER, HeaderValue::from_static("same-origin"));
}

/// Whether a gzipped answer is welcome: `gzip` or `*`, unless refused by `q=0`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for item in values.flat_map(|value| value.split(',')) {
        let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
        let refused = parameters
            .split(';')
            .filter_map(|parameter| parameter.trim().strip_prefix("q="))
            .any(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0));
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") => return !refused,
            "*" => any = !refused,
            _ => {}
        }
    }
    any
}

fn matches_etag(request: &HeaderMap, etag: &str) -> bool {
    let values = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == etag
    })
}

#[cfg(test)]
mod tests;
