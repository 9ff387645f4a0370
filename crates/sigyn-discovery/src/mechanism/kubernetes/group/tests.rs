//! Objects in, groups out: the cases of `tests/data/kubernetes/`.
//!
//! A file is a list of cases for one role. Each has a `name`, the `objects` that there are, what is
//! attached, and the `groups` that come of it: by source, the labels that are common to all targets,
//! and those of each. `~` stands for `__meta_kubernetes_`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::objects::{
    EndpointSlice, Endpoints, Ingress, Job, Namespace, Node, Object, Pod, ReplicaSet, Service,
};
use super::super::store::Store;
use super::super::watches::Watched;
use super::*;
use crate::yaml;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    attach: Vec<String>,
    objects: Vec<Value>,
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

fn view(case: &Case) -> View {
    let attaches = |what: &str| case.attach.iter().any(|attached| attached == what);
    View {
        whose: std::sync::Arc::default(),
        attach: Attach {
            node: attaches("node"),
            namespace: attaches("namespace"),
            deployment: attaches("deployment"),
            job: attaches("job"),
            cronjob: attaches("cronjob"),
        },
        nodes: objects::<Node>(case, "Node"),
        namespaces: objects::<Namespace>(case, "Namespace"),
        pods: objects::<Pod>(case, "Pod"),
        services: objects::<Service>(case, "Service"),
        endpoints: objects::<Endpoints>(case, "Endpoints"),
        endpoint_slices: objects::<EndpointSlice>(case, "EndpointSlice"),
        ingresses: objects::<Ingress>(case, "Ingress"),
        replica_sets: objects::<ReplicaSet>(case, "ReplicaSet"),
        jobs: objects::<Job>(case, "Job"),
    }
}

fn objects<T: Object>(case: &Case, kind: &str) -> Objects<T> {
    let store = Store::default();
    for object in case.objects.iter().filter(|object| object["kind"] == kind) {
        let mut object: T = serde_json::from_value(object.clone()).unwrap();
        object.strip();
        store.put(object);
    }
    Objects { watched: BTreeMap::from([(String::new(), Watched::of(store))]) }
}

fn short(labels: &Labels) -> BTreeMap<String, String> {
    let short = |name: &str| name.replacen(PREFIX, "~", 1);
    labels.iter().map(|(name, value)| (short(name), value.to_owned())).collect()
}

fn check<T: Grouped>(text: &str) {
    let cases: Vec<Case> = yaml::from_yaml(text).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let view = view(&case);
        let mut groups = BTreeMap::new();
        for object in T::among(&view).watched[""].store.list() {
            let Some(group) = group::<T>(&object.name(), &view) else { continue };
            let targets = group.targets.iter().map(short).collect();
            groups.insert(group.source, Expected { labels: short(&group.labels), targets });
        }
        let told: Vec<&String> = groups.keys().collect();
        let expected: Vec<&String> = case.groups.keys().collect();
        assert_eq!(told, expected, "{}", case.name);
        for (source, expected) in &case.groups {
            let told = &groups[source];
            assert_eq!(told.labels, expected.labels, "{}: {source}", case.name);
            assert_eq!(told.targets.len(), expected.targets.len(), "{}: {source}", case.name);
            for (told, expected) in told.targets.iter().zip(&expected.targets) {
                assert_eq!(told, expected, "{}: {source}", case.name);
            }
        }
    }
}

#[test]
fn nodes() {
    check::<Node>(include_str!("../../../../tests/data/kubernetes/node.yml"));
}

#[test]
fn pods() {
    check::<Pod>(include_str!("../../../../tests/data/kubernetes/pod.yml"));
}

#[test]
fn services() {
    check::<Service>(include_str!("../../../../tests/data/kubernetes/service.yml"));
}

#[test]
fn endpoints() {
    check::<Endpoints>(include_str!("../../../../tests/data/kubernetes/endpoints.yml"));
}

#[test]
fn endpoint_slices() {
    check::<EndpointSlice>(include_str!("../../../../tests/data/kubernetes/endpointslice.yml"));
}

#[test]
fn ingresses() {
    check::<Ingress>(include_str!("../../../../tests/data/kubernetes/ingress.yml"));
}

#[test]
fn an_object_that_is_gone_has_a_group_without_targets() {
    let view = View::default();
    let name = Name { namespace: "shop".to_owned(), name: "cart-0".to_owned() };
    let group = group::<Pod>(&name, &view).unwrap();
    assert_eq!(group.source, "pod/shop/cart-0");
    assert!(group.targets.is_empty() && group.labels.is_empty());
}

#[test]
fn sources_tell_the_namespace() {
    for (source, expected) in
        [("pod/shop/cart-0", "shop"), ("svc/shop/cart", "shop"), ("node/n1", ""), ("", "")]
    {
        assert_eq!(namespace_of(source), expected);
    }
}
