//! What few rows have: annotations, links, durations beyond 64 bits, and what else is seldom said.

use std::sync::atomic::{AtomicU32, AtomicU64};

use sigyn_model::{SpanId, Timestamp, TraceId};

use super::column::Column;

/// By number; zero is none of it. Many rows have the same one, unless there are lists in it.
#[derive(Debug, Default)]
pub(super) struct Rares {
    pub(super) extras: Column<AtomicU32>,
    pub(super) annotation_lists: Column<AtomicU64>,
    pub(super) link_lists: Column<AtomicU64>,
    pub(super) long_secs: Column<AtomicU64>,
    pub(super) long_nanos: Column<AtomicU32>,
    pub(super) annotations: Annotations,
    pub(super) links: Links,
    /// Of annotations and links.
    pub(super) nested_tags: Column<AtomicU32>,
}

#[derive(Debug, Default)]
pub(super) struct Annotations {
    timestamps: Column<AtomicU64>,
    values: Column<AtomicU32>,
    dropped_tags: Column<AtomicU32>,
    tags: Column<AtomicU64>,
}

#[derive(Debug, Default)]
pub(super) struct Links {
    trace_lows: Column<AtomicU64>,
    trace_highs: Column<AtomicU64>,
    span_ids: Column<AtomicU64>,
    trace_states: Column<AtomicU32>,
    dropped_tags: Column<AtomicU32>,
    flags: Column<AtomicU32>,
    tags: Column<AtomicU64>,
}

/// One annotation, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnnotationCodes {
    pub(super) timestamp: Timestamp,
    pub(super) value: u32,
    pub(super) dropped_tags: u32,
    pub(super) tags: List,
}

/// One link, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkCodes {
    pub(super) trace_id: Option<TraceId>,
    pub(super) span_id: SpanId,
    pub(super) trace_state: u32,
    pub(super) dropped_tags: u32,
    pub(super) flags: u32,
    pub(super) tags: List,
}

/// Elements that stand together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) first: u32,
    pub(super) len: u32,
}

impl List {
    pub(super) fn packed(self) -> u64 {
        u64::from(self.first) << 32 | u64::from(self.len)
    }

    #[expect(clippy::cast_possible_truncation, reason = "two halves")]
    pub(super) fn of(packed: u64) -> Self {
        Self { first: (packed >> 32) as u32, len: packed as u32 }
    }

    pub(super) fn range(self) -> std::ops::Range<u32> {
        self.first..self.first.saturating_add(self.len)
    }
}

impl Annotations {
    pub(super) fn get(&self, at: u32) -> AnnotationCodes {
        AnnotationCodes {
            timestamp: Timestamp::from_nanos(self.timestamps.get(at)),
            value: self.values.get(at),
            dropped_tags: self.dropped_tags.get(at),
            tags: List::of(self.tags.get(at)),
        }
    }

    pub(super) fn set(&self, at: u32, annotation: &AnnotationCodes) {
        self.timestamps.set(at, annotation.timestamp.nanos());
        self.values.set(at, annotation.value);
        self.dropped_tags.set(at, annotation.dropped_tags);
        self.tags.set(at, annotation.tags.packed());
    }
}

impl Links {
    pub(super) fn get(&self, at: u32) -> LinkCodes {
        let id = u128::from(self.trace_highs.get(at)) << 64 | u128::from(self.trace_lows.get(at));
        LinkCodes {
            trace_id: TraceId::new(id),
            span_id: SpanId::from_raw(self.span_ids.get(at)),
            trace_state: self.trace_states.get(at),
            dropped_tags: self.dropped_tags.get(at),
            flags: self.flags.get(at),
            tags: List::of(self.tags.get(at)),
        }
    }

    pub(super) fn set(&self, at: u32, link: &LinkCodes) {
        self.trace_lows.set(at, link.trace_id.map_or(0, TraceId::low));
        self.trace_highs.set(at, link.trace_id.map_or(0, TraceId::high));
        self.span_ids.set(at, link.span_id.as_u64());
        self.trace_states.set(at, link.trace_state);
        self.dropped_tags.set(at, link.dropped_tags);
        self.flags.set(at, link.flags);
        self.tags.set(at, link.tags.packed());
    }
}

impl Rares {
    pub(super) fn bytes(&self) -> usize {
        let Annotations { timestamps, values, dropped_tags, tags } = &self.annotations;
        let links = &self.links;
        let narrow = [
            &self.extras,
            &self.long_nanos,
            &self.nested_tags,
            values,
            dropped_tags,
            &links.trace_states,
            &links.dropped_tags,
            &links.flags,
        ];
        let wide = [
            &self.annotation_lists,
            &self.link_lists,
            &self.long_secs,
            timestamps,
            tags,
            &links.trace_lows,
            &links.trace_highs,
            &links.span_ids,
            &links.tags,
        ];
        narrow.map(Column::bytes).iter().sum::<usize>()
            + wide.map(Column::bytes).iter().sum::<usize>()
    }
}

/// What few spans say beside the rest; those that do say it alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    pub(super) status_message: u32,
    pub(super) trace_state: u32,
    pub(super) dropped_tags: u32,
    pub(super) dropped_annotations: u32,
    pub(super) dropped_links: u32,
    pub(super) flags: u32,
}

impl Extra {
    pub(super) fn to_bytes(self) -> [[u8; 4]; 6] {
        [
            self.status_message,
            self.trace_state,
            self.dropped_tags,
            self.dropped_annotations,
            self.dropped_links,
            self.flags,
        ]
        .map(u32::to_le_bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |i: usize| words.get(i).map_or(0, |word| u32::from_le_bytes(*word));
        Self {
            status_message: word(0),
            trace_state: word(1),
            dropped_tags: word(2),
            dropped_annotations: word(3),
            dropped_links: word(4),
            flags: word(5),
        }
    }
}
