//! `digitalocean_sd_configs`, `dockerswarm_sd_configs`, `hetzner_sd_configs` and `linode_sd_configs`
//! against fakes: what they are asked, and what their troubles change.

use std::path::Path;
use std::time::Duration;

use sigyn_discovery::mechanism;
use tokio::task::JoinSet;

use crate::fake::{Answer, Asked, Fake, Reply, Trouble};
use crate::rig::Rig;

/// More than the limit for answers.
const HUGE: usize = (64 << 20) + 1;

/// A mechanism with one of its roles, and what answers it: one instance, at `127.0.0.<last>`.
#[derive(Clone, Copy, Debug)]
struct Provider {
    kind: &'static str,
    keys: &'static str,
    answers: fn(&Asked, u8) -> Reply,
    /// Whether `[]` says that there is nothing.
    is_list: bool,
}

const CLOUD: Provider = Provider {
    kind: "hetzner",
    keys: "role: hcloud, label_selector: env=a b, authorization: {credentials: hidden}",
    answers: hcloud,
    is_list: false,
};
const ROBOT: Provider = Provider {
    kind: "hetzner",
    keys: "role: robot, basic_auth: {username: me, password: hidden}",
    answers: robot,
    is_list: true,
};
const DROPLETS: Provider = Provider {
    kind: "digitalocean",
    keys: "authorization: {credentials: hidden}",
    answers: droplets,
    is_list: false,
};
const DATABASES: Provider = Provider {
    kind: "digitalocean",
    keys: "role: databases, authorization: {credentials: hidden}",
    answers: databases,
    is_list: false,
};
const LINODE: Provider = Provider {
    kind: "linode",
    keys: "region: eu-central, authorization: {credentials: hidden}",
    answers: linode,
    is_list: false,
};
const SERVICES: Provider = Provider {
    kind: "dockerswarm",
    keys: "role: services, filters: [{name: name, values: [cart]}]",
    answers: swarm,
    is_list: true,
};
const TASKS: Provider = Provider { keys: "role: tasks", ..SERVICES };
const NODES: Provider = Provider { keys: "role: nodes", ..SERVICES };

const ALL: [Provider; 8] = [CLOUD, ROBOT, DROPLETS, DATABASES, LINODE, SERVICES, TASKS, NODES];

fn path(asked: &Asked) -> &str {
    asked.target.split('?').next().unwrap()
}

fn json(body: String) -> Reply {
    Answer::json(&body).into()
}

fn hcloud(asked: &Asked, last: u8) -> Reply {
    match path(asked) {
        "/servers" => json(format!(
            r#"{{"servers": [{{"id": 1, "public_net": {{"ipv4": {{"ip": "127.0.0.{last}"}}}}}}],
                "meta": {{"pagination": {{"page": 1, "next_page": null}}}}}}"#
        )),
        "/networks" => json(r#"{"networks": []}"#.to_owned()),
        _ => Answer::new(404, "").into(),
    }
}

fn robot(asked: &Asked, last: u8) -> Reply {
    match path(asked) {
        "/server" => json(format!(
            r#"[{{"server": {{"server_number": 1, "server_ip": "127.0.0.{last}"}}}}]"#
        )),
        _ => Answer::new(404, "").into(),
    }
}

fn droplets(asked: &Asked, last: u8) -> Reply {
    match path(asked) {
        "/droplets" => json(format!(
            r#"{{"droplets": [{{"id": 1, "networks":
                {{"v4": [{{"ip_address": "127.0.0.{last}", "type": "public"}}]}}}}], "links": {{}}}}"#
        )),
        _ => Answer::new(404, "").into(),
    }
}

fn databases(asked: &Asked, last: u8) -> Reply {
    match path(asked) {
        "/databases" => json(format!(
            r#"{{"databases": [{{"id": "a", "connection": {{"host": "127.0.0.{last}"}}}}]}}"#
        )),
        _ => Answer::new(404, "").into(),
    }
}

fn linode(asked: &Asked, last: u8) -> Reply {
    let data = match path(asked) {
        "/account/events" => r#"{"id": 1, "action": "linode_boot"}"#.to_owned(),
        "/linode/instances" => format!(r#"{{"id": 1, "ipv4": ["127.0.0.{last}"]}}"#),
        "/networking/ips" => format!(r#"{{"address": "127.0.0.{last}", "public": true}}"#),
        "/networking/ipv6/ranges" => String::new(),
        _ => return Answer::new(404, "").into(),
    };
    json(format!(r#"{{"data": [{data}], "page": 1, "pages": 1, "results": 1}}"#))
}

fn swarm(asked: &Asked, last: u8) -> Reply {
    match path(asked) {
        "/_ping" => Answer::new(200, "OK").with("Api-Version", "1.44").into(),
        "/v1.44/services" => json(format!(
            r#"[{{"ID": "s", "Endpoint": {{"VirtualIPs": [{{"Addr": "127.0.0.{last}/8"}}]}}}}]"#
        )),
        "/v1.44/tasks" => json(format!(
            r#"[{{"ID": "t", "NetworksAttachments": [{{"Addresses": ["127.0.0.{last}/8"]}}]}}]"#
        )),
        "/v1.44/nodes" => {
            json(format!(r#"[{{"ID": "m", "Status": {{"Addr": "127.0.0.{last}"}}}}]"#))
        }
        "/v1.44/networks" => json("[]".to_owned()),
        _ => Answer::new(404, "").into(),
    }
}

fn rig(fake: &Fake, provider: Provider, more: &str) -> Rig {
    let api = format!("http://{}", fake.address());
    let host = match provider.kind {
        "dockerswarm" => format!("host: '{api}', "),
        _ => String::new(),
    };
    let text = format!(
        "scrape_configs: [{{job_name: a, {}_sd_configs: \
         [{{{host}{}{more}, refresh_interval: 300ms}}]}}]",
        provider.kind, provider.keys
    );
    Rig::edited(&text, Path::new("/"), |config| match config {
        mechanism::Config::DigitalOcean(config) => config.api.clone_from(&api),
        mechanism::Config::Hetzner(config) => config.api.clone_from(&api),
        mechanism::Config::Linode(config) => config.api.clone_from(&api),
        _ => {}
    })
}

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

/// What each is asked first, in order.
async fn asked(provider: Provider) -> (Vec<String>, Asked) {
    let fake = Fake::start(move |asked| (provider.answers)(asked, 2)).await;
    let mut rig = rig(&fake, provider, "");
    until(&mut rig, 2).await;
    let asked = fake.asked();
    assert!(asked.iter().all(|asked| {
        asked.method == "GET"
            && asked.header("user-agent").is_some_and(|agent| agent.starts_with("Sigyn/"))
    }));
    rig.stop().await;
    (asked.iter().map(|asked| asked.target.clone()).collect(), asked[0].clone())
}

#[tokio::test]
async fn each_is_asked_as_prometheus_asks() {
    let (targets, first) = asked(CLOUD).await;
    let servers = "/servers?page=1&per_page=50&label_selector=env%3Da+b";
    assert_eq!(targets[..2], [servers, "/networks?page=1&per_page=50"]);
    assert_eq!(first.header("authorization").as_deref(), Some("Bearer hidden"));
    let (targets, first) = asked(ROBOT).await;
    assert_eq!(targets[0], "/server");
    assert_eq!(first.header("authorization").as_deref(), Some("Basic bWU6aGlkZGVu"));
    let (targets, _) = asked(DROPLETS).await;
    assert_eq!(targets[0], "/droplets?page=1&per_page=100");
    let (targets, _) = asked(DATABASES).await;
    assert_eq!(targets[0], "/databases?page=1&per_page=100");
    let (targets, first) = asked(LINODE).await;
    let lists = ["/linode/instances", "/networking/ips", "/networking/ipv6/ranges"];
    assert_eq!(targets[..3], lists.map(|list| format!("{list}?page=1&page_size=500")));
    assert_eq!(first.header("x-filter").as_deref(), Some(r#"{"region":"eu-central"}"#));
    let (targets, _) = asked(SERVICES).await;
    let services = "/v1.44/services?filters=%7B%22name%22%3A%7B%22cart%22%3Atrue%7D%7D";
    assert_eq!(targets[..3], ["/_ping", services, "/v1.44/networks"]);
}

#[tokio::test]
async fn a_swarm_filters_the_list_of_the_role_and_no_other() {
    let provider = Provider { keys: "role: tasks, filters: [{name: id, values: [t]}]", ..TASKS };
    let (targets, _) = asked(provider).await;
    let tasks = "/v1.44/tasks?filters=%7B%22id%22%3A%7B%22t%22%3Atrue%7D%7D";
    let lists = ["/_ping", tasks, "/v1.44/services", "/v1.44/nodes", "/v1.44/networks"];
    assert_eq!(targets[..5], lists);
}

/// Trouble with all but what says which version to speak. Where a list is a good answer, a type that
/// is not JSON's becomes an answer that is none.
fn troubled(provider: Provider, asked: &Asked, trouble: Trouble) -> Reply {
    if path(asked) == "/_ping" {
        return (provider.answers)(asked, 2);
    }
    let is_wrong = provider.is_list && trouble == Trouble::WrongType;
    Reply::Trouble(if is_wrong { Trouble::Malformed } else { trouble })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_trouble_all_stays_as_it_is_until_it_is_over() {
    let mut tests = JoinSet::new();
    for (index, provider) in ALL.into_iter().enumerate() {
        for trouble in Trouble::all(Duration::from_millis(300), HUGE) {
            // They read answers in one way.
            if index > 0 && matches!(trouble, Trouble::Huge(_)) {
                continue;
            }
            tests.spawn(async move {
                let fake = Fake::start(move |asked| (provider.answers)(asked, 2)).await;
                let mut rig = rig(&fake, provider, "");
                until(&mut rig, 2).await;
                fake.change(move |asked| troubled(provider, asked, trouble));
                rig.until_counted(|now| now.refreshes[provider.kind].failures_total > 0).await;
                assert!(at(&mut rig, 2), "{provider:?} {trouble:?}");
                fake.change(move |asked| (provider.answers)(asked, 3));
                until(&mut rig, 3).await;
                rig.stop().await;
            });
        }
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}

/// An answer that lacks the list is none, and not one that says that there is nothing.
#[tokio::test]
async fn an_answer_without_a_list_takes_nothing_away() {
    for provider in [CLOUD, DROPLETS, DATABASES, LINODE] {
        for body in
            ["{}", r#"{"servers": null, "droplets": null, "databases": null, "data": null}"#]
        {
            let fake = Fake::start(move |asked| (provider.answers)(asked, 2)).await;
            let mut rig = rig(&fake, provider, "");
            until(&mut rig, 2).await;
            fake.change(move |_| Answer::json(body).into());
            rig.until_counted(|now| now.refreshes[provider.kind].failures_total > 0).await;
            assert!(at(&mut rig, 2), "{provider:?} {body}");
            rig.stop().await;
        }
    }
}

/// The page that is asked for, and the list.
fn page(asked: &Asked) -> (u64, &str) {
    let page = asked.target.split(['?', '&']).find_map(|part| part.strip_prefix("page="));
    (page.unwrap().parse().unwrap(), path(asked))
}

#[tokio::test]
async fn all_pages_are_read() {
    let cloud = |asked: &Asked| match page(asked) {
        (page, "/servers") => json(format!(
            r#"{{"servers": [{{"id": {page}, "public_net": {{"ipv4": {{"ip": "127.0.0.{page}"}}}}}}],
                "meta": {{"pagination": {{"next_page": {}}}}}}}"#,
            if page < 3 { (page + 1).to_string() } else { "null".to_owned() }
        )),
        _ => hcloud(asked, 2),
    };
    let droplets = |asked: &Asked| {
        let (page, _) = page(asked);
        let next = format!(r#""pages": {{"next": "http://127.0.0.9/x?a=b&page={}"}}"#, page + 1);
        json(format!(
            r#"{{"droplets": [{{"id": {page}, "networks":
                {{"v4": [{{"ip_address": "127.0.0.{page}", "type": "public"}}]}}}}],
                "links": {{{}}}}}"#,
            if page < 3 { next.as_str() } else { "" }
        ))
    };
    // No page tells of another, and all are full but the last.
    let databases = |asked: &Asked| {
        let (page, _) = page(asked);
        let cluster = |index: u64| {
            format!(r#"{{"id": "{page}-{index}", "connection": {{"host": "127.0.0.{page}"}}}}"#)
        };
        let count = if page < 3 { 100 } else { 1 };
        let clusters: Vec<_> = (0..count).map(cluster).collect();
        json(format!(r#"{{"databases": [{}]}}"#, clusters.join(",")))
    };
    let linode = |asked: &Asked| match page(asked) {
        (page, "/linode/instances") => {
            json(format!(r#"{{"data": [{{"id": 1, "ipv4": ["127.0.0.{page}"]}}], "pages": 3}}"#))
        }
        (page, "/networking/ips") => json(format!(
            r#"{{"data": [{{"address": "127.0.0.{page}", "public": true}}], "pages": 3}}"#
        )),
        _ => json(r#"{"data": [], "pages": 0}"#.to_owned()),
    };
    type Answers = fn(&Asked) -> Reply;
    let rows: [(Provider, Answers, usize); 4] = [
        (CLOUD, cloud, 3),
        (DROPLETS, droplets, 3),
        (DATABASES, databases, 201),
        (LINODE, linode, 3),
    ];
    for (provider, answers, count) in rows {
        let fake = Fake::start(answers).await;
        let mut rig = rig(&fake, provider, "");
        rig.until_counted(|now| now.received_updates_total > 0).await;
        let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
        while rig.targets("a").len() != count {
            let changed = tokio::time::timeout_at(deadline, rig.groups.changed()).await;
            changed.unwrap_or_else(|_| panic!("{provider:?}: {}", rig.targets("a").len())).unwrap();
        }
        for last in 1..=3 {
            let address = format!("127.0.0.{last}:80 ");
            assert!(rig.targets("a").iter().any(|target| target.starts_with(&address)));
        }
        rig.stop().await;
    }
}

#[tokio::test]
async fn pages_that_do_not_end_are_an_answer_that_counts_not_at_all() {
    let cloud = |_: &Asked| {
        let meta = r#""meta": {"pagination": {"next_page": 1}}"#;
        json(format!(r#"{{"servers": [], "networks": [], {meta}}}"#))
    };
    let droplets = |asked: &Asked| {
        let (page, _) = page(asked);
        // Always another page, and never anything new.
        let next = format!(r#"{{"next": "http://127.0.0.1/?page={}"}}"#, page + 1);
        json(format!(r#"{{"droplets": [{{"id": 1}}], "links": {{"pages": {next}}}}}"#))
    };
    let linode = |asked: &Asked| match path(asked) {
        "/account/events" => linode(asked, 2),
        _ => json(r#"{"data": [], "pages": 1000000000}"#.to_owned()),
    };
    type Answers = fn(&Asked) -> Reply;
    let rows: [(Provider, Answers); 3] = [(CLOUD, cloud), (DROPLETS, droplets), (LINODE, linode)];
    for (provider, endless) in rows {
        let fake = Fake::start(move |asked| (provider.answers)(asked, 2)).await;
        let mut rig = rig(&fake, provider, "");
        until(&mut rig, 2).await;
        fake.change(endless);
        rig.until_counted(|now| now.refreshes[provider.kind].failures_total > 0).await;
        assert!(at(&mut rig, 2), "{provider:?}");
        fake.change(move |asked| (provider.answers)(asked, 3));
        until(&mut rig, 3).await;
        rig.stop().await;
    }
}

/// What was asked for since then, by its list.
fn lists(fake: &Fake, from: usize) -> Vec<String> {
    fake.asked()[from..].iter().map(|asked| path(asked).to_owned()).collect()
}

#[tokio::test]
async fn linode_is_asked_for_instances_when_something_has_happened() {
    let mut silences = 0;
    let quiet = move |asked: &Asked| match path(asked) {
        "/account/events" => {
            silences += 1;
            json(r#"{"data": [], "pages": 0}"#.to_owned())
        }
        // Nothing tells of it.
        _ => linode(asked, if silences < 9 { 3 } else { 4 }),
    };
    let fake = Fake::start(move |asked| linode(asked, 2)).await;
    let mut rig = rig(&fake, LINODE, "");
    until(&mut rig, 2).await;
    fake.change(move |asked| linode(asked, 3));
    until(&mut rig, 3).await;
    let events: Vec<_> =
        fake.asked().into_iter().filter(|asked| path(asked) == "/account/events").collect();
    assert_eq!(events[0].target, "/account/events?page=1&page_size=25");
    let filter = events[0].header("x-filter").unwrap();
    let since = filter.strip_prefix(r#"{"created":{"+gte":""#).unwrap();
    assert_eq!(
        since.strip_suffix(r#""}}"#).unwrap().len(),
        "2001-02-03T04:05:06".len(),
        "{filter}"
    );

    // While it is silent nothing else is asked for, until it has been for long. (What was under way when
    // it fell silent is.)
    let from = fake.asked().len();
    fake.change(quiet);
    until(&mut rig, 4).await;
    let asked = lists(&fake, from);
    let whole = asked.iter().filter(|list| *list == "/linode/instances").count();
    assert!(whole <= 2, "{asked:?}");

    // That it fails to tell is no answer, and what was found stays.
    fake.change(|asked| match path(asked) {
        "/account/events" => Answer::new(403, "{}").into(),
        _ => linode(asked, 5),
    });
    let failures = rig.metrics.snapshot().refreshes["linode"].failures_total;
    rig.until_counted(|now| now.refreshes["linode"].failures_total > failures + 1).await;
    assert!(at(&mut rig, 4));

    // It does not tell this token: then it is asked no more.
    fake.change(|asked| match path(asked) {
        "/account/events" => Answer::new(401, "{}").into(),
        _ => linode(asked, 6),
    });
    until(&mut rig, 6).await;
    fake.change(|asked| linode(asked, 7));
    let from = fake.asked().len();
    until(&mut rig, 7).await;
    assert!(!lists(&fake, from).contains(&"/account/events".to_owned()));
    rig.stop().await;
}

#[tokio::test]
async fn a_token_that_is_replaced_is_used_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "old\n").unwrap();
    let answers = |good: &'static str| {
        move |asked: &Asked| match asked.header("authorization") {
            Some(header) if header == format!("Bearer {good}") => hcloud(asked, 2),
            _ => Answer::new(401, r#"{"error": {"code": "unauthorized"}}"#).into(),
        }
    };
    let provider = Provider { keys: "role: hcloud", ..CLOUD };
    let more = format!(", authorization: {{credentials_file: '{}'}}", token.display());
    let fake = Fake::start(answers("old")).await;
    let mut rig = rig(&fake, provider, &more);
    until(&mut rig, 2).await;
    fake.change(answers("new"));
    rig.until_counted(|now| now.refreshes["hetzner"].failures_total > 0).await;
    assert!(at(&mut rig, 2));
    std::fs::write(&token, "new\n").unwrap();
    let before = rig.metrics.snapshot().received_updates_total;
    rig.until_counted(|now| now.received_updates_total > before).await;
    rig.stop().await;
}

#[test]
fn what_is_secret_is_not_shown() {
    for provider in ALL {
        let host = if provider.kind == "dockerswarm" { "host: 'unix:///x', " } else { "" };
        let text = format!(
            "scrape_configs: [{{job_name: a, {}_sd_configs: [{{{host}{}}}]}}]",
            provider.kind, provider.keys
        );
        let config = sigyn_discovery::config::parse(&text, Path::new("/")).unwrap();
        assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
    }
}
