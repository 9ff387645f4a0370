//! Spans to measure with: a shop of 40 services in 3 pods each, made from a seed and the same everywhere.
//!
//! A request holds at most 512 spans of one pod, a trace 12 spans on average. A span has 8.5
//! attributes and its pod 13; 2 % fail and carry a stack trace; times are of nanoseconds. Texts come as
//! they do in life: most are few and come again, some are different in each trace.

pub(crate) mod otlp;
mod shop;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use sigyn_model::codec::json_v2;
use sigyn_model::{
    Annotation, Resource, Scope, Span, SpanId, Status, StatusCode, Timestamp, TraceId,
};

use shop::{Operation, Pod};

/// Spans of one request.
const REQUEST_SPANS: usize = 512;
/// The first trace begins here: some day in 2026.
pub(crate) const START_NS: u64 = 1_790_000_000_000_000_000;

/// The shop, open for as long as somebody visits it.
pub(crate) struct Shop {
    random: Rng,
    now: u64,
    scope: Arc<Scope>,
    pods: Vec<(Pod, Arc<Resource>)>,
    /// Of each pod, what its next request will hold.
    pub(crate) waiting: Vec<Vec<Span>>,
    /// Spans so far.
    pub(crate) made: usize,
}

impl Default for Shop {
    fn default() -> Self {
        Self::with_seed(42)
    }
}

impl Shop {
    /// Another one at the same time, with other visitors.
    pub(crate) fn with_seed(seed: u64) -> Self {
        let pods: Vec<(Pod, Arc<Resource>)> =
            Pod::all().map(|pod| (pod, Arc::new(pod.resource()))).collect();
        let scope = Arc::new(Scope {
            name: "io.opentelemetry.tomcat-10.0".to_owned(),
            version: "2.10.0-alpha".to_owned(),
            ..Scope::default()
        });
        let waiting = vec![Vec::new(); pods.len()];
        Self { random: Rng::with_seed(seed), now: START_NS, scope, pods, waiting, made: 0 }
    }

    /// One more trace; passes on the requests that are full with it.
    pub(crate) fn visit(&mut self, mut send: impl FnMut(Vec<Span>)) {
        self.now += self.random.u64(0..4_000_000);
        for (pod, mut span) in trace(&mut self.random, self.now) {
            let (at, resource) = (pod.index(), &self.pods[pod.index()].1);
            span.resource = Some(resource.clone());
            span.scope = Some(self.scope.clone());
            self.waiting[at].push(span);
            self.made += 1;
            if self.waiting[at].len() == REQUEST_SPANS {
                send(std::mem::take(&mut self.waiting[at]));
            }
        }
    }
}

/// The spans of one trace, each with the pod that it is sent by.
fn trace(random: &mut Rng, start: u64) -> Vec<(Pod, Span)> {
    let trace_id = TraceId::new(random.u128(1..)).expect("not zero");
    let context =
        shop::Context { user: rare_more(random, 50_000), order: random.u64(0..10_000_000) };
    let count = 3 + rare_more(random, 38) as usize;
    let mut spans: Vec<(Pod, Span)> = Vec::with_capacity(count);
    for at in 0..count {
        let parent = at.checked_sub(1).map(|last| &spans[random.usize(0..=last)]);
        let operation = Operation::choose(random, parent.is_none());
        let pod = match parent {
            None => {
                let service = rare_more(random, 40);
                Pod::any_of(random, service)
            }
            Some((pod, _)) if operation.is_local() || random.u8(0..100) < 35 => *pod,
            Some((pod, _)) => {
                let callee = pod.callee(rare_more(random, 4));
                Pod::any_of(random, callee)
            }
        };
        let mut span = Span::new(trace_id, SpanId::from_raw(random.u64(1..)));
        let within = parent.map(|(_, parent)| times(parent));
        let (begins, takes) = match within {
            None => (start, log_normal(random, 40e6) + 1_000_000),
            Some((begins, takes)) => (
                begins + random.u64(0..=takes / 2),
                takes / 1_000 * random.u64(50..550) + random.u64(1_000..2_000),
            ),
        };
        span.parent_id = parent.map(|(_, parent)| parent.id);
        span.timestamp = Some(Timestamp::from_nanos(begins));
        span.duration = Some(Duration::from_nanos(takes));
        span.local_endpoint = sigyn_model::Endpoint::named(&pod.service()).into_option();
        span.flags = 0x101;
        let fails = random.u8(0..100) < 2;
        operation.describe(random, pod, &context, fails, &mut span);
        if fails {
            fail(&mut span, &context);
        }
        span.normalize();
        spans.push((pod, span));
    }
    spans
}

fn times(span: &Span) -> (u64, u64) {
    let takes = span.duration.map_or(0, |duration| duration.as_nanos());
    (span.timestamp.map_or(0, Timestamp::nanos), u64::try_from(takes).unwrap_or(u64::MAX))
}

fn fail(span: &mut Span, context: &shop::Context) {
    let (begins, takes) = times(span);
    let lines = (0..14).map(|line| {
        format!(
            "\tat com.shop.orders.layer{line}.Handler.invoke(Handler.java:{})\n",
            20 + 13 * line
        )
    });
    span.status = Status { code: StatusCode::Error, message: "upstream failed".to_owned() };
    span.set_tag("error.type", "java.io.IOException");
    span.annotations.push(Annotation {
        timestamp: Timestamp::from_nanos(begins + takes / 2),
        value: "exception".to_owned(),
        tags: vec![
            ("exception.type".to_owned(), "java.io.IOException".into()),
            (
                "exception.message".to_owned(),
                format!("connection reset by peer: order {}", context.order).into(),
            ),
            ("exception.stacktrace".to_owned(), lines.collect::<String>().into()),
        ],
        dropped_tags: 0,
    });
}

/// A body of Zipkin's v2 JSON.
pub(crate) fn as_zipkin_json(spans: &[Span]) -> Vec<u8> {
    let spans: Vec<Span> = spans.iter().map(as_zipkin_sends_it).collect();
    json_v2::encode_list(&spans).into_bytes()
}

/// A span of a Zipkin client: what is not Zipkin's is not there.
fn as_zipkin_sends_it(span: &Span) -> Span {
    let mut sent = Span { resource: None, scope: None, status: Status::default(), ..span.clone() };
    for annotation in &mut sent.annotations {
        annotation.tags.clear();
    }
    if let Some(local) = &mut sent.local_endpoint {
        local.ipv4 = Some([127, 0, 3, 7].into());
    }
    // The instrumentation says it in tags.
    sent.remote_endpoint = None;
    sent
}

/// Less than the bound; small numbers are common, great ones rare.
fn rare_more(random: &mut Rng, bound: u32) -> u32 {
    let power = f64::from(bound + 1).powf(random.f64()) - 1.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is below the bound")]
    let number = power as u32;
    number.min(bound - 1)
}

fn log_normal(random: &mut Rng, median: f64) -> u64 {
    let (a, b) = (random.f64().max(1e-12), random.f64());
    let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
    #[expect(clippy::cast_possible_truncation, reason = "far from the bound")]
    let number = (median * normal.exp()) as i64;
    number.cast_unsigned()
}
