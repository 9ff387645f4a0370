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

    pub(crate) fn overloaded() -> Self {
        Self::new(Cause::Overloaded, "too many spans at once")
    }

    pub(crate) fn http_status(&self) -> StatusCode {
        match self.cause {
            Cause::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Cause::Encoding | Cause::Malformed => StatusCode::BAD_REQUEST,
            Cause::Type => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Cause::Timeout => StatusCode::REQUEST_TIMEOUT,
            Cause::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Cause::Storage => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The same message may be taken later.
    fn is_passing(&self) -> bool {
        matches!(self.cause, Cause::Overloaded | Cause::Storage)
    }

    /// `Retry-After`, where the sender should come again.
    pub(crate) fn retry_header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        let value = HeaderValue::from(RETRY_AFTER.as_secs());
        self.is_passing().then_some((header::RETRY_AFTER, value))
    }

    /// `malformed` is the code that the protocol has for what cannot be decoded.
    pub(crate) fn into_status(self, malformed: Code) -> Status {
        let code = match self.cause {
            Cause::TooLarge | Cause::Overloaded => Code::ResourceExhausted,
            Cause::Encoding | Cause::Malformed => malformed,
            Cause::Type => Code::Unimplemented,
            Cause::Timeout => Code::DeadlineExceeded,
            Cause::Storage => Code::Unavailable,
        };
        // Without it, a sender gives up on what is too large, and on what met a full budget.
        let retry_after = self.is_passing().then_some(RETRY_AFTER);
        Status { code, message: self.message, retry_after }
    }
}
