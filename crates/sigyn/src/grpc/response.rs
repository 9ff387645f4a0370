//! Answers: frames of messages, and the status behind them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use tokio::sync::mpsc;

use super::form::Form;
use super::{Status, base64};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The messages of an answer.
#[derive(Debug)]
pub(crate) struct Messages {
    ready: VecDeque<Vec<u8>>,
    coming: Option<mpsc::Receiver<Result<Vec<u8>, Status>>>,
}

impl From<Vec<Vec<u8>>> for Messages {
    fn from(messages: Vec<Vec<u8>>) -> Self {
        Self { ready: messages.into(), coming: None }
    }
}

/// The receiving end of a bounded channel. An error ends the answer; when the client is gone, sending
/// fails.
impl From<mpsc::Receiver<Result<Vec<u8>, Status>>> for Messages {
    fn from(coming: mpsc::Receiver<Result<Vec<u8>, Status>>) -> Self {
        Self { ready: VecDeque::new(), coming: Some(coming) }
    }
}

impl Messages {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Status>>> {
        if let Some(message) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(message)));
        }
        match &mut self.coming {
            Some(coming) => coming.poll_recv(cx),
            None => Poll::Ready(None),
        }
    }
}

/// An answer of messages, with the status that follows from them.
pub(super) fn messages(form: Form, messages: Messages) -> Response {
    let body = Body::new(Framed { form, messages: Some(messages) });
    let mut response = body.into_response();
    head(response.headers_mut(), form);
    let identity = HeaderValue::from_static("identity");
    response.headers_mut().insert(HeaderName::from_static("grpc-encoding"), identity);
    response
}

/// An answer of a status alone, which stands in the head then.
pub(super) fn failure(form: Form, status: &Status) -> Response {
    let mut response = Body::empty().into_response();
    head(response.headers_mut(), form);
    response.headers_mut().extend(trailers(Err(status)));
    response
}

fn head(headers: &mut HeaderMap, form: Form) {
    headers.insert(CONTENT_TYPE, form.content_type());
    let known = HeaderValue::from_static("identity,gzip,zstd,deflate");
    headers.insert(HeaderName::from_static("grpc-accept-encoding"), known);
}

fn trailers(outcome: Result<(), &Status>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let Err(status) = outcome else {
        trailers.insert(STATUS, HeaderValue::from_static("0"));
        return trailers;
    };
    trailers.insert(STATUS, HeaderValue::from(status.code as u16));
    // Both are ASCII by now.
    if let Ok(message) = HeaderValue::from_str(&status.escaped_message()) {
        trailers.insert(MESSAGE, message);
    }
    if status.retry_after.is_some()
        && let Ok(details) = HeaderValue::from_str(&base64::encode(&status.to_proto(), false))
    {
        trailers.insert(DETAILS, details);
    }
    trailers
}

/// A body that frames one message after the other.
struct Framed {
    form: Form,
    /// `None` after the end.
    messages: Option<Messages>,
}

impl Framed {
    fn data(&self, flag: u8, message: &[u8]) -> Frame<Bytes> {
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(flag);
        // A message of 4 GiB would be a bug, and is cut here so that the client sees one.
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.put_slice(message);
        Frame::data(match self.form {
            Form::WebText => base64::encode(&frame, true).into(),
            Form::Grpc | Form::Web => frame.freeze(),
        })
    }

    fn end(&self, outcome: Result<(), &Status>) -> Frame<Bytes> {
        let trailers = trailers(outcome);
        if self.form == Form::Grpc {
            return Frame::trailers(trailers);
        }
        let mut text = Vec::new();
        for (name, value) in &trailers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        self.data(0x80, &text)
    }
}

impl http_body::Body for Framed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(messages) = &mut self.messages else { return Poll::Ready(None) };
        let frame = match std::task::ready!(messages.poll_next(cx)) {
            Some(Ok(message)) => self.data(0, &message),
            ended => {
                self.messages = None;
                let outcome = ended.transpose().map(|_| ());
                self.end(outcome.as_ref().copied())
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.messages.is_none()
    }
}
