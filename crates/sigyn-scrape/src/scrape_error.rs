//! Why a scrape brought nothing, in the words that the API and the pages show.

use std::error::Error as StdError;
use std::time::Duration;

use http::StatusCode;
use sigyn_discovery::http::ClientError;
use sigyn_model::codec::DecodeError;

use crate::answer::AnswerError;
use crate::body::BodyError;
use crate::request::RequestError;
use crate::status::FailureCause;

/// Why a scrape brought nothing. The cursor stays where it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    #[error("cannot ask")]
    Request(#[from] RequestError),
    #[error("no whole answer within {0:?} (context deadline exceeded)")]
    Timeout(Duration),
    #[error(transparent)]
    Client(ClientError),
    #[error("server returned HTTP status {} {reason}", status.as_u16())]
    Status {
        status: StatusCode,
        /// In the server's own words, where it has some.
        reason: String,
    },
    #[error("server returned HTTP status 429 Too Many Requests")]
    Busy { retry_after: Option<Duration> },
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("cannot decode the body")]
    Decode(#[from] DecodeError),
    #[error("the answer breaks the pull protocol")]
    Protocol(#[from] AnswerError),
    #[error("no memory for the body: the store is behind, or many targets send much")]
    Crowded,
    #[error("body size limit exceeded: its spans take more than {limit} bytes of memory")]
    TooHeavy { limit: u64 },
    #[error("decoding panicked")]
    DecoderPanicked,
}

impl ScrapeError {
    /// What became of a request without an answer, which was to be there within `timeout`.
    pub(crate) fn of_request(error: ClientError, timeout: Duration) -> Self {
        match error {
            ClientError::Timeout => Self::Timeout(timeout),
            error => Self::Client(error),
        }
    }

    pub(crate) fn cause(&self) -> FailureCause {
        match self {
            Self::Timeout(_) => FailureCause::Timeout,
            Self::Client(ClientError::NotHttp { .. } | ClientError::HeadTooLarge) => {
                FailureCause::Protocol
            }
            Self::Request(_) | Self::Client(_) => FailureCause::Connect,
            Self::Status { .. } | Self::Busy { .. } => FailureCause::Status,
            Self::Body(BodyError::TooLarge { .. }) | Self::TooHeavy { .. } => {
                FailureCause::BodyLimit
            }
            Self::Body(BodyError::Cut { .. } | BodyError::ToClose { .. }) => FailureCause::BodyCut,
            Self::Body(_) | Self::Decode(_) | Self::DecoderPanicked => FailureCause::Decode,
            Self::Protocol(_) => FailureCause::Protocol,
            Self::Crowded => FailureCause::Commit,
        }
    }
}

impl ScrapeError {
    /// The status that decided it, where there was one.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Busy { .. } => Some(StatusCode::TOO_MANY_REQUESTS),
            _ => None,
        }
    }
}

/// Texts of errors, in characters. They may quote what a target sent, and are kept for many scrapes.
const TEXT_CHARS_MAX: usize = 300;

/// The beginning of a text that may be of any length.
pub(crate) fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(end);
        text.pop();
        text.push('…');
    }
    text
}

/// An error and its causes on one line, shortened.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    shortened(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_after_three_hundred_characters() {
        let check = |text: String, chars: usize| assert_eq!(shortened(text).chars().count(), chars);
        check("ä".repeat(300), 300);
        check("ä".repeat(301), 300);
        let location = "x".repeat(60 << 20);
        let redirect = ScrapeError::Client(ClientError::Location { location });
        assert_eq!(chain(&redirect).chars().count(), 300);
    }
}
