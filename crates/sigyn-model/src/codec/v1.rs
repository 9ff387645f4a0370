//! Zipkin's v1 spans: what was logged, where and when. What a span is has to be concluded from that.
//!
//! A v1 span may hold what both sides of a call have to say, each under its own endpoint. Here it
//! becomes a span for each of them.

mod from_v2;
mod to_v2;

#[cfg(test)]
mod tests;

pub use from_v2::Hosts;
pub(super) use from_v2::from_v2;
pub(super) use to_v2::Converter;

use std::borrow::Cow;

use super::draft::EndpointDraft;
use super::sink::{Text, lower_case};
use super::{ANNOTATIONS_MAX, OverLimit};
use crate::value::TAGS_MAX;

/// A span as v1 says it, borrowed from the body.
#[derive(Debug, Default)]
pub(super) struct V1Span<'a> {
    /// Zero until it is known. So are all that follow.
    pub(super) trace_id: u128,
    pub(super) id: u64,
    pub(super) parent_id: u64,
    pub(super) name: Text<'a>,
    /// In microseconds, as the duration. Below zero they are unknown too.
    pub(super) timestamp: i64,
    pub(super) duration: i64,
    pub(super) debug: bool,
    annotations: Vec<V1Annotation<'a>>,
    tags: Vec<V1Tag<'a>>,
    /// The other ends of calls: whoever was called, called, or carried the message.
    sa: Option<EndpointDraft<'a>>,
    ca: Option<EndpointDraft<'a>>,
    ma: Option<EndpointDraft<'a>>,
    dropped_annotations: u32,
    dropped_tags: u32,
}

#[derive(Debug)]
pub(super) struct V1Annotation<'a> {
    pub(super) us: i64,
    pub(super) value: Text<'a>,
    pub(super) host: Option<EndpointDraft<'a>>,
}

/// What v1 calls a binary annotation, where its value is text.
#[derive(Debug)]
pub(super) struct V1Tag<'a> {
    pub(super) key: Text<'a>,
    pub(super) value: Text<'a>,
    pub(super) host: Option<EndpointDraft<'a>>,
}

/// Why a v1 span is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadSpan {
    #[error("traceId == 0")]
    ZeroTraceId,
    #[error("id == 0")]
    ZeroId,
    #[error("more than {0} services in one span")]
    Services(usize),
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
}

impl<'a> V1Span<'a> {
    /// Makes it as good as new, but for the room that its lists have taken.
    pub(super) fn clear(&mut self) {
        let mut annotations = std::mem::take(&mut self.annotations);
        let mut tags = std::mem::take(&mut self.tags);
        annotations.clear();
        tags.clear();
        *self = Self { annotations, tags, ..Self::default() };
    }

    /// Without a time it says nothing.
    pub(super) fn annotation(&mut self, us: i64, value: Text<'a>, host: EndpointDraft<'a>) {
        if us <= 0 {
            return;
        }
        if self.annotations.len() < ANNOTATIONS_MAX {
            self.annotations.push(V1Annotation { us, value, host: present(host) });
        } else {
            self.dropped_annotations = self.dropped_annotations.saturating_add(1);
        }
    }

    pub(super) fn tag(&mut self, key: Text<'a>, value: Text<'a>, host: EndpointDraft<'a>) {
        // Keys may stand there twice, but not without end.
        if self.tags.len() < 2 * TAGS_MAX {
            self.tags.push(V1Tag { key, value, host: present(host) });
        } else {
            self.dropped_tags = self.dropped_tags.saturating_add(1);
        }
    }

    /// What v1 calls a binary annotation, where its value is `true`: some keys say whose address it
    /// stands by.
    pub(super) fn address(&mut self, key: &Text<'a>, host: EndpointDraft<'a>) {
        let Some(host) = present(host) else { return };
        match &*key.read() {
            "sa" => self.sa = Some(host),
            "ca" => self.ca = Some(host),
            "ma" => self.ma = Some(host),
            _ => {}
        }
    }

    pub(super) fn annotations(&self) -> &[V1Annotation<'a>] {
        &self.annotations
    }

    pub(super) fn tags(&self) -> &[V1Tag<'a>] {
        &self.tags
    }

    /// Those that are known, with their keys.
    pub(super) fn addresses(&self) -> Vec<(&'static str, &EndpointDraft<'a>)> {
        let known = [("sa", &self.sa), ("ca", &self.ca), ("ma", &self.ma)];
        known.into_iter().filter_map(|(key, host)| Some((key, host.as_ref()?))).collect()
    }
}

/// An endpoint with nothing in it is none. Its name is lower-cased once, however often it will be compared.
fn present(host: EndpointDraft<'_>) -> Option<EndpointDraft<'_>> {
    if host.service_name.is_empty() && host.address.is_empty() {
        return None;
    }
    let name = match host.service_name {
        Text::Str(name) => Cow::Borrowed(name),
        Text::Bytes(name) => String::from_utf8_lossy(name),
        Text::Owned(name) => Cow::Owned(name),
        escaped @ Text::Escaped(_) => Cow::Owned(escaped.read().into_owned()),
    };
    let service_name = match lower_case(name) {
        Cow::Borrowed(name) => Text::Str(name),
        Cow::Owned(name) => Text::Owned(name),
    };
    Some(EndpointDraft { service_name, ..host })
}

fn same_service(a: &EndpointDraft<'_>, b: &EndpointDraft<'_>) -> bool {
    a.service_name.read() == b.service_name.read()
}
