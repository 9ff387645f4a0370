//! A service of tonic, called by tonic's client.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::Full;
use sigyn_model::{Kind, Span};
use sigyn_tower::{Client, client, server};
use tonic::Code;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::world::{World, annotations, ask, listen, tag, tags};

/// A service that says how well `pears` is.
async fn serve(world: &mut World) -> (SocketAddr, tonic_health::server::HealthReporter) {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("pears", ServingStatus::Serving).await;
    let (listener, address) = listen().await;
    let layer = server(world.recorder.clone()).with_traces();
    world.tasks.spawn(async move {
        let server = Server::builder().accept_http1(true).layer(layer).add_service(health);
        server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    });
    (address, reporter)
}

async fn connect(world: &World, address: SocketAddr) -> HealthClient<Client<Channel>> {
    let channel =
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let layer = client(world.recorder.clone()).with_peer("health");
    HealthClient::new(layer.layer(channel))
}

fn question(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

fn sides(spans: &[Span]) -> (&Span, &Span) {
    let of = |kind| spans.iter().find(|span| span.kind == Some(kind)).unwrap();
    (of(Kind::Client), of(Kind::Server))
}

#[tokio::test]
async fn a_call_is_a_span_on_either_side() {
    let mut world = World::new();
    let (address, _reporter) = serve(&mut world).await;
    let mut client = connect(&world, address).await;
    client.check(question("pears")).await.unwrap();
    let spans = world.spans(2).await;
    let (calling, served) = sides(&spans);
    assert_eq!(served.trace_id, calling.trace_id);
    assert_eq!(served.parent_id, Some(calling.id));
    let expected = [
        "rpc.method: grpc.health.v1.Health/Check",
        "rpc.response.status_code: OK",
        "rpc.system.name: grpc",
    ];
    for span in [calling, served] {
        assert_eq!(span.name, "grpc.health.v1.health/check");
        assert_eq!(tags(span), expected);
        assert!(!span.is_error() && annotations(span).is_empty(), "{span:#?}");
    }
    let peer = served.remote_endpoint.as_ref().unwrap();
    assert_eq!(peer.ipv4, Some([127, 0, 0, 1].into()));
    assert_eq!(calling.remote_endpoint.as_ref().unwrap().service_name, "health");

    let answer = ask(address, "GET /traces", "Accept: application/json\r\n").await;
    assert!(answer.contains("grpc.health.v1.health/check"), "{answer}");
}

#[tokio::test]
async fn a_client_fails_with_any_status_and_a_server_with_its_own_faults() {
    let mut world = World::new();
    let (address, _reporter) = serve(&mut world).await;
    let mut client = connect(&world, address).await;
    let status = client.check(question("apples")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let spans = world.spans(2).await;
    let (calling, served) = sides(&spans);
    for span in [calling, served] {
        assert_eq!(tag(span, "rpc.response.status_code").as_deref(), Some("NOT_FOUND"));
    }
    assert_eq!(calling.status.message, "service not registered");
    assert!(calling.is_error() && !served.is_error());
}

#[tokio::test]
async fn a_stream_is_a_span_until_it_ends_or_nobody_reads_it() {
    let mut world = World::new();
    let (address, mut reporter) = serve(&mut world).await;
    let mut client = connect(&world, address).await;
    let mut whole = client.watch(question("pears")).await.unwrap().into_inner();
    let mut cut = client.watch(question("pears")).await.unwrap().into_inner();
    whole.message().await.unwrap().unwrap();
    cut.message().await.unwrap().unwrap();
    assert!(world.look().await.is_empty());
    drop(cut);
    // The server hears of it from the connection.
    let spans = world.spans(2).await;
    let (calling, served) = sides(&spans);
    assert_eq!(annotations(calling), ["cancelled"]);
    assert_eq!(annotations(served), ["cancelled"]);
    reporter.clear_service_status("pears").await;
    while let Ok(Some(_)) = whole.message().await {}
    for span in &world.spans(4).await[2..] {
        assert!(annotations(span).is_empty(), "{span:#?}");
        assert!(tag(span, "rpc.response.status_code").is_some(), "{span:#?}");
    }
}

#[tokio::test]
async fn what_nobody_serves_is_a_fault_of_the_server() {
    let mut world = World::new();
    let (address, _reporter) = serve(&mut world).await;
    let channel =
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let request = Request::post(format!("http://{address}/a.B/C"))
        .header(CONTENT_TYPE, "application/grpc")
        .body(tonic::body::Body::empty())
        .unwrap();
    let layer = client(world.recorder.clone());
    let answer = layer.layer(channel).oneshot(request).await.unwrap();
    drop(answer);
    for span in world.spans(2).await {
        assert_eq!(span.name, "a.b/c");
        assert!(span.is_error());
        assert_eq!(tag(&span, "error.type").as_deref(), Some("UNIMPLEMENTED"));
    }
}

#[tokio::test]
async fn a_call_that_ends_without_a_status_has_failed() {
    let world = World::new();
    for status in [200, 502] {
        let inner = service_fn(move |_: Request<()>| async move {
            let body = Full::new(Bytes::new());
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        });
        let request = Request::post("http://cart/a.B/C").header(CONTENT_TYPE, "application/grpc");
        let traced = client(world.recorder.clone()).layer(inner);
        traced.oneshot(request.body(()).unwrap()).await.unwrap();
    }
    let messages: Vec<String> =
        world.spans(2).await.into_iter().map(|span| span.status.message).collect();
    assert_eq!(messages, ["ended without a grpc-status", "502 Bad Gateway"]);
}

#[tokio::test]
async fn a_channel_that_does_not_connect_says_why() {
    let world = World::new();
    let (listener, address) = listen().await;
    drop(listener);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut client = HealthClient::new(client(world.recorder.clone()).layer(channel));
    client.check(question("pears")).await.unwrap_err();
    let span = world.span().await;
    assert!(span.status.message.contains("onnection refused"), "{span:#?}");
    assert_eq!(tag(&span, "error.type").as_deref(), Some("tonic::transport::error::Error"));
}
