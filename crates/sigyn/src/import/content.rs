//! What a file holds: told by its name and its first bytes, and read piece by piece.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;
use sigyn_model::Span;
use sigyn_model::codec::{self, Decoded, Format, Limits};

use super::trace::{Item, Part, joined};
use crate::cli::ImportFormat;
use crate::unpack::{Encoding, UnpackError, unpack};

/// A piece has so many spans, so that a large file is sent as it is read.
const PIECE_SPANS: usize = 5_000;

/// Why a file, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentError {
    #[error("cannot be unpacked")]
    Unpack(#[from] UnpackError),
    #[error("is in no format that is known by its content: say which with --format")]
    Unknown,
    #[error("is no JSON from byte {at} on")]
    Json { at: usize, source: serde_json::Error },
    #[error("holds something else than {wanted} at byte {at}")]
    Other { at: usize, wanted: &'static str },
    #[error("cannot be decoded: {message}")]
    Decode { message: String },
}

/// The plain bytes of a file that may be compressed, whatever its name.
pub(super) fn plain(bytes: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, ContentError> {
    let encoding = match bytes[..] {
        [0x1f, 0x8b, ..] => Encoding::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Encoding::Zstd,
        _ => return Ok(bytes),
    };
    Ok(unpack(encoding, &bytes, bytes_max)?.unwrap_or_default())
}

/// What comes of a part of a body.
pub(super) type Piece = Result<Part, ContentError>;

/// Reads a body in pieces, each with how many bytes stand before it. What cannot be read is a piece,
/// too; where it can be told what comes after it, that is still read.
pub(super) fn pieces<'a>(
    body: &'a [u8],
    text: &'a str,
    format: ImportFormat,
) -> Box<dyn Iterator<Item = (usize, Piece)> + 'a> {
    if !format.is_json() {
        return Box::new(whole(format, body).map(|piece| (0, piece)));
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let values = std::iter::from_fn(move || {
        let at = values.byte_offset();
        let value = values.next()?;
        Some((at, value.map_err(|source| ContentError::Json { at, source })))
    });
    Box::new(values.flat_map(move |(at, value)| {
        let pieces = match value {
            Ok(value) => json(format, value, at),
            Err(error) => once(error),
        };
        pieces.map(move |piece| (at, piece))
    }))
}

/// Which format a body is in, if it can be told.
pub(super) fn detect(body: &[u8], name: &str) -> Option<ImportFormat> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if matches!(first, b'[' | b'{') {
        return detect_json(&String::from_utf8_lossy(body));
    }
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    if name.ends_with(".pb") || name.ends_with(".binpb") {
        return Some(ImportFormat::OtlpProto);
    }
    match codec::detect(body).ok()? {
        Format::ZipkinThrift => Some(ImportFormat::ZipkinThrift),
        // Both begin alike. What is OTLP has no ids where Zipkin's spans have them.
        _ => match codec::decode(Format::ZipkinProto3, body, Limits::default()) {
            Ok(_) => Some(ImportFormat::ZipkinProto),
            Err(_) => Some(ImportFormat::OtlpProto),
        },
    }
}

/// By the keys of its first object.
fn detect_json(text: &str) -> Option<ImportFormat> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut value = values.next()?.ok()?;
    for _ in 0..LISTS_DEEP_MAX {
        if !value.get().starts_with('[') {
            break;
        }
        let list: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        match list.first() {
            Some(first) => value = first,
            // A list of nothing is one in any format.
            None => return Some(ImportFormat::ZipkinJson),
        }
    }
    let object: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value.get()).ok()?;
    let has = |key: &str| object.contains_key(key);
    if has("resourceSpans") || has("resource_spans") {
        Some(ImportFormat::OtlpJson)
    } else if has("data") || has("traceID") {
        Some(ImportFormat::JaegerJson)
    } else if has("traceId") {
        let v2 = ["localEndpoint\"", "remoteEndpoint\"", "\"tags\""];
        let v1 = ["\"binaryAnnotations\"", "\"endpoint\""];
        let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let is_v1 = !any(&v2) && any(&v1);
        Some(if is_v1 { ImportFormat::ZipkinJsonV1 } else { ImportFormat::ZipkinJson })
    } else {
        None
    }
}

type Parts<'a> = Box<dyn Iterator<Item = Piece> + 'a>;

fn once<'a>(error: ContentError) -> Parts<'a> {
    Box::new(std::iter::once(Err(error)))
}

/// The pieces of one JSON value, which stands at a place.
fn json(format: ImportFormat, value: &RawValue, at: usize) -> Parts<'_> {
    let mut objects = Vec::new();
    if !collect(value, LISTS_DEEP_MAX, &mut objects) {
        return once(ContentError::Other { at, wanted: "an object or a list of objects" });
    }
    let part: fn(&[&RawValue]) -> Part = match format {
        ImportFormat::ZipkinJson => Part::of,
        ImportFormat::ZipkinJsonV1 => part_of_v1,
        // Each object is a message.
        _ => {
            let messages = objects.into_iter();
            return Box::new(messages.flat_map(move |raw| whole(format, raw.get().as_bytes())));
        }
    };
    let starts = (0..objects.len()).step_by(PIECE_SPANS);
    Box::new(
        starts.map(move |from| Ok(part(&objects[from..objects.len().min(from + PIECE_SPANS)]))),
    )
}

/// Lists in lists: Zipkin's answers have two, and a file of such answers three. Each level is read
/// once more.
const LISTS_DEEP_MAX: usize = 3;

/// All objects of a list, or of a list of lists. False if there is something else.
fn collect<'a>(value: &'a RawValue, deep_max: usize, objects: &mut Vec<&'a RawValue>) -> bool {
    if value.get().starts_with('{') {
        objects.push(value);
        return true;
    }
    let Some(deeper_max) = deep_max.checked_sub(1) else { return false };
    let list: Result<Vec<&RawValue>, _> = serde_json::from_str(value.get());
    list.is_ok_and(|list| list.into_iter().all(|value| collect(value, deeper_max, objects)))
}

fn part_of_v1(listed: &[&RawValue]) -> Part {
    let decode = |listed: &[&RawValue]| {
        codec::decode(Format::ZipkinJsonV1, joined(listed).as_bytes(), Limits::default())
    };
    let mut part = Part::default();
    match decode(listed) {
        Ok(decoded) => part.items.extend(decoded.spans.iter().map(Item::zipkin)),
        // One bad span refuses its list: each for itself then.
        Err(_) => {
            for raw in listed {
                match decode(&[raw]) {
                    Ok(decoded) => part.items.extend(decoded.spans.iter().map(Item::zipkin)),
                    Err(error) => part.refused.push(error.message),
                }
            }
        }
    }
    part
}

/// The pieces of a body that is one message.
fn whole<'a>(format: ImportFormat, body: &[u8]) -> Parts<'a> {
    let decoded = codec::decode(format.codec(), body, Limits::default());
    let Decoded { spans, mut problems, rejected } = match decoded {
        Ok(decoded) => decoded,
        Err(error) => return once(ContentError::Decode { message: error.message }),
    };
    // Of so many, the reasons are not told; that they are refused is.
    problems.resize(rejected, "bad, as others before it".to_owned());
    let item: fn(Span) -> Item = match format {
        ImportFormat::OtlpJson | ImportFormat::OtlpProto | ImportFormat::JaegerJson => Item::otlp,
        _ => |span| Item::zipkin(&span),
    };
    let refused = Part { refused: problems, ..Part::default() };
    let mut spans = spans.into_iter();
    let parts = std::iter::from_fn(move || {
        let items: Vec<Item> = spans.by_ref().take(PIECE_SPANS).map(item).collect();
        (!items.is_empty()).then(|| Ok(Part { items, ..Part::default() }))
    });
    Box::new(std::iter::once(Ok(refused)).chain(parts))
}

impl ImportFormat {
    pub(super) fn is_json(self) -> bool {
        matches!(self, Self::ZipkinJson | Self::ZipkinJsonV1 | Self::OtlpJson | Self::JaegerJson)
    }

    fn codec(self) -> Format {
        match self {
            Self::ZipkinJson => Format::ZipkinJsonV2,
            Self::ZipkinJsonV1 => Format::ZipkinJsonV1,
            Self::ZipkinProto => Format::ZipkinProto3,
            Self::ZipkinThrift => Format::ZipkinThrift,
            Self::OtlpProto => Format::OtlpProto,
            Self::OtlpJson => Format::OtlpJson,
            Self::JaegerJson => Format::JaegerJson,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(body: &[u8], name: &str) -> (usize, usize, usize) {
        let format = detect(body, name).unwrap();
        let text = String::from_utf8_lossy(body);
        let (mut items, mut refused, mut unread) = (0, 0, 0);
        for (_, piece) in pieces(body, &text, format) {
            match piece {
                Ok(part) => {
                    items += part.items.len();
                    refused += part.refused.len();
                }
                Err(_) => unread += 1,
            }
        }
        (items, refused, unread)
    }

    #[test]
    fn formats_are_told_by_what_is_there() {
        let check = |body: &[u8], name: &str, format: Option<ImportFormat>| {
            assert_eq!(detect(body, name), format, "{:?}", String::from_utf8_lossy(body));
        };
        check(b" [[]]", "", Some(ImportFormat::ZipkinJson));
        check(br#"[{"traceId":"1","id":"2","kind":"CLIENT"}]"#, "", Some(ImportFormat::ZipkinJson));
        check(br#"{"traceId":"1","id":"2"}"#, "", Some(ImportFormat::ZipkinJson));
        check(
            br#"[{"traceId":"1","id":"2","tags":{"endpoint":"x"}}]"#,
            "",
            Some(ImportFormat::ZipkinJson),
        );
        check(
            br#"[[{"traceId":"1","id":"2","binaryAnnotations":[]}]]"#,
            "",
            Some(ImportFormat::ZipkinJsonV1),
        );
        check(
            b"{\"resourceSpans\":[]}\n{\"resourceSpans\":[]}\n",
            "",
            Some(ImportFormat::OtlpJson),
        );
        check(b"{\"data\":[],\"total\":0}", "", Some(ImportFormat::JaegerJson));
        check(b"[{\"traceID\":\"1\",\"spans\":[]}]", "", Some(ImportFormat::JaegerJson));
        check(b"\x0a\x02\x0a\x00", "spans.pb.gz", Some(ImportFormat::OtlpProto));
        check(b"\x0c\x00\x00\x00\x00", "", Some(ImportFormat::ZipkinThrift));
        check(b"hello", "", None);
        check(b"{\"hello\":1}", "", None);
        check(b"", "", None);
        check(&[b'['; 100_000], "", None);
        check(&[vec![b'['; 100], vec![b']'; 100]].concat(), "", None);
    }

    #[test]
    fn lists_of_lists_and_lists_after_lists_are_read_to_the_last_span() {
        let span = r#"{"traceId":"1","id":"2"}"#;
        let check = |text: String, expected: (usize, usize, usize)| {
            assert_eq!(spans(text.as_bytes(), ""), expected, "{text}");
        };
        check(format!("[{span},{span}]"), (2, 0, 0));
        check(format!("[[{span}],[{span},{span}]]\n[{span}]"), (4, 0, 0));
        check(format!("{span}\n{span}"), (2, 0, 0));
        check(format!("[{span},{{\"traceId\":\"1\"}}]"), (1, 1, 0));
        check(format!("[{span}] [7] [{span}]"), (2, 0, 1));
        check(format!("[{span}] [{span}"), (1, 0, 1));
        check(format!("[[[{span}]]]"), (1, 0, 0));
        check(format!("[{span}] [[[[{span}]]]]"), (1, 0, 1));
    }

    #[test]
    fn a_large_list_comes_in_pieces() {
        let list = format!("[{}]", [r#"{"traceId":"1","id":"2"}"#; PIECE_SPANS + 1].join(","));
        assert_eq!(pieces(b"", &list, ImportFormat::ZipkinJson).count(), 2);
    }

    #[test]
    fn bad_v1_spans_are_refused_alone() {
        let good = r#"{"traceId":"1","id":"2","name":"get","annotations":[{"timestamp":1,"value":"sr","endpoint":{"serviceName":"a"}}]}"#;
        assert_eq!(spans(format!("[{good},{{\"id\":\"1\"}}]").as_bytes(), ""), (1, 1, 0));
    }

    #[test]
    fn compressed_bytes_are_known_by_their_beginning() {
        let packed = zstd::encode_all(&b"[]"[..], 1).unwrap();
        assert_eq!(plain(packed, 100).unwrap(), b"[]");
        assert_eq!(plain(b"[]".to_vec(), 100).unwrap(), b"[]");
        assert!(plain(vec![0x1f, 0x8b, 0], 100).is_err());
    }
}
