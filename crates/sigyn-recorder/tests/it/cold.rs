//! Traces that nobody sampled: put aside, kept for a reason, or asked for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use sigyn_model::pull::{self, Cold};
use sigyn_model::{Kind, TraceId};
use sigyn_recorder::{Context, Options};
use tokio::task::JoinSet;
use tower::Service as _;

use crate::target::{ANY, Answer, Target};

const MIB: usize = 1024 * 1024;

fn target(cold_bytes_max: usize) -> Target {
    Target::with(Options {
        sample_rate: 0.0,
        service_name: "till".into(),
        cold_bytes_max,
        ..Options::default()
    })
}

/// A request of a trace that begins here: an entry and a child. Says which trace it was.
fn request(target: &Target, fails: bool, took: Duration) -> Context {
    let mut entry = target.recorder.start("post /pay", Some(Kind::Server), None);
    let mut child = target.recorder.start("charge", Some(Kind::Client), Some(entry.context()));
    child.tag("card", "none");
    target.clock.advance(took);
    child.finish();
    if fails {
        entry.error("declined");
    }
    let context = entry.context().clone();
    entry.finish();
    context
}

async fn scrape(target: &Target) -> Answer {
    target.get("/traces", &["Sigyn-Scraper: a", ANY]).await
}

async fn collect(target: &Target, ids: &[TraceId]) -> String {
    let request = Request::builder().method(Method::POST).uri("/traces/collect");
    let request = request.body(http_body_util::Full::new(pull::collect_body(ids).into())).unwrap();
    let mut exposition = target.exposition.clone();
    let answer: http::Response<_> = exposition
        .call(request.map(|body: http_body_util::Full<bytes::Bytes>| body))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

const MILLI: Duration = Duration::from_millis(1);

#[tokio::test]
async fn what_is_asked_for_after_the_last_seal_stays_where_it_is() {
    let target = target(MIB);
    let context = request(&target, false, MILLI);
    target.recorder.shut_down();
    assert_eq!(collect(&target, &[context.trace_id]).await, "{\"spans\":0,\"cold\":true}\n");
    assert_eq!(scrape(&target).await.status, StatusCode::NO_CONTENT);
    let uri = format!("/traces?trace_id={:032x}", context.trace_id.as_u128());
    assert_eq!(target.get(&uri, &[ANY]).await.spans().len(), 2, "they are not taken away");
    assert_eq!(target.recorder.stats().finished, 0);
}

#[tokio::test]
async fn a_trace_that_nobody_sampled_is_put_aside_and_not_scraped() {
    let target = target(MIB);
    let context = request(&target, false, MILLI);
    assert_eq!(context.sampled, Some(false));
    assert_eq!(scrape(&target).await.status, StatusCode::NO_CONTENT);
    let stats = target.recorder.stats();
    assert_eq!((stats.finished, stats.cold_spans, stats.activity.put_aside), (0, 2, 2));
    assert!(stats.cold_bytes > 100);
    // Who looks for it sees it.
    let uri = format!("/traces?trace_id={:032x}", context.trace_id.as_u128());
    assert_eq!(target.get(&uri, &[ANY]).await.spans().len(), 2);
    assert_eq!(target.recorder.stats().finished, 0, "that was a look");
}

#[tokio::test]
async fn a_trace_that_fails_here_is_kept_whole_and_told() {
    let target = target(MIB);
    request(&target, false, MILLI);
    let failed = request(&target, true, MILLI);
    request(&target, false, MILLI);
    let answer = scrape(&target).await;
    let spans = answer.spans();
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.trace_id == failed.trace_id));
    let told = answer.header(pull::KEPT).map(pull::parse_trace_ids);
    assert_eq!(told, Some(vec![failed.trace_id]));
    let stats = target.recorder.stats();
    let activity = stats.activity;
    assert_eq!((activity.kept, activity.promoted, stats.finished), (1, 1, 2));
    assert_eq!((stats.cold_spans, answer.finished()), (4, 2));
    // Something of it that finishes later is kept, too.
    target.recorder.start("clean up", None, Some(&failed)).finish();
    let answer = target
        .get("/traces", &["Sigyn-Scraper: a", &format!("{}: {}", pull::CURSOR, answer.next()), ANY])
        .await;
    assert_eq!(answer.spans().len(), 1);
    assert_eq!(answer.header(pull::KEPT), None);
}

#[tokio::test]
async fn failures_are_not_kept_where_that_is_not_wanted() {
    let target = Target::with(Options {
        sample_rate: 0.0,
        cold_bytes_max: MIB,
        keep_failed: false,
        ..Options::default()
    });
    request(&target, true, MILLI);
    assert_eq!(scrape(&target).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_failure_inside_is_no_failure_of_the_trace() {
    let target = target(MIB);
    let entry = target.recorder.start("post /pay", Some(Kind::Server), None);
    let mut child = target.recorder.start("first try", Some(Kind::Client), Some(entry.context()));
    child.error("refused");
    child.finish();
    entry.finish();
    assert_eq!(scrape(&target).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_is_slow_for_its_name_is_kept() {
    let target = target(8 * MIB);
    for _ in 0..200 {
        request(&target, false, MILLI);
    }
    assert_eq!(scrape(&target).await.status, StatusCode::NO_CONTENT);
    let slow = request(&target, false, 50 * MILLI);
    let spans = scrape(&target).await.spans();
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.trace_id == slow.trace_id));
}

#[tokio::test]
async fn a_span_may_say_that_its_trace_is_worth_a_look() {
    let target = target(MIB);
    let entry = target.recorder.start("post /pay", Some(Kind::Server), None);
    let mut child = target.recorder.start("charge", None, Some(entry.context()));
    child.keep();
    child.finish();
    entry.finish();
    assert_eq!(scrape(&target).await.spans().len(), 2);
    // Without memory for it there is nothing to keep.
    let without = self::target(0);
    let mut span = without.recorder.start("post /pay", None, None);
    assert!(!span.keep().is_sampled());
    span.finish();
    assert_eq!(without.recorder.stats().finished, 0);
}

#[tokio::test]
async fn traces_can_be_asked_for_afterwards() {
    let target = target(MIB);
    let wanted = request(&target, false, MILLI);
    for _ in 0..10 {
        request(&target, false, MILLI);
    }
    assert_eq!(collect(&target, &[wanted.trace_id]).await, "{\"spans\":2,\"cold\":true}\n");
    let answer = scrape(&target).await;
    assert!(answer.spans().iter().all(|span| span.trace_id == wanted.trace_id));
    assert_eq!(answer.spans().len(), 2);
    assert_eq!(answer.header(pull::KEPT), None, "who asks knows it");
    // Once: asked for again there is nothing more of it.
    assert_eq!(collect(&target, &[wanted.trace_id]).await, "{\"spans\":0,\"cold\":true}\n");
    assert_eq!(target.recorder.stats().finished, 2);
    // Where there is no body, they stand in the query.
    let third = request(&target, false, MILLI);
    let uri = format!("/traces/collect?ids={:x}", third.trace_id.as_u128());
    let answer = target.send(Method::POST, &uri, &[]).await;
    assert_eq!(answer.body, "{\"spans\":2,\"cold\":true}\n");
    // A short id means the right half.
    let other = request(&target, false, MILLI);
    let short = TraceId::new(other.trace_id.low().into()).unwrap();
    assert_eq!(collect(&target, &[short]).await, "{\"spans\":2,\"cold\":true}\n");
    assert_eq!(collect(&self::target(0), &[short]).await, "{\"spans\":0,\"cold\":false}\n");
}

#[tokio::test]
async fn a_scraper_asks_for_traces_as_it_scrapes() {
    let target = target(MIB);
    let wanted = request(&target, false, MILLI);
    let ask = format!("{}: {:x}", pull::COLLECT, wanted.trace_id.as_u128());
    // Nobody without a name may.
    assert_eq!(target.get("/traces", &[&ask, ANY]).await.status, StatusCode::NO_CONTENT);
    let answer = target.get("/traces", &["Sigyn-Scraper: a", &ask, ANY]).await;
    assert_eq!(answer.spans().len(), 2);
    assert_eq!(target.recorder.stats().activity.asked_for, 1);
}

/// What `Sigyn-Cold` says to a scraper that asks for a trace.
async fn told(target: &Target, scraper: &str) -> Option<Cold> {
    let (scraper, ask) = (format!("Sigyn-Scraper: {scraper}"), format!("{}: 1", pull::COLLECT));
    let answer = target.get("/traces", &[&scraper, &ask, ANY]).await;
    answer.header(pull::COLD).map(|text| text.parse().unwrap())
}

#[tokio::test]
async fn who_asks_for_traces_is_told_how_far_back_all_are_there() {
    let target = target(64 * 1024);
    target.clock.advance(Duration::from_secs(5));
    let cold = Cold { max_bytes: 64 * 1024, refused: 0, back: Some(Duration::from_secs(5)) };
    assert_eq!(told(&target, "a").await, Some(cold), "nothing is overwritten");
    assert_eq!(scrape(&target).await.header(pull::COLD), None, "nobody asked");
    for scraper in 0..8 {
        assert!(told(&target, &format!("s{scraper}")).await.is_some() == (scraper < 7));
    }
    assert_eq!(told(&self::target(0), "a").await, Some(Cold::default()), "there is none");

    // All that finished that lately is there, and not all that finished before.
    let mut entries = Vec::new();
    for _ in 0..2_000 {
        entries.push(request(&target, false, MILLI));
    }
    let back = told(&target, "a").await.unwrap().back.unwrap();
    assert!(back > Duration::from_millis(20) && back < Duration::from_secs(2), "{back:?}");
    let lately = usize::try_from(back.as_millis()).unwrap();
    for context in &entries[entries.len() - lately..] {
        let uri = format!("/traces?trace_id={:032x}", context.trace_id.as_u128());
        assert_eq!(target.get(&uri, &[ANY]).await.spans().len(), 2);
    }
}

#[tokio::test]
async fn what_is_too_large_to_be_put_aside_is_counted_by_cause() {
    let target = Target::with(Options {
        sample_rate: 0.0,
        cold_bytes_max: 16 * 1024,
        span_bytes_max: 8 * 1024,
        value_bytes_max: 6 * 1024,
        ..Options::default()
    });
    // A piece of so small a ring holds 4 KiB.
    let mut large = target.recorder.start("large", None, None);
    large.tag("body", &*"x".repeat(5 * 1024));
    large.finish();
    target.recorder.start("small", None, None).finish();
    // Names are not cut away.
    let capped = Target::with(Options {
        sample_rate: 0.0,
        cold_bytes_max: MIB,
        span_bytes_max: 100,
        ..Options::default()
    });
    capped.recorder.start(&"x".repeat(200), None, None).finish();

    let counts = |target: &Target| {
        let stats = target.recorder.stats();
        let activity = stats.activity;
        let refused = (activity.aside_oversize, activity.aside_too_large);
        (refused, activity.put_aside, stats.cold_spans, stats.finished)
    };
    assert_eq!(counts(&target), ((0, 1), 1, 1, 0));
    assert_eq!(counts(&capped), ((1, 0), 0, 0, 0));
    for target in [&target, &capped] {
        assert_eq!(told(target, "a").await.unwrap().refused, 1);
        for accept in [ANY, "Accept: text/html"] {
            let page = target.get("/tracez", &[accept]).await;
            assert!(page.text().contains("1 more were too large"), "{}", page.text());
        }
    }
}

#[tokio::test]
async fn what_is_no_list_of_traces_is_refused() {
    let target = target(MIB);
    for (body, status) in [
        ("{\"ids\":[\"x\"]}", StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
        (&*" ".repeat(100_000), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = Request::post("/traces/collect");
        let request = request
            .body(http_body_util::Full::<bytes::Bytes>::from(body.to_owned().into_bytes()))
            .unwrap();
        let answer = target.exposition.clone().call(request).await.unwrap();
        assert_eq!(answer.status(), status);
    }
    // In the query as in the body.
    for ids in ["x", "1,", "1,x,2", "%1b[2J"] {
        let answer = target.send(Method::POST, &format!("/traces/collect?ids={ids}"), &[]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{ids}");
        assert!(!answer.text().trim_end().contains(char::is_control), "{}", answer.text());
    }
    let answer = target.send(Method::POST, "/traces/collect?ids=1,zz%07,2", &[]).await;
    assert!(answer.text().contains(r#"from "zz\u{7}""#), "{}", answer.text());
    let answer = target.send(Method::POST, "/traces/collect?ids=1%2C2", &[]).await;
    assert_eq!(answer.body, "{\"spans\":0,\"cold\":true}\n");
    let answer = target.get("/traces/collect", &[]).await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (StatusCode::METHOD_NOT_ALLOWED, Some("POST"))
    );
}

#[tokio::test]
async fn the_newest_stay_and_memory_has_a_bound() {
    let max = 64 * 1024;
    let target = target(max);
    let first = request(&target, false, MILLI);
    let mut last = first.clone();
    for _ in 0..10_000 {
        last = request(&target, false, MILLI);
        assert!(target.recorder.stats().cold_bytes <= max);
    }
    let stats = target.recorder.stats();
    assert!(stats.cold_bytes > max / 2, "{stats:?}");
    assert_eq!(collect(&target, &[first.trace_id]).await, "{\"spans\":0,\"cold\":true}\n");
    assert_eq!(collect(&target, &[last.trace_id]).await, "{\"spans\":2,\"cold\":true}\n");
    assert_eq!(target.recorder.stats().finished, 2, "overwritten spans were never kept");
}

#[tokio::test]
async fn what_is_kept_is_not_overwritten_before_somebody_reads_it() {
    let target = target(64 * 1024);
    let failed: BTreeSet<_> = (0..5).map(|_| request(&target, true, MILLI).trace_id).collect();
    for _ in 0..10_000 {
        request(&target, false, MILLI);
    }
    let answer = scrape(&target).await;
    let spans = answer.spans();
    assert_eq!(spans.len(), 10);
    assert_eq!(spans.iter().map(|span| span.trace_id).collect::<BTreeSet<_>>(), failed);
    assert_eq!(answer.finished(), 10);
}

#[tokio::test]
async fn a_kept_trace_wakes_who_waits() {
    let target = target(MIB);
    let mut waiting = JoinSet::new();
    let who = target.clone();
    waiting.spawn(async move {
        who.get("/traces", &["Sigyn-Scraper: a", "Prefer: wait=60", ANY]).await
    });
    while target.recorder.stats().scrapers.is_empty() {
        tokio::task::yield_now().await;
    }
    request(&target, true, MILLI);
    assert_eq!(waiting.join_next().await.unwrap().unwrap().spans().len(), 2);
}

/// Threads record, fail and rotate the ring while somebody reads: each span of a kept trace is read once, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_span_of_a_kept_trace_is_read_once_under_threads() {
    let target = Target::with(Options {
        sample_rate: 0.0,
        // It goes round twice. A thread that is stopped between a span and its parent's failure for as long as that
        // takes would find the span gone.
        cold_bytes_max: MIB,
        keep_slow: false,
        ..Options::default()
    });
    let done = AtomicBool::new(false);
    let (kept, read) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let target = &target;
                scope.spawn(move || {
                    let mut kept = BTreeSet::new();
                    for n in 0..3_000 {
                        let fails = n % 97 == writer;
                        let context = request(target, fails, MILLI);
                        if fails {
                            kept.insert(context.trace_id);
                        }
                    }
                    kept
                })
            })
            .collect();
        let (target, done) = (&target, &done);
        let reader = scope.spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut spans, mut cursor) = (Vec::new(), None);
                loop {
                    let last = done.load(Ordering::Acquire);
                    let answer = target.scrape("a", cursor).await;
                    spans.extend(answer.spans().into_iter().map(|span| (span.trace_id, span.id)));
                    cursor = Some(answer.next());
                    if last && !answer.more() {
                        return spans;
                    }
                }
            })
        });
        let kept: BTreeSet<_> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, Ordering::Release);
        (kept, reader.join().unwrap())
    });
    assert_eq!(read.len(), read.iter().collect::<BTreeSet<_>>().len(), "each once");
    assert_eq!(read.iter().map(|(trace, _)| *trace).collect::<BTreeSet<_>>(), kept);
    assert_eq!(read.len(), 2 * kept.len());
    let stats = target.recorder.stats();
    assert_eq!(stats.finished, stats.delivered + stats.buffered + stats.dropped.evicted);
}
