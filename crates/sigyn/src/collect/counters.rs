//! What came in through each door and what did not, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// The doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Zipkin's, as are the names of this and the next.
    Http,
    Grpc,
    OtlpHttp,
    OtlpGrpc,
    JaegerHttp,
    JaegerGrpc,
    JaegerUdp,
}

impl Transport {
    pub(crate) const ALL: [Self; 7] = [
        Self::Http,
        Self::Grpc,
        Self::OtlpHttp,
        Self::OtlpGrpc,
        Self::JaegerHttp,
        Self::JaegerGrpc,
        Self::JaegerUdp,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::OtlpHttp => "otlp_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::JaegerHttp => "jaeger_http",
            Self::JaegerGrpc => "jaeger_grpc",
            Self::JaegerUdp => "jaeger_udp",
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    TooLarge,
    /// It cannot be unpacked.
    Encoding,
    /// Of a type, or packed in a way, that the door does not know.
    Type,
    Malformed,
    /// It did not arrive in time.
    Timeout,
    /// There was no memory for it to arrive. As for the next three, the sender may come again.
    Arriving,
    /// There was no memory, or no turn, to unpack and decode it.
    Working,
    /// Its connection had too much of it already.
    Connection,
    /// Too much waits for the store, or too many datagrams for their turn.
    Queue,
    /// The store takes no spans.
    Storage,
    /// Its sender did not wait for the answer, or this server stopped. It may be stored all the same.
    Cancelled,
    /// A fault of ours.
    Internal,
}

impl Cause {
    pub(crate) const ALL: [Self; 12] = [
        Self::TooLarge,
        Self::Encoding,
        Self::Type,
        Self::Malformed,
        Self::Timeout,
        Self::Arriving,
        Self::Working,
        Self::Connection,
        Self::Queue,
        Self::Storage,
        Self::Cancelled,
        Self::Internal,
    ];

    /// Over one of the bounds that all senders share: the same message may be taken later.
    pub(crate) fn is_overload(self) -> bool {
        matches!(self, Self::Arriving | Self::Working | Self::Connection | Self::Queue)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::Type => "type",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::Arriving => "overloaded_arriving",
            Self::Working => "overloaded_working",
            Self::Connection => "overloaded_connection",
            Self::Queue => "overloaded_queue",
            Self::Storage => "storage",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// Why a span of a message that was decoded is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// By the rate that is asked for.
    Unsampled,
    /// Something is wrong with it, and the format lets the others through.
    Malformed,
    /// Its message was refused for lack of room: its sender was told to come again.
    Overloaded,
    /// The store did not take it.
    Storage,
}

impl Loss {
    pub(crate) const ALL: [Self; 4] =
        [Self::Unsampled, Self::Malformed, Self::Overloaded, Self::Storage];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unsampled => "unsampled",
            Self::Malformed => "malformed",
            Self::Overloaded => "overloaded",
            Self::Storage => "storage",
        }
    }
}

/// The figures of all doors.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    doors: [Door; Transport::ALL.len()],
}

/// The figures of one door.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// All that arrived.
    pub(crate) messages: AtomicU64,
    /// Those of them that were not taken, by [`Cause`].
    pub(crate) messages_dropped: [AtomicU64; Cause::ALL.len()],
    /// Bytes of bodies, unpacked.
    pub(crate) bytes: AtomicU64,
    /// Spans that were decoded.
    pub(crate) spans: AtomicU64,
    /// Spans that are not kept, by [`Loss`].
    pub(crate) spans_dropped: [AtomicU64; Loss::ALL.len()],
    /// Of the last message.
    pub(crate) message_spans: AtomicU64,
    /// Of the last message.
    pub(crate) message_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn door(&self, transport: Transport) -> &Door {
        &self.doors[transport as usize]
    }
}

impl Door {
    pub(super) fn count_message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refusal(&self, cause: Cause) {
        self.messages_dropped[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_body(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.message_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_spans(&self, spans: usize) {
        self.spans.fetch_add(spans as u64, Ordering::Relaxed);
        self.message_spans.store(spans as u64, Ordering::Relaxed);
    }

    pub(super) fn count_loss(&self, loss: Loss, spans: usize) {
        self.spans_dropped[loss as usize].fetch_add(spans as u64, Ordering::Relaxed);
    }
}
