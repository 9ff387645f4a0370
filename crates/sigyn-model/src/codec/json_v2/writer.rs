//! Writing: Zipkin's order of fields, its escapes, and its spelling of addresses.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::Ipv6Addr;

use crate::codec::zipkin;
use crate::{DependencyLink, Endpoint, Span};

/// A list of spans as JSON.
pub fn encode_list<'a>(spans: impl IntoIterator<Item = &'a Span>) -> String {
    let mut out = String::from("[");
    for (i, span) in spans.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_span(span, &mut out);
    }
    out.push(']');
    out
}

/// Appends one span as JSON. What is absent, zero, empty or false is left out.
pub fn write_span(span: &Span, out: &mut String) {
    out.push_str("{\"traceId\":\"");
    if span.trace_id.high() != 0 {
        push_hex16(out, span.trace_id.high());
    }
    push_hex16(out, span.trace_id.low());
    if let Some(parent_id) = span.parent_id {
        out.push_str("\",\"parentId\":\"");
        push_hex16(out, parent_id.as_u64());
    }
    out.push_str("\",\"id\":\"");
    push_hex16(out, span.id.as_u64());
    out.push('"');
    if let Some(kind) = span.kind {
        out.push_str(",\"kind\":\"");
        out.push_str(kind.as_str());
        out.push('"');
    }
    if !span.name.is_empty() {
        out.push_str(",\"name\":");
        write_json_str(out, &span.name);
    }
    if let Some(us) = zipkin::timestamp_us(span) {
        out.push_str(",\"timestamp\":");
        push_decimal(out, us);
    }
    if let Some(us) = span.duration_us() {
        out.push_str(",\"duration\":");
        push_decimal(out, us);
    }
    write_endpoint(out, ",\"localEndpoint\":", span.local_endpoint.as_ref());
    write_endpoint(out, ",\"remoteEndpoint\":", span.remote_endpoint.as_ref());
    write_annotations(out, span);
    write_tags(out, span);
    if span.debug {
        out.push_str(",\"debug\":true");
    }
    if span.shared {
        out.push_str(",\"shared\":true");
    }
    out.push('}');
}

/// A list of dependency links as JSON.
pub fn encode_links(links: &[DependencyLink]) -> String {
    let mut out = String::from("[");
    for (i, link) in links.iter().enumerate() {
        out.push_str(if i > 0 { ",{\"parent\":" } else { "{\"parent\":" });
        write_json_str(&mut out, &link.parent);
        out.push_str(",\"child\":");
        write_json_str(&mut out, &link.child);
        out.push_str(",\"callCount\":");
        push_decimal(&mut out, link.call_count);
        if link.error_count > 0 {
            out.push_str(",\"errorCount\":");
            push_decimal(&mut out, link.error_count);
        }
        out.push('}');
    }
    out.push(']');
    out
}

/// So many bytes are looked at together.
const PLAIN: usize = 16;

/// Whether none of so many bytes needs more than a look.
fn is_plain(chunk: &[u8]) -> bool {
    // Without a branch for each byte, all of them are compared at once.
    let is_special = |byte: u8| {
        (byte < 0x20) as u8 | (byte == b'"') as u8 | (byte == b'\\') as u8 | (byte == 0xe2) as u8
    };
    <&[u8; PLAIN]>::try_from(chunk)
        .is_ok_and(|chunk| chunk.iter().fold(0, |any, byte| any | is_special(*byte)) == 0)
}

/// Appends a JSON string, quoted and escaped as Zipkin escapes: what JSON demands, and the two line
/// separators that JavaScript once took for the end of a line.
pub fn write_json_str(out: &mut String, text: &str) {
    out.push('"');
    let bytes = text.as_bytes();
    let mut run = 0;
    for (chunk, begin) in bytes.chunks(PLAIN).zip((0..).step_by(PLAIN)) {
        if is_plain(chunk) {
            continue;
        }
        for (i, byte) in (begin..).zip(chunk) {
            let (escape, len) = match byte {
                b'"' => ("\\\"", 1),
                b'\\' => ("\\\\", 1),
                b'\t' => ("\\t", 1),
                0x08 => ("\\b", 1),
                b'\n' => ("\\n", 1),
                b'\r' => ("\\r", 1),
                0x0c => ("\\f", 1),
                0x00..0x20 => ("", 1),
                0xe2 if bytes[i..].starts_with(&[0xe2, 0x80, 0xa8]) => ("\\u2028", 3),
                0xe2 if bytes[i..].starts_with(&[0xe2, 0x80, 0xa9]) => ("\\u2029", 3),
                _ => continue,
            };
            out.push_str(&text[run..i]);
            if escape.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
            } else {
                out.push_str(escape);
            }
            run = i + len;
        }
    }
    out.push_str(&text[run..]);
    out.push('"');
}

fn write_endpoint(out: &mut String, field: &str, endpoint: Option<&Endpoint>) {
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else { return };
    out.push_str(field);
    let mut before = '{';
    let mut next_field = |out: &mut String, name: &str| {
        out.push(before);
        out.push_str(name);
        before = ',';
    };
    if !endpoint.service_name.is_empty() {
        next_field(out, "\"serviceName\":");
        write_json_str(out, &endpoint.service_name);
    }
    if let Some(ip) = endpoint.ipv4 {
        next_field(out, "\"ipv4\":");
        let _ = write!(out, "\"{ip}\"");
    }
    if let Some(ip) = endpoint.ipv6 {
        next_field(out, "\"ipv6\":\"");
        push_ipv6(out, ip);
        out.push('"');
    }
    if endpoint.port != 0 {
        next_field(out, "\"port\":");
        push_decimal(out, u64::from(endpoint.port));
    }
    out.push('}');
}

fn write_annotations(out: &mut String, span: &Span) {
    let annotations = zipkin::annotations(span);
    if annotations.is_empty() {
        return;
    }
    out.push_str(",\"annotations\":[");
    for (i, (us, value)) in annotations.iter().enumerate() {
        out.push_str(if i > 0 { ",{\"timestamp\":" } else { "{\"timestamp\":" });
        push_decimal(out, *us);
        out.push_str(",\"value\":");
        write_json_str(out, value);
        out.push('}');
    }
    out.push(']');
}

fn write_tags(out: &mut String, span: &Span) {
    let tags = span.zipkin_tags();
    if tags.is_empty() {
        return;
    }
    let mut tags: Vec<(&str, Cow<'_, str>)> = tags.into_iter().collect();
    // UTF-16 orders as UTF-8 does, except that characters beyond the first 65536 come earlier.
    if tags.iter().any(|(key, _)| key.bytes().any(|byte| byte >= 0xf0)) {
        tags.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    out.push_str(",\"tags\":");
    for (i, (key, value)) in tags.iter().enumerate() {
        out.push(if i > 0 { ',' } else { '{' });
        write_json_str(out, key);
        out.push(':');
        write_json_str(out, value);
    }
    out.push('}');
}

fn push_decimal(out: &mut String, number: u64) {
    let _ = write!(out, "{number}");
}

fn push_hex16(out: &mut String, id: u64) {
    for byte in id.to_be_bytes() {
        for digit in [byte >> 4, byte & 0xf] {
            out.push(char::from(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }));
        }
    }
}

/// Zipkin's spelling, which is not RFC 5952's: the first longest run of zeros is shortened even if it
/// is a single group, and a run at the end only if there is no other. No dotted form.
fn push_ipv6(out: &mut String, ip: Ipv6Addr) {
    let groups = ip.segments();
    let run_at = |start: usize| groups[start..].iter().take_while(|group| **group == 0).count();
    let mut shortened = 0..0;
    let mut at = 0;
    while at < groups.len() {
        let len = run_at(at);
        let ends_address = at + len == groups.len();
        if len > shortened.len() && (!ends_address || shortened.is_empty()) {
            shortened = at..at + len;
        }
        at += len.max(1);
    }
    for (i, group) in groups.iter().enumerate() {
        if shortened.contains(&i) {
            if i == shortened.start {
                out.push_str("::");
            }
            continue;
        }
        if i > 0 && i != shortened.end {
            out.push(':');
        }
        let _ = write!(out, "{group:x}");
    }
}
