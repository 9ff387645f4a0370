//! `/api/v1/heatmap`: durations over time.

use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sigyn_model::{Heat, HeatQuery, Level, Steps};

use super::Params;
use super::ask::Asker;
use super::asked::{self, Asked, Looked, Refused, us};
use crate::environment::Environment;

/// Steps of a map if a question does not say how long they are.
const STEPS: u64 = 60;
/// No time is so far away, in milliseconds.
const STEP_MS_MAX: u64 = 1 << 50;
const PARAMETERS: [&str; 3] = ["of", "step", "perOctave"];
const PER_OCTAVE: u64 = 2;

pub(crate) fn router(asker: &Asker, environment: &Environment) -> Router {
    asked::router("/api/v1/heatmap", heatmap, asker, environment)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    start_us: u64,
    step_ms: u64,
    steps: u32,
    /// From the shortest that there is to the longest, without gap.
    levels: Vec<Bounds>,
    cells: Cells,
    looked: Looked,
    took_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bounds {
    from_us: f64,
    to_us: f64,
}

/// Cells that are not empty, one list a column.
#[derive(Default, Serialize)]
struct Cells {
    step: Vec<u32>,
    level: Vec<usize>,
    count: Vec<u64>,
    errors: Vec<u64>,
    /// Ids of a few traces, those with errors first.
    traces: Vec<Vec<String>>,
}

async fn heatmap(State(asked): State<Asked>, params: Params) -> Response {
    match answer(&asked, &params).await {
        Ok(answer) => asked.asker.answer_but(&answer, answer.looked.warning()),
        Err(error) => error.into_response(),
    }
}

async fn answer(asked: &Asked, params: &Params) -> Result<Answer, Refused> {
    let selection = asked::selection(params, &PARAMETERS, asked.lookback)?;
    let window_ms = (selection.end_us - selection.start_us) / 1_000;
    let step_ms = asked::number(params, "step", (window_ms / STEPS).max(1), STEP_MS_MAX)?;
    let per_octave = asked::number(params, "perOctave", PER_OCTAVE, 8)?;
    let per_octave = u32::try_from(per_octave).unwrap_or(0);
    let query = HeatQuery::new(selection, asked::unit(params)?, step_ms * 1_000, per_octave);
    let query = query.map_err(Refused::bad)?;
    let started = Instant::now();
    let (heat, swept) = asked.asker.ask_counting(move |q| q.heat(&query)).await?;
    Ok(Answer::new(&heat, swept.into(), started))
}

impl Answer {
    fn new(heat: &Heat, looked: Looked, started: Instant) -> Self {
        let steps: &Steps = heat.query().steps();
        let levels: Vec<Level> = heat.levels().collect();
        let mut cells = Cells::default();
        for (step, level, cell) in heat.cells() {
            cells.step.push(step);
            cells.level.push(levels.partition_point(|other| *other < level));
            cells.count.push(cell.count);
            cells.errors.push(cell.errors);
            cells.traces.push(cell.traces().map(|id| id.to_string()).collect());
        }
        let bounds = |level: &Level| {
            let (from, to) = heat.query().bounds(*level);
            Bounds { from_us: us(from), to_us: us(to) }
        };
        Self {
            start_us: steps.start_us(),
            step_ms: steps.len_us() / 1_000,
            steps: steps.count(),
            levels: levels.iter().map(bounds).collect(),
            cells,
            looked,
            took_ms: started.elapsed().as_secs_f64() * 1e3,
        }
    }
}
