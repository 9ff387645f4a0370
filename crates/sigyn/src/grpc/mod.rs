//! gRPC over the server that answers everything else: unary calls, calls with a stream of answers, and
//! gRPC-Web for browsers.
//!
//! A method is a route: `Router::new().route("/package.Service/Method", grpc::unary(answer))`.

pub(crate) mod base64;
mod call;
mod form;
mod response;
mod status;

use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use http::StatusCode;

pub(crate) use call::{Call, FrameError};
pub(crate) use response::Messages;
pub(crate) use status::{Code, Status, put_bytes, put_varint};

use crate::reply;

/// A method with one message each way: `async fn(Call) -> Result<Vec<u8>, Status>`. The call comes
/// before its message is read, so that whoever answers says how large it may be.
pub(crate) fn unary<S, F, Fut>(answer: F) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<u8>, Status>> + Send,
{
    server_stream(move |call| {
        let answering = answer(call);
        async move { answering.await.map(|message| Messages::from(vec![message])) }
    })
}

/// A method with one message in and any number out: `async fn(Call) -> Result<Messages, Status>`.
pub(crate) fn server_stream<S, F, Fut>(answer: F) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Messages, Status>> + Send,
{
    post(move |request: Request| async move {
        let Some(call) = Call::new(request) else {
            let message = "the content type is none of gRPC's";
            return reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        };
        let form = call.form();
        match answer(call).await {
            Ok(messages) => response::messages(form, messages),
            Err(status) => response::failure(form, &status),
        }
    })
}

/// The answer to a gRPC call of a method that there is not; `None` for what is no gRPC call.
pub(crate) fn unknown_method(headers: &http::HeaderMap, path: &str) -> Option<Response> {
    let form = form::Form::of(headers)?;
    let status = Status::new(Code::Unimplemented, format!("there is no method {path}"));
    Some(response::failure(form, &status))
}

#[cfg(test)]
mod tests;
