//! Asking a server over HTTP for what there is.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use http::Method;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use http::header::CONTENT_TYPE;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Uri, response};
#[cfg(feature = "cloud")]
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use url::form_urlencoded;
use url::{Position, Url};

use super::StartError;
use crate::go_url::http_url;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use crate::http::Secret;
use crate::http::{Client, ClientError, Config, Options};

/// Lists of targets take some megabytes at most. What is larger is a mistake, and is not to take
/// the memory that spans need.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Of what a server says about a refusal.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
const SHOWN_CHARS_MAX: usize = 300;

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
    Request { url: String, source: Box<ClientError> },
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[cfg(feature = "cloud")]
    #[error("the answer is not what {of} answers")]
    Json { of: &'static str, source: serde_json::Error },
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
        let (head, body) = self.send(url, Request::new(Bytes::new())).await?;
        if head.status != StatusCode::OK {
            return Err(AskError::Status(head.status));
        }
        Ok((head.headers, body))
    }

    /// The answer to a request, whatever its status is. `url` is put in, and whatever headers the
    /// request lacks.
    pub(super) async fn send(
        &self,
        url: &Url,
        mut request: Request<Bytes>,
    ) -> Result<(response::Parts, Bytes), AskError> {
        // What is asked for, and by whom, may tell more than is good for a log.
        let told = || {
            let place = &url[Position::BeforeHost..Position::AfterPath];
            format!("{}://{place}", url.scheme())
        };
        let failed = |source| AskError::Request { url: told(), source: Box::new(source) };
        let deadline = Instant::now() + self.timeout;
        let uri = url.as_str().parse::<Uri>();
        *request.uri_mut() =
            uri.map_err(|source| failed(ClientError::Url { url: told(), source }))?;
        for (name, value) in &self.headers {
            request.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        self.client.ask(request, ANSWER_BYTES_MAX, deadline).await.map_err(failed)
    }
}

/// What a body says in JSON, which only `of` answers like this.
#[cfg(feature = "cloud")]
pub(super) fn from_json<T: DeserializeOwned>(body: &[u8], of: &'static str) -> Result<T, AskError> {
    serde_json::from_slice(body).map_err(|source| AskError::Json { of, source })
}

/// What a server says about a refusal, as far as it is of use, and without what is secret.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
pub(super) fn shown(text: &str, secrets: &[&Secret]) -> String {
    let secrets = secrets.iter().map(|secret| secret.reveal()).filter(|secret| !secret.is_empty());
    let hidden = secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "<secret>"));
    let in_a_line = hidden.split_whitespace().collect::<Vec<_>>().join(" ");
    in_a_line.chars().take(SHOWN_CHARS_MAX).collect()
}

/// A request that sends a form.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
pub(super) fn form(pairs: &[(&str, &str)]) -> Request<Bytes> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs.iter().copied());
    let mut request = Request::new(Bytes::from(form.finish()));
    *request.method_mut() = Method::POST;
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    request
}

/// The URL that a section names. That it is one was checked as far as that goes without looking.
pub(super) fn parsed(text: &str) -> Result<Url, StartError> {
    http_url(text).map_err(boxed)?;
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
    not(any(
        feature = "cloud",
        feature = "consul",
        feature = "docker",
        feature = "kubernetes",
        feature = "nomad"
    )),
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

    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    #[test]
    fn what_a_server_says_is_shown_without_secrets() {
        let secrets = [Secret::from("hidden"), Secret::default()];
        let secrets: Vec<_> = secrets.iter().collect();
        assert_eq!(shown("no\n\thidden  here", &secrets), "no <secret> here");
        assert_eq!(shown(&"ä".repeat(400), &secrets).chars().count(), SHOWN_CHARS_MAX);
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_told_without_what_it_is_asked_for() {
        let second = Duration::from_secs(1);
        let asker =
            Asker::new(&Config::default(), Options::default(), HeaderMap::new(), second).unwrap();
        // Nobody listens there.
        let url = "http://me:hidden@127.0.0.1:1/a?key=hidden".parse().unwrap();
        let error = asker.get(&url).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot ask http://127.0.0.1:1/a");
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }

    #[test]
    fn escapes_are_undone_where_they_are_some() {
        for (text, expected) in [("a%2fb%", "a/b%"), ("%c3%A4%zz", "ä%zz"), ("", "")] {
            assert_eq!(decoded(text), expected.as_bytes());
        }
    }
}
