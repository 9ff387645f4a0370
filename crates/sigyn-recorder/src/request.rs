//! Who may ask, and what they send.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use bytes::Buf as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

/// A body that names more traces than may be named is longer than this.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// What only those know who may ask.
#[derive(Clone)]
pub(crate) struct Token(pub(crate) Arc<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Token {
    pub(crate) fn is_sent(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let Some((scheme, sent)) = sent.split_at_checked("Bearer ".len()) else { return false };
        // How long it takes must not tell how much of it was right.
        let differing = self.0.bytes().zip(sent.iter().chain(std::iter::repeat(&0)));
        let differs = differing.fold(0, |differs, (a, b)| differs | (a ^ b));
        scheme.eq_ignore_ascii_case(b"Bearer ") && sent.len() == self.0.len() && differs == 0
    }
}

/// Why a body is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    TooLong,
    Cut,
    NoText,
}

/// The whole body as text.
pub(crate) async fn read<B: http_body::Body>(body: B) -> Result<String, Unreadable> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|task| body.as_mut().poll_frame(task)).await {
        let Ok(mut data) = frame.map_err(|_| Unreadable::Cut)?.into_data() else { continue };
        while data.has_remaining() {
            let piece = data.chunk();
            if bytes.len() + piece.len() > BODY_BYTES_MAX {
                return Err(Unreadable::TooLong);
            }
            bytes.extend_from_slice(piece);
            let len = piece.len();
            data.advance(len);
        }
    }
    String::from_utf8(bytes).map_err(|_| Unreadable::NoText)
}
