//! Bodies: every format in every compression, read back by ordinary decoders.

use sigyn_model::Span;
use sigyn_model::codec::otlp;

use crate::target::{ANY, OTLP, Target, span};

/// Five segments of two spans, as this request gets them.
async fn read(headers: &[&str]) -> (Vec<Span>, Target) {
    let target = Target::new();
    for id in 0..5 {
        target.record([2 * id + 1, 2 * id + 2]);
        target.get("/traces", &[ANY]).await;
    }
    let answer = target.get("/traces", headers).await;
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    (answer.spans(), target)
}

/// Every format that can be asked for, as it is named.
const FORMATS: [&str; 5] = [
    OTLP,
    "application/x-protobuf; messageType=\"zipkin.proto3.ListOfSpans\"",
    "application/json",
    "application/json; profile=\"otlp\"",
    "application/vnd.apache.thrift.compact",
];

#[tokio::test]
async fn every_format_is_one_list_over_many_members() {
    let expected: Vec<Span> = (1..=10).map(span).collect();
    for accept in FORMATS {
        for coding in ["identity", "gzip", "zstd"] {
            let headers = [format!("Accept: {accept}"), format!("Accept-Encoding: {coding}")];
            let (spans, _) = read(&headers.each_ref().map(String::as_str)).await;
            assert_eq!(spans, expected, "{accept} {coding}");
        }
    }
}

/// Thrift's header has room for fourteen in its first byte, and more bytes for more.
#[tokio::test]
async fn thrift_says_how_many_there_are() {
    let target = Target::new();
    let mut recorded = 0;
    for more in [1, 13, 1, 1, 284] {
        target.record(recorded + 1..=recorded + more);
        recorded += more;
        let answer =
            target.get("/traces", &["Accept: application/vnd.apache.thrift.compact"]).await;
        assert_eq!(answer.ids(), (1..=recorded).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_answer_names_what_it_is() {
    let target = Target::new();
    target.record([1]);
    let check = async |headers: &[&str], content_type: &str, coding: Option<&str>| {
        let answer = target.get("/traces", headers).await;
        assert_eq!(answer.header("content-type"), Some(content_type), "{headers:?}");
        assert_eq!(answer.header("content-encoding"), coding, "{headers:?}");
        assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"), "{headers:?}");
    };
    for format in FORMATS {
        check(&[&format!("Accept: {format}")], format, None).await;
    }
    check(&["Accept-Encoding: gzip"], "application/vnd.apache.thrift.compact", Some("gzip")).await;
    check(&["Sigyn-Scraper: a"], "application/json", None).await;
    check(&[ANY, "Accept-Encoding: gzip, deflate, br, zstd"], "application/json", Some("zstd"))
        .await;
    check(&["Accept: application/x-protobuf", "Accept-Encoding: gzip"], OTLP, Some("gzip")).await;
}

#[tokio::test]
async fn a_scrape_in_one_format_does_not_disturb_another() {
    let (_, target) = read(&[]).await;
    let otlp = format!("Accept: {OTLP}");
    let first = target.get("/traces", &[&otlp, "Accept-Encoding: gzip"]).await;
    target.get("/traces", &["Accept-Encoding: gzip"]).await;
    let second = target.get("/traces", &[&otlp, "Accept-Encoding: gzip"]).await;
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn otlp_carries_the_whole_span() {
    let target = Target::new();
    let mut active = target.recorder.start("GET /", Some(sigyn_model::Kind::Server), None);
    active.tag("http.method", "GET").annotate("half way").error("broken");
    active.finish();
    let answer = target.get("/traces", &[&format!("Accept: {OTLP}")]).await;
    let json = target.get("/traces", &[ANY]).await;
    let (otlp_spans, json_spans) = (otlp::decode(&answer.plain()).unwrap().spans, json.spans());
    assert_eq!(otlp_spans[0].status.message, "broken");
    assert_eq!(
        json_spans[0].tags.iter().find(|(key, _)| key == "error").unwrap().1.text(),
        "broken"
    );
    assert_eq!(otlp_spans[0].id, json_spans[0].id);
}
