//! `--web.config.file`: who gets in at which door, and what changes without a restart.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use rcgen::{BasicConstraints, IsCa, SanType};

use crate::http::{self, Answer};
use crate::program::{Tracer, command, until};
use crate::tls::{self, Authority, Identity};

/// A tracer whose file of this kind says `text`, with the doors for OTLP open.
fn tracer(folder: &Path, text: &str) -> Tracer {
    fs::write(folder.join("web.yml"), text).unwrap();
    let flags = [
        "--web.config.file=web.yml",
        "--otlp.grpc.listen-address=127.0.0.1:0",
        "--otlp.http.listen-address=127.0.0.1:0",
    ];
    Tracer::start_with(folder, &flags)
}

/// Every address that it listens on.
fn addresses(tracer: &Tracer) -> Vec<SocketAddr> {
    let others: Vec<SocketAddr> = until("all addresses are told", || {
        let log = tracer.log();
        let lines = log.lines().filter(|line| line.contains("taking spans"));
        let found: Vec<_> =
            lines.map(|line| line.rsplit_once("address=").unwrap().1.parse().unwrap()).collect();
        (found.len() == 2).then_some(found)
    });
    [tracer.address].into_iter().chain(others).collect()
}

fn hashed(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

const ANN: (&str, &str) = ("authorization", "Basic YW5uOnNlY3JldA==");
const BOB: (&str, &str) = ("authorization", "Basic Ym9iOnNlY3JldA==");

fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    http::request(address, "GET", path, headers, b"")
}

#[test]
fn users_have_passwords_at_every_door() {
    let folder = tempfile::tempdir().unwrap();
    let users = |name: &str| {
        format!(
            "http_server_config:\n  headers: {{X-Frame-Options: deny}}\nbasic_auth_users:\n  {name}: {}\n",
            hashed("secret")
        )
    };
    let tracer = tracer(folder.path(), &users("ann"));
    let addresses = addresses(&tracer);
    for address in &addresses {
        for path in ["/", "/-/healthy", "/metrics", "/api/v1/targets", "/api/v2/spans", "/no"] {
            for headers in [&[][..], &[BOB], &[("authorization", "Bearer x")]] {
                let answer = ask(*address, path, headers);
                assert_eq!((answer.status, answer.text().as_str()), (401, "Unauthorized\n"));
                assert_eq!(answer.header("www-authenticate"), Some("Basic"));
                assert_eq!(answer.header("x-frame-options"), Some("deny"));
            }
            let status = ask(*address, path, &[ANN]).status;
            assert_ne!(status, 401, "{address} {path}");
        }
    }
    let answer = ask(tracer.address, "/-/healthy", &[ANN]);
    assert_eq!((answer.status, answer.header("x-frame-options")), (200, Some("deny")));
    // A body that nobody wants does not hide the answer.
    let spans = vec![b' '; 1 << 20];
    let answer = http::request(tracer.address, "POST", "/api/v2/spans", &[], &spans);
    assert_eq!(answer.status, 401);
    let grpc = http::request(addresses[1], "POST", "/a.B/C", &[], b"");
    assert_eq!(grpc.status, 401);
    assert!(!tracer.log().contains("no authentication is configured"), "{}", tracer.log());

    fs::write(folder.path().join("web.yml"), users("bob")).unwrap();
    assert_eq!(ask(tracer.address, "/-/healthy", &[ANN]).status, 401);
    assert_eq!(ask(tracer.address, "/-/healthy", &[BOB]).status, 200);

    fs::write(folder.path().join("web.yml"), "bogus: 1").unwrap();
    let answer = ask(tracer.address, "/-/healthy", &[BOB]);
    assert_eq!((answer.status, answer.text().as_str()), (500, "Internal Server Error\n"));
    assert!(!answer.text().contains("bogus"));
    until("it is told", || tracer.log().contains("field bogus not found").then_some(()));

    fs::write(folder.path().join("web.yml"), "").unwrap();
    assert_eq!(tracer.get("/-/healthy").status, 200);
    let refused = |reason: &str| {
        tracer.metric("sigyn_web_requests_refused_total", &format!("reason=\"{reason}\""))
    };
    assert_eq!(refused("configuration"), Some(1.0));
    assert_eq!(refused("unauthorized"), Some(f64::from(3 * 6 * 3 + 2 + 1)));
    assert_eq!(refused("rate_limit"), Some(0.0));
}

#[test]
fn requests_are_limited_whoever_sends_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "rate_limit: {{burst: 3, interval: 1h}}\nbasic_auth_users: {{ann: {}}}\n",
        hashed("secret")
    );
    let tracer = tracer(folder.path(), &text);
    let statuses: Vec<u16> = addresses(&tracer)
        .into_iter()
        .chain([tracer.address])
        .map(|address| ask(address, "/-/healthy", &[]).status)
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429]);
    let answer = ask(tracer.address, "/-/healthy", &[ANN]);
    assert_eq!((answer.status, answer.text().as_str()), (429, "Too Many Requests\n"));
}

fn write(folder: &Path, name: &str, identity: &Identity) {
    // The key first: a certificate without its key is told, and told to be mended.
    fs::write(folder.join(format!("{name}.key")), &identity.key).unwrap();
    fs::write(folder.join(format!("{name}.pem")), &identity.cert).unwrap();
}

const TLS: &str = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";

#[test]
fn every_door_speaks_tls_and_certificates_may_be_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    write(folder.path(), "server", &old.signs("127.0.0.1"));
    let tracer = tracer(folder.path(), TLS);
    let (believes_old, believes_new) = (tls::client(&old, None, &[]), tls::client(&new, None, &[]));
    for address in addresses(&tracer) {
        let answer = tls::get(address, &believes_old, "/api/v1/status/buildinfo").unwrap();
        assert_eq!(answer.status, if address == tracer.address { 200 } else { 404 });
        let both = tls::client(&old, None, &["h2", "http/1.1"]);
        let (protocol, status) = tls::http2(address, &both, "/-/healthy");
        assert_eq!((protocol.as_str(), status != 0), ("h2", true));
        // Whoever has forgotten the s is told.
        let answer = http::get(address, "/");
        let told = "Client sent an HTTP request to an HTTPS server.\n";
        assert_eq!((answer.status, answer.text().as_str()), (400, told));
    }

    // A connection that was there goes on; the next one sees the new certificate.
    let mut before = tls::connect(tracer.address, &believes_old).unwrap();
    let mut is_well = || {
        before.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"Sigyn is Healthy.\n") {
            before.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        answer.starts_with(b"HTTP/1.1 200")
    };
    assert!(is_well());
    write(folder.path(), "server", &new.signs("127.0.0.1"));
    assert!(tls::get(tracer.address, &believes_old, "/-/healthy").is_err());
    assert_eq!(tls::get(tracer.address, &believes_new, "/-/healthy").unwrap().status, 200);
    assert!(is_well());

    // A key that is another certificate's is told, and does not end the program.
    fs::write(folder.path().join("server.key"), old.signs("127.0.0.1").key).unwrap();
    assert!(tls::get(tracer.address, &believes_new, "/-/healthy").is_err());
    let told = "private key does not match public key";
    until("it is told", || tracer.log().contains(told).then_some(()));
    write(folder.path(), "server", &new.signs("127.0.0.1"));
    let answer = tls::get(tracer.address, &believes_new, "/-/healthy").unwrap();
    assert_eq!(answer.status, 200);
    // To turn TLS off takes a restart, and until then nothing is said in the open.
    fs::write(folder.path().join("web.yml"), "").unwrap();
    assert!(tls::get(tracer.address, &believes_new, "/-/healthy").is_err());
    assert_eq!(http::get(tracer.address, "/-/healthy").status, 400);
    assert!(!tracer.log().contains("PRIVATE"), "{}", tracer.log());
}

#[test]
fn http2_can_be_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    write(folder.path(), "server", &authority.signs("127.0.0.1"));
    let tracer = tracer(folder.path(), &format!("{TLS}http_server_config: {{http2: false}}\n"));
    let both = tls::client(&authority, None, &["h2", "http/1.1"]);
    let mut stream = tls::connect(tracer.address, &both).unwrap();
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Whoever speaks it all the same is not answered.
    let mut stream = tls::connect(tracer.address, &both).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}

#[test]
fn clients_show_certificates_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    write(folder.path(), "server", &ours.signs("127.0.0.1"));
    let own = self_signed_pair();
    let pem = ours.pem() + &own[0].cert + &own[1].cert;
    fs::write(folder.path().join("ca.pem"), pem).unwrap();
    let tracer = tracer(folder.path(), TLS);

    let names = ["dns:ann.test", "mail:ann@a.test", "ip:127.0.0.9", "uri:spiffe://a.test/ann"];
    let named = |name: &str| match name.split_once(':').unwrap() {
        ("dns", name) => SanType::DnsName(name.try_into().unwrap()),
        ("mail", name) => SanType::Rfc822Name(name.try_into().unwrap()),
        ("ip", name) => SanType::IpAddress(name.parse().unwrap()),
        (_, name) => SanType::URI(name.try_into().unwrap()),
    };
    let good = ours.signs_names(names.map(named).into());
    let bad = theirs.signs("ann.test");
    let other = ours.signs("eve.test");
    let comes_in = |identity: Option<&Identity>| {
        let client = tls::client(&ours, identity, &[]);
        tls::get(tracer.address, &client, "/-/healthy").is_ok_and(|answer| answer.status == 200)
    };
    // Nobody; who is vouched for; who is not; another one who is vouched for.
    let check = |keys: &str, expected: [bool; 4]| {
        let text = TLS.replace('}', &format!(", {keys}}}"));
        fs::write(folder.path().join("web.yml"), text).unwrap();
        let found = [None, Some(&good), Some(&bad), Some(&other)].map(comes_in);
        assert_eq!(found, expected, "{keys}: {}", tracer.log());
    };
    let ca = "client_ca_file: ca.pem, client_auth_type";
    check("client_auth_type: NoClientCert", [true, true, true, true]);
    check("client_auth_type: RequestClientCert", [true, true, true, true]);
    check("client_auth_type: RequireAnyClientCert", [false, true, true, true]);
    check("client_auth_type: RequireClientCert", [false, true, true, true]);
    check(&format!("{ca}: VerifyClientCertIfGiven"), [true, true, false, true]);
    check(&format!("{ca}: RequireAndVerifyClientCert"), [false, true, false, true]);
    // Without an authority those of the system count, and they know none of these.
    check("client_auth_type: RequireAndVerifyClientCert", [false, false, false, false]);
    for name in names {
        let (_, name) = name.split_once(':').unwrap();
        let keys = format!("{ca}: RequireAndVerifyClientCert, client_allowed_sans: ['{name}', x]");
        check(&keys, [false, true, false, false]);
    }
    let any = "client_auth_type: RequireAnyClientCert, client_allowed_sans: [ann.test]";
    check(any, [false, true, true, false]);
    check(&format!("{ca}: RequireAndVerifyClientCert, client_allowed_sans: [x]"), [false; 4]);
    check(&format!("{ca}: RequireAndVerifyClientCert"), [false, true, false, true]);
    // Their own authorities, which Go takes for theirs where they are named.
    assert!(own.iter().all(|identity| comes_in(Some(identity))));
    let failed = handshakes_failed(&tracer, &tls::client(&ours, Some(&good), &[]));
    assert!(failed > 10.0, "{failed}");
}

/// How many handshakes failed, asked over TLS.
fn handshakes_failed(tracer: &Tracer, client: &std::sync::Arc<rustls::ClientConfig>) -> f64 {
    let text = tls::get(tracer.address, client, "/prometheus").unwrap().text();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("sigyn_web_tls_handshakes_failed_total{} "));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

fn self_signed_pair() -> [Identity; 2] {
    [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)]
        .map(|is_ca| tls::self_signed("self.test", is_ca))
}

#[test]
fn our_own_programs_speak_tls_and_have_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    write(folder.path(), "server", &authority.signs("127.0.0.1"));
    fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let client = "basic_auth: {username: ann, password: secret}\ntls_config: {ca_file: ca.pem}\n";
    fs::write(folder.path().join("client.yml"), client).unwrap();
    let users = format!("basic_auth_users: {{ann: {}}}\n", hashed("secret"));
    let tracer = tracer(folder.path(), &(TLS.to_owned() + &users));
    let server = format!("https://{}", tracer.address);
    let run = |args: &[&str]| {
        let output = command().args(args).current_dir(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), output.stdout)
    };
    let known = "--http.config.file=client.yml";
    let spans = br#"[{"traceId":"a","id":"1","localEndpoint":{"serviceName":"shop"}}]"#;
    fs::write(folder.path().join("spans.json"), spans).unwrap();
    let (code, told, _) = run(&["import", "spans.json", "--to", &server, known]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told, answer) = run(&["query", "services", "--server", &server, known]);
    assert_eq!((code, answer.as_slice()), (Some(0), &b"shop\n"[..]), "{told}");
    let (code, told, _) = run(&["check", "ready", &format!("--url={server}"), known]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told, _) = run(&["query", "services", "--server", &server]);
    assert_eq!(code, Some(1));
    assert!(told.contains("x509: certificate signed by unknown authority"), "{told}");
}

#[test]
fn a_file_that_cannot_be_used_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str, expected: &str| {
        fs::write(folder.path().join("web.yml"), text).unwrap();
        let mut start = command();
        start.args(["serve", "--web.config.file=web.yml", "--web.listen-address=127.0.0.1:0"]);
        start.args(["--otlp.grpc.listen-address=", "--otlp.http.listen-address="]);
        let output = start.current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("sigyn: --web.config.file=web.yml: {expected}\n");
        assert!(told.ends_with(&expected), "{told}");
    };
    check("bogus: 1", "line 1: field bogus not found in type web.Config (column 1)");
    check(
        "basic_auth_users: {ann: hunter2}",
        "crypto/bcrypt: hashedSecret too short to be a bcrypted password",
    );
    check(
        "tls_server_config: {cert_file: none.pem, key_file: none.key}",
        "failed to read cert_file (none.pem): No such file or directory (os error 2)",
    );
}

#[test]
fn files_are_checked_before_a_server_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yml"), "http_server_config: {http2: true}").unwrap();
    fs::write(folder.path().join("bad.yml"), "rate_limit: {interval: x}").unwrap();
    let check = |files: &[&str], status: i32, expected: &str| {
        let mut check = command();
        check.args(["check", "web-config"]).args(files).current_dir(folder.path());
        let output = check.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), told.as_str()), (Some(status), expected));
        assert!(output.stdout.is_empty());
    };
    check(&["good.yml"], 0, "good.yml SUCCESS\n");
    let bad = "bad.yml FAILED: line 1: time: invalid duration \"x\" (column 24)\n";
    check(&["good.yml", "bad.yml"], 1, &format!("good.yml SUCCESS\n{bad}"));
    let none = "none.yml FAILED: cannot read none.yml: No such file or directory (os error 2)\n";
    check(&["none.yml"], 1, none);
}
