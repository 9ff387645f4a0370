//! Spans one by one, whatever trace they are of: of blocks only the columns are read that are asked for.
//!
//! What stands in several parts, or in a head several times, is left out there, and looked at as a whole.

use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};

use sigyn_model::{Selection, Span, SpanFilter, TraceId};

use crate::alike::{Asked, Stored};
use crate::block::page_rows::PageRows;
use crate::block::scan::{Deciding, Scanned};
use crate::block::{Block, QueryFailed};
use crate::facts::{Strictness, TraceKey};
use crate::head::HeadView;
use crate::query::{Bounds, each_trace};
use crate::rarest::has_rarest;
use crate::sweep::Swept;
use crate::trace::assemble;
use crate::twins::Twins;
use crate::until::Until;
use crate::view::Parts;
use crate::wanted::Wanted;

/// Spans of a head that are added between two looks at what an answer takes.
const CHECK_EVERY: u32 = 8 << 10;

/// Which spans are meant: each by itself can tell.
#[derive(Debug)]
pub(crate) struct Meant {
    /// In microseconds.
    window: RangeInclusive<u64>,
    filter: SpanFilter,
    filter_is_empty: bool,
    wanted: Wanted,
}

impl Meant {
    /// `None` if a span can only tell with others of its trace.
    pub(crate) fn by(selection: &Selection) -> Option<Self> {
        let filter = selection.filter.of_spans()?;
        let window = selection.start_us..=selection.end_us;
        let (filter_is_empty, wanted) =
            (selection.filter.is_empty(), Wanted::of_filter(&selection.filter));
        Some(Self { window, filter, filter_is_empty, wanted })
    }

    fn covers(&self, span: &impl Stored) -> bool {
        span.timestamp().is_some_and(|at| self.window.contains(&at.micros()))
            && self.filter.means(span)
    }
}

/// An answer that spans are added to.
pub(crate) trait Tally {
    /// What of spans decides how they count.
    fn asked(&self) -> Asked;

    /// Adds a span that is meant. Those with the same numbers are alike in what is asked, until the numbers
    /// are forgotten.
    fn add(&mut self, span: &impl Stored, numbers: Option<&[u32]>);

    /// Adds rows of a page of a block, all of which are meant, if it can add many at once; whether it did.
    fn add_rows(&mut self, _rows: &PageRows<'_, '_>, _columns: &Deciding) -> bool {
        false
    }

    fn forget_numbers(&mut self);

    /// Whether any span of a block may count.
    fn may_count(&self, _block: &Block) -> Result<bool, QueryFailed> {
        Ok(true)
    }

    /// Adds spans of a block as `scan` does, and returns what that took. Where all are meant, it is told
    /// which, and what was added once need not be scanned again. A scan that is stopped has added some.
    fn add_block(
        &mut self,
        _whole: Option<Whole<'_>>,
        scan: &mut dyn FnMut(&mut Self) -> Result<Swept, QueryFailed>,
    ) -> Result<Swept, QueryFailed> {
        scan(self)
    }

    /// What it takes in memory, about.
    fn bytes(&self) -> u64;
}

/// All spans of a block, but for some rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<'a> {
    pub(crate) block: &'a Block,
    pub(crate) without: &'a [Range<u64>],
}

struct Scan<'a, T> {
    meant: &'a Meant,
    bounds: Bounds<'a>,
    until: Until,
    asked: Asked,
    tally: &'a mut T,
    numbers: Vec<u32>,
    swept: Swept,
}

impl Parts {
    /// Adds all spans that are meant, each once; `None` if they are so few that they are found by an index.
    pub(crate) fn scan(
        &self,
        meant: &Meant,
        twins: &Twins,
        bounds: Bounds<'_>,
        until: Until,
        tally: &mut impl Tally,
    ) -> Result<Option<Swept>, QueryFailed> {
        let looked_up = self.blocks.iter().map(|block| block.look_up(&meant.wanted));
        let looked_up: Vec<_> = looked_up.collect::<Result<_, _>>()?;
        if has_rarest(&meant.wanted, &looked_up) {
            return Ok(None);
        }
        let window_ms = (meant.window.start() / 1_000, meant.window.end() / 1_000);
        let mut apart = twins.of(&self.blocks, window_ms, bounds)?;
        let (mut heads, mut looked_in, mut unjudged) = (Vec::new(), Vec::new(), Vec::new());
        for (number, head) in self.heads.iter().enumerate() {
            let (mut counts, view) = head.counts(bounds)?;
            self.look_for_others(number, &view, &mut counts, bounds.stop)?;
            unjudged.extend(counts.unjudged(&view));
            looked_in.push(counts.blocks.clone());
            drop(counts);
            heads.push(view);
        }
        // Others may have looked when the head that these were left out of was gone already. Only now, for that head
        // leaves them out before anybody can look so, and that is before what was just taken of the next one.
        heads.iter().for_each(|view| apart.extend(view.left_out()));
        let parts = Self { heads, ..self.clone() };
        let (are_twice, mut once) = parts.judge(unjudged, bounds)?;
        apart.extend(are_twice);
        apart.sort_unstable();
        apart.dedup();
        let asked = tally.asked();
        let (numbers, swept) = (Vec::new(), Swept::default());
        let mut scan = Scan { meant, bounds, until, asked, tally, numbers, swept };
        let without: HashSet<TraceKey> = apart.iter().copied().collect();
        for head in &parts.heads {
            scan.head(head, &without)?;
        }
        scan.traces(&parts, &apart, &mut once)?;
        // The newest first: of what there is no time for, nobody asks most.
        for (block, looked_up) in parts.blocks.iter().zip(&looked_up).rev() {
            if block.may_start_in(&meant.window)
                && looked_up.may_meet_all()?
                && scan.tally.may_count(block)?
            {
                scan.block(&parts, block, &apart)?;
            }
        }
        parts.note_once(&once, &looked_in, bounds)?;
        Ok(Some(scan.swept))
    }
}

impl<T: Tally> Scan<'_, T> {
    fn add<S: Stored>(&mut self, span: &S, columns: &S::Columns) {
        self.swept.spans += 1;
        self.swept.scanned += 1;
        if self.meant.filter.means(span) {
            self.numbers.clear();
            let are_told = span.numbers(columns, &mut self.numbers);
            self.tally.add(span, are_told.then_some(&self.numbers));
        }
    }

    fn add_rows(&mut self, rows: &PageRows<'_, '_>, columns: &Deciding) {
        if self.meant.filter_is_empty && self.tally.add_rows(rows, columns) {
            self.swept.spans += rows.len() as u64;
            self.swept.scanned += rows.len() as u64;
            return;
        }
        (0..rows.len()).for_each(|at| self.add(&rows.row(at), columns));
    }

    fn block(
        &mut self,
        parts: &Parts,
        block: &Block,
        apart: &[TraceKey],
    ) -> Result<(), QueryFailed> {
        if self.is_over() {
            return Ok(());
        }
        let mut without = apart.to_vec();
        without.extend(parts.buried.of(block.entry().last_seq));
        without.sort_unstable();
        without.dedup();
        let without = block.rows_of(&without)?;
        let columns = block.deciding(&self.asked);
        let Self { meant, bounds, until, .. } = *self;
        let looked_at = self.swept;
        let is_whole = meant.filter_is_empty && block.starts_in(&meant.window);
        let whole = is_whole.then_some(Whole { block, without: &without });
        let (asked, mut numbers) = (&self.asked, std::mem::take(&mut self.numbers));
        let (mut is_over, mut left_off) = (false, None);
        let added = self.tally.add_block(whole, &mut |tally| {
            let (asked, swept) = (asked.clone(), Swept::default());
            let numbers = std::mem::take(&mut numbers);
            let mut scan = Scan { meant, bounds, until, asked, tally, numbers, swept };
            block.scan(&meant.window, &without, bounds.stop, &mut |scanned| {
                match scanned {
                    Scanned::Rows(_) if is_over => {
                        scan.tally.forget_numbers();
                        left_off = Some(scan.swept);
                        return Err(QueryFailed::Stopped);
                    }
                    Scanned::Rows(rows) => scan.add_rows(rows, &columns),
                    Scanned::EndOfPage => {
                        bounds.check(scan.tally.bytes())?;
                        let spans = looked_at.spans + scan.swept.spans;
                        is_over = until.is_over(&Swept { spans, ..looked_at });
                    }
                    Scanned::EndOfGroup => scan.tally.forget_numbers(),
                }
                Ok(())
            })?;
            Ok(scan.swept)
        });
        self.swept.is_partial |= left_off.is_some();
        let swept = match (added, left_off) {
            (Err(QueryFailed::Stopped), Some(swept)) => swept,
            (added, _) => added?,
        };
        self.swept.spans += swept.spans;
        self.swept.scanned += swept.scanned;
        self.swept.counted += swept.counted;
        self.bounds.check(self.tally.bytes())
    }

    /// Whether no more is looked at, though there is more.
    fn is_over(&mut self) -> bool {
        self.swept.is_partial |= self.until.is_over(&self.swept);
        self.swept.is_partial
    }

    fn head(&mut self, head: &HeadView, without: &HashSet<TraceKey>) -> Result<(), QueryFailed> {
        let (stop, window) = (self.bounds.stop, self.meant.window.clone());
        let asked = self.asked.clone();
        let (mut has_room, mut unchecked) = (Ok(()), 0);
        each_trace(head, stop, |key, trace| {
            if has_room.is_err() {
                return;
            }
            let facts = trace.facts();
            let is_apart = facts.start.is_none_or(|at| at.micros() > *window.end())
                || facts.latest.is_none_or(|at| at.micros() < *window.start());
            if is_apart || without.contains(&key) {
                return;
            }
            for row in trace.rows() {
                let start = sigyn_model::Searched::timestamp(&row);
                if start.is_some_and(|at| window.contains(&at.micros())) {
                    self.add(&row, &asked);
                    unchecked += 1;
                }
            }
            if unchecked >= CHECK_EVERY {
                unchecked = 0;
                has_room = self.bounds.check(self.tally.bytes());
            }
        })?;
        has_room?;
        self.tally.forget_numbers();
        self.bounds.check(self.tally.bytes())
    }

    /// Adds whole traces; of which no span was there twice go to `once`.
    fn traces(
        &mut self,
        parts: &Parts,
        keys: &[TraceKey],
        once: &mut Vec<TraceKey>,
    ) -> Result<(), QueryFailed> {
        let Self { meant, bounds, until, tally, swept, .. } = self;
        let added = parts.each_group(keys, Strictness::Strict, *bounds, &mut |key, spans| {
            let Some(spans) = spans else {
                swept.too_large += 1;
                return Ok(());
            };
            let count = spans.len();
            let trace = assemble(spans);
            swept.traces += 1;
            swept.spans += trace.len() as u64;
            for span in trace.iter().filter(|span| meant.covers(*span)) {
                tally.add(span, None);
            }
            if trace.len() == count {
                once.push(key);
            }
            bounds.check(tally.bytes())?;
            if until.is_over(swept) {
                swept.is_partial = true;
                return Err(QueryFailed::Stopped);
            }
            Ok(())
        });
        match added {
            Err(QueryFailed::Stopped) if swept.is_partial => Ok(()),
            added => added,
        }
    }
}

impl Stored for Span {
    type Columns = ();

    fn trace_id(&self) -> Option<TraceId> {
        Some(self.trace_id)
    }

    fn span_id(&self) -> Option<u64> {
        Some(self.id.as_u64())
    }

    fn numbers(&self, (): &(), _: &mut Vec<u32>) -> bool {
        false
    }
}
