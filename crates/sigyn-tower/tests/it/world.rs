//! A recorder, servers around it, and what it has recorded.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use http::header::ACCEPT;
use http::{HeaderValue, Request};
use http_body_util::BodyExt as _;
use sigyn_model::Span;
use sigyn_model::codec::otlp;
use sigyn_recorder::{Exposition, Options, Recorder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Until a server has recorded, which is after it has answered.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) recorder: Recorder,
    pub(crate) tasks: JoinSet<()>,
}

impl World {
    pub(crate) fn new() -> Self {
        let options = Options { service_name: "cart".to_owned(), ..Options::default() };
        Self { recorder: Recorder::new(options), tasks: JoinSet::new() }
    }

    pub(crate) async fn serve(&mut self, app: Router) -> SocketAddr {
        let (listener, address) = listen().await;
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        self.tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        address
    }

    /// All that is recorded, when it is so many.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Span> {
        let start = Instant::now();
        loop {
            let spans = self.look().await;
            if spans.len() >= count {
                assert_eq!(spans.len(), count, "{spans:#?}");
                return spans;
            }
            assert!(start.elapsed() < DEADLINE, "{spans:#?}");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn span(&self) -> Span {
        self.spans(1).await.remove(0)
    }

    pub(crate) async fn look(&self) -> Vec<Span> {
        let mut request = Request::get("/traces").body(()).unwrap();
        let wanted = "application/x-protobuf; messageType=\"opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest\"";
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(wanted));
        let (parts, ()) = request.into_parts();
        let answer = Exposition::new(self.recorder.clone()).respond(&parts).await;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        otlp::decode(&body).unwrap().spans
    }
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The whole answer to a request as it is written.
pub(crate) async fn ask(address: SocketAddr, line: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn tag(span: &Span, key: &str) -> Option<String> {
    let found = span.tags.iter().find(|(of, _)| of == key);
    found.map(|(_, value)| value.text().into_owned())
}

/// Tags as lines.
pub(crate) fn tags(span: &Span) -> Vec<String> {
    let mut lines: Vec<String> =
        span.tags.iter().map(|(key, value)| format!("{key}: {}", value.text())).collect();
    lines.sort();
    lines
}

pub(crate) fn annotations(span: &Span) -> Vec<&str> {
    span.annotations.iter().map(|annotation| annotation.value.as_str()).collect()
}

pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no {name} among {spans:#?}"))
}
