//! A log of any length, as a server leaves it that was killed before it made blocks.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use sigyn_model::SpanBatch;
use sigyn_store::{Durability, Memory, Options, Store};

use super::sources::Source;

/// Stores spans of the shop until their log is so long; says how many there are. The store is not closed.
pub(crate) fn run(path: &Path, bytes: u64) -> Result<String, Box<dyn Error + Send + Sync>> {
    let options = Options {
        durability: Durability::Os,
        memory: Memory { head: u64::MAX, ..Memory::default() },
        seal_after: Duration::from_secs(1 << 32),
        ..Options::new(path)
    };
    let store = Store::open(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut spans = 0;
    for (n, request) in Source::Shop.requests().enumerate() {
        spans += request.len();
        runtime.block_on(store.append(SpanBatch::of(&request, None)))?;
        if n % 100 == 0 && store.stats().wal_bytes >= bytes {
            break;
        }
    }
    let stats = store.stats();
    // As a kill leaves it: nothing is closed, and nothing dropped.
    std::mem::forget(store);
    Ok(format!("spans={spans} wal_bytes={} head_bytes={}", stats.wal_bytes, stats.head_bytes))
}
