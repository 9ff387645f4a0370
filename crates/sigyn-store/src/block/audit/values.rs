//! Where values of tags, labels and annotations are.

use std::collections::HashMap;

use sigyn_model::{Alike, Span, Value};

use super::{Checked, Place};
use crate::block::schema::PAGE_ROWS;
use crate::block::value_pages::Shards;
use crate::block::values::{KeyHash, Sort, Told};
use crate::block::{Block, BlockError};

#[derive(Default)]
pub(super) struct Values {
    /// Of tags, and of annotations; none if nothing is told.
    keys: Option<[HashMap<String, Key>; 2]>,
    /// Whether there are no other keys.
    is_complete: bool,
    shards: Shards,
    /// What hashes are reduced to, of each page, in order.
    pages: Vec<Vec<u32>>,
    listed: Vec<Listed>,
    wrong: Option<String>,
}

/// Where a value is to be told of.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Nowhere,
    /// As a hash, of its page.
    Hash(u32),
    /// As one of those that are listed.
    Listed(usize),
}

struct Key {
    told: Told,
    hash: KeyHash,
    values: HashMap<String, usize>,
}

/// A value, and the entries of traces that have it; none where that are too many.
struct Listed {
    entries: Option<Vec<u32>>,
    /// The last trace that was found to have it, and how many were.
    last: Option<u32>,
    count: usize,
}

impl Values {
    pub(super) fn of(block: &Block) -> Result<Self, BlockError> {
        let Some(directory) = block.directory()? else { return Ok(Self::default()) };
        let mut keys = [HashMap::new(), HashMap::new()];
        let mut all_listed = Vec::new();
        for place in &directory.keys {
            let mut values = HashMap::new();
            if let Some(section) = &place.section {
                for value in block.values_of(section)?.iter() {
                    let entries = value.entries.clone();
                    values.insert(value.text.clone(), all_listed.len());
                    all_listed.push(Listed { entries, last: None, count: 0 });
                }
            }
            let key = Key { told: place.told, hash: KeyHash::of(&place.key), values };
            keys[place.sort as usize].insert(place.key.clone(), key);
        }
        let groups = block.root.groups.iter();
        let pages: usize = groups.map(|group| (group.rows as usize).div_ceil(PAGE_ROWS)).sum();
        let mut pages = vec![Vec::new(); pages];
        let mut wrong = None;
        for (number, section) in directory.shards.sections().iter().enumerate() {
            directory.shards.each(
                number,
                &block.section(section)?,
                &mut |page, hash| match pages.get_mut(page as usize) {
                    Some(hashes) => hashes.push(u32::try_from(hash).unwrap_or(u32::MAX)),
                    None => wrong = Some(format!("its values are told of a page {page}")),
                },
            )?;
        }
        let (is_complete, shards) = (directory.is_complete, directory.shards.clone());
        Ok(Self { keys: Some(keys), is_complete, shards, pages, listed: all_listed, wrong })
    }

    pub(super) fn row(&mut self, span: &Span, place: &Place) -> Checked {
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        for (key, value) in &span.tags {
            self.text(Sort::Tag, key, &value.text(), place)?;
        }
        self.each_shared(span, &mut |values, key, text| values.text(Sort::Tag, key, text, place))?;
        for annotation in &span.annotations {
            self.text(Sort::Annotation, "", &annotation.value, place)?;
        }
        Ok(())
    }

    /// Calls `each` with keys and values that are those of many spans.
    fn each_shared(
        &mut self,
        span: &Span,
        each: &mut dyn FnMut(&mut Self, &str, &str) -> Checked,
    ) -> Checked {
        for (key, value) in span.resource.iter().flat_map(|resource| &resource.tags) {
            each(self, key, &value.text())?;
        }
        for (name, text) in span.target.iter().flat_map(|labels| labels.iter()) {
            each(self, &format!("target.{name}"), text)?;
        }
        Ok(())
    }

    /// Where all that is told that a span shares with others.
    pub(super) fn shared_slots(&mut self, span: &Span) -> Result<Vec<Slot>, String> {
        let mut slots = Vec::new();
        self.each_shared(span, &mut |values, key, text| {
            slots.push(values.slot(Sort::Tag, key, text)?);
            Ok(())
        })?;
        Ok(slots)
    }

    /// Where a span's own tag is told of.
    pub(super) fn slot_of_tag(&self, key: &str, value: &Value) -> Result<Slot, String> {
        self.slot(Sort::Tag, key, &value.text())
    }

    fn slot(&self, sort: Sort, key: &str, text: &str) -> Result<Slot, String> {
        let Some(keys) = &self.keys else { return Ok(Slot::Nowhere) };
        let Some(known) = keys[sort as usize].get(key) else {
            let told = Err(wrong(sort, key, text, "of no key of"));
            return if self.is_complete { told } else { Ok(Slot::Nowhere) };
        };
        Ok(match known.told {
            Told::Nothing => Slot::Nowhere,
            Told::Hashes => {
                let hash = self.shards.reduced(known.hash.with(Alike::of(text)));
                Slot::Hash(u32::try_from(hash).unwrap_or(u32::MAX))
            }
            Told::Values => match known.values.get(text) {
                Some(at) => Slot::Listed(*at),
                None => return Err(wrong(sort, key, text, "nothing of")),
            },
        })
    }

    /// A row at this place has what is told of there; errors if it is told of elsewhere.
    pub(super) fn meet(&mut self, slot: Slot, place: &Place) -> Result<(), &'static str> {
        match slot {
            Slot::Nowhere => Ok(()),
            Slot::Hash(hash) => {
                let hashes = self.pages.get(place.page).map_or(&[][..], Vec::as_slice);
                hashes.binary_search(&hash).map(drop).map_err(|_| "of no page with")
            }
            Slot::Listed(at) => {
                let listed = &mut self.listed[at];
                if listed.last == Some(place.entry) {
                    return Ok(());
                }
                (listed.last, listed.count) = (Some(place.entry), listed.count + 1);
                match &listed.entries {
                    Some(entries) if entries.binary_search(&place.entry).is_err() => {
                        Err("too few traces with")
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn text(&mut self, sort: Sort, key: &str, text: &str, place: &Place) -> Checked {
        let slot = self.slot(sort, key, text)?;
        self.meet(slot, place).map_err(|what| wrong(sort, key, text, what))
    }

    pub(super) fn end(self) -> Checked {
        for (key, known) in self.keys.iter().flatten().flatten() {
            for (text, listed) in &known.values {
                let listed = &self.listed[*listed];
                let expected = listed.entries.as_ref().map_or(listed.count.max(1), Vec::len);
                if listed.count != expected {
                    return Err(format!(
                        "where values are it tells of traces with {key} = {text:?} that have it not"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn wrong(sort: Sort, key: &str, text: &str, what: &str) -> String {
    let key = if sort == Sort::Annotation { "an annotation" } else { key };
    format!("where values are it tells {what} {key} = {text:?}, and its rows have it")
}
