//! Tokens that are asked for: when, with what, and who sees them.

use std::path::Path;

use sigyn_scrape::Health;

use super::{down, empty, first, job_with, scraper, to, until};
use crate::fake::{Asked, Reply, Target, eventually, response};

const KEY: &str = include_str!("../../../../sigyn-discovery/tests/data/rsa_pkcs8.pem");

fn json(status: &str, body: &str) -> Reply {
    Reply::Keep(response(status, &[("Content-Type", "application/json")], body.as_bytes()))
}

/// Tokens `t1`, `t2` and so on, which hold for so many seconds.
fn tokens(seconds: u64) -> impl FnMut(&Asked) -> Reply {
    let mut given = 0;
    move |_| {
        given += 1;
        json("200 OK", &format!(r#"{{"access_token":"t{given}","expires_in":{seconds}}}"#))
    }
}

fn oauth2(server: &Target, more: &str) -> String {
    format!("oauth2: {{client_id: me, token_url: 'http://{}/token', {more}}}", server.address)
}

/// Waits until the target is shown this token.
async fn shown(target: &Target, token: &str) {
    let header = format!("Bearer {token}");
    eventually(token, || {
        let last = target.asked().last().cloned();
        (last?.header("authorization") == Some(header.as_str())).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_is_asked_for_with_a_secret_and_used_for_as_long_as_it_holds() {
    let server = Target::start(tokens(3600)).await;
    let target = Target::start(|_| empty()).await;
    let more = "client_secret: 'p:w', scopes: [a, b], endpoint_params: {x: 'y z'}";
    let keys = format!("{}, http_headers: {{x-tenant: {{values: [a]}}}}", oauth2(&server, more));
    let scraper = scraper(job_with(&keys, Path::new("/")), target.address);
    eventually("three scrapes", || (target.asked().len() > 2).then_some(())).await;
    for asked in target.asked() {
        assert_eq!(asked.header("authorization"), Some("Bearer t1"));
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].line, "POST /token HTTP/1.1");
    assert_eq!(asked[0].body, "grant_type=client_credentials&scope=a+b&x=y+z");
    let basic = "Basic bWU6cCUzQXc=";
    assert_eq!(asked[0].header("authorization"), Some(basic), "me:p%3Aw");
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(asked[0].header("user-agent").unwrap().starts_with("Sigyn/"));
    assert_eq!(asked[0].header("x-tenant"), None);
    scraper.stop().await;
}

#[tokio::test]
async fn a_server_that_wants_the_secret_in_the_form_is_asked_so_from_then_on() {
    let mut give = tokens(1);
    let server = Target::start(move |asked| match asked.header("authorization") {
        Some(_) => json("401 Unauthorized", r#"{"error":"invalid_client"}"#),
        None => give(asked),
    })
    .await;
    let target = Target::start(|_| empty()).await;
    let keys = oauth2(&server, "client_secret: pw");
    let scraper = scraper(job_with(&keys, Path::new("/")), target.address);
    // Each of them ends at once.
    shown(&target, "t3").await;
    let asked = server.asked();
    assert!(asked[0].header("authorization").is_some());
    for asked in &asked[1..] {
        assert_eq!(asked.header("authorization"), None);
        let form = "grant_type=client_credentials&client_id=me&client_secret=pw";
        assert_eq!(asked.body, form);
    }
    scraper.stop().await;
}

#[tokio::test]
async fn a_token_is_asked_for_with_a_signed_statement() {
    let server = Target::start(tokens(3600)).await;
    let target = Target::start(|_| empty()).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key.pem"), KEY).unwrap();
    let more = "grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', scopes: [a], \
        client_certificate_key_file: key.pem";
    let scraper = scraper(job_with(&oauth2(&server, more), dir.path()), target.address);
    shown(&target, "t1").await;
    let asked = first(&server).await;
    assert_eq!(asked.header("authorization"), None);
    let (statement, rest) =
        asked.body.strip_prefix("assertion=").and_then(|rest| rest.split_once('&')).unwrap();
    assert_eq!(statement.split('.').count(), 3);
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=a";
    assert_eq!(rest, grant);
    scraper.stop().await;
}

#[tokio::test]
async fn another_secret_brings_another_token() {
    let server = Target::start(tokens(3600)).await;
    let target = Target::start(|_| empty()).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "one\n").unwrap();
    let keys = oauth2(&server, "client_secret_file: secret");
    let scraper = scraper(job_with(&keys, dir.path()), target.address);
    shown(&target, "t1").await;
    std::fs::write(&path, "two\n").unwrap();
    shown(&target, "t2").await;
    assert_eq!(server.asked()[1].header("authorization"), Some("Basic bWU6dHdv"));

    std::fs::remove_file(&path).unwrap();
    let expected = format!(
        "unable to read oauth2 client secret: unable to read file {}: \
         No such file or directory (os error 2)",
        path.display()
    );
    down(&scraper, &expected).await;
    std::fs::write(&path, "two").unwrap();
    until(&scraper, Health::Up).await;
    assert_eq!(server.asked().len(), 2);
    scraper.stop().await;
}

#[tokio::test]
async fn a_token_is_shown_to_no_stranger() {
    let server = Target::start(tokens(3600)).await;
    let last = Target::start(|_| empty()).await;
    let back = format!("http://{}/", last.address);
    let there = Target::start_on("127.0.0.2", move |_| to(&back)).await;
    let other = format!("http://{}/", there.address);
    let here = Target::start(move |_| to(&other)).await;
    let keys = oauth2(&server, "client_secret: hidden");
    let scraper = scraper(job_with(&keys, Path::new("/")), here.address);
    until(&scraper, Health::Up).await;
    assert_eq!(first(&here).await.header("authorization"), Some("Bearer t1"));
    for target in [&there, &last] {
        assert_eq!(first(target).await.header("authorization"), None);
    }
    let seen = format!("{:?}{:?}{:?}", here.asked(), there.asked(), last.asked());
    assert!(!seen.contains("hidden"), "{seen}");
    scraper.stop().await;
}

#[tokio::test]
async fn servers_without_a_token() {
    let refused = r#"{"error":"invalid_client","error_description":"not hidden"}"#;
    for (reply, expected) in [
        (json("401 Unauthorized", refused), r#"oauth2: "invalid_client" "not <secret>""#),
        (
            json("500 Internal Server Error", "{"),
            "oauth2: cannot fetch token: 500 Internal Server Error",
        ),
        (json("200 OK", "{"), "oauth2: cannot parse the answer"),
        (json("200 OK", "{}"), "oauth2: server response missing access_token"),
    ] {
        let server = Target::scripted(vec![reply]).await;
        let target = Target::start(|_| empty()).await;
        let keys = oauth2(&server, "client_secret: hidden");
        let scraper = scraper(job_with(&keys, Path::new("/")), target.address);
        let expected = format!("cannot get a token from {}: {expected}", server.address);
        down(&scraper, &expected).await;
        assert!(target.asked().is_empty());
        scraper.stop().await;
    }

    let server = Target::scripted(vec![Reply::Hang]).await;
    let slow = format!(
        "cannot get a token from {}: oauth2: cannot fetch token: no whole answer in time",
        server.address
    );
    for (keys, expected) in [
        (oauth2(&server, "client_secret: x"), slow.as_str()),
        (oauth2(&server, ""), "oauth2 client secret is required"),
        (
            oauth2(&server, "client_secret_ref: x"),
            "unable to use client secret: cannot use secret ref without manager",
        ),
    ] {
        let target = Target::start(|_| empty()).await;
        let scraper = scraper(job_with(&keys, Path::new("/")), target.address);
        down(&scraper, expected).await;
        scraper.stop().await;
    }
}
