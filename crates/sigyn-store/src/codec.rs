//! The bytes of spans, values, labels and progress, as the log, blocks and the catalog keep them.
//!
//! `docs/formats/wal.md` has every byte. Whoever repeats himself (strings, labels, resources,
//! scopes) is written once per record: at its first use, with its bytes; after that, by number.

mod decode;
mod encode;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;

/// Values are nested no deeper than this; what lies below is kept as its text.
pub(crate) const VALUE_DEPTH_MAX: usize = 64;

/// What one record may become in memory. The encoder refuses more, so the decoder can, too.
pub(crate) const EXPANDED_BYTES_MAX: u64 = 1 << 30;

/// What one resource or scope may become in memory. Blocks have it beside each of its spans, as a
/// word of a dictionary: what is read and summed once per span must be small.
pub(crate) const SHARED_BYTES_MAX: u64 = 256 << 10;

/// A record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed record: {what}")]
pub(crate) struct Malformed {
    pub(crate) what: &'static str,
}

/// Which optional parts of a span follow; the bits of its first field. No file has them: spans are compared
/// so.
mod flag {
    pub(super) const PARENT: u64 = 1;
    /// Three bits: zero for no kind, else the kind's number plus one.
    pub(super) const KIND_SHIFT: u32 = 1;
    pub(super) const TIMESTAMP: u64 = 1 << 4;
    pub(super) const DURATION: u64 = 1 << 5;
    pub(super) const LOCAL: u64 = 1 << 6;
    pub(super) const REMOTE: u64 = 1 << 7;
    pub(super) const DEBUG: u64 = 1 << 8;
    pub(super) const SHARED: u64 = 1 << 9;
    pub(super) const TAGS: u64 = 1 << 10;
    pub(super) const ANNOTATIONS: u64 = 1 << 11;
    pub(super) const RESOURCE: u64 = 1 << 14;
    pub(super) const SCOPE: u64 = 1 << 15;
    pub(super) const STATUS: u64 = 1 << 16;
    pub(super) const LINKS: u64 = 1 << 17;
    pub(super) const TRACE_STATE: u64 = 1 << 18;
    pub(super) const DROPPED: u64 = 1 << 19;
    pub(super) const FLAGS: u64 = 1 << 20;
}

/// The first byte of a value.
mod value_type {
    pub(super) const EMPTY: u8 = 0;
    pub(super) const STR: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const INT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const LIST: u8 = 7;
    pub(super) const MAP: u8 = 8;
}
