//! Words as bits: enough to tell that a trace surely does not say one.

/// That some row says `error`, in any way.
pub(super) const ERROR: u64 = 1 << 63;

/// What a word is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sort {
    Service = 1,
    SpanName,
    RemoteService,
}

/// The bit of a word. Others have the same.
pub(super) fn of(sort: Sort, text: &str) -> u64 {
    let mixed = crc32c::crc32c_append(sort as u32, text.as_bytes());
    1 << (mixed % 63)
}
