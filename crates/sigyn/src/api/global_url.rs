//! Where others reach a target that this machine reaches on its loopback, as Prometheus guesses it.

/// What a target on the loopback may be called.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// How this server is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct External {
    scheme: &'static str,
    /// The host's name.
    host: String,
    /// The port that is listened on, here and outside.
    port: u16,
}

impl External {
    pub(crate) fn new(host: String, port: u16) -> Self {
        Self { scheme: "http", host, port }
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
        let scheme = if port == self.port.to_string() { self.scheme } else { scheme };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let colon = if port.is_empty() { "" } else { ":" };
        format!("{scheme}://{host}{colon}{port}{path}")
    }
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
            assert_eq!(External::new(host.to_owned(), 9411).url(url), expected);
        };
        check("vm", "http://127.0.0.1:80/traces?x=1&x=2", "http://vm:80/traces?x=1&x=2");
        check("vm", "https://localhost:443/traces", "https://vm:443/traces");
        check("vm", "http://[::1]:80/traces", "http://vm:80/traces");
        check("vm", "http://localhost/traces", "http://vm/traces");
        check("vm", "http://localhost?x=1", "http://vm?x=1");
        check("::2", "http://localhost:80", "http://[::2]:80");
        // At our own port it is this server, whose scheme is known.
        check("vm", "https://127.0.0.1:9411/traces", "http://vm:9411/traces");
        for elsewhere in
            ["http://127.0.0.2:80/traces", "http://localhost.a:80/", "http://[::2]:80/", "no URL"]
        {
            check("vm", elsewhere, elsewhere);
        }
    }
}
