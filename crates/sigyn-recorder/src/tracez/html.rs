//! For browsers: one page without scripts.

use std::fmt::Write as _;

use sigyn_model::Kind;

use super::{Cell, LABELS, ONLY_SAMPLED, Report, Row, Took, What, escaped, word};

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c2330;--dim:#66708a;--line:#d9dde6;--bad:#b42318;--bg:#fff;--on:#eef3ff}\
@media(prefers-color-scheme:dark){:root{--fg:#e4e8f0;--dim:#98a2b8;--line:#333b4d;--bad:#ff8a80;--bg:#12161f;--on:#1e2940}}\
body{font:14px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:1.5rem auto;max-width:1200px;padding:0 1rem}\
h1{font-size:1.25rem;margin:0}h2{font-size:1rem;margin:1.75rem 0 .5rem}p{color:var(--dim);margin:.25rem 0}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600;color:var(--dim);border-bottom:1px solid var(--line)}\
td,th{padding:.25rem .6rem;white-space:nowrap}td{border-bottom:1px solid var(--line)}\
.n{text-align:right;font-variant-numeric:tabular-nums}.id{font-family:ui-monospace,monospace;font-size:12px}\
.tags{white-space:normal;color:var(--dim)}.bad,.bad a{color:var(--bad)}.none{color:var(--dim)}.on{background:var(--on)}\
a{color:inherit}";

pub(crate) fn html(report: &Report) -> String {
    let mut out = String::with_capacity(16 * 1024);
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let service = Escaped(if report.service.is_empty() { "(no name)" } else { &report.service });
    let stats = &report.stats;
    write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{service} · tracez</title>\
         <style>{STYLE}</style><h1>{service}</h1>\
         <p>{} spans finished, {} acknowledged, {} wait, {} lost unread. The log has {} of {} KiB.",
        stats.finished,
        stats.delivered,
        stats.buffered,
        stats.dropped.evicted + stats.dropped.oversize + stats.dropped.shutdown,
        stats.bytes / 1024,
        report.hot_bytes_max / 1024,
    )?;
    if !report.has_ring {
        write!(out, " {ONLY_SAMPLED}")?;
    } else if stats.cold_spans > 0 {
        let (spans, bytes) = (stats.cold_spans, stats.cold_bytes / 1024);
        write!(out, " Beside them {spans} spans that nobody sampled, {bytes} KiB.")?;
    }
    if report.aside_refused() > 0 {
        write!(out, " {} more were too large to be kept there.", report.aside_refused())?;
    }
    out.push_str("</p>");
    running(report, out)?;
    if report.asked.trace_id.is_some() {
        return Ok(());
    }
    operations(report, out)?;
    if let Some(cell) = &report.asked.cell {
        spans(report, cell, out)?;
    }
    Ok(())
}

fn running(report: &Report, out: &mut String) -> std::fmt::Result {
    write!(out, "<h2>Running now: {}</h2>", report.running_total)?;
    if report.running.is_empty() {
        out.push_str("<p>Nothing.</p>");
        return Ok(());
    }
    out.push_str(
        "<div class=\"wide\"><table><tr><th class=\"n\">for<th>operation<th>kind<th>trace<th>span<th></tr>",
    );
    for running in &report.running {
        write!(
            out,
            "<tr><td class=\"n\">{}<td>{}<td>{}<td class=\"id\">{:032x}<td class=\"id\">{:016x}<td class=\"none\">{}</tr>",
            Took(report.ran(running)),
            Escaped(&running.name),
            running.kind.map_or("", word),
            running.trace_id.as_u128(),
            running.id.as_u64(),
            if running.sampled == Some(false) { "not sampled" } else { "" },
        )?;
    }
    out.push_str("</table></div>");
    let more = report.running_total - report.running.len();
    if more > 0 {
        write!(out, "<p>And {more} more, which run for less long.</p>")?;
    }
    Ok(())
}

fn operations(report: &Report, out: &mut String) -> std::fmt::Result {
    out.push_str("<h2>Finished, and still held</h2>");
    if report.rows.is_empty() {
        out.push_str("<p>Nothing.</p>");
        return Ok(());
    }
    out.push_str("<div class=\"wide\"><table><tr><th>operation<th>kind<th class=\"n\">running");
    for label in LABELS {
        write!(out, "<th class=\"n\">{}", Escaped(label))?;
    }
    out.push_str("<th class=\"n\">errors</tr>");
    let asked = report.asked.cell.as_ref();
    for row in &report.rows {
        write!(
            out,
            "<tr><td><a href=\"{}\">{}</a><td>{}<td class=\"n\">{}",
            Link(row, ""),
            Escaped(if row.name.is_empty() { "(no name)" } else { &row.name }),
            row.kind.map_or("", word),
            Count(row.running)
        )?;
        let is_asked = |what: What| {
            asked.is_some_and(|cell| {
                cell.name == row.name && cell.kind == row.kind && cell.what == what
            })
        };
        for (at, count) in row.buckets.iter().enumerate() {
            let on = if is_asked(What::Bucket(at)) { " on" } else { "" };
            write!(out, "<td class=\"n{on}\">")?;
            linked(row, &at.to_string(), *count, out)?;
        }
        let on = if is_asked(What::Failed) { " on" } else { "" };
        write!(out, "<td class=\"n bad{on}\">")?;
        linked(row, "failed", row.failed, out)?;
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
    Ok(())
}

fn linked(row: &Row, what: &str, count: u64, out: &mut String) -> std::fmt::Result {
    if count == 0 {
        out.push_str("<span class=\"none\">-</span>");
        return Ok(());
    }
    write!(out, "<a href=\"{}\">{count}</a>", Link(row, what))
}

fn spans(report: &Report, cell: &Cell, out: &mut String) -> std::fmt::Result {
    let what = match cell.what {
        What::All => "",
        What::Failed => ", failed",
        What::Bucket(at) => &format!(", {}", LABELS[at]),
    };
    let kind = cell.kind.map(|kind: Kind| format!(" {}", word(kind))).unwrap_or_default();
    write!(out, "<h2>{}{kind}{}</h2>", Escaped(&cell.name), Escaped(what))?;
    out.push_str(
        "<div class=\"wide\"><table><tr><th class=\"n\">took<th>trace<th>span<th>what it says</tr>",
    );
    for span in &report.spans {
        write!(
            out,
            "<tr><td class=\"n\">{}<td class=\"id\"><a href=\"{}?trace_id={:032x}\">{:032x}</a>\
             <td class=\"id\">{:016x}<td class=\"tags\">",
            Took(span.duration.unwrap_or_default()),
            Escaped(&report.traces_path),
            span.trace_id.as_u128(),
            span.trace_id.as_u128(),
            span.id.as_u64(),
        )?;
        if span.is_error() {
            write!(out, "<span class=\"bad\">failed {}</span> ", Escaped(&span.status.message))?;
        }
        for (key, value) in &span.tags {
            write!(out, "{}={} ", Escaped(key), Escaped(&value.text()))?;
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
    Ok(())
}

/// Text in a page.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

struct Count(u64);

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { f.write_str("-") } else { write!(f, "{}", self.0) }
    }
}

struct Link<'a>(&'a Row, &'a str);

impl std::fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(row, what) = self;
        let kind = row.kind.map_or("", word);
        write!(f, "?name={}&amp;kind={kind}&amp;what={what}", escaped(&row.name))
    }
}
