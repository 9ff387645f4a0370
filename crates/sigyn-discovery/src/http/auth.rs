//! What each request says of us: credentials, and headers of the user's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::config::{Authorization, Config};
use super::error::ClientError;
use super::secret::{Source, SourceError};

/// What no server may see that the first one only sent us to, whoever has set it.
const SENSITIVE: [&str; 6] = [
    "authorization",
    "cookie",
    "cookie2",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
];

/// What is added to a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Additions {
    authorization: Option<HeaderValue>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Those that are secret.
    secret_headers: Vec<(HeaderName, HeaderValue)>,
}

impl Additions {
    /// Whether what the configuration names may change, so that it has to be read each time.
    pub(super) fn may_change(config: &Config) -> bool {
        sources(config).any(|source| source.file().is_some())
    }

    /// Refuses what can never be had.
    pub(super) fn check(config: &Config) -> Result<(), ClientError> {
        let is_reference = |source: &Option<Source>| matches!(source, Some(Source::Reference(_)));
        let what = match &config.authorization {
            Some(Authorization::Basic { username, .. }) if is_reference(username) => "username",
            Some(Authorization::Basic { password, .. }) if is_reference(password) => "password",
            Some(Authorization::Credentials { credentials, .. }) if is_reference(credentials) => {
                "credentials"
            }
            _ => return Ok(()),
        };
        Err(ClientError::Reference { what, source: SourceError::Reference })
    }

    /// Reads all of it. It blocks as long as small files take.
    pub(super) fn read(config: &Config) -> Result<Self, ClientError> {
        let authorization = match &config.authorization {
            None | Some(Authorization::OAuth2(_)) => None,
            Some(Authorization::Basic { username, password }) => {
                let username = read("basic auth username", username.as_ref())?;
                let password = read("basic auth password", password.as_ref())?;
                let both = BASE64.encode(format!("{username}:{password}"));
                Some(value("Authorization", &format!("Basic {both}"))?)
            }
            Some(Authorization::Credentials { kind, credentials }) => {
                let credentials = read("authorization credentials", credentials.as_ref())?;
                Some(value("Authorization", &format!("{kind} {credentials}"))?)
            }
        };
        let line = |name: &str, source: &Source| {
            let known = HeaderName::try_from(name);
            let known = known.map_err(|_| ClientError::HeaderName(name.to_owned()))?;
            let text = read("headers file", Some(source))?;
            Ok::<_, ClientError>((known, value(name, &text)?))
        };
        let (mut headers, mut secret_headers) = (Vec::new(), Vec::new());
        for header in &config.headers {
            for source in &header.plain {
                headers.push(line(&header.name, source)?);
            }
            for source in &header.secret {
                secret_headers.push(line(&header.name, source)?);
            }
        }
        Ok(Self { authorization, headers, secret_headers })
    }

    /// Shows this, unless a request has something of its own to show.
    pub(super) fn authorize(&mut self, authorization: HeaderValue) {
        self.authorization = Some(authorization);
    }

    /// Adds it to a request's own headers. `left` says that the request goes to a host that the
    /// one first asked has sent us to: then credentials stay here, the request's own too, and
    /// whatever it marks as sensitive.
    pub(super) fn add_to(&self, headers: &mut HeaderMap, left: bool) {
        if left {
            let own = headers.iter().filter(|(_, value)| value.is_sensitive());
            let own: Vec<HeaderName> = own.map(|(name, _)| name.clone()).collect();
            for name in own {
                headers.remove(name);
            }
        }
        let secret_headers = self.secret_headers.iter().filter(|_| !left);
        for (name, value) in self.headers.iter().chain(secret_headers) {
            headers.append(name.clone(), value.clone());
        }
        if left {
            for name in SENSITIVE {
                headers.remove(name);
            }
        } else if let Some(value) = &self.authorization
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, value.clone());
        }
    }
}

/// All values that the configuration has somewhere.
fn sources(config: &Config) -> impl Iterator<Item = &Source> {
    let (first, second) = match &config.authorization {
        None | Some(Authorization::OAuth2(_)) => (None, None),
        Some(Authorization::Basic { username, password }) => (username.as_ref(), password.as_ref()),
        Some(Authorization::Credentials { credentials, .. }) => (credentials.as_ref(), None),
    };
    let headers = config.headers.iter();
    let headers = headers.flat_map(|header| header.plain.iter().chain(&header.secret));
    first.into_iter().chain(second).chain(headers)
}

/// A value; what is not written is empty.
fn read(what: &'static str, source: Option<&Source>) -> Result<String, ClientError> {
    let Some(source) = source else { return Ok(String::new()) };
    let secret = source.read().map_err(|source| ClientError::Secret { what, source })?;
    Ok(secret.reveal().to_owned())
}

/// A header's value, which is shown to nobody else.
pub(super) fn value(name: &str, text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| ClientError::HeaderValue(name.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain::chain;
    use crate::http::Header;

    fn credentials(kind: &str, text: &str) -> Config {
        let credentials = Some(Source::Inline(text.into()));
        let authorization = Authorization::Credentials { kind: kind.to_owned(), credentials };
        Config { authorization: Some(authorization), ..Config::default() }
    }

    fn header(name: &str, text: &str) -> Config {
        let plain = vec![Source::Inline(text.into())];
        let headers = vec![Header { name: name.to_owned(), plain, secret: Vec::new() }];
        Config { headers, ..Config::default() }
    }

    fn sent(config: &Config, own: &[(&'static str, &'static str)], left: bool) -> Vec<String> {
        let own = own
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers: HeaderMap = own.collect();
        Additions::read(config).unwrap().add_to(&mut headers, left);
        let mut sent: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        sent.sort();
        sent
    }

    #[test]
    fn credentials_are_set_unless_the_request_has_some() {
        let basic = |username: Option<&str>, password: Option<&str>| {
            let source = |text: Option<&str>| text.map(|text| Source::Inline(text.into()));
            let authorization =
                Authorization::Basic { username: source(username), password: source(password) };
            Config { authorization: Some(authorization), ..Config::default() }
        };
        let check = |config: &Config, expected: &str| {
            assert_eq!(sent(config, &[], false), [format!("authorization: {expected}")]);
        };
        check(&basic(None, None), "Basic Og==");
        check(&basic(Some("Aladdin"), Some("open sesame")), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        check(&credentials("Bearer", ""), "Bearer ");
        check(&credentials("Custom", "ä b"), "Custom ä b");
        let own = sent(&credentials("Bearer", "x"), &[("authorization", "mine")], false);
        assert_eq!(own, ["authorization: mine"]);
        assert_eq!(sent(&Config::default(), &[], false), [""; 0]);
    }

    #[test]
    fn headers_stand_beside_those_of_the_request() {
        let own = [("x-tenant", "own"), ("accept", "*/*")];
        let config = header("X-Tenant", "a");
        assert_eq!(sent(&config, &own, false), ["accept: */*", "x-tenant: a", "x-tenant: own"]);
    }

    #[test]
    fn on_another_host_no_credentials_are_shown_by_whoever() {
        let own = [("authorization", "mine"), ("cookie", "c"), ("x-own", "o")];
        let mut config = credentials("Bearer", "x");
        config.headers.extend(header("Cookie", "d").headers);
        config.headers.extend(header("X-Tenant", "a").headers);
        assert_eq!(sent(&config, &own, true), ["x-own: o", "x-tenant: a"]);
    }

    #[test]
    fn on_another_host_no_secret_header_is_shown() {
        let mut config = header("X-Tenant", "a");
        let secret = |text: &str| Source::Inline(text.into());
        config.headers[0].secret = vec![secret("b"), secret("c")];
        assert_eq!(sent(&config, &[], false), ["x-tenant: a", "x-tenant: b", "x-tenant: c"]);
        assert_eq!(sent(&config, &[], true), ["x-tenant: a"]);
    }

    #[test]
    fn on_another_host_nothing_is_shown_that_a_request_marks_as_sensitive() {
        for (left, expected) in [(false, ["x-tenant", "x-token"].as_slice()), (true, &["x-tenant"])]
        {
            let mut token = HeaderValue::from_static("secret");
            token.set_sensitive(true);
            let mut headers = HeaderMap::from_iter([(HeaderName::from_static("x-token"), token)]);
            Additions::read(&header("X-Tenant", "a")).unwrap().add_to(&mut headers, left);
            let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_told_without_showing_it() {
        let refused = |config: &Config| chain(&Additions::read(config).unwrap_err());
        let hidden = refused(&credentials("Bearer", "hid\nden"));
        assert_eq!(hidden, r#"invalid header field value for "Authorization""#);
        assert_eq!(refused(&header("X-A", "\u{0}")), r#"invalid header field value for "X-A""#);
        assert_eq!(refused(&header("a b", "c")), r#"invalid header field name "a b""#);
        let mut config = credentials("Bearer", "");
        config.authorization = Some(Authorization::Credentials {
            kind: "Bearer".to_owned(),
            credentials: Some(Source::File("/none/such".into())),
        });
        let expected = "unable to read authorization credentials: unable to read file /none/such: \
            No such file or directory (os error 2)";
        assert_eq!(refused(&config), expected);
        assert!(Additions::may_change(&config) && !Additions::may_change(&header("a", "b")));
    }

    #[test]
    fn what_can_never_be_had_is_told_at_once() {
        let reference = || Some(Source::Reference("vault".to_owned()));
        let check = |authorization: Authorization, expected: &str| {
            let config = Config { authorization: Some(authorization), ..Config::default() };
            assert_eq!(chain(&Additions::check(&config).unwrap_err()), expected);
        };
        check(
            Authorization::Basic { username: reference(), password: None },
            "unable to use username: cannot use secret ref without manager",
        );
        check(
            Authorization::Basic { username: None, password: reference() },
            "unable to use password: cannot use secret ref without manager",
        );
        check(
            Authorization::Credentials { kind: "Bearer".to_owned(), credentials: reference() },
            "unable to use credentials: cannot use secret ref without manager",
        );
    }
}
