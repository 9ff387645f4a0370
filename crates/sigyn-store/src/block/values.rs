//! Which traces and pages of a block have which values of tags, labels and annotations.
//!
//! Keys with few values have a list of them, and each value that is rare the entries of its traces. Of keys
//! with many the values are hashed, and pages of rows are told that may have one.

use std::borrow::Cow;
use std::sync::Arc;

use sigyn_model::{Alike, Field, Sought};

use super::entry::Entry;
use super::filter::mix;
use super::group_reader::RowReader;
use super::page_reader::PageReader;
use super::root::Root;
use super::schema::PAGE_ROWS;
use super::section::Section;
use super::value_pages::Shards;
use super::{Block, BlockError, QueryFailed};
use crate::alike::Derived;
use crate::codec::{Decoder, Encoder, Malformed};
use crate::facts::TraceKey;
use crate::stop::Stop;

/// The kind of this section among the extras of a root.
pub(super) const KIND: u8 = 1;

/// Where a value is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Sort {
    /// In tags of spans and their resources, and in labels of targets, which have `target.` in front.
    Tag,
    /// In annotations; their key is empty.
    Annotation,
}

/// What is told of a key's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// All of them are listed.
    Values,
    /// Pages, by hashes.
    Hashes,
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPlace {
    pub(super) sort: Sort,
    pub(super) key: String,
    pub(super) told: Told,
    /// Of the list of its values.
    pub(super) section: Option<Section>,
}

/// Where everything is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// Sorted.
    pub(super) keys: Vec<KeyPlace>,
    /// Whether no span has a key that is not among them.
    pub(super) is_complete: bool,
    pub(super) shards: Shards,
}

/// A value of a key, and the numbers of the entries that have it; none where nearly all may have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) entries: Option<Vec<u32>>,
}

/// Which traces of a block may have what is sought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Anywhere,
    /// In these entries alone, by number, sorted.
    Entries(Vec<u32>),
    /// In rows of these pages alone, sorted.
    Pages(Vec<u32>),
}

/// Half of the hash of a value.
pub(super) fn hash_of(key: &str, value: Alike<'_>) -> u32 {
    KeyHash::of(key).with(value)
}

/// What the hashes of a key's values begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHash(u64);

impl KeyHash {
    pub(super) fn of(key: &str) -> Self {
        Self(0).and(key.as_bytes())
    }

    pub(super) fn with(self, value: Alike<'_>) -> u32 {
        let Self(hash) = match value {
            Alike::Text(text) => self.and(&[0]).and(text.as_bytes()),
            Alike::Number(bits) => self.and(&[1]).and(&bits.to_le_bytes()),
            Alike::Duration(nanos) => self.and(&[2]).and(&nanos.to_le_bytes()),
        };
        u32::try_from(hash >> 32).unwrap_or(0)
    }

    fn and(self, bytes: &[u8]) -> Self {
        let Self(mut hash) = self;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            hash = mix(hash ^ u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            hash = mix(hash ^ u64::from_le_bytes(word));
        }
        Self(mix(hash ^ bytes.len() as u64))
    }
}

impl Directory {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.count(self.keys.len());
        for KeyPlace { sort, key, told, section } in &self.keys {
            encoder.byte(*sort as u8);
            encoder.string(key);
            encoder.byte(*told as u8);
            if let Some(section) = section {
                section.encode(&mut encoder);
            }
        }
        encoder.byte(u8::from(self.is_complete));
        self.shards.encode(&mut encoder);
        encoder.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        const UNKNOWN: Malformed = Malformed { what: "a key of an unknown sort" };
        let mut decoder = Decoder::new(bytes);
        let keys = decoder.list(|decoder| {
            let sorts = [Sort::Tag, Sort::Annotation];
            let sort = sorts.get(usize::from(decoder.byte()?)).copied().ok_or(UNKNOWN)?;
            let key = decoder.string()?;
            let all_told = [Told::Values, Told::Hashes, Told::Nothing];
            let told = all_told.get(usize::from(decoder.byte()?)).copied().ok_or(UNKNOWN)?;
            let section = match told {
                Told::Values => Some(Section::decode(decoder)?),
                Told::Hashes | Told::Nothing => None,
            };
            Ok(KeyPlace { sort, key, told, section })
        })?;
        let is_complete = decoder.byte()? != 0;
        let shards = Shards::decode(&mut decoder)?;
        decoder.end()?;
        Ok(Self { keys, is_complete, shards })
    }

    fn find(&self, sort: Sort, key: &str) -> Option<&KeyPlace> {
        let place = self.keys.binary_search_by(|other| (other.sort, &*other.key).cmp(&(sort, key)));
        place.ok().map(|at| &self.keys[at])
    }

    fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(|key| size_of::<KeyPlace>() + key.key.len()).sum();
        keys + self.shards.bytes()
    }
}

/// Values of a key, sorted, and the entries of each.
pub(super) fn encode_values(values: &[Value]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.count(values.len());
    for Value { text, entries } in values {
        encoder.string(text);
        let Some(entries) = entries else {
            encoder.uint(0);
            continue;
        };
        encoder.uint(entries.len() as u64 + 1);
        let mut last = 0;
        for entry in entries {
            encoder.uint(u64::from(*entry - last));
            last = *entry;
        }
    }
    encoder.into_bytes()
}

fn decode_values(bytes: &[u8]) -> Result<Vec<Value>, Malformed> {
    const FAR: Malformed = Malformed { what: "an entry past the last one" };
    let mut decoder = Decoder::new(bytes);
    let values = decoder.list(|decoder| {
        let text = decoder.string()?;
        let Some(count) = decoder.uint()?.checked_sub(1) else {
            return Ok(Value { text, entries: None });
        };
        let mut entries = Vec::new();
        let mut last = 0u32;
        for _ in 0..count {
            last = last.checked_add(decoder.uint_as()?).ok_or(FAR)?;
            entries.push(last);
        }
        Ok(Value { text, entries: Some(entries) })
    })?;
    decoder.end()?;
    Ok(values)
}

impl Root {
    fn values(&self) -> Option<&Section> {
        self.extras.iter().find(|extra| extra.kind == KIND).map(|extra| &extra.section)
    }
}

impl Block {
    pub(super) fn directory(&self) -> Result<Option<Arc<Directory>>, BlockError> {
        let Some(section) = self.root.values() else { return Ok(None) };
        let directory = self.cache.get((self.number, section.offset), || {
            let directory = Directory::decode(&self.section(section)?)?;
            let bytes = directory.bytes();
            Ok::<_, BlockError>((directory, bytes))
        });
        directory.map(Some)
    }

    /// Values of a key, read once for as long as they are asked for.
    pub(super) fn values_of(&self, section: &Section) -> Result<Arc<Vec<Value>>, BlockError> {
        self.cache.get((self.number, section.offset), || {
            let values = decode_values(&self.section(section)?)?;
            let bytes = |value: &Value| {
                let entries = value.entries.as_ref().map_or(0, |entries| entries.capacity() * 4);
                size_of::<Value>() + value.text.len() + entries
            };
            let bytes = values.iter().map(bytes).sum();
            Ok((values, bytes))
        })
    }

    /// Reads all that is told of values, and compares checksums; returns how many bytes that were.
    pub(super) fn value_sections(&self) -> Result<u64, BlockError> {
        let Some(section) = self.root.values() else { return Ok(0) };
        let directory = Directory::decode(&self.section(section)?)?;
        let lists = directory.keys.iter().filter_map(|key| key.section.as_ref());
        let mut bytes = section.bytes;
        for section in lists.chain(directory.shards.sections()) {
            self.section(section)?;
            bytes += section.bytes;
        }
        Ok(bytes)
    }

    /// Whether rows of a trace stand in one of these pages.
    pub(super) fn touches(&self, entry: &Entry, pages: &[u32]) -> bool {
        self.pages_of(entry.first_row, entry.rows).into_iter().any(|(group, _, page, _)| {
            u32::try_from(self.pages_before(group) + page)
                .is_ok_and(|page| pages.binary_search(&page).is_ok())
        })
    }

    /// How many pages of rows there are before a group.
    fn pages_before(&self, group: usize) -> usize {
        let before = self.root.groups.iter().take(group);
        before.map(|group| (group.rows as usize).div_ceil(PAGE_ROWS)).sum()
    }

    /// Traces with a row in these pages that has what is sought.
    pub(super) fn traces_in(
        &self,
        pages: &[u32],
        sought: &Sought,
        stop: &Stop,
    ) -> Result<Vec<TraceKey>, QueryFailed> {
        let Some(key) = sought.key() else { return Ok(Vec::new()) };
        let failed = |error| self.failed(error);
        let reader = PageReader::new(self, stop).map_err(failed)?;
        let reader = RowReader::new(reader, &self.root.tag_columns);
        let takes = |text: &str| sought.takes(text);
        let mut found: Vec<TraceKey> = Vec::new();
        let mut first = 0;
        for (number, group) in self.root.groups.iter().enumerate() {
            let count = group.rows as usize;
            let of_group = 0..count.div_ceil(PAGE_ROWS);
            for page in of_group.clone() {
                if u32::try_from(first + page).is_ok_and(|page| pages.binary_search(&page).is_ok())
                {
                    stop.check()?;
                    let set = reader.page_set(number, count, page);
                    let ids = reader.ids_with(&set, &key, &takes).map_err(failed)?;
                    found.extend(ids.into_iter().map(TraceKey::from));
                }
            }
            first += of_group.len();
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Which traces may have what is sought, as far as an index tells.
    pub(crate) fn find_value(&self, sought: &Sought) -> Result<Where, QueryFailed> {
        self.value_places(sought).map_err(|error| self.failed(error))
    }

    /// Whether any span may have what this name stands for, as far as an index tells.
    pub(crate) fn may_say(&self, field: &Field) -> Result<bool, QueryFailed> {
        let (sort, key) = match field {
            Field::Tag(key) if Derived::of(key) == Derived::default() => {
                (Sort::Tag, Cow::Borrowed(key.as_str()))
            }
            Field::Resource(key) => (Sort::Tag, Cow::Borrowed(key.as_str())),
            Field::Label(name) => (Sort::Tag, Cow::Owned(format!("target.{name}"))),
            Field::Annotation => (Sort::Annotation, Cow::Borrowed("")),
            // Tags that are shown without being there are made of what all spans have.
            Field::Tag(_)
            | Field::Service
            | Field::Name
            | Field::Remote
            | Field::Kind
            | Field::Status => return Ok(true),
        };
        let directory = self.directory().map_err(|error| self.failed(error))?;
        Ok(directory.is_none_or(|all| !all.is_complete || all.find(sort, &key).is_some()))
    }

    fn value_places(&self, sought: &Sought) -> Result<Where, BlockError> {
        let Some(directory) = self.directory()? else { return Ok(Where::Anywhere) };
        let mut all = Where::Entries(Vec::new());
        if let Some(key) = sought.key() {
            all = all.or(self.places_of(&directory, Sort::Tag, &key, sought)?);
        }
        if sought.may_be_annotation() {
            all = all.or(self.places_of(&directory, Sort::Annotation, "", sought)?);
        }
        Ok(all)
    }

    fn places_of(
        &self,
        directory: &Directory,
        sort: Sort,
        key: &str,
        sought: &Sought,
    ) -> Result<Where, BlockError> {
        let Some(place) = directory.find(sort, key) else {
            let nowhere = Where::Entries(Vec::new());
            return Ok(if directory.is_complete { nowhere } else { Where::Anywhere });
        };
        if let Some(section) = &place.section {
            let takes = |text: &str| match sort {
                Sort::Tag => sought.takes(text),
                Sort::Annotation => sought.takes_annotation(text),
            };
            let mut found = Vec::new();
            for value in self.values_of(section)?.iter().filter(|value| takes(&value.text)) {
                let Some(entries) = &value.entries else { return Ok(Where::Anywhere) };
                found.extend_from_slice(entries);
            }
            found.sort_unstable();
            found.dedup();
            return Ok(Where::Entries(found));
        }
        let alike = sought.alike().filter(|_| place.told == Told::Hashes && sort == Sort::Tag);
        let Some(alike) = alike else { return Ok(Where::Anywhere) };
        let hash = hash_of(key, alike);
        let pages = match directory.shards.section_of(hash) {
            Some(section) => directory.shards.pages_with(hash, &self.section(section)?)?,
            None => Vec::new(),
        };
        Ok(if pages.is_empty() { Where::Entries(Vec::new()) } else { Where::Pages(pages) })
    }
}

impl Where {
    /// What either of both allows.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Entries(none), other) | (other, Self::Entries(none)) if none.is_empty() => other,
            (Self::Entries(mut all), Self::Entries(more)) => {
                all.extend(more);
                all.sort_unstable();
                all.dedup();
                Self::Entries(all)
            }
            _ => Self::Anywhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_values_read_back_as_written() {
        let section = Section { offset: 7, bytes: 1, raw_bytes: 2, crc: 3 };
        let key =
            |sort, key: &str, told, section| KeyPlace { sort, key: key.into(), told, section };
        let directory = Directory {
            keys: vec![
                key(Sort::Tag, "a", Told::Values, Some(section)),
                key(Sort::Tag, "b", Told::Hashes, None),
                key(Sort::Annotation, "", Told::Nothing, None),
            ],
            is_complete: true,
            shards: Shards::default(),
        };
        let bytes = directory.encode();
        assert_eq!(Directory::decode(&bytes).as_ref(), Ok(&directory));
        assert!((0..bytes.len()).all(|len| Directory::decode(&bytes[..len]).is_err()));
        assert!(directory.find(Sort::Tag, "b").is_some_and(|key| key.told == Told::Hashes));
        assert!(directory.find(Sort::Annotation, "a").is_none());
        let value = |text: &str, entries| Value { text: text.into(), entries };
        let values =
            [value("x", None), value("y", Some(vec![])), value("z", Some(vec![0, 3, u32::MAX]))];
        let bytes = encode_values(&values);
        assert_eq!(decode_values(&bytes).unwrap(), values);
        assert!((0..bytes.len()).all(|len| decode_values(&bytes[..len]).is_err()));
    }

    #[test]
    fn hashes_are_those_that_files_have() {
        assert_eq!(hash_of("http.route", Alike::of("/api")), 3_170_439_833);
        assert_eq!(hash_of("", Alike::of("5.0")), hash_of("", Alike::of("5")));
        assert_ne!(hash_of("a", Alike::Text("bc")), hash_of("ab", Alike::Text("c")));
    }
}
