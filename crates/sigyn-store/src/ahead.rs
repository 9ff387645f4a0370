//! Traces that an answer is going to have, read by whoever asks and, where cores are idle, by others meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sigyn_model::{Span, TracePlace};

use crate::block::entry::Entry;
use crate::block::{Block, QueryFailed};
use crate::query::Bounds;
use crate::room::Opened;
use crate::size::Weight;

/// A trace whose parts are all in these blocks, by their places.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) place: TracePlace,
    pub(crate) parts: Vec<(usize, Entry)>,
}

/// Traces that are read in one go, with what they take in memory until they are handed on.
type Read = Vec<(TracePlace, Option<Vec<Span>>, Option<Opened>)>;

/// Is given the spans of a trace, or nothing where they are more than an answer may have.
type Each<'a> = &'a mut dyn FnMut(TracePlace, Option<Vec<Span>>) -> Result<(), QueryFailed>;

/// For less than so much nobody else is asked.
const PIECES_MIN: usize = if cfg!(test) { 2 } else { 4 };
/// So many others read for one answer, at most.
const HELPERS_MAX: u64 = 3;
/// Pieces that are read and wait to be handed on.
const WAITING_MAX: usize = 4;

/// Calls `each` with all these traces, in no order.
pub(crate) fn each_read(
    blocks: &[Arc<Block>],
    mut traces: Vec<Later>,
    bounds: Bounds<'_>,
    each: Each<'_>,
) -> Result<(), QueryFailed> {
    let place = |(block, entry): &(usize, Entry)| (*block, entry.first_row);
    traces.sort_unstable_by_key(|trace| trace.parts.first().map(place));
    let is_near = |a: &Later, b: &Later| match (&a.parts[..], &b.parts[..]) {
        ([(first, a)], [(second, b)]) => {
            first == second && blocks.get(*first).is_some_and(|block| block.are_near(a, b))
        }
        _ => false,
    };
    let pieces: Vec<&[Later]> = traces.chunk_by(is_near).collect();
    let reading =
        Reading { blocks, pieces, bounds, next: AtomicUsize::new(0), left: Mutex::default() };
    let most = if reading.pieces.len() < PIECES_MIN { 0 } else { HELPERS_MAX };
    let helpers = bounds.room.helpers(most);
    thread::scope(|scope| {
        // Whoever waits to hand on what was read hears that nobody wants it when this ends.
        let (read, others) = sync_channel(WAITING_MAX);
        for _ in 0..helpers.count() {
            let (reading, read) = (&reading, read.clone());
            let thread = thread::Builder::new().name("sigyn-store-ask".to_owned());
            // Who cannot be started is not needed.
            let _ = thread.spawn_scoped(scope, move || reading.help(&read));
        }
        drop(read);
        let mut hand_on = |read: Result<Read, QueryFailed>| {
            read?.into_iter().try_for_each(|(place, spans, opened)| {
                drop(opened);
                each(place, spans)
            })
        };
        while let Some(piece) = reading.next() {
            others.try_iter().try_for_each(&mut hand_on)?;
            let read = reading
                .read_on(piece, &mut |place, spans| hand_on(Ok(vec![(place, spans, None)])))?;
            if let Some((rest, _)) = read {
                reading.left().push(rest);
            }
        }
        others.iter().try_for_each(&mut hand_on)?;
        // Nobody else holds anything any more.
        let left = std::mem::take(&mut *reading.left());
        for piece in left {
            let mut rest = piece;
            while let Some(read) = reading
                .read_on(rest, &mut |place, spans| hand_on(Ok(vec![(place, spans, None)])))?
            {
                match read {
                    ([large, others @ ..], QueryFailed::TooLarge { .. }) => {
                        hand_on(Ok(vec![(large.place, None, None)]))?;
                        rest = others;
                    }
                    (_, error) => return Err(error),
                }
            }
        }
        Ok(())
    })
}

/// Pieces that several threads read.
struct Reading<'a> {
    blocks: &'a [Arc<Block>],
    /// Traces that stand near each other, or one.
    pieces: Vec<&'a [Later]>,
    bounds: Bounds<'a>,
    next: AtomicUsize,
    /// What there was no room for while others were read, too.
    left: Mutex<Vec<&'a [Later]>>,
}

impl<'a> Reading<'a> {
    fn next(&self) -> Option<&'a [Later]> {
        self.pieces.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Vec<&'a [Later]>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn help(&self, out: &SyncSender<Result<Read, QueryFailed>>) {
        while let Some(piece) = self.next() {
            let mut all = Read::new();
            let read = self.read(piece, &mut |place, spans| {
                let bytes = spans.as_deref().map_or(0, Weight::of);
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                all.push((place, spans, self.bounds.stop.open(bytes)?));
                Ok(())
            });
            if let Err(QueryFailed::NoRoom | QueryFailed::TooLarge { .. }) = read {
                return self.left().push(piece);
            }
            if out.send(read.map(|()| all)).is_err() {
                return;
            }
        }
    }

    /// Calls `each` with the traces of a piece. Those that there was no room for are returned, and why.
    fn read_on(
        &self,
        piece: &'a [Later],
        each: Each<'_>,
    ) -> Result<Option<(&'a [Later], QueryFailed)>, QueryFailed> {
        let (mut count, mut is_refused) = (0, false);
        let read = self.read(piece, &mut |place, spans| {
            count += 1;
            each(place, spans).inspect_err(|_| is_refused = true)
        });
        match read {
            Err(error @ (QueryFailed::NoRoom | QueryFailed::TooLarge { .. })) if !is_refused => {
                Ok(Some((piece.get(count..).unwrap_or_default(), error)))
            }
            read => read.map(|()| None),
        }
    }

    /// Calls `each` with each trace of a piece.
    fn read(&self, piece: &[Later], each: Each<'_>) -> Result<(), QueryFailed> {
        let bounds = self.bounds;
        let block = |number: usize| self.blocks.get(number).ok_or(QueryFailed::Stopped);
        if let [Later { place, parts }] = piece {
            let mut all = Some(Vec::new());
            for (number, entry) in parts {
                block(*number)?.read_traces(std::slice::from_ref(entry), bounds, &mut |spans| {
                    all = all.take().zip(spans).map(|(mut all, spans)| {
                        all.extend(spans);
                        all
                    });
                    all.take_if(|all| Weight::of(all) > bounds.bytes_max);
                    Ok(())
                })?;
            }
            return each(*place, all);
        }
        let entries = piece.iter().flat_map(|trace| &trace.parts).map(|(_, entry)| *entry);
        let entries: Vec<Entry> = entries.collect();
        let Some((number, _)) = piece.first().and_then(|trace| trace.parts.first()) else {
            return Ok(());
        };
        let mut places = piece.iter().map(|trace| trace.place);
        block(*number)?.read_traces(&entries, bounds, &mut |spans| match places.next() {
            Some(place) => each(place, spans),
            None => Ok(()),
        })
    }
}
