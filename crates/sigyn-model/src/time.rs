//! Points in time, with their unit in the type: nanoseconds inside, Zipkin's microseconds at the edge.

/// Nanoseconds since the Unix epoch. Zipkin speaks microseconds, OTLP nanoseconds; both fit until 2554.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const MAX: Self = Self(u64::MAX);

    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `None` past the year 2554, where nanoseconds leave 64 bits.
    pub fn from_micros(micros: u64) -> Option<Self> {
        micros.checked_mul(1_000).map(Self)
    }

    pub fn nanos(self) -> u64 {
        self.0
    }

    pub fn micros(self) -> u64 {
        self.0 / 1_000
    }

    pub fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
}
