//! Sections that are refused, and which targets droplets and clusters are.

use std::path::Path;

use super::databases::{self, Cluster};
use super::droplets::{self, Droplet};
use super::*;
use crate::labels::Labels;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: DigitalOceanConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{role: ''}", "role missing (one of: droplets, databases)");
    check("{role: volumes}", r#"unknown DigitalOcean SD role "volumes""#);
    check("{bogus: 1}", "field bogus not found in type digitalocean.plain");
    check(
        "{bearer_token: a, bearer_token_file: b}",
        "at most one of bearer_token & bearer_token_file must be configured",
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{}").unwrap();
    assert_eq!((config.role, config.port), (Role::Droplets, 80));
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
    assert_eq!(config.api, "https://api.digitalocean.com/v2");
    assert_eq!(checked("{role: databases}").unwrap().role, Role::Databases);
}

fn shown(labels: &Labels) -> String {
    labels.to_string().replace("__meta_digitalocean_", "~")
}

#[test]
fn droplets_with_a_network() {
    let check = |droplet: &str, expected: Option<&str>| {
        let droplet: Droplet = serde_json::from_str(droplet).unwrap();
        let target = droplets::target(&droplet, 8080);
        assert_eq!(target.as_ref().map(shown).as_deref(), expected);
    };
    check(
        r#"{
            "id": 7, "name": "cart-1", "memory": 1024, "status": "active", "size_slug": "s-1vcpu-1gb",
            "features": ["ipv6", "private_networking"], "tags": ["web", "eu"], "vpc_uuid": "f9",
            "region": {"slug": "fra1", "name": "Frankfurt 1"},
            "image": {"id": 1, "slug": "debian-13-x64", "name": "13 x64"},
            "networks": {
                "v4": [{"ip_address": "127.0.1.2", "type": "private"},
                       {"ip_address": "127.0.0.2", "netmask": "255.0.0.0", "type": "public"},
                       {"ip_address": "127.0.0.3", "type": "public"}],
                "v6": [{"ip_address": "::1", "netmask": 64, "type": "public"}]
            }
        }"#,
        Some(concat!(
            r#"{__address__="127.0.0.2:8080", ~droplet_id="7", ~droplet_name="cart-1", "#,
            r#"~features=",ipv6,private_networking,", ~image="debian-13-x64", "#,
            r#"~image_name="13 x64", ~private_ipv4="127.0.1.2", ~public_ipv4="127.0.0.2", "#,
            r#"~public_ipv6="::1", ~region="fra1", ~size="s-1vcpu-1gb", ~status="active", "#,
            r#"~tags=",web,eu,", ~vpc="f9"}"#,
        )),
    );
    check(
        r#"{"id": 8, "name": "inner", "image": {"slug": null, "name": "own"}, "tags": null,
            "networks": {"v4": [{"ip_address": "127.0.1.3", "type": "private"}], "v6": []}}"#,
        Some(
            r#"{__address__=":8080", ~droplet_id="8", ~droplet_name="inner", ~image_name="own", ~private_ipv4="127.0.1.3"}"#,
        ),
    );
    check(r#"{"id": 9, "networks": {"v4": [], "v6": [{"ip_address": "::1"}]}}"#, None);
    check(r#"{"id": 9, "networks": null}"#, None);
}

#[test]
fn clusters_of_databases() {
    let check = |cluster: &str, expected: &str| {
        let cluster: Cluster = serde_json::from_str(cluster).unwrap();
        assert_eq!(shown(&databases::target(&cluster, 9273)), expected);
    };
    check(
        r#"{
            "id": "9c", "name": "orders", "engine": "pg", "version": "16", "status": "online",
            "num_nodes": 2, "size": "db-s-2vcpu-4gb", "region": "fra1", "tags": ["prod", "a.b"],
            "connection": {"uri": "postgres://me:hidden@127.0.0.2", "host": "127.0.0.2", "port": 25060,
                           "password": "hidden"},
            "private_connection": {"host": "127.0.1.2", "password": "hidden"}
        }"#,
        concat!(
            r#"{__address__="127.0.1.2:9273", ~db_engine="pg", ~db_host="127.0.0.2", ~db_id="9c", "#,
            r#"~db_name="orders", ~db_num_nodes="2", ~db_private_host="127.0.1.2", "#,
            r#"~db_region="fra1", ~db_size="db-s-2vcpu-4gb", ~db_status="online", "#,
            r#""~db_tag_a.b"="true", ~db_tag_prod="true", ~db_version="16"}"#,
        ),
    );
    check(
        r#"{"id": "9d", "connection": {"host": "127.0.0.3"}, "private_connection": null}"#,
        r#"{__address__="127.0.0.3:9273", ~db_host="127.0.0.3", ~db_id="9d", ~db_num_nodes="0"}"#,
    );
    check(r#"{"id": "9e", "connection": null}"#, r#"{~db_id="9e", ~db_num_nodes="0"}"#);
}
