//! Lists that grow at their end while others read them: chunks that stay where they are.
//!
//! One thread writes. Whoever reads must have learned from a [`Release`](Ordering::Release) of the writer
//! that an element is there; what is not there reads as zero, or as nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The first chunks hold a quarter of this each, and all others about a quarter of what is before them:
/// no more than a quarter of the memory is there in vain.
const FIRST: u64 = 1 << FIRST_OCTAVE;
const FIRST_OCTAVE: u32 = 8;
/// For every number of 32 bits: four for each of its lengths.
const CHUNKS: usize = (33 - FIRST_OCTAVE as usize) * 4;

type Chunks<T> = [OnceLock<Box<[T]>>; CHUNKS];

/// Where an element stands. Columns of one table have the same place for the same row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    chunk: usize,
    offset: usize,
    chunk_len: usize,
}

impl Place {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "less than four thousand million")]
    pub(super) fn of(at: u32) -> Self {
        let at = u64::from(at) + FIRST;
        let octave = at.ilog2();
        let shift = octave - 2;
        let chunk = (octave - FIRST_OCTAVE) as usize * 4 + (at >> shift & 3) as usize;
        let chunk_len = 1 << shift;
        Self { chunk, offset: at as usize & (chunk_len - 1), chunk_len }
    }
}

/// A number of fixed width that one thread writes and others read.
pub(super) trait Cell: Default {
    type Value: Copy + Default;

    fn get(&self) -> Self::Value;
    fn set(&self, value: Self::Value);
}

macro_rules! cell {
    ($cell:ty, $value:ty) => {
        impl Cell for $cell {
            type Value = $value;

            #[inline]
            fn get(&self) -> $value {
                self.load(Ordering::Relaxed)
            }

            #[inline]
            fn set(&self, value: $value) {
                self.store(value, Ordering::Relaxed);
            }
        }
    };
}

cell!(AtomicU16, u16);
cell!(AtomicU32, u32);
cell!(AtomicU64, u64);

/// Numbers by their place.
#[derive(Debug)]
pub(super) struct Column<C> {
    chunks: Chunks<C>,
    bytes: AtomicUsize,
}

impl<C> Default for Column<C> {
    fn default() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], bytes: AtomicUsize::new(0) }
    }
}

impl<C: Cell> Column<C> {
    #[inline]
    pub(super) fn get(&self, at: u32) -> C::Value {
        self.get_at(Place::of(at))
    }

    #[inline]
    pub(super) fn get_at(&self, place: Place) -> C::Value {
        let cell = self.chunks[place.chunk].get().and_then(|chunk| chunk.get(place.offset));
        cell.map_or_else(C::Value::default, Cell::get)
    }

    #[inline]
    pub(super) fn set(&self, at: u32, value: C::Value) {
        self.set_at(Place::of(at), value);
    }

    #[inline]
    pub(super) fn set_at(&self, place: Place, value: C::Value) {
        let chunk = match self.chunks[place.chunk].get() {
            Some(chunk) => chunk,
            None => self.grow(place),
        };
        chunk[place.offset].set(value);
    }

    /// Cells that stand together, if they are there: `N` of them is a power of two that is no more than the
    /// smallest chunk, and `at` one of its multiples.
    #[inline]
    pub(super) fn together<const N: usize>(&self, at: u32) -> Option<&[C; N]> {
        let place = Place::of(at);
        let chunk = self.chunks[place.chunk].get()?;
        chunk.get(place.offset..)?.first_chunk()
    }

    /// Sets what stands from there on, one for each of these.
    pub(super) fn set_all<T>(&self, first: u32, all: &[T], value: impl Fn(&T) -> C::Value) {
        let (mut at, mut rest) = (first, all);
        while !rest.is_empty() {
            let place = Place::of(at);
            let (now, later) = rest.split_at(rest.len().min(place.chunk_len - place.offset));
            let chunk = match self.chunks[place.chunk].get() {
                Some(chunk) => chunk,
                None => self.grow(place),
            };
            let cells = &chunk[place.offset..place.offset + now.len()];
            cells.iter().zip(now).for_each(|(cell, one)| cell.set(value(one)));
            at = at.saturating_add(u32::try_from(now.len()).unwrap_or(u32::MAX));
            rest = later;
        }
    }

    /// Calls `each` with the elements of a range, those of a chunk together.
    pub(super) fn each_cells(&self, range: std::ops::Range<u32>, mut each: impl FnMut(&[C])) {
        let mut at = range.start;
        while at < range.end {
            let place = Place::of(at);
            let left = (range.end - at) as usize;
            let len = left.min(place.chunk_len - place.offset);
            let chunk = self.chunks[place.chunk].get().map_or(&[][..], |chunk| chunk);
            each(chunk.get(place.offset..place.offset + len).unwrap_or_default());
            at = at.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        }
    }

    #[cold]
    fn grow(&self, place: Place) -> &[C] {
        self.chunks[place.chunk].get_or_init(|| {
            self.bytes.fetch_add(place.chunk_len * size_of::<C>(), Ordering::Relaxed);
            (0..place.chunk_len).map(|_| C::default()).collect()
        })
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.load(Ordering::Relaxed)
    }
}

/// Values of any sort by their place, each put there once.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    chunks: Chunks<OnceLock<T>>,
    bytes: AtomicUsize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], bytes: AtomicUsize::new(0) }
    }
}

impl<T> Shelf<T> {
    #[inline]
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        let place = Place::of(at);
        self.chunks[place.chunk].get()?.get(place.offset)?.get()
    }

    /// What is there already stays.
    pub(super) fn put(&self, at: u32, value: T) {
        let place = Place::of(at);
        let chunk = self.chunks[place.chunk].get_or_init(|| {
            self.bytes.fetch_add(place.chunk_len * size_of::<OnceLock<T>>(), Ordering::Relaxed);
            (0..place.chunk_len).map(|_| OnceLock::new()).collect()
        });
        chunk[place.offset].get_or_init(|| value);
    }

    /// What it takes in memory, beside what its values point to.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let mut before: Option<Place> = None;
        for at in 0..100_000 {
            let place = Place::of(at);
            assert!(place.offset < place.chunk_len, "{at}");
            if let Some(before) = before {
                let is_next = place.chunk == before.chunk && place.offset == before.offset + 1;
                let is_first = place.chunk == before.chunk + 1
                    && (place.offset, before.offset + 1) == (0, before.chunk_len);
                assert!(is_next || is_first, "{at}");
            }
            before = Some(place);
        }
        assert!(Place::of(u32::MAX).chunk < CHUNKS);
    }

    #[test]
    fn what_was_set_is_there_and_the_rest_is_zero() {
        let column: Column<AtomicU32> = Column::default();
        assert_eq!(column.get(u32::MAX), 0);
        (0..5_000).for_each(|at| column.set(at, at * 3));
        assert!((0..5_000).all(|at| column.get(at) == at * 3));
        assert!(column.bytes() - size_of_val(&column) < 5_000 * 4 * 5 / 4 + 64 * 4);
        let mut cells = Vec::new();
        column.each_cells(300..4_000, |some| cells.extend(some.iter().map(Cell::get)));
        assert!(cells.into_iter().eq((300..4_000).map(|at| at * 3)));
        let more: Vec<u32> = (0..3_000).collect();
        column.set_all(4_321, &more, |n| n * 7);
        assert!((0..4_321).all(|at| column.get(at) == at * 3));
        assert!((0..3_000).all(|n| column.get(4_321 + n) == n * 7));
        let shelf = Shelf::default();
        assert_eq!(shelf.get(7), None);
        shelf.put(7, "first");
        shelf.put(7, "second");
        assert_eq!((shelf.get(6), shelf.get(7)), (None, Some(&"first")));
    }
}
