//! What the store's handle and its threads share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::Clock;
use crate::commit::Queue;
use crate::disk::Disk;
use crate::store::Options;
use crate::view::View;
use crate::wal::writer::Segments;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) instance: u64,
    pub(crate) queue: Queue,
    pub(crate) segments: Segments,
    pub(crate) view: View,
    pub(crate) counters: Counters,
    head_bytes: AtomicU64,
    stopping: AtomicBool,
}

/// What happened since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appended_spans: Counter,
    pub(crate) commits: Counter,
    pub(crate) overloads: Counter,
    pub(crate) seals: Counter,
    pub(crate) seal_failures: Counter,
    pub(crate) retired_blocks: Counter,
    pub(crate) retired_spans: Counter,
    pub(crate) unreadable_blocks: Counter,
    pub(crate) damaged_spots: Counter,
    pub(crate) quarantined_files: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        disk: Disk,
        clock: Clock,
        instance: u64,
        segments: Segments,
        view: View,
        counters: Counters,
    ) -> Self {
        let head_bytes = AtomicU64::new(view.active_head_bytes());
        Self {
            options,
            disk,
            clock,
            instance,
            queue: Queue::default(),
            segments,
            view,
            counters,
            head_bytes,
            stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn note_head_bytes(&self, bytes: u64) {
        self.head_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What the head that is written to takes.
    pub(crate) fn head_bytes(&self) -> u64 {
        self.head_bytes.load(Ordering::Relaxed)
    }

    /// Tells long work to end early.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
