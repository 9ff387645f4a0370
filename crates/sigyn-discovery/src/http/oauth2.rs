//! Tokens that have to be asked for: OAuth 2.0 with a secret, or with a signed statement.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::task;
use tokio::time::Instant;
use url::form_urlencoded;

use super::auth;
use super::client::{Client, Options};
use super::config::Config;
use super::connect::address;
use super::error::ClientError;
use super::jwt::{self, SignError};
use super::oauth2_config::{Grant, JWT_BEARER, OAuth2};
use super::secret::{Secret, Source, SourceError};
use crate::go_url::shown;

/// A token is no longer used so long before it ends.
const ENDS_EARLY: Duration = Duration::from_secs(10);
/// For so long a signed statement holds.
const STATEMENT_HOLDS: Duration = Duration::from_secs(600);
/// As long as Prometheus keeps an idle connection to a token's server.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// More than a token can take.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Of what a server says about a refusal, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Why there is no token. The texts are those of Go's client.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The server cannot be asked, or does not answer.
    #[error("oauth2: cannot fetch token")]
    Request(#[source] ClientError),
    /// The server refuses, and says nothing that could be read.
    #[error("oauth2: cannot fetch token: {0}")]
    Status(StatusCode),
    /// The server refuses, and says why.
    #[error("oauth2: {code:?}{}", described(.description))]
    Refused {
        /// Such as `invalid_client`.
        code: String,
        /// In more words, if any.
        description: String,
    },
    /// The answer is something else.
    #[error("oauth2: cannot parse the answer")]
    NoAnswer,
    /// The answer has everything else.
    #[error("oauth2: server response missing access_token")]
    Missing,
    /// `endpoint_params` has what is sent anyway.
    #[error("oauth2: cannot overwrite parameter {0:?}")]
    Parameter(String),
    /// There is no statement to show.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The token cannot be sent.
    #[error("the token cannot be sent in a header")]
    Header,
}

fn described(description: &str) -> String {
    if description.is_empty() { String::new() } else { format!(" {description:?}") }
}

/// Gets tokens, and keeps the last one for as long as it holds.
pub(super) struct Tokens {
    config: OAuth2,
    url: Uri,
    client: Client,
    /// Whoever holds it asks; the others wait for what comes of it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was shown for the last token. Another secret makes everything new.
    shown: Secret,
    token: Option<Token>,
    place: Option<Place>,
}

struct Token {
    header: HeaderValue,
    until: Option<Instant>,
}

/// Where the server wants to have name and secret: they do not say, it has to be tried out.
#[derive(Clone, Copy)]
enum Place {
    Header,
    Form,
}

impl Tokens {
    /// Errors if there can be no token ever.
    pub(super) fn new(config: &OAuth2, options: &Options) -> Result<Self, ClientError> {
        let (what, source) = credential(config);
        match source {
            None => return Err(ClientError::NoSecret),
            Some(Source::Reference(_)) => {
                return Err(ClientError::Reference { what, source: SourceError::Reference });
            }
            Some(_) => {}
        }
        let url = config.token_url.parse::<Uri>();
        let url =
            url.map_err(|source| ClientError::Url { url: shown(&config.token_url), source })?;
        let own = Config {
            tls: config.tls.clone(),
            proxy: config.proxy.clone(),
            enable_http2: false,
            ..Config::default()
        };
        let options = Options { idle_max: IDLE_MAX, idle_per_host_max: 1, ..options.clone() };
        let client = Client::new(&own, options)?;
        Ok(Self { config: config.clone(), url, client, state: Mutex::default() })
    }

    /// The header `Authorization` with a token that holds.
    pub(super) async fn authorization(
        &self,
        deadline: Instant,
    ) -> Result<HeaderValue, ClientError> {
        let secret = self.secret().await?;
        let mut state = self.state.lock().await;
        if state.shown != secret {
            *state = State { shown: secret.clone(), ..State::default() };
        }
        if let Some(Token { header, until }) = &state.token
            && until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(header.clone());
        }
        // A server that is slow is told apart from whoever the token is for.
        let now = Instant::now();
        let deadline = now + deadline.saturating_duration_since(now) * 9 / 10;
        let token = self.fetch(&secret, &mut state.place, deadline).await.map_err(|source| {
            ClientError::Token { address: address(&self.url), source: Box::new(source) }
        })?;
        let header = token.header.clone();
        state.token = Some(token);
        Ok(header)
    }

    async fn secret(&self) -> Result<Secret, ClientError> {
        let failed = |source| ClientError::Secret { what: "oauth2 client secret", source };
        let Some(source) = credential(&self.config).1 else { return Err(ClientError::NoSecret) };
        if source.file().is_none() {
            return source.read().map_err(failed);
        }
        let source = source.clone();
        let read = task::spawn_blocking(move || source.read()).await;
        // Only the runtime's end gets in the way, and then nobody waits for a token.
        read.map_err(|_| ClientError::Timeout)?.map_err(failed)
    }

    async fn fetch(
        &self,
        secret: &Secret,
        place: &mut Option<Place>,
        deadline: Instant,
    ) -> Result<Token, TokenError> {
        let form = self.form(secret)?;
        if matches!(self.config.grant, Grant::JwtBearer { .. }) {
            return self.ask(&form, None, secret, deadline).await;
        }
        if let Some(place) = *place {
            return self.ask(&form, Some(place), secret, deadline).await;
        }
        let first = self.ask(&form, Some(Place::Header), secret, deadline).await;
        let (token, known) = match first {
            Ok(token) => (token, Place::Header),
            Err(error @ TokenError::Request(_)) => return Err(error),
            Err(_) => (self.ask(&form, Some(Place::Form), secret, deadline).await?, Place::Form),
        };
        *place = Some(known);
        Ok(token)
    }

    /// What is asked for, whoever we are.
    fn form(&self, secret: &Secret) -> Result<BTreeMap<String, String>, TokenError> {
        let OAuth2 { client_id, grant, scopes, endpoint_params, .. } = &self.config;
        let mut form = BTreeMap::new();
        let mut set = |name: &str, value: String| form.insert(name.to_owned(), value);
        let scope = scopes.join(" ");
        match grant {
            Grant::ClientCredentials { .. } => {
                set("grant_type", "client_credentials".to_owned());
            }
            Grant::JwtBearer { key_id, algorithm, issuer, audience, claims, .. } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let mut all = Map::new();
                let mut say = |name: &str, value: Value| all.insert(name.to_owned(), value);
                say("iss", json!(issuer));
                say("sub", json!(client_id));
                say("aud", json!(audience));
                say("jti", json!(jwt::unique_id()?));
                say("iat", json!(now.as_secs()));
                say("exp", json!((now + STATEMENT_HOLDS).as_secs()));
                if !scope.is_empty() {
                    say("scope", json!(scope));
                }
                all.extend(claims.iter().map(|(name, value)| (name.clone(), value.clone())));
                set("grant_type", JWT_BEARER.to_owned());
                set("assertion", jwt::signed(secret, key_id, *algorithm, &all)?);
            }
        }
        if !scope.is_empty() {
            set("scope", scope);
        }
        for (name, value) in endpoint_params {
            // Some servers have names of their own for a grant.
            if name != "grant_type" && form.contains_key(name) {
                return Err(TokenError::Parameter(name.clone()));
            }
            form.insert(name.clone(), value.clone());
        }
        Ok(form)
    }

    async fn ask(
        &self,
        form: &BTreeMap<String, String>,
        place: Option<Place>,
        secret: &Secret,
        deadline: Instant,
    ) -> Result<Token, TokenError> {
        let request = self.request(form, place, secret)?;
        let answer = self.client.ask_without_token(request, ANSWER_BYTES_MAX, deadline).await;
        let (head, body) = answer.map_err(TokenError::Request)?;
        token(head.status, &head.headers, &body, secret)
    }

    fn request(
        &self,
        form: &BTreeMap<String, String>,
        place: Option<Place>,
        secret: &Secret,
    ) -> Result<Request<Bytes>, TokenError> {
        let client_id = &self.config.client_id;
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let mut headers = HeaderMap::new();
        match place {
            None => {}
            Some(Place::Form) => {
                body.append_pair("client_id", client_id);
                if !secret.is_empty() {
                    body.append_pair("client_secret", secret.reveal());
                }
            }
            Some(Place::Header) => {
                let escaped = |text: &str| {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let both = format!("{}:{}", escaped(client_id), escaped(secret.reveal()));
                let basic = format!("Basic {}", BASE64.encode(both));
                let basic = auth::value("Authorization", &basic).map_err(TokenError::Request)?;
                headers.insert(AUTHORIZATION, basic);
            }
        }
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form_type);
        let mut request = Request::new(Bytes::from(body.finish()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// What is shown for a token, and what it is called where it can never be had.
fn credential(config: &OAuth2) -> (&'static str, Option<&Source>) {
    match &config.grant {
        Grant::ClientCredentials { secret } => ("client secret", secret.as_ref()),
        Grant::JwtBearer { key, .. } => ("client certificate", key.as_ref()),
    }
}

fn token(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secret: &Secret,
) -> Result<Token, TokenError> {
    let fields = fields(headers, body);
    let text = |name: &str| {
        let field = fields.as_ref().and_then(|fields| fields.get(name));
        field.and_then(Value::as_str).unwrap_or_default()
    };
    if !text("error").is_empty() {
        let shown = |text: &str| -> String {
            let hidden = match secret.reveal() {
                "" => text.to_owned(),
                secret => text.replace(secret, "<secret>"),
            };
            hidden.chars().take(TEXT_CHARS_MAX).collect()
        };
        let (code, description) = (shown(text("error")), shown(text("error_description")));
        return Err(TokenError::Refused { code, description });
    }
    if !status.is_success() {
        return Err(TokenError::Status(status));
    }
    let fields = fields.as_ref().ok_or(TokenError::NoAnswer)?;
    let token = text("access_token");
    if token.is_empty() {
        return Err(TokenError::Missing);
    }
    let kind = match text("token_type") {
        "" => "Bearer",
        kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        kind if kind.eq_ignore_ascii_case("mac") => "MAC",
        kind if kind.eq_ignore_ascii_case("basic") => "Basic",
        kind => kind,
    };
    let header = auth::value("Authorization", &format!("{kind} {token}"));
    let header = header.map_err(|_| TokenError::Header)?;
    let seconds = match fields.get("expires_in") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
        None => None,
    };
    // None, and none that could be counted, are for ever.
    let until = seconds.filter(|seconds| *seconds > 0).and_then(|seconds| {
        let holds = Duration::from_secs(seconds).saturating_sub(ENDS_EARLY);
        Instant::now().checked_add(holds)
    });
    Ok(Token { header, until })
}

/// What an answer says, in JSON or as a form.
fn fields(headers: &HeaderMap, body: &[u8]) -> Option<Map<String, Value>> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if matches!(kind, "application/x-www-form-urlencoded" | "text/plain") {
        let pairs = form_urlencoded::parse(body);
        return Some(pairs.map(|(name, value)| (name.into_owned(), json!(value))).collect());
    }
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain::chain;

    fn read(status: u16, kind: &str, body: &str) -> Result<(String, Option<u64>), String> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        let status = StatusCode::from_u16(status).unwrap();
        match token(status, &headers, body.as_bytes(), &"hidden".into()) {
            Ok(Token { header, until }) => {
                let left = until.map(|until| until - Instant::now());
                Ok((header.to_str().unwrap().to_owned(), left.map(|left| left.as_secs())))
            }
            Err(error) => Err(chain(&error)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_answers() {
        let json = |body: &str| read(200, "application/json", body);
        let good = |header: &str, left| Ok((header.to_owned(), left));
        assert_eq!(json(r#"{"access_token":"t","expires_in":70}"#), good("Bearer t", Some(60)));
        assert_eq!(json(r#"{"access_token":"t","expires_in":"70"}"#), good("Bearer t", Some(60)));
        assert_eq!(json(r#"{"access_token":"t","expires_in":5}"#), good("Bearer t", Some(0)));
        assert_eq!(json(r#"{"access_token":"t","expires_in":0}"#), good("Bearer t", None));
        assert_eq!(json(r#"{"access_token":"t","token_type":"bearer"}"#), good("Bearer t", None));
        assert_eq!(json(r#"{"access_token":"t","token_type":"Own"}"#), good("Own t", None));
        let form = read(200, "text/plain; charset=x", "access_token=a+b&expires_in=20");
        assert_eq!(form, good("Bearer a b", Some(10)));
        let bad = |text: &str| Err(text.to_owned());
        assert_eq!(json("{}"), bad("oauth2: server response missing access_token"));
        assert_eq!(json("<html>"), bad("oauth2: cannot parse the answer"));
        assert_eq!(json(r#"{"access_token":"a\nb"}"#), bad("the token cannot be sent in a header"));
        let refused = read(500, "text/html", "<html>hidden");
        assert_eq!(refused, bad("oauth2: cannot fetch token: 500 Internal Server Error"));
        let refused =
            read(401, "application/json", r#"{"error":"no","error_description":"not hidden"}"#);
        assert_eq!(refused, bad(r#"oauth2: "no" "not <secret>""#));
        assert_eq!(json(r#"{"error":"no"}"#), bad(r#"oauth2: "no""#));
    }
}
