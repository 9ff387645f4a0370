//! Asking Nomad for its services, and then for the instances of each.

use std::collections::BTreeSet;

use http::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Config;
use crate::group::TargetGroup;
use crate::labels::{Labels, host_port, listed};
use crate::mechanism::ask::{AskError, Asker, nullable, parsed};
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

const PREFIX: &str = "__meta_nomad_";

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let mut asker = Asker::new(&self.client, context.options(), HeaderMap::new(), every)?;
        let mut base = parsed(&self.server)?;
        asker.log_in(&mut base)?;
        refresh::run(Asking { asker, base, config: self }, every, context).await;
        Ok(())
    }
}

/// One server.
struct Asking {
    asker: Asker,
    base: Url,
    config: Config,
}

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the answer is not what Nomad answers")]
    Json(#[from] serde_json::Error),
    #[error("failed to fetch services")]
    Instances(#[source] Box<Self>),
}

/// The services of one namespace.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Namespace {
    services: Vec<Name>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Name {
    service_name: String,
}

/// An instance of a service.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instance {
    #[serde(rename = "ID", default, deserialize_with = "nullable")]
    id: String,
    service_name: String,
    #[serde(default, deserialize_with = "nullable")]
    namespace: String,
    #[serde(rename = "NodeID", default, deserialize_with = "nullable")]
    node_id: String,
    #[serde(default, deserialize_with = "nullable")]
    datacenter: String,
    #[serde(default, deserialize_with = "nullable")]
    tags: Vec<String>,
    address: String,
    #[serde(default, deserialize_with = "nullable")]
    port: i64,
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let namespaces: Vec<Namespace> = self.ask(&["services"]).await?;
        // Where all namespaces are asked about, several may have a service of one name; the answer
        // about it has the instances of all.
        let names: BTreeSet<String> = namespaces
            .into_iter()
            .flat_map(|namespace| namespace.services)
            .map(|service| service.service_name)
            .collect();
        let mut targets = Vec::new();
        for name in names {
            let instances = self.ask::<Instance>(&["service", &name]).await;
            let instances = instances.map_err(|error| ApiError::Instances(Box::new(error)))?;
            targets.extend(
                instances.iter().map(|instance| target(instance, &self.config.tag_separator)),
            );
        }
        Ok(vec![TargetGroup { source: "Nomad".to_owned(), targets, ..TargetGroup::default() }])
    }
}

impl Asking {
    /// A list, if it is one.
    async fn ask<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, ApiError> {
        let mut url = self.base.clone();
        // Only a URL without a host has no path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let config = &self.config;
        let mut parameters =
            vec![("namespace", config.namespace.as_str()), ("region", &config.region)];
        parameters.retain(|(_, value)| !value.is_empty());
        if config.allow_stale {
            parameters.push(("stale", ""));
        }
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let (_, body) = self.asker.get(&url).await?;
        Ok(serde_json::from_slice(&body)?)
    }
}

/// `separator` stands between tags, and at both ends.
pub(super) fn target(instance: &Instance, separator: &str) -> Labels {
    let port = instance.port.to_string();
    let tags = listed(&instance.tags, separator);
    let mut labels = Labels::from_iter([("__address__", host_port(&instance.address, &port))]);
    let own = [
        ("address", instance.address.as_str()),
        ("dc", &instance.datacenter),
        ("namespace", &instance.namespace),
        ("node_id", &instance.node_id),
        ("service", &instance.service_name),
        ("service_address", &instance.address),
        ("service_id", &instance.id),
        ("service_port", &port),
        ("tags", &tags),
    ];
    labels.extend(own.map(|(name, value)| (format!("{PREFIX}{name}"), value)));
    labels
}
