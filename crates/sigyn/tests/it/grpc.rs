//! HTTP/2 without TLS, and gRPC over it.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::program::DEADLINE;

/// How a unary call ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
    /// Empty where there is none.
    pub(crate) message: Vec<u8>,
}

impl Reply {
    pub(crate) fn ok(message: &[u8]) -> Self {
        Self { code: 0, text: String::new(), message: message.to_vec() }
    }
}

/// Calls a method with one message, packed already if `encoding` says so.
pub(crate) fn call(address: SocketAddr, path: &str, encoding: &str, packed: &[u8]) -> Reply {
    let flag = u8::from(encoding != "identity");
    let length = u32::try_from(packed.len()).unwrap().to_be_bytes();
    let body = [&[flag][..], &length, packed].concat();
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .body(Full::from(body))
        .unwrap();
    let (parts, body) = exchange(address, request).into_parts();
    assert_eq!(parts.status, 200);
    assert_eq!(parts.headers["content-type"], "application/grpc+proto");
    let ended = body.trailers().unwrap_or(&parts.headers);
    let text = |name| ended.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (code, text) = (text("grpc-status").parse().unwrap(), text("grpc-message"));
    let body = body.to_bytes();
    let message = body.get(5..).unwrap_or_default().to_vec();
    Reply { code, text, message }
}

/// Any request.
pub(crate) fn http2(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> (u16, Bytes) {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .body(Full::from(body.to_vec()))
        .unwrap();
    let (parts, body) = exchange(address, request).into_parts();
    (parts.status.as_u16(), body.to_bytes())
}

fn exchange(
    address: SocketAddr,
    request: http::Request<Full<Bytes>>,
) -> http::Response<http_body_util::Collected<Bytes>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(connection);
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        http::Response::from_parts(parts, body.collect().await.unwrap())
    };
    runtime.block_on(async { tokio::time::timeout(DEADLINE, exchange).await.unwrap() })
}
