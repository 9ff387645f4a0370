//! What a store has: blocks, sizes, times, and what columns cost.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sigyn_store::{BlockSummary, Offline};

use super::{counted, offline};
use crate::Failure;
use crate::cli::{ColorChoice, OutputFormat};
use crate::query::style::Style;
use crate::query::table::{Align, Cell, Table};
use crate::query::time::clock;
use crate::stdout::print;

pub(super) fn run(path: &Path, output: OutputFormat) -> Result<(), Failure> {
    let store = offline(path)?;
    let blocks: Vec<BlockSummary> = store.blocks().collect();
    let columns = columns(&blocks);
    print(&match output {
        OutputFormat::Json => format!("{:#}\n", as_json(&store, &blocks, &columns)?),
        OutputFormat::Table => as_tables(&store, &blocks, &columns)?,
    })
}

/// What each column takes in all blocks together; the dearest first.
fn columns(blocks: &[BlockSummary]) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, bytes) in blocks.iter().filter_map(|block| block.columns.as_ref().ok()).flatten() {
        *sums.entry(name).or_default() += bytes;
    }
    let mut columns: Vec<(String, u64)> =
        sums.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    columns
}

fn kind(block: &BlockSummary) -> String {
    let errors = match block.errors {
        Some(true) => "errors",
        Some(false) => "no errors",
        None => "",
    };
    let late = if block.is_late { "late" } else { "" };
    [errors, late].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// From when to when batches arrived, and spans started.
fn times(arrivals_ms: Option<(u64, u64)>, starts_ns: Option<(u64, u64)>) -> [Cell; 4] {
    let cell = |us: Option<u64>| Cell::new(us.map(clock).unwrap_or_default());
    let arrival = |ms: u64| ms.saturating_mul(1_000);
    [
        cell(arrivals_ms.map(|(first, _)| arrival(first))),
        cell(arrivals_ms.map(|(_, last)| arrival(last))),
        cell(starts_ns.map(|(first, _)| first / 1_000)),
        cell(starts_ns.map(|(_, last)| last / 1_000)),
    ]
}

fn as_json(
    store: &Offline,
    blocks: &[BlockSummary],
    columns: &[(String, u64)],
) -> anyhow::Result<Value> {
    let block = |block: &BlockSummary| {
        json!({
            "file": block.file,
            "bytes": block.bytes,
            "spans": block.spans,
            "traces": block.traces,
            "firstArrivalMs": block.arrivals_ms.0,
            "lastArrivalMs": block.arrivals_ms.1,
            "earliestNs": block.starts_ns.map(|(earliest, _)| earliest),
            "latestNs": block.starts_ns.map(|(_, latest)| latest),
            "late": block.is_late,
            "errors": block.errors,
            "damage": block.columns.as_ref().err(),
        })
    };
    let (log, quarantine) = (store.log()?, store.quarantine()?);
    let (_, damaged) = store.damages();
    Ok(json!({
        "instance": format!("{:016x}", store.instance_id()),
        "blocks": blocks.iter().map(block).collect::<Vec<_>>(),
        "columns": columns.iter().map(|(name, bytes)| json!({"name": name, "bytes": bytes})).collect::<Vec<_>>(),
        "log": {
            "files": log.files.count,
            "bytes": log.files.bytes,
            "spans": log.spans,
            "traces": log.traces,
            "firstArrivalMs": log.arrivals_ms.map(|(first, _)| first),
            "lastArrivalMs": log.arrivals_ms.map(|(_, last)| last),
            "earliestNs": log.starts_ns.map(|(earliest, _)| earliest),
            "latestNs": log.starts_ns.map(|(_, latest)| latest),
        },
        "damaged": damaged.iter().map(|one| json!({"file": one.file, "cause": one.cause})).collect::<Vec<_>>(),
        "quarantine": {"files": quarantine.count, "bytes": quarantine.bytes},
        "targets": store.targets(),
        "deletedTraces": store.deleted_traces(),
    }))
}

fn as_tables(
    store: &Offline,
    blocks: &[BlockSummary],
    columns: &[(String, u64)],
) -> anyhow::Result<String> {
    let style = Style::new(ColorChoice::Auto);
    let right = |n: u64| Cell::new(n.to_string());
    let mut table = Table::new(&[
        ("FILE", Align::Left),
        ("BYTES", Align::Right),
        ("SPANS", Align::Right),
        ("TRACES", Align::Right),
        ("ARRIVED FROM", Align::Left),
        ("TO", Align::Left),
        ("STARTED FROM", Align::Left),
        ("TO", Align::Left),
        ("", Align::Left),
    ]);
    for block in blocks {
        let remark = match &block.columns {
            Ok(_) => kind(block),
            Err(damage) => format!("damaged: {damage}"),
        };
        let mut row = vec![
            Cell::new(block.file.clone()),
            right(block.bytes),
            right(block.spans),
            right(block.traces),
        ];
        row.extend(times(Some(block.arrivals_ms), block.starts_ns));
        row.push(Cell::new(remark));
        table.row(row);
    }
    let (log, quarantine) = (store.log()?, store.quarantine()?);
    if log.files.count > 0 {
        let files = log.files;
        let mut row = vec![
            Cell::new("wal/".to_owned()),
            right(files.bytes),
            right(log.spans),
            right(log.traces),
        ];
        row.extend(times(log.arrivals_ms, log.starts_ns));
        row.push(Cell::new(format!("the log, {}", counted(files.count, "file", "files"))));
        table.row(row);
    }
    let mut text = table.render(style);
    let spans: u64 = blocks.iter().map(|block| block.spans).sum();
    let bytes: u64 = blocks.iter().map(|block| block.bytes).sum();
    text.push_str(&format!(
        "\n{}, {}, {}; in the log {}, {}; in quarantine {}\n",
        counted(blocks.len() as u64, "block", "blocks"),
        counted(spans, "span", "spans"),
        counted(bytes, "byte", "bytes"),
        counted(log.spans, "span", "spans"),
        counted(log.files.bytes, "byte", "bytes"),
        counted(quarantine.count, "file", "files"),
    ));
    text.push_str("Spans are counted as they lie there: those that came twice count twice");
    if store.deleted_traces() > 0 {
        let deleted = counted(store.deleted_traces(), "deleted trace", "deleted traces");
        text.push_str(&format!(", and those of {deleted} still count"));
    }
    text.push_str(".\n");
    for one in store.damages().1 {
        text.push_str(&format!("damaged: {}: {}\n", one.file, one.cause));
    }
    text.push('\n');
    let mut table = Table::new(&[
        ("COLUMN", Align::Left),
        ("BYTES", Align::Right),
        ("PER SPAN", Align::Right),
        ("%", Align::Right),
    ]);
    for (name, size) in columns {
        let share = |of: u64| *size as f64 / of.max(1) as f64;
        table.row(vec![
            Cell::new(name.clone()),
            right(*size),
            Cell::new(format!("{:.2}", share(spans))),
            Cell::new(format!("{:.1}", share(bytes) * 100.0)),
        ]);
    }
    text.push_str(&table.render(style));
    Ok(text)
}
