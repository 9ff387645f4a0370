//! One scrape: a request, its whole answer, and the spans in it, or the one reason why not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header, response};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use sigyn_discovery::http::ClientError;
use sigyn_model::TraceId;
use sigyn_model::columns::{Columns, Spares};
use sigyn_model::pull::Cursor;
use tokio::time::Instant as Deadline;

use crate::answer::{self, Answer};
use crate::body::{self, BodyError, Encoding};
use crate::decode::{Format, Origin};
use crate::lives::Lives;
use crate::memory::{Memory, Share};
use crate::request::Ask;
use crate::scrape_error::ScrapeError;
use crate::status::FailureCause;
use crate::unpack::{Packed, Unpacked, Unpacker};

/// A body on the wire that is larger takes a share of the memory for bodies.
const SMALL_BODY: usize = 16 << 10;
/// What such a body takes, unless it says that it is smaller: a page, and a segment more.
const PAGE_ON_THE_WIRE: u64 = 2 << 20;

/// What all scrapes share: memory.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    unpacker: Unpacker,
}

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) cursor: Option<Cursor>,
    /// Traces that are wanted although nobody sampled them.
    pub(crate) collect: &'a [TraceId],
    /// How long the target may wait until it has spans.
    pub(crate) wait: Option<Duration>,
    /// Other processes that answered at this address.
    pub(crate) lives: &'a Lives,
    /// For everything from connecting to the last byte.
    pub(crate) timeout: Duration,
    /// How long spans may wait for memory after that.
    pub(crate) patience: Deadline,
    pub(crate) body_limit: u64,
    pub(crate) origin: &'a Origin,
}

/// What came of a scrape that did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    Spans(Box<Scraped>),
    /// The target answers, but not with spans. A state, not an error.
    NotTraced {
        status: StatusCode,
        reason: String,
    },
    /// Another process than the one asked for answered, and it is known how far it was read.
    OtherProcess {
        status: StatusCode,
        epoch: u64,
        /// It has a spool, and so knows all of them: nothing depends on which one answers.
        is_shared: bool,
    },
    /// Segments are there, and this is where they lie, but their body is of no use.
    Unreadable {
        status: StatusCode,
        answer: Box<Answer>,
        error: Box<ScrapeError>,
    },
}

#[derive(Debug)]
pub(crate) struct Scraped {
    pub(crate) status: StatusCode,
    /// `None` from a foreign target.
    pub(crate) answer: Option<Answer>,
    /// Other epochs that it can tell.
    pub(crate) siblings: Vec<Cursor>,
    /// With what is wrong with those that could not be kept.
    pub(crate) spans: Box<Columns>,
    /// Body bytes, unpacked.
    pub(crate) bytes: u64,
    pub(crate) clock: Option<ClockSample>,
    /// The memory that the spans take. To be held until they are committed.
    pub(crate) share: Option<Share>,
}

/// The target's clock against ours, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockSample {
    /// Target minus us.
    pub(crate) offset_ns: i64,
    /// From the request to the head of the response; the error is at most half of it.
    pub(crate) round_trip: Duration,
}

impl Fetcher {
    pub(crate) fn new(memory_bytes_max: u64, spares: Spares) -> Self {
        Self { unpacker: Unpacker::new(memory_bytes_max, spares) }
    }

    pub(crate) fn memory(&self) -> &Memory {
        self.unpacker.memory()
    }

    /// One request and its answer.
    pub(crate) async fn scrape(&self, question: Question<'_>) -> Result<Outcome, ScrapeError> {
        let timeout = question.timeout;
        let received = tokio::time::timeout(timeout, self.receive(question)).await;
        match received.map_err(|_| ScrapeError::Timeout(timeout))?? {
            Received::Nothing(outcome) => Ok(outcome),
            Received::Empty { status, answer, clock, siblings } => {
                Ok(Outcome::Spans(Box::new(Scraped {
                    status,
                    answer,
                    siblings,
                    spans: Box::default(),
                    bytes: 0,
                    clock,
                    share: None,
                })))
            }
            Received::Body { status, answer, clock, packed, siblings } => {
                // What a body of no use held is only told of what was read.
                let told = answer.clone().filter(|_| packed.format.is_read());
                let Question { body_limit, patience, origin, .. } = question;
                let unpacked = self.unpacker.unpack(&packed, body_limit, patience, origin).await;
                let outcome = unpacked.map(|unpacked| match unpacked {
                    Some(Unpacked { spans, bytes, share }) => {
                        let share = Some(share);
                        let scraped =
                            Scraped { status, answer, siblings, spans, bytes, clock, share };
                        Outcome::Spans(Box::new(scraped))
                    }
                    None => {
                        let reason = "answered with a body that is no list of spans".to_owned();
                        Outcome::NotTraced { status, reason }
                    }
                });
                unreadable_or_failed(outcome, status, told)
            }
        }
    }

    async fn receive(&self, question: Question<'_>) -> Result<Received, ScrapeError> {
        let Question { cursor, body_limit, .. } = question;
        let (response, asked, round_trip) = request(question).await?;
        let (head, mut body) = response.into_parts();
        let status = head.status;
        if let Some(error) = refused(&head) {
            return Err(error);
        }
        if status == StatusCode::NOT_FOUND {
            let reason = "server returned HTTP status 404 Not Found".to_owned();
            return Ok(Received::Nothing(Outcome::NotTraced { status, reason }));
        }
        let has_body = status == StatusCode::OK;
        let answer = Answer::read(&head.headers, has_body)?;
        let siblings = answer::siblings(&head.headers);
        if let (Some(Answer { next: Cursor { epoch, .. }, ended, .. }), Some(sent)) =
            (&answer, cursor)
            && *epoch != sent.epoch
            && question.lives.knows(*epoch)
        {
            let epoch = *epoch;
            // It was asked with another's cursor, and tells its log from the start.
            body::skip(&mut body, body_limit).await?;
            let is_shared = siblings.is_some() || ended.is_some();
            return Ok(Received::Nothing(Outcome::OtherProcess { status, epoch, is_shared }));
        }
        let clock = answer
            .as_ref()
            // Where it waited, nobody knows when it read its clock.
            .filter(|_| question.wait.is_none())
            .and_then(|answer| answer.clock_ns)
            .and_then(|theirs| ClockSample::new(asked, round_trip, theirs));
        if !has_body {
            let siblings = siblings.unwrap_or_default();
            return Ok(Received::Empty { status, answer, clock, siblings });
        }
        let format = Format::of(&head.headers);
        if answer.is_none() && format == Format::NotSpans {
            let reason = not_spans(&head.headers);
            return Ok(Received::Nothing(Outcome::NotTraced { status, reason }));
        }
        let encoding = Encoding::of(&head.headers)?;
        let (bytes, _shares) = match self.read(body, &head.headers, question).await {
            Ok(read) => read,
            Err(error) => {
                return unreadable_or_failed(Err(error), status, answer).map(Received::Nothing);
            }
        };
        // A foreign target may end its body by closing: nothing tells that from a loss.
        if answer.is_some() && !body::end_is_marked(head.version, &head.headers) {
            return Err(BodyError::ToClose { read: bytes.len() as u64 }.into());
        }
        let packed = Packed { format, encoding, bytes, _shares, is_foreign: answer.is_none() };
        let siblings = siblings.unwrap_or_default();
        Ok(Received::Body { status, answer, clock, packed, siblings })
    }

    async fn read(
        &self,
        mut body: Incoming,
        headers: &HeaderMap,
        question: Question<'_>,
    ) -> Result<(Bytes, [Option<Share>; 2]), ScrapeError> {
        let limit = question.body_limit;
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<u64>().ok());
        if announced.is_some_and(|length| length >= limit) {
            return Err(BodyError::TooLarge { limit }.into());
        }
        let memory = self.memory();
        let mut shares = [None, None];
        let mut read = BytesMut::new();
        while body::read_on(&mut body, &mut read, limit).await?.is_some() {
            let announced = announced.unwrap_or(limit);
            let rest = announced.saturating_sub(PAGE_ON_THE_WIRE);
            let bounds =
                [(SMALL_BODY as u64, announced.min(PAGE_ON_THE_WIRE)), (PAGE_ON_THE_WIRE, rest)];
            let parts = [&memory.wire, &memory.long];
            for (share, (part, (bound, bytes))) in
                shares.iter_mut().zip(parts.into_iter().zip(bounds))
            {
                if share.is_none() && read.len() as u64 > bound {
                    // Half of the time, so that it is told apart from a target that is slow.
                    let until = Deadline::now() + question.timeout / 2;
                    let taken = part.take(bytes, until).await;
                    *share = Some(taken.ok_or(ScrapeError::Crowded)?);
                }
            }
        }
        Ok((read.freeze(), shares))
    }
}

/// The head of the answer, when it was asked for, and how long that took.
async fn request(
    question: Question<'_>,
) -> Result<(Response<Incoming>, SystemTime, Duration), ScrapeError> {
    let Question { ask, cursor, collect, wait, timeout, .. } = question;
    let deadline = Deadline::now() + timeout;
    let mut is_retry = false;
    loop {
        let (asked, timer) = (SystemTime::now(), Instant::now());
        let error = match ask.send(cursor, collect, wait, deadline).await {
            Ok(response) => return Ok((response, asked, timer.elapsed())),
            Err(error) => error,
        };
        // A target may close an idle connection at the very moment we use it again. One with
        // cursors is asked once more; reading a foreign target may take its spans away, and what
        // went down with the connection would not come back.
        let retries = cursor.is_some() && matches!(error, ClientError::Lost { .. });
        if is_retry || !retries {
            return Err(ScrapeError::of_request(error, timeout));
        }
        is_retry = true;
    }
}

enum Received {
    /// Nothing to keep.
    Nothing(Outcome),
    Empty {
        status: StatusCode,
        answer: Option<Answer>,
        clock: Option<ClockSample>,
        siblings: Vec<Cursor>,
    },
    Body {
        status: StatusCode,
        answer: Option<Answer>,
        clock: Option<ClockSample>,
        packed: Packed,
        siblings: Vec<Cursor>,
    },
}

impl ClockSample {
    fn new(asked: SystemTime, round_trip: Duration, theirs_ns: i64) -> Option<Self> {
        let middle = asked.duration_since(UNIX_EPOCH).ok()? + round_trip / 2;
        let ours_ns = i64::try_from(middle.as_nanos()).ok()?;
        Some(Self { offset_ns: theirs_ns.checked_sub(ours_ns)?, round_trip })
    }

    /// Whether one offset explains both, with their errors.
    pub(crate) fn agrees_with(self, other: Self) -> bool {
        let errors = (self.round_trip + other.round_trip) / 2;
        u128::from(self.offset_ns.abs_diff(other.offset_ns)) <= errors.as_nanos()
    }
}

/// What a status alone decides. `None` for the statuses that are answers.
fn refused(head: &response::Parts) -> Option<ScrapeError> {
    match head.status {
        StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => None,
        StatusCode::TOO_MANY_REQUESTS => {
            let seconds = head.headers.get(header::RETRY_AFTER).and_then(|value| {
                let text = value.to_str().ok()?;
                text.trim().parse().ok()
            });
            Some(ScrapeError::Busy { retry_after: seconds.map(Duration::from_secs) })
        }
        status => {
            let own = head.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
            let own = own.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let usual = || status.canonical_reason().unwrap_or_default().to_owned();
            Some(ScrapeError::Status { status, reason: own.unwrap_or_else(usual) })
        }
    }
}

fn not_spans(headers: &HeaderMap) -> String {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let shown = &content_type[..content_type.len().min(100)];
    format!("answered with {:?}, which is no format of spans", String::from_utf8_lossy(shown))
}

/// A body of no use, from a target that says which segments are in it, is more than a failure: they
/// can be asked for one by one, and stepped over.
fn unreadable_or_failed(
    outcome: Result<Outcome, ScrapeError>,
    status: StatusCode,
    answer: Option<Answer>,
) -> Result<Outcome, ScrapeError> {
    match (outcome, answer) {
        (Err(error), Some(answer))
            if matches!(error.cause(), FailureCause::BodyLimit | FailureCause::Decode) =>
        {
            Ok(Outcome::Unreadable { status, answer: Box::new(answer), error: Box::new(error) })
        }
        (outcome, _) => outcome,
    }
}
