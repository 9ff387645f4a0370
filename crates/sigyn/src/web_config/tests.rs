//! Files, as exporter-toolkit takes and refuses them.

use std::fs;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

use super::*;

/// A folder with a certificate, its key, and what is none.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("cert.pem", &cert.pem());
    write("key.pem", &signing_key.serialize_pem());
    write("other.pem", &KeyPair::generate().unwrap().serialize_pem());
    write("garbage.pem", "garbage");
    folder
}

/// What is warned of, or why the file is refused. `DIR/` is the folder.
fn checked(folder: &tempfile::TempDir, text: &str) -> Result<Vec<String>, String> {
    let path = folder.path().join("web.yml");
    fs::write(&path, text).unwrap();
    let dir = format!("{}/", folder.path().display());
    super::check(&path).map_err(|error| chain(&error).replace(&dir, "DIR/"))
}

const TLS: &str = "tls_server_config: {cert_file: cert.pem, key_file: key.pem";

#[test]
fn files_that_are_taken() {
    let folder = folder();
    let check = |text: &str, warnings: &[&str]| {
        assert_eq!(checked(&folder, text), Ok(warnings.iter().map(|w| (*w).to_owned()).collect()));
    };
    let tls = |more: &str| format!("{TLS}{more}}}");
    check("", &[]);
    check("tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:", &[]);
    check(
        "tls_server_config: {client_allowed_sans: [a], cipher_suites: [], min_version: TLS13}",
        &[],
    );
    check(&tls(""), &[]);
    for auth in [
        "NoClientCert",
        "RequestClientCert",
        "RequireAnyClientCert",
        "RequireClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
    ] {
        check(&tls(&format!(", client_auth_type: {auth}")), &[]);
        if auth != "NoClientCert" {
            check(&tls(&format!(", client_auth_type: {auth}, client_ca_file: cert.pem")), &[]);
        }
    }
    check(&tls(", client_auth_type: RequireAnyClientCert, client_allowed_sans: [a]"), &[]);
    check(&tls(", min_version: TLS13, max_version: TLS13"), &[]);
    check(&tls(", min_version: TLS12, max_version: TLS12"), &[]);
    check(&tls(", prefer_server_cipher_suites: false"), &[]);
    check(&tls(", curve_preferences: [CurveP256, CurveP384, X25519]"), &[]);
    check(
        &tls(", curve_preferences: [CurveP521, X25519]"),
        &["curve_preferences: CurveP521 is not offered"],
    );
    check(&tls(", cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]"), &[]);
    // There are always those of TLS 1.3.
    check(
        &tls(", cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]"),
        &["cipher_suites: TLS_RSA_WITH_AES_128_CBC_SHA is not offered"],
    );
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(read);
    check(&format!("tls_server_config: {{cert: {cert:?}, key: {key:?}}}"), &[]);
    // What is in a file goes before what stands here.
    check(&tls(", cert: garbage, key: garbage"), &[]);
    check("http_server_config: {http2: false, headers: {X-Frame-Options: deny}}", &[]);
    check("rate_limit: {interval: 1.5s, burst: 20}", &[]);
    check("rate_limit: {interval: 0}", &[]);
    let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    check(&format!("basic_auth_users: {{ann: {hash}, 'b o b': {hash}}}"), &[]);
}

#[test]
fn files_that_are_refused() {
    let folder = folder();
    let check = |text: &str, expected: &str| {
        assert_eq!(checked(&folder, text), Err(expected.to_owned()), "{text}");
    };
    let tls = |more: &str| format!("{TLS}{more}}}");
    for (text, key, section, column) in [
        ("bogus: 1", "bogus", "Config", 1),
        ("tls_server_config: {ca: x}", "ca", "TLSConfig", 21),
        ("http_server_config: {http3: true}", "http3", "HTTPConfig", 22),
        ("rate_limit: {every: 1s}", "every", "RateLimiterConfig", 14),
    ] {
        let error =
            format!("line 1: field {key} not found in type web.{section} (column {column})");
        check(text, &error);
    }
    for only in ["key_file: key.pem", "client_auth_type: RequestClientCert", "client_ca: x"] {
        check(&format!("tls_server_config: {{{only}}}"), "missing one of cert or cert_file");
    }
    check("tls_server_config: {cert_file: cert.pem}", "missing one of key or key_file");
    let none = "No such file or directory (os error 2)";
    check(
        "tls_server_config: {cert_file: none.pem, key_file: key.pem}",
        &format!("failed to read cert_file (DIR/none.pem): {none}"),
    );
    check(
        "tls_server_config: {cert_file: cert.pem, key_file: none.pem}",
        &format!("failed to read key_file (DIR/none.pem): {none}"),
    );
    let pair = "failed to load X509KeyPair";
    check(
        "tls_server_config: {cert_file: garbage.pem, key_file: key.pem}",
        &format!("{pair}: there is no certificate in PEM"),
    );
    check(
        "tls_server_config: {cert_file: cert.pem, key_file: garbage.pem}",
        &format!("{pair}: there is no private key in PEM"),
    );
    check(
        "tls_server_config: {cert_file: cert.pem, key_file: other.pem}",
        &format!("{pair}: tls: private key does not match public key"),
    );
    check(&tls(", client_auth_type: Maybe"), "invalid ClientAuth: Maybe");
    let policy = "client CA's have been configured without a Client Auth Policy";
    check(&tls(", client_ca_file: cert.pem"), policy);
    check(&tls(", client_ca: x, client_auth_type: NoClientCert"), policy);
    let verified = ", client_auth_type: RequireAndVerifyClientCert";
    check(
        &tls(&format!("{verified}, client_ca_file: none.pem")),
        &format!("failed to read client_ca_file (DIR/none.pem): {none}"),
    );
    check(
        &tls(&format!("{verified}, client_ca_file: garbage.pem")),
        "there is no certificate in client_ca_file (DIR/garbage.pem)",
    );
    check(&tls(&format!("{verified}, client_ca: x")), "there is no certificate in client_ca");
    let names = "client_allowed_sans requires client_auth_type to be one of RequireAnyClientCert or RequireAndVerifyClientCert";
    for auth in ["NoClientCert", "RequestClientCert", "VerifyClientCertIfGiven"] {
        let text = format!(", client_auth_type: {auth}, client_allowed_sans: [a]");
        check(&tls(&text), names);
    }
    check(&tls(", cipher_suites: [TLS_BOGUS]"), "unknown cipher: TLS_BOGUS");
    check(&tls(", curve_preferences: [CurveP25519]"), "unknown curve: CurveP25519");
    check(
        &tls(", curve_preferences: [CurveP521]"),
        "none of curve_preferences is offered: leave it out, or name X25519",
    );
    check(
        &tls(", max_version: TLS12, cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]"),
        "none of cipher_suites is offered: leave it out, or name one with GCM or CHACHA20",
    );
    let place = format!("(column {})", tls(", min_version: TLS11").len() - 5);
    check(
        &tls(", min_version: TLS11"),
        &format!("line 1: TLS11 is not supported: use TLS12 or TLS13 {place}"),
    );
    check(&tls(", max_version: TLS19"), &format!("line 1: unknown TLS version: TLS19 {place}"));
    check(
        &tls(", min_version: TLS13, max_version: TLS12"),
        "max_version is older than min_version",
    );
    check(
        "http_server_config: {headers: {X-Custom: a}}",
        "HTTP header \"X-Custom\" can not be configured",
    );
    check(
        "basic_auth_users: {ann: secret}",
        "crypto/bcrypt: hashedSecret too short to be a bcrypted password",
    );
    check("rate_limit: {interval: soon}", "line 1: time: invalid duration \"soon\" (column 24)");
    check(
        "rate_limit: {burst: many}",
        "line 1: cannot unmarshal !!str `many` into int (column 21)",
    );
    let missing = super::check(&folder.path().join("none.yml")).unwrap_err();
    let expected = format!("cannot read {}/none.yml: {none}", folder.path().display());
    assert_eq!(chain(&missing), expected);
}

#[test]
fn secrets_are_not_shown() {
    let folder = folder();
    let path = folder.path().join("web.yml");
    let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    let key = fs::read_to_string(folder.path().join("key.pem")).unwrap();
    let text = format!(
        "tls_server_config: {{cert_file: cert.pem, key: {key:?}}}\nbasic_auth_users: {{ann: {hash}}}"
    );
    fs::write(&path, text).unwrap();
    let shown = format!("{:?}", WebConfig::open(&path, &mut Vec::new()).unwrap());
    assert!(!shown.contains(hash) && !shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn a_file_that_changes_is_read_again_and_one_that_breaks_is_told_once() {
    let folder = folder();
    let path = folder.path().join("web.yml");
    fs::write(&path, "").unwrap();
    let web = WebConfig::open(&path, &mut Vec::new()).unwrap();
    let first = web.current().unwrap();
    assert!(Arc::ptr_eq(&first, &web.current().unwrap()), "what has not changed is not parsed");
    assert!(!web.keeps_strangers_out());
    let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    fs::write(&path, format!("basic_auth_users: {{ann: {hash}}}")).unwrap();
    assert_eq!(web.current().unwrap().users.len(), 1);
    assert!(web.keeps_strangers_out());
    fs::write(&path, "bogus: 1").unwrap();
    assert!(web.current().is_err() && lock(&web.told.0).is_some());
    fs::remove_file(&path).unwrap();
    assert!(web.current().is_err());
    fs::write(&path, "").unwrap();
    assert!(web.current().is_ok() && lock(&web.told.0).is_none());
}
