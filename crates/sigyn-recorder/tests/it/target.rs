//! A recorder under test, and answers as a scraper reads them.

use std::io::Read as _;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use sigyn_model::codec::{self, Format, Limits};
use sigyn_model::pull::{self, Cursor, Dropped, Range};
use sigyn_model::{Span, SpanId, TraceId};
use sigyn_recorder::{Body, Clock, Exposition, Options, Peer, Recorder};

/// Spelt out, so that the constant cannot change unseen.
pub(crate) const OTLP: &str = "application/x-protobuf; \
     messageType=\"opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest\"";

/// What anyone sends who takes what comes.
pub(crate) const ANY: &str = "Accept: */*";

/// A recorder with a clock that stands still.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) recorder: Recorder,
    pub(crate) exposition: Exposition,
    pub(crate) clock: Clock,
}

/// One answer, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Target {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    /// A log of so many bytes, a quarter of them a segment.
    pub(crate) fn sized(hot_bytes_max: usize) -> Self {
        Self::with(Options { hot_bytes_max, ..Options::default() })
    }

    pub(crate) fn with(options: Options) -> Self {
        let clock = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let recorder = Recorder::new(Options { clock: clock.clone(), ..options });
        Self { exposition: Exposition::new(recorder.clone()), recorder, clock }
    }

    /// Of a recorder with a clock of its own.
    pub(crate) fn of(recorder: Recorder) -> Self {
        Self { exposition: Exposition::new(recorder.clone()), recorder, clock: Clock::system() }
    }

    pub(crate) fn record(&self, ids: impl IntoIterator<Item = u64>) {
        ids.into_iter().for_each(|id| self.recorder.record(&span(id)));
    }

    /// `GET` with these headers, each as `name: value`.
    pub(crate) async fn get(&self, uri: &str, headers: &[&str]) -> Answer {
        self.send(Method::GET, uri, headers).await
    }

    pub(crate) async fn send(&self, method: Method, uri: &str, headers: &[&str]) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let (parts, body) = self.exposition.respond(&parts).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// What a 2017 Loki server at this address gets, its body not read yet.
    pub(crate) async fn ask_as(&self, peer: Peer) -> Response<Body> {
        let mut request = Request::get("/traces").body(()).unwrap();
        request.extensions_mut().insert(peer);
        let (parts, ()) = request.into_parts();
        self.exposition.respond(&parts).await
    }

    pub(crate) async fn scrape(&self, name: &str, cursor: Option<Cursor>) -> Answer {
        let name = format!("{}: {name}", pull::SCRAPER);
        match cursor {
            None => self.get("/traces", &[&name]).await,
            Some(cursor) => {
                self.get("/traces", &[&name, &format!("{}: {cursor}", pull::CURSOR)]).await
            }
        }
    }

    pub(crate) fn cursor(&self, seq: u64) -> Cursor {
        Cursor { epoch: self.recorder.epoch(), seq }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn range(&self) -> Option<(u64, u64, u64)> {
        let range: Range = self.header(pull::RANGE)?.parse().unwrap();
        Some((range.first, range.last, range.newest))
    }

    pub(crate) fn next(&self) -> Cursor {
        self.header(pull::NEXT).unwrap().parse().unwrap()
    }

    pub(crate) fn more(&self) -> bool {
        self.flag(pull::MORE)
    }

    pub(crate) fn is_final(&self) -> bool {
        self.flag(pull::FINAL)
    }

    pub(crate) fn lost(&self) -> u64 {
        pull::parse_lost(self.header(pull::LOST).unwrap()).unwrap()
    }

    pub(crate) fn finished(&self) -> u64 {
        self.header(pull::FINISHED).unwrap().parse().unwrap()
    }

    pub(crate) fn dropped(&self) -> Dropped {
        self.header(pull::DROPPED).unwrap().parse().unwrap()
    }

    /// The spans' ids, whatever the body is written in.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.spans().iter().map(|span| span.id.as_u64()).collect()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        if self.status == StatusCode::NO_CONTENT {
            assert!(self.body.is_empty());
            return Vec::new();
        }
        let plain = self.plain();
        let format = match self.header("content-type").unwrap() {
            OTLP => Format::OtlpProto,
            "application/x-protobuf; messageType=\"zipkin.proto3.ListOfSpans\"" => {
                Format::ZipkinProto3
            }
            "application/json" => Format::ZipkinJsonV2,
            "application/json; profile=\"otlp\"" => Format::OtlpJson,
            "application/vnd.apache.thrift.compact" => Format::ZipkinThriftCompact,
            other => panic!("unexpected {other}"),
        };
        codec::decode(format, &plain, Limits::default()).unwrap().spans
    }

    pub(crate) fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        match self.header("content-encoding") {
            None => plain.extend_from_slice(&self.body),
            Some("gzip") => {
                { flate2::read::MultiGzDecoder::new(&*self.body).read_to_end(&mut plain).map(drop) }
                    .unwrap()
            }
            Some("zstd") => plain = zstd::stream::decode_all(&*self.body).unwrap(),
            Some(other) => panic!("unexpected {other}"),
        }
        plain
    }

    fn flag(&self, name: &str) -> bool {
        match self.header(name).unwrap() {
            "0" => false,
            "1" => true,
            other => panic!("{name}: {other}"),
        }
    }
}

/// Reads so many pieces, and no further: what they hold, if that was all.
pub(crate) async fn read_pieces(body: &mut Body, pieces: usize) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    for _ in 0..pieces {
        match body.frame().await {
            None => return Some(whole.freeze()),
            Some(frame) => whole.extend_from_slice(&frame.unwrap().into_data().unwrap()),
        }
    }
    None
}

pub(crate) fn span(id: u64) -> Span {
    let mut span = Span::new(TraceId::new(0xabc).unwrap(), SpanId::new(id).unwrap());
    span.name = "work".to_owned();
    span
}
