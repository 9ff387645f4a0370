//! A span while its fields come in, in any order and perhaps more than once.
//!
//! One draft serves all spans of a body: what it holds is borrowed, and its lists keep their room.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use super::sink::{AnnotationRef, EndpointRef, LinkRef, SpanRef, SpanSink, TagRef, Text};
use super::{ANNOTATIONS_MAX, LINKS_MAX, OverLimit};
use crate::span::DURATION_MAX;
use crate::value::TAGS_MAX;
use crate::{Endpoint, Kind, SpanId, StatusCode, Timestamp, TraceId};

#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) kind: Option<Kind>,
    /// As it was sent: it is lower-cased at the end.
    pub(crate) name: Text<'a>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) duration: Option<Duration>,
    pub(crate) local_endpoint: EndpointDraft<'a>,
    pub(crate) remote_endpoint: EndpointDraft<'a>,
    pub(crate) annotations: Vec<AnnotationRef<'a>>,
    pub(crate) tags: Vec<TagRef<'a>>,
    pub(crate) debug: bool,
    pub(crate) shared: bool,
    pub(crate) status_code: StatusCode,
    pub(crate) status_message: Text<'a>,
    pub(crate) links: Vec<LinkRef<'a>>,
    pub(crate) trace_state: Text<'a>,
    pub(crate) dropped_tags: u32,
    pub(crate) dropped_annotations: u32,
    pub(crate) dropped_links: u32,
    pub(crate) flags: u32,
}

/// An endpoint while its fields come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointDraft<'a> {
    /// As it was sent: it is lower-cased at the end.
    pub(crate) service_name: Text<'a>,
    /// The addresses and the port; its name is not used.
    pub(crate) address: Endpoint,
}

impl<'a> Draft<'a> {
    /// Makes it as good as new, but for the room that its lists have taken.
    pub(crate) fn clear(&mut self) {
        let mut annotations = std::mem::take(&mut self.annotations);
        let mut tags = std::mem::take(&mut self.tags);
        let mut links = std::mem::take(&mut self.links);
        annotations.clear();
        tags.clear();
        links.clear();
        *self = Self { annotations, tags, links, ..Self::default() };
    }

    #[inline]
    pub(crate) fn tag(&mut self, tag: TagRef<'a>) {
        push_tag(&mut self.tags, tag, &mut self.dropped_tags);
    }

    /// Makes each key stand once, and bounds their number: what [`Self::hand_over`] does anyway, for
    /// who has to know it before.
    pub(crate) fn settle_tags(&mut self) {
        let over = bound(&mut self.tags, TAGS_MAX);
        self.dropped_tags = self.dropped_tags.saturating_add(over);
    }

    pub(crate) fn annotation(&mut self, annotation: AnnotationRef<'a>) {
        if self.annotations.len() < ANNOTATIONS_MAX {
            self.annotations.push(annotation);
        } else {
            self.dropped_annotations = self.dropped_annotations.saturating_add(1);
        }
    }

    pub(crate) fn link(&mut self, link: LinkRef<'a>) {
        if self.links.len() < LINKS_MAX {
            self.links.push(link);
        } else {
            self.dropped_links = self.dropped_links.saturating_add(1);
        }
    }

    /// Normalises what has come in, by Zipkin's rules and ours, and hands it over.
    pub(crate) fn hand_over(
        &mut self,
        trace_id: TraceId,
        id: SpanId,
        sink: &mut impl SpanSink,
    ) -> Result<(), OverLimit> {
        self.settle_tags();
        for annotation in &mut self.annotations {
            let over = bound(&mut annotation.tags, TAGS_MAX);
            annotation.dropped_tags = annotation.dropped_tags.saturating_add(over);
        }
        for link in &mut self.links {
            let over = bound(&mut link.tags, TAGS_MAX);
            link.dropped_tags = link.dropped_tags.saturating_add(over);
        }
        sort_annotations(&mut self.annotations);
        let name = self.name.to_lowercase();
        let local = self.local_endpoint.service_name.to_lowercase();
        let remote = self.remote_endpoint.service_name.to_lowercase();
        let duration = self.duration.filter(|duration| !duration.is_zero());
        sink.span(&SpanRef {
            trace_id,
            parent_id: self.parent_id.filter(|parent| *parent != id),
            id,
            kind: self.kind,
            name: &name,
            timestamp: self.timestamp,
            duration: duration.map(|duration| duration.min(DURATION_MAX)),
            local_endpoint: self.local_endpoint.finish(&local),
            remote_endpoint: self.remote_endpoint.finish(&remote),
            annotations: &self.annotations,
            tags: &self.tags,
            debug: self.debug,
            // The client half is the one that the id belongs to.
            shared: self.shared && self.kind != Some(Kind::Client),
            status_code: self.status_code,
            status_message: self.status_message.clone(),
            links: &self.links,
            trace_state: self.trace_state.clone(),
            dropped_tags: self.dropped_tags,
            dropped_annotations: self.dropped_annotations,
            dropped_links: self.dropped_links,
            flags: self.flags,
        })
    }
}

/// Puts a tag behind others. Keys may stand there twice, but not without end.
#[inline]
pub(crate) fn push_tag<'a>(tags: &mut Vec<TagRef<'a>>, tag: TagRef<'a>, dropped: &mut u32) {
    tags.push(tag);
    if tags.len() >= 2 * TAGS_MAX {
        *dropped = dropped.saturating_add(bound(tags, TAGS_MAX));
    }
}

impl From<Endpoint> for EndpointDraft<'_> {
    fn from(endpoint: Endpoint) -> Self {
        let Endpoint { service_name, ipv4, ipv6, port } = endpoint;
        let address = Endpoint { service_name: String::new(), ipv4, ipv6, port };
        Self { service_name: Text::Owned(service_name), address }
    }
}

impl<'a> EndpointDraft<'a> {
    pub(crate) fn named(service_name: Text<'a>) -> Self {
        Self { service_name, address: Endpoint::default() }
    }

    fn finish<'b>(&self, service_name: &'b Cow<'_, str>) -> Option<EndpointRef<'b>> {
        let Endpoint { ipv4, ipv6, port, .. } = self.address;
        let endpoint = EndpointRef { service_name, ipv4, ipv6, port };
        let empty = service_name.is_empty() && ipv4.is_none() && ipv6.is_none() && port == 0;
        (!empty).then_some(endpoint)
    }
}

/// Makes a key stand once, where it stood first with the value that came last, and leaves out the
/// keys beyond so many. Returns their number.
pub(crate) fn bound(tags: &mut Vec<TagRef<'_>>, tags_max: usize) -> u32 {
    /// Up to here, comparing each with each is quicker than sorting.
    const FEW: usize = 24;
    let same = |a: &TagRef<'_>, b: &TagRef<'_>| same_text(&a.key, &b.key);
    let unique = tags.len() <= FEW
        && (1..tags.len()).all(|i| tags[..i].iter().all(|earlier| !same(earlier, &tags[i])));
    if unique {
        return 0;
    }
    let mut first_of: HashMap<String, usize> = HashMap::with_capacity(tags.len());
    let mut kept: Vec<TagRef<'_>> = Vec::with_capacity(tags.len());
    for tag in tags.drain(..) {
        let key = tag.key.read().into_owned();
        match first_of.get(&key) {
            Some(first) => kept[*first] = tag,
            None => {
                first_of.insert(key, kept.len());
                kept.push(tag);
            }
        }
    }
    let over = kept.len().saturating_sub(tags_max);
    kept.truncate(tags_max);
    *tags = kept;
    u32::try_from(over).unwrap_or(u32::MAX)
}

fn same_text(a: &Text<'_>, b: &Text<'_>) -> bool {
    match (a, b) {
        (Text::Bytes(a), Text::Bytes(b)) if a == b => true,
        (Text::Str(a), Text::Str(b)) => a == b,
        // Different bytes may read alike where they are broken, or escaped.
        (Text::Bytes(a), Text::Bytes(b)) if a.is_ascii() && b.is_ascii() => false,
        _ => a.read() == b.read(),
    }
}

fn sort_annotations(annotations: &mut Vec<AnnotationRef<'_>>) {
    if annotations.len() < 2 {
        return;
    }
    annotations.sort_by(|a, b| {
        a.timestamp.cmp(&b.timestamp).then_with(|| a.value.read().cmp(&b.value.read()))
    });
    annotations.dedup_by(|a, b| {
        a.timestamp == b.timestamp
            && a.dropped_tags == b.dropped_tags
            && a.value.read() == b.value.read()
            && a.tags.len() == b.tags.len()
            && a.tags.iter().zip(&b.tags).all(|(a, b)| a.to_owned() == b.to_owned())
    });
}
