//! An axum service that is traced, and a scrape target, by two lines.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Router, serve};
use sigyn_recorder::{Kind, Recorder};
use tokio::net::TcpListener;

/// How long requests have to end at SIGTERM, and scrapers to come for their spans.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    // At SIGTERM: no new requests, then those that run, then the scrapers get what these have recorded.
    let mut shutdown = sigyn_tower::shutdown(Recorder::of_process(), &listener)?;
    let service = app().into_make_service_with_connect_info::<SocketAddr>();
    let server = serve(listener, service).with_graceful_shutdown(shutdown.signal());
    let drain = shutdown.drain(server, PATIENCE, PATIENCE).await?;
    eprintln!("{} spans lost", drain.lost);
    Ok(())
}

fn app() -> Router {
    Router::new()
        .route("/hello/{lang}", get(hello))
        // The two lines: requests are recorded, and can be scraped.
        .layer(sigyn_tower::server(Recorder::of_process()))
        .route_service("/traces", sigyn_tower::traces(Recorder::of_process()))
}

async fn hello(axum::extract::Path(lang): axum::extract::Path<String>) -> (StatusCode, String) {
    match greeting(&lang).await {
        Some(greeting) => (StatusCode::OK, greeting.to_owned() + "\n"),
        None => (StatusCode::INTERNAL_SERVER_ERROR, "at a loss for words\n".to_owned()),
    }
}

/// What goes beyond two lines: a child of the request, wherever that was handed through.
async fn greeting(lang: &str) -> Option<&'static str> {
    let request = sigyn_tower::current();
    let mut query = request.map(|it| it.start("select greeting", Some(Kind::Client)));
    if let Some(query) = &mut query {
        query.tag("db.query.text", "select text from greeting where lang = $1");
    }
    tokio::time::sleep(Duration::from_millis(3)).await;
    [("en", "hello"), ("de", "hallo")].into_iter().find_map(|(of, it)| (of == lang).then_some(it))
}

#[cfg(test)]
mod tests {
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let service = app().into_make_service_with_connect_info::<SocketAddr>();
        tasks.spawn(async { serve(listener, service).await });

        let caller = "b3: 00000000000000ab-00000000000000cd-1\r\n";
        let (head, body) = ask(address, "/hello/en", caller).await;
        assert!(head.starts_with("HTTP/1.1 200 ") && body == "hello\n", "{head}");
        let (head, _) = ask(address, "/hello/xx", "").await;
        assert!(head.starts_with("HTTP/1.1 500 "), "{head}");

        let spans = scrape(address, 4).await;
        assert_eq!(spans.len(), 4, "{spans:#?}");
        for (path, parent, failed) in [("/hello/en", Some(0xcd), false), ("/hello/xx", None, true)]
        {
            let is_it = |span: &&Span| {
                span.zipkin_tags().get("url.path").is_some_and(|of| of.as_ref() == path)
            };
            let request = spans.iter().find(is_it).unwrap();
            assert_eq!(
                (request.name.as_str(), request.kind),
                ("get /hello/{lang}", Some(Kind::Server))
            );
            assert_eq!(request.parent_id.map(|id| id.as_u64()), parent);
            assert_eq!(request.is_error(), failed, "{request:#?}");
            assert!(request.remote_endpoint.is_some());
            let query = spans.iter().find(|span| span.parent_id == Some(request.id)).unwrap();
            assert_eq!((query.name.as_str(), query.kind), ("select greeting", Some(Kind::Client)));
        }
    }
}
