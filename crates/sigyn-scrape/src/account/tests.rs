//! The books, by table and against a simulated target that knows the truth.

use proptest::prelude::*;
use sigyn_model::Losses;
use sigyn_model::pull::{Cursor, Dropped, Range};

use super::*;

/// A 200 with segments `first..=last`, the newest of which is `last`.
fn answer(epoch: u64, first: u64, last: u64, finished: u64) -> Answer {
    Answer {
        range: Some(Range { epoch, first, last, newest: last }),
        next: Cursor { epoch, seq: last + 1 },
        more: false,
        lost: 0,
        finished: Some(finished),
        dropped: Dropped::default(),
        clock_ns: None,
        is_final: false,
        ended: None,
        log: None,
        sampled: None,
        cold: None,
        kept: Vec::new(),
    }
}

fn kept(kept: u64) -> Arrived {
    Arrived { kept, ..Arrived::default() }
}

/// One more answer, where no body was stepped over before.
fn settle_one(before: &TargetProgress, answer: &Answer, arrived: Arrived) -> TargetProgress {
    settle(before, false, answer, arrived).progress
}

/// The books after all these answers, each with the spans that arrived in it.
fn settled(answers: &[(Answer, Arrived)]) -> Account {
    let mut books = TargetProgress::default();
    let mut uncounted = false;
    for (answer, arrived) in answers {
        let settled = settle(&books, uncounted, answer, *arrived);
        (books, uncounted) = (settled.progress, settled.uncounted);
    }
    books.account
}

#[test]
fn losses_are_counted_by_reason() {
    let check = |answers: &[(Answer, Arrived)], lost: Losses, restarts: u64| {
        let account = settled(answers);
        assert_eq!((account.lost, account.restarts), (lost, restarts), "{answers:#?}");
    };
    let none = Losses::default();
    let lossy = |mut answer: Answer, lost: u64| {
        answer.lost = lost;
        answer
    };
    let dropped = |mut answer: Answer, oversize: u64, shutdown: u64| {
        answer.dropped = Dropped { evicted: 99, oversize, shutdown };
        answer
    };

    check(&[(answer(1, 1, 1, 5), kept(5))], none, 0);
    check(
        &[(lossy(answer(1, 3, 3, 12), 7), kept(5))],
        Losses { before_first_scrape: 7, ..none },
        0,
    );
    check(
        &[(answer(1, 1, 1, 5), kept(5)), (lossy(answer(1, 3, 3, 12), 4), kept(3))],
        Losses { evicted: 4, ..none },
        0,
    );
    // A new process: what it evicted before we came is no first contact any more.
    check(
        &[(answer(1, 1, 1, 5), kept(5)), (lossy(answer(2, 3, 3, 12), 4), kept(8))],
        Losses { evicted: 4, ..none },
        1,
    );
    // Totals of the epoch, counted by their growth.
    check(
        &[
            (dropped(answer(1, 1, 1, 7), 2, 0), kept(5)),
            (dropped(answer(1, 2, 2, 10), 3, 1), kept(1)),
            (dropped(answer(2, 1, 1, 2), 1, 0), kept(1)),
        ],
        Losses { oversize: 4, shutdown: 1, ..none },
        1,
    );
    check(
        &[(answer(1, 1, 1, 5), Arrived { kept: 3, rejected: 2, uncounted: false })],
        Losses { rejected: 2, ..none },
        0,
    );
}

#[test]
fn what_the_law_leaves_over_is_counted_once_it_stays() {
    let check = |answers: &[(Answer, Arrived)], unexplained: u64| {
        let account = settled(answers);
        assert_eq!(account.lost.unexplained, unexplained, "{answers:#?}");
    };
    let more = |mut answer: Answer| {
        answer.more = true;
        answer
    };
    let nine = || (answer(1, 1, 1, 9), kept(5));
    check(&[nine()], 0);
    check(&[nine(), (answer(1, 2, 2, 12), kept(3))], 4);
    check(&[nine(), (answer(1, 2, 2, 12), kept(3)), (answer(1, 3, 3, 13), kept(1))], 4);
    check(&[nine(), (answer(1, 2, 2, 12), kept(5))], 2);
    check(&[nine(), (answer(1, 2, 2, 14), kept(3))], 4);
    check(&[nine(), (answer(1, 2, 2, 14), kept(3)), (answer(1, 3, 3, 15), kept(1))], 6);
    check(&[nine(), (answer(1, 2, 2, 12), kept(7))], 0);
    // Nothing will explain the rest of an epoch that is over; the new one may still be explained.
    check(&[nine(), (answer(2, 1, 1, 3), kept(2))], 4);
    check(&[(more(answer(1, 1, 1, 9)), kept(5))], 0);
    check(&[(more(answer(1, 1, 1, 9)), kept(5)), (answer(1, 2, 2, 9), kept(4))], 0);
    // What arrives after it was given up is no reason to take a count back.
    check(&[nine(), (answer(1, 2, 2, 9), kept(0)), (answer(1, 2, 2, 9), kept(4))], 4);
}

#[test]
fn a_target_that_claims_fewer_than_it_sent_is_told_and_not_counted() {
    let check = |answer: &Answer, surplus: Option<u64>| {
        let settled = settle(&TargetProgress::default(), false, answer, kept(5));
        assert_eq!(settled.surplus, surplus, "{answer:?}");
        assert_eq!(settled.progress.account.lost, Losses::default());
    };
    check(&answer(1, 1, 1, 3), Some(2));
    check(&answer(1, 1, 1, 5), Some(0));
    check(&answer(1, 1, 1, 7), Some(0));
    check(&Answer { more: true, ..answer(1, 1, 1, 3) }, None);
    check(&Answer { finished: None, ..answer(1, 1, 1, 3) }, None);
}

#[test]
fn spans_of_a_body_that_was_stepped_over_are_rejected() {
    let stepped = Arrived { kept: 0, rejected: 1, uncounted: true };
    let check = |answers: &[(Answer, Arrived)], rejected: u64, unexplained: u64| {
        let account = settled(answers);
        let lost = Losses { rejected, unexplained, ..Losses::default() };
        assert_eq!(account.lost, lost, "{answers:#?}");
    };
    let more = |answer: Answer| Answer { more: true, ..answer };
    check(&[(answer(1, 1, 1, 9), stepped)], 9, 0);
    // Until the law closes, only that there was one at least.
    check(&[(more(answer(1, 1, 1, 9)), stepped)], 1, 0);
    check(&[(more(answer(1, 1, 1, 9)), stepped), (answer(1, 2, 2, 12), kept(3))], 9, 0);
    // A target that does not count leaves it at that.
    check(&[(Answer { finished: None, ..answer(1, 1, 1, 9) }, stepped)], 1, 0);
    // What is missing later has another reason.
    let later = [(answer(1, 2, 2, 12), kept(1)), (answer(1, 3, 3, 12), kept(0))];
    check(&[&[(answer(1, 1, 1, 9), stepped)], &later[..]].concat(), 9, 2);
}

#[test]
fn the_process_that_was_left_is_remembered_with_its_books() {
    let first = settle_one(&TargetProgress::default(), &answer(1, 1, 4, 9), kept(5));
    let other = settle(&first, true, &answer(2, 1, 1, 2), kept(2));
    let left = other.left.unwrap();
    assert_eq!(left.cursor, Cursor { epoch: 1, seq: 5 });
    assert_eq!((left.account.received, left.account.lost, left.account.unexplained), (5, 4, 0));
    assert!(left.uncounted && !other.uncounted);
    assert_eq!(settle(&first, false, &answer(1, 5, 5, 9), kept(0)).left, None);
}

#[test]
fn an_empty_answer_moves_the_cursor_and_counts_its_loss() {
    let first = settle_one(&TargetProgress::default(), &answer(1, 1, 1, 5), kept(5));
    let empty =
        Answer { range: None, next: Cursor { epoch: 1, seq: 4 }, lost: 6, ..answer(1, 1, 1, 11) };
    let after = settle_one(&first, &empty, kept(0));
    assert_eq!(after.cursor, Some(Cursor { epoch: 1, seq: 4 }));
    assert_eq!(after.account.lost, Losses { evicted: 6, ..Losses::default() });
    let quiet = Answer { lost: 0, ..empty };
    assert_eq!(settle_one(&after, &quiet, kept(0)), after, "nothing new leaves nothing to commit");
}

#[test]
fn a_target_that_forgot_how_far_it_was_is_read_again_without_counting_its_drops_twice() {
    let mut first = answer(1, 1, 9, 50);
    first.dropped.oversize = 10;
    let mut again = answer(1, 1, 3, 50);
    again.dropped.oversize = 10;
    let account = settled(&[(first, kept(40)), (again, kept(40))]);
    assert_eq!(account.lost, Losses { oversize: 10, ..Losses::default() });
    assert_eq!(account.restarts, 1);
}

#[test]
fn a_foreign_target_has_no_cursor_and_its_losses_are_not_known() {
    let arrived = Arrived { kept: 5, rejected: 1, uncounted: false };
    let after = settle_foreign(&TargetProgress::default(), false, arrived).progress;
    assert_eq!(after.cursor, None);
    assert_eq!(after.account.received, 5);
    assert_eq!(after.account.lost, Losses { rejected: 1, ..Losses::default() });
    assert_eq!(after.account.epoch, EpochAccount::default());
    let known = settle_one(&TargetProgress::default(), &answer(1, 1, 1, 5), kept(5));
    assert_eq!(settle_foreign(&known, false, arrived).progress.cursor, known.cursor);
}

/// A target that obeys the protocol, with a log of `hold` segments; it knows the truth.
#[derive(Debug)]
struct Target {
    epoch: u64,
    hold: usize,
    /// `(seq, spans)` of the segments still held.
    log: Vec<(u64, u64)>,
    newest: u64,
    evicted: Vec<(u64, u64)>,
    finished: u64,
    oversize: u64,
    /// What a lying target keeps for itself.
    hidden: u64,
}

impl Target {
    fn new(epoch: u64, hold: usize) -> Self {
        Self {
            epoch,
            hold,
            log: Vec::new(),
            newest: 0,
            evicted: Vec::new(),
            finished: 0,
            oversize: 0,
            hidden: 0,
        }
    }

    fn seal(&mut self, spans: u64, oversize: u64) {
        self.finished += spans + oversize;
        self.oversize += oversize;
        if spans > 0 {
            self.newest += 1;
            self.log.push((self.newest, spans));
        }
        while self.log.len() > self.hold {
            self.evicted.push(self.log.remove(0));
        }
    }

    fn answer(&self, cursor: Option<Cursor>, page: usize) -> (Answer, u64) {
        let from = match cursor {
            Some(c) if c.epoch == self.epoch && c.seq <= self.newest + 1 => c.seq,
            _ => 1,
        };
        let lost = self.evicted.iter().filter(|(seq, _)| *seq >= from).map(|(_, n)| n).sum();
        let body: Vec<_> =
            self.log.iter().filter(|(seq, _)| *seq >= from).take(page).copied().collect();
        let range = body.first().zip(body.last()).map(|((first, _), (last, _))| Range {
            epoch: self.epoch,
            first: *first,
            last: *last,
            newest: self.newest,
        });
        let last = range.map_or(self.newest, |range| range.last);
        let answer = Answer {
            range,
            next: Cursor { epoch: self.epoch, seq: last + 1 },
            more: last < self.newest,
            lost,
            finished: Some(self.finished + self.hidden),
            dropped: Dropped { oversize: self.oversize, ..Dropped::default() },
            clock_ns: None,
            is_final: false,
            ended: None,
            log: None,
            sampled: None,
            cold: None,
            kept: Vec::new(),
        };
        (answer, body.iter().map(|(_, spans)| spans).sum())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Seal {
        spans: u64,
        oversize: u64,
    },
    Restart,
    /// `commits`: whether the store keeps it. `refused` of the spans cannot be decoded, or the whole
    /// body is `rotten`.
    Scrape {
        page: usize,
        commits: bool,
        refused: u64,
        rotten: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..50u64, 0..3u64).prop_map(|(spans, oversize)| Step::Seal { spans, oversize }),
        1 => Just(Step::Restart),
        4 => (1..5usize, prop::bool::weighted(0.8), 0..2u64, prop::bool::weighted(0.2)).prop_map(
            |(page, commits, refused, rotten)| Step::Scrape { page, commits, refused, rotten },
        ),
    ]
}

proptest! {
    #[test]
    fn the_law_holds_for_every_target_that_obeys(
        steps in prop::collection::vec(step(), 1..80), hold in 1..6usize,
    ) {
        let mut target = Target::new(1, hold);
        let mut books = TargetProgress::default();
        let mut uncounted = false;
        for step in steps {
            match step {
                Step::Seal { spans, oversize } => target.seal(spans, oversize),
                Step::Restart => target = Target::new(target.epoch + 1, hold),
                Step::Scrape { page, commits, refused, rotten } => {
                    let (answer, spans) = target.answer(books.cursor, page);
                    let refused = refused.min(spans);
                    let arrived = match answer.range {
                        Some(range) if rotten => Arrived {
                            kept: 0,
                            rejected: range.last - range.first + 1,
                            uncounted: true,
                        },
                        _ => Arrived { kept: spans - refused, rejected: refused, uncounted: false },
                    };
                    let before = books.account.lost;
                    let after = settle(&books, uncounted, &answer, arrived);
                    prop_assert_eq!(after.surplus.unwrap_or(0), 0);
                    if commits {
                        (books, uncounted) = (after.progress, after.uncounted);
                    }
                    let grows = books.account.lost.by_reason().into_iter().zip(before.by_reason());
                    for ((reason, now), (_, then)) in grows {
                        prop_assert!(now >= then, "{:?} fell", reason);
                    }
                }
            }
            prop_assert_eq!(books.account.lost.unexplained, 0);
        }
        // Once all is read, every span of this epoch is received, or lost by name.
        while books.cursor != Some(target.answer(books.cursor, 1).0.next)
            || target.answer(books.cursor, 1).0.more
        {
            let (answer, spans) = target.answer(books.cursor, 3);
            let after = settle(&books, uncounted, &answer, kept(spans));
            (books, uncounted) = (after.progress, after.uncounted);
        }
        let (answer, _) = target.answer(books.cursor, 1);
        let account = settle(&books, uncounted, &answer, kept(0)).progress.account;
        let epoch = account.epoch;
        prop_assert_eq!(epoch.finished, target.finished);
        prop_assert_eq!(epoch.finished, epoch.received + epoch.lost + epoch.oversize);
        prop_assert_eq!(account.lost.unexplained, 0);
    }

    #[test]
    fn a_target_that_hides_spans_is_found_out(hidden in 1..100u64, spans in 0..50u64) {
        let mut target = Target::new(1, 3);
        target.seal(spans, 0);
        target.hidden = hidden;
        let mut books = TargetProgress::default();
        for expected in [0, hidden, hidden] {
            let (answer, spans) = target.answer(books.cursor, 9);
            books = settle_one(&books, &answer, kept(spans));
            prop_assert_eq!(books.account.lost.unexplained, expected);
        }
    }
}
