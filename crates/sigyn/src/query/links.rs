//! `sigyn query links`: who calls whom.

use std::collections::HashMap;

use super::style::Style;
use super::table::{Align, Cell, Table};
use super::{Server, list, number, question, text, time};
use crate::cli::{AboutFlags, AboutLinks};

pub(super) async fn run(
    server: &Server,
    about: &AboutLinks,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    // Both questions are about the same time.
    let end_ms = match &about.end {
        Some(end) => time::end_ms(end)?,
        None => time::now_us() / 1_000,
    };
    let lookback_ms = time::duration_us(&about.lookback)? / 1_000;
    let path = format!("/api/v2/dependencies?endTs={end_ms}&lookback={lookback_ms}");
    if json {
        return Ok(server.text(&path).await? + "\n");
    }
    let links = server.json(&path).await?;
    let links = list(&links);
    if links.is_empty() {
        return Ok(format!("No service called another in the last {}.\n", about.lookback));
    }
    // How long a caller waits, and what it sees fail, its own spans tell.
    let calls = AboutFlags {
        filter: Some("kind = client or kind = producer".to_owned()),
        lookback: about.lookback.clone(),
        end: Some(end_ms.to_string()),
    };
    let parameters = [("by", Some("service,remote")), ("limit", Some("1000"))];
    let red = server.json(&question("/api/v1/red", &calls, &parameters)?).await?;
    let series = list(&red["data"]["series"]).iter();
    let waits: HashMap<Vec<&str>, _> =
        series.map(|one| (list(&one["values"]).iter().map(text).collect(), one)).collect();
    let mut table = Table::new(&[
        ("CALLER", Align::Left),
        ("CALLED", Align::Left),
        ("CALLS", Align::Right),
        ("ERRORS", Align::Right),
        ("CALLER SEES", Align::Right),
        ("P50", Align::Right),
        ("P95", Align::Right),
        ("P99", Align::Right),
    ]);
    for link in links {
        let (parent, child) = (text(&link["parent"]), text(&link["child"]));
        let (calls, errors) = (number(&link["callCount"]), number(&link["errorCount"]));
        let share = |errors: u64, of: u64| {
            let share = errors as f64 / of.max(1) as f64 * 100.0;
            Cell::new(format!("{share:.1} %"))
                .paint(|text| if errors > 0 { style.red(text) } else { style.faint(text) })
        };
        let nothing = || Cell::new("-").paint(|text| style.faint(text));
        let waits = waits.get(&vec![parent, child]);
        let seen = waits.map(|one| share(number(&one["errors"]), number(&one["spans"])));
        let quantiles = waits.map_or(&[][..], |one| list(&one["quantilesUs"]));
        let wait = |at: usize| match quantiles.get(at).filter(|value| !value.is_null()) {
            Some(value) => Cell::new(time::duration(number(value))),
            None => nothing(),
        };
        table.row(vec![
            Cell::new(parent).paint(|text| style.bold(text)),
            Cell::new(child).paint(|text| style.bold(text)),
            Cell::new(time::count(calls)),
            share(errors, calls),
            seen.unwrap_or_else(nothing),
            wait(0),
            wait(1),
            wait(2),
        ]);
    }
    Ok(table.render(style))
}
