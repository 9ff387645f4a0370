//! The blocks that are made: each of one sort of spans, and all of them within one bound on memory.

use std::sync::Arc;

use super::lot::Lot;
use super::{MergeError, Part};
use crate::block::piece::Piece;
use crate::block::plan::Plan;
use crate::block::writer::{BlockWriter, Origin};
use crate::catalog::BlockEntry;
use crate::disk::Disk;

/// Where everything goes.
pub(super) struct Outputs<'a> {
    disk: &'a Disk,
    /// Of the blocks, but for what sort of spans they are of.
    origin: Origin,
    /// Of the commit that will name what is made.
    number: u64,
    plan: Plan,
    /// What row groups may take that are being filled, together.
    group_bytes_max: u64,
    /// What may be collected beside the columns of all of them.
    beside_bytes_max: u64,
    /// The place of each is the number of its file.
    outputs: Vec<Output<'a>>,
    /// Of rows that are not written yet.
    bytes: u64,
}

struct Output<'a> {
    part: Part,
    writer: BlockWriter<'a>,
    lot: Lot,
}

/// More rows than these are not written at once: whoever waits for it waits too long.
const LOT_ROWS_MAX: usize = 16 << 10;

impl<'a> Outputs<'a> {
    pub(super) fn new(
        disk: &'a Disk,
        origin: Origin,
        number: u64,
        plan: Plan,
        bytes_max: u64,
    ) -> Self {
        let (group_bytes_max, beside_bytes_max) = (bytes_max / 3, bytes_max / 4);
        let (outputs, bytes) = (Vec::new(), 0);
        Self { disk, origin, number, plan, group_bytes_max, beside_bytes_max, outputs, bytes }
    }

    /// What rows take that are not written yet.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether they are so many that they are to be written.
    pub(super) fn are_many(&self) -> bool {
        self.outputs.iter().map(|output| output.lot.len()).sum::<usize>() >= LOT_ROWS_MAX
    }

    /// What is taken by blocks that they were written to.
    pub(super) fn written_bytes(&self) -> u64 {
        let bytes = |one: &Output<'_>| one.writer.group_bytes() + one.writer.beside_bytes();
        self.outputs.iter().map(bytes).sum()
    }

    /// Puts a row that came between these times.
    pub(super) fn put(
        &mut self,
        part: Part,
        (piece, row): (&Arc<Piece>, u32),
        arrivals_ms: (u64, u64),
    ) -> Result<(), MergeError> {
        self.output(part)?.lot.push(piece, row, arrivals_ms);
        self.bytes += piece.weight(row);
        Ok(())
    }

    fn output(&mut self, part: Part) -> Result<&mut Output<'a>, MergeError> {
        let at = match self.outputs.iter().position(|output| output.part == part) {
            Some(at) => at,
            None => {
                let at = self.outputs.len();
                let merged = Some((self.number, u32::try_from(at).unwrap_or(u32::MAX)));
                let Part { is_late, errors } = part;
                let origin = Origin { merged, is_late, errors, ..self.origin };
                let writer = BlockWriter::create(self.disk, origin, self.plan.clone())?;
                self.outputs.push(Output { part, writer, lot: Lot::default() });
                at
            }
        };
        Ok(&mut self.outputs[at])
    }

    /// Writes all rows that were put, as one source a block.
    pub(super) fn write(&mut self, stop: &dyn Fn() -> bool) -> Result<(), MergeError> {
        for output in &mut self.outputs {
            if output.lot.is_empty() {
                continue;
            }
            let lot = std::mem::take(&mut output.lot);
            output.writer.add(&lot, stop)?;
        }
        self.bytes = 0;
        let held = |outputs: &[Output<'_>]| -> u64 {
            outputs.iter().map(|output| output.writer.group_bytes()).sum()
        };
        while held(&self.outputs) > self.group_bytes_max {
            let largest = self.outputs.iter_mut().max_by_key(|output| output.writer.group_bytes());
            match largest {
                Some(output) => output.writer.write_group(stop)?,
                None => break,
            }
        }
        self.make_room();
        Ok(())
    }

    /// Lets blocks tell less beside their rows where that takes too much: the one first that tells most.
    fn make_room(&mut self) {
        let bytes = |output: &Output<'_>| output.writer.beside_bytes();
        while self.outputs.iter().map(bytes).sum::<u64>() > self.beside_bytes_max {
            let largest = self.outputs.iter_mut().max_by_key(|output| bytes(output));
            if !largest.is_some_and(|output| output.writer.make_room()) {
                break;
            }
        }
    }

    /// Makes all blocks durable; returns what they are. If one cannot be made, none is.
    pub(super) fn finish(mut self, stop: &dyn Fn() -> bool) -> Result<Vec<BlockEntry>, MergeError> {
        self.write(stop)?;
        let mut made = Vec::new();
        for output in self.outputs {
            match output.writer.finish(stop) {
                Ok(entry) => made.push(entry),
                Err(error) => {
                    super::discard(self.disk, &made);
                    return Err(error.into());
                }
            }
        }
        Ok(made)
    }
}
