//! How spans end: with the last of a body, or without it.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use sigyn_tower::{current, server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::world::{World, annotations, ask, tag};

/// A body of what somebody sends.
struct Sent(mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        // What makes a body runs in the span, too.
        assert!(current().is_some());
        self.0.poll_recv(task)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn data(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// A response whose body is sent by hand.
async fn streamed(
    world: &World,
    headers: &[(&'static str, &'static str)],
) -> (mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>, Response<sigyn_tower::TracedBody<Sent>>) {
    let (sender, receiver) = mpsc::channel(8);
    let mut response = Response::new(Sent(receiver));
    for (name, value) in headers {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    let mut response = Some(response);
    let inner = service_fn(move |_: Request<()>| {
        let response = response.take().unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    let service = server(world.recorder.clone()).layer(inner);
    (sender, service.oneshot(Request::new(())).await.unwrap())
}

#[tokio::test]
async fn a_span_ends_with_the_last_of_the_body() {
    let world = World::new();
    let (sender, response) = streamed(&world, &[]).await;
    let mut body = response.into_body();
    sender.send(data("a")).await.unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(world.look().await.is_empty());
    sender.send(Ok(Frame::trailers(HeaderMap::new()))).await.unwrap();
    drop(sender);
    body.frame().await.unwrap().unwrap();
    assert!(body.frame().await.is_none());
    let span = world.span().await;
    assert!(!span.is_error() && annotations(&span).is_empty(), "{span:#?}");
    drop(body);
    world.span().await;
}

#[tokio::test]
async fn a_body_that_is_as_long_as_was_said_is_over() {
    let world = World::new();
    let (sender, response) = streamed(&world, &[("content-length", "3")]).await;
    let mut body = response.into_body();
    sender.send(data("ab")).await.unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(world.look().await.is_empty());
    sender.send(data("c")).await.unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert!(annotations(&world.span().await).is_empty());
}

#[tokio::test]
async fn a_body_of_no_bytes_is_over_before_it_is_asked_for() {
    let world = World::new();
    let (_sender, response) = streamed(&world, &[("content-length", "0")]).await;
    assert!(annotations(&world.span().await).is_empty());
    drop(response);
    world.span().await;
}

#[tokio::test]
async fn a_body_that_is_dropped_says_so() {
    let world = World::new();
    let (sender, response) = streamed(&world, &[]).await;
    let mut body = response.into_body();
    sender.send(data("a")).await.unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let span = world.span().await;
    assert_eq!(annotations(&span), ["cancelled"]);
    assert_eq!(tag(&span, "http.response.status_code").as_deref(), Some("200"));
    assert!(!span.is_error());
}

#[tokio::test]
async fn a_body_that_fails_says_why() {
    let world = World::new();
    let (sender, response) = streamed(&world, &[]).await;
    sender.send(Err(std::io::Error::other("disk on fire"))).await.unwrap();
    response.into_body().frame().await.unwrap().unwrap_err();
    let span = world.span().await;
    assert!(span.is_error());
    assert_eq!(span.status.message, "disk on fire");
    assert_eq!(tag(&span, "error.type").as_deref(), Some("std::io::error::Error"));
}

#[tokio::test]
async fn a_body_that_panics_says_so() {
    let mut world = World::new();
    let panics = async || {
        Response::new(Body::new(Body::from("x").map_frame(|_| -> Frame<Bytes> { panic!("boom") })))
    };
    let app = Router::new().route("/", get(panics)).layer(server(world.recorder.clone()));
    let address = world.serve(app).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let span = world.span().await;
    assert!(span.is_error());
    assert_eq!(span.status.message, "panicked");
}

#[tokio::test]
async fn a_handler_that_panics_says_so() {
    let mut world = World::new();
    let panics = async || {
        let _running = current().unwrap().start("inside", None);
        tokio::task::yield_now().await;
        if current().is_some() {
            panic!("boom");
        }
    };
    let app = Router::new().route("/", get(panics)).layer(server(world.recorder.clone()));
    let address = world.serve(app).await;
    assert_eq!(ask(address, "GET /", "").await, "");
    let spans = world.spans(2).await;
    let request = crate::world::named(&spans, "get /");
    assert!(request.is_error());
    assert_eq!(request.status.message, "panicked");
    assert_eq!(tag(request, "error.type").as_deref(), Some("panic"));
    assert!(annotations(request).is_empty());
    assert!(current().is_none());
}

#[tokio::test]
async fn a_request_whose_caller_went_away_says_so() {
    let mut world = World::new();
    let (started, mut is_started) = mpsc::channel::<()>(1);
    let waits = async move || {
        started.send(()).await.unwrap();
        pending::<StatusCode>().await
    };
    let app = Router::new().route("/", get(waits)).layer(server(world.recorder.clone()));
    let address = world.serve(app).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    is_started.recv().await.unwrap();
    assert!(world.look().await.is_empty());
    drop(stream);
    let span = world.span().await;
    assert_eq!(annotations(&span), ["cancelled"]);
    assert_eq!(tag(&span, "http.response.status_code"), None);
}

#[tokio::test]
async fn nobody_reads_the_body_of_an_answer_to_head() {
    let mut world = World::new();
    let app = Router::new().route("/", get(async || "pears")).layer(server(world.recorder.clone()));
    let address = world.serve(app).await;
    assert!(ask(address, "HEAD /", "").await.contains("content-length: 5"));
    let span = world.span().await;
    assert_eq!(span.name, "head /");
    assert!(annotations(&span).is_empty());
}

#[tokio::test]
async fn a_service_that_fails_says_why() {
    let world = World::new();
    let cause = std::io::Error::other("no route to host");
    let mut error = Some(cause);
    let inner = service_fn(move |_: Request<()>| {
        let error: Box<dyn std::error::Error + Send + Sync> = error.take().unwrap().into();
        async { Err::<Response<Body>, _>(error) }
    });
    let service = server(world.recorder.clone()).layer(inner);
    service.oneshot(Request::new(())).await.unwrap_err();
    let span = world.span().await;
    assert_eq!(span.status.message, "no route to host");
    assert!(span.is_error());
}

#[tokio::test]
async fn a_span_that_is_over_hears_nothing_more() {
    let mut world = World::new();
    let (told, mut spans) = mpsc::channel(1);
    let handler = async move || {
        let span = current().unwrap();
        assert!(span.is_recording());
        told.send(span).await.unwrap();
    };
    let app = Router::new().route("/", get(handler)).layer(server(world.recorder.clone()));
    let address = world.serve(app).await;
    ask(address, "GET /", "").await;
    let recorded = world.span().await;
    let span = spans.recv().await.unwrap();
    assert!(!span.is_recording());
    span.tag("late", true).error("late").annotate("late").set_name("late");
    assert_eq!(world.span().await, recorded);
    // It still has children.
    span.start("after", None).finish();
    let spans = world.spans(2).await;
    assert_eq!(spans[1].parent_id, Some(recorded.id));
}
