//! What a loop remembers of scrapes that brought nothing, and what follows from it.

use std::time::Duration;

use sigyn_model::pull::Cursor;

/// The longest pause after spans could not be stored. The target's log goes on filling.
const STORE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// A segment that so many scrapes could not read is stepped over: those after it are worth more.
const STRIKES_MAX: u32 = 3;
/// Scrapes without another process after which there is one again, as far as anybody can tell: a new
/// one and an old one share an address for a moment while they are exchanged.
const SCRAPES_ALONE: u32 = 30;
/// Times in one scrape that another process may answer than the one that was asked.
const TURNS_MAX: u32 = 16;

/// What a loop remembers of scrapes that brought nothing.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// The body that cannot be read, by the cursor after it, and how often that was seen.
    unreadable: Option<(Cursor, u32)>,
    /// Scrapes in a row whose spans could not be stored.
    not_stored: u32,
    /// Answers in a row from another process than the one asked.
    turns: u32,
    /// Scrapes since another process answered.
    alone: u32,
    tosses: u64,
}

/// Which process to ask after another one answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    TheOneThatAnswered,
    TheOneThatWasAsked,
    /// Nobody, for now.
    GiveUp,
}

impl Trouble {
    /// A scrape begins. True if another process has not answered for so long that there is none.
    pub(crate) fn begin(&mut self) -> bool {
        self.turns = 0;
        self.alone = self.alone.saturating_add(1);
        self.alone == SCRAPES_ALONE
    }

    /// The process that was asked has answered.
    pub(crate) fn right_process(&mut self) {
        self.turns = 0;
    }

    /// Another process answered than the one asked.
    pub(crate) fn other_process(&mut self) -> Turn {
        self.alone = 0;
        self.turns += 1;
        // A connection leads to one process most often, so the next answer is from this one, too. If
        // it is not, they take turns, and no rule of ours may keep step with theirs: one of them would
        // never be read.
        let heads = self.toss();
        match self.turns {
            0..=2 => Turn::TheOneThatAnswered,
            3..=TURNS_MAX if heads => Turn::TheOneThatAnswered,
            3..=TURNS_MAX => Turn::TheOneThatWasAsked,
            _ => Turn::GiveUp,
        }
    }

    /// A body that cannot be asked for in smaller pages cannot be read. True if it is to be stepped
    /// over. `next` is the cursor after it.
    pub(crate) fn strike(&mut self, next: Cursor) -> bool {
        let seen = self.unreadable.filter(|(known, _)| *known == next);
        let strikes = seen.map_or(0, |(_, strikes)| strikes) + 1;
        let is_out = strikes >= STRIKES_MAX;
        self.unreadable = Some((next, strikes)).filter(|_| !is_out);
        is_out
    }

    /// A scrape's spans could not be stored. How long to leave the target alone: not at all after the
    /// first time, then for one interval, three, seven and so on.
    pub(crate) fn not_stored(&mut self, interval: Duration) -> Duration {
        let skipped = 2_u32.saturating_pow(self.not_stored) - 1;
        self.not_stored = self.not_stored.saturating_add(1);
        interval.saturating_mul(skipped).min(STORE_PAUSE_MAX)
    }

    pub(crate) fn stored(&mut self) {
        self.not_stored = 0;
    }

    /// Scrapes in a row that could not be stored.
    pub(crate) fn not_stored_in_a_row(&self) -> u32 {
        self.not_stored
    }

    /// A coin: the bits of a mixed counter.
    fn toss(&mut self) -> bool {
        self.tosses = self.tosses.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.tosses ^ (self.tosses >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_while_spans_cannot_be_stored() {
        let mut trouble = Trouble::default();
        for expected in [0, 5, 15, 35, 60, 60] {
            let pause = trouble.not_stored(Duration::from_secs(5));
            assert_eq!(pause, Duration::from_secs(expected));
        }
        trouble.not_stored = u32::MAX;
        assert_eq!(trouble.not_stored(Duration::from_secs(5)), STORE_PAUSE_MAX);
        trouble.stored();
        assert_eq!(trouble.not_stored(Duration::from_secs(3600)), Duration::ZERO);
    }

    #[test]
    fn a_body_is_stepped_over_once_it_was_seen_often_enough() {
        let mut trouble = Trouble::default();
        let [one, two] = [5, 6].map(|seq| Cursor { epoch: 1, seq });
        let strikes = [one, one, two, two, one, one, one, one];
        let out = strikes.map(|next| trouble.strike(next));
        assert_eq!(out, [false, false, false, false, false, false, true, false]);
    }

    #[test]
    fn an_answer_is_waited_for_by_chance_and_not_for_ever() {
        let mut trouble = Trouble::default();
        let turns: Vec<_> = (0..=TURNS_MAX).map(|_| trouble.other_process()).collect();
        assert_eq!(turns[..2], [Turn::TheOneThatAnswered; 2]);
        let waits = turns.iter().filter(|turn| **turn == Turn::TheOneThatWasAsked).count();
        assert!((3..12).contains(&waits), "{turns:?}");
        assert_eq!(turns.last(), Some(&Turn::GiveUp));
        let begun: Vec<_> = (0..2 * SCRAPES_ALONE).filter(|_| trouble.begin()).collect();
        assert_eq!(begun, [SCRAPES_ALONE - 1]);
    }
}
