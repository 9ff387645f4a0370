//! Where finished spans are, from the threads that finish them to those that read: shards, the log, and who waits for either.
//!
//! Two laws hold at any moment (`docs/formats/pull-protocol.md`, "The two laws"): each finished span is
//! delivered, buffered or dropped for a counted reason; and whoever follows the log by cursor can
//! account for each span that it did not get.

use std::mem;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

use sigyn_model::TraceId;
use sigyn_model::pull::{Cursor, Sampling, TRACE_IDS_MAX};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::draft::Finished;
use crate::room::Rooms;
use crate::sampler::Wishes;
use crate::scrapers::{Mark, Scraper};
use crate::shards::{Chunk, Plan, Shards};
use crate::share::Threshold;
use crate::sync::{Mutex, MutexGuard};
use crate::whole::Origin;

mod log;

pub(crate) use log::{Counts, Segment};
use log::{Evicted, Log, SEGMENT_OVERHEAD};

/// A segment's bound, as its spans weigh in memory.
pub(crate) const SEGMENT_BYTES_MAX: usize = 1024 * 1024;
/// So many bytes of new spans end a long poll.
pub(crate) const WAKE_BYTES: usize = 64 * 1024;
/// Segments in one answer, so that the lock is not held for long over a log of tiny ones.
const PAGE_SEGMENTS_MAX: usize = 4096;
/// Kept traces that one segment tells; of more the first are told.
const KEPT_MAX: usize = TRACE_IDS_MAX;

/// What one request may read, taken under one lock: headers and segments agree.
#[derive(Debug)]
pub(crate) struct Page {
    /// Held segments at or beyond the cursor, oldest first.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) newest: u64,
    /// The segment held longest, or the one that will be sealed next.
    pub(crate) oldest: u64,
    /// Spans evicted between the cursor and the first segment held.
    pub(crate) lost: u64,
    /// Taken when `newest` was sealed, or later while nothing waited to be sealed.
    pub(crate) counts: Counts,
    pub(crate) is_final: bool,
    /// Bytes of spans that this request found at or beyond its start.
    pub(crate) unread_bytes: usize,
    /// In how much time a log of this size is full, at the pace of late.
    pub(crate) lasts: Option<Duration>,
    /// The share of traces begun here that is recorded from now on.
    pub(crate) share: f64,
    /// What those who are expected back want of traces that begin here.
    pub(crate) wishes: Wishes,
}

/// Who asks, and what it says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) name: &'a str,
    /// What it wants of traces that begin here.
    pub(crate) sampling: Option<&'a Arc<Sampling>>,
    pub(crate) interval: Option<Duration>,
    /// Spans that it wants in a second, at most.
    pub(crate) budget: Option<f64>,
}

/// Where a request begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) start: u64,
    /// The request names a scraper that got a lease.
    pub(crate) leased: bool,
    /// The cursor is of this epoch and cannot be: nobody was ever told it.
    pub(crate) beyond: bool,
}

/// The log's own figures, for `Recorder::stats`.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) counts: Counts,
    pub(crate) delivered: u64,
    pub(crate) buffered: u64,
    pub(crate) newest: u64,
    pub(crate) segments: usize,
    pub(crate) bytes: usize,
    /// Name, acknowledged below, rest of the lease.
    pub(crate) scrapers: Vec<(String, u64, Duration)>,
}

#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) epoch: u64,
    pub(crate) hot_bytes_max: usize,
    clock: Clock,
    pub(crate) rooms: Rooms,
    shards: Shards,
    log: Mutex<Log>,
    /// New spans enough to end a long poll, a new segment, or the end.
    fresh: Notify,
    acknowledged: Notify,
    /// Requests that would wait are answered at once.
    nobody_waits: AtomicBool,
    /// Traces kept here that nobody sampled, for the next segment to tell.
    kept: Mutex<Vec<TraceId>>,
    /// What is left of traces that begin here while the log fills faster than it is read.
    pressure: AtomicU64,
}

impl Ring {
    pub(crate) fn new(
        epoch: u64,
        hot_bytes_max: usize,
        span_bytes_max: usize,
        clock: Clock,
        rooms: Rooms,
    ) -> Self {
        Self::planned(epoch, hot_bytes_max, Plan::of(hot_bytes_max), span_bytes_max, clock, rooms)
    }

    pub(crate) fn planned(
        epoch: u64,
        hot_bytes_max: usize,
        plan: Plan,
        span_bytes_max: usize,
        clock: Clock,
        rooms: Rooms,
    ) -> Self {
        // So that the segment sealed last always has a place, however small the log.
        let segment_bytes_max = SEGMENT_BYTES_MAX.min(hot_bytes_max / 4);
        let span_bytes_max = span_bytes_max.min(segment_bytes_max.saturating_sub(SEGMENT_OVERHEAD));
        let shards = Shards::new(plan, WAKE_BYTES, rooms.clone(), clock.clone());
        let shards_bytes_max = shards.bytes_max(span_bytes_max);
        let begin = clock.monotonic();
        Self {
            epoch,
            hot_bytes_max,
            clock,
            rooms,
            log: Mutex::new(Log::new(hot_bytes_max, segment_bytes_max, shards_bytes_max, begin)),
            shards,
            fresh: Notify::new(),
            acknowledged: Notify::new(),
            nobody_waits: AtomicBool::new(false),
            kept: Mutex::default(),
            pressure: AtomicU64::new(0),
        }
    }

    /// The largest span that a segment can hold.
    pub(crate) fn span_bytes_max(hot_bytes_max: usize) -> usize {
        SEGMENT_BYTES_MAX.min(hot_bytes_max / 4).saturating_sub(SEGMENT_OVERHEAD)
    }

    /// Takes a finished span. If the log is full, the oldest segments go.
    #[inline(always)]
    pub(crate) fn push(&self, span: Finished<'_>, origin: Option<&Origin>, urgent: bool) {
        let pushed = self.shards.push(span, origin, urgent, |waits| self.take_away(waits));
        if pushed.full {
            self.take_away(false);
        }
        if pushed.wake {
            self.fresh.notify_waiters();
        }
    }

    /// Takes full chunks into the log. If somebody is busy with it, waits, or leaves them for the next one and says so.
    #[cold]
    fn take_away(&self, waits: bool) -> bool {
        let log = match self.log.try_lock() {
            Ok(log) => log,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if waits => self.lock(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.take_full(log);
        true
    }

    #[cold]
    fn take_full(&self, mut log: MutexGuard<'_, Log>) {
        let mut evicted = Evicted::new();
        let newest = log.newest;
        log.take(self, false, false, &mut evicted);
        self.press(&log, self.clock.monotonic());
        let sealed = log.newest > newest;
        drop(log);
        if sealed {
            self.fresh.notify_waiters();
        }
        self.free(evicted);
    }

    /// Whether nothing comes into the log any more.
    pub(crate) fn is_final(&self) -> bool {
        self.lock().is_final
    }

    /// Takes finished spans that waited elsewhere until somebody wanted them.
    pub(crate) fn adopt(&self, chunk: Chunk) {
        let mut evicted = Evicted::new();
        let mut log = self.lock();
        if log.is_final {
            // Somebody asked for them in the moment of the last seal.
            log.dropped.shutdown += chunk.spans;
        } else {
            log.add(self, chunk, &mut evicted);
            log.evict(&mut evicted);
        }
        drop(log);
        self.free(evicted);
    }

    /// Notes that a trace was kept here although nobody had sampled it: others may have the rest of it.
    /// Says whether there is room to tell it.
    pub(crate) fn kept(&self, trace_id: TraceId) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = kept.len() < KEPT_MAX;
        if has_room {
            kept.push(trace_id);
        }
        has_room
    }

    /// Whoever waits for spans is to look at once.
    pub(crate) fn hurry(&self) {
        self.shards.hurry();
        self.fresh.notify_waiters();
    }

    /// From now on nobody waits for spans.
    pub(crate) fn stop_waiting(&self) {
        self.nobody_waits.store(true, Ordering::Relaxed);
        self.fresh.notify_waiters();
    }

    /// What is left of traces that begin here while the log fills faster than it is read.
    #[inline]
    pub(crate) fn pressure(&self) -> Threshold {
        Threshold::from_raw(self.pressure.load(Ordering::Relaxed))
    }

    fn press(&self, log: &Log, now: Duration) {
        let share = log.share_of_room(now);
        self.pressure.store(Threshold::of_share(share).raw(), Ordering::Relaxed);
    }

    /// Frees segments, after the lock, unless somebody still reads them.
    fn free(&self, evicted: Evicted) {
        let unread = evicted.into_iter().filter_map(Arc::into_inner);
        unread.flat_map(|segment| segment.chunks).for_each(|chunk| self.shards.reuse(chunk));
    }

    /// Counts a finished span that breaks the cap.
    pub(crate) fn refuse(&self) {
        self.shards.refuse();
    }

    /// Notes who asks and what it acknowledges, and finds where it begins to read.
    pub(crate) fn arrive(
        &self,
        caller: Option<Caller<'_>>,
        cursor: Option<Cursor>,
        now: Duration,
    ) -> Arrival {
        let mut log = self.lock();
        let cursor = cursor.filter(|cursor| cursor.epoch == self.epoch);
        // Judged before this request seals anything: a caller cannot know more than this.
        let beyond = cursor.is_some_and(|cursor| cursor.seq > log.newest + 1);
        let valid = cursor.filter(|_| !beyond).map(|cursor| cursor.seq.max(1));
        let mark = valid
            .map(|seq| Mark { seq, spans_before: log.spans_before(seq, caller.map(|c| c.name)) });
        let entry = caller.and_then(|caller| {
            let scraper = log.scrapers.admit(caller.name, caller.interval, now)?;
            scraper.budget = caller.budget;
            scraper.sampling = caller.sampling.cloned();
            Some(scraper)
        });
        let leased = entry.is_some();
        if let (Some(scraper), Some(mark)) = (entry, mark) {
            scraper.acked_below = scraper.acked_below.max(mark.seq);
            scraper.sent = mark;
            log.acknowledge(mark.seq);
            drop(log);
            self.acknowledged.notify_waiters();
        }
        Arrival { start: valid.unwrap_or(1), leased, beyond }
    }

    /// Where somebody begins to read who sends no cursor and acknowledges nothing.
    pub(crate) fn arrive_from(&self, peer: IpAddr) -> Arrival {
        Arrival { start: self.lock().peers.next(peer), leased: false, beyond: false }
    }

    /// Notes that all below `next` was written to a peer, which is as good as an acknowledgement. Says
    /// whether another peer was forgotten for it.
    pub(crate) fn written(&self, peer: IpAddr, next: u64, now: Duration) -> bool {
        let mut log = self.lock();
        let forgot = log.peers.advance(peer, next, now);
        log.acknowledge(next);
        drop(log);
        self.acknowledged.notify_waiters();
        forgot
    }

    /// Held segments that nobody acknowledged, oldest first.
    pub(crate) fn unacknowledged(&self) -> Vec<Arc<Segment>> {
        let log = self.lock();
        log.held.iter().filter(|segment| segment.seq >= log.acked_below).cloned().collect()
    }

    /// Notes that somebody else than a scraper has taken all below `next`.
    pub(crate) fn delivered(&self, next: u64) {
        self.lock().acknowledge(next);
        self.acknowledged.notify_waiters();
    }

    /// Waits until there is something worth an answer at or beyond `start`. The caller bounds it.
    pub(crate) async fn ready(&self, start: u64) {
        loop {
            let mut fresh = pin!(self.fresh.notified());
            // From here on nothing is missed, and only then is it looked at.
            fresh.as_mut().enable();
            if self.is_ready(start) {
                return;
            }
            fresh.await;
        }
    }

    pub(crate) fn is_ready(&self, start: u64) -> bool {
        let log = self.lock();
        log.newest >= start
            || log.is_final
            || self.nobody_waits.load(Ordering::Relaxed)
            || self.shards.are_urgent()
            || log.pending_bytes + self.shards.unsealed() >= WAKE_BYTES
    }

    /// What there is to read from `start`. `patient` requests leave the active buffer alone while
    /// sealed segments wait for them: else two of them would seal ever smaller ones for each other.
    pub(crate) fn read(
        &self,
        start: u64,
        patient: bool,
        scraper: Option<&str>,
        now: Duration,
    ) -> Page {
        let mut evicted = Evicted::new();
        let mut log = self.lock();
        let sealed = !(patient && log.newest >= start && !log.is_final);
        if sealed {
            log.take(self, true, false, &mut evicted);
            log.seal(self, &mut evicted);
            log.dropped_at_seal = log.dropped;
        }
        self.press(&log, now);
        let oldest = log.oldest();
        let lost = if start < oldest {
            let gone = log.spans_before(oldest, None);
            gone.saturating_sub(log.spans_before(start, scraper))
        } else {
            0
        };
        let budget = log.scrapers.budget(now);
        let finished = log.sealed + log.pending_spans + log.dropped.oversize + log.dropped.shutdown;
        let bytes = log.sealed_bytes + log.pending_bytes as u64;
        log.pace.read(now, finished, bytes, budget);
        let skipped = usize::try_from(start.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let segments = log.held.iter().skip(skipped).take(PAGE_SEGMENTS_MAX).cloned().collect();
        let page = Page {
            segments,
            newest: log.newest,
            oldest,
            lost,
            counts: log.counts_at_seal(),
            is_final: log.is_final,
            unread_bytes: log.bytes_from(start) + self.shards.unsealed(),
            lasts: log.pace.lasts(self.hot_bytes_max),
            share: log.pace.share(),
            wishes: log.scrapers.leased(now).map(Scraper::wish).collect(),
        };
        drop(log);
        if sealed {
            self.fresh.notify_waiters();
        }
        self.free(evicted);
        page
    }

    /// Remembers the cursor that a scraper is told, so that its loss is exact whenever it returns.
    pub(crate) fn told(&self, scraper: &str, next: u64) {
        let mut log = self.lock();
        let spans_before = log.spans_before(next, Some(scraper));
        if let Some(scraper) = log.scrapers.find(scraper) {
            scraper.told = Mark { seq: next, spans_before };
        }
    }

    /// Seals for the last time. Spans that finish later are counted as lost to the shutdown.
    pub(crate) fn shut_down(&self) {
        let mut evicted = Evicted::new();
        let mut log = self.lock();
        log.take(self, true, true, &mut evicted);
        log.seal(self, &mut evicted);
        log.dropped_at_seal = log.dropped;
        log.is_final = true;
        drop(log);
        self.fresh.notify_waiters();
        self.acknowledged.notify_waiters();
        self.free(evicted);
    }

    /// Waits until every scraper with a lease has acknowledged everything. The caller bounds it.
    pub(crate) async fn drained(&self, now: impl Fn() -> Duration) {
        loop {
            let mut acknowledged = pin!(self.acknowledged.notified());
            acknowledged.as_mut().enable();
            if self.lock().is_drained(now()) {
                return;
            }
            acknowledged.await;
        }
    }

    /// From now on what nobody acknowledged counts as lost to the shutdown. It can still be read,
    /// and an acknowledgement still takes it out of the loss. Returns the loss so far.
    pub(crate) fn end_drain(&self) -> u64 {
        let mut log = self.lock();
        log.take(self, false, false, &mut Evicted::new());
        log.drain_ended = true;
        log.dropped.shutdown + log.buffered()
    }

    pub(crate) fn figures(&self, now: Duration) -> Figures {
        let log = self.lock();
        let (waiting, waiting_bytes, refused) = self.shards.figures();
        let mut counts = Counts { finished: 0, dropped: log.dropped };
        counts.dropped.oversize += refused.oversize;
        counts.dropped.shutdown += refused.late;
        counts.finished = log.sealed
            + log.pending_spans
            + waiting
            + counts.dropped.oversize
            + counts.dropped.shutdown;
        let mut buffered = log.buffered() + waiting;
        if log.drain_ended {
            counts.dropped.shutdown += mem::take(&mut buffered);
        }
        Figures {
            counts,
            delivered: log.delivered,
            buffered,
            newest: log.newest,
            segments: log.held.len(),
            bytes: log.held_bytes + log.pending_bytes + waiting_bytes,
            scrapers: log
                .scrapers
                .leased(now)
                .map(|s| (s.name.to_string(), s.acked_below, s.lease_until - now))
                .collect(),
        }
    }

    #[cfg(feature = "spool")]
    pub(crate) fn spool(&self) -> Option<&Arc<crate::spool::Spool>> {
        self.rooms.spool.as_ref()
    }

    /// Seals what waits, as a sibling is asked for it, and takes note of what it was told for this process.
    #[cfg(feature = "spool")]
    pub(crate) fn seal_for_sibling(&self, now: Duration) {
        self.read(u64::MAX, false, None, now);
        let Some(spool) = self.spool() else { return };
        spool.answer();
        let below = spool.acknowledged_below();
        let mut log = self.lock();
        if below <= log.newest + 1 {
            log.acknowledge(below);
        }
        drop(log);
        self.acknowledged.notify_waiters();
    }

    /// A panic elsewhere must not become one here: the books are written before they are read.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in the log stays in its spool.
#[cfg(feature = "spool")]
impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(spool) = self.spool() {
            spool.leave();
        }
    }
}
