//! `--web.external-url`: how this server is reached from outside.

use http::Uri;

/// A URL, or its path alone, as proxies need it. What it does not say is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExternalUrl {
    /// `http` or `https`, and the host with its port, if there is one.
    pub(crate) origin: Option<(String, String)>,
    /// Begins and ends with a slash.
    pub(crate) path: Option<String>,
}

/// Why a text is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExternalUrlError {
    #[error("URL must not begin or end with quotes")]
    Quotes,
    #[error("{0:?} is neither a URL such as https://host/path nor a path such as /path")]
    Invalid(String),
}

impl ExternalUrl {
    /// The empty text says nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, ExternalUrlError> {
        if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
            return Err(ExternalUrlError::Quotes);
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        let invalid = || ExternalUrlError::Invalid(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let origin = match (uri.scheme_str(), uri.authority()) {
            (None, None) if text.starts_with('/') => None,
            (Some(scheme @ ("http" | "https")), Some(authority))
                if !authority.as_str().contains('@') =>
            {
                Some((scheme.to_owned(), authority.to_string()))
            }
            _ => return Err(invalid()),
        };
        if uri.query().is_some() {
            return Err(invalid());
        }
        let path = match uri.path().trim_matches('/') {
            "" => None,
            path => Some(format!("/{path}/")),
        };
        Ok(Self { origin, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_a_path_or_both() {
        let check = |text: &str, origin: Option<(&str, &str)>, path: Option<&str>| {
            let origin = origin.map(|(scheme, host)| (scheme.to_owned(), host.to_owned()));
            let expected = ExternalUrl { origin, path: path.map(str::to_owned) };
            assert_eq!(ExternalUrl::parse(text), Ok(expected), "{text}");
        };
        check("", None, None);
        check("https://a.test", Some(("https", "a.test")), None);
        check("https://a.test/", Some(("https", "a.test")), None);
        check("http://a.test:8080/x/y", Some(("http", "a.test:8080")), Some("/x/y/"));
        check("http://[::1]:80/x/", Some(("http", "[::1]:80")), Some("/x/"));
        check("/tracing", None, Some("/tracing/"));
        check("/", None, None);
        for text in ["a.test", "ftp://a.test", "http://", "https://u:p@a.test", "/x?y=1", "x y"] {
            let expected = ExternalUrlError::Invalid(text.to_owned());
            assert_eq!(ExternalUrl::parse(text), Err(expected), "{text}");
        }
        for text in ["\"http://a.test\"", "'http://a.test", "http://a.test\""] {
            assert_eq!(ExternalUrl::parse(text), Err(ExternalUrlError::Quotes), "{text}");
        }
    }
}
