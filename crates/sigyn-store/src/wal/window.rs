//! A segment of the log, of which only a stretch is in memory: whoever wrote it may have had more.

use std::fmt;
use std::io;

use bytes::Bytes;

use crate::disk::Disk;

/// What is read at once, if no more is asked for.
const WINDOW_BYTES: usize = if cfg!(test) { 200 } else { 1 << 20 };

/// Reads so many bytes from there on.
type Read<'a> = dyn Fn(u64, usize) -> io::Result<(Bytes, bool)> + 'a;

/// Bytes of a file, read from its beginning to its end.
pub(crate) struct Window<'a> {
    read: Box<Read<'a>>,
    len: usize,
    /// Where the bytes begin that are in memory.
    begin: usize,
    bytes: Bytes,
    is_any_lost: bool,
}

impl fmt::Debug for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<'a> Window<'a> {
    /// A file that has so many bytes.
    pub(crate) fn new(disk: &'a Disk, path: &'a str, file_bytes: u64) -> Self {
        let len = usize::try_from(file_bytes).unwrap_or(usize::MAX);
        let read = |at, bytes| disk.read_what_is_left(path, at, bytes);
        Self { read: Box::new(read), len, begin: 0, bytes: Bytes::new(), is_any_lost: false }
    }

    #[cfg(test)]
    pub(crate) fn of(all: &'a [u8]) -> Self {
        let read = |at: u64, bytes| {
            let at = usize::try_from(at).map_err(io::Error::other)?;
            Ok((Bytes::copy_from_slice(&all[at..at + bytes]), false))
        };
        let (read, len) = (Box::new(read), all.len());
        Self { read, len, begin: 0, bytes: Bytes::new(), is_any_lost: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes it for shorter.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Whether some of what was read so far is lost; there are zeros in its place.
    pub(crate) fn is_any_lost(&self) -> bool {
        self.is_any_lost
    }

    /// So many bytes from there on, or what there is of them.
    pub(crate) fn from(&mut self, at: usize, bytes: usize) -> io::Result<&[u8]> {
        let end = at.saturating_add(bytes).min(self.len);
        let at = at.min(end);
        if at < self.begin || self.begin + self.bytes.len() < end {
            // What was read before is given back before more is.
            self.bytes = Bytes::new();
            let bytes = (end - at).max(WINDOW_BYTES).min(self.len - at);
            let (read, is_any_lost) = (self.read)(at as u64, bytes)?;
            (self.begin, self.bytes) = (at, read);
            self.is_any_lost |= is_any_lost;
        }
        Ok(&self.bytes[at - self.begin..end - self.begin])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stretch_is_what_stands_there_wherever_others_were_read() {
        let all: Vec<u8> = (0..1_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut random = fastrand::Rng::with_seed(1);
        let mut window = Window::of(&all);
        for _ in 0..500 {
            let (at, bytes) = (random.usize(..1_100), random.usize(..400));
            let expected = &all[at.min(1_000)..(at + bytes).min(1_000)];
            assert_eq!(window.from(at, bytes).unwrap(), expected, "{bytes} bytes at {at}");
        }
        window.truncate(500);
        assert_eq!((window.len(), window.from(490, 20).unwrap()), (500, &all[490..500]));
    }
}
