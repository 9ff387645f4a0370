//! The thread that seals heads into blocks, trims the log, and merges and retires blocks.

mod aside;
mod carry;
mod compact;
mod delete;
mod looked;
mod pause;
mod put_off;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use sigyn_model::TraceId;

use crate::block::writer::{self, Origin};
use crate::block::{self, Block};
use crate::catalog::{BlockEntry, Catalog, Change};
use crate::check::Check;
use crate::commit::poison_if_panicking;
use crate::damage::{is_full, sentence};
use crate::error::{DeleteError, SealError};
use crate::merge::Merging;
use crate::present::{self, Present};
use crate::quarantine;
use crate::queue::{Queue, Rotated, Then};
use crate::reserve;
use crate::retention::{self, Limits};
use crate::shared::Shared;
use crate::unread;
use crate::wal::frame;
use carry::Carry;
use compact::Step;
use looked::Looked;
use pause::Pause;
use put_off::PutOff;

/// Callers that wait for a seal; more wait for their turn to ask.
pub(crate) const EVENTS_MAX: usize = 16;
/// How often the worker looks whether something is due.
const TICK: Duration = Duration::from_millis(250);
/// After a failure, ticks until the next try.
const RETRY_TICKS: u32 = 40;
/// How often it is looked whether there is room set aside for a full disk.
const RESERVE_TICKS: u32 = if cfg!(test) { 1 } else { RETRY_TICKS };

/// What the worker reacts to, beside time.
#[derive(Debug)]
pub(crate) enum Event {
    /// Of everything, or of what is over.
    Seal(Sealed, SyncSender<Result<(), SealError>>),
    /// The head has as much as it may: nobody asked, and nobody waits.
    Full,
    Compact(SyncSender<()>),
    Delete(Vec<TraceId>, SyncSender<Result<u64, DeleteError>>),
}

/// What goes to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    All,
    /// Traces that may go on stay in memory.
    Over,
}

/// Runs until nobody can send events any more.
pub(crate) fn run(events: &Receiver<Event>, catalog: Catalog, shared: &Shared) {
    let _ended = Ended(&shared.queue);
    // Of what came last, by its place in the log: one batch that came under a wrong clock is not the newest
    // for ever. Where nothing is stored no clock does harm.
    let last_block = catalog.state().blocks.last().map(|block| block.first_arrival_ms);
    let head = shared.view.active_head().arrivals_ms().map(|(first_ms, _)| first_ms);
    let last_arrival_ms = head.or(last_block).unwrap_or_else(|| shared.clock.now_ms());
    let mut worker = Worker {
        present: Present::open(&shared.disk, last_arrival_ms, shared.clock.uptime_ms()),
        catalog,
        shared,
        unsealed: None,
        seal_pause: Pause::default(),
        retire_wait_ticks: 0,
        compact_wait_ticks: compact::pause_ticks(shared.options.merge_window),
        put_off: PutOff::default(),
        looked: Looked::default(),
        aside_wait_ticks: aside::EVERY_TICKS,
        reserve_wait_ticks: RESERVE_TICKS,
        aside: PutOff::default(),
        carry: Carry::default(),
        half_read: None,
        merging: None,
        check: Check::default(),
    };
    // A crash may have come between the last commit and the trim.
    worker.trim();
    // Not only when nobody asks for anything: somebody may do so all the time.
    let mut next_tick = Instant::now() + TICK;
    loop {
        match events.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
            Ok(Event::Seal(sealed, done)) => {
                // What is asked for does not depend on what was noted when.
                worker.carry.forget();
                let sealed = worker.seal(sealed);
                worker.retire();
                // Whoever no longer waits need not know.
                let _ = done.send(sealed);
            }
            Ok(Event::Full) => worker.seal_if_due(),
            Ok(Event::Compact(done)) => {
                worker.put_off.clear();
                // What is asked for meanwhile has its turn at the next tick at the latest. What fails is put
                // off, so there is an end.
                loop {
                    worker.compact_wait_ticks = 0;
                    match worker.compact() {
                        Step::Paused if worker.is_wanted_elsewhere() => break,
                        Step::Done | Step::Failed | Step::Paused => {}
                        Step::Idle | Step::Stopped => break,
                    }
                }
                while shared.segments.spares.step(&shared.disk) {}
                let _ = done.send(());
            }
            Ok(Event::Delete(ids, done)) => {
                let _ = done.send(worker.delete(&ids));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() >= next_tick {
            worker.tick();
            next_tick = Instant::now() + worker.rest();
        }
    }
    if shared.options.retention_time.is_some() {
        worker.present.keep_now(&shared.disk, shared.clock.uptime_ms());
    }
}

/// Without this thread nothing is sealed and nothing retired.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        poison_if_panicking(self.0, "blocks");
    }
}

struct Worker<'a> {
    catalog: Catalog,
    shared: &'a Shared,
    /// A head that gets no more spans, and whose block could not be made yet.
    unsealed: Option<Rotated>,
    /// Apart from each other: on a full disk no block can be made before one is retired.
    seal_pause: Pause,
    retire_wait_ticks: u32,
    compact_wait_ticks: u32,
    put_off: PutOff,
    looked: Looked,
    aside_wait_ticks: u32,
    reserve_wait_ticks: u32,
    /// Blocks that cannot be read.
    aside: PutOff,
    carry: Carry,
    /// One that may be read again, and how many parts of it were.
    half_read: Option<(Block, usize)>,
    /// A merge under way: it goes on when nothing else is due.
    merging: Option<Merging<'a>>,
    present: Present,
    check: Check,
}

impl Worker<'_> {
    fn tick(&mut self) {
        #[cfg(test)]
        if self.shared.is_passive.load(std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        self.retire_wait_ticks = self.retire_wait_ticks.saturating_sub(1);
        let rows = self.shared.view.active_head().view().span_count();
        self.carry.note(rows, self.shared.clock.uptime_ms());
        self.seal_pause.tick(|| self.shared.disk.free());
        self.seal_if_due();
        self.retire();
        self.reserve_wait_ticks = self.reserve_wait_ticks.saturating_sub(1);
        if self.reserve_wait_ticks == 0 {
            // The files of what was retired go with whoever still reads them, and so there may be room only now.
            reserve::keep(&self.shared.disk);
            self.reserve_wait_ticks = RESERVE_TICKS;
        }
        self.compact_wait_ticks = self.compact_wait_ticks.saturating_sub(1);
        self.put_off.tick();
        self.compact();
        self.shared.segments.spares.step(&self.shared.disk);
        self.look_for_unreadable();
        self.check.step(self.shared, TICK);
    }

    fn seal_if_due(&mut self) {
        #[cfg(test)]
        if self.shared.is_passive.load(std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        if self.seal_pause.is_over() && self.is_seal_due() {
            // Told and counted where it happened.
            let _ = self.seal(Sealed::Over);
        }
    }

    fn is_seal_due(&self) -> bool {
        if self.shared.queue.poison_cause().is_some() {
            return false;
        }
        let options = &self.shared.options;
        if self.unsealed.is_some()
            || self.shared.unread().is_some()
            || self.shared.head_bytes() >= options.memory.head
        {
            return true;
        }
        // A head that outlives the retention would be kept too long: its block goes as a whole.
        let quarter = options.retention_time.map(|time| (time / 4).max(Duration::from_secs(1)));
        let seal_after = quarter.map_or(options.seal_after, |time| time.min(options.seal_after));
        let arrivals_ms = self.shared.view.active_head().arrivals_ms();
        arrivals_ms.is_some_and(|(first_ms, _)| {
            let age_ms = self.shared.clock.now_ms().saturating_sub(first_ms);
            u128::from(age_ms) >= seal_after.as_millis()
        })
    }

    /// Makes a block of the active head, after one that is left from a failure.
    fn seal(&mut self, sealed: Sealed) -> Result<(), SealError> {
        if let Some(rotated) = self.unsealed.take() {
            self.seal_rotated(rotated)?;
        }
        let then = if sealed == Sealed::Over { Then::Again } else { Then::Next };
        let held = self.shared.queue.hold_after_rotation();
        let (done, rotated) = sync_channel(1);
        self.shared.queue.rotate(done, then);
        let rotated = match rotated.recv().map_err(|_| SealError::Closed)? {
            Ok(rotated) => rotated,
            Err(cause) => {
                let error = SealError::Failed { cause, is_full: false };
                self.put_off_sealing(None, &error);
                return Err(error);
            }
        };
        if sealed == Sealed::Over
            && let Err(error) = self.carry_over(&rotated, &held)
        {
            self.put_off_sealing(Some(rotated), &error);
            return Err(error);
        }
        drop(held);
        self.carry.forget();
        self.seal_rotated(rotated)
    }

    fn seal_rotated(&mut self, rotated: Rotated) -> Result<(), SealError> {
        match self.make_block(&rotated) {
            Ok(()) => self.trim(),
            Err(error) => {
                self.put_off_sealing(Some(rotated), &error);
                return Err(error);
            }
        }
        let read = unread::read_on(self.shared, &mut self.catalog);
        self.trim();
        match &read {
            Ok(()) => self.shared.note_unsealable(None),
            Err(error) => self.put_off_sealing(None, error),
        }
        read
    }

    /// Of a head that gets no more spans, or of one that goes on.
    fn put_off_sealing(&mut self, rotated: Option<Rotated>, error: &SealError) {
        self.unsealed = rotated;
        self.shared.segments.spares.give_up(&self.shared.disk);
        let is_full = matches!(error, SealError::Failed { is_full: true, .. });
        self.seal_pause.begin(self.shared.disk.free().filter(|_| is_full));
        if !self.shared.is_stopping() {
            self.shared.counters.seal_failures.add(1);
            if let SealError::Failed { cause, .. } = error {
                self.shared.note_unsealable(Some(cause.clone()));
            }
            tracing::error!(%error, "cannot seal; the spans stay in memory and in the log");
        }
    }

    /// The order is what makes a crash harmless at any point: the file is durable, then the catalog
    /// that names it, and only then does the log lose what is in it.
    fn make_block(&mut self, rotated: &Rotated) -> Result<(), SealError> {
        let shared = self.shared;
        // Before a byte of it is written: where it is unknown whether young traces of this head are in the log
        // again, a block of all of it would have them twice once the store is opened again.
        if let Some(cause) = shared.queue.poison_cause() {
            return Err(SealError::Failed { cause, is_full: false });
        }
        let head = rotated.head.view();
        let state = self.catalog.state();
        let mut change = Change {
            sealed_through: rotated.last_seq,
            progress: rotated.progress.since(&state.progress),
            ..Change::default()
        };
        let mut block = None;
        if !head.is_empty() {
            let first_seq = state.sealed_through + 1;
            let origin = Origin::sealed(shared.instance, first_seq, rotated.last_seq);
            let group_bytes_max = shared.options.memory.group();
            let stop = || shared.is_stopping();
            let told = &shared.sealed_bytes;
            let entry =
                writer::write_told(&shared.disk, origin, &head, group_bytes_max, told, stop);
            let entry = entry.map_err(|error| failed("write the block", &error))?;
            let opened = Block::open(&shared.disk, &entry, shared.view.cache());
            block = Some(Arc::new(opened.map_err(|error| failed("read the block", &error))?));
            change.add.push(entry);
        }
        if !change.is_idle(state)
            && let Err(error) = self.commit(change)
        {
            if let Some(block) = block.filter(|_| shared.queue.poison_cause().is_none()) {
                // It is made again, and until then the disk may need the room.
                block.doom();
            }
            return Err(error);
        }
        if block.is_some() {
            shared.counters.seals.add(1);
        }
        shared.view.replace_head(&rotated.head, block);
        shared.note_sealing_bytes(0);
        Ok(())
    }

    /// Changes the catalog. If it is then unknown what it says, it is so, too, which part of the log
    /// still counts: nothing may be built on that.
    fn commit(&mut self, change: Change) -> Result<(), SealError> {
        if let Some(cause) = self.shared.queue.poison_cause() {
            return Err(SealError::Failed { cause, is_full: false });
        }
        let mut committed = self.catalog.commit(change.clone());
        // What is made ahead is not in the way of what somebody asked for.
        if committed.as_ref().is_err_and(|error| !error.is_final())
            && self.shared.segments.spares.give_up(&self.shared.disk)
        {
            committed = self.catalog.commit(change);
        }
        committed.map_err(|error| {
            let is_final = error.is_final();
            let error = std::io::Error::from(error);
            let is_full = is_full(&error);
            let cause: Arc<str> = format!("cannot write the catalog: {error}").into();
            if is_final {
                tracing::error!(%error, "the store takes no more spans until it is opened again");
                self.shared.queue.poison(cause.clone());
            }
            SealError::Failed { cause, is_full }
        })
    }

    /// Removes segments that blocks have made superfluous.
    fn trim(&self) {
        for (first_seq, segment) in
            self.shared.segments.take_through(self.catalog.state().sealed_through)
        {
            let path = frame::path(first_seq);
            let removed = if segment.is_damaged {
                self.shared.counters.quarantined_files.add(1);
                quarantine::put(&self.shared.disk, &path)
            } else {
                match self.shared.segments.spares.keep(&self.shared.disk, &path, segment.bytes) {
                    Ok(true) => Ok(()),
                    Ok(false) => self.shared.disk.remove(&path),
                    Err(error) => {
                        tracing::debug!(path, %error, "cannot make a spare segment");
                        match self.shared.disk.remove(&path) {
                            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                            removed => removed,
                        }
                    }
                }
            };
            if let Err(error) = removed {
                // The next open finds it, skips what is in it, and tries again.
                tracing::warn!(path, %error, "cannot remove a log segment yet");
            }
        }
    }

    fn retire(&mut self) {
        let options = &self.shared.options;
        let limits = Limits {
            time: options.retention_time,
            errors: options.retention_errors,
            bytes: options.retention_bytes,
        };
        if limits == Limits::default() || self.retire_wait_ticks > 0 {
            return;
        }
        let log_bytes = self.shared.segments.bytes();
        if self.seal_pause.is_over() && limits.bytes.is_some_and(|max| log_bytes > max) {
            // The log alone is too much: as a block it is smaller, and what is older need not go for it.
            // Where there is no room for that block something has to.
            if self.seal(Sealed::All).is_err() && self.catalog.state().blocks.is_empty() {
                return;
            }
        }
        let log_bytes = self.shared.segments.bytes();
        let (clock, time) = (&self.shared.clock, limits.time.unwrap_or(Duration::MAX));
        let now_ms = self.present.now_ms(clock.now_ms(), clock.uptime_ms(), time);
        if limits.time.is_some() && self.present.keep(&self.shared.disk, clock.uptime_ms()) {
            self.shared.counters.damages.heal(present::PATH);
        }
        let entries: Vec<&BlockEntry> = self.catalog.state().blocks.iter().collect();
        let expired = retention::expired(&entries, limits, log_bytes, now_ms);
        if expired.is_empty() {
            return;
        }
        let names: Vec<String> = expired.iter().map(|at| entries[*at].name.clone()).collect();
        let change = Change { remove: names.clone(), ..Change::default() };
        let mut committed = self.commit(change.clone());
        if committed.is_err() && self.shared.queue.poison_cause().is_none() {
            // The log would take that room, for batches that are sent again all the time.
            let _alone = self.shared.write_alone();
            if reserve::release(&self.shared.disk) {
                committed = self.commit(change);
                if committed.is_err() {
                    reserve::keep(&self.shared.disk);
                }
            }
        }
        if let Err(error) = committed {
            tracing::error!(%error, "cannot retire blocks");
            self.retire_wait_ticks = RETRY_TICKS;
            return;
        }
        let retired = self.shared.view.remove_blocks(&names);
        for block in &retired {
            block.doom();
            self.shared.counters.retired_spans.add(block.entry().spans);
        }
        // It would keep their files, and nothing can come of it.
        if self.merging.as_ref().is_some_and(|merging| !self.are_there(merging.blocks())) {
            self.merging = None;
        }
        // One that cannot be read is not among them, and nobody asks for it any more.
        let is_in_view = |name: &&String| retired.iter().any(|block| block.entry().name == **name);
        for name in names.iter().filter(|name| !is_in_view(name)) {
            self.shared.note_readable(1, [name.as_str()]);
            let path = format!("{}/{name}", block::DIR);
            match self.shared.disk.remove(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    // The next open does, as with every file that the catalog does not name.
                    tracing::warn!(path, %error, "cannot remove a damaged block yet");
                }
                _ => {}
            }
        }
        self.shared.counters.retired_blocks.add(names.len() as u64);
        drop(retired);
        reserve::keep(&self.shared.disk);
        tracing::info!(blocks = names.len(), "retired blocks");
    }
}

fn failed(attempt: &str, error: &(dyn std::error::Error + 'static)) -> SealError {
    let cause = format!("cannot {attempt}: {}", sentence(error)).into();
    SealError::Failed { cause, is_full: is_full(error) }
}
