//! Who a target is told we are, where a redirect leads, and what nobody else may see.

mod proxies;
mod secured;
mod tokens;

use std::net::SocketAddr;
use std::path::Path;

use sigyn_discovery::config;
use sigyn_scrape::{Health, ScrapeJob, TargetStatus};

use crate::fake::{Asked, Reply, Scraper, Target, eventually, group, job, response};

/// The job `api` with these keys of the HTTP client; paths start at `dir`.
fn job_with(client: &str, dir: &Path) -> ScrapeJob {
    let text = format!("scrape_configs: [{{job_name: api, {client}}}]");
    let mut job = job("api");
    job.job.http = config::parse(&text, dir).unwrap().jobs[0].http.clone();
    job
}

fn scraper(job: ScrapeJob, address: SocketAddr) -> Scraper {
    Scraper::start(vec![job], [("api".to_owned(), group(&[address]))].into())
}

/// A good answer without spans.
fn empty() -> Reply {
    Reply::Keep(response("200 OK", &[("Content-Type", "application/json")], b"[]"))
}

fn to(location: &str) -> Reply {
    Reply::Keep(response("302 Found", &[("Location", location)], b""))
}

fn over_tls(mut job: ScrapeJob) -> ScrapeJob {
    job.job.scheme = "https".to_owned();
    job
}

async fn until(scraper: &Scraper, health: Health) -> TargetStatus {
    scraper.target("the health", |target| target.health == health).await
}

/// Waits until the target is down with this error.
async fn down(scraper: &Scraper, error: &str) {
    let is_down = |target: &TargetStatus| {
        target.health == Health::Down && target.last_error.as_deref() == Some(error)
    };
    scraper.target(error, is_down).await;
}

async fn first(target: &Target) -> Asked {
    eventually("a request", || target.asked().first().cloned()).await
}

#[tokio::test]
async fn each_way_to_say_who_we_are() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("name"), "Aladdin\n").unwrap();
    std::fs::write(dir.path().join("secret"), "open sesame\n").unwrap();
    for (client, header, expected) in [
        ("", "authorization", None),
        (
            "basic_auth: {username: Aladdin, password: open sesame}",
            "authorization",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ),
        (
            "basic_auth: {username_file: name, password_file: secret}",
            "authorization",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ),
        ("basic_auth: {}", "authorization", Some("Basic Og==")),
        ("bearer_token: t", "authorization", Some("Bearer t")),
        ("bearer_token_file: secret", "authorization", Some("Bearer open sesame")),
        ("authorization: {credentials: t}", "authorization", Some("Bearer t")),
        ("authorization: {type: Own, credentials: t}", "authorization", Some("Own t")),
        ("http_headers: {x-tenant: {values: [a]}}", "x-tenant", Some("a")),
        ("http_headers: {x-tenant: {files: [secret]}}", "x-tenant", Some("open sesame")),
    ] {
        let target = Target::scripted(vec![empty()]).await;
        let scraper = scraper(job_with(client, dir.path()), target.address);
        assert_eq!(first(&target).await.header(header), expected, "{client}");
        until(&scraper, Health::Up).await;
        scraper.stop().await;
    }
}

#[tokio::test]
async fn a_secret_is_read_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "one").unwrap();
    let target = Target::scripted(vec![empty()]).await;
    let scraper = scraper(job_with("bearer_token_file: token", dir.path()), target.address);
    let shown = |token: &str| {
        let token = format!("Bearer {token}");
        let last = target.asked().last().cloned();
        last.is_some_and(|asked| asked.header("authorization") == Some(token.as_str()))
            .then_some(())
    };
    eventually("the token", || shown("one")).await;
    std::fs::write(&path, "two").unwrap();
    eventually("the new token", || shown("two")).await;

    std::fs::remove_file(&path).unwrap();
    let status = until(&scraper, Health::Down).await;
    let expected = format!(
        "unable to read authorization credentials: unable to read file {}: \
         No such file or directory (os error 2)",
        path.display()
    );
    assert_eq!(status.last_error, Some(expected));
    std::fs::write(&path, "three").unwrap();
    eventually("the newest token", || shown("three")).await;
    until(&scraper, Health::Up).await;
    scraper.stop().await;
}

#[tokio::test]
async fn what_can_never_be_had_keeps_a_target_down() {
    let target = Target::scripted(vec![empty()]).await;
    let job = job_with("authorization: {credentials_ref: vault}", Path::new("/"));
    let scraper = scraper(job, target.address);
    let status = until(&scraper, Health::Down).await;
    let expected = "unable to use credentials: cannot use secret ref without manager";
    assert_eq!(status.last_error.as_deref(), Some(expected));
    assert!(target.asked().is_empty());
    scraper.stop().await;
}

const WITH_SECRETS: &str = "authorization: {credentials: hidden}, \
    http_headers: {cookie: {values: [hidden]}, x-tenant: {values: [a], secrets: [hidden]}, \
    x-nomad-token: {secrets: [hidden]}}";

#[tokio::test]
async fn a_redirect_to_another_port_shows_who_we_are() {
    let there = Target::scripted(vec![empty()]).await;
    let here = Target::scripted(vec![to(&format!("http://{}/spans?a=b", there.address))]).await;
    let scraper = scraper(job_with(WITH_SECRETS, Path::new("/")), here.address);
    until(&scraper, Health::Up).await;
    let asked = first(&there).await;
    assert_eq!(asked.line, "GET /spans?a=b HTTP/1.1");
    assert_eq!(asked.header("authorization"), Some("Bearer hidden"));
    assert_eq!(asked.header("host"), Some(there.address.to_string().as_str()));
    scraper.stop().await;
}

#[tokio::test]
async fn a_redirect_to_another_host_hides_who_we_are_for_good() {
    let last = Target::scripted(vec![empty()]).await;
    let back = format!("http://{}/", last.address);
    let there = Target::start_on("127.0.0.2", move |_| to(&back)).await;
    let here = Target::scripted(vec![to(&format!("http://{}/", there.address))]).await;
    let scraper = scraper(job_with(WITH_SECRETS, Path::new("/")), here.address);
    until(&scraper, Health::Up).await;
    assert_eq!(first(&here).await.header("authorization"), Some("Bearer hidden"));
    assert_eq!(first(&here).await.header("cookie"), Some("hidden"));
    assert_eq!(first(&here).await.header("x-nomad-token"), Some("hidden"));
    for target in [&there, &last] {
        let asked = target.asked();
        assert_eq!(asked[0].header("x-tenant"), Some("a"));
        assert!(!format!("{asked:?}").contains("hidden"), "{asked:?}");
    }
    scraper.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_where_the_job_says_so_or_for_ever() {
    let here = Target::start(|_| to("/")).await;
    let stays = scraper(job_with("follow_redirects: false", Path::new("/")), here.address);
    let status = until(&stays, Health::Down).await;
    assert_eq!(status.last_error.as_deref(), Some("server returned HTTP status 302 Found"));
    let asked = here.asked();
    assert!(asked.iter().all(|asked| asked.line.starts_with("GET /traces?")), "{asked:?}");
    stays.stop().await;

    let here = Target::start(|_| to("/")).await;
    let follows = scraper(job("api"), here.address);
    let status = until(&follows, Health::Down).await;
    assert_eq!(status.last_error.as_deref(), Some("stopped after 10 redirects"));
    follows.stop().await;
    let asked = here.asked();
    let of_a_scrape: Vec<_> =
        asked.split(|asked| asked.line.starts_with("GET /traces?")).map(<[_]>::len).collect();
    assert_eq!(of_a_scrape[..2], [0, 9], "nothing before the first, and ten requests in all");
}
