//! `gce_sd_configs` against a fake of Google: what it is asked, by whom, and what its troubles change.

use std::path::Path;
use std::time::Duration;

use sigyn_discovery::mechanism::{self, Environment};
use tokio::task::JoinSet;

use crate::fake::{Answer, Asked, Fake, Reply, Trouble};
use crate::rig::Rig;

/// More than the limit for answers.
const HUGE: usize = (64 << 20) + 1;

const KEY: &str = include_str!("../data/rsa_pkcs8.pem");

fn body(asked: &Asked) -> String {
    String::from_utf8(asked.body.clone()).unwrap()
}

fn instances(last: u8, more: &str) -> Reply {
    Answer::json(&format!(
        r#"{{"kind": "compute#instanceList", "items": [{{"id": "{last}",
            "networkInterfaces": [{{"networkIP": "127.0.0.{last}"}}]}}]{more}}}"#
    ))
    .into()
}

fn token(name: &str) -> Reply {
    let token = format!(r#"{{"access_token": "hidden-{name}", "expires_in": 3600}}"#);
    Answer::json(&token).into()
}

/// All of Google: one instance, tokens for accounts and users, and a machine with an account.
fn google(asked: &Asked, last: u8) -> Reply {
    let path = asked.target.split('?').next().unwrap();
    let is_google = asked.header("metadata-flavor").as_deref() == Some("Google");
    match path {
        "/projects/shop/zones/eu%2Fa/instances" => {
            match asked.header("authorization").unwrap_or_default() {
                header if header.starts_with("Bearer hidden-") => instances(last, ""),
                _ => Answer::new(401, r#"{"error": {"code": 401, "message": "who?"}}"#).into(),
            }
        }
        "/token" if body(asked).contains("assertion=") => token("account"),
        "/token" if body(asked).contains("refresh_token=r-hidden") => token("user"),
        "/computeMetadata/v1/instance/service-accounts/default/token" if is_google => {
            token("machine")
        }
        _ => Answer::new(404, "").into(),
    }
}

/// `file` is what a file of credentials holds, in which `URL` is the fake; none if it is empty.
fn rig(fake: &Fake, keys: &str, file: &str, dir: &Path) -> Rig {
    let url = format!("http://{}", fake.address());
    let mut variables = vec![("GCE_METADATA_HOST".to_owned(), fake.address().to_string())];
    if !file.is_empty() {
        let path = dir.join("credentials.json");
        std::fs::write(&path, file.replace("URL", &url)).unwrap();
        variables.push(("GOOGLE_APPLICATION_CREDENTIALS".to_owned(), path.display().to_string()));
    }
    let text = format!(
        "scrape_configs: [{{job_name: a, gce_sd_configs: [{{project: shop, zone: eu/a, \
         refresh_interval: 300ms{keys}}}]}}]"
    );
    Rig::edited(&text, dir, |config| {
        if let mechanism::Config::Gce(config) = config {
            config.api.clone_from(&url);
            config.environment = Environment::Given(variables.iter().cloned().collect());
        }
    })
}

fn account() -> String {
    let key = KEY.replace('\n', "\\n");
    format!(
        r#"{{"type": "service_account", "client_email": "me@shop", "private_key": "{key}",
            "private_key_id": "k1", "token_uri": "URL/token", "project_id": "shop"}}"#
    )
}

const USER: &str = r#"{"type": "authorized_user", "client_id": "me", "client_secret": "s-hidden",
    "refresh_token": "r-hidden", "token_uri": "URL/token"}"#;

/// Waits until the one target is there.
async fn until(rig: &mut Rig, last: u8) {
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while !at(rig, last) {
        let changed = tokio::time::timeout_at(deadline, rig.groups.changed()).await;
        changed.expect("the target never came").unwrap();
    }
}

fn at(rig: &mut Rig, last: u8) -> bool {
    let targets = rig.targets("a");
    targets.len() == 1 && targets[0].starts_with(&format!("127.0.0.{last}:80 "))
}

async fn until_failed(rig: &Rig) {
    rig.until_counted(|now| {
        now.refreshes.get("gce").is_some_and(|refreshes| refreshes.failures_total > 0)
    })
    .await;
}

#[tokio::test]
async fn google_is_asked_by_whoever_we_are() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [(account(), "account"), (USER.to_owned(), "user"), (String::new(), "machine")];
    for (file, name) in rows {
        let fake = Fake::start(|asked| google(asked, 2)).await;
        let filter = ", filter: 'labels.env = \"a b\"'";
        let mut rig = rig(&fake, filter, &file, dir.path());
        until(&mut rig, 2).await;
        let asked = fake.asked();
        let filter = "filter=labels.env+%3D+%22a+b%22";
        assert_eq!(asked[1].target, format!("/projects/shop/zones/eu%2Fa/instances?{filter}"));
        let header = format!("Bearer hidden-{name}");
        assert_eq!(asked[1].header("authorization"), Some(header));
        match name {
            "account" => {
                let body = body(&asked[0]);
                let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
                assert!(body.starts_with(&format!("{grant}&assertion=ey")), "{body}");
            }
            "user" => {
                let expected = "grant_type=refresh_token&client_id=me&client_secret=s-hidden\
                                &refresh_token=r-hidden";
                assert_eq!(body(&asked[0]), expected);
            }
            _ => assert!(asked[0].target.ends_with(
                "/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcompute.readonly"
            )),
        }
        // One token is enough for a while.
        rig.until_counted(|now| now.received_updates_total > 2).await;
        let tokens = fake.asked().iter().filter(|asked| asked.target.contains("/token")).count();
        assert_eq!(tokens, 1);
        rig.stop().await;
    }
}

#[tokio::test]
async fn all_pages_are_read_unless_they_go_in_a_circle() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(|asked| match asked.target.split_once("pageToken=") {
        None if asked.target.contains("/instances") => instances(1, r#", "nextPageToken": "b/c""#),
        Some((_, "b%2Fc")) => instances(2, r#", "nextPageToken": "d""#),
        Some(_) => {
            Answer::json(r#"{"kind": "compute#instanceList", "nextPageToken": null}"#).into()
        }
        None => google(asked, 9),
    })
    .await;
    let mut rig = rig(&fake, "", "", dir.path());
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while rig.targets("a").len() != 2 {
        tokio::time::timeout_at(deadline, rig.groups.changed()).await.unwrap().unwrap();
    }
    fake.change(|_| instances(1, r#", "nextPageToken": "b""#));
    until_failed(&rig).await;
    assert_eq!(rig.targets("a").len(), 2);
    fake.change(|asked| google(asked, 3));
    until(&mut rig, 3).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(|asked| google(asked, 2)).await;
    let mut rig = rig(&fake, "", USER, dir.path());
    until(&mut rig, 2).await;
    // Somebody has given us another refresh token, and the token of before is void.
    fake.change(|asked| match asked.header("authorization").as_deref() {
        Some("Bearer hidden-new") => instances(3, ""),
        None if body(asked).contains("refresh_token=r2-hidden") => token("new"),
        _ => Answer::new(401, r#"{"error": "invalid_grant"}"#).into(),
    });
    until_failed(&rig).await;
    assert!(at(&mut rig, 2));
    let url = format!("http://{}", fake.address());
    let user = USER.replace("r-hidden", "r2-hidden").replace("URL", &url);
    std::fs::write(dir.path().join("credentials.json"), user).unwrap();
    until(&mut rig, 3).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_file_without_credentials_is_a_section_that_cannot_start_yet() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(|asked| google(asked, 2)).await;
    let mut rig = rig(&fake, "", "nothing", dir.path());
    rig.until_counted(|now| now.failed_configs == 1).await;
    let user = USER.replace("URL", &format!("http://{}", fake.address()));
    std::fs::write(dir.path().join("credentials.json"), user).unwrap();
    until(&mut rig, 2).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_trouble_all_stays_as_it_is_until_it_is_over() {
    let mut tests = JoinSet::new();
    for trouble in Trouble::all(Duration::from_millis(300), HUGE) {
        tests.spawn(async move {
            let dir = tempfile::tempdir().unwrap();
            let fake = Fake::start(|asked| google(asked, 2)).await;
            let mut rig = rig(&fake, "", "", dir.path());
            until(&mut rig, 2).await;
            fake.change(move |_| Reply::Trouble(trouble));
            until_failed(&rig).await;
            assert!(at(&mut rig, 2), "{trouble:?}");
            fake.change(|asked| google(asked, 3));
            until(&mut rig, 3).await;
            rig.stop().await;
        });
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}

/// Whoever gives tokens may be in trouble, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_there_is_nothing_until_there_is_one() {
    let mut tests = JoinSet::new();
    for trouble in Trouble::all(Duration::from_millis(300), 10_000) {
        for file in ["", USER] {
            tests.spawn(async move {
                let dir = tempfile::tempdir().unwrap();
                let fake = Fake::start(move |asked| match asked.target.contains("/token") {
                    true => Reply::Trouble(trouble),
                    false => google(asked, 2),
                })
                .await;
                let mut rig = rig(&fake, "", file, dir.path());
                until_failed(&rig).await;
                assert_eq!(rig.targets("a"), [""; 0], "{file} {trouble:?}");
                fake.change(|asked| google(asked, 3));
                until(&mut rig, 3).await;
                rig.stop().await;
            });
        }
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}
