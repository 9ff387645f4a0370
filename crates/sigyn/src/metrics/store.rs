//! Figures of the store.

use sigyn_store::{Share, Stats};

use super::{Family, Series, counter, gauge};

/// `all_shares` are those of everybody who has memory for spans.
pub(crate) fn families(stats: &Stats, all_shares: &[Share]) -> Vec<Family> {
    let number = |n: u64| n as f64;
    vec![
        gauge("sigyn_store_head_spans", "Spans that are in no block yet", number(stats.head_spans)),
        gauge("sigyn_store_head_traces", "Traces with such spans", number(stats.head_traces)),
        gauge("sigyn_store_head_bytes", "Memory that they take", number(stats.head_bytes)),
        gauge(
            "sigyn_store_memory_bytes",
            "Memory that spans may take in all: --storage.memory",
            number(stats.memory.bytes),
        ),
        shares("sigyn_store_share_bytes", "Memory in shares of it", all_shares, |one| one.max),
        shares("sigyn_store_share_used_bytes", "What of it is used", all_shares, |one| one.used),
        gauge("sigyn_store_blocks", "Sealed blocks", number(stats.blocks)),
        gauge("sigyn_store_block_spans", "Spans in them", number(stats.block_spans)),
        gauge("sigyn_store_block_bytes", "Their size on disk", number(stats.block_bytes)),
        gauge(
            "sigyn_store_wal_bytes",
            "Size of the write-ahead log on disk",
            number(stats.wal_bytes),
        ),
        gauge(
            "sigyn_store_unreadable_blocks",
            "Blocks that turned out to be damaged; they are kept, and not asked",
            number(stats.unreadable_blocks),
        ),
        gauge(
            "sigyn_store_damaged_files",
            "Files of the store that are damaged, as far as that was found since the start; /api/v1/status/store names them",
            number(stats.damaged_files),
        ),
        gauge(
            "sigyn_store_poisoned",
            "1 if no more spans are taken because a write or sync failed",
            f64::from(u8::from(stats.poisoned.is_some())),
        ),
        gauge(
            "sigyn_store_refusing",
            "1 if no spans can be stored at present, because the disk is full, say; /-/ready says why",
            f64::from(u8::from(stats.refusing.is_some() || stats.poisoned.is_some())),
        ),
        gauge(
            "sigyn_store_unsealable",
            "1 if no blocks can be made at present, so that memory and the log fill up; /-/ready says why",
            f64::from(u8::from(stats.unsealable.is_some())),
        ),
        gauge(
            "sigyn_store_unread_frames",
            "Frames of the log that wait since the start until blocks can be made: their spans are missing from answers",
            number(stats.unread_frames),
        ),
        counter(
            "sigyn_store_appended_spans_total",
            "Spans made durable",
            stats.appended_spans_total,
        ),
        counter(
            "sigyn_store_commits_total",
            "Writes to the log, each of one or more batches",
            stats.commits_total,
        ),
        gauge(
            "sigyn_store_index_bytes",
            "Memory that the indexes of blocks take",
            number(stats.index_bytes),
        ),
        counter(
            "sigyn_store_commits_failed_total",
            "Writes to the log that failed and were taken back; their senders were told",
            stats.failed_commits_total,
        ),
        counter(
            "sigyn_store_overloads_total",
            "Batches that were turned away because too much was waiting; their senders were told",
            stats.overloads_total,
        ),
        counter("sigyn_store_seals_total", "Blocks sealed", stats.seals_total),
        counter(
            "sigyn_store_seal_failures_total",
            "Seals that failed; they are tried again",
            stats.seal_failures_total,
        ),
        counter(
            "sigyn_store_retired_blocks_total",
            "Blocks deleted by retention",
            stats.retired_blocks_total,
        ),
        counter("sigyn_store_retired_spans_total", "Spans in them", stats.retired_spans_total),
        counter(
            "sigyn_store_compactions_total",
            "How often blocks were made of others",
            stats.compactions_total,
        ),
        counter(
            "sigyn_store_merged_blocks_total",
            "Blocks that went because others were made of them",
            stats.merged_blocks_total,
        ),
        counter(
            "sigyn_store_compaction_failures_total",
            "How often that failed; it is tried again",
            stats.compaction_failures_total,
        ),
        counter(
            "sigyn_store_deleted_traces_total",
            "Traces deleted by their ids",
            stats.deleted_traces_total,
        ),
        counter(
            "sigyn_store_unlisted_names_total",
            "Names of services and spans left out of lists of names, as too long or too many; searches find them",
            stats.unlisted_names_total,
        ),
        counter(
            "sigyn_store_damaged_spots_total",
            "Stretches of the log that were no records, at start",
            stats.damaged_spots,
        ),
        counter(
            "sigyn_store_quarantined_files_total",
            "Files set aside at start",
            stats.quarantined_files,
        ),
    ]
}

/// One series a share.
fn shares(
    name: &'static str,
    help: &'static str,
    shares: &[Share],
    bytes: impl Fn(&Share) -> u64,
) -> Family {
    let series = shares.iter().map(|one| (vec![("share", one.name.to_owned())], bytes(one) as f64));
    Family { name, help, series: Series::Gauge(series.collect()) }
}
