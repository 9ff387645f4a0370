//! An axum service that uses OpenTelemetry's SDK, as many do, and is a scrape target by two lines.

use std::time::Duration;

use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, serve};
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{
    FutureExt as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use sigyn_recorder::{Exposition, Recorder};
use tokio::net::TcpListener;

/// How long requests have to end at SIGTERM, and scrapers to come for their spans.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let provider = provider();
    global::set_tracer_provider(provider.clone());
    global::set_text_map_propagator(TraceContextPropagator::new());
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    // At SIGTERM: no new requests, then those that run, then the scrapers get what these have recorded.
    let mut shutdown = sigyn_tower::shutdown(Recorder::of_process(), &listener)?;
    let server = serve(listener, app()).with_graceful_shutdown(shutdown.signal());
    let drain = shutdown.drain(server, PATIENCE, PATIENCE).await?;
    eprintln!("{} spans lost", drain.lost);
    provider.shutdown()?;
    Ok(())
}

fn provider() -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("cart").build())
        // The first line: spans are recorded.
        .with_span_processor(sigyn_otel::processor(Recorder::of_process()))
        .build()
}

fn app() -> Router {
    Router::new()
        .route("/cart/{id}", get(cart))
        .layer(from_fn(trace))
        // The second line: they can be scraped. It stands below the layer, so scrapes are not traced.
        .route_service("/traces", Exposition::new(Recorder::of_process()))
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|key| key.as_str()).collect()
    }
}

/// A span for each request, which continues its caller's trace.
async fn trace(request: Request, next: Next) -> Response {
    let tracer = global::tracer_provider().tracer("cart");
    let caller = global::get_text_map_propagator(|it| it.extract(&Headers(request.headers())));
    let span = tracer
        .span_builder(request.method().to_string())
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("http.request.method", request.method().to_string()),
            KeyValue::new("url.path", request.uri().path().to_owned()),
        ])
        .start_with_context(&tracer, &caller);
    let context = caller.with_span(span);
    let response = next.run(request).with_context(context.clone()).await;
    let (span, status) = (context.span(), response.status());
    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if status.is_server_error() {
        span.set_status(Status::error(status.to_string()));
    }
    response
}

async fn cart(Path(id): Path<u32>) -> Result<String, StatusCode> {
    let items = load(id).await.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(items.join("\n") + "\n")
}

async fn load(id: u32) -> Option<Vec<&'static str>> {
    let tracer = global::tracer_provider().tracer("cart");
    let span = tracer.span_builder("load").with_kind(SpanKind::Client).start(&tracer);
    let context = Context::current_with_span(span);
    tokio::time::sleep(Duration::from_millis(3)).await;
    if id == 0 {
        context.span().set_status(Status::error("there is no cart 0"));
        return None;
    }
    context.span().add_event("loaded", vec![KeyValue::new("items", 2)]);
    Some(vec!["three pears", "an apple"])
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use sigyn_model::codec::json_v2;
    use sigyn_model::{Kind, Span};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::task::JoinSet;

    use super::*;

    /// Until the service has answered and recorded, which is after it has answered.
    const DEADLINE: Duration = Duration::from_secs(30);

    async fn ask(address: SocketAddr, path: &str, header: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    async fn scrape(address: SocketAddr, spans: usize) -> Vec<Span> {
        let start = Instant::now();
        loop {
            let (_, body) = ask(address, "/traces", "Accept: */*\r\n").await;
            let found = json_v2::decode_list(body.as_bytes()).unwrap_or_default();
            if found.len() >= spans {
                return found;
            }
            assert!(start.elapsed() < DEADLINE, "{found:#?}");
        }
    }

    #[tokio::test]
    async fn requests_are_spans_that_can_be_scraped() {
        global::set_tracer_provider(provider());
        global::set_text_map_propagator(TraceContextPropagator::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { serve(listener, app()).await });

        let caller = "traceparent: 00-000000000000000000000000000000ab-00000000000000cd-01\r\n";
        let (head, body) = ask(address, "/cart/7", caller).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(body.contains("three pears"), "{body}");
        let (head, _) = ask(address, "/cart/0", "").await;
        assert!(head.starts_with("HTTP/1.1 500 "), "{head}");

        let spans = scrape(address, 4).await;
        assert_eq!(spans.len(), 4, "{spans:#?}");
        for (path, parent, failed) in [("/cart/7", Some(0xcd), false), ("/cart/0", None, true)] {
            let is_it = |span: &&Span| {
                span.zipkin_tags().get("url.path").is_some_and(|of| of.as_ref() == path)
            };
            let request = spans.iter().find(is_it).unwrap();
            let load = spans.iter().find(|span| span.parent_id == Some(request.id)).unwrap();
            assert_eq!((request.name.as_str(), load.name.as_str()), ("get", "load"));
            assert_eq!((request.kind, load.kind), (Some(Kind::Server), Some(Kind::Client)));
            assert_eq!(request.parent_id.map(|id| id.as_u64()), parent);
            for span in [request, load] {
                assert_eq!(span.is_error(), failed, "{span:#?}");
                assert_eq!(span.local_endpoint.as_ref().unwrap().service_name, "cart");
            }
            assert_eq!(load.annotations.is_empty(), failed);
        }
    }
}
