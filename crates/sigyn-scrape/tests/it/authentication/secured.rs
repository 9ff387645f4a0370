//! Targets over TLS: whom to believe, who we are, and what is said where it fails.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use sigyn_scrape::{Health, ScrapeJob};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion, version::TLS12, version::TLS13,
};

use super::{down, empty, first, over_tls, scraper, to, until};
use crate::fake::{Scraper, Target, eventually, response};

/// A certificate and its key, in PEM and as a server takes them.
struct Identity {
    chain: Vec<rcgen::Certificate>,
    key: String,
}

impl Identity {
    fn pem(&self) -> String {
        self.chain.iter().map(rcgen::Certificate::pem).collect()
    }

    /// A server that shows it, and asks for certificates that one of `clients` has signed.
    fn server(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        clients: &[&Authority],
    ) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        let builder = if clients.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for client in clients {
                roots.add(client.0.der().clone()).unwrap();
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        };
        let chain = self.chain.iter().map(|certificate| certificate.der().clone()).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        builder.with_single_cert(chain, key).unwrap()
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn signs(&self, name: &str, not_after: i32) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(not_after, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { chain: vec![certificate], key: key.serialize_pem() }
    }
}

/// Waits until the target is up, or is down with this error.
async fn expect(scraper: &Scraper, expected: Result<(), &str>) {
    match expected {
        Ok(()) => drop(until(scraper, Health::Up).await),
        Err(error) => down(scraper, error).await,
    }
}

/// The job `api` over TLS with these keys.
fn job_with(keys: &str, dir: &Path) -> ScrapeJob {
    over_tls(super::job_with(keys, dir))
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
const OLD: &[&SupportedProtocolVersion] = &[&TLS12];

#[tokio::test]
async fn whom_to_believe_and_in_which_version() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let authority = Authority::new("ours");
    write("ca.pem", &authority.0.pem());
    write("other.pem", &Authority::new("other").0.pem());
    write("garbage.pem", "garbage");
    let inline = format!("tls_config: {{ca: {:?}}}", authority.0.pem());

    let good = authority.signs("127.0.0.1", 2999);
    let named = authority.signs("other.test", 2999);
    let expired = authority.signs("127.0.0.1", 2001);
    let unknown = "the certificate is not signed by a known authority \
        (x509: certificate signed by unknown authority)";
    let at = |name: &str| dir.path().join(name).display().to_string();
    let unreadable = format!(
        "unable to read CA cert: unable to read file {}: No such file or directory (os error 2)",
        at("none.pem")
    );
    let unusable = format!("unable to use specified CA cert file {}", at("garbage.pem"));

    for (keys, server, versions, expected) in [
        ("tls_config: {ca_file: ca.pem}", &good, BOTH, Ok(())),
        (inline.as_str(), &good, BOTH, Ok(())),
        ("tls_config: {insecure_skip_verify: true}", &expired, BOTH, Ok(())),
        ("tls_config: {ca_file: ca.pem, server_name: other.test}", &named, BOTH, Ok(())),
        ("", &good, BOTH, Err(unknown)),
        ("tls_config: {ca_file: other.pem}", &good, BOTH, Err(unknown)),
        (
            "tls_config: {ca_file: ca.pem}",
            &named,
            BOTH,
            Err("the certificate is for other names \
                (x509: certificate is valid for other.test, not 127.0.0.1)"),
        ),
        (
            "tls_config: {ca_file: ca.pem}",
            &expired,
            BOTH,
            Err("the certificate has expired (x509: certificate has expired or is not yet valid)"),
        ),
        ("tls_config: {ca_file: none.pem}", &good, BOTH, Err(unreadable.as_str())),
        ("tls_config: {ca_file: garbage.pem}", &good, BOTH, Err(unusable.as_str())),
        ("tls_config: {ca_file: ca.pem, min_version: TLS10}", &good, OLD, Ok(())),
        ("tls_config: {ca_file: ca.pem, max_version: TLS12}", &good, BOTH, Ok(())),
        (
            "tls_config: {ca_file: ca.pem, min_version: TLS13}",
            &good,
            OLD,
            Err("the server speaks none of the versions that it may \
                (remote error: tls: protocol version not supported)"),
        ),
        (
            "tls_config: {min_version: TLS13, max_version: TLS12}",
            &good,
            BOTH,
            Err("tls_config.max_version must be greater than or equal to \
                tls_config.min_version if both are specified"),
        ),
    ] {
        let target = Target::secured(server.server(versions, &[]), |_| empty()).await;
        let scraper = scraper(job_with(keys, dir.path()), target.address);
        let failed = expected.err().map(|error| match error.split_once(' ') {
            Some(("the", _)) => format!("TLS with {} failed: {error}", target.address),
            _ => error.to_owned(),
        });
        expect(&scraper, failed.as_deref().map_or(Ok(()), Err)).await;
        assert_eq!(target.asked().is_empty(), expected.is_err(), "{keys}");
        scraper.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_vouches_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.self_signed(&key).unwrap()];
        let identity = Identity { chain, key: key.serialize_pem() };
        std::fs::write(dir.path().join("server.pem"), identity.pem()).unwrap();
        let target = Target::secured(identity.server(BOTH, &[]), |_| empty()).await;
        let job = job_with("tls_config: {ca_file: server.pem}", dir.path());
        let scraper = scraper(job, target.address);
        expect(&scraper, Ok(())).await;
        scraper.stop().await;
    }
}

#[tokio::test]
async fn our_own_certificate_is_shown_and_may_be_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    write("ca.pem", &ours.0.pem());
    let write_identity = |identity: &Identity| {
        write("me.pem", &identity.pem());
        write("me.key", &identity.key);
    };
    let server = ours.signs("127.0.0.1", 2999).server(BOTH, &[&ours]);
    let target = Target::secured(server, |_| empty()).await;
    let failed = |why: &str| format!("TLS with {} failed: {why}", target.address);

    let without = scraper(job_with("tls_config: {ca_file: ca.pem}", dir.path()), target.address);
    let why = "the server asks for a client certificate (remote error: tls: certificate required)";
    expect(&without, Err(&failed(why))).await;
    without.stop().await;
    assert!(target.asked().is_empty());

    write_identity(&theirs.signs("stranger", 2999));
    let keys = "tls_config: {ca_file: ca.pem, cert_file: me.pem, key_file: me.key}";
    let scraper = scraper(job_with(keys, dir.path()), target.address);
    let why = "the server does not know who has signed our certificate \
        (remote error: tls: unknown certificate authority)";
    expect(&scraper, Err(&failed(why))).await;
    assert!(target.asked().is_empty());

    for name in ["first", "second"] {
        let identity = ours.signs(name, 2999);
        write_identity(&identity);
        let der = identity.chain[0].der().to_vec();
        let shown = || target.asked().iter().any(|asked| asked.certificate.as_ref() == Some(&der));
        eventually(name, || shown().then_some(())).await;
    }
    expect(&scraper, Ok(())).await;

    // Half of a renewal is a failure, and no reason to forget what works.
    write("me.key", &ours.signs("third", 2999).key);
    let at = |name: &str| dir.path().join(name).display().to_string();
    let expected = format!(
        "unable to use specified client cert (file {}) & key (file {}): \
         tls: private key does not match public key",
        at("me.pem"),
        at("me.key"),
    );
    expect(&scraper, Err(&expected)).await;
    write_identity(&ours.signs("fourth", 2999));
    expect(&scraper, Ok(())).await;
    scraper.stop().await;
}

#[tokio::test]
async fn authorities_may_change_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    std::fs::write(&path, old.0.pem()).unwrap();
    let server = new.signs("127.0.0.1", 2999).server(BOTH, &[]);
    let target = Target::secured(server, |_| empty()).await;
    let job = job_with("tls_config: {ca_file: ca.pem}", dir.path());
    let scraper = scraper(job, target.address);
    let unknown = format!(
        "TLS with {} failed: the certificate is not signed by a known authority \
         (x509: certificate signed by unknown authority)",
        target.address
    );
    expect(&scraper, Err(&unknown)).await;
    std::fs::write(&path, new.0.pem()).unwrap();
    expect(&scraper, Ok(())).await;
    // Also a connection that is open is not used on.
    std::fs::write(&path, old.0.pem()).unwrap();
    expect(&scraper, Err(&unknown)).await;
    scraper.stop().await;
}

#[tokio::test]
async fn a_redirect_to_tls_shows_who_we_are() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    std::fs::write(dir.path().join("ca.pem"), authority.0.pem()).unwrap();
    let me = authority.signs("me", 2999);
    std::fs::write(dir.path().join("me.pem"), me.pem()).unwrap();
    std::fs::write(dir.path().join("me.key"), &me.key).unwrap();
    let server = authority.signs("127.0.0.1", 2999).server(BOTH, &[&authority]);
    let there = Target::secured(server, |_| empty()).await;
    let location = format!("https://{}/", there.address);
    let here = Target::start(move |_| to(&location)).await;
    let keys = "bearer_token: t, \
        tls_config: {ca_file: ca.pem, cert_file: me.pem, key_file: me.key}";
    let scraper = scraper(super::job_with(keys, dir.path()), here.address);
    expect(&scraper, Ok(())).await;
    let asked = first(&there).await;
    assert_eq!(asked.header("authorization"), Some("Bearer t"));
    assert_eq!(asked.certificate.as_deref(), Some(me.chain[0].der().as_ref()));
    scraper.stop().await;
}

#[tokio::test]
async fn servers_without_tls_or_without_a_word() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(&response("400 Bad Request", &[], b"")).await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    });
    let asks = scraper(job_with("", Path::new("/")), address);
    let error = format!(
        "TLS with {address} failed: the server does not speak it \
         (http: server gave HTTP response to HTTPS client)"
    );
    expect(&asks, Err(&error)).await;
    asks.stop().await;

    // Connections wait for somebody to accept them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asks = scraper(job_with("", Path::new("/")), silent.local_addr().unwrap());
    expect(&asks, Err("no whole answer within 100ms (context deadline exceeded)")).await;
    asks.stop().await;
}

/// A server that speaks HTTP/2 with whoever takes it, and answers with such bodies.
async fn http2_server<B>(
    authority: &Authority,
    answer: impl Fn(Version) -> B + Clone + Send + 'static,
) -> (SocketAddr, JoinSet<()>)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut tls = authority.signs("127.0.0.1", 2999).server(BOTH, &[]);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, answer) = (tls.clone(), answer.clone());
            connections.spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let stream = TokioIo::new(stream);
                let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let answer = http::Response::builder()
                        .header("content-type", "application/json")
                        .body(answer(request.version()));
                    std::future::ready(answer)
                });
                let _ = if is_http2 {
                    let http2 = http2::Builder::new(TokioExecutor::new());
                    http2.serve_connection(stream, answer).await
                } else {
                    http1::Builder::new().serve_connection(stream, answer).await
                };
            });
        }
    });
    (address, server)
}

#[tokio::test]
async fn http2_is_spoken_unless_the_job_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    std::fs::write(dir.path().join("ca.pem"), authority.0.pem()).unwrap();
    for (enable_http2, expected) in [(true, Version::HTTP_2), (false, Version::HTTP_11)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let (address, _server) = http2_server(&authority, move |version| {
            log.lock().unwrap().push(version);
            Full::new(Bytes::from_static(b"[]"))
        })
        .await;
        let keys = format!("enable_http2: {enable_http2}, tls_config: {{ca_file: ca.pem}}");
        let scraper = scraper(job_with(&keys, dir.path()), address);
        expect(&scraper, Ok(())).await;
        let seen = eventually("requests", || {
            let seen = seen.lock().unwrap();
            (seen.len() > 1).then(|| seen.clone())
        })
        .await;
        assert!(seen.iter().all(|version| *version == expected), "{seen:?}");
        scraper.stop().await;
    }
}

/// A list that ends in the middle if it is broken.
struct List {
    is_broken: bool,
    is_begun: bool,
}

impl Body for List {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let is_begun = std::mem::replace(&mut self.is_begun, true);
        Poll::Ready(match (is_begun, self.is_broken) {
            (false, true) => Some(Ok(Frame::data(Bytes::from_static(b"[")))),
            (false, false) => Some(Ok(Frame::data(Bytes::from_static(b"[]")))),
            (true, true) => Some(Err(std::io::Error::other("gone"))),
            (true, false) => None,
        })
    }
}

#[tokio::test]
async fn a_stream_of_http2_that_is_reset_fails_one_scrape() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    std::fs::write(dir.path().join("ca.pem"), authority.0.pem()).unwrap();
    let answers = Arc::new(AtomicUsize::new(0));
    let (address, _server) = http2_server(&authority, move |_| {
        let is_broken = answers.fetch_add(1, Ordering::Relaxed) == 0;
        List { is_broken, is_begun: false }
    })
    .await;
    let scraper = scraper(job_with("tls_config: {ca_file: ca.pem}", dir.path()), address);
    let status = until(&scraper, Health::Up).await;
    // The reset may overtake the head of the answer.
    let failures = status.failures;
    assert_eq!((failures.body_cut + failures.connect, failures.total()), (1, 1), "{failures:?}");
    scraper.stop().await;
}
