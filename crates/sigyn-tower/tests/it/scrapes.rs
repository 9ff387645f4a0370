//! Scrapes: answered, told who asks, and never traced themselves.

use axum::Router;
use axum::routing::get;
use sigyn_recorder::Exposition;
use sigyn_tower::{Traces, server, traces};

use crate::world::{World, ask};

#[tokio::test]
async fn a_scrape_is_never_traced_wherever_the_route_stands() {
    let mut world = World::new();
    let app = Router::new()
        .route("/cart", get(async || "pears"))
        .route_service("/traces", traces(world.recorder.clone()))
        .layer(server(world.recorder.clone()));
    let address = world.serve(app).await;
    ask(address, "GET /cart", "").await;
    world.span().await;
    for _ in 0..2 {
        let answer = ask(address, "GET /traces", "Accept: application/json\r\n").await;
        assert!(answer.contains("get /cart"), "{answer}");
    }
    world.span().await;
}

#[tokio::test]
async fn whatever_else_should_not_be_traced_is_not() {
    let mut world = World::new();
    let elsewhere = Traces::from(Exposition::new(world.recorder.clone()).at("/internal"));
    let app = Router::new()
        .route("/cart", get(async || "pears"))
        .route("/health", get(async || "well"))
        .route_service("/internal", elsewhere)
        .layer(server(world.recorder.clone()).without("/internal").without("/health"));
    let address = world.serve(app).await;
    for path in ["/health", "/internal", "/cart", "/internal"] {
        ask(address, &format!("GET {path}"), "Accept: */*\r\n").await;
    }
    assert_eq!(world.span().await.name, "get /cart");
}

/// A 2017 Loki server sends nothing that tells it from others but its address.
#[tokio::test]
async fn a_scraper_of_2017_gets_each_span_once() {
    let mut world = World::new();
    let app = Router::new()
        .route("/cart", get(async || "pears"))
        .layer(server(world.recorder.clone()))
        .route_service("/traces", traces(world.recorder.clone()));
    let address = world.serve(app).await;
    ask(address, "GET /cart", "").await;
    world.span().await;
    let first = ask(address, "GET /traces", "").await;
    assert!(first.contains("get /cart"), "{first}");
    let second = ask(address, "GET /traces", "").await;
    assert!(!second.contains("get /cart"), "{second}");
    assert_eq!(world.recorder.stats().delivered, 1);
}
