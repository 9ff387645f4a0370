//! How a segment file is cut: a header, then frames, each with its length, checksum and number.

/// The directory of segments.
pub(crate) const DIR: &str = "wal";
const MAGIC: &[u8; 8] = b"SIGYNWAL";
const VERSION: u32 = 5;
/// The oldest one that is read. Earlier ones have fewer types of frames, and are the same.
const OLDEST_VERSION: u32 = 3;
pub(crate) const HEADER_BYTES: usize = 64;
/// Before a frame's payload: `len u32 | crc32c u32 | type u8 | seq u64`, little endian.
pub(crate) const PREFIX_BYTES: usize = 17;
/// A batch, in words of the segment. All frames before it were synced before it was written.
pub(crate) const TYPE_BATCH: u8 = 1;
/// The same, but frames right before it may not have been synced when it was written.
pub(crate) const TYPE_BATCH_BESIDE: u8 = 2;
/// Spans that stand in the log before, as in a batch; all frames before it were synced. They count if blocks
/// have all before this frame, and not the frame itself: then they are in none of them.
pub(crate) const TYPE_AGAIN: u8 = 3;
/// Nothing: whoever closed the store wrote it when all frames before it were synced, so that none of these is
/// taken for what a crash left.
pub(crate) const TYPE_END: u8 = 4;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) instance: u64,
    /// The number of its first frame.
    pub(crate) first_seq: u64,
    /// The header's own checksum, which those of the frames go on from: a frame is valid in its
    /// own file only.
    pub(crate) crc: u32,
}

/// Why a header is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("the segment's header is damaged")]
    Damaged,
    #[error("the segment has format {found}, and this program knows {OLDEST_VERSION} to {VERSION}")]
    Version { found: u32 },
}

impl Header {
    /// `salt` is a number that nobody can guess: whoever could would know the checksum to give to
    /// bytes in a span that look like a frame, and wait for damage before them.
    pub(crate) fn encode(instance: u64, first_seq: u64, salt: u64) -> ([u8; HEADER_BYTES], Self) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&instance.to_le_bytes());
        bytes[24..32].copy_from_slice(&first_seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        (bytes, Self { instance, first_seq, crc })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Damaged)?;
        let crc = u32_at(bytes, 60);
        if &bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..60]) != crc {
            return Err(HeaderError::Damaged);
        }
        let found = u32_at(bytes, 8);
        if !(OLDEST_VERSION..=VERSION).contains(&found) {
            return Err(HeaderError::Version { found });
        }
        Ok(Self { instance: u64_at(bytes, 16), first_seq: u64_at(bytes, 24), crc })
    }
}

/// A payload whose length does not fit into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes is longer than frames may be")]
pub(crate) struct TooLong {
    bytes: usize,
}

/// Appends a frame to `out`, with the payload that `payload` appends.
pub(crate) fn put(
    out: &mut Vec<u8>,
    header: &Header,
    frame_type: u8,
    seq: u64,
    payload: impl FnOnce(&mut Vec<u8>),
) -> Result<(), TooLong> {
    let at = out.len();
    let mut prefix = [0; PREFIX_BYTES];
    out.extend_from_slice(&prefix);
    payload(out);
    let (_, payload) = out.split_at(at + PREFIX_BYTES);
    let bytes = payload.len();
    let Ok(length) = u32::try_from(bytes) else {
        out.truncate(at);
        return Err(TooLong { bytes });
    };
    prefix[..4].copy_from_slice(&length.to_le_bytes());
    prefix[8] = frame_type;
    prefix[9..].copy_from_slice(&seq.to_le_bytes());
    let crc = checksum(header, &prefix, payload);
    prefix[4..8].copy_from_slice(&crc.to_le_bytes());
    out[at..at + PREFIX_BYTES].copy_from_slice(&prefix);
    Ok(())
}

/// Over the length, then the type and number, then the payload.
fn checksum(header: &Header, prefix: &[u8; PREFIX_BYTES], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(header.crc, &prefix[..4]);
    let crc = crc32c::crc32c_append(crc, &prefix[8..]);
    crc32c::crc32c_append(crc, payload)
}

/// One frame, its checksum found right.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) frame_type: u8,
    pub(crate) seq: u64,
    pub(crate) payload: &'a [u8],
}

impl Frame<'_> {
    pub(crate) fn bytes(&self) -> usize {
        PREFIX_BYTES + self.payload.len()
    }
}

/// The frame at the start of `bytes`, if a valid one with a number in `seqs` is there; otherwise, how many
/// bytes were summed to find out.
pub(crate) fn at<'a>(
    bytes: &'a [u8],
    header: &Header,
    seqs: std::ops::Range<u64>,
) -> Result<Frame<'a>, usize> {
    let prefix: &[u8; PREFIX_BYTES] = bytes.first_chunk().ok_or(0usize)?;
    let seq = u64_at(prefix, 9);
    // Before the checksum, which costs more: looking for frames in garbage must not be quadratic.
    if !seqs.contains(&seq) {
        return Err(0);
    }
    let len = u32_at(prefix, 0) as usize;
    let payload = bytes.get(PREFIX_BYTES..PREFIX_BYTES + len).ok_or(0usize)?;
    let crc = checksum(header, prefix, payload);
    match u32_at(prefix, 4) == crc {
        true => Ok(Frame { frame_type: prefix[8], seq, payload }),
        false => Err(len),
    }
}

/// How many bytes the frame has that begins with this prefix; nothing if its number is none of these.
pub(crate) fn bytes_of(prefix: &[u8], seqs: &std::ops::Range<u64>) -> Option<usize> {
    let prefix: &[u8; PREFIX_BYTES] = prefix.first_chunk()?;
    let has_number = seqs.contains(&u64_at(prefix, 9));
    has_number.then(|| PREFIX_BYTES + u32_at(prefix, 0) as usize)
}

/// The path of the segment that starts with this frame.
pub(crate) fn path(first_seq: u64) -> String {
    format!("{DIR}/{first_seq:020}.wal")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.copied().map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.copied().map_or(0, u64::from_le_bytes)
}
