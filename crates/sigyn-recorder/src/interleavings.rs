//! Shards, log and their books in every order that threads may take: models that loom runs through (`cargo xtask loom`).
//! Without it they are run a number of times, as it happens; that is what Miri and ThreadSanitizer look at.

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(not(sigyn_loom))]
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

#[cfg(sigyn_loom)]
use loom::thread;
use sigyn_model::pull::Cursor;
use sigyn_model::{Span, SpanId, TraceId};

use crate::clock::Clock;
use crate::draft::{Caps, Draft};
use crate::ring::{Caller, Page, Ring};
use crate::room::Rooms;
use crate::shards::Plan;
#[cfg(sigyn_loom)]
use crate::shards::sit;
use crate::view::views;
use crate::whole;

const CAPS: Caps = Caps { value_bytes_max: 64, span_bytes_max: 128 };
const NOW: Duration = Duration::ZERO;

/// Every order with so many moments at which a thread has to stop for another one although it could go on.
#[cfg(sigyn_loom)]
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[cfg(not(sigyn_loom))]
fn check(_: usize, model: impl Fn()) {
    (0..if cfg!(miri) { 8 } else { 500 }).for_each(|_| model());
}

/// A thread has its seat by itself.
#[cfg(not(sigyn_loom))]
fn sit(_: usize) {}

/// A log with room for so many bytes, in shards whose chunks hold one span.
fn ring(shards: usize, log_bytes: usize) -> Arc<Ring> {
    let plan = Plan { shards, chunk_bytes_max: 64 };
    let clock = Clock::manual(UNIX_EPOCH);
    Arc::new(Ring::planned(1, log_bytes, plan, CAPS.span_bytes_max, clock, Rooms::default()))
}

fn record(ring: &Ring, id: u64, urgent: bool) {
    let span = Span::new(TraceId::new(1).unwrap(), SpanId::new(id).unwrap());
    let mut draft = Draft::default();
    draft.clear(CAPS);
    let header = whole::write(&span, &mut draft, CAPS);
    ring.push(draft.finish(header, CAPS).unwrap(), None, urgent);
}

/// A thread in its own seat that records some spans.
fn recording(ring: &Arc<Ring>, seat: usize, ids: std::ops::Range<u64>) -> thread::JoinHandle<()> {
    let ring = Arc::clone(ring);
    thread::spawn(move || {
        sit(seat);
        ids.for_each(|id| record(&ring, id, false));
    })
}

/// What a scraper has of each segment, and what it knows to be lost.
#[derive(Debug, Default)]
struct Reader {
    segments: BTreeMap<u64, Vec<u64>>,
    lost: u64,
    next: u64,
}

impl Reader {
    fn read(&mut self, ring: &Ring) -> Page {
        let cursor = (self.next > 0).then_some(Cursor { epoch: 1, seq: self.next });
        let caller = Caller { name: "a", interval: None, budget: None, sampling: None };
        let arrival = ring.arrive(Some(caller), cursor, NOW);
        assert!(arrival.leased && !arrival.beyond);
        let page = ring.read(arrival.start, false, Some("a"), NOW);
        for segment in &page.segments {
            let ids = segment.chunks.iter().flat_map(|chunk| views(&chunk.bytes));
            let ids: Vec<u64> = ids.map(|view| view.header.id).collect();
            assert_eq!(ids.len() as u64, segment.spans);
            assert!(self.segments.insert(segment.seq, ids).is_none(), "a segment came twice");
        }
        self.lost += page.lost;
        self.next = page.newest + 1;
        // The scraper's law, at every answer.
        let dropped = page.counts.dropped;
        let known = self.received() + self.lost + dropped.oversize + dropped.shutdown;
        assert_eq!(page.counts.finished, known);
        page
    }

    fn received(&self) -> u64 {
        self.segments.values().map(|ids| ids.len() as u64).sum()
    }

    fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.segments.values().flatten().copied().collect();
        ids.sort_unstable();
        ids
    }
}

/// The target's law.
fn check_books(ring: &Ring, finished: u64) {
    let figures = ring.figures(NOW);
    let dropped = figures.counts.dropped;
    assert_eq!(figures.counts.finished, finished);
    let sum = figures.delivered + figures.buffered;
    assert_eq!(finished, sum + dropped.evicted + dropped.oversize + dropped.shutdown);
}

#[test]
fn a_span_is_in_one_segment_whoever_seals() {
    check(3, || {
        let ring = ring(2, 1 << 16);
        let threads = [recording(&ring, 0, 1..3), recording(&ring, 1, 3..5)];
        let mut reader = Reader::default();
        reader.read(&ring);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        reader.read(&ring);
        reader.read(&ring);
        assert_eq!(reader.ids(), [1, 2, 3, 4]);
        check_books(&ring, 4);
    });
}

#[test]
fn threads_that_meet_at_one_shard_lose_nothing() {
    check(4, || {
        let ring = ring(1, 1 << 16);
        let threads = [recording(&ring, 0, 1..4), recording(&ring, 0, 4..6)];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut reader = Reader::default();
        reader.read(&ring);
        assert_eq!(reader.ids(), [1, 2, 3, 4, 5]);
        check_books(&ring, 5);
    });
}

#[test]
fn what_a_small_log_evicts_is_counted_once() {
    check(3, || {
        let ring = ring(1, 2 << 10);
        let threads = [recording(&ring, 0, 1..5)];
        let mut reader = Reader::default();
        reader.read(&ring);
        let other = recording(&ring, 0, 5..7);
        reader.read(&ring);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        other.join().unwrap();
        reader.read(&ring);
        assert_eq!(reader.received() + reader.lost, 6);
        check_books(&ring, 6);
    });
}

#[test]
fn a_span_is_sealed_for_the_last_time_or_late() {
    check(4, || {
        let ring = ring(1, 1 << 16);
        let thread = recording(&ring, 0, 1..4);
        ring.shut_down();
        let mut reader = Reader::default();
        let last = reader.read(&ring);
        thread.join().unwrap();
        let page = reader.read(&ring);
        assert!(last.is_final && page.is_final);
        assert_eq!(last.newest, page.newest, "a scraper that has all of it may be gone");
        let late = page.counts.dropped.shutdown;
        assert_eq!(reader.received() + late, 3);
        check_books(&ring, 3);
    });
}

/// Whoever waits looks after it has said that it waits: what is urgent must be there then, or have been answered.
#[test]
fn an_urgent_span_is_told_of_or_was_read() {
    check(3, || {
        let ring = ring(1, 1 << 16);
        let recording = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || record(&ring, 1, true))
        };
        let mut reader = Reader::default();
        reader.read(&ring);
        recording.join().unwrap();
        assert!(reader.received() == 1 || ring.is_ready(reader.next));
    });
}
