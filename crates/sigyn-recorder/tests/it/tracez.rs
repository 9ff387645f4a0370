//! What people look at: what runs, and how long what finished took.

use std::time::Duration;

use http::{Method, StatusCode};
use sigyn_model::Kind;
use sigyn_recorder::{Exposition, Options};

use crate::target::{ANY, Target};

const JSON: &str = "Accept: application/json";
const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

async fn body(target: &Target, uri: &str, accept: &str) -> String {
    let answer = target.get(uri, &[accept]).await;
    assert_eq!(answer.status, StatusCode::OK);
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn shop() -> Target {
    Target::with(Options {
        service_name: "shop".into(),
        cold_bytes_max: 1 << 20,
        ..Options::default()
    })
}

#[tokio::test]
async fn what_runs_is_seen_while_it_runs() {
    let target = shop();
    let entry = target.recorder.start("post /order", Some(Kind::Server), None);
    let name = format!("charge {}", "ä".repeat(60));
    let child = target.recorder.start(&name, Some(Kind::Client), Some(entry.context()));
    target.clock.advance(Duration::from_millis(1_500));
    let uri = format!("/tracez?trace_id={:032x}", entry.context().trace_id.as_u128());
    let json: serde_json::Value = serde_json::from_str(&body(&target, &uri, JSON).await).unwrap();
    assert_eq!((&json["service"], &json["runningTotal"]), (&"shop".into(), &2.into()));
    let running = |name: &str| {
        let all = json["running"].as_array().unwrap();
        all.iter().find(|span| span["name"].as_str().unwrap().starts_with(name)).unwrap().clone()
    };
    let (order, charge) = (running("post /order"), running("charge"));
    assert_eq!((&order["kind"], &order["duration"]), (&"SERVER".into(), &1_500_000.into()));
    assert_eq!(order["timestamp"], 1_700_000_000_000_000u64);
    assert_eq!((&charge["kind"], &charge["parentId"]), (&"CLIENT".into(), &order["id"]));
    assert_eq!(charge["name"].as_str().unwrap(), &name[..charge["name"].as_str().unwrap().len()]);
    assert!(charge["name"].as_str().unwrap().len() > 60);
    assert_eq!(order["sampled"], true);
    let text = body(&target, "/tracez", ANY).await;
    assert!(text.contains("RUNNING 2") && text.contains("1.50s"), "{text}");
    child.finish();
    entry.finish();
    let json: serde_json::Value = serde_json::from_str(&body(&target, &uri, JSON).await).unwrap();
    assert_eq!(json["running"], serde_json::json!([]));
}

#[tokio::test]
async fn a_span_is_seen_as_what_it_becomes() {
    let target = shop();
    let caller = target.recorder.start("caller", None, None);
    let mut span = target.recorder.start_undecided("work", None);
    let sampled = |json: &str| {
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let all = json["running"].as_array().unwrap().clone();
        all.into_iter().find(|span| span["name"] != "caller").unwrap()
    };
    let seen = sampled(&body(&target, "/tracez", JSON).await);
    assert_eq!((&seen["name"], &seen["sampled"]), (&"work".into(), &serde_json::Value::Null));
    span.set_parent(caller.context()).set_name("other").set_kind(Some(Kind::Consumer));
    let seen = sampled(&body(&target, "/tracez", JSON).await);
    assert_eq!((&seen["name"], &seen["kind"]), (&"other".into(), &"CONSUMER".into()));
    let trace_id = format!("{:032x}", caller.context().trace_id.as_u128());
    assert_eq!((&seen["traceId"], &seen["sampled"]), (&trace_id.into(), &true.into()));
}

#[tokio::test]
async fn what_finished_is_counted_by_how_long_it_took() {
    let target = shop();
    for (n, millis) in [0, 2, 2, 30, 2_000].into_iter().enumerate() {
        let mut span = target.recorder.start("get /", Some(Kind::Server), None);
        span.tag("n", i64::try_from(n).unwrap());
        target.clock.advance(Duration::from_millis(millis));
        if millis == 30 {
            span.error("<no stock>");
        }
    }
    // One that nobody sampled.
    let unsampled = sigyn_recorder::Context {
        sampled: Some(false),
        ..target.recorder.start("caller", None, None).context().clone()
    };
    drop(target.recorder.start("get /", Some(Kind::Server), Some(&unsampled)));
    let json = body(&target, "/tracez", JSON).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let row = &json["operations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "get /")
        .unwrap()
        .clone();
    assert_eq!(row["buckets"], serde_json::json!([2, 0, 0, 2, 1, 0, 1, 0, 0]));
    assert_eq!((&row["errors"], &row["running"]), (&1.into(), &0.into()));
    // Those of a cell, one by one.
    let uri = "/tracez?name=get%20%2F&kind=SERVER&what=3";
    let json: serde_json::Value = serde_json::from_str(&body(&target, uri, JSON).await).unwrap();
    assert_eq!(json["spans"].as_array().unwrap().len(), 2);
    let text = body(&target, "/tracez?name=get+%2F&kind=SERVER&what=failed", ANY).await;
    assert!(text.contains("1 SPANS") && text.contains("FAILED <no stock> n=3"), "{text}");
    let page = body(&target, "/tracez?name=get+%2F&kind=SERVER&what=failed", HTML).await;
    assert!(page.contains("failed &lt;no stock&gt;") && !page.contains("<no stock>"), "{page}");
    let answer = target.get("/tracez", &[HTML]).await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
}

#[tokio::test]
async fn a_look_changes_nothing_for_scrapers() {
    let target = shop();
    target.record(1..=10);
    body(&target, "/tracez", ANY).await;
    let stats = target.recorder.stats();
    assert_eq!((stats.finished, stats.buffered, stats.scrapers.len()), (10, 10, 0));
    let answer = target.get("/traces", &["Sigyn-Scraper: a"]).await;
    assert_eq!((answer.ids().len(), answer.lost()), (10, 0));
}

#[tokio::test]
async fn a_process_says_what_it_offers() {
    let target = shop();
    let json = body(&target, "/.well-known/sigyn", ANY).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["service"], "shop");
    assert_eq!(json["epoch"], format!("{:016x}", target.recorder.epoch()));
    assert_eq!(json["pids"], serde_json::json!([std::process::id()]));
    assert_eq!(json["paths"]["collect"], "/traces/collect");
    assert_eq!(json["formats"].as_array().unwrap().len(), 5);
    assert_eq!(
        (&json["hotBytesMax"], &json["coldBytesMax"]),
        (&16_777_216.into(), &1_048_576.into())
    );
}

#[tokio::test]
async fn who_needs_a_token_gets_nothing_without() {
    let plain = shop();
    let exposition = Exposition::new(plain.recorder.clone()).with_token("hush");
    assert!(!format!("{exposition:?}").contains("hush"));
    let target = Target { exposition, ..plain };
    for uri in ["/traces", "/traces?trace_id=1", "/traces/collect", "/tracez", "/.well-known/sigyn"]
    {
        for wrong in [
            "",
            "Authorization: hush",
            "Authorization: Bearer hus",
            "Authorization: Bearer hushh",
            "Authorization: Basic hush",
        ] {
            let headers: &[&str] = if wrong.is_empty() { &[] } else { &[wrong] };
            for method in [Method::GET, Method::POST] {
                let answer = target.send(method, uri, headers).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{uri} {wrong}");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
    let answer = target.get("/tracez", &["Authorization: bearer hush"]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(target.exposition.is_at("/traces/collect") && !target.exposition.is_at("/traces/"));
    let moved = target.exposition.at("/spans");
    assert!(moved.is_at("/spans/collect") && moved.is_at("/tracez") && !moved.is_at("/traces"));
    let below = moved.at("/admin/traces");
    assert!(below.is_at("/admin/tracez") && !below.is_at("/tracez"));
}

#[tokio::test]
async fn it_is_said_where_unsampled_spans_cannot_be_seen() {
    let said = "Only sampled traces are shown";
    let (ring, none) = (shop(), Target::new());
    for (target, has_ring) in [(&ring, true), (&none, false)] {
        let unsampled = sigyn_recorder::Context {
            sampled: Some(false),
            ..target.recorder.start("caller", None, None).context().clone()
        };
        let _runs = target.recorder.start("hidden", Some(Kind::Server), Some(&unsampled));
        for accept in [ANY, HTML] {
            let page = body(target, "/tracez", accept).await;
            assert_eq!((page.contains("hidden"), page.contains(said)), (has_ring, !has_ring));
        }
        let json = body(target, "/tracez", JSON).await;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["unsampledShown"], has_ring);
        assert_eq!(json["runningTotal"], u64::from(has_ring));
    }
}

#[tokio::test]
async fn the_view_is_what_is_liked_best() {
    let target = shop();
    for (accept, expected) in [
        (ANY, "text/plain; charset=utf-8"),
        (HTML, "text/html; charset=utf-8"),
        (JSON, "application/json"),
        ("Accept: application/json;q=0.1, text/html", "text/html; charset=utf-8"),
        ("Accept: application/json, text/html;q=0.1", "application/json"),
        ("Accept: text/html;q=0, text/*", "text/plain; charset=utf-8"),
    ] {
        let answer = target.get("/tracez", &[accept]).await;
        assert_eq!(answer.header("content-type"), Some(expected), "{accept}");
        assert_eq!(answer.header("vary"), Some("Accept"));
    }
    let refused = target.get("/tracez", &["Accept: image/png"]).await;
    assert_eq!(
        (refused.status, refused.header("vary")),
        (StatusCode::NOT_ACCEPTABLE, Some("Accept"))
    );
}
