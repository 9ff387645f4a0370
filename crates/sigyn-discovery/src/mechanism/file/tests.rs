//! Target files that are renamed, broken, swapped by a symlink, and deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::mechanism::Update;
use crate::mechanism::Whose;
use crate::metrics::Metrics;

const PATIENCE: Duration = Duration::from_secs(10);

/// A running provider over a directory, and the groups as the manager would know them.
struct Rig {
    dir: TempDir,
    updates: mpsc::Receiver<Update>,
    groups: BTreeMap<String, String>,
    metrics: Arc<Metrics>,
    whose: Arc<Whose>,
    shutdown: CancellationToken,
    running: JoinSet<()>,
}

impl Rig {
    fn start(patterns: &[&str], refresh_interval: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let (updates_tx, updates) = mpsc::channel(64);
        let metrics = Arc::new(Metrics::default());
        let shutdown = CancellationToken::new();
        let whose = Whose::of("a", Config::KIND, "");
        let context = Context {
            provider: 7,
            whose: Arc::clone(&whose),
            job: "a".to_owned(),
            known: BTreeSet::new(),
            updates: updates_tx,
            watcher: Arc::new(Watcher::new(Arc::clone(&metrics))),
            #[cfg(feature = "kubernetes")]
            kubernetes: Arc::default(),
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
        };
        let patterns = patterns.iter().map(|pattern| dir.path().join(pattern)).collect();
        let mut running = JoinSet::new();
        running.spawn(follow(Config { patterns, refresh_interval }, context));
        Self { dir, updates, groups: BTreeMap::new(), metrics, whose, shutdown, running }
    }

    /// Watches only: what does not come by a file system event comes too late.
    fn watching(patterns: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        Self::start(patterns, Duration::from_secs(3600), prepare)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// As careful writers do: a new file takes the old one's place.
    fn replace(&self, name: &str, text: &str) {
        self.write(".new", text);
        fs::rename(self.dir.path().join(".new"), self.dir.path().join(name)).unwrap();
    }

    /// Takes updates until the groups are as expected: `NAME:i` to addresses.
    #[track_caller]
    fn until(&mut self, expected: &[(&str, &str)]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let expected: BTreeMap<String, String> = expected
                .iter()
                .map(|(source, addresses)| ((*source).to_owned(), (*addresses).to_owned()))
                .collect();
            let deadline = Instant::now() + PATIENCE;
            let prefix = format!("{}/", self.dir.path().display());
            let mut answered = false;
            while !answered || self.groups != expected {
                let left = deadline.saturating_duration_since(Instant::now());
                let update = timeout(left, self.updates.recv()).await;
                let update = update.unwrap_or_else(|_| {
                    panic!("{caller}: {:?} never became {expected:?}", self.groups)
                });
                answered = true;
                for group in update.unwrap().groups {
                    let source = group.source.strip_prefix(&prefix).unwrap().to_owned();
                    if group.targets.is_empty() {
                        self.groups.remove(&source);
                        continue;
                    }
                    assert_eq!(
                        Some(group.labels.value("__meta_filepath")),
                        group.source.rsplit_once(':').map(|(path, _)| path)
                    );
                    let addresses: Vec<_> =
                        group.targets.iter().map(|target| target.value("__address__")).collect();
                    self.groups.insert(source, addresses.join(","));
                }
            }
        }
    }

    async fn until_metric(&self, what: impl Fn(&crate::Snapshot) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !what(&self.metrics.snapshot()) {
            assert!(Instant::now() < deadline, "{:?}", self.metrics.snapshot());
            tokio::task::yield_now().await;
        }
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.running.join_next()).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn yaml_and_json_are_read_at_once() {
    let mut rig = Rig::watching(&["*.yml", "b.json"], |dir| {
        fs::write(
            dir.join("a.yml"),
            "- targets: [127.0.0.1:1, 8080]\n  labels: {x: y}\n- targets: [127.0.0.1:2]",
        )
        .unwrap();
        fs::write(
            dir.join("b.json"),
            r#"[{"targets": ["127.0.0.1:3"], "labels": {"x": "y"}}, {"targets": []}]"#,
        )
        .unwrap();
        fs::write(dir.join("c.txt"), "rubbish").unwrap();
    });
    rig.until(&[
        ("a.yml:0", "127.0.0.1:1,8080"),
        ("a.yml:1", "127.0.0.1:2"),
        ("b.json:0", "127.0.0.1:3"),
    ])
    .await;
    assert_eq!(rig.metrics.snapshot().file_reads_total, 2);
    rig.stop().await;
}

#[tokio::test]
async fn no_file_is_an_answer_too() {
    let mut rig = Rig::watching(&["*.yml"], |_| {});
    rig.until(&[]).await;
    rig.write("a.yml", "- targets: [a]");
    rig.until(&[("a.yml:0", "a")]).await;
    rig.stop().await;
}

#[tokio::test]
async fn changes_in_place_and_by_rename_are_seen() {
    let mut rig =
        Rig::watching(&["a.yml"], |dir| fs::write(dir.join("a.yml"), "- targets: [a]").unwrap());
    rig.until(&[("a.yml:0", "a")]).await;
    rig.write("a.yml", "- targets: [b]\n- targets: [c]");
    rig.until(&[("a.yml:0", "b"), ("a.yml:1", "c")]).await;
    rig.replace("a.yml", "- targets: [d]");
    rig.until(&[("a.yml:0", "d")]).await;
    rig.replace("a.yml", "- targets: [e]");
    rig.until(&[("a.yml:0", "e")]).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_bad_file_keeps_its_targets_and_harms_no_other() {
    let mut rig = Rig::watching(&["*.yml"], |dir| {
        fs::write(dir.join("a.yml"), "- targets: [a]").unwrap();
        fs::write(dir.join("b.yml"), "- targets: [b]").unwrap();
    });
    rig.until(&[("a.yml:0", "a"), ("b.yml:0", "b")]).await;
    for bad in ["- targets: [", "- bogus: 1", "-", "{}", "- targets: a"] {
        let errors = rig.metrics.snapshot().file_read_errors_total;
        rig.write("b.yml", bad);
        rig.until_metric(|now| now.file_read_errors_total > errors).await;
    }
    rig.write("a.yml", "- targets: [c]");
    rig.until(&[("a.yml:0", "c"), ("b.yml:0", "b")]).await;
    rig.write("b.yml", "- targets: [d]");
    rig.until(&[("a.yml:0", "c"), ("b.yml:0", "d")]).await;
    rig.stop().await;
}

#[tokio::test]
async fn only_bad_files_are_no_answer() {
    let mut rig =
        Rig::watching(&["a.json"], |dir| fs::write(dir.join("a.json"), "[null]").unwrap());
    rig.until_metric(|now| now.file_read_errors_total > 0).await;
    assert!(rig.updates.try_recv().is_err());
    rig.write("a.json", r#"[{"targets": ["a"]}]"#);
    rig.until(&[("a.json:0", "a")]).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_file_that_somebody_has_begun_to_write_keeps_its_targets() {
    let mut rig =
        Rig::watching(&["*"], |dir| fs::write(dir.join("a.yml"), "- targets: [a]").unwrap());
    rig.until(&[("a.yml:0", "a")]).await;
    rig.write("a.yml", "");
    rig.until_metric(|now| now.file_read_errors_total > 0).await;
    assert!(rig.updates.try_recv().is_err());
    rig.write("a.yml", "# nothing");
    rig.until(&[]).await;
    rig.stop().await;
}

/// As Prometheus reads it.
#[tokio::test]
async fn a_file_of_null_has_no_targets() {
    for name in ["a.json", "a.yml"] {
        let mut rig = Rig::watching(&["*"], |dir| {
            fs::write(dir.join(name), r#"[{"targets": ["a"]}]"#).unwrap();
        });
        rig.until(&[(&format!("{name}:0"), "a")]).await;
        rig.write(name, "null");
        rig.until(&[]).await;
        assert_eq!(rig.metrics.snapshot().file_read_errors_total, 0);
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_file_fails_until_it_is_mended_or_gone() {
    let mut rig = Rig::watching(&["*.yml"], |dir| {
        fs::write(dir.join("a.yml"), "- targets: [a]").unwrap();
    });
    rig.until(&[("a.yml:0", "a")]).await;
    assert_eq!(rig.whose.trouble(), None);
    rig.write("a.yml", "{}");
    rig.write("b.yml", "- [");
    let deadline = Instant::now() + PATIENCE;
    let trouble = loop {
        match rig.whose.trouble() {
            Some(trouble) if trouble.parts == 2 => break trouble,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((trouble.mechanism, trouble.jobs), ("file", BTreeSet::from(["a".to_owned()])));
    assert!(trouble.error.contains(".yml: not valid YAML: "), "{}", trouble.error);
    rig.write("a.yml", "- targets: [b]");
    fs::remove_file(rig.dir.path().join("b.yml")).unwrap();
    rig.until(&[("a.yml:0", "b")]).await;
    let deadline = Instant::now() + PATIENCE;
    while let Some(trouble) = rig.whose.trouble() {
        assert!(Instant::now() < deadline, "{trouble:?}");
        tokio::task::yield_now().await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn what_others_write_beside_the_files_is_not_looked_at() {
    let mut rig = Rig::watching(&["*.yml"], |dir| {
        fs::write(dir.join("a.yml"), "- [").unwrap();
    });
    rig.until_metric(|now| now.file_reads_total > 0).await;
    for line in 0..100 {
        rig.write("b.log", &format!("line {line}"));
        tokio::task::yield_now().await;
    }
    // Whoever comes to this has passed all that was written before it.
    rig.write("b.yml", "- targets: [b]");
    rig.until(&[("b.yml:0", "b")]).await;
    let reads = rig.metrics.snapshot().file_reads_total;
    assert!(reads <= 5, "{reads}: once, and both files after each event of b.yml");
    rig.stop().await;
}

#[tokio::test]
async fn a_file_that_vanishes_takes_its_targets_along() {
    let mut rig = Rig::watching(&["*.yml"], |dir| {
        fs::write(dir.join("a.yml"), "- targets: [a]\n- targets: [b]").unwrap();
        fs::write(dir.join("b.yml"), "- targets: [c]").unwrap();
    });
    rig.until(&[("a.yml:0", "a"), ("a.yml:1", "b"), ("b.yml:0", "c")]).await;
    fs::remove_file(rig.dir.path().join("a.yml")).unwrap();
    rig.until(&[("b.yml:0", "c")]).await;
    fs::rename(rig.dir.path().join("b.yml"), rig.dir.path().join("c.yml")).unwrap();
    rig.until(&[("c.yml:0", "c")]).await;
    rig.stop().await;
}

/// Kubernetes mounts a ConfigMap as links through `..data`, and updates all of them by moving that.
#[tokio::test]
async fn a_config_map_is_followed_through_its_links() {
    let version = |dir: &Path, version: &str, address: &str| {
        fs::create_dir(dir.join(version)).unwrap();
        fs::write(dir.join(version).join("a.yml"), format!("- targets: [{address}]")).unwrap();
        symlink(version, dir.join("..data_tmp")).unwrap();
        fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    };
    let mut rig = Rig::watching(&["*.yml"], |dir| {
        version(dir, "..1", "a");
        symlink("..data/a.yml", dir.join("a.yml")).unwrap();
    });
    rig.until(&[("a.yml:0", "a")]).await;
    version(rig.dir.path(), "..2", "b");
    rig.until(&[("a.yml:0", "b")]).await;
    version(rig.dir.path(), "..3", "c");
    fs::remove_dir_all(rig.dir.path().join("..2")).unwrap();
    rig.until(&[("a.yml:0", "c")]).await;
    rig.stop().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_read_again_after_the_interval() {
    let mut rig = Rig::start(&["sd/*.yml"], Duration::from_millis(50), |_| {});
    rig.until(&[]).await;
    assert!(rig.metrics.snapshot().file_watcher_errors_total > 0);
    fs::create_dir(rig.dir.path().join("sd")).unwrap();
    rig.write("sd/a.yml", "- targets: [a]");
    rig.until(&[("sd/a.yml:0", "a")]).await;
    rig.stop().await;
}

#[tokio::test]
async fn one_watcher_serves_all_and_forgets_who_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let watcher = Watcher::new(Arc::default());
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let names = || {
        let mut names = super::names::Names::default();
        names.add(Path::new("a"));
        names
    };
    for _ in 0..3 {
        watcher.subscribe(dir.path(), names(), &first);
        watcher.subscribe(dir.path(), names(), &second);
    }
    fs::write(dir.path().join("a"), "a").unwrap();
    timeout(PATIENCE, async { tokio::join!(first.notified(), second.notified()) }).await.unwrap();
    drop(first);
    watcher.subscribe(other.path(), names(), &second);
    fs::write(dir.path().join("a"), "b").unwrap();
    timeout(PATIENCE, second.notified()).await.unwrap();
    drop(second);
    let third = Arc::new(Notify::new());
    watcher.subscribe(other.path(), names(), &third);
    assert_eq!(format!("{watcher:?}").matches("Weak").count(), 1, "{watcher:?}");
}

#[test]
fn patterns() {
    for (path, valid) in [
        ("a.yml", true),
        ("dir/*.json", true),
        ("dir/a*b*.yaml", true),
        ("*.YML", true),
        ("*/a.yml", false),
        ("a*/b*.yml", false),
        ("a.txt", false),
        ("a.Yaml", false),
        ("", false),
        (".yml", true),
        ("a.yml/b", false),
        ("a*.yml.json", true),
    ] {
        let config = FileConfig { files: vec![path.to_owned()], ..FileConfig::default() };
        assert_eq!(config.validate(Path::new("/")).is_ok(), valid, "{path}");
    }
}

#[test]
fn a_target_file_may_be_in_utf_16() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yml");
    let text = "- targets: ['127.0.0.1:1']\n";
    let bytes = text.encode_utf16().flat_map(u16::to_le_bytes);
    fs::write(&path, [0xff, 0xfe].into_iter().chain(bytes).collect::<Vec<u8>>()).unwrap();
    assert_eq!(read_file(&path).unwrap().len(), 1);
}
