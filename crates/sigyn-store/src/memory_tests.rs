//! What merging takes in memory, however much is merged: measured by the kernel, in a process of its own.

#![cfg(target_os = "linux")]

use std::process::Command;

use sigyn_model::{Span, SpanId, Timestamp, TraceId};

use crate::clock::Clock;
use crate::crash_tests::options;
use crate::disk::Disk;
use crate::memory::Memory;
use crate::options::Options;
use crate::store::Store;
use crate::testing::{self, OwnedBatch};

/// Runs a case in a process that does nothing else.
fn alone(name: &str, case: impl FnOnce()) {
    const ALONE: &str = "SIGYN_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return case();
    }
    let this = std::env::current_exe().unwrap();
    let name = format!("memory_tests::{name}");
    let run = Command::new(this).args(["--exact", &name, "--nocapture"]).env(ALONE, "1").output();
    let run = run.unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

/// The most that this process ever had in memory.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

/// Blocks of `spans` each, every one of which has a text of `bytes`, in traces that `trace` tells.
fn check(blocks: u64, spans: u64, bytes: usize, trace: impl Fn(u64) -> u64) {
    const MIB: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let now = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(testing::EPOCH_MS));
    let memory = Memory::within(128 * MIB);
    let options = Options { path: dir.path().to_owned(), memory, ..options() };
    let disk = Disk::real(dir.path()).unwrap();
    let store = Store::open_on(disk, options, Clock::Manual(now.clone())).unwrap();
    let mut id = 0;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..blocks {
        let at_once = (MIB / bytes as u64).max(1);
        for _ in 0..spans.div_ceil(at_once) {
            let spans = (0..at_once).map(|_| {
                id += 1;
                let trace = TraceId::new(u128::from(trace(id)) + 1).unwrap();
                let mut span = Span::new(trace, SpanId::new(id).unwrap());
                span.name = format!("op-{}", id % 7);
                span.timestamp = Some(Timestamp::from_nanos(testing::EPOCH_MS * 1_000_000 + id));
                let text: String = (0..bytes).map(|_| random.alphanumeric()).collect();
                span.set_tag("text", text);
                span
            });
            let batch = OwnedBatch { spans: spans.collect(), progress: None };
            runtime.block_on(store.append_waiting(batch)).unwrap();
        }
        store.seal().unwrap();
    }
    let stored = store.stats().block_bytes;
    assert!(stored > 128 * MIB, "{stored}");
    now.fetch_add(2 * 60 * 60 * 1_000, std::sync::atomic::Ordering::SeqCst);
    let before = peak();
    store.compact();
    let stats = store.stats();
    assert!(stats.compactions_total > 0 && stats.blocks < blocks, "{stats:?}");
    assert_eq!(stats.block_spans, id);
    let (after, max) = (peak(), memory.bytes);
    println!("{} MiB stored; peak {} MiB, {} MiB before", stored / MIB, after / MIB, before / MIB);
    assert!(after <= max, "{} of {} MiB", after / MIB, max / MIB);
}

#[test]
fn what_is_merged_is_not_all_in_memory() {
    alone("what_is_merged_is_not_all_in_memory", || check(8, 1_600, 16 << 10, |id| id / 4));
}

#[test]
fn a_trace_that_all_blocks_have_is_not_all_in_memory() {
    alone("a_trace_that_all_blocks_have_is_not_all_in_memory", || check(8, 1_600, 16 << 10, |_| 0));
}

#[test]
fn values_of_a_megabyte_are_merged_a_few_at_a_time() {
    alone("values_of_a_megabyte_are_merged_a_few_at_a_time", || check(6, 30, 1 << 20, |id| id / 2));
}
