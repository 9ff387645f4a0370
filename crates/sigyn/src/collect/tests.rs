//! What each door says when there is no memory, and when the store takes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use sigyn_model::codec::{json_v2, otlp, zipkin_proto3};
use sigyn_model::{Span, SpanId, TraceId};
use sigyn_store::{Memory, Options, Store};
use tower::ServiceExt as _;

use super::intake::Shares;
use super::*;

/// Doors onto a store in a folder of its own, with so much memory for work.
struct Doors {
    _folder: tempfile::TempDir,
    store: Store,
    counters: Arc<Counters>,
    intake: Intake,
    router: Router,
}

impl Doors {
    fn open(working_bytes_max: usize) -> Self {
        let shares = Shares {
            arriving: 1 << 20,
            working: working_bytes_max,
            datagrams_arriving: 16 << 20,
            datagrams_working: 64 << 20,
        };
        Self::within(Memory::default(), shares)
    }

    /// With so much memory in all, and the doors' share of it.
    fn with_memory(bytes: u64) -> Self {
        let memory = Memory::within(bytes);
        Self::within(memory, Shares::of(memory.pushed))
    }

    fn within(memory: Memory, shares: Shares) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path());
        options.memory = memory;
        let store = Store::open(options).unwrap();
        let counters = Arc::new(Counters::default());
        let (kept, counted) = (store.clone(), Arc::clone(&counters));
        let intake = Intake::within(kept, counted, 1.0, shares);
        let environment = Environment::default();
        let router = http_router(&intake, &environment).merge(grpc_router(&intake, &environment));
        Self { _folder: folder, store, counters, intake, router }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let (parts, _) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Answer { status: parts.status, headers: parts.headers }
    }

    fn dropped(&self, transport: Transport, cause: Cause) -> u64 {
        let door = self.counters.door(transport);
        door.messages_dropped[cause as usize].load(Ordering::Relaxed)
    }
}

/// A body of which nothing comes.
struct Silence;

impl http_body::Body for Silence {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn spans() -> Vec<Span> {
    vec![Span::new(TraceId::new(1).unwrap(), SpanId::new(1).unwrap())]
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// Every door with one span: its path, type and body.
fn bodies() -> [(Transport, &'static str, &'static str, Vec<u8>); 4] {
    let report = "/zipkin.proto3.SpanService/Report";
    let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let json = json_v2::encode_list(&spans()).into_bytes();
    let grpc = "application/grpc";
    [
        (Transport::Http, "/api/v2/spans", "application/json", json),
        (Transport::OtlpHttp, "/v1/traces", "application/x-protobuf", otlp::encode(&spans())),
        (Transport::Grpc, report, grpc, framed(&zipkin_proto3::encode_list(&spans()))),
        (Transport::OtlpGrpc, export, grpc, framed(&otlp::encode(&spans()))),
    ]
}

#[tokio::test(start_paused = true)]
async fn over_budget_every_sender_is_asked_to_come_again() {
    let doors = Doors::open(1 << 20);
    // Of what small messages have, which is 128 KiB: what is left is less than each of them asks for.
    let _held = doors.intake.hold(100 << 10).await.unwrap();
    for (transport, path, type_, body) in bodies() {
        let answer = doors.post(path, &[("content-type", type_)], body).await;
        if type_ == "application/grpc" {
            assert_eq!(answer.header("grpc-status"), Some("8"), "{path}");
            // `RetryInfo` in a `google.rpc.Status`: after one second.
            let details = answer.header("grpc-status-details-bin").unwrap();
            assert!(details.ends_with("IECgIIAQ"), "{details}");
        } else {
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
        }
        assert_eq!(doors.dropped(transport, Cause::Working), 1);
    }
    assert!(doors.store.trace(TraceId::new(1).unwrap()).unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_unavailable() {
    let doors = Doors::open(1 << 30);
    doors.store.close().unwrap();
    for (transport, path, type_, body) in bodies() {
        let answer = doors.post(path, &[("content-type", type_)], body).await;
        if type_ == "application/grpc" {
            assert_eq!(answer.header("grpc-status"), Some("14"), "{path}");
            assert_eq!(answer.header("grpc-message"), Some("the store is closed"));
        } else {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
        }
        assert_eq!(doors.dropped(transport, Cause::Storage), 1);
        let door = doors.counters.door(transport);
        assert_eq!(door.spans_dropped[Loss::Storage as usize].load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_and_its_memory_given_back() {
    // Room for two small messages at a time.
    let doors = Doors::open(512 << 10);
    for _ in 0..3 {
        for (_, path, type_, body) in bodies() {
            let answer = doors.post(path, &[("content-type", type_)], body).await;
            assert!(answer.status.is_success(), "{path}");
        }
    }
    assert_eq!(doors.store.trace(TraceId::new(1).unwrap()).unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_of_the_shortest_spans_is_taken() {
    let doors = Doors::open(1 << 30);
    let list: Vec<String> =
        (1..=5_000).map(|n| format!(r#"{{"traceId":"{n:x}","id":"1"}}"#)).collect();
    let body = format!("[{}]", list.join(",")).into_bytes();
    let answer = doors.post("/api/v2/spans", &[], body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(doors.counters.door(Transport::Http).spans.load(Ordering::Relaxed), 5_000);
}

/// A list of JSON of about so many bytes.
fn list_of(bytes: usize, span: impl Fn(usize) -> String) -> Vec<u8> {
    let mut list = String::from("[");
    for n in 1.. {
        list.push_str(&span(n));
        if list.len() >= bytes {
            break;
        }
        list.push(',');
    }
    list.push(']');
    list.into_bytes()
}

fn ordinary(n: usize) -> String {
    let service = n % 7;
    format!(
        r#"{{"traceId":"{n:032x}","id":"{n:016x}","kind":"CLIENT","name":"get /items",
        "timestamp":1700000000{n:06},"duration":{n},"localEndpoint":{{"serviceName":"s{service}",
        "ipv4":"10.0.0.{service}"}},"tags":{{"http.method":"GET","http.path":"/items/{n}",
        "http.status_code":"200","region":"north"}}}}"#
    )
}

fn shortest(n: usize) -> String {
    format!(r#"{{"traceId":"{n:x}","id":"1"}}"#)
}

#[tokio::test]
async fn a_message_that_is_alone_is_taken_or_refused_for_good() {
    const MIB: u64 = 1 << 20;
    let valued = |size: usize| {
        let value = "v".repeat(size);
        format!(r#"[{{"traceId":"1","id":"1","tags":{{"a":"{value}"}}}}]"#).into_bytes()
    };
    let packed = |body: &[u8]| {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    // What has to be taken, with so much memory and more; the rest may be too large.
    let bodies = [
        (96 * MIB, list_of(293_385, ordinary)),
        (96 * MIB, list_of(782_609, ordinary)),
        (160 * MIB, list_of(2_153_628, ordinary)),
        (288 * MIB, list_of(4_000_000, ordinary)),
        (96 * MIB, list_of(120_000, shortest)),
        (544 * MIB, list_of(1_000_000, shortest)),
        (96 * MIB, valued(400_000)),
        (96 * MIB, valued(1_000_000)),
        (288 * MIB, valued(4_000_000)),
        (u64::MAX, valued(11_000_000)),
    ];
    for memory in [96 * MIB, 160 * MIB, 288 * MIB] {
        let doors = Doors::with_memory(memory);
        for (n, (enough, body)) in bodies.iter().enumerate() {
            let plain = doors.post("/api/v2/spans", &[], body.clone()).await;
            let gzip = [("content-encoding", "gzip")];
            let packed = doors.post("/api/v2/spans", &gzip, packed(body)).await;
            // The next one is alone, too: no block is made of those before it meanwhile.
            doors.store.seal().unwrap();
            for (answer, is_packed) in [(plain, false), (packed, true)] {
                let what = format!("body {n} with {memory} bytes, packed: {is_packed}");
                if memory >= *enough {
                    assert_eq!(answer.status, StatusCode::ACCEPTED, "{what}");
                } else if answer.status != StatusCode::ACCEPTED {
                    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{what}");
                    assert_eq!(answer.header("retry-after"), None, "{what}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_does_not_take_it_all() {
    let doors = Doors::open(1 << 30);
    let connection = Connection::new();
    let _taken = connection.hold(356 << 20).await.unwrap();
    let post = async |connection: &Connection| {
        let mut request = Request::post("/api/v2/spans")
            .body(Body::from(json_v2::encode_list(&spans())))
            .unwrap();
        request.extensions_mut().insert(connection.clone());
        doors.router.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(post(&connection).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(post(&Connection::new()).await, StatusCode::ACCEPTED);
}

#[tokio::test(start_paused = true)]
async fn a_stall_and_a_hang_up_are_told_apart() {
    let doors = Doors::open(1 << 30);
    let post = || {
        let request = Request::post("/v1/traces").header("content-type", "application/json");
        doors.router.clone().oneshot(request.body(Body::new(Silence)).unwrap())
    };
    // Senders of OTLP come again after this status, and not after a 408.
    let response = post().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(doors.dropped(Transport::OtlpHttp, Cause::Timeout), 1);
    let hung_up = tokio::time::timeout(std::time::Duration::from_secs(1), post()).await;
    assert!(hung_up.is_err());
    assert_eq!(doors.dropped(Transport::OtlpHttp, Cause::Cancelled), 1);
}
