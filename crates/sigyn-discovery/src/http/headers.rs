//! Headers of the user's own: which names are taken, and where their values are.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::MapAccess;

use super::config::ClientConfigError;
use super::secret::{Secret, Source};
use crate::config::joined;
use crate::labels::quoted;
use crate::yaml::{Entry, Fields, Section, Text};

/// What nobody may set: the client, the protocol or the signing of requests decides about these.
const RESERVED: [&str; 18] = [
    "Accept-Encoding",
    "Authorization",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Host",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "User-Agent",
    "Www-Authenticate",
    "X-Amz-Content-Sha256",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
];

/// A header and its values, each of which becomes a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// In its canonical form: `X-Tenant`.
    pub name: String,
    /// `values`, which are sent first.
    pub plain: Vec<Source>,
    /// `secrets` and `files`. Nobody sees them whom a redirect leads to.
    pub secret: Vec<Source>,
}

/// `http_headers`, as written.
pub(super) type HeadersConfig = BTreeMap<Text, Option<Fields<HeaderConfig>>>;

/// The values of one header, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderConfig {
    values: Vec<String>,
    secrets: Vec<Secret>,
    files: Vec<String>,
}

impl Section for HeaderConfig {
    const NAME: &'static str = "config.Header";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "values" => self.values = entry.texts()?,
            "secrets" => self.secrets = entry.texts()?.into_iter().map(Secret::from).collect(),
            "files" => self.files = entry.texts()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// Checks the names. Relative paths are joined to `dir`.
pub(super) fn validate(
    headers: &HeadersConfig,
    dir: &Path,
) -> Result<Vec<Header>, ClientConfigError> {
    let mut checked = Vec::new();
    for (name, header) in headers {
        let name = canonical(&name.0);
        if RESERVED.contains(&name.as_str()) {
            return Err(ClientConfigError(format!(
                "setting header {} is not allowed",
                quoted(&name)
            )));
        }
        // A header without values is never sent: however that is written, it means the same.
        let Some(Fields(header)) = header else { continue };
        if *header == HeaderConfig::default() {
            continue;
        }
        let inline = header.values.iter().map(|value| Source::Inline(value.as_str().into()));
        let secrets = header.secrets.iter().cloned().map(Source::Inline);
        let files = header.files.iter().map(|file| Source::File(joined(dir, file)));
        checked.push(Header {
            name,
            plain: inline.collect(),
            secret: secrets.chain(files).collect(),
        });
    }
    Ok(checked)
}

/// A header's name as it is usually spelled: `x-amz-date` is `X-Amz-Date`. What is no name stays.
pub(super) fn canonical(name: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        return name.to_owned();
    }
    let mut upper = true;
    let spell = |c: char| {
        let spelled = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        upper = c == '-';
        spelled
    };
    name.chars().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_their_usual_spelling() {
        for (written, expected) in [
            ("x-tenant", "X-Tenant"),
            ("X-TENANT", "X-Tenant"),
            ("www-authenticate", "Www-Authenticate"),
            ("x_a-b.c", "X_a-B.c"),
            ("a b", "a b"),
            ("ä-b", "ä-b"),
            ("", ""),
        ] {
            assert_eq!(canonical(written), expected);
        }
    }

    #[test]
    fn reserved_names_are_sorted_and_canonical() {
        assert!(RESERVED.is_sorted());
        assert!(RESERVED.iter().all(|name| canonical(name) == *name));
    }
}
