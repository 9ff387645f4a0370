//! Sections that are refused, and which targets servers are.

use std::path::Path;

use super::*;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: HetznerConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{}", "role missing (one of: robot, hcloud)");
    check("{role: ~}", "role missing (one of: robot, hcloud)");
    check("{role: ''}", r#"unknown role """#);
    check("{role: cloud}", r#"unknown role "cloud""#);
    check("{role: robot, bogus: 1}", "field bogus not found in type hetzner.plain");
    check(
        "{role: robot, authorization: {type: Basic}}",
        r#"authorization type cannot be set to "basic", use "basic_auth" instead"#,
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{role: hcloud}").unwrap();
    assert_eq!((config.role, config.port), (Role::Cloud, 80));
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
    assert_eq!(config.api, "https://api.hetzner.cloud/v1");
    assert_eq!(checked("{role: robot}").unwrap().api, "https://robot-ws.your-server.de");
}

fn shown(labels: &crate::labels::Labels) -> String {
    labels.to_string().replace("__meta_hetzner_", "~")
}

#[test]
fn servers_of_the_cloud() {
    let networks: Vec<cloud::Network> =
        serde_json::from_str(r#"[{"id": 9, "name": "back-end", "ip_range": "127.0.0.0/8"}]"#)
            .unwrap();
    let check = |server: &str, expected: &str| {
        let server: cloud::Server = serde_json::from_str(server).unwrap();
        assert_eq!(shown(&cloud::target(&server, &networks, 8080)), expected);
    };
    check(
        r#"{
            "id": 42, "name": "cart-1", "status": "running", "created": "2026-01-01T00:00:00Z",
            "public_net": {"ipv4": {"ip": "127.0.0.2", "blocked": false},
                           "ipv6": {"ip": "2001:db8::/64"}, "floating_ips": []},
            "private_net": [{"network": 9, "ip": "127.0.1.2"}, {"network": 8, "ip": "127.0.2.2"}],
            "server_type": {"id": 1, "name": "cpx11", "cores": 2, "memory": 2.5, "disk": 40,
                            "cpu_type": "shared"},
            "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"},
            "image": {"id": 4, "name": "debian-13", "description": "Debian 13",
                      "os_flavor": "debian", "os_version": "13"},
            "labels": {"com.shop/tier": "web", "empty": ""}
        }"#,
        concat!(
            r#"{__address__="127.0.0.2:8080", ~hcloud_cpu_cores="2", ~hcloud_cpu_type="shared", "#,
            r#"~hcloud_datacenter_location="fsn1", "#,
            r#"~hcloud_datacenter_location_network_zone="eu-central", ~hcloud_disk_size_gb="40", "#,
            r#"~hcloud_image_description="Debian 13", ~hcloud_image_name="debian-13", "#,
            r#"~hcloud_image_os_flavor="debian", ~hcloud_image_os_version="13", "#,
            r#"~hcloud_label_com_shop_tier="web", ~hcloud_labelpresent_com_shop_tier="true", "#,
            r#"~hcloud_labelpresent_empty="true", ~hcloud_location="fsn1", "#,
            r#"~hcloud_location_network_zone="eu-central", ~hcloud_memory_size_gb="2", "#,
            r#"~hcloud_private_ipv4_back_end="127.0.1.2", ~hcloud_server_type="cpx11", "#,
            r#"~public_ipv4="127.0.0.2", ~public_ipv6_network="2001:db8::/64", ~role="hcloud", "#,
            r#"~server_id="42", ~server_name="cart-1", ~server_status="running"}"#,
        ),
    );
    // Nothing public, no image, and where the location was told before.
    check(
        r#"{
            "id": 43, "name": "db", "public_net": {"ipv4": null, "ipv6": null}, "image": null,
            "private_net": [{"network": 9, "ip": "127.0.1.3"}], "labels": {},
            "datacenter": {"name": "fsn1-dc14", "location": {"name": "fsn1", "network_zone": "eu"}}
        }"#,
        concat!(
            r#"{~hcloud_cpu_cores="0", ~hcloud_datacenter_location="fsn1", "#,
            r#"~hcloud_datacenter_location_network_zone="eu", ~hcloud_disk_size_gb="0", "#,
            r#"~hcloud_location="fsn1", ~hcloud_location_network_zone="eu", "#,
            r#"~hcloud_memory_size_gb="0", ~hcloud_private_ipv4_back_end="127.0.1.3", "#,
            r#"~role="hcloud", ~server_id="43", ~server_name="db"}"#,
        ),
    );
}

#[test]
fn dedicated_servers() {
    let check = |server: &str, expected: &str| {
        let item: robot::Item = serde_json::from_str(server).unwrap();
        assert_eq!(shown(&robot::target(&item.server, 8080)), expected);
    };
    check(
        r#"{"server": {
            "server_ip": "127.0.0.2", "server_ipv6_net": "2001:db8:1::", "server_number": 321,
            "server_name": "cart", "product": "AX41", "dc": "FSN1-DC5", "traffic": "unlimited",
            "status": "ready", "cancelled": true, "paid_until": "2027-08-04", "ip": ["127.0.0.2"],
            "subnet": [{"ip": "127.0.0.8", "mask": "29"}, {"ip": "2001:db8:1::", "mask": "64"}]
        }}"#,
        concat!(
            r#"{__address__="127.0.0.2:8080", ~datacenter="fsn1-dc5", ~public_ipv4="127.0.0.2", "#,
            r#"~public_ipv6_network="2001:db8:1::/64", ~robot_cancelled="true", "#,
            r#"~robot_datacenter="fsn1-dc5", ~robot_product="AX41", ~role="robot", "#,
            r#"~server_id="321", ~server_name="cart", ~server_status="ready"}"#,
        ),
    );
    check(
        r#"{"server": {"server_ip": null, "server_number": 1, "subnet": null}}"#,
        r#"{~robot_cancelled="false", ~role="robot", ~server_id="1"}"#,
    );
}
