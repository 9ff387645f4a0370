//! A small service that can be scraped: `cargo run -p sigyn-recorder --example hello`, then
//! `curl http://127.0.0.1:9412/` a few times, and `curl http://127.0.0.1:9412/traces` to see the spans.
//! While `curl http://127.0.0.1:9412/slow` waits, `curl http://127.0.0.1:9412/tracez` shows it, in a browser, too.
//!
//! Ctrl-C waits until the scrapers have everything, for five seconds at most.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use sigyn_model::Kind;
use sigyn_recorder::{Body, Exposition, Options, Peer, Recorder};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::Service as _;

/// What every request needs.
#[derive(Clone)]
struct App {
    recorder: Recorder,
    exposition: Exposition,
}

impl App {
    async fn handle(
        &self,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        // Scrapes are not traced, or they would have something to read for ever.
        if self.exposition.is_at(request.uri().path()) {
            let mut request = request;
            request.extensions_mut().insert(peer);
            return self.exposition.clone().call(request).await;
        }
        let (request, _body) = request.into_parts();
        let caller = self.recorder.extract(&request.headers);
        let is_slow = request.uri.path() == "/slow";
        let name = if is_slow { "get /slow" } else { "get /" };
        let mut span = self.recorder.start(name, Some(Kind::Server), caller.as_ref());
        span.tag("url.path", request.uri.path());
        if is_slow {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }

        let mut child = self.recorder.start("think", None, Some(span.context()));
        child.annotate("thought");
        child.finish();

        Ok(Response::new(Body::from(Bytes::from_static(b"hello\n"))))
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // What nobody samples stays for a while: `OTEL_TRACES_SAMPLER=always_off` shows how a trace is asked for.
    let options = Options { cold_bytes_max: 8 << 20, ..Options::from_environment() };
    let recorder = Recorder::new(options);
    let app = App { exposition: Exposition::new(recorder.clone()), recorder };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 9412)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);

    let (mut connections, graceful) = (JoinSet::new(), GracefulShutdown::new());
    let mut draining = std::pin::pin!(async {
        // Without signals there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        app.recorder.drained(Duration::from_secs(5)).await
    });
    let drain = loop {
        tokio::select! {
            drain = &mut draining => break drain,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, from) = accepted?;
                let app = app.clone();
                let service = service_fn(move |request| {
                    let app = app.clone();
                    async move { app.handle(Peer(from.ip()), request).await }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(graceful.watch(connection));
            }
        }
    };
    // The last acknowledgement is still being answered.
    let _ = tokio::time::timeout(Duration::from_secs(1), graceful.shutdown()).await;
    eprintln!("{} spans lost", drain.lost);
    Ok(())
}
