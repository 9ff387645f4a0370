//! Each role from end to end, and what happens to targets when something else changes that they tell
//! of.

use serde_json::{Value, json};

use super::api::Api;
use super::{named, pod, rig, until, until_told};

fn node(name: &str, zone: &str) -> Value {
    json!({
        "kind": "Node",
        "metadata": {"name": name, "labels": {"zone": zone}},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    })
}

fn with_label(mut object: Value, label: &str) -> Value {
    object["metadata"]["labels"] = json!({"is": label});
    object
}

fn endpoints(ip: &str) -> Value {
    let mut endpoints = named("Endpoints", "shop", "cart");
    endpoints["subsets"] = json!([{
        "addresses": [{
            "ip": ip, "nodeName": "n1",
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "cart-0"},
        }],
        "ports": [{"port": 8080, "protocol": "TCP"}],
    }]);
    endpoints
}

fn slice(ip: &str) -> Value {
    let mut slice = named("EndpointSlice", "shop", "cart-x7");
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "cart"});
    slice["addressType"] = "IPv4".into();
    slice["endpoints"] = json!([{
        "addresses": [ip], "nodeName": "n1",
        "targetRef": {"kind": "Pod", "namespace": "shop", "name": "cart-0"},
    }]);
    slice["ports"] = json!([{"port": 8080, "protocol": "TCP"}]);
    slice
}

fn service(label: &str) -> Value {
    let mut service = with_label(named("Service", "shop", "cart"), label);
    service["spec"] = json!({"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP"}]});
    service
}

/// Everything there is in a small cluster.
async fn cluster() -> Api {
    let api = Api::start().await;
    api.put("nodes", node("n1", "a"));
    api.put("namespaces", with_label(named("Namespace", "", "shop"), "old"));
    api.put("pods", with_label(pod("cart-0", "127.0.0.2"), "old"));
    api.put("services", service("old"));
    api.put("endpoints", endpoints("127.0.0.2"));
    api.put("endpointslices", slice("127.0.0.2"));
    let mut ingress = named("Ingress", "shop", "front");
    ingress["spec"] = json!({"rules": [{"host": "shop.test"}]});
    api.put("ingresses", ingress);
    api
}

#[tokio::test]
async fn each_role_finds_its_own() {
    let api = cluster().await;
    for (role, expected) in [
        ("node", "127.0.0.1:10250"),
        ("pod", "127.0.0.2:8080"),
        ("service", "cart.shop.svc:80"),
        ("endpoints", "127.0.0.2:8080"),
        ("endpointslice", "127.0.0.2:8080"),
        ("ingress", "shop.test"),
    ] {
        let mut rig = rig(&api, &format!("role: {role}"));
        until(&mut rig, &[expected]).await;
        rig.stop().await;
    }
}

#[tokio::test]
async fn nodes_come_and_go() {
    let api = cluster().await;
    let mut rig = rig(&api, "role: node");
    until(&mut rig, &["127.0.0.1:10250"]).await;
    api.put("nodes", node("n2", "a"));
    until(&mut rig, &["127.0.0.1:10250", "127.0.0.1:10250"]).await;
    // A node that has lost its addresses stays as it was.
    api.put("nodes", named("Node", "", "n2"));
    api.put("nodes", node("n1", "moved"));
    until_told(&mut rig, r#"zone="moved""#).await;
    until(&mut rig, &["127.0.0.1:10250", "127.0.0.1:10250"]).await;
    api.delete("nodes", "", "n2");
    until(&mut rig, &["127.0.0.1:10250"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn pods_are_told_what_their_node_and_namespace_and_owners_become() {
    let api = cluster().await;
    let owned = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "controller": true}]);
    let mut cart = pod("cart-0", "127.0.0.2");
    cart["metadata"]["ownerReferences"] = owned("ReplicaSet", "cart-7f");
    api.put("pods", cart);
    let mut mail = pod("mail-0", "127.0.0.3");
    mail["metadata"]["ownerReferences"] = owned("Job", "mail-1");
    mail["spec"]["nodeName"] = "n2".into();
    api.put("pods", mail);
    let all = "{node: true, namespace: true, deployment: true, job: true, cronjob: true}";
    let mut rig = rig(&api, &format!("role: pod, attach_metadata: {all}"));
    until(&mut rig, &["127.0.0.2:8080"]).await;
    until_told(&mut rig, r#"namespace_label_is="old""#).await;
    until_told(&mut rig, r#"node_label_zone="a""#).await;
    api.put("nodes", node("n1", "moved"));
    until_told(&mut rig, r#"node_label_zone="moved""#).await;
    api.put("namespaces", with_label(named("Namespace", "", "shop"), "new"));
    until_told(&mut rig, r#"namespace_label_is="new""#).await;
    let mut set = named("ReplicaSet", "shop", "cart-7f");
    set["metadata"]["ownerReferences"] = owned("Deployment", "cart");
    api.put("replicasets", set);
    until_told(&mut rig, r#"pod_deployment_name="cart""#).await;
    // A pod of a node that is not known is found when the node is.
    api.put("nodes", node("n2", "b"));
    until(&mut rig, &["127.0.0.2:8080", "127.0.0.3:8080"]).await;
    until_told(&mut rig, r#"pod_job_name="mail-1""#).await;
    let mut job = named("Job", "shop", "mail-1");
    job["metadata"]["ownerReferences"] = owned("CronJob", "mail");
    api.put("jobs", job);
    until_told(&mut rig, r#"pod_cronjob_name="mail""#).await;
    api.delete("nodes", "", "n1");
    until(&mut rig, &["127.0.0.3:8080"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn endpoints_are_told_what_their_service_and_pods_become() {
    for role in ["endpoints", "endpointslice"] {
        let api = cluster().await;
        let section = format!("role: {role}, attach_metadata: {{node: true, namespace: true}}");
        let mut rig = rig(&api, &section);
        until(&mut rig, &["127.0.0.2:8080"]).await;
        for told in ["service_label_is", "pod_label_is", "namespace_label_is"] {
            until_told(&mut rig, &format!(r#"{told}="old""#)).await;
        }
        api.put("services", service("new"));
        until_told(&mut rig, r#"service_label_is="new""#).await;
        api.put("pods", with_label(pod("cart-0", "127.0.0.2"), "new"));
        until_told(&mut rig, r#"pod_label_is="new""#).await;
        api.put("nodes", node("n1", "moved"));
        until_told(&mut rig, r#"node_label_zone="moved""#).await;
        api.put("namespaces", with_label(named("Namespace", "", "shop"), "new"));
        until_told(&mut rig, r#"namespace_label_is="new""#).await;
        // A pod goes before the endpoints know: nothing becomes another target by that.
        let before = rig.targets("a");
        api.delete("pods", "shop", "cart-0");
        let (mut further_endpoints, mut further_slice) =
            (endpoints("127.0.0.9"), slice("127.0.0.9"));
        for further in [&mut further_endpoints, &mut further_slice] {
            further["metadata"]["name"] = "further".into();
        }
        api.put("endpoints", further_endpoints);
        api.put("endpointslices", further_slice);
        until(&mut rig, &["127.0.0.2:8080", "127.0.0.9:8080"]).await;
        assert_eq!(rig.targets("a")[..1], before, "{role}");
        api.put("endpoints", endpoints("127.0.0.3"));
        api.put("endpointslices", slice("127.0.0.3"));
        until(&mut rig, &["127.0.0.3:8080", "127.0.0.9:8080"]).await;
        rig.stop().await;
    }
}

#[tokio::test]
async fn endpoints_are_told_why_their_pods_are_there() {
    for role in ["endpoints", "endpointslice"] {
        let api = cluster().await;
        let owned =
            |kind: &str, name: &str| json!([{"kind": kind, "name": name, "controller": true}]);
        let mut cart = pod("cart-0", "127.0.0.2");
        cart["metadata"]["ownerReferences"] = owned("Job", "sum-1");
        api.put("pods", cart);
        let mut rig =
            rig(&api, &format!("role: {role}, attach_metadata: {{job: true, cronjob: true}}"));
        until_told(&mut rig, r#"pod_job_name="sum-1""#).await;
        let mut sum = named("Job", "shop", "sum-1");
        sum["metadata"]["ownerReferences"] = owned("CronJob", "sum");
        api.put("jobs", sum);
        until_told(&mut rig, r#"pod_cronjob_name="sum""#).await;
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_service_and_an_ingress_are_told_what_their_namespace_becomes() {
    for role in ["service", "ingress"] {
        let api = cluster().await;
        let mut rig = rig(&api, &format!("role: {role}, attach_metadata: {{namespace: true}}"));
        until_told(&mut rig, r#"namespace_label_is="old""#).await;
        api.put("namespaces", with_label(named("Namespace", "", "shop"), "new"));
        until_told(&mut rig, r#"namespace_label_is="new""#).await;
        rig.stop().await;
    }
}
