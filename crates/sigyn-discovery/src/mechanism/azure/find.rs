//! Asking Azure for machines, and for where each of them is.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderMap;
use serde::de::DeserializeOwned;
use url::Url;

use super::Config;
use super::cloud::{Cloud, UnknownCloud};
use super::credentials::{Credentials, CredentialsError};
use super::interfaces::{InterfacesError, Known};
use super::machines::{IdError, Machine, Page, Place, ScaleSet, resource_group, settle};
use crate::group::TargetGroup;
use crate::labels::Labels;
use crate::mechanism::ask::Asker;
use crate::mechanism::bearer::{BearerError, Token};
use crate::mechanism::pages::Pages;
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

const VERSION: &str = "2024-03-01";

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let asker = Asker::new(&self.client, context.options(), HeaderMap::new(), every)?;
        let credentials = Credentials::new(&self, context.options(), every)?;
        let known = Known::new(every, &context.whose);
        let asking = Asking { asker: Arc::new(asker), credentials, known, config: self };
        refresh::run(asking, every, context).await;
        Ok(())
    }
}

/// One subscription.
struct Asking {
    asker: Arc<Asker>,
    credentials: Credentials,
    known: Known,
    config: Config,
}

/// Why there are no targets this time.
#[derive(Debug, thiserror::Error)]
enum RefreshFailure {
    #[error("could not create Azure client")]
    Cloud(#[from] UnknownCloud),
    #[error("could not create Azure client")]
    Api(#[source] url::ParseError),
    #[error("no credentials for Azure")]
    Credentials(#[source] CredentialsError),
    #[error("could not get virtual machines")]
    Machines(#[source] ListError),
    #[error("could not get virtual machine scale sets")]
    ScaleSets(#[source] ListError),
    #[error("could not get virtual machine scale set vms")]
    ScaleSetMachines(#[source] ListError),
    #[error("unable to complete Azure service discovery")]
    Interfaces(#[from] InterfacesError),
    #[error("unable to complete Azure service discovery")]
    Id(#[from] IdError),
    #[error("unable to find a private IP for VM {0}")]
    Unreachable(String),
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Ask(#[from] BearerError),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error("the next page is said to be at {0:?}, which is no place of Azure's")]
    Elsewhere(String),
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let answer = self.targets().await;
        if let Err(error) = &answer
            && error.is_unauthorized()
        {
            self.credentials.forget();
        }
        Ok(vec![TargetGroup { targets: answer?, ..TargetGroup::default() }])
    }
}

impl RefreshFailure {
    fn is_unauthorized(&self) -> bool {
        let error = match self {
            Self::Machines(ListError::Ask(error))
            | Self::ScaleSets(ListError::Ask(error))
            | Self::ScaleSetMachines(ListError::Ask(error)) => error,
            Self::Interfaces(InterfacesError::Ask { source, .. }) => source,
            _ => return false,
        };
        error.has(StatusCode::UNAUTHORIZED)
    }
}

impl Asking {
    async fn targets(&mut self) -> Result<Vec<Labels>, RefreshFailure> {
        let cloud = Cloud::named(&self.config.cloud)?;
        let api = if self.config.api.is_empty() { cloud.api } else { &self.config.api };
        let base: Url = api.parse().map_err(RefreshFailure::Api)?;
        let token = self.credentials.token(cloud).await.map_err(RefreshFailure::Credentials)?;
        let machines = self.machines(&base, &token).await?;
        let mut targets = Vec::new();
        let mut open: Vec<&Machine> = machines.iter().collect();
        // The first interface nearly always tells.
        for at in 0.. {
            open.retain(|machine| machine.interface(at).is_some());
            if open.is_empty() {
                break;
            }
            let wanted: BTreeSet<&str> =
                open.iter().filter_map(|machine| machine.interface(at)).collect();
            let found = self.known.find(wanted, &self.asker, &base, &token).await?;
            let mut still_open = Vec::new();
            for machine in open {
                let id = machine.interface(at).unwrap_or_default();
                let interface = found.get(id).and_then(Option::as_ref);
                match interface.map_or(Place::Nowhere, |interface| interface.place()) {
                    Place::Elsewhere => still_open.push(machine),
                    Place::Nowhere => {}
                    Place::Unreachable => {
                        return Err(RefreshFailure::Unreachable(machine.name.clone()));
                    }
                    Place::At { private, public } => {
                        let mut labels = machine.labels(&self.config)?;
                        settle(&mut labels, &private, &public, self.config.port);
                        targets.push(labels);
                    }
                }
            }
            open = still_open;
        }
        Ok(targets)
    }

    /// All machines, those of scale sets after the others.
    async fn machines(&self, base: &Url, token: &Token) -> Result<Vec<Machine>, RefreshFailure> {
        let group = self.config.resource_group.as_str();
        let machines = self.list::<Machine>(base, token, group, &["virtualMachines"]).await;
        let mut machines = machines.map_err(RefreshFailure::Machines)?;
        let sets = self.list::<ScaleSet>(base, token, group, &["virtualMachineScaleSets"]).await;
        let sets = sets.map_err(RefreshFailure::ScaleSets)?;
        for set in sets {
            let failed = RefreshFailure::ScaleSetMachines;
            let group = resource_group(&set.id).map_err(|error| failed(error.into()))?;
            let path = ["virtualMachineScaleSets", &set.name, "virtualMachines"];
            let own = self.list::<Machine>(base, token, group, &path).await;
            machines.extend(own.map_err(failed)?.into_iter().map(|mut machine| {
                machine.scale_set.clone_from(&set.name);
                machine
            }));
        }
        Ok(machines)
    }

    /// All pages of a list of one resource group, or of all of them if it is empty.
    async fn list<T: DeserializeOwned>(
        &self,
        base: &Url,
        token: &Token,
        group: &str,
        path: &[&str],
    ) -> Result<Vec<T>, ListError> {
        let mut url = base.clone();
        // Only a URL without a host has no path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["subscriptions", &self.config.subscription_id]);
            if !group.is_empty() {
                segments.extend(["resourceGroups", group]);
            }
            segments.extend(["providers", "Microsoft.Compute"]).extend(path);
        }
        url.query_pairs_mut().append_pair("api-version", VERSION);
        let mut all = Vec::new();
        let mut pages = Pages::new();
        loop {
            pages.turn(url.as_str().to_owned()).map_err(BearerError::from)?;
            let page: Page<T> = token.page(&self.asker, &url, "Azure", &mut pages).await?;
            all.extend(page.value);
            if page.next.is_empty() {
                return Ok(all);
            }
            // Nobody else is to see the token.
            let next = Url::parse(&page.next).ok().filter(|next| next.origin() == base.origin());
            url = next.ok_or(ListError::Elsewhere(page.next))?;
        }
    }
}
