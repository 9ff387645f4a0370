//! The memory that scrapes may take, over all targets: bodies as they come in, and what they become.
//!
//! Whoever finds none waits, for a time that ends. Nobody waits for a share of what he already has a
//! part of, so waiting cannot go in a circle: a body that turns out to be larger than was thought
//! gives its share back before it takes a larger one.

use std::sync::Arc;

use sigyn_model::{Endpoint, Span, Tags, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Shares are counted in pieces of this many bytes.
const PIECE: u64 = 1 << 10;
/// What an allocator takes for a text or a list beside its bytes.
const ALLOCATION: u64 = 16;

/// The bounds. Bodies on the wire have a part of their own: spans that wait for the store must not
/// keep those that are there from being read to their end. So have large bodies: whoever waits for
/// much holds up all behind him, and a target may send what unpacks to a thousand times its size.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) wire: Part,
    pub(crate) spans: Part,
    pub(crate) large: Part,
}

#[derive(Clone, Debug)]
pub(crate) struct Part {
    pieces: Arc<Semaphore>,
    total: u32,
}

/// Bytes that nobody else has. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    part: Part,
    pieces: OwnedSemaphorePermit,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        let (wire, large) = (bytes / 8, bytes / 16 * 7);
        let spans = bytes - wire - large;
        Self { wire: Part::new(wire), spans: Part::new(spans), large: Part::new(large) }
    }

    /// Where a body goes that may take so much.
    pub(crate) fn part_for(&self, bytes: u64) -> &Part {
        if bytes > self.spans.bytes() / 3 { &self.large } else { &self.spans }
    }
}

impl Part {
    fn new(bytes: u64) -> Self {
        // A semaphore of tokio's counts further than u32 on every platform that matters.
        let total = pieces(bytes).clamp(1, u32::MAX >> 3);
        Self { pieces: Arc::new(Semaphore::new(total as usize)), total }
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.total) * PIECE
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> u64 {
        self.pieces.available_permits() as u64 * PIECE
    }

    /// Waits until `until` at most. More than there is means all of it.
    pub(crate) async fn take(&self, bytes: u64, until: Instant) -> Option<Share> {
        let wanted = pieces(bytes).min(self.total);
        let taking = Arc::clone(&self.pieces).acquire_many_owned(wanted);
        // The semaphore is never closed.
        let pieces = tokio::time::timeout_at(until, taking).await.ok()?.ok()?;
        Some(Share { part: self.clone(), pieces })
    }
}

impl Share {
    /// Trues the share up to what is really taken. More is taken only if it is there: what is in
    /// memory already cannot wait.
    pub(crate) fn true_up(&mut self, bytes: u64) {
        let needed = pieces(bytes).min(self.part.total) as usize;
        let held = self.pieces.num_permits();
        if let Some(spare) = held.checked_sub(needed) {
            drop(self.pieces.split(spare));
        } else if let Ok(missing) = u32::try_from(needed - held)
            && let Ok(more) = Arc::clone(&self.part.pieces).try_acquire_many_owned(missing)
        {
            self.pieces.merge(more);
        }
    }
}

fn pieces(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}

/// About how much memory spans take. What they share with others is not in it.
pub(crate) fn weight(spans: &[Span]) -> u64 {
    spans.iter().map(span_weight).sum()
}

fn span_weight(span: &Span) -> u64 {
    let endpoint = |endpoint: &Option<Endpoint>| {
        endpoint.as_ref().map_or(0, |endpoint| text_weight(&endpoint.service_name))
    };
    let annotations = span.annotations.iter().map(|annotation| {
        size_of_val(annotation) as u64
            + text_weight(&annotation.value)
            + tags_weight(&annotation.tags)
    });
    let links = span.links.iter().map(|link| {
        size_of_val(link) as u64 + text_weight(&link.trace_state) + tags_weight(&link.tags)
    });
    size_of::<Span>() as u64
        + text_weight(&span.name)
        + text_weight(&span.trace_state)
        + text_weight(&span.status.message)
        + endpoint(&span.local_endpoint)
        + endpoint(&span.remote_endpoint)
        + annotations.sum::<u64>()
        + links.sum::<u64>()
        + tags_weight(&span.tags)
}

fn tags_weight(tags: &Tags) -> u64 {
    let tag = |(key, value): &(String, Value)| text_weight(key) + value_weight(value);
    tags.iter().map(tag).sum::<u64>() + (size_of::<(String, Value)>() * tags.capacity()) as u64
}

fn value_weight(value: &Value) -> u64 {
    match value {
        Value::Str(text) => text_weight(text),
        Value::Bytes(bytes) => bytes.capacity() as u64 + ALLOCATION,
        Value::List(values) => {
            let inner: u64 = values.iter().map(value_weight).sum();
            inner + (size_of::<Value>() * values.capacity()) as u64 + ALLOCATION
        }
        Value::Map(entries) => tags_weight(entries) + ALLOCATION,
        Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Empty => 0,
    }
}

fn text_weight(text: &String) -> u64 {
    if text.capacity() == 0 { 0 } else { text.capacity() as u64 + ALLOCATION }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sigyn_model::{SpanId, TraceId};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shares_are_bounded_waited_for_and_trued_up() {
        let part = Part::new(100 * PIECE);
        let soon = || Instant::now() + Duration::from_secs(1);
        let mut first = part.take(60 * PIECE, soon()).await.unwrap();
        assert!(part.take(41 * PIECE, soon()).await.is_none(), "and the wait ends");
        first.true_up(10 * PIECE);
        let second = part.take(90 * PIECE, soon()).await.unwrap();
        first.true_up(50 * PIECE);
        assert_eq!(part.pieces.available_permits(), 0, "there is no more to be had");
        drop(second);
        first.true_up(50 * PIECE);
        assert_eq!(part.pieces.available_permits(), 50);
        drop(first);
        let all = part.take(u64::MAX, soon()).await.unwrap();
        assert_eq!(part.pieces.available_permits(), 0);
        drop(all);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_much_does_not_hold_up_the_others() {
        let memory = Memory::new(1 << 20);
        let parts = [&memory.wire, &memory.spans, &memory.large];
        assert_eq!(parts.map(Part::bytes), [128 << 10, 448 << 10, 448 << 10]);
        let soon = Instant::now() + Duration::from_secs(1);
        let _held = memory.part_for(400 << 10).take(400 << 10, soon).await.unwrap();
        let mut waiting = std::pin::pin!(memory.part_for(300 << 10).take(300 << 10, soon));
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        assert!(memory.part_for(100 << 10).take(100 << 10, soon).await.is_some());
    }

    #[test]
    fn a_span_weighs_what_it_holds() {
        let bare = Span::new(TraceId::new(1).unwrap(), SpanId::new(1).unwrap());
        let mut tagged = bare.clone();
        tagged.set_tag("key", "x".repeat(5000));
        let (bare, tagged) = (weight(&[bare]), weight(&[tagged]));
        assert!((size_of::<Span>() as u64..1000).contains(&bare), "{bare}");
        assert!((bare + 5000..bare + 5500).contains(&tagged), "{tagged}");
    }
}
