//! `sigyn query heatmap`: durations over time, darker where there are more.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::style::Style;
use super::{Server, list, number, passed_over, question, time};
use crate::cli::HeatmapFlags;

/// Columns of the map.
const COLUMNS: u64 = 60;
const SHADES: [char; 4] = ['░', '▒', '▓', '█'];
/// Of cells with errors, where there is no colour.
const ERRORS: [char; 4] = ['.', 'x', 'X', '#'];

pub(super) async fn run(
    server: &Server,
    flags: &HeatmapFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let lookback_ms = time::duration_us(&flags.about.lookback)? / 1_000;
    let step = flags.step.as_deref().map(time::duration_ms).transpose()?;
    let step = step.unwrap_or_else(|| (lookback_ms / COLUMNS).max(1).to_string());
    let per_octave = flags.per_octave.to_string();
    let of = if flags.spans { "spans" } else { "traces" };
    let parameters =
        [("of", Some(of)), ("step", Some(&step)), ("perOctave", Some(per_octave.as_str()))];
    let path = question("/api/v1/heatmap", &flags.about, &parameters)?;
    if json {
        return Ok(server.text(&path).await? + "\n");
    }
    let answer = &server.json(&path).await?["data"];
    let cells = &answer["cells"];
    let column = |name: &str| list(&cells[name]).iter().map(number);
    let places = column("step").zip(column("level"));
    let figures = column("count").zip(column("errors"));
    let counts: HashMap<(u64, u64), (u64, u64)> = places.zip(figures).collect();
    let most = counts.values().map(|(count, _)| *count).max().unwrap_or(0);
    let passed = passed_over(&answer["looked"]["tooLarge"]);
    if most == 0 {
        return Ok(format!("{passed}Nothing matches in the last {}.\n", flags.about.lookback));
    }
    let mut out = String::new();
    for (level, bounds) in list(&answer["levels"]).iter().enumerate().rev() {
        let from = time::duration(number(&bounds["fromUs"]));
        let _ = write!(out, "{} ", style.faint(&format!("{from:>10}")));
        for step in 0..number(&answer["steps"]) {
            let (count, errors) = counts.get(&(step, level as u64)).copied().unwrap_or((0, 0));
            if count == 0 {
                out.push(' ');
                continue;
            }
            let shade = usize::try_from(count * 4 / most).unwrap_or(4).clamp(1, 4) - 1;
            out.push_str(&match errors {
                0 => style.blue(&SHADES[shade].to_string()),
                _ if style.has_color() => style.red(&SHADES[shade].to_string()),
                _ => ERRORS[shade].to_string(),
            });
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    let from = time::clock(number(&answer["startUs"]));
    let step = time::duration(number(&answer["stepMs"]) * 1_000);
    let has_errors = counts.values().any(|(_, errors)| *errors > 0);
    let marks = match has_errors && !style.has_color() {
        true => "; .xX# where there are errors",
        false => "",
    };
    let _ = writeln!(
        out,
        "{}",
        style.faint(&format!(
            "           from {from}, {step} a column; {of}, {} at most in a cell{marks}",
            time::count(most)
        ))
    );
    Ok(out + &style.faint(&passed))
}
