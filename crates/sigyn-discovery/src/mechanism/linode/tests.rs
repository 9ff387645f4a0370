//! Sections that are refused, and which targets instances are.

use std::path::Path;

use super::instances::{Address, Addresses, Instance, Range, target};
use super::*;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: LinodeConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{bogus: 1}", "field bogus not found in type linode.plain");
    check(
        "{basic_auth: {password: a, password_file: b}}",
        "at most one of basic_auth password, password_file & password_ref must be configured",
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{}").unwrap();
    assert_eq!((config.port, config.tag_separator.as_str(), config.region.as_str()), (80, ",", ""));
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
    assert_eq!(config.api, "https://api.linode.com/v4");
}

const ADDRESSES: &str = r#"[
    {"address": "127.0.0.2", "public": true, "rdns": "cart.localhost", "type": "ipv4"},
    {"address": "127.0.0.3", "public": true, "rdns": null},
    {"address": "127.0.1.2", "public": false, "rdns": "null"},
    {"address": "127.0.1.3", "public": false},
    {"address": "::1", "public": true, "rdns": "six.localhost", "type": "ipv6"}
]"#;
const RANGES: &str = r#"[
    {"range": "2001:db8::", "prefix": 64, "route_target": "::1", "region": "eu"},
    {"range": "2001:db8:1::", "prefix": 56, "route_target": "::2"}
]"#;

#[test]
fn instances_with_their_addresses() {
    let config = checked("{port: 8080, tag_separator: ;}").unwrap();
    let addresses: Vec<Address> = serde_json::from_str(ADDRESSES).unwrap();
    let ranges: Vec<Range> = serde_json::from_str(RANGES).unwrap();
    let known = Addresses::new(&addresses, &ranges);
    let check = |instance: &str, expected: Option<&str>| {
        let instance: Instance = serde_json::from_str(instance).unwrap();
        let target = target(&instance, &known, &config);
        let told = target.map(|labels| labels.to_string().replace("__meta_linode_", "~"));
        assert_eq!(told.as_deref(), expected);
    };
    check(
        r#"{
            "id": 26838044, "label": "cart", "image": "linode/debian13", "region": "eu-central",
            "ipv4": ["127.0.0.2", "127.0.0.3", "127.0.1.2", "127.0.1.3", "127.0.9.9"],
            "ipv6": "::1/128", "type": "g6-standard-2", "status": "running", "tags": ["web", "eu"],
            "group": "shop", "hypervisor": "kvm", "backups": {"enabled": true, "schedule": {}},
            "specs": {"disk": 81920, "memory": 4096, "vcpus": 2, "gpus": 0, "transfer": 4000}
        }"#,
        Some(concat!(
            r#"{__address__="127.0.0.2:8080", ~backups="enabled", "#,
            r#"~extra_ips=";127.0.0.3;127.0.1.3;", ~gpus="0", ~group="shop", ~hypervisor="kvm", "#,
            r#"~image="linode/debian13", ~instance_id="26838044", ~instance_label="cart", "#,
            r#"~ipv6_ranges=";2001:db8::/64;", ~private_ipv4="127.0.1.2", ~public_ipv4="127.0.0.2", "#,
            r#"~public_ipv4_rdns="cart.localhost", ~public_ipv6="::1", "#,
            r#"~public_ipv6_rdns="six.localhost", ~region="eu-central", "#,
            r#"~specs_disk_bytes="85899345920", ~specs_memory_bytes="4294967296", "#,
            r#"~specs_transfer_bytes="4194304000", ~specs_vcpus="2", ~status="running", "#,
            r#"~tags=";web;eu;", ~type="g6-standard-2"}"#,
        )),
    );
    check(
        r#"{"id": 1, "image": null, "ipv4": ["127.0.1.2"], "ipv6": null, "type": null}"#,
        Some(concat!(
            r#"{__address__=":8080", ~backups="disabled", ~gpus="0", ~instance_id="1", "#,
            r#"~private_ipv4="127.0.1.2", ~specs_disk_bytes="0", ~specs_memory_bytes="0", "#,
            r#"~specs_transfer_bytes="0", ~specs_vcpus="0"}"#,
        )),
    );
    check(r#"{"id": 2, "ipv4": [], "ipv6": "::1/128"}"#, None);
}
