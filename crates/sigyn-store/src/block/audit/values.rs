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
    wrong: Option<String>,
}

struct Key {
    told: Told,
    hash: KeyHash,
    values: HashMap<String, Listed>,
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
        for place in &directory.keys {
            let mut values = HashMap::new();
            if let Some(section) = &place.section {
                for value in block.values_of(section)?.iter() {
                    let listed = Listed { entries: value.entries.clone(), last: None, count: 0 };
                    values.insert(value.text.clone(), listed);
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
        Ok(Self { keys: Some(keys), is_complete, shards, pages, wrong })
    }

    pub(super) fn row(&mut self, span: &Span, place: &Place) -> Checked {
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        for (key, value) in &span.tags {
            self.value(Sort::Tag, key, value, place)?;
        }
        for (key, value) in span.resource.iter().flat_map(|resource| &resource.tags) {
            self.value(Sort::Tag, key, value, place)?;
        }
        for (name, text) in span.target.iter().flat_map(|labels| labels.iter()) {
            self.text(Sort::Tag, &format!("target.{name}"), text, Alike::of(text), place)?;
        }
        for annotation in &span.annotations {
            let text = &*annotation.value;
            self.text(Sort::Annotation, "", text, Alike::of(text), place)?;
        }
        Ok(())
    }

    fn value(&mut self, sort: Sort, key: &str, value: &Value, place: &Place) -> Checked {
        let text = value.text();
        self.text(sort, key, &text, Alike::of(&text), place)
    }

    fn text(
        &mut self,
        sort: Sort,
        key: &str,
        text: &str,
        alike: Alike<'_>,
        place: &Place,
    ) -> Checked {
        let Some(keys) = &mut self.keys else { return Ok(()) };
        let wrong = |what: &str| {
            let key = if sort == Sort::Annotation { "an annotation" } else { key };
            Err(format!("where values are it tells {what} {key} = {text:?}, and its rows have it"))
        };
        let Some(known) = keys[sort as usize].get_mut(key) else {
            return if self.is_complete { wrong("of no key of") } else { Ok(()) };
        };
        match known.told {
            Told::Nothing => Ok(()),
            Told::Hashes => {
                let hash = self.shards.reduced(known.hash.with(alike));
                let hashes = self.pages.get(place.page).map_or(&[][..], Vec::as_slice);
                let is_there =
                    u32::try_from(hash).is_ok_and(|hash| hashes.binary_search(&hash).is_ok());
                if is_there { Ok(()) } else { wrong("of no page with") }
            }
            Told::Values => {
                let Some(listed) = known.values.get_mut(text) else { return wrong("nothing of") };
                if listed.last != Some(place.entry) {
                    (listed.last, listed.count) = (Some(place.entry), listed.count + 1);
                    let entries = listed.entries.as_ref();
                    if entries.is_some_and(|list| list.binary_search(&place.entry).is_err()) {
                        return wrong("too few traces with");
                    }
                }
                Ok(())
            }
        }
    }

    pub(super) fn end(self) -> Checked {
        for (key, known) in self.keys.iter().flatten().flatten() {
            for (text, listed) in &known.values {
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
