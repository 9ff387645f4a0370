//! Bodies: every format in every compression, read back by ordinary decoders.

use sigyn_model::Span;
use sigyn_model::codec::otlp;

use crate::target::{OTLP, Target, span};

/// Five segments of two spans, as this request gets them.
async fn read(headers: &[&str]) -> (Vec<Span>, Target) {
    let target = Target::new();
    for id in 0..5 {
        target.record([2 * id + 1, 2 * id + 2]);
        target.get("/traces", &[]).await;
    }
    let answer = target.get("/traces", headers).await;
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    (answer.spans(), target)
}

#[tokio::test]
async fn json_is_one_list_over_many_members() {
    let expected: Vec<Span> = (1..=10).map(span).collect();
    for coding in ["Accept-Encoding: identity", "Accept-Encoding: gzip", "Accept-Encoding: zstd"] {
        for accept in ["Accept: application/json", "Accept: */*"] {
            assert_eq!(read(&[accept, coding]).await.0, expected, "{accept} {coding}");
        }
    }
}

#[tokio::test]
async fn otlp_concatenates() {
    for coding in ["Accept-Encoding: identity", "Accept-Encoding: gzip", "Accept-Encoding: zstd"] {
        let (spans, _) = read(&[&format!("Accept: {OTLP}"), coding]).await;
        let ids: Vec<u64> = spans.iter().map(|span| span.id.as_u64()).collect();
        assert_eq!(ids, (1..=10).collect::<Vec<_>>(), "{coding}");
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
    };
    check(&[], "application/json", None).await;
    check(
        &["Accept: */*", "Accept-Encoding: gzip, deflate, br, zstd"],
        "application/json",
        Some("zstd"),
    )
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
    let json = target.get("/traces", &[]).await;
    let (otlp_spans, json_spans) = (otlp::decode(&answer.plain()).unwrap().spans, json.spans());
    assert_eq!(otlp_spans[0].status.message, "broken");
    assert_eq!(
        json_spans[0].tags.iter().find(|(key, _)| key == "error").unwrap().1.text(),
        "broken"
    );
    assert_eq!(otlp_spans[0].id, json_spans[0].id);
}
