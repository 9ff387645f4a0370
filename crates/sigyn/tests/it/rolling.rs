//! A fleet is restarted one instance after the other, under load: no request fails, and no span is lost.
//!
//! `SIGYN_ROLLING_INSTANCES` is how many there are; what is told of the run is printed.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use ::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use sigyn_model::Kind;
use sigyn_recorder::{Body, Exposition, Options, Recorder};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exported;
use crate::http;
use crate::program::{DEADLINE, Tracer, until};

/// Clients that ask as fast as they are answered.
const CLIENTS: usize = 4;
/// Instances that are restarted at the same time.
const AT_ONCE: usize = 10;

/// One process of the fleet, as it goes through a life: ready, then draining, then gone.
struct Instance {
    recorder: Recorder,
    /// No new requests; scrapes go on.
    stop: CancellationToken,
    /// Nothing at all.
    end: CancellationToken,
    server: JoinSet<()>,
}

impl Instance {
    fn start(runtime: &Runtime, address: SocketAddr) -> (Self, SocketAddr) {
        let options = Options { service_name: "shop".to_owned(), ..Options::default() };
        let recorder = Recorder::new(options);
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(256).unwrap()
        });
        let address = listener.local_addr().unwrap();
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let mut server = JoinSet::new();
        server.spawn_on(serve(listener, recorder.clone(), end.clone()), runtime.handle());
        (Self { recorder, stop, end, server }, address)
    }

    /// What a service does when it is asked to end and nobody sends it requests any more: seals, waits until
    /// it is read, and goes. How many spans went with it.
    async fn shut_down(mut self) -> u64 {
        self.stop.cancel();
        let drain = self.recorder.drained(DEADLINE).await;
        self.end.cancel();
        while self.server.join_next().await.is_some() {}
        drain.lost
    }
}

/// `/work` with two spans a request, and `/traces`, until the end, and what is under way then.
async fn serve(listener: TcpListener, recorder: Recorder, end: CancellationToken) {
    let exposition = Exposition::new(recorder.clone());
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (recorder, exposition) = (recorder.clone(), exposition.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (recorder, exposition) = (recorder.clone(), exposition.clone());
            async move {
                let (request, _) = request.into_parts();
                if request.uri.path() == "/traces" {
                    return Ok::<_, Infallible>(exposition.respond(&request).await);
                }
                let span = recorder.start("get /work", Some(Kind::Server), None);
                recorder.start("query", Some(Kind::Client), Some(span.context())).finish();
                span.finish();
                Ok(Response::new(Body::from(Bytes::from_static(b"done\n"))))
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(graceful.watch(connection));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = tokio::time::timeout(DEADLINE, graceful.shutdown()).await;
}

/// Whom to send requests to, as a load balancer knows it: who is ready, and what is under way there.
struct Ready {
    list: RwLock<Vec<(SocketAddr, Arc<AtomicU64>)>>,
}

impl Ready {
    /// Takes an instance out, and waits until it has answered all that it got.
    fn take_out(&self, address: SocketAddr) {
        let under_way = {
            let mut list = self.list.write().unwrap();
            let at = list.iter().position(|(other, _)| *other == address).unwrap();
            list.swap_remove(at).1
        };
        until("its requests are answered", || {
            (under_way.load(Ordering::Acquire) == 0).then_some(())
        });
    }

    fn put_in(&self, address: SocketAddr) {
        self.list.write().unwrap().push((address, Arc::default()));
    }

    /// One request to one of those that are ready.
    fn ask(&self, number: usize) -> bool {
        let (address, under_way) = {
            let list = self.list.read().unwrap();
            let (address, under_way) = &list[number % list.len()];
            under_way.fetch_add(1, Ordering::AcqRel);
            (*address, Arc::clone(under_way))
        };
        let answer = http::try_request(address, "GET", "/work", &[], b"");
        under_way.fetch_sub(1, Ordering::AcqRel);
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

#[test]
fn a_fleet_is_restarted_under_load_without_any_loss() {
    let count = std::env::var("SIGYN_ROLLING_INSTANCES").map_or(20, |text| text.parse().unwrap());
    let began = Instant::now();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut fleet: Vec<_> = (0..count).map(|_| Instance::start(&runtime, free)).collect();
    let ready = Ready { list: RwLock::default() };
    fleet.iter().for_each(|(_, address)| ready.put_in(*address));

    let folder = tempfile::tempdir().unwrap();
    let targets: Vec<_> = fleet.iter().map(|(_, address)| format!("'{address}'")).collect();
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(",")
    );
    fs::write(folder.path().join("sigyn.yml"), config).unwrap();
    let tracer = Tracer::start(folder.path());
    let up = || tracer.json("/api/v1/targets")["data"]["activeTargets"].as_array().unwrap().clone();
    until("every instance is scraped", || {
        let up = up();
        let all = up.iter().all(|target| target["health"] == "up");
        (up.len() == count && all).then_some(())
    });

    let done = AtomicBool::new(false);
    let (asked, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut gone = 0;
    let mut restarts = 0;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (ready, done, asked, failed) = (&ready, &done, &asked, &failed);
            scope.spawn(move || {
                let mut number = client;
                while !done.load(Ordering::Relaxed) {
                    if !ready.ask(number) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    number += CLIENTS;
                }
            });
        }
        let old = std::mem::take(&mut fleet);
        let mut old = old.into_iter().peekable();
        while old.peek().is_some() {
            let some: Vec<_> = old.by_ref().take(AT_ONCE.min(count / 2).max(1)).collect();
            some.iter().for_each(|(_, address)| ready.take_out(*address));
            restarts += some.len();
            let addresses: Vec<_> = some.iter().map(|(_, address)| *address).collect();
            let lost = runtime.block_on(async {
                let mut ends = JoinSet::new();
                for (instance, _) in some {
                    ends.spawn(instance.shut_down());
                }
                ends.join_all().await
            });
            gone += lost.iter().sum::<u64>();
            for address in addresses {
                fleet.push(Instance::start(&runtime, address));
                ready.put_in(address);
            }
        }
        done.store(true, Ordering::Relaxed);
    });

    let (asked, failed) = (asked.into_inner(), failed.into_inner());
    let spans = 2 * asked;
    let total = |field: &str| -> u64 {
        up().iter().map(|target| target["sigyn"][field].as_u64().unwrap()).sum()
    };
    let all = || total("received") == spans && total("restarts") == restarts as u64;
    until("every span is received, and every restart is seen", || all().then_some(()));
    let lost = total("lost");
    assert!(tracer.stop().0.success());
    let stored = exported::spans(folder.path());
    let kept = stored.len() as u64;
    println!(
        "{restarts} restarts of {count} instances, {asked} requests: {failed} failed, {kept} of {spans} spans stored, {lost} lost, {:.1?}",
        began.elapsed()
    );
    assert_eq!((failed, gone, lost, kept), (0, 0, 0, spans));
    let mut unique = stored;
    unique.dedup();
    assert_eq!(unique.len() as u64, spans, "each once");
    // Those that still run are let go without a word.
    runtime.shutdown_timeout(Duration::from_millis(100));
}
