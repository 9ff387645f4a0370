//! Asking a server over HTTP for what there is.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;
use url::{Position, Url};

use super::StartError;
use crate::http::{Client, ClientError, Config, Options};

/// Lists of targets take some megabytes at most. What is larger is a mistake, and is not to take
/// the memory that spans need.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Asks one server again and again.
#[derive(Debug)]
pub(super) struct Asker {
    client: Client,
    headers: HeaderMap,
    timeout: Duration,
}

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("cannot ask {url}")]
    Request { url: String, source: ClientError },
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
}

impl Asker {
    /// `headers` go with every request; each has `timeout` to be answered in.
    pub(super) fn new(
        config: &Config,
        options: Options,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Self, StartError> {
        Ok(Self { client: Client::new(config, options).map_err(boxed)?, headers, timeout })
    }

    /// Takes the login out of a URL, if there is one, to send it as browsers do.
    pub(super) fn log_in(&mut self, url: &mut Url) -> Result<(), StartError> {
        if url.username().is_empty() && url.password().is_none() {
            return Ok(());
        }
        let mut login = decoded(url.username());
        login.push(b':');
        login.extend(decoded(url.password().unwrap_or_default()));
        let mut value =
            HeaderValue::try_from(format!("Basic {}", BASE64.encode(login))).map_err(boxed)?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        // Only URLs without a host refuse.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(())
    }

    /// The headers and the body of an answer with status 200.
    pub(super) async fn get(&self, url: &Url) -> Result<(HeaderMap, Bytes), AskError> {
        let deadline = Instant::now() + self.timeout;
        let headers = self.headers.clone();
        let answer = self.client.get(url.as_str(), headers, ANSWER_BYTES_MAX, deadline).await;
        let (head, body) = answer.map_err(|source| {
            // What is asked for may tell more than is good for a log.
            AskError::Request { url: url[..Position::AfterPath].to_owned(), source }
        })?;
        if head.status != StatusCode::OK {
            return Err(AskError::Status(head.status));
        }
        Ok((head.headers, body))
    }
}

/// The URL that a section names. That it is one was checked as far as that goes without looking.
pub(super) fn parsed(text: &str) -> Result<Url, StartError> {
    let mut url = Url::parse(text).map_err(boxed)?;
    url.set_fragment(None);
    Ok(url)
}

/// An error that a provider cannot start with.
pub(super) fn boxed(error: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::from(Box::<dyn std::error::Error + Send + Sync>::from(error))
}

/// Reads a field that may be `null` where the server has nothing.
#[cfg_attr(
    not(any(feature = "consul", feature = "docker", feature = "kubernetes", feature = "nomad")),
    expect(dead_code, reason = "what is read with it is not built in")
)]
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Undoes `%41` and the like.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(b'%');
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_the_url_becomes_a_header() {
        let check = |text: &str, expected_url: &str, expected: Option<&str>| {
            let config = Config::default();
            let second = Duration::from_secs(1);
            let mut asker =
                Asker::new(&config, Options::default(), HeaderMap::new(), second).unwrap();
            let mut url = parsed(text).unwrap();
            asker.log_in(&mut url).unwrap();
            assert_eq!(url.as_str(), expected_url);
            let header = asker.headers.get(AUTHORIZATION);
            assert_eq!(header.map(|value| value.to_str().unwrap()), expected);
            assert!(header.is_none_or(HeaderValue::is_sensitive));
        };
        check("http://127.0.0.1/a%2Fb?c=d%26#e", "http://127.0.0.1/a%2Fb?c=d%26", None);
        check(
            "http://Aladdin:open%20sesame@127.0.0.1:81/",
            "http://127.0.0.1:81/",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        );
        check("http://a@127.0.0.1/", "http://127.0.0.1/", Some("Basic YTo="));
    }

    #[test]
    fn escapes_are_undone_where_they_are_some() {
        for (text, expected) in [("a%2fb%", "a/b%"), ("%c3%A4%zz", "ä%zz"), ("", "")] {
            assert_eq!(decoded(text), expected.as_bytes());
        }
    }
}
