//! One embedded file.

use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::assets::ASSETS;

/// A file of the built UI.
pub struct Asset {
    path: &'static str,
    mime: &'static str,
    etag: &'static str,
    bytes: &'static [u8],
    gzip: OnceLock<Bytes>,
}

/// The file at `path`, relative to `dist/` and without a leading slash.
pub fn file(path: &str) -> Option<&'static Asset> {
    let place = ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
    ASSETS.get(place)
}

impl Asset {
    pub(crate) const fn new(
        path: &'static str,
        mime: &'static str,
        etag: &'static str,
        bytes: &'static [u8],
    ) -> Self {
        Self { path, mime, etag, bytes, gzip: OnceLock::new() }
    }

    /// Relative to `dist/`.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The `Content-Type`.
    pub fn mime(&self) -> &'static str {
        self.mime
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the bytes, without quotes.
    pub fn etag(&self) -> &'static str {
        self.etag
    }

    pub fn bytes(&self) -> Bytes {
        Bytes::from_static(self.bytes)
    }

    /// The gzipped bytes, or `None` if the file is compressed already. Made once, when first asked for.
    pub fn gzipped(&self) -> Option<Bytes> {
        let compressible = self.mime.starts_with("text/") || self.mime == "image/svg+xml";
        compressible.then(|| self.gzip.get_or_init(|| gzip(self.bytes)).clone())
    }

    /// Whether the name holds a hash of the contents, so that the file at this path never changes.
    pub(crate) fn is_immutable(&self) -> bool {
        self.path.starts_with("assets/")
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asset")
            .field("path", &self.path)
            .field("etag", &self.etag)
            .finish_non_exhaustive()
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::default());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    Bytes::from(encoder.finish().expect("writing to memory does not fail"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_file_is_found() {
        assert!(ASSETS.is_sorted_by(|a, b| a.path < b.path));
        for asset in &ASSETS {
            assert_eq!(file(asset.path).map(Asset::etag), Some(asset.etag));
        }
        assert!(file("../Cargo.toml").is_none());
    }

    #[test]
    fn fonts_are_not_compressed_twice() {
        for asset in &ASSETS {
            assert_eq!(asset.gzipped().is_none(), asset.path.ends_with(".woff2"), "{}", asset.path);
        }
    }
}
