//! Bytes that grow at their end, piece by small piece.

use std::ops::{Deref, DerefMut};

/// What it holds before anything is in it, so that most spans never ask for more.
const FIRST: usize = 512;
/// [`Buffer::put_short`] takes so much.
pub(crate) const SHORT_PIECE: usize = 4 + 64;

/// It grows by whole lines.
pub(crate) const LINE: usize = 64;
pub(crate) type Line = [u8; LINE];

/// Like a `Vec<u8>`, for pieces of a few bytes each: those are written without a call, and whether there
/// is room is asked once a piece.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// What lies behind `len` is of no meaning.
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    #[inline(always)]
    pub(crate) fn put(&mut self, piece: &[u8]) {
        copy(self.next(piece.len()), piece);
    }

    /// Two pieces, of which the first is as long as the caller says, and both together not longer than
    /// [`SHORT_PIECE`]. Writes nothing and says so if they are longer, or if there is no room as yet.
    #[inline(always)]
    pub(crate) fn put_short<const N: usize>(&mut self, first: [u8; N], second: &[u8]) -> bool {
        let rest = self.bytes.get_mut(self.len..).unwrap_or_default();
        let Some(room) = rest.first_chunk_mut::<SHORT_PIECE>() else { return false };
        let (head, room) = room.split_at_mut(N);
        head.copy_from_slice(&first);
        let Some(to) = room.get_mut(..second.len()) else { return false };
        copy(to, second);
        self.len += N + second.len();
        true
    }

    /// The next so many bytes, which whoever asks for them has to write.
    #[inline(always)]
    fn next(&mut self, count: usize) -> &mut [u8] {
        let (at, end) = (self.len, self.len + count);
        if end > self.bytes.len() {
            self.grow(end);
        }
        self.len = end;
        &mut self.bytes[at..end]
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, len: usize) {
        let room = len.next_power_of_two().max(FIRST);
        self.bytes.resize(room, 0);
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What it holds, and what lies behind up to a whole line.
    #[inline(always)]
    pub(crate) fn lines(&self) -> &[Line] {
        let lines = self.bytes.as_chunks().0;
        lines.get(..self.len.div_ceil(LINE)).unwrap_or_default()
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Memory that it keeps.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

/// Copies all of it. A short piece is two words that may overlap: cheaper than a call that finds out how
/// long it is.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        0..=1 => ends::<1>(to, from),
        2..=3 => ends::<2>(to, from),
        4..=7 => ends::<4>(to, from),
        8..=16 => ends::<8>(to, from),
        17..=32 => ends::<16>(to, from),
        33..=64 => ends::<32>(to, from),
        _ => to.copy_from_slice(from),
    }
}

#[inline(always)]
fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        if let Some(to) = to.first_chunk_mut() {
            *to = *first;
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = *last;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Put(Vec<u8>),
        Short([u8; 4], Vec<u8>),
        Truncate(usize),
        Clear,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let piece = prop::collection::vec(any::<u8>(), 0..80);
        let step = prop_oneof![
            4 => piece.clone().prop_map(Step::Put),
            4 => (any::<[u8; 4]>(), piece).prop_map(|(first, second)| Step::Short(first, second)),
            1 => (0..3000usize).prop_map(Step::Truncate),
            1 => Just(Step::Clear),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_vec_holds(steps in steps()) {
            let (mut buffer, mut vec) = (Buffer::default(), Vec::new());
            for step in steps {
                match step {
                    Step::Put(piece) => {
                        buffer.put(&piece);
                        vec.extend_from_slice(&piece);
                    }
                    Step::Short(first, second) => {
                        if buffer.put_short(first, &second) {
                            prop_assert!(second.len() <= 64);
                            vec.extend_from_slice(&first);
                            vec.extend_from_slice(&second);
                        } else {
                            prop_assert!(second.len() > 64 || buffer.capacity() < vec.len() + SHORT_PIECE);
                        }
                    }
                    Step::Truncate(len) => {
                        buffer.truncate(len);
                        vec.truncate(len);
                    }
                    Step::Clear => {
                        buffer.clear();
                        vec.clear();
                    }
                }
                prop_assert_eq!(&buffer[..], &vec[..]);
            }
        }
    }
}
