//! Sections that are refused, and which targets containers are.

use std::path::Path;

use super::containers::{Container, targets};
use super::daemon::as_json;
use super::network::Network;
use super::*;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: DockerConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{}", "host missing");
    check("{host: ~}", "host missing");
    check("{host: unix:///x, bogus: 1}", "field bogus not found in type moby.plain");
    check("{host: unix:///x, filters: [{key: a}]}", "field key not found in type moby.Filter");
    check("{host: 'tcp://a:b'}", r#"parse "tcp://a:b": invalid port ":b" after host"#);
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{host: 'unix:///var/run/docker.sock'}").unwrap();
    assert_eq!((config.port, config.host_networking_host.as_str()), (80, "localhost"));
    assert!(config.match_first_network);
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
    assert_eq!(as_json(&config.filters), None);
}

#[test]
fn filters_as_docker_reads_them() {
    let config = checked(
        "{host: unix:///x, filters: [{name: label, values: [b=1, a]}, {name: name, values: [c]}, \
         {name: label, values: [c]}, {name: id}, ~]}",
    );
    let expected = r#"{"label":{"a":true,"b=1":true,"c":true},"name":{"c":true}}"#;
    assert_eq!(as_json(&config.unwrap().filters).as_deref(), Some(expected));
}

/// The targets of one container that is called `/a`, each without the labels that all of them have.
#[track_caller]
fn check(section: &str, containers: &str, expected: &[&str]) {
    let config = checked(&format!("{{host: unix:///x, port: 8080{section}}}")).unwrap();
    let containers: Vec<Container> = serde_json::from_str(containers).unwrap();
    let networks: Vec<Network> = serde_json::from_str(
        r#"[{"Id": "n1", "Name": "front", "Scope": "local", "Internal": false, "Ingress": true,
             "Labels": {"net.zone": "a"}, "IPAM": {}}, {"Id": "n2", "Name": "back", "Labels": null}]"#,
    )
    .unwrap();
    let mut told = targets(&config, &containers, &networks);
    for labels in &mut told {
        labels.retain(|name, value| {
            !matches!(
                (name, value),
                (
                    "__meta_docker_network_internal"
                        | "__meta_docker_network_ingress"
                        | "__meta_docker_container_id",
                    _
                )
            )
        });
    }
    let told: Vec<_> =
        told.iter().map(|labels| labels.to_string().replace("__meta_docker_", "~")).collect();
    assert_eq!(told, expected);
}

const BOTH: &str = r#"{"front": {"NetworkID": "n1", "IPAddress": "127.0.0.2"},
    "back": {"NetworkID": "n2", "IPAddress": "", "GlobalIPv6Address": "::1"}, "none": null}"#;

#[test]
fn a_container_is_a_target_at_each_of_its_ports() {
    let container = format!(
        r#"[{{
            "Id": "c1", "Names": ["/a", "/b"], "Image": "shop/cart:7", "ImageID": "sha256:9",
            "Created": 1, "State": "running",
            "Ports": [
                {{"IP": "0.0.0.0", "PrivatePort": 81, "PublicPort": 18081, "Type": "tcp"}},
                {{"PrivatePort": 82, "Type": "tcp"}},
                {{"PrivatePort": 83, "Type": "udp"}}
            ],
            "Labels": {{"com.shop/tier": "web"}},
            "HostConfig": {{"NetworkMode": "front"}},
            "NetworkSettings": {{"Networks": {BOTH}}}
        }}]"#
    );
    // `back` is the first by name.
    let own = r#"~container_image="shop/cart:7", ~container_image_id="sha256:9", ~container_label_com_shop_tier="web", ~container_name="/a", ~container_network_mode="front""#;
    let back = r#"~network_id="n2", ~network_ip="::1", ~network_name="back""#;
    let front = r#"~network_id="n1", ~network_ip="127.0.0.2", ~network_label_net_zone="a", ~network_name="front""#;
    let public = r#"~port_private="81", ~port_public="18081", ~port_public_ip="0.0.0.0""#;
    let in_back = [
        format!(r#"{{__address__="[::1]:81", {own}, {back}, {public}}}"#),
        format!(r#"{{__address__="[::1]:82", {own}, {back}, ~port_private="82"}}"#),
    ];
    let in_front = [
        format!(
            r#"{{__address__="127.0.0.2:81", {own}, {front}, ~network_scope="local", {public}}}"#
        ),
        format!(
            r#"{{__address__="127.0.0.2:82", {own}, {front}, ~network_scope="local", ~port_private="82"}}"#
        ),
    ];
    let expected: Vec<&str> = in_back.iter().map(String::as_str).collect();
    check("", &container, &expected);
    let expected: Vec<&str> = in_back.iter().chain(&in_front).map(String::as_str).collect();
    check(", match_first_network: false", &container, &expected);
}

#[test]
fn where_containers_are_that_expose_nothing() {
    let container = |more: &str| format!(r#"{{"Id": "c1", "Names": ["/a"], {more}}}"#);
    let in_front = r#""NetworkSettings": {"Networks": {"front": {"NetworkID": "n9", "IPAddress": "127.0.0.2"}}}"#;
    let udp = r#""Ports": [{"PrivatePort": 83, "Type": "udp"}]"#;
    check(
        "",
        &format!("[{}]", container(&format!("{in_front}, {udp}"))),
        &[r#"{__address__="127.0.0.2:8080", ~container_name="/a", ~network_ip="127.0.0.2"}"#],
    );
    check(
        ", host_networking_host: 127.0.0.9",
        &format!(
            "[{}]",
            container(
                r#""HostConfig": {"NetworkMode": "host"},
                   "NetworkSettings": {"Networks": {"host": {"NetworkID": "n9", "IPAddress": ""}}}"#
            )
        ),
        &[r#"{__address__="127.0.0.9", ~container_name="/a", ~container_network_mode="host"}"#],
    );
    // No networks, no names, nothing at all.
    check("", &format!("[{}]", container(r#""NetworkSettings": null"#)), &[]);
    check("", &format!(r#"[{{"Id": "c1", "Names": null, {in_front}}}, {{"Id": "c2"}}]"#), &[]);
}

#[test]
fn a_container_may_borrow_the_networks_of_another() {
    let container = |id: &str, mode: &str, networks: &str| {
        format!(
            r#"{{"Id": "{id}", "Names": ["/{id}"], "HostConfig": {{"NetworkMode": "{mode}"}},
                "NetworkSettings": {{"Networks": {networks}}}}}"#
        )
    };
    let networks = r#"{"x": {"NetworkID": "n9", "IPAddress": "127.0.0.2"}}"#;
    let all = [
        container("a", "container:b", "{}"),
        container("b", "container:c", "{}"),
        container("c", "x", networks),
        container("d", "container:gone", "{}"),
        container("e", "container:f", "{}"),
        container("f", "container:e", "{}"),
    ];
    let target = |name: &str, mode: &str| {
        format!(
            r#"{{__address__="127.0.0.2:8080", ~container_name="/{name}", ~container_network_mode="{mode}", ~network_ip="127.0.0.2"}}"#
        )
    };
    let expected = [target("a", "container:b"), target("b", "container:c"), target("c", "x")];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check("", &format!("[{}]", all.join(",")), &expected);
}
