//! An axum service that uses `tracing`, as many do, and is a scrape target by two lines.

use std::time::Duration;

use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Router, serve};
use sigyn_recorder::{Exposition, Recorder};
use sigyn_tracing::SpanExt as _;
use tokio::net::TcpListener;
use tower_http::trace::TraceLayer;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber, info, info_span, instrument};
use tracing_subscriber::prelude::*;

/// How long requests have to end at SIGTERM, and scrapers to come for their spans.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    subscriber().init();
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    // At SIGTERM: no new requests, then those that run, then the scrapers get what these have recorded.
    let mut shutdown = sigyn_tower::shutdown(Recorder::of_process(), &listener)?;
    let server = serve(listener, app()).with_graceful_shutdown(shutdown.signal());
    let drain = shutdown.drain(server, PATIENCE, PATIENCE).await?;
    eprintln!("{} spans lost", drain.lost);
    Ok(())
}

fn subscriber() -> impl Subscriber + Send + Sync {
    tracing_subscriber::registry()
        .with(LevelFilter::DEBUG)
        .with(tracing_subscriber::fmt::layer())
        // The first line: spans are recorded.
        .with(sigyn_tracing::layer(Recorder::of_process()))
}

fn app() -> Router {
    Router::new()
        .route("/cart/{id}", get(cart))
        .layer(TraceLayer::new_for_http().make_span_with(request_span))
        // The second line: they can be scraped. It stands below the layer, so scrapes are not traced.
        .route_service("/traces", Exposition::new(Recorder::of_process()))
}

fn request_span(request: &Request) -> Span {
    let span = info_span!(
        "request",
        otel.kind = "server",
        http.request.method = %request.method(),
        url.path = request.uri().path(),
    );
    // What goes beyond two lines: the traces of callers go on.
    if let Some(caller) = Recorder::of_process().extract(request.headers()) {
        span.set_parent(&caller);
    }
    span
}

#[instrument]
async fn cart(Path(id): Path<u32>) -> Result<String, StatusCode> {
    let items = load(id).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    info!(items = items.len(), "there is something in it");
    Ok(items.join("\n") + "\n")
}

#[derive(Debug, thiserror::Error)]
#[error("there is no cart {id}")]
struct Missing {
    id: u32,
}

#[instrument(err, fields(otel.kind = "client", db.system = "postgresql"))]
async fn load(id: u32) -> Result<Vec<&'static str>, Missing> {
    tokio::time::sleep(Duration::from_millis(3)).await;
    if id == 0 { Err(Missing { id }) } else { Ok(vec!["three pears", "an apple"]) }
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
            let (head, body) = ask(address, "/traces", "Accept: */*\r\n").await;
            let found = json_v2::decode_list(body.as_bytes()).unwrap_or_default();
            if found.len() >= spans {
                assert!(head.contains("application/json"), "{head}");
                return found;
            }
            assert!(start.elapsed() < DEADLINE, "{found:#?}");
        }
    }

    #[tokio::test]
    async fn requests_are_spans_that_can_be_scraped() {
        subscriber().init();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { serve(listener, app()).await });

        let caller = "b3: 00000000000000ab-00000000000000cd-1\r\n";
        let (head, body) = ask(address, "/cart/7", caller).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(body.contains("three pears"), "{body}");
        let (head, _) = ask(address, "/cart/0", "").await;
        assert!(head.starts_with("HTTP/1.1 500 "), "{head}");

        let spans = scrape(address, 6).await;
        assert_eq!(spans.len(), 6, "{spans:#?}");
        for (path, parent, failed) in [("/cart/7", Some(0xcd), false), ("/cart/0", None, true)] {
            let child_of = |parent: &Span| {
                spans.iter().find(|span| span.parent_id == Some(parent.id)).unwrap()
            };
            let is_it = |span: &&Span| {
                span.zipkin_tags().get("url.path").is_some_and(|of| of.as_ref() == path)
            };
            let request = spans.iter().find(is_it).unwrap();
            let (cart, load) = (child_of(request), child_of(child_of(request)));
            assert_eq!((cart.name.as_str(), load.name.as_str()), ("cart", "load"));
            assert_eq!((request.kind, load.kind), (Some(Kind::Server), Some(Kind::Client)));
            assert_eq!(request.parent_id.map(|id| id.as_u64()), parent);
            assert_eq!(request.trace_id.as_u128() == 0xab, parent.is_some());
            for span in [request, load] {
                assert_eq!(span.is_error(), failed, "{span:#?}");
            }
            let said = load.zipkin_tags().get("error").map(|said| said.to_string());
            assert_eq!(said.as_deref(), failed.then_some("there is no cart 0"));
        }
    }
}
