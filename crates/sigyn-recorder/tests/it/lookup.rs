//! One trace of all that the log holds, for whoever asks.

use http::StatusCode;
use sigyn_model::{Span, SpanId, TraceId};

use crate::target::{ANY, OTLP, Target};

const LONG: u128 = 0x0123_4567_89ab_cdef_0000_0000_0000_0abc;

fn span(trace_id: u128, id: u64) -> Span {
    Span::new(TraceId::new(trace_id).unwrap(), SpanId::new(id).unwrap())
}

/// Three traces, in segments of three spans each, and what nobody sealed yet.
async fn target() -> Target {
    let target = Target::new();
    for round in 0..5_u64 {
        for (n, trace_id) in [(1, LONG), (2, 0xabc), (3, 0xdef)] {
            target.recorder.record(&span(trace_id, round * 3 + n));
        }
        if round < 4 {
            target.get("/traces", &[ANY]).await;
        }
    }
    target
}

#[tokio::test]
async fn a_trace_is_found_wherever_it_is_in_the_log() {
    let target = target().await;
    let check = async |id: &str, expected: &[u64]| {
        let answer = target.get(&format!("/traces?trace_id={id}"), &[ANY]).await;
        assert_eq!(answer.ids(), expected, "{id}");
        assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
    };
    check("def", &[3, 6, 9, 12, 15]).await;
    check("0000000000000DEF", &[3, 6, 9, 12, 15]).await;
    check(&format!("{LONG:032x}"), &[1, 4, 7, 10, 13]).await;
    check("abc", &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14]).await;
    check("1230000000000000000000000000abc", &[]).await;
    check("7&trace_id=abc", &[]).await;
}

#[tokio::test]
async fn in_any_format_and_any_compression() {
    let target = target().await;
    for accept in [
        OTLP,
        "application/x-protobuf; messageType=\"zipkin.proto3.ListOfSpans\"",
        "application/json",
        "application/json; profile=\"otlp\"",
        "application/vnd.apache.thrift.compact",
    ] {
        for coding in ["identity", "gzip", "zstd"] {
            let headers = [format!("Accept: {accept}"), format!("Accept-Encoding: {coding}")];
            let headers = headers.each_ref().map(String::as_str);
            let answer = target.get("/traces?max_bytes=1&trace_id=def", &headers).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.header("content-type"), Some(accept));
            assert_eq!(answer.ids(), [3, 6, 9, 12, 15], "{accept} {coding}");
        }
    }
    let answer = target.get("/traces?trace_id=def", &["Accept: text/html"]).await;
    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_look_moves_nobodys_cursor() {
    let target = target().await;
    let name = "Sigyn-Scraper: a";
    let cursor = format!("Sigyn-Cursor: {}", target.cursor(3));
    for headers in [&[][..], &[name, &cursor]] {
        let answer = target.get("/traces?trace_id=def", headers).await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.ids(), [3, 6, 9, 12, 15]);
        // Nothing that one could take for a page of the log.
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("sigyn-")));
    }
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered, stats.scrapers.len()), (0, 15, 0));
    assert_eq!(stats.activity.lookups, 2);
}

#[tokio::test]
async fn a_trace_that_is_not_there_and_an_id_that_is_none() {
    let target = target().await;
    assert_eq!(target.get("/traces?trace_id=1", &[ANY]).await.status, StatusCode::NO_CONTENT);
    for bad in ["", "x", "0", "00000000000000000000000000000000000000001"] {
        let answer = target.get(&format!("/traces?trace_id={bad}"), &[ANY]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(answer.body.starts_with(b"trace_id is 1 to 32"), "{answer:?}");
    }
}
