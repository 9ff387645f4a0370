//! The end of a service: what is answered at its address when the server has ended. The examples are told to end by SIGTERM.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use sigyn_recorder::{Exposition, Recorder};
use sigyn_tower::Shutdown;
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
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
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
