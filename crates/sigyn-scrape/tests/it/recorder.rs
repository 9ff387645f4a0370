//! Against a real recorder behind a real server: nothing is lost, and nothing comes twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sigyn_model::{Kind, Losses};
use sigyn_recorder::{Context, Exposition, Options, Recorder};
use sigyn_scrape::{ScrapeJob, State};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::fake::{Scraper, eventually, group, job};

/// A service that records, and serves what it recorded.
pub(crate) struct Service {
    pub(crate) recorder: Recorder,
    pub(crate) address: SocketAddr,
    _server: JoinSet<()>,
}

impl Service {
    pub(crate) async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::on(listener, address, options)
    }

    pub(crate) fn on(listener: TcpListener, address: SocketAddr, options: Options) -> Self {
        let recorder = Recorder::new(options);
        let exposition = Exposition::new(recorder.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let exposition = exposition.clone();
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let exposition = exposition.clone();
                    async move {
                        let (parts, _) = request.into_parts();
                        Ok::<_, std::convert::Infallible>(exposition.respond(&parts).await)
                    }
                });
                connections.spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    let _ = connection.await;
                });
            }
        });
        Self { recorder, address, _server: server }
    }

    pub(crate) fn record(&self, count: u64) {
        self.record_below(None, count);
    }

    fn record_below(&self, caller: Option<&Context>, count: u64) {
        for _ in 0..count {
            let mut span = self.recorder.start("get /", Some(Kind::Server), caller);
            span.tag("http.method", "GET");
            span.finish();
        }
    }
}

pub(crate) fn options() -> Options {
    Options { service_name: "shop".to_owned(), ..Options::default() }
}

fn scraper(of: &Service) -> Scraper {
    Scraper::start(vec![job("api")], BTreeMap::from([("api".to_owned(), group(&[of.address]))]))
}

async fn received(scraper: &Scraper, spans: u64) -> sigyn_scrape::TargetStatus {
    scraper.target("all spans", |target| target.account.received == spans).await
}

const B3: HeaderName = HeaderName::from_static("b3");

#[tokio::test]
async fn two_servers_both_get_every_span() {
    let service = Service::start(options()).await;
    service.record(5_000);
    let (one, two) = (scraper(&service), scraper(&service));
    received(&one, 5_000).await;
    service.record(500);
    for scraper in [&one, &two] {
        let status = received(scraper, 5_500).await;
        assert_eq!(status.account.lost, Losses::default());
        assert_eq!(status.account.epoch.finished, 5_500);
        let status = scraper.target("a clock", |target| target.clock_offset_ns.is_some()).await;
        assert!(status.clock_offset_ns.unwrap().abs() < 1_000_000_000);
        let spans = scraper.store.spans();
        assert!(spans.iter().all(|span| span.service_name() == Some("shop")));
        let ids: std::collections::HashSet<_> = spans.iter().map(|span| span.id).collect();
        assert_eq!((ids.len(), spans.len()), (5_500, 5_500));
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_restart_between_two_scrapes_loses_nothing() {
    let service = Service::start(options()).await;
    service.record(100);
    let before = scraper(&service);
    received(&before, 100).await;
    let store = before.store.clone();
    before.stop().await;
    service.record(100);
    let groups = BTreeMap::from([("api".to_owned(), group(&[service.address]))]);
    let after = Scraper::restart(vec![job("api")], groups, store.progress(), store);
    let status = received(&after, 200).await;
    assert_eq!(status.account.lost, Losses::default());
    assert_eq!(after.store.ids().len(), 200);
    after.stop().await;
}

#[tokio::test]
async fn what_a_full_log_drops_is_counted() {
    let small = Options { hot_bytes_max: 256 << 10, ..options() };
    let service = Service::start(small).await;
    // Somebody has sampled them who called: else fewer begin while the log fills.
    let b3 = HeaderValue::from_static("4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1");
    let caller = service.recorder.extract(&HeaderMap::from_iter([(B3, b3)]));
    service.record_below(caller.as_ref(), 20_000);
    let scraper = scraper(&service);
    let read = |target: &sigyn_scrape::TargetStatus| target.scrapes_total > 0;
    let status = scraper.target("a first scrape", read).await;
    let first = status.account;
    assert!(first.lost.before_first_scrape > 0);
    assert_eq!(first.received + first.lost.total(), 20_000);

    service.record_below(caller.as_ref(), 20_000);
    let all = |target: &sigyn_scrape::TargetStatus| target.account.epoch.finished == 40_000;
    let status = scraper.target("a second scrape", all).await;
    let account = status.account;
    assert!(account.lost.evicted > 0);
    assert_eq!(account.received + account.lost.total(), 40_000);
    assert_eq!((account.lost.unexplained, account.restarts), (0, 0));
    scraper.target("lossy", |target| target.state == State::Lossy).await;
    scraper.stop().await;
}

#[tokio::test]
async fn the_drain_of_a_service_ends_with_our_acknowledgement() {
    let service = Service::start(options()).await;
    let scraper = scraper(&service);
    scraper.target("a first scrape", |target| target.scrapes_total > 0).await;
    service.record(10);
    let drain = service.recorder.drained(Duration::from_secs(10)).await;
    assert_eq!(drain.lost, 0);
    eventually("stored", || (scraper.store.ids().len() == 10).then_some(())).await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_new_process_at_the_same_address_is_a_restart() {
    let first = Service::start(options()).await;
    first.record(10);
    let scraper = scraper(&first);
    received(&scraper, 10).await;
    let address = first.address;
    drop(first);
    let listener = Arc::new(Mutex::new(None));
    eventually("the address again", || {
        let socket = tokio::net::TcpSocket::new_v4().ok()?;
        socket.set_reuseaddr(true).ok()?;
        socket.bind(address).ok()?;
        *listener.lock().unwrap() = Some(socket.listen(16).ok()?);
        Some(())
    })
    .await;
    let listener = listener.lock().unwrap().take().unwrap();
    let second = Service::on(listener, address, options());
    second.record(5);
    let status = received(&scraper, 15).await;
    assert_eq!((status.account.restarts, status.account.lost.total()), (1, 0));
    scraper.stop().await;
}

#[tokio::test]
async fn a_budget_makes_a_target_sample_and_tells_how_much() {
    let service = Service::start(options()).await;
    let budget = ScrapeJob { span_budget: Some(1), ..job("api") };
    let groups = BTreeMap::from([("api".to_owned(), group(&[service.address]))]);
    let scraper = Scraper::start(vec![budget], groups);
    let mut begun = 0;
    // The target looks at its pace once a second, when it is asked.
    let status = scraper.target("a smaller share", |target| {
        service.record(100);
        begun += 100;
        target.sampled.is_some_and(|sampled| sampled.share < 1.0 && sampled.traces > 0)
    });
    status.await;
    let all = |target: &sigyn_scrape::TargetStatus| {
        let left_out = target.sampled.map_or(0, |sampled| sampled.traces);
        target.account.received + left_out == begun
    };
    let status = scraper.target("every trace stored or left out", all).await;
    assert_eq!((status.account.lost.total(), status.state), (0, State::Up));
    scraper.stop().await;
}

#[tokio::test]
async fn a_log_that_fills_fast_is_read_sooner() {
    let small = Options { hot_bytes_max: 1 << 20, ..options() };
    let service = Service::start(small).await;
    let mut slow = job("api");
    slow.job.scrape_interval = Duration::from_secs(3);
    slow.job.scrape_timeout = Duration::from_secs(3);
    let groups = BTreeMap::from([("api".to_owned(), group(&[service.address]))]);
    let scraper = Scraper::start(vec![slow], groups);
    let status = scraper.target("read early", |target| {
        // However slow the machine is: such a log lasts for a second or two.
        if target.scrapes_total > 0 {
            service.record(20);
        }
        target.early_pulls > 0
    });
    let status = status.await;
    assert!(status.log.is_some_and(|log| log.lasts.is_some()));
    let planned = scraper.target("when it is read next", |target| {
        if target.scrapes_total > 0 {
            service.record(20);
        }
        target.next_pull.is_some()
    });
    let planned = planned.await;
    assert!(planned.next_pull < planned.next_scrape, "{planned:?}");
    assert!(scraper.status.counts().pulls_of_filling_total() > 0);
    scraper.stop().await;
}
