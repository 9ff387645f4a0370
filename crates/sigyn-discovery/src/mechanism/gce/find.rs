//! Asking Google for the instances of a zone, page by page.

use http::StatusCode;
use http::header::HeaderMap;
use serde::Deserialize;
use url::Url;

use super::Config;
use super::credentials::{Credentials, CredentialsError};
use super::instances::{Instance, target};
use crate::group::TargetGroup;
use crate::http::{self as client, Proxy};
use crate::mechanism::ask::{Asker, nullable, parsed};
use crate::mechanism::bearer::{BearerError, Token};
use crate::mechanism::pages::Pages;
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let proxy = Proxy { from_environment: true, ..Proxy::default() };
        let client = client::Config { proxy, ..client::Config::default() };
        let asker = Asker::new(&client, context.options(), HeaderMap::new(), every)?;
        let base = parsed(&self.api)?;
        let credentials =
            Credentials::new(&self.environment, context.options(), every).await.map_err(set_up)?;
        refresh::run(Asking { asker, base, credentials, config: self }, every, context).await;
        Ok(())
    }
}

fn set_up(error: StartError) -> StartError {
    #[derive(Debug, thiserror::Error)]
    #[error("error setting up communication with GCE service")]
    struct SetUp(#[source] StartError);

    crate::mechanism::ask::boxed(SetUp(error))
}

/// One zone.
struct Asking {
    asker: Asker,
    base: Url,
    credentials: Credentials,
    config: Config,
}

/// Why there are no targets this time.
#[derive(Debug, thiserror::Error)]
enum RefreshFailure {
    #[error("no credentials for GCE")]
    Credentials(#[source] CredentialsError),
    #[error("error retrieving refresh targets from gce")]
    Instances(#[source] BearerError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    /// So that it is not anybody's `{}`.
    #[serde(rename = "kind")]
    _kind: String,
    /// A zone without instances has no list of them.
    #[serde(default, deserialize_with = "nullable")]
    items: Vec<Instance>,
    #[serde(default, deserialize_with = "nullable")]
    next_page_token: String,
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let token = self.credentials.token().await.map_err(RefreshFailure::Credentials)?;
        let instances = match self.instances(&token).await {
            Ok(instances) => instances,
            Err(error) => {
                if error.has(StatusCode::UNAUTHORIZED) {
                    self.credentials.forget();
                }
                return Err(RefreshFailure::Instances(error).into());
            }
        };
        let config = &self.config;
        let targets = instances.iter().filter_map(|instance| target(instance, config)).collect();
        let source = format!("GCE_{}_{}", config.project, config.zone);
        Ok(vec![TargetGroup { source, targets, ..TargetGroup::default() }])
    }
}

impl Asking {
    async fn instances(&self, token: &Token) -> Result<Vec<Instance>, BearerError> {
        let Config { project, zone, filter, .. } = &self.config;
        let mut all = Vec::new();
        let (mut pages, mut next) = (Pages::new(), String::new());
        loop {
            pages.turn(next.clone())?;
            let mut url = self.base.clone();
            // Only a URL without a host has no path.
            if let Ok(mut segments) = url.path_segments_mut() {
                let path = ["projects", project, "zones", zone, "instances"];
                segments.pop_if_empty().extend(path);
            }
            let parameters = [("filter", filter.as_str()), ("pageToken", next.as_str())];
            let mut parameters = parameters.to_vec();
            parameters.retain(|(_, value)| !value.is_empty());
            if !parameters.is_empty() {
                url.query_pairs_mut().extend_pairs(parameters);
            }
            let page: Page =
                token.page(&self.asker, &url, "Google Compute Engine", &mut pages).await?;
            all.extend(page.items);
            next = page.next_page_token;
            if next.is_empty() {
                return Ok(all);
            }
        }
    }
}
