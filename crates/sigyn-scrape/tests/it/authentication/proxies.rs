//! Targets behind proxies of all kinds, and what each of them gets to see.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use sigyn_discovery::{Labels, TargetGroup};
use sigyn_scrape::{Health, ScrapeJob};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::{down, empty, first, job_with, over_tls, to, until};
use crate::fake::{Reply, Scraper, Target, response};

/// Whatever it is asked to connect to, it connects to `address`; the rest it answers itself.
fn proxy(address: SocketAddr) -> impl FnMut(&crate::fake::Asked) -> Reply {
    move |asked| {
        if asked.line.starts_with("CONNECT ") { Reply::Tunnel(address) } else { empty() }
    }
}

/// A server with a certificate that nobody knows.
fn secured() -> ServerConfig {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap()
}

fn scraper(job: ScrapeJob, address: &str) -> Scraper {
    let targets = vec![Labels::from_iter([("__address__", address)])];
    let group = TargetGroup { source: "test".to_owned(), labels: Labels::default(), targets };
    Scraper::start(vec![job], [("api".to_owned(), vec![Arc::new(group)])].into())
}

const ANYBODY: &str = "tls_config: {insecure_skip_verify: true}, bearer_token: mine";

#[tokio::test]
async fn a_proxy_is_given_the_whole_url() {
    let proxy = Target::start(|_| empty()).await;
    let keys = format!(
        "proxy_url: 'http://me:p%40ss@{}', proxy_connect_header: {{x-tunnel: [a]}}, bearer_token: t",
        proxy.address
    );
    let scraper = scraper(job_with(&keys, Path::new("/")), "a.test:8080");
    until(&scraper, Health::Up).await;
    let asked = first(&proxy).await;
    assert!(asked.line.starts_with("GET http://a.test:8080/traces?max_bytes="), "{}", asked.line);
    assert_eq!(asked.header("host"), Some("a.test:8080"));
    assert_eq!(asked.header("proxy-authorization"), Some("Basic bWU6cEBzcw=="));
    assert_eq!(asked.header("authorization"), Some("Bearer t"));
    assert_eq!(asked.header("x-tunnel"), None);
    scraper.stop().await;
}

#[tokio::test]
async fn who_we_are_is_shown_to_names_below_the_targets_and_to_no_others() {
    let proxy = Target::start(|asked| match asked.header("host") {
        Some("a.test") => to("http://b.a.test/x"),
        Some("b.a.test") => to("http://ba.test/x"),
        Some("ba.test") => to("http://a.test:81/x"),
        _ => empty(),
    })
    .await;
    let keys = format!("proxy_url: 'http://{}', bearer_token: t", proxy.address);
    let scraper = scraper(job_with(&keys, Path::new("/")), "a.test");
    until(&scraper, Health::Up).await;
    let shown: Vec<_> = proxy.asked()[..4]
        .iter()
        .map(|asked| {
            (asked.header("host").unwrap().to_owned(), asked.header("authorization").is_some())
        })
        .collect();
    let expected = [("a.test", true), ("b.a.test", true), ("ba.test", false), ("a.test:81", false)];
    assert_eq!(shown, expected.map(|(host, is_shown)| (host.to_owned(), is_shown)));
    scraper.stop().await;
}

#[tokio::test]
async fn a_proxy_opens_a_tunnel_and_sees_nothing_of_what_goes_through_it() {
    let target = Target::secured(secured(), |_| empty()).await;
    let plain = Target::start(proxy(target.address)).await;
    let over_tls_too = Target::secured(secured(), proxy(target.address)).await;
    for (scheme, proxy) in [("http", &plain), ("https", &over_tls_too)] {
        let keys = format!(
            "proxy_url: '{scheme}://me:secret@{}', \
             proxy_connect_header: {{x-tunnel: [a, b]}}, {ANYBODY}",
            proxy.address
        );
        let scraper = scraper(over_tls(job_with(&keys, Path::new("/"))), "a.test");
        until(&scraper, Health::Up).await;
        let asked = proxy.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(asked[0].line, "CONNECT a.test:443 HTTP/1.1");
        assert_eq!(asked[0].header("host"), Some("a.test:443"));
        assert_eq!(asked[0].header("proxy-authorization"), Some("Basic bWU6c2VjcmV0"));
        assert_eq!(asked[0].header("x-tunnel"), Some("b"), "the fake keeps the last of two");
        assert!(!format!("{asked:?}").contains("mine"), "{asked:?}");
        scraper.stop().await;
    }
    for asked in target.asked() {
        assert_eq!(asked.header("authorization"), Some("Bearer mine"));
        assert_eq!((asked.header("proxy-authorization"), asked.header("x-tunnel")), (None, None));
    }
}

#[tokio::test]
async fn with_exceptions_whoever_is_here_is_asked_without_a_proxy() {
    let proxy = Target::start(|_| empty()).await;
    let target = Target::start(|_| empty()).await;
    let address = target.address.to_string();
    let keys = format!("proxy_url: 'http://{}'", proxy.address);
    let scraper_of = |keys: &str| scraper(job_with(keys, Path::new("/")), &address);
    let without = scraper_of(&format!("{keys}, no_proxy: b.test"));
    until(&without, Health::Up).await;
    without.stop().await;
    assert!(proxy.asked().is_empty() && !target.asked().is_empty());
    let asked = target.asked().len();

    let with = scraper_of(&keys);
    until(&with, Health::Up).await;
    with.stop().await;
    assert!(!proxy.asked().is_empty());
    assert_eq!(target.asked().len(), asked);
}

#[tokio::test]
async fn proxies_that_do_not_want_to() {
    let proxy =
        Target::start(|_| Reply::Close(response("407 Proxy Authentication Required", &[], b"")))
            .await;
    let keys = format!("proxy_url: 'http://me:secret@{}'", proxy.address);
    let scraper_of = |keys: &str| scraper(over_tls(job_with(keys, Path::new("/"))), "a.test:9");
    let refused = scraper_of(&keys);
    let expected = format!(
        "no way to a.test:9 through the proxy {}: \
         the proxy answers HTTP status 407 Proxy Authentication Required",
        proxy.address
    );
    down(&refused, &expected).await;
    refused.stop().await;

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = scraper_of(&format!("proxy_url: 'http://me:secret@{nobody}'"));
    let expected = format!("cannot connect to {nobody}: connection refused");
    down(&gone, &expected).await;
    gone.stop().await;

    let odd = scraper_of("proxy_url: 'ftp://me:secret@127.0.0.1'");
    let expected =
        "proxy_url has the scheme \"ftp\", which is none of http, https, socks5 and socks5h";
    down(&odd, expected).await;
    odd.stop().await;
}

/// A SOCKS 5 proxy that wants name and password, connects to `address`, and says to whom it should
/// have, or refuses.
async fn socks(
    address: SocketAddr,
    refuses: bool,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve_socks(stream, address, refuses, Arc::clone(&log)));
        }
    });
    (own, asked, server)
}

/// A length and so many bytes.
async fn text(stream: &mut TcpStream) -> Option<String> {
    let length = stream.read_u8().await.ok()?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

async fn serve_socks(
    mut stream: TcpStream,
    address: SocketAddr,
    refuses: bool,
    log: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    stream.read_u8().await.ok()?;
    text(&mut stream).await?;
    stream.write_all(&[5, 2]).await.ok()?;
    stream.read_u8().await.ok()?;
    let (name, password) = (text(&mut stream).await?, text(&mut stream).await?);
    stream.write_all(&[1, 0]).await.ok()?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    assert_eq!(head, [5, 1, 0, 3], "to connect to a name");
    let host = text(&mut stream).await?;
    let port = stream.read_u16().await.ok()?;
    log.lock().unwrap().push(format!("{name}:{password}@{host}:{port}"));
    stream.write_all(&[5, u8::from(refuses), 0, 1, 127, 0, 0, 1, 0, 1]).await.ok()?;
    if !refuses {
        let mut other = TcpStream::connect(address).await.ok()?;
        tokio::io::copy_bidirectional(&mut stream, &mut other).await.ok()?;
    }
    Some(())
}

#[tokio::test]
async fn socks_is_spoken_and_names_are_the_proxys_to_resolve() {
    let plain = Target::start(|_| empty()).await;
    let secured = Target::secured(secured(), |_| empty()).await;
    for (scheme, target, expected) in
        [("socks5", &plain, "me:pass@a.test:80"), ("socks5h", &secured, "me:pass@a.test:443")]
    {
        let (address, asked, _server) = socks(target.address, false).await;
        let keys = format!("proxy_url: '{scheme}://me:pass@{address}', {ANYBODY}");
        let job = job_with(&keys, Path::new("/"));
        let is_secured = scheme == "socks5h";
        let job = if is_secured { over_tls(job) } else { job };
        let scraper = scraper(job, "a.test");
        until(&scraper, Health::Up).await;
        assert_eq!(asked.lock().unwrap()[0], expected);
        let seen = first(target).await;
        assert!(seen.line.starts_with("GET /traces?"), "{}", seen.line);
        assert_eq!(seen.header("authorization"), Some("Bearer mine"));
        scraper.stop().await;
    }
    let (address, _, _server) = socks(plain.address, true).await;
    let keys = format!("proxy_url: 'socks5://me:pass@{address}'");
    let scraper = scraper(job_with(&keys, Path::new("/")), "a.test");
    let error = "SOCKS error: general server failure";
    down(&scraper, &format!("no way to a.test through the proxy {address}: {error}")).await;
    scraper.stop().await;
}
