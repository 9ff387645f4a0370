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
    let step = flags.step.as_deref().map(time::duration_ms).transpose()?;
    let step = step.unwrap_or_else(|| (lookback_ms / LINE as u64).max(1_000).to_string());
    let limit = flags.limit.to_string();
    let parameters = [
        ("by", Some(flags.by.as_str())),
        ("step", Some(&step)),
        ("quantiles", Some(&flags.quantiles)),
        ("limit", Some(&limit)),
    ];
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
    let quantiles: Vec<String> = list(&answer["quantiles"]).iter().map(quantile).collect();
    let mut columns = vec![
        ("GROUP", Align::Left),
        ("SPANS", Align::Right),
        ("PER SECOND", Align::Right),
        ("ERRORS", Align::Right),
    ];
    columns.extend(quantiles.iter().map(|name| (name.as_str(), Align::Right)));
    columns.extend([("MAX", Align::Right), ("SPANS OVER TIME", Align::Left)]);
    let mut table = Table::new(&columns);
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
    let limited = match answer["limited"] == true {
        true => "There are too many groups to choose among: others may have more spans.\n",
        false => "",
    };
    Ok(table.render(style) + &style.faint(&(passed + limited)))
}

/// `P99` of 0.99, `P99.9` of 0.999.
fn quantile(of: &Value) -> String {
    // Without what is no more than the last bits of a fraction.
    let percent = (of.as_f64().unwrap_or(0.0) * 100.0 * 1e9).round() / 1e9;
    format!("P{percent}")
}

fn row(name: Cell, figures: &Value, line: String, style: Style) -> Vec<Cell> {
    let (spans, errors) = (number(&figures["spans"]), number(&figures["errors"]));
    let rate = figures["perSecond"].as_f64().unwrap_or(0.0);
    let share = errors as f64 / spans.max(1) as f64 * 100.0;
    let took = |value: &Value| match value.is_null() {
        true => Cell::new("-"),
        false => Cell::new(time::duration(number(value))),
    };
    let mut cells = vec![
        name,
        Cell::new(time::count(spans)),
        Cell::new(format!("{rate:.2}")),
        Cell::new(format!("{share:.1} %"))
            .paint(|text| if errors > 0 { style.red(text) } else { style.faint(text) }),
    ];
    cells.extend(list(&figures["quantilesUs"]).iter().map(took));
    cells.push(took(&figures["maxUs"]));
    cells.push(Cell::new(line).paint(|line| style.blue(line)));
    cells
}

/// Spans over time, the highest bar for the most. Of many steps several share a bar.
fn line(points: &Value, steps: u64) -> String {
    let together = steps.div_ceil(2 * LINE as u64).max(1);
    let mut bars = vec![0; usize::try_from(steps.div_ceil(together)).unwrap_or(0)];
    for (step, spans) in list(&points["step"]).iter().zip(list(&points["spans"])) {
        let at = usize::try_from(number(step) / together).unwrap_or(usize::MAX);
        if let Some(bar) = bars.get_mut(at) {
            *bar += number(spans);
        }
    }
    let most = bars.iter().copied().max().unwrap_or(0).max(1);
    let bar = |spans: &u64| match *spans {
        0 => ' ',
        spans => BARS[usize::try_from(spans * 8 / most).unwrap_or(8).clamp(1, 8) - 1],
    };
    bars.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn many_steps_share_a_bar_and_quantiles_have_their_names() {
        let check = |step: &[u64], spans: &[u64], steps, expected: &str| {
            assert_eq!(line(&json!({"step": step, "spans": spans}), steps), expected);
        };
        check(&[0, 2], &[8, 1], 3, "█ ▁");
        let all = format!("█{}▄", " ".repeat(58));
        check(&[0, 1, 119], &[3, 1, 2], 120, &all);
        for (of, expected) in [(0.5, "P50"), (0.999, "P99.9"), (0.07, "P7"), (1.0, "P100")] {
            assert_eq!(quantile(&json!(of)), expected);
        }
    }
}
