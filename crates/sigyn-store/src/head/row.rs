//! One span of a head, read field by field or as a whole.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sigyn_model::codec::sink::EndpointRef;
use sigyn_model::{
    Annotation, Field, Kind, Labels, Link, Resource, Scope, Searched, Span, SpanId, Status,
    StatusCode, Tagged, Tags, Timestamp, TraceId, Value,
};

use super::Head;
use super::column::Column;
use super::rare::{Extra, List};
use crate::alike::{Asked, Derived, Stored};
use sigyn_model::columns::{Codes, fact};

/// A span that stands in a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    head: &'a Head,
    row: u32,
}

const KINDS: [Kind; 4] = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];

impl<'a> Row<'a> {
    /// The row must be there.
    pub(super) fn new(head: &'a Head, row: u32) -> Self {
        Self { head, row }
    }

    /// In its head.
    pub(crate) fn number(&self) -> u32 {
        self.row
    }

    fn facts(&self) -> u16 {
        self.head.rows.facts.get(self.row)
    }

    fn has(&self, bit: u16) -> bool {
        self.facts() & bit != 0
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        let key = self.head.traces.key(self.head.rows.traces.get(self.row));
        match TraceId::new(u128::from(key.high) << 64 | u128::from(key.low)) {
            Some(id) => id,
            None => unreachable!("no trace has an id of zero"),
        }
    }

    pub(crate) fn id(&self) -> SpanId {
        SpanId::from_raw(self.head.rows.ids.get(self.row))
    }

    pub(crate) fn parent_id(&self) -> Option<SpanId> {
        let id = SpanId::from_raw(self.head.rows.parent_ids.get(self.row));
        self.has(fact::PARENT).then_some(id)
    }

    pub(super) fn debug(&self) -> bool {
        self.has(fact::DEBUG)
    }

    /// The number of its name.
    pub(super) fn name_number(&self) -> u32 {
        self.head.rows.names.get(self.row)
    }

    /// Its target's labels, as spans share them.
    pub(super) fn shared_target(&self) -> Option<&'a Arc<Labels>> {
        self.target()
    }

    pub(super) fn each_annotation_time(&self, each: &mut dyn FnMut(Timestamp)) {
        let annotations = &self.head.rares.annotations;
        self.annotation_list().range().for_each(|at| each(annotations.get(at).timestamp));
    }

    fn kind(&self) -> Option<Kind> {
        let place = usize::from(self.facts() & fact::KIND).checked_sub(1)?;
        KINDS.get(place).copied()
    }

    fn name(&self) -> &'a str {
        self.head.names.text(&self.head.slabs, self.head.rows.names.get(self.row))
    }

    fn timestamp(&self) -> Option<Timestamp> {
        let at = Timestamp::from_nanos(self.head.rows.timestamps.get(self.row));
        self.has(fact::TIMESTAMP).then_some(at)
    }

    fn duration(&self) -> Option<Duration> {
        if self.has(fact::LONG_DURATION) {
            let (rares, rare) = (&self.head.rares, self.rare());
            return Some(Duration::new(rares.long_secs.get(rare), rares.long_nanos.get(rare)));
        }
        let duration = Duration::from_nanos(self.head.rows.durations.get(self.row));
        self.has(fact::DURATION).then_some(duration)
    }

    /// The numbers of its endpoints, local and remote; zero for none.
    pub(crate) fn endpoint_numbers(&self) -> [u32; 2] {
        let rows = &self.head.rows;
        [&rows.local_endpoints, &rows.remote_endpoints].map(|column| column.get(self.row))
    }

    pub(crate) fn endpoint(&self, number: u32) -> Option<EndpointRef<'a>> {
        let Head { endpoints, slabs, .. } = self.head;
        read_endpoint(endpoints.get(slabs, number), self.endpoint_name(number))
    }

    fn endpoint_name(&self, number: u32) -> &'a str {
        self.head.names.text(&self.head.slabs, self.head.endpoints.about(number))
    }

    fn service_of(&self, number: u32) -> Option<&'a str> {
        Some(self.endpoint_name(number)).filter(|name| !name.is_empty())
    }

    pub(crate) fn status_code(&self) -> StatusCode {
        match self.facts() >> fact::STATUS_SHIFT & 3 {
            0 => StatusCode::Unset,
            1 => StatusCode::Ok,
            _ => StatusCode::Error,
        }
    }

    pub(crate) fn resource(&self) -> Option<&'a Arc<Resource>> {
        let origins = &self.head.origins;
        origins.resources.get(origins.get(self.origin()).resource)
    }

    pub(crate) fn scope(&self) -> Option<&'a Arc<Scope>> {
        let origins = &self.head.origins;
        origins.scopes.get(origins.get(self.origin()).scope)
    }

    fn target(&self) -> Option<&'a Arc<Labels>> {
        let origins = &self.head.origins;
        origins.targets.get(origins.get(self.origin()).target)
    }

    fn rare(&self) -> u32 {
        self.head.rows.rares.get(self.row)
    }

    fn extra(&self) -> Extra {
        match self.head.rares.extras.get(self.rare()) {
            0 => Extra::default(),
            number => Extra::from_bytes(self.head.extras.get(&self.head.slabs, number)),
        }
    }

    /// A number that rows of the same resource, scope and target have in common.
    pub(crate) fn origin(&self) -> u32 {
        self.head.rows.origins.get(self.row)
    }

    /// Calls `each` with those of the keys that are not yet among the known ones, by number.
    pub(crate) fn new_tag_keys(&self, known: &mut Vec<bool>, mut each: impl FnMut(&str)) {
        for tag in self.tags() {
            let number = self.head.tags.about(tag);
            let place = number as usize;
            if known.len() <= place {
                known.resize(place + 1, false);
            }
            if !std::mem::replace(&mut known[place], true) {
                each(self.head.keys.text(&self.head.slabs, number));
            }
        }
    }

    /// Numbers of the span's own tags, in their order.
    fn tags(&self) -> impl Iterator<Item = u32> + use<'a> {
        let rows = &self.head.rows;
        let first = self.row.checked_sub(1).map_or(0, |before| rows.tag_ends.get(before));
        (first..rows.tag_ends.get(self.row)).map(|at| rows.tags.get(at))
    }

    fn tag(&self, number: u32) -> (String, Value) {
        let Head { keys, tags, slabs, .. } = self.head;
        let key = keys.text(slabs, tags.about(number));
        (key.to_owned(), Codes::value(tags.get(slabs, number)))
    }

    fn list(&self, bit: u16, lists: &Column<AtomicU64>) -> List {
        if self.has(bit) { List::of(lists.get(self.rare())) } else { List::default() }
    }

    fn nested_tags(&self, list: List) -> Tags {
        list.range().map(|at| self.tag(self.head.rares.nested_tags.get(at))).collect()
    }

    fn annotation_list(&self) -> List {
        self.list(fact::ANNOTATIONS, &self.head.rares.annotation_lists)
    }

    fn text(&self, number: u32) -> &'a str {
        self.head.texts.text(&self.head.slabs, number)
    }

    fn annotations(&self) -> Vec<Annotation> {
        let annotation = |at: u32| {
            let codes = self.head.rares.annotations.get(at);
            Annotation {
                timestamp: codes.timestamp,
                value: self.text(codes.value).to_owned(),
                tags: self.nested_tags(codes.tags),
                dropped_tags: codes.dropped_tags,
            }
        };
        self.annotation_list().range().map(annotation).collect()
    }

    fn links(&self) -> Vec<Link> {
        let link = |at: u32| {
            let codes = self.head.rares.links.get(at);
            Some(Link {
                trace_id: codes.trace_id?,
                span_id: codes.span_id,
                trace_state: self.text(codes.trace_state).to_owned(),
                tags: self.nested_tags(codes.tags),
                dropped_tags: codes.dropped_tags,
                flags: codes.flags,
            })
        };
        self.list(fact::LINKS, &self.head.rares.link_lists).range().filter_map(link).collect()
    }
}

impl Row<'_> {
    /// The number of the first of the span's own tags with this key; one that is not a tag's if none has it.
    fn own_tag_number(&self, key: &str) -> u32 {
        let Head { keys, tags, slabs, .. } = self.head;
        let is_it = |number: &u32| keys.get(slabs, tags.about(*number)) == key.as_bytes();
        self.tags().find(is_it).unwrap_or(u32::MAX)
    }

    fn add_field(&self, field: &Field, out: &mut Vec<u32>) {
        let rows = &self.head.rows;
        match field {
            Field::Service => out.push(rows.local_endpoints.get(self.row)),
            Field::Name => out.push(rows.names.get(self.row)),
            Field::Remote => out.push(rows.remote_endpoints.get(self.row)),
            Field::Kind => out.push(u32::from(self.facts() & fact::KIND)),
            Field::Status => self.add_tag("error", out),
            Field::Tag(key) => self.add_tag(key, out),
            Field::Annotation | Field::Resource(_) | Field::Label(_) => out.push(self.origin()),
        }
    }

    fn add_tag(&self, key: &str, out: &mut Vec<u32>) {
        out.extend([self.own_tag_number(key), self.origin()]);
        if Derived::of(key).from_status {
            let message = self.head.rares.extras.get(self.rare());
            out.extend([self.status_code() as u32, message]);
        }
    }
}

impl Tagged for Row<'_> {
    fn each_tag_key(&self, each: &mut dyn FnMut(&str)) {
        let Head { keys, tags, slabs, .. } = self.head;
        self.tags().for_each(|number| each(keys.text(slabs, tags.about(number))));
    }

    fn each_tag(&self, each: &mut dyn FnMut(&str, &str)) {
        let Head { keys, tags, slabs, .. } = self.head;
        for number in self.tags() {
            let key = keys.text(slabs, tags.about(number));
            let value = tags.get(slabs, number);
            match Codes::text(value) {
                Some(text) => each(key, text),
                None => each(key, &Codes::value(value).text()),
            }
        }
    }
}

impl Stored for Row<'_> {
    type Columns = Asked;

    fn trace_id(&self) -> Option<TraceId> {
        Some(self.trace_id())
    }

    fn span_id(&self) -> Option<u64> {
        Some(self.id().as_u64())
    }

    fn numbers(&self, asked: &Asked, out: &mut Vec<u32>) -> bool {
        match asked {
            Asked::Keys => {
                out.extend([self.origin(), self.status_code() as u32]);
                out.extend(self.tags().map(|number| self.head.tags.about(number)));
            }
            Asked::Fields(fields) => fields.iter().for_each(|field| self.add_field(field, out)),
            Asked::All => return false,
        }
        true
    }
}

impl From<Row<'_>> for Span {
    fn from(row: Row<'_>) -> Self {
        let rows = &row.head.rows;
        let extra = row.extra();
        Self {
            trace_id: row.trace_id(),
            parent_id: row.parent_id(),
            id: row.id(),
            kind: row.kind(),
            name: row.name().to_owned(),
            timestamp: row.timestamp(),
            duration: row.duration(),
            local_endpoint: row
                .endpoint(rows.local_endpoints.get(row.row))
                .map(EndpointRef::to_owned),
            remote_endpoint: row
                .endpoint(rows.remote_endpoints.get(row.row))
                .map(EndpointRef::to_owned),
            annotations: row.annotations(),
            tags: row.tags().map(|number| row.tag(number)).collect(),
            debug: row.has(fact::DEBUG),
            shared: row.has(fact::SHARED),
            status: Status {
                code: row.status_code(),
                message: row.text(extra.status_message).to_owned(),
            },
            links: row.links(),
            trace_state: row.text(extra.trace_state).to_owned(),
            dropped_tags: extra.dropped_tags,
            dropped_annotations: extra.dropped_annotations,
            dropped_links: extra.dropped_links,
            flags: extra.flags,
            scope: row.scope().cloned(),
            resource: row.resource().cloned(),
            target: row.target().cloned(),
        }
    }
}

impl Searched for Row<'_> {
    fn is_root(&self) -> bool {
        !self.has(fact::PARENT)
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
        self.service_of(self.head.rows.local_endpoints.get(self.row))
    }

    fn remote_service_name(&self) -> Option<&str> {
        self.service_of(self.head.rows.remote_endpoints.get(self.row))
    }

    fn own_tag(&self, key: &str) -> Option<Cow<'_, str>> {
        let Head { keys, tags, slabs, .. } = self.head;
        let is_it = |number: &u32| keys.get(slabs, tags.about(*number)) == key.as_bytes();
        let value = tags.get(slabs, self.tags().find(is_it)?);
        Some(match Codes::text(value) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(Codes::value(value).text().into_owned()),
        })
    }

    fn status_code(&self) -> StatusCode {
        self.status_code()
    }

    fn status_message(&self) -> &str {
        self.text(self.extra().status_message)
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
        self.has(fact::SHARED)
    }

    fn any_annotation(&self, holds: &mut dyn FnMut(&str) -> bool) -> bool {
        let annotations = &self.head.rares.annotations;
        self.annotation_list().range().any(|at| holds(self.text(annotations.get(at).value)))
    }

    fn has_annotation(&self, value: &str) -> bool {
        let Head { texts, slabs, rares, .. } = self.head;
        let is_it = |at: u32| texts.get(slabs, rares.annotations.get(at).value) == value.as_bytes();
        self.annotation_list().range().any(is_it)
    }
}

const HAS_IPV4: u8 = 1;
const HAS_IPV6: u8 = 2;

/// Which addresses there are, the port, the addresses.
const ENDPOINT_BYTES_MAX: usize = 1 + 2 + 4 + 16;

/// The bytes of an endpoint beside its name, and how many they are.
pub(super) fn endpoint_bytes(endpoint: EndpointRef<'_>) -> ([u8; ENDPOINT_BYTES_MAX], usize) {
    let mut out = [0; ENDPOINT_BYTES_MAX];
    out[1..3].copy_from_slice(&endpoint.port.to_le_bytes());
    let mut len = 3;
    if let Some(ip) = endpoint.ipv4 {
        out[0] |= HAS_IPV4;
        out[len..len + 4].copy_from_slice(&ip.octets());
        len += 4;
    }
    if let Some(ip) = endpoint.ipv6 {
        out[0] |= HAS_IPV6;
        out[len..len + 16].copy_from_slice(&ip.octets());
        len += 16;
    }
    (out, len)
}

/// `None` if there are no bytes.
pub(super) fn read_endpoint<'a>(bytes: &[u8], service_name: &'a str) -> Option<EndpointRef<'a>> {
    let ([has, port @ ..], mut rest) = bytes.split_first_chunk::<3>()?;
    let port = u16::from_le_bytes(*port);
    let mut endpoint = EndpointRef { service_name, ipv4: None, ipv6: None, port };
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
