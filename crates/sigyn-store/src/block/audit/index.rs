//! How traces are found: entries in their order, what is told of pages of them, and ids.

use sigyn_model::Timestamp;

use super::{AuditError, Checked, traces::entry_of};
use crate::block::entry::{Entry, PAGE_ENTRIES};
use crate::block::index::{EntryPage, PageTimes, mixed};
use crate::block::{Block, BlockError};
use crate::facts::TraceKey;

/// By which entries are sorted.
fn newest(entry: &Entry) -> Option<Timestamp> {
    entry.start.max(entry.root_start)
}

impl Block {
    /// All entries, in order, if pages of them and ids go together with them.
    pub(super) fn audited_entries(&self) -> Result<Vec<Entry>, AuditError> {
        let failed = |error: BlockError| self.failed(error);
        let mut entries: Vec<Entry> = Vec::new();
        for (number, page) in self.root.places.entries.iter().enumerate() {
            let of_page = self.read_entries(page).map_err(failed)?;
            // Where an entry is, is known from its number.
            if of_page.is_empty() || entries.len() != number * PAGE_ENTRIES {
                let wrong = format!(
                    "there are {} entries before page {number} of its index",
                    entries.len()
                );
                return Err(AuditError::Wrong(wrong));
            }
            let checked = page_is_right(number, page, &of_page);
            checked.map_err(AuditError::Wrong)?;
            entries.extend(of_page);
        }
        let checked = are_in_order(&entries).and_then(|()| are_different(&entries));
        checked.map_err(AuditError::Wrong)?;
        let ids = self.all_ids().map_err(failed)?;
        self.ids_are_right(&ids, &entries).map_err(AuditError::Wrong)?;
        Ok(entries)
    }

    /// Those of each page.
    fn all_ids(&self) -> Result<Vec<Vec<(u32, u32)>>, BlockError> {
        self.root.places.ids.iter().map(|page| self.read_ids(page)).collect()
    }

    /// Each trace is found by its id, once.
    fn ids_are_right(&self, ids: &[Vec<(u32, u32)>], entries: &[Entry]) -> Checked {
        if ids.iter().any(Vec::is_empty) {
            return Err("a page of its ids is empty".to_owned());
        }
        let mut is_found = vec![false; entries.len()];
        let mut last = 0;
        for (id, number) in ids.iter().flatten() {
            let Some(entry) = entries.get(*number as usize) else {
                return Err(format!("its ids tell of entry {number}, and there is none"));
            };
            if mixed(entry.key.low) != *id || last > *id {
                return Err(format!("{} is not found by its id", entry_of(*number, entry.key)));
            }
            if std::mem::replace(&mut is_found[*number as usize], true) {
                return Err(format!("{} is found twice by its id", entry_of(*number, entry.key)));
            }
            last = *id;
        }
        for ((number, entry), is_found) in (0..).zip(entries).zip(is_found) {
            if !is_found || !self.filter.may_have(entry.key.low) {
                return Err(format!("{} is not found by its id", entry_of(number, entry.key)));
            }
        }
        Ok(())
    }
}

/// Each trace has one entry.
fn are_different(entries: &[Entry]) -> Checked {
    let keys = (0..).zip(entries).map(|(number, entry)| (entry.key, number));
    let mut keys: Vec<(TraceKey, u32)> = keys.collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("{} is not the only one of it", entry_of(pair[0].1, pair[0].0))),
        None => Ok(()),
    }
}

/// Whether what is told of a page is that of its entries.
fn page_is_right(number: usize, page: &EntryPage, entries: &[Entry]) -> Checked {
    let oldest = entries.iter().filter_map(|entry| entry.start).min();
    let latest_ms = entries.iter().filter_map(Entry::latest_ms).max();
    let newest = entries.iter().filter_map(newest).max();
    let found = oldest.zip(newest).zip(latest_ms);
    let found = found.map(|((oldest, newest), latest_ms)| PageTimes {
        oldest: oldest.nanos(),
        newest: newest.nanos(),
        latest_ms,
    });
    if found == page.times {
        return Ok(());
    }
    Err(format!(
        "of page {number} of its index it tells times {:?}, and those of its entries are {found:?}",
        page.times
    ))
}

fn are_in_order(entries: &[Entry]) -> Checked {
    match (0..).zip(entries.windows(2)).find(|(_, pair)| newest(&pair[0]) < newest(&pair[1])) {
        Some((number, pair)) => {
            Err(format!("{} is before a newer one", entry_of(number, pair[0].key)))
        }
        None => Ok(()),
    }
}
