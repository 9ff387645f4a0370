//! What is left when the process ends and nobody came for it: to be sent to somebody, by whoever can send.

use bytes::Bytes;

use crate::encode::Coding;
use crate::format::Format;
use crate::record::Recorder;

/// A body is no longer than this, unless one segment alone is.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Spans that no scraper acknowledged, as an OTLP request.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// What an OTLP endpoint takes at `/v1/traces`, as `application/x-protobuf`.
    pub body: Bytes,
    /// How many are in it.
    pub spans: u64,
    recorder: Recorder,
    next: u64,
}

impl Leftover {
    /// What the body is.
    pub const CONTENT_TYPE: &'static str = "application/x-protobuf";

    /// Somebody has taken it: from now on it counts as delivered, and what is behind it comes next.
    pub fn delivered(self) {
        self.recorder.shared.ring.delivered(self.next);
    }
}

impl Recorder {
    /// The first spans that nobody acknowledged, for a last attempt when [`Recorder::drained`] leaves some: where there is a
    /// tracer that takes spans that are pushed, they need not be lost. `None` if there are none, or no memory for them.
    ///
    /// ```no_run
    /// # async fn post(_: &str, _: bytes::Bytes) -> bool { true }
    /// # async fn end(recorder: sigyn_recorder::Recorder) {
    /// recorder.drained(std::time::Duration::from_secs(5)).await;
    /// while let Some(left) = recorder.leftover() {
    ///     if !post("http://sigyn:4318/v1/traces", left.body.clone()).await {
    ///         break;
    ///     }
    ///     left.delivered();
    /// }
    /// # }
    /// ```
    ///
    /// A scraper that comes meanwhile gets the same spans: the tracer stores such a span once.
    pub fn leftover(&self) -> Option<Leftover> {
        let shared = &*self.shared;
        let (mut body, mut spans, mut next) = (Vec::new(), 0, 0);
        for segment in shared.ring.unacknowledged() {
            let encoded =
                shared.encodings.get(&segment, &shared.own, Format::Otlp, Coding::Identity)?;
            if next > 0 && body.len() + encoded.bytes.len() > BODY_BYTES_MAX {
                break;
            }
            body.extend_from_slice(&encoded.bytes);
            spans += segment.spans;
            next = segment.seq + 1;
        }
        let body = body.into();
        (next > 0).then(|| Leftover { body, spans, recorder: self.clone(), next })
    }
}
