//! Asking with a token, and asking for one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::ask::{AskError, Asker, from_json, shown};
use super::pages::{Pages, PagesError};
use crate::http::Secret;

/// A token is no longer used so long before it ends.
const ENDS_EARLY: Duration = Duration::from_secs(10);

/// What is shown to be answered.
#[derive(Clone, Debug)]
pub(super) struct Token {
    header: HeaderValue,
    until: Option<Instant>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{code}: {description}")]
    Refused { code: String, description: String },
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    // What it says instead may be secret.
    #[error("the answer is no token")]
    Answer,
    #[error("the token cannot be sent in a header")]
    Header,
}

/// Why a question with a token has no answer of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum BearerError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Pages(#[from] PagesError),
    #[error("server returned HTTP status {status}: {message}")]
    Refused { status: StatusCode, message: String },
}

impl BearerError {
    /// Whether the server answered with this status.
    pub(super) fn has(&self, wanted: StatusCode) -> bool {
        match self {
            Self::Refused { status, .. } | Self::Ask(AskError::Status(status)) => *status == wanted,
            Self::Ask(_) | Self::Pages(_) => false,
        }
    }
}

impl Token {
    pub(super) fn holds(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// Sends a request that asks for a token. Nobody sees `secrets` of it.
    pub(super) async fn by(
        asker: &Asker,
        url: &Url,
        request: Request<Bytes>,
        secrets: &[&Secret],
    ) -> Result<Self, TokenError> {
        let (head, body) = asker.send(url, request).await?;
        Self::read(head.status, &body, secrets)
    }

    fn read(status: StatusCode, body: &[u8], secrets: &[&Secret]) -> Result<Self, TokenError> {
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default();
        if !status.is_success() {
            return Err(match text("error") {
                "" => TokenError::Status(status),
                code => TokenError::Refused {
                    code: shown(code, secrets),
                    description: shown(text("error_description"), secrets),
                },
            });
        }
        let token = text("access_token");
        if token.is_empty() {
            return Err(TokenError::Answer);
        }
        let header = HeaderValue::try_from(format!("Bearer {token}"));
        let mut header = header.map_err(|_| TokenError::Header)?;
        header.set_sensitive(true);
        let number = |name: &str| match told.get(name) {
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_u64(),
            None => None,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = number("expires_in").map(Duration::from_secs);
        let left =
            left.or_else(|| Some(Duration::from_secs(number("expires_on")?).saturating_sub(now)));
        // One that does not tell is for ever.
        let until =
            left.and_then(|left| Instant::now().checked_add(left.saturating_sub(ENDS_EARLY)));
        Ok(Self { header, until })
    }

    /// Reads a page in JSON, which only `of` answers like this.
    pub(super) async fn page<A: DeserializeOwned, T: Ord>(
        &self,
        asker: &Asker,
        url: &Url,
        of: &'static str,
        pages: &mut Pages<T>,
    ) -> Result<A, BearerError> {
        let mut request = Request::new(Bytes::new());
        request.headers_mut().insert(AUTHORIZATION, self.header.clone());
        let (head, body) = asker.send(url, request).await?;
        if head.status != StatusCode::OK {
            return Err(refusal(head.status, &body));
        }
        pages.count(body.len())?;
        Ok(from_json(&body, of)?)
    }
}

/// What the answer to a refused question says, if it says anything.
fn refusal(status: StatusCode, body: &[u8]) -> BearerError {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = told.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    match shown(message, &[]) {
        message if message.is_empty() => AskError::Status(status).into(),
        message => BearerError::Refused { status, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_server_of_tokens_answers() {
        let read = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let token = Token::read(status, body.as_bytes(), &[&"hidden".into()]);
            assert!(!format!("{token:?}").contains("hidden"), "{token:?}");
            match token {
                Ok(Token { header, until }) => {
                    assert!(header.is_sensitive());
                    let left = until.map(|until| (until - Instant::now()).as_secs());
                    Ok((header.to_str().unwrap().to_owned(), left))
                }
                Err(error) => Err(error.to_string()),
            }
        };
        let good = |token: &str, left| Ok((format!("Bearer {token}"), left));
        assert_eq!(read(200, r#"{"access_token": "t", "expires_in": 70}"#), good("t", Some(60)));
        assert_eq!(read(200, r#"{"access_token": "t", "expires_in": "70"}"#), good("t", Some(60)));
        assert_eq!(read(200, r#"{"access_token": "t", "expires_in": 5}"#), good("t", Some(0)));
        assert_eq!(read(200, r#"{"access_token": "t", "expires_on": "5"}"#), good("t", Some(0)));
        assert_eq!(read(200, r#"{"access_token": "hidden"}"#), good("hidden", None));
        let bad = |text: &str| Err(text.to_owned());
        assert_eq!(read(200, "{}"), bad("the answer is no token"));
        assert_eq!(read(200, r#"["hidden"]"#), bad("the answer is no token"));
        assert_eq!(
            read(200, r#"{"access_token": "a\nhidden"}"#),
            bad("the token cannot be sent in a header")
        );
        assert_eq!(read(502, "<html>hidden"), bad("server returned HTTP status 502 Bad Gateway"));
        assert_eq!(
            read(
                400,
                r#"{"error": "invalid_grant", "error_description": "not hidden\r\nTrace: 1"}"#
            ),
            bad("invalid_grant: not <secret> Trace: 1")
        );
    }

    #[test]
    fn what_a_refusal_says() {
        let check = |body: &str, expected: &str| {
            let error = refusal(StatusCode::FORBIDDEN, body.as_bytes());
            assert_eq!(error.to_string(), expected);
            assert!(error.has(StatusCode::FORBIDDEN) && !error.has(StatusCode::NOT_FOUND));
        };
        check(
            r#"{"error": {"code": 403, "message": "Access\n Not Configured"}}"#,
            "server returned HTTP status 403 Forbidden: Access Not Configured",
        );
        check("<html>", "server returned HTTP status 403 Forbidden");
    }
}
