//! The tracer that spans go to: asked first what it has, and sent only what it has not.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context as _;
use http::StatusCode;
use serde_json::value::RawValue;
use sigyn_model::{Span, TraceId};

use super::otlp;
use super::peer::{Peer, PeerError};
use super::tally::Tally;
use super::trace::{Item, Part, Payload, joined, read_traces};

/// Ids in one question. At 33 bytes each that is a request line that Zipkin would take, too.
const IDS_PER_QUESTION: usize = 100;
/// A body of spans is no larger, before compression; one span is sent alone if it is.
const BODY_BYTES_MAX: usize = 4 << 20;
const BODY_SPANS_MAX: usize = 10_000;
/// How often a tracer is asked for what it has just taken, and the wait in between: a Zipkin stores
/// a little later.
const LOOKS_MAX: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What a tracer has.
#[derive(Debug, Default)]
struct Known {
    /// Spans in their normal form.
    spans: HashSet<String>,
    /// By the right half of their ids, which is all that some tracers go by.
    traces: HashSet<u64>,
    /// Traces of which nothing more is known than that they are there.
    too_large: u64,
}

/// How many spans of each trace a tracer took.
type Taken = HashMap<TraceId, u64>;

#[derive(Clone, Debug)]
pub(super) struct Tracer {
    peer: Peer,
    /// Count, and send nothing.
    dry: bool,
}

impl Tracer {
    pub(super) fn new(peer: Peer, dry: bool) -> Self {
        Self { peer, dry }
    }

    /// One look whether a tracer is there.
    pub(super) async fn probe(&self) -> anyhow::Result<()> {
        self.peer.once("/api/v2/services").await.map(drop)
    }

    /// Makes sure that every span is there, and counts each once. Returns when what was sent is durable.
    pub(super) async fn deliver(&self, part: Part, tally: &mut Tally) -> anyhow::Result<()> {
        let Part { items, refused } = part;
        tally.spans += refused.len() as u64;
        for reason in &refused {
            tally.refuse(1, reason);
        }
        let there = self.known(items.iter().map(|item| item.trace_id)).await?;
        tally.uncompared += there.too_large;
        let mut seen: HashSet<String> = HashSet::new();
        let (mut zipkin, mut otlp) = (Vec::new(), Vec::new());
        for Item { normal, payload, trace_id } in items {
            if seen.contains(&normal) {
                tally.repeated += 1;
                continue;
            }
            tally.spans += 1;
            if there.spans.contains(&normal) {
                tally.there += 1;
            } else {
                match payload {
                    Payload::Zipkin(raw) => zipkin.push((trace_id, raw)),
                    Payload::Otlp(span) => otlp.push(*span),
                }
            }
            seen.insert(normal);
        }
        if self.dry {
            tally.stored += (zipkin.len() + otlp.len()) as u64;
            return Ok(());
        }
        let mut taken = Taken::default();
        for batch in batches(&zipkin, |(_, raw)| raw.get().len()) {
            self.send_zipkin(batch, &mut taken, tally).await?;
        }
        for batch in batches(&otlp, otlp::size_hint) {
            self.send_otlp(batch, &mut taken, tally).await?;
        }
        self.verify(taken, tally).await
    }

    /// Asks for what was taken. A tracer that samples says yes to every span and keeps some traces.
    async fn verify(&self, mut taken: Taken, tally: &mut Tally) -> anyhow::Result<()> {
        let mut looks = 1;
        while !taken.is_empty() {
            let there = self.known(taken.keys().copied()).await?.traces;
            taken.retain(|trace_id, _| !there.contains(&trace_id.low()));
            // Where traces were left out before, these were, too.
            if taken.is_empty() || looks == LOOKS_MAX || tally.unkept > 0 {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            looks += 1;
        }
        let unkept: u64 = taken.values().sum();
        tally.stored -= unkept;
        tally.unkept += unkept;
        Ok(())
    }

    /// What the tracer has of these traces.
    async fn known(&self, ids: impl Iterator<Item = TraceId>) -> anyhow::Result<Known> {
        let mut seen = HashSet::new();
        let ids: Vec<TraceId> = ids.filter(|id| seen.insert(*id)).collect();
        let mut known = Known::default();
        let mut questions: Vec<&[TraceId]> = ids.chunks(IDS_PER_QUESTION).collect();
        while let Some(ids) = questions.pop() {
            let body = match self.ask_for(ids).await {
                Ok(Some(body)) => body,
                Ok(None) => continue,
                Err(PeerError::TooLarge) => {
                    if let [id] = ids {
                        // What is sent twice is stored once all the same.
                        known.traces.insert(id.low());
                        known.too_large += 1;
                    } else {
                        let (left, right) = ids.split_at(ids.len() / 2);
                        questions.extend([left, right]);
                    }
                    continue;
                }
                Err(error) => return Err(error).context("cannot ask the tracer what it has"),
            };
            let traces = read_traces(&body).context("cannot read what the tracer has")?;
            for item in traces.into_iter().flat_map(|trace| trace.part.items) {
                known.traces.insert(item.trace_id.low());
                known.spans.insert(item.normal);
            }
        }
        Ok(known)
    }

    /// A list of traces as JSON; `None` if none of them is there.
    async fn ask_for(&self, ids: &[TraceId]) -> Result<Option<Vec<u8>>, PeerError> {
        let Some(trace) = (match ids {
            // Zipkin wants one trace to be asked for in another way.
            [id] => self.peer.get(&format!("/api/v2/trace/{id}")).await?,
            ids => {
                let ids: Vec<String> = ids.iter().map(TraceId::to_string).collect();
                let path = format!("/api/v2/traceMany?traceIds={}", ids.join(","));
                return Ok(self.peer.get(&path).await?.map(Vec::from));
            }
        }) else {
            return Ok(None);
        };
        Ok(Some([b"[", &trace[..], b"]"].concat()))
    }

    async fn send_zipkin(
        &self,
        spans: &[(TraceId, Box<RawValue>)],
        taken: &mut Taken,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        // What is refused as a whole is sent in halves, until a bad span stands alone.
        let mut left = vec![spans];
        while let Some(spans) = left.pop() {
            let list: Vec<&RawValue> = spans.iter().map(|(_, raw)| raw.as_ref()).collect();
            let body = joined(&list);
            match self.peer.post("/api/v2/spans", "application/json", body.as_bytes()).await {
                Ok(_) => {
                    tally.stored += spans.len() as u64;
                    for (trace_id, _) in spans {
                        *taken.entry(*trace_id).or_insert(0) += 1;
                    }
                }
                Err(error) => halve(spans, error, &mut left, tally)?,
            }
        }
        Ok(())
    }

    async fn send_otlp(
        &self,
        spans: &[Span],
        taken: &mut Taken,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut left = vec![spans];
        while let Some(spans) = left.pop() {
            let body = otlp::encode(spans);
            match self.peer.post("/v1/traces", "application/x-protobuf", &body).await {
                Ok(answer) => {
                    let sent = spans.len() as u64;
                    let (refused, reason) = otlp::rejected(&answer.body);
                    let refused = refused.min(sent);
                    if refused > 0 {
                        tally.refuse(refused, &reason);
                    } else {
                        // Which of them are refused, an answer does not say.
                        for span in spans {
                            *taken.entry(span.trace_id).or_insert(0) += 1;
                        }
                    }
                    tally.stored += sent - refused;
                }
                Err(error) => halve(spans, error, &mut left, tally)?,
            }
        }
        Ok(())
    }
}

/// Queues the halves of what was refused for what it holds; counts a span that was refused alone.
fn halve<'a, T>(
    spans: &'a [T],
    error: PeerError,
    left: &mut Vec<&'a [T]>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let PeerError::Refused { status, told, .. } = &error else {
        return Err(error).context("cannot send spans to the tracer");
    };
    let about_spans =
        [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNPROCESSABLE_ENTITY];
    if !about_spans.contains(status) {
        return Err(error).context("cannot send spans to the tracer");
    }
    if spans.len() > 1 {
        let (first, second) = spans.split_at(spans.len() / 2);
        left.extend([second, first]);
    } else {
        tally.refuse(1, if told.is_empty() { status.as_str() } else { told });
    }
    Ok(())
}

/// Cuts a list where a body would become too large.
fn batches<T>(spans: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut batches = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, span) in spans.iter().enumerate() {
        let size = size(span);
        if at > from && (bytes + size > BODY_BYTES_MAX || at - from == BODY_SPANS_MAX) {
            batches.push(&spans[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < spans.len() {
        batches.push(&spans[from..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_and_lose_nothing() {
        let check = |sizes: &[usize], expected: &[usize]| {
            let batches = batches(sizes, |size| *size);
            let counts: Vec<usize> = batches.iter().map(|batch| batch.len()).collect();
            assert_eq!(counts, expected);
            assert_eq!(batches.concat(), sizes);
        };
        check(&[], &[]);
        check(&[1, 2, 3], &[3]);
        check(&[BODY_BYTES_MAX + 1], &[1]);
        check(&[1, BODY_BYTES_MAX + 1, 1], &[1, 1, 1]);
        check(&[BODY_BYTES_MAX / 2; 5], &[2, 2, 1]);
        check(&[0; BODY_SPANS_MAX + 1], &[BODY_SPANS_MAX, 1]);
    }
}
