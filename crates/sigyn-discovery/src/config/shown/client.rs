//! How targets and servers are asked, as it is told.

use super::key::{Key, Kind};
use crate::yaml::Node;

/// The keys of whoever asks over HTTP, among the others of a section.
pub(crate) const CLIENT: Key = Key::new("", Kind::Inline(KEYS, without_short_forms));

const KEYS: &[Key] = &[
    Key::new("basic_auth", Kind::Section(BASIC_AUTH)).if_given(),
    Key::new("authorization", Kind::Section(AUTHORIZATION)).if_given(),
    Key::new("oauth2", Kind::Section(OAUTH2)).if_given(),
    Key::new("tls_config", Kind::Section(TLS)).unless_empty(),
    Key::new("follow_redirects", Kind::Switch).or("true"),
    Key::new("enable_http2", Kind::Switch).or("true"),
    PROXY,
    Key::new("http_headers", Kind::Named(HEADER)).if_given(),
];

const BASIC_AUTH: &[Key] = &[
    Key::new("username", Kind::Text).unless_empty(),
    Key::new("username_file", Kind::Path).unless_empty(),
    Key::new("username_ref", Kind::Text).unless_empty(),
    Key::new("password", Kind::Secret).unless_empty(),
    Key::new("password_file", Kind::Path).unless_empty(),
    Key::new("password_ref", Kind::Text).unless_empty(),
];

const AUTHORIZATION: &[Key] = &[
    Key::new("type", Kind::Text).unless_empty(),
    Key::new("credentials", Kind::Secret).unless_empty(),
    Key::new("credentials_file", Kind::Path).unless_empty(),
    Key::new("credentials_ref", Kind::Text).unless_empty(),
];

const OAUTH2: &[Key] = &[
    Key::new("client_id", Kind::Text).unless_empty(),
    Key::new("client_secret", Kind::Secret).unless_empty(),
    Key::new("client_secret_file", Kind::Path).unless_empty(),
    Key::new("client_secret_ref", Kind::Text).unless_empty(),
    Key::new("client_certificate_key_id", Kind::Text).unless_empty(),
    Key::new("client_certificate_key", Kind::Secret).unless_empty(),
    Key::new("client_certificate_key_file", Kind::Path).unless_empty(),
    Key::new("client_certificate_key_ref", Kind::Text).unless_empty(),
    Key::new("grant_type", Kind::Text).unless_empty(),
    Key::new("signature_algorithm", Kind::Text).unless_empty(),
    Key::new("iss", Kind::Text).unless_empty(),
    Key::new("audience", Kind::Text).unless_empty(),
    Key::new("claims", Kind::Any).unless_empty(),
    Key::new("scopes", Kind::Texts).unless_empty(),
    Key::new("token_url", Kind::Server).unless_empty(),
    Key::new("endpoint_params", Kind::Words).unless_empty(),
    Key::new("tls_config", Kind::Section(TLS)).unless_empty(),
    PROXY,
];

const TLS: &[Key] = &[
    Key::new("ca", Kind::Text).unless_empty(),
    Key::new("cert", Kind::Text).unless_empty(),
    Key::new("key", Kind::Secret).unless_empty(),
    Key::new("ca_file", Kind::Path).unless_empty(),
    Key::new("cert_file", Kind::Path).unless_empty(),
    Key::new("key_file", Kind::Path).unless_empty(),
    Key::new("ca_ref", Kind::Text).unless_empty(),
    Key::new("cert_ref", Kind::Text).unless_empty(),
    Key::new("key_ref", Kind::Text).unless_empty(),
    Key::new("server_name", Kind::Text).unless_empty(),
    Key::new("insecure_skip_verify", Kind::Switch),
    Key::new("min_version", Kind::Text).unless_empty(),
    Key::new("max_version", Kind::Text).unless_empty(),
];

const PROXY: Key = Key::new("", Kind::Inline(PROXY_KEYS, Node::clone));

const PROXY_KEYS: &[Key] = &[
    Key::new("proxy_url", Kind::Url).if_given(),
    Key::new("no_proxy", Kind::Text).unless_empty(),
    Key::new("proxy_from_environment", Kind::Switch).unless_empty(),
    Key::new("proxy_connect_header", Kind::SecretLists).unless_empty(),
];

const HEADER: &[Key] = &[
    Key::new("values", Kind::Texts).unless_empty(),
    Key::new("secrets", Kind::Secrets).unless_empty(),
    Key::new("files", Kind::Paths).unless_empty(),
];

/// `bearer_token` is an `authorization`, and `username` and `password` of a server are a `basic_auth`.
fn without_short_forms(section: &Node) -> Node {
    let given = |key: &str| section.get(key).filter(|value| !value.is_empty()).cloned();
    let mut entries = section.entries().to_vec();
    let first = |key: &str, keys: &[(&str, &str)]| {
        let found =
            keys.iter().filter_map(|(short, name)| Some(((*name).to_owned(), given(short)?)));
        let found: Vec<_> = found.collect();
        (!found.is_empty()).then(|| (key.to_owned(), Node::Map(found)))
    };
    // What is first is found.
    let login = first("basic_auth", &[("username", "username"), ("password", "password")]);
    let tokens = [("bearer_token", "credentials"), ("bearer_token_file", "credentials_file")];
    entries.splice(0..0, login.into_iter().chain(first("authorization", &tokens)));
    if let Some((_, authorization)) = entries
        .iter_mut()
        .find(|(key, value)| key == "authorization" && matches!(value, Node::Map(_)))
    {
        let kind = authorization.get("type").map(|kind| kind.text().trim().to_owned());
        let kind = kind.filter(|kind| !kind.is_empty()).unwrap_or_else(|| "Bearer".to_owned());
        let mut all = vec![("type".to_owned(), Node::Text(kind))];
        all.extend(authorization.entries().iter().cloned());
        *authorization = Node::Map(all);
    }
    Node::Map(entries)
}
