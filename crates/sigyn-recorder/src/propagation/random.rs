//! Numbers for ids: as random as they need to be, and cheap.

use std::cell::Cell;

thread_local! {
    /// Zero before the first number.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Weyl's sequence steps by this much.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that is not zero. Each thread has a sequence of its own, from a point that the system gives.
#[inline]
pub(super) fn random() -> u64 {
    let state = match STATE.get() {
        0 => seed(),
        state => state,
    };
    // Skips the zero that stands for no state.
    let next = match state.wrapping_add(STEP) {
        0 => STEP,
        next => next,
    };
    STATE.set(next);
    match mixed(next) {
        0 => 1,
        number => number,
    }
}

/// SplitMix64's finalizer: each bit of the state moves all bits of the number.
#[inline]
fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cold]
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| fastrand::u64(..)).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn it_is_the_generator_of_its_name() {
        // The first numbers of SplitMix64 from 1234567, as its author published them.
        let mut state = 1_234_567_u64;
        let numbers = [(); 3].map(|()| {
            state = state.wrapping_add(STEP);
            mixed(state)
        });
        let expected =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn threads_do_not_repeat_each_other() {
        let numbers = || (0..1000).map(|_| random()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(numbers)).collect();
        let all: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(!all.contains(&0));
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }
}
