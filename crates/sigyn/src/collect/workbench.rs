//! Where messages are unpacked and decoded: memory for them, and turns for those that take a while.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::budget::{Budget, Connection, Held, Lanes, PIECE_BYTES};
use super::refusal::Refusal;
use super::{Cause, body};

/// Bodies of so many bytes are unpacked and decoded where they arrive; a hop to a thread that may block
/// costs more than they do.
const INLINE_BYTES_MAX: usize = 32 << 10;
/// Larger ones that are unpacked or decoded at once: more would only share the same cores.
const SMALL_AT_ONCE: usize = 8;
const LARGE_AT_ONCE: usize = 4;

/// What the spans of one message may take in memory, where there is enough.
const DECODED_BYTES_MAX: usize = 256 << 20;
const DECODED_BYTES_MIN: usize = 64 << 10;
/// Spans in memory are so many times their bodies, nearly always.
const DECODED_FACTOR: usize = 8;
/// The shortest span there is, 24 bytes of JSON, becomes about 600.
const DECODED_FACTOR_MAX: usize = 64;

/// What a small body unpacks to, and its spans, nearly always.
const SMALL_MAX: usize = (1 + DECODED_FACTOR) * body::SMALL_BYTES_MAX;

/// Memory and turns, for small messages and large ones apart. Whoever waits for memory holds little of
/// it: what a body unpacks to and its spans are asked for at once, and when that was too little, all is
/// given back but the body, which is a ninth of it at most.
#[derive(Clone, Debug)]
pub(super) struct Workbench {
    lanes: Lanes<Lane>,
    /// What the largest message may unpack to, and its spans may take: both have a place at once.
    unpacked_max: usize,
    decoded_max: usize,
}

#[derive(Clone, Debug)]
struct Lane {
    memory: Budget,
    turns: Arc<Semaphore>,
}

impl Lane {
    fn new(bytes: usize, at_once: usize) -> Self {
        Self {
            memory: Budget::new(bytes, Cause::Working),
            turns: Arc::new(Semaphore::new(at_once)),
        }
    }
}

/// Memory at the bench, and of the connection's share of it.
#[derive(Debug)]
pub(super) struct Place {
    of_all: Held,
    of_connection: Option<Held>,
}

impl Place {
    /// A part of it; the other one stays. `None` if there is less than that.
    pub(super) fn split(&mut self, bytes: usize) -> Option<Self> {
        let of_all = self.of_all.split(bytes)?;
        let of_connection = match &mut self.of_connection {
            Some(held) => Some(held.split(bytes)?),
            None => None,
        };
        Some(Self { of_all, of_connection })
    }
}

impl Workbench {
    pub(super) fn used(&self) -> usize {
        self.lanes.small.memory.used() + self.lanes.large.memory.used()
    }

    /// With so many bytes in all, an eighth of them for small messages.
    pub(super) fn new(bytes: usize) -> Self {
        let small_bytes = bytes / 8;
        let large_bytes = bytes - small_bytes;
        // In whole pieces, so that they find a place beside each other to the last byte.
        let unpacked_max = large_bytes / 32 * 9 / PIECE_BYTES * PIECE_BYTES;
        let decoded_max = (large_bytes - unpacked_max) / PIECE_BYTES * PIECE_BYTES;
        let lanes = Lanes {
            small: Lane::new(small_bytes, SMALL_AT_ONCE),
            large: Lane::new(large_bytes, LARGE_AT_ONCE),
            // What unpacks to a small body, and its spans. Where that is more than there is, small is
            // what leaves room beside the most that the spans of one may take for all bodies that
            // can be here while they wait for it.
            small_max: SMALL_MAX.min(small_bytes / 8 * 7),
        };
        Self { lanes, unpacked_max, decoded_max: DECODED_BYTES_MAX.min(decoded_max) }
    }

    /// What a body may unpack to.
    pub(super) fn unpacked_max(&self) -> usize {
        self.unpacked_max
    }

    /// What the spans of a body of `size` take, nearly always.
    pub(super) fn room_for_spans(&self, size: usize) -> usize {
        self.room(size, DECODED_FACTOR)
    }

    /// What they may take at most.
    pub(super) fn most_room_for_spans(&self, size: usize) -> usize {
        self.room(size, DECODED_FACTOR_MAX)
    }

    fn room(&self, size: usize, factor: usize) -> usize {
        size.saturating_mul(factor).max(DECODED_BYTES_MIN).min(self.decoded_max)
    }

    /// Waits for memory, within reason.
    pub(super) async fn hold(
        &self,
        bytes: usize,
        connection: Option<&Connection>,
    ) -> Result<Place, Refusal> {
        let of_connection = match connection {
            Some(connection) => Some(connection.hold(bytes).await?),
            None => None,
        };
        let of_all = self.lanes.of(bytes).memory.hold(bytes).await?;
        Ok(Place { of_all, of_connection })
    }

    /// Does what takes `bytes` of memory for a body of `size`. Memory goes with the work, as does the
    /// turn: a client that hangs up does not end it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        size: usize,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if size <= INLINE_BYTES_MAX {
            return Ok(work());
        }
        // The semaphore is never closed.
        let turn = Arc::clone(&self.lanes.of(bytes).turns).acquire_owned().await.ok();
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            Refusal::new(Cause::Internal, format!("the message cannot be read: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use super::*;

    const SMALL: usize = 1 << 20;
    const LARGE: usize = 100 << 20;

    #[tokio::test(start_paused = true)]
    async fn small_ones_find_room_beside_large_ones_that_wait() {
        let bench = Workbench::new(400 << 20);
        let _first = bench.hold(200 << 20, None).await.unwrap();
        // The next does not fit, and stands in front of the others.
        let mut second = Box::pin(bench.hold(200 << 20, None));
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let started = tokio::time::Instant::now();
        assert!(bench.hold(SMALL, None).await.is_ok());
        assert_eq!(started.elapsed().as_millis(), 0);
        assert_eq!(second.await.unwrap_err().cause, Cause::Working);
    }

    /// As a message of this size does it that unpacks and has very many spans.
    async fn decode_alone(bench: &Workbench, size: usize) {
        let usual = bench.room_for_spans(size);
        let mut place = bench.hold(size + usual, None).await.unwrap();
        let spans = place.split(usual).unwrap();
        drop(spans);
        bench.hold(bench.most_room_for_spans(size), None).await.unwrap();
        drop(place);
        // And as one that came as it is.
        drop(bench.hold(usual, None).await.unwrap());
        bench.hold(bench.most_room_for_spans(size), None).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_alone_always_finds_room() {
        // A datagram's bench, and those of messages with 96 MiB of memory in all, 288, 544 and 2080.
        for bytes in [557_056, 13_926_400, 55_705_600, 111_411_200, 445_644_800] {
            let bench = Workbench::new(bytes);
            let (unpacked_max, small) = (bench.unpacked_max(), bench.lanes.small_max);
            assert!(unpacked_max + bench.decoded_max <= bytes);
            let edges = [small / 68, small / 65, small / 64, small / 9, small, unpacked_max];
            for size in edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]) {
                decode_alone(&bench, size.min(unpacked_max)).await;
            }
            for step in 0..200 {
                decode_alone(&bench, unpacked_max / 200 * step + step).await;
            }
        }
    }

    /// As many messages as find room at once, each of which turns out to have very many spans.
    async fn decode_together(bench: &Workbench, size: usize) {
        let (usual, most) = (bench.room_for_spans(size), bench.most_room_for_spans(size));
        let count = bench.lanes.of(size + usual).memory.total() / (size + usual);
        let all_are_here = std::sync::Arc::new(tokio::sync::Barrier::new(count));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..count {
            let (bench, all_are_here) = (bench.clone(), std::sync::Arc::clone(&all_are_here));
            all.spawn(async move {
                let mut place = bench.hold(size + usual, None).await.unwrap();
                all_are_here.wait().await;
                drop(place.split(usual));
                bench.hold(most, None).await.unwrap();
                drop(place);
            });
        }
        while let Some(done) = all.join_next().await {
            assert!(done.is_ok(), "{count} of {size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_are_unpacked_together_do_not_wait_for_each_other() {
        // With 96 MiB of memory in all, with 288 and 2080.
        for bytes in [13_926_400, 55_705_600, 445_644_800] {
            let bench = Workbench::new(bytes);
            for step in 1..400 {
                // Beyond that their usual room is all that there is.
                let size = bench.decoded_max / 8 / 400 * step;
                if bench.room_for_spans(size) == 8 * size {
                    decode_together(&bench, size).await;
                }
            }
        }
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_keeps_its_turn() {
        let bench = Workbench::new(1 << 30);
        let mut ends = Vec::new();
        let mut begin = |bytes| {
            let (end, ended) = mpsc::sync_channel::<()>(1);
            ends.push(end);
            let mut work = Box::pin(bench.run(bytes, bytes, move || ended.recv().is_err()));
            assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            work
        };
        for _ in 0..LARGE_AT_ONCE {
            // The client hangs up.
            drop(begin(LARGE));
        }
        let turns = |bench: &Workbench| bench.lanes.large.turns.available_permits();
        assert_eq!(turns(&bench), 0);
        let mut next = begin(LARGE);
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // Small ones do not wait for them.
        assert!(bench.run(SMALL, SMALL, || true).await.unwrap());
        ends.clear();
        assert!(matches!(next.await, Ok(true)));
    }

    #[tokio::test]
    async fn a_fault_is_told_as_one() {
        let bench = Workbench::new(1 << 30);
        let refused = bench.run(SMALL, SMALL, || panic!("of the test")).await;
        let refused: Refusal = refused.map(|(): ()| ()).unwrap_err();
        assert_eq!(refused.cause, Cause::Internal);
    }

    #[test]
    fn spans_have_room_by_the_size_of_their_body() {
        let check = |bytes, size, expected, most| {
            let bench = Workbench::new(bytes);
            let room = (bench.room_for_spans(size), bench.most_room_for_spans(size));
            assert_eq!(room, (expected, most));
        };
        check(1 << 30, 0, DECODED_BYTES_MIN, DECODED_BYTES_MIN);
        check(1 << 30, 100 << 10, 800 << 10, 6400 << 10);
        check(1 << 30, LARGE, DECODED_BYTES_MAX, DECODED_BYTES_MAX);
        // Where there is little, the largest body and its spans find a place together.
        let most = (112 << 20) - (112 << 20) / 32 * 9 / PIECE_BYTES * PIECE_BYTES;
        check(128 << 20, LARGE, most, most);
    }
}
