//! What a store has: blocks, sizes, times, and what columns cost.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sigyn_store::{BlockSummary, Offline};

use super::{offline, print};
use crate::Failure;
use crate::cli::{ColorChoice, OutputFormat};
use crate::query::style::Style;
use crate::query::table::{Align, Cell, Table};
use crate::query::time::clock;

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
    Ok(json!({
        "instance": format!("{:016x}", store.instance_id()),
        "blocks": blocks.iter().map(block).collect::<Vec<_>>(),
        "columns": columns.iter().map(|(name, bytes)| json!({"name": name, "bytes": bytes})).collect::<Vec<_>>(),
        "log": {"files": log.count, "bytes": log.bytes},
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
        ("BLOCK", Align::Left),
        ("BYTES", Align::Right),
        ("SPANS", Align::Right),
        ("TRACES", Align::Right),
        ("ARRIVED FROM", Align::Left),
        ("TO", Align::Left),
        ("", Align::Left),
    ]);
    for block in blocks {
        let (from, to) = block.arrivals_ms;
        let remark = match &block.columns {
            Ok(_) => kind(block),
            Err(damage) => format!("damaged: {damage}"),
        };
        table.row(vec![
            Cell::new(block.file.clone()),
            right(block.bytes),
            right(block.spans),
            right(block.traces),
            Cell::new(clock(from.saturating_mul(1_000))),
            Cell::new(clock(to.saturating_mul(1_000))),
            Cell::new(remark),
        ]);
    }
    let mut text = table.render(style);
    let spans: u64 = blocks.iter().map(|block| block.spans).sum();
    let bytes: u64 = blocks.iter().map(|block| block.bytes).sum();
    let (log, quarantine) = (store.log()?, store.quarantine()?);
    text.push_str(&format!(
        "\n{} blocks, {spans} spans, {bytes} bytes; log {} bytes; quarantine {} files\n\n",
        blocks.len(),
        log.bytes,
        quarantine.count
    ));
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
