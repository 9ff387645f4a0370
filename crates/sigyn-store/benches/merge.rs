//! What it costs to make one block of many, beside what it cost to make those, in CPU time of the thread.

#[expect(dead_code, reason = "half of it is for those who read spans as they arrive")]
mod corpus;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sigyn_model::Span;
use sigyn_model::columns::Columns;
use sigyn_store::{Memory, Merged, TakenIn};

use corpus::Shop;

/// The one that the server ships with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BLOCKS: usize = 8;
const SPANS: usize = 250_000;
/// One trace in so many has half of its spans in another block.
const PARTED: u128 = 25;
/// The best of so many rounds is told.
const ROUNDS: usize = 3;

/// The spans of each block: all of them began in the same minute.
fn spans() -> Vec<Vec<Vec<Span>>> {
    let mut blocks = vec![Vec::new(); BLOCKS];
    for at in 0..BLOCKS {
        let mut shop = Shop::with_seed(at as u64);
        let mut requests: Vec<Vec<Span>> = Vec::new();
        while shop.made < SPANS {
            shop.visit(|request| requests.push(request));
        }
        requests.extend(shop.waiting);
        for spans in requests {
            let is_elsewhere = |span: &Span| {
                span.trace_id.as_u128().is_multiple_of(PARTED) && span.id.as_u64().is_multiple_of(2)
            };
            let (elsewhere, here) = spans.into_iter().partition(is_elsewhere);
            blocks[at].push(here);
            blocks[(at + 1) % BLOCKS].push(elsewhere);
        }
    }
    blocks
}

#[expect(clippy::print_stdout, reason = "it is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    // On the disk that is built on: temporary files may be in memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut merged = Merged::new(dir.path())?;
    let (mut sealing, mut bytes, mut count) = (Duration::ZERO, 0, 0);
    for requests in spans() {
        let mut taken_in = TakenIn::default();
        for spans in &requests {
            let mut columns = Columns::default();
            spans.iter().for_each(|span| _ = columns.push(span));
            taken_in.take_in(&columns, &mut Vec::new());
        }
        drop(requests);
        let begin = now();
        bytes += merged.seal(&taken_in, Memory::default())?;
        sealing += now().saturating_sub(begin);
        count += taken_in.spans();
    }
    let each = |took: Duration| took.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{BLOCKS} blocks of {count} spans, {:.1} bytes each: {:.2} µs a span to seal them",
        bytes as f64 / count as f64,
        each(sealing),
    );
    for (name, memory) in [("2 GiB", Memory::default()), ("256 MiB", Memory::within(256 << 20))] {
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let begin = now();
            assert_eq!(merged.merge(memory)?, count);
            best = best.min(now().saturating_sub(begin));
        }
        println!("{name}: {:.2} µs a span to merge them", each(best));
    }
    Ok(())
}

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
