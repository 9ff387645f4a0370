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
use super::column::{Cell, Column, Place};
use super::rare::{Extra, List};
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
        let mut out = Vec::with_capacity(1);
        self.rows_into(&[row], &mut out);
        out[0]
    }

    /// Column by column: rows that are wanted together stand anywhere, and what is far away comes
    /// sooner if much is asked for at once.
    fn rows_into(&self, numbers: &[u32], out: &mut Vec<SourceRow>) {
        let (head, rows) = (&*self.head, &self.head.rows);
        let places: Vec<Place> = numbers.iter().map(|row| Place::of(*row)).collect();
        out.clear();
        out.extend(
            places
                .iter()
                .map(|place| trace_id(head.traces.key(rows.traces.get_at(*place))))
                .map(|trace_id| SourceRow::new(trace_id, SpanId::from_raw(0))),
        );
        let facts: Vec<u16> = places.iter().map(|place| rows.facts.get_at(*place)).collect();
        let has = |facts: u16, bit: u16| facts & bit != 0;
        let all = || places.iter().zip(&facts);
        for ((place, _), row) in all().zip(&mut *out) {
            row.id = SpanId::from_raw(rows.ids.get_at(*place));
        }
        for ((place, facts), row) in all().zip(&mut *out) {
            let parent = SpanId::from_raw(rows.parent_ids.get_at(*place));
            row.parent_id = has(*facts, fact::PARENT).then_some(parent);
        }
        for ((place, facts), row) in all().zip(&mut *out) {
            let at = Timestamp::from_nanos(rows.timestamps.get_at(*place));
            row.timestamp = has(*facts, fact::TIMESTAMP).then_some(at);
        }
        for ((place, facts), row) in all().zip(&mut *out) {
            let duration = Duration::from_nanos(rows.durations.get_at(*place));
            row.duration = has(*facts, fact::DURATION).then_some(duration);
        }
        for ((place, _), row) in all().zip(&mut *out) {
            row.name = rows.names.get_at(*place);
        }
        for ((place, _), row) in all().zip(&mut *out) {
            row.local_endpoint = rows.local_endpoints.get_at(*place);
        }
        for ((place, _), row) in all().zip(&mut *out) {
            row.remote_endpoint = rows.remote_endpoints.get_at(*place);
        }
        for ((place, _), row) in all().zip(&mut *out) {
            let origin = head.origins.get(rows.origins.get_at(*place));
            (row.resource, row.scope, row.target) = (origin.resource, origin.scope, origin.target);
        }
        for ((place, facts), row) in all().zip(&mut *out) {
            let rare = rows.rares.get_at(*place);
            if has(*facts, fact::LONG_DURATION) {
                let rares = &head.rares;
                let long = Duration::new(rares.long_secs.get(rare), rares.long_nanos.get(rare));
                row.duration = Some(long);
            }
            let extra = match head.rares.extras.get(rare) {
                0 => continue,
                number => Extra::from_bytes(head.extras.get(&head.slabs, number)),
            };
            row.status_message = extra.status_message;
            row.trace_state = extra.trace_state;
            row.dropped = [extra.dropped_tags, extra.dropped_annotations, extra.dropped_links];
            row.flags = extra.flags;
        }
        for (facts, row) in facts.iter().zip(out) {
            let kind = usize::from(facts & fact::KIND).checked_sub(1);
            row.kind = kind.and_then(|at| KINDS.get(at).copied());
            row.debug = has(*facts, fact::DEBUG);
            row.shared = has(*facts, fact::SHARED);
            row.status_code = match facts >> fact::STATUS_SHIFT & 3 {
                0 => StatusCode::Unset,
                1 => StatusCode::Ok,
                _ => StatusCode::Error,
            };
            row.has_annotations = has(*facts, fact::ANNOTATIONS);
            row.has_links = has(*facts, fact::LINKS);
        }
    }

    fn trace(&self, row: u32) -> u32 {
        self.head.rows.traces.get(row)
    }

    fn trace_count(&self) -> u32 {
        self.traces
    }

    fn leaves_out(&self, trace: u32) -> bool {
        let left_out = self.head.left_out.get();
        left_out.is_some_and(|left_out| left_out.binary_search(&trace).is_ok())
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

    fn is_root(&self, row: u32) -> bool {
        self.head.rows.facts.get(row) & fact::PARENT == 0
    }

    fn names_of(&self, row: u32) -> (u32, u32) {
        let (rows, place) = (&self.head.rows, Place::of(row));
        (rows.local_endpoints.get_at(place), rows.names.get_at(place))
    }

    fn tags_into(&self, numbers: &[u32], out: &mut Vec<u32>, ends: &mut Vec<usize>) {
        let rows = &self.head.rows;
        let end_of = |row: u32| rows.tag_ends.get(row);
        out.clear();
        ends.clear();
        // First where they all stand, for those places are far apart.
        let ranges: Vec<(u32, u32)> = numbers
            .iter()
            .map(|row| (row.checked_sub(1).map_or(0, end_of), end_of(*row)))
            .collect();
        for (first, end) in ranges {
            rows.tags.each_cells(first..end, |cells| out.extend(cells.iter().map(Cell::get)));
            ends.push(out.len());
        }
    }

    fn each_tags(&self, each: &mut dyn FnMut(&[u32])) {
        let rows = &self.head.rows;
        let end = self.rows.checked_sub(1).map_or(0, |last| rows.tag_ends.get(last));
        rows.tags.each_cells(0..end, |cells| {
            each(&cells.iter().map(Cell::get).collect::<Vec<_>>());
        });
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
        Self::span(self, row)
    }

    fn tag(&self, tag: u32) -> (u32, TagValue<'_>) {
        let bytes = self.tag_bytes_of(tag);
        let value = match Codes::text_bytes(bytes) {
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
