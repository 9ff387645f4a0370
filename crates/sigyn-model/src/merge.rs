//! The clean-up of a trace before it becomes a tree: parts of one span are put together, and what
//! instrumentation tends to forget about a shared id is added.
//!
//! It works on indices and clones no span, so that linking the whole of a store stays cheap.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use crate::{Endpoint, Kind, Span, SpanId, Timestamp, TraceId};

/// A trace with its spans in order of id, and those that are parts of one span together.
#[derive(Debug)]
pub(crate) struct Merged<'a> {
    spans: &'a [Span],
    /// Indices of `spans`.
    order: Vec<usize>,
    pub(crate) nodes: Vec<MergedSpan<'a>>,
}

/// One span of a merged trace, with those of its fields that decide its place.
#[derive(Debug)]
pub(crate) struct MergedSpan<'a> {
    /// Places in [`Merged::order`]. The first part's values go before the others'.
    parts: Range<usize>,
    pub(crate) id: SpanId,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) kind: Option<Kind>,
    pub(crate) shared: bool,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) local_endpoint: Option<Cow<'a, Endpoint>>,
}

impl<'a> Merged<'a> {
    pub(crate) fn new(spans: &'a [Span]) -> Self {
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by(|a, b| compare(&spans[*a], &spans[*b]));
        let mut nodes: Vec<MergedSpan<'a>> = Vec::with_capacity(spans.len());
        for (place, index) in order.iter().enumerate() {
            let span = &spans[*index];
            if !nodes.last_mut().is_some_and(|last| last.try_add(span)) {
                nodes.push(MergedSpan::new(place, span));
            }
        }
        for i in 1..nodes.len() {
            let (before, after) = nodes.split_at_mut(i);
            if let ([.., client], [server, ..]) = (before, after) {
                server.learn_from(client);
            }
        }
        Self { spans, order, nodes }
    }

    /// The indices of the spans that were put together as one, the first first.
    pub(crate) fn sources(&self, node: usize) -> &[usize] {
        &self.order[self.nodes[node].parts.clone()]
    }

    /// The spans that were put together as one, the first first.
    pub(crate) fn parts(&self, node: usize) -> impl Iterator<Item = &'a Span> {
        self.sources(node).iter().map(|index| &self.spans[*index])
    }

    /// The trace's id: a 128-bit one if there is any, for both spellings may meet in a trace.
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        let mut ids = self.order.iter().map(|index| self.spans[*index].trace_id);
        let first = ids.next()?;
        Some(if first.high() != 0 { first } else { ids.find(|id| id.high() != 0).unwrap_or(first) })
    }

    /// One merged span in full.
    pub(crate) fn span(&self, node: usize) -> Option<Span> {
        let span = all_of(self.parts(node))?;
        let MergedSpan { parent_id, shared, .. } = self.nodes[node];
        Some(Span { parent_id, shared, ..span })
    }
}

impl<'a> MergedSpan<'a> {
    fn new(place: usize, span: &'a Span) -> Self {
        Self {
            parts: place..place + 1,
            id: span.id,
            parent_id: span.parent_id,
            kind: span.kind,
            shared: span.shared,
            timestamp: span.timestamp,
            local_endpoint: span.local_endpoint.as_ref().map(Cow::Borrowed),
        }
    }

    /// Takes the next span if it is a part of this one: of the same side, and of no other endpoint.
    fn try_add(&mut self, span: &'a Span) -> bool {
        if self.id != span.id || self.shared != span.shared {
            return false;
        }
        match (&mut self.local_endpoint, &span.local_endpoint) {
            (_, None) => {}
            (None, Some(theirs)) => self.local_endpoint = Some(Cow::Borrowed(theirs)),
            (Some(ours), Some(theirs)) if ours.as_ref() == theirs => {}
            (Some(ours), Some(theirs)) if agree(ours, theirs) => {
                fill_endpoint(ours.to_mut(), theirs);
            }
            _ => return false,
        }
        self.parts.end += 1;
        self.parent_id = self.parent_id.or(span.parent_id);
        self.kind = self.kind.or(span.kind);
        self.timestamp = self.timestamp.or(span.timestamp);
        true
    }

    /// Adds what a server half may have left out. Spans of one id come client first.
    fn learn_from(&mut self, before: &Self) {
        if self.id != before.id {
            return;
        }
        self.shared |= before.kind == Some(Kind::Client) && self.kind == Some(Kind::Server);
        if self.shared {
            self.parent_id = self.parent_id.or(before.parent_id);
        }
    }
}

/// What parts of one span say together, in whatever order they are. A parent and a shared flag are the tree's
/// to set.
pub(crate) fn put_together(parts: &[Span]) -> Option<Span> {
    let mut order: Vec<&Span> = parts.iter().collect();
    order.sort_by(|a, b| compare(a, b));
    all_of(order.into_iter())
}

/// The same of parts in order.
fn all_of<'a>(mut parts: impl Iterator<Item = &'a Span>) -> Option<Span> {
    let mut span = parts.next()?.clone();
    for part in parts {
        add(&mut span, part);
    }
    // Not the whole of `normalize`. Once and not for each part, of which there may be as many as a trace
    // has spans.
    crate::value::keep_last_of_each_key(&mut span.tags);
    span.sort_annotations();
    Some(span)
}

/// By id; then the client before others before shared halves; then by endpoint. Whatever is still
/// equal is ordered by time and so on, so that the order of arrival decides next to nothing.
fn compare(a: &Span, b: &Span) -> Ordering {
    let side = |span: &Span| (span.shared, !span.shared && span.kind != Some(Kind::Client));
    let rest = |span: &Span| {
        (span.timestamp.is_none(), span.timestamp, span.duration, span.kind, span.parent_id)
    };
    a.id.cmp(&b.id)
        .then_with(|| side(a).cmp(&side(b)))
        .then_with(|| compare_endpoints(a.local_endpoint.as_ref(), b.local_endpoint.as_ref()))
        .then_with(|| rest(a).cmp(&rest(b)).then_with(|| a.name.cmp(&b.name)))
}

/// No endpoint first, but within an endpoint what is absent last.
pub(crate) fn compare_endpoints(a: Option<&Endpoint>, b: Option<&Endpoint>) -> Ordering {
    fn key(endpoint: &Endpoint) -> impl Ord + '_ {
        let Endpoint { service_name, ipv4, ipv6, port } = endpoint;
        let name = (service_name.is_empty(), service_name);
        (name, (ipv4.is_none(), ipv4), (ipv6.is_none(), ipv6), (*port == 0, port))
    }
    match (a, b) {
        (Some(a), Some(b)) => key(a).cmp(&key(b)),
        _ => a.is_some().cmp(&b.is_some()),
    }
}

/// Whether two endpoints contradict each other nowhere.
pub(crate) fn agree(a: &Endpoint, b: &Endpoint) -> bool {
    fn fits<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
        a.is_none() || b.is_none() || a == b
    }
    (a.service_name.is_empty() || b.service_name.is_empty() || a.service_name == b.service_name)
        && fits(a.ipv4, b.ipv4)
        && fits(a.ipv6, b.ipv6)
        && (a.port == 0 || b.port == 0 || a.port == b.port)
}

/// Fills what is absent.
pub(crate) fn fill_endpoint(ours: &mut Endpoint, theirs: &Endpoint) {
    if ours.service_name.is_empty() {
        ours.service_name.clone_from(&theirs.service_name);
    }
    ours.ipv4 = ours.ipv4.or(theirs.ipv4);
    ours.ipv6 = ours.ipv6.or(theirs.ipv6);
    if ours.port == 0 {
        ours.port = theirs.port;
    }
}

/// Adds a part to a span: what was said first stays, except for tags, where the later value wins.
/// Tags and annotations are left as they came.
fn add(span: &mut Span, part: &Span) {
    fn fill(ours: &mut Option<Endpoint>, theirs: Option<&Endpoint>) {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => fill_endpoint(ours, theirs),
            (ours, theirs) => *ours = ours.take().or(theirs.cloned()),
        }
    }
    fn fill_text(ours: &mut String, theirs: &str) {
        if ours.is_empty() {
            theirs.clone_into(ours);
        }
    }
    span.kind = span.kind.or(part.kind);
    fill_text(&mut span.name, &part.name);
    span.timestamp = span.timestamp.or(part.timestamp);
    span.duration = span.duration.or(part.duration);
    fill(&mut span.local_endpoint, part.local_endpoint.as_ref());
    fill(&mut span.remote_endpoint, part.remote_endpoint.as_ref());
    span.annotations.extend(part.annotations.iter().cloned());
    span.tags.extend(part.tags.iter().cloned());
    span.debug |= part.debug;
    if span.status == Default::default() {
        span.status = part.status.clone();
    }
    if span.links != part.links {
        span.links.extend(part.links.iter().cloned());
    }
    fill_text(&mut span.trace_state, &part.trace_state);
    span.dropped_tags = span.dropped_tags.max(part.dropped_tags);
    span.dropped_annotations = span.dropped_annotations.max(part.dropped_annotations);
    span.dropped_links = span.dropped_links.max(part.dropped_links);
    span.scope = span.scope.take().or_else(|| part.scope.clone());
    span.resource = span.resource.take().or_else(|| part.resource.clone());
    span.target = span.target.take().or_else(|| part.target.clone());
}
