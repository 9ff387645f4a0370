//! What a store takes in memory, whatever it is given: measured by the kernel, each case in a process of
//! its own.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sigyn_model::{
    DifferencesQuery, Endpoint, Field, Filter, HeatQuery, RedQuery, Selection, Span, SpanBatch,
    SpanId, Timestamp, TraceId, Unit, Waterfall, What, WordsQuery,
};
use sigyn_store::{AppendError, Memory, Options, QueryFailed, Stop, Store};

/// The one that the server ships with: another one keeps more, or less, of what is given back to it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MIB: u64 = 1 << 20;
/// When the spans of these tests start, in seconds.
const START_S: u64 = 1_700_000_000;

/// Runs a case in a process that does nothing else.
fn alone(name: &str, case: impl Fn()) {
    one_after_the_other(name, &[&|_: &Path| case()]);
}

/// Runs parts of a case with one folder, each in a process that does nothing else.
fn one_after_the_other(name: &str, parts: &[&dyn Fn(&Path)]) {
    const PART: &str = "SIGYN_TEST_PART";
    const FOLDER: &str = "SIGYN_TEST_FOLDER";
    if let (Ok(part), Some(folder)) = (std::env::var(PART), std::env::var_os(FOLDER)) {
        return parts[part.parse::<usize>().unwrap()](Path::new(&folder));
    }
    let (this, folder) = (std::env::current_exe().unwrap(), tempfile::tempdir().unwrap());
    for part in 0..parts.len() {
        let mut run = Command::new(&this);
        run.args(["--exact", name, "--nocapture"]);
        run.env(PART, part.to_string()).env(FOLDER, folder.path());
        let run = run.output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
        // Where no test has this name, none fails.
        assert!(run.status.success() && said.contains("1 passed"), "{said}");
        eprintln!("{said}");
    }
}

/// The most that this process has ever had in memory, without the program itself: one that is made for
/// debugging is large.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
    };
    bytes("VmHWM:") - bytes("RssFile:")
}

struct Case {
    _dir: Option<tempfile::TempDir>,
    store: Store,
    memory: Memory,
    runtime: tokio::runtime::Runtime,
}

impl Case {
    fn open(bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let case = Self::open_in(dir.path(), bytes);
        Self { _dir: Some(dir), ..case }
    }

    fn open_in(path: &Path, bytes: u64) -> Self {
        let memory = Memory::within(bytes);
        // Merged as soon as there are two.
        let merge_window = Duration::from_millis(1);
        // With blocks of their own for traces with errors.
        let retention_errors = Some(Duration::from_secs(365 * 24 * 60 * 60));
        let options = Options { memory, merge_window, retention_errors, ..Options::new(path) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { store: Store::open(options).unwrap(), _dir: None, memory, runtime }
    }

    /// Waits for room.
    fn append(&self, spans: &[Span]) {
        let batch = SpanBatch::of(spans, None);
        let appended: Result<(), AppendError> =
            self.runtime.block_on(self.store.append_waiting(batch));
        appended.unwrap();
    }

    /// Asks all that counts spans, of ordinary and of many-valued fields. What is too large for an answer may
    /// say so, and what finds no room beside others.
    fn ask_all(&self, what: &str) {
        // Whole minutes: some rates are told from counts.
        let first_s = START_S / 60 * 60;
        let (start_us, end_us) = (first_s * 1_000_000, (first_s + 600) * 1_000_000);
        let selection = |filter: &str| {
            let filter: Filter = filter.parse().unwrap();
            Selection { filter, start_us, end_us: end_us - 1 }
        };
        let told = |about: &str, answer: Result<(), QueryFailed>| {
            match answer {
                Ok(())
                | Err(
                    QueryFailed::TooLarge { .. }
                    | QueryFailed::TraceTooLarge { .. }
                    | QueryFailed::NoRoom,
                ) => {}
                Err(error) => panic!("{about}: {error}"),
            }
            self.check(&format!("{what}, {about}"));
        };
        let queries = || self.store.queries(Stop::default());
        let whats = [What::Keys, What::Values(Field::Name), What::Values(Field::read("n"))];
        for asked in whats {
            for filter in ["", "trace.spans > 1"] {
                let about = format!("{asked:?} of {filter:?}");
                let query = WordsQuery {
                    selection: selection(filter),
                    what: asked.clone(),
                    prefix: String::new(),
                };
                told(&about, queries().words(&query).map(drop));
            }
        }
        for by in ["service", "name", "n"] {
            let query = RedQuery::new(selection(""), vec![Field::read(by)], 60_000_000).unwrap();
            told(&format!("rates by {by}"), queries().red(&query).map(drop));
        }
        for of in [Unit::Spans, Unit::Traces] {
            let query = HeatQuery::new(selection(""), of, 10_000_000, 4).unwrap();
            told(&format!("a map of {of:?}"), queries().heat(&query).map(drop));
        }
        for of in [Unit::Spans, Unit::Traces] {
            let (from, selected) = (selection(""), selection("error"));
            let query = DifferencesQuery { from, selected, against: None, of };
            told(&format!("differences of {of:?}"), queries().differences(&query).map(drop));
        }
        let lines = queries().outlined(TraceId::new(1).unwrap(), 100, |outlined| {
            let waterfall = Waterfall::new(&outlined.outlines);
            let rows = 0..waterfall.len().min(500);
            let sources: Vec<&[u32]> = rows.map(|row| waterfall.sources(row)).collect();
            outlined.spans(&sources).map(drop)
        });
        told("a trace as lines", lines.map(drop));
        // The second of these windows cuts the traces of a minute.
        let end_ms = end_us / 1_000;
        for (end_ms, lookback_ms) in [(end_ms, end_ms), (START_S * 1_000 + 500, 10_000)] {
            let links = queries().dependencies(end_ms, lookback_ms).map(drop);
            told(&format!("dependencies, {lookback_ms} ms"), links);
        }
    }

    fn check(&self, what: &str) {
        let (peak, max) = (peak(), self.memory.bytes);
        let stats = self.store.stats();
        let shares = stats.shares();
        eprintln!("{what}: {} of {} MiB; {shares:?}", peak / MIB, max / MIB);
        assert!(peak <= max, "{what}: {} of {} MiB; {stats:?}", peak / MIB, max / MIB);
    }
}

fn span(trace: u64, id: u64) -> Span {
    let mut span = Span::new(TraceId::new(trace.into()).unwrap(), SpanId::new(id).unwrap());
    span.name = format!("op-{}", id % 20);
    span.local_endpoint = Endpoint::named(&format!("service-{}", id % 7)).into_option();
    span.timestamp = Timestamp::from_micros(START_S * 1_000_000 + id);
    span.duration = Some(Duration::from_micros(id % 10_000));
    span
}

#[test]
fn tags_that_are_all_different_take_no_more_than_there_is() {
    alone("tags_that_are_all_different_take_no_more_than_there_is", || {
        let case = Case::open(256 * MIB);
        let mut random = fastrand::Rng::with_seed(1);
        for batch in 0..200 {
            let spans = (0..1_000).map(|n| {
                let id = batch * 1_000 + n + 1;
                let mut span = span(id, id);
                span.name = format!("op-{:x}", random.u64(..));
                span.local_endpoint =
                    Endpoint::named(&format!("{:x}", random.u64(..))).into_option();
                for _ in 0..8 {
                    let (key, value) = (random.u64(..), random.u128(..));
                    span.set_tag(format!("key-{key:x}"), format!("{value:x}"));
                }
                span
            });
            case.append(&spans.collect::<Vec<_>>());
        }
        case.check("taken in");
        case.store.seal().unwrap();
        case.check("sealed");
        case.store.compact();
        case.check("merged");
        let found = case.store.trace(TraceId::new(7).unwrap()).unwrap();
        assert_eq!(found.len(), 1);
        case.check("asked");
        case.ask_all("asked");
    });
}

/// Keys, services and names that are all different, and values of a megabyte, in many small blocks and in large
/// ones; as many count at once as a server with so little memory lets. The least memory that there can be holds, with
/// some 14 MiB left.
#[test]
fn questions_at_once_about_the_worst_spans_take_no_more_than_there_is() {
    let fill = |path: &Path| {
        let case = Case::open_in(path, 64 * MIB);
        let mut random = fastrand::Rng::with_seed(3);
        for batch in 0..20 {
            let spans = (0..60).map(|n| {
                let id = batch * 60 + n + 1;
                let mut span = span(id / 2 + 1, id);
                span.name = format!("op-{:x}", random.u64(..));
                span.local_endpoint =
                    Endpoint::named(&format!("{:x}", random.u64(..))).into_option();
                for _ in 0..60 {
                    let (key, value) = (random.u64(..), random.u128(..));
                    span.set_tag(format!("key-{key:x}"), format!("{value:x}"));
                }
                if n == 0 {
                    let value: Vec<u8> =
                        (0..900 << 10).map(|_| random.alphanumeric() as u8).collect();
                    span.set_tag("value", String::from_utf8(value).unwrap());
                    span.set_tag("error", "it is too much");
                }
                span
            });
            case.append(&spans.collect::<Vec<_>>());
        }
        case.store.seal().unwrap();
    };
    let ask = |path: &Path| {
        let case = Case::open_in(path, 64 * MIB);
        let ask = |what: &str| {
            std::thread::scope(|scope| {
                (0..2).for_each(|_| _ = scope.spawn(|| case.ask_all(what)));
            });
        };
        ask("sealed");
        case.store.compact();
        case.check("merged");
        ask("merged");
    };
    let name = "questions_at_once_about_the_worst_spans_take_no_more_than_there_is";
    one_after_the_other(name, &[&fill, &ask]);
}

/// What is collected of a block beside its rows, and of each of several that are made at once.
#[test]
fn many_keys_that_most_traces_show_twice_take_no_more_than_there_is() {
    alone("many_keys_that_most_traces_show_twice_take_no_more_than_there_is", || {
        let case = Case::open(128 * MIB);
        let spans = |from: u64| -> Vec<Span> {
            let spans = (from..from + 500).map(|n| {
                let mut span = span(n / 2 + 1, n + 1);
                for tag in 0..20 {
                    let key = format!("key-{}", (n + tag * 10) % 200);
                    let value = (n * 7 + tag * 31) % 5_000;
                    span.set_tag(key, format!("{value:0>60}"));
                }
                if n % 8 == 0 {
                    span.set_tag("error", "some of them failed");
                }
                span
            });
            spans.collect()
        };
        // What is sent once more is in other blocks.
        for round in 0..2 {
            (0..60).for_each(|n| case.append(&spans(n * 500)));
            case.store.seal().unwrap();
            case.check(&format!("taken in, {round}"));
        }
        case.store.compact();
        case.check("merged");
        let stats = case.store.stats();
        assert!(stats.compactions_total > 0, "{stats:?}");
        assert_eq!(case.store.trace(TraceId::new(7).unwrap()).unwrap().len(), 2);
        case.check("asked");
    });
}

#[test]
fn values_of_a_megabyte_take_no_more_than_there_is() {
    alone("values_of_a_megabyte_take_no_more_than_there_is", || {
        let case = Case::open(256 * MIB);
        let mut random = fastrand::Rng::with_seed(2);
        for id in 1..=600 {
            let mut span = span(id / 3 + 1, id);
            // Every third cannot be compressed.
            let value: Vec<u8> = match id % 3 {
                0 => (0..MIB).map(|_| random.alphanumeric() as u8).collect(),
                _ => id.to_string().repeat(256 << 10).into_bytes(),
            };
            span.set_tag("value", String::from_utf8(value).unwrap());
            case.append(&[span]);
        }
        case.check("taken in");
        case.store.seal().unwrap();
        case.check("sealed");
        case.store.compact();
        case.check("merged");
        for id in [1, 100, 200] {
            assert!(!case.store.trace(TraceId::new(id).unwrap()).unwrap().is_empty());
        }
        case.check("asked");
        case.ask_all("asked");
    });
}

#[test]
fn a_trace_of_a_million_spans_takes_no_more_than_there_is() {
    alone("a_trace_of_a_million_spans_takes_no_more_than_there_is", || {
        let case = Case::open(256 * MIB);
        for batch in 0..100 {
            let spans = (0..10_000).map(|n| {
                let id = batch * 10_000 + n + 1;
                let mut span = span(1, id);
                span.parent_id = SpanId::new(id / 2);
                span.set_tag("n", i64::try_from(id).unwrap());
                span
            });
            case.append(&spans.collect::<Vec<_>>());
        }
        case.check("taken in");
        case.store.seal().unwrap();
        case.check("sealed");
        let ask = |what: &str| {
            let id = TraceId::new(1).unwrap();
            let answer = case.store.queries(Stop::default()).trace(id);
            match answer {
                Ok(spans) => assert_eq!(spans.len(), 1_000_000),
                Err(QueryFailed::TraceTooLarge { bytes, bytes_max }) => {
                    assert_eq!(bytes_max, case.memory.answer());
                    assert!(Memory::within(Memory::for_answer(bytes)).answer() >= bytes);
                }
                Err(error) => panic!("{error}"),
            }
            case.check(what);
        };
        ask("asked");
        case.store.compact();
        case.check("merged");
        ask("asked again");
        case.ask_all("asked");
    });
}

/// A log that was written with much memory, in one segment, is read with little.
fn a_log_is_read_with_little_memory(name: &str, spans: u64, span_of: impl Fn(u64) -> Span) {
    const BATCH: u64 = 2_000;
    let fill = |path: &Path| {
        let case = Case::open_in(path, 2_048 * MIB);
        for from in (0..spans).step_by(usize::try_from(BATCH).unwrap()) {
            let batch = (from..(from + BATCH).min(spans)).map(&span_of);
            case.append(&batch.collect::<Vec<_>>());
        }
        let stats = case.store.stats();
        // More than the one that reads it has for heads.
        assert!(stats.seals_total == 0 && stats.head_bytes > 48 * MIB, "{stats:?}");
    };
    let open = |path: &Path| {
        let case = Case::open_in(path, 64 * MIB);
        case.check("opened");
        let stats = case.store.stats();
        assert_eq!(stats.head_spans + stats.block_spans, spans);
        assert!(stats.seals_total > 0 && stats.damaged_spots == 0, "{stats:?}");
    };
    one_after_the_other(name, &[&fill, &open]);
}

#[test]
fn a_log_of_more_memory_takes_no_more_than_there_is() {
    let name = "a_log_of_more_memory_takes_no_more_than_there_is";
    a_log_is_read_with_little_memory(name, 200_000, |n| {
        let mut span = span(n / 10 + 1, n + 1);
        span.set_tag("value", n.to_string().repeat(30));
        span
    });
}

/// Spans that are next to nothing in the log, and as large as any in columns; each in a trace of its own.
#[test]
fn a_log_of_tiny_spans_takes_no_more_than_there_is() {
    let name = "a_log_of_tiny_spans_takes_no_more_than_there_is";
    a_log_is_read_with_little_memory(name, 400_000, |n| {
        Span::new(TraceId::new((n + 1).into()).unwrap(), SpanId::new(n + 1).unwrap())
    });
}

/// Each takes a place in the tables that find words, and in the lists of names.
#[test]
fn a_log_of_names_that_are_all_different_takes_no_more_than_there_is() {
    let name = "a_log_of_names_that_are_all_different_takes_no_more_than_there_is";
    a_log_is_read_with_little_memory(name, 400_000, |n| {
        let mut span = Span::new(TraceId::new(7).unwrap(), SpanId::new(n + 1).unwrap());
        span.name = format!("{n:x}");
        span.set_tag("k", format!("{n:x}"));
        span
    });
}

/// Traces of ten spans, some of which come in two batches, in blocks and in a head.
fn all_is_asked_of_many_traces(bytes: u64) {
    let case = Case::open(bytes);
    for batch in 0..100u64 {
        let spans = (0..2_000).map(|n| {
            let id = batch * 2_000 + n + 1;
            let trace = id / 10 - if id.is_multiple_of(37) { id / 10 % 300 } else { 0 };
            let mut span = span(trace + 1, id);
            span.parent_id = SpanId::new(id / 10 * 10).filter(|parent| *parent != span.id);
            span.set_tag("n", i64::try_from(id).unwrap());
            span.set_tag(format!("key-{}", id % 50), id.to_string().repeat(8));
            span
        });
        case.append(&spans.collect::<Vec<_>>());
    }
    case.check("taken in");
    // What questions have is left for them: heads, what a block is made with, and these batches are all there is.
    let (peak, left) = (peak(), case.memory.bytes - case.memory.answers);
    assert!(peak <= left, "{} of {} MiB", peak / MIB, left / MIB);
    case.ask_all("of a head");
    case.store.seal().unwrap();
    case.ask_all("sealed");
    case.store.compact();
    case.ask_all("merged");
}

#[test]
fn all_that_is_asked_of_little_memory_takes_no_more_than_there_is() {
    alone("all_that_is_asked_of_little_memory_takes_no_more_than_there_is", || {
        all_is_asked_of_many_traces(64 * MIB);
    });
}

#[test]
fn all_that_is_asked_takes_no_more_than_there_is() {
    alone("all_that_is_asked_takes_no_more_than_there_is", || {
        all_is_asked_of_many_traces(256 * MIB);
    });
}
