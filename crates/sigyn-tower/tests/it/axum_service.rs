//! A service of axum, in all that its spans say.

use axum::Router;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::routing::{any, get};
use sigyn_model::Kind;
use sigyn_tower::{CurrentSpan, current, server};
use tokio::task::JoinSet;

use crate::world::{World, ask, named, tags};

async fn cart(Extension(span): Extension<CurrentSpan>) -> &'static str {
    // Both are the same.
    assert_eq!(current().unwrap().context(), span.context());
    span.tag("items", 3).tag("who", format_args!("user {}", 7)).annotate("looked");
    let mut query = span.start("query", Some(Kind::Client));
    query.tag("db.system.name", "postgresql");
    query.finish();
    let price = async { current().unwrap().tag("currency", "EUR").context().clone() };
    let price = span.run("price", None, price).await;
    assert_eq!(price.parent_id, span.context().span_id);
    assert_eq!(current().unwrap().context(), span.context());
    "three pears\n"
}

fn app(world: &World) -> Router {
    Router::new()
        .route("/cart/{id}", any(cart))
        .route("/broken", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/missing", get(async || StatusCode::NOT_FOUND))
        .layer(server(world.recorder.clone()))
}

#[tokio::test]
async fn a_request_is_a_span_named_by_its_route() {
    let mut world = World::new();
    let address = world.serve(app(&world)).await;
    let caller = "b3: 00000000000000ab-00000000000000cd-1\r\n";
    let answer = ask(address, "GET /cart/7?token=secret", caller).await;
    assert!(answer.ends_with("three pears\n"), "{answer}");

    let spans = world.spans(3).await;
    let request = named(&spans, "get /cart/{id}");
    assert_eq!(request.kind, Some(Kind::Server));
    assert_eq!(request.trace_id.as_u128(), 0xab);
    assert_eq!(request.parent_id.map(|id| id.as_u64()), Some(0xcd));
    let expected = [
        "http.request.method: GET",
        "http.response.status_code: 200",
        "http.route: /cart/{id}",
        "items: 3",
        "network.protocol.version: 1.1",
        "url.path: /cart/7",
        "who: user 7",
    ];
    assert_eq!(tags(request), expected);
    assert_eq!(request.annotations[0].value, "looked");
    assert!(!request.is_error());
    let peer = request.remote_endpoint.as_ref().unwrap();
    assert_eq!(peer.ipv4, Some([127, 0, 0, 1].into()));
    assert_ne!(peer.port, 0);
    for name in ["query", "price"] {
        assert_eq!(named(&spans, name).parent_id, Some(request.id));
    }
    assert_eq!(tags(named(&spans, "price")), ["currency: EUR"]);
}

#[tokio::test]
async fn a_server_is_to_blame_for_5xx_and_not_for_4xx() {
    let mut world = World::new();
    let address = world.serve(app(&world)).await;
    ask(address, "GET /broken", "").await;
    ask(address, "GET /missing", "").await;
    ask(address, "GET /nowhere", "").await;
    let spans = world.spans(3).await;
    let broken = named(&spans, "get /broken");
    assert!(broken.is_error());
    assert_eq!(broken.status.message, "503 Service Unavailable");
    assert!(tags(broken).contains(&"error.type: 503".to_owned()));
    assert!(!named(&spans, "get /missing").is_error());
    // What nobody serves has no route, and so no name of its own.
    assert_eq!(tags(named(&spans, "get"))[1], "http.response.status_code: 404");
}

#[tokio::test]
async fn methods_that_anybody_may_invent_name_nothing() {
    let mut world = World::new();
    let address = world.serve(app(&world)).await;
    ask(address, "BREW /cart/7", "").await;
    let spans = world.spans(3).await;
    let request = named(&spans, "http /cart/{id}");
    assert!(tags(request).contains(&"http.request.method: _OTHER".to_owned()));
}

#[tokio::test]
async fn a_query_and_baggage_are_recorded_when_they_are_asked_for() {
    let mut world = World::new();
    let layer = server(world.recorder.clone()).with_query(true).with_baggage_tag("tenant");
    let app = Router::new().route("/", get(async || "hello")).layer(layer);
    let address = world.serve(app).await;
    ask(address, "GET /?a=1", "baggage: user=x, tenant=a%20b, bad\r\n").await;
    let tags = tags(&world.span().await);
    assert_eq!(tags[0], "baggage.tenant: a b");
    assert!(tags.contains(&"url.query: a=1".to_owned()));
    assert!(!tags.iter().any(|tag| tag.contains("user")), "{tags:?}");
    assert_eq!(world.recorder.stats().activity.invalid_baggage, 1);
}

#[tokio::test]
async fn what_callers_decided_is_obeyed_and_passed_on() {
    let mut world = World::new();
    let app = Router::new()
        .route("/", get(async || format!("{:?}", current().unwrap().context().sampled)))
        .layer(server(world.recorder.clone()));
    let address = world.serve(app).await;
    assert!(ask(address, "GET /", "b3: 0\r\n").await.ends_with("Some(false)"));
    assert!(ask(address, "GET /", "x-b3-flags: 1\r\n").await.ends_with("Some(true)"));
    assert!(world.span().await.debug);
    assert_eq!(world.recorder.stats().activity.unsampled, 1);
}

#[tokio::test]
async fn a_task_that_is_spawned_takes_the_span_along() {
    let mut world = World::new();
    let handler = async || {
        let span = current().unwrap();
        let (mut alone, mut along) = (JoinSet::new(), JoinSet::new());
        alone.spawn(async { assert!(current().is_none()) });
        along.spawn(span.clone().scope(async { current().unwrap().context().clone() }));
        alone.join_all().await;
        assert_eq!(along.join_all().await, [span.context().clone()]);
        "done"
    };
    let app = Router::new().route("/", get(handler)).layer(server(world.recorder.clone()));
    let address = world.serve(app).await;
    assert!(ask(address, "GET /", "").await.ends_with("done"));
    world.span().await;
}
