//! Interfaces of machines. Each is a question of its own, so what was answered is kept for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;
use xxhash_rust::xxh64::xxh64;

use super::machines::{IdError, Interface, Place, resource_group};
use crate::mechanism::Whose;
use crate::mechanism::ask::Asker;
use crate::mechanism::bearer::{BearerError, Token};
use crate::mechanism::pages::Pages;

/// So many are kept.
const KNOWN_MAX: usize = 5000;
/// So many are asked for at once.
const AT_ONCE: usize = 16;
const VERSION: &str = "2023-04-01";
const SCALE_SET_VERSION: &str = "2018-10-01";

/// What was answered, each until it is to be asked for again.
#[derive(Debug)]
pub(super) struct Known {
    interfaces: BTreeMap<String, (Instant, Interface)>,
    every: Duration,
    /// For log lines.
    whose: Arc<Whose>,
}

/// Why not all interfaces are known.
#[derive(Debug, thiserror::Error)]
pub(super) enum InterfacesError {
    #[error("could not parse network interface ID")]
    Id(#[from] IdError),
    #[error("failed to retrieve Interface {id}")]
    Ask { id: String, source: BearerError },
    #[error("whoever asked for an interface broke off")]
    Broken(#[from] tokio::task::JoinError),
}

/// Interfaces by id; `None` is one that Azure does not know.
pub(super) type Found = BTreeMap<String, Option<Interface>>;

impl Known {
    /// `every` is how often all are looked at.
    pub(super) fn new(every: Duration, whose: &Arc<Whose>) -> Self {
        Self { interfaces: BTreeMap::new(), every, whose: Arc::clone(whose) }
    }

    /// All of these, asked for where they are not known.
    pub(super) async fn find(
        &mut self,
        wanted: BTreeSet<&str>,
        asker: &Arc<Asker>,
        base: &Url,
        token: &Token,
    ) -> Result<Found, InterfacesError> {
        let now = Instant::now();
        let mut found = Found::new();
        let mut asking = JoinSet::new();
        for id in wanted {
            if let Some((until, interface)) = self.interfaces.get(id)
                && now < *until
            {
                found.insert(id.to_owned(), Some(interface.clone()));
                continue;
            }
            if asking.len() == AT_ONCE
                && let Some(answer) = asking.join_next().await
            {
                self.take(answer?, &mut found)?;
            }
            let url = url(base, id)?;
            asking.spawn(ask(id.to_owned(), url, Arc::clone(asker), token.clone()));
        }
        while let Some(answer) = asking.join_next().await {
            self.take(answer?, &mut found)?;
        }
        Ok(found)
    }

    fn take(
        &mut self,
        (id, answer): (String, Result<Interface, BearerError>),
        found: &mut Found,
    ) -> Result<(), InterfacesError> {
        match answer {
            Ok(interface) => {
                self.keep(&id, &interface);
                found.insert(id, Some(interface));
            }
            Err(error) if error.has(StatusCode::NOT_FOUND) => {
                let (config, server) = (&*self.whose, &self.whose.server);
                tracing::warn!(%config, discovery = "azure", server, name = id, "network interface does not exist");
                found.insert(id, None);
            }
            Err(source) => return Err(InterfacesError::Ask { id, source }),
        }
        Ok(())
    }

    /// Those that tell where a machine is: one that is nowhere now may be somewhere soon.
    fn keep(&mut self, id: &str, interface: &Interface) {
        if interface.place() == Place::Nowhere {
            self.interfaces.remove(id);
            return;
        }
        let now = Instant::now();
        if self.interfaces.len() >= KNOWN_MAX && !self.interfaces.contains_key(id) {
            self.interfaces.retain(|_, (until, _)| now < *until);
            let first = self.interfaces.iter().min_by_key(|(_, (until, _))| *until);
            let first = first.map(|(id, _)| id.clone());
            if let Some(first) = first.filter(|_| self.interfaces.len() >= KNOWN_MAX) {
                self.interfaces.remove(&first);
            }
        }
        // Not all are asked for at the same time.
        let spread = (3 * self.every).as_secs().max(1);
        let more = Duration::from_secs(xxh64(id.as_bytes(), 0) % spread);
        self.interfaces.insert(id.to_owned(), (now + 10 * self.every + more, interface.clone()));
    }
}

/// Where an interface is to be asked for.
fn url(base: &Url, id: &str) -> Result<Url, IdError> {
    resource_group(id)?;
    let mut url = base.clone();
    // An id is a path, and can name no other server.
    url.set_path(&format!("{}{id}", base.path().trim_end_matches('/')));
    let is_of_scale_set = id.to_ascii_lowercase().contains("/virtualmachinescalesets/");
    let version = if is_of_scale_set { SCALE_SET_VERSION } else { VERSION };
    url.query_pairs_mut()
        .append_pair("$expand", "IPConfigurations/PublicIPAddress")
        .append_pair("api-version", version);
    Ok(url)
}

async fn ask(
    id: String,
    url: Url,
    asker: Arc<Asker>,
    token: Token,
) -> (String, Result<Interface, BearerError>) {
    let answer = token.page(&asker, &url, "Azure", &mut Pages::<u8>::new()).await;
    (id, answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_interfaces_are_asked_for() {
        let base: Url = "http://127.0.0.1:81/".parse().unwrap();
        let check = |id: &str, expected: &str| {
            assert_eq!(url(&base, id).unwrap().as_str(), expected);
        };
        check(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/n",
            "http://127.0.0.1:81/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/\
             networkInterfaces/n?%24expand=IPConfigurations%2FPublicIPAddress&api-version=2023-04-01",
        );
        check(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/x\
             /virtualMachines/0/networkInterfaces/n?a#b",
            "http://127.0.0.1:81/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/\
             virtualMachineScaleSets/x/virtualMachines/0/networkInterfaces/n%3Fa%23b?%24expand=\
             IPConfigurations%2FPublicIPAddress&api-version=2018-10-01",
        );
        assert!(url(&base, "@127.0.0.9/x").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_ends_and_is_not_too_much() {
        let every = Duration::from_secs(60);
        let mut known = Known::new(every, &Arc::default());
        let interface: Interface =
            serde_json::from_str(r#"{"id": "/n", "properties": {"primary": false}}"#).unwrap();
        for index in 0..KNOWN_MAX + 10 {
            known.keep(&format!("{index}"), &interface);
        }
        assert_eq!(known.interfaces.len(), KNOWN_MAX);
        let ends = known.interfaces.values().map(|(until, _)| *until - Instant::now());
        let (first, last) = (ends.clone().min().unwrap(), ends.max().unwrap());
        assert!(first >= 10 * every && last < 13 * every && first < last, "{first:?} {last:?}");
        tokio::time::advance(13 * every).await;
        known.keep("new", &interface);
        assert_eq!(known.interfaces.len(), 1);
        // The machine may be started again at any time.
        let stopped = serde_json::from_str(r#"{"id": "/n", "properties": {}}"#).unwrap();
        known.keep("new", &stopped);
        assert!(known.interfaces.is_empty());
    }
}
