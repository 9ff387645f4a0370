//! Which groups are made anew, and when they are told.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{advance, timeout};
use tokio_util::sync::CancellationToken;

use super::super::store::Store;
use super::super::view::Objects;
use super::super::{Attach, Watches};
use super::*;
use crate::mechanism::{Update, Whose, file};
use crate::metrics::Metrics;

fn pod(namespace: &str, name: &str) -> Pod {
    let pod = json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"nodeName": "n1", "containers": [{"name": "main"}]},
        "status": {"podIP": "127.0.0.1"},
    });
    serde_json::from_value(pod).unwrap()
}

fn node(name: &str) -> Node {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

/// Nobody has listed these namespaces yet.
fn unknown<T>(namespaces: &[&str]) -> Objects<T> {
    let watched = namespaces
        .iter()
        .map(|namespace| ((*namespace).to_owned(), Watched::of(Store::default())))
        .collect();
    Objects { watched }
}

fn of_pods(pods: Objects<Pod>) -> View {
    View { pods, ..View::default() }
}

/// Sources, and how many targets they have.
fn shown(groups: &[TargetGroup]) -> Vec<String> {
    groups.iter().map(|group| format!("{} {}", group.source, group.targets.len())).collect()
}

fn store<T>(objects: &Objects<T>, namespace: &str) -> Arc<Store<T>> {
    Arc::clone(&objects.watched[namespace].store)
}

fn follower(view: &View) -> Arc<Follower> {
    let follower = Arc::new(Follower::new(Role::Pod, Arc::default()));
    view.follow(&follower);
    follower
}

#[test]
fn what_was_known_of_a_namespace_and_is_not_there_goes_once_it_is_listed() {
    let view = of_pods(unknown(&["shop", "till"]));
    let (shop, till) = (store(&view.pods, "shop"), store(&view.pods, "till"));
    let follower = follower(&view);
    let known = ["pod/shop/a", "pod/shop/b", "pod/till/c", "pod/other/d"];
    let mut following = Following::new(view, known.map(str::to_owned).into());
    let mut look = || shown(&following.look::<Pod>(follower.take()));
    assert_eq!(look(), [""; 0]);
    shop.replace(vec![pod("shop", "a"), pod("shop", "e")]);
    assert_eq!(look(), ["pod/shop/b 0", "pod/shop/a 1", "pod/shop/e 1"]);
    // Another is not known yet, and nothing is told of it.
    till.put(pod("till", "f"));
    assert_eq!(look(), [""; 0]);
    till.replace(vec![pod("till", "f")]);
    assert_eq!(look(), ["pod/till/c 0", "pod/till/f 1"]);
    assert_eq!(look(), [""; 0]);
}

#[test]
fn what_was_known_of_any_namespace_goes_where_all_are_listed() {
    let view = of_pods(unknown(&[""]));
    store(&view.pods, "").replace(vec![pod("shop", "a")]);
    let follower = follower(&view);
    let known = ["pod/shop/a", "pod/shop/b", "pod/till/c"];
    let mut following = Following::new(view, known.map(str::to_owned).into());
    let groups = following.look::<Pod>(follower.take());
    assert_eq!(shown(&groups), ["pod/shop/b 0", "pod/till/c 0", "pod/shop/a 1"]);
}

#[test]
fn only_what_is_concerned_is_made_anew() {
    let view = View {
        attach: Attach { node: true, ..Attach::default() },
        nodes: unknown(&[""]),
        ..of_pods(unknown(&[""]))
    };
    let (nodes, pods) = (store(&view.nodes, ""), store(&view.pods, ""));
    let follower = follower(&view);
    let mut following = Following::new(view, BTreeSet::new());
    let mut look = || shown(&following.look::<Pod>(follower.take()));
    pods.replace(vec![pod("shop", "a"), pod("shop", "b")]);
    assert_eq!(look(), [""; 0]);
    nodes.replace(vec![node("n1")]);
    assert_eq!(look(), ["pod/shop/a 1", "pod/shop/b 1"]);
    nodes.put(node("n2"));
    assert_eq!(look(), [""; 0]);
    pods.put(pod("shop", "c"));
    assert_eq!(look(), ["pod/shop/c 1"]);
    nodes.remove(&node("n1").name());
    assert_eq!(look(), ["pod/shop/a 0", "pod/shop/b 0", "pod/shop/c 0"]);
    pods.remove(&pod("shop", "b").name());
    assert_eq!(look(), ["pod/shop/b 0"]);
}

#[tokio::test(start_paused = true)]
async fn at_first_those_that_are_known_wait_for_the_others_for_a_while() {
    let view = of_pods(unknown(&["shop", "till"]));
    let shop = store(&view.pods, "shop");
    let follower = follower(&view);
    let mut following = Following::new(view, BTreeSet::new());
    let mut due = || {
        let groups = following.look::<Pod>(follower.take());
        following.due::<Pod>(groups).map(|groups| shown(&groups))
    };
    // Nothing is known yet: however long that takes, it is no answer.
    assert_eq!(due(), None);
    advance(2 * FIRST_MAX).await;
    assert_eq!(due(), None);
    shop.replace(vec![pod("shop", "a")]);
    assert_eq!(due(), None);
    advance(FIRST_MAX / 2).await;
    shop.put(pod("shop", "b"));
    assert_eq!(due(), None);
    advance(FIRST_MAX / 2).await;
    let both = ["pod/shop/a 1", "pod/shop/b 1"].map(str::to_owned);
    assert_eq!(due(), Some(both.into()));
    assert_eq!(due(), None);
    shop.remove(&pod("shop", "a").name());
    assert_eq!(due(), Some(vec!["pod/shop/a 0".to_owned()]));
}

#[tokio::test]
async fn a_provider_ends_when_something_that_it_follows_is_no_longer_watched() {
    let view = of_pods(unknown(&[""]));
    let pods = store(&view.pods, "");
    let (updates_tx, mut updates) = mpsc::channel(1);
    let metrics: Arc<Metrics> = Arc::default();
    let context = Context {
        provider: 7,
        whose: Whose::of("a", "kubernetes", ""),
        job: "a".to_owned(),
        known: BTreeSet::new(),
        updates: updates_tx,
        watcher: Arc::new(file::Watcher::new(Arc::clone(&metrics))),
        kubernetes: Arc::new(Watches::default()),
        metrics,
        shutdown: CancellationToken::new(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(follow::<Pod>(view, context));
    pods.replace(vec![pod("shop", "a")]);
    let patience = Duration::from_secs(20);
    let update = timeout(patience, updates.recv()).await.unwrap();
    let Some(Update { provider: 7, groups }) = update else { panic!("{update:?}") };
    assert_eq!(shown(&groups), ["pod/shop/a 1"]);
    pods.end();
    timeout(patience, tasks.join_next()).await.unwrap().unwrap().unwrap();
}

#[test]
fn a_view_has_what_its_role_needs_and_no_more() {
    /// Notes what is watched.
    #[derive(Default)]
    struct Noting(std::cell::RefCell<BTreeMap<Resource, Vec<String>>>);

    impl Watch for Noting {
        fn watched<T: Object>(&self, namespace: &str) -> Arc<Watched<T>> {
            let mut noted = self.0.borrow_mut();
            noted.entry(T::RESOURCE).or_default().push(namespace.to_owned());
            Watched::of(Store::default())
        }
    }

    let check = |role: Role, attach: Attach, expected: &[(Resource, &[&str])]| {
        let noting = Noting::default();
        let namespaces = BTreeSet::from(["shop".to_owned(), "till".to_owned()]);
        let _view = View::new(role, attach, &namespaces, &noting, &Arc::default());
        let noted = noting.0.into_inner();
        let noted: Vec<_> = noted
            .iter()
            .map(|(resource, namespaces)| {
                (*resource, namespaces.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(resource, namespaces)| (*resource, namespaces.to_vec()))
            .collect();
        assert_eq!(noted, expected, "{role:?}");
    };
    let (all, both): (&[&str], &[&str]) = (&[""], &["shop", "till"]);
    let none = Attach::default();
    let everything =
        Attach { node: true, namespace: true, deployment: true, job: true, cronjob: true };
    let (nodes, namespaces) = ((Resource::Nodes, all), (Resource::Namespaces, all));
    let (pods, services) = ((Resource::Pods, both), (Resource::Services, both));
    let (sets, jobs) = ((Resource::ReplicaSets, both), (Resource::Jobs, both));
    check(Role::Node, none, &[nodes]);
    check(Role::Node, everything, &[nodes]);
    check(Role::Pod, none, &[pods]);
    check(Role::Pod, Attach { job: true, ..none }, &[pods]);
    check(Role::Pod, everything, &[nodes, namespaces, pods, sets, jobs]);
    check(Role::Service, none, &[services]);
    check(Role::Service, everything, &[namespaces, services]);
    let endpoints = (Resource::Endpoints, both);
    check(Role::Endpoints, none, &[pods, services, endpoints]);
    check(Role::Endpoints, everything, &[nodes, namespaces, pods, services, endpoints, sets, jobs]);
    let slices = (Resource::EndpointSlices, both);
    check(Role::EndpointSlice, none, &[pods, services, slices]);
    let all_of_slices = [nodes, namespaces, pods, services, slices, sets, jobs];
    check(Role::EndpointSlice, everything, &all_of_slices);
    let ingresses = (Resource::Ingresses, both);
    check(Role::Ingress, none, &[ingresses]);
    check(Role::Ingress, everything, &[namespaces, ingresses]);
}
