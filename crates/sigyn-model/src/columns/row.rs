//! One span in its columns, read field by field or as a whole.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::sink::EndpointRef;
use crate::{
    Annotation, Kind, Labels, Link, Resource, Scope, Searched, Span, SpanId, Status, StatusCode,
    Tags, Timestamp, TraceId,
};

use super::{AnnotationRow, Columns, Extra, Facts, KINDS, LinkRow, Numbers};

/// A span that stands in columns.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a Columns,
    row: u32,
}

impl<'a> Row<'a> {
    /// The row must be there.
    pub(super) fn new(columns: &'a Columns, row: u32) -> Self {
        Self { columns, row }
    }

    fn at(&self) -> usize {
        self.row as usize
    }

    fn numbers(&self) -> &'a Numbers {
        &self.columns.numbers[self.at()]
    }

    fn facts(&self) -> Facts {
        self.numbers().facts
    }

    pub fn trace_id(&self) -> TraceId {
        self.columns.trace_ids[self.at()]
    }

    pub fn id(&self) -> SpanId {
        SpanId::from_raw(self.columns.ids[self.at()].id)
    }

    pub fn parent_id(&self) -> Option<SpanId> {
        let id = SpanId::from_raw(self.columns.ids[self.at()].parent_id);
        self.facts().has(Facts::PARENT).then_some(id)
    }

    pub fn kind(&self) -> Option<Kind> {
        let place = usize::from(self.facts().0 & Facts::KIND).checked_sub(1)?;
        KINDS.get(place).copied()
    }

    pub fn name(&self) -> &'a str {
        self.columns.name_texts.text(self.numbers().name)
    }

    pub fn timestamp(&self) -> Option<Timestamp> {
        let at = Timestamp::from_nanos(self.columns.times[self.at()].timestamp);
        self.facts().has(Facts::TIMESTAMP).then_some(at)
    }

    pub fn duration(&self) -> Option<Duration> {
        let facts = self.facts();
        if facts.has(Facts::LONG_DURATION) {
            let long = &self.columns.long_durations;
            let at = long.binary_search_by_key(&self.row, |(row, _)| *row).ok()?;
            return Some(long[at].1);
        }
        let duration = Duration::from_nanos(self.columns.times[self.at()].duration);
        facts.has(Facts::DURATION).then_some(duration)
    }

    pub fn local_endpoint(&self) -> Option<EndpointRef<'a>> {
        self.endpoint(self.numbers().local_endpoint)
    }

    pub fn remote_endpoint(&self) -> Option<EndpointRef<'a>> {
        self.endpoint(self.numbers().remote_endpoint)
    }

    fn endpoint(&self, number: u32) -> Option<EndpointRef<'a>> {
        Self::endpoint_of(self.columns, number)
    }

    pub(super) fn endpoint_of(columns: &'a Columns, number: u32) -> Option<EndpointRef<'a>> {
        read_endpoint(columns.endpoints.get(number), |name| columns.name_texts.text(name))
    }

    fn service_of(&self, number: u32) -> Option<&'a str> {
        let (name, _) = self.columns.endpoints.get(number).split_first_chunk()?;
        let name = self.columns.name_texts.text(u32::from_le_bytes(*name));
        (!name.is_empty()).then_some(name)
    }

    pub fn debug(&self) -> bool {
        self.facts().has(Facts::DEBUG)
    }

    pub fn shared(&self) -> bool {
        self.facts().has(Facts::SHARED)
    }

    pub fn status_code(&self) -> StatusCode {
        match self.facts().0 >> Facts::STATUS_SHIFT & 3 {
            0 => StatusCode::Unset,
            1 => StatusCode::Ok,
            _ => StatusCode::Error,
        }
    }

    pub fn resource(&self) -> Option<&'a Arc<Resource>> {
        self.columns.origins.resource_of(self.numbers().origin)
    }

    pub fn scope(&self) -> Option<&'a Arc<Scope>> {
        self.columns.origins.scope_of(self.numbers().origin)
    }

    pub fn target(&self) -> Option<&'a Arc<Labels>> {
        self.columns.origins.target_of(self.numbers().origin)
    }

    fn extra(&self) -> Extra {
        match self.numbers().extra {
            0 => Extra::default(),
            number => Extra::from_bytes(self.columns.extras.get(number)),
        }
    }

    /// Keys of the span's own tags.
    pub fn tag_keys(&self) -> impl Iterator<Item = &'a str> {
        let dictionary = &self.columns.dictionary;
        self.tags().iter().map(|number| dictionary.key(*number))
    }

    /// Numbers of the span's own tags, in their order.
    pub(super) fn tags(&self) -> &'a [u32] {
        let ends = &self.columns.tag_ends;
        let start = self.at().checked_sub(1).map_or(0, |before| ends[before]);
        &self.columns.tags[start..ends[self.at()]]
    }

    pub(super) fn annotations(&self) -> &'a [AnnotationRow] {
        let lists = &self.columns.annotation_lists;
        let range = self.facts().has(Facts::ANNOTATIONS).then(|| lists.of(self.row));
        &self.columns.annotations[range.unwrap_or_default()]
    }

    pub(super) fn links(&self) -> &'a [LinkRow] {
        let lists = &self.columns.link_lists;
        let range = self.facts().has(Facts::LINKS).then(|| lists.of(self.row));
        &self.columns.links[range.unwrap_or_default()]
    }

    fn nested_tags(&self, range: &Range<usize>) -> Tags {
        self.tags_of(&self.columns.nested_tags[range.clone()])
    }

    fn tags_of(&self, numbers: &[u32]) -> Tags {
        let dictionary = &self.columns.dictionary;
        let tag = |number: &u32| (dictionary.key(*number).to_owned(), dictionary.value(*number));
        numbers.iter().map(tag).collect()
    }

    /// The span as a value of its own.
    pub fn to_span(&self) -> Span {
        let texts = &self.columns.texts;
        let extra = self.extra();
        let annotation = |annotation: &AnnotationRow| Annotation {
            timestamp: annotation.timestamp,
            value: texts.text(annotation.value).to_owned(),
            tags: self.nested_tags(&annotation.tags),
            dropped_tags: annotation.dropped_tags,
        };
        let link = |link: &LinkRow| Link {
            trace_id: link.trace_id,
            span_id: link.span_id,
            trace_state: texts.text(link.trace_state).to_owned(),
            tags: self.nested_tags(&link.tags),
            dropped_tags: link.dropped_tags,
            flags: link.flags,
        };
        Span {
            trace_id: self.trace_id(),
            parent_id: self.parent_id(),
            id: self.id(),
            kind: self.kind(),
            name: self.name().to_owned(),
            timestamp: self.timestamp(),
            duration: self.duration(),
            local_endpoint: self.local_endpoint().map(EndpointRef::to_owned),
            remote_endpoint: self.remote_endpoint().map(EndpointRef::to_owned),
            annotations: self.annotations().iter().map(annotation).collect(),
            tags: self.tags_of(self.tags()),
            debug: self.debug(),
            shared: self.shared(),
            status: Status {
                code: self.status_code(),
                message: texts.text(extra.status_message).to_owned(),
            },
            links: self.links().iter().map(link).collect(),
            trace_state: texts.text(extra.trace_state).to_owned(),
            dropped_tags: extra.dropped_tags,
            dropped_annotations: extra.dropped_annotations,
            dropped_links: extra.dropped_links,
            flags: extra.flags,
            scope: self.scope().cloned(),
            resource: self.resource().cloned(),
            target: self.target().cloned(),
        }
    }
}

impl Searched for Row<'_> {
    fn is_root(&self) -> bool {
        !self.facts().has(Facts::PARENT)
    }

    fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp()
    }

    fn duration(&self) -> Option<Duration> {
        self.duration()
    }

    fn name(&self) -> &str {
        self.name()
    }

    fn service_name(&self) -> Option<&str> {
        self.service_of(self.numbers().local_endpoint)
    }

    fn remote_service_name(&self) -> Option<&str> {
        self.service_of(self.numbers().remote_endpoint)
    }

    fn own_tag(&self, key: &str) -> Option<Cow<'_, str>> {
        let dictionary = &self.columns.dictionary;
        let number = self.tags().iter().find(|number| dictionary.key_is(**number, key))?;
        Some(match dictionary.text(*number) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(dictionary.value(*number).text().into_owned()),
        })
    }

    fn status_code(&self) -> StatusCode {
        self.status_code()
    }

    fn status_message(&self) -> &str {
        self.columns.texts.text(self.extra().status_message)
    }

    fn scope(&self) -> Option<&Scope> {
        self.scope().map(Arc::as_ref)
    }

    fn resource(&self) -> Option<&Resource> {
        self.resource().map(Arc::as_ref)
    }

    fn target(&self) -> Option<&Labels> {
        self.target().map(Arc::as_ref)
    }

    fn kind(&self) -> Option<Kind> {
        self.kind()
    }

    fn shared(&self) -> bool {
        self.shared()
    }

    fn any_annotation(&self, holds: &mut dyn FnMut(&str) -> bool) -> bool {
        let texts = &self.columns.texts;
        self.annotations().iter().any(|annotation| holds(texts.text(annotation.value)))
    }

    fn has_annotation(&self, value: &str) -> bool {
        let texts = &self.columns.texts;
        self.annotations().iter().any(|annotation| texts.get(annotation.value) == value.as_bytes())
    }
}

impl From<Row<'_>> for Span {
    fn from(row: Row<'_>) -> Self {
        row.to_span()
    }
}

/// The name's number, which addresses there are, the port, the addresses.
pub(super) const ENDPOINT_BYTES_MAX: usize = 4 + 1 + 2 + 4 + 16;

const HAS_IPV4: u8 = 1;
const HAS_IPV6: u8 = 2;

/// Writes an endpoint; returns how many bytes it takes.
pub(super) fn put_endpoint(
    out: &mut [u8; ENDPOINT_BYTES_MAX],
    name: u32,
    endpoint: EndpointRef<'_>,
) -> usize {
    out[..4].copy_from_slice(&name.to_le_bytes());
    out[5..7].copy_from_slice(&endpoint.port.to_le_bytes());
    let mut len = 7;
    if let Some(ip) = endpoint.ipv4 {
        out[4] |= HAS_IPV4;
        out[len..len + 4].copy_from_slice(&ip.octets());
        len += 4;
    }
    if let Some(ip) = endpoint.ipv6 {
        out[4] |= HAS_IPV6;
        out[len..len + 16].copy_from_slice(&ip.octets());
        len += 16;
    }
    len
}

/// `None` if there are no bytes.
fn read_endpoint<'a>(bytes: &[u8], name: impl Fn(u32) -> &'a str) -> Option<EndpointRef<'a>> {
    let (number, rest) = bytes.split_first_chunk()?;
    let ([has, port @ ..], mut rest) = rest.split_first_chunk::<3>()?;
    let mut endpoint = EndpointRef {
        service_name: name(u32::from_le_bytes(*number)),
        ipv4: None,
        ipv6: None,
        port: u16::from_le_bytes(*port),
    };
    if has & HAS_IPV4 != 0
        && let Some((ip, after)) = rest.split_first_chunk::<4>()
    {
        endpoint.ipv4 = Some(Ipv4Addr::from(*ip));
        rest = after;
    }
    if has & HAS_IPV6 != 0 {
        endpoint.ipv6 = rest.first_chunk::<16>().map(|ip| Ipv6Addr::from(*ip));
    }
    Some(endpoint)
}
