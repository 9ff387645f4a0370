//! A traced axum service: each request is a span, and `/traces` is where Sigyn reads them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, serve};
use sigyn_model::Kind;
use sigyn_recorder::{Context, Exposition, Options, Recorder};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options { service_name: "greeter".to_owned(), ..Options::default() };
    let recorder = Recorder::new(options);

    let app = Router::new()
        .route("/hello", get(hello))
        .layer(from_fn_with_state(recorder.clone(), trace))
        .with_state(recorder.clone())
        // Outside the layer: scrapes are not traced.
        .route("/traces", get(move |request: Request| traces(recorder, request)));

    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    serve(listener, app).await?;
    Ok(())
}

/// Continues the caller's trace, or begins one, and times the request.
async fn trace(State(recorder): State<Recorder>, mut request: Request, next: Next) -> Response {
    let parent = recorder.extract(request.headers());
    let name = format!("{} {}", request.method(), request.uri().path());
    let mut span = recorder.start(&name, Some(Kind::Server), parent.as_ref());
    request.extensions_mut().insert(span.context().clone());
    let response = next.run(request).await;
    span.tag("http.status_code", i64::from(response.status().as_u16()));
    if response.status().is_server_error() {
        span.error(response.status().as_str());
    }
    response
}

async fn hello(
    State(recorder): State<Recorder>,
    Extension(context): Extension<Context>,
) -> &'static str {
    let mut query = recorder.start("select greeting", Some(Kind::Client), Some(&context));
    query.tag("db.statement", "select text from greeting where lang = $1");
    tokio::time::sleep(Duration::from_millis(3)).await;
    query.finish();
    "hello\n"
}

async fn traces(recorder: Recorder, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    Exposition::new(recorder).respond(&parts).await.map(Body::new)
}
