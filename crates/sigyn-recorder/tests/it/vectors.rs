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
use sigyn_recorder::{Clock, Context, Exposition, Options, Peer, Recorder, SpoolOptions};

use crate::target::{Answer, OTLP};

mod given;

/// The epoch of all vectors, for whichever one a recorder has drawn.
const EPOCH: &str = "9f3c51d2a07be846";
/// What their clock says at the beginning.
const CLOCK_NS: u64 = 1_795_414_855_123_456_789;
/// The epoch of the process that begins when that one has ended.
const NEXT_EPOCH: &str = "03b1e4c95a2f7d60";
/// Headers that a target may leave out, and that say how it keeps its spans.
const OPTIONAL: [&str; 4] = [pull::LOG, pull::SAMPLED, pull::KEPT, pull::COLD];
const COLD_BYTES_MAX: usize = 1 << 20;

/// One file: what happens to a target, and what it is asked.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Vector {
    about: String,
    epoch: String,
    /// That of the second process, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_epoch: Option<String>,
    clock_ns: u64,
    service_name: String,
    /// Headers that a target may leave out, and that are looked at here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    optional_headers: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Step {
    /// These spans finish, in this order.
    Record {
        spans: Value,
    },
    /// These finish, of traces that nobody sampled: when the clock says what it says, in no time.
    PutAside {
        spans: Value,
    },
    /// The process ends without a word, and another one begins beside its spool.
    Restart,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
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
            played = play(steps.clone(), hot_bytes_max, given::optional(name)).await;
            if played.is_some() {
                break;
            }
        }
        let steps = played.unwrap_or_else(|| panic!("{name}: no log evicts that"));
        let restarts = steps.contains(&Step::Restart);
        let vector = Vector {
            about: about.to_owned(),
            epoch: EPOCH.to_owned(),
            next_epoch: restarts.then(|| NEXT_EPOCH.to_owned()),
            optional_headers: given::optional(name).iter().map(ToString::to_string).collect(),
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

/// A target as it goes through the steps, and what is said in the vectors for what it drew at random.
struct World {
    options: Options,
    clock: Clock,
    target: Option<(Recorder, Exposition)>,
    place: tempfile::TempDir,
    /// What it says, and what the vectors say.
    drawn: Vec<(String, String)>,
    optional: &'static [&'static str],
}

impl World {
    fn new(steps: &[Step], hot_bytes_max: usize, optional: &'static [&'static str]) -> Self {
        let has = |is: fn(&Step) -> bool| steps.iter().any(is);
        let place = tempfile::tempdir().unwrap();
        let spool = has(|step| *step == Step::Restart);
        let clock = Clock::manual(UNIX_EPOCH + Duration::from_nanos(CLOCK_NS));
        let options = Options {
            service_name: given::SERVICE.to_owned(),
            // A spool needs some room.
            hot_bytes_max: if spool { 1 << 20 } else { hot_bytes_max },
            cold_bytes_max: if has(|step| matches!(step, Step::PutAside { .. })) {
                COLD_BYTES_MAX
            } else {
                0
            },
            spool: spool.then(|| SpoolOptions::at(place.path().join("spool"))),
            clock: clock.clone(),
            ..Options::default()
        };
        let mut world = Self { options, clock, target: None, place, drawn: Vec::new(), optional };
        world.begin(EPOCH);
        world
    }

    fn begin(&mut self, epoch: &str) {
        let recorder = Recorder::new(self.options.clone());
        assert_eq!(recorder.stats().spool.error, None);
        let own = format!("{:016x}", recorder.epoch());
        // One that has no letters is the same in both cases: the lower one, which is what targets write.
        self.drawn.push((own.clone(), epoch.to_owned()));
        self.drawn.push((own.to_ascii_uppercase(), epoch.to_ascii_uppercase()));
        self.target = Some((recorder.clone(), Exposition::new(recorder)));
    }

    fn recorder(&self) -> &Recorder {
        &self.target.as_ref().unwrap().0
    }

    /// As if it had been killed: all that it has done is in its file.
    async fn restart(&mut self) {
        let file = format!("spool/{:016x}.spool", self.recorder().epoch());
        let file = fs::File::open(self.place.path().join(file)).unwrap();
        drop(self.target.take());
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while file.try_lock_shared().is_err() {
            assert!(std::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        drop(file);
        self.begin(NEXT_EPOCH);
    }

    fn put_aside(&mut self, spans: &Value) {
        for span in json_v2::decode_list(spans.to_string().as_bytes()).unwrap() {
            let context = Context {
                trace_id: span.trace_id,
                span_id: span.parent_id,
                parent_id: None,
                sampled: Some(false),
                debug: false,
                trace_state: String::new(),
            };
            let mut running = self.recorder().start(&span.name, span.kind, Some(&context));
            for (key, value) in &span.tags {
                assert_eq!(key, "error", "no other is needed");
                running.error(&value.text());
            }
            let own = running.context().span_id.unwrap();
            running.finish();
            self.drawn.push((format!("{own}"), format!("{}", span.id)));
        }
    }

    /// The vectors' words in place of the target's own.
    fn shown(&self, text: &str) -> String {
        self.drawn.iter().fold(text.to_owned(), |text, (own, shown)| text.replace(own, shown))
    }

    fn own(&self, text: &str) -> String {
        self.drawn.iter().fold(text.to_owned(), |text, (own, shown)| text.replace(shown, own))
    }

    async fn ask(&self, asked: &Asked) -> Given {
        let method: Method = asked.method.parse().unwrap();
        let mut request = Request::builder().method(method).uri(&asked.path);
        for (name, value) in &asked.headers {
            request = request.header(name, self.own(value));
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if let Some(from) = &asked.from {
            parts.extensions.insert(Peer(from.parse().unwrap()));
        }
        let body = asked.body.as_deref().unwrap_or_default();
        let exposition = &self.target.as_ref().unwrap().1;
        let (head, body) = exposition.respond_to(&parts, body).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Answer { status: head.status, headers: head.headers, body };
        let is_told = |name: &str| !OPTIONAL.contains(&name) || self.optional.contains(&name);
        let headers = answer.headers.iter().filter(|(name, _)| is_told(name.as_str()));
        let headers: BTreeMap<_, _> = headers
            .map(|(name, value)| (name.to_string(), self.shown(value.to_str().unwrap())))
            .collect();
        // Other answers depend on nothing.
        let is_spans = answer.status == 200 && headers.contains_key("vary");
        let spans = is_spans.then(|| self.shown(&json_v2::encode_list(&answer.spans())));
        let body = match str::from_utf8(&answer.body) {
            Ok(text) => self.shown(text).into_bytes(),
            Err(_) => answer.body.to_vec(),
        };
        let mut hex = String::new();
        body.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        Given {
            status: answer.status.as_u16(),
            headers,
            body: hex,
            spans: spans.map(|text| serde_json::from_str(&text).unwrap()),
        }
    }
}

/// The steps with the answers that they get. `None` if a log of this size evicts something else.
async fn play(
    steps: Vec<Step>,
    hot_bytes_max: usize,
    optional: &'static [&'static str],
) -> Option<Vec<Step>> {
    let mut world = World::new(&steps, hot_bytes_max, optional);
    let mut played = Vec::new();
    for step in steps {
        let mut step = step;
        match &mut step {
            Step::Record { spans } => {
                let read = json_v2::decode_list(spans.to_string().as_bytes()).unwrap();
                read.iter().for_each(|span| world.recorder().record(span));
            }
            Step::PutAside { spans } => world.put_aside(spans),
            Step::Restart => world.restart().await,
            Step::Seal => {
                let peek = Asked {
                    method: "GET".to_owned(),
                    path: "/traces".to_owned(),
                    headers: [("accept".to_owned(), "*/*".to_owned())].into(),
                    from: None,
                    body: None,
                };
                world.ask(&peek).await;
            }
            Step::Evict { below } => {
                let stats = world.recorder().stats();
                if stats.newest + 1 - stats.segments as u64 != *below {
                    return None;
                }
            }
            Step::Advance { seconds } => world.clock.advance(Duration::from_secs(*seconds)),
            Step::ShutDown => world.recorder().shut_down(),
            Step::Ask { request, response } => *response = Some(world.ask(request).await),
        }
        played.push(step);
    }
    let evicts = played.iter().any(|step| matches!(step, Step::Evict { .. }));
    let is_whole = evicts || world.recorder().stats().dropped.evicted == 0;
    is_whole.then_some(played)
}

/// What the vectors ask for is spelt out in them; here only once.
fn otlp() -> (String, String) {
    ("accept".to_owned(), OTLP.to_owned())
}
