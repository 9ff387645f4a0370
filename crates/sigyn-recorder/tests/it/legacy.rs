//! 2017 Loki servers: no `Accept`, no cursor, and no second chance for what was not written.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{io, mem};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use sigyn_model::Kind;
use sigyn_recorder::{Exposition, Options, Peer, Stats};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::target::{ANY, Answer, Target, read_pieces, span};

const THRIFT: &str = "application/vnd.apache.thrift.compact";

fn peer(n: u8) -> Peer {
    Peer(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)))
}

async fn read(target: &Target, peer: Peer) -> Answer {
    let (parts, body) = target.ask_as(peer).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

fn check_the_law(stats: &Stats) {
    let accounted = stats.delivered
        + stats.buffered
        + stats.dropped.evicted
        + stats.dropped.oversize
        + stats.dropped.shutdown;
    assert_eq!(stats.finished, accounted, "{stats:?}");
}

#[tokio::test]
async fn each_round_gets_what_is_new_and_what_was_written_is_delivered() {
    let target = Target::new();
    for round in 0..3_u64 {
        target.record(round * 10 + 1..=round * 10 + 4);
        let answer = read(&target, peer(1)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), Some(THRIFT));
        assert_eq!(answer.ids(), (round * 10 + 1..=round * 10 + 4).collect::<Vec<_>>());
        let stats = target.recorder.stats();
        assert_eq!((stats.delivered, stats.buffered), (4 * (round + 1), 0));
        check_the_law(&stats);
    }
    let stats = target.recorder.stats();
    assert_eq!((stats.activity.legacy_scrapes, stats.scrapers.len()), (3, 0));
}

/// For a server of that time every status but 200 is a failed scrape, and an empty body no list.
#[tokio::test]
async fn nothing_new_is_an_empty_list() {
    let target = Target::new();
    for _ in 0..2 {
        let answer = read(&target, peer(1)).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &[0x0c][..]));
        assert_eq!((answer.range(), answer.next()), (None, target.cursor(1)));
    }
    assert_eq!(target.recorder.stats().activity.legacy_scrapes, 0);
}

#[tokio::test]
async fn a_body_that_was_not_written_whole_moves_nothing() {
    let target = Target::new();
    let mut wide = span(1);
    wide.name = "x".repeat(900);
    (0..20).for_each(|_| target.recorder.record(&wide));
    let pieces = 5;
    for cut in 0..=pieces {
        let mut body = target.ask_as(peer(1)).await.into_body();
        assert_eq!(read_pieces(&mut body, cut).await, None, "it has more than {cut}");
        drop(body);
        let stats = target.recorder.stats();
        assert_eq!((stats.delivered, stats.buffered), (0, 20), "{cut}");
        check_the_law(&stats);
    }
    let mut body = target.ask_as(peer(1)).await.into_body();
    assert!(read_pieces(&mut body, pieces + 1).await.is_some());
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered), (20, 0));
    check_the_law(&stats);
    assert_eq!(read(&target, peer(1)).await.ids(), [0; 0]);
}

#[tokio::test]
async fn two_of_them_both_get_everything_and_a_span_is_delivered_once() {
    let target = Target::new();
    target.record(1..=3);
    assert_eq!(read(&target, peer(1)).await.ids(), [1, 2, 3]);
    target.record([4]);
    assert_eq!(read(&target, peer(2)).await.ids(), [1, 2, 3, 4]);
    assert_eq!(read(&target, peer(1)).await.ids(), [4]);
    let mapped = Peer(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into());
    assert_eq!(read(&target, mapped).await.ids(), [0; 0], "the same address in other words");
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered), (4, 0));
}

#[tokio::test]
async fn whoever_cannot_be_told_apart_gets_everything_each_time() {
    let target = Target::new();
    target.record(1..=3);
    for _ in 0..2 {
        assert_eq!(target.get("/traces", &[]).await.ids(), [1, 2, 3]);
    }
    assert_eq!(target.recorder.stats().delivered, 0);
}

#[tokio::test]
async fn who_speaks_of_formats_or_names_itself_has_no_cursor_here() {
    let target = Target::new();
    target.record(1..=3);
    for header in [ANY, "Sigyn-Scraper: a", "Sigyn-Interval: 5"] {
        let (name, value) = header.split_once(": ").unwrap();
        for _ in 0..2 {
            let mut request = Request::get("/traces").header(name, value).body(()).unwrap();
            request.extensions_mut().insert(peer(1));
            let (parts, ()) = request.into_parts();
            let answer = target.exposition.respond(&parts).await;
            assert_eq!(answer.headers()["content-type"], "application/json", "{header}");
            drop(answer.into_body().collect().await);
        }
    }
    assert_eq!(target.recorder.stats().delivered, 0);
    assert_eq!(read(&target, peer(1)).await.ids(), [1, 2, 3]);
}

#[tokio::test]
async fn what_such_a_server_misses_is_evicted_as_for_anyone() {
    let target = Target::sized(16 * 1024);
    target.record([1]);
    read(&target, peer(1)).await;
    target.record(2..=1_000);
    let answer = read(&target, peer(1)).await;
    let stats = target.recorder.stats();
    assert!(stats.dropped.evicted > 0);
    assert_eq!(answer.lost(), stats.dropped.evicted);
    assert_eq!(1 + answer.ids().len() as u64 + answer.lost(), 1_000);
    assert_eq!(stats.delivered, 1 + answer.ids().len() as u64);
    check_the_law(&stats);
}

#[tokio::test]
async fn sixty_four_are_remembered() {
    let target = Target::new();
    target.record([1]);
    for n in 0..65 {
        assert_eq!(read(&target, peer(n)).await.ids(), [1]);
        target.clock.advance(std::time::Duration::from_secs(1));
    }
    let stats = target.recorder.stats();
    assert_eq!((stats.activity.peers_forgotten, stats.delivered), (1, 1));
    assert_eq!(read(&target, peer(0)).await.ids(), [1], "it begins anew");
    assert_eq!(read(&target, peer(64)).await.ids(), [0; 0]);
}

#[tokio::test]
async fn hosts_are_left_out_for_them_alone() {
    let target = Target::with(Options { service_name: "shop".to_owned(), ..Options::default() });
    let mut call = target.recorder.start("get /", Some(Kind::Client), None);
    call.remote_endpoint(sigyn_model::Endpoint::named("bank"));
    call.finish();
    let named = target.get("/traces", &[&format!("Accept: {THRIFT}")]).await.spans().remove(0);
    assert_eq!((named.service_name(), named.remote_service_name()), (Some("shop"), Some("bank")));
    assert_eq!(named.kind, Some(Kind::Client));
    let legacy = read(&target, peer(1)).await.spans().remove(0);
    assert_eq!((legacy.local_endpoint, legacy.remote_endpoint), (None, None));
    // Whose they are is its server's to say; that it is a client's is ours.
    let said: Vec<&str> = legacy.annotations.iter().map(|said| &*said.value).collect();
    assert_eq!(said, ["cs", "cr"]);
}

#[tokio::test]
async fn the_drain_ends_when_such_a_server_has_everything() {
    let target = Target::new();
    target.record(1..=3);
    target.recorder.shut_down();
    let (drain, answer) = tokio::join!(
        target.recorder.drained(std::time::Duration::from_secs(3600)),
        read(&target, peer(1)),
    );
    assert_eq!((drain.lost, answer.ids()), (0, vec![1, 2, 3]));
}

/// A server as services have one, which tells who asks.
async fn serve(listener: &TcpListener, exposition: &Exposition) {
    let (stream, from) = listener.accept().await.unwrap();
    serve_on(stream, Peer(from.ip()), exposition).await;
}

async fn serve_on(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    exposition: &Exposition,
) {
    let exposition = exposition.clone();
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let exposition = exposition.clone();
        async move {
            let (mut request, _) = request.into_parts();
            request.extensions.insert(peer);
            Ok::<_, std::convert::Infallible>(exposition.respond(&request).await)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    // Whoever goes away in between is no failure here.
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

/// Asks as Go's client did, and reads so many bytes of the answer, or all.
async fn ask_over(address: std::net::SocketAddr, bytes: Option<usize>) -> Bytes {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /traces HTTP/1.1\r\nHost: t\r\nUser-Agent: Go-http-client/1.1\r\n\
                   Accept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    match bytes {
        None => drop(stream.read_to_end(&mut answer).await.unwrap()),
        Some(bytes) => {
            answer.resize(bytes, 0);
            stream.read_exact(&mut answer).await.unwrap();
            // Not closed in good manners: what was not read is refused.
            stream.set_zero_linger().unwrap();
        }
    }
    answer.into()
}

#[tokio::test]
async fn over_a_connection_a_cut_body_moves_nothing_and_a_whole_one_does() {
    let target = Target::with(Options { hot_bytes_max: 64 * 1024 * 1024, ..Options::default() });
    // More than kernels keep for those who do not read, however well it is compressed.
    let mut random = fastrand::Rng::with_seed(1);
    let mut wide = span(1);
    for _ in 0..24_000 {
        wide.name = std::iter::repeat_with(|| random.alphanumeric()).take(1_000).collect();
        target.recorder.record(&wide);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = || serve(&listener, &target.exposition);
    let ((), cut) = tokio::join!(serving(), ask_over(address, Some(10_000)));
    assert!(cut.starts_with(b"HTTP/1.1 200 OK"));
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered), (0, 24_000));
    let ((), whole) = tokio::join!(serving(), ask_over(address, None));
    assert!(whole.ends_with(b"0\r\n\r\n"));
    assert!(whole.len() > 12_000_000, "{}", whole.len());
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered), (24_000, 0));
}

/// It timed out while it waited for its turn.
#[tokio::test]
async fn whoever_is_gone_when_it_is_answered_got_nothing() {
    let target = Target::new();
    target.record(1..=3);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /traces HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    drop(stream);
    serve(&listener, &target.exposition).await;
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered), (0, 3));
}

/// A connection that a request came over, and that takes no answer.
struct Broken(&'static [u8]);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match mem::take(&mut self.0) {
            [] => Poll::Pending,
            request => {
                buffer.put_slice(request);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// However small it is: a server has it in its hands long before it finds that it cannot write it.
#[tokio::test]
async fn an_answer_that_cannot_be_written_moves_nothing() {
    let target = Target::new();
    target.record(1..=3);
    let request = Broken(b"GET /traces HTTP/1.1\r\nHost: t\r\n\r\n");
    serve_on(request, peer(1), &target.exposition).await;
    let stats = target.recorder.stats();
    assert_eq!((stats.delivered, stats.buffered), (0, 3));
    assert_eq!(read(&target, peer(1)).await.ids(), [1, 2, 3]);
}
