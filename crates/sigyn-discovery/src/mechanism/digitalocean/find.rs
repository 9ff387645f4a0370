//! Asking DigitalOcean, page by page.

use std::collections::BTreeSet;

use http::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::databases::{self, Cluster};
use super::droplets::{self, Droplet};
use super::{Config, Role};
use crate::group::TargetGroup;
use crate::mechanism::ask::{Asker, parsed};
use crate::mechanism::pages::{Pages, PagesError};
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

/// DigitalOcean answers with no more at a time.
const PER_PAGE: usize = 100;

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

/// Which page of a list had no answer of use.
#[derive(Debug, thiserror::Error)]
#[error("error while listing {list} page {page}")]
struct ListError {
    list: &'static str,
    page: u64,
    source: PagesError,
}

/// A page of a list, whose name is the list's.
trait Page: DeserializeOwned {
    const LIST: &'static str;
    type Item;

    fn parts(self) -> (Vec<Self::Item>, Option<Links>);
    fn id(item: &Self::Item) -> String;
}

#[derive(Deserialize)]
struct Droplets {
    droplets: Vec<Droplet>,
    links: Option<Links>,
}

#[derive(Deserialize)]
struct Databases {
    databases: Vec<Cluster>,
    links: Option<Links>,
}

/// Where other pages are.
#[derive(Deserialize)]
struct Links {
    pages: Option<Neighbours>,
}

#[derive(Deserialize)]
struct Neighbours {
    next: Option<String>,
}

impl Page for Droplets {
    const LIST: &'static str = "droplets";
    type Item = Droplet;

    fn parts(self) -> (Vec<Droplet>, Option<Links>) {
        (self.droplets, self.links)
    }

    fn id(item: &Droplet) -> String {
        item.id.to_string()
    }
}

impl Page for Databases {
    const LIST: &'static str = "databases";
    type Item = Cluster;

    fn parts(self) -> (Vec<Cluster>, Option<Links>) {
        (self.databases, self.links)
    }

    fn id(item: &Cluster) -> String {
        item.id.clone()
    }
}

impl Links {
    /// The page behind this one, if there is any.
    fn next(self) -> Option<u64> {
        let next = Url::parse(&self.pages?.next?).ok()?;
        let page = next.query_pairs().find(|(name, _)| name == "page")?;
        page.1.parse().ok()
    }
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let port = self.config.port;
        let (source, targets) = match self.config.role {
            Role::Droplets => {
                let droplets = self.list::<Droplets>().await?;
                let targets = droplets.iter().filter_map(|droplet| droplets::target(droplet, port));
                ("DigitalOcean", targets.collect())
            }
            Role::Databases => {
                let clusters = self.list::<Databases>().await?;
                let targets = clusters.iter().map(|cluster| databases::target(cluster, port));
                ("DigitalOcean Databases", targets.collect())
            }
        };
        Ok(vec![TargetGroup { source: source.to_owned(), targets, ..TargetGroup::default() }])
    }
}

impl Asking {
    /// All pages of a list. Where no page tells of a next one, a full one may not be the last.
    async fn list<P: Page>(&self) -> Result<Vec<P::Item>, ListError> {
        let mut all = Vec::new();
        let mut known = BTreeSet::new();
        let (mut pages, mut next) = (Pages::new(), Some(1_u64));
        while let Some(page) = next {
            let failed = |source| ListError { list: P::LIST, page, source };
            pages.turn(page).map_err(failed)?;
            let mut url = self.base.clone();
            // Only a URL without a host has no path.
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().push(P::LIST);
            }
            url.query_pairs_mut()
                .append_pair("page", &page.to_string())
                .append_pair("per_page", &PER_PAGE.to_string());
            let answer = pages.json::<P>(&self.asker, &url, "DigitalOcean").await;
            let (items, links) = answer.map_err(failed)?.parts();
            let told = links.and_then(Links::next);
            let is_full = items.len() >= PER_PAGE;
            let before = known.len();
            known.extend(items.iter().map(P::id));
            let has_news = known.len() > before;
            if has_news {
                all.extend(items);
            }
            next = match told {
                Some(_) if !has_news => return Err(failed(PagesError::Circle)),
                Some(told) => Some(told),
                None => (is_full && has_news).then_some(page + 1),
            };
        }
        Ok(all)
    }
}
