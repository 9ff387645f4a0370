//! Collects which traces and pages of a block have which values, while the block is written.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use foldhash::fast::RandomState;
use sigyn_model::Alike;

use super::group_writer::Row;
use super::hybrid::{put_uint, take_uint};
use super::per_source::at;
use super::schema::PAGE_ROWS;
use super::section::Section;
use super::source::{Source, TagValue};
use super::value_pages::{PageHashes, Shards};
use super::values::{Directory, KeyPlace, Sort, Told, Value, encode_values, hash_of};

/// A key with more values has its values hashed.
const VALUES_MAX: usize = if cfg!(test) { 6 } else { 4 << 10 };
const TEXT_BYTES_MAX: usize = 256 << 10;
/// Longer values are not kept as text.
const TEXT_MAX: usize = if cfg!(test) { 12 } else { 512 };
/// Of more keys nothing is told.
const KEYS_MAX: usize = if cfg!(test) { 40 } else { 4 << 10 };
/// Nor of values that are hashed where there are more of them, pages counted apart.
const HASHES_MAX: u64 = 16 << 20;
const HASHES_PER_ROW: u64 = 8;
/// A value that more traces have, one in so many, is nearly everywhere.
const COMMON: u32 = 8;
const COMMON_MIN: u32 = if cfg!(test) { 16 } else { 4 << 10 };
/// All lists of a key together have one trace in so many.
const LISTED: usize = 4;
const LISTED_MIN: usize = if cfg!(test) { 4 } else { 64 };

/// Collects a block's values.
#[derive(Default)]
pub(super) struct ValueBuilder {
    keys: Vec<Key>,
    key_numbers: HashMap<(Sort, String), u32, RandomState>,
    values: Vec<Listed>,
    hashes: PageHashes,
    /// Of each trace that is finished.
    trace_pages: Vec<(u32, u32)>,
    /// In which page the trace that is being added begins.
    first_page: u32,
    rows_in_page: usize,
    rows: u64,
    has_left_out: bool,
    /// By numbers of the source.
    tags: Vec<Slot>,
    resources: Vec<Shared>,
    targets: Vec<Shared>,
    annotations: Vec<Slot>,
}

struct Key {
    sort: Sort,
    text: String,
    told: Told,
    /// Whether something else than spans' own tags says it.
    is_shared: bool,
    numbers: HashMap<String, u32, RandomState>,
    text_bytes: usize,
}

/// A value that is kept as text, at first at least.
struct Listed {
    key: u32,
    hash: u32,
    /// How many traces have it.
    traces: u32,
    /// One more than the last of them.
    last: u32,
    /// They, each less the one before; none if nearly all have it.
    list: Option<Vec<u8>>,
}

/// What is known of something in the source.
#[derive(Clone, Copy, Default)]
enum Slot {
    #[default]
    New,
    Value(u32),
    Hash {
        key: u32,
        hash: u32,
    },
    Nothing,
}

/// What many spans share.
#[derive(Clone, Default)]
struct Shared {
    /// One more than the last trace that has it.
    last: u32,
    values: Option<Vec<u32>>,
}

impl ValueBuilder {
    /// What follows is numbered by another source.
    pub(super) fn begin_source(&mut self) {
        self.tags.clear();
        self.resources.clear();
        self.targets.clear();
        self.annotations.clear();
    }

    /// The next row of the block.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        let Row { source, from, span, tags, .. } = *row;
        for tag in tags {
            let slot = match *at(&mut self.tags, *tag) {
                Slot::New => {
                    let slot = self.tag_slot(source, *tag);
                    self.tags[*tag as usize] = slot;
                    slot
                }
                slot => slot,
            };
            self.touch(slot);
        }
        if span.resource != 0 {
            self.resource(source, span.resource);
        }
        if span.target != 0 {
            self.target(source, span.target);
        }
        if span.has_annotations {
            source.annotations(from, &mut |annotation| {
                let slot = match *at(&mut self.annotations, annotation.value) {
                    Slot::New => {
                        let text = source.text(annotation.value);
                        let slot = self.slot(Sort::Annotation, "", text, true);
                        self.annotations[annotation.value as usize] = slot;
                        slot
                    }
                    slot => slot,
                };
                self.touch(slot);
            });
        }
        self.rows += 1;
        self.rows_in_page += 1;
        if self.rows_in_page == PAGE_ROWS {
            self.end_page();
        }
    }

    /// The rows that follow are in another row group.
    pub(super) fn end_group(&mut self) {
        if self.rows_in_page > 0 {
            self.end_page();
        }
    }

    /// The trace of the last rows is whole.
    pub(super) fn end_trace(&mut self) {
        // Its last row may have been the last one of its page.
        let page = number(self.hashes.page());
        let last = if self.rows_in_page == 0 { page.saturating_sub(1) } else { page };
        self.trace_pages.push((self.first_page, last));
        self.first_page = page;
    }

    fn end_page(&mut self) {
        self.hashes.end_page();
        self.rows_in_page = 0;
    }

    fn tag_slot(&mut self, source: &dyn Source, tag: u32) -> Slot {
        let (key, value) = source.tag(tag);
        let key = source.key(key);
        match value {
            TagValue::Text(text) => {
                let text = std::str::from_utf8(text).unwrap_or_default();
                self.slot(Sort::Tag, key, text, false)
            }
            _ => self.slot(Sort::Tag, key, &source.tag_value(tag).text(), false),
        }
    }

    fn resource(&mut self, source: &dyn Source, number: u32) {
        let trace = self.trace();
        if at(&mut self.resources, number).last == trace {
            return;
        }
        if self.resources[number as usize].values.is_none() {
            let tags = source.resource(number).map_or(&[][..], |resource| &resource.tags);
            let values =
                tags.iter().filter_map(|(key, value)| self.shared_value(key, &value.text()));
            let values = values.collect();
            self.resources[number as usize].values = Some(values);
        }
        self.resources[number as usize].last = trace;
        let values = self.resources[number as usize].values.take().unwrap_or_default();
        values.iter().for_each(|value| self.touch(Slot::Value(*value)));
        self.resources[number as usize].values = Some(values);
    }

    fn target(&mut self, source: &dyn Source, number: u32) {
        let trace = self.trace();
        if at(&mut self.targets, number).last == trace {
            return;
        }
        if self.targets[number as usize].values.is_none() {
            let labels = source.target(number).map_or(&[][..], |labels| labels.as_slice());
            let values = labels
                .iter()
                .filter_map(|(name, text)| self.shared_value(&format!("target.{name}"), text));
            let values = values.collect();
            self.targets[number as usize].values = Some(values);
        }
        self.targets[number as usize].last = trace;
        let values = self.targets[number as usize].values.take().unwrap_or_default();
        values.iter().for_each(|value| self.touch(Slot::Value(*value)));
        self.targets[number as usize].values = Some(values);
    }

    fn shared_value(&mut self, key: &str, text: &str) -> Option<u32> {
        match self.slot(Sort::Tag, key, text, true) {
            Slot::Value(value) => Some(value),
            _ => None,
        }
    }

    /// One more than the number of the trace that is being added.
    fn trace(&self) -> u32 {
        number(self.trace_pages.len() + 1)
    }

    fn slot(&mut self, sort: Sort, key: &str, text: &str, is_shared: bool) -> Slot {
        let key_number = match self.key_numbers.get(&(sort, key.to_owned())) {
            Some(known) => *known,
            None if self.keys.len() >= KEYS_MAX => {
                self.has_left_out = true;
                return Slot::Nothing;
            }
            None => {
                let new = number(self.keys.len());
                self.keys.push(Key {
                    sort,
                    text: key.to_owned(),
                    told: Told::Values,
                    is_shared: false,
                    numbers: HashMap::default(),
                    text_bytes: 0,
                });
                self.key_numbers.insert((sort, key.to_owned()), new);
                new
            }
        };
        let known = &mut self.keys[key_number as usize];
        known.is_shared |= is_shared;
        let hash = hash_of(key, Alike::of(text));
        match known.told {
            Told::Nothing => return Slot::Nothing,
            Told::Hashes if known.is_shared => {
                known.told = Told::Nothing;
                return Slot::Nothing;
            }
            Told::Hashes => return Slot::Hash { key: key_number, hash },
            Told::Values => {}
        }
        if let Some(value) = known.numbers.get(text) {
            return Slot::Value(*value);
        }
        let is_full = known.numbers.len() >= VALUES_MAX
            || known.text_bytes + text.len() > TEXT_BYTES_MAX
            || text.len() > TEXT_MAX;
        if is_full {
            self.hash_values(key_number);
            return match self.keys[key_number as usize].told {
                Told::Hashes => Slot::Hash { key: key_number, hash },
                _ => Slot::Nothing,
            };
        }
        let value = number(self.values.len());
        known.text_bytes += text.len();
        known.numbers.insert(text.to_owned(), value);
        self.values.push(Listed {
            key: key_number,
            hash,
            traces: 0,
            last: 0,
            list: Some(Vec::new()),
        });
        Slot::Value(value)
    }

    /// The trace that is being added has this.
    fn touch(&mut self, slot: Slot) {
        match slot {
            Slot::Value(value) => {
                let trace = self.trace();
                let listed = &mut self.values[value as usize];
                match self.keys[listed.key as usize].told {
                    Told::Values => {}
                    Told::Hashes => {
                        let (key, hash) = (listed.key, listed.hash);
                        return self.touch(Slot::Hash { key, hash });
                    }
                    Told::Nothing => return,
                }
                if listed.last == trace {
                    return;
                }
                listed.traces += 1;
                if listed.traces > COMMON_MIN && listed.traces > trace / COMMON {
                    listed.list = None;
                }
                if let Some(list) = &mut listed.list {
                    put_uint(list, u64::from(trace - listed.last));
                }
                listed.last = trace;
            }
            Slot::Hash { key, hash } => {
                let most = HASHES_MAX.min(HASHES_PER_ROW * (self.rows + PAGE_ROWS as u64));
                let known = &mut self.keys[key as usize];
                if self.hashes.count() > most {
                    known.told = Told::Nothing;
                }
                if known.told == Told::Hashes {
                    self.hashes.push(hash);
                }
            }
            Slot::New | Slot::Nothing => {}
        }
    }

    /// A key has too many values: they are told by hashes from now on, and so are those before.
    fn hash_values(&mut self, key: u32) {
        let known = &mut self.keys[key as usize];
        known.told = if known.is_shared { Told::Nothing } else { Told::Hashes };
        let numbers = std::mem::take(&mut known.numbers);
        let is_hashed = known.told == Told::Hashes;
        let here = number(self.hashes.page());
        for value in numbers.into_values() {
            let Listed { hash, list, .. } = &mut self.values[value as usize];
            let (hash, list) = (*hash, list.take());
            if !is_hashed {
                continue;
            }
            let mut add = |pages: RangeInclusive<u32>| {
                pages.for_each(|page| self.hashes.add(page as usize, hash));
            };
            let Some(list) = list else {
                add(0..=here);
                continue;
            };
            // Traces may overlap in a page.
            let mut next = 0;
            for trace in traces_of(&list) {
                let pages = self.trace_pages.get(trace as usize);
                let (first, last) = pages.copied().unwrap_or((self.first_page, here));
                add(first.max(next)..=last);
                next = next.max(last + 1);
            }
        }
    }

    /// Hands sections to `put`, one after the other; the last of them tells where the others are.
    /// `entries` are the numbers of the traces' entries.
    pub(super) fn finish<E>(
        mut self,
        entries: &[u32],
        mut put: impl FnMut(&[u8]) -> Result<Section, E>,
    ) -> Result<Section, E> {
        let mut keys: Vec<KeyPlace> = Vec::with_capacity(self.keys.len());
        for key in std::mem::take(&mut self.keys) {
            let section = match key.told {
                Told::Values => Some(put(&self.listed(key.numbers, entries))?),
                Told::Hashes | Told::Nothing => None,
            };
            keys.push(KeyPlace { sort: key.sort, key: key.text, told: key.told, section });
        }
        keys.sort_unstable_by(|a, b| (a.sort, &a.key).cmp(&(b.sort, &b.key)));
        let shards: Shards = self.hashes.finish(&mut put)?;
        let directory = Directory { keys, is_complete: !self.has_left_out, shards };
        put(&directory.encode())
    }

    /// The values of a key, and which entries have them: of those that are rare.
    fn listed(&self, numbers: HashMap<String, u32, RandomState>, entries: &[u32]) -> Vec<u8> {
        let mut values: Vec<(String, u32)> = numbers.into_iter().collect();
        values.sort_unstable_by_key(|(_, value)| (self.values[*value as usize].traces, *value));
        let mut left = entries.len() / LISTED + LISTED_MIN;
        let mut listed: Vec<Value> = Vec::with_capacity(values.len());
        for (text, value) in values {
            let Listed { traces, list, .. } = &self.values[value as usize];
            let list = list.as_ref().filter(|_| *traces as usize <= left);
            let of_entries = list.map(|list| {
                left -= *traces as usize;
                let entries = traces_of(list)
                    .map(|trace| entries.get(trace as usize).copied().unwrap_or(u32::MAX));
                let mut entries: Vec<u32> = entries.collect();
                entries.sort_unstable();
                entries
            });
            listed.push(Value { text, entries: of_entries });
        }
        listed.sort_unstable_by(|a, b| a.text.cmp(&b.text));
        encode_values(&listed)
    }
}

/// Numbers of traces, from zero.
fn traces_of(mut list: &[u8]) -> impl Iterator<Item = u32> {
    let mut last = 0;
    std::iter::from_fn(move || {
        let more = take_uint(&mut list).ok()?;
        last += u32::try_from(more).unwrap_or(0);
        last.checked_sub(1)
    })
}

/// No block has as many rows, and so nothing in it.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
