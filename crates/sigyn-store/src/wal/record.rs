//! What one frame of the log keeps: a batch, and when it arrived.

use sigyn_model::SpanBatch;

use crate::codec::{Decoder, Encoder, Malformed, TooLarge};

/// A batch as it arrived.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::VALUE_DEPTH_MAX;
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
