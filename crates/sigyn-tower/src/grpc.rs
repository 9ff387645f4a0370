//! What spans of gRPC are called and say, by OpenTelemetry's conventions.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;

use crate::call::Side;
use crate::current::CurrentSpan;

/// In the order of their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Those that a server is to blame for. The others tell what a client did wrong, or should have known.
const FAULTS: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// gRPC-Web is another protocol: its trailers stand in the body.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+") || rest.starts_with(b";"))
}

/// `package.Service/Method`.
pub(crate) fn method(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Status<'a> {
    code: Cow<'a, str>,
    message: Cow<'a, str>,
}

impl<'a> Status<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let number = String::from_utf8_lossy(headers.get("grpc-status")?.as_bytes());
        let known = number.parse::<usize>().ok().and_then(|number| CODES.get(number));
        let code = known.map_or(number, |code| Cow::Borrowed(*code));
        let message = headers.get("grpc-message").map_or(&b""[..], |value| value.as_bytes());
        Some(Self { code, message: percent_decode(message).decode_utf8_lossy() })
    }

    pub(crate) fn tell(&self, span: &CurrentSpan, side: Side) {
        let Self { code, message } = self;
        span.tag("rpc.response.status_code", code);
        let is_known = CODES.contains(&code.as_ref());
        let failed = match side {
            Side::Server => !is_known || FAULTS.contains(&code.as_ref()),
            Side::Client => code != "OK",
        };
        if failed {
            span.tag("error.type", code);
            span.error(if message.is_empty() { code } else { message });
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_grpc() {
        let check = |content_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            is_grpc(&headers)
        };
        assert!(
            ["application/grpc", "application/grpc+proto", "application/grpc;x"].map(check)
                == [true; 3]
        );
        assert!(["application/grpc-web", "application/json", ""].map(check) == [false; 3]);
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_status_is_a_word_and_a_message_is_text() {
        let check = |number: &'static str, message: &'static str, expected: (&str, &str)| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", HeaderValue::from_static(number));
            headers.insert("grpc-message", HeaderValue::from_static(message));
            let status = Status::of(&headers).unwrap();
            assert_eq!((status.code.as_ref(), status.message.as_ref()), expected);
        };
        check("0", "", ("OK", ""));
        check("16", "who%20are you%3F", ("UNAUTHENTICATED", "who are you?"));
        check("17", "%ff", ("17", "\u{fffd}"));
        assert!(Status::of(&HeaderMap::new()).is_none());
    }
}
