//! URLs as Go reads them: what they consist of, and which are none.

use crate::labels::quoted;

/// Scheme and `user@host:port` of a URL as Prometheus reads one, each empty if it is not there.
/// Errors where Prometheus does, in its words.
pub(crate) fn url_parts(text: &str) -> Result<(&str, &str), String> {
    let refused = |why: String| Err(format!("parse {}: {why}", quoted(without_login(text))));
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return refused("net/url: invalid control character in URL".to_owned());
    }
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return match text.split(['/', '?', '#']).next() {
            Some(first) if first.starts_with(':') => refused("missing protocol scheme".to_owned()),
            Some(first) if first.contains(':') => {
                refused("first path segment in URL cannot contain colon".to_owned())
            }
            _ => Ok(("", "")),
        };
    };
    let Some(rest) = rest.strip_prefix("//") else { return Ok((scheme, "")) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if login.chars().any(|c| !is_login_char(c)) {
        return refused("net/url: invalid userinfo".to_owned());
    }
    if let Some(unfit) = host.chars().find(|c| c.is_ascii() && !is_host_char(*c)) {
        return refused(format!("invalid character {} in host name", quoted(&unfit.to_string())));
    }
    let port = match (host.starts_with('['), host.rfind(']')) {
        (true, None) => return refused("missing ']' in host".to_owned()),
        (true, Some(end)) => &host[end + 1..],
        (false, _) => host.rfind(':').map_or("", |colon| &host[colon..]),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if !is_port {
        return refused(format!("invalid port {} after host", quoted(port)));
    }
    // What is asked for is not looked at.
    let path = path.split('?').next().unwrap_or_default();
    if let Some(escape) = [login, host, path].into_iter().find_map(bad_escape) {
        return refused(format!("invalid URL escape {}", quoted(&escape)));
    }
    let host_is_there = !host.is_empty();
    Ok((scheme, if host_is_there { authority } else { "" }))
}

/// Why a URL cannot be asked over HTTP, in Go's words. No login is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpUrlError {
    #[error("{0}")]
    NoUrl(String),
    #[error("{}: unsupported protocol scheme {}", quoted(.url), quoted(.scheme))]
    Scheme { url: String, scheme: String },
    #[error("{}: no Host in request URL", quoted(.0))]
    Host(String),
}

/// Refuses what cannot be asked over HTTP.
pub(crate) fn http_url(text: &str) -> Result<(), HttpUrlError> {
    let (scheme, host) = url_parts(text).map_err(HttpUrlError::NoUrl)?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(HttpUrlError::Scheme { url: shown(text), scheme: scheme.to_owned() });
    }
    if host.is_empty() { Err(HttpUrlError::Host(shown(text))) } else { Ok(()) }
}

/// What of a URL may stand in a log: no login, and nothing behind the path.
pub(crate) fn shown(text: &str) -> String {
    let Ok((scheme, authority)) = url_parts(text) else { return without_login(text).to_owned() };
    let end = text.find(['?', '#']).unwrap_or(text.len());
    // Where there is no host, there may be a login all the same.
    let Some((_, rest)) = text[..end].split_once("//").filter(|_| !authority.is_empty()) else {
        return without_login(&text[..end]).to_owned();
    };
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    format!("{scheme}://{host}{}", &rest[authority.len()..])
}

/// Of a text that may be no URL at all: a login is nobody's business, wherever it ends.
fn without_login(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

/// The first `%` that no two hexadecimal digits follow, with what does.
fn bad_escape(text: &str) -> Option<String> {
    let is_bad = |at: &usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let at = text.match_indices('%').map(|(at, _)| at).find(is_bad)?;
    Some(text[at..].chars().take(3).collect())
}

fn is_login_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_prometheus_reads_them() {
        let check = |text: &str, expected: Result<(&str, &str), &str>| {
            let told = url_parts(text);
            let expected = expected.map_err(|why| format!("parse {}: {why}", quoted(text)));
            assert_eq!(told, expected, "{text}");
        };
        check("http://127.0.0.1:80/a?b=%zz", Ok(("http", "127.0.0.1:80")));
        check("HTTPS://a@b:c@[::1]:8080", Ok(("HTTPS", "a@b:c@[::1]:8080")));
        check("http://localhost", Ok(("http", "localhost")));
        check("http://:80/", Ok(("http", ":80")));
        check("unix:///run/x.sock", Ok(("unix", "")));
        check("http://me@/", Ok(("http", "")));
        check("http:a", Ok(("http", "")));
        check("http", Ok(("", "")));
        check("/a:b", Ok(("", "")));
        check("", Ok(("", "")));
        check("127.0.0.1:80", Err("first path segment in URL cannot contain colon"));
        check("://a", Err("missing protocol scheme"));
        check("http://a b/", Err("invalid character \" \" in host name"));
        check("http://a:b/", Err("invalid port \":b\" after host"));
        check("http://[::1/", Err("missing ']' in host"));
        check("http://a/%4", Err("invalid URL escape \"%4\""));
        check("http://a%zz/", Err("invalid URL escape \"%zz\""));
        let told = url_parts("http://m e@a/").unwrap_err();
        assert_eq!(told, r#"parse "a/": net/url: invalid userinfo"#);
        check("http://a/%zé", Err("invalid URL escape \"%zé\""));
        let told = url_parts("http://me:p4ss@a:b/").unwrap_err();
        assert_eq!(told, r#"parse "a:b/": invalid port ":b" after host"#);
        check("http://a/\n", Err("net/url: invalid control character in URL"));
    }

    #[test]
    fn what_can_be_asked_over_http() {
        for (text, expected) in [
            ("HTTP://127.0.0.1", None),
            ("https://me:hidden@[::1]:80/a", None),
            ("ftp://me:hidden@a/b", Some(r#""ftp://a/b": unsupported protocol scheme "ftp""#)),
            ("localhost:80", Some(r#""localhost:80": unsupported protocol scheme "localhost""#)),
            ("", Some(r#""": unsupported protocol scheme """#)),
            ("http:///a", Some(r#""http:///a": no Host in request URL"#)),
            ("http://a:b/", Some(r#"parse "http://a:b/": invalid port ":b" after host"#)),
        ] {
            let refused = http_url(text).err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_log_shows_neither_login_nor_question() {
        for (text, expected) in [
            ("http://127.0.0.1:80/a/b?token=hidden#c", "http://127.0.0.1:80/a/b"),
            ("HTTP://me:hidden@127.0.0.1/a@b", "HTTP://127.0.0.1/a@b"),
            ("http://hidden@127.0.0.1?a=b@c", "http://127.0.0.1"),
            ("foo://me:hidden@x", "foo://x"),
            ("foo://me:hid/den@x", "x"),
            ("http://me:hidden@127.0.0.1:port/", "127.0.0.1:port/"),
            ("http://hidden@/a", "/a"),
            ("hidden@127.0.0.1", "127.0.0.1"),
            ("unix:///run/docker.sock", "unix:///run/docker.sock"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
