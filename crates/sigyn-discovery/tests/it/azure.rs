//! `azure_sd_configs` against a fake of Azure: what it is asked, by whom, and what its troubles
//! change.

use std::path::Path;
use std::time::Duration;

use sigyn_discovery::mechanism::{self, Environment};
use tokio::task::JoinSet;

use crate::fake::{Answer, Asked, Fake, Reply, Trouble};
use crate::rig::Rig;

/// More than the limit for answers.
const HUGE: usize = (64 << 20) + 1;

const OAUTH: &str = ", tenant_id: t, client_id: me, client_secret: s-hidden";

fn body(asked: &Asked) -> String {
    String::from_utf8(asked.body.clone()).unwrap()
}

fn path(asked: &Asked) -> &str {
    asked.target.split('?').next().unwrap()
}

fn json(body: &str) -> Reply {
    Answer::json(body).into()
}

fn token(name: &str) -> Reply {
    json(&format!(
        r#"{{"access_token": "hidden-{name}", "token_type": "Bearer", "expires_in": 3600}}"#
    ))
}

const GROUP: &str = "/subscriptions/s/resourceGroups/g/providers";

/// A machine with one interface, both named by a number.
fn machine(number: u64) -> String {
    format!(
        r#"{{"id": "{GROUP}/Microsoft.Compute/virtualMachines/{number}", "name": "{number}",
            "properties": {{"networkProfile": {{"networkInterfaces":
                [{{"id": "{GROUP}/Microsoft.Network/networkInterfaces/{number}"}}]}}}}}}"#
    )
}

fn interface(last: u64) -> Reply {
    json(&format!(
        r#"{{"id": "/n", "properties": {{"primary": true, "ipConfigurations":
            [{{"properties": {{"privateIPAddress": "127.0.0.{last}"}}}}]}}}}"#
    ))
}

/// All of Azure: one machine, called after the last number of its address, and tokens for whoever
/// has a secret, a federated token or the right machine.
fn azure(asked: &Asked, last: u64) -> Reply {
    let is_known = asked.header("authorization").unwrap_or_default().starts_with("Bearer hidden-");
    let body = body(asked);
    match path(asked) {
        "/t/oauth2/v2.0/token" if body.contains("client_secret=s-hidden") => token("secret"),
        "/t/oauth2/v2.0/token" if body.contains("client_assertion=f-hidden") => token("file"),
        "/metadata/identity/oauth2/token"
            if asked.header("metadata").as_deref() == Some("true") =>
        {
            token("machine")
        }
        "/identity" if asked.header("x-identity-header").as_deref() == Some("h-hidden") => {
            json(r#"{"access_token": "hidden-service", "expires_on": "32503680000"}"#)
        }
        _ if !is_known => Answer::new(401, r#"{"error": {"message": "who?"}}"#).into(),
        "/subscriptions/s/providers/Microsoft.Compute/virtualMachines"
        | "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines" => {
            json(&format!(r#"{{"value": [{}]}}"#, machine(last)))
        }
        path if path.ends_with("/virtualMachineScaleSets") => json(r#"{"value": []}"#),
        path => match path.strip_prefix(&format!("{GROUP}/Microsoft.Network/networkInterfaces/")) {
            Some(name) => interface(name.parse().unwrap()),
            None => Answer::new(404, r#"{"error": {"code": "NotFound", "message": "no"}}"#).into(),
        },
    }
}

/// `URL` in a variable is the fake.
fn rig(fake: &Fake, keys: &str, variables: &[(&str, &str)]) -> Rig {
    let url = format!("http://{}", fake.address());
    let text = format!(
        "scrape_configs: [{{job_name: a, azure_sd_configs: [{{subscription_id: s, \
         refresh_interval: 300ms{keys}}}]}}]"
    );
    let given = |(name, value): &(&str, &str)| ((*name).to_owned(), value.replace("URL", &url));
    let environment = Environment::Given(variables.iter().map(given).collect());
    Rig::edited(&text, Path::new("/"), |config| {
        if let mechanism::Config::Azure(config) = config {
            config.login.clone_from(&url);
            config.api.clone_from(&url);
            config.metadata.clone_from(&url);
            config.environment = environment.clone();
        }
    })
}

/// Waits until the one target is there.
async fn until(rig: &mut Rig, last: u64) {
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while !at(rig, last) {
        let changed = tokio::time::timeout_at(deadline, rig.groups.changed()).await;
        changed.expect("the target never came").unwrap();
    }
}

fn at(rig: &mut Rig, last: u64) -> bool {
    let targets = rig.targets("a");
    targets.len() == 1 && targets[0].starts_with(&format!("127.0.0.{last}:80 "))
}

async fn until_failed(rig: &Rig) {
    rig.until_counted(|now| {
        now.refreshes.get("azure").is_some_and(|refreshes| refreshes.failures_total > 0)
    })
    .await;
}

#[tokio::test]
async fn azure_is_asked_by_whoever_we_are() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "f-hidden\n").unwrap();
    let file = file.display().to_string();
    let of = |method: &str| format!(", authentication_method: {method}");
    let federated = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "me"),
        ("AZURE_FEDERATED_TOKEN_FILE", &*file),
    ];
    let secret =
        [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "me"), ("AZURE_CLIENT_SECRET", "s-hidden")];
    let service = [("IDENTITY_ENDPOINT", "URL/identity"), ("IDENTITY_HEADER", "h-hidden")];
    type Row<'a> = (String, &'a [(&'a str, &'a str)], &'a str);
    let rows: [Row<'_>; 7] = [
        (OAUTH.to_owned(), &[], "secret"),
        (of("WorkloadIdentity"), &federated, "file"),
        (of("ManagedIdentity, client_id: me"), &[], "machine"),
        (of("ManagedIdentity"), &service, "service"),
        (of("SDK"), &secret, "secret"),
        (of("SDK"), &federated, "file"),
        (of("SDK"), &[], "machine"),
    ];
    for (keys, variables, name) in rows {
        let fake = Fake::start(|asked| azure(asked, 2)).await;
        let mut rig = rig(&fake, &keys, variables);
        until(&mut rig, 2).await;
        let asked = fake.asked();
        for asked in &asked[1..] {
            let header = format!("Bearer hidden-{name}");
            assert_eq!(asked.header("authorization"), Some(header), "{keys} {asked:?}");
        }
        let form = body(&asked[0]);
        let scope = "scope=https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default";
        let resource = "resource=https%3A%2F%2Fmanagement.core.windows.net%2F";
        let first = format!("client_id=me&grant_type=client_credentials&{scope}&");
        match name {
            "secret" => assert_eq!(form, format!("{first}client_secret=s-hidden")),
            "file" => assert!(form.starts_with(&format!("{first}client_assertion=f-hidden&"))),
            "service" => {
                let target = format!("/identity?api-version=2019-08-01&{resource}");
                assert_eq!(asked[0].target, target);
            }
            _ => {
                let more = if keys.contains("client_id") { "&client_id=me" } else { "" };
                let target = "/metadata/identity/oauth2/token?api-version=2018-02-01";
                assert_eq!(asked[0].target, format!("{target}&{resource}{more}"));
            }
        }
        // One token is enough for a while.
        rig.until_counted(|now| now.received_updates_total > 2).await;
        let asked = fake.asked();
        assert_eq!(asked.iter().filter(|other| other.target == asked[0].target).count(), 1);
        rig.stop().await;
    }
}

#[tokio::test]
async fn machines_of_one_group_and_of_scale_sets() {
    let set = format!("{GROUP}/Microsoft.Compute/virtualMachineScaleSets/web");
    let fake = Fake::start(move |asked| {
        let in_set = format!("{set}/virtualMachines/0/networkInterfaces/x");
        match path(asked) {
            path if path == format!("{GROUP}/Microsoft.Compute/virtualMachineScaleSets") => {
                json(&format!(r#"{{"value": [{{"id": "{set}", "name": "web"}}]}}"#))
            }
            path if path == format!("{set}/virtualMachines") => json(&format!(
                r#"{{"value": [{{"id": "{set}/virtualMachines/0", "name": "web_0", "instanceId": "0",
                    "properties": {{"networkProfile": {{"networkInterfaces":
                        [{{"id": "{in_set}"}}]}}}}}}]}}"#
            )),
            path if path == in_set => interface(7),
            _ => azure(asked, 2),
        }
    })
    .await;
    let mut rig = rig(&fake, &format!("{OAUTH}, resource_group: g, port: 80"), &[]);
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while rig.targets("a").len() != 2 {
        tokio::time::timeout_at(deadline, rig.groups.changed()).await.unwrap().unwrap();
    }
    let targets = rig.targets("a");
    assert!(targets[0].starts_with("127.0.0.2:80 ") && !targets[0].contains("scale_set"));
    assert!(targets[1].starts_with("127.0.0.7:80 "), "{targets:?}");
    assert!(targets[1].contains(r#"__meta_azure_machine_scale_set="web""#), "{targets:?}");
    let asked: Vec<_> = fake.asked().into_iter().map(|asked| asked.target).collect();
    let interface = "/virtualMachineScaleSets/web/virtualMachines/0/networkInterfaces/x?\
                     %24expand=IPConfigurations%2FPublicIPAddress&api-version=2018-10-01";
    assert!(asked.iter().any(|target| target.ends_with(interface)), "{asked:?}");
    rig.stop().await;
}

#[tokio::test]
async fn machines_without_an_interface_are_left_out_and_the_others_stay() {
    let list = |numbers: &[u64]| {
        let machines: Vec<_> = numbers.iter().map(|number| machine(*number)).collect();
        json(&format!(r#"{{"value": [{}]}}"#, machines.join(",")))
    };
    let fake = Fake::start(move |asked| match path(asked) {
        path if path.ends_with("/virtualMachines") => list(&[2, 3, 4]),
        path if path.ends_with("/networkInterfaces/3") => Answer::new(404, "").into(),
        // Stopped, and given back.
        path if path.ends_with("/networkInterfaces/4") => json(r#"{"id": "/n", "properties": {}}"#),
        _ => azure(asked, 9),
    })
    .await;
    let mut rig = rig(&fake, OAUTH, &[]);
    until(&mut rig, 2).await;
    // Started again: it had not been kept that it was nowhere.
    fake.change(move |asked| match path(asked) {
        path if path.ends_with("/virtualMachines") => list(&[2, 4]),
        _ => azure(asked, 9),
    });
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while rig.targets("a").len() != 2 {
        tokio::time::timeout_at(deadline, rig.groups.changed()).await.unwrap().unwrap();
    }
    let count = |number: u64| {
        let end = format!("/networkInterfaces/{number}");
        fake.asked().iter().filter(|asked| path(asked).ends_with(&end)).count()
    };
    assert_eq!(count(2), 1, "what was answered is kept");
    // One that is there and has no address makes the answer none.
    let before = rig.metrics.snapshot().refreshes["azure"].failures_total;
    fake.change(move |asked| match path(asked) {
        path if path.ends_with("/virtualMachines") => list(&[2, 4, 5]),
        path if path.ends_with("/networkInterfaces/5") => json(
            r#"{"id": "/n", "properties": {"primary": true, "ipConfigurations": [{"properties": {}}]}}"#,
        ),
        _ => azure(asked, 9),
    });
    rig.until_counted(|now| now.refreshes["azure"].failures_total > before).await;
    assert_eq!(rig.targets("a").len(), 2);
    rig.stop().await;
}

#[tokio::test]
async fn all_pages_are_read_where_they_are_azures() {
    let fake = Fake::start(|_| Answer::new(503, "").into()).await;
    let url = format!("http://{}", fake.address());
    let more = move |next: String| {
        move |asked: &Asked| match asked.target.split_once("page=") {
            None if path(asked).ends_with("/virtualMachines") => {
                json(&format!(r#"{{"value": [{}], "nextLink": "{next}"}}"#, machine(2)))
            }
            Some((_, "2")) => json(&format!(r#"{{"value": [{}], "nextLink": null}}"#, machine(3))),
            _ => azure(asked, 9),
        }
    };
    let next = format!("{url}/subscriptions/s/next/virtualMachines?page=2");
    fake.change(more(next));
    let mut rig = rig(&fake, OAUTH, &[]);
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while rig.targets("a").len() != 2 {
        tokio::time::timeout_at(deadline, rig.groups.changed()).await.unwrap().unwrap();
    }
    // Nobody else sees the token, and circles end.
    let stranger = Fake::start(|_| json(r#"{"value": []}"#)).await;
    let own = format!(
        "{url}/subscriptions/s/providers/Microsoft.Compute/virtualMachines?api-version=2024-03-01"
    );
    for next in [format!("http://{}/", stranger.address()), "/relative".to_owned(), own] {
        let before = rig.metrics.snapshot().refreshes["azure"].failures_total;
        fake.change(more(next));
        rig.until_counted(|now| now.refreshes["azure"].failures_total > before).await;
        assert_eq!(rig.targets("a").len(), 2);
    }
    assert!(stranger.asked().is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn a_secret_that_is_replaced_is_used_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "f-hidden").unwrap();
    let path = file.display().to_string();
    let variables = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "me"),
        ("AZURE_FEDERATED_TOKEN_FILE", &*path),
    ];
    let fake = Fake::start(|asked| azure(asked, 2)).await;
    let mut rig = rig(&fake, ", authentication_method: WorkloadIdentity", &variables);
    until(&mut rig, 2).await;
    fake.change(|asked| match asked.header("authorization").as_deref() {
        Some("Bearer hidden-new") => azure(asked, 3),
        None if body(asked).contains("client_assertion=f2-hidden") => token("new"),
        _ => Answer::new(401, r#"{"error": "invalid_client"}"#).into(),
    });
    until_failed(&rig).await;
    assert!(at(&mut rig, 2));
    std::fs::write(&file, "f2-hidden").unwrap();
    until(&mut rig, 3).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_cloud_that_is_none_is_told_when_it_is_asked() {
    let fake = Fake::start(|asked| azure(asked, 2)).await;
    let rig = rig(&fake, &format!("{OAUTH}, environment: AzureMoon"), &[]);
    until_failed(&rig).await;
    assert!(fake.asked().is_empty());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_trouble_all_stays_as_it_is_until_it_is_over() {
    let mut tests = JoinSet::new();
    for place in ["/virtualMachines", "/virtualMachineScaleSets", "/networkInterfaces/3", "token"] {
        for trouble in Trouble::all(Duration::from_millis(300), HUGE) {
            // All are read in one way.
            if place != "/virtualMachines" && matches!(trouble, Trouble::Huge(_)) {
                continue;
            }
            // This is what Azure says of an interface that is no more.
            if place.ends_with('3') && trouble == Trouble::Status(404) {
                continue;
            }
            tests.spawn(async move {
                let fake = Fake::start(|asked| azure(asked, 2)).await;
                let mut rig = rig(&fake, OAUTH, &[]);
                until(&mut rig, 2).await;
                // Another machine, whose interface is not known yet; and the token is void.
                fake.change(move |asked| {
                    let is_old =
                        asked.header("authorization").as_deref() == Some("Bearer hidden-secret");
                    if path(asked).ends_with(place) {
                        return Reply::Trouble(trouble);
                    }
                    if place == "token" && is_old {
                        return Answer::new(401, "").into();
                    }
                    azure(asked, 3)
                });
                until_failed(&rig).await;
                assert!(at(&mut rig, 2), "{place} {trouble:?}");
                fake.change(|asked| azure(asked, 3));
                until(&mut rig, 3).await;
                rig.stop().await;
            });
        }
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}
