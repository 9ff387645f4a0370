//! A batch's columns into a head: what columns of the same words say once is looked up once, rows are
//! copied in numbers.

use std::collections::VecDeque;
use std::ops::Range;

use sigyn_model::Value;

use super::origins::Origin;
use super::rare::{AnnotationCodes, Extra, LinkCodes, List};
use super::row::endpoint_bytes;
use super::writer::{ERROR_KEY, HeadWriter, NewRow, SAYS_ERROR, StagedTag};
use crate::codec::{Encoder, VALUE_DEPTH_MAX};
use crate::wanted::{has_error, has_label_error};
use sigyn_model::columns::{Codes, Columns, fact};

/// The head's numbers of what batches of the same words have, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct Remap {
    names: Numbers,
    texts: Numbers,
    keys: Numbers,
    tags: Vec<Option<Brought>>,
    /// The same of those that pass: they are of one batch.
    passing: Vec<Option<Brought>>,
    endpoints: Numbers,
    extras: Numbers,
    origins: Numbers,
    resources: Numbers,
    scopes: Numbers,
    targets: Numbers,
}

/// A tag that is in the head.
#[derive(Clone, Copy, Debug)]
struct Brought {
    tag: StagedTag,
    /// Whether its key is `error`.
    is_error: bool,
}

/// What is known of those columns that were brought last, and will come again with others' spans.
#[derive(Debug, Default)]
pub(super) struct Remaps(VecDeque<(u64, Remap)>);

/// More than there are columns that come again.
const REMAPS_MAX: usize = 16;

impl Remaps {
    /// What is known of these words.
    fn take(&mut self, words: u64) -> Remap {
        if let Some(at) = self.0.iter().position(|(known, _)| *known == words) {
            return self.0.remove(at).map(|(_, remap)| remap).unwrap_or_default();
        }
        if self.0.len() < REMAPS_MAX {
            return Remap::default();
        }
        let (_, mut oldest) = self.0.pop_front().unwrap_or_default();
        oldest.clear();
        oldest
    }

    fn put(&mut self, words: u64, remap: Remap) {
        self.0.push_back((words, remap));
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, remap)| remap.bytes()).sum()
    }
}

/// Numbers by number.
#[derive(Debug, Default)]
struct Numbers(Vec<u32>);

const UNKNOWN: u32 = u32::MAX;

impl Numbers {
    #[inline]
    fn get(&self, number: u32) -> Option<u32> {
        self.0.get(number as usize).copied().filter(|known| *known != UNKNOWN)
    }

    fn put(&mut self, number: u32, known: u32) -> u32 {
        let at = number as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, UNKNOWN);
        }
        self.0[at] = known;
        known
    }

    fn clear(&mut self) {
        self.0.clear();
        // One huge batch must not hold its memory for ever.
        self.0.shrink_to(1 << 16);
    }
}

impl HeadWriter {
    /// Stages a batch's rows; returns their numbers.
    pub(crate) fn bring(&mut self, batch: &Columns) -> Range<u32> {
        let codes = batch.codes();
        self.remap = self.remaps.take(codes.words());
        let first = self.staged().end;
        for row in codes.rows() {
            self.bring_row(codes, row);
        }
        self.remap.passing.clear();
        // One huge batch must not hold its memory for ever.
        self.remap.passing.shrink_to(1 << 14);
        self.remaps.put(codes.words(), std::mem::take(&mut self.remap));
        first..self.staged().end
    }

    fn bring_row(&mut self, codes: Codes<'_>, row: u32) {
        let from = codes.row(row);
        let mut facts = from.facts;
        let mut is_error = false;
        for tag in from.tags {
            let tag = self.brought_tag(codes, *tag);
            is_error |= tag.is_error;
            self.put_tag(tag.tag);
        }
        if is_error {
            facts |= SAYS_ERROR;
        }
        let (mut annotations, mut links) = (List::default(), List::default());
        if facts & fact::ANNOTATIONS != 0 {
            annotations.first = self.list_ends().0;
            for annotation in codes.annotations(row) {
                if codes.text_of(annotation.value) == "error" {
                    facts |= SAYS_ERROR;
                }
                let tags = self.brought_nested(codes, annotation.tags);
                let value = self.brought_text(codes, annotation.value);
                self.put_annotation(&AnnotationCodes {
                    timestamp: annotation.timestamp,
                    value,
                    dropped_tags: annotation.dropped_tags,
                    tags,
                });
                annotations.len += 1;
            }
        }
        if facts & fact::LINKS != 0 {
            links.first = self.list_ends().1;
            for link in codes.links(row) {
                let tags = self.brought_nested(codes, link.tags);
                let trace_state = self.brought_text(codes, link.trace_state);
                self.put_link(&LinkCodes {
                    trace_id: Some(link.trace_id),
                    span_id: link.span_id,
                    trace_state,
                    dropped_tags: link.dropped_tags,
                    flags: link.flags,
                    tags,
                });
                links.len += 1;
            }
        }
        let is_long = facts & fact::LONG_DURATION != 0;
        let new = NewRow {
            trace_id: from.trace_id,
            id: from.id,
            parent_id: from.parent_id,
            timestamp: from.timestamp,
            duration: from.duration,
            facts,
            name: self.brought_name(codes, from.name),
            local_endpoint: self.brought_endpoint(codes, from.local_endpoint),
            remote_endpoint: self.brought_endpoint(codes, from.remote_endpoint),
            origin: self.brought_origin(codes, from.origin),
            extra: self.brought_extra(codes, from.extra),
            long_duration: if is_long { codes.long_duration(row) } else { None },
            annotations,
            links,
            tag_end: 0,
        };
        self.stage(new);
    }

    fn brought_name(&mut self, codes: Codes<'_>, number: u32) -> u32 {
        match self.remap.names.get(number) {
            Some(known) => known,
            None => {
                let known = self.name(codes.name(number));
                self.remap.names.put(number, known)
            }
        }
    }

    fn brought_text(&mut self, codes: Codes<'_>, number: u32) -> u32 {
        match self.remap.texts.get(number) {
            Some(known) => known,
            None => {
                let known = self.text(codes.text_of(number));
                self.remap.texts.put(number, known)
            }
        }
    }

    fn brought_key(&mut self, codes: Codes<'_>, number: u32) -> u32 {
        match self.remap.keys.get(number) {
            Some(known) => known,
            None => {
                let known = self.key(codes.key(number));
                self.remap.keys.put(number, known)
            }
        }
    }

    #[inline]
    fn brought_tag(&mut self, codes: Codes<'_>, number: u32) -> Brought {
        match self.remap.tags_like(number).get(Codes::place(number)) {
            Some(Some(brought)) => *brought,
            _ => self.new_tag(codes, number),
        }
    }

    #[inline(never)]
    fn new_tag(&mut self, codes: Codes<'_>, number: u32) -> Brought {
        let (key, value) = codes.tag(number);
        let key = self.brought_key(codes, key);
        let known = match flattened(value) {
            None => self.tag(key, value),
            Some(flat) => self.tag(key, &flat),
        };
        let brought = Brought { tag: known, is_error: key == ERROR_KEY };
        let tags = self.remap.tags_like(number);
        let at = Codes::place(number);
        if tags.len() <= at {
            tags.resize(at + 1, None);
        }
        tags[at] = Some(brought);
        brought
    }

    fn brought_nested(&mut self, codes: Codes<'_>, tags: &[u32]) -> List {
        let tags: Vec<u32> =
            tags.iter().map(|tag| self.brought_tag(codes, *tag).tag.number()).collect();
        self.put_nested_tags(tags.into_iter())
    }

    fn brought_endpoint(&mut self, codes: Codes<'_>, number: u32) -> u32 {
        if let Some(known) = self.remap.endpoints.get(number) {
            return known;
        }
        let known = match codes.endpoint(number) {
            None => 0,
            Some(endpoint) => {
                let name = self.brought_name(codes, codes.endpoint_name(number));
                let (bytes, len) = endpoint_bytes(endpoint);
                self.endpoint(name, &bytes[..len])
            }
        };
        self.remap.endpoints.put(number, known)
    }

    fn brought_extra(&mut self, codes: Codes<'_>, number: u32) -> u32 {
        if let Some(known) = self.remap.extras.get(number) {
            return known;
        }
        let extra = codes.extra(number);
        let extra = Extra {
            status_message: self.brought_text(codes, extra.status_message),
            trace_state: self.brought_text(codes, extra.trace_state),
            dropped_tags: extra.dropped_tags,
            dropped_annotations: extra.dropped_annotations,
            dropped_links: extra.dropped_links,
            flags: extra.flags,
        };
        let known = self.extra(extra);
        self.remap.extras.put(number, known)
    }

    fn brought_origin(&mut self, codes: Codes<'_>, number: u32) -> u32 {
        if let Some(known) = self.remap.origins.get(number) {
            return known;
        }
        let [resource, scope, target] = codes.origin(number);
        let origin = Origin {
            resource: self.brought_resource(codes, number, resource),
            scope: self.brought_scope(codes, number, scope),
            target: self.brought_target(codes, number, target),
        };
        let says_error = || {
            codes.resource(number).is_some_and(|resource| has_error(resource))
                || codes.target(number).is_some_and(|labels| has_label_error(labels))
        };
        let known = self.origin(origin, says_error);
        self.remap.origins.put(number, known)
    }
}

impl HeadWriter {
    fn brought_resource(&mut self, codes: Codes<'_>, origin: u32, number: u32) -> u32 {
        if let Some(known) = self.remap.resources.get(number) {
            return known;
        }
        let known = codes.resource(origin).map_or(0, |resource| {
            let bytes = encoded(|encoder| encoder.resource_content(resource));
            self.resource(&bytes, || resource.clone())
        });
        self.remap.resources.put(number, known)
    }

    fn brought_scope(&mut self, codes: Codes<'_>, origin: u32, number: u32) -> u32 {
        if let Some(known) = self.remap.scopes.get(number) {
            return known;
        }
        let known = codes.scope(origin).map_or(0, |scope| {
            let bytes = encoded(|encoder| encoder.scope_content(scope));
            self.scope(&bytes, || scope.clone())
        });
        self.remap.scopes.put(number, known)
    }

    fn brought_target(&mut self, codes: Codes<'_>, origin: u32, number: u32) -> u32 {
        if let Some(known) = self.remap.targets.get(number) {
            return known;
        }
        let known = codes.target(origin).map_or(0, |target| {
            let bytes = encoded(|encoder| encoder.labels(target));
            self.target(&bytes, || target.clone())
        });
        self.remap.targets.put(number, known)
    }
}

impl Remap {
    /// Those among which this number is.
    #[inline]
    fn tags_like(&mut self, number: u32) -> &mut Vec<Option<Brought>> {
        if Codes::passes(number) { &mut self.passing } else { &mut self.tags }
    }

    fn numbers(&mut self) -> [&mut Numbers; 9] {
        let Self { names, texts, keys, endpoints, extras, .. } = self;
        let Self { origins, resources, scopes, targets, .. } = self;
        [names, texts, keys, endpoints, extras, origins, resources, scopes, targets]
    }

    fn clear(&mut self) {
        self.numbers().into_iter().for_each(Numbers::clear);
        self.tags.clear();
        // One huge batch must not hold its memory for ever.
        self.tags.shrink_to(1 << 16);
    }

    fn bytes(&self) -> usize {
        let Self { names, texts, keys, tags, endpoints, extras, .. } = self;
        let Self { origins, resources, scopes, targets, .. } = self;
        let numbers = [names, texts, keys, endpoints, extras, origins, resources, scopes, targets];
        (tags.capacity() + self.passing.capacity()) * size_of::<Option<Brought>>()
            + numbers.map(|numbers| numbers.0.capacity() * size_of::<u32>()).iter().sum::<usize>()
    }
}

fn encoded<'a>(put: impl FnOnce(&mut Encoder<'a>)) -> Vec<u8> {
    let mut encoder = Encoder::default();
    put(&mut encoder);
    encoder.into_bytes()
}

/// A value that is nested too deep, with what lies deeper as text.
fn flattened(value: &[u8]) -> Option<Vec<u8>> {
    if Codes::is_flat(value) {
        return None;
    }
    let value = Codes::value(value);
    if depth_of(&value) <= VALUE_DEPTH_MAX {
        return None;
    }
    let mut flat = Vec::new();
    Codes::put_value(&mut flat, &cut(value, 0));
    Some(flat)
}

/// How deep lists and maps are nested; none is zero.
fn depth_of(value: &Value) -> usize {
    match value {
        Value::List(values) => 1 + values.iter().map(depth_of).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|(_, v)| depth_of(v)).max().unwrap_or(0),
        _ => 0,
    }
}

fn cut(value: Value, depth: usize) -> Value {
    match value {
        Value::List(_) | Value::Map(_) if depth >= VALUE_DEPTH_MAX => {
            Value::Str(value.text().into_owned())
        }
        Value::List(values) => {
            Value::List(values.into_iter().map(|value| cut(value, depth + 1)).collect())
        }
        Value::Map(entries) => {
            let entry = |(key, value)| (key, cut(value, depth + 1));
            Value::Map(entries.into_iter().map(entry).collect())
        }
        other => other,
    }
}
