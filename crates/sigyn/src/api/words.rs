//! `/api/v1/keys` and `/api/v1/values`: what spans say, how often, and since when.

use std::cmp::Reverse;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sigyn_model::{Seen, What, WordsQuery};

use super::Params;
use super::ask::Asker;
use super::asked::{self, Asked, Looked, Refused};
use crate::environment::Environment;

const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 10_000;

pub(crate) fn router(asker: &Asker, environment: &Environment) -> Router {
    let keys = asked::router("/api/v1/keys", keys, asker, environment);
    keys.merge(asked::router("/api/v1/values", values, asker, environment))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// Those that most spans say first.
    words: Vec<Word>,
    /// There are more.
    limited: bool,
    looked: Looked,
    took_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Word {
    word: String,
    spans: u64,
    first_us: u64,
    last_us: u64,
}

async fn keys(State(asked): State<Asked>, params: Params) -> Response {
    respond(&asked, answer(&asked, &params, &["prefix", "limit"], What::Keys).await)
}

async fn values(State(asked): State<Asked>, params: Params) -> Response {
    let what = || Ok(What::Values(asked::field("key", params.wanted("key")?)?));
    match what() {
        Ok(what) => {
            respond(&asked, answer(&asked, &params, &["key", "prefix", "limit"], what).await)
        }
        Err(refused) => Refused::into_response(refused),
    }
}

fn respond(asked: &Asked, answer: Result<Answer, Refused>) -> Response {
    match answer {
        Ok(answer) => asked.asker.answer_but(&answer, answer.looked.warning()),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    asked: &Asked,
    params: &Params,
    parameters: &[&str],
    what: What,
) -> Result<Answer, Refused> {
    let selection = asked::selection(params, parameters, asked.lookback)?;
    let limit = asked::limit(params, LIMIT, LIMIT_MAX)?;
    let query = WordsQuery { selection, what, prefix: params.text("prefix").unwrap_or_default() };
    let started = Instant::now();
    let (found, swept) = asked.asker.ask_counting(move |q| q.words(&query)).await?;
    let mut words: Vec<(&String, &Seen)> = found.words().iter().collect();
    // Already in their own order.
    words.sort_by_key(|(_, seen)| Reverse(seen.spans));
    let limited = found.is_cut() || words.len() > limit;
    let word = |(word, seen): (&String, &Seen)| Word {
        word: word.clone(),
        spans: seen.spans,
        first_us: seen.first.micros(),
        last_us: seen.last.micros(),
    };
    Ok(Answer {
        words: words.into_iter().take(limit).map(word).collect(),
        limited,
        looked: swept.into(),
        took_ms: started.elapsed().as_secs_f64() * 1e3,
    })
}
