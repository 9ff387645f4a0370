//! Reads a segment back, and tells a torn end from damage.

use std::io;

use super::frame::{self, Frame, HEADER_BYTES, Header, PREFIX_BYTES, TYPE_BATCH_BESIDE};
use super::window::Window;
use crate::disk::Disk;

/// How many times its bytes are summed where it has no frames: spans may be made to look like frames, and
/// what was in a file before is behind the end of the last segment after every crash.
const SUMMED_MAX: usize = 16;

/// What a segment turned out to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The number of the last valid frame; `None` if there is none.
    pub(crate) last_seq: Option<u64>,
    /// Where the last valid frame ends.
    pub(crate) valid_bytes: usize,
    /// Stretches of bytes that are no frames, with valid frames after them.
    pub(crate) holes: u64,
    /// Bytes after the last valid frame.
    pub(crate) tail_bytes: usize,
    /// What is surely not torn: where the first stretch of other bytes begins after which no frame says
    /// that those before it were synced.
    pub(crate) settled_bytes: usize,
    /// Whether it was not read to its end: too much of what it has where it has no frames looks like some.
    pub(crate) gave_up: bool,
}

impl Outcome {
    /// How many spots are no frames, though they should be; at its end there may be what a crash left.
    pub(crate) fn damaged_spots(&self, may_be_torn: bool) -> u64 {
        self.holes + u64::from(self.tail_bytes > 0 && (!may_be_torn || self.gave_up))
    }
}

/// Calls `each` with every valid frame, in order. Bytes that are no frame are searched for the next
/// one: what was acknowledged after a damaged spot is still served.
pub(crate) fn read<E: From<io::Error>>(
    bytes: &mut Window<'_>,
    header: &Header,
    mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<Outcome, E> {
    let mut outcome =
        Outcome { valid_bytes: HEADER_BYTES, settled_bytes: HEADER_BYTES, ..Outcome::default() };
    let mut is_settled = true;
    let mut at = HEADER_BYTES;
    let mut summed_bytes = 0;
    let mut next_seq = header.first_seq;
    while at < bytes.len() {
        // Frames that are missing took their room. Whatever else is there hardly ever looks like one.
        let missing_max = (at - outcome.valid_bytes) / PREFIX_BYTES;
        let seqs = next_seq..next_seq.saturating_add(missing_max as u64 + 1);
        let left = bytes.len() - at;
        let may_be = |frame: &usize| *frame <= left;
        let frame_bytes = frame::bytes_of(bytes.from(at, PREFIX_BYTES)?, &seqs).filter(may_be);
        let frame = match frame::at(bytes.from(at, frame_bytes.unwrap_or(0))?, header, seqs) {
            Ok(frame) => frame,
            Err(summed) => {
                summed_bytes += summed;
                if summed_bytes / SUMMED_MAX > bytes.len() {
                    outcome.gave_up = true;
                    break;
                }
                at += 1;
                continue;
            }
        };
        if at > outcome.valid_bytes {
            outcome.holes += 1;
            is_settled = false;
        }
        is_settled |= frame.frame_type != TYPE_BATCH_BESIDE;
        at += frame.bytes();
        outcome.valid_bytes = at;
        if is_settled {
            outcome.settled_bytes = at;
        }
        outcome.last_seq = Some(frame.seq);
        next_seq = frame.seq + 1;
        each(frame)?;
    }
    outcome.tail_bytes = bytes.len().saturating_sub(outcome.valid_bytes);
    Ok(outcome)
}

/// What `with` makes of a segment's first frame; nothing if there is none that can be read. No more is read than
/// that.
pub(crate) fn with_first_frame<T>(
    disk: &Disk,
    path: &str,
    file_bytes: u64,
    with: impl FnOnce(&Frame<'_>) -> T,
) -> Option<T> {
    let start = disk.read_at(path, 0, HEADER_BYTES + PREFIX_BYTES).ok()?;
    let header = Header::decode(&start).ok()?;
    let seqs = header.first_seq..header.first_seq.saturating_add(1);
    let bytes = frame::bytes_of(&start[HEADER_BYTES..], &seqs)?;
    if (HEADER_BYTES + bytes) as u64 > file_bytes {
        return None;
    }
    let frame = disk.read_at(path, HEADER_BYTES as u64, bytes).ok()?;
    frame::at(&frame, &header, seqs).ok().map(|frame| with(&frame))
}

/// How long a segment is without the end that a loss of power tore, if it did. Bytes that are written
/// together may get to the disk in any order, so frames may be whole behind some that are not; all of
/// them were written after the last sync. A segment that was ended has no bytes behind its frames, and
/// is not torn: there a frame that is missing is damage.
pub(crate) fn without_torn_end(bytes: &mut Window<'_>, header: &Header) -> io::Result<usize> {
    let outcome = read(bytes, header, |_| Ok::<_, io::Error>(()))?;
    let is_torn =
        outcome.tail_bytes > 0 && outcome.settled_bytes < outcome.valid_bytes && !outcome.gave_up;
    Ok(if is_torn { outcome.settled_bytes } else { bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `each` with every frame of a segment that is in memory.
    fn read(bytes: &[u8], header: &Header, mut each: impl FnMut(Frame<'_>)) -> Outcome {
        let read = super::read(&mut Window::of(bytes), header, |frame| {
            each(frame);
            Ok::<_, io::Error>(())
        });
        read.unwrap()
    }

    fn without_torn_end<'a>(bytes: &'a [u8], header: &Header) -> &'a [u8] {
        &bytes[..super::without_torn_end(&mut Window::of(bytes), header).unwrap()]
    }

    const PAYLOADS: [&[u8]; 3] = [b"first", b"", b"the third of them"];

    fn segment() -> (Vec<u8>, Header) {
        let (bytes, header) = Header::encode(7, 40, 1);
        let mut bytes = bytes.to_vec();
        for (seq, payload) in (40..).zip(PAYLOADS) {
            let put = frame::put(&mut bytes, &header, frame::TYPE_BATCH, seq, |out| {
                out.extend_from_slice(payload);
            });
            put.unwrap();
        }
        (bytes, header)
    }

    fn read_seqs(bytes: &[u8]) -> (Vec<u64>, Outcome) {
        let header = Header::decode(bytes).unwrap();
        let mut seqs = Vec::new();
        let outcome = read(bytes, &header, |frame| seqs.push(frame.seq));
        (seqs, outcome)
    }

    #[test]
    fn frames_read_back_as_written() {
        let (bytes, header) = segment();
        let mut payloads = Vec::new();
        let outcome = read(&bytes, &header, |frame| payloads.push(frame.payload.to_vec()));
        assert_eq!(payloads, PAYLOADS);
        assert_eq!((outcome.last_seq, outcome.holes, outcome.tail_bytes), (Some(42), 0, 0));
    }

    #[test]
    fn a_torn_end_costs_the_torn_frame_alone() {
        let (bytes, _) = segment();
        let second_ends = HEADER_BYTES + 17 + 5 + 17;
        for cut in second_ends + 1..bytes.len() {
            let (seqs, outcome) = read_seqs(&bytes[..cut]);
            assert_eq!(seqs, [40, 41], "cut at {cut}");
            assert_eq!((outcome.valid_bytes, outcome.holes), (second_ends, 0));
            assert_eq!(outcome.tail_bytes, cut - second_ends);
        }
    }

    #[test]
    fn any_flipped_bit_costs_one_frame_and_is_noticed() {
        let (good, _) = segment();
        for bit in HEADER_BYTES * 8..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (seqs, outcome) = read_seqs(&bytes);
            assert_eq!(seqs.len(), 2, "bit {bit}");
            assert!(outcome.holes == 1 || outcome.tail_bytes > 0, "bit {bit}");
        }
    }

    #[test]
    fn frames_of_another_file_are_none() {
        let (bytes, _) = segment();
        let (other, _) = Header::encode(7, 40, 2);
        let mixed = [&other[..], &bytes[HEADER_BYTES..]].concat();
        assert_eq!(read_seqs(&mixed).0, [] as [u64; 0]);
    }

    /// Two frames that were written alone, then two together, with this behind them.
    fn recycled(behind: &[u8]) -> (Vec<u8>, Vec<usize>, Header) {
        let (bytes, header) = Header::encode(7, 40, 1);
        let (mut bytes, mut starts) = (bytes.to_vec(), Vec::new());
        for (seq, frame_type) in (40..).zip([1, 1, 1, TYPE_BATCH_BESIDE]) {
            starts.push(bytes.len());
            frame::put(&mut bytes, &header, frame_type, seq, |out| out.push(1)).unwrap();
        }
        bytes.extend_from_slice(behind);
        (bytes, starts, header)
    }

    #[test]
    fn frames_behind_a_hole_are_torn_if_none_says_that_it_was_synced() {
        let check = |behind: &[u8], damaged: usize, expected: &[u64]| {
            let (mut bytes, starts, header) = recycled(behind);
            bytes[starts[damaged] + 5] ^= 1;
            let (seqs, outcome) = read_seqs(without_torn_end(&bytes, &header));
            assert_eq!(seqs, expected, "{damaged}");
            let is_told = outcome.holes > 0 || outcome.tail_bytes > 0;
            assert_eq!(is_told, expected.len() == 3, "{damaged}");
        };
        let old = [7; 100];
        check(&old, 0, &[41, 42, 43]);
        check(&old, 1, &[40, 42, 43]);
        check(&old, 2, &[40, 41]);
        check(&old, 3, &[40, 41, 42]);
        // It was ended, so all of it was synced.
        check(&[], 2, &[40, 41, 43]);
    }

    #[test]
    fn a_frame_has_the_number_after_the_last_or_those_between_had_room() {
        let check = |hole_bytes: usize, seq: u64, expected: &[u64]| {
            let (mut bytes, _, header) = recycled(&vec![7; hole_bytes]);
            frame::put(&mut bytes, &header, frame::TYPE_BATCH, seq, |_| {}).unwrap();
            assert_eq!(read_seqs(&bytes).0[4..], *expected, "{hole_bytes} {seq}");
        };
        check(0, 44, &[44]);
        check(0, 45, &[]);
        check(PREFIX_BYTES - 1, 45, &[]);
        check(PREFIX_BYTES, 45, &[45]);
        check(PREFIX_BYTES, 46, &[]);
        check(PREFIX_BYTES * 2, 46, &[46]);
        check(PREFIX_BYTES * 2, 43, &[]);
    }

    #[test]
    fn looking_for_frames_where_much_looks_like_one_ends() {
        let mut like_a_frame = [0; frame::PREFIX_BYTES];
        like_a_frame[..4].copy_from_slice(&1_000_000u32.to_le_bytes());
        like_a_frame[9] = 50;
        let (bytes, _, header) = recycled(&like_a_frame.repeat(200_000));
        let (seqs, outcome) = read_seqs(&bytes);
        assert_eq!((seqs, outcome.gave_up), (vec![40, 41, 42, 43], true));
        assert_eq!(without_torn_end(&bytes, &header).len(), bytes.len());
    }

    #[test]
    fn a_damaged_header_is_refused() {
        let (good, _) = segment();
        for byte in 0..HEADER_BYTES {
            let mut bytes = good.clone();
            bytes[byte] ^= 0x10;
            assert!(Header::decode(&bytes).is_err(), "byte {byte}");
        }
    }
}
