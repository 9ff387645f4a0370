//! Where spans are read: an [`Exposition`] that knows who asks.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
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

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Traces {
    /// Answers a request that has no body.
    pub(crate) fn answer<B>(&self, request: Request<B>) -> Answer {
        let (mut parts, _) = request.into_parts();
        introduce(&mut parts.extensions);
        let exposition = self.exposition.clone();
        Box::pin(async move { Ok(exposition.respond(&parts).await) })
    }
}

impl Traces {
    #[cfg(feature = "shutdown")]
    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.exposition.is_at(path)
    }
}

fn introduce(extensions: &mut Extensions) {
    if let Some(peer) = peer::of(extensions) {
        extensions.insert(Peer(peer.ip().to_canonical()));
    }
}

impl From<Exposition> for Traces {
    fn from(exposition: Exposition) -> Self {
        Self { exposition }
    }
}

impl<B> Service<Request<B>> for Traces
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Answer {
        introduce(request.extensions_mut());
        self.exposition.call(request)
    }
}
