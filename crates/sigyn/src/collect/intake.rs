//! What all doors have in common: bodies are received, unpacked, decoded, sampled and stored, within
//! budgets of memory and on the books. What is acknowledged is durable.

use std::sync::Arc;

use axum::body::Body;
use http::{Extensions, HeaderMap};
use sigyn_model::SpanBatch;
use sigyn_model::codec::sink::BadSpan;
use sigyn_model::codec::{DecodeError, Limits};
use sigyn_model::columns::Columns;
use sigyn_store::{AppendError, Store};

use super::body::{Arrived, Arriving, Memory, too_large};
use super::counters::Door;
use super::reading::Reading;
use super::refusal::Refusal;
use super::sampler::Sampler;
use super::workbench::{Place, Workbench};
use super::{Cause, Counters, Loss, Transport};
use crate::unpack::{self, Attempt, Encoding};

/// What a body may unpack to, where there is enough memory for that.
const UNPACKED_BYTES_MAX: usize = 100 << 20;

/// Memory for what is pushed, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// All bodies that are still arriving.
    pub(super) arriving: usize,
    /// All messages that are being unpacked, decoded and stored.
    pub(super) working: usize,
    /// The same for datagrams, which share nothing with the others: their senders are not known.
    pub(super) datagrams_arriving: usize,
    pub(super) datagrams_working: usize,
}

impl Shares {
    pub(super) fn of(bytes: u64) -> Self {
        let share = |of_32: u64| usize::try_from(bytes / 32 * of_32).unwrap_or(usize::MAX);
        Self {
            arriving: share(5),
            working: share(25),
            datagrams_arriving: share(1) / 4,
            datagrams_working: share(1),
        }
    }
}

/// Takes the messages of all doors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    store: Store,
    counters: Arc<Counters>,
    sampler: Sampler,
    arriving: Arriving,
    messages: Workbench,
    datagrams: Workbench,
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
    pub(crate) fn new(
        store: Store,
        counters: Arc<Counters>,
        sample_rate: f32,
        memory: &sigyn_store::Memory,
    ) -> Self {
        Self::within(store, counters, sample_rate, Shares::of(memory.pushed))
    }

    /// The same with other budgets.
    pub(super) fn within(
        store: Store,
        counters: Arc<Counters>,
        sample_rate: f32,
        shares: Shares,
    ) -> Self {
        Self {
            store,
            counters,
            sampler: Sampler::new(sample_rate),
            arriving: Arriving::new(shares.arriving, shares.datagrams_arriving),
            messages: Workbench::new(shares.working),
            datagrams: Workbench::new(shares.datagrams_working),
        }
    }

    /// What messages take now.
    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.arriving.used() + self.messages.used() + self.datagrams.used()) as u64
    }

    /// Memory that messages do not have meanwhile.
    #[cfg(test)]
    pub(super) async fn hold(&self, bytes: usize) -> Result<Place, Refusal> {
        self.messages.hold(bytes, None).await
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
        let open = OpenEntry::new(self.door(transport));
        let taken = taking.await;
        open.close();
        if let Err(refusal) = &taken {
            self.refused(transport, refusal);
        }
        taken
    }

    fn refused(&self, transport: Transport, refusal: &Refusal) {
        self.door(transport).count_refusal(refusal.cause);
        let (transport, reason) = (transport.as_str(), refusal.cause.as_str());
        let error = refusal.message.trim_end();
        if refusal.cause == Cause::Internal {
            tracing::error!(transport, reason, error, "failed at a message of spans");
        } else {
            tracing::debug!(transport, reason, error, "refused a message of spans");
        }
    }

    /// The whole body.
    pub(crate) async fn receive(
        &self,
        body: Body,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arrived, Refusal> {
        self.arriving.receive(body, headers, extensions).await
    }

    /// A datagram; `None` if there is no memory for it now.
    pub(crate) fn try_datagram(&self, datagram: &[u8]) -> Option<Arrived> {
        self.arriving.try_datagram(datagram)
    }

    /// Puts on the books a message that there is no room for, and nobody to tell.
    pub(crate) fn dropped(&self, transport: Transport, cause: Cause) {
        self.door(transport).count_message();
        self.door(transport).count_refusal(cause);
    }

    /// Where a message is worked on.
    fn bench(&self, message: &Arrived) -> &Workbench {
        if message.connection.is_some() { &self.messages } else { &self.datagrams }
    }

    pub(crate) async fn unpack(
        &self,
        encoding: Encoding,
        packed: Arrived,
    ) -> Result<Arrived, Refusal> {
        if encoding == Encoding::Identity || packed.bytes.is_empty() {
            return Ok(packed);
        }
        let packed = Arc::new(packed);
        let bench = self.bench(&packed);
        let limit = self.bench(&packed).unpacked_max().min(UNPACKED_BYTES_MAX);
        let mut size = unpack::first_size(encoding, &packed.bytes, limit);
        loop {
            // For the spans as well: who holds one and waits for the other may wait for ever.
            let room = bench.room_for_spans(size);
            let mut place = bench.hold(size + room, packed.connection.as_ref()).await?;
            let work = {
                let packed = Arc::clone(&packed);
                move || {
                    let spans = place.split(room);
                    (unpack::attempt(encoding, &packed.bytes, size), place, spans)
                }
            };
            match bench.run(size, size + room, work).await? {
                (Ok(bytes), place, spans) => {
                    let (held, connection) = (Memory::Working(place), packed.connection.clone());
                    let room = spans.map(|place| (place, room));
                    return Ok(Arrived { bytes: bytes.into(), _held: held, room, connection });
                }
                (Err(Attempt::Broken), ..) => {
                    return Err(Refusal::new(Cause::Encoding, encoding.broken().to_string()));
                }
                // The smaller buffer is given back before a larger one is asked for.
                (Err(Attempt::TooSmall), ..) => {
                    size = unpack::next_size(size, limit).ok_or_else(|| too_large(limit))?;
                }
            }
        }
    }

    /// Decodes a body and stores its spans. Returns once all that are to be kept are durable.
    pub(crate) async fn keep(
        &self,
        transport: Transport,
        body: Arrived,
        decode: impl Fn(&[u8], &mut Reading) -> Result<(), DecodeError> + Clone + Send + 'static,
    ) -> Result<Kept, Refusal> {
        let door = self.door(transport);
        door.count_body(body.bytes.len());
        let (Reading { spans, unsampled, .. }, _place) = self.decode(body, decode).await?;
        let problems: Vec<String> = spans.problems().iter().map(BadSpan::to_string).collect();
        let rejected = spans.rejected();
        door.count_spans(spans.len() + unsampled);
        door.count_loss(Loss::Malformed, rejected);
        if let Some(first) = problems.first() {
            let transport = transport.as_str();
            tracing::debug!(transport, count = rejected, first, "refused spans of a message");
        }
        door.count_loss(Loss::Unsampled, unsampled);
        self.append(door, spans).await?;
        Ok(Kept { problems, rejected })
    }

    async fn append(&self, door: &Door, spans: Box<Columns>) -> Result<(), Refusal> {
        if spans.is_empty() {
            return Ok(());
        }
        let count = spans.len();
        self.store.append(SpanBatch { spans, progress: None }).await.map_err(|error| {
            let (cause, loss) = match error {
                AppendError::Overloaded => (Cause::Queue, Loss::Overloaded),
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
        mut body: Arrived,
        decode: impl Fn(&[u8], &mut Reading) -> Result<(), DecodeError> + Clone + Send + 'static,
    ) -> Result<(Reading, Place), Refusal> {
        let size = body.bytes.len();
        let mut room = body.room.take();
        let body = Arc::new(body);
        let bench = self.bench(&body);
        let (mut bytes_max, largest) =
            (bench.room_for_spans(size), bench.most_room_for_spans(size));
        loop {
            let place = match room.take() {
                Some((place, bytes)) => {
                    bytes_max = bytes;
                    place
                }
                None => bench.hold(bytes_max, body.connection.as_ref()).await?,
            };
            let spans = self.store.spares().take(Limits { bytes_max });
            let mut reading = Reading::into(spans, self.sampler);
            let work = {
                let (body, decode) = (Arc::clone(&body), decode.clone());
                move || (decode(&body.bytes, &mut reading).map(|()| reading), place)
            };
            match bench.run(size, bytes_max, work).await? {
                (Ok(reading), place) => return Ok((reading, place)),
                // More than was guessed. The memory is given back before more is asked for.
                (Err(error), _) if error.over_limit && bytes_max < largest => bytes_max = largest,
                (Err(error), _) if error.over_limit => {
                    return Err(Refusal::new(Cause::TooLarge, error.message));
                }
                (Err(error), _) => return Err(Refusal::new(Cause::Malformed, error.message)),
            }
        }
    }
}

/// A message on the books of which nobody knows yet how it ends. Whoever takes it may be dropped, as
/// hyper does when a client is gone.
struct OpenEntry<'a> {
    door: Option<&'a Door>,
}

impl<'a> OpenEntry<'a> {
    fn new(door: &'a Door) -> Self {
        door.count_message();
        Self { door: Some(door) }
    }

    fn close(mut self) {
        self.door = None;
    }
}

impl Drop for OpenEntry<'_> {
    fn drop(&mut self) {
        if let Some(door) = self.door {
            door.count_refusal(Cause::Cancelled);
        }
    }
}
