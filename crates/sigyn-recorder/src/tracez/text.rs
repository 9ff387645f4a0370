//! For terminals.

use std::fmt::Write as _;

use sigyn_model::plain;

use super::{LABELS, ONLY_SAMPLED, Report, Took, word};

const NAME_WIDTH_MAX: usize = 40;
/// Running spans that fit a terminal.
const RUNNING_MAX: usize = 50;

pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let stats = &report.stats;
    writeln!(
        out,
        "{}: {} spans finished, {} acknowledged, {} wait, {} lost unread; log {} of {} KiB",
        if report.service.is_empty() { "(no name)" } else { &report.service },
        stats.finished,
        stats.delivered,
        stats.buffered,
        stats.dropped.evicted + stats.dropped.oversize + stats.dropped.shutdown,
        stats.bytes / 1024,
        report.hot_bytes_max / 1024,
    )?;
    if !report.has_ring {
        writeln!(out, "{ONLY_SAMPLED}")?;
    } else if stats.cold_spans > 0 {
        writeln!(
            out,
            "beside them {} spans that nobody sampled, {} KiB",
            stats.cold_spans,
            stats.cold_bytes / 1024
        )?;
    }
    if report.aside_refused() > 0 {
        writeln!(out, "{} more were too large to be kept beside them", report.aside_refused())?;
    }
    writeln!(out, "\nRUNNING {}", report.running_total)?;
    for running in report.running.iter().take(RUNNING_MAX) {
        writeln!(
            out,
            "{:>9}  {:<8} {:<width$} trace {:032x} span {:016x}{}",
            Took(report.ran(running)),
            running.kind.map_or("-", word),
            shortened(&running.name),
            running.trace_id.as_u128(),
            running.id.as_u64(),
            if running.sampled == Some(false) { " (not sampled)" } else { "" },
            width = NAME_WIDTH_MAX,
        )?;
    }
    if report.running_total > RUNNING_MAX {
        writeln!(out, "{:>9}  and {} more", "", report.running_total - RUNNING_MAX)?;
    }
    if report.asked.trace_id.is_some() {
        return Ok(());
    }
    write!(out, "\n{:<NAME_WIDTH_MAX$} {:<8} {:>7}", "OPERATION", "KIND", "RUNNING")?;
    for label in LABELS {
        write!(out, " {label:>7}")?;
    }
    writeln!(out, " {:>7}", "ERRORS")?;
    for row in &report.rows {
        let kind = row.kind.map_or("-", word);
        write!(
            out,
            "{:<NAME_WIDTH_MAX$} {kind:<8} {:>7}",
            shortened(&row.name),
            dash(row.running)
        )?;
        for count in row.buckets {
            write!(out, " {:>7}", dash(count))?;
        }
        writeln!(out, " {:>7}", dash(row.failed))?;
    }
    if report.asked.cell.is_none() {
        return writeln!(
            out,
            "\nThese are the spans that are still held. ?name=get%20%2F&kind=SERVER&what=failed lists those of an \
             operation; what is failed, or a column from 0 to 8, or nothing for all."
        );
    }
    writeln!(out, "\n{} SPANS, newest first", report.spans.len())?;
    for span in &report.spans {
        let took = span.duration.unwrap_or_default();
        let trace_id = span.trace_id.as_u128();
        write!(out, "{:>9}  trace {trace_id:032x} span {:016x}", Took(took), span.id.as_u64())?;
        if span.is_error() {
            write!(out, " FAILED {}", plain(&span.status.message))?;
        }
        for (key, value) in &span.tags {
            write!(out, " {}={}", plain(key), plain(&value.text()))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn dash(count: u64) -> String {
    if count == 0 { "-".to_owned() } else { count.to_string() }
}

/// What a column holds of a name.
fn shortened(name: &str) -> String {
    let plain = plain(name);
    if name.chars().count() <= NAME_WIDTH_MAX {
        return plain;
    }
    plain.chars().take(NAME_WIDTH_MAX - 1).chain(['…']).collect()
}
