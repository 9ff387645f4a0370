//! What taking spans in costs without a disk: for measurements.

use sigyn_model::{Span, SpanBatch};

use crate::head::HeadWriter;
use crate::wal::record;

/// Spans as the store takes them in, with nobody waiting and nothing written.
#[derive(Debug)]
pub struct TakenIn {
    head: HeadWriter,
}

impl Default for TakenIn {
    fn default() -> Self {
        Self { head: HeadWriter::new() }
    }
}

impl TakenIn {
    /// Makes the record that the log would get, and puts the spans into a head. Returns the record's
    /// length in bytes.
    pub fn take_in(&mut self, spans: Vec<Span>) -> usize {
        let batch = SpanBatch { spans, ..SpanBatch::default() };
        let record = record::encode_batch(&batch, 0).map_or(0, |record| record.len());
        self.head.insert(&batch.spans, 0);
        record
    }

    /// How many spans were taken in.
    pub fn spans(&self) -> u64 {
        self.head.view().span_count()
    }
}
