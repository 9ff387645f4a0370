//! What searches pass over traces by: their times, the words that they say, and which rows are theirs.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use sigyn_model::{Searched, Span};

use super::{Checked, Place};
use crate::block::entry::Entry;
use crate::block::index::{SHAPE_WORDS_MAX, Words};
use crate::block::schema::PAGE_ROWS;
use crate::block::{Block, BlockError};
use crate::facts::{Facts, TraceKey};
use crate::wanted::Word;

/// Rows one after the other, and the traces that they belong to.
pub(super) struct Traces {
    entries: Arc<Vec<Entry>>,
    /// Numbers of entries, in the order of their rows.
    order: Vec<u32>,
    /// How many of them have begun.
    begun: usize,
    /// Of the trace that comes in.
    facts: Facts,
    said: Vec<u32>,
    saying: Saying,
    /// Rows of each group.
    groups: Vec<u32>,
    group: usize,
    /// In the group, and before it.
    row_in_group: u32,
    pages_before: usize,
    row: u32,
    /// The earliest and the latest timestamp.
    starts_ns: Option<(u64, u64)>,
}

/// Words, and the sets of them.
struct Saying {
    words: Arc<Words>,
    services: Numbers,
    names: Numbers,
    remotes: Numbers,
    error: Option<u32>,
    /// Whether a row says this word, and whether a trace has this set.
    is_said: Vec<bool>,
    is_had: Vec<bool>,
    /// How many words the least trace has that may say anything, and which one that is.
    least_untold: Option<(usize, u32)>,
    is_of_3: bool,
}

type Numbers = HashMap<String, u32, RandomState>;

impl Traces {
    pub(super) fn of(block: &Block, entries: Arc<Vec<Entry>>) -> Result<Self, BlockError> {
        let mut order: Vec<u32> = (0..).take(entries.len()).collect();
        order.sort_unstable_by_key(|number| entries[*number as usize].first_row);
        Ok(Self {
            entries,
            order,
            begun: 0,
            facts: Facts::default(),
            said: Vec::new(),
            saying: Saying::of(block.words()?, block.root.is_of_3),
            groups: block.root.groups.iter().map(|group| group.rows).collect(),
            group: 0,
            row_in_group: 0,
            pages_before: 0,
            row: 0,
            starts_ns: None,
        })
    }

    /// Where the next row is, and whether it is the first one of its trace.
    pub(super) fn next(&mut self, key: TraceKey) -> Result<(Place, bool), String> {
        let next = self.order.get(self.begun).map(|number| self.entries[*number as usize]);
        let is_first = next.is_some_and(|next| next.first_row == self.row);
        if is_first {
            self.end_trace()?;
            self.begun += 1;
        }
        let number = self.begun.checked_sub(1).map(|at| self.order[at]);
        let number = number.filter(|number| self.entries[*number as usize].key == key);
        let Some(entry) = number else {
            return Err(format!("row {} is of another trace than its index says", self.row));
        };
        while self.groups.get(self.group).is_some_and(|rows| self.row_in_group >= *rows) {
            self.pages_before += (self.groups[self.group] as usize).div_ceil(PAGE_ROWS);
            (self.group, self.row_in_group) = (self.group + 1, 0);
        }
        let page = self.pages_before + self.row_in_group as usize / PAGE_ROWS;
        (self.row, self.row_in_group) = (self.row + 1, self.row_in_group + 1);
        Ok((Place { entry, page }, is_first))
    }

    /// What that row says.
    pub(super) fn row(&mut self, words: &[u32], row: &impl Searched) {
        let timestamp = row.timestamp();
        self.facts.add_times(row.is_root(), timestamp, row.duration_us());
        self.said.extend_from_slice(words);
        if let Some(at) = timestamp.map(|at| at.nanos()) {
            let (first, last) = self.starts_ns.unwrap_or((at, at));
            self.starts_ns = Some((first.min(at), last.max(at)));
        }
    }

    /// Numbers of the words that a span says.
    pub(super) fn words_of(&self, span: &Span) -> Result<Vec<u32>, String> {
        self.saying.words_of(span)
    }

    /// The next row is of another trace.
    fn end_trace(&mut self) -> Checked {
        let Some(at) = self.begun.checked_sub(1) else { return Ok(()) };
        let number = self.order[at];
        let told = self.entries[number as usize];
        let facts = std::mem::take(&mut self.facts);
        let rows = self.row.wrapping_sub(told.first_row);
        let found = Entry::new(told.key, &facts, told.first_row, rows, told.shape);
        if let Some((what, told_so, found)) = differs(&told, &found) {
            return Err(format!(
                "{} tells of {what} {told_so}, and its rows of {found}",
                entry_of(number, told.key)
            ));
        }
        self.said.sort_unstable();
        self.said.dedup();
        let checked = self.saying.trace(number, &told, &self.said);
        self.said.clear();
        checked
    }

    pub(super) fn end(mut self, block: &Block) -> Checked {
        self.end_trace()?;
        if let Some(number) = self.order.get(self.begun) {
            let key = self.entries[*number as usize].key;
            return Err(format!("{} tells of rows that are not there", entry_of(*number, key)));
        }
        let told = (block.entry.spans, block.entry.traces);
        let found = (u64::from(self.row), self.entries.len() as u64);
        if found != told {
            return Err(format!(
                "it has {} spans of {} traces, and the catalog says {} of {}",
                found.0, found.1, told.0, told.1
            ));
        }
        if self.starts_ns != block.entry.starts_ns {
            return Err(format!(
                "its spans start from {:?} nanoseconds since 1970 on, and the catalog says {:?}",
                self.starts_ns, block.entry.starts_ns
            ));
        }
        let entries = self.entries;
        self.saying.end(|number| entry_of(number, entries[number as usize].key))
    }
}

/// How an entry is called.
pub(super) fn entry_of(number: u32, TraceKey { high, low }: TraceKey) -> String {
    format!("entry {number} of its index, of trace {high:016x}{low:016x},")
}

/// The first thing that one entry says otherwise than another one, and what both say.
fn differs(told: &Entry, found: &Entry) -> Option<(&'static str, String, String)> {
    if told == found {
        return None;
    }
    let said = |entry: &Entry| {
        [
            ("the earliest start", format!("{:?}", entry.start)),
            ("the earliest start of a root", format!("{:?}", entry.root_start)),
            (
                "the latest start, in milliseconds after the earliest,",
                entry.latest_after_ms.to_string(),
            ),
            ("the longest span, in microseconds,", entry.longest_us.to_string()),
            ("a number of rows,", entry.rows.to_string()),
        ]
    };
    let both = said(told).into_iter().zip(said(found));
    both.map(|((what, told), (_, found))| (what, told, found)).find(|(_, one, other)| one != other)
}

impl Saying {
    fn of(words: Arc<Words>, is_of_3: bool) -> Self {
        let (mut services, mut names, mut remotes) =
            (Numbers::default(), Numbers::default(), Numbers::default());
        let mut error = None;
        for (number, word) in (0..).zip(&words.words) {
            let text = word.text().to_owned();
            match word {
                Word::Service(_) => drop(services.insert(text, number)),
                Word::SpanName(_) => drop(names.insert(text, number)),
                Word::RemoteService(_) => drop(remotes.insert(text, number)),
                Word::Error => error = Some(number),
            }
        }
        let is_said = vec![false; words.words.len()];
        let is_had = vec![false; words.shapes.len()];
        let least_untold = None;
        Self { words, services, names, remotes, error, is_said, is_had, least_untold, is_of_3 }
    }

    fn words_of(&self, span: &Span) -> Result<Vec<u32>, String> {
        let mut said = Vec::new();
        let name = Some(span.name.as_str()).filter(|name| !name.is_empty());
        let texts = [
            (span.service_name(), &self.services, "service"),
            (name, &self.names, "span name"),
            (span.remote_service_name(), &self.remotes, "remote service"),
        ];
        for (text, numbers, what) in texts {
            let Some(text) = text else { continue };
            let Some(number) = numbers.get(text) else {
                return Err(format!("its words have no {what} {text:?}, and its rows have"));
            };
            said.push(*number);
        }
        if Word::Error.is_in(span) {
            let number = self.error.ok_or("its words have no error, and its rows have")?;
            said.push(number);
        }
        Ok(said)
    }

    /// A trace says these, and no others.
    fn trace(&mut self, number: u32, told: &Entry, said: &[u32]) -> Checked {
        said.iter().for_each(|word| self.is_said[*word as usize] = true);
        let Some(shape) = told.shape.checked_sub(1).map(|shape| shape as usize) else {
            if self.least_untold.is_none_or(|(least, _)| said.len() < least) {
                self.least_untold = Some((said.len(), number));
            }
            return Ok(());
        };
        let name = || entry_of(number, told.key);
        let Some(words) = self.words.shapes.get(shape) else {
            return Err(format!("{} has a set of words that is nowhere", name()));
        };
        self.is_had[shape] = true;
        if words == said {
            return Ok(());
        }
        let word = |number: &u32| self.words.words.get(*number as usize);
        if let Some(missing) = said.iter().find(|word| !words.contains(word)) {
            return Err(format!("{} does not say {:?}, and its rows do", name(), word(missing)));
        }
        let other = words.iter().find(|word| !said.contains(word));
        let other = other.and_then(word);
        Err(format!("{} says {other:?}, and its rows do not", name()))
    }

    fn end(self, name: impl Fn(u32) -> String) -> Checked {
        if let Some(at) = self.is_said.iter().position(|is_said| !is_said) {
            return Err(format!(
                "its words have {:?}, and its rows have not",
                self.words.words[at]
            ));
        }
        if let Some(at) = self.is_had.iter().position(|is_had| !is_had) {
            return Err(format!("its set of words {at} is that of no trace"));
        }
        // What was too many before this version is not known.
        let all = self.words.shapes.numbers.len();
        match self.least_untold {
            Some((words, number)) if !self.is_of_3 && all + words <= SHAPE_WORDS_MAX => {
                Err(format!("{} has no set of words, and there was room", name(number)))
            }
            _ => Ok(()),
        }
    }
}
