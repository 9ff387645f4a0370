//! Columns as they stand: rows in numbers, and what the numbers stand for. For whoever takes spans over
//! into a dictionary of their own, once for each entry and not for each use.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::sink::EndpointRef;
use crate::{Labels, Resource, Scope, SpanId, Timestamp, TraceId, Value};

use super::{Columns, Extra, Ids, Numbers, Row, Times, dictionary, encoding};

/// The bits of a row.
pub mod fact {
    use super::super::Facts;

    /// Three bits: none, or one more than the kind's place among client, server, producer, consumer.
    pub const KIND: u16 = Facts::KIND;
    pub const PARENT: u16 = Facts::PARENT;
    pub const TIMESTAMP: u16 = Facts::TIMESTAMP;
    pub const DURATION: u16 = Facts::DURATION;
    /// More nanoseconds than 64 bits hold.
    pub const LONG_DURATION: u16 = Facts::LONG_DURATION;
    pub const DEBUG: u16 = Facts::DEBUG;
    pub const SHARED: u16 = Facts::SHARED;
    /// Two bits: unset, ok, error.
    pub const STATUS_SHIFT: u32 = Facts::STATUS_SHIFT;
    pub const ANNOTATIONS: u16 = Facts::ANNOTATIONS;
    pub const LINKS: u16 = Facts::LINKS;
}

/// Rows and entries by number. Zero stands for none, or the empty text.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a>(&'a Columns);

/// One row in numbers.
#[derive(Clone, Copy, Debug)]
pub struct RowCodes<'a> {
    pub trace_id: TraceId,
    pub id: u64,
    /// What is not there is zero.
    pub parent_id: u64,
    pub timestamp: u64,
    pub duration: u64,
    /// See [`fact`].
    pub facts: u16,
    pub name: u32,
    pub local_endpoint: u32,
    pub remote_endpoint: u32,
    pub origin: u32,
    pub extra: u32,
    pub tags: &'a [u32],
}

/// What few spans say beside the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtraCodes {
    pub status_message: u32,
    pub trace_state: u32,
    pub dropped_tags: u32,
    pub dropped_annotations: u32,
    pub dropped_links: u32,
    pub flags: u32,
}

/// An annotation in numbers.
#[derive(Clone, Copy, Debug)]
pub struct AnnotationCodes<'a> {
    pub timestamp: Timestamp,
    pub value: u32,
    pub dropped_tags: u32,
    pub tags: &'a [u32],
}

/// A link in numbers.
#[derive(Clone, Copy, Debug)]
pub struct LinkCodes<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub trace_state: u32,
    pub dropped_tags: u32,
    pub flags: u32,
    pub tags: &'a [u32],
}

impl Columns {
    pub fn codes(&self) -> Codes<'_> {
        Codes(self)
    }
}

impl<'a> Codes<'a> {
    /// Which words these are. Numbers of the same ones mean the same, before and after columns were
    /// [cleared](Columns::clear), but for tags that [pass](Self::passes).
    pub fn words(self) -> u64 {
        self.0.words
    }

    /// Whether the number of a tag is one that other batches have for other tags.
    #[inline]
    pub fn passes(tag: u32) -> bool {
        tag & dictionary::PASSING != 0
    }

    /// A tag's place among those that pass, or among those that do not.
    #[inline]
    pub fn place(tag: u32) -> usize {
        (tag & !dictionary::PASSING) as usize
    }

    /// Numbers of all rows.
    pub fn rows(self) -> Range<u32> {
        0..super::next_row(self.0.len())
    }

    /// The row must be there.
    pub fn row(self, row: u32) -> RowCodes<'a> {
        let (columns, at) = (self.0, row as usize);
        let Ids { id, parent_id } = columns.ids[at];
        let Times { timestamp, duration } = columns.times[at];
        let Numbers { name, local_endpoint, remote_endpoint, origin, extra, facts } =
            columns.numbers[at];
        RowCodes {
            trace_id: columns.trace_ids[at],
            id,
            parent_id,
            timestamp,
            duration,
            facts: facts.0,
            name,
            local_endpoint,
            remote_endpoint,
            origin,
            extra,
            tags: Row::new(columns, row).tags(),
        }
    }

    /// Of a row that has a long one.
    pub fn long_duration(self, row: u32) -> Option<Duration> {
        Row::new(self.0, row).duration()
    }

    pub fn annotations(self, row: u32) -> impl ExactSizeIterator<Item = AnnotationCodes<'a>> {
        Row::new(self.0, row).annotations().iter().map(move |one| AnnotationCodes {
            timestamp: one.timestamp,
            value: one.value,
            dropped_tags: one.dropped_tags,
            tags: &self.0.nested_tags[one.tags.clone()],
        })
    }

    pub fn links(self, row: u32) -> impl ExactSizeIterator<Item = LinkCodes<'a>> {
        Row::new(self.0, row).links().iter().map(move |one| LinkCodes {
            trace_id: one.trace_id,
            span_id: one.span_id,
            trace_state: one.trace_state,
            dropped_tags: one.dropped_tags,
            flags: one.flags,
            tags: &self.0.nested_tags[one.tags.clone()],
        })
    }

    /// Of a span or a service.
    pub fn name(self, number: u32) -> &'a str {
        self.0.name_texts.text(number)
    }

    /// Of an annotation, a status, or a trace state.
    pub fn text_of(self, number: u32) -> &'a str {
        self.0.texts.text(number)
    }

    pub fn key(self, number: u32) -> &'a str {
        std::str::from_utf8(self.0.dictionary.key_bytes(number)).unwrap_or_default()
    }

    /// The number of a tag's key, and the bytes of its value.
    pub fn tag(self, number: u32) -> (u32, &'a [u8]) {
        (self.0.dictionary.key_of(number), self.0.dictionary.value_bytes(number))
    }

    /// `None` for the one that stands for none.
    pub fn endpoint(self, number: u32) -> Option<EndpointRef<'a>> {
        Row::endpoint_of(self.0, number)
    }

    /// The number of an endpoint's name.
    pub fn endpoint_name(self, number: u32) -> u32 {
        let bytes = self.0.endpoints.get(number).first_chunk();
        bytes.copied().map_or(0, u32::from_le_bytes)
    }

    pub fn extra(self, number: u32) -> ExtraCodes {
        let extra = Extra::from_bytes(self.0.extras.get(number));
        ExtraCodes {
            status_message: extra.status_message,
            trace_state: extra.trace_state,
            dropped_tags: extra.dropped_tags,
            dropped_annotations: extra.dropped_annotations,
            dropped_links: extra.dropped_links,
            flags: extra.flags,
        }
    }

    /// Numbers of the resource, the scope and the target of an origin.
    pub fn origin(self, number: u32) -> [u32; 3] {
        self.0.origins.numbers_of(number)
    }

    /// All resources, each once, but for those that were there already when the columns were cleared.
    pub fn new_resources(self) -> impl Iterator<Item = &'a Resource> {
        self.0.origins.new_resources()
    }

    /// The same of scopes.
    pub fn new_scopes(self) -> impl Iterator<Item = &'a Scope> {
        self.0.origins.new_scopes()
    }

    /// The same of targets' labels.
    pub fn new_targets(self) -> impl Iterator<Item = &'a Labels> {
        self.0.origins.new_targets()
    }

    pub fn resource(self, origin: u32) -> Option<&'a Arc<Resource>> {
        self.0.origins.resource_of(origin)
    }

    pub fn scope(self, origin: u32) -> Option<&'a Arc<Scope>> {
        self.0.origins.scope_of(origin)
    }

    pub fn target(self, origin: u32) -> Option<&'a Arc<Labels>> {
        self.0.origins.target_of(origin)
    }
}

impl Codes<'_> {
    /// A value from its bytes, as [`Codes::tag`] gives them.
    pub fn value(bytes: &[u8]) -> Value {
        encoding::value(bytes)
    }

    /// The same, if it is a text.
    pub fn text(bytes: &[u8]) -> Option<&str> {
        encoding::as_text(bytes)
    }

    /// The same, for those to whom it is bytes.
    pub fn text_bytes(bytes: &[u8]) -> Option<&[u8]> {
        encoding::as_text_bytes(bytes)
    }

    /// Whether these are the bytes of a value without others in it.
    pub fn is_flat(bytes: &[u8]) -> bool {
        encoding::is_flat(bytes)
    }

    /// The bytes of a value.
    pub fn put_value(out: &mut Vec<u8>, value: &Value) {
        encoding::put_value(out, value);
    }
}
