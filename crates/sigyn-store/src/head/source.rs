//! A head as what blocks are made of.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sigyn_model::codec::sink::EndpointRef;
use sigyn_model::columns::{Codes, fact};
use sigyn_model::{
    Kind, Labels, Link, Resource, Scope, Span, SpanId, StatusCode, Tags, Timestamp, TraceId, Value,
};

use super::HeadView;
use super::column::{Column, Place};
use super::rare::{Extra, List};
use super::row::Row;
use crate::block::source::{Source, SourceAnnotation, SourceRow, TagValue, TagsOf};
use crate::facts::TraceKey;

const KINDS: [Kind; 4] = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];

/// Tags of an annotation.
#[derive(Debug)]
struct NestedTags<'a> {
    view: &'a HeadView,
    list: List,
}

impl TagsOf for NestedTags<'_> {
    fn is_empty(&self) -> bool {
        self.list.len == 0
    }

    fn to_tags(&self) -> Tags {
        let tag = |at: u32| {
            let number = self.view.head.rares.nested_tags.get(at);
            let key = self.view.key(self.view.tag(number).0);
            (key.to_owned(), self.view.tag_value(number))
        };
        self.list.range().map(tag).collect()
    }
}

impl HeadView {
    fn list(&self, row: u32, bit: u16, lists: &Column<AtomicU64>) -> List {
        let rows = &self.head.rows;
        let place = Place::of(row);
        if rows.facts.get_at(place) & bit == 0 {
            return List::default();
        }
        List::of(lists.get(rows.rares.get_at(place)))
    }

    fn tag_bytes_of(&self, tag: u32) -> &[u8] {
        self.head.tags.get(&self.head.slabs, tag)
    }
}

fn trace_id(key: TraceKey) -> TraceId {
    match TraceId::new(u128::from(key.high) << 64 | u128::from(key.low)) {
        Some(id) => id,
        None => unreachable!("no trace has an id of zero"),
    }
}

impl Source for HeadView {
    fn rows(&self) -> u32 {
        self.rows
    }

    fn arrivals_ms(&self) -> Option<(u64, u64)> {
        self.arrivals_ms()
    }

    fn row(&self, row: u32) -> SourceRow {
        let (head, place) = (&*self.head, Place::of(row));
        let rows = &head.rows;
        let facts = rows.facts.get_at(place);
        let has = |bit: u16| facts & bit != 0;
        let rare = rows.rares.get_at(place);
        let extra = match head.rares.extras.get(rare) {
            0 => Extra::default(),
            number => Extra::from_bytes(head.extras.get(&head.slabs, number)),
        };
        let origin = head.origins.get(rows.origins.get_at(place));
        let long =
            || Duration::new(head.rares.long_secs.get(rare), head.rares.long_nanos.get(rare));
        let duration = match has(fact::LONG_DURATION) {
            true => Some(long()),
            false => {
                has(fact::DURATION).then(|| Duration::from_nanos(rows.durations.get_at(place)))
            }
        };
        SourceRow {
            trace_id: trace_id(head.traces.key(rows.traces.get_at(place))),
            id: SpanId::from_raw(rows.ids.get_at(place)),
            parent_id: has(fact::PARENT).then(|| SpanId::from_raw(rows.parent_ids.get_at(place))),
            timestamp: has(fact::TIMESTAMP)
                .then(|| Timestamp::from_nanos(rows.timestamps.get_at(place))),
            duration,
            kind: usize::from(facts & fact::KIND)
                .checked_sub(1)
                .and_then(|at| KINDS.get(at).copied()),
            debug: has(fact::DEBUG),
            shared: has(fact::SHARED),
            status_code: match facts >> fact::STATUS_SHIFT & 3 {
                0 => StatusCode::Unset,
                1 => StatusCode::Ok,
                _ => StatusCode::Error,
            },
            has_annotations: has(fact::ANNOTATIONS),
            has_links: has(fact::LINKS),
            name: rows.names.get_at(place),
            local_endpoint: rows.local_endpoints.get_at(place),
            remote_endpoint: rows.remote_endpoints.get_at(place),
            resource: origin.resource,
            scope: origin.scope,
            target: origin.target,
            status_message: extra.status_message,
            trace_state: extra.trace_state,
            dropped: [extra.dropped_tags, extra.dropped_annotations, extra.dropped_links],
            flags: extra.flags,
        }
    }

    fn trace(&self, row: u32) -> u32 {
        self.head.rows.traces.get(row)
    }

    fn trace_count(&self) -> u32 {
        self.traces
    }

    fn trace_id(&self, trace: u32) -> TraceId {
        trace_id(self.head.traces.key(trace))
    }

    fn place(&self, row: u32) -> (Timestamp, SpanId, bool) {
        let (rows, place) = (&self.head.rows, Place::of(row));
        let facts = rows.facts.get_at(place);
        let at = match facts & fact::TIMESTAMP {
            0 => Timestamp::MAX,
            _ => Timestamp::from_nanos(rows.timestamps.get_at(place)),
        };
        (at, SpanId::from_raw(rows.ids.get_at(place)), facts & fact::SHARED != 0)
    }

    fn each_tag(&self, row: u32, each: &mut dyn FnMut(u32)) {
        let rows = &self.head.rows;
        let first = row.checked_sub(1).map_or(0, |before| rows.tag_ends.get(before));
        (first..rows.tag_ends.get(row)).for_each(|at| each(rows.tags.get(at)));
    }

    fn annotations(&self, row: u32, each: &mut dyn FnMut(SourceAnnotation<'_>)) {
        let rares = &self.head.rares;
        for at in self.list(row, fact::ANNOTATIONS, &rares.annotation_lists).range() {
            let codes = rares.annotations.get(at);
            each(SourceAnnotation {
                timestamp: codes.timestamp,
                value: codes.value,
                dropped_tags: codes.dropped_tags,
                tags: &NestedTags { view: self, list: codes.tags },
            });
        }
    }

    fn links(&self, row: u32) -> Vec<Link> {
        self.span(row).links
    }

    fn span(&self, row: u32) -> Span {
        Row::new(&self.head, row).into()
    }

    fn tag(&self, tag: u32) -> (u32, TagValue<'_>) {
        let bytes = self.tag_bytes_of(tag);
        let value = match Codes::text(bytes) {
            Some(text) => TagValue::Text(text),
            None => match Codes::value(bytes) {
                Value::Int(value) => TagValue::Int(value),
                Value::Double(value) => TagValue::Double(value),
                Value::Bool(value) => TagValue::Bool(value),
                _ => TagValue::Other,
            },
        };
        (self.head.tags.about(tag), value)
    }

    fn tag_value(&self, tag: u32) -> Value {
        Codes::value(self.tag_bytes_of(tag))
    }

    fn tag_bytes(&self, tag: u32) -> usize {
        self.tag_bytes_of(tag).len()
    }

    fn key(&self, key: u32) -> &str {
        self.head.keys.text(&self.head.slabs, key)
    }

    fn name(&self, name: u32) -> &str {
        self.head.names.text(&self.head.slabs, name)
    }

    fn text(&self, text: u32) -> &str {
        self.head.texts.text(&self.head.slabs, text)
    }

    fn endpoint(&self, endpoint: u32) -> Option<EndpointRef<'_>> {
        let head = &self.head;
        let name = head.names.text(&head.slabs, head.endpoints.about(endpoint));
        super::row::read_endpoint(head.endpoints.get(&head.slabs, endpoint), name)
    }

    fn resource(&self, resource: u32) -> Option<&Arc<Resource>> {
        self.head.origins.resources.get(resource)
    }

    fn scope(&self, scope: u32) -> Option<&Arc<Scope>> {
        self.head.origins.scopes.get(scope)
    }

    fn target(&self, target: u32) -> Option<&Arc<Labels>> {
        self.head.origins.targets.get(target)
    }
}
