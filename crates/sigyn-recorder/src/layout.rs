//! How a finished span lies in memory: a header of fixed size, then items, each with its tag first.
//!
//! It is this process's own affair, little-endian, and no format that anybody else reads. A span with
//! four tags takes some 100 bytes of it.

/// A number that says: the text follows.
pub(crate) const INLINE: u16 = u16::MAX;

/// What a header says of a span, beside numbers.
pub(crate) mod flag {
    pub(crate) const KIND: u16 = 0b111;
    pub(crate) const STATUS_SHIFT: u16 = 3;
    pub(crate) const STATUS: u16 = 0b11 << STATUS_SHIFT;
    pub(crate) const DEBUG: u16 = 1 << 5;
    pub(crate) const SHARED: u16 = 1 << 6;
    /// The span is this process's own: its endpoint and its resource are the recorder's.
    pub(crate) const OWN: u16 = 1 << 7;
    /// Times are Unix nanoseconds, and not of the recorder's clock.
    pub(crate) const WALL: u16 = 1 << 8;
    pub(crate) const TIMESTAMP: u16 = 1 << 9;
    pub(crate) const DURATION: u16 = 1 << 10;
    /// It ended in an error, by its status or a tag.
    pub(crate) const FAILED: u16 = 1 << 11;
    /// It was copied from the cold ring to the log.
    pub(crate) const TAKEN: u16 = 1 << 12;
}

/// Tags of items. Up to 31 they are tags of the span, and say of which type the value is.
pub(crate) mod item {
    pub(crate) const EMPTY: u8 = 0;
    pub(crate) const FALSE: u8 = 1;
    pub(crate) const TRUE: u8 = 2;
    pub(crate) const INT16: u8 = 3;
    pub(crate) const INT64: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const SHORT_STR: u8 = 6;
    pub(crate) const STR: u8 = 7;
    pub(crate) const BYTES: u8 = 8;
    pub(crate) const LIST: u8 = 9;
    pub(crate) const MAP: u8 = 10;

    pub(crate) const TAG_MAX: u8 = 31;

    pub(crate) const ANNOTATION: u8 = 32;
    pub(crate) const LINK: u8 = 33;
    pub(crate) const NAME: u8 = 34;
    pub(crate) const STATUS_MESSAGE: u8 = 35;
    pub(crate) const TRACE_STATE: u8 = 36;
    pub(crate) const LOCAL_ENDPOINT: u8 = 37;
    pub(crate) const REMOTE_ENDPOINT: u8 = 38;
    pub(crate) const DROPPED: u8 = 39;
    pub(crate) const FLAGS: u8 = 40;
}

/// The fixed part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Of the whole span, this header included.
    pub(crate) len: u32,
    pub(crate) trace_id: u128,
    pub(crate) id: u64,
    /// Zero: none.
    pub(crate) parent_id: u64,
    pub(crate) start: u64,
    pub(crate) duration: u64,
    pub(crate) name: u16,
    /// Which of its chunk's origins the span has, and one more; zero: none.
    pub(crate) origin: u16,
    pub(crate) flags: u16,
}

pub(crate) const HEADER: usize = 58;

impl Header {
    #[inline]
    pub(crate) fn write(&self, to: &mut [u8; HEADER]) {
        to[0..4].copy_from_slice(&self.len.to_le_bytes());
        to[4..20].copy_from_slice(&self.trace_id.to_le_bytes());
        to[20..28].copy_from_slice(&self.id.to_le_bytes());
        to[28..36].copy_from_slice(&self.parent_id.to_le_bytes());
        to[36..44].copy_from_slice(&self.start.to_le_bytes());
        to[44..52].copy_from_slice(&self.duration.to_le_bytes());
        to[52..54].copy_from_slice(&self.name.to_le_bytes());
        to[54..56].copy_from_slice(&self.origin.to_le_bytes());
        to[56..58].copy_from_slice(&self.flags.to_le_bytes());
    }

    /// Adds a flag to one that is written.
    pub(crate) fn set_flag(span: &mut [u8], flag: u16) {
        if let Some(flags) = span.get_mut(HEADER - 2..).and_then(<[u8]>::first_chunk_mut) {
            *flags = (u16::from_le_bytes(*flags) | flag).to_le_bytes();
        }
    }

    pub(crate) fn read(from: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(from);
        Some(Self {
            len: u32::from_le_bytes(bytes.array()?),
            trace_id: u128::from_le_bytes(bytes.array()?),
            id: u64::from_le_bytes(bytes.array()?),
            parent_id: u64::from_le_bytes(bytes.array()?),
            start: u64::from_le_bytes(bytes.array()?),
            duration: u64::from_le_bytes(bytes.array()?),
            name: u16::from_le_bytes(bytes.array()?),
            origin: u16::from_le_bytes(bytes.array()?),
            flags: u16::from_le_bytes(bytes.array()?),
        })
    }
}

/// Bytes that are read from the front. `None` where they end too soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// What a length of 32 bits goes before.
    pub(crate) fn long(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.take(len)
    }

    pub(crate) fn long_text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.long()?).ok()
    }
}
