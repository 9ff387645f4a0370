//! What a target can do wrong, one rule at a time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use sigyn_model::Kind;
use sigyn_model::pull::{self, Cursor, Range};

use super::super::rule::Rule;
use super::server::Fault;

/// A cursor of one more or one less.
fn shift(parts: &mut Parts, by: i64) {
    let cursor = parts.headers.get(pull::CURSOR).and_then(|value| value.to_str().ok());
    let Some(cursor) = cursor.and_then(|text| text.parse::<Cursor>().ok()) else { return };
    if let Some(seq) = cursor.seq.checked_add_signed(by).filter(|seq| *seq > 0) {
        put(parts, pull::CURSOR, &Cursor { seq, ..cursor }.to_string());
    }
}

fn put(parts: &mut Parts, name: &'static str, value: &str) {
    parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
}

fn has(parts: &Parts, name: &str, what: &str) -> bool {
    parts.headers.get(name).is_some_and(|value| value.to_str().unwrap().contains(what))
}

fn is_watched(query: &str) -> bool {
    query == "max_bytes=1048576"
}

/// What it breaks, what else follows from that, and how.
pub(super) fn faults() -> Vec<(Rule, &'static [Rule], Fault)> {
    use Fault::{After, Before, Late};
    vec![
        (
            Rule::Epoch,
            &Rule::ALL,
            After(|asked, reply| {
                let turn = |epoch: u64| epoch.wrapping_add(asked.number / 5).max(1);
                if let Some(next) = reply.next() {
                    reply.set(pull::NEXT, Cursor { epoch: turn(next.epoch), ..next });
                }
                if let Some(range) = reply.range() {
                    reply.set(pull::RANGE, Range { epoch: turn(range.epoch), ..range });
                }
            }),
        ),
        (
            Rule::Status,
            &[],
            After(|asked, reply| {
                if asked.header("prefer") == Some("wait=0") {
                    reply.status = 500;
                }
            }),
        ),
        (Rule::Headers, &[], After(|_, reply| drop(reply.headers.remove(pull::CLOCK)))),
        (
            Rule::Spelling,
            &[],
            After(|_, reply| {
                reply.edit(pull::NEXT, str::to_uppercase);
                reply.edit(pull::RANGE, str::to_uppercase);
            }),
        ),
        (Rule::Optional, &[], After(|_, reply| reply.edit(pull::LOG, |_| "full".to_owned()))),
        (Rule::Framing, &[], After(|asked, reply| reply.is_framed = !asked.is_named())),
        (
            Rule::NoContent,
            &[],
            After(|_, reply| {
                if reply.status == 204
                    && let Some(next) = reply.next()
                {
                    reply.set(pull::RANGE, format!("{:016x}:1-1/1", next.epoch));
                }
            }),
        ),
        (Rule::Vary, &[], After(|_, reply| drop(reply.headers.remove("vary")))),
        (
            Rule::Next,
            &[Rule::Law],
            After(|asked, reply| {
                if let Some(range) = reply.range().filter(|_| !asked.is_named()) {
                    reply.set(pull::NEXT, Cursor { epoch: range.epoch, seq: range.last });
                }
            }),
        ),
        (
            Rule::More,
            &[],
            After(|asked, reply| {
                if !asked.is_named() {
                    reply.edit(pull::MORE, |more| u8::from(more == "0").to_string());
                }
            }),
        ),
        (
            Rule::OneMoment,
            &[Rule::Law, Rule::Lost],
            After(|asked, reply| {
                if !asked.is_named() {
                    reply.edit(pull::LOST, |_| "spans=1000000".to_owned());
                }
            }),
        ),
        (
            Rule::Counters,
            &[Rule::Law],
            After(|asked, reply| {
                if !asked.is_named() {
                    reply.edit(pull::FINISHED, |_| "0".to_owned());
                }
            }),
        ),
        (
            Rule::Method,
            &[],
            After(|asked, reply| {
                if asked.parts.method == Method::POST {
                    reply.status = 404;
                }
            }),
        ),
        (
            Rule::Busy,
            &[],
            After(|asked, reply| {
                if asked.number == 5 {
                    reply.status = 429;
                }
            }),
        ),
        (
            Rule::Bound,
            &[],
            Before(|parts| {
                let query = parts.uri.query().unwrap_or_default();
                if query.starts_with("max_bytes=") && query != "max_bytes=1" {
                    parts.uri = "/traces".parse().unwrap();
                }
            }),
        ),
        (
            Rule::Contiguous,
            &[],
            Before(|parts| {
                if parts.uri.query().is_some_and(is_watched) {
                    shift(parts, -1);
                }
            }),
        ),
        // As behind a proxy that lets through what it knows.
        (Rule::Contiguous, &[], Before(|parts| drop(parts.headers.remove(pull::CURSOR)))),
        (
            Rule::Start,
            &[Rule::Unreadable, Rule::SameSpans],
            Before(|parts| {
                let is_bare = !parts.headers.contains_key("accept-encoding")
                    && !parts.headers.contains_key("prefer");
                if parts.uri.query() == Some("max_bytes=1") && is_bare {
                    shift(parts, -1);
                }
            }),
        ),
        (
            Rule::FromTheOldest,
            &[Rule::Lost],
            After(|asked, reply| {
                if asked.cursor().is_some_and(|cursor| cursor.seq == 0) {
                    reply.edit(pull::LOST, |_| "spans=1".to_owned());
                }
            }),
        ),
        (
            Rule::OldEpoch,
            &[Rule::Lost],
            After(|asked, reply| {
                if asked.cursor().is_some_and(|cursor| cursor.epoch != asked.recorder.epoch()) {
                    reply.edit(pull::LOST, |_| "spans=1".to_owned());
                }
            }),
        ),
        (
            Rule::Beyond,
            &[Rule::Lost],
            After(|asked, reply| {
                let own = asked.cursor().filter(|cursor| cursor.epoch == asked.recorder.epoch());
                if own.is_some_and(|cursor| cursor.seq > 1 << 32) {
                    reply.edit(pull::LOST, |_| "spans=1".to_owned());
                }
            }),
        ),
        (
            Rule::Unreadable,
            &[Rule::Lost],
            After(|asked, reply| {
                if asked.header(pull::CURSOR).is_some() && asked.cursor().is_none() {
                    reply.edit(pull::LOST, |_| "spans=1".to_owned());
                }
            }),
        ),
        (
            Rule::Lost,
            &[],
            After(|asked, reply| {
                let first = reply.range().map(|range| range.first);
                let seq = asked.cursor().map(|cursor| cursor.seq).filter(|seq| *seq > 1);
                if asked.is_simple() && seq.is_some() && seq == first {
                    reply.edit(pull::LOST, |_| "spans=1".to_owned());
                }
            }),
        ),
        (
            Rule::SameBytes,
            &[],
            After(|asked, reply| {
                if asked.is_simple() && reply.status == 200 && asked.is_named() {
                    // A field that nobody knows, and that is another one each time.
                    let number = u8::try_from(asked.number % 256).unwrap();
                    reply.body = [&reply.body[..], &[0x7a, 1, number]].concat().into();
                }
            }),
        ),
        // Whoever destroys spans breaks much else by it, and may be honest about it.
        (Rule::StillThere, &Rule::ALL, Fault::Destroys { counts: false }),
        (Rule::StillThere, &Rule::ALL, Fault::Destroys { counts: true }),
        (Rule::Law, &Rule::ALL, Fault::Destroys { counts: false }),
        (Rule::KeptForAll, &Rule::ALL, Fault::DestroysAcknowledged),
        (
            Rule::KeptForAll,
            &[Rule::Counters],
            After(|asked, reply| {
                if let Some(next) = reply.next().filter(|_| !asked.is_named() && asked.is_simple())
                {
                    reply.empty(next);
                }
            }),
        ),
        (
            Rule::Again,
            &[Rule::Counters, Rule::OtlpOffered, Rule::Unreadable],
            After(|asked, reply| {
                let Some(cursor) = asked.cursor().filter(|_| asked.is_named()) else { return };
                if cursor.epoch != asked.recorder.epoch() || cursor.seq > 1 << 32 {
                    return;
                }
                let mut memory = asked.memory.lock().unwrap();
                if cursor.seq > 1 && cursor.seq < memory.acknowledged && asked.is_simple() {
                    let next = Cursor { seq: cursor.seq + 1, ..cursor };
                    reply.empty(next);
                }
                memory.acknowledged = memory.acknowledged.max(cursor.seq);
            }),
        ),
        (
            Rule::Sealed,
            &[Rule::Law, Rule::Counters],
            After(|asked, reply| {
                if let Some(cursor) = asked.cursor().filter(|_| is_watched(asked.query())) {
                    let mut memory = asked.memory.lock().unwrap();
                    let since = memory.since.get_or_insert_with(Instant::now);
                    if since.elapsed() < Duration::from_millis(1_700) {
                        reply.empty(cursor);
                    }
                }
            }),
        ),
        (
            Rule::AtOnce,
            &[],
            Late(|parts| {
                if has(parts, "prefer", "wait=3") && !has(parts, "prefer", "wait=30") {
                    1_600
                } else {
                    0
                }
            }),
        ),
        (Rule::Waits, &[], Before(|parts| drop(parts.headers.remove("prefer")))),
        (Rule::InTime, &[], Late(|parts| if has(parts, "prefer", "wait=0") { 1_100 } else { 0 })),
        (
            Rule::Name,
            &[],
            Before(|parts| {
                let name = parts.headers.get(pull::SCRAPER).map(|name| name.to_str().unwrap());
                if let Some(name) = name.filter(|name| name.len() > 128) {
                    let name = name[..128].to_owned();
                    put(parts, pull::SCRAPER, &name);
                }
            }),
        ),
        (
            Rule::Leases,
            &[Rule::Status],
            After(|asked, reply| {
                let Some(name) = asked.header(pull::SCRAPER).filter(|_| reply.status < 300) else {
                    return;
                };
                let mut memory = asked.memory.lock().unwrap();
                memory.names.insert(name.to_owned());
                if memory.names.len() > 8 {
                    reply.status = 403;
                }
            }),
        ),
        (
            Rule::Wishes,
            &[Rule::Status],
            After(|asked, reply| {
                if asked.header(pull::BUDGET) == Some("many") {
                    reply.status = 400;
                }
            }),
        ),
        (
            Rule::Budgets,
            &[],
            After(|asked, reply| {
                if asked.header(pull::BUDGET).is_some_and(|budget| budget != "many") {
                    reply.edit(pull::SAMPLED, |text| text.replace("share=1", "share=0.5"));
                }
            }),
        ),
        (
            Rule::Sampling,
            &[],
            After(|asked, reply| {
                if asked.header(pull::SAMPLING).is_some_and(|text| text.starts_with("rate=0,")) {
                    reply.edit(pull::SAMPLED, |text| text.replace("rate=1", "rate=0"));
                }
            }),
        ),
        (Rule::SamplingApplied, &[], Before(|parts| drop(parts.headers.remove(pull::SAMPLING)))),
        (
            Rule::OtlpOffered,
            &Rule::ALL,
            Before(|parts| {
                if has(parts, "accept", "opentelemetry") {
                    put(parts, "accept", "text/plain");
                }
            }),
        ),
        (
            Rule::Decodes,
            &[],
            After(|asked, reply| {
                if asked.is_named() && asked.header("accept") == Some("application/json") {
                    reply.body = Bytes::from_static(b"[{]");
                }
            }),
        ),
        (
            Rule::SameSpans,
            &[],
            After(|asked, reply| {
                if asked.is_named() && asked.header("accept") == Some("application/json") {
                    let text = String::from_utf8(reply.body.to_vec()).unwrap();
                    reply.body = text.replace("\"name\":\"", "\"name\":\"x").into();
                }
            }),
        ),
        (
            Rule::Weights,
            &[],
            Before(|parts| {
                if parts.uri.path() != "/traces" {
                    return;
                }
                if has(parts, "accept", "*/*") && !has(parts, "accept", "q=0") {
                    put(parts, "accept", pull::media::OTLP);
                }
            }),
        ),
        (
            Rule::NotAcceptable,
            &[],
            Before(|parts| {
                if has(parts, "accept", "nobody") {
                    put(parts, "accept", "*/*");
                }
            }),
        ),
        (
            Rule::Compression,
            &[Rule::WellKnown],
            Before(|parts| {
                if has(parts, "accept-encoding", "zstd") || has(parts, "accept-encoding", "gzip") {
                    put(parts, "accept-encoding", "identity");
                }
            }),
        ),
        (
            Rule::Members,
            &[],
            After(|asked, reply| {
                // Two segments as one.
                if asked.query().is_empty()
                    && reply.text("content-encoding").as_deref() == Some("zstd")
                {
                    let plain = zstd::decode_all(&*reply.body).unwrap();
                    reply.body = zstd::encode_all(&*plain, 1).unwrap().into();
                }
            }),
        ),
        (
            Rule::Law,
            &[],
            After(|_, reply| {
                reply.edit(pull::FINISHED, |text| (text.parse::<u64>().unwrap() + 1).to_string());
            }),
        ),
        (
            Rule::Final,
            &[],
            After(|asked, reply| {
                if asked.number == 3 {
                    reply.edit(pull::FINAL, |_| "1".to_owned());
                }
            }),
        ),
        (
            Rule::Clock,
            &[],
            After(|_, reply| {
                reply.edit(pull::CLOCK, |text| text[..text.len() - 3].to_owned());
            }),
        ),
        (
            Rule::Untraced,
            &[],
            After(|asked, _| {
                let mut span = asked.recorder.start("get /traces", Some(Kind::Server), None);
                span.tag("url.path", "/traces");
            }),
        ),
        (
            Rule::Legacy,
            &[],
            After(|asked, reply| {
                if asked.is_loki() {
                    reply.status = 204;
                }
            }),
        ),
        (
            Rule::Legacy,
            &[],
            After(|asked, reply| {
                if let Some(next) = reply.next().filter(|_| asked.is_loki()) {
                    reply.empty(next);
                }
            }),
        ),
        (
            Rule::LegacyOnce,
            &[],
            After(|asked, reply| {
                if asked.is_loki() {
                    let mut memory = asked.memory.lock().unwrap();
                    *reply = memory.to_loki.get_or_insert_with(|| reply.clone()).clone();
                }
            }),
        ),
        (
            Rule::OneTrace,
            &[],
            After(|asked, reply| {
                if asked.query().starts_with("trace_id=") {
                    reply.set(pull::MORE, 0);
                }
            }),
        ),
        (
            Rule::NoTrace,
            &[],
            After(|asked, reply| {
                if asked.query() == "trace_id=no-id" {
                    reply.status = 204;
                }
            }),
        ),
        (
            Rule::Kept,
            &[],
            After(|_, reply| {
                reply.edit(pull::KEPT, |_| "0000000000000000000000000000abcd".to_owned());
            }),
        ),
        (
            Rule::Collect,
            &[Rule::CollectOnce],
            After(|asked, reply| {
                if reply.status == 200 && asked.parts.uri.path().ends_with("/collect") {
                    reply.body = Bytes::from_static(b"{\"spans\":1,\"cold\":true}");
                }
            }),
        ),
        (
            Rule::CollectRefused,
            &[],
            After(|asked, reply| {
                if asked.parts.uri.path().ends_with("/collect") {
                    reply.status = 200;
                }
            }),
        ),
        (
            Rule::CollectHeader,
            &[Rule::Status],
            After(|asked, reply| {
                if asked.header(pull::COLLECT).is_some() {
                    reply.status = 404;
                }
            }),
        ),
        (
            Rule::CollectOnce,
            &[],
            After(|asked, reply| {
                // It takes what is in the log for what it has put there.
                let mut memory = asked.memory.lock().unwrap();
                let is_collect = asked.parts.uri.path().ends_with("/collect");
                if reply.status == 200 && is_collect {
                    memory.collected += 1;
                    if memory.collected > 4 {
                        reply.body = Bytes::from_static(b"{\"spans\":1,\"cold\":true}");
                    }
                }
            }),
        ),
        (
            Rule::Tracez,
            &[],
            After(|asked, reply| {
                if asked.parts.uri.path() == "/tracez" && asked.query().is_empty() {
                    let text = String::from_utf8(reply.body.to_vec()).unwrap();
                    reply.body = text.replace("\"buckets\":[", "\"buckets\":[1,").into();
                }
            }),
        ),
        (
            Rule::Views,
            &[],
            Before(|parts| {
                // As if it looked for a word.
                if has(parts, "accept", "json") && has(parts, "accept", "html") {
                    put(parts, "accept", "application/json");
                }
            }),
        ),
        (
            Rule::WellKnown,
            &[],
            After(|asked, reply| {
                if asked.parts.uri.path() == "/.well-known/sigyn" {
                    let text = String::from_utf8(reply.body.to_vec()).unwrap();
                    reply.body = text.replace("\"gzip\"", "\"br\"").into();
                }
            }),
        ),
        (Rule::Looks, &Rule::ALL, Fault::DestroysLookedAt),
        (
            Rule::Siblings,
            &[],
            After(|asked, reply| {
                reply.edit(pull::SIBLINGS, |text| {
                    format!("{text},{:016x}:1", asked.recorder.epoch())
                });
            }),
        ),
        (
            Rule::OtherEpochs,
            &[],
            After(|asked, reply| {
                let own = asked.recorder.epoch();
                if reply.next().is_some_and(|next| next.epoch != own) {
                    reply.edit(pull::FINISHED, |text| {
                        (text.parse::<u64>().unwrap() + 1).to_string()
                    });
                }
            }),
        ),
        (Rule::Ended, &[], After(|_, reply| drop(reply.headers.remove(pull::ENDED)))),
    ]
}
