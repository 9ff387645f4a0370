//! A real recorder behind connections that break: after each byte of an answer there is, once.

use std::net::SocketAddr;

use sigyn_model::Losses;
use sigyn_recorder::Recorder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fake::{Scraper, eventually, group, job};
use crate::recorder::{Service, options};

/// Lets one answer go as far as `cut` bytes, and all others whole.
async fn wire(to: SocketAddr, cut: usize, proxies: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    proxies.spawn(async move {
        let mut left = Some(cut);
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let cut = left.take();
            connections.spawn(async move {
                let _ = carry(client, to, cut).await;
            });
        }
    });
    address
}

async fn carry(mut client: TcpStream, to: SocketAddr, cut: Option<usize>) -> std::io::Result<()> {
    let mut target = TcpStream::connect(to).await?;
    let Some(cut) = cut else {
        tokio::io::copy_bidirectional(&mut client, &mut target).await?;
        return Ok(());
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    target.write_all(&head).await?;
    let mut part = (&mut target).take(cut as u64);
    tokio::io::copy(&mut part, &mut client).await?;
    client.shutdown().await
}

/// How long an answer is, with its head.
async fn answer_len(to: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = "GET /traces HTTP/1.1\r\nhost: t\r\naccept: application/x-protobuf\r\n\
                   accept-encoding: zstd\r\nsigyn-scraper: sigyn-test\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer.len()
}

fn record(recorder: &Recorder, count: u64) {
    for _ in 0..count {
        recorder.start("get /", None, None).finish();
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_after_any_byte_is_read_once() {
    const SPANS: u64 = 3;
    let service = Service::start(options()).await;
    record(&service.recorder, SPANS);
    // Its length differs by a few digits of counters.
    let cuts = answer_len(service.address).await + 32;
    let mut proxies = JoinSet::new();
    // Not all at once: a target answers four at a time, and sends others away.
    for from in (0..cuts).step_by(40) {
        let mut addresses = Vec::new();
        for cut in from..cuts.min(from + 40) {
            addresses.push(wire(service.address, cut, &mut proxies).await);
        }
        let groups = [("api".to_owned(), group(&addresses))].into();
        let scraper = Scraper::start(vec![job("api")], groups);
        let all = || {
            let pools = scraper.status.pools();
            let active = &pools.first()?.active;
            let read = |target: &&sigyn_scrape::TargetStatus| target.account.received >= SPANS;
            (active.iter().filter(read).count() == addresses.len()).then(|| active.clone())
        };
        for target in eventually("every target is read", all).await {
            assert_eq!(target.account.received, SPANS, "cut after {from} bytes and more");
            assert_eq!(target.account.lost, Losses::default());
            assert_eq!(target.account.restarts, 0);
        }
        assert_eq!(scraper.store.spans().len() as u64, SPANS * addresses.len() as u64);
        scraper.stop().await;
    }
}
