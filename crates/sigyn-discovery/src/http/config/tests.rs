//! What Prometheus accepts and refuses of the client's keys, and what the accepted ones come to.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::http::{Grant, SignatureAlgorithm, TlsVersion};
use crate::yaml::{self, YamlError};

#[derive(Debug, Default)]
struct Written(ClientConfig);

impl Section for Written {
    const NAME: &'static str = "config.ScrapeConfig";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match self.0.field(entry)? {
            Some(entry) => entry.unknown(),
            None => Ok(()),
        }
    }
}

fn read(text: &str) -> Result<ClientConfig, YamlError> {
    yaml::section::<Written>(text).map(|written| written.0)
}

#[track_caller]
fn accepted(text: &str) -> Config {
    read(text).unwrap().validate(Path::new("/etc/sigyn")).unwrap()
}

#[track_caller]
fn refused(text: &str) -> String {
    match read(text) {
        Ok(written) => written.validate(Path::new("/etc/sigyn")).unwrap_err().to_string(),
        Err(error) => error.message,
    }
}

fn inline(text: &str) -> Option<Source> {
    Some(Source::Inline(text.into()))
}

fn file(path: &str) -> Option<Source> {
    Some(Source::File(path.into()))
}

fn bearer(credentials: Option<Source>) -> Option<Authorization> {
    Some(Authorization::Credentials { kind: "Bearer".to_owned(), credentials })
}

#[test]
fn nothing_written_is_the_default() {
    for text in
        ["", "{follow_redirects: true, enable_http2: yes}", "basic_auth:\ntls_config:\noauth2: ~"]
    {
        assert_eq!(accepted(text), Config::default(), "{text}");
    }
    let config = accepted("{follow_redirects: off, enable_http2: false}");
    assert!(!config.follow_redirects && !config.enable_http2);
}

#[test]
fn each_way_to_say_who_we_are() {
    let basic = |username, password| Some(Authorization::Basic { username, password });
    for (text, expected) in [
        ("basic_auth: {}", basic(None, None)),
        ("basic_auth: {username: 007, password: x y}", basic(inline("007"), inline("x y"))),
        (
            "basic_auth: {username_file: u, password_file: ../p}",
            basic(file("/etc/sigyn/u"), file("/etc/p")),
        ),
        (
            "basic_auth: {username_ref: a, password_ref: b}",
            basic(Some(Source::Reference("a".into())), Some(Source::Reference("b".into()))),
        ),
        ("authorization: {}", bearer(None)),
        ("authorization: {credentials: x}", bearer(inline("x"))),
        ("bearer_token: x", bearer(inline("x"))),
        ("bearer_token_file: /x", bearer(file("/x"))),
        ("{bearer_token: '', bearer_token_file: ''}", None),
        (
            "authorization: {type: ' Custom ', credentials_file: x}",
            Some(Authorization::Credentials {
                kind: "Custom".to_owned(),
                credentials: file("/etc/sigyn/x"),
            }),
        ),
    ] {
        assert_eq!(accepted(text).authorization, expected, "{text}");
    }
}

#[test]
fn tokens_for_a_secret_or_for_a_statement() {
    let config = accepted(
        "
oauth2:
  client_id: me
  client_secret_file: secret
  token_url: http://127.0.0.1/token
  scopes: [a, 8]
  endpoint_params: {x: 1, y: ~}
  tls_config: {ca_file: ca.pem}
",
    );
    let Some(Authorization::OAuth2(oauth2)) = config.authorization else { panic!("{config:?}") };
    assert_eq!(oauth2.grant, Grant::ClientCredentials { secret: file("/etc/sigyn/secret") });
    assert_eq!(oauth2.scopes, ["a", "8"]);
    let params = [("x", "1"), ("y", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(oauth2.endpoint_params, BTreeMap::from(params));
    assert_eq!(oauth2.tls.ca, file("/etc/sigyn/ca.pem"));

    let jwt = |more: &str| {
        let text = format!(
            "oauth2: {{grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_id: me, \
             token_url: http://127.0.0.1/token, client_certificate_key: k{more}}}"
        );
        match accepted(&text).authorization {
            Some(Authorization::OAuth2(oauth2)) => oauth2.grant,
            other => panic!("{other:?}"),
        }
    };
    let grant = Grant::JwtBearer {
        key: inline("k"),
        key_id: String::new(),
        algorithm: SignatureAlgorithm::Rs256,
        issuer: "me".to_owned(),
        audience: "http://127.0.0.1/token".to_owned(),
        claims: BTreeMap::new(),
    };
    assert_eq!(jwt(""), grant);
    let more = ", client_certificate_key_id: 7, signature_algorithm: RS512, iss: i, audience: a, \
        claims: {n: 1, b: true, s: x, l: [1, z]}";
    let claims = [("n", json!(1)), ("b", json!(true)), ("s", json!("x")), ("l", json!([1, "z"]))];
    let grant = Grant::JwtBearer {
        key: inline("k"),
        key_id: "7".to_owned(),
        algorithm: SignatureAlgorithm::Rs512,
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        claims: claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    assert_eq!(jwt(more), grant);
}

#[test]
fn certificates_and_versions() {
    let tls = accepted(
        "tls_config: {ca: A, cert_file: c.pem, key_file: /k.pem, server_name: x, \
         insecure_skip_verify: true, min_version: TLS12, max_version: TLS13}",
    )
    .tls;
    let expected = Tls {
        ca: inline("A"),
        cert: file("/etc/sigyn/c.pem"),
        key: file("/k.pem"),
        server_name: "x".to_owned(),
        insecure_skip_verify: true,
        min_version: Some(TlsVersion::Tls12),
        max_version: Some(TlsVersion::Tls13),
    };
    assert_eq!(tls, expected);
    // That they make no sense together is said when they are to be used.
    accepted("tls_config: {min_version: TLS13, max_version: TLS10}");
}

#[test]
fn proxies_and_headers() {
    let config = accepted(
        "
proxy_url: http://me:pw@127.0.0.1:3128
no_proxy: 127.0.0.2
proxy_connect_header: {x-a: [1, b], X-Empty: ~}
http_headers:
  x-tenant: {files: [f], secrets: [s1, s2], values: [v]}
  X-None: ~
  X-Nothing: {}
  X-Empty: {values: []}
  cookie: {values: [a=b]}
",
    );
    assert_eq!(config.proxy.url, Some("http://me:pw@127.0.0.1:3128".into()));
    assert_eq!(config.proxy.no_proxy, "127.0.0.2");
    let header = |name: &str, plain: &[Option<Source>], secret: &[Option<Source>]| {
        let sources = |from: &[Option<Source>]| from.iter().flatten().cloned().collect();
        Header { name: name.to_owned(), plain: sources(plain), secret: sources(secret) }
    };
    assert_eq!(
        config.proxy.connect_headers,
        [header("X-Empty", &[], &[]), header("x-a", &[], &[inline("1"), inline("b")])]
    );
    let tenant = [inline("s1"), inline("s2"), file("/etc/sigyn/f")];
    assert_eq!(
        config.headers,
        [header("Cookie", &[inline("a=b")], &[]), header("X-Tenant", &[inline("v")], &tenant)]
    );
    assert!(accepted("proxy_from_environment: true").proxy.from_environment);
}

#[test]
fn what_is_refused_and_how() {
    let too_many = "at most one of basic_auth, oauth2 & authorization must be configured";
    let oauth2 = "client_id: a, token_url: 'http://b'";
    let jwt = "grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'";
    for (text, expected) in [
        (
            "tls_config: {ca: a, ca_file: b}",
            "at most one of ca, ca_file & ca_ref must be configured",
        ),
        (
            "tls_config: {cert_ref: a, cert_file: b}",
            "at most one of cert, cert_file & cert_ref must be configured",
        ),
        ("tls_config: {key: a, key_ref: b}", "at most one of key and key_file must be configured"),
        (
            "tls_config: {cert_file: a}",
            "exactly one of key or key_file must be configured when a client certificate is configured",
        ),
        (
            "tls_config: {key: a}",
            "exactly one of cert or cert_file must be configured when a client key is configured",
        ),
        ("tls_config: {min_version: TLS9}", "unknown TLS version: TLS9"),
        ("tls_config: {bogus: 1}", "field bogus not found in type config.plain"),
        (
            "oauth2: {tls_config: {key: a}}",
            "exactly one of cert or cert_file must be configured when a client key is configured",
        ),
        (
            &format!("oauth2: {{{oauth2}, client_secret: a, no_proxy: b}}"),
            "if no_proxy is configured, proxy_url must also be configured",
        ),
        (
            "{bearer_token: a, bearer_token_file: b}",
            "at most one of bearer_token & bearer_token_file must be configured",
        ),
        (
            "{basic_auth: {}, bearer_token: a}",
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        (
            "{oauth2: {}, bearer_token_file: a}",
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        (
            "basic_auth: {username: a, username_file: b}",
            "at most one of basic_auth username, username_file & username_ref must be configured",
        ),
        (
            "basic_auth: {password_file: a, password_ref: b}",
            "at most one of basic_auth password, password_file & password_ref must be configured",
        ),
        (
            "{authorization: {}, bearer_token: a}",
            "authorization is not compatible with bearer_token & bearer_token_file",
        ),
        (
            "authorization: {credentials: a, credentials_file: b}",
            "at most one of authorization credentials & credentials_file must be configured",
        ),
        (
            "authorization: {type: ' BaSiC'}",
            r#"authorization type cannot be set to "basic", use "basic_auth" instead"#,
        ),
        ("authorization: {bogus: 1}", "field bogus not found in type config.Authorization"),
        ("{authorization: {}, basic_auth: {}}", too_many),
        ("{authorization: {}, oauth2: {}}", too_many),
        ("{basic_auth: {}, oauth2: {}}", too_many),
        ("oauth2: {}", "oauth2 client_id must be configured"),
        ("oauth2: {client_id: a}", "oauth2 token_url must be configured"),
        (
            "oauth2: {client_id: a, client_secret: b, token_url: 'ftp://me:hidden@a/t'}",
            r#""ftp://a/t": unsupported protocol scheme "ftp""#,
        ),
        (
            "oauth2: {client_id: a, client_secret: b, token_url: 'http://127.0.0.1:port/tok'}",
            r#"parse "http://127.0.0.1:port/tok": invalid port ":port" after host"#,
        ),
        (
            &format!("oauth2: {{{oauth2}, client_secret: a, client_secret_file: b}}"),
            "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
        ),
        (
            &format!(
                "oauth2: {{{oauth2}, {jwt}, client_certificate_key: a, client_certificate_key_file: b}}"
            ),
            "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
        ),
        (
            &format!("oauth2: {{{oauth2}, {jwt}, signature_algorithm: HS256}}"),
            "valid signature algorithms are RS256, RS384 and RS512",
        ),
        (
            "proxy_connect_header: {a: [b]}",
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        ),
        (
            "{proxy_from_environment: true, proxy_url: a}",
            "if proxy_from_environment is configured, proxy_url must not be configured",
        ),
        (
            "{proxy_from_environment: true, no_proxy: a}",
            "if proxy_from_environment is configured, no_proxy must not be configured",
        ),
        ("no_proxy: a", "if no_proxy is configured, proxy_url must also be configured"),
        ("proxy_url: 'http://[::1'", r#"parse "http://[::1": missing ']' in host"#),
        ("proxy_url: 'http://me:pw@a:b'", r#"parse "a:b": invalid port ":b" after host"#),
        (
            "oauth2: {proxy_url: 'http://a b'}",
            r#"parse "http://a b": invalid character " " in host name"#,
        ),
        ("http_headers: {host: ~}", r#"setting header "Host" is not allowed"#),
        (
            "http_headers: {x-prometheus-scrape-timeout-seconds: {}}",
            r#"setting header "X-Prometheus-Scrape-Timeout-Seconds" is not allowed"#,
        ),
        ("http_headers: {a: {value: b}}", "field value not found in type config.Header"),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    // What looks much alike and passes.
    for text in [
        "http_headers: {X-Prometheus-A: {values: [b]}, Accept: {values: [b]}}",
        &format!("oauth2: {{{oauth2}, {jwt}, client_secret: a, client_secret_file: b}}"),
        &format!("oauth2: {{{oauth2}, grant_type: other, signature_algorithm: HS256}}"),
        "{proxy_url: a, no_proxy: b, proxy_connect_header: {c: [d]}}",
        "{basic_auth: ~, bearer_token: a}",
    ] {
        accepted(text);
    }
}

#[test]
fn no_secret_is_shown() {
    let text = "
basic_auth: {username: HIDDEN, password: HIDDEN}
authorization: {credentials: HIDDEN}
bearer_token: HIDDEN
oauth2: {client_secret: HIDDEN, client_certificate_key: HIDDEN}
tls_config: {key: HIDDEN}
proxy_url: http://a:HIDDEN@b
proxy_connect_header: {a: [HIDDEN]}
http_headers: {a: {secrets: [HIDDEN]}}
";
    let written = read(text).unwrap();
    let shown = format!("{written:?}").replace("username: \"HIDDEN\"", "username");
    assert!(!shown.contains("HIDDEN"), "{shown}");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("oauth2")) {
        let line = line.replace("key: HIDDEN", "key: HIDDEN, cert: b");
        let line =
            if line.starts_with("proxy_connect") { format!("proxy_url: x\n{line}") } else { line };
        let shown = format!("{:?}", accepted(&line));
        assert!(!shown.contains("HIDDEN"), "{shown}");
    }
}
