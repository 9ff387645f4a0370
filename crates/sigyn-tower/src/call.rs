//! The span of one call, on either side: begun with a request, ended with the last of its response.

use std::any::type_name;
use std::fmt::Display;

use http::{HeaderMap, Response};
use http_body::Body;

use crate::current::CurrentSpan;
use crate::owned::Owned;
use crate::{failure, grpc, rest};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    pub(crate) fn of(request: &HeaderMap) -> Self {
        if grpc::is_grpc(request) { Self::Grpc } else { Self::Http }
    }
}

#[derive(Debug)]
pub(crate) struct Call {
    owned: Owned,
    side: Side,
    protocol: Protocol,
    /// Nobody reads the response's body.
    is_head: bool,
    /// How a call of gRPC ended is known.
    is_settled: bool,
}

impl Call {
    pub(crate) fn new(span: CurrentSpan, side: Side, protocol: Protocol, is_head: bool) -> Self {
        Self { owned: Owned::new(span), side, protocol, is_head, is_settled: false }
    }

    pub(crate) fn span(&self) -> &CurrentSpan {
        self.owned.span()
    }

    /// Runs what serves it. If that panics, the call is over.
    pub(crate) fn enter<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.owned.enter(run)
    }

    /// Takes note of a response, and says whether that was all of it.
    pub(crate) fn respond<B: Body>(&mut self, response: &Response<B>) -> bool {
        let status = response.status();
        if self.protocol == Protocol::Http || !status.is_success() {
            rest::respond(self.span(), self.side, status);
            self.is_settled |= !status.is_success();
        }
        if self.protocol == Protocol::Grpc {
            self.trailers(response.headers());
        }
        let is_empty = response.body().is_end_stream() || self.len(response) == Some(0);
        let is_over = self.is_head || is_empty;
        if is_over {
            self.end();
        }
        is_over
    }

    /// How many bytes of a body are all of it, where the end is not told otherwise: whoever writes them
    /// out looks no further.
    pub(crate) fn len<B: Body>(&self, response: &Response<B>) -> Option<u64> {
        if self.protocol == Protocol::Grpc {
            return None;
        }
        let told = response.headers().get(http::header::CONTENT_LENGTH);
        let told = told.and_then(|len| len.to_str().ok()?.trim().parse().ok());
        told.or_else(|| response.body().size_hint().exact())
    }

    /// What stands behind a body, or before one that does not come.
    pub(crate) fn trailers(&mut self, headers: &HeaderMap) {
        if self.protocol == Protocol::Grpc
            && let Some(status) = grpc::Status::of(headers)
        {
            status.tell(self.span(), self.side);
            self.is_settled = true;
        }
    }

    /// There is no more to come.
    pub(crate) fn end(&mut self) {
        if self.protocol == Protocol::Grpc && !self.is_settled {
            let span = self.span();
            span.tag("error.type", "missing_status").error("ended without a grpc-status");
        }
        self.owned.finish();
    }

    /// There is no more to come, because of this.
    pub(crate) fn fail<E: Display + 'static>(&mut self, error: &E) {
        self.fail_with(type_name::<E>(), &failure::text(error));
    }

    pub(crate) fn fail_with(&mut self, kind: &str, text: &str) {
        self.span().tag("error.type", kind).error(text);
        self.owned.finish();
    }
}
