//! Questions to Consul. It answers those that name an index when it has something newer, or after a
//! while without.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use super::Config;
use crate::http::Options;
use crate::mechanism::StartError;
use crate::mechanism::ask::{AskError, Asker, boxed, nullable, parsed};
use crate::metrics::Metrics;

/// How long Consul may wait for something newer.
const WAIT: &str = "120000ms";
/// It takes a little longer, so that not all who wait are answered at once.
const TIMEOUT: Duration = Duration::from_secs(135);
/// The services of a large catalog each have a connection of their own.
const IDLE_PER_HOST_MAX: usize = 1000;
const IDLE_MAX: Duration = Duration::from_secs(240);

/// Asks one server.
#[derive(Debug)]
pub(super) struct Api {
    asker: Asker,
    base: Url,
    config: Config,
    metrics: Arc<Metrics>,
}

/// What the answer is about, and how new it is.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) index: u64,
    pub(super) value: T,
}

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the answer does not tell an index")]
    Index,
    #[error("the answer is not what Consul answers")]
    Json(#[from] serde_json::Error),
    #[error("the server does not tell its datacenter")]
    Datacenter,
}

/// An instance of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instance {
    pub(super) node: Node,
    pub(super) service: Service,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) checks: Vec<Check>,
}

/// The node that an instance runs on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Node {
    #[serde(deserialize_with = "nullable")]
    pub(super) node: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) address: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) tagged_addresses: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(super) meta: BTreeMap<String, String>,
}

/// What is the instance's own.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Service {
    #[serde(rename = "ID", deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) tags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(super) address: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) port: i64,
    #[serde(deserialize_with = "nullable")]
    pub(super) meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(super) namespace: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) partition: String,
}

/// How an instance or its node is, by one of the ways to tell.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Check {
    #[serde(rename = "CheckID", deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    config: Option<AgentConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    datacenter: Option<String>,
}

impl Api {
    pub(super) fn new(config: &Config, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let mut headers = HeaderMap::new();
        if !config.token.is_empty() {
            let mut token = HeaderValue::try_from(config.token.reveal()).map_err(boxed)?;
            token.set_sensitive(true);
            headers.insert("x-consul-token", token);
        }
        let options = Options {
            idle_max: IDLE_MAX,
            idle_per_host_max: IDLE_PER_HOST_MAX,
            room: metrics.room.clone(),
            ..Options::default()
        };
        let mut asker = Asker::new(&config.client, options, headers, TIMEOUT)?;
        let mut base = parsed(&config.server)?;
        asker.log_in(&mut base)?;
        Ok(Self { asker, base, config: config.clone(), metrics })
    }

    /// The datacenter of the server that is asked.
    pub(super) async fn datacenter(&self) -> Result<String, ApiError> {
        let config = &self.config;
        let url = self.url(
            &["agent", "self"],
            [("ns", some(&config.namespace)), ("partition", some(&config.partition))],
        );
        self.counted("agent/self", async {
            let (_, body) = self.asker.get(&url).await?;
            let agent: Agent = serde_json::from_slice(&body)?;
            let datacenter = agent.config.and_then(|config| config.datacenter);
            datacenter.ok_or(ApiError::Datacenter)
        })
        .await
    }

    /// The names of all services, and the tags that instances of each have.
    pub(super) async fn services(
        &self,
        index: u64,
    ) -> Result<Answer<BTreeMap<String, Vec<String>>>, ApiError> {
        let url = self.question(&["catalog", "services"], &self.config.filter, &[], index);
        let answer: Answer<BTreeMap<String, Option<Vec<String>>>> =
            self.counted("catalog/services", self.ask(&url)).await?;
        let services = answer.value.into_iter();
        Ok(Answer {
            index: answer.index,
            value: services.map(|(name, tags)| (name, tags.unwrap_or_default())).collect(),
        })
    }

    /// The instances of a service, whatever their health.
    pub(super) async fn instances(
        &self,
        service: &str,
        index: u64,
    ) -> Result<Answer<Vec<Instance>>, ApiError> {
        let path = ["health", "service", service];
        let url = self.question(&path, &self.config.health_filter, &self.config.tags, index);
        self.counted("health/service", self.ask(&url)).await
    }

    /// A question that may wait. Parameters without a value are left out.
    fn question(&self, path: &[&str], filter: &str, tags: &[String], index: u64) -> Url {
        let config = &self.config;
        let index = if index == 0 { String::new() } else { index.to_string() };
        let node_meta: Vec<String> =
            config.node_meta.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let mut parameters = vec![
            ("dc", some(&config.datacenter)),
            ("filter", some(filter)),
            ("index", some(&index)),
        ];
        parameters.extend(node_meta.iter().map(|pair| ("node-meta", Some(pair.as_str()))));
        parameters.push(("ns", some(&config.namespace)));
        parameters.push(("partition", some(&config.partition)));
        // It is there or not, without a value.
        parameters.push(("stale", config.allow_stale.then_some("")));
        parameters.extend(tags.iter().map(|tag| ("tag", Some(tag.as_str()))));
        parameters.push(("wait", Some(WAIT)));
        self.url(path, parameters)
    }

    fn url<'a>(
        &self,
        path: &[&str],
        parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Url {
        let mut url = self.base.clone();
        // Only a URL without a host has no path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let mut parameters = parameters
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .peekable();
        if parameters.peek().is_some() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }

    async fn ask<T: DeserializeOwned>(&self, url: &Url) -> Result<Answer<T>, ApiError> {
        let (headers, body) = self.asker.get(url).await?;
        // Something else that answers in between, such as a page for those who have not logged in,
        // is not to be taken for a catalog that is empty.
        let index = headers.get("x-consul-index").and_then(|index| index.to_str().ok());
        let index = index.and_then(|index| index.parse().ok()).ok_or(ApiError::Index)?;
        Ok(Answer { index, value: serde_json::from_slice(&body)? })
    }

    async fn counted<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let begun = Instant::now();
        let answer = answer.await;
        self.metrics.consul_call(call).count(begun.elapsed(), answer.is_err());
        answer
    }
}

/// A parameter's value, if it has one.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
