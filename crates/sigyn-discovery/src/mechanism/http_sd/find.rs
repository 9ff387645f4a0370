//! Asking for target groups, and reading the answer.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use super::Config;
use crate::group::TargetGroup;
use crate::http::Options;
use crate::mechanism::ask::{Asker, boxed, parsed};
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, StartError, static_sd};

/// Tells the server how often it is asked, so that it knows how long an answer of its own may be
/// kept.
const REFRESH_INTERVAL_HEADER: &str = "x-prometheus-refresh-interval-seconds";

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let asking = Asking::new(&self, context.options())?;
        refresh::run(asking, every, context).await;
        Ok(())
    }
}

/// One server that answers with target groups.
struct Asking {
    asker: Asker,
    url: Url,
    /// The URL as written.
    source: String,
}

/// Why an answer is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("unsupported content type {0:?}")]
    ContentType(String),
    #[error("the answer is no list of target groups")]
    Json(#[from] serde_json::Error),
    #[error("nil target group item found (index {0})")]
    Null(usize),
}

impl Asking {
    fn new(config: &Config, options: Options) -> Result<Self, StartError> {
        let every = refresh::interval_of(config.refresh_interval);
        let seconds = HeaderValue::try_from(every.as_secs_f64().to_string()).map_err(boxed)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(REFRESH_INTERVAL_HEADER, seconds);
        let mut asker = Asker::new(&config.client, options, headers, every)?;
        let mut url = parsed(&config.url)?;
        asker.log_in(&mut url)?;
        Ok(Self { asker, url, source: config.url.clone() })
    }
}

impl Refresh for Asking {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let (headers, body) = self.asker.get(&self.url).await?;
        let content_type = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        Ok(groups(&self.source, &String::from_utf8_lossy(content_type), &body)?)
    }
}

/// The groups that a server answers with.
pub(super) fn groups(
    url: &str,
    content_type: &str,
    body: &Bytes,
) -> Result<Vec<TargetGroup>, AnswerError> {
    if !is_json(content_type) {
        return Err(AnswerError::ContentType(content_type.to_owned()));
    }
    let mut groups = Vec::new();
    for (index, section) in static_sd::from_json(body)?.into_iter().enumerate() {
        let section = section.ok_or(AnswerError::Null(index))?;
        let mut group = section.into_group(format!("{url}:{index}"));
        group.labels.set("__meta_url", url);
        groups.push(group);
    }
    Ok(groups)
}

/// `application/json`, and a `charset` of UTF-8 at most.
pub(super) fn is_json(content_type: &str) -> bool {
    let content_type = content_type.trim().to_ascii_lowercase();
    let Some(rest) = content_type.strip_prefix("application/json") else { return false };
    let charset = rest.strip_prefix(';').map(|rest| rest.trim_start_matches([' ', '\t']));
    rest.is_empty() || matches!(charset, Some("charset=utf-8" | "charset=\"utf-8\""))
}
