//! Which traces have parts in several blocks, or in one under several ids: all blocks are compared at once, a
//! stretch of ids at a time, and what came of it is kept.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::block::{Block, QueryFailed};
use crate::stop::Stop;

/// Ids that are compared at once.
const IDS_AT_ONCE: u64 = if cfg!(test) { 4 } else { 512 << 10 };
/// What ids are mixed to, all of them.
const MIXED_END: u64 = 1 << 32;

/// By the number of a block.
type ByBlock<T> = HashMap<u64, T>;

/// What was found out about blocks, which do not change.
#[derive(Debug, Default)]
pub(crate) struct Parted {
    compared: Compared,
    lows: ByBlock<Lows>,
    run: Option<Run>,
    /// What was added since somebody last looked.
    added: Vec<u64>,
    /// All that is left, in order, if some was forgotten since.
    left: Option<Vec<u64>>,
}

/// Right halves of ids of traces in a block.
#[derive(Debug, Default)]
struct Lows {
    /// Traces that are in other blocks as well.
    elsewhere: Vec<u64>,
    /// Traces that stand here under several ids.
    several: Vec<u64>,
}

/// Which blocks were compared with which.
#[derive(Debug, Default)]
struct Compared {
    /// Their numbers, in order.
    blocks: Vec<u64>,
    /// By places of two blocks among them.
    are: Vec<bool>,
}

/// Blocks that are being compared: new ones with all of these.
#[derive(Debug)]
struct Run {
    new: Vec<u64>,
    others: Vec<u64>,
    /// What ids are mixed to that were not yet compared.
    next: u64,
    /// How many of them at a time.
    step: u64,
}

impl Compared {
    fn place(&self, block: u64) -> Option<usize> {
        self.blocks.binary_search(&block).ok()
    }

    fn knows(&self, one: usize, other: usize) -> bool {
        self.are[one * self.blocks.len() + other]
    }

    fn note(&mut self, one: u64, other: u64) {
        if let (Some(one), Some(other)) = (self.place(one), self.place(other)) {
            let all = self.blocks.len();
            self.are[one * all + other] = true;
            self.are[other * all + one] = true;
        }
    }

    /// Knows of these blocks alone, which are in order.
    fn settle(&mut self, blocks: Vec<u64>) {
        let before: Vec<Option<usize>> = blocks.iter().map(|block| self.place(*block)).collect();
        let mut are = Vec::with_capacity(blocks.len() * blocks.len());
        for one in &before {
            let knows = |other: &Option<usize>| Some(self.knows((*one)?, (*other)?));
            are.extend(before.iter().map(|other| knows(other).unwrap_or(false)));
        }
        *self = Self { blocks, are };
    }
}

impl Run {
    fn ids(&self) -> Range<u64> {
        self.next..self.next.saturating_add(self.step).min(MIXED_END)
    }
}

impl Parted {
    /// Compares those of these blocks, by their places, of which it is needed. What was done stays if it is
    /// stopped before the end.
    pub(crate) fn compare(
        &mut self,
        blocks: &[Arc<Block>],
        needs: impl Fn(usize, usize) -> bool,
        stop: &Stop,
    ) -> Result<(), QueryFailed> {
        self.settle(blocks);
        let by_number: ByBlock<&Block> =
            blocks.iter().map(|block| (block.number(), &**block)).collect();
        let is_here = |number: &u64| by_number.contains_key(number);
        loop {
            // It may be that of a question which knows younger blocks.
            self.run.take_if(|run| !run.new.iter().chain(&run.others).all(is_here));
            if self.run.is_none() {
                self.run = self.next_run(blocks, &needs);
            }
            let Some(run) = &mut self.run else { return Ok(()) };
            let ids = run.ids();
            for (block, low, is_several) in run.shared(&ids, &by_number, stop)? {
                let lows = self.lows.entry(block).or_default();
                if is_several {
                    lows.several.push(low);
                } else {
                    lows.elsewhere.push(low);
                    self.added.push(low);
                }
            }
            run.next = ids.end;
            if run.next < MIXED_END {
                continue;
            }
            for (at, new) in run.new.iter().enumerate() {
                let others = run.new[at..].iter().chain(&run.others);
                others.for_each(|other| self.compared.note(*new, *other));
            }
            self.run = None;
            for lows in
                self.lows.values_mut().flat_map(|lows| [&mut lows.elsewhere, &mut lows.several])
            {
                lows.sort_unstable();
                lows.dedup();
            }
        }
    }

    /// Traces of a block that have parts in others which it was compared with; may be told twice.
    pub(crate) fn elsewhere(&self, block: &Block) -> &[u64] {
        self.lows.get(&block.number()).map_or(&[], |lows| &lows.elsewhere)
    }

    /// Those that stand in it under several ids.
    pub(crate) fn several(&self, block: &Block) -> &[u64] {
        self.lows.get(&block.number()).map_or(&[], |lows| &lows.several)
    }

    /// Traces of which more parts were found since this was asked last.
    pub(crate) fn take_added(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.added)
    }

    /// All traces that have parts in several blocks, in order, if there are less than when this was asked last.
    pub(crate) fn take_left(&mut self) -> Option<Vec<u64>> {
        self.left.take()
    }

    /// Forgets blocks that are no more.
    fn settle(&mut self, blocks: &[Arc<Block>]) {
        let mut now: Vec<u64> = blocks.iter().map(|block| block.number()).collect();
        now.sort_unstable();
        // Whoever asks may have looked around before others did.
        let newest = now.last().copied();
        let younger = self.compared.blocks.iter().filter(|block| Some(**block) > newest);
        now.extend(younger);
        if self.compared.blocks == now {
            return;
        }
        let is_there = |block: &u64| now.binary_search(block).is_ok();
        let before = self.lows.len();
        self.lows.retain(|block, _| is_there(block));
        if self.lows.len() < before {
            self.forget_singles();
        }
        self.run.take_if(|run| {
            run.new.retain(is_there);
            run.others.retain(is_there);
            run.new.is_empty()
        });
        self.compared.settle(now);
    }

    /// Forgets traces of which but one part is left.
    fn forget_singles(&mut self) {
        let mut all: Vec<u64> = Vec::new();
        for lows in self.lows.values_mut() {
            lows.elsewhere.sort_unstable();
            lows.elsewhere.dedup();
            all.extend_from_slice(&lows.elsewhere);
        }
        all.sort_unstable();
        let several = repeated(&all);
        for lows in self.lows.values_mut() {
            lows.elsewhere.retain(|low| several.binary_search(low).is_ok());
        }
        self.left = Some(several);
    }

    /// Pairs that are to be compared and were not.
    fn next_run(
        &self,
        blocks: &[Arc<Block>],
        needs: &impl Fn(usize, usize) -> bool,
    ) -> Option<Run> {
        let all = blocks.len();
        let places: Vec<Option<usize>> =
            blocks.iter().map(|block| self.compared.place(block.number())).collect();
        let knows = |one: usize, other: usize| {
            places[one]
                .zip(places[other])
                .is_some_and(|(one, other)| self.compared.knows(one, other))
        };
        let mut unknown = vec![false; all * all];
        let mut counts = vec![0u32; all];
        for one in 0..all {
            for other in one..all {
                if needs(one, other) && !knows(one, other) {
                    unknown[one * all + other] = true;
                    unknown[other * all + one] = true;
                    counts[one] += 1;
                    counts[other] += 1;
                }
            }
        }
        // Those first of which most is unknown, until each pair has one of them.
        let mut order: Vec<usize> = (0..all).collect();
        order.sort_by_key(|at| (std::cmp::Reverse(counts[*at]), std::cmp::Reverse(*at)));
        let mut is_new = vec![false; all];
        for at in order {
            let row = &unknown[at * all..][..all];
            is_new[at] =
                row.iter().enumerate().any(|(other, is)| *is && (other == at || !is_new[other]));
        }
        let meets_new = |at: &usize| {
            let row = &unknown[*at * all..][..all];
            row.iter().zip(&is_new).any(|(is, new)| *is && *new)
        };
        let (new, others): (Vec<usize>, Vec<usize>) =
            (0..all).filter(|at| is_new[*at] || meets_new(at)).partition(|at| is_new[*at]);
        let traces =
            |places: &[usize]| places.iter().map(|at| blocks[*at].entry().traces).sum::<u64>();
        // Of the others nothing is held but what is common.
        let steps = (traces(&new) + traces(&others) / 16) / IDS_AT_ONCE + 1;
        let numbers =
            |places: Vec<usize>| places.into_iter().map(|at| blocks[at].number()).collect();
        let step = MIXED_END.div_ceil(steps);
        (!new.is_empty()).then(|| Run { new: numbers(new), others: numbers(others), next: 0, step })
    }
}

/// A place of an id: what it is mixed to, in which of the blocks, and the number of its entry.
type Place = (u32, usize, u32);

impl Run {
    /// Traces of which an id is mixed to one of these: block, right half, and whether it is one of several in
    /// that block.
    fn shared(
        &self,
        ids: &Range<u64>,
        blocks: &ByBlock<&Block>,
        stop: &Stop,
    ) -> Result<Vec<(u64, u64, bool)>, QueryFailed> {
        let all: Vec<u64> = self.new.iter().chain(&self.others).copied().collect();
        let mut places: Vec<Place> = Vec::new();
        for (at, number) in self.new.iter().enumerate() {
            stop.check()?;
            let Some(block) = blocks.get(number) else { continue };
            block.mixed_within(ids, stop, &mut |mixed, entry| places.push((mixed, at, entry)))?;
        }
        places.sort_unstable();
        let mixed: Vec<u32> = places.iter().map(|(mixed, ..)| *mixed).collect();
        let mut theirs: Vec<Place> = Vec::new();
        for (number, at) in self.others.iter().zip(self.new.len()..) {
            let Some(block) = blocks.get(number) else { continue };
            let mut from = 0;
            block.mixed_within(ids, stop, &mut |id, entry| {
                from += mixed[from..].iter().take_while(|ours| **ours < id).count();
                if mixed.get(from) == Some(&id) {
                    theirs.push((id, at, entry));
                }
            })?;
        }
        places.extend(theirs);
        places.sort_unstable();
        let several = places.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1);
        let mut wanted: Vec<(usize, u32)> =
            several.flatten().map(|(_, at, entry)| (*at, *entry)).collect();
        wanted.sort_unstable();
        let mut lows: Vec<(u64, usize)> = Vec::with_capacity(wanted.len());
        for of_block in wanted.chunk_by(|a, b| a.0 == b.0) {
            stop.check()?;
            let at = of_block[0].0;
            let Some(block) = all.get(at).and_then(|number| blocks.get(number)) else { continue };
            let entries: Vec<u32> = of_block.iter().map(|(_, entry)| *entry).collect();
            block.each_numbered(&entries, &mut |entry| lows.push((entry.key.low, at)))?;
        }
        lows.sort_unstable();
        let mut shared = Vec::new();
        for same in lows.chunk_by(|a, b| a.0 == b.0) {
            let is_elsewhere = same.first().map(|(_, at)| at) != same.last().map(|(_, at)| at);
            for of_block in same.chunk_by(|a, b| a.1 == b.1) {
                let (low, at) = of_block[0];
                if is_elsewhere {
                    shared.push((all[at], low, false));
                }
                if of_block.len() > 1 {
                    shared.push((all[at], low, true));
                }
            }
        }
        Ok(shared)
    }
}

/// What stands more than once in a list that is in order.
pub(crate) fn repeated(list: &[u64]) -> Vec<u64> {
    list.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).map(|same| same[0]).collect()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use sigyn_model::{Span, TraceId};

    use super::*;
    use crate::block::Cache;
    use crate::block::tests::sealed;
    use crate::testing;

    /// Blocks with these traces.
    fn blocks(cache: &Arc<Cache>, random: &mut Rng, traces: &[Vec<u128>]) -> Vec<Arc<Block>> {
        let block = |ids: &Vec<u128>| {
            let span =
                |id: &u128| Span { trace_id: TraceId::new(*id).unwrap(), ..testing::span(random) };
            let (disk, entry) = sealed(ids.iter().map(span).collect());
            let disk = crate::disk::Disk::Faulty(disk);
            Arc::new(Block::open(&disk, &entry, cache).unwrap())
        };
        traces.iter().map(block).collect()
    }

    fn random_ids(random: &mut Rng) -> Vec<u128> {
        let mut ids: Vec<u128> = (0..random.usize(1..40))
            .map(|_| u128::from(random.u64(1..300)) | u128::from(random.u64(0..2)) << 64)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn lows(ids: &[u128]) -> Vec<u64> {
        ids.iter().map(|id| TraceId::new(*id).unwrap().low()).collect()
    }

    /// What stands in a block and others, and in it twice, by looking at all.
    fn expected(traces: &[Vec<u128>], at: usize) -> (Vec<u64>, Vec<u64>) {
        let mut ours = lows(&traces[at]);
        ours.sort_unstable();
        let several = repeated(&ours);
        ours.dedup();
        let others = traces.iter().enumerate().filter(|(other, _)| *other != at);
        let others: Vec<u64> = others.flat_map(|(_, ids)| lows(ids)).collect();
        ours.retain(|low| others.contains(low));
        (ours, several)
    }

    fn check(parted: &Parted, blocks: &[Arc<Block>], traces: &[Vec<u128>], context: &str) {
        for (at, block) in blocks.iter().enumerate() {
            let found = (parted.elsewhere(block).to_vec(), parted.several(block).to_vec());
            assert_eq!(found, expected(traces, at), "block {at}, {context}");
        }
    }

    #[test]
    fn what_blocks_have_in_common_is_found_and_kept_while_blocks_come_and_go() {
        for seed in 0..40 {
            let (cache, mut random) = (Arc::default(), Rng::with_seed(seed));
            let mut traces: Vec<_> =
                (0..random.usize(0..9)).map(|_| random_ids(&mut random)).collect();
            let mut now = blocks(&cache, &mut random, &traces);
            let mut parted = Parted::default();
            for step in 0..6 {
                parted.compare(&now, |_, _| true, &Stop::default()).unwrap();
                check(&parted, &now, &traces, &format!("seed {seed}, step {step}"));
                // No id is looked at again.
                parted.compare(&now, |_, _| true, &Stop::after(0)).unwrap();
                if random.bool() && now.len() > 1 {
                    // Without the youngest it would look as if whoever asks did not know it yet.
                    let at = random.usize(0..now.len() - 1);
                    now.remove(at);
                    traces.remove(at);
                } else {
                    let ids = random_ids(&mut random);
                    now.extend(blocks(&cache, &mut random, std::slice::from_ref(&ids)));
                    traces.push(ids);
                }
            }
        }
    }

    #[test]
    fn who_is_stopped_again_and_again_comes_to_an_end() {
        let (cache, mut random) = (Arc::default(), Rng::with_seed(7));
        let traces: Vec<_> = (0..30).map(|_| random_ids(&mut random)).collect();
        let now = blocks(&cache, &mut random, &traces);
        let mut parted = Parted::default();
        // A single stretch asks some hundred times, all together many thousand times.
        let mut tries = 0;
        while parted.compare(&now, |_, _| true, &Stop::after(500)).is_err() {
            tries += 1;
            assert!(tries < 200);
        }
        assert!(tries > 10, "{tries}");
        check(&parted, &now, &traces, "stopped");
        // Others know younger blocks, or no longer know some.
        parted.compare(&now[3..20], |_, _| true, &Stop::after(0)).unwrap();
        parted.compare(&now[20..], |_, _| true, &Stop::after(0)).unwrap();
        check(&parted, &now[20..], &traces[20..], "some are left");
    }

    #[test]
    fn blocks_that_nobody_asks_about_are_not_compared_with_each_other() {
        let (cache, mut random) = (Arc::default(), Rng::with_seed(8));
        let traces: Vec<_> = (0..40).map(|_| random_ids(&mut random)).collect();
        let now = blocks(&cache, &mut random, &traces);
        let mut parted = Parted::default();
        let run = parted.next_run(&now, &|one, other| one == 7 || other == 7).unwrap();
        assert_eq!((&run.new[..], run.others.len()), (&[now[7].number()][..], 39));
        parted.compare(&now, |one, other| one == 7 || other == 7, &Stop::default()).unwrap();
        assert_eq!(parted.elsewhere(&now[7]), expected(&traces, 7).0);
        // A young one is compared with all others, and not each of them with it.
        parted.compare(&now[..39], |_, _| true, &Stop::default()).unwrap();
        let run = parted.next_run(&now, &|_, _| true).unwrap();
        assert_eq!(run.new, [now[39].number()]);
    }
}
