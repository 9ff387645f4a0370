//! `sigyn query trace`: one trace as an indented tree, on a time axis.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::style::{Style, plain};
use super::{Server, time};

/// Characters of the time axis.
const AXIS: usize = 32;
/// Columns of indentation; deeper spans stand at the same depth.
const INDENT_MAX: usize = 120;
/// How many spans are fetched with their tags at a time: the server's own limit.
const PAGE: usize = 500;

pub(super) async fn run(
    server: &Server,
    id: &str,
    tags: bool,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let id = super::encode(id.trim());
    if json {
        return Ok(server.text(&format!("/api/v2/trace/{id}")).await? + "\n");
    }
    let running = server.json(&format!("/api/v1/trace/{id}/running")).await;
    let running = running.map(|answer| answer["data"].clone()).unwrap_or_default();
    let columns = match server.json(&format!("/api/v1/trace/{id}/columns")).await {
        Ok(columns) => columns,
        // It may have begun, and nothing of it have finished.
        Err(_) if running["spans"].as_array().is_some_and(|spans| !spans.is_empty()) => {
            return Ok(format!("{}\nNo span of it has finished.\n", still(&running, style)));
        }
        Err(error) => return Err(error),
    };
    let rows = rows(&columns);
    let details = if tags { details(server, &id, rows.len()).await? } else { Vec::new() };
    let mut out = header(&columns, &rows, style);
    let widest = rows.iter().map(Row::width).max().unwrap_or(0);
    let total = columns["durationUs"].as_u64().unwrap_or(0).max(1);
    for (i, row) in rows.iter().enumerate() {
        let pad = " ".repeat(widest.saturating_sub(row.width()));
        let name = if row.error { style.red(&row.name) } else { row.name.clone() };
        let marks = row.marks(style);
        let _ = writeln!(
            out,
            "{}{} {name}{pad}  {:>9}  {:>9}  {}{marks}",
            style.faint(&row.branch),
            style.bold(&row.service),
            time::duration(row.start_us),
            row.duration_us.map_or_else(|| "-".to_owned(), time::duration),
            style.blue(&row.bar(total)),
        );
        for line in details.get(i).into_iter().flatten() {
            let _ = writeln!(
                out,
                "{}    {}",
                " ".repeat(row.branch.chars().count()),
                style.faint(line)
            );
        }
    }
    out += &still(&running, style);
    Ok(out)
}

/// What of it has not finished; nothing if all has, or nobody tells.
fn still(running: &Value, style: Style) -> String {
    let spans = running["spans"].as_array().map_or(&[][..], Vec::as_slice);
    if spans.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", style.amber(&format!("Still running: {}", spans.len())));
    for span in spans {
        let text = |field: &str| plain(span[field].as_str().unwrap_or(""));
        let _ = writeln!(
            out,
            "{} {}  {:>9} so far  {}",
            style.bold(&text("service")),
            text("name"),
            time::duration(span["duration"].as_u64().unwrap_or(0)),
            style.faint(&format!("at {}", text("target"))),
        );
    }
    out
}

/// One line of the tree.
struct Row {
    /// The lines that lead to it from its parent.
    branch: String,
    service: String,
    name: String,
    start_us: u64,
    duration_us: Option<u64>,
    error: bool,
    parent_missing: bool,
    kind: &'static str,
    remote: Option<String>,
}

impl Row {
    fn width(&self) -> usize {
        self.branch.chars().count() + self.service.chars().count() + 1 + self.name.chars().count()
    }

    fn marks(&self, style: Style) -> String {
        let mut out = String::new();
        if !self.kind.is_empty() {
            out += &style.faint(&format!(" {}", self.kind));
        }
        if let Some(remote) = &self.remote {
            out += &style.faint(&format!(" → {remote}"));
        }
        if self.error {
            out += &style.red(" error");
        }
        if self.parent_missing {
            out += &style.amber(" parent not received");
        }
        out
    }

    fn bar(&self, total: u64) -> String {
        let at = |us: u64| {
            let cell = u128::from(us) * AXIS as u128 / u128::from(total);
            usize::try_from(cell).unwrap_or(AXIS).min(AXIS)
        };
        let from = at(self.start_us).min(AXIS - 1);
        let to = at(self.start_us + self.duration_us.unwrap_or(0)).max(from + 1);
        format!("{}{}{}", "·".repeat(from), "━".repeat(to - from), "·".repeat(AXIS - to))
    }
}

fn header(columns: &Value, rows: &[Row], style: Style) -> String {
    let errors = rows.iter().filter(|row| row.error).count();
    let missing = rows.iter().filter(|row| row.parent_missing).count();
    let root = rows.first().map_or_else(String::new, |row| format!("{} {}", row.service, row.name));
    let services: BTreeSet<&str> = rows.iter().map(|row| row.service.as_str()).collect();
    let services = services.iter().filter(|name| !name.is_empty()).count();
    let mut facts = format!(
        "{}, {} {}, {services} {}",
        time::duration(columns["durationUs"].as_u64().unwrap_or(0)),
        time::count(rows.len() as u64),
        if rows.len() == 1 { "span" } else { "spans" },
        if services == 1 { "service" } else { "services" },
    );
    if errors > 0 {
        facts +=
            &style.red(&format!(", {errors} {}", if errors == 1 { "error" } else { "errors" }));
    }
    if missing > 0 {
        facts += &style.amber(&format!(", {missing} with a parent that was not received"));
    }
    let id = columns["traceId"].as_str().unwrap_or("");
    let start = time::clock(columns["startUs"].as_u64().unwrap_or(0));
    format!("{}  {}\n{facts}  {}\n\n", style.bold(&root), style.faint(id), style.faint(&start))
}

fn rows(columns: &Value) -> Vec<Row> {
    let list = |field: &str| columns[field].as_array().map_or(&[][..], Vec::as_slice);
    let number =
        |field: &str, row: usize| list(field).get(row).and_then(Value::as_i64).unwrap_or(0);
    let named = |table: &str, index: i64| {
        let name = usize::try_from(index).ok().and_then(|index| list(table).get(index)?.as_str());
        name.map(plain)
    };
    let count = list("parentDelta").len();
    let parents: Vec<Option<usize>> = (0..count)
        .map(|row| {
            let delta = usize::try_from(number("parentDelta", row)).unwrap_or(0);
            (delta > 0).then(|| row.checked_sub(delta)).flatten()
        })
        .collect();
    let last_children = last_children(&parents);
    let mut starts = vec![0i64; count];
    let mut prefixes = vec![String::new(); count];
    let mut out = Vec::with_capacity(count);
    for row in 0..count {
        starts[row] = number("startDelta", row) + parents[row].map_or(0, |parent| starts[parent]);
        let (branch, prefix) = match parents[row] {
            None => (String::new(), String::new()),
            Some(parent) if last_children[row] => {
                (format!("{}└─ ", prefixes[parent]), format!("{}   ", prefixes[parent]))
            }
            Some(parent) => {
                (format!("{}├─ ", prefixes[parent]), format!("{}│  ", prefixes[parent]))
            }
        };
        // A chain of ten thousand calls must not make lines of ten thousand columns.
        prefixes[row] = if prefix.chars().count() > INDENT_MAX {
            prefixes[parents[row].unwrap_or(row)].clone()
        } else {
            prefix
        };
        let flags = number("flags", row);
        out.push(Row {
            branch,
            service: named("services", number("service", row)).unwrap_or_default(),
            name: named("names", number("name", row)).unwrap_or_default(),
            start_us: u64::try_from(starts[row]).unwrap_or(0),
            duration_us: (flags & 32 == 0)
                .then(|| u64::try_from(number("duration", row)).unwrap_or(0)),
            error: flags & 1 != 0,
            parent_missing: flags & 8 != 0,
            kind: match number("kind", row) {
                1 => "client",
                2 => "server",
                3 => "producer",
                4 => "consumer",
                _ => "",
            },
            remote: named("services", number("remote", row)),
        });
    }
    out
}

/// Which rows are the last child of their parent.
fn last_children(parents: &[Option<usize>]) -> Vec<bool> {
    let mut closed = vec![false; parents.len()];
    let mut last = vec![false; parents.len()];
    for (row, parent) in parents.iter().enumerate().rev() {
        if let Some(parent) = *parent
            && !std::mem::replace(&mut closed[parent], true)
        {
            last[row] = true;
        }
    }
    last
}

/// The tags and annotations of every row, as lines.
async fn details(server: &Server, id: &str, count: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let mut out = Vec::with_capacity(count);
    for from in (0..count).step_by(PAGE) {
        let to = (from + PAGE).min(count) - 1;
        let spans = server.json(&format!("/api/v1/trace/{id}/spans?rows={from}-{to}")).await?;
        for entry in spans.as_array().map_or(&[][..], Vec::as_slice) {
            let span = &entry["span"];
            let mut lines: Vec<String> = span["tags"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| {
                    format!("{}={}", plain(key), plain(value.as_str().unwrap_or("")))
                })
                .collect();
            let start = span["timestamp"].as_u64().unwrap_or(0);
            for annotation in span["annotations"].as_array().map_or(&[][..], Vec::as_slice) {
                let at = annotation["timestamp"].as_u64().unwrap_or(0).saturating_sub(start);
                let value = plain(annotation["value"].as_str().unwrap_or(""));
                lines.push(format!("@{} {value}", time::duration(at)));
            }
            out.push(lines);
        }
    }
    Ok(out)
}
