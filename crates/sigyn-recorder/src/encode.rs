//! Segments as bytes: each encoded and compressed once, whoever asks and how often.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use sigyn_model::Span;
use sigyn_model::codec::json_v2;
use sigyn_model::pull::media;

use crate::intern::Glossary;
use crate::otlp;
use crate::ring::Segment;
use crate::view::{View, views};
use crate::whole::{Own, Reading};

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
    fn encode(self, segment: &Segment, own: &Own) -> Vec<u8> {
        match self {
            Self::Otlp => {
                let bytes = segment.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
                let mut writer = otlp::Writer::new(own, bytes);
                read(segment, own, |view, reading| writer.push(view, reading));
                writer.finish()
            }
            Self::ZipkinJson => {
                let mut list = json_v2::encode_list(&spans(segment, own));
                list.pop();
                let mut list = list.into_bytes();
                list.drain(..1.min(list.len()));
                list
            }
        }
    }
}

/// Hands out all spans of a segment, and what it takes to understand them.
fn read(segment: &Segment, own: &Own, mut each: impl FnMut(&View<'_>, &Reading<'_>)) {
    let glossary = Glossary::now();
    for chunk in &segment.chunks {
        let reading = Reading {
            glossary: &glossary,
            own,
            origins: &chunk.origins,
            wall_offset: segment.wall_offset,
        };
        views(&chunk.bytes).for_each(|view| each(&view, &reading));
    }
}

fn spans(segment: &Segment, own: &Own) -> Vec<Span> {
    let mut spans = Vec::new();
    read(segment, own, |view, reading| spans.extend(reading.span(view)));
    spans
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
    pub(crate) fn get(
        &self,
        segment: &Segment,
        own: &Own,
        format: Format,
        coding: Coding,
    ) -> Option<Bytes> {
        let key = (segment.seq, format, coding);
        self.get_or_encode(key, || coding.compress(format.encode(segment, own)))
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
    use crate::clock::Clock;
    use crate::draft::{Caps, Draft};
    use crate::ring::Ring;
    use crate::whole;
    use proptest::prelude::*;
    use sigyn_model::{SpanId, TraceId};

    /// Ten segments of a span each.
    fn segments() -> Vec<Arc<Segment>> {
        let caps = Caps { value_bytes_max: 1024, span_bytes_max: 1024 };
        let ring = Ring::new(1, 1024 * 1024, caps.span_bytes_max, Clock::system());
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
        encodings.get(segment, &Own::default(), format, coding).unwrap()
    }

    #[test]
    fn a_segment_is_encoded_once_for_each_format_and_coding() {
        let encodings = Encodings::new(1024 * 1024);
        let segments = segments();
        for format in [Format::Otlp, Format::ZipkinJson] {
            for coding in [Coding::Zstd, Coding::Gzip, Coding::Identity] {
                let first = get(&encodings, &segments[0], format, coding);
                let second = get(&encodings, &segments[0], format, coding);
                assert_eq!(first.as_ptr(), second.as_ptr(), "{format:?} {coding:?}");
            }
        }
        assert_eq!(encodings.with(|cached| cached.entries.len()), 6);
    }

    #[test]
    fn encodings_stay_within_their_bound_and_go_with_their_segments() {
        let segments = segments();
        let size = |encodings: &Encodings| encodings.with(|cached| cached.bytes);
        let one = Format::ZipkinJson.encode(&segments[0], &Own::default()).len();
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
        let bytes = Some(Bytes::from_static(b"abc"));
        assert_eq!(encodings.get_or_encode(key, || bytes.clone()), bytes);
        assert_eq!(encodings.get_or_encode(key, || None), bytes);
        assert_eq!(encodings.with(|cached| (cached.entries.len(), cached.bytes)), (1, 3));
    }

    #[test]
    fn a_log_of_no_size_caches_nothing_and_still_answers() {
        let encodings = Encodings::new(0);
        let segment = &segments()[0];
        assert!(!get(&encodings, segment, Format::Otlp, Coding::Zstd).is_empty());
        assert_eq!(encodings.with(|cached| (cached.entries.len(), cached.bytes)), (0, 0));
    }

    /// Spans of the recorder's own, as a program makes them.
    #[derive(Clone, Debug)]
    enum Step {
        Name(String),
        Tag(usize, sigyn_model::Value),
        OwnTag(String, sigyn_model::Value),
        Annotate(String),
        Error(String),
        Remote(String, Option<[u8; 4]>),
    }

    const KEYS: [&str; 6] = ["a", "error", "http.method", "zipkin.debug", "zipkin.tag.x", ""];

    fn value() -> impl Strategy<Value = sigyn_model::Value> {
        use sigyn_model::Value;
        prop_oneof![
            ".{0,300}".prop_map(Value::Str),
            any::<i64>().prop_map(Value::Int),
            (-200..40_000_i64).prop_map(Value::Int),
            any::<bool>().prop_map(Value::Bool),
            (-1e9..1e9_f64).prop_map(Value::Double),
            prop::collection::vec(any::<u8>(), 0..5).prop_map(Value::Bytes),
            Just(Value::List(vec![Value::Int(7), Value::Str("x".into()), Value::Empty])),
            Just(Value::Map(vec![("k".into(), Value::List(vec![Value::Bool(true)]))])),
            Just(Value::Empty),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => "[A-Za-zÄß /]{0,12}".prop_map(Step::Name),
            4 => (0..KEYS.len(), value()).prop_map(|(key, value)| Step::Tag(key, value)),
            2 => ("[a-e]{0,2}|error|zipkin.shared", value()).prop_map(|(k, v)| Step::OwnTag(k, v)),
            1 => "[a-z]{0,9}".prop_map(Step::Annotate),
            1 => "[a-z]{0,9}".prop_map(Step::Error),
            1 => ("[a-zA-Z]{0,5}", proptest::option::of(any::<[u8; 4]>()))
                .prop_map(|(name, ip)| Step::Remote(name, ip)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The straight way into OTLP says the same as the way through the model.
        #[test]
        fn otlp_says_what_the_spans_say(
            spans in prop::collection::vec(prop::collection::vec(step(), 0..9), 1..5),
        ) {
            let recorder = crate::Recorder::new(crate::Options {
                service_name: "Shop".to_owned(),
                resource: vec![("host.name".to_owned(), sigyn_model::Value::from("h1"))],
                ..crate::Options::default()
            });
            for steps in spans {
                let mut span = recorder.start("GET /", Some(sigyn_model::Kind::Client), None);
                for step in steps {
                    match step {
                        Step::Name(name) => span.set_name(&name),
                        Step::Tag(key, value) => span.tag(KEYS[key], &value),
                        Step::OwnTag(key, value) => span.tag(&key, &value),
                        Step::Annotate(text) => span.annotate(&text),
                        Step::Error(text) => span.error(&text),
                        Step::Remote(name, ip) => span.remote_endpoint(sigyn_model::Endpoint {
                            ipv4: ip.map(Into::into),
                            ..sigyn_model::Endpoint::named(&name)
                        }),
                    };
                }
            }
            let shared = &recorder.shared;
            let page = shared.ring.read(1, false, None, Duration::ZERO);
            let segment = &page.segments[0];
            let mut expected = super::spans(segment, &shared.own);
            let encoded = Format::Otlp.encode(segment, &shared.own);
            let mut said = sigyn_model::codec::otlp::decode(&encoded).unwrap().spans;
            for spans in [&mut expected, &mut said] {
                // Fields of a message come in any order, and so may tags and spans.
                for span in spans.iter_mut() {
                    span.tags.sort_by(|a, b| a.0.cmp(&b.0));
                }
                spans.sort_by_key(|span| span.id);
            }
            prop_assert_eq!(said, expected);
        }
    }
}
