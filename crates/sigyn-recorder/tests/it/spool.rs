//! Spans that outlive their process, and processes that share a directory: nothing is lost but what was half written, and
//! nothing comes twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::future::Future as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::StatusCode;
use sigyn_model::pull::{self, Cursor};
use sigyn_model::{Kind, Span, TraceId};
use sigyn_recorder::{Clock, Options, Recorder, SpoolOptions};

use crate::target::{ANY, Answer, Target, span};

/// What a child process is to do, and where.
const ROLE: &str = "SIGYN_TEST_SPOOL_ROLE";
const PLACE: &str = "SIGYN_TEST_SPOOL_PLACE";
const THREADS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

struct Place(tempfile::TempDir);

impl Place {
    /// On a tmpfs where there is one.
    fn new() -> Self {
        let shm = Path::new("/dev/shm");
        Self(if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap())
    }

    fn spool(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    fn target(&self) -> Target {
        self.target_with(options(&self.spool()))
    }

    fn target_with(&self, options: Options) -> Target {
        let target = Target::with(options);
        assert_eq!(target.recorder.stats().spool.error, None);
        assert!(target.recorder.stats().spool.is_on);
        target
    }

    fn file(&self, epoch: u64) -> PathBuf {
        self.spool().join(format!("{epoch:016x}.spool"))
    }

    fn child(&self, role: &str) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "spool::a_process_of_its_own", "--nocapture"])
            .env(ROLE, role)
            .env(PLACE, self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

fn options(dir: &Path) -> Options {
    Options {
        service_name: "shop".to_owned(),
        spool: Some(SpoolOptions::at(dir)),
        ..Options::default()
    }
}

/// A scraper that follows every epoch of a directory, as Sigyn's does.
#[derive(Default)]
struct Reader {
    cursors: BTreeMap<u64, u64>,
    ids: BTreeSet<u64>,
    spans: Vec<Span>,
    lost: u64,
    shutdown: BTreeMap<u64, u64>,
    finished: BTreeMap<u64, u64>,
    received: BTreeMap<u64, u64>,
}

impl Reader {
    async fn ask(&self, target: &Target, cursor: Option<Cursor>) -> Answer {
        let cursor = cursor.map(|cursor| format!("{}: {cursor}", pull::CURSOR));
        let mut headers = vec!["Sigyn-Scraper: a", "Sigyn-Siblings: 1"];
        headers.extend(cursor.as_deref());
        target.get("/traces?max_bytes=65536", &headers).await
    }

    /// Reads one epoch to its end. Returns who else is there.
    async fn read(&mut self, target: &Target, mut cursor: Option<Cursor>) -> Vec<Cursor> {
        loop {
            let answer = self.ask(target, cursor).await;
            let next = answer.next();
            if let Some(asked) = cursor.filter(|cursor| cursor.epoch != next.epoch) {
                // The own epoch of whoever answered: it has its turn.
                assert_eq!(answer.header(pull::ENDED), Some(asked.to_string().as_str()));
                return Vec::new();
            }
            for span in answer.spans() {
                assert!(self.ids.insert(span.id.as_u64()), "{} came twice", span.id);
                *self.received.entry(next.epoch).or_default() += 1;
                self.spans.push(span);
            }
            self.lost += answer.lost();
            self.cursors.insert(next.epoch, next.seq);
            self.shutdown.insert(next.epoch, answer.dropped().shutdown);
            self.finished.insert(next.epoch, answer.finished());
            let is_new = cursor != Some(next);
            cursor = Some(next);
            // Of others it tells at once that it has all, as nobody else remembers it for sure.
            let is_own = next.epoch == target.recorder.epoch();
            if !answer.more() && (is_own || !is_new) {
                let siblings = answer.header(pull::SIBLINGS).unwrap_or_default();
                let siblings = siblings.split(',').filter(|text| !text.is_empty());
                return siblings.map(|text| text.parse().unwrap()).collect();
            }
        }
    }

    /// One scrape of everything.
    async fn scrape(&mut self, target: &Target) {
        let epoch = target.recorder.epoch();
        let own = self.cursors.get(&epoch).map(|seq| Cursor { epoch, seq: *seq });
        for mut cursor in self.read(target, own).await {
            cursor.seq = cursor.seq.max(self.cursors.get(&cursor.epoch).copied().unwrap_or(1));
            self.read(target, Some(cursor)).await;
        }
    }

    /// The law of each epoch.
    fn check(&self) {
        for (epoch, finished) in &self.finished {
            let received = self.received.get(epoch).copied().unwrap_or(0);
            assert_eq!(*finished, received + self.shutdown[epoch], "{epoch:016x}");
        }
    }
}

fn ids(reader: &Reader) -> Vec<u64> {
    reader.ids.iter().copied().collect()
}

/// As if it had been killed: all that it has done is in its file.
fn end(place: &Place, target: Target) {
    let file = File::open(place.file(target.recorder.epoch())).unwrap();
    drop(target);
    // Another test may be starting a process right now, which has a copy of everything open for a moment.
    let deadline = Instant::now() + PATIENCE;
    while file.try_lock_shared().is_err() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn what_a_process_leaves_is_told_by_the_next_one() {
    let place = Place::new();
    let first = place.target();
    let epoch = first.recorder.epoch();
    first.record(1..=3);
    let answer = first.scrape("a", None).await;
    assert_eq!(answer.ids(), [1, 2, 3]);
    first.record(4..=5);
    // A thread keeps the recorder that it used.
    let trace: TraceId = std::thread::scope(|scope| {
        let record = || {
            let mut own = first.recorder.start("get /cart", Some(Kind::Server), None);
            own.tag("http.method", "GET").annotate("half way");
            own.context().trace_id
        };
        scope.spawn(record).join().unwrap()
    });
    end(&place, first);

    let second = place.target();
    second.record([9]);
    let rest = second.scrape("a", Some(answer.next())).await;
    assert_eq!((rest.next().epoch, rest.is_final(), rest.more()), (epoch, true, false));
    assert_eq!((rest.finished(), rest.lost()), (6, 0));
    let spans = rest.spans();
    assert_eq!(spans.len(), 3);
    let own = spans.iter().find(|span| span.trace_id == trace).unwrap();
    assert_eq!((own.name.as_str(), own.service_name()), ("get /cart", Some("shop")));
    assert_eq!(own.tags[0].0, "http.method");
    assert_eq!(own.annotations[0].value, "half way");

    // Its end is told apart from one that nobody knows, and to scrapers that know nothing of it as well.
    let after = second.scrape("a", Some(rest.next())).await;
    assert_eq!(after.header(pull::ENDED), Some(rest.next().to_string().as_str()));
    assert_eq!((after.next().epoch, after.ids()), (second.recorder.epoch(), vec![9]));
    let unknown = second.scrape("a", Some(Cursor { epoch: 77, seq: 5 })).await;
    assert_eq!((unknown.header(pull::ENDED), unknown.ids()), (None, vec![9]));
}

/// However many ask at once, files of others are read for no more of them than are served.
#[tokio::test]
async fn what_others_left_is_read_only_for_those_who_have_a_place() {
    let place = Place::new();
    let first = place.target();
    first.record(1..=3);
    let next = first.scrape("a", None).await.next();
    end(&place, first);

    let second = place.target();
    second.record([9]);
    let busy = [ANY, "Sigyn-Scraper: a"];
    let mut working: Vec<_> = (0..4).map(|_| Box::pin(second.get("/traces", &busy))).collect();
    for request in &mut working {
        let polled = request.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    let start = Cursor { seq: 1, ..next };
    for (cursor, headers) in [(start, ""), (next, "Prefer: wait=10")] {
        let cursor = format!("Sigyn-Cursor: {cursor}");
        let mut all = vec!["Sigyn-Scraper: a", "Sigyn-Siblings: 1", cursor.as_str()];
        all.extend(Some(headers).filter(|header| !header.is_empty()));
        let refused = second.get("/traces", &all).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(second.recorder.stats().activity.busy, 2);
    for answer in working {
        assert_eq!(answer.await.ids(), [9]);
    }
    // Nothing was acknowledged by that: it is still where the scraper goes on.
    let answer = second.get("/traces", &["Sigyn-Scraper: a", "Sigyn-Siblings: 1"]).await;
    assert_eq!(answer.header(pull::SIBLINGS), Some(start.to_string().as_str()));
    assert_eq!(second.scrape("a", Some(start)).await.ids(), [1, 2, 3]);
}

#[tokio::test]
async fn segments_keep_their_numbers_and_their_spans() {
    let place = Place::new();
    let first = place.target();
    let epoch = first.recorder.epoch();
    let mut told = Vec::new();
    for round in 0..20 {
        first.record(round * 100 + 1..=round * 100 + 50);
        let cursor = Cursor { epoch, seq: round + 1 };
        told.push((cursor, first.scrape("a", Some(cursor)).await.ids()));
    }
    end(&place, first);
    let second = place.target();
    for (cursor, ids) in told {
        let header = format!("Sigyn-Cursor: {cursor}");
        let again = second.get("/traces?max_bytes=1", &["Sigyn-Scraper: b", &header]).await;
        assert_eq!(again.ids(), ids, "{cursor}");
    }
}

#[tokio::test]
async fn who_made_spans_that_are_not_our_own_is_kept() {
    use std::sync::Arc;
    let place = Place::new();
    let first = place.target();
    let mut with = span(1);
    let resource = sigyn_model::Resource {
        tags: vec![("service.name".to_owned(), "cart".into()), ("zone".to_owned(), "b".into())],
        ..Default::default()
    };
    with.resource = Some(Arc::new(resource));
    let scope = sigyn_model::Scope { name: "lib".to_owned(), ..Default::default() };
    with.scope = Some(Arc::new(scope));
    first.recorder.record(&with);
    first.record([2]);
    let otlp = format!("Accept: {}", crate::target::OTLP);
    let live = first.get("/traces", &[&otlp]).await.spans();
    let cursor = first.cursor(1);
    end(&place, first);
    let second = place.target();
    let cursor = format!("Sigyn-Cursor: {cursor}");
    assert_eq!(second.get("/traces", &[&otlp, &cursor]).await.spans(), live);
}

#[tokio::test]
async fn what_was_evicted_is_lost_and_counted() {
    let place = Place::new();
    let small = Options { hot_bytes_max: 256 << 10, ..options(&place.spool()) };
    let first = place.target_with(small);
    let cursor = first.cursor(1);
    for round in 0..50 {
        first.record(round * 1_000 + 1..=(round + 1) * 1_000);
    }
    assert!(first.recorder.stats().dropped.evicted > 0);
    let chunks_in_memory = first.recorder.stats().spool.chunks_in_memory;
    assert_eq!(chunks_in_memory, 0);
    end(&place, first);
    let second = place.target();
    let mut reader = Reader::default();
    reader.read(&second, Some(cursor)).await;
    assert!(reader.lost > 0);
    assert_eq!(reader.finished[&cursor.epoch], reader.ids.len() as u64 + reader.lost);
    assert_eq!(reader.finished[&cursor.epoch], 50_000);
}

/// Cut short at any byte of its last record: the file itself, or only what was written of it.
#[tokio::test]
async fn a_torn_tail_costs_the_last_record_and_no_more() {
    let place = Place::new();
    let first = place.target();
    let epoch = first.recorder.epoch();
    first.record(1..=3);
    let whole = std::fs::read(place.file(epoch)).unwrap();
    first.record([4]);
    let more = std::fs::read(place.file(epoch)).unwrap();
    end(&place, first);
    let file = OpenOptions::new().write(true).open(place.file(epoch)).unwrap();

    // The head of the run tells its lengths; the record is what lies behind them.
    let head = whole.iter().zip(&more).position(|(before, after)| before != after).unwrap() & !63;
    let done = |bytes: &[u8]| u32::from_le_bytes(bytes[head + 8..head + 12].try_into().unwrap());
    let (from, to) = (head + 64 + done(&whole) as usize, head + 64 + done(&more) as usize);
    assert!(to - from > 58);
    for cut in from..=to {
        for is_short in [false, true] {
            file.set_len(more.len() as u64).unwrap();
            file.write_all_at(&more[head..to], head as u64).unwrap();
            file.write_all_at(&[0; 2048], 64 * 1024).unwrap();
            if is_short {
                file.set_len(cut as u64).unwrap();
            } else {
                file.write_all_at(&done(&whole).to_le_bytes(), head as u64 + 8).unwrap();
                file.write_all_at(&vec![0xaa; to - cut], cut as u64).unwrap();
            }
            let is_whole = is_short && cut == to;
            let second = place.target();
            let mut reader = Reader::default();
            reader.read(&second, Some(Cursor { epoch, seq: 1 })).await;
            let expected: &[u64] = if is_whole { &[1, 2, 3, 4] } else { &[1, 2, 3] };
            assert_eq!(ids(&reader), expected, "{cut} {is_short}");
            reader.check();
            assert_eq!(reader.finished[&epoch], 4, "{cut} {is_short}");
            std::fs::remove_file(place.file(second.recorder.epoch())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_damaged_segment_is_lost_and_counted() {
    let place = Place::new();
    let first = place.target();
    let cursor = first.cursor(1);
    for id in 1..=3 {
        first.record([id]);
        first.scrape("a", None).await;
    }
    end(&place, first);
    let file = place.file(cursor.epoch);
    let bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(4).rposition(|four| four == b"work").unwrap();
    OpenOptions::new().write(true).open(&file).unwrap().write_at(b"W", at as u64).unwrap();
    let second = place.target();
    let mut reader = Reader::default();
    reader.read(&second, Some(cursor)).await;
    assert_eq!((reader.ids.len(), reader.lost, reader.finished[&cursor.epoch]), (2, 1, 3));
}

#[tokio::test]
async fn anything_may_lie_in_the_directory() {
    let place = Place::new();
    let first = place.target();
    let cursor = first.cursor(1);
    first.record(1..=9);
    first.scrape("a", None).await;
    first.record(10..=19);
    end(&place, first);
    let file = place.file(cursor.epoch);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(place.spool().join("0000000000000001.spool"), b"no spool").unwrap();
    std::fs::write(place.spool().join("other"), b"").unwrap();
    let slots = bytes.len() - (16 << 20);
    // Every kind of byte that means something, in turn.
    let file = OpenOptions::new().write(true).open(file).unwrap();
    for at in (0..256)
        .chain((4096..4200).step_by(3))
        .chain((69632..69800).step_by(3))
        .chain(slots..slots + 300)
    {
        file.write_all_at(&[bytes[at] ^ 0x5a], at as u64).unwrap();
        let second = place.target();
        let mut reader = Reader::default();
        reader.scrape(&second).await;
        assert!(reader.ids.len() <= 19);
        file.write_all_at(&bytes[at..=at], at as u64).unwrap();
        file.write_all_at(&[0; 2048], 64 * 1024).unwrap();
        std::fs::remove_file(place.file(second.recorder.epoch())).unwrap();
    }
}

#[test]
fn the_directory_is_for_one_user_and_no_link() {
    let place = Place::new();
    let stats = |dir: &Path| Recorder::new(options(dir)).stats().spool;
    let open = place.0.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let link = place.0.path().join("link");
    std::os::unix::fs::symlink(&open, &link).unwrap();
    let missing = place.0.path().join("no/such");
    for dir in [&open, &link, &missing] {
        let stats = stats(dir);
        assert!(!stats.is_on && stats.error.is_some(), "{dir:?}: {stats:?}");
    }
    let recorder = Recorder::new(options(&place.spool()));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.spool()), 0o700);
    assert_eq!(mode(&place.file(recorder.epoch())), 0o600);
}

#[tokio::test]
async fn what_has_no_room_in_the_spool_stays_in_memory_and_ends_with_it() {
    let place = Place::new();
    let large = Options {
        span_bytes_max: 200 << 10,
        value_bytes_max: 100 << 10,
        ..options(&place.spool())
    };
    let first = place.target_with(large);
    first.record([1]);
    let mut wide = span(2);
    wide.tags.push(("wide".to_owned(), "x".repeat(90 << 10).into()));
    first.recorder.record(&wide);
    first.record([3]);
    assert_eq!(first.recorder.stats().spool.chunks_in_memory, 1);
    let answer = first.scrape("a", None).await;
    assert_eq!(answer.ids().len(), 3);
    let cursor = first.cursor(1);
    end(&place, first);
    let second = place.target();
    let mut reader = Reader::default();
    reader.read(&second, Some(cursor)).await;
    assert_eq!((reader.lost, reader.finished[&cursor.epoch]), (3 - reader.ids.len() as u64, 3));
    assert!(!reader.ids.contains(&2));
}

#[tokio::test]
async fn a_full_directory_costs_those_that_are_read_first_and_then_the_spool() {
    let place = Place::new();
    let log = 1 << 20;
    let small = |bytes_max| Options {
        hot_bytes_max: log,
        spool: Some(SpoolOptions { bytes_max, ..SpoolOptions::at(place.spool()) }),
        ..options(&place.spool())
    };
    let read = place.target_with(small(64 << 20));
    read.record([1]);
    let next = read.scrape("a", None).await.next();
    read.scrape("a", Some(next)).await;
    let (read_epoch, unread) = (read.recorder.epoch(), place.target_with(small(64 << 20)));
    unread.record([2]);
    let unread_epoch = unread.recorder.epoch();
    end(&place, read);
    end(&place, unread);

    let taken = std::fs::metadata(place.file(unread_epoch)).map(blocks).unwrap();
    let third = place.target_with(small(log as u64 + taken));
    assert!(!place.file(read_epoch).exists() && place.file(unread_epoch).exists());
    assert_eq!(third.recorder.stats().spool.files_discarded, 0);
    let fourth = Recorder::new(small(log as u64 + taken));
    let stats = fourth.stats().spool;
    assert!(!stats.is_on && stats.error.is_some(), "{stats:?}");
    end(&place, third);
    let fifth = place.target_with(small(log as u64));
    assert!(fifth.recorder.stats().spool.files_discarded > 0);
    assert!(!place.file(unread_epoch).exists());
}

fn blocks(found: std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(&found) * 512
}

#[tokio::test]
async fn half_full_chunks_of_many_threads_take_one_slot_for_each_scrape() {
    let place = Place::new();
    let log = 8 << 20;
    let target = place.target_with(Options { hot_bytes_max: log, ..options(&place.spool()) });
    let mut received = 0;
    for round in 0..60_u64 {
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let target = &target;
                scope.spawn(move || target.record([1 + round * 8 + thread]));
            }
        });
        let answer = target.scrape("a", Some(target.cursor(round + 1))).await;
        received += answer.ids().len();
    }
    assert_eq!(received, 480);
    assert_eq!(target.recorder.stats().segments, 60, "no segment was evicted");
    end(&place, target);
}

/// Acts as a process that another test starts. Without that it does nothing.
#[test]
fn a_process_of_its_own() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let options = Options { clock: Clock::system(), ..options(&place.join("spool")) };
    match role.as_str() {
        "records" => record_until_killed(options, &place),
        "worker" => work(options),
        other => panic!("unknown role {other}"),
    }
}

/// Some threads record as fast as they can and write down how far they are, while a scraper reads now and then.
fn record_until_killed(options: Options, place: &Path) {
    let target = &Target::of(Recorder::new(options));
    assert!(target.recorder.stats().spool.is_on);
    let progress = File::create(place.join("progress")).unwrap();
    let mut scraped = File::create(place.join("scraped")).unwrap();
    println!("\nready {:016x}", target.recorder.epoch());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let progress = &progress;
            scope.spawn(move || {
                for n in 1.. {
                    target.recorder.record(&span(thread << 32 | n));
                    progress.write_at(&n.to_le_bytes(), thread * 8).unwrap();
                }
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let scrapes = async move {
            let mut cursor = target.cursor(1);
            for round in 0.. {
                if round > 0 {
                    // Some of it stays unread in any case.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let answer = target.scrape("a", Some(cursor)).await;
                cursor = answer.next();
                let ids: Vec<_> = answer.ids().iter().map(u64::to_string).collect();
                let line = format!("{cursor} {} {}\n", answer.lost(), ids.join(" "));
                scraped.write_all(line.as_bytes()).unwrap();
            }
        };
        scope.spawn(move || runtime.block_on(scrapes));
    });
}

fn line(child: &mut Child, start: &str) -> String {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.starts_with(start)).unwrap()
}

#[tokio::test]
async fn a_killed_process_loses_what_was_half_written_and_no_more() {
    for round in 0..3 {
        let place = Place::new();
        let mut child = place.child("records");
        let ready = line(&mut child, "ready");
        let epoch = u64::from_str_radix(ready.split(' ').nth(1).unwrap(), 16).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let enough = 2_000 * (round + 1);
        let progress = || -> Vec<u64> {
            let bytes = std::fs::read(place.0.path().join("progress")).unwrap_or_default();
            bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
        };
        while (progress().iter().filter(|n| **n > enough).count() as u64) < THREADS {
            assert!(Instant::now() < deadline, "{:?}", progress());
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();

        // What the scraper of the dead process committed, and where it stopped.
        let mut reader = Reader::default();
        let mut cursor = Cursor { epoch, seq: 1 };
        let scraped = std::fs::read_to_string(place.0.path().join("scraped")).unwrap();
        for line in scraped.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let mut words = line.split_whitespace();
            cursor = words.next().unwrap().parse().unwrap();
            reader.lost += words.next().unwrap().parse::<u64>().unwrap();
            for id in words {
                assert!(reader.ids.insert(id.parse().unwrap()));
            }
        }
        *reader.received.entry(epoch).or_default() += reader.ids.len() as u64;
        let next = place.target();
        reader.read(&next, Some(cursor)).await;

        let torn = reader.shutdown[&epoch];
        assert!(torn <= THREADS + 1, "{torn}");
        assert_eq!(reader.finished[&epoch], reader.ids.len() as u64 + reader.lost + torn);
        if reader.lost == 0 {
            for (thread, finished) in (0..).zip(progress()) {
                let of_thread = reader.ids.range(thread << 32..(thread + 1) << 32);
                let numbers: Vec<_> = of_thread.map(|id| id & u64::from(u32::MAX)).collect();
                let last = numbers.len() as u64;
                assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
                assert!((finished..=finished + 1).contains(&last), "{finished} {last}");
            }
        }
    }
}

/// Records as many spans as it is told, each time it is told.
fn work(options: Options) {
    let recorder = Recorder::new(options);
    println!("\nready {:016x}", recorder.epoch());
    let mut next = u64::from(std::process::id()) << 32;
    for line in std::io::stdin().lines() {
        let count: u64 = line.unwrap().parse().unwrap();
        for _ in 0..count {
            next += 1;
            recorder.record(&span(next));
        }
        println!("\ndone");
    }
}

#[tokio::test]
async fn any_process_of_a_directory_serves_all_of_them() {
    let place = Place::new();
    let target = place.target();
    let mut workers: Vec<_> = (0..3).map(|_| place.child("worker")).collect();
    workers.iter_mut().for_each(|worker| drop(line(worker, "ready")));
    let tell = |worker: &mut Child, count: u64| {
        writeln!(worker.stdin.as_mut().unwrap(), "{count}").unwrap();
        line(worker, "done");
    };
    let mut reader = Reader::default();
    target.record(1..=10);
    workers.iter_mut().for_each(|worker| tell(worker, 100));
    reader.scrape(&target).await;
    assert_eq!(reader.ids.len(), 310, "each sealed what waited when it was asked for");
    reader.scrape(&target).await;
    assert_eq!(reader.ids.len(), 310);

    // One is killed with spans that nobody has read; the others go on.
    workers.iter_mut().for_each(|worker| tell(worker, 50));
    let mut killed = workers.pop().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    reader.scrape(&target).await;
    assert_eq!((reader.ids.len(), reader.lost), (460, 0));
    reader.check();

    // A scraper that knows of no siblings reads the process that it asks, and none of the others.
    let old = target.scrape("old", None).await;
    assert_eq!(old.ids().len(), 10);
    assert_eq!(old.header(pull::SIBLINGS), None);

    // One that lost its place is told by the target where it was.
    let mut forgetful = Reader::default();
    forgetful.scrape(&target).await;
    assert!(forgetful.ids.len() <= 10, "{}", forgetful.ids.len());
    for mut worker in workers {
        drop(worker.stdin.take());
        worker.wait().unwrap();
    }
}
