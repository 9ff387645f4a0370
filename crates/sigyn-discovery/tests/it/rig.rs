//! A manager at work on a configuration, and what it has found.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sigyn_discovery::{Groups, Manager, Metrics, config, mechanism};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than any test takes unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Discovery of one configuration. Ends with the test.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) groups: watch::Receiver<Arc<Groups>>,
    pub(crate) metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    running: JoinSet<()>,
    _jobs: watch::Sender<Arc<Vec<config::Job>>>,
}

impl Rig {
    /// `text` is a whole file; relative paths in it start at `dir`.
    pub(crate) fn start(text: &str, dir: &Path) -> Self {
        Self::edited(text, dir, |_| ())
    }

    /// The same, where the text cannot say all: where a provider's API is, for one.
    pub(crate) fn edited(text: &str, dir: &Path, edit: impl FnMut(&mut mechanism::Config)) -> Self {
        Self::managed(text, dir, edit, Manager::new)
    }

    /// The same with another room for answers.
    #[cfg(feature = "client")]
    pub(crate) fn in_room(text: &str, dir: &Path, room: sigyn_discovery::http::Room) -> Self {
        Self::managed(text, dir, |_| (), |jobs, groups| Manager::with_room(jobs, groups, room))
    }

    fn managed(
        text: &str,
        dir: &Path,
        edit: impl FnMut(&mut mechanism::Config),
        manager: impl FnOnce(
            watch::Receiver<Arc<Vec<config::Job>>>,
            watch::Sender<Arc<Groups>>,
        ) -> Manager,
    ) -> Self {
        let mut jobs = config::parse(text, dir).unwrap().jobs;
        jobs.iter_mut().flat_map(|job| &mut job.mechanisms).for_each(edit);
        let (jobs, jobs_rx) = watch::channel(Arc::new(jobs));
        let (groups_tx, groups) = watch::channel(Arc::new(Groups::new()));
        let manager = manager(jobs_rx, groups_tx);
        let (metrics, shutdown) = (manager.metrics(), CancellationToken::new());
        let mut running = JoinSet::new();
        running.spawn(manager.run(shutdown.clone()));
        Self { groups, metrics, shutdown, running, _jobs: jobs }
    }

    /// One job `a` with this section: `http_sd_configs: [{url: ..}]`.
    pub(crate) fn of(section: &str, dir: &Path) -> Self {
        Self::start(&format!("scrape_configs: [{{job_name: a, {section}}}]"), dir)
    }

    /// The targets of a job, sorted, each as its address and the labels it is discovered with, its
    /// group's included: `127.0.0.1:80 {__meta_x="1"}`.
    pub(crate) fn targets(&mut self, job: &str) -> Vec<String> {
        let groups = self.groups.borrow_and_update();
        let mut targets = Vec::new();
        for group in groups.get(job).into_iter().flatten() {
            for target in &group.targets {
                let mut labels = target.clone();
                for (name, value) in group.labels.iter() {
                    labels.set_default(name, value);
                }
                let address = labels.remove("__address__").unwrap_or_default();
                targets.push(format!("{address} {labels}"));
            }
        }
        targets.sort();
        targets
    }

    /// Waits until the job `a` has these targets.
    #[track_caller]
    pub(crate) fn until(&mut self, expected: &[&str]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + PATIENCE;
            while self.targets("a") != expected {
                let left = deadline.saturating_duration_since(Instant::now());
                let changed = timeout(left, self.groups.changed()).await;
                assert!(
                    changed.is_ok(),
                    "{caller}: {:?} never became {expected:?}",
                    self.targets("a")
                );
                changed.unwrap().unwrap();
            }
        }
    }

    /// Waits until the figures are as `check` wants them.
    #[track_caller]
    pub(crate) fn until_counted(
        &self,
        check: impl Fn(&sigyn_discovery::Snapshot) -> bool,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + PATIENCE;
            while !check(&self.metrics.snapshot()) {
                assert!(Instant::now() < deadline, "{caller}: {:?}", self.metrics.snapshot());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.running.join_next()).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_stands_in_the_file_and_in_others_is_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("sd.yml"), "- {targets: [127.0.0.2:80], labels: {x: y}}")
        .unwrap();
    let mut rig = Rig::of(
        "static_configs: [{targets: [127.0.0.1:80]}], file_sd_configs: [{files: [sd.yml]}]",
        dir.path(),
    );
    let path = dir.path().join("sd.yml");
    let in_file = format!(r#"127.0.0.2:80 {{__meta_filepath="{}", x="y"}}"#, path.display());
    rig.until(&["127.0.0.1:80 {}", &in_file]).await;
    rig.until_counted(|now| now.file_reads_total > 0).await;
    rig.stop().await;
}
