//! The test vectors of `docs/formats/pull-protocol.md` for targets: this recorder gives every answer of them,
//! and `SIGYN_VECTORS=write` writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};
use std::{env, fs};

use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigyn_model::codec::json_v2;
use sigyn_model::pull;
use sigyn_recorder::{Clock, Exposition, Options, Peer, Recorder};

use crate::target::{Answer, OTLP};

mod given;

/// The epoch of all vectors, for whichever one a recorder has drawn.
const EPOCH: &str = "9f3c51d2a07be846";
/// What their clock says at the beginning.
const CLOCK_NS: u64 = 1_795_414_855_123_456_789;
/// Headers that a target may leave out, and that say how it keeps its spans.
const OPTIONAL: [&str; 3] = [pull::LOG, pull::SAMPLED, pull::KEPT];

/// One file: what happens to a target, and what it is asked.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Vector {
    about: String,
    epoch: String,
    clock_ns: u64,
    service_name: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Step {
    /// These spans finish, in this order.
    Record {
        spans: Value,
    },
    /// What waits becomes a segment.
    Seal,
    /// The segments below this one are no longer held.
    Evict {
        below: u64,
    },
    /// The clock goes on.
    Advance {
        seconds: u64,
    },
    /// The target seals for the last time.
    ShutDown,
    Ask {
        request: Asked,
        response: Option<Given>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Asked {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    /// The address that it comes from, where that makes a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Given {
    status: u16,
    headers: BTreeMap<String, String>,
    /// In hexadecimal, as it is sent.
    body: String,
    /// What the body means, in Zipkin's v2 JSON; none of a body that is no spans.
    #[serde(skip_serializing_if = "Option::is_none")]
    spans: Option<Value>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/pull-protocol/target")
}

#[tokio::test]
async fn every_vector_is_what_this_recorder_answers() {
    let writes = env::var("SIGYN_VECTORS").is_ok_and(|what| what == "write");
    let folder = folder();
    let mut names = Vec::new();
    for (name, about, steps) in given::vectors() {
        let mut played = None;
        // How much room spans take is a recorder's own matter: some size of the log evicts what is said.
        for hot_bytes_max in (8 << 10..64 << 10).step_by(512) {
            played = play(steps.clone(), hot_bytes_max).await;
            if played.is_some() {
                break;
            }
        }
        let steps = played.unwrap_or_else(|| panic!("{name}: no log evicts that"));
        let vector = Vector {
            about: about.to_owned(),
            epoch: EPOCH.to_owned(),
            clock_ns: CLOCK_NS,
            service_name: given::SERVICE.to_owned(),
            steps,
        };
        let path = folder.join(format!("{name}.json"));
        names.push(path.clone());
        if writes {
            fs::create_dir_all(&folder).unwrap();
            let text = serde_json::to_string_pretty(&vector).unwrap() + "\n";
            fs::write(&path, text).unwrap();
        }
        let read = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected: Vector = serde_json::from_str(&read).unwrap();
        assert_eq!(vector, expected, "{name}; SIGYN_VECTORS=write writes what came");
    }
    let mut found: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    names.sort();
    assert_eq!(found, names, "files of no vector");
}

/// The steps with the answers that they get. `None` if a log of this size evicts something else.
async fn play(steps: Vec<Step>, hot_bytes_max: usize) -> Option<Vec<Step>> {
    let clock = Clock::manual(UNIX_EPOCH + Duration::from_nanos(CLOCK_NS));
    let recorder = Recorder::new(Options {
        service_name: given::SERVICE.to_owned(),
        hot_bytes_max,
        clock: clock.clone(),
        ..Options::default()
    });
    let exposition = Exposition::new(recorder.clone());
    let mut played = Vec::new();
    for step in steps {
        played.push(match step {
            Step::Record { spans } => {
                let read = json_v2::decode_list(spans.to_string().as_bytes()).unwrap();
                read.iter().for_each(|span| recorder.record(span));
                Step::Record { spans }
            }
            Step::Seal => {
                let peek = Asked {
                    method: "GET".to_owned(),
                    path: "/traces".to_owned(),
                    headers: [("accept".to_owned(), "*/*".to_owned())].into(),
                    from: None,
                };
                ask(&recorder, &exposition, &peek).await;
                Step::Seal
            }
            Step::Evict { below } => {
                let stats = recorder.stats();
                let oldest = stats.newest + 1 - stats.segments as u64;
                if oldest != below {
                    return None;
                }
                Step::Evict { below }
            }
            Step::Advance { seconds } => {
                clock.advance(Duration::from_secs(seconds));
                Step::Advance { seconds }
            }
            Step::ShutDown => {
                recorder.shut_down();
                Step::ShutDown
            }
            Step::Ask { request, .. } => {
                let response = Some(ask(&recorder, &exposition, &request).await);
                Step::Ask { request, response }
            }
        });
    }
    let evicts = played.iter().any(|step| matches!(step, Step::Evict { .. }));
    let is_whole = evicts || recorder.stats().dropped.evicted == 0;
    is_whole.then_some(played)
}

/// One request, whose epoch is that of the vectors on this side and the recorder's own on the other.
async fn ask(recorder: &Recorder, exposition: &Exposition, asked: &Asked) -> Given {
    let own = format!("{:016x}", recorder.epoch());
    let method: Method = asked.method.parse().unwrap();
    let mut request = Request::builder().method(method).uri(&asked.path);
    for (name, value) in &asked.headers {
        let upper = EPOCH.to_ascii_uppercase();
        let value = value.replace(EPOCH, &own).replace(&upper, &own.to_ascii_uppercase());
        request = request.header(name, value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    if let Some(from) = &asked.from {
        parts.extensions.insert(Peer(from.parse().unwrap()));
    }
    let (head, body) = exposition.respond(&parts).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let answer = Answer { status: head.status, headers: head.headers, body };
    let headers = answer.headers.iter().filter(|(name, _)| !OPTIONAL.contains(&name.as_str()));
    let headers: BTreeMap<_, _> = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().replace(&own, EPOCH)))
        .collect();
    let is_spans = answer.status == 200;
    let spans = is_spans.then(|| json_v2::encode_list(&answer.spans()));
    let mut hex = String::new();
    answer.body.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
    Given {
        status: answer.status.as_u16(),
        headers,
        body: hex,
        spans: spans.map(|text| serde_json::from_str(&text).unwrap()),
    }
}

/// What the vectors ask for is spelt out in them; here only once.
fn otlp() -> (String, String) {
    ("accept".to_owned(), OTLP.to_owned())
}
