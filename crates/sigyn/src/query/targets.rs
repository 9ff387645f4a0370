//! `sigyn query targets`: whom discovery found, and how each one is.

use serde_json::Value;

use super::style::Style;
use super::table::{Align, Cell, Table};
use super::{Server, time};

pub(super) async fn run(
    server: &Server,
    problems: bool,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let path = "/api/v1/targets?state=active";
    if json {
        return Ok(server.text(path).await? + "\n");
    }
    let answer = server.json(path).await?;
    let targets = answer["data"]["activeTargets"].as_array().map_or(&[][..], Vec::as_slice);
    if targets.is_empty() {
        return Ok("No target. Add scrape_configs to the configuration: see docs/guide/configuration.md.\n".to_owned());
    }
    let state = |target: &Value| target["sigyn"]["state"].as_str().unwrap_or("unknown").to_owned();
    let shown: Vec<&Value> =
        targets.iter().filter(|target| !problems || state(target) != "up").collect();
    if shown.is_empty() {
        return Ok(format!("All {} targets are up.\n", targets.len()));
    }
    let mut table = Table::new(&[
        ("JOB", Align::Left),
        ("INSTANCE", Align::Left),
        ("STATE", Align::Left),
        ("SPANS", Align::Right),
        ("LOST", Align::Right),
        ("SCRAPED", Align::Right),
        ("TOOK", Align::Right),
        ("NOTE", Align::Left),
    ]);
    let now = time::now_us();
    for target in shown {
        let state = state(target);
        let lost = target["sigyn"]["lost"].as_u64().unwrap_or(0);
        let scraped = target["lastScrape"].as_str().and_then(time::rfc3339_us);
        let took = target["lastScrapeDuration"].as_f64().unwrap_or(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a duration; saturates"
        )]
        let took = (took * 1e6) as u64;
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        table.row(vec![
            Cell::new(text(&target["labels"]["job"])).paint(|text| style.bold(text)),
            Cell::new(text(&target["labels"]["instance"])),
            Cell::new(state.as_str()).paint(|text| match state.as_str() {
                "up" => style.green(text),
                "down" => style.red(text),
                _ => style.amber(text),
            }),
            Cell::new(time::count(target["sigyn"]["received"].as_u64().unwrap_or(0))),
            Cell::new(time::count(lost))
                .paint(|text| if lost > 0 { style.amber(text) } else { style.faint(text) }),
            Cell::new(
                scraped
                    .filter(|us| *us > 0)
                    .map_or_else(|| "never".to_owned(), |us| time::ago(now, us)),
            ),
            Cell::new(time::duration(took)),
            match target["sigyn"]["note"].as_str() {
                Some(note) => Cell::new(note).paint(|text| style.faint(text)),
                None => Cell::new(text(&target["lastError"])).paint(|text| style.red(text)),
            },
        ]);
    }
    Ok(table.render(style))
}
