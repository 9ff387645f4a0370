//! How much memory there is for spans, and who gets which share of it.

/// One bound on memory, in shares of all but what is [`APART`](Self::APART).
///
/// Shares are estimates of what is held on purpose, so that what a process takes in all stays within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub bytes: u64,
    /// A head that takes more is sealed. While that is done, or cannot be done, the next one grows: no more
    /// spans are taken once both take three times as much.
    pub head: u64,
    /// Batches that wait for the log.
    pub queue: u64,
    /// What blocks are made with: of a head, or of each other.
    pub making: u64,
    /// What was read of blocks, and may be wanted again.
    pub cache: u64,
    /// Answers that are being given, all together; one alone has half of it.
    pub answers: u64,
    /// Messages that are pushed, until they are stored.
    pub pushed: u64,
    /// What is scraped, until it is stored.
    pub scraped: u64,
}

/// A part of the memory that one sort of thing takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// `heads`, `queue`, `making`, `cache` or `answers`; `pushed` and `scraped` are told by those who take
    /// spans in.
    pub name: &'static str,
    pub max: u64,
    /// Estimated.
    pub used: u64,
}

/// One answer may take one in so many bytes of all shares.
const ANSWER_OF_ALL: u64 = 8;
/// Settings that are told differ by so much at least.
const STEP: u64 = 32 << 20;

/// Enough for all of the others; more is not needed, and less will do.
const DEFAULT_BYTES: u64 = 2 << 30;

impl Memory {
    /// What nobody has a share of: threads, connections, indexes of blocks, and what the allocator keeps of what
    /// was given back to it in the last second.
    pub const APART: u64 = 32 << 20;
    /// With less than this even small batches do not find their place.
    pub const BYTES_MIN: u64 = Self::APART + (64 << 20);

    /// Shares of so much; of the least there is where it is less.
    pub fn within(bytes: u64) -> Self {
        let bytes = bytes.max(Self::BYTES_MIN);
        let share = |of_64: u64| (bytes - Self::APART) / 64 * of_64;
        Self {
            bytes,
            // Three of them: 12.
            head: share(4),
            queue: share(2),
            making: share(6),
            cache: share(3),
            answers: share(16),
            pushed: share(17),
            scraped: share(6),
        }
    }

    /// What all heads may take together.
    pub(crate) fn heads(&self) -> u64 {
        self.head.saturating_mul(3)
    }

    /// What a row group may take while it is filled. It takes as much again three times when it is written: as it
    /// is in a page, and compressed, twice.
    pub(crate) fn group(&self) -> u64 {
        self.making / 2
    }

    /// What one answer may take.
    pub fn answer(&self) -> u64 {
        self.answers / 2
    }

    /// How much memory leaves so much to one answer: in whole steps, for what an answer takes is an estimate.
    pub fn for_answer(bytes: u64) -> u64 {
        let all = bytes.saturating_mul(ANSWER_OF_ALL).saturating_add(Self::APART);
        all.max(Self::BYTES_MIN).checked_next_multiple_of(STEP).unwrap_or(u64::MAX)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::within(DEFAULT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_room_in_the_memory_that_it_asks_for() {
        for bytes in [0, 1, 8 << 20, (8 << 20) + 1, 1_234_567_890] {
            let all = Memory::for_answer(bytes);
            assert!(Memory::within(all).answer() >= bytes, "{bytes}");
            // And less would not do.
            let less = all.saturating_sub(STEP);
            assert!(less < Memory::BYTES_MIN || Memory::within(less).answer() < bytes, "{bytes}");
        }
    }

    #[test]
    fn shares_together_leave_something() {
        for bytes in [0, 64 << 20, 256 << 20, (1 << 30) + 12_345, 2 << 30, 1 << 40] {
            let memory = Memory::within(bytes);
            let Memory { bytes: all, queue, making, cache, answers, pushed, scraped, .. } = memory;
            let shares = memory.heads() + queue + making + cache + answers + pushed + scraped;
            assert!(
                all == bytes.max(Memory::BYTES_MIN) && shares + Memory::APART <= all,
                "{memory:?}"
            );
        }
    }
}
