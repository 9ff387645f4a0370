//! `sigyn query traces`: what a search finds, newest first.

use super::style::{Style, plain};
use super::table::{Align, Cell, Table};
use super::{Server, encode, passed_over, time};
use crate::cli::TracesFlags;

pub(super) async fn run(
    server: &Server,
    flags: &TracesFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let query = query_string(flags)?;
    if json {
        // Whole traces in Zipkin's words, or what only Sigyn's own search can be asked.
        let own = flags.filter.is_some() || flags.cursor.is_some();
        let path = if own { "/api/v1/search" } else { "/api/v2/traces" };
        return Ok(server.text(&format!("{path}?{query}")).await? + "\n");
    }
    let answer = server.json(&format!("/api/v1/search?{query}")).await?;
    let found = &answer["data"];
    let traces = found["traces"].as_array().map_or(&[][..], Vec::as_slice);
    let passed = passed_over(&found["tooLarge"]);
    if traces.is_empty() {
        return Ok(format!(
            "{passed}No trace matches in the last {}. Try a longer --lookback, or `sigyn query services` for what is stored.\n",
            flags.lookback
        ));
    }
    let mut table = Table::new(&[
        ("TRACE ID", Align::Left),
        ("STARTED", Align::Left),
        ("DURATION", Align::Right),
        ("SPANS", Align::Right),
        ("ERRORS", Align::Right),
        ("ROOT", Align::Left),
        ("SERVICES", Align::Left),
    ]);
    let now = time::now_us();
    for trace in traces {
        let number = |field: &str| trace[field].as_u64().unwrap_or(0);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
        let errors = number("errors");
        let services = trace["services"].as_array().map_or(&[][..], Vec::as_slice);
        let services: Vec<String> = services.iter().map(|service| text(&service["name"])).collect();
        let root = format!("{} {}", text(&trace["root"]["service"]), text(&trace["root"]["name"]));
        table.row(vec![
            Cell::new(text(&trace["traceId"])).paint(|text| style.blue(text)),
            Cell::new(time::ago(now, number("startUs"))),
            Cell::new(time::duration(number("durationUs"))),
            Cell::new(time::count(number("spans"))),
            Cell::new(errors.to_string())
                .paint(|text| if errors > 0 { style.red(text) } else { style.faint(text) }),
            Cell::new(root.trim()).paint(|text| style.bold(text)),
            Cell::new(services.join(" ")).paint(|text| style.faint(text)),
        ]);
    }
    let mut out = table.render(style);
    out.push_str(&style.faint(&passed));
    if let Some(cursor) = found["cursor"].as_str() {
        out.push_str(&style.faint(&format!(
            "More match: these are {}. Ask for more with -n, or for the next ones with --cursor {}\n",
            traces.len(),
            plain(cursor),
        )));
    }
    Ok(out)
}

fn query_string(flags: &TracesFlags) -> anyhow::Result<String> {
    let mut pairs = vec![
        ("limit", flags.limit.to_string()),
        ("lookback", (time::duration_us(&flags.lookback)? / 1_000).to_string()),
    ];
    if let Some(end) = &flags.end {
        pairs.push(("endTs", time::end_ms(end)?.to_string()));
    }
    for (name, value) in [
        ("serviceName", &flags.service),
        ("spanName", &flags.span_name),
        ("remoteServiceName", &flags.remote_service),
        ("annotationQuery", &flags.query),
        ("q", &flags.filter),
        ("cursor", &flags.cursor),
    ] {
        pairs.extend(value.as_ref().map(|value| (name, encode(value))));
    }
    for (name, value) in
        [("minDuration", &flags.min_duration), ("maxDuration", &flags.max_duration)]
    {
        if let Some(value) = value {
            pairs.push((name, time::duration_us(value)?.to_string()));
        }
    }
    let pairs: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(pairs.join("&"))
}
