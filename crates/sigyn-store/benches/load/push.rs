//! Makes bodies, and sends them over some connections at once.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sigyn_model::{Span, Timestamp};

use super::corpus::{START_NS, as_zipkin_json, otlp};
use super::http::Connection;
use super::sources::{Requests, Source};

/// How often a body is sent again that the server has no room for.
const TRIES_MAX: usize = 10_000;
const TRY_AGAIN: Duration = Duration::from_millis(5);
/// A trace in so many spans is written down, to ask for later.
const SAMPLE_EVERY: usize = 5_000;
/// How much faster time goes where spans are of now: about as fast as they are sent.
const HASTE: u64 = 40;
/// A trace in so many spans carries a tag that no other has.
const NEEDLE_EVERY: usize = 1_000_000;

/// In which format spans are sent.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    Otlp,
    ZipkinJson,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "otlp" => Ok(Self::Otlp),
            "zipkin-json" => Ok(Self::ZipkinJson),
            _ => Err(format!("`{text}` is neither otlp nor zipkin-json")),
        }
    }
}

pub(crate) struct Job {
    pub(crate) to: SocketAddr,
    pub(crate) path: String,
    pub(crate) format: Format,
    pub(crate) corpus: Source,
    pub(crate) spans: usize,
    pub(crate) connections: usize,
    /// All bodies are made before the first is sent.
    pub(crate) is_made_before: bool,
    /// Spans begin about when they are sent, and not in a time of their own.
    pub(crate) is_of_now: bool,
    /// Gets a line for each trace to ask for: its id, a service, when it starts, and its needle.
    pub(crate) samples: PathBuf,
}

struct Body {
    spans: usize,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Sent {
    spans: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
}

/// Sends; says how much, how often the server had no room, and how long it took.
pub(crate) fn run(job: &Job) -> Result<String, SendError> {
    let sent = Sent::default();
    let samples = BufWriter::new(File::create(&job.samples)?);
    let mut bodies: Bodies = Box::new(Making {
        requests: job.corpus.requests(),
        format: job.format,
        made: 0,
        wanted: job.spans,
        samples,
        now_ns: job.is_of_now.then(now_ns),
    });
    if job.is_made_before {
        bodies = Box::new(bodies.collect::<Vec<_>>().into_iter());
    }
    let started = Instant::now();
    let bodies = Mutex::new(bodies);
    std::thread::scope(|scope| -> Result<(), SendError> {
        let senders: Vec<_> =
            (0..job.connections).map(|_| scope.spawn(|| send(job, &bodies, &sent))).collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender panicked")?)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let [spans, bytes, refused] =
        [&sent.spans, &sent.bytes, &sent.refused].map(|count| count.load(Ordering::Relaxed));
    Ok(format!("spans={spans} bytes={bytes} refused={refused} seconds={seconds:.3}"))
}

type SendError = Box<dyn Error + Send + Sync>;
type Bodies = Box<dyn Iterator<Item = std::io::Result<Body>> + Send>;

/// Makes one body after the other.
struct Making {
    requests: Requests,
    format: Format,
    made: usize,
    wanted: usize,
    samples: BufWriter<File>,
    /// When the first spans begin, if not in a time of their own.
    now_ns: Option<u64>,
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Moves spans to a time that begins at `now_ns`, and goes faster. What takes time takes as long as before.
fn bring_to(now_ns: u64, spans: &mut [Span]) {
    for span in spans {
        let Some(at) = span.timestamp else { continue };
        let then = now_ns + at.nanos().saturating_sub(START_NS) / HASTE;
        for annotation in &mut span.annotations {
            let after = annotation.timestamp.nanos().saturating_sub(at.nanos());
            annotation.timestamp = Timestamp::from_nanos(then + after);
        }
        span.timestamp = Some(Timestamp::from_nanos(then));
    }
}

impl Iterator for Making {
    type Item = std::io::Result<Body>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.made >= self.wanted {
            return self.samples.flush().err().map(Err);
        }
        let mut spans = self.requests.next()?;
        if let Some(now_ns) = self.now_ns {
            bring_to(now_ns, &mut spans);
        }
        let next = self.made + spans.len();
        if self.made / SAMPLE_EVERY != next / SAMPLE_EVERY {
            let is_needle = self.made / NEEDLE_EVERY != next / NEEDLE_EVERY;
            let needle = is_needle.then(|| format!("needle-{next}"));
            if let Err(error) = note(&mut self.samples, &mut spans[0], needle.as_deref()) {
                return Some(Err(error));
            }
        }
        self.made = next;
        let bytes = match self.format {
            Format::Otlp => otlp::encode(&spans),
            Format::ZipkinJson => as_zipkin_json(&spans),
        };
        Some(Ok(Body { spans: spans.len(), bytes }))
    }
}

fn note(out: &mut impl Write, span: &mut Span, needle: Option<&str>) -> std::io::Result<()> {
    if let Some(needle) = needle {
        span.set_tag("bench.needle", needle);
    }
    let service = span.service_name().unwrap_or("-");
    let at = span.timestamp.map_or(0, |at| at.millis());
    writeln!(out, "{} {service} {at} {}", span.trace_id, needle.unwrap_or("-"))?;
    // Somebody may ask for it already.
    out.flush()
}

fn send(job: &Job, bodies: &Mutex<Bodies>, sent: &Sent) -> Result<(), SendError> {
    let mut connection = Connection::open(job.to)?;
    let kind = match job.format {
        Format::Otlp => "application/x-protobuf",
        Format::ZipkinJson => "application/json",
    };
    loop {
        // Whoever needs one makes it, where they are not made before.
        let body = bodies.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(body) = body else { return Ok(()) };
        let Body { spans, bytes } = body?;
        let mut tries = 0;
        loop {
            let answer = connection.post(&job.path, kind, &bytes)?;
            match answer.status {
                200 | 202 => break,
                429 | 503 if tries < TRIES_MAX => {
                    tries += 1;
                    sent.refused.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(TRY_AGAIN);
                }
                status => {
                    let said = String::from_utf8_lossy(&answer.body).into_owned();
                    return Err(format!("the server answers {status}: {said}").into());
                }
            }
        }
        sent.spans.fetch_add(spans as u64, Ordering::Relaxed);
        sent.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}
