//! What each mechanism makes of what it is told: the tables of `tests/data/mechanisms/`.
//!
//! A table is a list of cases for one mechanism. Each has a `name`, what is written in the `section`,
//! the `answers` of a server, and the `groups` that come of it, by source: the labels that are common
//! to all targets, and those of each. `~` stands for the mechanism's `__meta_x_`.
//!
//! Answers are found by path and query, or by path alone; EC2's by the action. A text is sent as it
//! is, anything else as JSON. Where a mechanism reads files, these are their contents. `URL` is where
//! the server is, and `DIR` where the files are. `asked` are questions that must have been among
//! those that were put, and a case that `fails` must be counted as a failure. A label without a
//! value is no label, whatever a table says, and a group without targets is not kept.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use sigyn_discovery::mechanism::{self, Environment};
use sigyn_discovery::{Labels, yaml};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::fake::{Answer, Asked, Fake, Reply, Trouble};
use crate::rig::{PATIENCE, Rig};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    section: BTreeMap<String, Value>,
    answers: BTreeMap<String, Value>,
    #[serde(default)]
    asked: Vec<String>,
    #[serde(default)]
    fails: bool,
    groups: BTreeMap<String, Expected>,
}

/// What a group should be.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    targets: Vec<BTreeMap<String, String>>,
}

type Found = BTreeMap<String, Expected>;

/// What every section of a mechanism says: where to ask, and as whom.
fn keys(kind: &str) -> &'static str {
    match kind {
        "consul" | "eureka" | "nomad" => "server: URL, ",
        "docker" | "dockerswarm" => "host: URL, ",
        "digitalocean" | "hetzner" | "linode" => "authorization: {credentials: hidden}, ",
        "ec2" => "endpoint: URL, access_key: me, secret_key: hidden, ",
        "azure" => "tenant_id: t, client_id: me, client_secret: hidden, ",
        _ => "",
    }
}

/// What the file cannot say: where the API of a provider is.
fn edit(config: &mut mechanism::Config, url: &str, host: &str) {
    let url = || url.to_owned();
    match config {
        mechanism::Config::Azure(config) => {
            (config.login, config.api, config.metadata) = (url(), url(), url());
            config.environment = Environment::Given(BTreeMap::new());
        }
        mechanism::Config::DigitalOcean(config) => config.api = url(),
        mechanism::Config::Ec2(config) => config.environment = Environment::Given(BTreeMap::new()),
        mechanism::Config::Gce(config) => {
            config.api = url();
            let host = ("GCE_METADATA_HOST".to_owned(), host.to_owned());
            config.environment = Environment::Given(BTreeMap::from([host]));
        }
        mechanism::Config::Hetzner(config) => config.api = url(),
        mechanism::Config::Linode(config) => config.api = url(),
        _ => {}
    }
}

/// What a question is about: the path and query, or the action of a form.
fn question(kind: &str, asked: &Asked) -> String {
    match kind {
        "ec2" => String::from_utf8(asked.body.clone()).unwrap(),
        // The version that both speak comes before all paths.
        "docker" | "dockerswarm" => asked.target.replacen("/v1.44/", "/", 1),
        _ => asked.target.clone(),
    }
}

fn answer(kind: &str, answers: &BTreeMap<String, Value>, asked: &Asked) -> Reply {
    let question = question(kind, asked);
    let path = question.split('?').next().unwrap_or_default();
    let action = question.split('&').find_map(|field| field.strip_prefix("Action="));
    let value = answers
        .get(&question)
        .or_else(|| answers.get(path))
        .or_else(|| action.and_then(|action| answers.get(action)));
    // `Host` is what the server is called.
    let url = format!("http://{}", asked.header("host").unwrap_or_default());
    match value {
        // Nothing ever changes.
        _ if kind == "consul" && question.contains("index=") => Reply::Trouble(Trouble::Hang),
        Some(Value::String(text)) => {
            let kind = if kind == "http" { "application/json" } else { "application/xml" };
            Answer::new(200, text.replace("URL", &url)).with("Content-Type", kind).into()
        }
        Some(value) => {
            let body = value.to_string().replace("URL", &url);
            Answer::json(&body).with("X-Consul-Index", "1").into()
        }
        None if path == "/_ping" => Answer::new(200, "OK").with("Api-Version", "1.44").into(),
        None if path.ends_with("/token") => {
            Answer::json(r#"{"access_token": "hidden", "expires_in": 3600}"#).into()
        }
        None => Answer::new(404, "").into(),
    }
}

fn short(kind: &str, labels: &Labels) -> BTreeMap<String, String> {
    let prefix = format!("__meta_{kind}_");
    let short = |name: &str| name.replacen(&prefix, "~", 1);
    labels.iter().map(|(name, value)| (short(name), value.to_owned())).collect()
}

/// What has been found so far, with the places that are this run's own named as in the table.
fn found(rig: &mut Rig, kind: &str, places: &[(&str, &str)]) -> Found {
    let named = |text: &str| {
        places.iter().fold(text.to_owned(), |text, (name, place)| text.replace(place, name))
    };
    let all = |labels: &Labels| {
        short(kind, labels).into_iter().map(|(name, value)| (name, named(&value))).collect()
    };
    let groups = rig.groups.borrow_and_update();
    let groups = groups.get("a").into_iter().flatten();
    groups
        .map(|group| {
            let targets = group.targets.iter().map(all).collect();
            (named(&group.source), Expected { labels: all(&group.labels), targets })
        })
        .collect()
}

/// What is wrong with a case, if anything.
async fn check(kind: &'static str, mut case: Case) -> Option<String> {
    for group in case.groups.values_mut() {
        group.targets.iter_mut().for_each(|target| target.retain(|_, value| !value.is_empty()));
    }
    let dir = tempfile::tempdir().unwrap();
    if kind == "file" {
        for (name, content) in &case.answers {
            std::fs::write(dir.path().join(name), content.as_str().unwrap()).unwrap();
        }
    }
    let answers = case.answers;
    let fake = Fake::start(move |asked| answer(kind, &answers, asked)).await;
    let (host, at) = (fake.address().to_string(), dir.path().display().to_string());
    let url = format!("http://{host}");
    let section = serde_json::to_string(&case.section).unwrap();
    let text = format!(
        "scrape_configs: [{{job_name: a, {kind}_sd_configs: [{{{}{}]}}]",
        keys(kind),
        &section[1..]
    );
    let mut rig =
        Rig::edited(&text.replace("URL", &url), dir.path(), |config| edit(config, &url, &host));
    let places = [("URL", url.as_str()), ("DIR", at.as_str())];
    let deadline = Instant::now() + PATIENCE;
    if case.fails {
        rig.until_counted(|now| {
            now.refresh_failures_total.get(&(kind, "a".to_owned())).is_some_and(|count| *count > 0)
                || now.file_read_errors_total > 0
        })
        .await;
    } else {
        rig.until_counted(|now| now.received_updates_total > 0).await;
    }
    loop {
        let found = found(&mut rig, kind, &places);
        if found == case.groups {
            break;
        }
        if timeout_at(deadline, rig.groups.changed()).await.is_err() {
            return Some(difference(&case.name, &found, &case.groups));
        }
    }
    let asked: Vec<_> = fake.asked().iter().map(|asked| question(kind, asked)).collect();
    rig.stop().await;
    let missing: Vec<_> = case.asked.iter().filter(|expected| !asked.contains(expected)).collect();
    (!missing.is_empty()).then(|| format!("{}: {missing:?} are not among {asked:?}", case.name))
}

/// The first thing that is not as it should be.
fn difference(name: &str, found: &Found, expected: &Found) -> String {
    for (source, group) in expected {
        let Some(told) = found.get(source) else { continue };
        if told.labels != group.labels {
            return format!("{name}: {source}: {:#?} is not {:#?}", told.labels, group.labels);
        }
        for (told, target) in told.targets.iter().zip(&group.targets) {
            if told != target {
                return format!("{name}: {source}: {told:#?} is not {target:#?}");
            }
        }
        if told.targets.len() != group.targets.len() {
            let (told, targets) = (told.targets.len(), group.targets.len());
            return format!("{name}: {source}: {told} targets are not {targets}");
        }
    }
    let (found, expected): (Vec<_>, Vec<_>) = (found.keys().collect(), expected.keys().collect());
    format!("{name}: {found:?} are not {expected:?}")
}

async fn table(kind: &'static str) {
    let data = Path::new("tests/data/mechanisms");
    let text = std::fs::read_to_string(data.join(format!("{kind}.yml"))).unwrap();
    let cases: Vec<Case> = yaml::from_yaml(&text).unwrap();
    assert!(!cases.is_empty());
    let mut checks = JoinSet::new();
    for case in cases {
        checks.spawn(check(kind, case));
    }
    let wrong: Vec<_> = checks.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

macro_rules! tables {
    ($($kind:ident)*) => {
        $(
            #[tokio::test]
            async fn $kind() {
                table(stringify!($kind)).await;
            }
        )*
    };
}

tables! {
    azure consul digitalocean docker dockerswarm ec2 eureka file gce hetzner http linode nomad
}
