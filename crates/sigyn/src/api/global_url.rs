//! Where others reach a target that this machine reaches on its loopback, as Prometheus guesses it.

use crate::external_url::ExternalUrl;

/// What a target on the loopback may be called.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// How this server is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct External {
    scheme: String,
    /// The host, with its port if there is one.
    authority: String,
    /// The port that is listened on.
    port: u16,
}

impl External {
    /// As `--web.external-url` says, or, where it does not, as the host's name, the port that is listened
    /// on, and whether there is TLS let one guess.
    pub(crate) fn new(url: &ExternalUrl, hostname: &str, port: u16, is_tls: bool) -> Self {
        let (scheme, authority) = url.origin.clone().unwrap_or_else(|| {
            let scheme = if is_tls { "https" } else { "http" };
            let host = match hostname.contains(':') {
                true => format!("[{hostname}]"),
                false => hostname.to_owned(),
            };
            (scheme.to_owned(), format!("{host}:{port}"))
        });
        Self { scheme, authority, port }
    }

    /// The URL for others. If it is on the loopback at our own port, it is this server; at another
    /// port, the host's name is the best guess.
    pub(crate) fn url(&self, url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority);
        if !LOOPBACK.contains(&host) {
            return url.to_owned();
        }
        if port == self.port.to_string() {
            return format!("{}://{}{path}", self.scheme, self.authority);
        }
        let host = without_port(&self.authority);
        let colon = if port.is_empty() { "" } else { ":" };
        format!("{scheme}://{host}{colon}{port}{path}")
    }
}

/// With the brackets of an address that has them.
fn without_port(authority: &str) -> &str {
    let end = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    &authority[..end.unwrap_or(authority.len())]
}

fn host_and_port(authority: &str) -> (&str, &str) {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match bracketed {
        Some((host, after)) => (host, after.strip_prefix(':').unwrap_or_default()),
        None => authority.rsplit_once(':').unwrap_or((authority, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_what_others_call_this_host() {
        let check = |host: &str, url: &str, expected: &str| {
            let external = External::new(&ExternalUrl::default(), host, 9411, false);
            assert_eq!(external.url(url), expected);
        };
        check("vm", "http://127.0.0.1:80/traces?x=1&x=2", "http://vm:80/traces?x=1&x=2");
        check("vm", "https://localhost:443/traces", "https://vm:443/traces");
        check("vm", "http://[::1]:80/traces", "http://vm:80/traces");
        check("vm", "http://localhost/traces", "http://vm/traces");
        check("vm", "http://localhost?x=1", "http://vm?x=1");
        check("::2", "http://localhost:80", "http://[::2]:80");
        // At our own port it is this server, whose scheme is known.
        check("vm", "https://127.0.0.1:9411/traces", "http://vm:9411/traces");
        let tls = External::new(&ExternalUrl::default(), "vm", 9411, true);
        assert_eq!(tls.url("http://127.0.0.1:9411/traces"), "https://vm:9411/traces");
        assert_eq!(tls.url("http://127.0.0.1:80/traces"), "http://vm:80/traces");
        for elsewhere in
            ["http://127.0.0.2:80/traces", "http://localhost.a:80/", "http://[::2]:80/", "no URL"]
        {
            check("vm", elsewhere, elsewhere);
        }
    }

    #[test]
    fn who_says_how_it_is_reached_from_outside_is_believed() {
        let check = |external: &str, url: &str, expected: &str| {
            let external = ExternalUrl::parse(external).unwrap();
            let external = External::new(&external, "vm", 9411, true);
            assert_eq!(external.url(url), expected);
        };
        let (own, other) = ("http://127.0.0.1:9411/traces", "http://localhost:80/traces");
        check("https://a.test/sigyn", own, "https://a.test/traces");
        check("https://a.test/sigyn", other, "http://a.test:80/traces");
        check("http://a.test:8080", own, "http://a.test:8080/traces");
        check("http://[::2]:8080", other, "http://[::2]:80/traces");
        check("http://[::2]", other, "http://[::2]:80/traces");
        check("/sigyn", own, "https://vm:9411/traces");
    }
}
