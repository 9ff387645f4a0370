//! Reads and decompresses pieces of blocks; what that takes each thread keeps for the next one.

use std::cell::RefCell;
use std::io;

use zstd::bulk::Decompressor;

use crate::disk::Reader;

thread_local! {
    static ZSTD: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    static PACKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is larger is not kept.
const PACKED_BYTES_MAX: usize = 1 << 20;

/// What these bytes were before they were compressed. Errors if that is more than `raw_bytes`.
pub(super) fn decompress(packed: &[u8], raw_bytes: usize) -> io::Result<Vec<u8>> {
    ZSTD.with_borrow_mut(|kept| {
        let zstd = match kept {
            Some(zstd) => zstd,
            None => kept.insert(Decompressor::new()?),
        };
        zstd.decompress(packed, raw_bytes)
    })
}

/// What `read` makes of so many bytes from `offset` on.
pub(super) fn read_at<T>(
    file: &Reader,
    offset: u64,
    len: usize,
    read: impl FnOnce(&[u8]) -> T,
) -> io::Result<T> {
    let mut packed = PACKED.take();
    if packed.len() < len {
        packed.resize(len, 0);
    }
    let done = file.read_into(offset, &mut packed[..len]).map(|()| read(&packed[..len]));
    if len <= PACKED_BYTES_MAX {
        PACKED.set(packed);
    }
    done
}
