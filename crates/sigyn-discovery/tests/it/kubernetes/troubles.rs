//! API servers in trouble: no target goes that the API has not deleted, and all is well when it is.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::api::{Api, Cut, Question, Trouble};
use super::{addresses, is_pods_watch, pod, rig, until, until_asked};
use crate::rig::Rig;

/// More than the limit for answers.
const HUGE: usize = 64 << 20;

/// An API with one pod, and a job that has found it.
async fn found() -> (Api, Rig) {
    let api = Api::start().await;
    api.put("pods", pod("cart-0", "127.0.0.2"));
    let mut rig = rig(&api, "role: pod");
    until(&mut rig, &["127.0.0.2:8080"]).await;
    until_asked(&api, |api| api.watches("pods") == 1).await;
    (api, rig)
}

/// Another pod comes, and is found.
async fn is_well(api: &Api, rig: &mut Rig) {
    api.put("pods", pod("cart-1", "127.0.0.3"));
    until(rig, &["127.0.0.2:8080", "127.0.0.3:8080"]).await;
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_ended() {
    let (api, mut rig) = found().await;
    let bookmark = api.bookmark("pods");
    api.cut(Cut::Normally);
    until_asked(&api, |api| api.watches("pods") == 2).await;
    is_well(&api, &mut rig).await;
    assert_eq!((api.lists("pods"), api.watches("pods")), (1, 2));
    let last = api.asked().pop().unwrap();
    assert_eq!(last.parameter("resourceVersion"), bookmark.to_string());
    assert_eq!(rig.metrics.snapshot().kubernetes_failures_total, 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_watch_that_breaks_off_loses_nothing() {
    for cut in [Cut::Close, Cut::MidLine] {
        let (api, mut rig) = found().await;
        api.put("pods", pod("cart-2", "127.0.0.4"));
        until(&mut rig, &["127.0.0.2:8080", "127.0.0.4:8080"]).await;
        api.cut(cut);
        // Both before the next watch: an event that is missed would show.
        api.delete("pods", "shop", "cart-2");
        is_well(&api, &mut rig).await;
        assert_eq!(api.lists("pods"), 1, "{cut:?}");
        assert_eq!(rig.metrics.snapshot().kubernetes_failures_total, 1, "{cut:?}");
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_watch_that_is_refused_is_counted_for_each_resource_of_a_role() {
    for (role, resources) in [
        ("node", 1),
        ("pod", 1),
        ("service", 1),
        ("endpoints", 3),
        ("endpointslice", 3),
        ("ingress", 1),
    ] {
        let api = Api::start().await;
        api.trouble(|asked| asked.is_watch().then_some(Trouble::Status(401)));
        let rig = rig(&api, &format!("role: {role}"));
        until_asked(&api, |api| {
            let watched = api.asked().into_iter().filter(Question::is_watch);
            watched.map(|asked| asked.resource).collect::<BTreeSet<_>>().len() == resources
        })
        .await;
        let failures = u64::try_from(resources).unwrap();
        rig.until_counted(|now| now.kubernetes_failures_total >= failures).await;
        rig.stop().await;
    }
}

#[tokio::test]
async fn what_has_changed_unseen_is_found_by_another_list() {
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
    let event = Trouble::Line(json!({"type": "ERROR", "object": gone}).to_string());
    for trouble in [None, Some(event)] {
        let (api, mut rig) = found().await;
        api.put("pods", pod("cart-2", "127.0.0.4"));
        until(&mut rig, &["127.0.0.2:8080", "127.0.0.4:8080"]).await;
        // While nobody watches, one pod comes, one goes, and one becomes another.
        api.trouble(|asked| is_pods_watch(asked).then_some(Trouble::Status(503)));
        api.cut(Cut::Close);
        rig.until_counted(|now| now.kubernetes_failures_total >= 2).await;
        api.delete("pods", "shop", "cart-2");
        api.put("pods", pod("cart-0", "127.0.0.5"));
        api.put("pods", pod("cart-3", "127.0.0.6"));
        assert_eq!(addresses(&mut rig), ["127.0.0.2:8080", "127.0.0.4:8080"]);
        match &trouble {
            // The old version is answered with a status,
            None => {
                api.forget();
                api.recover();
            }
            // or with an event.
            Some(event) => {
                let mut event = Some(event.clone());
                api.trouble(move |asked| if is_pods_watch(asked) { event.take() } else { None });
            }
        }
        until(&mut rig, &["127.0.0.5:8080", "127.0.0.6:8080"]).await;
        let lists = api.asked().into_iter().filter(|asked| !asked.is_watch());
        let versions: Vec<_> =
            lists.map(|list| list.parameter("resourceVersion").to_owned()).collect();
        // What an API server has in its memory may be older than what was known.
        assert_eq!(versions, ["0", ""], "{trouble:?}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_in_trouble_changes_nothing() {
    let internal = json!({"kind": "Status", "code": 500, "message": "etcdserver: no leader"});
    let troubles = [
        Trouble::Status(500),
        Trouble::Status(429),
        Trouble::Status(401),
        Trouble::Status(403),
        Trouble::Status(404),
        Trouble::Close,
        Trouble::Body("<html>log in</html>".to_owned()),
        Trouble::Body("{}".to_owned()),
        Trouble::Line("}{".to_owned()),
        Trouble::Line("null".to_owned()),
        Trouble::Line(json!({"type": "RENAMED", "object": {}}).to_string()),
        Trouble::Line(json!({"type": "DELETED", "object": {}}).to_string()),
        Trouble::Line(json!({"type": "DELETED", "object": null}).to_string()),
        Trouble::Line(json!({"type": "ERROR", "object": internal}).to_string()),
        Trouble::Line(json!({"type": "ADDED", "object": {"metadata": {"name": 7}}}).to_string()),
    ];
    let mut tests = JoinSet::new();
    for trouble in troubles {
        tests.spawn(async move {
            let (api, mut rig) = found().await;
            let chosen = trouble.clone();
            api.trouble(move |asked| is_pods_watch(asked).then(|| chosen.clone()));
            api.cut(Cut::Close);
            // That of the cut, and two of the trouble.
            rig.until_counted(|now| now.kubernetes_failures_total >= 3).await;
            assert_eq!(addresses(&mut rig), ["127.0.0.2:8080"], "{trouble:?}");
            api.recover();
            is_well(&api, &mut rig).await;
            rig.stop().await;
        });
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_trouble_changes_nothing() {
    let troubles = [
        Trouble::Status(500),
        Trouble::Status(403),
        Trouble::Status(410),
        Trouble::Close,
        Trouble::Body("<html>log in</html>".to_owned()),
        Trouble::Body("{}".to_owned()),
        Trouble::Body("null".to_owned()),
        Trouble::Body(r#"{"kind": "PodList", "items": []}"#.to_owned()),
        Trouble::Body(
            r#"{"kind": "ServiceList", "metadata": {"resourceVersion": "9"}, "items": []}"#
                .to_owned(),
        ),
        Trouble::Body(r#"{"metadata": {"resourceVersion": "9"}, "items": [{}]}"#.to_owned()),
    ];
    let mut tests = JoinSet::new();
    for trouble in troubles {
        tests.spawn(async move {
            let (api, mut rig) = found().await;
            let chosen = trouble.clone();
            api.trouble(move |asked| (!asked.is_watch()).then(|| chosen.clone()));
            api.forget();
            api.cut(Cut::Normally);
            rig.until_counted(|now| now.kubernetes_failures_total >= 2).await;
            assert_eq!(addresses(&mut rig), ["127.0.0.2:8080"], "{trouble:?}");
            api.recover();
            is_well(&api, &mut rig).await;
            rig.stop().await;
        });
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_before_all_is_known() {
    let mut tests = JoinSet::new();
    for trouble in [Trouble::Status(500), Trouble::Close, Trouble::Body("{}".to_owned())] {
        tests.spawn(async move {
            let api = Api::start().await;
            api.put("pods", pod("cart-0", "127.0.0.2"));
            api.put("nodes", json!({"kind": "Node", "metadata": {"name": "n1"}}));
            let chosen = trouble.clone();
            api.trouble(move |asked| (asked.resource == "nodes").then(|| chosen.clone()));
            let mut rig = rig(&api, "role: pod, attach_metadata: {node: true}");
            rig.until_counted(|now| now.kubernetes_failures_total >= 2).await;
            until_asked(&api, |api| api.watches("pods") == 1).await;
            assert_eq!(rig.metrics.snapshot().received_updates_total, 0, "{trouble:?}");
            api.recover();
            until(&mut rig, &["127.0.0.2:8080"]).await;
            rig.stop().await;
        });
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn an_api_that_is_slow_is_waited_for() {
    let api = Api::start().await;
    api.put("pods", pod("cart-0", "127.0.0.2"));
    let slow = Trouble::Slow(Duration::from_millis(1500));
    api.trouble(move |asked| (!asked.is_watch()).then(|| slow.clone()));
    let mut rig = rig(&api, "role: pod");
    until(&mut rig, &["127.0.0.2:8080"]).await;
    assert_eq!((api.lists("pods"), rig.metrics.snapshot().kubernetes_failures_total), (1, 0));
    rig.stop().await;
}

#[tokio::test]
async fn a_list_that_is_too_large_in_one_piece_comes_in_pages() {
    let api = Api::start().await;
    for number in 0..600 {
        api.put(
            "pods",
            pod(&format!("cart-{number:03}"), &format!("127.0.{}.{}", number / 200, number % 200)),
        );
    }
    api.heed_limit();
    api.trouble(|asked| match asked.parameter("resourceVersion") {
        "0" => Some(Trouble::Huge(HUGE)),
        // And the pages are too large, too, at first.
        _ if asked.parameter("limit") == "500" => Some(Trouble::Huge(HUGE)),
        _ => None,
    });
    let mut rig = rig(&api, "role: pod");
    rig.until_counted(|now| now.discovered_targets() == 600).await;
    assert_eq!(addresses(&mut rig).len(), 600);
    let asked: Vec<_> = api
        .asked()
        .iter()
        .filter(|asked| !asked.is_watch())
        .map(|asked| format!("{} {}", asked.parameter("limit"), asked.parameter("continue")))
        .collect();
    let expected = ["500 ", "500 ", "125 ", "125 125", "125 250", "125 375", "125 500"];
    assert_eq!(asked, expected);
    assert_eq!(rig.metrics.snapshot().kubernetes_failures_total, 0);
    rig.stop().await;
}

#[tokio::test]
async fn pages_that_have_become_too_old_are_asked_for_anew() {
    let (api, rig) = found().await;
    for number in 1..700 {
        api.put(
            "pods",
            pod(&format!("cart-{number:03}"), &format!("127.1.{}.{}", number / 200, number % 200)),
        );
    }
    rig.until_counted(|now| now.discovered_targets() == 700).await;
    api.heed_limit();
    let mut times = 0;
    api.trouble(move |asked| {
        let is_old = !asked.parameter("continue").is_empty() && times < 2;
        times += usize::from(is_old);
        is_old.then_some(Trouble::Status(410))
    });
    api.delete("pods", "shop", "cart-001");
    api.forget();
    api.cut(Cut::Normally);
    until_asked(&api, |api| api.lists("pods") == 7).await;
    rig.until_counted(|now| now.discovered_targets() == 699).await;
    let lists: Vec<_> = api
        .asked()
        .iter()
        .filter(|asked| !asked.is_watch())
        .skip(1)
        .map(|asked| asked.parameter("continue").to_owned())
        .collect();
    assert_eq!(lists, ["", "500", "", "500", "", "500"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_token_that_was_renewed_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "t1\n").unwrap();
    let api = Api::start().await;
    api.want_token("t1");
    api.put("pods", pod("cart-0", "127.0.0.2"));
    let mut rig = rig(&api, &format!("role: pod, bearer_token_file: '{}'", file.display()));
    until(&mut rig, &["127.0.0.2:8080"]).await;
    api.want_token("t2");
    api.cut(Cut::Normally);
    rig.until_counted(|now| now.kubernetes_failures_total >= 2).await;
    assert_eq!(addresses(&mut rig), ["127.0.0.2:8080"]);
    std::fs::write(&file, "t2\n").unwrap();
    is_well(&api, &mut rig).await;
    assert_eq!(api.lists("pods"), 1);
    rig.stop().await;
}

#[tokio::test]
async fn an_event_that_comes_twice_changes_nothing() {
    let (api, mut rig) = found().await;
    let updates = rig.metrics.snapshot().received_updates_total;
    for _ in 0..3 {
        api.put("pods", pod("cart-0", "127.0.0.2"));
    }
    rig.until_counted(|now| now.kubernetes_events.get(&("pod", "update")) == Some(&3)).await;
    assert_eq!(rig.metrics.snapshot().received_updates_total, updates);
    is_well(&api, &mut rig).await;
    rig.stop().await;
}
