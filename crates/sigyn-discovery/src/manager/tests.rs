//! The manager on a paused clock: sharing, updates, reloads, and old targets that are kept.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::config;
use crate::test_log::Log;

/// A manager at work. File SD reads real files, so time is paused only where no file is in play.
struct Rig {
    dir: TempDir,
    jobs: watch::Sender<Arc<Vec<Job>>>,
    groups: watch::Receiver<Arc<Groups>>,
    metrics: Arc<Metrics>,
    troubles: Troubles,
    shutdown: CancellationToken,
    running: JoinSet<()>,
}

impl Rig {
    fn start(scrape_configs: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::with(scrape_configs, prepare, |_| {})
    }

    fn with(
        scrape_configs: &str,
        prepare: impl FnOnce(&Path),
        change: impl FnOnce(&mut Manager),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let (jobs, jobs_rx) = watch::channel(Arc::new(jobs(scrape_configs, dir.path())));
        let (groups_tx, groups) = watch::channel(Arc::new(Groups::new()));
        let mut manager = Manager::new(jobs_rx, groups_tx);
        manager.pacer = Pacer::new(|| 1.0);
        change(&mut manager);
        let (metrics, troubles) = (manager.metrics(), manager.troubles());
        let shutdown = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(manager.run(shutdown.clone()));
        Self { dir, jobs, groups, metrics, troubles, shutdown, running }
    }

    fn apply(&self, scrape_configs: &str) {
        self.jobs.send_replace(Arc::new(jobs(scrape_configs, self.dir.path())));
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// The next map, as `job=address,address` for each job.
    async fn next(&mut self) -> String {
        timeout(Duration::from_secs(20), self.groups.changed()).await.expect("a new map").unwrap();
        self.now()
    }

    fn now(&mut self) -> String {
        let groups = self.groups.borrow_and_update();
        let job = |(name, groups): (&String, &Vec<Arc<TargetGroup>>)| {
            let targets = groups.iter().flat_map(|group| &group.targets);
            let addresses: Vec<_> = targets.map(|target| target.value("__address__")).collect();
            format!("{name}={}", addresses.join(","))
        };
        groups.iter().map(job).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn until(&mut self, expected: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let seen = timeout(Duration::from_secs(20), async {
                while self.now() != expected {
                    self.groups.changed().await.unwrap();
                }
            });
            if seen.await.is_err() {
                panic!("{caller}: {} never became {expected}", self.now());
            }
        }
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(20), self.running.join_next()).await.unwrap().unwrap().unwrap();
    }
}

fn jobs(scrape_configs: &str, dir: &Path) -> Vec<Job> {
    config::parse(&format!("scrape_configs: {scrape_configs}"), dir).unwrap().jobs
}

#[tokio::test(start_paused = true)]
async fn static_targets_are_sent_soon_and_together() {
    let mut rig =
        Rig::start("[{job_name: a, static_configs: [{targets: [x, y]}]}, {job_name: b}]", |_| {});
    let begin = Instant::now();
    assert_eq!(rig.next().await, "a=x,y b=");
    assert_eq!(begin.elapsed(), BACKOFF_MIN);
    let found = |rig: &Rig, job: &str| rig.metrics.snapshot().jobs.get(job).copied();
    assert_eq!(found(&rig, "a").unwrap().discovered_targets, 2);
    assert_eq!(found(&rig, "b").unwrap().discovered_targets, 0);
    rig.apply("[{job_name: b, static_configs: [{targets: [z]}, {targets: [x]}]}]");
    assert_eq!(rig.next().await, "b=z,x");
    let then = found(&rig, "b").unwrap();
    assert_eq!((found(&rig, "a"), then.discovered_targets), (None, 2));
    // Another job's change is no change of this one.
    rig.apply("[{job_name: b, static_configs: [{targets: [z]}, {targets: [x]}]}, {job_name: c}]");
    assert_eq!(rig.next().await, "b=z,x c=");
    assert_eq!(found(&rig, "b"), Some(then));
    rig.apply("[]");
    assert_eq!(rig.next().await, "");
    assert_eq!(rig.metrics.snapshot().providers, 0);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waits_are_spread_and_still_bounded() {
    let waits = |jitter: fn() -> f64| {
        let mut pacer = Pacer::new(jitter);
        let mut waits = Vec::new();
        for _ in 0..12 {
            pacer.change();
            waits.push(pacer.due().unwrap() - Instant::now());
            pacer.sent();
        }
        waits
    };
    assert_eq!(waits(|| 0.5)[..2], [BACKOFF_MIN / 2, BACKOFF_MIN * 3 / 4]);
    assert_eq!(waits(|| 1.5)[..2], [BACKOFF_MIN * 3 / 2, BACKOFF_MIN * 9 / 4]);
    assert_eq!(waits(|| 1.5)[11], BACKOFF_MAX);
}

#[tokio::test(start_paused = true)]
async fn many_changes_are_sent_ever_more_rarely() {
    let mut rig = Rig::start("[]", |_| {});
    rig.next().await;
    let mut waits = Vec::new();
    for port in 0..14 {
        rig.apply(&format!("[{{job_name: a, static_configs: [{{targets: ['{port}']}}]}}]"));
        let begin = Instant::now();
        assert_eq!(rig.next().await, format!("a={port}"));
        waits.push(begin.elapsed().as_millis());
    }
    assert_eq!(
        waits[..4],
        [150, 225, 338, 507],
        "each half as long again, in the timer's milliseconds"
    );
    assert_eq!(waits[13], 5000);
    tokio::time::advance(BACKOFF_MAX).await;
    rig.apply("[]");
    let begin = Instant::now();
    rig.next().await;
    assert_eq!(begin.elapsed(), BACKOFF_MIN, "after a rest the next change is sent soon again");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_edited_static_section_takes_effect_at_once() {
    let mut rig = Rig::start("[{job_name: a, static_configs: [{targets: [x]}]}]", |_| {});
    assert_eq!(rig.next().await, "a=x");
    rig.apply("[{job_name: a, static_configs: [{targets: [y]}]}]");
    assert_eq!(rig.next().await, "a=y");
    rig.apply("[{job_name: a, static_configs: [{targets: []}]}]");
    assert_eq!(rig.next().await, "a=");
    rig.stop().await;
}

#[tokio::test]
async fn equal_sections_share_a_provider() {
    let section = "file_sd_configs: [{files: [sd.yml]}]";
    let mut rig =
        Rig::start(&format!("[{{job_name: a, {section}}}, {{job_name: b, {section}}}]"), |dir| {
            fs::write(dir.join("sd.yml"), "- targets: [x]").unwrap();
        });
    rig.until("a=x b=x").await;
    assert_eq!(rig.metrics.snapshot().providers, 1);
    assert_eq!(rig.metrics.snapshot().file_reads_total, 1);
    // A third job gets what is known at once, and the file is not read again.
    rig.apply(&format!("[{{job_name: b, {section}}}, {{job_name: c, {section}}}]"));
    rig.until("b=x c=x").await;
    assert_eq!(rig.metrics.snapshot().file_reads_total, 1);
    rig.write("sd.yml", "- targets: [y]");
    rig.until("b=y c=y").await;
    rig.stop().await;
}

#[tokio::test]
async fn an_edited_section_keeps_its_targets_until_the_new_one_answers() {
    let mut rig = Rig::start("[{job_name: a, file_sd_configs: [{files: [old.yml]}]}]", |dir| {
        fs::write(dir.join("old.yml"), "- targets: [x]").unwrap();
        fs::write(dir.join("new.yml"), "- bogus: 1").unwrap();
        fs::write(dir.join("newer.yml"), "- bogus: 1").unwrap();
    });
    rig.until("a=x").await;
    // The new file cannot be read, nor can the one after it: nothing is lost.
    rig.apply("[{job_name: a, file_sd_configs: [{files: [new.yml]}]}, {job_name: b}]");
    rig.until("a=x b=").await;
    // Whoever asks what fails is told that something is kept.
    let tells = || rig.troubles.now().iter().any(|trouble| trouble.kept_targets == 1);
    timeout(Duration::from_secs(20), async {
        while !tells() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    rig.apply("[{job_name: a, file_sd_configs: [{files: [newer.yml]}]}, {job_name: c}]");
    rig.until("a=x c=").await;
    assert_eq!(rig.metrics.snapshot().providers, 1);
    rig.write("newer.yml", "- targets: [y]");
    rig.until("a=y c=").await;
    // A section that is gone for good takes its targets along.
    rig.apply("[{job_name: a}]");
    rig.until("a=").await;
    rig.stop().await;
}

#[tokio::test]
async fn what_is_held_is_let_go_if_no_answer_comes() {
    let mut rig = Rig::start("[{job_name: a, file_sd_configs: [{files: [old.yml]}]}]", |dir| {
        fs::write(dir.join("old.yml"), "- targets: [x]").unwrap();
        fs::write(dir.join("new.yml"), "- bogus: 1").unwrap();
    });
    rig.until("a=x").await;
    let log = Log::start();
    rig.apply("[{job_name: a, file_sd_configs: [{files: [new.yml], refresh_interval: 250ms}]}]");
    let begin = Instant::now();
    rig.until("a=").await;
    assert_eq!(
        log.lines("an edited section"),
        ["an edited section has not answered in time, the targets of the old one are given up \
          config=a targets=1"]
    );
    assert!(begin.elapsed() >= Duration::from_millis(500), "twice the refresh interval");
    rig.stop().await;
}

#[cfg(feature = "docker")]
#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_start_says_whose_it_is_and_no_password() {
    let log = Log::start();
    let docker = "docker_sd_configs: [{host: 'foo://me:hidden@daemon/'}]";
    let mut rig =
        Rig::start(&format!("[{{job_name: a, {docker}}}, {{job_name: b, {docker}}}]"), |_| {});
    rig.until("a= b=").await;
    let line = "discovery cannot start";
    timeout(Duration::from_secs(20), async {
        while log.lines(line).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let told = log.lines(line).remove(0);
    assert_eq!(
        told,
        format!(
            "{line} config=a, b discovery=docker server=foo://daemon/ \
             error=unable to parse docker host \"foo://daemon/\" retry_in=1s kept_targets=0"
        )
    );
    let troubles = rig.troubles.now();
    let [trouble] = troubles.as_slice() else { panic!("{troubles:?}") };
    assert_eq!(
        (trouble.mechanism, trouble.server.as_str(), trouble.kept_targets, trouble.parts),
        ("docker", "foo://daemon/", 0, 1)
    );
    assert_eq!(trouble.error, "unable to parse docker host \"foo://daemon/\"");
    assert!(trouble.jobs.iter().eq(["a", "b"]) && trouble.failures > 0, "{trouble:?}");
    rig.stop().await;
}

/// Fails as long as there are files named `panic` to remove.
fn flaky(config: mechanism::Config, context: Context) -> Running {
    Box::pin(async move {
        let mechanism::Config::File(file) = &config else { unreachable!() };
        let panics = file.patterns[0].with_file_name("panic");
        let left: u32 = fs::read_to_string(&panics).map_or(0, |text| text.parse().unwrap());
        if left > 0 {
            fs::write(&panics, (left - 1).to_string()).unwrap();
            // Not before it has found something.
            let found = timeout(Duration::from_millis(500), config.run(context)).await;
            panic!("as the test wants it: {found:?}");
        }
        config.run(context).await
    })
}

#[tokio::test]
async fn a_provider_that_fails_is_started_again_and_removes_what_is_gone() {
    let mut rig = Rig::with(
        "[{job_name: a, file_sd_configs: [{files: ['*.yml']}]}]",
        |dir| {
            fs::write(dir.join("panic"), "1").unwrap();
            fs::write(dir.join("stays.yml"), "- targets: [x]").unwrap();
            fs::write(dir.join("goes.yml"), "- targets: [y]").unwrap();
        },
        |manager| manager.run = flaky,
    );
    rig.until("a=y,x").await;
    let failed = |rig: &Rig| rig.metrics.snapshot().providers_failed_total;
    let deadline = Instant::now() + Duration::from_secs(20);
    while failed(&rig) == 0 {
        assert!(Instant::now() < deadline, "it never failed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.now(), "a=y,x", "its targets stay");
    assert_eq!(rig.metrics.snapshot().providers, 0);
    fs::remove_file(rig.dir.path().join("goes.yml")).unwrap();
    rig.until("a=x").await;
    assert_eq!((failed(&rig), rig.metrics.snapshot().providers), (1, 1));
    let metrics = Arc::clone(&rig.metrics);
    rig.stop().await;
    assert_eq!(metrics.snapshot().providers_failed_total, 1, "a clean stop is no failure");
}

fn ends(_: mechanism::Config, _: Context) -> Running {
    Box::pin(async { Ok(()) })
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_again_and_again_is_started_ever_more_rarely() {
    let section = "[{job_name: a, file_sd_configs: [{files: [x.yml]}]}]";
    let rig = Rig::with(section, |_| {}, |manager| manager.run = ends);
    for (seconds, failures) in [(0, 1), (1, 2), (2, 3), (4, 4), (8, 5)] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(rig.metrics.snapshot().providers_failed_total, failures);
    }
    tokio::time::sleep(RESTART_MAX * 20).await;
    let failures = rig.metrics.snapshot().providers_failed_total;
    assert!((20..35).contains(&failures), "{failures}");
    rig.stop().await;
}

/// Cannot start while there is a file named `locked`.
fn locked(config: mechanism::Config, context: Context) -> Running {
    Box::pin(async move {
        let mechanism::Config::File(file) = &config else { unreachable!() };
        if file.patterns[0].with_file_name("locked").exists() {
            return Err(StartError::from(Box::from("it is locked")));
        }
        config.run(context).await
    })
}

#[tokio::test]
async fn a_section_that_cannot_be_started_is_counted_and_tried_again() {
    let mut rig = Rig::with(
        "[{job_name: a, file_sd_configs: [{files: [sd.yml]}], static_configs: [{targets: [x]}]}]",
        |dir| {
            fs::write(dir.join("sd.yml"), "- targets: [y]").unwrap();
            fs::write(dir.join("locked"), "").unwrap();
        },
        |manager| manager.run = locked,
    );
    rig.until("a=x").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while rig.metrics.snapshot().failed_configs == 0 {
        assert!(Instant::now() < deadline, "it is never counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let now = rig.metrics.snapshot();
    assert_eq!((now.failed_configs, now.providers_failed_total, now.providers), (1, 0, 1));
    fs::remove_file(rig.dir.path().join("locked")).unwrap();
    rig.until("a=x,y").await;
    let now = rig.metrics.snapshot();
    assert_eq!((now.failed_configs, now.providers), (0, 2));
    rig.stop().await;
}

/// Whoever compares two maps sees at a glance what has not changed.
#[tokio::test]
async fn groups_that_did_not_change_are_the_same_ones() {
    let mut rig = Rig::start("[{job_name: a, file_sd_configs: [{files: [sd.yml]}]}]", |dir| {
        fs::write(dir.join("sd.yml"), "[{targets: [x]}, {targets: [y]}]").unwrap();
    });
    rig.until("a=x,y").await;
    let before = rig.groups.borrow()["a"].clone();
    rig.write("sd.yml", "[{targets: [x]}, {targets: [z]}]");
    rig.until("a=x,z").await;
    let after = rig.groups.borrow()["a"].clone();
    assert!(Arc::ptr_eq(&before[0], &after[0]));
    assert!(!Arc::ptr_eq(&before[1], &after[1]));
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_that_can_change_no_more_go_on() {
    let mut rig = Rig::start("[{job_name: a, static_configs: [{targets: [x]}]}]", |_| {});
    let (jobs, _) = watch::channel(Arc::default());
    drop(std::mem::replace(&mut rig.jobs, jobs));
    assert_eq!(rig.next().await, "a=x");
    assert!(rig.running.try_join_next().is_none());
    rig.stop().await;
}
