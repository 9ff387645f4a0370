//! The loop on a paused clock: when it asks, what it passes on, and what a failure changes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::labels::Labels;
use crate::mechanism::{Update, Whose, file};
use crate::metrics::Metrics;
use crate::test_log::Log;

/// How long an answer takes, and the sources in it or why there is none.
type Answer = (u64, Result<&'static [&'static str], &'static str>);

/// Answers by script, then hangs; notes when it was asked.
struct Scripted<const COMPLETE: bool> {
    answers: VecDeque<Answer>,
    asked: Arc<Mutex<Vec<u64>>>,
    begun: Instant,
}

impl<const COMPLETE: bool> Refresh for Scripted<COMPLETE> {
    const COMPLETE: bool = COMPLETE;

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        self.asked.lock().unwrap().push(self.begun.elapsed().as_secs());
        let Some((seconds, answer)) = self.answers.pop_front() else {
            return std::future::pending().await;
        };
        sleep(Duration::from_secs(seconds)).await;
        let group = |source: &&str| TargetGroup {
            source: (*source).to_owned(),
            targets: vec![Labels::from_iter([("__address__", *source)])],
            ..TargetGroup::default()
        };
        Ok(answer?.iter().map(group).collect())
    }
}

struct Rig {
    asked: Arc<Mutex<Vec<u64>>>,
    updates: mpsc::Receiver<Update>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    running: JoinSet<()>,
}

impl Rig {
    fn start<const COMPLETE: bool>(seconds: u64, known: &[&str], answers: &[Answer]) -> Self {
        let (updates_tx, updates) = mpsc::channel(16);
        let metrics = Arc::new(Metrics::default());
        let shutdown = CancellationToken::new();
        let context = Context {
            provider: 7,
            whose: Whose::of("a", "scripted", "http://127.0.0.1/"),
            job: "a".to_owned(),
            known: known.iter().map(|source| (*source).to_owned()).collect(),
            updates: updates_tx,
            watcher: Arc::new(file::Watcher::new(Arc::clone(&metrics))),
            #[cfg(feature = "kubernetes")]
            kubernetes: Arc::default(),
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
        };
        let asked = Arc::default();
        let scripted = Scripted::<COMPLETE> {
            answers: answers.iter().copied().collect(),
            asked: Arc::clone(&asked),
            begun: Instant::now(),
        };
        let mut running = JoinSet::new();
        running.spawn(run(scripted, Duration::from_secs(seconds), context));
        Self { asked, updates, metrics, shutdown, running }
    }

    /// The next update: each source, with a `-` before those that are gone.
    async fn next(&mut self) -> Vec<String> {
        let update = timeout(Duration::from_secs(1000), self.updates.recv()).await;
        let groups = update.expect("an update").unwrap().groups;
        let name = |group: TargetGroup| {
            let gone = if group.targets.is_empty() { "-" } else { "" };
            format!("{gone}{}", group.source)
        };
        groups.into_iter().map(name).collect()
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = timeout(Duration::from_secs(1), self.running.join_next()).await;
        ended.expect("it stops").unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn it_asks_at_once_and_then_once_an_interval() {
    let mut rig = Rig::start::<true>(30, &[], &[(0, Ok(&["a"])), (1, Ok(&["a"])), (0, Ok(&["a"]))]);
    for _ in 0..3 {
        assert_eq!(rig.next().await, ["a"]);
    }
    assert_eq!(*rig.asked.lock().unwrap(), [0, 30, 60]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_the_interval_is_not_made_up_for() {
    let mut rig = Rig::start::<true>(10, &[], &[(35, Ok(&[])), (0, Ok(&[])), (0, Ok(&[]))]);
    for _ in 0..3 {
        assert_eq!(rig.next().await, [""; 0]);
    }
    assert_eq!(*rig.asked.lock().unwrap(), [0, 35, 40], "one tick waited, two were dropped");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_zero_is_a_second() {
    let mut rig = Rig::start::<true>(0, &[], &[(0, Ok(&[])), (0, Ok(&[]))]);
    rig.next().await;
    rig.next().await;
    assert_eq!(*rig.asked.lock().unwrap(), [0, 1]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_counted_and_changes_nothing() {
    let log = Log::start();
    let answers: &[Answer] = &[(2, Ok(&["a"])), (0, Err("refused")), (0, Ok(&["a"]))];
    let mut rig = Rig::start::<true>(30, &[], answers);
    assert_eq!(rig.next().await, ["a"]);
    assert_eq!(rig.next().await, ["a"]);
    assert_eq!(*rig.asked.lock().unwrap(), [0, 30, 60]);
    let counted = rig.metrics.snapshot().refreshes["scripted"];
    assert_eq!((counted.failures_total, counted.durations), (1, [2, 0, 0, 1, 0, 0]));
    assert_eq!(counted.duration, Duration::from_secs(2));
    assert_eq!(
        log.lines("Unable to refresh"),
        ["Unable to refresh target groups config=a discovery=scripted \
          server=http://127.0.0.1/ error=refused"]
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sources_that_a_complete_answer_lacks_are_gone() {
    let answers: &[Answer] =
        &[(0, Err("not yet")), (0, Ok(&["b", "c"])), (0, Ok(&["c"])), (0, Ok(&["c"]))];
    let mut rig = Rig::start::<true>(30, &["a", "b"], answers);
    assert_eq!(rig.next().await, ["b", "c", "-a"], "known from before it was started again");
    assert_eq!(rig.next().await, ["c", "-b"]);
    assert_eq!(rig.next().await, ["c"], "and that is said once");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sources_that_an_incomplete_answer_lacks_stay() {
    let mut rig = Rig::start::<false>(30, &["a"], &[(0, Ok(&["b"])), (0, Ok(&[]))]);
    assert_eq!(rig.next().await, ["b"]);
    assert_eq!(rig.next().await, [""; 0]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_stops_while_it_waits_for_an_answer() {
    let rig = Rig::start::<true>(30, &[], &[]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(*rig.asked.lock().unwrap(), [0]);
    rig.stop().await;
}
