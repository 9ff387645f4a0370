//! Sections that are refused, and which targets machines are.

use std::path::Path;

use super::cloud::Cloud;
use super::machines::{Interface, Machine, Place, resource_group, settle};
use super::*;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: AzureConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{}", "azure SD configuration requires a subscription_id");
    check("{subscription_id: s}", "azure SD configuration requires a tenant_id");
    check("{subscription_id: s, tenant_id: t}", "azure SD configuration requires a client_id");
    check(
        "{subscription_id: s, tenant_id: t, client_id: c}",
        "azure SD configuration requires a client_secret",
    );
    check(
        "{subscription_id: s, authentication_method: Magic}",
        "unknown authentication_type \"Magic\". Supported types are \"OAuth\", \"ManagedIdentity\", \
         \"SDK\" or \"WorkloadIdentity\"",
    );
    check("{bogus: 1}", "field bogus not found in type azure.plain");
    check(
        "{subscription_id: s, authentication_method: SDK, authorization: {type: Basic}}",
        r#"authorization type cannot be set to "basic", use "basic_auth" instead"#,
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let text = "{subscription_id: s, tenant_id: t, client_id: c, client_secret: hidden}";
    let config = checked(text).unwrap();
    assert_eq!((config.port, config.cloud.as_str()), (80, "AzurePublicCloud"));
    assert_eq!((config.method, config.resource_group.as_str()), (Method::OAuth, ""));
    assert_eq!(config.refresh_interval, Duration::from_secs(300));
    assert!(!format!("{config:?}").contains("hidden"));
    for method in ["ManagedIdentity", "SDK", "WorkloadIdentity"] {
        let text = format!("{{subscription_id: s, authentication_method: {method}}}");
        assert!(checked(&text).is_ok(), "{method}");
    }
}

#[test]
fn clouds_by_name() {
    for (name, login) in [
        ("AzurePublicCloud", "https://login.microsoftonline.com"),
        ("azurecloud", "https://login.microsoftonline.com"),
        ("AzureChinaCloud", "https://login.chinacloudapi.cn"),
        ("AzureUSGovernment", "https://login.microsoftonline.us"),
    ] {
        assert_eq!(Cloud::named(name).unwrap().login, login);
    }
    let error = Cloud::named("AzureMoon").unwrap_err().to_string();
    assert_eq!(error, "there is no cloud configuration matching the name \"AZUREMOON\"");
}

#[test]
fn groups_of_resources() {
    let check = |id: &str, expected: Option<&str>| assert_eq!(resource_group(id).ok(), expected);
    check("/subscriptions/s/resourceGroups/g/providers/x", Some("g"));
    check("/SUBSCRIPTIONS/s/resourcegroups/G", Some("G"));
    check("/subscriptions/s/resourceGroups/g/providers/x/y/name", Some("g"));
    check("/subscriptions/s/resourceGroups/g/providers/x/y/name/y/h", Some("g"));
    for id in [
        "",
        "/",
        "subscriptions/s/resourceGroups/g",
        "/subscriptions/s/providers/x",
        "/subscriptions/s/resourceGroups/",
        "//resourceGroups/g",
    ] {
        check(id, None);
    }
    let error = resource_group("x").unwrap_err().to_string();
    assert_eq!(error, "invalid ID 'x'");
}

#[test]
fn machines() {
    let config = checked("{subscription_id: s, tenant_id: t, authentication_method: SDK}").unwrap();
    let check = |machine: &str, scale_set: &str, expected: &str| {
        let mut machine: Machine = serde_json::from_str(machine).unwrap();
        scale_set.clone_into(&mut machine.scale_set);
        let mut labels = machine.labels(&config).unwrap();
        settle(&mut labels, "127.0.1.2", "", 8080);
        assert_eq!(labels.to_string().replace("__meta_azure_", "~"), expected);
    };
    check(
        r#"{
            "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/cart",
            "name": "cart", "type": "Microsoft.Compute/virtualMachines", "location": "westeurope",
            "tags": {"team-name": "shop", "none": null},
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {"osDisk": {"osType": "Linux", "name": "d"}},
                "osProfile": {"computerName": "cart-1"},
                "networkProfile": {"networkInterfaces": [{"id": "/n"}]}
            }
        }"#,
        "",
        concat!(
            r#"{__address__="127.0.1.2:8080", ~machine_computer_name="cart-1", "#,
            r#"~machine_id="/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/cart", "#,
            r#"~machine_location="westeurope", ~machine_name="cart", ~machine_os_type="Linux", "#,
            r#"~machine_private_ip="127.0.1.2", ~machine_resource_group="g", "#,
            r#"~machine_size="Standard_D2s_v5", ~machine_tag_team_name="shop", "#,
            r#"~subscription_id="s", ~tenant_id="t"}"#,
        ),
    );
    check(
        r#"{"id": "/subscriptions/s/resourceGroups/g/x", "name": "web_0", "properties": null, "tags": null}"#,
        "web",
        concat!(
            r#"{__address__="127.0.1.2:8080", ~machine_id="/subscriptions/s/resourceGroups/g/x", "#,
            r#"~machine_name="web_0", ~machine_private_ip="127.0.1.2", "#,
            r#"~machine_resource_group="g", ~machine_scale_set="web", ~subscription_id="s", "#,
            r#"~tenant_id="t"}"#,
        ),
    );
    let machine: Machine = serde_json::from_str(r#"{"id": "x"}"#).unwrap();
    assert_eq!(machine.labels(&config).unwrap_err().to_string(), "invalid ID 'x'");
}

#[test]
fn what_interfaces_tell() {
    let check = |interface: &str, expected: Place| {
        let interface: Interface = serde_json::from_str(interface).unwrap();
        assert_eq!(interface.place(), expected);
    };
    let at = |private: &str, public: &str| Place::At {
        private: private.to_owned(),
        public: public.to_owned(),
    };
    check(
        r#"{"id": "/n", "properties": {"primary": true, "ipConfigurations": [
            {"properties": {"privateIPAddress": "127.0.1.2",
                            "publicIPAddress": {"properties": {"ipAddress": "127.0.0.2"}}}},
            {"properties": {"privateIPAddress": "127.0.1.3"}}
        ]}}"#,
        at("127.0.1.2", "127.0.0.2"),
    );
    let of = |properties: &str| {
        format!(
            r#"{{"id": "/n", "properties": {{"primary": true, "ipConfigurations": [{{"properties": {properties}}}]}}}}"#
        )
    };
    check(
        &of(r#"{"privateIPAddress": "127.0.1.2", "publicIPAddress": null}"#),
        at("127.0.1.2", ""),
    );
    check(&of(r#"{"privateIPAddress": null}"#), Place::Unreachable);
    check(&of("null"), Place::Unreachable);
    check(
        r#"{"id": "/n", "properties": {"primary": true, "ipConfigurations": []}}"#,
        Place::Elsewhere,
    );
    check(r#"{"id": "/n", "properties": {"primary": false}}"#, Place::Elsewhere);
    check(r#"{"id": "/n", "properties": {"ipConfigurations": []}}"#, Place::Nowhere);
    check(r#"{"id": "/n"}"#, Place::Elsewhere);
    assert!(serde_json::from_str::<Interface>("{}").is_err());
}
