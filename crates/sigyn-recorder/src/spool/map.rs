//! The mapped part of a spool file: slots, each of which one chunk fills. The only `unsafe` of this crate.
#![expect(unsafe_code, reason = "a mapping is memory that no Rust type owns")]

use std::fs::File;
use std::io;
#[cfg(not(miri))]
use std::ptr;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, compiler_fence};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(not(miri))]
use rustix::fs::FallocateFlags;
#[cfg(not(miri))]
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::layout::{Kind, RUN_HEAD, run};

/// Slots of one file. Each has one owner at a time, a [`Slot`].
#[derive(Debug)]
pub(super) struct Slots {
    base: NonNull<u8>,
    file: File,
    /// Where the first one lies in the file.
    at: u64,
    stride: usize,
    count: usize,
    free: Mutex<Free>,
    runs: AtomicU64,
    /// Runs stay when their slots go: whoever comes after reads them.
    pub(super) is_left: AtomicBool,
    /// How often there was no room, and how often a chunk went on in memory.
    pub(super) refused: AtomicU64,
    pub(super) left: AtomicU64,
}

#[derive(Debug, Default)]
struct Free {
    /// Given back.
    again: Vec<usize>,
    /// From here on none was ever used, and none has memory yet.
    untouched: usize,
}

// SAFETY: the mapping belongs to no thread. Bytes of a slot are written by the one `Slot` that has its number only, through
// `&mut`; numbers are handed out under a lock, each to one owner.
unsafe impl Send for Slots {}
// SAFETY: as above; what is shared are numbers under a lock and atomics.
unsafe impl Sync for Slots {}

impl Slots {
    /// `at` must be a multiple of the page size, and `stride` one of 64.
    pub(super) fn map(file: File, at: u64, stride: usize, count: usize) -> io::Result<Self> {
        debug_assert!(stride.is_multiple_of(RUN_HEAD) && stride > RUN_HEAD);
        let len = stride * count;
        #[cfg(miri)]
        let base = memory(len)?;
        #[cfg(not(miri))]
        let base = Self::mapping(&file, at, len)?;
        Ok(Self {
            base,
            file,
            at,
            stride,
            count,
            free: Mutex::default(),
            runs: AtomicU64::new(1),
            is_left: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            left: AtomicU64::new(0),
        })
    }

    #[cfg(not(miri))]
    fn mapping(file: &File, at: u64, len: usize) -> io::Result<NonNull<u8>> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping, of no memory that anybody has. The file is as long as that (`Spool::create`), nobody makes
        // it shorter, and a slot has its memory before it is touched (`reserve`), so that no access can fail.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, prot, flags, file, at) }?;
        Ok(NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?)
    }

    pub(super) fn room_bytes_max(&self) -> usize {
        self.stride - RUN_HEAD
    }

    /// A slot with nothing in it; `None` if all are in use, or the file system is full.
    pub(super) fn take(self: &Arc<Self>, kind: Kind, wall_offset: i64) -> Option<Slot> {
        let index = self.number()?;
        let mut slot = Slot { slots: Arc::clone(self), index, len: 0 };
        slot.begin(kind, wall_offset);
        Some(slot)
    }

    fn number(&self) -> Option<usize> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = free.again.pop() {
            return Some(index);
        }
        let index = free.untouched;
        if index >= self.count || self.reserve(index).is_err() {
            drop(free);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        free.untouched += 1;
        Some(index)
    }

    /// There is nothing to be had.
    #[cfg(miri)]
    fn reserve(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    /// Gives a slot its memory for good: a full file system says so here, and not by a signal later.
    #[cfg(not(miri))]
    fn reserve(&self, index: usize) -> io::Result<()> {
        let at = self.at + (index * self.stride) as u64;
        rustix::fs::fallocate(&self.file, FallocateFlags::empty(), at, self.stride as u64)?;
        let page = 4096;
        let from = (index * self.stride).next_multiple_of(page);
        let to = (index + 1) * self.stride / page * page;
        if from < to {
            // SAFETY: whole pages of this mapping; populating them changes no byte. Kernels that cannot do it say so.
            let _ = unsafe {
                let start = self.base.as_ptr().add(from);
                rustix::mm::madvise(start.cast(), to - from, Advice::LinuxPopulateWrite)
            };
        }
        Ok(())
    }

    fn give_back(&self, index: usize) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).again.push(index);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        #[cfg(not(miri))]
        // SAFETY: what `map` mapped, once. Every `Slot` holds an `Arc` of this, so none is left.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.stride * self.count) };
    }
}

/// One run of spans in the file, which this process alone writes. Dropped, it is gone from there.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    index: usize,
    len: usize,
}

impl Slot {
    /// Its bytes in the mapping.
    #[inline]
    fn start(&self) -> *mut u8 {
        // SAFETY: `index < count`, so it stays within the mapping, which `slots` keeps alive.
        unsafe { self.slots.base.as_ptr().add(self.index * self.slots.stride) }
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at.is_multiple_of(4) && at < RUN_HEAD);
        // SAFETY: within the run's head and aligned, as strides are multiples of 64 and the base is a page. In this
        // process heads are only touched through atomics, and other processes read them by system calls.
        unsafe { AtomicU32::from_ptr(self.start().add(at).cast()) }
    }

    #[inline]
    fn long(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8) && at < RUN_HEAD);
        // SAFETY: as in `word`.
        unsafe { AtomicU64::from_ptr(self.start().add(at).cast()) }
    }

    fn begin(&mut self, kind: Kind, wall_offset: i64) {
        self.word(run::KIND).store(Kind::Free as u32, Ordering::Release);
        for at in [run::BEGUN, run::DONE, run::CRC, run::CLOSED] {
            self.word(at).store(0, Ordering::Relaxed);
        }
        self.long(run::SEQ).store(0, Ordering::Relaxed);
        self.long(run::WALL_OFFSET).store(wall_offset.cast_unsigned(), Ordering::Relaxed);
        let number = self.slots.runs.fetch_add(1, Ordering::Relaxed);
        self.long(run::NUMBER).store(number, Ordering::Relaxed);
        self.word(run::KIND).store(kind as u32, Ordering::Release);
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes behind the head are this slot's own and written; they change only through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start().add(RUN_HEAD), self.len) }
    }

    /// Adds so many bytes, which `write` writes. False: there is no room for them, and nothing was done.
    ///
    /// Whoever finds the file later sees by the two lengths whether the last piece is whole.
    #[inline]
    pub(crate) fn append(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> bool {
        let end = self.len + len;
        if end > self.slots.room_bytes_max() {
            return false;
        }
        let told = u32::try_from(end).unwrap_or(u32::MAX);
        self.word(run::BEGUN).store(told, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        // SAFETY: the bytes from `len` to `end` are this slot's own, within its room, and nobody else sees them. They are
        // initialised: pages of a file are zeroes at first.
        write(unsafe {
            std::slice::from_raw_parts_mut(self.start().add(RUN_HEAD + self.len), len)
        });
        self.word(run::DONE).store(told, Ordering::Release);
        self.len = end;
        true
    }

    pub(crate) fn takes(&self) -> usize {
        self.slots.stride
    }

    /// Nothing is added to it any more.
    pub(crate) fn close(&mut self) {
        if self.word(run::CLOSED).load(Ordering::Relaxed) == 0 {
            let crc = crc32c::crc32c(self.bytes());
            self.word(run::CRC).store(crc, Ordering::Relaxed);
            self.word(run::CLOSED).store(1, Ordering::Release);
        }
    }

    /// It belongs to a segment, which counts once the segment has its row.
    pub(super) fn set_segment(&mut self, kind: Kind, seq: u64) {
        self.long(run::SEQ).store(seq, Ordering::Relaxed);
        self.word(run::KIND).store(kind as u32, Ordering::Release);
    }

    /// Its chunk goes on in memory.
    pub(crate) fn is_left(&self) {
        self.slots.left.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.slots.is_left.load(Ordering::Relaxed) {
            return;
        }
        self.word(run::KIND).store(Kind::Free as u32, Ordering::Release);
        self.slots.give_back(self.index);
    }
}

/// Miri knows no mappings of files: it looks at all else with memory in the place of one, which is never given back.
#[cfg(miri)]
fn memory(len: usize) -> io::Result<NonNull<u8>> {
    let pages = vec![[0_u64; 512]; len.div_ceil(4096)].leak();
    Ok(NonNull::from(pages).cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRIDE: usize = 4096;

    fn slots(count: usize) -> Arc<Slots> {
        #[cfg(miri)]
        let file = File::open("/dev/null").unwrap();
        #[cfg(not(miri))]
        let file = tempfile::tempfile().unwrap();
        #[cfg(not(miri))]
        file.set_len((STRIDE * count) as u64).unwrap();
        Arc::new(Slots::map(file, 0, STRIDE, count).unwrap())
    }

    #[test]
    fn each_slot_has_one_owner_and_its_own_bytes() {
        let slots = slots(4);
        let fill = |byte: u8| {
            for _ in 0..5 {
                let mut slot = slots.take(Kind::Plain, 0).unwrap();
                assert!(slot.bytes().is_empty());
                while slot.append(61, |to| to.fill(byte)) {}
                assert!(slot.bytes().iter().all(|found| *found == byte));
                assert!(slot.bytes().len() > STRIDE - RUN_HEAD - 61);
                slot.close();
                slot.set_segment(Kind::Copy, 7);
            }
        };
        std::thread::scope(|scope| {
            for byte in 1..=4 {
                let fill = &fill;
                scope.spawn(move || fill(byte));
            }
        });
        let all: Vec<_> = (0..4).map(|_| slots.take(Kind::Plain, 0).unwrap()).collect();
        assert!(slots.take(Kind::Plain, 0).is_none());
        assert_eq!(slots.refused.load(Ordering::Relaxed), 1);
        drop(all);
        assert!(slots.take(Kind::Plain, 0).is_some());
    }

    #[test]
    fn what_has_no_room_changes_nothing() {
        let mut slot = slots(1).take(Kind::Plain, 0).unwrap();
        assert!(slot.append(STRIDE - RUN_HEAD, |to| to.fill(1)));
        assert!(!slot.append(1, |_| unreachable!("there is no room")));
        assert!(slot.append(0, |to| assert!(to.is_empty())));
        assert_eq!(slot.bytes().len(), STRIDE - RUN_HEAD);
    }
}
