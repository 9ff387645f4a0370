//! Where the bytes of a chunk lie: in memory of the process, or in a spool that outlives it.

use std::ops::Deref;
#[cfg(feature = "spool")]
use std::sync::Arc;

use crate::clock::Clock;
use crate::draft::Finished;
use crate::record::Shared;
use crate::shards::Chunk;
#[cfg(feature = "spool")]
use crate::shards::Plan;
#[cfg(feature = "spool")]
use crate::spool::{Slot, Spool, SpoolOptions};
use crate::stats::SpoolStats;
use crate::whole::Origin;
#[cfg(feature = "spool")]
use crate::whole::Own;

/// Bytes of spans that grow at their end.
#[derive(Debug)]
pub(crate) enum Room {
    Heap(Vec<u8>),
    #[cfg(feature = "spool")]
    Slot(Slot),
}

impl Default for Room {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Deref for Room {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            #[cfg(feature = "spool")]
            Self::Slot(slot) => slot.bytes(),
        }
    }
}

impl Room {
    #[inline(always)]
    pub(crate) fn put(&mut self, span: &Finished<'_>) {
        match self {
            Self::Heap(bytes) => span.write(bytes),
            #[cfg(feature = "spool")]
            Self::Slot(slot) => {
                if !slot.append(span.len(), |to| span.write_to(to)) {
                    span.write(self.leave());
                }
            }
        }
    }

    pub(crate) fn put_all(&mut self, spans: &[u8]) {
        #[cfg(feature = "spool")]
        if let Self::Slot(slot) = self
            && slot.append(spans.len(), |to| to.copy_from_slice(spans))
        {
            return;
        }
        self.heap().extend_from_slice(spans);
    }

    /// Its bytes, where they lie in memory; if they do not, they do from now on.
    pub(crate) fn heap(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Heap(bytes) => bytes,
            #[cfg(feature = "spool")]
            Self::Slot(_) => self.leave(),
        }
    }

    /// Memory that it takes.
    pub(crate) fn takes(&self) -> usize {
        match self {
            Self::Heap(bytes) => bytes.len(),
            #[cfg(feature = "spool")]
            Self::Slot(slot) => slot.takes(),
        }
    }

    /// What a reader elsewhere needs to understand spans of this origin.
    pub(crate) fn describe(&mut self, origin: &Origin, number: u16) {
        #[cfg(feature = "spool")]
        if let Self::Slot(slot) = self {
            let record = crate::spool::origin::write(origin, number);
            if !slot.append(record.len(), |to| to.copy_from_slice(&record)) {
                self.leave();
            }
        }
        let _ = (origin, number);
    }

    /// A spool's room is too small for what comes: it goes on in memory.
    #[cfg(feature = "spool")]
    #[cold]
    fn leave(&mut self) -> &mut Vec<u8> {
        if let Self::Slot(slot) = self {
            slot.is_left();
            *self = Self::Heap(slot.bytes().to_vec());
        }
        match self {
            Self::Heap(bytes) => bytes,
            Self::Slot(_) => unreachable!("it was just left"),
        }
    }
}

/// Where new chunks get room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rooms {
    #[cfg(feature = "spool")]
    pub(crate) spool: Option<Arc<Spool>>,
}

impl Rooms {
    /// In a spool if one is asked for. If it cannot be had, in memory, and why.
    #[cfg(feature = "spool")]
    pub(crate) fn spooled(
        options: Option<&SpoolOptions>,
        epoch: u64,
        own: &Own,
        log_bytes_max: usize,
    ) -> (Self, Option<String>) {
        let Some(options) = options else { return (Self::default(), None) };
        let chunk_bytes = Plan::of(log_bytes_max).chunk_bytes_max;
        match Spool::create(options, epoch, own, log_bytes_max, chunk_bytes) {
            Ok(spool) => (Self { spool: Some(Arc::new(spool)) }, None),
            Err(error) => (Self::default(), Some(error.to_string())),
        }
    }

    /// From now on siblings may ask for a seal.
    pub(crate) fn listen(&self, shared: &std::sync::Arc<Shared>) {
        #[cfg(feature = "spool")]
        if self.spool.is_some() {
            // Without a thread siblings get what is sealed by itself, and the rest later.
            let _ = crate::spool::listen(Arc::downgrade(shared));
        }
        let _ = shared;
    }

    pub(crate) fn stats(&self) -> SpoolStats {
        #[cfg(feature = "spool")]
        if let Some(spool) = &self.spool {
            return spool.stats();
        }
        SpoolStats::default()
    }

    /// A chunk's bound, given that of one in memory.
    pub(crate) fn chunk_bytes_max(&self, in_memory: usize) -> usize {
        #[cfg(feature = "spool")]
        if let Some(spool) = &self.spool {
            return spool.room_bytes_max().min(in_memory);
        }
        in_memory
    }

    /// Room for a chunk that begins with so many bytes; `None` if memory is to be taken.
    #[cold]
    pub(crate) fn room(&self, len: usize, clock: &Clock) -> Option<Room> {
        #[cfg(feature = "spool")]
        if let Some(spool) = &self.spool {
            return spool.room(len, clock).map(Room::Slot);
        }
        let _ = (len, clock);
        None
    }

    /// A chunk comes into the log: nothing is added to it any more.
    pub(crate) fn close(&self, chunk: &mut Chunk, clock: &Clock) {
        // Spans that were kept elsewhere, for want of a reason to keep them here.
        if matches!(chunk.bytes, Room::Heap(_))
            && chunk.origins.is_empty()
            && chunk.bytes.len() <= self.chunk_bytes_max(usize::MAX)
            && let Some(room) = self.room(chunk.bytes.len(), clock)
        {
            let spans = std::mem::replace(&mut chunk.bytes, room);
            chunk.bytes.put_all(&spans);
        }
        match &mut chunk.bytes {
            // A half-full chunk keeps no more memory than it needs.
            Room::Heap(bytes) if bytes.len() < bytes.capacity() / 8 * 7 => {
                *bytes = bytes.as_slice().to_vec();
            }
            Room::Heap(_) => {}
            #[cfg(feature = "spool")]
            Room::Slot(slot) => slot.close(),
        }
    }

    /// These chunks become a segment.
    pub(crate) fn seal(&self, chunks: Vec<Chunk>, sealed: &Sealed) -> Vec<Chunk> {
        #[cfg(feature = "spool")]
        if let Some(spool) = &self.spool {
            return spool.seal(chunks, sealed);
        }
        let _ = sealed;
        chunks
    }
}

/// A segment as it is sealed, and the epoch's books at that moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) seq: u64,
    pub(crate) spans_before: u64,
    pub(crate) spans: u64,
    pub(crate) wall_offset: i64,
    pub(crate) dropped: sigyn_model::pull::Dropped,
}
