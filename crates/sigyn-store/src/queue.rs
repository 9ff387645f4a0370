//! Batches on their way to the log: how many may wait, who waits for room, and who goes first.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::error::AppendError;
use crate::head::Head;
use crate::incoming::Incoming;
use crate::progress::Progress;

/// Batches that are written at once take no more memory than this, except for a single one that is larger.
const GROUP_BYTES_MAX: u64 = 8 << 20;

/// Batches on their way to the log.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Batches that wait take no more memory than this, except for a single one that is larger: that
    /// one has the queue to itself. Whoever comes then waits for room.
    bytes_max: u64,
    state: Mutex<State>,
    /// There is something to take.
    ready: Condvar,
    /// Of those who wait for room, one at a time, in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    /// There may be room now, or never again. Heard by whoever has the turn.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// What items take, and those on their way in.
    bytes: u64,
    /// What the first of those who wait needs: nobody else gets that room.
    claimed: u64,
    closed: bool,
    /// A head is new, and what comes from the one before it goes first.
    awaits_again: bool,
    /// Why nothing is written any more.
    poison: Option<Arc<str>>,
    /// Nothing is taken meanwhile.
    #[cfg(test)]
    is_held: bool,
}

#[derive(Debug)]
enum Item {
    Append(Box<Waiting>),
    Rotate(SyncSender<Result<Rotated, Arc<str>>>, Then),
}

/// What comes first in a new head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Whatever waits.
    Next,
    /// Spans of the head before it, or none, once it is known which these are.
    Again,
}

/// Nothing is taken after a head is new until spans of the one before it are put, or this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Queue);

impl Held<'_> {
    /// Puts a batch of spans that are in memory already before all that wait: there is room for it, for they
    /// will go where they are now. The answer comes once it is stored.
    pub(crate) fn put_again(
        &self,
        batch: Incoming,
    ) -> Result<oneshot::Receiver<Result<(), AppendError>>, AppendError> {
        let (done, answer) = oneshot::channel();
        let mut state = self.0.lock();
        state.is_open()?;
        state.bytes += batch.bytes;
        state.items.push_front(Item::Append(Box::new(Waiting { batch, done })));
        state.awaits_again = false;
        self.0.ready.notify_one();
        Ok(answer)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.lock().awaits_again = false;
        self.0.ready.notify_one();
    }
}

/// A batch, and who waits for it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) batch: Incoming,
    pub(crate) done: oneshot::Sender<Result<(), AppendError>>,
}

/// Room in the queue for one batch. Given back if it is not used.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    queue: &'a Queue,
    bytes: u64,
}

impl Room<'_> {
    /// Puts the batch that the room was made for; the answer comes once it is stored.
    pub(crate) fn put(
        mut self,
        batch: Incoming,
    ) -> Result<oneshot::Receiver<Result<(), AppendError>>, AppendError> {
        let (done, answer) = oneshot::channel();
        let mut state = self.queue.lock();
        state.is_open()?;
        self.bytes = 0;
        state.items.push_back(Item::Append(Box::new(Waiting { batch, done })));
        self.queue.ready.notify_one();
        Ok(answer)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.queue.lock().bytes -= self.bytes;
            self.queue.changed.notify_one();
        }
    }
}

/// The right to wait for room.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    queue: &'a Queue,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

/// Keeps others from taking the room that somebody waits for.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    queue: &'a Queue,
    pub(crate) bytes: u64,
}

impl Turn<'_> {
    pub(crate) fn claim(&self, bytes: u64) -> Claim<'_> {
        self.queue.lock().claimed = bytes;
        Claim { queue: self.queue, bytes }
    }
}

impl Claim<'_> {
    /// Waits until it may be worth to look for room again. No change is missed between two looks.
    pub(crate) async fn changed(&self) {
        self.queue.changed.notified().await;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.queue.lock().claimed = 0;
    }
}

impl State {
    #[cfg(not(test))]
    fn is_held(&self) -> bool {
        false
    }

    #[cfg(test)]
    fn is_held(&self) -> bool {
        self.is_held
    }

    /// Whether nothing is taken now, though something may wait.
    fn is_paused(&self) -> bool {
        self.is_held() || self.awaits_again
    }

    fn is_open(&self) -> Result<(), AppendError> {
        match &self.poison {
            Some(cause) => Err(AppendError::Poisoned { cause: cause.clone() }),
            None if self.closed => Err(AppendError::Closed),
            None => Ok(()),
        }
    }
}

/// What goes next.
pub(crate) enum Group {
    Append(Vec<Waiting>),
    Rotate(SyncSender<Result<Rotated, Arc<str>>>),
    /// There is none, and the time has come for something else.
    Due,
}

/// A head that gets no more spans, for a block to be made of it.
#[derive(Debug)]
pub(crate) struct Rotated {
    pub(crate) head: Arc<Head>,
    /// The last frame whose spans are in this head or before it.
    pub(crate) last_seq: u64,
    /// As of that frame.
    pub(crate) progress: Progress,
    /// Whether that frame was written since the store was opened.
    pub(crate) is_new: bool,
}

impl Queue {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
            ready: Condvar::default(),
            turn: tokio::sync::Mutex::default(),
            changed: Notify::default(),
        }
    }

    /// What those take that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Errors with why no more batches are taken.
    pub(crate) fn is_open(&self) -> Result<(), AppendError> {
        self.lock().is_open()
    }

    /// Room for a batch of this size, now or not at all.
    pub(crate) fn room_for(&self, bytes: u64) -> Result<Room<'_>, AppendError> {
        let claimed = self.lock().claimed;
        self.room_beside(claimed, bytes)
    }

    /// Room for whoever has the claim, now or not yet.
    pub(crate) fn room_for_claim(&self, claim: &Claim<'_>) -> Result<Room<'_>, AppendError> {
        self.room_beside(0, claim.bytes)
    }

    fn room_beside(&self, claimed: u64, bytes: u64) -> Result<Room<'_>, AppendError> {
        let mut state = self.lock();
        state.is_open()?;
        let taken = state.bytes + claimed;
        // A batch that is larger than the whole budget passes when it is alone.
        if taken > 0 && taken + bytes > self.bytes_max {
            return Err(AppendError::Overloaded);
        }
        state.bytes += bytes;
        Ok(Room { queue: self, bytes })
    }

    /// To be asked for before a head that is followed by spans [again](Then::Again).
    pub(crate) fn hold_after_rotation(&self) -> Held<'_> {
        Held(self)
    }

    /// Waits for the right to wait for room.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn { queue: self, _turn: self.turn.lock().await }
    }

    /// Tells whoever waits for room to look again.
    pub(crate) fn tell_changed(&self) {
        self.changed.notify_one();
    }

    /// Asks for a new head. The answer comes over `done`; nothing comes if the queue is closed.
    pub(crate) fn rotate(&self, done: SyncSender<Result<Rotated, Arc<str>>>, then: Then) {
        let mut state = self.lock();
        if !state.closed {
            state.items.push_back(Item::Rotate(done, then));
            self.ready.notify_one();
        }
    }

    /// Keeps all that wait from being taken, until it is told to go on.
    #[cfg(test)]
    pub(crate) fn hold(&self, is_held: bool) {
        self.lock().is_held = is_held;
        self.ready.notify_one();
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().items.len()
    }

    /// Takes no more batches. Those that wait are still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
        self.tell_changed();
    }

    /// Nobody will take what waits: whoever waits for it hears that.
    pub(crate) fn abandon(&self) {
        self.close();
        self.lock().items.clear();
    }

    /// Takes no more batches for good, and says why.
    pub(crate) fn poison(&self, cause: Arc<str>) {
        self.lock().poison.get_or_insert(cause);
        self.tell_changed();
    }

    pub(crate) fn poison_cause(&self) -> Option<Arc<str>> {
        self.lock().poison.clone()
    }

    /// What goes next: a group of batches, or one other item. `None` once closed and empty. Waits for it
    /// until then at most.
    pub(crate) fn take(&self, until: Option<Instant>) -> Option<Group> {
        let mut state = self.lock();
        while state.items.is_empty() || state.is_paused() {
            if state.closed && state.items.is_empty() {
                return None;
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Some(Group::Due),
                Some(left) => {
                    let waited = self.ready.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        let mut group: Vec<Waiting> = Vec::new();
        let mut group_bytes = 0;
        loop {
            match state.items.front() {
                Some(Item::Append(next))
                    if group.is_empty() || group_bytes + next.batch.bytes <= GROUP_BYTES_MAX =>
                {
                    group_bytes += next.batch.bytes;
                }
                Some(Item::Rotate(..)) if group.is_empty() => {}
                _ => return Some(Group::Append(group)),
            }
            match state.items.pop_front() {
                Some(Item::Append(waiting)) => {
                    state.bytes -= waiting.batch.bytes;
                    self.tell_changed();
                    let is_again = waiting.batch.is_again;
                    group.push(*waiting);
                    // Nobody's batch is refused because there is no room for what is in memory already.
                    if is_again {
                        return Some(Group::Append(group));
                    }
                }
                Some(Item::Rotate(done, then)) => {
                    state.awaits_again = then == Then::Again;
                    return Some(Group::Rotate(done));
                }
                None => return Some(Group::Append(group)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const MAX: u64 = 1 << 20;

    fn incoming(bytes: u64) -> Incoming {
        Incoming { bytes, ..Incoming::default() }
    }

    /// As an append that waits does it.
    async fn put(queue: &Queue, bytes: u64) -> Result<(), AppendError> {
        let turn = queue.turn().await;
        let claim = turn.claim(bytes);
        loop {
            match queue.room_for_claim(&claim) {
                Err(AppendError::Overloaded) => claim.changed().await,
                room => return room?.put(incoming(bytes)).map(drop),
            }
        }
    }

    fn sizes(queue: &Queue) -> Vec<u64> {
        let Some(Group::Append(group)) = queue.take(None) else { panic!("no batches") };
        group.iter().map(|waiting| waiting.batch.bytes).collect()
    }

    fn taken(queue: &Queue) -> (u64, u64) {
        let state = queue.lock();
        (state.bytes, state.claimed)
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn whoever_waits_goes_first_and_nobody_slips_in() {
        let queue = Queue::new(MAX);
        queue.room_for(MAX).unwrap().put(incoming(MAX)).unwrap();
        let (mut large, mut small) = (pin!(put(&queue, MAX - 1)), pin!(put(&queue, 2)));
        let mut given_up = Box::pin(put(&queue, 5));
        assert!(poll(large.as_mut()).is_pending());
        assert!(poll(given_up.as_mut()).is_pending());
        assert!(poll(small.as_mut()).is_pending());
        assert_eq!(sizes(&queue), [MAX]);
        // There is room for these two, but it is somebody else's.
        assert!(poll(small.as_mut()).is_pending());
        assert_eq!(queue.room_for(2).unwrap_err(), AppendError::Overloaded);
        drop(given_up);
        assert_eq!(poll(large.as_mut()), Poll::Ready(Ok(())));
        assert!(poll(small.as_mut()).is_pending());
        assert_eq!(sizes(&queue), [MAX - 1]);
        assert_eq!(poll(small.as_mut()), Poll::Ready(Ok(())));
        assert_eq!(sizes(&queue), [2]);
        assert_eq!(taken(&queue), (0, 0));
    }

    #[test]
    fn what_is_there_again_goes_first_and_alone() {
        let queue = Queue::new(MAX);
        for bytes in [7, 8] {
            queue.room_for(bytes).unwrap().put(incoming(bytes)).unwrap();
        }
        let held = queue.hold_after_rotation();
        let again = Incoming { is_again: true, ..incoming(MAX) };
        held.put_again(again).unwrap();
        assert_eq!(sizes(&queue), [MAX]);
        assert_eq!(sizes(&queue), [7, 8]);
        assert_eq!(taken(&queue), (0, 0));
    }

    #[test]
    fn whoever_stops_waiting_has_put_nothing_and_holds_nobody_back() {
        let queue = Queue::new(MAX);
        queue.room_for(7).unwrap().put(incoming(7)).unwrap();
        let mut first = Box::pin(put(&queue, MAX));
        assert!(poll(first.as_mut()).is_pending());
        let mut second = pin!(put(&queue, 9));
        assert!(poll(second.as_mut()).is_pending());
        drop(first);
        assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
        // Room that was made and not used is given back.
        drop(queue.room_for(MAX - 16).unwrap());
        assert_eq!(sizes(&queue), [7, 9]);
        assert_eq!(taken(&queue), (0, 0));
    }

    #[test]
    fn waiting_ends_when_there_will_never_be_room() {
        let cause: Arc<str> = "gone".into();
        for expected in [AppendError::Closed, AppendError::Poisoned { cause: cause.clone() }] {
            let queue = Queue::new(MAX);
            queue.room_for(7).unwrap().put(incoming(7)).unwrap();
            let mut waiting = pin!(put(&queue, MAX));
            let mut behind = pin!(put(&queue, 1));
            assert!(poll(waiting.as_mut()).is_pending());
            assert!(poll(behind.as_mut()).is_pending());
            match expected {
                AppendError::Closed => queue.close(),
                _ => queue.poison(cause.clone()),
            }
            assert_eq!(poll(waiting.as_mut()), Poll::Ready(Err(expected.clone())));
            assert_eq!(poll(behind.as_mut()), Poll::Ready(Err(expected)));
        }
    }
}
