//! Sections that are refused, and what is made of an instance.

use std::path::Path;

use super::find::{Instance, target};
use super::*;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: NomadConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{server: ' '}", "nomad SD configuration requires a server address");
    check("{server: ~}", "nomad SD configuration requires a server address");
    check("{server: 'ftp://a'}", r#""ftp://a": unsupported protocol scheme "ftp""#);
    check("{bogus: 1}", "field bogus not found in type nomad.plain");
    check(
        "{server: 'http://127.0.0.1:x'}",
        r#"parse "http://127.0.0.1:x": invalid port ":x" after host"#,
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{}").unwrap();
    assert_eq!(config.server, "http://localhost:4646");
    assert_eq!((config.namespace.as_str(), config.region.as_str()), ("default", "global"));
    assert_eq!((config.allow_stale, config.tag_separator.as_str()), (true, ","));
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
}

#[test]
fn instances() {
    let check = |instance: &str, expected: &str| {
        let instance: Instance = serde_json::from_str(instance).unwrap();
        assert_eq!(target(&instance, ";").to_string(), expected);
    };
    check(
        r#"{
            "Address": "127.0.0.2", "AllocID": "7e", "CreateIndex": 18, "Datacenter": "dc1",
            "ID": "_nomad-task-7e-http", "JobID": "cart", "Namespace": "shop",
            "NodeID": "e8", "Port": 8080, "ServiceName": "cart", "Tags": ["v1", "eu"]
        }"#,
        concat!(
            r#"{__address__="127.0.0.2:8080", __meta_nomad_address="127.0.0.2", "#,
            r#"__meta_nomad_dc="dc1", __meta_nomad_namespace="shop", __meta_nomad_node_id="e8", "#,
            r#"__meta_nomad_service="cart", __meta_nomad_service_address="127.0.0.2", "#,
            r#"__meta_nomad_service_id="_nomad-task-7e-http", __meta_nomad_service_port="8080", "#,
            r#"__meta_nomad_tags=";v1;eu;"}"#,
        ),
    );
    check(
        r#"{"ServiceName": "", "Address": "::1", "Tags": null}"#,
        concat!(
            r#"{__address__="[::1]:0", __meta_nomad_address="::1", "#,
            r#"__meta_nomad_service_address="::1", __meta_nomad_service_port="0"}"#,
        ),
    );
}
