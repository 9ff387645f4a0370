//! Words, heat maps and rates, as spans are added to them one by one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::time::Duration;

use sigyn_model::{
    Differences, Field, Gathered, Heat, Red, Searched, Seen, Span, Timestamp, TraceId, Unit, What,
    Words, WordsQuery,
};

use crate::alike::{Asked, ByNumbers, Stored};
use crate::block::page_rows::PageRows;
use crate::block::scan::Deciding;
use crate::block::{Block, QueryFailed};
use crate::query::READ_ROWS_MAX;
use crate::scan::{Tally, Whole};
use crate::sweep::{Answer, Swept};

/// A word with what is told of it takes so much beside its text.
const WORD_BYTES: usize = 64;

fn texts_bytes(texts: &[String]) -> usize {
    texts.iter().map(|text| size_of::<String>() + 16 + text.len()).sum()
}

fn words_bytes(words: &Words) -> usize {
    words.words().keys().map(|word| WORD_BYTES + word.len()).sum()
}

/// Words, those that are alike counted together.
#[derive(Debug)]
pub(crate) struct WordTally {
    asked: Asked,
    pub(crate) words: Words,
    alike: ByNumbers<(Vec<String>, Option<Seen>)>,
}

/// What a block has.
#[derive(Debug)]
struct Kept {
    asked: (What, String, Vec<Range<u64>>),
    words: Words,
    spans: u64,
}

impl WordTally {
    pub(crate) fn new(query: &WordsQuery) -> Self {
        let asked = Asked::of(&query.what);
        Self { asked, words: Words::new(query.clone()), alike: ByNumbers::default() }
    }
}

impl Tally for WordTally {
    fn asked(&self) -> Asked {
        self.asked.clone()
    }

    fn add(&mut self, span: &impl Stored, numbers: Option<&[u32]>) {
        let Some(seen) = span.timestamp().map(Seen::at) else { return };
        let Some(numbers) = numbers else {
            self.words.said(span).iter().for_each(|word| self.words.put(word, seen));
            return;
        };
        if self.alike.is_full() {
            Tally::forget_numbers(self);
        }
        let words = &mut self.words;
        let (_, all) = self.alike.get_or_insert_with(numbers, || {
            let said = words.said(span);
            let bytes = texts_bytes(&said);
            ((said, None), bytes)
        });
        match all {
            Some(all) => all.merge(seen),
            None => *all = Some(seen),
        }
    }

    fn may_count(&self, block: &Block) -> Result<bool, QueryFailed> {
        match &self.words.query().what {
            What::Values(field) => block.may_say(field),
            What::Keys => Ok(true),
        }
    }

    fn add_block(
        &mut self,
        whole: Option<Whole<'_>>,
        scan: &mut dyn FnMut(&mut Self) -> Result<Swept, QueryFailed>,
    ) -> Result<Swept, QueryFailed> {
        let Some(Whole { block, without }) = whole else { return scan(self) };
        let WordsQuery { what, prefix, .. } = self.words.query();
        let asked = (what.clone(), prefix.clone(), without.to_vec());
        let mut hasher = DefaultHasher::new();
        asked.hash(&mut hasher);
        let (mut now, mut left_off) = (None, None);
        let kept = block.kept(hasher.finish(), || {
            let mut part = Self::new(self.words.query());
            let scanned = scan(&mut part);
            let words = part.words;
            let swept = match scanned {
                Ok(swept) => swept,
                Err(error) => {
                    left_off = Some(words);
                    return Err(error);
                }
            };
            now = Some(swept);
            let bytes = words_bytes(&words) + size_of_val(without);
            Ok((Kept { asked: asked.clone(), words, spans: swept.spans }, bytes))
        });
        if let Some(words) = left_off {
            self.words.merge(&words);
        }
        let kept = kept?;
        // Two questions may hash to the same.
        if kept.asked != asked {
            return scan(self);
        }
        self.words.merge(&kept.words);
        Ok(now.unwrap_or(Swept { counted: kept.spans, ..Swept::default() }))
    }

    fn forget_numbers(&mut self) {
        for (words, seen) in self.alike.drain() {
            if let Some(seen) = seen {
                words.iter().for_each(|word| self.words.put(word, seen));
            }
        }
    }

    fn bytes(&self) -> u64 {
        words_bytes(&self.words) as u64 + self.alike.bytes()
    }
}

/// What sets some apart, of whole traces.
#[derive(Debug)]
pub(crate) struct ApartTally {
    pub(crate) differences: Differences,
}

impl Answer for ApartTally {
    fn asked(&self) -> Option<Asked> {
        Some(Asked::All)
    }

    /// What the spans of a trace say is gathered before it is counted.
    fn rows_max(&self) -> u64 {
        READ_ROWS_MAX.min(4 << 10)
    }

    /// Spans that are there twice may have labels of two targets, of which one counts.
    fn wants_once(&self) -> bool {
        true
    }

    fn add(&mut self, trace: &[Span]) {
        self.differences.add(trace);
    }

    fn add_rows<S: Stored>(&mut self, rows: &[S], _: TraceId, _: Option<&S::Columns>) {
        self.differences.add(rows);
    }

    fn bytes(&self) -> u64 {
        self.differences.bytes()
    }
}

/// Words, of whole traces.
impl Answer for WordTally {
    fn add(&mut self, trace: &[Span]) {
        self.words.add(trace);
    }

    fn bytes(&self) -> u64 {
        words_bytes(&self.words) as u64
    }
}

/// A map of spans, or of traces.
#[derive(Debug)]
pub(crate) struct HeatTally {
    pub(crate) heat: Heat,
    are_errors: ByNumbers<bool>,
    numbers: Vec<u32>,
}

impl HeatTally {
    pub(crate) fn new(heat: Heat) -> Self {
        Self { heat, are_errors: ByNumbers::default(), numbers: Vec::new() }
    }
}

fn is_error(known: &mut ByNumbers<bool>, span: &impl Stored, numbers: Option<&[u32]>) -> bool {
    if known.is_full() {
        known.drain();
    }
    match numbers {
        Some(numbers) => *known.get_or_insert_with(numbers, || (span.is_error(), 0)),
        None => span.is_error(),
    }
}

impl Tally for HeatTally {
    fn asked(&self) -> Asked {
        Asked::errors()
    }

    fn add(&mut self, span: &impl Stored, numbers: Option<&[u32]>) {
        let is_error = is_error(&mut self.are_errors, span, numbers);
        if let Some(id) = span.trace_id() {
            self.heat.add_span(span, id, is_error);
        }
    }

    fn add_rows(&mut self, rows: &PageRows<'_, '_>, columns: &Deciding) -> bool {
        let Some(kinds) = rows.kinds(columns) else { return false };
        let Self { heat, are_errors, numbers } = self;
        let mut look = |at: usize| {
            let row = rows.row(at);
            numbers.clear();
            let are_told = row.numbers(columns, numbers);
            is_error(are_errors, &row, are_told.then_some(numbers))
        };
        let of_kinds: Vec<bool> = kinds.examples.iter().map(|at| look(*at)).collect();
        let mut adding = heat.adding();
        rows.each_times(&mut |at, (start, took)| {
            let took = match took {
                Some(u64::MAX) => rows.row(at).duration(),
                took => took.map(Duration::from_nanos),
            };
            let Some(took) = took else { return };
            let known = kinds.of_rows[at].and_then(|kind| of_kinds.get(kind as usize));
            let is_error = known.copied().unwrap_or_else(|| look(at));
            adding.add(Timestamp::from_nanos(start), took, is_error, || rows.trace_id(at));
        });
        true
    }

    fn forget_numbers(&mut self) {
        self.are_errors.drain();
    }

    fn bytes(&self) -> u64 {
        self.heat.bytes() + self.are_errors.bytes()
    }
}

/// Whole traces, where maps are of these.
impl Answer for HeatTally {
    fn asked(&self) -> Option<Asked> {
        let query = self.heat.query();
        // In a block no span is twice, but in one that merges cut.
        let bears_duplicates = query.selection().filter.bears_duplicates();
        (query.of() == Unit::Traces && bears_duplicates).then(Asked::errors)
    }

    fn add(&mut self, trace: &[Span]) {
        self.heat.add(trace);
    }

    fn add_rows<S: Stored>(&mut self, rows: &[S], id: TraceId, columns: Option<&S::Columns>) {
        let Self { heat, are_errors, numbers } = self;
        heat.add_trace(rows, id, || {
            rows.iter().any(|row| {
                numbers.clear();
                let are_told = columns.is_some_and(|columns| row.numbers(columns, numbers));
                is_error(are_errors, row, are_told.then_some(numbers))
            })
        });
    }

    fn gathering(&self) -> Option<Gathered> {
        self.heat.gathering()
    }

    fn show<S: Stored>(&mut self, row: &S, columns: &S::Columns, out: &mut Gathered) {
        let Some(trace_id) = row.trace_id() else { return };
        let Self { are_errors, numbers, .. } = self;
        let id = || row.span_id().unwrap_or(0);
        out.show(row, trace_id, id, || {
            numbers.clear();
            let are_told = row.numbers(columns, numbers);
            is_error(are_errors, row, are_told.then_some(numbers))
        });
    }

    fn add_gathered(&mut self, trace: &Gathered) {
        self.heat.add_gathered(trace);
    }

    fn forget_numbers(&mut self) {
        self.are_errors.drain();
    }

    fn bytes(&self) -> u64 {
        self.heat.bytes()
    }
}

/// Rates, errors and durations.
#[derive(Debug)]
pub(crate) struct RedTally {
    asked: Asked,
    pub(crate) red: Red,
    /// In which group, and whether it failed.
    alike: ByNumbers<(Vec<String>, bool)>,
}

impl RedTally {
    pub(crate) fn new(red: Red) -> Self {
        let fields = red.query().by().iter().cloned().chain([Field::Status]).collect();
        Self { asked: Asked::Fields(fields), red, alike: ByNumbers::default() }
    }
}

impl Tally for RedTally {
    fn asked(&self) -> Asked {
        self.asked.clone()
    }

    fn add(&mut self, span: &impl Stored, numbers: Option<&[u32]>) {
        if self.alike.is_full() {
            self.forget_numbers();
        }
        let query = self.red.query();
        let look = || (query.key(span), span.is_error());
        match numbers {
            Some(numbers) => {
                let (key, is_error) = self.alike.get_or_insert_with(numbers, || {
                    let (key, is_error) = look();
                    let bytes = texts_bytes(&key);
                    ((key, is_error), bytes)
                });
                self.red.add_one(key, span, *is_error);
            }
            None => {
                let (key, is_error) = look();
                self.red.add_one(&key, span, is_error);
            }
        }
    }

    fn forget_numbers(&mut self) {
        self.alike.drain();
    }

    fn bytes(&self) -> u64 {
        self.red.bytes() + self.alike.bytes()
    }
}
