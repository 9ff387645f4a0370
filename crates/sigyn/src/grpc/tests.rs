//! Calls as a router answers them, without a network.

use std::io::Write as _;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::*;

/// A status, the body, and the trailers, wherever they stood.
type Answered = (StatusCode, Vec<u8>, HeaderMap);

async fn call(headers: &[(&str, &str)], body: &[u8]) -> Answered {
    let echo = |call: Call| async move {
        let message = call.message(100).await?;
        match message.first() {
            Some(b'!') => Err(Status::new(Code::Internal, "50 %")),
            _ => Ok(message.to_vec()),
        }
    };
    let count = |call: Call| async move {
        let message = call.message(100).await?;
        let (tx, rx) = mpsc::channel(100);
        for byte in message {
            let next = match byte {
                b'!' => Err(Status::new(Code::Unavailable, "gone")),
                byte => Ok(vec![byte]),
            };
            tx.try_send(next).unwrap();
        }
        Ok(Messages::from(rx))
    };
    let router = Router::new()
        .route("/test.Echo/Say", unary(echo))
        .route("/test.Echo/Count", server_stream(count))
        .fallback(|request: Request<Body>| async move {
            unknown_method(request.headers(), request.uri().path()).unwrap()
        });
    let mut request = Request::post("/test.Echo/Say");
    for (name, value) in headers {
        match *name {
            "path" => request = request.uri(*value),
            name => request = request.header(name, *value),
        }
    }
    let request = request.body(Body::from(body.to_vec())).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or(parts.headers);
    (parts.status, body.to_bytes().to_vec(), trailers)
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_message_is_answered_by_a_message_and_a_status() {
    let check = async |headers: &[(&str, &str)], body: Vec<u8>, expected: &[u8]| {
        let (status, body, trailers) = call(headers, &body).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(Bytes::from(body), Bytes::copy_from_slice(expected));
        assert_eq!(trailers["grpc-status"], "0");
    };
    check(&[GRPC], framed(0, b"hello"), &framed(0, b"hello")).await;
    check(&[GRPC], framed(0, b""), &framed(0, b"")).await;
    check(&[GRPC], Vec::new(), &framed(0, b"")).await;
    let packed = framed(1, &gzip(b"hello"));
    check(&[GRPC, ("grpc-encoding", "gzip")], packed, &framed(0, b"hello")).await;
    check(&[GRPC, ("grpc-encoding", "gzip")], framed(0, b"plain"), &framed(0, b"plain")).await;
    let path = ("path", "/test.Echo/Count");
    check(&[GRPC, path], framed(0, b"ab"), &[framed(0, b"a"), framed(0, b"b")].concat()).await;
}

#[tokio::test]
async fn a_call_that_fails_says_why() {
    let check = async |headers: &[(&str, &str)], body: &[u8], code: &str, message: &str| {
        let (status, body, trailers) = call(headers, body).await;
        assert_eq!((status, body.len()), (StatusCode::OK, 0));
        assert_eq!(trailers["grpc-status"], code);
        assert_eq!(trailers["grpc-message"], message);
    };
    check(&[GRPC], &framed(0, b"!"), "13", "50 %25").await;
    check(&[GRPC], b"\0\0", "13", "the message is cut").await;
    check(&[GRPC], &framed(0, b"hello")[..8], "13", "the message is cut").await;
    let two = framed(0, b"hello").repeat(2);
    check(&[GRPC], &two, "13", "there is more than one message").await;
    let no_encoding = "the message is packed, and nothing says how";
    check(&[GRPC], &framed(1, b"hello"), "13", no_encoding).await;
    let unknown = &[GRPC, ("grpc-encoding", "snappy")];
    check(unknown, &framed(1, b"hello"), "12", "grpc-encoding snappy is not known").await;
    check(&[GRPC, ("grpc-encoding", "gzip")], &framed(1, b"?"), "13", "the body is no gzip").await;
    let large = "the message is larger than 100 bytes";
    check(&[GRPC], &framed(0, &[7; 101]), "8", large).await;
    let bomb = framed(1, &gzip(&[7; 1000]));
    check(&[GRPC, ("grpc-encoding", "gzip")], &bomb, "8", large).await;
    let path = ("path", "/test.Echo/Sing");
    check(&[GRPC, path], b"", "12", "there is no method /test.Echo/Sing").await;
}

#[tokio::test]
async fn a_stream_that_fails_ends_with_a_status() {
    let path = ("path", "/test.Echo/Count");
    let (_, body, trailers) = call(&[GRPC, path], &framed(0, b"a!")).await;
    assert_eq!(body, framed(0, b"a"));
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (&"14".parse().unwrap(), &"gone".parse().unwrap())
    );
}

#[tokio::test]
async fn browsers_get_their_trailers_in_the_body() {
    let web = ("content-type", "application/grpc-web+proto");
    let trailer = framed(0x80, b"grpc-status:0\r\n");
    let (_, body, _) = call(&[web], &framed(0, b"hello")).await;
    assert_eq!(body, [framed(0, b"hello"), trailer.clone()].concat());
    let with_trailers = [framed(0, b"hello"), framed(0x80, b"x:y\r\n")].concat();
    assert_eq!(call(&[web], &with_trailers).await.1, body);
    let text = ("content-type", "application/grpc-web-text");
    let (_, body, _) = call(&[text], b"AAAAAAVoZWxsbw==").await;
    assert_eq!(body, format!("AAAAAAVoZWxsbw=={}", base64::encode(&trailer, true)).into_bytes());
}

#[tokio::test]
async fn what_is_no_call_is_refused_as_http() {
    let (status, ..) = call(&[("content-type", "application/json")], b"{}").await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
