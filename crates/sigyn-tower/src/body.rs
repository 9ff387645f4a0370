//! The body of a response: when it ends, so does the span.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::call::Call;

pin_project! {
    /// A response's body as it was, watched for its end.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        body: Whose<B>,
        // `None` when the span has ended, and for what is not traced.
        call: Option<Call>,
        // What is to come, where that is known beforehand.
        left: Option<u64>,
    }
}

pin_project! {
    #[project = WhoseProjection]
    #[derive(Debug)]
    enum Whose<B> {
        Theirs { #[pin] body: B },
        // A scrape's answer.
        Ours { #[pin] body: sigyn_recorder::Body },
    }
}

impl<B> TracedBody<B> {
    pub(crate) fn untraced(body: B) -> Self {
        Self { body: Whose::Theirs { body }, call: None, left: None }
    }

    pub(crate) fn scrape(body: sigyn_recorder::Body) -> Self {
        Self { body: Whose::Ours { body }, call: None, left: None }
    }
}

/// A response whose span ends with it.
pub(crate) fn traced<B: Body>(mut call: Call, response: Response<B>) -> Response<TracedBody<B>> {
    let left = call.len(&response);
    let call = if call.respond(&response) { None } else { Some(call) };
    response.map(|body| TracedBody { body: Whose::Theirs { body }, call, left })
}

impl<B: Default> Default for TracedBody<B> {
    fn default() -> Self {
        Self::untraced(B::default())
    }
}

impl<B> Body for TracedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Display + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let mut body = match this.body.as_mut().project() {
            WhoseProjection::Ours { body } => {
                let frame = ready!(body.poll_frame(task));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
            WhoseProjection::Theirs { body } => body,
        };
        let Some(call) = this.call else { return body.poll_frame(task) };
        let frame = ready!(call.enter(|| body.as_mut().poll_frame(task)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    call.trailers(trailers);
                }
                if let (Some(left), Some(data)) = (&mut *this.left, frame.data_ref()) {
                    *left = left.saturating_sub(data.remaining() as u64);
                }
                // Servers look no further then.
                if body.is_end_stream() || *this.left == Some(0) {
                    call.end();
                    *this.call = None;
                }
            }
            Some(Err(error)) => {
                call.fail(error);
                *this.call = None;
            }
            None => {
                call.end();
                *this.call = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Whose::Theirs { body } => body.is_end_stream(),
            Whose::Ours { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Whose::Theirs { body } => body.size_hint(),
            Whose::Ours { body } => body.size_hint(),
        }
    }
}
