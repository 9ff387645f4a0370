//! When a block is made of what was read of the log, and making it.

use std::sync::Arc;

use super::{Replay, Unsealable};
use crate::block::Block;
use crate::block::writer::{self, Origin};
use crate::catalog::{self, Change};
use crate::damage::{is_full, sentence};
use crate::error::OpenError;
use crate::head::{HeadWriter, Replayed};
use crate::recovery::io_error;
use crate::shared::Shared;
use crate::wal::frame::{self, Frame};
use crate::wal::reader;

impl Replay<'_> {
    /// A store that is killed again and again before it has sealed would come back with ever more in
    /// memory, and be killed for that.
    pub(super) fn has_enough(&self) -> bool {
        self.head.head().bytes() >= self.head_bytes_enough
    }

    /// Where that failed it is tried once more when nothing else is left.
    pub(super) fn is_due(&self, frame: &Frame<'_>, goes_on: bool) -> bool {
        let must_be = goes_on || self.unsealable.is_some();
        if must_be { self.is_too_much(frame) } else { self.has_enough() }
    }

    /// Whether a frame might be more than there is room for beside what was read.
    pub(super) fn is_too_much(&self, frame: &Frame<'_>) -> bool {
        let bytes = self.head.head().bytes();
        let max = bytes.saturating_add(Replayed::head_bytes(frame.payload));
        bytes > 0 && max > self.head_bytes_max
    }

    /// Whether that could be done.
    pub(super) fn seal(&mut self) -> Result<bool, OpenError> {
        let first_seq = self.catalog.state().sealed_through + 1;
        let origin = Origin::sealed(self.instance, first_seq, self.last_seq);
        let view = self.head.view();
        let stop = || self.reads_on.is_some_and(Shared::is_stopping);
        let entry = match writer::write(self.disk, origin, &view, self.group_bytes_max, stop) {
            Ok(entry) => entry,
            Err(error) => return Ok(self.cannot("write the block", &error)),
        };
        let opened = match Block::open(self.disk, &entry, self.cache) {
            Ok(opened) => opened,
            Err(error) => return Ok(self.cannot("read the block", &error)),
        };
        let change = Change {
            add: vec![entry],
            sealed_through: self.last_seq,
            progress: self.progress.since(&self.catalog.state().progress),
            ..Change::default()
        };
        if let Err(error) = self.catalog.commit(change) {
            if error.is_final() {
                self.is_catalog_unknown = true;
                return Err(io_error("writing", catalog::DIR)(error.into()));
            }
            // It is made again, and until then the disk may need the room.
            opened.doom();
            return Ok(self.cannot("write the catalog", &std::io::Error::from(error)));
        }
        self.counters.seals.add(1);
        self.unsealable = None;
        match self.reads_on {
            Some(shared) => shared.view.put_back(Arc::new(opened)),
            None => self.blocks.push(Arc::new(opened)),
        }
        let sealed = std::mem::replace(&mut self.head, HeadWriter::new());
        // Only frames that are read next use them, if they are of the same chapter.
        self.words.go_on_in(&mut self.head, sealed.head());
        Ok(true)
    }

    /// Notes why no block could be made.
    fn cannot(&mut self, attempt: &str, error: &(dyn std::error::Error + 'static)) -> bool {
        let cause = format!("cannot {attempt}: {}", sentence(error));
        tracing::warn!(cause, "no block can be made of the log yet");
        self.unsealable = Some(Unsealable { cause: cause.into(), is_full: is_full(error) });
        false
    }

    pub(super) fn may_seal_before(&self, next: Option<&(String, u64)>) -> bool {
        let Some((path, file_bytes)) = next else { return true };
        reader::with_first_frame(self.disk, path, *file_bytes, |frame| self.may_seal_at(frame))
            .unwrap_or(false)
    }

    /// Not between spans and the same spans again: whoever then reads on takes it that a block leaves them
    /// out. What cannot be read now may be just these, and readable later.
    pub(super) fn may_seal_at(&self, frame: &Frame<'_>) -> bool {
        frame.seq == self.last_seq + 1 && frame.frame_type != frame::TYPE_AGAIN
    }
}
