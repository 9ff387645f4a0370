//! For programs: Sigyn asks for what runs of a trace.

use std::fmt::Write as _;

use sigyn_model::codec::write_json_str;

use super::{BOUNDS, Report, word};

pub(crate) fn json(report: &Report) -> String {
    let mut out = String::from("{\"service\":");
    write_json_str(&mut out, &report.service);
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    write!(out, ",\"epoch\":\"{:016x}\"", report.stats.epoch)?;
    write!(out, ",\"unsampledShown\":{}", report.has_ring)?;
    write!(out, ",\"runningTotal\":{},\"running\":[", report.running_total)?;
    for (at, running) in report.running.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(out, "{comma}{{\"traceId\":\"{:032x}\"", running.trace_id.as_u128())?;
        write!(out, ",\"id\":\"{:016x}\"", running.id.as_u64())?;
        if let Some(parent) = running.parent_id {
            write!(out, ",\"parentId\":\"{:016x}\"", parent.as_u64())?;
        }
        if let Some(kind) = running.kind {
            write!(out, ",\"kind\":\"{}\"", word(kind))?;
        }
        out.push_str(",\"name\":");
        write_json_str(out, &running.name);
        write!(out, ",\"timestamp\":{}", report.started_micros(running))?;
        write!(out, ",\"duration\":{}", report.ran(running).as_micros().max(1))?;
        if let Some(sampled) = running.sampled {
            write!(out, ",\"sampled\":{sampled}")?;
        }
        out.push('}');
    }
    out.push(']');
    if report.asked.trace_id.is_none() {
        write!(out, ",\"bucketsBelowMicros\":[")?;
        for (at, bound) in BOUNDS.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(out, "{comma}{}", bound / 1_000)?;
        }
        out.push_str("],\"operations\":[");
        for (at, row) in report.rows.iter().enumerate() {
            out.push_str(if at > 0 { ",{\"name\":" } else { "{\"name\":" });
            write_json_str(out, &row.name);
            if let Some(kind) = row.kind {
                write!(out, ",\"kind\":\"{}\"", word(kind))?;
            }
            write!(out, ",\"running\":{},\"errors\":{}", row.running, row.failed)?;
            let counts = row.buckets.map(|count| count.to_string()).join(",");
            write!(out, ",\"buckets\":[{counts}]}}")?;
        }
        out.push(']');
    }
    if report.asked.cell.is_some() {
        out.push_str(",\"spans\":");
        out.push_str(&sigyn_model::codec::json_v2::encode_list(&report.spans));
    }
    out.push_str("}\n");
    Ok(())
}
