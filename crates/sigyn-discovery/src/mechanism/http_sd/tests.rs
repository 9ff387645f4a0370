//! Sections that are refused, and answers read whole or not at all.

use std::path::Path;

use bytes::Bytes;

use super::find::{groups, is_json};
use super::*;
use crate::error_chain::chain;
use crate::group::TargetGroup;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: HttpConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/etc/sigyn"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{}", "URL is missing");
    check("{url: ~}", "URL is missing");
    check("{url: 127.0.0.1}", "URL scheme must be 'http' or 'https'");
    check("{url: 'ftp://127.0.0.1/'}", "URL scheme must be 'http' or 'https'");
    check("{url: 'http:///a'}", "host is missing in URL");
    check(
        "{url: 'http://127.0.0.1:x/'}",
        r#"parse "http://127.0.0.1:x/": invalid port ":x" after host"#,
    );
    check("{url: 'http://127.0.0.1/', bogus: 1}", "field bogus not found in type http.plain");
    check("{url: 'http://127.0.0.1/', refresh_interval: 5}", "not a valid duration string: \"5\"");
    check(
        "{url: 'http://127.0.0.1/', bearer_token: a, basic_auth: {}}",
        "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
    );
    check(
        "{url: 'http://127.0.0.1/', http_headers: {Host: {values: [a]}}}",
        "setting header \"Host\" is not allowed",
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{url: 'HTTP://127.0.0.1/?a=b'}").unwrap();
    assert_eq!(config.url, "HTTP://127.0.0.1/?a=b");
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
    assert_eq!(config.client, http::Config::default());
    let config = checked("{url: 'http://127.0.0.1/', refresh_interval: 5s}").unwrap();
    assert_eq!(config.refresh_interval, Duration::from_secs(5));
}

#[test]
fn content_types() {
    for (content_type, expected) in [
        ("application/json", true),
        (" Application/JSON\t", true),
        ("application/json;charset=utf-8", true),
        ("application/json; Charset=\"UTF-8\"", true),
        ("application/json;charset=UTF-8", true),
        ("Application/JSON;Charset=\"utf-8\"", true),
        ("application/json; charset=\"utf-8\"", true),
        ("application/json;", false),
        ("application/jsonl; charset=\"utf-8\"", false),
        ("application /json;charset=UTF-8", false),
        ("application/ json;charset=UTF-8", false),
        ("charset=UTF-8", false),
        ("application/json;charset=utf-9", false),
        ("application/json; charset='utf-8'", false),
        ("application/jsonl", false),
        ("application /json", false),
        ("text/json", false),
        ("charset=utf-8", false),
        ("", false),
    ] {
        assert_eq!(is_json(content_type), expected, "{content_type}");
    }
}

#[test]
fn answers() {
    let url = "http://127.0.0.1/sd";
    let check = |body: &str, expected: Result<&[&str], &str>| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let told = groups(url, "application/json", &body);
        let told = told.map_err(|error| chain(&error)).map(|groups| {
            let shown = |group: TargetGroup| {
                format!("{} {} {:?}", group.source, group.labels, group.targets)
            };
            groups.into_iter().map(shown).collect::<Vec<_>>()
        });
        match (told, expected) {
            (Ok(told), Ok(expected)) => assert_eq!(told, expected, "{body:?}"),
            (Err(told), Err(expected)) => assert!(told.starts_with(expected), "{body:?}: {told}"),
            (told, expected) => panic!("{body:?}: {told:?} instead of {expected:?}"),
        }
    };
    check("[]", Ok(&[]));
    check(
        " null\n",
        Err("the answer is no list of target groups: invalid type: null, expected a seq"),
    );
    check(
        r#"[{"targets": ["127.0.0.1:1", "127.0.0.2:1"], "labels": {"zone": "a", "": "b", "gone": ""}}]"#,
        Err("the answer is no list of target groups: \"\" is not a valid label name"),
    );
    check(
        r#"[{"targets": ["127.0.0.1:1", "127.0.0.2:1"], "labels": {"__meta_rack": "a", "gone": ""}}, {}]"#,
        Ok(&[
            concat!(
                r#"http://127.0.0.1/sd:0 {__meta_rack="a", __meta_url="http://127.0.0.1/sd"} "#,
                r#"[{__address__="127.0.0.1:1"}, {__address__="127.0.0.2:1"}]"#,
            ),
            r#"http://127.0.0.1/sd:1 {__meta_url="http://127.0.0.1/sd"} []"#,
        ]),
    );
    check(
        r#"[{"targets": null, "labels": {"__meta_url": "mine"}}]"#,
        Ok(&[r#"http://127.0.0.1/sd:0 {__meta_url="http://127.0.0.1/sd"} []"#]),
    );
    check("[{}, null]", Err("nil target group item found (index 1)"));
    let not_a_list = "the answer is no list of target groups: ";
    for body in [
        "",
        "{}",
        "[{\"targets\": [1]}]",
        "[{\"labels\": {\"a\": 1}}]",
        "[{\"target\": []}]",
        "[{}] x",
        "[{}",
    ] {
        check(body, Err(not_a_list));
    }
    let told = groups(url, "text/html", &Bytes::from_static(b"[]")).unwrap_err();
    assert_eq!(told.to_string(), "unsupported content type \"text/html\"");
}
