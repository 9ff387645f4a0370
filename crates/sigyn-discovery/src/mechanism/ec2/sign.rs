//! Signing requests as AWS wants it: its signature, version 4.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue, InvalidHeaderValue};
use jiff::Timestamp;
use ring::{digest, hmac};
use url::Url;

use super::credentials::Keys;

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) at: Timestamp,
}

/// Signs a request to `url` with all the headers that it has. Those that this adds are secret but
/// for the date.
pub(super) fn sign(
    request: &mut Request<Bytes>,
    url: &Url,
    keys: &Keys,
    scope: Scope<'_>,
) -> Result<(), InvalidHeaderValue> {
    let stamp = scope.at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let headers = request.headers_mut();
    headers.insert("x-amz-date", HeaderValue::try_from(&stamp)?);
    if !keys.token.is_empty() {
        headers.insert("x-amz-security-token", secret(keys.token.reveal())?);
    }
    let authorization = authorization(request, url, keys, scope, &stamp);
    request.headers_mut().insert(AUTHORIZATION, secret(&authorization)?);
    Ok(())
}

fn secret(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

fn authorization(
    request: &Request<Bytes>,
    url: &Url,
    keys: &Keys,
    scope: Scope<'_>,
    stamp: &str,
) -> String {
    let date = &stamp[..8];
    let mut headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), trimmed(value)))
        .collect();
    headers.push(("host".to_owned(), host(url)));
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let method = request.method();
    let (path, query, body) = (path(url), query(url), hash(request.body()));
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{body}");
    let place = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{place}\n{}", hash(canonical.as_bytes()));
    let key = signing_key(keys.secret_key.reveal(), date, scope.region, scope.service);
    let signature = hex(keyed(&key, &text).as_ref());
    let access_key = &keys.access_key;
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/{place}, SignedHeaders={names}, \
         Signature={signature}"
    )
}

/// A key that is good for one day, region and service only.
fn signing_key(secret_key: &str, date: &str, region: &str, service: &str) -> Vec<u8> {
    let mut key = format!("AWS4{secret_key}").into_bytes();
    for part in [date, region, service, "aws4_request"] {
        key = keyed(&key, part).as_ref().to_vec();
    }
    key
}

fn keyed(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Texts can be written to.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As the header `Host` has it.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A value without what is only there to be seen.
fn trimmed(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Escaped once more than it is sent.
fn path(url: &Url) -> String {
    url.path().split('/').map(escaped).collect::<Vec<_>>().join("/")
}

/// In AWS' own order and spelling.
fn query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (escaped(&name), escaped(&value))).collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Texts can be written to.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    /// The keys of AWS' own examples.
    fn keys(token: &str) -> Keys {
        Keys {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            token: token.into(),
            until: None,
        }
    }

    /// The token of AWS' own examples.
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGB\
        uFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsb\
        urEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZ\
        bqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    #[track_caller]
    fn check(
        (method, url, service): (&str, &str, &str),
        content_type: &'static str,
        body: &'static str,
        token: &str,
        (names, signature): (&str, &str),
    ) {
        let url: Url = url.parse().unwrap();
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = method.parse().unwrap();
        if !content_type.is_empty() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let at = "2015-08-30T12:36:00Z".parse().unwrap();
        let scope = Scope { region: "us-east-1", service, at };
        sign(&mut request, &url, &keys(token), scope).unwrap();
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, \
             SignedHeaders={names}, Signature={signature}"
        );
        let header = &request.headers()[AUTHORIZATION];
        assert_eq!(header.to_str().unwrap(), expected);
        assert!(header.is_sensitive());
    }

    /// From the test suite of the signature, and from its documentation.
    #[test]
    fn what_aws_has_published() {
        let plain = "host;x-amz-date";
        check(
            ("GET", "https://example.amazonaws.com/", "service"),
            "",
            "",
            "",
            (plain, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        );
        check(
            ("GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", "service"),
            "",
            "",
            "",
            (plain, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        );
        check(
            ("POST", "https://example.amazonaws.com/", "service"),
            "",
            "",
            "",
            (plain, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        );
        check(
            ("POST", "https://example.amazonaws.com/", "service"),
            "application/x-www-form-urlencoded",
            "Param1=value1",
            "",
            (
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        );
        check(
            ("POST", "https://example.amazonaws.com/", "service"),
            "",
            "",
            TOKEN,
            (
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        );
        check(
            ("GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", "iam"),
            "application/x-www-form-urlencoded; charset=utf-8",
            "",
            "",
            (
                "content-type;host;x-amz-date",
                "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        );
        let key = signing_key(keys("").secret_key.reveal(), "20150830", "us-east-1", "iam");
        assert_eq!(hex(&key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn what_is_signed_is_what_is_sent() {
        let url: Url = "http://127.0.0.1:81/a%20b/?c=d+e&c=%2F".parse().unwrap();
        assert_eq!(host(&url), "127.0.0.1:81");
        assert_eq!(path(&url), "/a%2520b/");
        assert_eq!(query(&url), "c=%2F&c=d%20e");
        assert_eq!(trimmed(&HeaderValue::from_static("  a   b ")), "a b");
        // The token is for the one who is asked only.
        let mut request = Request::new(Bytes::new());
        let scope = Scope { region: "r", service: "s", at: Timestamp::UNIX_EPOCH };
        sign(&mut request, &url, &keys("hidden"), scope).unwrap();
        assert!(request.headers()["x-amz-security-token"].is_sensitive());
        assert!(!format!("{:?} {request:?}", keys("hidden")).contains("hidden"));
        let broken = Keys { token: "a\nb".into(), ..keys("") };
        assert!(sign(&mut request, &url, &broken, scope).is_err());
    }
}
