//! The books of a target: what one more answer makes of its committed progress.
//!
//! Pure. The result becomes the target's progress only once it is committed together with the spans
//! it counts, so an answer that was cut, refused or repeated is never counted twice.
//!
//! The law, per epoch, whenever nothing waits beyond the answer:
//! `finished = received + lost + oversize + shutdown`. It holds from the first contact on, since a
//! target tells a reader without a cursor what it evicted before. What the law leaves over is
//! `unexplained`: a state, not an event. It is computed anew at each such answer and may shrink,
//! so a target whose counters run ahead of its log for a moment does not leave a stain for ever.

use sigyn_model::{Account, EpochAccount, TargetProgress};

use crate::answer::Answer;

/// What became of the spans in one body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) kept: u64,
    /// Refused by the decoder. They arrived, so the law counts them as received.
    pub(crate) rejected: u64,
}

/// The books after an answer of a target that speaks the protocol.
pub(crate) fn settle(before: &TargetProgress, answer: &Answer, arrived: Arrived) -> TargetProgress {
    let mut account = before.account.clone();
    let start = Start::of(before, answer);
    match start {
        Start::Here => {}
        Start::FirstContact => account.epoch = EpochAccount::default(),
        Start::Restarted => {
            account.restarts = account.restarts.saturating_add(1);
            account.epoch = EpochAccount::default();
        }
        Start::Rewound => {
            account.restarts = account.restarts.saturating_add(1);
            // The log is read once more from its start, but these two are totals of the epoch that
            // were counted already.
            let EpochAccount { oversize, shutdown, .. } = account.epoch;
            account.epoch = EpochAccount { oversize, shutdown, ..EpochAccount::default() };
        }
    }

    add(&mut account.received, arrived.kept);
    add(&mut account.lost.rejected, arrived.rejected);
    add(&mut account.epoch.received, arrived.kept.saturating_add(arrived.rejected));

    add(&mut account.epoch.lost, answer.lost);
    match start {
        Start::FirstContact => add(&mut account.lost.before_first_scrape, answer.lost),
        _ => add(&mut account.lost.evicted, answer.lost),
    }
    advance(&mut account.epoch.oversize, answer.dropped.oversize, &mut account.lost.oversize);
    advance(&mut account.epoch.shutdown, answer.dropped.shutdown, &mut account.lost.shutdown);
    if let Some(finished) = answer.finished {
        account.epoch.finished = finished;
        if !answer.more {
            check_law(&mut account);
        }
    }
    TargetProgress { target: before.target.clone(), cursor: Some(answer.next), account }
}

/// The books after an answer of a foreign target: no cursor, and its losses are not known.
///
/// A cursor that is already there stays: one stray answer (a proxy's, say) must not make the next
/// read start over.
pub(crate) fn settle_foreign(before: &TargetProgress, arrived: Arrived) -> TargetProgress {
    let mut after = before.clone();
    add(&mut after.account.received, arrived.kept);
    add(&mut after.account.lost.rejected, arrived.rejected);
    after
}

/// Where an answer's segments begin, as seen from the cursor that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// At the cursor, or past what was evicted after it.
    Here,
    /// No cursor was sent: the whole epoch.
    FirstContact,
    /// A new process: its whole epoch, and an unknown tail of the old one.
    Restarted,
    /// The same epoch, yet before the cursor: the target forgot how far it was and told everything
    /// again. No recorder does so; the books then follow the target, as after a restart.
    Rewound,
}

impl Start {
    fn of(before: &TargetProgress, answer: &Answer) -> Self {
        let first = answer.range.map_or(answer.next.seq, |range| range.first);
        match before.cursor {
            None => Self::FirstContact,
            Some(sent) if sent.epoch != answer.next.epoch => Self::Restarted,
            Some(sent) if first < sent.seq => Self::Rewound,
            Some(_) => Self::Here,
        }
    }
}

fn check_law(account: &mut Account) {
    let epoch = &mut account.epoch;
    let explained = [epoch.received, epoch.lost, epoch.oversize, epoch.shutdown]
        .into_iter()
        .fold(0, u64::saturating_add);
    let unexplained = epoch.finished.saturating_sub(explained);
    // The total holds the last remainder of every epoch; this epoch's is replaced.
    let others = account.lost.unexplained.saturating_sub(epoch.unexplained);
    account.lost.unexplained = others.saturating_add(unexplained);
    epoch.unexplained = unexplained;
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
