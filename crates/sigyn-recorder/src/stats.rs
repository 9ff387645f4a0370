//! What a recorder says about itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use sigyn_model::pull::Dropped;

use crate::ids;

/// A recorder's counters at one moment. Of its epoch:
/// `finished = delivered + buffered + dropped.evicted + dropped.oversize + dropped.shutdown`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The random number of the recorder's lifetime.
    pub epoch: u64,
    /// Spans given to the log, those that it refused included.
    pub finished: u64,
    /// Spans that at least one named scraper acknowledged, or that were written whole to a 2017 Loki
    /// server.
    pub delivered: u64,
    /// Spans that nobody acknowledged yet.
    pub buffered: u64,
    /// Spans that are lost, by reason.
    pub dropped: Dropped,
    /// The last segment sealed; 0 before the first.
    pub newest: u64,
    /// Segments held, acknowledged ones included.
    pub segments: usize,
    /// What all held spans weigh.
    pub bytes: usize,
    /// Spans of traces that nobody sampled, held in case somebody wants them. They are in no other of these figures.
    pub cold_spans: u64,
    /// What these weigh.
    pub cold_bytes: usize,
    /// Traces that were asked for and forgotten before anybody looked for them, as too many were.
    pub asks_forgotten: u64,
    /// Operations that are told apart where not all traces are sampled.
    pub operations: u64,
    /// Scrapers that hold a lease.
    pub scrapers: Vec<ScraperStats>,
    /// What happened beside that.
    pub activity: Activity,
    /// How it goes with the spool.
    pub spool: SpoolStats,
}

/// How it goes with the spool, if spans are to outlive the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolStats {
    /// Spans go to the spool.
    pub is_on: bool,
    /// Why there is none, although one was asked for.
    pub error: Option<String>,
    /// Chunks of up to 64 KiB of spans that are in memory, because the spool had no room for them: they end with the process.
    pub chunks_in_memory: u64,
    /// Names and keys for which there was no room.
    pub names_unwritten: u64,
    /// Files of processes that were gone, deleted before anybody had read all of them.
    pub files_discarded: u64,
}

/// One scraper with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScraperStats {
    /// The name that it gives itself.
    pub name: String,
    /// It has acknowledged every segment below this one.
    pub acknowledged_below: u64,
    /// Until its lease is over, if it asks no more.
    pub lease_left: Duration,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts of things that happened beside the books of the spans.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Activity {
            /// Spans started that were not sampled.
            pub unsampled: u64,
            $($(#[$doc])* pub $name: u64),*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            pub(crate) unsampled: Tally,
            $(pub(crate) $name: AtomicU64),*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Activity {
                Activity {
                    unsampled: self.unsampled.sum(),
                    $($name: self.$name.load(Ordering::Relaxed)),*
                }
            }
        }
    };
}

/// A count of what many threads do all the time: they seldom meet at one of its parts.
#[derive(Debug, Default)]
pub(crate) struct Tally([CachePadded<AtomicU64>; TALLIES]);

const TALLIES: usize = 8;

impl Tally {
    #[inline]
    pub(crate) fn count(&self) {
        self.0[ids::thread_of(TALLIES)].fetch_add(1, Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|part| part.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

counters! {
    /// Traces that would begin here and were not recorded, because all who read have a budget or the log fills faster
    /// than it is read.
    over_budget,
    /// Traces that were recorded because none had been of their operation for a while.
    guaranteed,
    /// Spans that nobody sampled and that were put where they stay for a while.
    put_aside,
    /// Those that would have been, and were not: larger than their cap, even with their tags cut.
    aside_oversize,
    /// The same, as they were larger than a piece of the memory for them.
    aside_too_large,
    /// Traces that nobody sampled and that were kept all the same: they failed here, were slow, or somebody said so.
    kept,
    /// Those of them that scrapers are not told, as too many were kept at once: others are not asked for the rest of these.
    kept_untold,
    /// Traces that scrapers asked for.
    asked_for,
    /// Spans that were put aside and went to the log, as their traces were kept or asked for.
    promoted,
    /// Names, keys and values cut to the value cap.
    values_cut,
    /// Tags dropped, as too large or to bring their span under the span cap.
    tags_dropped,
    /// Tags that were not recorded, as rules say.
    tags_denied,
    /// Trace contexts that arrived and could not be read.
    invalid_contexts,
    /// Members of baggage that arrived and could not be read, or were too many.
    invalid_baggage,
    /// Answers 200 or 204 to scrapers with a lease.
    scrapes,
    /// Answers 200 or 204 to anyone else.
    peeks,
    /// Bodies with spans that were written whole to 2017 Loki servers.
    legacy_scrapes,
    /// 2017 Loki servers whose cursor was forgotten, as too many others came: each gets again what it had.
    peers_forgotten,
    /// Answers 200 or 204 to those who asked for one trace.
    lookups,
    /// Named requests that were served as a peek because no lease was free.
    leases_refused,
    /// Cursors that are none, or that nobody was ever told.
    cursors_refused,
    /// Answers 429: too many requests at once.
    busy,
    /// Long polls that did not wait: too many did already.
    waits_refused,
    /// Answers 406: no common format.
    not_acceptable,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    if by > 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}
