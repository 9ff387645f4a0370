//! What a commit changes, and what all of them come to.

use sigyn_model::TraceId;

use crate::codec::{Decoder, Encoder, Malformed};
use crate::progress::Progress;

/// All that is known of what is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// Frames up to this one are in blocks, but for spans that the next one has again; were there anything of them
    /// in the log, it is skipped.
    pub(crate) sealed_through: u64,
    /// In the order of their frames.
    pub(crate) blocks: Vec<BlockEntry>,
    /// As of `sealed_through`.
    pub(crate) progress: Progress,
    /// Traces that were deleted, and whose spans may still be in blocks. By id.
    pub(crate) tombstones: Vec<Tombstone>,
}

/// One step from a state to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change {
    pub(crate) add: Vec<BlockEntry>,
    /// Names of blocks.
    pub(crate) remove: Vec<String>,
    /// Never falls: less than there is means no change.
    pub(crate) sealed_through: u64,
    /// Only of targets of which something is new.
    pub(crate) progress: Progress,
    pub(crate) bury: Vec<Tombstone>,
    /// Whose tombstones no block needs any more.
    pub(crate) forget: Vec<TraceId>,
}

/// A trace that was deleted: of it nothing counts that came with these frames of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) trace_id: TraceId,
    pub(crate) through: u64,
}

/// A block as the catalog has it: enough to open it, to leave it out of a search, and to delete it,
/// all of that unopened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    /// The file's name in the directory of blocks.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// How many bytes at the file's end are index and footer, and what they must add up to.
    pub(crate) tail_bytes: u64,
    pub(crate) tail_crc: u32,
    /// Which frames of the log it has the spans of.
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) spans: u64,
    pub(crate) traces: u64,
    /// When the first and the last of its batches arrived.
    pub(crate) first_arrival_ms: u64,
    pub(crate) last_arrival_ms: u64,
    /// The earliest and the latest timestamp in it, in nanoseconds.
    pub(crate) starts_ns: Option<(u64, u64)>,
    /// Whether it has only what was old already when it arrived.
    pub(crate) is_late: bool,
    /// Whether it has the traces with errors, or those without; nothing if it has both.
    pub(crate) errors: Option<bool>,
}

/// Bits of a block's flags.
mod flag {
    pub(super) const LATE: u64 = 1;
    pub(super) const ERRORS: u64 = 2;
    pub(super) const OTHERS: u64 = 4;
}

impl BlockEntry {
    /// Whether nothing was parted from it.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_late && self.errors.is_none()
    }

    pub(crate) fn flags(&self) -> u64 {
        let errors = match self.errors {
            Some(true) => flag::ERRORS,
            Some(false) => flag::OTHERS,
            None => 0,
        };
        errors | if self.is_late { flag::LATE } else { 0 }
    }

    pub(crate) fn set_flags(&mut self, flags: u64) {
        self.is_late = flags & flag::LATE != 0;
        self.errors = match flags & (flag::ERRORS | flag::OTHERS) {
            flag::ERRORS => Some(true),
            flag::OTHERS => Some(false),
            _ => None,
        };
    }
}

/// A change, and who made it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Commit {
    pub(super) writer: u64,
    /// Drawn for this commit alone.
    pub(super) nonce: u64,
    pub(super) change: Change,
}

impl State {
    pub(super) fn apply(&mut self, change: Change) {
        let Change { add, remove, sealed_through, progress, bury, forget } = change;
        self.blocks.retain(|block| !remove.contains(&block.name));
        for block in add {
            self.blocks.retain(|other| other.name != block.name);
            let place = |block: &BlockEntry| (block.last_seq, block.name.clone());
            let at = self.blocks.partition_point(|other| place(other) <= place(&block));
            self.blocks.insert(at, block);
        }
        self.sealed_through = self.sealed_through.max(sealed_through);
        self.progress.put_all(progress);
        self.progress.forget_surplus();
        self.tombstones.retain(|one| !forget.contains(&one.trace_id));
        for one in bury {
            self.tombstones.retain(|other| other.trace_id != one.trace_id);
            let at = self.tombstones.partition_point(|other| other.trace_id < one.trace_id);
            self.tombstones.insert(at, one);
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.uint(self.sealed_through);
        encode_blocks(&mut encoder, &self.blocks);
        self.progress.encode(&mut encoder);
        encode_tombstones(&mut encoder, &self.tombstones);
        encoder.into_bytes()
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(payload);
        let state = Self {
            sealed_through: decoder.uint()?,
            blocks: decoder.list(decode_block)?,
            progress: Progress::decode(&mut decoder)?,
            tombstones: decoder.list(decode_tombstone)?,
        };
        decoder.end()?;
        Ok(state)
    }
}

impl Change {
    /// Whether a state is the same after it.
    pub(crate) fn is_idle(&self, state: &State) -> bool {
        let Self { add, remove, sealed_through, progress, bury, forget } = self;
        add.is_empty()
            && remove.is_empty()
            && *sealed_through <= state.sealed_through
            && progress.is_empty()
            && bury.is_empty()
            && forget.is_empty()
    }
}

impl Commit {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Change { add, remove, sealed_through, progress, bury, forget } = &self.change;
        let mut encoder = Encoder::default();
        encoder.fixed_u64(self.writer);
        encoder.fixed_u64(self.nonce);
        encoder.uint(*sealed_through);
        encode_blocks(&mut encoder, add);
        encoder.count(remove.len());
        for name in remove {
            encoder.string(name);
        }
        progress.encode(&mut encoder);
        encode_tombstones(&mut encoder, bury);
        encoder.count(forget.len());
        for id in forget {
            encoder.trace_id(*id);
        }
        encoder.into_bytes()
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(payload);
        let (writer, nonce) = (decoder.fixed_u64()?, decoder.fixed_u64()?);
        let sealed_through = decoder.uint()?;
        let change = Change {
            sealed_through,
            add: decoder.list(decode_block)?,
            remove: decoder.list(Decoder::string)?,
            progress: Progress::decode(&mut decoder)?,
            bury: decoder.list(decode_tombstone)?,
            forget: decoder.list(Decoder::trace_id)?,
        };
        decoder.end()?;
        Ok(Self { writer, nonce, change })
    }
}

fn encode_blocks<'a>(encoder: &mut Encoder<'a>, blocks: &'a [BlockEntry]) {
    encoder.count(blocks.len());
    for block in blocks {
        encoder.string(&block.name);
        encoder.uint(block.bytes);
        encoder.uint(block.tail_bytes);
        // As wide whatever it is, so that a store does the same thing in as many bytes.
        encoder.fixed_u64(u64::from(block.tail_crc));
        encoder.uint(block.first_seq);
        encoder.uint(block.last_seq);
        encoder.uint(block.spans);
        encoder.uint(block.traces);
        encoder.uint(block.first_arrival_ms);
        encoder.uint(block.last_arrival_ms);
        encoder.optional(block.starts_ns, |encoder, (earliest, latest)| {
            encoder.uint(earliest);
            encoder.uint(latest);
        });
        encoder.uint(block.flags());
        // Left for what else blocks want to be known of them.
        encoder.bytes(&[]);
    }
}

fn decode_block(decoder: &mut Decoder<'_>) -> Result<BlockEntry, Malformed> {
    let mut block = BlockEntry {
        name: decoder.string()?,
        bytes: decoder.uint()?,
        tail_bytes: decoder.uint()?,
        tail_crc: u32::try_from(decoder.fixed_u64()?)
            .map_err(|_| Malformed { what: "a checksum out of its range" })?,
        first_seq: decoder.uint()?,
        last_seq: decoder.uint()?,
        spans: decoder.uint()?,
        traces: decoder.uint()?,
        first_arrival_ms: decoder.uint()?,
        last_arrival_ms: decoder.uint()?,
        starts_ns: decoder.optional(|decoder| Ok((decoder.uint()?, decoder.uint()?)))?,
        ..BlockEntry::default()
    };
    block.set_flags(decoder.uint()?);
    decoder.bytes()?;
    Ok(block)
}

fn encode_tombstones(encoder: &mut Encoder<'_>, tombstones: &[Tombstone]) {
    encoder.count(tombstones.len());
    for one in tombstones {
        encoder.trace_id(one.trace_id);
        encoder.uint(one.through);
    }
}

fn decode_tombstone(decoder: &mut Decoder<'_>) -> Result<Tombstone, Malformed> {
    Ok(Tombstone { trace_id: decoder.trace_id()?, through: decoder.uint()? })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing;

    pub(in crate::catalog) fn random_change(random: &mut fastrand::Rng, state: &State) -> Change {
        let mut change = Change { sealed_through: state.sealed_through, ..Change::default() };
        for _ in 0..random.usize(0..3) {
            let last_seq = random.u64(1..40);
            change.add.push(BlockEntry {
                name: format!("B-{last_seq:020}.parquet"),
                tail_crc: random.u32(..),
                first_seq: random.u64(1..=last_seq),
                last_seq,
                starts_ns: random.bool().then(|| (random.u64(..), random.u64(..))),
                is_late: random.bool(),
                errors: *random.choice([None, Some(false), Some(true)]).as_ref().unwrap(),
                ..BlockEntry::default()
            });
            change.sealed_through = change.sealed_through.max(last_seq);
        }
        for block in &state.blocks {
            if random.u8(0..4) == 0 {
                change.remove.push(block.name.clone());
            }
        }
        if random.bool() {
            change.progress.put(testing::progress(random), random.u64(..));
        }
        let id = |random: &mut fastrand::Rng| TraceId::new(random.u128(1..9)).unwrap();
        if random.bool() {
            change.bury.push(Tombstone { trace_id: id(random), through: random.u64(..) });
        }
        if random.bool() {
            change.forget.push(id(random));
        }
        change
    }

    #[test]
    fn changes_and_what_they_come_to_read_back_as_written() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut state = State::default();
        for _ in 0..200 {
            let change = random_change(&mut random, &state);
            let (writer, nonce) = (random.u64(..), random.u64(..));
            let commit = Commit { writer, nonce, change: change.clone() };
            assert_eq!(Commit::decode(&commit.encode()).unwrap(), commit);
            let (before, is_idle) = (state.clone(), change.is_idle(&state));
            state.apply(change);
            assert_eq!(State::decode(&state.encode()).unwrap(), state);
            assert!(!is_idle || before == state);
            assert!(state.blocks.is_sorted_by_key(|block| block.last_seq));
            assert!(state.tombstones.is_sorted_by_key(|one| one.trace_id));
        }
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_malformed() {
        let mut random = fastrand::Rng::with_seed(2);
        let change = random_change(&mut random, &State::default());
        let good = Commit { writer: 1, nonce: 2, change }.encode();
        for len in 0..good.len() {
            assert!(Commit::decode(&good[..len]).is_err(), "{len}");
        }
        assert!(Commit::decode(&[&good[..], b"x"].concat()).is_err());
    }
}
