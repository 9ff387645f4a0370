//! The test vectors of `docs/formats/pull-protocol.md` for scrapers: given these answers, these requests and these
//! books. `SIGYN_VECTORS=write` writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigyn_model::codec::{json_v2, otlp, otlp_json, zipkin_proto3, zipkin_thrift};
use sigyn_model::{Account, Span};
use tokio::task::JoinSet;

use crate::fake::{Reply, Scraper, Target, eventually, response, spans};

mod given;

/// One file: a target's answers in a row, and what a scraper makes of each.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Vector {
    about: String,
    /// Where the scraper starts: it has read nothing of this target.
    answers: Vec<Step>,
    /// The cursor of the request after the last answer.
    last_cursor: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Step {
    /// The cursor that it is asked with; none is not sent.
    cursor: Option<String>,
    /// Traces that it may ask for with it (`Sigyn-Collect`): a scraper need not ask whoever told of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    may_collect: Option<String>,
    status: u16,
    headers: BTreeMap<String, String>,
    /// In hexadecimal, as it is sent.
    body: String,
    /// So many bytes of the body come before the connection breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_after: Option<usize>,
    /// What the body means, in Zipkin's v2 JSON.
    spans: Value,
    /// What is committed by then, this answer included.
    books: Books,
    /// Whether the next request follows at once, and not an interval later.
    at_once: bool,
}

/// The scraper's totals of the target.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
struct Books {
    received: u64,
    restarts: u64,
    before_first_scrape: u64,
    evicted: u64,
    oversize: u64,
    shutdown: u64,
    unexplained: u64,
}

impl From<&Account> for Books {
    fn from(account: &Account) -> Self {
        let lost = account.lost;
        Self {
            received: account.received,
            restarts: account.restarts,
            before_first_scrape: lost.before_first_scrape,
            evicted: lost.evicted,
            oversize: lost.oversize,
            shutdown: lost.shutdown,
            unexplained: lost.unexplained,
        }
    }
}

/// How the spans of a body are written.
#[derive(Clone, Copy, Debug)]
enum Format {
    Otlp,
    OtlpJson,
    ZipkinProto3,
    ZipkinJson,
    Thrift,
}

impl Format {
    fn write(self, spans: &[Span]) -> Vec<u8> {
        match self {
            Self::Otlp => otlp::encode(spans),
            Self::OtlpJson => otlp_json::encode(spans).into_bytes(),
            Self::ZipkinProto3 => zipkin_proto3::encode_list(spans),
            Self::ZipkinJson => json_v2::encode_list(spans).into_bytes(),
            Self::Thrift => zipkin_thrift::encode_list_compact(spans),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    bytes.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
    hex
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/pull-protocol/scraper")
}

#[tokio::test]
async fn every_vector_leads_to_these_requests_and_these_books() {
    let writes = env::var("SIGYN_VECTORS").is_ok_and(|what| what == "write");
    let folder = folder();
    let (mut names, mut plays) = (Vec::new(), JoinSet::new());
    for (name, vector) in given::vectors() {
        let path = folder.join(format!("{name}.json"));
        names.push(path.clone());
        if writes {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, serde_json::to_string_pretty(&vector).unwrap() + "\n").unwrap();
        }
        let read = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected: Vector = serde_json::from_str(&read).unwrap();
        assert_eq!(vector, expected, "{name}; SIGYN_VECTORS=write writes what came");
        // After each answer the target says no more, so that what is known then can be looked at.
        let vector = Arc::new(expected);
        for answers in 1..=vector.answers.len() {
            let vector = Arc::clone(&vector);
            plays.spawn(async move { play(name, &vector, answers).await });
        }
    }
    plays.join_all().await;
    let mut found: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    names.sort();
    assert_eq!(found, names, "files of no vector");
}

/// The first so many answers, and then none.
async fn play(name: &str, vector: &Vector, answers: usize) {
    let steps = &vector.answers[..answers];
    let replies = steps.iter().map(reply).chain([Reply::Hang]).collect();
    let target = Target::scripted(replies).await;
    let scraper = Scraper::of(&[&target]);
    let place = format!("{name}, after answer {answers}");
    let asked = eventually(&place, || Some(target.asked()).filter(|asked| asked.len() > answers));
    let asked = asked.await;
    let next = vector.answers.get(answers).map_or(&vector.last_cursor, |step| &step.cursor);
    let cursors = steps.iter().map(|step| &step.cursor).chain([next]);
    for (asked, cursor) in asked.iter().zip(cursors) {
        assert_eq!(asked.header("sigyn-cursor"), cursor.as_deref(), "{place}");
        assert_eq!(asked.header("sigyn-scraper"), Some("sigyn-test"), "{place}");
        assert_eq!(asked.header("sigyn-siblings"), Some("1"), "{place}");
    }
    for (asked, step) in asked.iter().zip(&vector.answers) {
        assert_eq!(asked.header("sigyn-collect"), step.may_collect.as_deref(), "{place}");
    }
    let books = &steps[answers - 1].books;
    let held =
        scraper.target(&place, |target| target.scrapes_total > 0 || target.last_error.is_some());
    held.await;
    let pools = scraper.status.pools();
    assert_eq!(Books::from(&pools[0].active[0].account), *books, "{place}");
    let stored = scraper.store.spans();
    assert_eq!(stored.len() as u64, books.received, "{place}");
    // What a Zipkin reader sees of them, without what the target was given beside them.
    let seen: Value = serde_json::from_str(&json_v2::encode_list(&stored)).unwrap();
    let mut expected = Vec::new();
    let mut received = 0;
    for step in steps {
        if step.books.received > received {
            expected.extend(step.spans.as_array().unwrap().iter().cloned());
        }
        received = step.books.received;
    }
    assert_eq!(seen, Value::Array(expected), "{place}");
    scraper.stop().await;
}

fn reply(step: &Step) -> Reply {
    let status = match step.status {
        200 => "200 OK",
        204 => "204 No Content",
        429 => "429 Too Many Requests",
        503 => "503 Service Unavailable",
        other => panic!("unexpected {other}"),
    };
    let headers: Vec<_> = step.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let body = bytes(&step.body);
    let mut whole = response(status, &headers, &body);
    match step.cut_after {
        None => Reply::Keep(whole),
        Some(after) => {
            whole.truncate(whole.len() - body.len() + after);
            Reply::Close(whole)
        }
    }
}

/// The spans of these ids, as the program's own tests have them.
fn numbered(ids: impl IntoIterator<Item = u64>) -> Vec<Span> {
    let mut spans = spans(ids);
    for span in &mut spans {
        span.local_endpoint = Some(sigyn_model::Endpoint::named("shop"));
    }
    spans
}
