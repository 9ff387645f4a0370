//! An answer's body as a server takes it, and whether it took all of it.

use std::convert::Infallible;
use std::mem;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::record::Recorder;

/// Servers ask for a few more pieces than they have written: the less those are, the better we know
/// what was written. hyper holds 16.
const PIECE_BYTES_MAX: usize = 4 * 1024;

/// The body of an answer. Its reader gets it in one piece, unless we want to know how far it came.
#[derive(Debug, Default)]
pub struct Body {
    rest: Bytes,
    receipt: Option<Receipt>,
    /// Whoever writes this had its turn since it took the last piece.
    flushed: bool,
}

/// What a peer without cursor of its own has got, once the whole body is written.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) recorder: Recorder,
    pub(crate) peer: IpAddr,
    /// The segment behind the body's last.
    pub(crate) next: u64,
}

impl Body {
    pub(crate) fn new(bytes: Bytes, receipt: Option<Receipt>) -> Self {
        Self { rest: bytes, receipt, flushed: false }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes, None)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.rest.is_empty() {
            let piece = match self.receipt {
                None => mem::take(&mut self.rest),
                Some(_) => {
                    let len = self.rest.len().min(PIECE_BYTES_MAX);
                    self.rest.split_to(len)
                }
            };
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.receipt.is_some() && !mem::replace(&mut self.flushed, true) {
            // A server writes while its body has nothing for it, and gives the body up if that fails.
            // No longer than that: the reader goes away when it has the last span, and not at the end.
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(Receipt { recorder, peer, next }) = self.receipt.take() {
            recorder.shared.written(peer, next);
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.receipt.is_none()
    }

    /// Not exact where the end matters: servers stop asking when they have as many bytes as were told.
    fn size_hint(&self) -> SizeHint {
        let len = self.rest.len() as u64;
        match self.receipt {
            None => SizeHint::with_exact(len),
            Some(_) => {
                let mut hint = SizeHint::new();
                hint.set_lower(len);
                hint
            }
        }
    }
}
