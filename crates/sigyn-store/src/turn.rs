//! Something that one changes at a time; whoever waits for his turn hears that he is to stop.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::stop::{Stop, Stopped};

/// How long nobody asks whether to go on waiting.
const LISTEN_EVERY: Duration = Duration::from_millis(10);

/// What is known, while nobody adds to it.
#[derive(Debug)]
pub(crate) struct Turn<T> {
    known: Mutex<Option<T>>,
    is_free: Condvar,
}

/// The same, for the one whose turn it is. As far as he got is kept, however he ends, unless he panics:
/// what is half done then is forgotten.
#[derive(Debug)]
pub(crate) struct Held<'a, T: Default> {
    turn: &'a Turn<T>,
    known: T,
}

impl<T: Default> Default for Turn<T> {
    fn default() -> Self {
        Self { known: Mutex::new(Some(T::default())), is_free: Condvar::new() }
    }
}

impl<T> Turn<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Turn<T> {
    /// Waits for the others.
    pub(crate) fn take(&self, stop: &Stop) -> Result<Held<'_, T>, Stopped> {
        let mut known = self.lock();
        loop {
            stop.check()?;
            if let Some(known) = known.take() {
                return Ok(Held { turn: self, known });
            }
            let waited = self.is_free.wait_timeout(known, LISTEN_EVERY);
            (known, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T: Default> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.known
    }
}

impl<T: Default> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.known
    }
}

impl<T: Default> Drop for Held<'_, T> {
    fn drop(&mut self) {
        let known = mem::take(&mut self.known);
        *self.turn.lock() = Some(if thread::panicking() { T::default() } else { known });
        self.turn.is_free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn who_waits_is_stopped_and_what_another_did_is_there_for_the_next() {
        let turn: Turn<Vec<u32>> = Turn::default();
        let mut held = turn.take(&Stop::default()).unwrap();
        held.push(1);
        let stop = Stop::default();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| turn.take(&stop).is_err());
            let patient = scope.spawn(|| turn.take(&Stop::default()).unwrap().push(2));
            stop.stop();
            assert!(waiting.join().unwrap());
            held.push(3);
            drop(held);
            patient.join().unwrap();
        });
        assert_eq!(*turn.take(&Stop::default()).unwrap(), [1, 3, 2]);
    }

    #[test]
    fn what_was_half_done_when_somebody_panicked_is_forgotten() {
        let turn: Turn<Vec<u32>> = Turn::default();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            turn.take(&Stop::default()).unwrap().push(1);
            let mut held = turn.take(&Stop::default()).unwrap();
            held.push(2);
            panic!("half done");
        }));
        assert!(panicked.is_err());
        assert!(turn.take(&Stop::default()).unwrap().is_empty());
    }
}
