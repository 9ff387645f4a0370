//! What has happened in an account: while nothing has, what is known of it stays true.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Request, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use url::Url;

use crate::group::TargetGroup;
use crate::mechanism::ask::{AskError, Asker, boxed, from_json};
use crate::mechanism::refresh::RefreshError;

/// Whether there is one is all that counts.
pub(super) const EVENTS_PER_PAGE: &str = "25";

/// Not everything that happens is an event: who shuts down an instance from within makes none. So these
/// many answers of none in a row, the last of them counted, are not believed.
const QUIET_MAX: u32 = 10;

/// What was found last, and whether it is still so.
pub(super) struct Events {
    asker: Asker,
    /// `None` before there was an answer.
    known: Option<Vec<TargetGroup>>,
    /// When it was asked for, or for events after it.
    pub(super) last: Timestamp,
    quiet: u32,
    /// Tokens that may list instances need not be ones that may list events.
    are_told: bool,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<IgnoredAny>,
}

impl Events {
    pub(super) fn new(asker: Asker) -> Self {
        Self { asker, known: None, last: Timestamp::now(), quiet: 0, are_told: true }
    }

    /// What is known, if nothing has happened since it was asked for.
    pub(super) async fn nothing_since(
        &mut self,
        url: &Url,
    ) -> Result<Option<Vec<TargetGroup>>, RefreshError> {
        if self.known.is_none() || !self.are_told {
            return Ok(None);
        }
        let (head, body) = self.asker.send(url, self.request()?).await?;
        match head.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                tracing::info!(
                    "Linode does not tell its events to this token: all is asked for each time"
                );
                self.are_told = false;
                return Ok(None);
            }
            status => return Err(AskError::Status(status).into()),
        }
        let page: Page = from_json(&body, "Linode")?;
        self.quiet += 1;
        if page.data.is_empty() && self.quiet < QUIET_MAX {
            return Ok(self.known.clone());
        }
        Ok(None)
    }

    /// Keeps what was asked for then.
    pub(super) fn answered(&mut self, groups: Vec<TargetGroup>, asked: Timestamp) {
        self.known = Some(groups);
        self.last = asked;
        self.quiet = 0;
    }

    fn request(&self) -> Result<Request<Bytes>, RefreshError> {
        let since = self.last.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let filter = json!({"created": {"+gte": since}}).to_string();
        let mut request = Request::new(Bytes::new());
        let value = HeaderValue::try_from(filter).map_err(boxed)?;
        request.headers_mut().insert(HeaderName::from_static("x-filter"), value);
        Ok(request)
    }
}
