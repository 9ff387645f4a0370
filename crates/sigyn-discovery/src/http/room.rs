//! The memory that answers take which are read at once, over all clients that share it.
//!
//! Small answers have places of their own, and do not wait for large ones. Those that say that they
//! are large wait before anything of them is read; one that turns out to be large waits with what is
//! read. Whoever has a place for large ones waits for nobody, so waiting cannot go in a circle, and it
//! ends with the time that the answer has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::error::ClientError;

/// What is larger is a large answer.
const SMALL_BYTES: usize = 128 << 10;
/// As much as one large answer may take where there is room for several.
const LARGE_BYTES: usize = 64 << 20;
/// Where nobody says how much there is.
const DEFAULT_BYTES: u64 = 256 << 20;

/// The places that there are. Clones share them.
#[derive(Clone, Debug)]
pub struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    large_bytes: usize,
    setting: &'static str,
    refused: AtomicU64,
}

/// An answer with the places that it has until it is dropped.
struct Kept {
    bytes: Bytes,
    _places: Vec<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

impl Room {
    /// Room for so many bytes: a quarter for small answers, the rest for large ones. There are always
    /// a small and a large place.
    pub fn new(bytes: u64) -> Self {
        Self::set_by("a larger room", bytes)
    }

    /// The same, and what people raise to have more: errors name it.
    pub fn set_by(setting: &'static str, bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let small = (bytes / 4 / SMALL_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let left = (bytes - bytes / 4).max(SMALL_BYTES);
        let large = (left / LARGE_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            small: Arc::new(Semaphore::new(small)),
            large: Arc::new(Semaphore::new(large)),
            large_bytes: left / large,
            setting,
            refused: AtomicU64::new(0),
        }))
    }

    /// How many answers had none, or were larger than a place.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Reads a body of `limit` bytes at most.
    pub(crate) async fn read(
        &self,
        mut body: Incoming,
        limit: usize,
        deadline: Instant,
    ) -> Result<Bytes, ClientError> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let mut is_large = announced > SMALL_BYTES;
        let first = if is_large { &self.0.large } else { &self.0.small };
        let mut places = vec![self.place(first, deadline).await?];
        // What is announced is taken at once, so that it need not be copied as it grows.
        let mut read = BytesMut::with_capacity(announced.min(limit).min(self.0.large_bytes));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| ClientError::Cut { source })?;
            let Ok(data) = frame.into_data() else { continue };
            let bytes = read.len() + data.len();
            if bytes > limit {
                return Err(ClientError::TooLarge { limit });
            }
            if bytes > self.0.large_bytes {
                self.refuse();
                let (limit, setting) = (self.0.large_bytes, self.0.setting);
                return Err(ClientError::NoRoom { limit, setting });
            }
            if bytes > SMALL_BYTES && !is_large {
                is_large = true;
                places.push(self.place(&self.0.large, deadline).await?);
            }
            read.extend_from_slice(&data);
        }
        Ok(Bytes::from_owner(Kept { bytes: read.freeze(), _places: places }))
    }

    async fn place(
        &self,
        places: &Arc<Semaphore>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, ClientError> {
        let waiting = timeout_at(deadline, Arc::clone(places).acquire_owned()).await;
        // The semaphore is never closed.
        waiting.ok().and_then(Result::ok).ok_or_else(|| {
            self.refuse();
            ClientError::Crowded { setting: self.0.setting }
        })
    }

    fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_take_no_more_than_there_is() {
        let places = |bytes| {
            let Inner { small, large, large_bytes, .. } = &*Room::new(bytes).0;
            (small.available_permits(), large.available_permits(), *large_bytes)
        };
        assert_eq!(places(0), (1, 1, SMALL_BYTES));
        assert_eq!(places(12 << 20), (24, 1, 9 << 20));
        assert_eq!(places(256 << 20), (512, 3, 64 << 20));
        let (small, large, bytes) = places(u64::MAX);
        assert!(small > 0 && large > 0 && bytes >= LARGE_BYTES);
    }
}
