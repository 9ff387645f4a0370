//! Lists: all objects of one kind, in one piece if the API has them in its memory and that is not too
//! large, else page by page.

use serde::Deserialize;
use tokio::task;
use tokio::time::Instant;

use super::api::{Api, ApiError};
use super::objects::Object;
use super::question::{Page, Question};
use super::watch::Times;
use crate::mechanism::ask::{ANSWER_BYTES_MAX, nullable};

/// Objects on a page, at first.
const LIMIT: u32 = 500;
/// There are no clusters with more of a kind. What goes on and on is not to take all memory.
const OBJECTS_MAX: usize = 1_000_000;
/// How often to begin again when pages have become too old on the way.
const RESTARTS_MAX: usize = 3;

/// All objects, and the version after which there may be others.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) version: String,
    pub(super) objects: Vec<T>,
}

/// How lists are asked for, by what is known of how large they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paging {
    limit: u32,
    from_memory: bool,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    #[error(transparent)]
    Ask(#[from] ApiError),
    #[error("the answer is no {0}")]
    Json(&'static str, #[source] serde_json::Error),
    #[error("the answer is a {0} instead of a {1}")]
    Kind(String, &'static str),
    #[error("the list does not say of which version it is")]
    Version,
    #[error("an object has no name")]
    Name,
    #[error("the list has more than {} objects", OBJECTS_MAX)]
    TooMany,
    #[error("the list was not read to its end")]
    Runtime(#[from] task::JoinError),
}

#[derive(Deserialize)]
#[serde(bound = "T: Object")]
struct Answer<T> {
    #[serde(default, deserialize_with = "nullable")]
    kind: String,
    #[serde(default, deserialize_with = "nullable")]
    metadata: ListMetadata,
    #[serde(default, deserialize_with = "nullable")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    #[serde(deserialize_with = "nullable")]
    resource_version: String,
    #[serde(rename = "continue", deserialize_with = "nullable")]
    token: String,
}

impl Default for Paging {
    fn default() -> Self {
        Self { limit: LIMIT, from_memory: true }
    }
}

impl Paging {
    /// From now on nothing is new enough but what the cluster has stored: what one API server has
    /// in its memory may be older than what is known already.
    pub(super) fn want_newest(&mut self) {
        self.from_memory = false;
    }

    /// Asks for less. `false` if that is not possible.
    fn shrink(&mut self) -> bool {
        if self.from_memory {
            self.from_memory = false;
            return true;
        }
        let can_shrink = self.limit > 1;
        self.limit = (self.limit / 4).max(1);
        can_shrink
    }
}

/// Asks for all objects.
pub(super) async fn list<T: Object>(
    api: &Api,
    question: &Question,
    paging: &mut Paging,
    times: &Times,
) -> Result<Listed<T>, ListError> {
    let mut objects = Vec::new();
    let mut token = String::new();
    let mut restarts = 0;
    loop {
        let Paging { limit, from_memory } = *paging;
        let url = question.list(&api.base, Page { limit, from_memory, token: &token });
        let answer = api.get(&url, ANSWER_BYTES_MAX, Instant::now() + times.list).await;
        let body = match answer {
            Ok(body) => body,
            Err(error) => {
                let is_stale = error.is_gone() && !token.is_empty() && restarts < RESTARTS_MAX;
                restarts += usize::from(is_stale);
                let is_less = error.is_too_large() && paging.shrink();
                if !is_stale && !is_less {
                    return Err(error.into());
                }
                objects.clear();
                token.clear();
                continue;
            }
        };
        // Some megabytes take long enough to hold others up.
        let page = task::spawn_blocking(move || page::<T>(&body)).await??;
        objects.extend(page.objects);
        if objects.len() > OBJECTS_MAX {
            return Err(ListError::TooMany);
        }
        token = page.token;
        if token.is_empty() {
            return Ok(Listed { version: page.version, objects });
        }
    }
}

struct Read<T> {
    version: String,
    token: String,
    objects: Vec<T>,
}

/// Reads a page. Something else that answers in between is not to be taken for a cluster without
/// objects.
fn page<T: Object>(body: &[u8]) -> Result<Read<T>, ListError> {
    let kind = T::RESOURCE.list_kind();
    let mut answer: Answer<T> =
        serde_json::from_slice(body).map_err(|error| ListError::Json(kind, error))?;
    if !answer.kind.is_empty() && answer.kind != kind {
        return Err(ListError::Kind(answer.kind, kind));
    }
    if answer.metadata.resource_version.is_empty() {
        return Err(ListError::Version);
    }
    for object in &mut answer.items {
        object.strip();
        if object.metadata().name.is_empty() {
            return Err(ListError::Name);
        }
    }
    let ListMetadata { resource_version: version, token } = answer.metadata;
    Ok(Read { version, token, objects: answer.items })
}

#[cfg(test)]
mod tests {
    use super::super::objects::Pod;
    use super::*;
    use crate::error_chain::chain;

    #[test]
    fn pages_that_are_read_and_pages_that_are_none() {
        let check = |body: &str, expected: Result<(&str, &str, usize), &str>| {
            let told = page::<Pod>(body.as_bytes());
            match (&told, expected) {
                (Ok(read), Ok(expected)) => {
                    let read = (read.version.as_str(), read.token.as_str(), read.objects.len());
                    assert_eq!(read, expected);
                }
                (Err(error), Err(expected)) => {
                    assert!(chain(error).starts_with(expected), "{error}")
                }
                _ => panic!("{body}: {expected:?}"),
            }
        };
        let metadata = r#""metadata": {"resourceVersion": "7"}"#;
        check(&format!(r#"{{"kind": "PodList", {metadata}, "items": []}}"#), Ok(("7", "", 0)));
        check(&format!(r#"{{{metadata}, "items": null}}"#), Ok(("7", "", 0)));
        check(
            r#"{"metadata": {"resourceVersion": "7", "continue": "x", "remainingItemCount": 3},
                "items": [{"metadata": {"name": "a"}, "spec": null, "extra": [{}]}]}"#,
            Ok(("7", "x", 1)),
        );
        check("{}", Err("the list does not say of which version it is"));
        check(r#"{"items": []}"#, Err("the list does not say of which version it is"));
        check("[]", Err("the list does not say of which version it is"));
        check("7", Err("the answer is no PodList: "));
        check("<html>", Err("the answer is no PodList: "));
        check(
            &format!(r#"{{"kind": "Status", {metadata}}}"#),
            Err("the answer is a Status instead of a PodList"),
        );
        check(&format!(r#"{{{metadata}, "items": [{{}}]}}"#), Err("an object has no name"));
        check(&format!(r#"{{{metadata}, "items": [7]}}"#), Err("the answer is no PodList: "));
    }

    #[test]
    fn what_is_too_large_is_asked_for_in_ever_smaller_pieces() {
        let mut paging = Paging::default();
        let mut limits = Vec::new();
        while paging.shrink() {
            limits.push(paging.limit);
        }
        assert_eq!(limits, [500, 125, 31, 7, 1]);
        assert!(!paging.from_memory);
    }
}
