//! A batch on its way to the log, in columns: made where it keeps nobody waiting.

use std::collections::HashSet;
use std::sync::Arc;

use sigyn_model::{Resource, Span, SpanBatch, TargetProgress};
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::codec::{EXPANDED_BYTES_MAX, Encoder, SHARED_BYTES_MAX};
use crate::error::AppendError;
use crate::size::span_bytes;
use sigyn_model::columns::Columns;

/// A batch that takes more than about this is prepared on a thread that may block: whoever else runs on
/// this one is not to wait for that.
const INLINE_BYTES_MAX: u64 = 64 << 10;
/// About what a tag, an annotation or a link takes at least, its texts aside.
const PART_BYTES: usize = 64;

/// A batch in columns.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) columns: Columns,
    pub(crate) progress: Option<TargetProgress>,
    pub(crate) arrival_ms: u64,
    /// What it takes while it waits.
    pub(crate) bytes: u64,
}

impl Incoming {
    pub(crate) fn of(batch: SpanBatch, clock: &Clock) -> Result<Self, AppendError> {
        let arrival_ms = clock.now_ms();
        let SpanBatch { spans, progress } = batch;
        if !is_bounded(&spans) {
            return Err(AppendError::TooLarge);
        }
        let mut columns = Columns::default();
        spans.iter().for_each(|span| _ = columns.push(span));
        let bytes = columns.bytes() as u64;
        Ok(Self { columns, progress, arrival_ms, bytes })
    }

    /// The same, on this thread only if that takes next to no time.
    pub(crate) async fn elsewhere(batch: SpanBatch, clock: &Clock) -> Result<Self, AppendError> {
        let runtime = Handle::try_current();
        match runtime {
            Ok(runtime) if is_large(&batch.spans) => {
                let clock = clock.clone();
                let preparing = runtime.spawn_blocking(move || Self::of(batch, &clock));
                match preparing.await {
                    Ok(prepared) => prepared,
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        // The runtime ends before its turn came.
                        Err(_) => Err(AppendError::Closed),
                    },
                }
            }
            _ => Self::of(batch, clock),
        }
    }

    /// Gives a refused batch back to the allocator, which for a large one takes a while too.
    pub(crate) fn discard(self) {
        if let (true, Ok(runtime)) = (self.bytes > INLINE_BYTES_MAX, Handle::try_current()) {
            // Nobody waits for it.
            drop(runtime.spawn_blocking(move || drop(self)));
        }
    }
}

/// Whether a frame of the log takes spans, and blocks their resources.
fn is_bounded(spans: &[Span]) -> bool {
    let mut bytes = 0u64;
    let mut shared: HashSet<*const ()> = HashSet::new();
    spans.iter().all(|span| {
        bytes = bytes.saturating_add(span_bytes(span));
        let is_small = |expanded: u64| expanded <= SHARED_BYTES_MAX;
        let resource = span.resource.as_ref().filter(|one| shared.insert(Arc::as_ptr(one).cast()));
        let resource = resource.is_none_or(|resource| {
            is_small(Encoder::expanded(|encoder| encoder.resource_content(resource)))
        });
        let scope = span.scope.as_ref().filter(|one| shared.insert(Arc::as_ptr(one).cast()));
        let scope = scope.is_none_or(|scope| {
            is_small(Encoder::expanded(|encoder| encoder.scope_content(scope)))
        });
        bytes <= EXPANDED_BYTES_MAX && resource && scope
    })
}

/// Whether spans take more than may be prepared between two other things. Looks at no more of them than
/// it takes to tell.
fn is_large(spans: &[Span]) -> bool {
    let mut bytes = 0;
    let mut last: Option<&Arc<Resource>> = None;
    for span in spans {
        let mut parts = span.tags.len() + span.annotations.len() + span.links.len();
        if let Some(resource) = &span.resource
            && last.is_none_or(|last| !Arc::ptr_eq(last, resource))
        {
            parts += resource.tags.len();
            last = Some(resource);
        }
        // By their number first: to look at each of a million takes a while as well.
        bytes += (parts * PART_BYTES) as u64;
        if bytes > INLINE_BYTES_MAX {
            return true;
        }
        bytes += span_bytes(span);
        if bytes > INLINE_BYTES_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use sigyn_model::{Tags, Value};

    use super::*;
    use crate::testing;

    fn with_tags(count: usize) -> Span {
        let mut span = testing::span(&mut fastrand::Rng::with_seed(1));
        span.resource = None;
        span.tags = (0..count).map(|n| (n.to_string(), Value::from("x"))).collect();
        span
    }

    #[test]
    fn spans_are_large_together_by_their_parts_by_their_texts_and_by_what_they_share() {
        let check = |expected: bool, spans: Vec<Span>| assert_eq!(is_large(&spans), expected);
        check(false, vec![]);
        check(false, vec![with_tags(10); 10]);
        check(true, vec![with_tags(10); 1_000]);
        check(true, vec![with_tags(2_000)]);
        let mut one = with_tags(1);
        one.name = "x".repeat(100_000);
        check(true, vec![one]);
        let mut one = with_tags(1);
        let tags: Tags = with_tags(700).tags;
        one.resource = Some(Arc::new(Resource { tags, ..Resource::default() }));
        check(false, vec![one.clone(); 2]);
        let mut other = one.clone();
        other.resource = one.resource.as_deref().cloned().map(Arc::new);
        check(true, vec![one, other]);
    }

    #[test]
    fn a_large_batch_is_prepared_on_another_thread_and_a_small_one_here() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
        // The only other thread is busy: what is to run there cannot be done.
        drop(runtime.spawn_blocking(move || released.recv()));
        runtime.block_on(async {
            let batch =
                |spans: usize| SpanBatch { spans: vec![with_tags(10); spans], progress: None };
            let mut here = Context::from_waker(Waker::noop());
            let mut large = pin!(Incoming::elsewhere(batch(1_000), &Clock::System));
            assert!(large.as_mut().poll(&mut here).is_pending());
            let mut small = pin!(Incoming::elsewhere(batch(10), &Clock::System));
            let Poll::Ready(Ok(prepared)) = small.as_mut().poll(&mut here) else {
                panic!("a small batch waits");
            };
            assert_eq!(prepared.columns.len(), 10);
            drop(release);
            let prepared = large.await.unwrap();
            let expected = Incoming::of(batch(1_000), &Clock::System).unwrap();
            let spans = |batch: &Incoming| batch.columns.rows().map(Span::from).collect::<Vec<_>>();
            assert_eq!((prepared.bytes, spans(&prepared)), (expected.bytes, spans(&expected)));
            prepared.discard();
        });
    }
}
