//! Where spans come from: the shop as it is, what strains a store in other ways, and real traces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use sigyn_model::codec::json_v2;
use sigyn_model::{Endpoint, Kind, Resource, Scope, Span, SpanId, Timestamp, TraceId};

use super::corpus::{START_NS, Shop};

/// Spans of one request, but for the shop's.
const REQUEST_SPANS: usize = 512;
/// Traces that somebody recorded, from `conformance/`.
const REAL: &str = "../../conformance/zipkin-traces";

/// A kind of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Of medium size, as life has them.
    Shop,
    /// Each with six ids that are drawn at random.
    Ids,
    /// Next to nothing but ids and times.
    Tiny,
    /// With 60 tags.
    Wide,
    /// Real traces, again and again with fresh ids and times.
    Real,
}

/// Requests of spans, in the order in which they are sent.
pub(crate) type Requests = Box<dyn Iterator<Item = Vec<Span>> + Send>;

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "shop" => Self::Shop,
            "ids" => Self::Ids,
            "tiny" => Self::Tiny,
            "wide" => Self::Wide,
            "real" => Self::Real,
            _ => return Err(format!("`{text}` is no corpus")),
        })
    }
}

impl Source {
    /// Requests without end, the same ones each time.
    pub(crate) fn requests(self) -> Requests {
        match self {
            Self::Shop => shop(),
            Self::Ids => Box::new(shop().map(|mut spans| {
                spans.iter_mut().for_each(add_ids);
                spans
            })),
            Self::Tiny => Box::new(made(|_, _| {})),
            Self::Wide => Box::new(made(|random, span| {
                for tag in 0..60 {
                    // From two values to a few thousand.
                    let value = random.u32(0..2 << (tag % 12));
                    span.set_tag(format!("wide.{tag:02}"), format!("value-{value}"));
                }
            })),
            Self::Real => Box::new(real()),
        }
    }
}

fn shop() -> Requests {
    let mut shop = Shop::default();
    let visits = std::iter::from_fn(move || {
        let mut requests = Vec::new();
        shop.visit(|request| requests.push(request));
        Some(requests)
    });
    Box::new(visits.flatten())
}

fn add_ids(span: &mut Span) {
    let mut random = Rng::with_seed(span.id.as_u64());
    for key in ["user", "session", "order", "message", "request", "transaction"] {
        span.set_tag(format!("{key}.id"), format!("{:032x}", random.u128(..)));
    }
}

/// Traces of five small spans.
fn made(more: impl Fn(&mut Rng, &mut Span) + Send) -> impl Iterator<Item = Vec<Span>> {
    let mut random = Rng::with_seed(7);
    let mut now = START_NS;
    let scope = Arc::new(Scope { name: "tiny".to_owned(), ..Scope::default() });
    let mut service = 0;
    let (mut trace_id, mut parent) = (TraceId::new(1), None);
    let mut made = 0;
    std::iter::from_fn(move || {
        service = (service + 1) % 20;
        let name = format!("tiny-{service:02}");
        let tags = vec![("service.name".to_owned(), name.clone().into())];
        let resource = Arc::new(Resource { tags, ..Resource::default() });
        let spans = (0..REQUEST_SPANS).map(|_| {
            if made % 5 == 0 {
                (trace_id, parent) = (TraceId::new(random.u128(1..)), None);
            }
            made += 1;
            now += random.u64(0..400_000);
            let trace_id = trace_id.expect("not zero");
            let mut span = Span::new(trace_id, SpanId::from_raw(random.u64(1..)));
            span.parent_id = parent;
            parent = Some(span.id);
            "work".clone_into(&mut span.name);
            span.kind = Some(Kind::Server);
            span.timestamp = Some(Timestamp::from_nanos(now));
            span.duration = Some(Duration::from_nanos(random.u64(10_000..90_000_000)));
            span.local_endpoint = Endpoint::named(&name).into_option();
            span.resource = Some(resource.clone());
            span.scope = Some(scope.clone());
            more(&mut random, &mut span);
            span
        });
        Some(spans.collect())
    })
}

/// One trace after the other, a request for each of its services.
fn real() -> impl Iterator<Item = Vec<Span>> {
    let traces: Vec<Vec<Span>> = read_real();
    let mut random = Rng::with_seed(11);
    let scope = Arc::new(Scope::default());
    let mut now = START_NS;
    let again = std::iter::from_fn(move || {
        now += random.u64(0..10_000_000);
        let trace = &traces[random.usize(0..traces.len())];
        let trace_id = TraceId::new(random.u128(1..)).expect("not zero");
        let other = random.u64(1..);
        let fresh = |id: SpanId| SpanId::from_raw((id.as_u64() ^ other).max(1));
        let first =
            trace.iter().filter_map(|span| span.timestamp).min().map_or(0, Timestamp::nanos);
        let then = |at: Timestamp| Timestamp::from_nanos(now + (at.nanos() - first));
        let mut of_services: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for span in trace {
            let mut span = span.clone();
            (span.trace_id, span.id) = (trace_id, fresh(span.id));
            span.parent_id = span.parent_id.map(fresh);
            span.timestamp = span.timestamp.map(then);
            for annotation in &mut span.annotations {
                annotation.timestamp =
                    Timestamp::from_nanos(now + annotation.timestamp.nanos().saturating_sub(first));
            }
            span.scope = Some(scope.clone());
            let service = span.service_name().unwrap_or("none").to_owned();
            of_services.entry(service).or_default().push(span);
        }
        let requests: Vec<Vec<Span>> = of_services
            .into_iter()
            .map(|(service, mut spans)| {
                let tags = vec![("service.name".to_owned(), service.into())];
                let resource = Arc::new(Resource { tags, ..Resource::default() });
                spans.iter_mut().for_each(|span| span.resource = Some(resource.clone()));
                spans
            })
            .collect();
        Some(requests)
    });
    again.flatten()
}

fn read_real() -> Vec<Vec<Span>> {
    let folder = std::fs::read_dir(REAL).expect("the real traces are there");
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path| json_v2::decode_list(&std::fs::read(path).expect("a readable file"));
    paths.iter().map(|path| read(path).expect("spans")).collect()
}
