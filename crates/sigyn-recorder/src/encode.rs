//! Segments as bytes: each encoded and compressed once, whoever asks and how often; and bodies made of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::format::{Format, Run};
use crate::ring::Segment;
use crate::whole::Own;

/// How a body is compressed: each piece its own gzip member or zstd frame, so that pieces concatenate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
    Identity,
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

/// A segment as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// How many of its spans the format has words for.
    pub(crate) spans: usize,
}

impl Encoded {
    pub(crate) fn new(run: Run, coding: Coding) -> Option<Self> {
        Some(Self { bytes: coding.compress(run.bytes)?, spans: run.spans })
    }
}

/// An answer in the making: whole segments until it is full.
#[derive(Debug)]
pub(crate) struct Pieces {
    format: Format,
    coding: Coding,
    between: Bytes,
    close: Bytes,
    bytes_max: usize,
    pieces: Vec<Bytes>,
    spans: usize,
    len: usize,
}

impl Pieces {
    pub(crate) fn new(format: Format, coding: Coding, bytes_max: Option<usize>) -> Option<Self> {
        // Nothing in place of nothing: a frame without content is one too.
        let piece = |text: &str| match text {
            "" => Some(Bytes::new()),
            text => coding.compress(text.into()),
        };
        let mut pieces = Self {
            format,
            coding,
            between: piece(format.between())?,
            close: piece(format.close())?,
            bytes_max: bytes_max.unwrap_or(usize::MAX),
            pieces: Vec::new(),
            spans: 0,
            len: 0,
        };
        // How many spans it will be is not known yet; room for as many as there may be is enough.
        pieces.len = pieces.open(usize::MAX)?.len() + pieces.close.len();
        Some(pieces)
    }

    fn open(&self, spans: usize) -> Option<Bytes> {
        let open = self.format.open(spans);
        if open.is_empty() { Some(Bytes::new()) } else { self.coding.compress(open) }
    }

    /// Adds a segment if there is room for it. The first always gets in: the body would otherwise
    /// never get past it.
    pub(crate) fn push(&mut self, segment: Encoded) -> bool {
        // Nothing would stand between two commas.
        if segment.spans == 0 {
            return true;
        }
        let separator = if self.pieces.is_empty() { 0 } else { self.between.len() };
        let len = self.len + separator + segment.bytes.len();
        if !self.pieces.is_empty() && len > self.bytes_max {
            return false;
        }
        self.len = len;
        self.spans += segment.spans;
        self.pieces.push(segment.bytes);
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// `None` if there is no memory to compress the last pieces in.
    pub(crate) fn finish(self) -> Option<Bytes> {
        let open = self.open(self.spans)?;
        if let ([only], true) = (self.pieces.as_slice(), open.is_empty() && self.close.is_empty()) {
            return Some(only.clone());
        }
        let mut body = Vec::with_capacity(self.len);
        body.extend_from_slice(&open);
        for (i, piece) in self.pieces.iter().enumerate() {
            if i > 0 {
                body.extend_from_slice(&self.between);
            }
            body.extend_from_slice(piece);
        }
        body.extend_from_slice(&self.close);
        Some(body.into())
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
    entries: BTreeMap<Key, Arc<OnceLock<Option<Encoded>>>>,
    bytes: usize,
}

impl Encodings {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, cached: Mutex::default() }
    }

    /// A segment's bytes. Two scrapers that ask at the same time wait for one encoding, not two.
    pub(crate) fn get(
        &self,
        segment: &Segment,
        own: &Own,
        format: Format,
        coding: Coding,
    ) -> Option<Encoded> {
        let key = (segment.seq, format, coding);
        self.get_or_encode(key, || Encoded::new(format.encode(segment, own), coding))
    }

    fn get_or_encode(&self, key: Key, encode: impl FnOnce() -> Option<Encoded>) -> Option<Encoded> {
        let cell = self.with(|cached| Arc::clone(cached.entries.entry(key).or_default()));
        let mut fresh = false;
        let encoded = cell.get_or_init(|| {
            fresh = true;
            encode()
        });
        if fresh {
            self.with(|cached| {
                // An entry that was dropped meanwhile is not in the books.
                if cached.entries.get(&key).is_some_and(|entry| Arc::ptr_eq(entry, &cell)) {
                    match encoded {
                        Some(encoded) => cached.bytes += encoded.bytes.len(),
                        // Whoever asks again may find memory to encode in.
                        None => drop(cached.entries.remove(&key)),
                    }
                }
                while cached.bytes > self.bytes_max && cached.drop_first() {}
            });
        }
        encoded.clone()
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
        let bytes = cell.get().and_then(Option::as_ref).map_or(0, |encoded| encoded.bytes.len());
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::draft::{Caps, Draft};
    use crate::ring::Ring;
    use crate::room::Rooms;
    use crate::whole;
    use sigyn_model::{Span, SpanId, TraceId};

    /// Ten segments of a span each.
    fn segments() -> Vec<Arc<Segment>> {
        let caps = Caps { value_bytes_max: 1024, span_bytes_max: 1024 };
        let ring =
            Ring::new(1, 1024 * 1024, caps.span_bytes_max, Clock::system(), Rooms::default());
        for id in 1..=10 {
            let span = Span::new(TraceId::new(1).unwrap(), SpanId::new(id).unwrap());
            let mut draft = Draft::default();
            let header = whole::write(&span, &mut draft, caps);
            ring.push(draft.finish(header, caps).unwrap(), None, false);
            ring.read(1, false, None, Duration::ZERO);
        }
        ring.read(1, false, None, Duration::ZERO).segments
    }

    fn get(encodings: &Encodings, segment: &Segment, format: Format, coding: Coding) -> Bytes {
        encodings.get(segment, &Own::default(), format, coding).unwrap().bytes
    }

    #[test]
    fn a_segment_is_encoded_once_for_each_format_and_coding() {
        let encodings = Encodings::new(1024 * 1024);
        let segments = segments();
        for format in Format::OFFERED {
            for coding in [Coding::Zstd, Coding::Gzip, Coding::Identity] {
                let first = get(&encodings, &segments[0], format, coding);
                let second = get(&encodings, &segments[0], format, coding);
                assert_eq!(first.as_ptr(), second.as_ptr(), "{format:?} {coding:?}");
            }
        }
        assert_eq!(encodings.with(|cached| cached.entries.len()), 15);
    }

    #[test]
    fn encodings_stay_within_their_bound_and_go_with_their_segments() {
        let segments = segments();
        let size = |encodings: &Encodings| encodings.with(|cached| cached.bytes);
        let one = Format::ZipkinJson.encode(&segments[0], &Own::default()).bytes.len();
        let encodings = Encodings::new(3 * one);
        for segment in &segments {
            get(&encodings, segment, Format::ZipkinJson, Coding::Identity);
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
        let encoded = Some(Encoded { bytes: Bytes::from_static(b"abc"), spans: 1 });
        assert_eq!(encodings.get_or_encode(key, || encoded.clone()), encoded);
        assert_eq!(encodings.get_or_encode(key, || None), encoded);
        assert_eq!(encodings.with(|cached| (cached.entries.len(), cached.bytes)), (1, 3));
    }

    #[test]
    fn a_log_of_no_size_caches_nothing_and_still_answers() {
        let encodings = Encodings::new(0);
        let segment = &segments()[0];
        assert!(!get(&encodings, segment, Format::Otlp, Coding::Zstd).is_empty());
        assert_eq!(encodings.with(|cached| (cached.entries.len(), cached.bytes)), (0, 0));
    }
}
