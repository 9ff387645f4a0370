//! How the UI's files are served: types, caching, prefixes, the theme, and what is no file.

use std::io::Read as _;

use super::*;
use crate::assets::ASSETS;

fn get(path: &str, headers: &[(HeaderName, &str)]) -> Response<Bytes> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
        .collect();
    respond(&Method::GET, path, &headers, Frame::default())
}

fn header(response: &Response<Bytes>, name: HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn script() -> String {
    let asset = ASSETS.iter().find(|asset| asset.path().ends_with(".js")).unwrap();
    format!("/{}", asset.path())
}

#[test]
fn a_page_is_the_index_and_an_unknown_file_is_not_found() {
    let check = |path: &str, status: u16, mime: &str| {
        let response = get(path, &[]);
        assert_eq!(response.status(), status, "{path}");
        assert!(
            header(&response, CONTENT_TYPE).starts_with(mime),
            "{path}: {}",
            header(&response, CONTENT_TYPE)
        );
    };
    check("/", 200, "text/html");
    check("/index.html", 200, "text/html");
    check("/zipkin/", 200, "text/html");
    check("/zipkin/traces/6f1c0b9ad27e4f53", 200, "text/html");
    check("/targets", 200, "text/html");
    check("/services/shop.checkout", 200, "text/html");
    check("/favicon.svg", 200, "image/svg+xml");
    check("/zipkin/favicon.svg", 200, "image/svg+xml");
    check("/zipkin/favicon.ico", 200, "image/svg+xml");
    check(&script(), 200, "text/javascript");
    check("/zipkin/main.js", 404, "text/plain");
    check("/assets/index-old.css", 404, "text/plain");
    check("/../Cargo.toml", 404, "text/plain");
}

#[test]
fn other_methods_are_refused_and_head_has_no_body() {
    let refused = respond(&Method::POST, "/", &HeaderMap::new(), Frame::default());
    assert_eq!(refused.status(), 405);
    assert_eq!(header(&refused, ALLOW), "GET, HEAD");
    let head = respond(&Method::HEAD, &script(), &HeaderMap::new(), Frame::default());
    assert!(head.body().is_empty());
    assert_eq!(header(&head, CONTENT_LENGTH), get(&script(), &[]).body().len().to_string());
}

#[test]
fn gzip_is_sent_to_those_who_take_it() {
    let check = |accept: &str, gzipped: bool| {
        let response = get(&script(), &[(ACCEPT_ENCODING, accept)]);
        assert_eq!(header(&response, CONTENT_ENCODING) == "gzip", gzipped, "{accept:?}");
        assert_eq!(header(&response, VARY), "Accept-Encoding");
    };
    check("gzip, deflate, br", true);
    check("br;q=1.0, GZIP;q=0.5", true);
    check("*", true);
    check("identity", false);
    check("gzip;q=0", false);
    check("*;q=0, gzip", true);
    check("gzip;q=0, *", false);
    check("", false);
}

#[test]
fn what_is_gzipped_is_what_was_embedded() {
    let plain = get(&script(), &[]);
    let zipped = get(&script(), &[(ACCEPT_ENCODING, "gzip")]);
    let mut unzipped = Vec::new();
    flate2::read::GzDecoder::new(&zipped.body()[..]).read_to_end(&mut unzipped).unwrap();
    assert_eq!(plain.body()[..], unzipped[..]);
    assert_ne!(header(&plain, ETAG), header(&zipped, ETAG));
}

#[test]
fn a_known_etag_is_answered_without_a_body() {
    for path in ["/targets", &script(), "/favicon.svg"] {
        let etag = header(&get(path, &[]), ETAG).to_owned();
        let check = |candidate: &str, status: u16| {
            let response = get(path, &[(IF_NONE_MATCH, candidate)]);
            assert_eq!(response.status(), status, "{path} {candidate}");
            assert_eq!(response.body().is_empty(), status == 304);
            assert_eq!(header(&response, ETAG), etag);
        };
        check(&etag, 304);
        check(&format!("\"other\", W/{etag}"), 304);
        check("*", 304);
        check("\"other\"", 200);
        let in_gzip = get(path, &[(IF_NONE_MATCH, &etag), (ACCEPT_ENCODING, "gzip")]);
        assert_eq!(in_gzip.status(), 200, "the gzipped bytes are others");
    }
}

#[test]
fn hashed_files_are_kept_for_ever_and_the_page_for_a_minute() {
    assert_eq!(header(&get(&script(), &[]), CACHE_CONTROL), "max-age=31536000, immutable");
    assert_eq!(header(&get("/favicon.svg", &[]), CACHE_CONTROL), "max-age=60");
    let index = get("/", &[]);
    assert_eq!(header(&index, CACHE_CONTROL), "max-age=60");
    assert_eq!(header(&index, VARY), "Accept-Encoding, Cookie");
}

#[test]
fn the_cookie_paints_the_page_in_its_theme() {
    let page = |cookie: &str| {
        String::from_utf8(get("/", &[(COOKIE, cookie)]).into_body().to_vec()).unwrap()
    };
    assert!(page("theme=dark").contains("data-theme=\"dark\""));
    assert!(!page("theme=pink").contains("data-theme"));
}

#[test]
fn every_answer_carries_the_policy() {
    for path in ["/", "/missing.js", "/favicon.svg"] {
        let response = get(path, &[]);
        assert!(
            header(&response, CONTENT_SECURITY_POLICY).contains("script-src 'self';"),
            "{path}"
        );
        assert_eq!(header(&response, X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
    }
}

#[test]
fn the_page_holds_nothing_that_the_policy_forbids() {
    let html = String::from_utf8(get("/", &[]).into_body().to_vec()).unwrap();
    assert!(!html.contains("<style") && !html.contains("style="));
    for script in html.match_indices("<script").map(|(at, _)| &html[at..]) {
        let tag = &script[..script.find('>').unwrap()];
        assert!(tag.contains(" src="), "{tag}");
    }
}
