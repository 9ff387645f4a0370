//! Asking EC2 for instances, page by page.

use std::sync::Arc;

use http::header::HeaderMap;
use url::Url;

use super::Config;
use super::api::{ApiError, Service, domain};
use super::credentials::{Credentials, CredentialsError, Keys};
use super::instances::{self, Around, Zones};
use crate::error_chain::chain;
use crate::group::TargetGroup;
use crate::labels::Labels;
use crate::mechanism::ask::Asker;
use crate::mechanism::pages::Pages;
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError, Whose};

const VERSION: &str = "2016-11-15";

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let asker = Asker::new(&self.client, context.options(), HeaderMap::new(), every)?;
        let credentials = Credentials::new(&self, context.options(), every)?;
        let whose = Arc::clone(&context.whose);
        let asking = Asking { asker, credentials, config: self, whose, region: None, zones: None };
        refresh::run(asking, every, context).await;
        Ok(())
    }
}

/// One region, as one account sees it.
struct Asking {
    asker: Asker,
    credentials: Credentials,
    config: Config,
    whose: Arc<Whose>,
    /// Once it is known.
    region: Option<String>,
    /// Once they are known.
    zones: Option<Zones>,
}

/// Why there are no targets this time.
#[derive(Debug, thiserror::Error)]
enum RefreshFailure {
    #[error("EC2 SD configuration requires a region")]
    Region(#[source] CredentialsError),
    #[error("no credentials for EC2")]
    Credentials(#[source] CredentialsError),
    #[error("the endpoint is no URL")]
    Endpoint(#[source] url::ParseError),
    #[error("could not describe instances")]
    Describe(#[source] ApiError),
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.region().await.map_err(RefreshFailure::Region)?;
        let keys = self.credentials.keys(&region).await.map_err(RefreshFailure::Credentials)?;
        let url = self.url(&region).map_err(RefreshFailure::Endpoint)?;
        let ec2 = Service { name: "ec2", version: VERSION, region: &region, url };
        if self.zones.is_none() {
            self.zones = self.ask_for_zones(&ec2, &keys).await;
        }
        let targets = match self.instances(&ec2, &keys).await {
            Ok(targets) => targets,
            Err(error) => {
                // The keys may be others by now, wherever they are.
                if matches!(error, ApiError::Refused { .. } | ApiError::Status(_)) {
                    self.credentials.forget();
                }
                return Err(RefreshFailure::Describe(error).into());
            }
        };
        Ok(vec![TargetGroup { source: region, targets, ..TargetGroup::default() }])
    }
}

impl Asking {
    async fn region(&mut self) -> Result<String, CredentialsError> {
        if let Some(region) = &self.region {
            return Ok(region.clone());
        }
        let region = match self.config.region.as_str() {
            "" => self.credentials.region().await?,
            region => region.to_owned(),
        };
        Ok(self.region.insert(region).clone())
    }

    fn url(&self, region: &str) -> Result<Url, url::ParseError> {
        let variables = ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"];
        let of_environment = || {
            let environment = &self.config.environment;
            variables.into_iter().find_map(|name| environment.get(name))
        };
        let named = Some(self.config.endpoint.clone()).filter(|endpoint| !endpoint.is_empty());
        let endpoint = named
            .or_else(of_environment)
            .unwrap_or_else(|| format!("ec2.{region}.{}", domain(region)));
        if endpoint.contains("://") {
            endpoint.parse()
        } else {
            format!("https://{endpoint}").parse()
        }
    }

    /// Without them, a label is missing.
    async fn ask_for_zones(&self, ec2: &Service<'_>, keys: &Keys) -> Option<Zones> {
        let parameters = [("Action", "DescribeAvailabilityZones")];
        let told = match ec2.ask(&self.asker, Some(keys), &parameters, &[]).await {
            Ok(text) => instances::zones(&text).map_err(ApiError::from),
            Err(error) => Err(error),
        };
        told.map_err(|error| {
            let error = chain(&error);
            let (config, server) = (&*self.whose, &self.whose.server);
            tracing::debug!(%config, discovery = "ec2", server, error, "unable to describe availability zones");
        })
        .ok()
    }

    async fn instances(&self, ec2: &Service<'_>, keys: &Keys) -> Result<Vec<Labels>, ApiError> {
        let around =
            Around { region: ec2.region, port: self.config.port, zones: self.zones.as_ref() };
        let filters = filters(&self.config);
        let mut targets = Vec::new();
        let (mut pages, mut next) = (Pages::new(), String::new());
        loop {
            pages.turn(next.clone())?;
            let mut parameters = vec![("Action", "DescribeInstances")];
            parameters.extend(filters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            if !next.is_empty() {
                parameters.push(("NextToken", &next));
            }
            let text = ec2.ask(&self.asker, Some(keys), &parameters, &[]).await?;
            pages.count(text.len())?;
            let page = instances::page(&text, around)?;
            targets.extend(page.targets);
            next = page.next;
            if next.is_empty() {
                return Ok(targets);
            }
        }
    }
}

/// As EC2 reads them: `Filter.1.Name`, `Filter.1.Value.1`.
pub(super) fn filters(config: &Config) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    for (number, filter) in (1..).zip(&config.filters) {
        parameters.push((format!("Filter.{number}.Name"), filter.name.clone()));
        for (at, value) in (1..).zip(&filter.values) {
            parameters.push((format!("Filter.{number}.Value.{at}"), value.clone()));
        }
    }
    parameters
}
