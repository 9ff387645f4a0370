//! Blocks that could not be merged: they wait, so that they keep nobody else from it.

use std::collections::HashMap;

use super::RETRY_TICKS;

/// Twice as long as the next of them waits, so that this has its turn.
const WAIT_TICKS: u32 = 2 * RETRY_TICKS;
/// However often it failed.
const WAIT_TICKS_MAX: u32 = 60 * RETRY_TICKS;

/// By the names of their files. There are no more than blocks that fail.
#[derive(Debug, Default)]
pub(super) struct PutOff(HashMap<String, Wait>);

#[derive(Clone, Copy, Debug)]
struct Wait {
    ticks_left: u32,
    /// After the next failure.
    next_ticks: u32,
}

impl PutOff {
    /// Not now; later each time.
    pub(super) fn put(&mut self, name: &str) {
        let first = Wait { ticks_left: 0, next_ticks: WAIT_TICKS };
        let wait = self.0.entry(name.to_owned()).or_insert(first);
        let next_ticks = (wait.next_ticks * 2).min(WAIT_TICKS_MAX);
        *wait = Wait { ticks_left: wait.next_ticks, next_ticks };
    }

    pub(super) fn tick(&mut self) {
        for wait in self.0.values_mut() {
            wait.ticks_left = wait.ticks_left.saturating_sub(1);
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|wait| wait.ticks_left > 0)
    }

    /// Forgets what is no block any more.
    pub(super) fn retain(&mut self, is_block: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_block(name));
    }

    /// Somebody wants it tried now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_longer_than_the_one_before_up_to_a_limit() {
        let mut put_off = PutOff::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            put_off.put("one");
            let mut ticks = 0;
            while put_off.has("one") {
                put_off.tick();
                ticks += 1;
            }
            waits.push(ticks / RETRY_TICKS);
            assert!(!put_off.has("other"));
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        put_off.put("one");
        put_off.retain(|name| name != "one");
        put_off.put("one");
        (0..WAIT_TICKS).for_each(|_| put_off.tick());
        assert!(!put_off.has("one"), "it began anew");
        put_off.put("one");
        put_off.clear();
        assert!(!put_off.has("one"));
    }
}
