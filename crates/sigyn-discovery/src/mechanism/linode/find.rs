//! Asking Linode for instances, and for all that it knows of their addresses, when something has
//! happened.

use http::header::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use super::Config;
use super::events::{EVENTS_PER_PAGE, Events};
use super::instances::{Address, Addresses, Instance, Range, target};
use crate::group::TargetGroup;
use crate::mechanism::ask::{Asker, boxed, parsed};
use crate::mechanism::pages::{Pages, PagesError};
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

/// Linode answers with no more at a time.
const PER_PAGE: &str = "500";

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let mut headers = HeaderMap::new();
        if !self.region.is_empty() {
            let filter = json!({"region": self.region}).to_string();
            headers.insert("x-filter", HeaderValue::try_from(filter).map_err(boxed)?);
        }
        let events =
            Events::new(Asker::new(&self.client, context.options(), HeaderMap::new(), every)?);
        let asker = Asker::new(&self.client, context.options(), headers, every)?;
        let base = parsed(&self.api)?;
        refresh::run(Asking { asker, base, config: self, events }, every, context).await;
        Ok(())
    }
}

/// One account.
struct Asking {
    asker: Asker,
    base: Url,
    config: Config,
    events: Events,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    /// How many there are.
    pages: u64,
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let url = list_url(&self.base, &["account", "events"], 1, EVENTS_PER_PAGE);
        let asked = Timestamp::now();
        if let Some(known) = self.events.nothing_since(&url).await? {
            self.events.last = asked;
            return Ok(known);
        }
        let instances: Vec<Instance> = self.list(&["linode", "instances"]).await?;
        let addresses: Vec<Address> = self.list(&["networking", "ips"]).await?;
        let ranges: Vec<Range> = self.list(&["networking", "ipv6", "ranges"]).await?;
        let known = Addresses::new(&addresses, &ranges);
        let target = |instance| target(instance, &known, &self.config);
        let targets = instances.iter().filter_map(target).collect();
        let group = TargetGroup { source: "Linode".to_owned(), targets, ..TargetGroup::default() };
        self.events.answered(vec![group.clone()], asked);
        Ok(vec![group])
    }
}

impl Asking {
    /// All pages of a list.
    async fn list<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, PagesError> {
        let mut all = Vec::new();
        let (mut pages, mut page) = (Pages::new(), 1);
        loop {
            pages.turn(page)?;
            let url = list_url(&self.base, path, page, PER_PAGE);
            let answer: Page<T> = pages.json(&self.asker, &url, "Linode").await?;
            all.extend(answer.data);
            if page >= answer.pages {
                return Ok(all);
            }
            page += 1;
        }
    }
}

fn list_url(base: &Url, path: &[&str], page: u64, per_page: &str) -> Url {
    let mut url = base.clone();
    // Only a URL without a host has no path.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url.query_pairs_mut().append_pair("page", &page.to_string()).append_pair("page_size", per_page);
    url
}
