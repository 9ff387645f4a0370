//! Sections that are refused, and which targets a swarm's lists are.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::docker::daemon::as_json;
use super::find::{ById, address};
use super::nodes::{self, Node};
use super::services::{self, Service};
use super::tasks::{self, Around, Task};
use super::*;
use crate::labels::Labels;
use crate::mechanism::docker::network::Network;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: DockerSwarmConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{role: tasks}", "host missing");
    check("{host: 'tcp://a:b'}", r#"parse "tcp://a:b": invalid port ":b" after host"#);
    check("{host: unix:///x}", "role missing (one of: tasks, services, nodes)");
    check(
        "{host: unix:///x, role: containers}",
        "invalid role containers, expected tasks, services, or nodes",
    );
    check("{host: unix:///x, bogus: 1}", "field bogus not found in type moby.plain");
    check("{host: unix:///x, filters: [{key: a}]}", "field key not found in type moby.Filter");
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{host: 'unix:///var/run/docker.sock', role: nodes}").unwrap();
    assert_eq!((config.port, config.role), (80, Role::Nodes));
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
    assert_eq!(as_json(&config.filters), None);
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

fn networks() -> ById {
    let networks: Vec<Network> = read(
        r#"[{"Id": "n1", "Name": "ingress", "Scope": "swarm", "Ingress": true},
            {"Id": "n2", "Name": "back", "Labels": {"a.b": "c"}}]"#,
    );
    let named = |network: &Network| {
        let mut labels = network.labels("__meta_dockerswarm_");
        labels.retain(|name, _| !name.ends_with("internal") && !name.ends_with("ingress"));
        (network.id().to_owned(), labels)
    };
    networks.iter().map(named).collect()
}

/// Each target in short.
#[track_caller]
fn check(targets: &[Labels], expected: &[&str]) {
    let told: Vec<_> = targets
        .iter()
        .map(|labels| labels.to_string().replace("__meta_dockerswarm_", "~"))
        .collect();
    assert_eq!(told, expected);
}

const NODES: &str = r#"[
    {
        "ID": "m1", "Version": {"Index": 7},
        "Spec": {"Labels": {"rack.no": "7"}, "Role": "manager", "Availability": "active"},
        "Description": {
            "Hostname": "one", "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Engine": {"EngineVersion": "28.1", "Plugins": []}
        },
        "Status": {"State": "ready", "Addr": "127.0.0.2"},
        "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "127.0.0.2:2377"}
    },
    {"ID": "m2", "Spec": {"Labels": null, "Role": "worker"}, "Status": {"Addr": "::1"}}
]"#;

const SERVICES: &str = r#"[
    {
        "ID": "s1",
        "Spec": {
            "Name": "cart", "Labels": {"com.shop/tier": "web"}, "Mode": {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"ContainerSpec": {"Image": "shop/cart:7", "Hostname": "cart-1"}}
        },
        "Endpoint": {
            "Ports": [
                {"Name": "web", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 81, "PublishMode": "ingress"},
                {"Protocol": "udp", "TargetPort": 82, "PublishedPort": 82, "PublishMode": "ingress"}
            ],
            "VirtualIPs": [{"NetworkID": "n1", "Addr": "127.0.0.3/24"}, {"NetworkID": "n9", "Addr": "::1/64"}]
        },
        "UpdateStatus": {"State": "completed"}
    },
    {
        "ID": "s2", "Spec": {"Name": "logs", "Mode": {"Global": {}}},
        "Endpoint": {"VirtualIPs": [{"NetworkID": "n2", "Addr": "127.0.0.4/8"}]}, "UpdateStatus": null
    },
    {"ID": "s3", "Spec": {"Name": "hidden", "TaskTemplate": {"PluginSpec": {}}}}
]"#;

#[test]
fn a_node_is_a_target_at_its_address() {
    let nodes: Vec<Node> = read(NODES);
    let targets: Vec<_> = nodes.iter().map(|node| nodes::target(node, 9100)).collect();
    check(
        &targets,
        &[
            concat!(
                r#"{__address__="127.0.0.2:9100", ~node_address="127.0.0.2", "#,
                r#"~node_availability="active", ~node_engine_version="28.1", ~node_hostname="one", "#,
                r#"~node_id="m1", ~node_label_rack_no="7", ~node_manager_address="127.0.0.2:2377", "#,
                r#"~node_manager_leader="true", ~node_manager_reachability="reachable", "#,
                r#"~node_platform_architecture="x86_64", ~node_platform_os="linux", "#,
                r#"~node_role="manager", ~node_status="ready"}"#,
            ),
            r#"{__address__="[::1]:9100", ~node_address="::1", ~node_id="m2", ~node_role="worker"}"#,
        ],
    );
}

#[test]
fn a_service_is_a_target_at_each_virtual_address_and_port() {
    let services: Vec<Service> = read(SERVICES);
    let targets = services::targets(&services, &networks(), 9100).unwrap();
    let cart = concat!(
        r#"~service_endpoint_port_name="web", ~service_endpoint_port_publish_mode="ingress", "#,
        r#"~service_id="s1", ~service_label_com_shop_tier="web", ~service_mode="replicated", "#,
        r#"~service_name="cart", ~service_task_container_hostname="cart-1", "#,
        r#"~service_task_container_image="shop/cart:7", ~service_updating_status="completed""#,
    );
    let ingress = r#"~network_id="n1", ~network_name="ingress", ~network_scope="swarm""#;
    check(
        &targets,
        &[
            &format!(r#"{{__address__="127.0.0.3:81", {ingress}, {cart}}}"#),
            &format!(r#"{{__address__="[::1]:81", {cart}}}"#),
            concat!(
                r#"{__address__="127.0.0.4:9100", ~network_id="n2", ~network_label_a_b="c", "#,
                r#"~network_name="back", ~service_id="s2", ~service_mode="global", "#,
                r#"~service_name="logs"}"#,
            ),
        ],
    );
}

#[test]
fn a_task_is_a_target_at_its_machine_and_at_its_own_addresses() {
    let (services, nodes): (Vec<Service>, Vec<Node>) = (read(SERVICES), read(NODES));
    let around = Around {
        services: &services,
        nodes: nodes.iter().skip(1).map(Node::for_tasks).collect(),
        networks: networks(),
    };
    let tasks: Vec<Task> = read(
        r#"[
            {
                "ID": "t1", "ServiceID": "s1", "NodeID": "m2", "Slot": 2, "DesiredState": "running",
                "Spec": {"ContainerSpec": {"Labels": {"x.y": "z"}}},
                "Status": {
                    "State": "running", "ContainerStatus": {"ContainerID": "c1", "PID": 1},
                    "PortStatus": {"Ports": [
                        {"Protocol": "tcp", "PublishedPort": 83, "PublishMode": "host"},
                        {"Protocol": "udp", "PublishedPort": 84, "PublishMode": "host"}
                    ]}
                },
                "NetworksAttachments": [
                    {"Network": {"ID": "n2", "Spec": {}}, "Addresses": ["127.0.0.5/24"]},
                    {"Network": {"ID": "n9"}, "Addresses": null}
                ]
            },
            {
                "ID": "t2", "ServiceID": "s2", "NodeID": "gone", "DesiredState": "shutdown",
                "Status": {"State": "failed", "ContainerStatus": null},
                "NetworksAttachments": [{"Network": {"ID": "n9"}, "Addresses": ["127.0.0.6/24"]}]
            },
            {"ID": "t3", "ServiceID": "gone", "Status": {"State": "pending"}}
        ]"#,
    );
    let targets = tasks::targets(&tasks, &around, 9100).unwrap();
    let node = r#"~node_address="::1", ~node_id="m2", ~node_role="worker""#;
    let cart = concat!(
        r#"~service_id="s1", ~service_label_com_shop_tier="web", ~service_mode="replicated", "#,
        r#"~service_name="cart", ~task_container_id="c1", ~task_desired_state="running", "#,
        r#"~task_id="t1""#,
    );
    let back = r#"~network_id="n2", ~network_label_a_b="c", ~network_name="back""#;
    check(
        &targets,
        &[
            &format!(
                r#"{{__address__="[::1]:83", ~container_label_x_y="z", {node}, {cart}, ~task_port_publish_mode="host", ~task_slot="2", ~task_state="running"}}"#
            ),
            &format!(
                r#"{{__address__="127.0.0.5:81", ~container_label_x_y="z", {back}, {node}, {cart}, ~task_port_publish_mode="ingress", ~task_slot="2", ~task_state="running"}}"#
            ),
            concat!(
                r#"{__address__="127.0.0.6:9100", ~service_id="s2", ~service_mode="global", "#,
                r#"~service_name="logs", ~task_desired_state="shutdown", ~task_id="t2", "#,
                r#"~task_slot="0", ~task_state="failed"}"#,
            ),
        ],
    );
}

#[test]
fn addresses_have_a_network_behind_them() {
    for (text, expected) in
        [("127.0.0.2/24", Some("127.0.0.2")), ("::1/128", Some("::1")), ("0:0::1/0", Some("::1"))]
    {
        assert_eq!(address(text).ok().as_deref(), expected, "{text}");
    }
    for text in ["", "127.0.0.2", "127.0.0.2/33", "::1/129", "a/8", "127.0.0.2/x"] {
        let error = address(text).unwrap_err().to_string();
        assert_eq!(error, format!("error while parsing address {text}"));
    }
    // One such address is the end of the whole answer: half of it would take targets away.
    let services: Vec<Service> = read(
        r#"[{"ID": "", "Endpoint": {"VirtualIPs": [{"Addr": "127.0.0.2/8"}, {"Addr": "no"}]}}]"#,
    );
    assert!(services::targets(&services, &networks(), 80).is_err());
}
