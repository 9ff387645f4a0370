//! Collects which traces and pages of a block have which values, while the block is written.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use foldhash::fast::RandomState;
use sigyn_model::Alike;

use super::dictionary::Dictionary;
use super::group_writer::Row;
use super::hybrid::{put_uint, take_uint};
use super::per_source::{PerSource, at};
use super::schema::PAGE_ROWS;
use super::section::Section;
use super::source::{Source, TagValue};
use super::value_pages::{PageHashes, Shards};
use super::values::{Directory, KeyHash, KeyPlace, Sort, Told, Value, encode_values};

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

/// What a value takes beside its text, about: its place among others and in tables.
const VALUE_BYTES: usize = size_of::<Listed>() + 32;

/// Collects a block's values.
#[derive(Default)]
pub(super) struct ValueBuilder {
    keys: Vec<Key>,
    /// Of tags, and of annotations.
    key_numbers: [HashMap<String, u32, RandomState>; 2],
    values: Vec<Listed>,
    hashes: PageHashes,
    /// Of each trace that is finished.
    trace_pages: Vec<(u32, u32)>,
    /// In which page the trace that is being added begins.
    first_page: u32,
    rows_in_page: usize,
    rows: u64,
    has_left_out: bool,
    /// What values of keys take, about, that are kept as text.
    bytes: usize,
    /// By numbers of the source.
    tags: Vec<Slot>,
    keys_of_tags: PerSource<Option<u32>>,
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
    hash: KeyHash,
    /// Its values, and their numbers.
    texts: Dictionary,
    numbers: Vec<u32>,
    /// What these take, about, with their lists.
    bytes: usize,
}

/// A value that is kept as text, at first at least.
struct Listed {
    key: u32,
    /// Once values of its key are hashed.
    hash: u32,
    /// How many traces have it.
    traces: u32,
    /// One more than the last of them; zero where that does not matter any more.
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
        self.keys_of_tags.clear();
        self.resources.clear();
        self.targets.clear();
        self.annotations.clear();
    }

    /// Reads what is known of tags; the sum means nothing.
    pub(super) fn look_ahead(&self, tags: &[u32]) -> u64 {
        let slots = tags.iter().filter_map(|tag| self.tags.get(*tag as usize));
        let of_slots = slots.map(|slot| match slot {
            Slot::Value(value) => {
                let listed = &self.values[*value as usize];
                let end = listed.list.as_ref().and_then(|list| list.last());
                u64::from(listed.last) + end.map_or(0, |byte| u64::from(*byte))
            }
            Slot::Hash { key, .. } => u64::from(*key),
            Slot::New | Slot::Nothing => 0,
        });
        of_slots.sum()
    }

    /// The next row of the block.
    pub(super) fn row(&mut self, row: &Row<'_>) {
        let Row { source, from, span, tags, .. } = *row;
        let trace = self.trace();
        for tag in tags {
            let slot = match *at(&mut self.tags, *tag) {
                Slot::New => {
                    let slot = self.tag_slot(source, *tag);
                    self.tags[*tag as usize] = slot;
                    slot
                }
                slot => slot,
            };
            self.touch(slot, trace);
        }
        if span.resource != 0 {
            self.resource(source, span.resource, trace);
        }
        if span.target != 0 {
            self.target(source, span.target, trace);
        }
        if span.has_annotations {
            source.annotations(from, &mut |annotation| {
                let slot = match *at(&mut self.annotations, annotation.value) {
                    Slot::New => {
                        let text = source.text(annotation.value);
                        let slot = self.shared_slot(Sort::Annotation, "", text);
                        self.annotations[annotation.value as usize] = slot;
                        slot
                    }
                    slot => slot,
                };
                self.touch(slot, trace);
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
        let of_key = match self.keys_of_tags.get(key) {
            Some(known) => known,
            None => {
                let number = self.key(Sort::Tag, source.key(key));
                self.keys_of_tags.get_or_insert_with(key, || number)
            }
        };
        let Some(key) = of_key else { return Slot::Nothing };
        match (self.told(key), value) {
            (Told::Nothing, _) => Slot::Nothing,
            (Told::Hashes, TagValue::Int(value)) => {
                let hash = self.keys[key as usize].hash.with(Alike::of_whole(value));
                Slot::Hash { key, hash }
            }
            (_, TagValue::Text(text)) => {
                self.slot(key, std::str::from_utf8(text).unwrap_or_default())
            }
            _ => self.slot(key, &source.tag_value(tag).text()),
        }
    }

    fn resource(&mut self, source: &dyn Source, number: u32, trace: u32) {
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
        values.iter().for_each(|value| self.touch(Slot::Value(*value), trace));
        self.resources[number as usize].values = Some(values);
    }

    fn target(&mut self, source: &dyn Source, number: u32, trace: u32) {
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
        values.iter().for_each(|value| self.touch(Slot::Value(*value), trace));
        self.targets[number as usize].values = Some(values);
    }

    fn shared_value(&mut self, key: &str, text: &str) -> Option<u32> {
        match self.shared_slot(Sort::Tag, key, text) {
            Slot::Value(value) => Some(value),
            _ => None,
        }
    }

    /// One more than the number of the trace that is being added.
    fn trace(&self) -> u32 {
        number(self.trace_pages.len() + 1)
    }

    /// A key's number, unless there are too many.
    fn key(&mut self, sort: Sort, key: &str) -> Option<u32> {
        let numbers = &mut self.key_numbers[sort as usize];
        if let Some(known) = numbers.get(key) {
            return Some(*known);
        }
        if self.keys.len() >= KEYS_MAX {
            self.has_left_out = true;
            return None;
        }
        let new = number(self.keys.len());
        self.keys.push(Key {
            sort,
            text: key.to_owned(),
            told: Told::Values,
            is_shared: false,
            hash: KeyHash::of(key),
            texts: Dictionary::default(),
            numbers: Vec::new(),
            bytes: 0,
        });
        numbers.insert(key.to_owned(), new);
        Some(new)
    }

    /// What is told of one more value of a key.
    fn told(&mut self, key: u32) -> Told {
        let known = &mut self.keys[key as usize];
        if known.told == Told::Hashes && known.is_shared {
            known.told = Told::Nothing;
        }
        known.told
    }

    fn shared_slot(&mut self, sort: Sort, key: &str, text: &str) -> Slot {
        let Some(key) = self.key(sort, key) else { return Slot::Nothing };
        self.keys[key as usize].is_shared = true;
        self.slot(key, text)
    }

    fn slot(&mut self, key: u32, text: &str) -> Slot {
        let told = self.told(key);
        let known = &mut self.keys[key as usize];
        match told {
            Told::Nothing => return Slot::Nothing,
            Told::Hashes => return Slot::Hash { key, hash: known.hash.with(Alike::of(text)) },
            Told::Values => {}
        }
        if text.len() <= TEXT_MAX {
            let at = known.texts.find_or_push(|out| out.extend_from_slice(text.as_bytes()));
            if let Some(value) = known.numbers.get(at as usize) {
                return Slot::Value(*value);
            }
            if known.numbers.len() < VALUES_MAX && known.texts.bytes() <= TEXT_BYTES_MAX {
                let value = number(self.values.len());
                known.numbers.push(value);
                let bytes = VALUE_BYTES + text.len();
                known.bytes += bytes;
                self.bytes += bytes;
                self.values.push(Listed {
                    key,
                    hash: 0,
                    traces: 0,
                    last: 0,
                    list: Some(Vec::new()),
                });
                return Slot::Value(value);
            }
        }
        self.hash_values(key);
        let known = &self.keys[key as usize];
        match known.told {
            Told::Hashes => Slot::Hash { key, hash: known.hash.with(Alike::of(text)) },
            _ => Slot::Nothing,
        }
    }

    /// The trace that is being added has this.
    #[inline]
    fn touch(&mut self, slot: Slot, trace: u32) {
        match slot {
            Slot::Value(value) => {
                if self.values[value as usize].last != trace {
                    self.touch_value(value, trace);
                }
            }
            Slot::Hash { key, hash } => self.touch_hash(key, hash),
            Slot::New | Slot::Nothing => {}
        }
    }

    fn touch_value(&mut self, value: u32, trace: u32) {
        let listed = &mut self.values[value as usize];
        let known = &mut self.keys[listed.key as usize];
        match known.told {
            Told::Values => {}
            Told::Hashes => {
                let (key, hash) = (listed.key, listed.hash);
                return self.touch_hash(key, hash);
            }
            Told::Nothing => return,
        }
        listed.traces += 1;
        if listed.traces > COMMON_MIN
            && listed.traces > trace / COMMON
            && let Some(list) = listed.list.take()
        {
            known.bytes -= list.capacity();
            self.bytes -= list.capacity();
        }
        if let Some(list) = &mut listed.list {
            let before = list.capacity();
            put_uint(list, u64::from(trace - listed.last));
            known.bytes += list.capacity() - before;
            self.bytes += list.capacity() - before;
        }
        listed.last = trace;
    }

    fn touch_hash(&mut self, key: u32, hash: u32) {
        let most = HASHES_MAX.min(HASHES_PER_ROW * (self.rows + PAGE_ROWS as u64));
        let known = &mut self.keys[key as usize];
        if self.hashes.count() > most {
            known.told = Told::Nothing;
        }
        if known.told == Told::Hashes {
            self.hashes.push(hash);
        }
    }

    /// A key has too many values: they are told by hashes from now on, and so are those before.
    fn hash_values(&mut self, key: u32) {
        let known = &mut self.keys[key as usize];
        known.told = if known.is_shared { Told::Nothing } else { Told::Hashes };
        let (texts, numbers) =
            (std::mem::take(&mut known.texts), std::mem::take(&mut known.numbers));
        self.bytes -= std::mem::take(&mut known.bytes);
        let (is_hashed, of_key) = (known.told == Told::Hashes, known.hash);
        let here = number(self.hashes.page());
        for (at, value) in (0..).zip(numbers) {
            let listed = &mut self.values[value as usize];
            // Each row that has it is told from here on.
            listed.last = 0;
            let list = listed.list.take();
            if !is_hashed {
                continue;
            }
            let hash = of_key.with(Alike::of(text_of(&texts, at)));
            listed.hash = hash;
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

    /// What all of it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        // Growing lists have twice what they need, at most.
        const HASH_BYTES: u64 = 2 * size_of::<u32>() as u64;
        let hashes = usize::try_from(self.hashes.count() * HASH_BYTES).unwrap_or(usize::MAX);
        self.bytes + hashes
    }

    /// Tells less from here on, between two sources: of the key whose values take most only their hashes, or
    /// nothing of keys whose values are hashed already. Returns whether that helps.
    pub(super) fn make_room(&mut self) -> bool {
        self.begin_source();
        if self.bytes < self.bytes() / 2 {
            let hashed = self.keys.iter_mut().filter(|key| key.told == Told::Hashes);
            hashed.for_each(|key| key.told = Told::Nothing);
            self.hashes.forget();
            return true;
        }
        let listed = (0..).zip(&self.keys).filter(|(_, key)| key.bytes > 0);
        let Some((largest, _)) = listed.max_by_key(|(_, key)| key.bytes) else { return false };
        self.hash_values(largest);
        self.leave_out_hashed();
        true
    }

    /// Forgets values of keys whose values are not kept any more. No number of the source means any.
    fn leave_out_hashed(&mut self) {
        let values = std::mem::take(&mut self.values);
        let mut numbers = vec![0; values.len()];
        for (at, listed) in values.into_iter().enumerate() {
            if self.keys[listed.key as usize].told == Told::Values {
                numbers[at] = number(self.values.len());
                self.values.push(listed);
            }
        }
        for value in self.keys.iter_mut().flat_map(|key| &mut key.numbers) {
            *value = numbers[*value as usize];
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
                Told::Values => Some(put(&self.listed(&key, entries))?),
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
    fn listed(&self, key: &Key, entries: &[u32]) -> Vec<u8> {
        let texts = (0..).map(|at| text_of(&key.texts, at));
        let mut values: Vec<(u32, &str)> = key.numbers.iter().copied().zip(texts).collect();
        values.sort_unstable_by_key(|(value, _)| (self.values[*value as usize].traces, *value));
        let mut left = entries.len() / LISTED + LISTED_MIN;
        let mut listed: Vec<Value> = Vec::with_capacity(values.len());
        for (value, text) in values {
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
            listed.push(Value { text: text.to_owned(), entries: of_entries });
        }
        listed.sort_unstable_by(|a, b| a.text.cmp(&b.text));
        encode_values(&listed)
    }
}

fn text_of(texts: &Dictionary, number: u32) -> &str {
    std::str::from_utf8(texts.word(number)).unwrap_or_default()
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
