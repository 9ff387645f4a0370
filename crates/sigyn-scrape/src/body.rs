//! A response's bytes: read whole or not at all, unpacked, and bounded at every step.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Version, header};
use http_body::Body;
use http_body_util::BodyExt as _;

/// Zstandard for HTTP must not ask for a larger window than 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why a body is of no use. The cursor does not move then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("body was cut after {read} bytes (unexpected EOF)")]
    Cut { read: u64, source: hyper::Error },
    #[error("body was cut: it ended with the connection, after {read} bytes")]
    ToClose { read: u64 },
    #[error("body size limit exceeded: it has {limit} bytes or more")]
    TooLarge { limit: u64 },
    #[error("content encoding {0:?} is not known")]
    Encoding(String),
    #[error("cannot unpack the {encoding} body")]
    Unpack { encoding: &'static str, source: std::io::Error },
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, BodyError> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let text = match (values.next(), values.next()) {
            (None, _) => return Ok(Self::Identity),
            (Some(value), None) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            (Some(_), Some(_)) => "several".to_owned(),
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(BodyError::Encoding(text)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Whether the end of the body can be told from a lost connection.
pub(crate) fn end_is_marked(version: Version, headers: &HeaderMap) -> bool {
    version >= Version::HTTP_2
        || headers.contains_key(header::CONTENT_LENGTH)
        || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Reads a body that nobody wants to its end, so that its connection can be used again.
pub(crate) async fn skip<B>(body: &mut B, limit: u64) -> Result<(), BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| BodyError::Cut { read, source })?;
        read += frame.data_ref().map_or(0, |data| data.len() as u64);
        if read >= limit {
            return Err(BodyError::TooLarge { limit });
        }
    }
    Ok(())
}

/// Takes the next piece of `body`. `None` is its end; past `limit` bytes it is refused.
pub(crate) async fn read_on<B>(
    body: &mut B,
    read: &mut BytesMut,
    limit: u64,
) -> Result<Option<()>, BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let Some(frame) = body.frame().await else { return Ok(None) };
    let frame = frame.map_err(|source| BodyError::Cut { read: read.len() as u64, source })?;
    if let Ok(data) = frame.into_data() {
        if (read.len() + data.len()) as u64 >= limit {
            return Err(BodyError::TooLarge { limit });
        }
        read.extend_from_slice(&data);
    }
    Ok(Some(()))
}

/// Unpacks all members of `body`, and stops at `limit`: a small body may stand for a huge one.
pub(crate) fn unpack(encoding: Encoding, body: Bytes, limit: u64) -> Result<Bytes, BodyError> {
    // An empty body is no broken frame.
    if encoding == Encoding::Identity || body.is_empty() {
        return Ok(body);
    }
    let mut unpacked = Vec::with_capacity(body.len().saturating_mul(4).min(1 << 20));
    unpack_into(&mut unpacked, encoding, &body, limit)?;
    Ok(unpacked.into())
}

/// How many bytes `body` is, unpacked. None of them is kept.
pub(crate) fn measure(encoding: Encoding, body: &[u8], limit: u64) -> Result<u64, BodyError> {
    match encoding {
        Encoding::Identity => Ok(body.len() as u64),
        _ if body.is_empty() => Ok(0),
        _ => unpack_into(&mut std::io::sink(), encoding, body, limit),
    }
}

fn unpack_into(
    into: &mut impl std::io::Write,
    encoding: Encoding,
    body: &[u8],
    limit: u64,
) -> Result<u64, BodyError> {
    let failed = |source| BodyError::Unpack { encoding: encoding.name(), source };
    let read = match encoding {
        Encoding::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(body).map_err(failed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
            std::io::copy(&mut decoder.take(limit), into)
        }
        _ => std::io::copy(&mut flate2::bufread::MultiGzDecoder::new(body).take(limit), into),
    };
    let bytes = read.map_err(failed)?;
    if bytes >= limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    fn unpacked(encoding: Encoding, body: Vec<u8>, limit: u64) -> String {
        match unpack(encoding, body.into(), limit) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("! {error}"),
        }
    }

    #[test]
    fn every_member_is_unpacked_and_the_limit_is_kept() {
        let check = |encoding, body: Vec<u8>, limit, expected: &str| {
            assert_eq!(unpacked(encoding, body, limit), expected);
        };
        let mib = vec![0u8; 1 << 20];
        check(Encoding::Gzip, [gzip(b"ab"), gzip(b"cd")].concat(), 100, "abcd");
        check(Encoding::Zstd, [zstd(b"ab"), zstd(b"cd")].concat(), 100, "abcd");
        check(Encoding::Gzip, Vec::new(), 100, "");
        check(Encoding::Gzip, gzip(b"abcd"), 5, "abcd");
        check(
            Encoding::Gzip,
            gzip(b"abcd"),
            4,
            "! body size limit exceeded: it has 4 bytes or more",
        );
        check(
            Encoding::Gzip,
            gzip(&mib),
            1000,
            "! body size limit exceeded: it has 1000 bytes or more",
        );
        check(
            Encoding::Zstd,
            zstd(&mib),
            1000,
            "! body size limit exceeded: it has 1000 bytes or more",
        );
        check(Encoding::Gzip, b"no gzip".to_vec(), 100, "! cannot unpack the gzip body");
        check(Encoding::Zstd, b"no zstd".to_vec(), 100, "! cannot unpack the zstd body");
        let cut = |mut body: Vec<u8>| {
            body.truncate(body.len() - 3);
            body
        };
        check(Encoding::Gzip, cut(gzip(b"abcd")), 100, "! cannot unpack the gzip body");
        check(Encoding::Zstd, cut(zstd(b"abcd")), 100, "! cannot unpack the zstd body");
        check(
            Encoding::Gzip,
            [gzip(b"ab"), b"rest".to_vec()].concat(),
            100,
            "! cannot unpack the gzip body",
        );
    }
}
