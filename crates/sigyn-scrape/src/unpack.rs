//! Packed bodies to spans, within the memory that there is.

use std::sync::Arc;

use bytes::Bytes;
use sigyn_model::codec::Limits;
use sigyn_model::columns::{Columns, Spares};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::body::{self, Encoding};
use crate::decode::{Format, Origin};
use crate::memory::{Memory, Share};
use crate::scrape_error::ScrapeError;
use crate::status::FailureCause;

/// Unpacked bytes beyond which unpacking and decoding leave the async threads.
const DECODE_INLINE_MAX: u64 = 256 << 10;
/// Bodies decoded at once outside of the async threads: more would only share the same cores.
const DECODERS_MAX: usize = 8;

/// Shared by all scrapes.
#[derive(Clone, Debug)]
pub(crate) struct Unpacker {
    memory: Memory,
    turns: Arc<Semaphore>,
    spares: Spares,
}

/// A whole body, as it came.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
    pub(crate) bytes: Bytes,
    /// Of the memory for bodies on the wire; given back with the bytes.
    pub(crate) _shares: [Option<Share>; 2],
    /// Nothing but the body itself says that it is spans.
    pub(crate) is_foreign: bool,
}

#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) spans: Box<Columns>,
    /// Body bytes, unpacked.
    pub(crate) bytes: u64,
    /// The memory that the spans take. To be held until they are committed.
    pub(crate) share: Share,
}

impl Unpacker {
    pub(crate) fn new(memory_bytes_max: u64, spares: Spares) -> Self {
        let memory = Memory::new(memory_bytes_max);
        Self { memory, turns: Arc::new(Semaphore::new(DECODERS_MAX)), spares }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// `limit` is that of the body, unpacked; `until` is how long to wait for memory. `None` for a
    /// foreign body that does not even look like spans. Nobody waits with a body that is too large
    /// in any case.
    pub(crate) async fn unpack(
        &self,
        packed: &Packed,
        limit: u64,
        until: Instant,
        origin: &Origin,
    ) -> Result<Option<Unpacked>, ScrapeError> {
        let Packed { format, encoding, ref bytes, is_foreign, .. } = *packed;
        let whole = Room::largest(&self.memory, limit);
        let mut room = Room::guess(encoding, bytes.len() as u64).within(whole);
        let mut is_measured = encoding == Encoding::Identity;
        loop {
            let part = self.memory.part_for(room.weight());
            let mut share = match part.take_now(room.weight()) {
                Some(share) => share,
                None if !is_measured => {
                    room = self.measure(encoding, bytes, limit).await?.within(whole);
                    is_measured = true;
                    continue;
                }
                None => part.take(room.weight(), until).await.ok_or(ScrapeError::Crowded)?,
            };
            let (packed, spares) = (bytes.clone(), self.spares.clone());
            let work = Work { format, encoding, packed, room, is_foreign, spares };
            match self.attempt(work, origin).await {
                Ok(Some((spans, bytes))) => {
                    share.true_up(spans.bytes() as u64);
                    return Ok(Some(Unpacked { spans, bytes, share }));
                }
                Ok(None) => return Ok(None),
                // More than was guessed. The share is given back before a larger one is taken.
                Err(error) if error.cause() == FailureCause::BodyLimit && !is_measured => {
                    drop(share);
                    room = self.measure(encoding, bytes, limit).await?.within(whole);
                    is_measured = true;
                }
                Err(error) if error.cause() == FailureCause::BodyLimit && room != whole => {
                    room = whole;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The room for a body once it is known how large it is. Takes no memory but for its window.
    async fn measure(
        &self,
        encoding: Encoding,
        packed: &Bytes,
        limit: u64,
    ) -> Result<Room, ScrapeError> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.ok();
        let packed = packed.clone();
        let running = tokio::task::spawn_blocking(move || body::measure(encoding, &packed, limit));
        let bytes = running.await.map_err(|_| ScrapeError::DecoderPanicked)??;
        Ok(Room::guess(Encoding::Identity, bytes))
    }

    async fn attempt(
        &self,
        work: Work,
        origin: &Origin,
    ) -> Result<Option<(Box<Columns>, u64)>, ScrapeError> {
        if work.room.unpacked <= DECODE_INLINE_MAX {
            return work.run(origin);
        }
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.ok();
        let origin = origin.clone();
        let running = tokio::task::spawn_blocking(move || work.run(&origin));
        running.await.map_err(|_| ScrapeError::DecoderPanicked)?
    }
}

/// How much a body may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    unpacked: u64,
    /// In the terms of [`Limits::bytes_max`].
    spans: u64,
}

impl Room {
    /// Enough for nearly all bodies of this size: spans are a seventh to a fifteenth when packed, and
    /// in memory about five times as large as unpacked.
    fn guess(encoding: Encoding, bytes: u64) -> Self {
        let unpacked = match encoding {
            Encoding::Identity => bytes.saturating_add(1),
            Encoding::Gzip | Encoding::Zstd => bytes.saturating_mul(16).max(16 << 10),
        };
        let spans = match encoding {
            Encoding::Identity => bytes.saturating_mul(6),
            Encoding::Gzip | Encoding::Zstd => bytes.saturating_mul(40),
        };
        Self { unpacked, spans: spans.max(64 << 10) }
    }

    /// What one body may become at most: with its own bytes, all of the memory for large ones.
    fn largest(memory: &Memory, body_limit: u64) -> Self {
        Self { unpacked: body_limit, spans: memory.large.bytes() / 3 }
    }

    /// A list that grows takes up to twice what is in it.
    fn weight(self) -> u64 {
        self.unpacked.saturating_add(self.spans.saturating_mul(2))
    }

    fn within(self, whole: Self) -> Self {
        Self { unpacked: self.unpacked.min(whole.unpacked), spans: self.spans.min(whole.spans) }
    }
}

/// Unpacking and decoding of one body.
struct Work {
    format: Format,
    encoding: Encoding,
    packed: Bytes,
    room: Room,
    is_foreign: bool,
    spares: Spares,
}

impl Work {
    /// `None` for a foreign body that does not even look like spans.
    fn run(self, origin: &Origin) -> Result<Option<(Box<Columns>, u64)>, ScrapeError> {
        let Self { format, encoding, packed, room, is_foreign, spares } = self;
        let bytes = body::unpack(encoding, packed, room.unpacked)?;
        let limits = Limits { bytes_max: usize::try_from(room.spans).unwrap_or(usize::MAX) };
        match format.read(&bytes, spares.take(limits), origin) {
            Ok(spans) => Ok(Some((spans, bytes.len() as u64))),
            Err(error) if error.over_limit => Err(ScrapeError::TooHeavy { limit: room.spans }),
            Err(_) if is_foreign && !format.claims_spans(&bytes) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use sigyn_model::codec::{json_v2, otlp};
    use sigyn_model::{Span, SpanBatch, SpanId, TraceId};

    use super::*;

    fn spans(count: u64, tags: usize) -> Vec<Span> {
        let span = |id: u64| {
            let trace_id = TraceId::new(u128::from(id)).unwrap();
            let mut span = Span::new(trace_id, SpanId::new(id).unwrap());
            span.name = "get /items".to_owned();
            for tag in 0..tags {
                span.set_tag(format!("http.tag.{tag}"), format!("value {id} of {tag}"));
            }
            span
        };
        (1..=count).map(span).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn packed(format: Format, encoding: Encoding, bytes: Vec<u8>) -> Packed {
        let is_foreign = false;
        Packed { format, encoding, bytes: bytes.into(), _shares: [None, None], is_foreign }
    }

    /// Unpacks with `memory` in all. What came of it, and how much memory the spans hold.
    async fn unpacked(memory: u64, packed: &Packed) -> Result<(usize, u64), String> {
        let unpacker = Unpacker::new(memory, Spares::default());
        let until = Instant::now() + Duration::from_secs(1);
        let origin = Origin { labels: Arc::default(), service_name: "api".to_owned() };
        let outcome = unpacker.unpack(packed, 64 << 20, until, &origin).await;
        let free = |memory: &Memory| memory.spans.free() + memory.large.free();
        let all = free(&Memory::new(memory));
        match outcome {
            Ok(unpacked) => {
                let unpacked = unpacked.unwrap();
                Ok((unpacked.spans.len(), all - free(&unpacker.memory)))
            }
            Err(error) => {
                assert_eq!(free(&unpacker.memory), all, "nothing is held after a failure");
                Err(error.to_string())
            }
        }
    }

    #[tokio::test]
    async fn spans_hold_what_they_take_and_no_more() {
        for (count, tags) in [(1, 0), (100, 5), (5000, 3)] {
            let spans = spans(count, tags);
            let weight = SpanBatch::of(&spans, None).spans.bytes() as u64;
            for (format, body) in [
                (Format::OTLP, otlp::encode(&spans)),
                (Format::ZIPKIN_JSON, json_v2::encode_list(&spans).into_bytes()),
            ] {
                for (encoding, body) in [(Encoding::Gzip, gzip(&body)), (Encoding::Identity, body)]
                {
                    let body = packed(format, encoding, body);
                    let (kept, held) = unpacked(512 << 20, &body).await.unwrap();
                    assert_eq!(kept as u64, count);
                    // What is read knows beside it how tags were written.
                    let about = weight * 7 / 10..weight * 3 + 2048;
                    assert!(about.contains(&held), "{held} of {weight}: {format:?} {encoding:?}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_with_a_body_that_is_too_large_in_any_case() {
        let unpacker = Unpacker::new(64 << 20, Spares::default());
        let until = Instant::now() + Duration::from_secs(1);
        let origin = Origin { labels: Arc::default(), service_name: "api".to_owned() };
        let unpack = async |body: &Packed| {
            let outcome = unpacker.unpack(body, 4 << 20, until, &origin).await;
            outcome.map(|_| ()).map_err(|error| error.to_string())
        };
        let list = |spaces| gzip(format!("[{}]", " ".repeat(spaces)).as_bytes());
        let [bomb, fits] =
            [16 << 20, 2 << 20].map(|n| packed(Format::ZIPKIN_JSON, Encoding::Gzip, list(n)));
        assert_eq!(unpack(&fits).await, Ok(()));
        let all = u64::MAX;
        let _held = [&unpacker.memory.spans, &unpacker.memory.large].map(|part| part.take_now(all));
        let limit = "body size limit exceeded: it has 4194304 bytes or more";
        assert_eq!(unpack(&bomb).await, Err(limit.to_owned()));
        assert!(unpack(&fits).await.unwrap_err().starts_with("no memory for the body"));
    }

    #[tokio::test]
    async fn a_small_body_may_not_become_many_spans() {
        // A list of the smallest spans there are: 25 bytes each, less than one when packed.
        let list = format!("[{}]", vec![r#"{"traceId":"1","id":"1"}"#; 200_000].join(","));
        let bomb = packed(Format::ZIPKIN_JSON, Encoding::Gzip, gzip(list.as_bytes()));
        assert!(bomb.bytes.len() < 100_000);
        let error = unpacked(128 << 20, &bomb).await.unwrap_err();
        assert_eq!(
            error,
            "body size limit exceeded: its spans take more than 19573418 bytes of memory"
        );
        assert_eq!(unpacked(2 << 30, &bomb).await.unwrap().0, 200_000);
    }
}
