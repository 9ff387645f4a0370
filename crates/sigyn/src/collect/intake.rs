//! What all doors have in common: bodies are received, unpacked, decoded, sampled and stored, within
//! budgets of memory and on the books. What is acknowledged is durable.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::{Extensions, HeaderMap};
use http_body_util::BodyExt as _;
use sigyn_model::codec::{DecodeError, Decoded, Limits};
use sigyn_model::{Span, SpanBatch};
use sigyn_store::{AppendError, Store};
use tokio::sync::Semaphore;

use super::budget::{Budget, Connection, Held};
use super::counters::Door;
use super::refusal::Refusal;
use super::sampler::Sampler;
use super::{Cause, Counters, Loss, Transport};
use crate::unpack::{self, Encoding, UnpackError};

/// Zipkin's limit for a request body, and ours for every body as it comes.
const BODY_BYTES_MAX: usize = 10 << 20;
/// What is read of a body that is too large, and for how long, before it is refused.
const DISCARDED_BYTES_MAX: usize = 64 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// What a body may unpack to.
const UNPACKED_BYTES_MAX: usize = 100 << 20;
/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(11);
/// What all bodies that are still arriving may take together.
const ARRIVING_BYTES_MAX: usize = 128 << 20;
/// What all messages that are being unpacked, decoded and stored may take together.
const WORKING_BYTES_MAX: usize = 1 << 30;
/// What the spans of one message may take in memory.
const DECODED_BYTES_MAX: usize = 256 << 20;
const DECODED_BYTES_MIN: usize = 64 << 10;
/// Spans in memory are so many times their bodies, nearly always.
const DECODED_FACTOR: usize = 8;
/// The shortest span there is, 24 bytes of JSON, becomes about 600.
const DECODED_FACTOR_MAX: usize = 64;
/// Bodies of so many bytes are unpacked and decoded where they arrive; a hop to a thread that may block
/// costs more than they do.
const INLINE_BYTES_MAX: usize = 32 << 10;
/// Larger ones that are unpacked or decoded at once: more would only share the same cores.
const DECODERS_MAX: usize = 8;

/// Takes the messages of all doors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    store: Store,
    counters: Arc<Counters>,
    sampler: Sampler,
    arriving: Budget,
    working: Budget,
    turns: Arc<Semaphore>,
}

/// A body, and the memory that it takes.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) bytes: Bytes,
    _held: Held,
    /// What it came by; `None` for a datagram.
    connection: Option<Connection>,
}

/// The memory that the spans of a message take.
#[derive(Debug)]
struct Memory {
    _of_all: Held,
    _of_connection: Option<Held>,
}

/// What became of a message that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// What is wrong with the spans that were refused, one text for each of the first; the others are
    /// durable.
    pub(crate) problems: Vec<String>,
    /// How many were refused.
    pub(crate) rejected: usize,
}

impl Intake {
    /// `sample_rate` is from 0 to 1.
    pub(crate) fn new(store: Store, counters: Arc<Counters>, sample_rate: f32) -> Self {
        Self::within(store, counters, sample_rate, ARRIVING_BYTES_MAX, WORKING_BYTES_MAX)
    }

    /// The same with other budgets.
    pub(super) fn within(
        store: Store,
        counters: Arc<Counters>,
        sample_rate: f32,
        arriving_bytes_max: usize,
        working_bytes_max: usize,
    ) -> Self {
        Self {
            store,
            counters,
            sampler: Sampler::new(sample_rate),
            arriving: Budget::new(arriving_bytes_max),
            working: Budget::new(working_bytes_max),
            turns: Arc::new(Semaphore::new(DECODERS_MAX)),
        }
    }

    fn door(&self, transport: Transport) -> &Door {
        self.counters.door(transport)
    }

    /// Puts on the books a message that is about to be taken, and what comes of it.
    pub(crate) async fn message<T>(
        &self,
        transport: Transport,
        taking: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        self.door(transport).count_message();
        let taken = taking.await;
        if let Err(refusal) = &taken {
            self.refused(transport, refusal);
        }
        taken
    }

    fn refused(&self, transport: Transport, refusal: &Refusal) {
        self.door(transport).count_refusal(refusal.cause);
        tracing::debug!(
            transport = transport.as_str(),
            reason = refusal.cause.as_str(),
            error = refusal.message.trim_end(),
            "refused a message of spans"
        );
    }

    /// The whole body. It takes memory as it arrives, so that an idle connection holds none.
    pub(crate) async fn receive(
        &self,
        mut body: Body,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arrived, Refusal> {
        let received = self.read(&mut body, extensions).await;
        let is_waiting = headers.contains_key(EXPECT);
        if matches!(&received, Err(refusal) if refusal.cause == Cause::TooLarge) && !is_waiting {
            discard(body).await;
        }
        received
    }

    async fn read(&self, body: &mut Body, extensions: &Extensions) -> Result<Arrived, Refusal> {
        // Before a client that asks first is told to go on.
        if http_body::Body::size_hint(body).lower() > BODY_BYTES_MAX as u64 {
            return Err(too_large(BODY_BYTES_MAX));
        }
        let connection = extensions.get::<Connection>().cloned();
        let _turn = match &connection {
            Some(connection) => connection.turn().await,
            None => None,
        };
        let mut held = self.arriving.hold(0).await?;
        let mut bytes = BytesMut::new();
        let reading = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    Refusal::new(Cause::Malformed, format!("cannot read the body: {error}"))
                })?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > BODY_BYTES_MAX {
                    return Err(too_large(BODY_BYTES_MAX));
                }
                held.add(self.arriving.hold(data.len()).await?);
                bytes.extend_from_slice(&data);
            }
            Ok(())
        };
        tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or_else(|_| {
            Err(Refusal::new(Cause::Timeout, "the body did not arrive within 11 s"))
        })?;
        Ok(Arrived { bytes: bytes.freeze(), _held: held, connection })
    }

    /// A body that was received elsewhere; `None` if there is no memory for it now.
    pub(crate) fn try_received(&self, bytes: Bytes) -> Option<Arrived> {
        let held = self.arriving.try_hold(bytes.len())?;
        Some(Arrived { bytes, _held: held, connection: None })
    }

    /// Puts on the books a message that there is no room for, and nobody to tell.
    pub(crate) fn dropped(&self, transport: Transport) {
        self.door(transport).count_message();
        self.door(transport).count_refusal(Cause::Overloaded);
    }

    pub(crate) async fn unpack(
        &self,
        encoding: Encoding,
        packed: Arrived,
    ) -> Result<Arrived, Refusal> {
        if encoding == Encoding::Identity || packed.bytes.is_empty() {
            return Ok(packed);
        }
        if packed.bytes.len() <= INLINE_BYTES_MAX {
            match self.unpack_now(encoding, &packed, INLINE_BYTES_MAX) {
                Err(refusal) if refusal.cause == Cause::TooLarge => {}
                unpacked => return unpacked,
            }
        }
        let this = self.clone();
        // Memory goes with the work: a client that hangs up does not end it.
        self.elsewhere(move || this.unpack_now(encoding, &packed, UNPACKED_BYTES_MAX)).await
    }

    fn unpack_now(
        &self,
        encoding: Encoding,
        packed: &Arrived,
        limit: usize,
    ) -> Result<Arrived, Refusal> {
        let mut held = None;
        let unpacked = unpack::unpack(encoding, &packed.bytes, limit, &mut |bytes| {
            // A smaller buffer, if there was one, is gone.
            held = None;
            held = Some(self.working.try_hold(bytes).ok_or(UnpackError::NoRoom)?);
            Ok(())
        });
        match (unpacked, held) {
            (Ok(Some(bytes)), Some(held)) => {
                let connection = packed.connection.clone();
                Ok(Arrived { bytes: bytes.into(), _held: held, connection })
            }
            (Err(UnpackError::TooLarge { limit }), _) => Err(too_large(limit)),
            (Err(error @ UnpackError::Broken { .. }), _) => {
                Err(Refusal::new(Cause::Encoding, error.to_string()))
            }
            _ => Err(Refusal::overloaded()),
        }
    }

    /// Decodes a body and stores its spans. Returns once all that are to be kept are durable.
    pub(crate) async fn keep(
        &self,
        transport: Transport,
        body: Arrived,
        decode: impl Fn(&[u8], Limits) -> Result<Decoded, DecodeError> + Clone + Send + 'static,
    ) -> Result<Kept, Refusal> {
        let door = self.door(transport);
        door.count_body(body.bytes.len());
        let (Decoded { mut spans, problems, rejected }, _held) = self.decode(body, decode).await?;
        door.count_spans(spans.len());
        door.count_loss(Loss::Malformed, rejected);
        if let Some(first) = problems.first() {
            let transport = transport.as_str();
            tracing::debug!(transport, count = rejected, first, "refused spans of a message");
        }
        let decoded = spans.len();
        spans.retain(|span| self.sampler.keeps(span));
        door.count_loss(Loss::Unsampled, decoded - spans.len());
        self.append(door, spans).await?;
        Ok(Kept { problems, rejected })
    }

    async fn append(&self, door: &Door, spans: Vec<Span>) -> Result<(), Refusal> {
        if spans.is_empty() {
            return Ok(());
        }
        let count = spans.len();
        self.store.append(SpanBatch { spans, progress: None }).await.map_err(|error| {
            let (cause, loss) = match error {
                AppendError::Overloaded => (Cause::Overloaded, Loss::Overloaded),
                AppendError::TooLarge => (Cause::TooLarge, Loss::Storage),
                _ => (Cause::Storage, Loss::Storage),
            };
            door.count_loss(loss, count);
            Refusal::new(cause, format!("{:#}", anyhow::Error::new(error)))
        })
    }

    /// The spans, and the memory that they take.
    async fn decode(
        &self,
        body: Arrived,
        decode: impl Fn(&[u8], Limits) -> Result<Decoded, DecodeError> + Clone + Send + 'static,
    ) -> Result<(Decoded, Memory), Refusal> {
        let size = body.bytes.len();
        let room = |factor| size.saturating_mul(factor).clamp(DECODED_BYTES_MIN, DECODED_BYTES_MAX);
        let (mut bytes_max, largest) = (room(DECODED_FACTOR), room(DECODED_FACTOR_MAX));
        let body = Arc::new(body);
        loop {
            let of_connection = match &body.connection {
                Some(connection) => Some(connection.hold(bytes_max).await?),
                None => None,
            };
            let memory = Memory {
                _of_all: self.working.hold(bytes_max).await?,
                _of_connection: of_connection,
            };
            let limits = Limits { bytes_max };
            let (body, decode) = (Arc::clone(&body), decode.clone());
            let work = move || Ok((decode(&body.bytes, limits), memory));
            let inline = size <= INLINE_BYTES_MAX;
            let (decoded, memory) = if inline { work()? } else { self.elsewhere(work).await? };
            match decoded {
                Ok(decoded) => return Ok((decoded, memory)),
                // More than was guessed. The memory is given back before more is asked for.
                Err(error) if error.over_limit && bytes_max < largest => bytes_max = largest,
                Err(error) if error.over_limit => {
                    return Err(Refusal::new(Cause::TooLarge, error.message));
                }
                Err(error) => return Err(Refusal::new(Cause::Malformed, error.message)),
            }
        }
    }

    /// Runs what takes a while on a thread that may block.
    async fn elsewhere<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        // The semaphore is never closed. The turn goes with the work, which a client that hangs up does
        // not end.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read a message of spans");
            Err(Refusal::new(Cause::Malformed, "the message cannot be read"))
        })
    }
}

/// Reads on for a moment, and keeps nothing: many a client sends all it has before it listens, and would
/// hear of a broken connection instead of the reason.
async fn discard(mut body: Body) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DISCARDED_BYTES_MAX {
                return;
            }
        }
    };
    // Whether it ends in time or not.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Cause::TooLarge, format!("the body is larger than {} MiB", limit >> 20))
}
