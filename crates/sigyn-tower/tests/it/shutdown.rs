//! The end of a service: what is answered at its address while the server ends, and then. The examples are told to end, too.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use sigyn_recorder::{Exposition, Recorder};
use sigyn_tower::Shutdown;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::world::{World, ask, listen};

const LONG: Duration = Duration::from_secs(60);

/// A service whose server has ended, and what becomes of its spans.
async fn ended(
    recorder: &Recorder,
    change: impl FnOnce(Shutdown) -> Shutdown,
) -> (SocketAddr, JoinSet<u64>) {
    let (listener, address) = listen().await;
    let shutdown = change(sigyn_tower::shutdown(recorder.clone(), &listener).unwrap());
    drop(listener);
    let mut draining = JoinSet::new();
    draining.spawn(async move {
        let drain = shutdown.drain(ready(Ok::<_, Infallible>(())), LONG, LONG).await;
        drain.unwrap().lost
    });
    (address, draining)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn scrapers_get_everything_and_nobody_else_is_answered() {
    let world = World::new();
    world.recorder.start("last", None, None).finish();
    let (address, mut draining) = ended(&world.recorder, |shutdown| shutdown).await;
    let refused = ask(address, "GET /cart", "").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert_eq!(header(&refused, "retry-after"), Some("1"));

    let named = "Accept: application/json\r\nSigyn-Scraper: a\r\n";
    let answer = ask(address, "GET /traces", named).await;
    assert!(answer.contains("last"), "{answer}");
    assert_eq!(header(&answer, "sigyn-final"), Some("1"));
    let next = header(&answer, "sigyn-next").unwrap();
    // The last acknowledgement is answered, too.
    let answer = ask(address, "GET /traces", &format!("{named}Sigyn-Cursor: {next}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(draining.join_next().await.unwrap().unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn scrapes_may_be_elsewhere_and_need_a_token() {
    let world = World::new();
    world.recorder.start("last", None, None).finish();
    let exposition = Exposition::new(world.recorder.clone()).at("/internal").with_token("secret");
    let (address, _draining) =
        ended(&world.recorder, |shutdown| shutdown.with_traces(exposition)).await;
    for (path, token, status) in [
        ("/traces", "secret", "503"),
        ("/internal", "guessed", "401"),
        ("/internal", "secret", "200"),
    ] {
        let headers = format!("Accept: */*\r\nAuthorization: Bearer {token}\r\n");
        let answer = ask(address, &format!("GET {path}"), &headers).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_server_that_fails_says_so() {
    let world = World::new();
    let (listener, _) = listen().await;
    let shutdown = sigyn_tower::shutdown(world.recorder.clone(), &listener).unwrap();
    let failed = shutdown.drain(ready(Err("no more files")), LONG, LONG).await;
    assert_eq!(failed, Err("no more files"));
}

/// All tests of this process are told, but only one listens.
#[cfg(unix)]
mod told {
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::Request;
    use axum::routing::post;
    use http_body_util::BodyExt as _;
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);
    const FOREVER: Duration = Duration::from_secs(3600);

    /// The first answer with this status. The server may yet accept a connection that it then closes.
    async fn answered(address: SocketAddr, line: &str, headers: &str, status: &str) -> String {
        let exchange = async || {
            let mut stream = TcpStream::connect(address).await?;
            let request =
                format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let asking = async {
            loop {
                let answer = exchange().await.unwrap_or_default();
                if answer.starts_with(&format!("HTTP/1.1 {status} ")) {
                    return answer;
                }
            }
        };
        timeout(DEADLINE, asking).await.expect(line)
    }

    /// Without another process, which would hold the sockets of other tests until it is `kill`.
    fn tell_to_end() {
        kill_process(getpid(), Signal::TERM).unwrap();
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_keeps_nobody_waiting_and_a_second_signal_ends_it() {
        let world = World::new();
        world.recorder.start("read", None, None).finish();
        let (listener, address) = listen().await;
        let mut shutdown = sigyn_tower::shutdown(world.recorder.clone(), &listener).unwrap();
        let slow = Arc::new(Notify::new());
        let app = Router::new().route(
            "/slow",
            post({
                let slow = Arc::clone(&slow);
                async move |request: Request| {
                    slow.notify_one();
                    request.into_body().collect().await.unwrap();
                }
            }),
        );
        let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.signal());
        let mut draining = JoinSet::new();
        draining.spawn(shutdown.drain(server, FOREVER, FOREVER));
        let mut half_sent = TcpStream::connect(address).await.unwrap();
        half_sent
            .write_all(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
            .await
            .unwrap();
        slow.notified().await;

        tell_to_end();
        let refused = answered(address, "GET /cart", "", "503").await;
        assert_eq!(header(&refused, "retry-after"), Some("1"));
        let named = "Accept: application/json\r\nSigyn-Scraper: a\r\n";
        let answer = answered(address, "GET /traces", named, "200").await;
        assert!(answer.contains("read"), "{answer}");
        // What the server still answers may be recorded yet.
        assert_eq!(header(&answer, "sigyn-final"), Some("0"));
        let next = header(&answer, "sigyn-next").unwrap();
        answered(address, "GET /traces", &format!("{named}Sigyn-Cursor: {next}\r\n"), "204").await;
        assert!(draining.try_join_next().is_none(), "the request still runs");

        world.recorder.start("unread", None, None).finish();
        tell_to_end();
        let drain = timeout(DEADLINE, draining.join_next()).await.expect("it waits");
        assert_eq!(drain.unwrap().unwrap().unwrap().lost, 1);
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
