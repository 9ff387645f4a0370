//! The bytes of spans, values, labels and progress, as frames and blocks keep them.
//!
//! `docs/formats/wal.md` has every byte. Whoever repeats himself (strings, labels, resources,
//! scopes) is written once per record: at its first use, with its bytes; after that, by number.

mod decode;
mod encode;

pub(crate) use decode::Decoder;
pub(crate) use encode::{Encoder, rare_flags};

use sigyn_model::SpanBatch;

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

/// A record that is too large to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a record of more than {EXPANDED_BYTES_MAX} bytes, or one of {SHARED_BYTES_MAX} in a resource"
)]
pub(crate) struct TooLarge;

/// What one WAL frame keeps: a batch, and when it arrived.
#[derive(Debug, PartialEq)]
pub(crate) struct BatchRecord {
    pub(crate) arrival_ms: u64,
    pub(crate) batch: SpanBatch,
}

pub(crate) fn encode_batch(batch: &SpanBatch, arrival_ms: u64) -> Result<Vec<u8>, TooLarge> {
    let mut encoder = Encoder::with_capacity(64 + batch.spans.len() * 128);
    encoder.uint(arrival_ms);
    encoder.optional(batch.progress.as_ref(), Encoder::progress);
    encoder.count(batch.spans.len());
    for span in &batch.spans {
        encoder.span(span);
    }
    encoder.finish()
}

pub(crate) fn decode_batch(bytes: &[u8]) -> Result<BatchRecord, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let arrival_ms = decoder.uint()?;
    let progress = decoder.optional(Decoder::progress)?;
    let spans = decoder.list(Decoder::span)?;
    decoder.end()?;
    Ok(BatchRecord { arrival_ms, batch: SpanBatch { spans, progress } })
}

/// Which optional parts of a span follow; the bits of its first field.
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
    pub(super) const SAME_TRACE: u64 = 1 << 12;
    pub(super) const TARGET: u64 = 1 << 13;
    pub(super) const RESOURCE: u64 = 1 << 14;
    pub(super) const SCOPE: u64 = 1 << 15;
    pub(super) const STATUS: u64 = 1 << 16;
    pub(super) const LINKS: u64 = 1 << 17;
    pub(super) const TRACE_STATE: u64 = 1 << 18;
    pub(super) const DROPPED: u64 = 1 << 19;
    pub(super) const ALL: u64 = (1 << 20) - 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn check(batch: SpanBatch) {
        let bytes = encode_batch(&batch, 1_234).unwrap();
        assert_eq!(decode_batch(&bytes), Ok(BatchRecord { arrival_ms: 1_234, batch }));
    }

    #[test]
    fn batches_read_back_as_written() {
        check(SpanBatch::default());
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            check(testing::batch(&mut random, 20));
        }
    }

    #[test]
    fn a_repeated_string_is_written_once() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut span = testing::span(&mut random);
        span.set_tag("k", "x".repeat(1_000));
        let one = encode_batch(&SpanBatch { spans: vec![span.clone()], progress: None }, 0);
        let two = encode_batch(&SpanBatch { spans: vec![span.clone(), span], progress: None }, 0);
        assert!(two.unwrap().len() < one.unwrap().len() + 500);
    }

    #[test]
    fn garbage_is_refused_and_never_panics() {
        for seed in 0..3_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let batch = testing::batch(&mut random, 4);
            let mut bytes = encode_batch(&batch, 1).unwrap();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _ = decode_batch(&bytes);
            bytes.truncate(random.usize(0..bytes.len()));
            let _ = decode_batch(&bytes);
        }
        let huge_count = [0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(decode_batch(&huge_count).is_err());
    }

    #[test]
    fn a_value_nested_too_deep_is_kept_as_text() {
        let mut value = sigyn_model::Value::Int(1);
        for _ in 0..VALUE_DEPTH_MAX + 10 {
            value = sigyn_model::Value::List(vec![value]);
        }
        let mut random = fastrand::Rng::with_seed(1);
        let mut span = testing::span(&mut random);
        span.tags = vec![("deep".to_owned(), value.clone())];
        let bytes = encode_batch(&SpanBatch { spans: vec![span], progress: None }, 0).unwrap();
        let read = decode_batch(&bytes).unwrap();
        assert_eq!(read.batch.spans[0].tags[0].1.text().replace(['"', '\\'], ""), value.text());
    }
}
