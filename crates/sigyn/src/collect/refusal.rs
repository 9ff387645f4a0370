//! Why a message is not taken, and how each protocol says so.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};

use super::Cause;
use crate::grpc::{Code, Status};

/// When a sender that met a full budget, or a store that cannot write, should come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Nothing of the message was stored, and its sender is told why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) cause: Cause,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into() }
    }

    /// For lack of room, and of which.
    pub(crate) fn overloaded(cause: Cause) -> Self {
        let message = match cause {
            Cause::Arriving => "too many spans at once: too much is arriving",
            Cause::Working => "too many spans at once: too much is being decoded",
            Cause::Connection => "too many spans at once on one connection",
            _ => "too many spans at once",
        };
        Self::new(cause, message)
    }

    pub(crate) fn http_status(&self) -> StatusCode {
        match self.cause {
            Cause::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            // Whoever is gone does not read the answer.
            Cause::Encoding | Cause::Malformed | Cause::Cancelled => StatusCode::BAD_REQUEST,
            Cause::Type => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Cause::Timeout => StatusCode::REQUEST_TIMEOUT,
            Cause::Arriving | Cause::Working | Cause::Connection | Cause::Queue => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Cause::Storage | Cause::Internal => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The same message may be taken later.
    fn is_passing(&self) -> bool {
        matches!(self.cause, Cause::Storage | Cause::Internal | Cause::Timeout)
            || self.cause.is_overload()
    }

    /// `Retry-After`, where the sender should come again.
    pub(crate) fn retry_header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        let value = HeaderValue::from(RETRY_AFTER.as_secs());
        self.is_passing().then_some((header::RETRY_AFTER, value))
    }

    /// `malformed` is the code that the protocol has for what cannot be decoded.
    pub(crate) fn into_status(self, malformed: Code) -> Status {
        let code = match self.cause {
            Cause::TooLarge
            | Cause::Arriving
            | Cause::Working
            | Cause::Connection
            | Cause::Queue => Code::ResourceExhausted,
            Cause::Encoding | Cause::Malformed | Cause::Cancelled => malformed,
            Cause::Type => Code::Unimplemented,
            Cause::Timeout => Code::DeadlineExceeded,
            Cause::Storage | Cause::Internal => Code::Unavailable,
        };
        // Without it, a sender gives up on what is too large, and on what met a full budget.
        let retry_after = self.is_passing().then_some(RETRY_AFTER);
        Status { code, message: self.message, retry_after }
    }
}
