//! `/api/v1/differences`: what sets some traces or spans apart from others.

use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sigyn_model::{DifferencesQuery, Selection};

use super::Params;
use super::ask::Asker;
use super::asked::{self, Asked, Looked, Refused};
use crate::environment::Environment;

const PARAMETERS: [&str; 6] = ["select", "selectEndTs", "selectLookback", "against", "of", "limit"];
const LIMIT: u64 = 20;
const LIMIT_MAX: u64 = 1_000;

pub(crate) fn router(asker: &Asker, environment: &Environment) -> Router {
    asked::router("/api/v1/differences", differences, asker, environment)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// How many there are in each set.
    selected: u64,
    others: u64,
    differences: Vec<Difference>,
    looked: Looked,
    took_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    key: String,
    value: String,
    selected: u64,
    others: u64,
    selected_share: f64,
    others_share: f64,
}

async fn differences(State(asked): State<Asked>, params: Params) -> Response {
    match answer(&asked, &params).await {
        Ok(answer) => asked.asker.answer_but(&answer, answer.looked.warning()),
        Err(error) => error.into_response(),
    }
}

async fn answer(asked: &Asked, params: &Params) -> Result<Answer, Refused> {
    let from = asked::selection(params, &PARAMETERS, asked.lookback)?;
    let (start_us, end_us) =
        asked::window_within(params, ("selectEndTs", "selectLookback"), &from)?;
    let selected = Selection { filter: asked::filter(params, "select")?, start_us, end_us };
    let is_everything =
        selected.filter.is_empty() && start_us <= from.start_us && end_us >= from.end_us;
    if is_everything {
        return Err(Refused::bad("select a part: by select, selectEndTs or selectLookback"));
    }
    let against = match params.first("against").filter(|text| !text.is_empty()) {
        Some(_) => Some(asked::filter(params, "against")?),
        None => None,
    };
    let query = DifferencesQuery { from, selected, against, of: asked::unit(params)? };
    let limit = asked::limit(params, LIMIT, LIMIT_MAX)?;
    let started = Instant::now();
    let (found, swept) = asked.asker.ask_counting(move |q| q.differences(&query)).await?;
    let (selected, others) = found.units();
    let share = |count: u64, of: u64| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    let ranked = found.ranked(limit).into_iter().map(|one| Difference {
        key: one.field.to_string(),
        value: one.value,
        selected: one.selected,
        others: one.others,
        selected_share: share(one.selected, selected),
        others_share: share(one.others, others),
    });
    Ok(Answer {
        selected,
        others,
        differences: ranked.collect(),
        looked: swept.into(),
        took_ms: started.elapsed().as_secs_f64() * 1e3,
    })
}
