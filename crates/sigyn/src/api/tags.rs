//! `/api/v1/tags`: every tag key that is stored, and its values, for completion while typing.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use sigyn_store::Queries;

use super::Params;
use super::ask::Asker;
use crate::reply::{ApiError, failure};

pub(crate) fn router(asker: Asker) -> Router {
    Router::new()
        .route("/api/v1/tags", get(keys))
        .route("/api/v1/tags/values", get(values))
        .with_state(asker)
}

async fn keys(State(asker): State<Asker>, params: Params) -> Response {
    let names = async {
        params.each_once(&[])?;
        asker.ask(move |q| q.tag_keys()).await
    };
    answer(&asker, names.await, Queries::TAG_KEYS_MAX, "keys")
}

async fn values(State(asker): State<Asker>, params: Params) -> Response {
    let names = async {
        params.each_once(&["key"])?;
        let key = params.wanted("key")?.to_owned();
        asker.ask(move |q| q.tag_values(&key)).await
    };
    answer(&asker, names.await, Queries::TAG_VALUES_MAX, "values")
}

fn answer(
    asker: &Asker,
    names: Result<Vec<String>, ApiError>,
    names_max: usize,
    what: &str,
) -> Response {
    match names {
        Ok(names) => asker.answer_but(&names, cut(names.len(), names_max, what)),
        Err(error) => failure(&error),
    }
}

/// What is said of a list that is full.
fn cut(names: usize, names_max: usize, what: &str) -> Option<String> {
    (names >= names_max).then(|| {
        format!(
            "these are the first {names_max} {what} in order, and there may be more: /api/v1/{what} with a prefix \
             finds them"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_may_be_cut_says_so() {
        assert_eq!(cut(2, 3, "keys"), None);
        let told = cut(3, 3, "keys").unwrap();
        assert!(told.contains("the first 3 keys") && told.contains("/api/v1/keys"), "{told}");
    }
}
