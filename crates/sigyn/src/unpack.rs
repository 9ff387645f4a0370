//! Packed bodies to plain ones, in one go each, bounded by what they really become.
//!
//! What a body says of its size is a hint and no more: a buffer of about that size is tried first, and a
//! larger one if that was too little, up to the limit. Whoever counts memory goes from one size to the
//! next himself.

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{DecompressionError, Decompressor};
use zstd::zstd_safe::{self, DCtx};

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
    /// With zlib's head, as HTTP means it, or without, as some send it.
    Deflate,
}

/// Why a body cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("the body is no {encoding}")]
    Broken { encoding: &'static str },
    #[error("the body unpacks to more than {limit} bytes")]
    TooLarge { limit: usize },
}

/// What a buffer was too small for, or what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    TooSmall,
    Broken,
}

impl Encoding {
    /// HTTP's and gRPC's names, one at a time.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }

    pub(crate) fn broken(self) -> UnpackError {
        UnpackError::Broken { encoding: self.as_str() }
    }
}

/// No more than `limit` bytes. `None` if the body is not packed.
pub(crate) fn unpack(
    encoding: Encoding,
    body: &[u8],
    limit: usize,
) -> Result<Option<Vec<u8>>, UnpackError> {
    if encoding == Encoding::Identity {
        return if body.len() > limit { Err(UnpackError::TooLarge { limit }) } else { Ok(None) };
    }
    let mut size = first_size(encoding, body, limit);
    loop {
        match attempt(encoding, body, size) {
            Ok(unpacked) => return Ok(Some(unpacked)),
            Err(Attempt::Broken) => return Err(encoding.broken()),
            Err(Attempt::TooSmall) => {
                size = next_size(size, limit).ok_or(UnpackError::TooLarge { limit })?;
            }
        }
    }
}

/// What a body says of its size is believed up to so many times the guess. Beyond that, it has to be
/// found out: a few bytes that claim to be many MiB must not take them.
const TOLD_RATIO_MAX: usize = 16;

/// The size of the buffer that is tried first: what the body says, as far as that is likely.
pub(crate) fn first_size(encoding: Encoding, body: &[u8], limit: usize) -> usize {
    let told = match encoding {
        // A buffer that is full to the last byte is taken as too small.
        Encoding::Gzip => body.last_chunk().map(|size| u32::from_le_bytes(*size) as usize + 1),
        Encoding::Zstd => zstd_safe::get_frame_content_size(body)
            .ok()
            .flatten()
            .and_then(|size| usize::try_from(size).ok()),
        Encoding::Identity | Encoding::Deflate => None,
    };
    // Four times a body's size is about what spans become.
    let guess = body.len().saturating_mul(4).max(1 << 10);
    let believed = guess.saturating_mul(TOLD_RATIO_MAX);
    told.filter(|told| (2..=believed).contains(told)).unwrap_or(guess).clamp(1, limit)
}

/// The size after one that was too small, if there is one.
pub(crate) fn next_size(size: usize, limit: usize) -> Option<usize> {
    (size < limit).then(|| size.saturating_mul(4).min(limit))
}

/// Unpacks into a buffer of `size` bytes.
pub(crate) fn attempt(encoding: Encoding, body: &[u8], size: usize) -> Result<Vec<u8>, Attempt> {
    match encoding {
        Encoding::Identity if body.len() > size => Err(Attempt::TooSmall),
        Encoding::Identity => Ok(body.to_vec()),
        Encoding::Gzip => gzip(body, size),
        Encoding::Deflate => deflate(body, size),
        Encoding::Zstd => zstd(body, size),
    }
}

/// `inflate` into a buffer of `size` bytes.
fn inflated(
    size: usize,
    inflate: impl FnOnce(&mut [u8]) -> Result<usize, DecompressionError>,
) -> Result<Vec<u8>, Attempt> {
    let mut unpacked = vec![0; size];
    match inflate(&mut unpacked) {
        Ok(length) => {
            unpacked.truncate(length);
            Ok(unpacked)
        }
        Err(DecompressionError::InsufficientSpace) => Err(Attempt::TooSmall),
        Err(_) => Err(Attempt::Broken),
    }
}

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

fn gzip(body: &[u8], size: usize) -> Result<Vec<u8>, Attempt> {
    // The fast way reads the first member alone. It is also strict about the end of it, which Zipkin
    // is not.
    let (head, rest) = body.split_at(body.len().min(GZIP_MAGIC.len()));
    if head == GZIP_MAGIC && memchr::memmem::find(rest, &GZIP_MAGIC).is_none() {
        let unpacked = inflated(size, |out| Decompressor::new().gzip_decompress(body, out));
        if !matches!(unpacked, Err(Attempt::Broken)) {
            return unpacked;
        }
    }
    gzip_members(body, size)
}

/// All members. The checksum at the end of the last may be missing, and what follows is not looked at.
fn gzip_members(mut body: &[u8], size: usize) -> Result<Vec<u8>, Attempt> {
    let mut unpacked = Vec::with_capacity(size);
    loop {
        let packed = gzip_head(body).ok_or(Attempt::Broken)?;
        let begin = unpacked.len();
        let mut stream = Decompress::new(false);
        match stream.decompress_vec(packed, &mut unpacked, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) => {}
            Ok(_) if unpacked.len() == unpacked.capacity() => return Err(Attempt::TooSmall),
            _ => return Err(Attempt::Broken),
        }
        let read = usize::try_from(stream.total_in()).unwrap_or(usize::MAX);
        let Some((trailer, rest)) = packed.get(read..).and_then(<[u8]>::split_first_chunk::<8>)
        else {
            return Ok(unpacked);
        };
        let checksum = libdeflater::crc32(&unpacked[begin..]).to_le_bytes();
        if trailer[..4] != checksum {
            return Err(Attempt::Broken);
        }
        if !rest.starts_with(&GZIP_MAGIC) {
            return Ok(unpacked);
        }
        body = rest;
    }
}

/// What follows the head of a member.
fn gzip_head(body: &[u8]) -> Option<&[u8]> {
    const CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let (head, mut rest) = body.split_first_chunk::<10>()?;
    if !head.starts_with(&GZIP_MAGIC) {
        return None;
    }
    let flags = head[3];
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            rest = &rest[memchr::memchr(0, rest)? + 1..];
        }
    }
    if flags & CHECKSUM != 0 { rest.get(2..) } else { Some(rest) }
}

fn deflate(body: &[u8], size: usize) -> Result<Vec<u8>, Attempt> {
    let mut decompressor = Decompressor::new();
    match inflated(size, |out| decompressor.zlib_decompress(body, out)) {
        Err(Attempt::Broken) => inflated(size, |out| decompressor.deflate_decompress(body, out)),
        unpacked => unpacked,
    }
}

/// The library's code for a buffer that is too small: `ZSTD_error_dstSize_tooSmall`, negative.
const ZSTD_TOO_SMALL: usize = 0usize.wrapping_sub(70);

fn zstd(body: &[u8], size: usize) -> Result<Vec<u8>, Attempt> {
    let mut unpacked = Vec::with_capacity(size);
    match DCtx::create().decompress(&mut unpacked, body) {
        Ok(_) => Ok(unpacked),
        Err(ZSTD_TOO_SMALL) => Err(Attempt::TooSmall),
        Err(_) => Err(Attempt::Broken),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip_of(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib_of(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate_of(bytes: &[u8]) -> Vec<u8> {
        let zlib = zlib_of(bytes);
        zlib[2..zlib.len() - 4].to_vec()
    }

    fn zstd_of(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, 1).unwrap()
    }

    /// Without the size in the frame's head.
    fn zstd_stream_of(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const LIMIT: usize = 1 << 20;

    fn unpacked(encoding: Encoding, body: &[u8]) -> Result<Vec<u8>, UnpackError> {
        unpack(encoding, body, LIMIT).map(|unpacked| unpacked.unwrap())
    }

    #[test]
    fn bodies_of_every_size_come_out_whole() {
        for size in [0, 1, 10, 5_000, LIMIT - 1, LIMIT] {
            let plain: Vec<u8> = (0..size).map(|n| n * n / 7).map(|n| n.to_le_bytes()[0]).collect();
            for (encoding, body) in [
                (Encoding::Gzip, gzip_of(&plain)),
                (Encoding::Deflate, zlib_of(&plain)),
                (Encoding::Deflate, deflate_of(&plain)),
                (Encoding::Zstd, zstd_of(&plain)),
                (Encoding::Zstd, zstd_stream_of(&plain)),
            ] {
                assert!(unpacked(encoding, &body).unwrap() == plain, "{encoding:?} of {size}");
            }
        }
        assert_eq!(unpack(Encoding::Identity, b"ab", 2), Ok(None));
    }

    #[test]
    fn members_in_a_row_are_one_body() {
        let check = |encoding, body: &[Vec<u8>], expected: &[u8]| {
            assert_eq!(unpacked(encoding, &body.concat()).as_deref(), Ok(expected));
        };
        check(Encoding::Gzip, &[gzip_of(b"ab"), gzip_of(b"cd")], b"abcd");
        check(Encoding::Gzip, &[gzip_of(b"same"), gzip_of(b"same")], b"samesame");
        check(Encoding::Gzip, &[gzip_of(b""), gzip_of(b"cd")], b"cd");
        let large = vec![7; 300_000];
        check(Encoding::Gzip, &[gzip_of(&large), gzip_of(&large)], &[7; 600_000]);
        check(Encoding::Zstd, &[zstd_of(b"ab"), zstd_stream_of(b"cd")], b"abcd");
    }

    #[test]
    fn what_a_gzip_ends_with_need_not_be_there() {
        let check = |body: &[u8], expected: Option<&[u8]>| {
            let broken = UnpackError::Broken { encoding: "gzip" };
            let expected = expected.map(<[u8]>::to_vec).ok_or(broken);
            assert_eq!(unpacked(Encoding::Gzip, body), expected);
        };
        let whole = gzip_of(b"hello, hello, hello");
        let content = Some(&b"hello, hello, hello"[..]);
        check(&whole, content);
        for cut in 1..=8 {
            check(&whole[..whole.len() - cut], content);
        }
        for cut in 9..whole.len() {
            check(&whole[..whole.len() - cut], None);
        }
        check(&[&whole[..], b"something else"].concat(), content);
        let mut wrong = whole.clone();
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        check(&wrong, None);
        check(b"garbage", None);
        check(b"", None);
        check(&[0x1f, 0x8b, 8, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], None);
    }

    #[test]
    fn heads_with_names_and_extras_are_read() {
        let mut encoder = flate2::GzBuilder::new()
            .filename("spans.json")
            .comment("of today")
            .extra(vec![1, 2, 3])
            .write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"hello").unwrap();
        let mut body = encoder.finish().unwrap();
        assert_eq!(unpacked(Encoding::Gzip, &body).as_deref(), Ok(&b"hello"[..]));
        body.truncate(body.len() - 2);
        assert_eq!(unpacked(Encoding::Gzip, &body).as_deref(), Ok(&b"hello"[..]));
    }

    #[test]
    fn nothing_becomes_larger_than_the_limit_whatever_it_says() {
        let plain = vec![0; LIMIT + 1];
        let mut lying = gzip_of(&plain);
        let size = lying.len() - 4;
        lying[size..].copy_from_slice(&1u32.to_le_bytes());
        for (encoding, body) in [
            (Encoding::Gzip, gzip_of(&plain)),
            (Encoding::Gzip, lying),
            (Encoding::Gzip, gzip_of(&plain).repeat(2)),
            (Encoding::Deflate, zlib_of(&plain)),
            (Encoding::Deflate, deflate_of(&plain)),
            (Encoding::Zstd, zstd_of(&plain)),
            (Encoding::Zstd, zstd_stream_of(&plain)),
        ] {
            assert_eq!(unpacked(encoding, &body), Err(UnpackError::TooLarge { limit: LIMIT }));
            assert!(first_size(encoding, &body, LIMIT) <= LIMIT);
        }
    }

    #[test]
    fn what_a_body_says_of_its_size_is_believed_within_reason() {
        let check = |encoding, body: &[u8], expected: usize| {
            let first = first_size(encoding, body, 100 << 20);
            assert_eq!(first, expected, "{encoding:?} of {} bytes", body.len());
        };
        let plain = vec![0; 10_000];
        check(Encoding::Gzip, &gzip_of(&plain), 10_001);
        check(Encoding::Zstd, &zstd_of(&plain), 10_000);
        check(Encoding::Zstd, &zstd_stream_of(&plain), 1 << 10);
        check(Encoding::Deflate, &zlib_of(&plain), 1 << 10);
        // Heads of some bytes that say 90 MiB.
        let claim = u32::to_le_bytes(90 << 20);
        check(Encoding::Zstd, &[&b"\x28\xb5\x2f\xfd\xa0"[..], &claim].concat(), 1 << 10);
        check(Encoding::Gzip, &[&gzip_of(b"ab")[..], &claim].concat(), 1 << 10);
        check(Encoding::Gzip, b"", 1 << 10);
    }

    #[test]
    fn cut_and_flipped_bodies_are_told() {
        let plain = b"hello, hello, hello, hello".repeat(20);
        for (encoding, whole) in
            [(Encoding::Deflate, zlib_of(&plain)), (Encoding::Zstd, zstd_of(&plain))]
        {
            for cut in 1..whole.len() {
                let cut = &whole[..whole.len() - cut];
                assert!(unpacked(encoding, cut).is_err(), "{encoding:?} {}", cut.len());
            }
        }
    }
}
