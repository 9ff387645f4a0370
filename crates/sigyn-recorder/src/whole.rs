//! Whole spans of the model: written into the recorder's bytes, and made of them again.

use std::sync::Arc;
use std::time::Duration;

use sigyn_model::{
    Annotation, Endpoint, Kind, Link, Resource, Scope, Span, SpanId, StatusCode, Tags, Timestamp,
    TraceId,
};

use crate::draft::{Caps, Draft};
use crate::intern::Glossary;
use crate::layout::{Header, INLINE, flag, item};
use crate::text::{self, Text};
use crate::view::{Item, LinkView, TagViews, View};

/// What several spans share: who made them, and with what. It is kept once as long as it is the same `Arc`s
/// that say so.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub(crate) resource: Option<Arc<Resource>>,
    pub(crate) scope: Option<Arc<Scope>>,
}

impl Origin {
    /// Makes one, to be shared by spans: it is compared by its `Arc`s.
    pub fn new(resource: Option<Arc<Resource>>, scope: Option<Arc<Scope>>) -> Self {
        Self { resource, scope }
    }

    pub(crate) fn of(span: &Span) -> Option<Self> {
        let origin = Self { resource: span.resource.clone(), scope: span.scope.clone() };
        (origin.resource.is_some() || origin.scope.is_some()).then_some(origin)
    }

    /// Whether both are the very same ones.
    pub(crate) fn is(&self, other: &Self) -> bool {
        fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
        }
        same(self.resource.as_ref(), other.resource.as_ref())
            && same(self.scope.as_ref(), other.scope.as_ref())
    }

    /// Memory that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let resource = self.resource.as_ref().map_or(0, |resource| {
            size_of::<Resource>() + resource.schema_url.capacity() + tags_heap(&resource.tags)
        });
        let scope = self.scope.as_ref().map_or(0, |scope| {
            let texts = scope.name.capacity() + scope.version.capacity();
            size_of::<Scope>() + texts + scope.schema_url.capacity() + tags_heap(&scope.tags)
        });
        size_of::<Self>() + resource + scope
    }
}

fn tags_heap(tags: &Tags) -> usize {
    use sigyn_model::Value;
    fn value(of: &Value) -> usize {
        match of {
            Value::Str(text) => text.capacity(),
            Value::Bytes(bytes) => bytes.capacity(),
            Value::List(values) => {
                values.capacity() * size_of::<Value>() + values.iter().map(value).sum::<usize>()
            }
            Value::Map(entries) => tags_heap(entries),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Empty => 0,
        }
    }
    tags.capacity() * size_of::<(String, Value)>()
        + tags.iter().map(|(key, of)| key.capacity() + value(of)).sum::<usize>()
}

/// Writes all that a span says but for its origin. The header goes to [`Draft::finish`].
pub(crate) fn write(span: &Span, draft: &mut Draft, caps: Caps) -> Header {
    draft.clear(caps);
    let max = caps.value_bytes_max;
    draft.text(item::NAME, &span.name, max);
    draft.text(item::STATUS_MESSAGE, &span.status.message, max);
    draft.trace_state(&span.trace_state);
    for (tag, endpoint) in [
        (item::LOCAL_ENDPOINT, &span.local_endpoint),
        (item::REMOTE_ENDPOINT, &span.remote_endpoint),
    ] {
        if let Some(endpoint) = endpoint {
            draft.endpoint(tag, endpoint, max);
        }
    }
    draft.flags(span.flags);
    for (key, value) in &span.tags {
        draft.tag(Text::new(key), value.into());
    }
    for annotation in &span.annotations {
        draft.annotation(
            annotation.timestamp.nanos(),
            Text::new(&annotation.value),
            text::borrowed(&annotation.tags),
            annotation.dropped_tags,
            caps,
        );
    }
    for link in &span.links {
        draft.link(link, caps);
    }
    draft.dropped_tags = draft.dropped_tags.saturating_add(span.dropped_tags);
    draft.dropped_annotations = draft.dropped_annotations.saturating_add(span.dropped_annotations);
    draft.dropped_links = draft.dropped_links.saturating_add(span.dropped_links);
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let set = |flag: u16, on: bool| if on { flag } else { 0 };
    Header {
        len: 0,
        trace_id: span.trace_id.as_u128(),
        id: span.id.as_u64(),
        parent_id: span.parent_id.map_or(0, SpanId::as_u64),
        start: span.timestamp.map_or(0, Timestamp::nanos),
        duration: span.duration.map_or(0, nanos),
        name: INLINE,
        origin: 0,
        flags: kind_bits(span.kind)
            | status_bits(span.status.code)
            | flag::WALL
            | set(flag::DEBUG, span.debug)
            | set(flag::SHARED, span.shared)
            | set(flag::TIMESTAMP, span.timestamp.is_some())
            | set(flag::DURATION, span.duration.is_some()),
    }
}

/// What it takes to make spans of bytes again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) glossary: &'a Glossary,
    pub(crate) own: &'a Own,
    /// The chunk's.
    pub(crate) origins: &'a [Origin],
    /// From the recorder's clock to Unix time.
    pub(crate) wall_offset: i64,
}

/// What the recorder's own spans share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) resource: Option<Arc<Resource>>,
    /// Of another process: what numbers mean there.
    pub(crate) names: Option<Arc<Glossary>>,
}

impl Reading<'_> {
    pub(crate) fn wall(&self, flags: u16, time: u64) -> u64 {
        if flags & flag::WALL == 0 { time.saturating_add_signed(self.wall_offset) } else { time }
    }

    /// `None` only for bytes that are no span.
    pub(crate) fn span(&self, view: &View<'_>) -> Option<Span> {
        let Header { trace_id, id, parent_id, start, duration, name, origin, flags, .. } =
            view.header;
        let mut span = Span::new(TraceId::new(trace_id)?, SpanId::from_raw(id));
        span.parent_id = SpanId::new(parent_id);
        span.kind = kind_of(flags);
        span.status.code = status(flags);
        span.debug = flags & flag::DEBUG != 0;
        span.shared = flags & flag::SHARED != 0;
        if flags & flag::TIMESTAMP != 0 {
            span.timestamp = Some(Timestamp::from_nanos(self.wall(flags, start)));
        }
        if flags & flag::DURATION != 0 {
            span.duration = Some(Duration::from_nanos(duration));
        }
        if flags & flag::OWN != 0 {
            span.local_endpoint.clone_from(&self.own.endpoint);
            span.resource.clone_from(&self.own.resource);
        }
        let origin = usize::from(origin).checked_sub(1).and_then(|at| self.origins.get(at));
        if let Some(Origin { resource, scope }) = origin {
            if let Some(resource) = resource.as_ref().filter(|_| flags & flag::OWN != 0) {
                let name = resource.tags.iter().find(|(key, _)| key == "service.name");
                let name = name.map(|(_, name)| Endpoint::named(&name.text()));
                span.local_endpoint = name.and_then(Endpoint::into_option).or(span.local_endpoint);
            }
            span.resource = resource.clone().or(span.resource);
            span.scope.clone_from(scope);
        }
        if name != INLINE {
            let name = self.glossary.text(crate::intern::Id::from_raw(name));
            span.name = name.to_lowercase();
        }
        for item in view.items() {
            self.take(&mut span, flags, item);
        }
        if flags & flag::OWN != 0 {
            span.normalize();
        }
        Some(span)
    }

    fn take(&self, span: &mut Span, flags: u16, item: Item<'_>) {
        match item {
            Item::Tag { key, value } => {
                let key = key.text(self.glossary).into_owned();
                span.tags.push((key, value.to_value()));
            }
            Item::Annotation { time, name, dropped_tags, tags } => {
                span.annotations.push(Annotation {
                    timestamp: Timestamp::from_nanos(self.wall(flags, time)),
                    value: name.text(self.glossary).into_owned(),
                    tags: self.tags(tags),
                    dropped_tags,
                });
            }
            Item::Link(link) => span.links.extend(self.link(link)),
            Item::Name(name) if flags & flag::OWN != 0 => span.name = name.to_lowercase(),
            Item::Name(name) => name.clone_into(&mut span.name),
            Item::StatusMessage(message) => message.clone_into(&mut span.status.message),
            Item::TraceState(state) => state.clone_into(&mut span.trace_state),
            Item::LocalEndpoint(endpoint) => span.local_endpoint = Some(endpoint),
            Item::RemoteEndpoint(endpoint) => span.remote_endpoint = Some(endpoint),
            Item::Dropped { tags, annotations, links } => {
                span.dropped_tags = tags;
                span.dropped_annotations = annotations;
                span.dropped_links = links;
            }
            Item::Flags(flags) => span.flags = flags,
        }
    }

    fn link(&self, link: LinkView<'_>) -> Option<Link> {
        Some(Link {
            trace_id: TraceId::new(link.trace_id)?,
            span_id: SpanId::from_raw(link.span_id),
            trace_state: link.trace_state.to_owned(),
            tags: self.tags(link.tags),
            dropped_tags: link.dropped_tags,
            flags: link.flags,
        })
    }

    fn tags(&self, tags: TagViews<'_>) -> Tags {
        tags.map(|(key, value)| (key.text(self.glossary).into_owned(), value.to_value())).collect()
    }
}

pub(crate) fn kind_bits(kind: Option<Kind>) -> u16 {
    match kind {
        None => 0,
        Some(Kind::Client) => 1,
        Some(Kind::Server) => 2,
        Some(Kind::Producer) => 3,
        Some(Kind::Consumer) => 4,
    }
}

pub(crate) fn kind_of(flags: u16) -> Option<Kind> {
    match flags & flag::KIND {
        1 => Some(Kind::Client),
        2 => Some(Kind::Server),
        3 => Some(Kind::Producer),
        4 => Some(Kind::Consumer),
        _ => None,
    }
}

pub(crate) fn status_bits(status: StatusCode) -> u16 {
    let code = match status {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    };
    code << flag::STATUS_SHIFT
}

fn status(flags: u16) -> StatusCode {
    match (flags & flag::STATUS) >> flag::STATUS_SHIFT {
        1 => StatusCode::Ok,
        2 => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::views;
    use proptest::prelude::*;
    use sigyn_model::arbitrary;

    const CAPS: Caps = Caps { value_bytes_max: 1 << 20, span_bytes_max: 1 << 20 };

    fn there_and_back(span: &Span, caps: Caps) -> Option<Span> {
        let mut draft = Draft::default();
        let header = write(span, &mut draft, caps);
        let mut bytes = Vec::new();
        draft.finish(header, caps).ok()?.write(&mut bytes);
        let origins: Vec<Origin> = Origin::of(span).into_iter().collect();
        let reading = Reading {
            glossary: &Glossary::now(),
            own: &Own::default(),
            origins: &origins,
            wall_offset: 7,
        };
        let mut views = views(&bytes);
        let mut view = views.next().unwrap();
        assert!(views.next().is_none());
        view.header.origin = u16::from(!origins.is_empty());
        reading.span(&view)
    }

    fn is_sane(span: &Span) -> bool {
        span.target.is_none() && span.trace_state.len() <= 512
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_span_comes_back_as_it_was(span in arbitrary::span()) {
            let span = Span { target: None, ..span };
            prop_assume!(is_sane(&span));
            prop_assert_eq!(there_and_back(&span, CAPS), Some(span));
        }

        /// Whatever does not fit is dropped, and counted in the span.
        #[test]
        fn a_span_fits_its_cap_or_is_refused(span in arbitrary::span(), max in 60..2_000_usize) {
            let span = Span { target: None, ..span };
            let caps = Caps { span_bytes_max: max, ..CAPS };
            let mut draft = Draft::default();
            let header = write(&span, &mut draft, caps);
            // The counts of what was dropped come on top.
            if let Ok(span) = draft.finish(header, caps) {
                prop_assert!(span.len() <= max + 13);
            }
            if let Some(cut) = there_and_back(&span, caps) {
                let all = |span: &Span| [
                    span.tags.len() + span.dropped_tags as usize,
                    span.annotations.len() + span.dropped_annotations as usize,
                    span.links.len() + span.dropped_links as usize,
                ];
                prop_assert_eq!(all(&cut), all(&span));
            }
        }

        #[test]
        fn bytes_that_are_no_spans_end_the_reading(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let reading = Reading {
                glossary: &Glossary::now(),
                own: &Own::default(),
                origins: &[],
                wall_offset: 0,
            };
            for view in views(&bytes) {
                let _ = reading.span(&view);
            }
        }
    }
}
