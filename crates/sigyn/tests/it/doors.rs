//! Every door, from outside: what comes in is there, and what does not is refused and counted.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};

use serde_json::json;
use sigyn_model::codec::{json_v2, otlp, otlp_json, zipkin_proto3, zipkin_thrift};
use sigyn_model::{Endpoint, Span};

use crate::grpc::{self, Reply};
use crate::http::{self, Answer};
use crate::program::{Tracer, until};
use crate::service::numbered;

/// A span whose trace id is `n`, of a service, as every format can say it.
fn span(n: u64) -> Span {
    let mut span = numbered(n);
    span.local_endpoint = Some(Endpoint::named("door"));
    span
}

fn tracer() -> (tempfile::TempDir, Tracer) {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    (folder, tracer)
}

fn post(tracer: &Tracer, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    http::request(tracer.address, "POST", path, headers, body)
}

/// Where a door has an address of its own.
fn address_of(tracer: &Tracer, protocol: &str) -> SocketAddr {
    until("the address is told", || {
        let log = tracer.log();
        let mut lines = log.lines().filter(|line| line.contains("taking spans"));
        let line = lines.find(|line| line.contains(protocol))?;
        line.rsplit_once("address=")?.1.parse().ok()
    })
}

/// Whether trace `n` is stored, with one span.
fn is_stored(tracer: &Tracer, n: u64) -> bool {
    let answer = tracer.get(&format!("/api/v2/trace/{n:x}"));
    answer.status == 200 && answer.json().as_array().unwrap().len() == 1
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

/// How a body may be packed.
type Packing = (&'static str, fn(&[u8]) -> Vec<u8>);
const PACKINGS: [Packing; 4] =
    [("identity", |body| body.to_vec()), ("gzip", gzip), ("deflate", deflate), ("zstd", zstd)];

/// A `Batch` of one span in thrift's binary protocol.
fn jaeger_batch(n: u64) -> Vec<u8> {
    let field = |kind: u8, id: u16, value: &[u8]| [&[kind][..], &id.to_be_bytes(), value].concat();
    let text = |id, text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        field(11, id, &[&length[..], text.as_bytes()].concat())
    };
    let number = |id, n: u64| field(10, id, &n.to_be_bytes());
    let process = [text(1, "door"), vec![0]].concat();
    let times = [number(8, 1_000_000), number(9, 5), vec![0]].concat();
    let span = [number(1, n), number(2, 0), number(3, n), text(5, "get"), times].concat();
    let list = [&[12, 0, 0, 0, 1][..], &span].concat();
    [field(12, 1, &process), field(15, 2, &list), vec![0]].concat()
}

/// A `PostSpansRequest` of one span.
fn jaeger_request(n: u8) -> Vec<u8> {
    let field = |id: u8, value: &[u8]| {
        [&[id << 3 | 2, u8::try_from(value.len()).unwrap()][..], value].concat()
    };
    let mut trace_id = [0; 16];
    trace_id[15] = n;
    let ids = [field(1, &trace_id), field(2, &[0, 0, 0, 0, 0, 0, 0, n])].concat();
    // One second after the epoch, five microseconds long.
    let times = [field(6, b"\x08\x01"), field(7, b"\x10\x88\x27")].concat();
    let span = [ids, field(3, b"get"), times].concat();
    let batch = [field(1, &span), field(2, &field(1, b"door"))].concat();
    field(1, &batch)
}

#[test]
fn spans_come_in_by_http_in_every_format_and_packing() {
    let (_folder, tracer) = tracer();
    let mut n = 0;
    let mut check = |path: &str, type_: &str, status: u16, body: &dyn Fn(u64) -> Vec<u8>| {
        for (encoding, pack) in PACKINGS {
            n += 1;
            let headers = [("content-type", type_), ("content-encoding", encoding)];
            let answer = post(&tracer, path, &headers, &pack(&body(n)));
            let what = format!("{path} {type_} {encoding}: {}", answer.text());
            assert_eq!(answer.status, status, "{what}");
            assert!(is_stored(&tracer, n), "{what}");
        }
    };
    let v2 = |n| json_v2::encode_list(&[span(n)]).into_bytes();
    check("/api/v2/spans", "application/json", 202, &v2);
    check("/api/v2/spans", "text/plain", 202, &v2);
    check("/api/v2/spans", "application/x-protobuf", 202, &|n| {
        zipkin_proto3::encode_list(&[span(n)])
    });
    check("/api/v1/spans", "application/x-thrift", 202, &|n| {
        zipkin_thrift::encode_list(&[span(n)])
    });
    check("/api/v1/spans", "application/json", 202, &|n| {
        let annotation = json!({"timestamp": 1, "value": "sr", "endpoint": {"serviceName": "a"}});
        let id = format!("{n:016x}");
        let span = json!({"traceId": id, "id": id, "name": "get", "annotations": [annotation]});
        json!([span]).to_string().into_bytes()
    });
    check("/v1/traces", "application/x-protobuf", 200, &|n| otlp::encode(&[span(n)]));
    check("/v1/traces", "application/json", 200, &|n| otlp_json::encode(&[span(n)]).into_bytes());
    check("/api/traces", "application/x-thrift", 202, &jaeger_batch);
    check(
        "/api/traces?format=jaeger.thrift",
        "application/vnd.apache.thrift.binary",
        202,
        &jaeger_batch,
    );
    assert_eq!(tracer.metric("sigyn_collect_spans_total", "transport=\"http\""), Some(20.0));
    assert_eq!(tracer.metric("sigyn_collect_spans_total", "transport=\"otlp_http\""), Some(8.0));
    assert_eq!(tracer.metric("sigyn_collect_spans_total", "transport=\"jaeger_http\""), Some(8.0));
}

#[test]
fn spans_come_in_by_grpc_on_the_same_port() {
    let (_folder, tracer) = tracer();
    let zipkin = "/zipkin.proto3.SpanService/Report";
    let otlp_service = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let jaeger = "/jaeger.api_v2.CollectorService/PostSpans";
    let mut n = 0;
    for (encoding, pack) in PACKINGS {
        let mut check = |path: &str, body: &dyn Fn(u64) -> Vec<u8>| {
            n += 1;
            let reply = grpc::call(tracer.address, path, encoding, &pack(&body(n)));
            assert_eq!(reply, Reply::ok(b""), "{path} {encoding}");
            assert!(is_stored(&tracer, n), "{path} {encoding}");
        };
        check(zipkin, &|n| zipkin_proto3::encode_list(&[span(n)]));
        check(otlp_service, &|n| otlp::encode(&[span(n)]));
        check(jaeger, &|n| jaeger_request(u8::try_from(n).unwrap()));
    }
    assert_eq!(grpc::call(tracer.address, zipkin, "identity", b""), Reply::ok(b""));
    // Some way of each to say that it cannot be read.
    let check = |path: &str, encoding: &str, body: &[u8], code: u16| {
        let reply = grpc::call(tracer.address, path, encoding, body);
        assert_eq!((reply.code, reply.message.len()), (code, 0), "{path} {}", reply.text);
    };
    check(zipkin, "identity", b"\x0a\xff", 13);
    check(otlp_service, "identity", b"\x0a\xff", 3);
    check(jaeger, "identity", b"\x0a\xff", 3);
    check(zipkin, "gzip", b"?", 13);
    check(otlp_service, "zstd", b"?", 3);
    check(zipkin, "snappy", b"?", 12);
    check("/zipkin.proto3.SpanService/Repeat", "identity", b"", 12);
    check(otlp_service, "identity", &vec![0; (10 << 20) + 1], 8);
    check(otlp_service, "gzip", &gzip(&vec![0; (100 << 20) + 1]), 8);
    let dropped = |part| tracer.metric("sigyn_collect_messages_refused_total", part);
    assert_eq!(dropped("transport=\"grpc\",reason=\"malformed\""), Some(1.0));
    assert_eq!(dropped("transport=\"grpc\",reason=\"encoding\""), Some(1.0));
    assert_eq!(dropped("transport=\"grpc\",reason=\"type\""), Some(1.0));
    assert_eq!(dropped("transport=\"otlp_grpc\",reason=\"too_large\""), Some(2.0));
}

#[test]
fn browsers_push_by_grpc_web() {
    let (_folder, tracer) = tracer();
    let list = zipkin_proto3::encode_list(&[span(1)]);
    let length = u32::try_from(list.len()).unwrap().to_be_bytes();
    let framed = [&[0][..], &length, &list].concat();
    let headers = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")];
    let answer = post(&tracer, "/zipkin.proto3.SpanService/Report", &headers, &framed);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"\0\0\0\0\0\x80\0\0\0\x0fgrpc-status:0\r\n");
    assert!(is_stored(&tracer, 1));
    let other = [("content-type", "application/json")];
    assert_eq!(post(&tracer, "/zipkin.proto3.SpanService/Report", &other, b"{}").status, 415);
}

#[test]
fn zipkins_doors_refuse_in_zipkins_words() {
    let (_folder, tracer) = tracer();
    let check = |path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, text: &str| {
        let answer = post(&tracer, path, headers, body);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path} {headers:?}");
    };
    let gzipped = ("content-encoding", "gzip");
    let cannot = "Cannot gunzip spans";
    check("/api/v2/spans", &[gzipped], b"garbage", 400, cannot);
    check("/api/v2/spans", &[gzipped], &b"much more than a few bytes of garbage"[..], 400, cannot);
    check("/api/v2/spans", &[gzipped], &gzip(b""), 400, cannot);
    check("/api/v2/spans", &[gzipped], &gzip(b"[]")[..8], 400, cannot);
    let whole = gzip(b"[]");
    check("/api/v2/spans", &[gzipped], &whole[..whole.len() - 3], 202, "");
    check("/api/v2/spans", &[gzipped], &[&whole[..], b"more"].concat(), 202, "");
    check("/api/v2/spans", &[gzipped], b"", 202, "");
    let no_zstd = "Cannot unpack spans: the body is no zstd";
    check("/api/v2/spans", &[("content-encoding", "zstd")], b"garbage", 400, no_zstd);
    let expected = "Expected a JSON_V2 encoded list\n";
    check("/api/v2/spans", &[("content-encoding", "br")], b"garbage", 400, expected);
    check("/api/v2/spans", &[], b"{}", 400, expected);
    check("/api/v1/spans", &[], b"{}", 400, "Expected a JSON_V1 encoded list\n");
    let v1 = br#"[{"binaryAnnotations":[]}]"#;
    let but = "Expected a JSON_V2 encoded list, but received: JSON_V1\n";
    check("/api/v2/spans", &[], v1, 400, but);
    let thrift = ("content-type", "application/x-thrift");
    let expected = "Expected a THRIFT encoded list\n";
    check("/api/v1/spans", &[thrift], b"{}", 400, expected);
    // In one place alone: no other path takes spans.
    check("/zipkin/api/v2/spans", &[], b"[]", 405, "");
}

#[test]
fn whoever_sends_all_before_listening_hears_why_it_was_refused() {
    use std::io::Read as _;
    let (_folder, tracer) = tracer();
    let mut stream = std::net::TcpStream::connect(tracer.address).unwrap();
    let body = vec![b' '; 12 << 20];
    let head =
        format!("POST /api/v2/spans HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[test]
fn otlp_is_answered_in_its_own_type() {
    let (_folder, tracer) = tracer();
    let json = [("content-type", "application/json")];
    let proto = [("content-type", "application/x-protobuf")];
    let answer = post(&tracer, "/v1/traces", &json, b"{}");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = post(&tracer, "/v1/traces", &proto, b"");
    assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    // One bad span among good ones.
    let good = json!({"traceId": "0000000000000000000000000000000a", "spanId": "000000000000000a"});
    let bad = json!({"traceId": "zz", "spanId": "000000000000000a"});
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [good, bad]}]}]}).to_string();
    let answer = post(&tracer, "/v1/traces", &json, body.as_bytes());
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["partialSuccess"]["rejectedSpans"], "1");
    assert!(is_stored(&tracer, 10));
    let dropped = tracer.metric(
        "sigyn_collect_spans_dropped_total",
        "transport=\"otlp_http\",reason=\"malformed\"",
    );
    assert_eq!(dropped, Some(1.0));
    // Errors are a status, in the same type.
    let answer = post(&tracer, "/v1/traces", &json, b"{");
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(3)));
    let answer = post(&tracer, "/v1/traces", &proto, b"\x0a\xff");
    assert_eq!((answer.status, &answer.body[..3]), (400, &b"\x08\x03\x12"[..]));
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    let check = |headers: &[(&str, &str)], body: &[u8], status: u16| {
        assert_eq!(post(&tracer, "/v1/traces", headers, body).status, status, "{headers:?}");
    };
    check(&[("content-type", "text/plain")], b"{}", 415);
    check(&[], b"{}", 415);
    check(&[json[0], ("content-encoding", "br")], b"{}", 415);
    check(&[json[0], ("content-encoding", "gzip")], b"{}", 400);
    check(&json, &vec![b' '; (10 << 20) + 1], 413);
    check(&[proto[0], ("content-encoding", "gzip")], &gzip(&vec![0; (100 << 20) + 1]), 413);
}

#[test]
fn jaegers_door_knows_its_types_alone() {
    let (_folder, tracer) = tracer();
    let check = |type_: &[(&str, &str)], body: &[u8], status: u16| {
        assert_eq!(post(&tracer, "/api/traces", type_, body).status, status, "{type_:?}");
    };
    check(&[("content-type", "application/json")], b"{}", 400);
    check(&[], b"", 400);
    check(&[("content-type", "application/x-thrift")], b"garbage", 400);
}

#[test]
fn otlp_has_ports_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--otlp.grpc.listen-address=127.0.0.1:0", "--otlp.http.listen-address=127.0.0.1:0"];
    let tracer = Tracer::start_with(folder.path(), &flags);
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let reply = grpc::call(
        address_of(&tracer, "OTLP over gRPC"),
        path,
        "identity",
        &otlp::encode(&[span(1)]),
    );
    assert_eq!(reply, Reply::ok(b""));
    let headers = [("content-type", "application/x-protobuf")];
    let at = address_of(&tracer, "OTLP over HTTP");
    let answer = http::request(at, "POST", "/v1/traces", &headers, &otlp::encode(&[span(2)]));
    assert_eq!(answer.status, 200);
    assert!(is_stored(&tracer, 1) && is_stored(&tracer, 2));
    assert_eq!(http::request(at, "POST", "/api/v2/spans", &[], b"[]").status, 404);
}

#[test]
fn an_address_that_is_taken_and_asked_for_stops_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let flag = format!("--otlp.http.listen-address={}", taken.local_addr().unwrap());
    let mut command = crate::program::command();
    let output = command.args(["serve", "--web.listen-address=127.0.0.1:0", &flag]);
    let output = output.arg("--otlp.grpc.listen-address=").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot listen on 127.0.0.1:"));
}

#[test]
fn jaegers_clients_send_datagrams() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--jaeger.udp.compact.listen-address=127.0.0.1:0",
        "--jaeger.udp.binary.listen-address=127.0.0.1:0",
    ];
    let tracer = Tracer::start_with(folder.path(), &flags);
    let addresses: Vec<SocketAddr> = until("both are told", || {
        let log = tracer.log();
        let lines = log.lines().filter(|line| line.contains("Jaeger thrift over UDP"));
        let found: Vec<_> =
            lines.map(|line| line.rsplit_once("address=").unwrap().1.parse().unwrap()).collect();
        (found.len() == 2).then_some(found)
    });
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // `emitBatch` in the compact protocol: trace 9, span 3, "op" of "agent", from 50 µs to 55.
    let compact = b"\x82\x81\x01\x09emitBatch\x1c\x1c\x18\x05agent\x00\x19\x1c\
        \x16\x12\x16\x00\x16\x06\x16\x00\x18\x02op\x25\x02\x16\x64\x16\x0a\x00\x00\x00";
    socket.send_to(compact, addresses[0]).unwrap();
    let binary = [
        &b"\x80\x01\x00\x04\x00\x00\x00\x09emitBatch\x00\x00\x00\x01\x0c\x00\x01"[..],
        &jaeger_batch(0xb),
        b"\x00",
    ];
    socket.send_to(&binary.concat(), addresses[1]).unwrap();
    socket.send_to(b"no thrift", addresses[1]).unwrap();
    until("they are stored", || (is_stored(&tracer, 9) && is_stored(&tracer, 0xb)).then_some(()));
    assert_eq!(tracer.json("/api/v2/trace/9")[0]["localEndpoint"]["serviceName"], "agent");
    until("the third is counted", || {
        let part = "transport=\"jaeger_udp\",reason=\"malformed\"";
        tracer.metric("sigyn_collect_messages_refused_total", part).filter(|n| *n == 1.0)
    });
}

#[test]
fn spans_are_sampled_as_zipkin_does() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start_in(folder.path(), &[], &[("COLLECTOR_SAMPLE_RATE", "0.5")]);
    let spans = json!([
        {"traceId": "4000000000000000", "id": "1"},
        {"traceId": "4000000000000001", "id": "1"},
        {"traceId": "4000000000000002", "id": "1", "debug": true},
        {"traceId": "14000000000000000", "id": "1"},
    ]);
    assert_eq!(tracer.post_spans(spans.to_string().as_bytes()).status, 202);
    let status = |id: &str| tracer.get(&format!("/api/v2/trace/{id}")).status;
    assert_eq!(status("4000000000000000"), 200);
    assert_eq!(status("4000000000000001"), 404);
    assert_eq!(status("4000000000000002"), 200);
    assert_eq!(status("14000000000000000"), 200);
    let part = "transport=\"http\",reason=\"unsampled\"";
    assert_eq!(tracer.metric("sigyn_collect_spans_dropped_total", part), Some(1.0));
}

#[test]
fn doors_can_be_shut() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("COLLECTOR_HTTP_ENABLED", "false"), ("COLLECTOR_GRPC_ENABLED", "false")];
    let tracer = Tracer::start_in(folder.path(), &[], &variables);
    assert_eq!(tracer.post_spans(b"[]").status, 404);
    assert_eq!(
        post(&tracer, "/v1/traces", &[("content-type", "application/json")], b"{}").status,
        404
    );
    let thrift = [("content-type", "application/x-thrift")];
    assert!([404, 405].contains(&post(&tracer, "/api/traces", &thrift, &jaeger_batch(1)).status));
    assert_eq!(tracer.get("/api/v2/spans?serviceName=a").status, 200);
    for path in [
        "/zipkin.proto3.SpanService/Report",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/jaeger.api_v2.CollectorService/PostSpans",
    ] {
        assert_eq!(grpc::call(tracer.address, path, "identity", b"").code, 12, "{path}");
    }
}

#[test]
fn a_door_that_was_asked_for_stays_where_the_others_are_shut() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--otlp.http.listen-address=127.0.0.1:0"];
    let variables = [("COLLECTOR_HTTP_ENABLED", "false"), ("COLLECTOR_GRPC_ENABLED", "false")];
    let tracer = Tracer::start_in(folder.path(), &flags, &variables);
    let json = [("content-type", "application/json")];
    let at = address_of(&tracer, "OTLP over HTTP");
    assert_eq!(http::request(at, "POST", "/v1/traces", &json, b"{}").status, 200);
    assert_eq!(post(&tracer, "/v1/traces", &json, b"{}").status, 404);
    assert!(!tracer.log().contains("OTLP over gRPC"), "{}", tracer.log());
}

#[test]
fn all_addresses_share_one_bound_of_connections() {
    use std::io::{ErrorKind, Read as _};
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--otlp.http.listen-address=127.0.0.1:0",
        "--otlp.grpc.listen-address=",
        "--web.max-connections=1",
    ];
    let tracer = Tracer::start_with(folder.path(), &flags);
    let get = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut answer = [0; 12];
    let mut first = std::net::TcpStream::connect(address_of(&tracer, "OTLP over HTTP")).unwrap();
    first.write_all(get).unwrap();
    first.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    let mut second = std::net::TcpStream::connect(tracer.address).unwrap();
    second.write_all(get).unwrap();
    second.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let kind = second.read_exact(&mut answer).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
    drop(first);
    second.set_read_timeout(Some(crate::program::DEADLINE)).unwrap();
    second.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn a_sender_that_hangs_up_is_on_the_books() {
    let (_folder, tracer) = tracer();
    let mut stream = std::net::TcpStream::connect(tracer.address).unwrap();
    stream
        .write_all(b"POST /api/v2/spans HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n[")
        .unwrap();
    until("it is on the books", || {
        let part = "transport=\"http\"";
        tracer.metric("sigyn_collect_messages_total", part).filter(|n| *n == 1.0)
    });
    drop(stream);
    until("its end is", || {
        let part = "transport=\"http\",reason=\"cancelled\"";
        tracer.metric("sigyn_collect_messages_refused_total", part).filter(|n| *n == 1.0)
    });
}

#[test]
fn doors_move_with_the_route_prefix_and_grpc_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start_with(folder.path(), &["--web.route-prefix=/tracing"]);
    let refused = tracer.get("/tracing/api/v1/keys?prefix=%FF");
    assert_eq!((refused.status, &refused.json()["errorType"]), (400, &"bad_data".into()));
    let list = json_v2::encode_list(&[span(1)]);
    assert_eq!(post(&tracer, "/tracing/api/v2/spans", &[], list.as_bytes()).status, 202);
    assert_eq!(post(&tracer, "/tracing/api/v1/spans", &[], b"[]").status, 202);
    assert_eq!(post(&tracer, "/api/v2/spans", &[], b"[]").status, 404);
    let reply = grpc::call(tracer.address, "/zipkin.proto3.SpanService/Report", "identity", b"");
    assert_eq!(reply, Reply::ok(b""));
}

#[test]
fn http_2_without_tls_and_long_request_lines_are_taken() {
    let (_folder, tracer) = tracer();
    let spans = json_v2::encode_list(&[span(1), span(2)]);
    let (status, _) = grpc::http2(tracer.address, "POST", "/api/v2/spans", spans.as_bytes());
    assert_eq!(status, 202);
    let ids: Vec<String> = (1..=1000).map(|id| format!("{id:032x}")).collect();
    let path = format!("/api/v2/traceMany?traceIds={}", ids.join(","));
    assert_eq!(tracer.get(&path).json().as_array().unwrap().len(), 2);
    let (status, body) = grpc::http2(tracer.address, "GET", &path, b"");
    let traces: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, traces.as_array().unwrap().len()), (200, 2));
}

#[test]
fn chunked_bodies_and_those_that_ask_first_are_taken() {
    use std::io::Read as _;
    let (_folder, tracer) = tracer();
    let mut stream = std::net::TcpStream::connect(tracer.address).unwrap();
    stream.set_read_timeout(Some(crate::program::DEADLINE)).unwrap();
    let read_head = |stream: &mut std::net::TcpStream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    };
    let head = "POST /api/v2/spans HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n";
    for n in 1..=2 {
        stream.write_all(head.as_bytes()).unwrap();
        assert!(read_head(&mut stream).starts_with("HTTP/1.1 100 "));
        let list = json_v2::encode_list(&[span(n)]);
        let (begin, end) = list.split_at(20);
        let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
        stream.write_all((chunk(begin) + &chunk(end) + "0\r\n\r\n").as_bytes()).unwrap();
        assert!(read_head(&mut stream).starts_with("HTTP/1.1 202 "));
        assert!(is_stored(&tracer, n));
    }
    // What is too large is refused before it is sent.
    let large = "POST /api/v2/spans HTTP/1.1\r\nhost: a\r\ncontent-length: 11000000\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(large.as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 413 "));
}
