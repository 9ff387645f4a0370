//! What is decided before a block's first row is written: which tags get columns.

use std::collections::HashMap;

use super::per_source::at;
use super::schema::{TAG_COLUMNS_MAX, TAG_SORTS, TagColumn, TagSort};
use super::source::{Source, TagValue};

/// A column that fewer of a block's rows use, one in so many, is not worth its place.
const ROWS_PER_USE: u64 = 2_000;

/// Of larger sources one part in so many is looked at, in pieces of so many tags.
const LOOKED_AT: usize = 4;
const PIECE: usize = 256;
const ALL_ROWS: u32 = 64 << 10;

/// Which tags get columns. Any plan will do: what has no column in it is written elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(super) tag_columns: Vec<TagColumn>,
    /// By key, those of each type, or [`REST`].
    columns: HashMap<String, [u16; TAG_SORTS.len()]>,
}

/// The column of tags that have none.
pub(super) const REST: u16 = u16::MAX;

impl Plan {
    /// The best plan for a block of this source alone.
    pub(crate) fn of(source: &dyn Source) -> Self {
        let mut uses: Vec<u32> = Vec::new();
        let part = if source.rows() <= ALL_ROWS { 1 } else { LOOKED_AT };
        source.each_tags(&mut |tags| {
            let pieces = tags.chunks(PIECE).step_by(part);
            pieces.flatten().for_each(|tag| *at(&mut uses, *tag) += 1);
        });
        // By key and type: how often.
        let mut counts: Vec<[u64; TAG_SORTS.len()]> = Vec::new();
        for (tag, uses) in (0..).zip(&uses).filter(|(_, uses)| **uses > 0) {
            let (key, value) = source.tag(tag);
            if let Some(sort) = sort_of(value) {
                at(&mut counts, key)[sort as usize] += u64::from(*uses);
            }
        }
        let least = least(u64::from(source.rows()) / part as u64);
        let mut often = Vec::new();
        for (key, counts) in (0..).zip(&counts) {
            let counts = TAG_SORTS.into_iter().zip(counts);
            let counts = counts.filter(|(_, count)| **count >= least);
            often.extend(counts.map(|(sort, count)| (*count, source.key(key), sort)));
        }
        Self::of_often(often)
    }

    /// A plan for a block that is made of others, with about so many spans each: of a column nobody knows
    /// how often it is used, but for whether that is worth it.
    pub(super) fn of_columns<'a>(blocks: impl IntoIterator<Item = (&'a [TagColumn], u64)>) -> Self {
        let mut counts: HashMap<(&str, TagSort), u64> = HashMap::new();
        let mut spans_of_all = 0;
        for (columns, spans) in blocks {
            spans_of_all += spans;
            for TagColumn { key, sort, .. } in columns {
                *counts.entry((key, *sort)).or_default() += spans;
            }
        }
        let least = least(spans_of_all);
        let often = counts.into_iter().filter(|(_, count)| *count >= least);
        Self::of_often(often.map(|((key, sort), count)| (count, key, sort)).collect())
    }

    fn of_often(mut often: Vec<(u64, &str, TagSort)>) -> Self {
        often.sort_unstable_by_key(|(count, key, sort)| (u64::MAX - count, *key, *sort));
        often.truncate(TAG_COLUMNS_MAX);
        let mut plan = Self::default();
        let mut names: HashMap<String, ()> = HashMap::new();
        for (_, key, sort) in often {
            let known = plan.columns.get(key);
            let is_second = known.is_some();
            let column = TagColumn { key: key.to_owned(), sort, is_second };
            let number = u16::try_from(plan.tag_columns.len()).unwrap_or(REST);
            let mut of_key = known.copied().unwrap_or([REST; TAG_SORTS.len()]);
            // A key may end like a second column's name.
            if names.insert(column.name(), ()).is_none() {
                of_key[sort as usize] = number;
                plan.tag_columns.push(column);
            }
            plan.columns.insert(key.to_owned(), of_key);
        }
        plan
    }

    /// The columns of a key's values, by their type.
    pub(super) fn columns_of(&self, key: &str) -> [u16; TAG_SORTS.len()] {
        self.columns.get(key).copied().unwrap_or([REST; TAG_SORTS.len()])
    }
}

fn least(rows: u64) -> u64 {
    (rows / ROWS_PER_USE).max(1)
}

pub(super) fn sort_of(value: TagValue<'_>) -> Option<TagSort> {
    match value {
        TagValue::Text(_) => Some(TagSort::Text),
        TagValue::Int(_) => Some(TagSort::Int),
        TagValue::Double(_) => Some(TagSort::Double),
        TagValue::Bool(_) => Some(TagSort::Bool),
        TagValue::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_several_types_have_several_columns() {
        let column = |key: &str, sort| TagColumn { key: key.to_owned(), sort, is_second: false };
        let blocks = [
            (vec![column("a", TagSort::Text), column("a", TagSort::Int)], 4_000),
            (vec![column("a", TagSort::Text), column("a#i64", TagSort::Text)], 2_000),
            (vec![column("b", TagSort::Bool)], 1_000),
            (vec![column("rare", TagSort::Text)], 2),
        ];
        let blocks = blocks.iter().map(|(columns, spans)| (&columns[..], *spans));
        let plan = Plan::of_columns(blocks);
        let names: Vec<String> = plan.tag_columns.iter().map(TagColumn::name).collect();
        // The other key's column would have the name of the second one of `a`.
        assert_eq!(names, ["attr.a", "attr.a#i64", "attr.b"]);
        assert_eq!(plan.columns_of("a"), [0, 1, REST, REST]);
        assert_eq!(plan.columns_of("a#i64"), [REST; 4]);
        assert_eq!(plan.columns_of("b"), [REST, REST, REST, 2]);
        assert_eq!(plan.columns_of("rare"), [REST; 4]);
    }
}
