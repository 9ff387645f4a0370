//! hyper and tower, without any framework.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sigyn_recorder::Peer;
use sigyn_tower::{current, server};
use tower::{ServiceBuilder, service_fn};

use crate::world::{World, ask, listen, tags};

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    current().unwrap().set_name("GET /hello");
    Ok(Response::new(Full::from("hello\n")))
}

#[tokio::test]
async fn hyper_and_tower_are_enough() {
    let mut world = World::new();
    let (listener, address) = listen().await;
    let layer = server(world.recorder.clone()).with_traces();
    world.tasks.spawn(async move {
        loop {
            let (stream, from) = listener.accept().await.unwrap();
            let service = ServiceBuilder::new()
                .map_request(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(Peer(from.ip()));
                    request
                })
                .layer(layer.clone())
                .service(service_fn(hello));
            let service = TowerToHyperService::new(service);
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.unwrap();
        }
    });
    assert!(ask(address, "GET /any?secret=1", "").await.ends_with("hello\n"));
    let span = world.span().await;
    assert_eq!(span.name, "get /hello");
    let expected = [
        "http.request.method: GET",
        "http.response.status_code: 200",
        "network.protocol.version: 1.1",
        "url.path: /any",
    ];
    assert_eq!(tags(&span), expected);
    let peer = span.remote_endpoint.unwrap();
    assert_eq!((peer.ipv4, peer.port), (Some([127, 0, 0, 1].into()), 0));

    // The layer itself answers scrapes.
    let answer = ask(address, "GET /traces", "Accept: application/json\r\n").await;
    assert!(answer.contains("get /hello"), "{answer}");
    let answer = ask(address, "POST /traces", "Accept: application/json\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    world.span().await;
}
