//! Sections that are refused, which services are followed, and what is made of an answer.

use std::path::Path;

use super::api::Instance;
use super::find::Questions;
use super::group::group;
use super::*;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: ConsulConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/etc/sigyn"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{server: ' '}", "consul SD configuration requires a server address");
    check("{server: ~}", "consul SD configuration requires a server address");
    check(
        "{username: a, basic_auth: {username: a}}",
        "at most one of consul SD configuration username and password and basic auth can be configured",
    );
    check(
        "{password: a, authorization: {credentials: a}}",
        "at most one of basic_auth, oauth2 & authorization must be configured",
    );
    check(
        "{token: a, authorization: {credentials: a}}",
        "at most one of consul SD token, authorization, or oauth2 can be configured",
    );
    check("{bogus: 1}", "field bogus not found in type consul.plain");
    check("{server: 'unix:///run/consul'}", "consul cannot be asked at \"unix:///run/consul\"");
    check("{server: 'a:b'}", r#"parse "http://a:b/": invalid port ":b" after host"#);
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{}").unwrap();
    assert_eq!(config.server, "http://localhost:8500");
    assert_eq!(config.tag_separator, ",");
    assert!(config.allow_stale);
    assert_eq!(config.refresh_interval, Duration::from_secs(30));
    assert_eq!(config.client, http::Config::default());
    // Nothing is something else than not written.
    let config = checked("{tag_separator: ~, allow_stale: ~, token: a, bearer_token: b}").unwrap();
    assert_eq!(config.tag_separator, "");
    assert!(!config.allow_stale);
    let config = checked("{username: me, password: p}").unwrap();
    let basic = Authorization::Basic {
        username: Some(Source::Inline("me".into())),
        password: Some(Source::Inline("p".into())),
    };
    assert_eq!(config.client.authorization, Some(basic));
    assert!(!format!("{config:?}").contains("\"p\""));
}

#[test]
fn where_the_api_begins() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap().server, expected);
    check("{server: '127.0.0.1:85'}", "http://127.0.0.1:85");
    check("{server: '127.0.0.1:85', path_prefix: /a/b/}", "http://127.0.0.1:85/a/b");
    check("{server: '127.0.0.1:85', path_prefix: a, scheme: ~}", "http://127.0.0.1:85/a");
    check("{server: 'http://127.0.0.1/x/', path_prefix: /a}", "http://127.0.0.1/x");
    check("{server: '127.0.0.1:85', scheme: https}", "https://127.0.0.1:85");
    check("{server: 'http://127.0.0.1', scheme: https}", "https://127.0.0.1");
    check("{server: 'https://127.0.0.1', scheme: http}", "https://127.0.0.1");
    check("{server: '[::1]:85'}", "http://[::1]:85");
}

#[test]
fn which_services_are_followed() {
    let check = |section: &str, tags: &[&str], expected: bool| {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        assert_eq!(checked(section).unwrap().wants("cart", &tags), expected, "{section} {tags:?}");
    };
    check("{}", &[], true);
    check("{services: [cart]}", &[], true);
    check("{services: [shop]}", &["v1"], false);
    check("{tags: [http, v1]}", &["v1", "http", "eu"], true);
    check("{tags: [http, v1]}", &["http", "http"], false);
    check("{tags: [http, v1]}", &["http, v1"], false);
    check("{services: [cart], tags: [http]}", &["http"], true);
    check("{services: [shop], tags: [http]}", &["http"], false);
    check("{services: [shop], tags: [http]}", &[""], false);
    check("{services: [cart], tags: [http]}", &[""], false);
    let both = "{services: [cart], tags: [http, v1]}";
    check(both, &[""], false);
    check(both, &["http", "v1"], true);
    check(both, &["http", "v1", "eu"], true);
    check(both, &["http", "v1", "v1"], true);
    check("{services: [cart], tags: [http, v1, eu]}", &["http", "v1", "eu"], true);
    check("{services: [shop], tags: [http, v1]}", &[""], false);
    check("{services: [shop], tags: [http, v1]}", &["http, v1"], false);
}

#[test]
fn an_index_says_what_is_new() {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        let mut questions = Questions::new(Duration::from_secs(1));
        // The answer's index, whether it is new, and the index that is asked for next.
        for (index, expected, next) in [
            (5, true, 5),
            (5, false, 5),
            (9, true, 9),
            (3, true, 0),
            (3, true, 3),
            (0, true, 0),
            (0, true, 0),
        ] {
            assert_eq!((questions.is_new(index), questions.index()), (expected, next), "{index}");
        }
    });
}

#[test]
fn groups() {
    let check = |instances: &str, expected: &[&str]| {
        let instances: Vec<Instance> = serde_json::from_str(instances).unwrap();
        let group = group("cart", "dc1", ";", &instances);
        assert_eq!(group.source, "cart");
        assert_eq!(
            group.labels.to_string(),
            r#"{__meta_consul_dc="dc1", __meta_consul_service="cart"}"#
        );
        let targets: Vec<_> = group.targets.iter().map(ToString::to_string).collect();
        assert_eq!(targets, expected);
    };
    check("[]", &[]);
    check(
        r#"[{
            "Node": {
                "ID": "1f0c", "Node": "n1", "Address": "127.0.0.2", "Datacenter": "other",
                "TaggedAddresses": {"lan": "127.0.0.3", "wan-ipv4": "127.0.0.4"},
                "Meta": {"rack.name": "r7"}, "CreateIndex": 4
            },
            "Service": {
                "ID": "cart-1", "Service": "cart", "Tags": ["v1", "eu"], "Address": "127.0.0.5",
                "TaggedAddresses": {"lan": {"Address": "127.0.0.6", "Port": 1}},
                "Meta": {"build": "7"}, "Port": 8080, "Weights": {"Passing": 1},
                "Namespace": "shop", "Partition": "p1"
            },
            "Checks": [
                {"CheckID": "serfHealth", "Status": "passing"},
                {"CheckID": "http", "Status": "warning"}
            ]
        }]"#,
        &[concat!(
            r#"{__address__="127.0.0.5:8080", __meta_consul_address="127.0.0.2", "#,
            r#"__meta_consul_health="warning", __meta_consul_metadata_rack_name="r7", "#,
            r#"__meta_consul_namespace="shop", __meta_consul_node="n1", "#,
            r#"__meta_consul_partition="p1", __meta_consul_service_address="127.0.0.5", "#,
            r#"__meta_consul_service_id="cart-1", __meta_consul_service_metadata_build="7", "#,
            r#"__meta_consul_service_port="8080", __meta_consul_tagged_address_lan="127.0.0.3", "#,
            r#"__meta_consul_tagged_address_wan_ipv4="127.0.0.4", __meta_consul_tags=";v1;eu;"}"#,
        )],
    );
    // Where Consul has nothing, it writes null.
    check(
        r#"[{
            "Node": {"Node": "n1", "Address": "::1", "TaggedAddresses": null, "Meta": null},
            "Service": {"ID": "a", "Tags": null, "Address": "", "Meta": null, "Port": 0},
            "Checks": null
        }]"#,
        &[concat!(
            r#"{__address__="[::1]:0", __meta_consul_address="::1", "#,
            r#"__meta_consul_health="passing", __meta_consul_node="n1", "#,
            r#"__meta_consul_service_id="a", __meta_consul_service_port="0", "#,
            r#"__meta_consul_tags=";;"}"#,
        )],
    );
}

#[test]
fn the_worst_check_counts() {
    let check = |checks: &[(&str, &str)], expected: &str| {
        let checks: Vec<_> = checks
            .iter()
            .map(|(id, status)| serde_json::json!({"CheckID": id, "Status": status}))
            .collect();
        let instance = serde_json::json!([{"Node": {}, "Service": {}, "Checks": checks}]);
        let instances: Vec<Instance> = serde_json::from_value(instance).unwrap();
        let target = &group("a", "b", ",", &instances).targets[0];
        assert_eq!(target.value("__meta_consul_health"), expected, "{checks:?}");
    };
    check(&[], "passing");
    check(&[("a", "passing"), ("b", "warning")], "warning");
    check(&[("a", "critical"), ("b", "warning")], "critical");
    check(&[("a", "critical"), ("_node_maintenance", "critical")], "maintenance");
    check(&[("_service_maintenance:a", "critical"), ("b", "passing")], "maintenance");
    check(&[("a", "critical"), ("b", "of a kind of its own")], "");
}
