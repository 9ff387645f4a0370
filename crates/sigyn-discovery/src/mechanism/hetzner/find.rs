//! Asking Hetzner for servers.

use http::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::{Config, Role, cloud, robot};
use crate::group::TargetGroup;
use crate::mechanism::ask::{AskError, Asker, from_json, parsed};
use crate::mechanism::pages::{Pages, PagesError};
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

/// Hetzner Cloud answers with no more at a time.
const PER_PAGE: &str = "50";
const CLOUD: &str = "Hetzner Cloud";

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let asker = Asker::new(&self.client, context.options(), HeaderMap::new(), every)?;
        let base = parsed(&self.api)?;
        refresh::run(Asking { asker, base, config: self }, every, context).await;
        Ok(())
    }
}

/// One account.
struct Asking {
    asker: Asker,
    base: Url,
    config: Config,
}

/// Why Robot has no answer of use.
#[derive(Debug, thiserror::Error)]
#[error("non 2xx status '{0}' response during hetzner service discovery with role robot")]
struct RobotStatus(u16);

/// Which page an answer of Hetzner Cloud's is.
#[derive(Deserialize)]
struct Meta {
    pagination: Option<Pagination>,
}

#[derive(Deserialize)]
struct Pagination {
    next_page: Option<u64>,
}

/// A page of a list, whose name is the list's.
trait Page: DeserializeOwned {
    const LIST: &'static str;
    type Item;

    fn parts(self) -> (Vec<Self::Item>, Option<Meta>);
}

#[derive(Deserialize)]
struct Servers {
    servers: Vec<cloud::Server>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Networks {
    networks: Vec<cloud::Network>,
    meta: Option<Meta>,
}

impl Page for Servers {
    const LIST: &'static str = "servers";
    type Item = cloud::Server;

    fn parts(self) -> (Vec<cloud::Server>, Option<Meta>) {
        (self.servers, self.meta)
    }
}

impl Page for Networks {
    const LIST: &'static str = "networks";
    type Item = cloud::Network;

    fn parts(self) -> (Vec<cloud::Network>, Option<Meta>) {
        (self.networks, self.meta)
    }
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = match self.config.role {
            Role::Cloud => {
                let servers = self.list::<Servers>(&self.config.label_selector).await?;
                let networks = self.list::<Networks>("").await?;
                let port = self.config.port;
                servers.iter().map(|server| cloud::target(server, &networks, port)).collect()
            }
            Role::Robot => {
                let (_, body) = match self.asker.get(&self.url("server")).await {
                    Err(AskError::Status(status)) => {
                        return Err(RobotStatus(status.as_u16()).into());
                    }
                    answer => answer?,
                };
                let servers: Vec<robot::Item> = from_json(&body, "Hetzner Robot")?;
                servers.iter().map(|item| robot::target(&item.server, self.config.port)).collect()
            }
        };
        let source = "hetzner".to_owned();
        Ok(vec![TargetGroup { source, targets, ..TargetGroup::default() }])
    }
}

impl Asking {
    fn url(&self, list: &str) -> Url {
        let mut url = self.base.clone();
        // Only a URL without a host has no path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(list);
        }
        url
    }

    /// All pages of a list of Hetzner Cloud's.
    async fn list<P: Page>(&self, selector: &str) -> Result<Vec<P::Item>, PagesError> {
        let mut all = Vec::new();
        let (mut pages, mut next) = (Pages::new(), Some(1));
        while let Some(page) = next {
            pages.turn(page)?;
            let mut url = self.url(P::LIST);
            url.query_pairs_mut()
                .append_pair("page", &page.to_string())
                .append_pair("per_page", PER_PAGE);
            if !selector.is_empty() {
                url.query_pairs_mut().append_pair("label_selector", selector);
            }
            let (items, meta) = pages.json::<P>(&self.asker, &url, CLOUD).await?.parts();
            all.extend(items);
            next = meta.and_then(|meta| meta.pagination).and_then(|pages| pages.next_page);
        }
        Ok(all)
    }
}
