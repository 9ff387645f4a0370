//! `sigyn query red`: how often, how well and how fast, group by group.

use serde_json::Value;

use super::style::Style;
use super::table::{Align, Cell, Table};
use super::{Server, list, number, passed_over, question, text, time};
use crate::cli::RedFlags;

/// Characters of the line that shows how many spans there were when.
const LINE: usize = 30;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) async fn run(
    server: &Server,
    flags: &RedFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let lookback_ms = time::duration_us(&flags.about.lookback)? / 1_000;
    let step = (lookback_ms / LINE as u64).max(1_000).to_string();
    let limit = flags.limit.to_string();
    let parameters =
        [("by", Some(flags.by.as_str())), ("step", Some(&step)), ("limit", Some(&limit))];
    let path = question("/api/v1/red", &flags.about, &parameters)?;
    if json {
        return Ok(server.text(&path).await? + "\n");
    }
    let answer = &server.json(&path).await?["data"];
    let series = list(&answer["series"]);
    let passed = passed_over(&answer["looked"]["tooLarge"]);
    if series.is_empty() {
        return Ok(format!("{passed}No span matches in the last {}.\n", flags.about.lookback));
    }
    let mut table = Table::new(&[
        ("GROUP", Align::Left),
        ("SPANS", Align::Right),
        ("PER SECOND", Align::Right),
        ("ERRORS", Align::Right),
        ("P50", Align::Right),
        ("P95", Align::Right),
        ("P99", Align::Right),
        ("MAX", Align::Right),
        ("SPANS OVER TIME", Align::Left),
    ]);
    for one in series {
        let values: Vec<&str> = list(&one["values"]).iter().map(text).collect();
        let name = values.iter().map(|value| if value.is_empty() { "-" } else { value });
        let name = name.collect::<Vec<_>>().join("  ");
        let line = line(&one["points"], number(&answer["steps"]));
        table.row(row(Cell::new(name).paint(|name| style.bold(name)), one, line, style));
    }
    if answer["rest"].is_object() {
        let name = Cell::new("all others").paint(|name| style.faint(name));
        table.row(row(name, &answer["rest"], String::new(), style));
    }
    Ok(table.render(style) + &style.faint(&passed))
}

fn row(name: Cell, figures: &Value, line: String, style: Style) -> Vec<Cell> {
    let (spans, errors) = (number(&figures["spans"]), number(&figures["errors"]));
    let rate = figures["perSecond"].as_f64().unwrap_or(0.0);
    let share = errors as f64 / spans.max(1) as f64 * 100.0;
    let took = |value: &Value| match value.is_null() {
        true => Cell::new("-"),
        false => Cell::new(time::duration(number(value))),
    };
    let quantiles = list(&figures["quantilesUs"]);
    let quantile = |at: usize| quantiles.get(at).map_or_else(Cell::default, took);
    vec![
        name,
        Cell::new(time::count(spans)),
        Cell::new(format!("{rate:.2}")),
        Cell::new(format!("{share:.1} %"))
            .paint(|text| if errors > 0 { style.red(text) } else { style.faint(text) }),
        quantile(0),
        quantile(1),
        quantile(2),
        took(&figures["maxUs"]),
        Cell::new(line).paint(|line| style.blue(line)),
    ]
}

/// Spans over time, the highest bar for the most.
fn line(points: &Value, steps: u64) -> String {
    let counts: Vec<(u64, u64)> = list(&points["step"])
        .iter()
        .zip(list(&points["spans"]))
        .map(|(step, spans)| (number(step), number(spans)))
        .collect();
    let most = counts.iter().map(|(_, spans)| *spans).max().unwrap_or(0).max(1);
    let bar = |step: u64| {
        let spans = counts.iter().find(|(other, _)| *other == step).map_or(0, |(_, spans)| *spans);
        let height = usize::try_from(spans * 8 / most).unwrap_or(8);
        match spans {
            0 => ' ',
            _ => BARS[height.clamp(1, 8) - 1],
        }
    };
    (0..steps.min(2 * LINE as u64)).map(bar).collect()
}
