//! Collects the summary of a block's tags while it is written.

use std::collections::{BTreeMap, HashSet};

use sigyn_model::{Span, StatusCode};

use super::group_writer::Row;
use super::least_texts::LeastTexts;
use super::per_source::PerSource;
use super::source::{Source, TagValue};
use super::tags::{KEYS_MAX, TEXT_BYTES_MAX, VALUES_MAX, encode, is_listed};

/// Of so many keys, comparing each with each is quicker than a set of them.
const FEW: usize = 16;

/// Collects own tags, and those that status, scope and resource add where a span's own leave room.
#[derive(Default)]
pub(super) struct TagSummaryBuilder {
    /// The least keys, and where their values are.
    keys: BTreeMap<String, usize>,
    /// None of keys that are out.
    values: Vec<Option<LeastTexts>>,
    /// How often half of the values of each key were left out for lack of room.
    halved: u32,
    /// Which of the source's tags were looked at.
    seen: Vec<u64>,
    /// By the source's numbers of keys, where their values are; none of those that are out.
    keys_of_source: PerSource<Option<usize>>,
    /// By what adds tags in this source: where those are that no span has shown yet.
    adding: [PerSource<u32>; 5],
    /// All that were there hid them.
    pending: Vec<Vec<(String, String)>>,
    /// Of the last span, and whether something of it was pending.
    last: Option<([Adds; 3], bool)>,
}

/// So many values of a key are listed in any case.
const VALUES_LEAST: usize = 128;

/// What adds tags: a status, a scope or a resource, by number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Adds {
    Status(StatusCode, u32),
    Scope(u32),
    Resource(u32),
}

impl Adds {
    fn place(self) -> (usize, u32) {
        match self {
            Self::Status(code, message) => (code as usize, message),
            Self::Scope(scope) => (3, scope),
            Self::Resource(resource) => (4, resource),
        }
    }
}

impl TagSummaryBuilder {
    /// Rows are those of another source from here on.
    pub(super) fn begin_source(&mut self) {
        self.seen.clear();
        self.keys_of_source.clear();
        self.adding.iter_mut().for_each(PerSource::clear);
        self.pending.clear();
        self.last = None;
    }

    /// What values take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.values.iter().flatten().map(LeastTexts::bytes).sum()
    }

    /// Lists half as many values of each key; returns whether that helps.
    pub(super) fn make_room(&mut self) -> bool {
        if self.values_max() <= VALUES_LEAST {
            return false;
        }
        self.halved += 1;
        let max = self.values_max();
        self.values.iter_mut().flatten().for_each(|values| values.lower(max));
        true
    }

    fn values_max(&self) -> usize {
        VALUES_MAX >> self.halved
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        encode(self.keys.iter().map(|(key, at)| {
            let values = self.values[*at].as_ref().map(LeastTexts::sorted).unwrap_or_default();
            (key.as_str(), values.into_iter().map(text).collect())
        }))
    }

    /// The next row of the block.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        let (source, span) = (row.source, row.span);
        row.new_tags.iter().for_each(|tag| self.own_tag(source, *tag));
        let code = span.status_code;
        let message = if code == StatusCode::Error { span.status_message } else { 0 };
        let all =
            [Adds::Status(code, message), Adds::Scope(span.scope), Adds::Resource(span.resource)];
        // Neighbours often come from one process; nothing new comes of that, but for what is hidden.
        if self.last == Some((all, false)) {
            return;
        }
        let places = all.map(|adds| {
            let (sort, number) = adds.place();
            self.adding[sort].get_or_insert_with(number, || {
                self.pending.push(tags_of(row, adds));
                u32::try_from(self.pending.len() - 1).unwrap_or(u32::MAX)
            }) as usize
        });
        let is_hidden = |place: usize| !self.pending[place].is_empty();
        if places.into_iter().any(is_hidden) {
            self.show(row, all, places);
        }
        let is_hidden = |place: usize| !self.pending[place].is_empty();
        self.last = Some((all, places.into_iter().any(is_hidden)));
    }

    fn own_tag(&mut self, source: &dyn Source, tag: u32) {
        let (at, bit) = (tag as usize / 64, 1 << (tag % 64));
        if self.seen.len() <= at {
            self.seen.resize(at + 1, 0);
        }
        if self.seen[at] & bit != 0 {
            return;
        }
        self.seen[at] |= bit;
        let (key, value) = source.tag(tag);
        let of_key = match self.keys_of_source.get(key) {
            Some(known) => known,
            None => {
                let place = self.key(source.key(key));
                self.keys_of_source.get_or_insert_with(key, || place)
            }
        };
        let Some(Some(values)) = of_key.map(|at| &mut self.values[at]) else { return };
        match value {
            TagValue::Text(text) => add(values, text),
            _ => add(values, source.tag_value(tag).text().as_bytes()),
        }
    }

    /// Where the values of a key are, if it is among the least.
    fn key(&mut self, key: &str) -> Option<usize> {
        if !is_listed(key) {
            return None;
        }
        if let Some(known) = self.keys.get(key) {
            return Some(*known);
        }
        if self.keys.len() >= KEYS_MAX {
            let last = self.keys.last_entry().filter(|last| key < last.key().as_str())?;
            // It does not come in again.
            self.values[last.remove()] = None;
        }
        self.values.push(Some(LeastTexts::new(self.values_max())));
        self.keys.insert(key.to_owned(), self.values.len() - 1);
        Some(self.values.len() - 1)
    }

    fn show(&mut self, row: &Row<'_>, all: [Adds; 3], places: [usize; 3]) {
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
        for (adds, place) in all.into_iter().zip(places) {
            let mut pending = std::mem::take(&mut self.pending[place]);
            pending.retain(|(key, value)| {
                let is_hidden = is_own(key)
                    || match adds {
                        Adds::Status(..) => false,
                        Adds::Scope(_) => by_status.contains(key),
                        Adds::Resource(_) => by_scope.contains(key),
                    };
                if !is_hidden && let Some(at) = self.key(key) {
                    self.values[at].iter_mut().for_each(|values| add(values, value.as_bytes()));
                }
                is_hidden
            });
            self.pending[place] = pending;
        }
    }
}

fn add(values: &mut LeastTexts, text: &[u8]) {
    if text.len() <= TEXT_BYTES_MAX {
        values.add(text);
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
