//! Which keys there are, and what becomes of those that are not.

use super::*;
use crate::yaml;

/// Every key that finds targets in Prometheus 3.14, whatever it is here.
const PROMETHEUS: [&str; 37] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "ecs_sd_configs",
    "elasticache_sd_configs",
    "eureka_sd_configs",
    "file_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "msk_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "oci_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "rds_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "static_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

/// A section of each mechanism that can be used as it is.
const SECTIONS: [(&str, &str); 15] = [
    ("azure", "{subscription_id: s, authentication_method: SDK}"),
    ("consul", "{}"),
    ("digitalocean", "{}"),
    ("dns", "{names: [a]}"),
    ("docker", "{host: unix:///x}"),
    ("dockerswarm", "{host: unix:///x, role: nodes}"),
    ("ec2", "{}"),
    ("eureka", "{server: 'http://127.0.0.1/'}"),
    ("file", "{files: [a.yml]}"),
    ("gce", "{project: p, zone: z}"),
    ("hetzner", "{role: robot}"),
    ("http", "{url: 'http://127.0.0.1/'}"),
    ("kubernetes", "{role: pod, api_server: 'http://127.0.0.1/'}"),
    ("linode", "{}"),
    ("nomad", "{}"),
];

/// A job's sections.
#[derive(Default)]
struct Job(Sections);

impl Section for Job {
    const NAME: &'static str = "config.ScrapeConfig";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        self.0.field(entry)
    }
}

fn read(text: &str) -> Result<Sections, String> {
    yaml::section::<Job>(text).map(|job| job.0).map_err(|error| error.message)
}

/// Checks sections as a build does that has all features, or none.
fn validate(sections: &Sections, is_built: fn(bool) -> bool) -> Result<Vec<Config>, String> {
    let mut configs = Vec::new();
    let checked = sections.written.validate(Path::new("/"), is_built, &mut configs);
    checked.map(|()| configs).map_err(|error| error.to_string())
}

#[test]
fn every_key_of_prometheus_is_known() {
    assert!(UNSUPPORTED.is_sorted() && PROMETHEUS.is_sorted());
    for key in PROMETHEUS {
        // A key that nothing stands behind is none, for Prometheus too.
        assert!(read(&format!("{key}: ~")).is_ok(), "{key}");
        let kind = key.trim_end_matches("_sd_configs").trim_end_matches("_configs");
        let told = read(&format!("{key}: [{{}}]")).map(|_| ());
        let expected = if UNSUPPORTED.contains(&key) {
            assert!(!KINDS.contains(&kind), "{key}");
            Err(format!(
                "{key} is not supported by Sigyn: let a program answer with the targets over HTTP and \
                 name it in http_sd_configs (docs/guide/discovery.md)"
            ))
        } else {
            assert!(KINDS.contains(&kind) || cfg!(not(feature = "full")), "{key}");
            Ok(())
        };
        assert_eq!(told, expected);
    }
    assert!(UNSUPPORTED.iter().all(|key| PROMETHEUS.contains(key)));
    let unknown = read("magic_sd_configs: [{}]").map(|_| ()).unwrap_err();
    assert_eq!(unknown, "field magic_sd_configs not found in type config.ScrapeConfig");
}

/// Every key and feature that this crate has is in the message of a build without them. Its checks
/// come first: a mistake is a mistake, whatever is built.
#[test]
fn what_is_not_built_in_is_refused_by_name() {
    let kinds: Vec<&str> = SECTIONS.iter().map(|(kind, _)| *kind).collect();
    let missing: Vec<_> =
        KINDS.iter().filter(|kind| **kind != "static" && !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for (kind, section) in SECTIONS {
        let key = format!("{kind}_sd_configs");
        let sections = read(&format!("{key}: [{section}]")).unwrap();
        let built = validate(&sections, |_| true).unwrap();
        assert_eq!(built[0].kind(), kind);
        let feature = match kind {
            "file" => {
                assert!(validate(&sections, |_| false).is_ok());
                continue;
            }
            "dockerswarm" => "docker",
            "ec2" => "aws",
            "gce" => "gcp",
            "http" => "client",
            kind => kind,
        };
        let refused = validate(&sections, |_| false).unwrap_err();
        let expected = format!("{key} needs a Sigyn built with the feature \"{feature}\"");
        assert!(refused.contains(&expected), "{refused}");
        let bogus = read(&format!("{key}: [{{bogus: 1}}]"));
        assert!(bogus.is_err(), "{key}");
    }
}

#[test]
fn who_asks_over_http_says_how() {
    for (kind, section) in SECTIONS {
        let sections = read(&format!("{kind}_sd_configs: [{section}]")).unwrap();
        let built = validate(&sections, |_| true).unwrap();
        let asks = !["dns", "file", "gce"].contains(&kind);
        assert_eq!(built[0].http().is_some(), asks, "{kind}");
    }
}
