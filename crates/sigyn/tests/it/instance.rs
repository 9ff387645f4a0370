//! A service in a process of its own: this test program once more, which ends at SIGTERM as a service should.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use sigyn_model::Kind;
use sigyn_recorder::{Body, Exposition, Leftover, Options, Recorder};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http;
use crate::program::{DEADLINE, until};

/// Where it is to listen, and where it is to push to.
const ADDRESS: &str = "SIGYN_TEST_INSTANCE";
const PUSHES: &str = "SIGYN_TEST_INSTANCE_PUSHES";
/// How long one that nobody scrapes waits for somebody.
const PATIENCE: Duration = Duration::from_millis(200);

/// A service that runs.
pub(crate) struct Instance {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

/// What it said when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) served: u64,
    pub(crate) lost: u64,
    pub(crate) pushed: u64,
}

impl Instance {
    pub(crate) fn start(address: SocketAddr, pushes: Option<SocketAddr>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "instance::a_process_of_its_own", "--nocapture"]);
        command.env(ADDRESS, address.to_string());
        command.envs(pushes.map(|address| (PUSHES, address.to_string())));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut instance = Self { child, lines, address };
        instance.address = instance.said("ready ").parse().unwrap();
        instance
    }

    /// By the child's own number, and nobody else's.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) fn is_ready(&self) -> bool {
        http::get(self.address, "/ready").status == 200
    }

    /// How it ended, after it was told to.
    pub(crate) fn ended(mut self) -> Ended {
        let said = self.said("ended ");
        let numbers: Vec<u64> = said.split(' ').map(|number| number.parse().unwrap()).collect();
        let status = until("the process ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        Ended { served: numbers[0], lost: numbers[1], pushed: numbers[2] }
    }

    fn said(&mut self, start: &str) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        let line = lines.find_map(|line| line.strip_prefix(start).map(str::to_owned));
        line.unwrap_or_else(|| panic!("the process ended without {start:?}"))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Ours, by its handle; already gone in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Acts as a process that another test starts. Without that it does nothing.
#[test]
fn a_process_of_its_own() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let pushes = std::env::var(PUSHES).ok().map(|address| address.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Ended { served, lost, pushed } = runtime.block_on(run(address.parse().unwrap(), pushes));
    println!("ended {served} {lost} {pushed}");
}

/// What all requests share.
#[derive(Clone)]
struct Service {
    recorder: Recorder,
    exposition: Exposition,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_ending: AtomicBool,
    served: AtomicU64,
    /// Whoever balances was told that this one is not ready.
    told: AtomicU64,
    is_told: Notify,
}

/// The life of a service, in the order in which it should end.
async fn run(address: SocketAddr, pushes: Option<SocketAddr>) -> Ended {
    // Before anybody is told that it is there.
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let options = Options { service_name: "shop".to_owned(), ..Options::default() };
    let recorder = Recorder::new(options);
    let state = Arc::<State>::default();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(256).unwrap();
    // On a line of its own, whatever the test program has written.
    let ready = format!("\nready {}\n", listener.local_addr().unwrap());
    std::io::stdout().write_all(ready.as_bytes()).unwrap();
    let service = Service {
        exposition: Exposition::new(recorder.clone()),
        recorder: recorder.clone(),
        state: Arc::clone(&state),
    };
    let end = CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(serve(listener, service, end.clone()));

    terminate.recv().await;
    state.is_ending.store(true, Ordering::Release);
    // Told a first time, the balancer takes it out; asking a second time, it has done so.
    while state.told.load(Ordering::Acquire) < 2 {
        state.is_told.notified().await;
    }
    let patience = if pushes.is_some() { PATIENCE } else { DEADLINE };
    let drain = recorder.drained(patience).await;
    let mut pushed = 0;
    while let Some((address, left)) = pushes.zip(recorder.leftover()) {
        pushed += left.spans;
        push(address, left).await;
    }
    end.cancel();
    while server.join_next().await.is_some() {}
    Ended { served: state.served.load(Ordering::Acquire), lost: drain.lost - pushed, pushed }
}

async fn push(address: SocketAddr, left: Leftover) {
    let body = left.body.clone();
    let pushed = tokio::task::spawn_blocking(move || {
        let headers = [("content-type", Leftover::CONTENT_TYPE)];
        http::request(address, "POST", "/v1/traces", &headers, &body)
    });
    assert_eq!(pushed.await.unwrap().status, 200);
    left.delivered();
}

impl Service {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (request, _) = request.into_parts();
        let mut answer = Response::new(Body::from(Bytes::from_static(b"done\n")));
        match request.uri.path() {
            "/traces" => return Ok(self.exposition.respond(&request).await),
            "/ready" => {
                if self.state.is_ending.load(Ordering::Acquire) {
                    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    self.state.told.fetch_add(1, Ordering::AcqRel);
                    self.state.is_told.notify_one();
                }
            }
            _ => {
                let span = self.recorder.start("get /work", Some(Kind::Server), None);
                self.recorder.start("query", Some(Kind::Client), Some(span.context())).finish();
                span.finish();
                self.state.served.fetch_add(1, Ordering::AcqRel);
            }
        }
        Ok(answer)
    }
}

/// Until the end, and what is under way then.
async fn serve(listener: TcpListener, service: Service, end: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else { continue };
        let service = service.clone();
        let service = service_fn(move |request| service.clone().answer(request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(graceful.watch(connection));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = tokio::time::timeout(DEADLINE, graceful.shutdown()).await;
}
