//! The service behind a real server, over a real connection.

use std::net::Ipv4Addr;

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::target::Target;

#[tokio::test]
async fn a_scrape_over_a_connection() {
    let target = Target::new();
    target.record([1]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TowerToHyperService::new(target.exposition.clone());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = hyper::server::conn::http1::Builder::new();
        connection.serve_connection(TokioIo::new(stream), service).await.unwrap();
    };
    let client = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            "GET /traces HTTP/1.1\r\nHost: t\r\nSigyn-Scraper: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let ((), answer) = tokio::join!(server, client);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(head.contains("sigyn-range: "), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(body.starts_with('[') && body.ends_with(']'), "{body}");
}
