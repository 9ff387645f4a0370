//! Sections that are refused, and which targets instances are.

use std::path::Path;

use super::instances::{Instance, target};
use super::*;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: GceConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{zone: z}", "GCE SD configuration requires a project");
    check("{project: p}", "GCE SD configuration requires a zone");
    check("{project: p, zone: z, bogus: 1}", "field bogus not found in type gce.plain");
    // It has none of the client's keys.
    check("{project: p, zone: z, proxy_url: x}", "field proxy_url not found in type gce.plain");
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{project: p, zone: z}").unwrap();
    assert_eq!((config.port, config.tag_separator.as_str(), config.filter.as_str()), (80, ",", ""));
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
    assert_eq!(config.api, "https://compute.googleapis.com/compute/v1");
}

#[test]
fn instances_at_their_first_interface() {
    let config = checked("{project: shop, zone: z, port: 8080, tag_separator: ;}").unwrap();
    let check = |instance: &str, expected: Option<&str>| {
        let instance: Instance = serde_json::from_str(instance).unwrap();
        let target = target(&instance, &config);
        let told = target.map(|labels| labels.to_string().replace("__meta_gce_", "~"));
        assert_eq!(told.as_deref(), expected);
    };
    check(
        r#"{
            "kind": "compute#instance", "id": "7174061318612331", "name": "cart-1",
            "status": "RUNNING", "zone": "http://127.0.0.1/z", "machineType": "http://127.0.0.1/m",
            "networkInterfaces": [
                {"name": "nic0", "network": "http://127.0.0.1/n", "subnetwork": "http://127.0.0.1/s",
                 "networkIP": "127.0.1.2",
                 "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "natIP": "127.0.0.2"}]},
                {"name": "nic1", "networkIP": "127.0.2.2"}
            ],
            "tags": {"items": ["web", "eu"], "fingerprint": "f"},
            "metadata": {"items": [{"key": "start-up", "value": "x"}, {"key": "none"}]},
            "labels": {"team-name": "shop"}
        }"#,
        Some(concat!(
            r#"{__address__="127.0.1.2:8080", ~instance_id="7174061318612331", "#,
            r#"~instance_name="cart-1", ~instance_status="RUNNING", "#,
            r#"~interface_ipv4_nic0="127.0.1.2", ~interface_ipv4_nic1="127.0.2.2", "#,
            r#"~label_team_name="shop", ~machine_type="http://127.0.0.1/m", "#,
            r#"~metadata_start_up="x", ~network="http://127.0.0.1/n", ~private_ip="127.0.1.2", "#,
            r#"~project="shop", ~public_ip="127.0.0.2", ~subnetwork="http://127.0.0.1/s", "#,
            r#"~tags=";web;eu;", ~zone="http://127.0.0.1/z"}"#,
        )),
    );
    check(
        r#"{"id": 7, "networkInterfaces": [{"networkIP": "::1",
            "accessConfigs": [{"type": "DIRECT", "natIP": "127.0.0.2"}]}], "tags": null}"#,
        Some(
            r#"{__address__="::1:8080", ~instance_id="7", ~interface_ipv4_="::1", ~private_ip="::1", ~project="shop"}"#,
        ),
    );
    check(r#"{"id": "8", "networkInterfaces": []}"#, None);
    check(r#"{"id": "9"}"#, None);
}
