//! Clients of hyper-util and reqwest, and what they send along.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use sigyn_model::{Kind, Span};
use sigyn_recorder::propagation::Format;
use sigyn_recorder::{Baggage, Recorder};
use sigyn_tower::{Client, ClientLayer, SendTraced as _, client, current, server};
use tower::{Layer as _, ServiceExt as _};

use crate::world::{World, annotations, ask, listen, named, tag, tags};

type Hyper = legacy::Client<legacy::connect::HttpConnector, Empty<Bytes>>;

fn hyper(layer: &ClientLayer) -> Client<Hyper> {
    let client = legacy::Client::builder(TokioExecutor::new()).build_http();
    layer.layer(client)
}

fn request(address: SocketAddr, path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://{address}{path}")).body(Empty::new()).unwrap()
}

/// Answers with what it was sent of contexts.
async fn echo(headers: HeaderMap) -> String {
    let wanted =
        |name: &str| name.starts_with("x-b3") || ["b3", "traceparent", "baggage"].contains(&name);
    let mut lines: Vec<String> = headers
        .iter()
        .filter(|(name, _)| wanted(name.as_str()))
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines.concat()
}

fn echoing() -> Router {
    Router::new()
        .route("/echo", get(echo))
        .route("/missing", get(async || StatusCode::NOT_FOUND))
        .route("/moved", get(async || axum::response::Redirect::temporary("/echo")))
}

async fn text(client: Client<Hyper>, request: Request<Empty<Bytes>>) -> String {
    let response = client.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_request_is_a_span_whose_context_goes_along() {
    let mut world = World::new();
    let address = world.serve(echoing()).await;
    let layer = client(world.recorder.clone()).with_peer("Echo");
    let sent = text(hyper(&layer), request(address, "/echo?token=secret")).await;
    let span = world.span().await;
    let (trace, id) = (span.trace_id, span.id);
    assert_eq!(sent, format!("b3: {trace}-{id}-1\ntraceparent: 00-{trace}-{id}-01\n"));
    assert_eq!((span.name.as_str(), span.kind), ("get", Some(Kind::Client)));
    let expected = [
        "http.request.method: GET".to_owned(),
        "http.response.status_code: 200".to_owned(),
        "server.address: 127.0.0.1".to_owned(),
        format!("server.port: {}", address.port()),
        format!("url.full: http://{address}/echo"),
    ];
    assert_eq!(tags(&span), expected);
    let peer = span.remote_endpoint.unwrap();
    assert_eq!((peer.service_name.as_str(), peer.port), ("echo", address.port()));
    assert_eq!(peer.ipv4, Some([127, 0, 0, 1].into()));
}

#[tokio::test]
async fn a_context_goes_along_as_it_is_wanted() {
    let mut world = World::new();
    let address = world.serve(echoing()).await;
    let check = async |formats: &[Format], expected: &str| {
        let layer = client(world.recorder.clone()).with_formats(formats);
        let sent = text(hyper(&layer), request(address, "/echo")).await;
        let names: Vec<&str> =
            sent.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
        assert_eq!(names.join(" "), expected);
    };
    check(&[Format::B3Single], "b3").await;
    check(&[Format::B3Multi], "x-b3-sampled x-b3-spanid x-b3-traceid").await;
    check(&[Format::W3c], "traceparent").await;
    check(&[], "").await;
}

#[tokio::test]
async fn credentials_are_no_part_of_an_address() {
    let mut world = World::new();
    let address = world.serve(echoing()).await;
    let with_login = Request::get(format!("http://login:secret@{address}/echo?key=secret"));
    let layer = client(world.recorder.clone());
    text(hyper(&layer), with_login.body(Empty::new()).unwrap()).await;
    let span = format!("{:?}", world.span().await);
    assert!(!span.contains("secret") && !span.contains("login"), "{span}");
    text(hyper(&layer.with_query(true)), request(address, "/echo?a=1")).await;
    assert_eq!(tag(&world.spans(2).await[1], "url.query").as_deref(), Some("a=1"));
}

#[tokio::test]
async fn a_client_fails_with_any_4xx() {
    let mut world = World::new();
    let address = world.serve(echoing()).await;
    text(hyper(&client(world.recorder.clone())), request(address, "/missing")).await;
    let span = world.span().await;
    assert_eq!(span.status.message, "404 Not Found");
    assert_eq!(tag(&span, "error.type").as_deref(), Some("404"));
}

#[tokio::test]
async fn a_request_that_does_not_arrive_says_why() {
    let world = World::new();
    let (listener, address) = listen().await;
    drop(listener);
    let hyper = hyper(&client(world.recorder.clone()));
    hyper.oneshot(request(address, "/")).await.unwrap_err();
    let span = world.span().await;
    assert!(span.is_error());
    assert!(span.status.message.contains("onnection refused"), "{span:#?}");
}

#[tokio::test]
async fn a_response_that_nobody_reads_is_cancelled() {
    let mut world = World::new();
    let address = world.serve(echoing()).await;
    let hyper = hyper(&client(world.recorder.clone()));
    drop(hyper.clone().oneshot(request(address, "/echo")).await.unwrap());
    assert_eq!(annotations(&world.span().await), ["cancelled"]);
    drop(hyper.oneshot(request(address, "/echo")));
}

/// A service that calls another one to answer.
fn front(recorder: &Recorder, layer: &ClientLayer, back: SocketAddr) -> Router {
    let (with_hyper, with_reqwest, with_parent) = (layer.clone(), layer.clone(), layer.clone());
    let reqwest = reqwest::Client::new();
    Router::new()
        .route("/hyper", get(async move || text(hyper(&with_hyper), request(back, "/echo")).await))
        .route(
            "/reqwest",
            get(async move || {
                let moved = format!("http://{back}/moved?token=secret");
                let response = reqwest.get(moved).send_traced(&with_reqwest).await.unwrap();
                assert_eq!(response.url().path(), "/echo");
                response.text().await.unwrap()
            }),
        )
        .route(
            "/parent",
            get(async move || {
                let span = current().unwrap().start("inside", None);
                let mut request = request(back, "/echo");
                let mut baggage = Baggage::default();
                assert!(baggage.set("inside", "yes"));
                request.extensions_mut().insert(span.context().clone());
                request.extensions_mut().insert(baggage);
                text(hyper(&with_parent), request).await
            }),
        )
        .layer(server(recorder.clone()))
}

#[tokio::test]
async fn calls_belong_to_the_request_that_makes_them() {
    let mut world = World::new();
    let back = world.serve(echoing().layer(server(world.recorder.clone()))).await;
    let layer = client(world.recorder.clone());
    let front = world.serve(front(&world.recorder, &layer, back)).await;
    let mut seen = 0;
    for (path, name, spans, baggage) in [
        ("/hyper", "get /hyper", 3, "tenant=7"),
        // A redirect was followed: twice asked, once called.
        ("/reqwest", "get /reqwest", 4, "tenant=7"),
        ("/parent", "inside", 4, "inside=yes"),
    ] {
        let answer = ask(front, &format!("GET {path}"), "baggage: tenant=7\r\n").await;
        assert!(answer.contains(&format!("\nbaggage: {baggage}\n")), "{answer}");
        seen += spans;
        let spans: Vec<Span> = world.spans(seen).await.split_off(seen - spans);
        let above = named(&spans, name);
        let calling = named(&spans, "get");
        let served = named(&spans, "get /echo");
        assert_eq!(calling.parent_id, Some(above.id), "{spans:#?}");
        assert_eq!(served.parent_id, Some(calling.id), "{spans:#?}");
        assert!(spans.iter().all(|span| span.trace_id == above.trace_id && !span.is_error()));
        assert!(spans.iter().all(|span| annotations(span).is_empty()), "{spans:#?}");
        assert!(!format!("{spans:?}").contains("secret"));
    }
}

#[tokio::test]
async fn baggage_is_kept_from_whom_it_should_not_reach() {
    let mut world = World::new();
    let back = world.serve(echoing()).await;
    let layer = client(world.recorder.clone()).with_baggage(false);
    let front = world.serve(front(&world.recorder, &layer, back)).await;
    let answer = ask(front, "GET /hyper", "baggage: tenant=7\r\n").await;
    assert!(answer.contains("traceparent") && !answer.contains("baggage"), "{answer}");
}

#[tokio::test]
async fn reqwest_fails_without_telling_the_address() {
    let world = World::new();
    let (listener, address) = listen().await;
    drop(listener);
    let request = reqwest::Client::new().get(format!("http://{address}/?token=secret"));
    request.send_traced(&client(world.recorder.clone())).await.unwrap_err();
    let span = world.span().await;
    assert!(span.status.message.contains("onnection refused"), "{span:#?}");
    assert!(!format!("{span:?}").contains("secret"), "{span:#?}");
    assert_eq!(tag(&span, "error.type").as_deref(), Some("reqwest::error::Error"));
}
