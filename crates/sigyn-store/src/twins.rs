//! Traces and spans that stand in several blocks, and so are counted more than once if each block is counted by
//! itself.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use foldhash::fast::RandomState;
use sigyn_model::Searched;

use crate::block::entry::Entry;
use crate::block::index::mixed;
use crate::block::scan::SpanPlace;
use crate::block::{Block, QueryFailed};
use crate::facts::{Strictness, TraceKey};
use crate::head::{Counts, HeadView, Row, rows_of};
use crate::parted::{Parted, repeated};
use crate::query::{Bounds, HEAD_TRACES, READ_ROWS_MAX, READ_TRACES_MAX};
use crate::stop::Stop;
use crate::turn::Turn;
use crate::view::Parts;

/// What was found out about blocks, which do not change. One question at a time looks, the others wait for it.
#[derive(Debug, Default)]
pub(crate) struct Twins(Turn<Known>);

#[derive(Debug, Default)]
struct Known {
    parted: Parted,
    /// Traces, by the right halves of their ids, of which it is known whether they have twins.
    judged: HashSet<u64, RandomState>,
    /// Those that do.
    twins: HashSet<TraceKey, RandomState>,
    /// What was told last, and of which blocks: most questions are asked again.
    told: Option<(u64, Vec<TraceKey>)>,
}

/// Milliseconds, both ends included.
type Window = (u64, u64);

impl Twins {
    /// Traces with a span that is in several of these blocks, and in the window in two of them. Others may be
    /// among them.
    pub(crate) fn of(
        &self,
        blocks: &[Arc<Block>],
        window: Window,
        bounds: Bounds<'_>,
    ) -> Result<Vec<TraceKey>, QueryFailed> {
        let needs = |one: usize, other: usize| {
            let common = blocks[one].common_ms(&blocks[other]);
            one != other && common.is_some_and(|common| touch(common, window))
        };
        let all = 0..blocks.len();
        let mut asked = DefaultHasher::new();
        let mut meeting: Vec<&Block> = Vec::new();
        for one in all.clone() {
            let with: Vec<usize> = all.clone().filter(|other| needs(one, *other)).collect();
            (blocks[one].number(), &with).hash(&mut asked);
            if !with.is_empty() {
                meeting.push(&blocks[one]);
            }
        }
        if meeting.is_empty() {
            return Ok(Vec::new());
        }
        let asked = asked.finish();
        let mut known = self.0.take(bounds.stop)?;
        if let Some((told, keys)) = &known.told
            && *told == asked
        {
            return Ok(keys.clone());
        }
        known.compare(blocks, needs, bounds.stop)?;
        let count: usize = meeting.iter().map(|block| known.parted.elsewhere(block).len()).sum();
        // In full, and once more those that are repeated.
        let mut counted = bounds.stop.open(count * size_of::<u64>() / 2 * 3)?;
        let mut lows: Vec<u64> = Vec::with_capacity(count);
        for block in meeting {
            lows.extend_from_slice(known.parted.elsewhere(block));
        }
        lows.sort_unstable();
        let all = lows;
        let lows = repeated(&all);
        drop(all);
        bounds.stop.keep(&mut counted, lows.capacity() * size_of::<u64>())?;
        let at_once = usize::try_from(bounds.bytes_max / JUDGED_SHARE).unwrap_or(usize::MAX);
        for lows in lows.chunks((at_once / JUDGED_BYTES).max(READ_TRACES_MAX)) {
            known.judge(lows, blocks, bounds)?;
        }
        let is_meant = |key: &&TraceKey| lows.binary_search(&key.low).is_ok();
        let keys: Vec<TraceKey> = known.twins.iter().filter(is_meant).copied().collect();
        known.told = Some((asked, keys.clone()));
        Ok(keys)
    }

    /// Traces with a part in one of these blocks, of those that have something in the window, and with another
    /// part in another block or under another id; with each all blocks that have something of it. Others may be
    /// among them. Those that stand near each other come one after another.
    pub(crate) fn parted(
        &self,
        blocks: &[Arc<Block>],
        window: Window,
        stop: &Stop,
    ) -> Result<Vec<Place>, QueryFailed> {
        let is_in = |block: &Block| block.starts_ms().is_some_and(|starts| touch(starts, window));
        let are_in: Vec<bool> = blocks.iter().map(|block| is_in(block)).collect();
        let mut known = self.0.take(stop)?;
        known.compare(blocks, |one, other| are_in[one] || are_in[other], stop)?;
        let blocks_where = |are: bool| {
            let placed = (0..).zip(blocks).zip(&are_in);
            placed.filter(move |(_, is_in)| **is_in == are).map(|(placed, _)| placed)
        };
        let parted = &known.parted;
        let count = |block: &Block| parted.elsewhere(block).len() + parted.several(block).len();
        let count: usize = blocks.iter().map(|block| count(block)).sum();
        let _counted = stop.open(count * (PLACE_BYTES + size_of::<Place>()))?;
        let mut found: Vec<Place> = Vec::with_capacity(count);
        for (at, block) in blocks_where(true) {
            let elsewhere = parted.elsewhere(block).iter();
            found.extend(elsewhere.chain(parted.several(block)).map(|low| (*low, at)));
        }
        found.sort_unstable();
        let meant = found.len();
        for (at, block) in blocks_where(false) {
            stop.check()?;
            for low in parted.elsewhere(block) {
                if found[..meant].binary_search_by_key(low, |(low, _)| *low).is_ok() {
                    found.push((*low, at));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(by_blocks(&found).into_iter().flatten().copied().collect())
    }
}

/// The right half of the ids of a trace, and the place of a block that has something of it.
pub(crate) type Place = (u64, u32);

/// What places take, each with its trace's place in order.
const PLACE_BYTES: usize = size_of::<Place>() + size_of::<&[Place]>();
/// The same of a trace that two or more blocks have, about.
const JUDGED_BYTES: usize = 3 * PLACE_BYTES;
/// What is judged together takes one part in so many of what an answer may.
const JUDGED_SHARE: u64 = 4;

/// What there is of each trace, of places in order: those one after another that are in the same blocks, as the index
/// has them there. Whoever reads them all then reads each page of a block about once.
fn by_blocks(places: &[Place]) -> Vec<&[Place]> {
    let mut traces: Vec<&[Place]> = places.chunk_by(|a, b| a.0 == b.0).collect();
    // Keys cost less than room for them.
    traces.sort_unstable_by_key(|places| {
        let block = |nth: usize| places.get(nth).map(|(_, at)| *at);
        (block(0), block(1), mixed(places[0].0))
    });
    traces
}

fn touch(one: Window, other: Window) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

impl Known {
    fn compare(
        &mut self,
        blocks: &[Arc<Block>],
        needs: impl Fn(usize, usize) -> bool,
        stop: &Stop,
    ) -> Result<(), QueryFailed> {
        let compared = self.parted.compare(blocks, needs, stop);
        if let Some(left) = self.parted.take_left() {
            self.judged.retain(|low| left.binary_search(low).is_ok());
            self.twins.retain(|key| left.binary_search(&key.low).is_ok());
        }
        for low in self.parted.take_added() {
            self.judged.remove(&low);
        }
        compared
    }

    /// Finds out which of these traces have twins.
    fn judge(
        &mut self,
        lows: &[u64],
        blocks: &[Arc<Block>],
        bounds: Bounds<'_>,
    ) -> Result<(), QueryFailed> {
        let mut places: Vec<Place> = Vec::new();
        let mut counted = None;
        for (at, block) in (0..).zip(blocks) {
            let is_new = |low: &&u64| lows.binary_search(low).is_ok() && !self.judged.contains(low);
            let new = self.parted.elsewhere(block).iter().filter(is_new);
            places.extend(new.map(|low| (*low, at)));
            let place_bytes = size_of::<Place>() * places.capacity();
            let all_bytes = place_bytes + size_of::<&[Place]>() * places.len();
            bounds.stop.keep(&mut counted, all_bytes)?;
        }
        places.sort_unstable();
        let traces = by_blocks(&places);
        let mut next = traces.as_slice();
        while !next.is_empty() {
            let mut parts: Vec<(usize, Entry)> = Vec::new();
            let mut rows = 0;
            let (mut all, mut count) = (Vec::new(), 0);
            for trace in next.iter().take(READ_TRACES_MAX) {
                bounds.stop.check()?;
                all.clear();
                for (low, at) in *trace {
                    let at = *at as usize;
                    let group = TraceKey { low: *low, high: 0 };
                    let found = blocks[at].group(group, Strictness::Lenient)?;
                    all.extend(found.into_iter().map(|entry| (at, entry)));
                }
                all.sort_unstable_by_key(|(at, entry)| (entry.key, *at, entry.first_row));
                let meeting = all.chunk_by(|a, b| a.1.key == b.1.key).filter(|parts| meet(parts));
                let meeting: Vec<(usize, Entry)> = meeting.flatten().copied().collect();
                rows += meeting.iter().map(|(_, entry)| u64::from(entry.rows)).sum::<u64>();
                if rows > READ_ROWS_MAX && count > 0 {
                    break;
                }
                parts.extend(meeting);
                count += 1;
            }
            let (now, later) = next.split_at(count);
            self.twins.extend(with_twins(&parts, blocks, bounds)?);
            self.judged.extend(now.iter().map(|trace| trace[0].0));
            next = later;
        }
        Ok(())
    }
}

/// Whether times of some parts of a trace overlap.
fn meet(parts: &[(usize, Entry)]) -> bool {
    let times = |(_, entry): &(usize, Entry)| Some((entry.start?.millis(), entry.latest_ms()?));
    let mut times: Vec<Window> = parts.iter().filter_map(times).collect();
    times.sort_unstable();
    times.windows(2).any(|pair| touch(pair[0], pair[1]))
}

/// Those of these traces of which two spans have one place; and those too large to be looked at.
fn with_twins(
    parts: &[(usize, Entry)],
    blocks: &[Arc<Block>],
    bounds: Bounds<'_>,
) -> Result<Vec<TraceKey>, QueryFailed> {
    let rows = parts.iter().map(|(_, entry)| u64::from(entry.rows)).sum::<u64>();
    let bytes = rows.saturating_mul(size_of::<(TraceKey, SpanPlace)>() as u64);
    let mut keys: Vec<TraceKey> = parts.iter().map(|(_, entry)| entry.key).collect();
    keys.dedup();
    if bytes > bounds.bytes_max {
        return Ok(keys);
    }
    bounds.check(bytes)?;
    let mut places: Vec<(TraceKey, SpanPlace)> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let of_block = parts.iter().filter(|(part, _)| *part == at);
        let mut entries: Vec<Entry> = of_block.map(|(_, entry)| *entry).collect();
        if entries.is_empty() {
            continue;
        }
        entries.sort_unstable_by_key(|entry| entry.first_row);
        block.span_places(&entries, bounds.stop, &mut |entry, place| {
            places.push((entry.key, place));
        })?;
    }
    places.sort_unstable();
    let twins = places.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
    let mut twins: Vec<TraceKey> = twins.map(|same| same[0].0).collect();
    twins.dedup();
    Ok(twins)
}

impl Parts {
    /// Parts traces, of which it is not known whether any of their spans stands twice, into those of which one
    /// does, and those of which none does: of each span it looks at no more than when it starts, its id and
    /// whether it is shared. Traces that are too large even for that are taken for the former.
    pub(crate) fn judge(
        &self,
        mut keys: Vec<TraceKey>,
        bounds: Bounds<'_>,
    ) -> Result<(Vec<TraceKey>, Vec<TraceKey>), QueryFailed> {
        keys.sort_unstable();
        keys.dedup();
        let (mut twice, mut once) = (Vec::new(), Vec::new());
        let (mut batch, mut rows) = (Vec::new(), 0);
        for key in keys {
            bounds.stop.check()?;
            let of_trace = self.rows_with(key)?;
            if rows + of_trace > READ_ROWS_MAX && !batch.is_empty() {
                self.judge_together(&batch, rows, bounds, &mut twice, &mut once)?;
                batch.clear();
                rows = 0;
            }
            rows += of_trace;
            batch.push(key);
        }
        self.judge_together(&batch, rows, bounds, &mut twice, &mut once)?;
        Ok((twice, once))
    }

    /// How many rows a trace has, wherever they are.
    fn rows_with(&self, key: TraceKey) -> Result<u64, QueryFailed> {
        let mut rows = 0;
        for block in self.blocks.iter() {
            let entries = block.group(key, Strictness::Strict)?;
            rows += entries.iter().map(|entry| u64::from(entry.rows)).sum::<u64>();
        }
        let in_heads = self.heads.iter().filter_map(|head| head.trace(key));
        Ok(rows + in_heads.map(|trace| u64::from(trace.len())).sum::<u64>())
    }

    /// The same for traces, in order, with so many rows together.
    fn judge_together(
        &self,
        keys: &[TraceKey],
        rows: u64,
        bounds: Bounds<'_>,
        twice: &mut Vec<TraceKey>,
        once: &mut Vec<TraceKey>,
    ) -> Result<(), QueryFailed> {
        let bytes = rows.saturating_mul(size_of::<(u32, SpanPlace)>() as u64);
        match bounds.check(bytes) {
            Err(QueryFailed::TooLarge { .. }) => {
                twice.extend_from_slice(keys);
                return Ok(());
            }
            has_room => has_room?,
        }
        // Of which trace, by its place among the keys.
        let number_of = |key: TraceKey| {
            let place = keys.binary_search(&key).ok();
            place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX)
        };
        let mut places: Vec<(u32, SpanPlace)> = Vec::new();
        for block in self.blocks.iter() {
            let last_seq = block.entry().last_seq;
            let mut entries: Vec<Entry> = Vec::new();
            for key in keys {
                let is_hidden = |id| self.buried.hides(last_seq, id);
                let found = block.group(*key, Strictness::Strict)?.into_iter();
                entries.extend(found.filter(|entry| !entry.key.trace_id().is_some_and(is_hidden)));
            }
            if entries.is_empty() {
                continue;
            }
            entries.sort_unstable_by_key(|entry| entry.first_row);
            block.span_places(&entries, bounds.stop, &mut |entry, place| {
                places.push((number_of(entry.key), place));
            })?;
        }
        for head in &self.heads {
            for (number, key) in keys.iter().enumerate() {
                let Some(trace) = head.trace(*key) else { continue };
                bounds.stop.check()?;
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let place = |row: Row<'_>| {
                    let start = Searched::timestamp(&row)?.nanos();
                    Some((number, (start, row.id().as_u64(), row.shared())))
                };
                places.extend(trace.rows().filter_map(place));
            }
        }
        places.sort_unstable();
        let same = places.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
        let mut numbers: Vec<u32> = same.map(|same| same[0].0).collect();
        numbers.dedup();
        for (number, key) in keys.iter().enumerate() {
            let is_twice =
                numbers.binary_search(&u32::try_from(number).unwrap_or(u32::MAX)).is_ok();
            if is_twice { twice.push(*key) } else { once.push(*key) }
        }
        Ok(())
    }

    /// Notes which traces of a head, the one with this number, are also in blocks or in heads before it.
    pub(crate) fn look_for_others(
        &self,
        number: usize,
        view: &HeadView,
        counts: &mut Counts,
        stop: &Stop,
    ) -> Result<(), QueryFailed> {
        let is_known = |block: &&Arc<Block>| counts.blocks.contains(&block.number());
        let new: Vec<&Arc<Block>> = self.blocks.iter().filter(|block| !is_known(block)).collect();
        let all: Vec<&Arc<Block>> = self.blocks.iter().collect();
        let before = &self.heads[..number];
        let (old, end) = if new.is_empty() {
            (Vec::new(), counts.looked_for)
        } else {
            let (mut keys, _) = view.traces_from(0);
            keys.truncate(counts.looked_for as usize);
            (keys, counts.looked_for)
        };
        let (young, end) = view.traces_from(end);
        let end = end.max(counts.looked_for);
        for (keys, blocks, heads) in [(old, &new, &before[..0]), (young, &all, before)] {
            for keys in keys.chunks(HEAD_TRACES) {
                stop.check()?;
                for key in keys {
                    let group = Strictness::Lenient.group(*key);
                    let (mut is_there, mut has_part) = (false, false);
                    for head in heads {
                        is_there |= head.trace(*key).is_some();
                        has_part |= head.group(group, Strictness::Lenient).next().is_some();
                    }
                    for block in blocks {
                        for entry in block.group(group, Strictness::Lenient)? {
                            (is_there, has_part) = (is_there || entry.key == *key, true);
                        }
                    }
                    if is_there {
                        counts.shared.insert(*key, 0);
                    }
                    if has_part {
                        counts.elsewhere.insert(key.low);
                    }
                }
            }
        }
        counts.looked_for = end;
        counts.blocks = all.iter().map(|block| block.number()).collect();
        Ok(())
    }
    /// Notes of these traces that none of their spans is here twice, unless others looked for them in other
    /// blocks meanwhile: by head, those in which they were looked for.
    pub(crate) fn note_once(
        &self,
        once: &[TraceKey],
        looked_in: &[Vec<u64>],
        bounds: Bounds<'_>,
    ) -> Result<(), QueryFailed> {
        if once.is_empty() {
            return Ok(());
        }
        for (head, looked_in) in self.heads.iter().zip(looked_in) {
            let (mut counts, _) = head.counts(bounds)?;
            if counts.blocks != *looked_in {
                continue;
            }
            for key in once {
                if let Some(rows) = counts.shared.get_mut(key) {
                    *rows = rows_of(head, *key);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sigyn_model::{Span, SpanId, Timestamp, TraceId};

    use super::*;
    use crate::block::Cache;
    use crate::block::merging::READ;
    use crate::block::tests::sealed;
    use crate::disk::Disk;
    use crate::room::Rooms;

    /// A block of traces of one span each, the same one wherever its trace is.
    fn block(cache: &Arc<Cache>, ids: &[u128]) -> Arc<Block> {
        let span = |id: &u128| {
            let mut span = Span::new(TraceId::new(*id).unwrap(), SpanId::from_raw(1));
            span.timestamp = Timestamp::from_micros(1_000 * u64::try_from(*id).unwrap());
            span
        };
        let (disk, entry) = sealed(ids.iter().map(span).collect());
        Arc::new(Block::open(&Disk::Faulty(disk), &entry, cache).unwrap())
    }

    #[test]
    fn who_asks_of_the_same_blocks_again_is_told_what_was_told() {
        let cache = Arc::default();
        let blocks = [&[1, 2, 3][..], &[2, 3, 9], &[3, 9]].map(|ids| block(&cache, ids));
        let (twins, stop, rooms) = (Twins::default(), Stop::default(), Rooms::new(1 << 20));
        let ask = |blocks: &[Arc<Block>], window: Window| {
            let room = rooms.room();
            let bounds = Bounds { stop: &stop, room: &room, bytes_max: 1 << 20 };
            READ.set(0);
            let mut keys = twins.of(blocks, window, bounds).unwrap();
            keys.sort_unstable();
            let lows: Vec<u64> = keys.iter().map(|key| key.low).collect();
            let told = twins.0.take(&stop).unwrap().told.as_ref().map(|(asked, _)| *asked);
            (lows, told, READ.get())
        };
        let (all, told, read) = ask(&blocks, (0, 100));
        assert_eq!(all, [2, 3, 9]);
        assert!(read > 0);
        for window in [(0, 100), (0, 1_000)] {
            // Another window, but the same blocks meet in it.
            assert_eq!(ask(&blocks, window), (all.clone(), told, 0));
        }
        // What was told is not told of others, and theirs is what is told next.
        let (of_two, of_them, _) = ask(&blocks[..2], (0, 100));
        assert_eq!(of_two, [2, 3]);
        assert!(of_them != told);
        assert_eq!(ask(&blocks[..2], (0, 100)), (of_two, of_them, 0));
        assert_eq!(ask(&blocks, (0, 100)).0, all);
        // Where no two meet nobody is asked, and nothing forgotten.
        assert_eq!(ask(&blocks, (50, 60)), (Vec::new(), told, 0));
    }
}
