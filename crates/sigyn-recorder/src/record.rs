//! The recorder: where a process puts its finished spans.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sigyn_model::{Endpoint, Kind, Resource, Span, Tags, TraceId, Value};
use tokio::sync::Semaphore;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::draft::{Caps, Draft, Oversize};
use crate::encode::Encodings;
use crate::layout::Header;
use crate::propagation::{self, Baggage, Context};
use crate::ring::Ring;
use crate::span::ActiveSpan;
use crate::stats::{Counters, ScraperStats, Stats, count};
use crate::text::Text;
use crate::whole::{self, Origin, Own};

/// Requests at work at once; one more gets 429. Those that wait for spans are not at work.
const SCRAPES_MAX: usize = 4;
/// Requests that wait for spans; one more is answered at once.
const WAITS_MAX: usize = 64;
/// Encoded segments may take as much memory again as the spans themselves.
const ENCODED_SHARE: usize = 1;

/// How a recorder is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of this service, as other services and people see it.
    pub service_name: String,
    /// What else is known of this process (OTLP's resource); `service.name` is added.
    pub resource: Tags,
    /// Memory for finished spans. When it is full, the oldest go and are counted.
    pub hot_bytes_max: usize,
    /// Longer names, keys and values are cut.
    pub value_bytes_max: usize,
    /// A span that weighs more loses tags, then annotations, then links; if that does not help, it is
    /// refused and counted.
    pub span_bytes_max: usize,
    /// The share of traces to record of those that start here, from 0 to 1. Whoever calls us with a
    /// decision of its own is obeyed.
    pub sample_rate: f64,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            service_name: String::new(),
            resource: Tags::new(),
            hot_bytes_max: 16 * 1024 * 1024,
            value_bytes_max: 1024,
            span_bytes_max: 16 * 1024,
            sample_rate: 1.0,
            clock: Clock::system(),
        }
    }
}

/// Records spans into bounded memory, where any number of scrapers read them. A clone is the same
/// recorder. Nothing here blocks for longer than a buffer's swap, and nothing panics.
#[derive(Clone, Debug)]
pub struct Recorder {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ring: Ring,
    pub(crate) encodings: Encodings,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) scrapes: Semaphore,
    pub(crate) waits: Semaphore,
    pub(crate) caps: Caps,
    pub(crate) own: Own,
    /// What budgets leave of the traces that begin here.
    pub(crate) budget: Budget,
    /// Traces up to this are recorded of those that begin here.
    sampled_below: u64,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Spans that are lost with this process: nobody acknowledged them in time, or they finished
    /// after the last seal.
    pub lost: u64,
}

impl Recorder {
    pub fn new(options: Options) -> Self {
        let hot_bytes_max = options.hot_bytes_max;
        let caps = Caps {
            value_bytes_max: options.value_bytes_max,
            span_bytes_max: options.span_bytes_max.min(Ring::span_bytes_max(hot_bytes_max)),
        };
        let clock = options.clock;
        let ring = Ring::new(random_epoch(), hot_bytes_max, caps.span_bytes_max, clock.clone());
        let mut tags = options.resource;
        let given = tags.iter().find(|(key, _)| key == "service.name");
        let service_name = match given {
            Some((_, value)) if options.service_name.is_empty() => value.text().into_owned(),
            _ => options.service_name,
        };
        if !service_name.is_empty() {
            tags.retain(|(key, _)| key != "service.name");
            tags.insert(0, ("service.name".to_owned(), Value::from(service_name.as_str())));
        }
        Self {
            shared: Arc::new(Shared {
                ring,
                encodings: Encodings::new(hot_bytes_max * ENCODED_SHARE),
                clock,
                counters: Counters::default(),
                scrapes: Semaphore::new(SCRAPES_MAX),
                waits: Semaphore::new(WAITS_MAX),
                caps,
                budget: Budget::default(),
                own: Own {
                    endpoint: Endpoint::named(&service_name).into_option(),
                    resource: (!tags.is_empty())
                        .then(|| Arc::new(Resource { tags, ..Resource::default() })),
                },
                sampled_below: threshold(options.sample_rate),
            }),
        }
    }

    /// Starts a span: a child of `parent`, in its trace and by its decision to sample; else the root
    /// of a new trace. A span that is not sampled costs next to nothing and still has a context to
    /// pass on.
    #[inline]
    pub fn start<'a>(
        &self,
        name: impl Into<Text<'a>>,
        kind: Option<Kind>,
        parent: Option<&Context>,
    ) -> ActiveSpan {
        let mut context = match parent {
            Some(parent) => parent.child(),
            None => Context::root(),
        };
        if self.decide(&mut context) {
            ActiveSpan::open(self, context, kind, name.into())
        } else {
            ActiveSpan::unsampled(context)
        }
    }

    /// Starts the root of a new trace that may yet turn out to continue another one
    /// ([`ActiveSpan::set_parent`]). It takes what it is told; whether it is recorded is decided by
    /// [`ActiveSpan::decide`], or else when it finishes.
    #[inline]
    pub fn start_undecided<'a>(&self, name: impl Into<Text<'a>>, kind: Option<Kind>) -> ActiveSpan {
        ActiveSpan::open(self, Context::root(), kind, name.into())
    }

    /// Makes sure that the context says whether it is sampled. Those that are not are counted.
    #[inline]
    pub(crate) fn decide(&self, context: &mut Context) -> bool {
        let decision = if context.debug { Some(true) } else { context.sampled };
        let sampled = decision.unwrap_or_else(|| {
            self.samples(context.trace_id) && self.is_within_budget(context.trace_id)
        });
        context.sampled = Some(sampled);
        let recorded = sampled && context.span_id.is_some();
        if !recorded {
            count(&self.shared.counters.unsampled, 1);
        }
        recorded
    }

    /// Takes a finished span as it is, cut to the caps.
    pub fn record(&self, span: &Span) {
        let shared = &*self.shared;
        let mut draft = Draft::default();
        let header = whole::write(span, &mut draft, shared.caps);
        shared.push(&mut draft, header, Origin::of(span), span.is_error());
    }

    /// Whether both are the same recorder.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Reads the trace context of an incoming request (see [`propagation`]); what cannot be read is
    /// counted.
    pub fn extract(&self, headers: &http::HeaderMap) -> Option<Context> {
        let extracted = propagation::read(headers);
        count(&self.shared.counters.invalid_contexts, u64::from(extracted.invalid));
        extracted.context
    }

    /// Reads the baggage of an incoming request; what is left out of it is counted.
    pub fn baggage(&self, headers: &http::HeaderMap) -> Baggage {
        let (baggage, invalid) = Baggage::read(headers);
        count(&self.shared.counters.invalid_baggage, u64::from(invalid));
        baggage
    }

    /// [`Options::value_bytes_max`]: nobody need write out more than that.
    pub fn value_bytes_max(&self) -> usize {
        self.shared.caps.value_bytes_max
    }

    /// The random number of this recorder's lifetime; never zero.
    pub fn epoch(&self) -> u64 {
        self.shared.ring.epoch
    }

    pub fn stats(&self) -> Stats {
        let figures = self.shared.ring.figures(self.shared.clock.monotonic());
        let scrapers = figures.scrapers.into_iter();
        Stats {
            epoch: self.epoch(),
            finished: figures.counts.finished,
            delivered: figures.delivered,
            buffered: figures.buffered,
            dropped: figures.counts.dropped,
            newest: figures.newest,
            segments: figures.segments,
            bytes: figures.bytes,
            scrapers: scrapers
                .map(|(name, acknowledged_below, lease_left)| ScraperStats {
                    name,
                    acknowledged_below,
                    lease_left,
                })
                .collect(),
            activity: self.shared.counters.snapshot(),
        }
    }

    /// Seals for the last time. Waiting scrapers are answered, every answer says that it is final,
    /// and a span that finishes later is lost and counted. Then wait for [`Recorder::drained`].
    pub fn shut_down(&self) {
        self.shared.ring.shut_down();
    }

    /// Waits until every scraper with a lease has acknowledged every span, but not longer than
    /// `timeout`. What is left then counts as lost to the shutdown. Shuts down if that was not done.
    pub async fn drained(&self, timeout: Duration) -> Drain {
        self.shut_down();
        let clock = &self.shared.clock;
        let drained = self.shared.ring.drained(|| clock.monotonic());
        // Either way the books say what is left.
        let _ = tokio::time::timeout(timeout, drained).await;
        Drain { lost: self.shared.ring.end_drain() }
    }

    /// Whether budgets leave a trace that begins here. Those that they do not are counted.
    fn is_within_budget(&self, trace_id: TraceId) -> bool {
        let Shared { budget, clock, counters, .. } = &*self.shared;
        if budget.leaves(trace_id, || clock.monotonic()) {
            return true;
        }
        count(&counters.over_budget, 1);
        false
    }

    /// By the trace's id alone, so that all who decide at the same rate agree.
    #[inline]
    fn samples(&self, trace_id: TraceId) -> bool {
        let below = self.shared.sampled_below;
        below == u64::MAX || trace_id.low() < below
    }
}

impl Shared {
    /// Notes that everything below a segment was written to somebody without a cursor of its own.
    pub(crate) fn written(&self, peer: IpAddr, next: u64) {
        let forgot = self.ring.written(peer, next, self.clock.monotonic());
        count(&self.counters.legacy_scrapes, 1);
        count(&self.counters.peers_forgotten, u64::from(forgot));
    }

    /// Puts a finished span into the log, if it fits its cap, and counts what was cut.
    #[inline]
    pub(crate) fn push(
        &self,
        draft: &mut Draft,
        header: Header,
        origin: Option<Origin>,
        urgent: bool,
    ) {
        match draft.finish(header, self.caps) {
            Ok(span) => self.ring.push(span, origin, urgent),
            Err(Oversize) => self.ring.refuse(),
        }
        if draft.values_cut != 0 || draft.dropped_tags != 0 {
            count(&self.counters.values_cut, draft.values_cut.into());
            count(&self.counters.tags_dropped, draft.dropped_tags.into());
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates, as wanted"
)]
fn threshold(sample_rate: f64) -> u64 {
    if sample_rate >= 1.0 { u64::MAX } else { (sample_rate * 2f64.powi(64)) as u64 }
}

fn random_epoch() -> u64 {
    let random = || getrandom::u64().unwrap_or_else(|_| fastrand::u64(..));
    let epoch = random();
    if epoch == 0 { fastrand::u64(1..) } else { epoch }
}
