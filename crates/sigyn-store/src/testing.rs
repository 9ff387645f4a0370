//! Random spans for the tests of this crate: few names and ids, so that much of it meets again.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use sigyn_model::pull::Cursor;
use sigyn_model::{
    Account, Annotation, Endpoint, Kind, Link, Losses, Resource, Scope, Span, SpanBatch, SpanId,
    Status, StatusCode, Tags, TargetProgress, Timestamp, TraceId, Value,
};

/// A batch that can be looked into, and stored twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OwnedBatch {
    pub(crate) spans: Vec<Span>,
    pub(crate) progress: Option<TargetProgress>,
}

impl From<OwnedBatch> for SpanBatch {
    fn from(batch: OwnedBatch) -> Self {
        Self::of(&batch.spans, batch.progress)
    }
}

/// Where random spans start: within a minute after this.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

const WORDS: [&str; 7] =
    ["frontend", "backend", "get", "http.method", "error", "größe \u{1f980}", ""];

fn word(random: &mut Rng) -> String {
    random.choice(WORDS).unwrap().to_owned()
}

fn value(random: &mut Rng, depth: u32) -> Value {
    match random.u32(0..if depth == 0 { 20 } else { 7 }) {
        0 => Value::Empty,
        1 => Value::Bool(random.bool()),
        2 => Value::Int(random.i64(..)),
        3 => Value::Double(random.f64() * 1e9),
        4 => Value::Bytes((0..random.usize(0..5)).map(|_| random.u8(..)).collect()),
        5 if depth < 3 => {
            Value::List((0..random.usize(0..3)).map(|_| value(random, depth + 1)).collect())
        }
        6 if depth < 3 => Value::Map(
            (0..random.usize(0..3)).map(|_| (word(random), value(random, depth + 1))).collect(),
        ),
        _ => Value::Str(word(random)),
    }
}

fn tags(random: &mut Rng) -> Tags {
    let mut tags = Tags::new();
    for _ in 0..random.usize(0..4) {
        let key = word(random);
        if tags.iter().all(|(k, _)| *k != key) {
            tags.push((key, value(random, 0)));
        }
    }
    tags
}

fn endpoint(random: &mut Rng) -> Option<Endpoint> {
    let mut endpoint = Endpoint { service_name: word(random), ..Endpoint::default() };
    if random.bool() {
        endpoint.ipv4 = Some(Ipv4Addr::new(127, 0, 0, random.u8(..)));
    }
    if random.u8(0..4) == 0 {
        endpoint.ipv6 = Some(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 1, random.u16(..)));
    }
    if random.bool() {
        endpoint.port = random.u16(..);
    }
    endpoint.into_option()
}

/// Any span, most of its parts at random.
pub(crate) fn span(random: &mut Rng) -> Span {
    let low = u128::from(random.u64(1..20));
    let high = u128::from(random.u64(0..2)) << 64;
    let trace_id = TraceId::new(low | high).unwrap();
    let mut span = Span::new(trace_id, SpanId::from_raw(random.u64(0..8)));
    let one_in = |random: &mut Rng, n: u32| random.u32(0..n) == 0;
    if random.bool() {
        span.parent_id = Some(SpanId::from_raw(random.u64(1..8)));
    }
    let kinds = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];
    span.kind = random.bool().then(|| *random.choice(&kinds).unwrap());
    span.name = word(random);
    if !one_in(random, 8) {
        let micros = random.u64(0..60_000_000);
        // Some at whole ten seconds, so that times meet.
        let micros = if random.bool() { micros } else { micros - micros % 10_000_000 };
        span.timestamp = Timestamp::from_micros(EPOCH_MS * 1_000 + micros);
    }
    if !one_in(random, 8) {
        let nanos = random.u64(1..5_000_000);
        let nanos = if random.bool() { nanos } else { nanos / 1_000_000 * 1_000_000 + 1_000_000 };
        span.duration = Some(Duration::from_nanos(nanos));
    }
    if one_in(random, 50) {
        span.timestamp = Some(Timestamp::MAX);
        span.duration = Some(Duration::from_secs(u64::MAX / 1_000));
    }
    span.local_endpoint = endpoint(random);
    span.remote_endpoint = endpoint(random);
    span.tags = tags(random);
    for _ in 0..random.usize(0..3) {
        span.annotations.push(Annotation {
            timestamp: Timestamp::from_nanos(random.u64(..)),
            value: word(random),
            tags: if one_in(random, 4) { tags(random) } else { Tags::new() },
            dropped_tags: u32::from(one_in(random, 10)),
        });
    }
    span.sort_annotations();
    span.debug = one_in(random, 10);
    span.shared = one_in(random, 4);
    if one_in(random, 4) {
        let codes = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
        span.status =
            Status { code: *random.choice(codes).as_ref().unwrap(), message: word(random) };
    }
    if one_in(random, 8) {
        span.links.push(Link {
            trace_id,
            span_id: SpanId::from_raw(random.u64(..)),
            trace_state: word(random),
            tags: tags(random),
            dropped_tags: random.u32(0..2),
            flags: random.u32(0..2) * 0x101,
        });
    }
    if one_in(random, 8) {
        span.trace_state = word(random);
        span.dropped_tags = random.u32(0..2);
        span.dropped_annotations = random.u32(0..2);
        span.dropped_links = random.u32(..);
    }
    if one_in(random, 4) {
        span.flags = if random.bool() { 0x101 } else { random.u32(..) };
    }
    if one_in(random, 3) {
        span.scope = Some(Arc::new(Scope {
            name: word(random),
            version: word(random),
            tags: tags(random),
            dropped_tags: random.u32(0..2),
            schema_url: word(random),
        }));
    }
    if one_in(random, 3) {
        span.resource = Some(Arc::new(Resource {
            tags: tags(random),
            dropped_tags: random.u32(0..2),
            schema_url: word(random),
        }));
    }
    if one_in(random, 3) {
        let labels = [("job", word(random)), ("pod", random.u8(0..3).to_string())];
        let labels = labels.map(|(name, value)| (name.to_owned(), value));
        span.target = Some(Arc::new(labels[..random.usize(0..=2)].to_vec()));
    }
    span
}

pub(crate) fn progress(random: &mut Rng) -> TargetProgress {
    let mut account = Account { received: random.u64(..), ..Account::default() };
    account.lost = Losses { evicted: random.u64(0..9), ..Losses::default() };
    account.epoch.unexplained = random.u64(0..9);
    TargetProgress {
        target: format!("job|http://127.0.0.{}:1/traces", random.u8(0..5)),
        cursor: random
            .bool()
            .then(|| Cursor { epoch: random.u64(1..), seq: random.u64(1..1_000_000) }),
        account,
    }
}

/// Up to `spans_max` spans, some of them sharing what spans of one process share, and maybe progress.
pub(crate) fn batch(random: &mut Rng, spans_max: usize) -> OwnedBatch {
    let mut spans: Vec<Span> = (0..random.usize(0..=spans_max)).map(|_| span(random)).collect();
    if let (true, [first, rest @ ..]) = (random.bool(), spans.as_mut_slice()) {
        for span in rest {
            span.resource = first.resource.clone();
            span.scope = first.scope.clone();
            span.target = first.target.clone();
        }
    }
    OwnedBatch { spans, progress: random.bool().then(|| progress(random)) }
}
