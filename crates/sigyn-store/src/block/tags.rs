//! Keys and values of a block's tags, for completion: a bounded part of them, read when asked for.

use std::collections::{BTreeMap, HashMap, HashSet};

use foldhash::fast::RandomState;
use sigyn_model::{Span, StatusCode};

use super::group_writer::Row;
use super::per_source::PerSource;
use super::source::{Source, TagValue};
use crate::codec::{Decoder, Encoder, Malformed};
use crate::least::Least;

/// Keys that are listed, and values of each: the first ones in order.
pub(crate) const KEYS_MAX: usize = 1_000;
pub(crate) const VALUES_MAX: usize = 4_000;
/// Longer texts are nothing that anyone would pick from a list.
const TEXT_BYTES_MAX: usize = 256;
/// Of so many keys, comparing each with each is quicker than a set of them.
const FEW: usize = 16;

/// Whether a key or a value is short enough for a list.
pub(crate) fn is_listed(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX
}

/// Values by key, as Zipkin shows them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TagSummary(BTreeMap<String, Least>);

impl TagSummary {
    pub(crate) fn add(&mut self, key: &str, value: &str) {
        if !is_listed(key) {
            return;
        }
        if !self.0.contains_key(key) {
            if self.0.len() >= KEYS_MAX {
                match self.0.last_entry() {
                    Some(last) if key < last.key().as_str() => _ = last.remove(),
                    _ => return,
                }
            }
            self.0.insert(key.to_owned(), Least::new(VALUES_MAX));
        }
        if let (Some(values), true) = (self.0.get_mut(key), is_listed(value)) {
            values.add(value);
        }
    }

    /// The last value of a key whose list is full.
    fn bound(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.bound()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flat_map(Least::iter)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.count(self.0.len());
        for (key, values) in &self.0 {
            encoder.string(key);
            encoder.count(values.len());
            values.iter().for_each(|value| encoder.string(value));
        }
        encoder.into_bytes()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let mut tags = BTreeMap::new();
        for (key, values) in
            decoder.list(|decoder| Ok((decoder.string()?, decoder.list(Decoder::string)?)))?
        {
            tags.insert(key, Least::of(VALUES_MAX, values));
        }
        decoder.end()?;
        Ok(Self(tags))
    }
}

/// Collects a summary while its block is written: of own tags, and of those that status, scope and
/// resource add where a span's own leave room.
#[derive(Default)]
pub(super) struct TagSummaryBuilder {
    summary: TagSummary,
    /// Which of the source's tags were looked at.
    seen: PerSource<()>,
    /// By the source's numbers of keys, where their bounds are.
    keys: PerSource<u32>,
    /// Of keys whose lists are full, the last value: no greater one comes in.
    bounds: Vec<Option<Vec<u8>>>,
    /// By what adds them in this source, those that no span has shown yet: all that were there hid them.
    pending: HashMap<Adds, Vec<(String, String)>, RandomState>,
    /// Of the last span.
    last: Option<[Adds; 3]>,
}

/// What adds tags: a status, a scope or a resource, by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Adds {
    Status(u8, u32),
    Scope(u32),
    Resource(u32),
}

impl TagSummaryBuilder {
    /// Rows are those of another source from here on.
    pub(super) fn begin_source(&mut self) {
        self.seen.clear();
        self.keys.clear();
        self.bounds.clear();
        self.pending.clear();
        self.last = None;
    }

    pub(super) fn finish(self) -> TagSummary {
        self.summary
    }

    /// The next row of the block.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        let (source, span) = (row.source, row.span);
        row.new_tags.iter().for_each(|tag| self.own_tag(source, *tag));
        let code = span.status_code;
        let message = if code == StatusCode::Error { span.status_message } else { 0 };
        let all = [
            Adds::Status(code as u8, message),
            Adds::Scope(span.scope),
            Adds::Resource(span.resource),
        ];
        // Neighbours often come from one process; nothing new comes of that, but for what is hidden.
        let is_known = self.last.replace(all) == Some(all);
        for adds in all {
            if !is_known && !self.pending.contains_key(&adds) {
                self.pending.insert(adds, tags_of(row, adds));
            }
        }
        let is_hidden = |adds: &Adds| self.pending.get(adds).is_some_and(|tags| !tags.is_empty());
        if all.iter().any(is_hidden) {
            self.show(row, all);
        }
    }

    fn own_tag(&mut self, source: &dyn Source, tag: u32) {
        if self.seen.get(tag).is_some() {
            return;
        }
        self.seen.get_or_insert_with(tag, || ());
        let (key, value) = source.tag(tag);
        let bounds = &mut self.bounds;
        let at = self.keys.get_or_insert_with(key, || {
            bounds.push(None);
            u32::try_from(bounds.len() - 1).unwrap_or(u32::MAX)
        });
        let bound = &mut self.bounds[at as usize];
        if let (Some(bound), TagValue::Text(text)) = (&bound, value)
            && text > bound.as_slice()
        {
            return;
        }
        let key = source.key(key);
        self.summary.add(key, &source.tag_value(tag).text());
        *bound = self.summary.bound(key).map(|last| last.as_bytes().to_vec());
    }

    fn show(&mut self, row: &Row<'_>, all: [Adds; 3]) {
        let (source, of) = (row.source, row.span);
        let own: Vec<&str> = row.tags.iter().map(|tag| source.key(source.tag(*tag).0)).collect();
        let many: HashSet<&str> =
            if own.len() > FEW { own.iter().copied().collect() } else { HashSet::new() };
        let is_own = |wanted: &str| match own.len() {
            0..=FEW => own.contains(&wanted),
            _ => many.contains(wanted),
        };
        let mut span = Span::new(of.trace_id, of.id);
        span.status.code = of.status_code;
        // What a status adds hides what comes after it, and what a scope adds what a resource does.
        let keys = |span: &Span| -> Vec<String> {
            span.zipkin_tags().keys().map(|key| (*key).to_owned()).collect()
        };
        let by_status = keys(&span);
        span.scope = source.scope(of.scope).cloned();
        let by_scope = keys(&span);
        for adds in all {
            let Some(pending) = self.pending.get_mut(&adds) else { continue };
            pending.retain(|(key, value)| {
                let is_hidden = is_own(key)
                    || match adds {
                        Adds::Status(..) => false,
                        Adds::Scope(_) => by_status.contains(key),
                        Adds::Resource(_) => by_scope.contains(key),
                    };
                if !is_hidden {
                    self.summary.add(key, value);
                }
                is_hidden
            });
        }
    }
}

/// Tags that this adds.
fn tags_of(row: &Row<'_>, adds: Adds) -> Vec<(String, String)> {
    let (source, span) = (row.source, row.span);
    let mut bare = Span::new(span.trace_id, span.id);
    match adds {
        Adds::Status(_, message) => {
            bare.status.code = span.status_code;
            source.text(message).clone_into(&mut bare.status.message);
        }
        Adds::Scope(scope) => bare.scope = source.scope(scope).cloned(),
        Adds::Resource(resource) => bare.resource = source.resource(resource).cloned(),
    }
    let tags = bare.zipkin_tags();
    tags.into_iter().map(|(key, value)| (key.to_owned(), value.into_owned())).collect()
}
