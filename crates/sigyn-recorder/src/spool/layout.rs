//! The bytes of a spool file, as `docs/formats/spool.md` says: numbers are little-endian.

use sigyn_model::pull::Dropped;

use crate::layout::Bytes;
use crate::room::Sealed;

const MAGIC: [u8; 8] = *b"SIGYNSPL";
const VERSION: u32 = 1;

pub(super) const HEADER: usize = 128;
/// Counts how often the process sealed for a sibling.
pub(super) const ANSWERED_AT: u64 = 1024;
pub(super) const IDENTITY_AT: u64 = 4096;
pub(super) const IDENTITY_MAX: usize = 60 * 1024;
pub(super) const ACKS_AT: u64 = 64 * 1024;
pub(super) const ACKS: usize = 64;
pub(super) const ACK: usize = 32;
pub(super) const ROWS_AT: u64 = 68 * 1024;
pub(super) const ROW: usize = 64;

/// Where names begin: behind the rows. A name takes 5 bytes beside its text.
pub(super) const NAMES_MAX: u64 = 20 << 20;
pub(super) const NAME_HEAD: usize = 5;

/// What stands before the spans of a run.
pub(super) const RUN_HEAD: usize = 64;

/// Where in a run's head something stands.
pub(super) mod run {
    pub(crate) const KIND: usize = 0;
    pub(crate) const BEGUN: usize = 4;
    pub(crate) const DONE: usize = 8;
    pub(crate) const CRC: usize = 12;
    pub(crate) const NUMBER: usize = 16;
    pub(crate) const SEQ: usize = 24;
    pub(crate) const WALL_OFFSET: usize = 32;
    pub(crate) const CLOSED: usize = 40;
}

/// What a run is to whoever finds it. `sealed` means: its segment has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Free = 0,
    /// Of its segment if that is sealed, else of none yet.
    Plain = 1,
    /// Several others in one: of its segment if that is sealed, else nothing.
    Copy = 2,
    /// One of those: nothing if its segment is sealed, else of none yet.
    Copied = 3,
}

/// Who a file belongs to, and where what lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: u64,
    pub(super) pid: u32,
    pub(super) started_ns: u64,
    pub(super) rows: u32,
    pub(super) names_at: u64,
    pub(super) slots_at: u64,
    pub(super) stride: u32,
    pub(super) slots: u32,
}

impl Header {
    pub(super) fn new(epoch: u64, stride: u32, slots: u32) -> Self {
        let rows = slots.saturating_mul(2).next_power_of_two().max(2048);
        let names_at = (ROWS_AT + u64::from(rows) * ROW as u64).next_multiple_of(4096);
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            epoch,
            pid: std::process::id(),
            started_ns: started.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
            rows,
            names_at,
            slots_at: names_at + NAMES_MAX,
            stride,
            slots,
        }
    }

    pub(super) fn file_len(&self) -> u64 {
        self.slots_at + u64::from(self.stride) * u64::from(self.slots)
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut out = Vec::with_capacity(HEADER);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.pid.to_le_bytes());
        out.extend(self.epoch.to_le_bytes());
        out.extend(self.started_ns.to_le_bytes());
        out.extend(self.rows.to_le_bytes());
        out.extend(self.stride.to_le_bytes());
        out.extend(self.slots.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.names_at.to_le_bytes());
        out.extend(self.slots_at.to_le_bytes());
        checked(out)
    }

    pub(super) fn read(from: &[u8; HEADER]) -> Option<Self> {
        let mut bytes = Bytes(whole(from)?);
        let known = bytes.array()? == MAGIC && bytes.u32()? == VERSION;
        let (pid, epoch, started_ns) = (bytes.u32()?, bytes.u64()?, bytes.u64()?);
        let (rows, stride, slots) = (bytes.u32()?, bytes.u32()?, bytes.u32()?);
        bytes.take(4)?;
        let (names_at, slots_at) = (bytes.u64()?, bytes.u64()?);
        let fits = rows > 0
            && rows <= 1 << 24
            && stride as usize > RUN_HEAD
            && stride <= 1 << 26
            && slots <= 1 << 20
            && names_at <= 1 << 32
            && slots_at <= 1 << 40;
        (known && fits).then_some(Self {
            epoch,
            pid,
            started_ns,
            rows,
            names_at,
            slots_at,
            stride,
            slots,
        })
    }
}

impl Sealed {
    pub(super) fn to_bytes(self) -> [u8; ROW] {
        let mut out = Vec::with_capacity(ROW);
        out.extend(self.seq.to_le_bytes());
        out.extend(self.spans_before.to_le_bytes());
        out.extend(self.spans.to_le_bytes());
        out.extend(self.wall_offset.to_le_bytes());
        for dropped in [self.dropped.evicted, self.dropped.oversize, self.dropped.shutdown] {
            out.extend(dropped.to_le_bytes());
        }
        checked(out)
    }

    pub(super) fn read(from: &[u8; ROW]) -> Option<Self> {
        let mut bytes = Bytes(whole(from)?);
        let seq = bytes.u64()?;
        (seq != 0).then_some(Self {
            seq,
            spans_before: bytes.u64()?,
            spans: bytes.u64()?,
            wall_offset: bytes.u64()?.cast_signed(),
            dropped: Dropped {
                evicted: bytes.u64()?,
                oversize: bytes.u64()?,
                shutdown: bytes.u64()?,
            },
        })
    }
}

/// How far a scraper has acknowledged, and when it said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// Of the scraper's name.
    pub(super) name: u64,
    pub(super) below: u64,
    pub(super) at_seconds: u64,
}

impl Ack {
    pub(super) fn to_bytes(self) -> [u8; ACK] {
        let mut out = Vec::with_capacity(ACK);
        out.extend(self.name.to_le_bytes());
        out.extend(self.below.to_le_bytes());
        out.extend(self.at_seconds.to_le_bytes());
        checked(out)
    }

    pub(super) fn read(from: &[u8; ACK]) -> Option<Self> {
        let mut bytes = Bytes(whole(from)?);
        let (name, below, at_seconds) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        (below != 0).then_some(Self { name, below, at_seconds })
    }
}

/// The head of a run, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunHead {
    pub(super) kind: Kind,
    pub(super) begun: u32,
    pub(super) done: u32,
    pub(super) crc: Option<u32>,
    pub(super) number: u64,
    pub(super) seq: u64,
    pub(super) wall_offset: i64,
}

impl RunHead {
    pub(super) fn read(from: &[u8; RUN_HEAD]) -> Option<Self> {
        let word = |at: usize| Bytes(&from[at..]).u32();
        let long = |at: usize| Bytes(&from[at..]).u64();
        let kind = match word(run::KIND)? {
            1 => Kind::Plain,
            2 => Kind::Copy,
            3 => Kind::Copied,
            _ => return None,
        };
        Some(Self {
            kind,
            begun: word(run::BEGUN)?,
            done: word(run::DONE)?,
            crc: if word(run::CLOSED)? == 1 { word(run::CRC) } else { None },
            number: long(run::NUMBER)?,
            seq: long(run::SEQ)?,
            wall_offset: long(run::WALL_OFFSET)?.cast_signed(),
        })
    }
}

/// Filled up with zeroes, and its checksum at the end.
fn checked<const N: usize>(content: Vec<u8>) -> [u8; N] {
    let mut out = [0; N];
    out[..content.len()].copy_from_slice(&content);
    let crc = crc32c::crc32c(&out[..N - 4]);
    out[N - 4..].copy_from_slice(&crc.to_le_bytes());
    out
}

fn whole<const N: usize>(from: &[u8; N]) -> Option<&[u8]> {
    let (content, crc) = from.split_last_chunk::<4>()?;
    (crc32c::crc32c(content) == u32::from_le_bytes(*crc)).then_some(content)
}
