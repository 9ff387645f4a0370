//! Reads a segment back, and tells a torn end from damage.

use super::frame::{self, Frame, HEADER_BYTES, Header};

/// How far a number may jump over damage: no segment holds as many frames.
const SEQ_JUMP_MAX: u64 = 1 << 32;

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
}

/// Calls `each` with every valid frame, in order. Bytes that are no frame are searched for the next
/// one: what was acknowledged after a damaged spot is still served.
pub(crate) fn read(bytes: &[u8], header: &Header, mut each: impl FnMut(Frame<'_>)) -> Outcome {
    let mut outcome = Outcome { valid_bytes: HEADER_BYTES, ..Outcome::default() };
    let mut at = HEADER_BYTES;
    let mut next_seq = header.first_seq;
    while at < bytes.len() {
        let seqs = next_seq..next_seq.saturating_add(SEQ_JUMP_MAX);
        let Some(frame) = frame::at(&bytes[at..], header, seqs) else {
            at += 1;
            continue;
        };
        if at > outcome.valid_bytes {
            outcome.holes += 1;
        }
        at += frame.bytes();
        outcome.valid_bytes = at;
        outcome.last_seq = Some(frame.seq);
        next_seq = frame.seq + 1;
        each(frame);
    }
    outcome.tail_bytes = bytes.len().saturating_sub(outcome.valid_bytes);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOADS: [&[u8]; 3] = [b"first", b"", b"the third of them"];

    fn segment() -> (Vec<u8>, Header) {
        let (bytes, header) = Header::encode(7, 40, 1);
        let mut bytes = bytes.to_vec();
        for (seq, payload) in (40..).zip(PAYLOADS) {
            frame::put(&mut bytes, &header, seq, |out| out.extend_from_slice(payload)).unwrap();
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
