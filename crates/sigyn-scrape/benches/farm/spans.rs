//! The spans of a segment: made from their numbers, so that they are the same whenever they are asked for.

use std::sync::Arc;
use std::time::Duration;

use sigyn_model::codec::otlp;
use sigyn_model::{Kind, Resource, Span, SpanId, Timestamp, TraceId, Value};

use crate::log::Segment;

const TRACE_SPANS: u64 = 10;
const SERVICES: u64 = 40;
const NAMES: [&str; 5] = ["get /basket", "post /order", "select", "publish", "charge card"];

/// OTLP in one zstd frame.
pub(crate) fn body(epoch: u64, segment: &Segment) -> std::io::Result<Vec<u8>> {
    let service = format!("farm-{:02}", epoch % SERVICES);
    let resource = Arc::new(Resource {
        tags: vec![
            ("service.name".to_owned(), Value::from(service.as_str())),
            ("service.version".to_owned(), Value::from("1.4.2")),
        ],
        ..Resource::default()
    });
    let numbers = segment.first..segment.first + segment.count;
    let spans: Vec<Span> =
        numbers.filter_map(|number| span(epoch, number, segment.sealed_ns, &resource)).collect();
    zstd::bulk::compress(&otlp::encode(&spans), 1)
}

fn span(epoch: u64, number: u64, sealed_ns: u64, resource: &Arc<Resource>) -> Option<Span> {
    let place = number % TRACE_SPANS;
    let trace = mixed(epoch ^ mixed(number / TRACE_SPANS + 1));
    let id = |number: u64| SpanId::new(mixed(epoch.rotate_left(17) ^ mixed(number + 1)));
    let mut span =
        Span::new(TraceId::new(u128::from(epoch) << 64 | u128::from(trace))?, id(number)?);
    span.parent_id = if place > 0 { id(number - place) } else { None };
    span.kind = match place {
        0 => Some(Kind::Server),
        _ if place % 2 == 1 => Some(Kind::Client),
        _ => None,
    };
    let name = usize::try_from(number).unwrap_or_default() % NAMES.len();
    NAMES[name].clone_into(&mut span.name);
    span.timestamp = Some(Timestamp::from_nanos(sealed_ns - 1_000_000 * (TRACE_SPANS - place)));
    span.duration = Some(Duration::from_micros(100 + trace % 5_000));
    span.set_tag("http.request.method", "GET");
    span.set_tag("http.response.status_code", 200);
    span.set_tag("net.peer.name", "basket.shop.svc");
    span.set_tag("thread.id", i64::try_from(trace % 16).unwrap_or(0));
    span.resource = Some(Arc::clone(resource));
    Some(span)
}

/// Numbers that look like chance (splitmix64).
pub(crate) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
