//! To v1: what would have been logged of a span.

use super::V1Span;
use crate::codec::draft::EndpointDraft;
use crate::codec::sink::Text;
use crate::codec::zipkin;
use crate::{Endpoint, Kind, Span};

/// Whether a v1 span says where each thing was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    Told,
    /// Its reader knows whom it asked, and puts that in every place. The other end of a call would
    /// become this end, so it is not told at all.
    LeftOut,
}

/// The span as v1 says it, in so far as it can: without a time and a host there are no annotations
/// that say of which kind it is.
pub(in crate::codec) fn from_v2(span: &Span, hosts: Hosts) -> V1Span<'_> {
    let told = hosts == Hosts::Told;
    let mut out = V1Span {
        trace_id: span.trace_id.as_u128(),
        id: span.id.as_u64(),
        parent_id: span.parent_id.map_or(0, |id| id.as_u64()),
        name: Text::Str(&span.name),
        debug: span.debug,
        ..V1Span::default()
    };
    let signed = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
    let begin = signed(zipkin::timestamp_us(span).unwrap_or(0));
    let duration = signed(span.duration_us().unwrap_or(0));
    // The times of a span that two services share are the client's to say.
    if !span.shared {
        (out.timestamp, out.duration) = (begin, duration);
    }
    let local = span.local_endpoint.as_ref();
    let host = || endpoint(local.filter(|_| told));
    let has_host = local.is_some() || !told;
    let (first, last, address) = match span.kind {
        Some(Kind::Client) => ("cs", "cr", "sa"),
        Some(Kind::Server) => ("sr", "ss", "ca"),
        Some(Kind::Producer) => ("ms", "ws", "ma"),
        Some(Kind::Consumer) if duration > 0 => ("wr", "mr", "ma"),
        Some(Kind::Consumer) => ("mr", "", "ma"),
        None => ("", "", "sa"),
    };
    // Without a host they would be words like others.
    let of_a_kind = begin > 0 && !first.is_empty() && has_host;
    if of_a_kind {
        out.annotation(begin, first.into(), host());
        if duration > 0 {
            out.annotation(begin.saturating_add(duration), last.into(), host());
        }
    }
    for (us, value) in zipkin::annotations(span) {
        out.annotation(signed(us), Text::Owned(value.into_owned()), host());
    }
    for (key, value) in span.zipkin_tags() {
        out.tag(Text::Str(key), Text::Owned(value.into_owned()), host());
    }
    if out.annotations.is_empty() && out.tags.is_empty() && has_host {
        out.tag("lc".into(), Text::default(), host());
    }
    // Where nothing else says of which kind it is, `ca` still does of a server.
    let address = if of_a_kind || address == "ca" { address } else { "sa" };
    out.address(&address.into(), endpoint(span.remote_endpoint.as_ref().filter(|_| told)));
    out
}

fn endpoint(endpoint: Option<&Endpoint>) -> EndpointDraft<'_> {
    let Some(Endpoint { service_name, ipv4, ipv6, port }) = endpoint else {
        return EndpointDraft::default();
    };
    EndpointDraft {
        service_name: Text::Str(service_name),
        address: Endpoint { ipv4: *ipv4, ipv6: *ipv6, port: *port, ..Endpoint::default() },
    }
}
