//! Bodies as they arrive, and the memory that they take.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::EXPECT;
use http::{Extensions, HeaderMap};
use http_body_util::BodyExt as _;

use super::Cause;
use super::budget::{Budget, Connection, Held, Lanes, PIECE_BYTES};
use super::refusal::Refusal;
use super::workbench::Place;

/// Zipkin's limit for a request body, and ours for every body as it comes.
const BODY_BYTES_MAX: usize = 10 << 20;
/// What is read of a body that is not taken, and for how long, before it is refused.
const DISCARDED_BYTES_MAX: usize = 64 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(11);
/// Bodies of so many bytes, packed or not, do not wait for larger ones.
pub(super) const SMALL_BYTES_MAX: usize = 1 << 20;
/// The memory that a body begins with.
const FIRST_BYTES: usize = 4 << 10;

/// A body, and the memory that it takes.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) bytes: Bytes,
    pub(super) _held: Memory,
    /// What was held for its spans along with the body, and how much that is.
    pub(super) room: Option<(Place, usize)>,
    /// What it came by; `None` for a datagram.
    pub(super) connection: Option<Connection>,
}

/// Where the memory of a body comes from. Given back with it.
#[derive(Debug)]
pub(super) enum Memory {
    /// As it came; an empty body takes none.
    #[expect(dead_code, reason = "held, not read")]
    Arriving(Option<Held>),
    /// Unpacked.
    #[expect(dead_code, reason = "held, not read")]
    Working(Place),
}

/// Memory for whatever is arriving: bodies, and datagrams, which anybody can send, apart.
#[derive(Clone, Debug)]
pub(super) struct Arriving {
    bodies: Lanes<Budget>,
    /// A place for the largest body. One of a size that is not told gets all of it, and waits for no memory from
    /// there on: so it ends, and the next one that has something and finds no more gets it.
    whole: Budget,
    /// What one body may have.
    body_max: usize,
    /// What large bodies have beside that place.
    beside_max: usize,
    datagrams: Budget,
}

impl Arriving {
    pub(super) fn used(&self) -> usize {
        let bodies = self.bodies.small.used() + self.bodies.large.used() + self.whole.used();
        bodies + self.datagrams.used()
    }

    /// A third of `bytes` is for small bodies.
    pub(super) fn new(bytes: usize, datagram_bytes: usize) -> Self {
        let budget = |bytes| Budget::new(bytes, Cause::Arriving);
        let small = bytes / 3;
        let large = bytes - small;
        // In whole pieces, as it is handed out.
        let body_max = BODY_BYTES_MAX.min(large / 4 * 3 / PIECE_BYTES * PIECE_BYTES);
        let beside_max = (large - body_max) / PIECE_BYTES * PIECE_BYTES;
        let bodies = Lanes {
            small: budget(small),
            large: budget(beside_max),
            // While a body grows, it is there twice.
            small_max: SMALL_BYTES_MAX.min(small / 2),
        };
        let (whole, datagrams) = (budget(body_max), budget(datagram_bytes));
        Self { bodies, whole, body_max, beside_max, datagrams }
    }

    /// The whole body. It takes memory as it arrives, so that an idle connection holds none.
    pub(super) async fn receive(
        &self,
        mut body: Body,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arrived, Refusal> {
        let mut is_begun = false;
        let received = self.read(&mut body, extensions, &mut is_begun).await;
        // Whoever asks first is told to go on once something of the body is wanted.
        let is_waiting = headers.contains_key(EXPECT) && !is_begun;
        // Of one that broke off nothing comes any more.
        let has_rest = |refusal: &Refusal| refusal.cause != Cause::Cancelled;
        if received.as_ref().is_err_and(has_rest) && !is_waiting {
            discard(body).await;
        }
        received
    }

    async fn read(
        &self,
        body: &mut Body,
        extensions: &Extensions,
        is_begun: &mut bool,
    ) -> Result<Arrived, Refusal> {
        // Before a client that asks first is told to go on.
        let told = http_body::Body::size_hint(body).lower();
        let told = usize::try_from(told).unwrap_or(usize::MAX);
        if told > self.body_max {
            return Err(too_large(self.body_max));
        }
        // A request that came by none is alone on its own.
        let connection = extensions.get::<Connection>().cloned().unwrap_or_else(Connection::new);
        let _turn = connection.turn().await?;
        *is_begun = true;
        let reading = self.read_all(body, told);
        let (bytes, held) =
            tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or_else(|_| {
                Err(Refusal::new(Cause::Timeout, "the body did not arrive within 11 s"))
            })?;
        let held = Memory::Arriving(held);
        Ok(Arrived { bytes, _held: held, room: None, connection: Some(connection) })
    }

    async fn read_all(
        &self,
        body: &mut Body,
        told: usize,
    ) -> Result<(Bytes, Option<Held>), Refusal> {
        let (mut bytes, mut held) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Refusal::new(Cause::Cancelled, format!("the body broke off: {error}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let size = bytes.len() + data.len();
            if size > self.body_max {
                return Err(too_large(self.body_max));
            }
            if size > bytes.capacity() {
                // What a client says of the size is believed once some of it is here.
                let (capacity, more) = if told >= size {
                    (told, self.hold_told(told).await?)
                } else {
                    self.hold_more(size, bytes.capacity()).await?
                };
                bytes.reserve_exact(capacity - bytes.len());
                held = Some(more);
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes.into(), held))
    }

    /// Memory for all of a body. Whoever waits for it has none.
    async fn hold_told(&self, told: usize) -> Result<Held, Refusal> {
        if told <= self.bodies.small_max {
            return self.bodies.small.hold(told).await;
        }
        Ok(self.hold_large(told, told).await?.1)
    }

    /// Memory for a body that no longer fits into the `before` bytes that it has, and how much that is.
    async fn hold_more(&self, size: usize, before: usize) -> Result<(usize, Held), Refusal> {
        // Twice as much each time, however small the pieces.
        let doubled = size.max(2 * before).max(FIRST_BYTES).min(self.body_max);
        if doubled <= self.bodies.small_max {
            let small = &self.bodies.small;
            if before == 0 {
                return Ok((doubled, small.hold(doubled).await?));
            }
            // Whoever has something does not wait here for more: many that do so have it all, and wait for each
            // other.
            if let Some(more) = small.try_hold(doubled) {
                return Ok((doubled, more));
            }
        }
        self.hold_large(doubled, self.body_max).await
    }

    /// Memory beside the place for the largest body, or so much of that place, whatever is there first.
    async fn hold_large(&self, beside: usize, whole: usize) -> Result<(usize, Held), Refusal> {
        let of_whole = self.whole.hold(whole);
        if beside > self.beside_max {
            return Ok((whole, of_whole.await?));
        }
        tokio::select! {
            biased;
            held = self.bodies.large.hold(beside) => Ok((beside, held?)),
            held = of_whole => Ok((whole, held?)),
        }
    }

    /// A datagram; `None` if there is no memory for it now.
    pub(super) fn try_datagram(&self, datagram: &[u8]) -> Option<Arrived> {
        let held = Memory::Arriving(Some(self.datagrams.try_hold(datagram.len())?));
        let bytes = Bytes::copy_from_slice(datagram);
        Some(Arrived { bytes, _held: held, room: None, connection: None })
    }
}

/// Reads on for a moment, and keeps nothing: many a client sends all it has before it listens, and would
/// hear of a broken connection instead of the reason.
pub(crate) async fn discard(mut body: Body) {
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

pub(super) fn too_large(limit: usize) -> Refusal {
    Refusal::new(Cause::TooLarge, format!("the body is larger than {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use http::HeaderValue;
    use http_body::Frame;

    use super::*;

    /// So many pieces of one byte each, and then nothing, for ever.
    struct Trickle(usize);

    impl http_body::Body for Trickle {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0 == 0 {
                return Poll::Pending;
            }
            self.0 -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_small_pieces_take_no_more_than_one_large_one() {
        let arriving = Arriving::new(3 << 20, 0);
        let (headers, extensions) = (HeaderMap::new(), Extensions::new());
        let receive = |body| arriving.receive(body, &headers, &extensions);
        let mut trickling = Box::pin(receive(Body::new(Trickle(128 << 10))));
        // Tokio lets nobody go on for ever.
        let started = tokio::time::Instant::now();
        while started.elapsed() < Duration::from_secs(1) {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(trickling.as_mut().poll(&mut cx).is_pending());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let arrived = receive(Body::from(vec![0; 500 << 10])).await.unwrap();
        assert_eq!(arrived.bytes.len(), 500 << 10);
        assert_eq!(trickling.await.unwrap_err().cause, Cause::Timeout);
    }

    /// Alone, in pieces of this size.
    async fn receive_alone(arriving: &Arriving, size: usize, piece: usize, is_told: bool) -> bool {
        let body = Pieces { left: size, piece, is_told };
        let (headers, extensions) = (HeaderMap::new(), Extensions::new());
        match arriving.receive(Body::new(body), &headers, &extensions).await {
            Ok(arrived) => arrived.bytes.len() == size,
            Err(refusal) => {
                assert_eq!(refusal.cause, Cause::TooLarge, "{size} in pieces of {piece}");
                let limit = format!("the body is larger than {} bytes", arriving.body_max);
                assert_eq!(refusal.message, limit);
                false
            }
        }
    }

    struct Pieces {
        left: usize,
        piece: usize,
        is_told: bool,
    }

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let size = self.piece.min(self.left);
            self.left -= size;
            Poll::Ready((size > 0).then(|| Ok(Frame::data(Bytes::from(vec![b'x'; size])))))
        }

        fn size_hint(&self) -> http_body::SizeHint {
            if self.is_told {
                http_body::SizeHint::with_exact(self.left as u64)
            } else {
                http_body::SizeHint::new()
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_alone_is_taken_or_refused_for_good() {
        // What there is with 96 MiB of memory in all, with 160, 288 and 1056.
        for bytes in [2_785_280, 5_570_560, 11_141_120, 44_564_480] {
            let arriving = Arriving::new(bytes, 0);
            let (small, most) = (arriving.bodies.small_max, arriving.body_max);
            let edges = [small, arriving.beside_max, SMALL_BYTES_MAX, most, BODY_BYTES_MAX];
            let sizes = edges.iter().flat_map(|size| [size / 2, size - 1, *size, size + 1]);
            for size in sizes {
                for piece in [10_000, 16 << 10, 300_000, 700_000, 5_000_000] {
                    for is_told in [false, true] {
                        let taken = receive_alone(&arriving, size, piece, is_told).await;
                        assert_eq!(taken, size <= most, "{size} in pieces of {piece}");
                    }
                }
            }
        }
    }

    /// After each piece others have their turn.
    struct InTurn {
        pieces: Pieces,
        has_waited: bool,
    }

    impl http_body::Body for InTurn {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.has_waited = !self.has_waited;
            if self.has_waited {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Pin::new(&mut self.pieces).poll_frame(cx)
        }

        fn size_hint(&self) -> http_body::SizeHint {
            self.pieces.size_hint()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_arrive_together_do_not_wait_for_each_other() {
        // With 96 MiB of memory in all, and with 288.
        let cases = [
            (2_785_280, 100_000),
            (2_785_280, 450_000),
            (2_785_280, 1_000_000),
            (11_141_120, 900_000),
            (11_141_120, 4_000_000),
        ];
        for (bytes, size, is_told) in
            cases.into_iter().flat_map(|(bytes, size)| [(bytes, size, true), (bytes, size, false)])
        {
            let arriving = Arriving::new(bytes, 0);
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..24 {
                let arriving = arriving.clone();
                let pieces = Pieces { left: size, piece: 16 << 10, is_told };
                let body = Body::new(InTurn { pieces, has_waited: false });
                all.spawn(async move {
                    let arrived =
                        arriving.receive(body, &HeaderMap::new(), &Extensions::new()).await;
                    arrived.map(|arrived| arrived.bytes.len())
                });
            }
            let started = tokio::time::Instant::now();
            while let Some(arrived) = all.join_next().await {
                assert_eq!(arrived.unwrap().unwrap(), size, "is told: {is_told}");
            }
            assert_eq!(started.elapsed(), Duration::ZERO, "{size}, is told: {is_told}");
            assert_eq!(arriving.used(), 0);
        }
    }

    /// A piece now and then.
    struct Slowly {
        pieces: Pieces,
        pause: tokio::time::Interval,
    }

    impl http_body::Body for Slowly {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::ready!(self.pause.poll_tick(cx));
            Pin::new(&mut self.pieces).poll_frame(cx)
        }

        fn size_hint(&self) -> http_body::SizeHint {
            self.pieces.size_hint()
        }
    }

    /// So many that begin at once, with a piece every 10 ms: all arrive, within a time.
    async fn receive_together(arriving: &Arriving, count: usize, size: usize, is_told: bool) {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..count {
            let arriving = arriving.clone();
            let pieces = Pieces { left: size, piece: 16 << 10, is_told };
            let pause = tokio::time::interval(Duration::from_millis(10));
            let body = Body::new(Slowly { pieces, pause });
            all.spawn(async move {
                let arrived = arriving.receive(body, &HeaderMap::new(), &Extensions::new()).await;
                arrived.map(|arrived| arrived.bytes.len())
            });
        }
        let what = format!("{count} of {size}, told: {is_told}");
        while let Some(arrived) = all.join_next().await {
            assert_eq!(arrived.unwrap().unwrap(), size, "{what}");
        }
        assert_eq!(arriving.used(), 0, "{what}");
    }

    #[tokio::test(start_paused = true)]
    async fn slowly_bodies_that_arrive_together_do_not_wait_for_each_other() {
        // With 96 MiB of memory in all, with 288 and 1056.
        for (bytes, size) in [
            (2_785_280, 450_000),
            (11_141_120, 900_000),
            (11_141_120, 1_500_000),
            (44_564_480, 1_500_000),
        ] {
            let arriving = Arriving::new(bytes, 0);
            receive_together(&arriving, 24, size, false).await;
            receive_together(&arriving, 8, size, true).await;
        }
        let arriving = Arriving::new(2_785_280, 0);
        receive_together(&arriving, 2_000, 5_000, false).await;
        receive_together(&arriving, 60, 100_000, false).await;
    }

    /// Tells how much of it was not read.
    struct Told {
        pieces: Pieces,
        left: Arc<AtomicUsize>,
    }

    impl http_body::Body for Told {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let polled = Pin::new(&mut self.pieces).poll_frame(cx);
            self.left.store(self.pieces.left, Ordering::SeqCst);
            polled
        }

        fn size_hint(&self) -> http_body::SizeHint {
            self.pieces.size_hint()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_read_on_unless_its_client_asks_first() {
        // With 96 MiB of memory in all.
        let arriving = Arriving::new(2_785_280, 0);
        let _whole = arriving.whole.hold(arriving.body_max).await.unwrap();
        let _beside = arriving.bodies.large.hold(arriving.beside_max).await.unwrap();
        let asks_first = HeaderMap::from_iter([(EXPECT, HeaderValue::from_static("100-continue"))]);
        let check = async |headers: &HeaderMap, size, is_told, cause, is_read: bool| {
            let left = Arc::new(AtomicUsize::new(size));
            let pieces = Pieces { left: size, piece: 16 << 10, is_told };
            let body = Body::new(Told { pieces, left: Arc::clone(&left) });
            let refused = arriving.receive(body, headers, &Extensions::new()).await;
            assert_eq!(refused.unwrap_err().cause, cause, "{size}, told: {is_told}");
            assert_eq!(left.load(Ordering::SeqCst) == 0, is_read, "{size}, told: {is_told}");
        };
        for headers in [HeaderMap::new(), asks_first.clone()] {
            check(&headers, 1_000_000, false, Cause::Arriving, true).await;
            check(&headers, 1_000_000, true, Cause::Arriving, true).await;
        }
        check(&HeaderMap::new(), 3_000_000, true, Cause::TooLarge, true).await;
        check(&asks_first, 3_000_000, true, Cause::TooLarge, false).await;
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_leave_room_for_small_ones() {
        let arriving = Arriving::new(30 << 20, 0);
        let (headers, extensions) = (HeaderMap::new(), Extensions::new());
        let receive = |size| arriving.receive(Body::from(vec![0; size]), &headers, &extensions);
        let _first = receive(9 << 20).await.unwrap();
        let _second = receive(9 << 20).await.unwrap();
        assert_eq!(receive(9 << 20).await.unwrap_err().cause, Cause::Arriving);
        assert_eq!(receive(11 << 20).await.unwrap_err().cause, Cause::TooLarge);
        assert!(receive(1 << 20).await.is_ok());
    }
}
