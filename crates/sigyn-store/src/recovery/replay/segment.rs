//! One file of the log: where it ends, what of it is damaged, and what becomes of it.

use super::Replay;
use crate::error::OpenError;
use crate::head::Replay as Words;
use crate::quarantine;
use crate::recovery::{io_error, unusable};
use crate::wal::frame::{HEADER_BYTES, Header, HeaderError};
use crate::wal::reader;
use crate::wal::window::Window;
use crate::wal::writer::Segment;

impl Replay<'_> {
    pub(super) fn segment(
        &mut self,
        path: &str,
        file_bytes: u64,
        is_last: bool,
    ) -> Result<(), OpenError> {
        let mut bytes = Window::new(self.disk, path, file_bytes);
        let header = bytes.from(0, HEADER_BYTES).map_err(io_error("reading", path))?;
        let header = match Header::decode(header) {
            Ok(header) => header,
            Err(error @ HeaderError::Version { .. }) => {
                return Err(unusable(path, error.to_string()));
            }
            // The header is durable before the first frame, so nothing was in it yet.
            Err(HeaderError::Damaged)
                if is_last && !bytes.is_any_lost() && bytes.len() <= HEADER_BYTES =>
            {
                return self.disk.remove(path).map_err(io_error("removing", path));
            }
            Err(HeaderError::Damaged) => {
                self.counters.damaged_spots.add(1);
                let cause = "the segment's header is damaged; its spans are missing";
                self.counters.damages.add(path, cause);
                self.is_end_told |= is_last;
                return self.quarantine(path);
            }
        };
        if header.instance != self.instance {
            return Err(unusable(path, "it belongs to another store"));
        }
        if self.is_whole_so_far && header.first_seq > self.last_seq + 1 {
            let (first, last) = (self.last_seq + 1, header.first_seq - 1);
            self.counters.damaged_spots.add(1);
            let cause = format!(
                "frames {first} to {last}, before those of this segment, are neither in the log nor in a block; \
                 their spans are missing"
            );
            self.counters.damages.add(path, &cause);
        }
        let file_bytes = bytes.len();
        if is_last {
            let len = reader::without_torn_end(&mut bytes, &header);
            let len = len.map_err(io_error("reading", path))?;
            // What was lost is no crash's doing.
            if !bytes.is_any_lost() {
                bytes.truncate(len);
            }
        }
        // Words of another segment are none of this one's.
        self.words = Words::default();
        let (outcome, unreadable) = self.read_frames(&mut bytes, path, &header)?;
        let may_be_torn = is_last && !bytes.is_any_lost();
        let damaged = outcome.damaged_spots(may_be_torn) + unreadable;
        if damaged > 0 {
            self.tell_damaged(path, damaged);
            self.is_end_told |= is_last;
        }
        let left_bytes = file_bytes - outcome.valid_bytes;
        if left_bytes > 0 && may_be_torn && !outcome.gave_up {
            tracing::warn!(path, bytes = left_bytes, "cut what a crash left at the log's end");
            let len = outcome.valid_bytes as u64;
            self.disk.truncate(path, len).map_err(io_error("cutting", path))?;
        }
        match outcome.last_seq {
            // The number after the last is free again, and so must be the name made of it.
            None if damaged == 0 => self.disk.remove(path).map_err(io_error("removing", path)),
            None => self.quarantine(path),
            Some(last_seq) => {
                let bytes = outcome.valid_bytes as u64;
                let segment = Segment { last_seq, bytes, is_damaged: damaged > 0 };
                self.is_whole_so_far = damaged == 0;
                self.segments.put(header.first_seq, segment);
                Ok(())
            }
        }
    }

    fn quarantine(&mut self, path: &str) -> Result<(), OpenError> {
        self.is_whole_so_far = false;
        self.counters.quarantined_files.add(1);
        quarantine::put(self.disk, path).map_err(io_error("setting aside", path))
    }
}
