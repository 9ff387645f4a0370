//! Asking a Eureka server for its applications.

use http::header::HeaderMap;
use url::Url;

use super::Config;
use super::applications::targets;
use crate::group::TargetGroup;
use crate::mechanism::ask::{Asker, parsed};
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError};

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let mut asker = Asker::new(&self.client, context.options(), HeaderMap::new(), every)?;
        let mut url = parsed(&format!("{}/apps", self.server.trim_end_matches('/')))?;
        asker.log_in(&mut url)?;
        refresh::run(Asking { asker, url }, every, context).await;
        Ok(())
    }
}

/// One server.
struct Asking {
    asker: Asker,
    url: Url,
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let (_, body) = self.asker.get(&self.url).await?;
        let targets = targets(str::from_utf8(&body)?)?;
        Ok(vec![TargetGroup { source: "eureka".to_owned(), targets, ..TargetGroup::default() }])
    }
}
