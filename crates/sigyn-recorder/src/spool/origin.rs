//! Who made spans that are not the process's own, told once in each run that has such spans.

use sigyn_model::codec::otlp;
use sigyn_model::{Span, SpanId, TraceId};

use crate::layout::{HEADER, Header};
use crate::whole::Origin;

/// A record in the form of a span, with no trace: a span of OTLP that has the origin.
pub(crate) fn write(origin: &Origin, number: u16) -> Vec<u8> {
    let mut record = vec![0; HEADER];
    if let Some(id) = TraceId::new(1) {
        let mut span = Span::new(id, SpanId::from_raw(1));
        span.resource.clone_from(&origin.resource);
        span.scope.clone_from(&origin.scope);
        record.extend(otlp::encode(&[span]));
    }
    let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
    let header = Header { len, origin: number, ..Header::default() };
    if let Some(place) = record.first_chunk_mut() {
        header.write(place);
    }
    record
}

/// The same read: the origin, if there is any in it.
pub(super) fn read(payload: &[u8]) -> Option<Origin> {
    let limits = sigyn_model::codec::Limits::default();
    let spans = sigyn_model::codec::decode(sigyn_model::codec::Format::OtlpProto, payload, limits);
    let span = spans.ok()?.spans.into_iter().next()?;
    Some(Origin { resource: span.resource, scope: span.scope })
}
