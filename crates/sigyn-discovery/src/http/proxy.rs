//! Which proxy to go through, and to whom without one. The rules are Go's.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use http::{Uri, uri::Scheme};
use url::Url;

use super::proxy_config::Proxy;

/// Why there is no way through a proxy. No URL is in it: there may be a password in that.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It cannot be read as one.
    #[error("{0} is no URL of a proxy")]
    Url(&'static str),
    /// It is none that anybody speaks.
    #[error("{key} has the scheme {scheme:?}, which is none of http, https, socks5 and socks5h")]
    Scheme {
        /// Where it is written.
        key: &'static str,
        /// The scheme.
        scheme: String,
    },
    /// A header for the proxy cannot be sent.
    #[error("proxy_connect_header {0:?} cannot be sent")]
    Header(String),
}

/// Proxies, and who is asked without them.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<Server>,
    https: Option<Server>,
    /// `None` if nobody is asked without.
    except: Option<Vec<Exception>>,
}

/// One proxy.
#[derive(Clone)]
pub(super) struct Server {
    /// `http://host:port` or `https://host:port`. For SOCKS it is the former.
    pub(super) uri: Uri,
    pub(super) is_socks: bool,
    /// Name and password.
    pub(super) user: Option<(String, String)>,
    /// What it is told when it is to open a tunnel.
    pub(super) connect_headers: HeaderMap,
    authorization: Option<HeaderValue>,
}

impl Proxies {
    /// What the configuration says. `variable` reads the environment.
    pub(super) fn new(
        config: &Proxy,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ProxyError> {
        let mut connect_headers = HeaderMap::new();
        for header in &config.connect_headers {
            let refused = || ProxyError::Header(header.name.clone());
            let name = HeaderName::try_from(&header.name).map_err(|_| refused())?;
            for source in header.plain.iter().chain(&header.secret) {
                let secret = source.read().map_err(|_| refused())?;
                let value = HeaderValue::from_bytes(secret.reveal().as_bytes());
                let mut value = value.map_err(|_| refused())?;
                value.set_sensitive(true);
                connect_headers.append(name.clone(), value);
            }
        }
        let server = |key, text: &str| Server::new(key, text, &connect_headers);
        if config.from_environment {
            let either = |upper: &str| {
                let found = variable(upper).filter(|text| !text.is_empty());
                found.or_else(|| variable(&upper.to_ascii_lowercase()))
            };
            let proxy = |key| match either(key) {
                Some(text) if !text.is_empty() => server(key, &text).map(Some),
                _ => Ok(None),
            };
            return Ok(Self {
                http: proxy("HTTP_PROXY")?,
                https: proxy("HTTPS_PROXY")?,
                except: Some(exceptions(&either("NO_PROXY").unwrap_or_default())),
            });
        }
        let Some(url) = &config.url else { return Ok(Self::default()) };
        let server = server("proxy_url", url.reveal())?;
        let except = (!config.no_proxy.is_empty()).then(|| exceptions(&config.no_proxy));
        Ok(Self { http: Some(server.clone()), https: Some(server), except })
    }

    /// The proxy to take to a URL.
    pub(super) fn of(&self, uri: &Uri) -> Option<&Server> {
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let server = if is_https { &self.https } else { &self.http }.as_ref()?;
        let Some(except) = &self.except else { return Some(server) };
        let host = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let is_local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        let is_except = || except.iter().any(|except| except.is(&host, ip, port));
        (!is_local && !is_except()).then_some(server)
    }

    /// What a request that goes to a proxy as a whole says to it of us.
    pub(super) fn authorization(&self, uri: &Uri) -> Option<&HeaderValue> {
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return None;
        }
        self.of(uri)?.authorization.as_ref()
    }
}

impl Server {
    fn new(key: &'static str, text: &str, connect_headers: &HeaderMap) -> Result<Self, ProxyError> {
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&with_scheme).ok().filter(Url::has_host);
        let url = url.ok_or(ProxyError::Url(key))?;
        let (scheme, port) = match url.scheme() {
            "http" => ("http", 80),
            "https" => ("https", 443),
            "socks5" | "socks5h" => ("http", 1080),
            scheme => return Err(ProxyError::Scheme { key, scheme: scheme.to_owned() }),
        };
        let is_socks = url.scheme().starts_with("socks");
        let host = url.host_str().unwrap_or_default();
        let uri = format!("{scheme}://{host}:{}", url.port().unwrap_or(port));
        let uri = uri.parse::<Uri>().map_err(|_| ProxyError::Url(key))?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let user = has_user
            .then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())));
        let mut connect_headers = connect_headers.clone();
        let mut authorization = None;
        if let Some((name, password)) = &user
            && !is_socks
        {
            let both = BASE64.encode(format!("{name}:{password}"));
            let value = HeaderValue::try_from(format!("Basic {both}"));
            let mut value = value.map_err(|_| ProxyError::Url(key))?;
            value.set_sensitive(true);
            connect_headers.insert(PROXY_AUTHORIZATION, value.clone());
            authorization = Some(value);
        }
        Ok(Self { uri, is_socks, user, connect_headers, authorization })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// `%2F` and their like as what they stand for.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Somebody who is asked without a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    Everybody,
    Network {
        first: IpAddr,
        bits: u8,
    },
    Address {
        ip: IpAddr,
        port: Option<u16>,
    },
    /// Hosts whose name ends in `.suffix`, and with `itself` also the host `suffix`.
    Names {
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Exception {
    fn is(&self, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
        let fits = |wanted: Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::Everybody => true,
            Self::Network { first, bits } => {
                ip.is_some_and(|ip| prefix(ip, *bits) == prefix(*first, *bits))
            }
            Self::Address { ip: wanted, port } => ip == Some(*wanted) && fits(*port),
            Self::Names { suffix, itself, port } => {
                let below = host.strip_suffix(suffix.as_str());
                below.is_some_and(|rest| rest.ends_with('.') || (*itself && rest.is_empty()))
                    && fits(*port)
            }
        }
    }
}

/// The first bits of an address, and of which kind it is.
fn prefix(ip: IpAddr, bits: u8) -> (bool, u128) {
    let (value, width) = match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    let dropped = width - u32::from(bits).min(width);
    (ip.is_ipv4(), value.checked_shr(dropped).unwrap_or(0))
}

/// `no_proxy`: entries between commas. What is none is passed over.
fn exceptions(text: &str) -> Vec<Exception> {
    text.split(',').filter_map(|entry| exception(&entry.trim().to_ascii_lowercase())).collect()
}

fn exception(entry: &str) -> Option<Exception> {
    if entry == "*" {
        return Some(Exception::Everybody);
    }
    if let Some((first, bits)) = entry.split_once('/')
        && let (Ok(first), Ok(bits)) = (first.parse::<IpAddr>(), bits.parse::<u8>())
    {
        let width = if first.is_ipv4() { 32 } else { 128 };
        return (bits <= width).then_some(Exception::Network { first, bits });
    }
    let (host, port) = host_and_port(entry)?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(Exception::Address { ip: ip.to_canonical(), port });
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let suffix = host.strip_prefix('.').unwrap_or(host);
    let itself = suffix == host;
    (!suffix.is_empty()).then(|| Exception::Names { suffix: suffix.to_owned(), itself, port })
}

/// `a`, `a:1`, `::1` and `[::1]:1`.
fn host_and_port(entry: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match entry.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => match entry.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, port),
            _ => return Some((entry, None)),
        },
    };
    Some((host, Some(port.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Header, Source};

    fn proxies(url: &str, no_proxy: &str) -> Proxies {
        let config =
            Proxy { url: Some(url.into()), no_proxy: no_proxy.to_owned(), ..Proxy::default() };
        Proxies::new(&config, |_| None).unwrap()
    }

    fn takes(proxies: &Proxies, uri: &str) -> Option<String> {
        proxies.of(&uri.parse().unwrap()).map(|server| server.uri.to_string())
    }

    #[test]
    fn everybody_is_asked_through_a_proxy_unless_there_are_exceptions() {
        let all = proxies("http://127.0.0.9:1", "");
        for uri in ["http://127.0.0.1", "https://localhost:1", "http://a.test"] {
            assert_eq!(takes(&all, uri).as_deref(), Some("http://127.0.0.9:1/"), "{uri}");
        }
        assert_eq!(takes(&Proxies::default(), "http://a.test"), None);
    }

    #[test]
    fn who_is_an_exception() {
        let check = |no_proxy: &str, uri: &str, without: bool| {
            let proxies = proxies("127.0.0.9:1", no_proxy);
            assert_eq!(takes(&proxies, uri).is_none(), without, "{no_proxy} {uri}");
        };
        check("b.test", "http://localhost", true);
        check("b.test", "http://127.0.0.77:5", true);
        check("b.test", "https://[::1]", true);
        check("*", "http://a.test", true);
        check(" A.test ,b.test", "http://a.test", true);
        check("a.test", "http://A.TEST:8080", true);
        check("a.test", "http://b.a.test", true);
        check("a.test", "http://ba.test", false);
        check(".a.test", "http://a.test", false);
        check(".a.test", "http://b.a.test", true);
        check("*.a.test", "http://b.a.test", true);
        check("*.a.test", "http://a.test", false);
        check("a.test:80", "http://a.test", true);
        check("a.test:443", "https://a.test", true);
        check("a.test:81", "http://a.test", false);
        check("10.0.0.1", "http://10.0.0.1:9", true);
        check("10.0.0.1:8", "http://10.0.0.1:9", false);
        check("10.0.0.0/9", "http://10.127.0.1", true);
        check("10.0.0.0/9", "http://10.128.0.1", false);
        check("0.0.0.0/0", "http://10.128.0.1", true);
        check("0.0.0.0/0", "http://[2001:db8::1]", false);
        check("2001:db8::/32", "http://[2001:db8::1]", true);
        check("::/0", "http://[2001:db8::1]", true);
        check("[2001:db8::1]:80", "http://[2001:db8::1]", true);
        check("2001:db8::1", "http://[2001:db8::2]", false);
        check("10.0.0.0/9", "http://a.test", false);
        check(",:1,10.0.0.1/99,a.test:x", "http://a.test", false);
    }

    #[test]
    fn the_environment_says_which_proxy_for_which_scheme() {
        let config = Proxy { from_environment: true, ..Proxy::default() };
        let variables = |name: &str| {
            let value = match name {
                "HTTP_PROXY" => "",
                "http_proxy" => "me:pw@127.0.0.8:8",
                "HTTPS_PROXY" => "https://127.0.0.9",
                "no_proxy" => "b.test",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let proxies = Proxies::new(&config, variables).unwrap();
        assert_eq!(takes(&proxies, "http://a.test").as_deref(), Some("http://127.0.0.8:8/"));
        assert_eq!(takes(&proxies, "https://a.test").as_deref(), Some("https://127.0.0.9:443/"));
        assert_eq!(takes(&proxies, "http://b.test"), None);
        assert_eq!(takes(&proxies, "http://127.0.0.1"), None);
        let authorization = |uri: &str| proxies.authorization(&uri.parse().unwrap());
        assert_eq!(authorization("http://a.test").unwrap(), "Basic bWU6cHc=");
        assert_eq!(authorization("https://a.test"), None);
        assert!(!format!("{proxies:?}").contains("pw"));
        let none = Proxies::new(&config, |_| None).unwrap();
        assert_eq!(takes(&none, "http://a.test"), None);
    }

    #[test]
    fn schemes_users_and_headers_of_a_proxy() {
        let socks = proxies("socks5h://m%40e:p%3Aw@127.0.0.9", "");
        let server = socks.of(&Uri::from_static("https://a.test")).unwrap();
        assert!(server.is_socks && server.uri == "http://127.0.0.9:1080/");
        assert_eq!(server.user, Some(("m@e".to_owned(), "p:w".to_owned())));
        assert!(server.authorization.is_none() && server.connect_headers.is_empty());

        let refused = |url: &str| {
            let config = Proxy { url: Some(url.into()), ..Proxy::default() };
            Proxies::new(&config, |_| None).unwrap_err().to_string()
        };
        let scheme =
            "proxy_url has the scheme \"ftp\", which is none of http, https, socks5 and socks5h";
        assert_eq!(refused("ftp://hidden@127.0.0.1"), scheme);
        assert_eq!(refused("http://hid den"), "proxy_url is no URL of a proxy");

        let secret = vec![Source::Inline("a".into()), Source::Inline("b".into())];
        let connect_headers = vec![Header { name: "x-a".to_owned(), plain: Vec::new(), secret }];
        let url = Some("http://me@127.0.0.9".into());
        let config = Proxy { url, connect_headers, ..Proxy::default() };
        let proxies = Proxies::new(&config, |_| None).unwrap();
        let headers = &proxies.of(&Uri::from_static("https://a.test")).unwrap().connect_headers;
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers[PROXY_AUTHORIZATION], "Basic bWU6");
    }
}
