//! The pull protocol, rule by rule.

use std::time::Duration;

use http::{Method, StatusCode};
use sigyn_model::codec::{self, Format, Limits};
use sigyn_model::pull::{self, Cursor};
use sigyn_recorder::Options;

use crate::target::{ANY, OTLP, Target, span};

/// A log of four segments of a few spans each.
const SMALL: usize = 16 * 1024;

#[tokio::test]
async fn the_first_answer_tells_everything() {
    let target = Target::new();
    target.record(1..=3);
    let answer = target.scrape("a", None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.ids(), [1, 2, 3]);
    let epoch = format!("{:016x}", target.recorder.epoch());
    let check = |name: &str, expected: &str| assert_eq!(answer.header(name), Some(expected));
    check(pull::RANGE, &format!("{epoch}:1-1/1"));
    check(pull::NEXT, &format!("{epoch}:2"));
    check(pull::MORE, "0");
    check(pull::LOST, "spans=0");
    check(pull::FINISHED, "3");
    check(pull::DROPPED, "evicted=0,oversize=0");
    check(pull::CLOCK, "1700000000000000000");
    check(pull::FINAL, "0");
    check("vary", "Accept, Accept-Encoding");
    check("content-length", &answer.body.len().to_string());
    check("content-type", "application/json");
    assert_eq!(answer.header("content-encoding"), None);
}

#[tokio::test]
async fn nothing_new_has_every_header_but_the_range() {
    let target = Target::new();
    let answer = target.scrape("a", None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!((answer.next(), answer.lost()), (target.cursor(1), 0));
    target.record(1..=2);
    target.scrape("a", Some(answer.next())).await;
    let answer = target.scrape("a", Some(target.cursor(2))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(answer.body.is_empty());
    for absent in [pull::RANGE, "content-type", "content-encoding", "content-length"] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
    for present in [pull::MORE, pull::LOST, pull::CLOCK, pull::FINAL, "vary"] {
        assert!(answer.header(present).is_some(), "{present}");
    }
    assert_eq!((answer.next(), answer.finished()), (target.cursor(2), 2));
    assert_eq!(answer.header(pull::DROPPED), Some("evicted=0,oversize=0"));
}

#[tokio::test]
async fn an_epoch_is_sixteen_digits_and_differs_between_recorders() {
    let (one, two) = (Target::new(), Target::new());
    assert_ne!(one.recorder.epoch(), 0);
    assert_ne!(one.recorder.epoch(), two.recorder.epoch());
    let answer = one.scrape("a", None).await;
    let (epoch, _) = answer.header(pull::NEXT).unwrap().split_once(':').unwrap();
    assert_eq!(epoch.len(), 16);
    assert_eq!(epoch, epoch.to_lowercase());
}

#[tokio::test]
async fn an_epoch_is_read_in_either_case_and_without_zeros() {
    let target = Target::new();
    target.record([1]);
    target.scrape("a", None).await;
    let cursor = format!("{}: {:X}:2", pull::CURSOR, target.recorder.epoch());
    target.get("/traces", &["Sigyn-Scraper: a", &cursor]).await;
    assert_eq!(target.recorder.stats().delivered, 1);
}

#[tokio::test]
async fn reading_changes_nothing_and_only_a_sent_cursor_acknowledges() {
    let target = Target::new();
    target.record(1..=3);
    let first = target.scrape("a", None).await;
    let again = target.scrape("a", None).await;
    assert_eq!(first.body, again.body, "the same segments are the same bytes");
    assert_eq!(target.recorder.stats().delivered, 0);
    target.scrape("a", Some(first.next())).await;
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered), (3, 0));
    assert_eq!(target.scrape("a", Some(target.cursor(1))).await.body, first.body, "still held");
}

#[tokio::test]
async fn a_peek_acknowledges_nothing_and_takes_no_lease() {
    let target = Target::new();
    target.record(1..=3);
    target.get("/traces", &[ANY]).await;
    let cursor = format!("{}: {}", pull::CURSOR, target.cursor(2));
    let answer = target.get("/traces", &[&cursor]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "its cursor is read all the same");
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered, stats.scrapers.len()), (0, 3, 0));
    assert_eq!((stats.activity.peeks, stats.activity.scrapes), (2, 0));
}

#[tokio::test]
async fn two_scrapers_both_get_everything_and_a_span_is_delivered_once() {
    let target = Target::new();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let (mut a_next, mut b_next) = (None, None);
    for round in 0..5_u64 {
        target.record(round * 10 + 1..=round * 10 + 7);
        let answer = target.scrape("a", a_next).await;
        a_next = Some(answer.next());
        a.extend(answer.ids());
        if round % 2 == 0 {
            let answer = target.scrape("b", b_next).await;
            b_next = Some(answer.next());
            b.extend(answer.ids());
        }
    }
    target.scrape("a", a_next).await;
    target.scrape("b", b_next).await;
    assert_eq!(a, b);
    assert_eq!(a.len(), 35);
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered, stats.scrapers.len()), (35, 0, 2));
}

#[tokio::test]
async fn an_unknown_epoch_a_cursor_too_far_and_none_read_from_the_start() {
    let target = Target::sized(SMALL);
    target.record(1..=500);
    let from_start = target.get("/traces", &[ANY]).await;
    let evicted = target.recorder.stats().dropped.evicted;
    assert!(evicted > 0);
    let newest = target.recorder.stats().newest;
    let old = Cursor { epoch: target.recorder.epoch() ^ 1, seq: 2 };
    for cursor in [None, Some(old), Some(target.cursor(newest + 2)), Some(target.cursor(u64::MAX))]
    {
        let answer = target.scrape("a", cursor).await;
        assert_eq!(answer.status, StatusCode::OK, "{cursor:?}");
        assert_eq!(answer.body, from_start.body, "{cursor:?}");
        assert_eq!(answer.lost(), evicted, "{cursor:?}");
    }
    let stats = target.recorder.stats();
    assert_eq!(stats.delivered, 0, "none of them acknowledges anything in this epoch");
    assert_eq!(stats.activity.cursors_refused, 2);
}

#[tokio::test]
async fn a_cursor_that_is_none_is_counted_and_reads_from_the_start() {
    let target = Target::new();
    target.record([1]);
    for text in ["", "7", "0:1", "x:y"] {
        let cursor = format!("{}: {text}", pull::CURSOR);
        let answer = target.get("/traces", &["Sigyn-Scraper: a", &cursor]).await;
        assert_eq!(answer.ids(), [1], "{text:?}");
    }
    assert_eq!(target.recorder.stats().activity.cursors_refused, 4);
}

#[tokio::test]
async fn a_lower_cursor_gets_what_is_held_and_takes_no_acknowledgement_back() {
    let target = Target::sized(SMALL);
    let mut next = None;
    for id in 1..=60 {
        target.record([id]);
        next = Some(target.scrape("a", next).await.next());
    }
    let before = target.recorder.stats();
    assert_eq!(before.dropped.evicted, 0, "all of it was acknowledged before it went");
    let answer = target.scrape("a", Some(target.cursor(2))).await;
    let (first, last, newest) = answer.range().unwrap();
    assert_eq!((last, newest), (60, 60));
    assert_eq!(answer.lost(), first - 2, "one span a segment, counted from the cursor sent");
    assert_eq!(target.scrape("a", Some(target.cursor(1))).await.lost(), first - 1);
    let after = target.recorder.stats();
    assert_eq!((after.delivered, after.scrapers[0].acknowledged_below), (59, 60));
}

#[tokio::test]
async fn a_repeated_answer_tells_the_same_loss_again() {
    let target = Target::sized(SMALL);
    target.record([1]);
    let next = target.scrape("a", None).await.next();
    target.record(2..=500);
    let cut = target.scrape("a", Some(next)).await;
    let again = target.scrape("a", Some(next)).await;
    assert!(cut.lost() > 0);
    assert_eq!((cut.lost(), cut.ids()), (again.lost(), again.ids()));
    assert_eq!(1 + cut.lost() + cut.ids().len() as u64, cut.finished());
}

#[tokio::test]
async fn evicted_spans_are_a_loss_only_if_nobody_acknowledged_them() {
    let target = Target::sized(SMALL);
    let mut next = target.scrape("a", None).await.next();
    for id in 1..=100 {
        target.record([id]);
        next = target.scrape("a", Some(next)).await.next();
    }
    assert_eq!(target.recorder.stats().dropped.evicted, 0);
    let late = target.scrape("b", None).await;
    assert!(late.lost() > 0, "b was never there");
    assert_eq!(late.dropped().evicted, 0, "and yet nothing is lost to everybody");
}

#[tokio::test]
async fn acknowledging_what_is_gone_changes_no_counter() {
    let target = Target::sized(SMALL);
    target.record([1]);
    let next = target.scrape("a", None).await.next();
    target.record(2..=500);
    target.get("/traces", &[ANY]).await;
    let evicted = target.recorder.stats().dropped.evicted;
    assert!(evicted > 0);
    target.scrape("a", Some(next)).await;
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.dropped.evicted), (0, evicted));
}

#[tokio::test]
async fn a_body_is_bounded_and_whole() {
    let target = Target::new();
    for id in 1..=5 {
        target.record([id]);
        target.get("/traces", &[ANY]).await;
    }
    let all = target.get("/traces", &[ANY]).await;
    let one = target.get("/traces?max_bytes=0", &[ANY]).await;
    assert_eq!(one.ids(), [1], "the first segment goes whole, alone");
    assert_eq!(one.range(), Some((1, 1, 5)));
    assert!(one.more());
    for bytes_max in [one.body.len(), one.body.len() * 2 + 5, all.body.len() - 1, all.body.len()] {
        let mut cursor = target.cursor(1);
        let mut ids = Vec::new();
        loop {
            let cursor_header = format!("{}: {cursor}", pull::CURSOR);
            let uri = format!("/traces?x=1&max_bytes={bytes_max}");
            let answer = target.get(&uri, &[&cursor_header]).await;
            assert!(answer.body.len() <= bytes_max, "{} of {bytes_max}", answer.body.len());
            ids.extend(answer.ids());
            cursor = answer.next();
            if !answer.more() {
                break;
            }
        }
        assert_eq!(ids, [1, 2, 3, 4, 5]);
    }
    assert_eq!(target.get("/traces?max_bytes=many", &[ANY]).await.body, all.body);
}

#[tokio::test]
async fn a_segment_holds_no_more_than_a_mebibyte() {
    let target = Target::new();
    let mut big = span(1);
    big.name = "x".repeat(900);
    (0..5_000).for_each(|_| target.recorder.record(&big));
    let stats = target.recorder.stats();
    assert!(stats.newest >= 4, "{stats:?}");
    assert!(stats.bytes / (stats.segments + 1) <= 1024 * 1024, "{stats:?}");
    let answer = target.get("/traces?max_bytes=0", &[ANY]).await;
    assert!(answer.body.len() <= 1024 * 1024 + 2);
}

#[tokio::test]
async fn a_ninth_scraper_is_served_as_a_peek() {
    let target = Target::new();
    target.record([1]);
    for i in 0..8 {
        target.scrape(&format!("s{i}"), None).await;
    }
    assert_eq!(target.scrape("s8", None).await.ids(), [1]);
    target.scrape("s8", Some(target.cursor(2))).await;
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.scrapers.len()), (0, 8));
    assert_eq!(stats.activity.leases_refused, 2);
    target.clock.advance(Duration::from_secs(300));
    target.scrape("s8", Some(target.cursor(2))).await;
    assert_eq!(target.recorder.stats().delivered, 1, "the leases are over");
}

#[tokio::test]
async fn a_long_interval_lengthens_the_lease() {
    let check = async |interval: &str, expected: f64| {
        let target = Target::new();
        let header = format!("{}: {interval}", pull::INTERVAL);
        target.get("/traces", &["Sigyn-Scraper: a", &header]).await;
        let lease = target.recorder.stats().scrapers[0].lease_left;
        assert_eq!(lease, Duration::from_secs_f64(expected), "{interval}");
    };
    check("15", 300.0).await;
    check("200", 600.0).await;
    check("200.5", 601.5).await;
    check("-1", 300.0).await;
    check("nan", 300.0).await;
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let target = Target::new();
    assert_eq!(target.get("/", &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(target.get("/traces/", &[]).await.status, StatusCode::NOT_FOUND);
    let answer = target.send(Method::POST, "/traces", &["Sigyn-Scraper: a"]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), Some("GET"));
    assert!(target.recorder.stats().scrapers.is_empty());
    let moved = target.exposition.clone().at("/debug/traces");
    let target = Target { exposition: moved, ..target };
    assert_eq!(target.get("/debug/traces", &[ANY]).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn no_common_format_is_told_and_acknowledges_all_the_same() {
    let target = Target::new();
    target.record([1]);
    target.scrape("a", None).await;
    let cursor = format!("{}: {}", pull::CURSOR, target.cursor(2));
    let answer = target.get("/traces", &["Sigyn-Scraper: a", &cursor, "Accept: text/html"]).await;
    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
    let told = String::from_utf8_lossy(&answer.body);
    for offered in [OTLP, "zipkin.proto3.ListOfSpans", "profile=\"otlp\"", "thrift.compact", "zstd"]
    {
        assert!(told.contains(offered), "{told}");
    }
    assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.activity.not_acceptable), (1, 1));
}

#[tokio::test]
async fn an_oversize_span_is_finished_and_dropped() {
    let target = Target::with(Options { span_bytes_max: 60, ..Options::default() });
    target.record(1..=3);
    let answer = target.scrape("a", None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!((answer.finished(), answer.dropped().oversize), (3, 3));
}

#[tokio::test]
async fn the_last_seal_is_told_and_later_spans_are_lost() {
    let target = Target::new();
    target.record(1..=2);
    target.recorder.shut_down();
    target.record(3..=5);
    let answer = target.scrape("a", None).await;
    assert!(answer.is_final());
    assert_eq!(answer.ids(), [1, 2]);
    assert_eq!(answer.header(pull::DROPPED), Some("evicted=0,oversize=0,shutdown=3"));
    assert_eq!(answer.finished(), 5);
    let answer = target.scrape("a", Some(answer.next())).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(answer.is_final() && !answer.more());
}

#[tokio::test]
async fn a_scraper_is_exact_even_after_a_very_long_absence() {
    let target = Target::sized(SMALL);
    target.record(1..=2);
    let next = target.scrape("a", None).await.next();
    // More segments than the log remembers one by one.
    let mut other = None;
    for _ in 0..40_000_u64 {
        target.record([9]);
        other = Some(target.scrape("b", other).await.next());
    }
    let answer = target.scrape("a", Some(next)).await;
    let received = 2 + answer.ids().len() as u64;
    assert_eq!(received + answer.lost(), answer.finished());
}

#[tokio::test]
async fn what_nobody_came_for_can_be_sent_elsewhere() {
    let target = Target::sized(64 * 1024 * 1024);
    target.record(1..=120_000);
    let drain = target.recorder.drained(Duration::ZERO).await;
    assert_eq!(drain.lost, 120_000);
    let (mut spans, mut bodies) = (Vec::new(), 0);
    while let Some(rest) = target.recorder.leftover() {
        assert!(rest.body.len() <= 4 * 1024 * 1024);
        let read = codec::decode(Format::OtlpProto, &rest.body, Limits::default()).unwrap().spans;
        assert_eq!(read.len() as u64, rest.spans);
        spans.extend(read.iter().map(|span| span.id.as_u64()));
        bodies += 1;
        rest.delivered();
    }
    assert!(bodies > 1);
    assert_eq!(spans, (1..=120_000).collect::<Vec<_>>());
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.dropped.shutdown, stats.buffered), (120_000, 0, 0));
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let target = Target::new();
    target.record([1]);
    let next = format!("{}: {}", pull::CURSOR, target.cursor(2));
    let longest = "x".repeat(128);
    assert_eq!(target.scrape(&longest, None).await.ids(), [1]);
    for name in ["", " ", &"x".repeat(129)] {
        let named = format!("{}: {name}", pull::SCRAPER);
        let answer = target.get("/traces", &[&named, &next]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name:?}");
        assert!(String::from_utf8_lossy(&answer.body).contains("1 to 128"), "{name:?}");
    }
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.scrapers.len(), stats.activity.peeks), (0, 1, 0));
}
