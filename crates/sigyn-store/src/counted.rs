//! Rates, errors and durations from what blocks and heads counted ahead, where that tells all that is asked.

mod projected;

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::ops::RangeInclusive;

use foldhash::fast::RandomState;
use sigyn_model::{Field, Red, RedQuery, Span, SpanFilter};

use crate::block::rollup::{FIELDS, MINUTE_US, Sort};
use crate::block::{Block, QueryFailed};
use crate::facts::{Strictness, TraceKey};
use crate::head::{Counts, HeadView};
use crate::query::{Bounds, HEAD_TRACES, each_trace};
use crate::stop::Stop;
use crate::sweep::Swept;
use crate::trace::{Said, assemble};
use crate::twins::Twins;
use crate::view::Parts;

/// A question that counts answer: it tells apart no spans that are counted together.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    query: &'a RedQuery,
    filter: SpanFilter,
    needs_names: bool,
}

impl<'a> Counting<'a> {
    /// `None` if spans must be looked at one by one.
    pub(crate) fn of(query: &'a RedQuery) -> Option<Self> {
        let selection = query.selection();
        let is_whole = query.steps().len_us().is_multiple_of(MINUTE_US)
            && selection.start_us.is_multiple_of(MINUTE_US)
            && selection.end_us.checked_add(1).is_none_or(|end| end.is_multiple_of(MINUTE_US));
        let filter = selection.filter.of_spans()?;
        let is_counted_by = |fields: &[Field]| {
            filter.asks_only(fields) && query.by().iter().all(|field| fields.contains(field))
        };
        let nameless =
            FIELDS.map(|field| if field == Field::Name { Field::Service } else { field });
        let needs_names = !is_counted_by(&nameless);
        (is_whole && is_counted_by(&FIELDS)).then_some(Self { query, filter, needs_names })
    }

    fn minutes(&self) -> RangeInclusive<u32> {
        let minute = |us: u64| u32::try_from(us / MINUTE_US).unwrap_or(u32::MAX);
        let selection = self.query.selection();
        minute(selection.start_us)..=minute(selection.end_us)
    }

    fn covers(&self, span: &Span) -> bool {
        let selection = self.query.selection();
        let window = selection.start_us..=selection.end_us;
        span.timestamp.is_some_and(|at| window.contains(&at.micros())) && self.filter.means(span)
    }

    /// The name of the group in which spans are that are counted together, if they are meant.
    fn key(&self, sort: &Sort<'_>) -> Option<Vec<String>> {
        self.filter.means(sort).then(|| self.query.key(sort))
    }

    /// What is asked of a block, wherever the window is.
    fn asked(&self) -> (String, Vec<Field>, u64) {
        let filter = self.query.selection().filter.text().to_owned();
        (filter, self.query.by().to_vec(), self.query.steps().len_us())
    }
}

/// What the hash of a span takes among others.
const SEEN_BYTES: usize = 18;

/// An answer that is being put together.
struct Count<'a> {
    counting: &'a Counting<'a>,
    bounds: Bounds<'a>,
    red: Red,
    swept: Swept,
    /// Traces of which no span was counted twice.
    once: Vec<TraceKey>,
}

impl Parts {
    /// What [`Red::add`] makes of all traces and an empty answer, without looking at most of them. Each part is counted by itself,
    /// and what stands in several of them, or in a head several times, is taken out again.
    pub(crate) fn red(
        &self,
        counting: &Counting<'_>,
        red: Red,
        twins: &Twins,
        bounds: Bounds<'_>,
    ) -> Result<(Red, Swept), QueryFailed> {
        let mut count = Count { counting, bounds, red, swept: Swept::default(), once: Vec::new() };
        for block in self.blocks.iter() {
            bounds.stop.check()?;
            count.block(self, block)?;
            bounds.check(count.red.bytes())?;
        }
        let selection = counting.query.selection();
        let window_ms = (selection.start_us / 1_000, selection.end_us / 1_000);
        let mut twice = twins.of(&self.blocks, window_ms, bounds)?;
        let (mut heads, mut looked_in, mut unjudged) = (Vec::new(), Vec::new(), Vec::new());
        for (number, head) in self.heads.iter().enumerate() {
            let (mut counts, view) = head.counts(bounds)?;
            self.look_for_others(number, &view, &mut counts, bounds.stop)?;
            unjudged.extend(counts.unjudged(&view));
            looked_in.push(counts.blocks.clone());
            // What comes from now on is for another question.
            let is_counted = count.head(&counts)?;
            drop(counts);
            if !is_counted {
                count.head_spans(&view)?;
            }
            heads.push(view);
        }
        // Others may have looked when the head that these were left out of was gone already. Only now, for that head
        // leaves them out before anybody can look so, and that is before what was just taken of the next one.
        heads.iter().for_each(|view| twice.extend(view.left_out()));
        let parts = Self { heads, ..self.clone() };
        let (are_twice, are_once) = parts.judge(unjudged, bounds)?;
        twice.extend(are_twice);
        count.once.extend(are_once);
        twice.sort_unstable();
        twice.dedup();
        count.take_out(&parts, &twice)?;
        parts.note_once(&count.once, &looked_in, bounds)?;
        Ok((count.red, count.swept))
    }
}

impl Count<'_> {
    fn block(&mut self, parts: &Parts, block: &Block) -> Result<(), QueryFailed> {
        let Self { counting, bounds, red, swept, .. } = self;
        let selection = counting.query.selection();
        let (start_ms, end_ms) = (selection.start_us / 1_000, selection.end_us / 1_000);
        let last_seq = block.entry().last_seq;
        let mut has_buried = false;
        for key in parts.buried.of(last_seq) {
            has_buried |= !block.group(key, Strictness::Strict)?.is_empty();
        }
        if !has_buried && let Some(projected) = block.projected(counting, *bounds)? {
            return projected
                .each(&mut |key, at_us, measure| {
                    swept.counted += measure.spans;
                    red.add_measure(key, at_us.max(selection.start_us), measure);
                })
                .map_err(|error| block.miscounted(error));
        }
        let mut rows = Vec::new();
        block.touching(start_ms, end_ms, &mut |entry| {
            let first = u64::from(entry.first_row);
            rows.push((first..first + u64::from(entry.rows), entry.key.trace_id()));
            Ok(())
        })?;
        rows.sort_unstable_by_key(|(range, _)| range.start);
        block.read_rows(&rows, bounds.stop, &mut |span| {
            swept.spans += 1;
            if counting.covers(&span) && !parts.buried.hides(last_seq, span.trace_id) {
                red.add_span(&span);
            }
        })
    }

    /// Adds what was counted of a head; `false` if that does not tell what is asked.
    fn head(&mut self, counts: &Counts) -> Result<bool, QueryFailed> {
        let Self { counting, bounds, red, swept, .. } = self;
        if counts.rollup.has_names().is_none_or(|names| counting.needs_names && !names) {
            return Ok(false);
        }
        let keys: Vec<Option<Vec<String>>> =
            counts.rollup.sorts().map(|sort| counting.key(&sort)).collect();
        let minutes = counting.minutes();
        for (sort, minute, measure) in counts.rollup.cells() {
            if let Some(key) = &keys[sort as usize]
                && minutes.contains(&minute)
            {
                swept.counted += measure.spans;
                red.add_measure(key, u64::from(minute) * MINUTE_US, measure.clone());
            }
        }
        bounds.check(red.bytes())?;
        Ok(true)
    }

    /// Adds its spans one by one.
    fn head_spans(&mut self, view: &HeadView) -> Result<(), QueryFailed> {
        let Self { counting, bounds, red, swept, .. } = self;
        each_trace(view, bounds.stop, |_, trace| {
            for span in trace.spans() {
                swept.spans += 1;
                if counting.covers(&span) {
                    red.add_span(&span);
                }
            }
        })?;
        bounds.check(red.bytes())
    }

    /// Of spans that were counted several times leaves each once.
    fn take_out(&mut self, parts: &Parts, keys: &[TraceKey]) -> Result<(), QueryFailed> {
        let Self { counting, bounds, red, swept, once } = self;
        let covers = |span: &&Span| counting.covers(span);
        let mut large = Vec::new();
        parts.each_group(keys, Strictness::Strict, *bounds, &mut |key, spans| {
            let Some(spans) = spans else {
                large.push(key);
                return Ok(());
            };
            swept.traces += 1;
            swept.spans += spans.len() as u64;
            let count = spans.len();
            let all: Vec<Span> = spans.iter().filter(covers).cloned().collect();
            let whole = assemble(spans);
            if whole.len() == count {
                once.push(key);
                return Ok(());
            }
            // First each once more, so that none goes altogether.
            whole.iter().filter(covers).for_each(|span| red.add_span(span));
            all.iter().for_each(|span| red.remove_span(span));
            Ok(())
        })?;
        large.into_iter().try_for_each(|key| self.take_out_large(parts, key))
    }

    /// The same of a trace of which all spans are too much to be held: what each says is, in a few bytes.
    fn take_out_large(&mut self, parts: &Parts, key: TraceKey) -> Result<(), QueryFailed> {
        let Self { counting, bounds, red, swept, once } = self;
        let (hasher, mut said) = (RandomState::default(), Said::default());
        let mut hash = |span: &Span| hasher.hash_one(said.by(span));
        let (mut seen, mut twice) = (HashSet::<u64>::new(), HashSet::<u64>::new());
        let mut has_room = Ok(());
        parts.each_span_of(key, bounds.stop, &mut |span| {
            swept.spans += 1;
            if has_room.is_ok() {
                let hash = hash(&span);
                if !seen.insert(hash) {
                    twice.insert(hash);
                }
                has_room = bounds.check(((seen.capacity() + twice.capacity()) * SEEN_BYTES) as u64);
            }
        })?;
        seen.clear();
        let is_left_out = match has_room {
            Err(QueryFailed::TooLarge { .. }) => true,
            has_room => has_room.map(|()| false)?,
        };
        if is_left_out {
            swept.too_large += 1;
        } else {
            swept.traces += 1;
            if twice.is_empty() {
                once.push(key);
                return Ok(());
            }
        }
        parts.each_span_of(key, bounds.stop, &mut |span| {
            // Of each the first one that comes stays.
            let mut goes = || {
                let hash = hash(&span);
                twice.contains(&hash) && !seen.insert(hash)
            };
            if counting.covers(&span) && (is_left_out || goes()) {
                red.remove_span(&span);
            }
        })
    }
}

impl Parts {
    /// Calls `each` with all spans of a trace, as often as they are stored; none of them is held.
    fn each_span_of(
        &self,
        key: TraceKey,
        stop: &Stop,
        each: &mut impl FnMut(Span),
    ) -> Result<(), QueryFailed> {
        for block in self.blocks.iter() {
            let last_seq = block.entry().last_seq;
            block.read(&[key], Strictness::Strict, stop, &mut |span| {
                if !self.buried.hides(last_seq, span.trace_id) {
                    each(span);
                }
            })?;
        }
        for head in &self.heads {
            let Some(trace) = head.trace(key) else { continue };
            for (n, span) in trace.spans().enumerate() {
                if n % HEAD_TRACES == 0 {
                    stop.check()?;
                }
                each(span);
            }
        }
        Ok(())
    }
}
