//! Segments as bytes: each encoded and compressed once, whoever asks and how often.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use sigyn_model::Span;
use sigyn_model::codec::{json_v2, otlp};
use sigyn_model::pull::media;

use crate::ring::Segment;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    Otlp,
    ZipkinJson,
}

/// How a body is compressed: each piece its own gzip member or zstd frame, so that pieces concatenate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
    Identity,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Otlp => media::OTLP,
            Self::ZipkinJson => media::ZIPKIN_JSON,
        }
    }

    /// One segment, in a form that concatenates: a protobuf list as it is, JSON without its brackets.
    fn encode(self, spans: &[Span]) -> Vec<u8> {
        match self {
            Self::Otlp => otlp::encode(spans),
            Self::ZipkinJson => {
                let mut list = json_v2::encode_list(spans);
                list.pop();
                let mut list = list.into_bytes();
                list.drain(..1.min(list.len()));
                list
            }
        }
    }
}

impl Coding {
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Zstd => Some("zstd"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

    /// Level 1 of either: more costs microseconds per span and saves a few bytes.
    ///
    /// `None` if the compressor fails, which takes an exhausted memory: an empty body in place of spans
    /// would be a loss that nobody counts.
    fn compress(self, plain: Vec<u8>) -> Option<Bytes> {
        let compressed = match self {
            Self::Identity => Ok(plain),
            Self::Zstd => zstd::bulk::compress(&plain, 1),
            Self::Gzip => {
                let level = flate2::Compression::new(1);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&plain).and_then(|()| encoder.finish())
            }
        };
        compressed.ok().map(Bytes::from)
    }
}

/// The bytes between segments: nothing for protobuf, a JSON list's brackets and commas.
#[derive(Clone, Debug, Default)]
struct Framing {
    open: Bytes,
    between: Bytes,
    close: Bytes,
}

impl Framing {
    fn of(format: Format, coding: Coding) -> Option<Self> {
        let piece = |text: &'static str| coding.compress(text.into());
        match format {
            Format::Otlp => Some(Self::default()),
            Format::ZipkinJson => {
                Some(Self { open: piece("[")?, between: piece(",")?, close: piece("]")? })
            }
        }
    }
}

/// An answer in the making: whole segments until it is full.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Framing,
    bytes_max: usize,
    pieces: Vec<Bytes>,
    len: usize,
}

impl Body {
    pub(crate) fn new(format: Format, coding: Coding, bytes_max: Option<usize>) -> Option<Self> {
        let framing = Framing::of(format, coding)?;
        let len = framing.open.len() + framing.close.len();
        Some(Self { framing, bytes_max: bytes_max.unwrap_or(usize::MAX), pieces: Vec::new(), len })
    }

    /// Adds a segment if there is room for it. The first always gets in: the body would otherwise
    /// never get past it.
    pub(crate) fn push(&mut self, segment: Bytes) -> bool {
        let separator = if self.pieces.is_empty() { 0 } else { self.framing.between.len() };
        let len = self.len + separator + segment.len();
        if !self.pieces.is_empty() && len > self.bytes_max {
            return false;
        }
        self.len = len;
        self.pieces.push(segment);
        true
    }

    pub(crate) fn finish(self) -> Bytes {
        let unframed = self.framing.open.is_empty() && self.framing.close.is_empty();
        if let ([only], true) = (self.pieces.as_slice(), unframed) {
            return only.clone();
        }
        let mut body = Vec::with_capacity(self.len);
        body.extend_from_slice(&self.framing.open);
        for (i, piece) in self.pieces.iter().enumerate() {
            if i > 0 {
                body.extend_from_slice(&self.framing.between);
            }
            body.extend_from_slice(piece);
        }
        body.extend_from_slice(&self.framing.close);
        body.into()
    }
}

type Key = (u64, Format, Coding);

/// Encoded segments, bounded in bytes: what does not fit is encoded again when it is asked for again.
#[derive(Debug)]
pub(crate) struct Encodings {
    bytes_max: usize,
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    /// In order of segments, so that the oldest is the first to go.
    entries: BTreeMap<Key, Arc<OnceLock<Option<Bytes>>>>,
    bytes: usize,
}

impl Encodings {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, cached: Mutex::default() }
    }

    /// A segment's bytes. Two scrapers that ask at the same time wait for one encoding, not two.
    pub(crate) fn get(&self, segment: &Segment, format: Format, coding: Coding) -> Option<Bytes> {
        let key = (segment.seq, format, coding);
        self.get_or_encode(key, || coding.compress(format.encode(&segment.spans)))
    }

    fn get_or_encode(&self, key: Key, encode: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        let cell = self.with(|cached| Arc::clone(cached.entries.entry(key).or_default()));
        let mut fresh = false;
        let bytes = cell.get_or_init(|| {
            fresh = true;
            encode()
        });
        if fresh {
            self.with(|cached| {
                // An entry that was dropped meanwhile is not in the books.
                if cached.entries.get(&key).is_some_and(|entry| Arc::ptr_eq(entry, &cell)) {
                    match bytes {
                        Some(bytes) => cached.bytes += bytes.len(),
                        // Whoever asks again may find memory to encode in.
                        None => drop(cached.entries.remove(&key)),
                    }
                }
                while cached.bytes > self.bytes_max && cached.drop_first() {}
            });
        }
        bytes.clone()
    }

    /// Drops whatever belongs to segments that the log no longer holds.
    pub(crate) fn forget_below(&self, oldest: u64) {
        self.with(|cached| {
            while cached.entries.first_key_value().is_some_and(|(key, _)| key.0 < oldest)
                && cached.drop_first()
            {}
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Cached) -> T) -> T {
        f(&mut self.cached.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cached {
    fn drop_first(&mut self) -> bool {
        let Some((_, cell)) = self.entries.pop_first() else { return false };
        let bytes = cell.get().and_then(Option::as_ref).map_or(0, Bytes::len);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::caps::span_bytes;
    use crate::ring::Ring;
    use sigyn_model::{SpanId, TraceId};

    /// Ten segments of a span each.
    fn segments() -> Vec<Arc<Segment>> {
        let ring = Ring::new(1, 1024 * 1024);
        for id in 1..=10 {
            let span = Span::new(TraceId::new(1).unwrap(), SpanId::new(id).unwrap());
            let bytes = span_bytes(&span);
            ring.push(span, bytes);
            ring.read(1, false, None, Duration::ZERO);
        }
        ring.read(1, false, None, Duration::ZERO).segments
    }

    #[test]
    fn a_segment_is_encoded_once_for_each_format_and_coding() {
        let encodings = Encodings::new(1024 * 1024);
        let segments = segments();
        for format in [Format::Otlp, Format::ZipkinJson] {
            for coding in [Coding::Zstd, Coding::Gzip, Coding::Identity] {
                let first = encodings.get(&segments[0], format, coding).unwrap();
                let second = encodings.get(&segments[0], format, coding).unwrap();
                assert_eq!(first.as_ptr(), second.as_ptr(), "{format:?} {coding:?}");
            }
        }
        assert_eq!(encodings.with(|cached| cached.entries.len()), 6);
    }

    #[test]
    fn encodings_stay_within_their_bound_and_go_with_their_segments() {
        let segments = segments();
        let size = |encodings: &Encodings| encodings.with(|cached| cached.bytes);
        let one = Format::ZipkinJson.encode(&segments[0].spans).len();
        let encodings = Encodings::new(3 * one);
        for segment in &segments {
            encodings.get(segment, Format::ZipkinJson, Coding::Identity).unwrap();
            assert!(size(&encodings) <= 3 * one);
        }
        let held =
            encodings.with(|cached| cached.entries.keys().map(|key| key.0).collect::<Vec<_>>());
        assert_eq!(held, [8, 9, 10]);
        encodings.forget_below(10);
        assert_eq!(size(&encodings), one);
        encodings.forget_below(11);
        assert_eq!(size(&encodings), 0);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let encodings = Encodings::new(1024);
        let key = (1, Format::Otlp, Coding::Zstd);
        assert_eq!(encodings.get_or_encode(key, || None), None);
        let bytes = Some(Bytes::from_static(b"abc"));
        assert_eq!(encodings.get_or_encode(key, || bytes.clone()), bytes);
        assert_eq!(encodings.get_or_encode(key, || None), bytes);
        assert_eq!(encodings.with(|cached| (cached.entries.len(), cached.bytes)), (1, 3));
    }

    #[test]
    fn a_log_of_no_size_caches_nothing_and_still_answers() {
        let encodings = Encodings::new(0);
        let segment = &segments()[0];
        assert!(!encodings.get(segment, Format::Otlp, Coding::Zstd).unwrap().is_empty());
        assert_eq!(encodings.with(|cached| (cached.entries.len(), cached.bytes)), (0, 0));
    }
}
