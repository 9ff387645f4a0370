//! `http_sd_configs` against servers: what they are asked, and what their troubles change.

use std::path::Path;
use std::time::Duration;

use sigyn_discovery::http::Room;
use tokio::task::JoinSet;

use crate::fake::{Answer, Fake, Reply, Trouble};
use crate::rig::Rig;

/// More than the limit for answers.
const HUGE: usize = (64 << 20) + 1;

fn section(fake: &Fake, path: &str, more: &str) -> String {
    format!(
        "http_sd_configs: [{{url: 'http://{}{path}', refresh_interval: 300ms{more}}}]",
        fake.address()
    )
}

fn start(fake: &Fake, path: &str, more: &str) -> Rig {
    Rig::of(&section(fake, path, more), Path::new("/"))
}

fn targets(addresses: &str) -> Reply {
    Answer::json(&format!(r#"[{{"targets": [{addresses}]}}]"#)).into()
}

/// How targets look that the fake has named at `path`.
fn found(fake: &Fake, path: &str, address: &str) -> String {
    format!(r#"{address} {{__meta_url="http://{}{path}"}}"#, fake.address())
}

#[tokio::test]
async fn a_server_is_asked_as_prometheus_asks() {
    let fake = Fake::scripted([targets(r#""127.0.0.1:81", "127.0.0.2:81""#)]).await;
    let mut rig = start(
        &fake,
        "/sd?a=b%20c",
        ", basic_auth: {username: me, password: p}, http_headers: {X-Tenant: {values: [t]}}",
    );
    let [one, two] =
        ["127.0.0.1:81", "127.0.0.2:81"].map(|address| found(&fake, "/sd?a=b%20c", address));
    rig.until(&[&one, &two]).await;
    let asked = &fake.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/sd?a=b%20c"));
    let header = |name| asked.header(name).unwrap_or_default();
    assert_eq!(header("accept"), "application/json");
    assert_eq!(header("x-prometheus-refresh-interval-seconds"), "0.3");
    assert_eq!(header("authorization"), "Basic bWU6cA==");
    assert_eq!(header("x-tenant"), "t");
    assert!(header("user-agent").starts_with("Sigyn/"), "{asked:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_login_in_the_url_is_sent_as_one() {
    let fake = Fake::scripted([targets("")]).await;
    let text = format!("http_sd_configs: [{{url: 'http://me:p%40@{}/'}}]", fake.address());
    let rig = Rig::of(&text, Path::new("/"));
    rig.until_counted(|now| now.received_updates_total > 0).await;
    assert_eq!(fake.asked()[0].header("authorization").as_deref(), Some("Basic bWU6cEA="));
    rig.stop().await;
}

#[tokio::test]
async fn a_server_is_asked_over_tls_and_only_if_it_is_trusted() {
    let (fake, trusted) = Fake::start_tls(|_| targets(r#""127.0.0.1:81""#)).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), trusted).unwrap();
    let of = |tls: &str| {
        let url = format!("https://{}/", fake.address());
        Rig::of(&format!("http_sd_configs: [{{url: '{url}', tls_config: {{{tls}}}}}]"), dir.path())
    };
    let mut rig = of("ca_file: ca.pem");
    let expected = format!(r#"127.0.0.1:81 {{__meta_url="https://{}/"}}"#, fake.address());
    rig.until(&[&expected]).await;
    rig.stop().await;
    let mut rig = of("");
    rig.until_counted(|now| {
        now.refreshes.get("http").is_some_and(|refreshes| refreshes.failures_total > 0)
    })
    .await;
    assert_eq!(rig.targets("a"), [""; 0]);
    rig.stop().await;
}

/// An OpenTelemetry target allocator names a job's targets at a path with the job's name in it,
/// escaped, and tells each collector its share.
#[tokio::test]
async fn a_target_allocator_is_asked_for_one_job() {
    let path = "/jobs/serviceMonitor%2Fshop%2Fcart%2F0/targets?collector_id=sigyn-0";
    let answer = r#"[{
        "targets": ["127.0.0.1:8080"],
        "labels": {"__meta_kubernetes_namespace": "shop", "__meta_kubernetes_pod_name": "cart-0"}
    }]"#;
    let fake = Fake::scripted([Answer::new(200, answer)
        .with("Content-Type", "application/json; charset=utf-8")
        .into()])
    .await;
    let mut rig = start(&fake, path, "");
    let expected = format!(
        r#"127.0.0.1:8080 {{__meta_kubernetes_namespace="shop", __meta_kubernetes_pod_name="cart-0", __meta_url="http://{}{path}"}}"#,
        fake.address()
    );
    rig.until(&[&expected]).await;
    assert_eq!(fake.asked()[0].target, path);
    rig.stop().await;
}

#[tokio::test]
async fn groups_that_are_no_longer_named_are_gone() {
    let group = |address: &str| format!(r#"{{"targets": ["{address}"]}}"#);
    let all = format!("[{}, {}]", group("127.0.0.1:81"), group("127.0.0.2:81"));
    let fake = Fake::scripted([Answer::json(&all).into()]).await;
    let mut rig = start(&fake, "/", "");
    let [one, two, three] =
        ["127.0.0.1:81", "127.0.0.2:81", "127.0.0.3:81"].map(|address| found(&fake, "/", address));
    rig.until(&[&one, &two]).await;
    let first = format!("[{}]", group("127.0.0.1:81"));
    fake.change(move |_| Answer::json(&first).into());
    rig.until(&[&one]).await;
    let others = format!("[{}, {}]", group("127.0.0.2:81"), group("127.0.0.3:81"));
    fake.change(move |_| Answer::json(&others).into());
    rig.until(&[&two, &three]).await;
    fake.change(|_| targets(r#""127.0.0.3:81""#));
    rig.until(&[&three]).await;
    fake.change(|_| Answer::json("[]").into());
    rig.until(&[]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_trouble_all_stays_as_it_is_until_it_is_over() {
    let mut troubles = JoinSet::new();
    for trouble in Trouble::all(Duration::from_millis(300), HUGE) {
        troubles.spawn(async move {
            let fake = Fake::scripted([targets(r#""127.0.0.1:81""#)]).await;
            let mut rig = start(&fake, "/", "");
            let [before, after] =
                ["127.0.0.1:81", "127.0.0.2:81"].map(|address| found(&fake, "/", address));
            rig.until(&[&before]).await;
            fake.change(move |_| Reply::Trouble(trouble));
            rig.until_counted(|now| now.refreshes["http"].failures_total > 0).await;
            assert_eq!(rig.targets("a"), [before], "{trouble:?}");
            fake.change(|_| targets(r#""127.0.0.2:81""#));
            rig.until(&[&after]).await;
            rig.stop().await;
        });
    }
    while let Some(ended) = troubles.join_next().await {
        ended.unwrap();
    }
}

/// An answer that is as large as it is said to be, with this target in it.
fn padded(address: &str, bytes: usize) -> Reply {
    let pad = " ".repeat(bytes);
    Answer::json(&format!(r#"[{{"targets": ["{address}"]}}{pad}]"#)).into()
}

#[tokio::test]
async fn an_answer_without_room_changes_nothing_and_is_counted() {
    let fake = Fake::scripted([targets(r#""127.0.0.1:81""#)]).await;
    let text = format!("scrape_configs: [{{job_name: a, {}}}]", section(&fake, "/", ""));
    let mut rig = Rig::in_room(&text, Path::new("/"), Room::new(1 << 20));
    let before = found(&fake, "/", "127.0.0.1:81");
    rig.until(&[&before]).await;
    fake.change(|_| padded("127.0.0.2:81", 1 << 20));
    rig.until_counted(|now| now.answers_without_room_total > 0).await;
    assert!(rig.metrics.snapshot().refreshes["http"].failures_total > 0);
    assert_eq!(rig.targets("a"), [before]);
    fake.change(|_| padded("127.0.0.2:81", 600 << 10));
    rig.until(&[&found(&fake, "/", "127.0.0.2:81")]).await;
    rig.stop().await;
}

#[tokio::test]
async fn large_answers_take_turns_and_small_ones_do_not_wait() {
    let fake = Fake::start(|asked| match asked.target.as_str() {
        "/small" => targets(r#""127.0.0.9:81""#),
        _ => padded("127.0.0.1:81", 400 << 10),
    })
    .await;
    let jobs: Vec<String> = (0..20)
        .map(|number| {
            format!("{{job_name: large{number}, {}}}", section(&fake, &format!("/{number}"), ""))
        })
        .chain([format!("{{job_name: a, {}}}", section(&fake, "/small", ""))])
        .collect();
    let text = format!("scrape_configs: [{}]", jobs.join(", ")).replace("300ms", "20s");
    let mut rig = Rig::in_room(&text, Path::new("/"), Room::new(1 << 20));
    rig.until(&[&found(&fake, "/small", "127.0.0.9:81")]).await;
    rig.until_counted(|now| now.discovered_targets() == 21).await;
    assert_eq!(rig.metrics.snapshot().answers_without_room_total, 0);
    rig.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_as_written_is_a_section_that_cannot_start() {
    let rig = Rig::of(
        "http_sd_configs: [{url: 'http://127.0.0.1/', basic_auth: {password_ref: vault}}]",
        Path::new("/"),
    );
    rig.until_counted(|now| now.failed_configs == 1).await;
    rig.stop().await;
}
