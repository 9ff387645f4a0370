//! Where spans are read: an [`Exposition`] that knows who asks.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use sigyn_recorder::{Body, Exposition, Peer};
use tower_service::Service;

use crate::peer;

/// Answers scrapes. [`traces`](crate::traces) makes one; one with another path is made of an
/// [`Exposition`]: `Traces::from(Exposition::new(recorder).at("/internal/traces"))`.
///
/// It tells the exposition who asks, where the server around it knows: only a 2017 Loki server's place in
/// the log hangs on it.
#[derive(Clone, Debug)]
pub struct Traces {
    exposition: Exposition,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Traces {
    pub(crate) fn answer<B>(&self, request: Request<B>) -> Answer {
        let (mut parts, _) = request.into_parts();
        if let Some(peer) = peer::of(&parts.extensions) {
            parts.extensions.insert(Peer(peer.ip().to_canonical()));
        }
        let exposition = self.exposition.clone();
        Box::pin(async move { Ok(exposition.respond(&parts).await) })
    }
}

impl From<Exposition> for Traces {
    fn from(exposition: Exposition) -> Self {
        Self { exposition }
    }
}

impl<B> Service<Request<B>> for Traces {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        self.answer(request)
    }
}
