//! The books of a target: what one more answer makes of its committed progress.
//!
//! Pure. The result becomes the target's progress only once it is committed together with the spans
//! it counts, so an answer that was cut, refused or repeated is never counted twice.
//!
//! The law, per epoch, whenever nothing waits beyond the answer:
//! `finished = received + lost + oversize + shutdown`. It holds from the first contact on, since a
//! target tells a reader without a cursor what it evicted before. What the law leaves over:
//!
//! - It belongs to segments that were stepped over, if there were any since the law last closed:
//!   `rejected`. Until then one span is counted for each, and if the epoch ends before, that is all
//!   that can be known. If this process ends before, what is left over later is `unexplained`.
//! - Else it waits in [`EpochAccount::unexplained`], since a target's counters may run ahead of its
//!   log for a moment. What is still left when the law closes the next time, or when the epoch ends,
//!   is counted as `unexplained`, and as lost in its epoch, so that it is counted once. No total
//!   ever falls.
//! - Less than nothing is no loss: the target contradicts itself, which is told and not counted.

use sigyn_model::pull::Cursor;
use sigyn_model::{Account, EpochAccount, TargetProgress};

use crate::answer::Answer;

/// What became of the spans in one body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) kept: u64,
    /// Refused by the decoder or the store. They arrived, so the law counts them as received.
    pub(crate) rejected: u64,
    /// The body was stepped over: it holds more spans than those, and only the law knows how many.
    pub(crate) uncounted: bool,
}

/// What is known of one process behind the target's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) cursor: Cursor,
    pub(crate) account: EpochAccount,
    /// Bodies were stepped over since the law last closed.
    pub(crate) uncounted: bool,
    /// It is read from somewhere in its middle, and the law has not closed since: what was before is not ours to count.
    pub(crate) joined: bool,
}

/// The books after one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) progress: TargetProgress,
    pub(crate) uncounted: bool,
    /// The process that was read before, if another one answered.
    pub(crate) left: Option<Life>,
    /// That other one is read from somewhere in its middle: the target says that we had what is before.
    pub(crate) joined: bool,
    /// More spans are accounted for than the target says it finished. `None` if the law did not close.
    pub(crate) surplus: Option<u64>,
}

/// The books after an answer of a target that speaks the protocol. `uncounted` is what the answer
/// before left of itself.
pub(crate) fn settle(
    before: &TargetProgress,
    uncounted: bool,
    answer: &Answer,
    arrived: Arrived,
) -> Settled {
    let mut account = before.account.clone();
    let mut uncounted = uncounted;
    let (mut left, mut joined) = (None, false);
    let start = Start::of(before, answer);
    match start {
        Start::Here => {}
        Start::FirstContact => {
            account.epoch = EpochAccount::default();
            uncounted = false;
        }
        Start::Restarted(cursor) => {
            // Of one that told its end nothing is unknown.
            let told = answer.ended == Some(cursor);
            account.restarts = account.restarts.saturating_add(u64::from(!told));
            // Nothing will explain it any more.
            let rest = account.epoch.unexplained;
            give_up(&mut account, rest);
            let ended = std::mem::take(&mut account.epoch);
            left =
                Some(Life { cursor, account: ended, uncounted, joined: false }).filter(|_| !told);
            uncounted = false;
            let first = answer.range.map_or(answer.next.seq, |range| range.first);
            joined = first > 1 && answer.lost == 0;
        }
        Start::Rewound => {
            account.restarts = account.restarts.saturating_add(1);
            // The log is read once more from its start, but these two are totals of the epoch that
            // were counted already.
            let EpochAccount { oversize, shutdown, .. } = account.epoch;
            account.epoch = EpochAccount { oversize, shutdown, ..EpochAccount::default() };
            uncounted = false;
        }
    }

    add(&mut account.received, arrived.kept);
    add(&mut account.lost.rejected, arrived.rejected);
    add(&mut account.epoch.received, arrived.kept.saturating_add(arrived.rejected));
    uncounted |= arrived.uncounted;

    add(&mut account.epoch.lost, answer.lost);
    match start {
        Start::FirstContact => add(&mut account.lost.before_first_scrape, answer.lost),
        _ => add(&mut account.lost.evicted, answer.lost),
    }
    advance(&mut account.epoch.oversize, answer.dropped.oversize, &mut account.lost.oversize);
    advance(&mut account.epoch.shutdown, answer.dropped.shutdown, &mut account.lost.shutdown);
    let mut surplus = None;
    if let Some(finished) = answer.finished {
        account.epoch.finished = finished;
        if !answer.more {
            surplus = Some(close(&mut account, std::mem::take(&mut uncounted)));
        }
    }
    let target = before.target.clone();
    let progress = TargetProgress { target, cursor: Some(answer.next), account };
    Settled { progress, uncounted, left, joined, surplus }
}

/// The books after an answer of a foreign target: no cursor, and its losses are not known.
///
/// A cursor that is already there stays: one stray answer (a proxy's, say) must not make the next
/// read start over.
pub(crate) fn settle_foreign(
    before: &TargetProgress,
    uncounted: bool,
    arrived: Arrived,
) -> Settled {
    let mut progress = before.clone();
    add(&mut progress.account.received, arrived.kept);
    add(&mut progress.account.lost.rejected, arrived.rejected);
    Settled { progress, uncounted, left: None, joined: false, surplus: None }
}

/// Where an answer's segments begin, as seen from the cursor that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// At the cursor, or past what was evicted after it.
    Here,
    /// No cursor was sent: the whole epoch.
    FirstContact,
    /// A new process: its whole epoch, and an unknown tail of the old one, read up to here.
    Restarted(Cursor),
    /// The same epoch, yet before the cursor: the target forgot how far it was and told everything
    /// again. No recorder does so; the books then follow the target, as after a restart.
    Rewound,
}

impl Start {
    fn of(before: &TargetProgress, answer: &Answer) -> Self {
        let first = answer.range.map_or(answer.next.seq, |range| range.first);
        match before.cursor {
            None => Self::FirstContact,
            Some(sent) if sent.epoch != answer.next.epoch => Self::Restarted(sent),
            Some(sent) if first < sent.seq => Self::Rewound,
            Some(_) => Self::Here,
        }
    }
}

/// Closes the law: nothing waits beyond the answer. Returns how many spans are there too many.
fn close(account: &mut Account, uncounted: bool) -> u64 {
    let epoch = &mut account.epoch;
    let explained = [epoch.received, epoch.lost, epoch.oversize, epoch.shutdown]
        .into_iter()
        .fold(0, u64::saturating_add);
    let rest = epoch.finished.saturating_sub(explained);
    if uncounted {
        add(&mut epoch.received, rest);
        add(&mut account.lost.rejected, rest);
        epoch.unexplained = 0;
    } else {
        let stayed = rest.min(epoch.unexplained);
        epoch.unexplained = rest;
        give_up(account, stayed);
    }
    explained.saturating_sub(account.epoch.finished)
}

/// The law has closed for the first time in an epoch that was joined in its middle: its rest is what was before.
pub(crate) fn join(account: &mut Account) {
    let before = std::mem::take(&mut account.epoch.unexplained);
    add(&mut account.epoch.received, before);
}

/// Counts spans of the epoch's rest that nothing explains.
fn give_up(account: &mut Account, spans: u64) {
    add(&mut account.lost.unexplained, spans);
    add(&mut account.epoch.lost, spans);
    account.epoch.unexplained = account.epoch.unexplained.saturating_sub(spans);
}

fn add(total: &mut u64, n: u64) {
    *total = total.saturating_add(n);
}

/// Moves a counter of the epoch to what the target says now, and adds the difference to the total.
fn advance(known: &mut u64, told: u64, total: &mut u64) {
    add(total, told.saturating_sub(*known));
    *known = told.max(*known);
}

#[cfg(test)]
mod tests;
