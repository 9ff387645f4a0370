//! How long one batch takes to be durable in a new segment and in one made of a spare, and what that writes.

use std::time::{Duration, Instant};

use sigyn_model::{Span, SpanBatch, SpanId, TraceId};
use sigyn_store::{Options, Store};

const SEGMENT_BYTES: u64 = 16 << 20;
const ROUNDS: u64 = 6;
const BATCHES: u64 = 450;

fn batch(number: u64) -> SpanBatch {
    let spans: Vec<Span> = (0..64)
        .filter_map(|i| {
            let id = number * 64 + i + 1;
            let mut span = Span::new(TraceId::new(u128::from(id))?, SpanId::from_raw(id));
            // Nothing that is told once for many.
            let mut random = fastrand::Rng::with_seed(id);
            span.set_tag("filler", (0..1_000).map(|_| random.alphanumeric()).collect::<String>());
            Some(span)
        })
        .collect();
    SpanBatch::of(&spans, None)
}

/// What this process had written to disks.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

#[expect(clippy::print_stdout, reason = "it is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    // Beside so few bytes no spares are kept.
    for (name, retention_bytes) in [("fresh", Some(200 << 20)), ("recycled", None)] {
        // On the disk that is built on: temporary files may be in memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let options =
            Options { segment_bytes: SEGMENT_BYTES, retention_bytes, ..Options::new(dir.path()) };
        let store = Store::open(options)?;
        let (mut took, mut log_bytes) = (Vec::<Duration>::new(), 0);
        for round in 0..ROUNDS {
            let before = written_bytes();
            for number in 0..BATCHES {
                let batch = batch(round * BATCHES + number);
                let start = Instant::now();
                run.block_on(store.append(batch))?;
                // The first round makes what the others recycle.
                if round > 0 {
                    took.push(start.elapsed());
                }
            }
            if round > 0 {
                log_bytes += written_bytes() - before;
            }
            store.seal()?;
            store.compact();
        }
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        println!(
            "{name:8}  p50 {:?}  p90 {:?}  p99 {:?}  longest {:?}  {} bytes to disk per batch",
            at(50),
            at(90),
            at(99),
            at(100),
            log_bytes / took.len() as u64
        );
    }
    Ok(())
}
