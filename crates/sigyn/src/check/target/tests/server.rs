//! A recorder behind a server that may do wrong.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use sigyn_model::pull::{self, Cursor, Range};
use sigyn_recorder::{Exposition, Peer, Recorder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// An answer in the making, which a fault may change.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether its end is marked.
    pub(super) is_framed: bool,
}

/// What a wrong target does with a request, or with the answer of a right one.
#[derive(Clone)]
pub(super) enum Fault {
    None,
    Before(fn(&mut Parts)),
    After(fn(&Asked, &mut Reply)),
    /// Its answer is held back for so many milliseconds.
    Late(fn(&Parts) -> u64),
    /// Spans are gone once somebody has read them, which it may count as a loss.
    Destroys {
        counts: bool,
    },
    /// The same once somebody has acknowledged them.
    DestroysAcknowledged,
    /// The same once somebody has looked at what runs.
    DestroysLookedAt,
    /// No fault: it has nothing that a target may lack.
    Bare,
}

/// What a fault may look at.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) parts: Parts,
    /// How many requests there were before.
    pub(super) number: u64,
    pub(super) memory: Arc<Mutex<Memory>>,
    pub(super) recorder: Recorder,
}

/// What a fault may remember of earlier requests.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) acknowledged: u64,
    pub(super) to_loki: Option<Reply>,
    pub(super) since: Option<Instant>,
    pub(super) collected: u64,
    /// Scrapers that came.
    pub(super) names: BTreeSet<String>,
    /// Segments below this are gone.
    pub(super) destroyed: u64,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn is_named(&self) -> bool {
        self.parts.headers.contains_key(pull::SCRAPER)
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.header(pull::CURSOR)?.parse().ok()
    }

    pub(super) fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    pub(super) fn is_loki(&self) -> bool {
        let is_get = self.parts.method == Method::GET;
        is_get && self.query().is_empty() && self.header("accept").is_none() && !self.is_named()
    }

    /// One segment in OTLP, without anything else asked for.
    pub(super) fn is_simple(&self) -> bool {
        let has = |name| self.parts.headers.contains_key(name);
        let is_otlp = self.header("accept").is_some_and(|accept| accept == pull::media::OTLP);
        is_otlp && self.query() == "max_bytes=1" && !has("accept-encoding") && !has("prefer")
    }
}

impl Reply {
    pub(super) fn set(&mut self, name: &'static str, value: impl ToString) {
        let value = HeaderValue::from_str(&value.to_string()).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    pub(super) fn range(&self) -> Option<Range> {
        self.text(pull::RANGE)?.parse().ok()
    }

    pub(super) fn next(&self) -> Option<Cursor> {
        self.text(pull::NEXT)?.parse().ok()
    }

    /// Changes a header that is there.
    /// Nothing in place of something, up to this cursor.
    pub(super) fn empty(&mut self, next: Cursor) {
        self.status = 204;
        self.body = Bytes::new();
        for name in [pull::RANGE, "content-type", "content-length"] {
            self.headers.remove(name);
        }
        self.set(pull::NEXT, next);
        self.set(pull::MORE, 0);
    }

    pub(super) fn edit(&mut self, name: &'static str, edit: impl Fn(&str) -> String) {
        if let Some(text) = self.text(name) {
            self.set(name, edit(&text));
        }
    }
}

/// A recorder behind a server of few words, which closes each connection after its answer.
pub(super) async fn serve(recorder: Recorder, fault: Fault) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let exposition = Exposition::new(recorder.clone());
    let (memory, mut number) = (Arc::<Mutex<Memory>>::default(), 0);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, peer)) = listener.accept().await {
            number += 1;
            let (exposition, fault) = (exposition.clone(), fault.clone());
            let (memory, recorder) = (Arc::clone(&memory), recorder.clone());
            connections.spawn(async move {
                let mut stream = stream;
                let Some((mut parts, sent)) = read(&mut stream).await else { return };
                parts.extensions.insert(Peer(peer.ip()));
                if let Fault::Before(fault) = fault {
                    fault(&mut parts);
                }
                let own = |cursor: &Cursor| cursor.epoch == recorder.epoch();
                let destroys = matches!(
                    fault,
                    Fault::Destroys { .. } | Fault::DestroysAcknowledged | Fault::DestroysLookedAt
                );
                let mut hidden = 0;
                if destroys && !parts.uri.query().is_some_and(|query| query.contains("trace_id")) {
                    let mut memory = memory.lock().unwrap();
                    let asked = parts.headers.get(pull::CURSOR).and_then(|v| v.to_str().ok());
                    let asked = asked.and_then(|text| text.parse().ok()).filter(own);
                    let seq = asked.map_or(1, |cursor: Cursor| cursor.seq).min(1 << 32);
                    if matches!(fault, Fault::DestroysAcknowledged)
                        && parts.headers.contains_key(pull::SCRAPER)
                        && seq < 1 << 32
                    {
                        memory.destroyed = memory.destroyed.max(seq);
                    }
                    let start = seq.max(memory.destroyed).max(1);
                    hidden = start - seq.min(start);
                    if hidden > 0 {
                        let cursor = Cursor { epoch: recorder.epoch(), seq: start };
                        parts.headers.insert(pull::CURSOR, cursor.to_string().parse().unwrap());
                    }
                }
                let is_beside = parts.uri.path() != "/traces"
                    || parts.uri.query().is_some_and(|query| query.contains("trace_id"));
                if matches!(fault, Fault::DestroysLookedAt) && parts.uri.path() == "/tracez" {
                    memory.lock().unwrap().destroyed = recorder.stats().newest + 1;
                }
                let late = if let Fault::Late(late) = fault { late(&parts) } else { 0 };
                tokio::time::sleep(Duration::from_millis(late)).await;
                let mut answer = exposition.respond_to(&parts, &sent).await;
                if matches!(fault, Fault::Bare) {
                    if is_beside {
                        *answer.status_mut() = http::StatusCode::NOT_FOUND;
                    }
                    for name in [pull::LOG, pull::SAMPLED, pull::KEPT] {
                        answer.headers_mut().remove(name);
                    }
                }
                let (head, body) = answer.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (status, headers) = (head.status.as_u16(), head.headers);
                let mut reply = Reply { status, headers, body, is_framed: true };
                if let (Fault::Destroys { counts }, Some(next)) = (&fault, reply.next()) {
                    let mut memory = memory.lock().unwrap();
                    memory.destroyed = memory.destroyed.max(next.seq);
                    if *counts && hidden > 0 {
                        reply.set(pull::LOST, format!("spans={hidden}"));
                    }
                }
                if let Fault::After(fault) = fault {
                    let asked = Asked { parts, number, memory, recorder };
                    fault(&asked, &mut reply);
                }
                write(&mut stream, reply).await;
                // Read to the end, or what was written may be taken back.
                let _ = stream.read_buf(&mut Vec::new()).await;
            });
        }
    });
    (address, server)
}

/// A request, and its body.
pub(super) async fn read(stream: &mut TcpStream) -> Option<(Parts, String)> {
    let mut head = Vec::new();
    let at = loop {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
        if let Some(at) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let mut body = head.split_off(at);
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let method: Method = words.next()?.parse().unwrap();
    let mut request = Request::builder().method(method).uri(words.next()?);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    let length = parts.headers.get("content-length").and_then(|v| v.to_str().ok()?.parse().ok());
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((parts, String::from_utf8(body).unwrap()))
}

pub(super) async fn write(stream: &mut TcpStream, reply: Reply) {
    let Reply { status, mut headers, body, is_framed } = reply;
    let mut head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n");
    let is_chunked = is_framed && status == 200 && !headers.contains_key("content-length");
    headers.remove("content-length");
    for (name, value) in &headers {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let mut bytes = Vec::new();
    if is_chunked {
        head += "transfer-encoding: chunked\r\n";
        bytes.extend(format!("{:x}\r\n", body.len()).into_bytes());
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(if body.is_empty() { b"\r\n" } else { b"\r\n0\r\n\r\n" });
    } else {
        if is_framed && (status != 204 || !body.is_empty()) {
            head += &format!("content-length: {}\r\n", body.len());
        }
        bytes.extend_from_slice(&body);
    }
    let _ = stream.write_all(&[head.as_bytes(), b"\r\n", &bytes].concat()).await;
    let _ = stream.shutdown().await;
}
