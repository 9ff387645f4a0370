//! The recorder: where a process puts its finished spans.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sigyn_model::{Endpoint, Kind, Resource, Span, Tags, TraceId, Value};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::cold::Cold;
use crate::draft::{Caps, Draft, Oversize};
use crate::encode::Encodings;
use crate::ids;
use crate::layout::{Header, flag};
use crate::propagation::{self, Baggage, Context};
use crate::ring::Ring;
use crate::room::Rooms;
use crate::rules::{Rules, TagRules};
use crate::running::Places;
use crate::sampler::{self, Named, Sampler, Verdict};
use crate::sending::Sending;
use crate::shards::Chunk;
use crate::share::Threshold;
use crate::span::ActiveSpan;
use crate::stats::{Counters, ScraperStats, SpoolStats, Stats, count};
use crate::text::Text;
use crate::whole::{self, Origin, Own};

/// Requests of scrapers with a lease at work at once; one more gets 429. Those that wait for spans are not at work.
const SCRAPES_MAX: usize = 4;
/// The same of all others.
const PEEKS_MAX: usize = 2;
/// The same for those who look at single traces, at what runs, or ask for traces.
const LOOKS_MAX: usize = 2;
/// Requests that wait for spans; one more is answered at once.
const WAITS_MAX: usize = 64;
/// Encoded segments may take as much memory again as the spans themselves.
const ENCODED_SHARE: usize = 1;

/// How a recorder is set up. More may be added: say what differs, and leave the rest to `..Options::default()`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of this service, as other services and people see it.
    pub service_name: String,
    /// What else is known of this process (OTLP's resource); `service.name` is added.
    pub resource: Tags,
    /// Memory for finished spans. When it is full, the oldest go and are counted.
    pub hot_bytes_max: usize,
    /// Memory for spans of traces that nobody sampled, the newest of which stay for a while in case they are wanted yet
    /// (see `docs/guide/sampling.md`). With 0, which is the default, and up to 16 KiB there is none of them.
    pub cold_bytes_max: usize,
    /// Longer names, keys and values are cut.
    pub value_bytes_max: usize,
    /// A span that weighs more loses tags, then annotations, then links; if that does not help, it is
    /// refused and counted.
    pub span_bytes_max: usize,
    /// Which tags are recorded; all of them unless something else is said.
    pub tag_rules: TagRules,
    /// The share of traces to record of those that start here, from 0 to 1. Whoever calls us with a
    /// decision of its own is obeyed.
    pub sample_rate: f64,
    /// One trace of each operation is recorded at least so often, if it begins here and some share of it is wanted at
    /// all. An operation is the name of the span that a trace begins with; 2,000 of them are told apart.
    pub guaranteed_every: Option<Duration>,
    /// A trace that nobody sampled is kept all the same, as far as the cold memory has it, if it fails here: if the span
    /// with which it begins or enters this process ends in an error.
    pub keep_failed: bool,
    /// The same if that span takes longer than all but one in a hundred of its name.
    pub keep_slow: bool,
    /// Where it gets the time from: the machine, but in tests.
    pub clock: Clock,
    /// Where finished spans lie so that they outlive the process; else they are in its memory.
    #[cfg(feature = "spool")]
    pub spool: Option<crate::spool::SpoolOptions>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            service_name: String::new(),
            resource: Tags::new(),
            hot_bytes_max: 16 * 1024 * 1024,
            value_bytes_max: 1024,
            span_bytes_max: 16 * 1024,
            cold_bytes_max: 0,
            tag_rules: TagRules::default(),
            sample_rate: 1.0,
            guaranteed_every: Some(Duration::from_secs(60)),
            keep_failed: true,
            keep_slow: true,
            clock: Clock::system(),
            #[cfg(feature = "spool")]
            spool: crate::spool::SpoolOptions::from_environment(),
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
    /// `None` keeps nothing of traces that nobody sampled.
    pub(crate) cold: Option<Cold>,
    pub(crate) running: Places,
    pub(crate) sampler: Sampler,
    pub(crate) encodings: Encodings,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) scrapes: Semaphore,
    pub(crate) peeks: Semaphore,
    pub(crate) looks: Semaphore,
    pub(crate) sending: Sending,
    pub(crate) waits: Semaphore,
    pub(crate) caps: Caps,
    pub(crate) rules: Option<Arc<Rules>>,
    pub(crate) own: Own,
    keep_failed: bool,
    spool_error: Option<String>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drain {
    /// Spans that are lost with this process: nobody acknowledged them in time, or they finished
    /// after the last seal.
    pub lost: u64,
}

impl Recorder {
    /// Makes another one, with a log and an epoch of its own. A process that needs one alone has it already:
    /// [`Recorder::of_process`].
    pub fn new(options: Options) -> Self {
        let hot_bytes_max = options.hot_bytes_max;
        let caps = Caps {
            value_bytes_max: options.value_bytes_max,
            span_bytes_max: options.span_bytes_max.min(Ring::span_bytes_max(hot_bytes_max)),
        };
        let clock = options.clock;
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
        let own = Own {
            endpoint: Endpoint::named(&service_name).into_option(),
            resource: (!tags.is_empty())
                .then(|| Arc::new(Resource { tags, ..Resource::default() })),
            names: None,
        };
        ids::begin_anew();
        let epoch = random_epoch();
        #[cfg(feature = "spool")]
        let (rooms, spool_error) =
            Rooms::spooled(options.spool.as_ref(), epoch, &own, hot_bytes_max);
        #[cfg(not(feature = "spool"))]
        let (rooms, spool_error) = (Rooms::default(), None);
        let ring = Ring::new(epoch, hot_bytes_max, caps.span_bytes_max, clock.clone(), rooms);
        let recorder = Self {
            shared: Arc::new(Shared {
                ring,
                cold: Cold::new(options.cold_bytes_max, &clock),
                running: Places::default(),
                sampler: Sampler::new(sampler::Set {
                    rate: options.sample_rate,
                    guaranteed_every: options.guaranteed_every,
                    keep_slow: options.keep_slow,
                }),
                spool_error,
                encodings: Encodings::new(hot_bytes_max * ENCODED_SHARE),
                clock,
                counters: Counters::default(),
                scrapes: Semaphore::new(SCRAPES_MAX),
                peeks: Semaphore::new(PEEKS_MAX),
                looks: Semaphore::new(LOOKS_MAX),
                sending: Sending::new(hot_bytes_max),
                waits: Semaphore::new(WAITS_MAX),
                caps,
                rules: options.tag_rules.compile().map(Arc::new),
                own,
                keep_failed: options.keep_failed,
            }),
        };
        recorder.shared.ring.rooms.listen(&recorder.shared);
        recorder
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
        match parent {
            Some(parent) if parent.decision() == Some(false) && self.shared.cold.is_none() => {
                self.start_unsampled(parent)
            }
            None if self.shared.sampler.takes_nothing() && self.shared.cold.is_none() => {
                self.start_unsampled_root()
            }
            _ => self.start_any(name.into(), kind, parent),
        }
    }

    #[inline(never)]
    fn start_unsampled(&self, parent: &Context) -> ActiveSpan {
        match ids::span_at_once() {
            Some(id) if Some(id) != parent.span_id && parent.trace_state.is_empty() => {
                self.shared.counters.unsampled.count();
                ActiveSpan::unsampled(Context {
                    span_id: Some(id),
                    parent_id: parent.span_id,
                    trace_state: String::new(),
                    ..*parent
                })
            }
            _ => self.start_unsampled_anyhow(parent),
        }
    }

    #[cold]
    #[inline(never)]
    fn start_unsampled_anyhow(&self, parent: &Context) -> ActiveSpan {
        self.shared.counters.unsampled.count();
        ActiveSpan::unsampled(parent.child())
    }

    #[inline(never)]
    fn start_unsampled_root(&self) -> ActiveSpan {
        self.shared.counters.unsampled.count();
        ActiveSpan::unsampled(Context { sampled: Some(false), ..Context::root() })
    }

    #[inline(never)]
    fn start_any(
        &self,
        name: Text<'_>,
        kind: Option<Kind>,
        parent: Option<&Context>,
    ) -> ActiveSpan {
        let context = match parent {
            Some(parent) => parent.child(),
            None => Context::root(),
        };
        let Shared { sampler, ring, .. } = &*self.shared;
        match context.decision() {
            Some(true) => {}
            None if sampler.takes_everything(ring.pressure()) => {}
            _ => return self.start_weighed(context, kind, name),
        }
        ActiveSpan::open(self, Context { sampled: Some(true), ..context }, kind, name)
    }

    #[cold]
    #[inline(never)]
    fn start_weighed(
        &self,
        mut context: Context,
        kind: Option<Kind>,
        name: Text<'_>,
    ) -> ActiveSpan {
        if self.decide(&mut context, &name) {
            ActiveSpan::open(self, context, kind, name)
        } else {
            ActiveSpan::unsampled(context)
        }
    }

    /// Starts the root of a new trace that may yet turn out to continue another one
    /// ([`ActiveSpan::set_parent`]). It takes what it is told; whether it is recorded is decided by
    /// [`ActiveSpan::decide`], or else when it finishes.
    #[inline]
    pub fn start_undecided<'a>(&self, name: impl Into<Text<'a>>, kind: Option<Kind>) -> ActiveSpan {
        self.start_open(name.into(), kind)
    }

    #[inline(never)]
    fn start_open(&self, name: Text<'_>, kind: Option<Kind>) -> ActiveSpan {
        ActiveSpan::open(self, Context::root(), kind, name)
    }

    /// Makes sure that the context says whether it is sampled. Those that are not are counted. Returns whether the span
    /// is put anywhere when it finishes: into the log, or where it stays for a while in case somebody wants it.
    #[inline]
    pub(crate) fn decide(&self, context: &mut Context, name: &impl Named) -> bool {
        let sampled = context.decision().unwrap_or_else(|| self.sample(context, name));
        context.sampled = Some(sampled);
        let has_id = context.span_id.is_some();
        if !(sampled && has_id) {
            self.shared.counters.unsampled.count();
        }
        has_id && (sampled || self.shared.cold.is_some())
    }

    /// Decides about a trace that begins here.
    #[inline]
    fn sample(&self, context: &mut Context, name: &impl Named) -> bool {
        let Shared { sampler, ring, clock, .. } = &*self.shared;
        match sampler.decide(context.trace_id, name, ring.pressure(), || clock.ticks()) {
            Verdict::Recorded(Threshold::EVERYTHING) => true,
            verdict => self.heed(verdict, context),
        }
    }

    #[cold]
    fn heed(&self, verdict: Verdict, context: &mut Context) -> bool {
        let counters = &self.shared.counters;
        match verdict {
            Verdict::Recorded(threshold) => {
                threshold.tell(&mut context.trace_state);
                return true;
            }
            Verdict::Guaranteed => {
                count(&counters.guaranteed, 1);
                return true;
            }
            Verdict::OverBudget => count(&counters.over_budget, 1),
            Verdict::LeftOut => {}
        }
        false
    }

    /// Takes a finished span as it is, cut to the caps.
    pub fn record(&self, span: &Span) {
        let shared = &*self.shared;
        let mut draft = Draft::of(shared.rules.as_ref());
        let header = whole::write(span, &mut draft, shared.caps);
        shared.push(&mut draft, header, Origin::of(span).as_ref(), span.is_error());
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

    /// Its counters now.
    pub fn stats(&self) -> Stats {
        let figures = self.shared.ring.figures(self.shared.clock.monotonic());
        let scrapers = figures.scrapers.into_iter();
        let cold = self.shared.cold.as_ref().map(Cold::held).unwrap_or_default();
        Stats {
            epoch: self.epoch(),
            finished: figures.counts.finished,
            delivered: figures.delivered,
            buffered: figures.buffered,
            dropped: figures.counts.dropped,
            newest: figures.newest,
            segments: figures.segments,
            bytes: figures.bytes,
            cold_spans: cold.spans,
            cold_bytes: cold.bytes,
            asks_forgotten: self.shared.cold.as_ref().map_or(0, Cold::forgotten),
            operations: self.shared.sampler.operations_known(),
            scrapers: scrapers
                .map(|(name, acknowledged_below, lease_left)| ScraperStats {
                    name,
                    acknowledged_below,
                    lease_left,
                })
                .collect(),
            activity: self.shared.counters.snapshot(),
            spool: SpoolStats {
                error: self.shared.spool_error.clone(),
                ..self.shared.ring.rooms.stats()
            },
        }
    }

    /// Answers scrapers that wait for spans, and from now on lets none wait: for a server that is to finish its requests.
    pub fn stop_waiting(&self) {
        self.shared.ring.stop_waiting();
    }

    /// Seals for the last time. Waiting scrapers are answered, every answer says that it is final,
    /// and a span that finishes later is lost and counted. Then wait for [`Recorder::drained`].
    pub fn shut_down(&self) {
        let shared = &*self.shared;
        if let Some(cold) = shared.cold.as_ref().filter(|cold| cold.is_asked()) {
            let mut search = cold.search();
            while let Some(chunk) = search() {
                shared.promote(chunk);
            }
        }
        shared.ring.shut_down();
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
}

impl Shared {
    /// Notes that everything below a segment was written to somebody without a cursor of its own.
    pub(crate) fn written(&self, peer: IpAddr, next: u64) {
        let forgot = self.ring.written(peer, next, self.clock.monotonic());
        count(&self.counters.legacy_scrapes, 1);
        count(&self.counters.peers_forgotten, u64::from(forgot));
    }

    /// Puts a finished span of a trace that nobody sampled where it may still be found, or into the log if there is a
    /// reason to keep the trace. `is_entry`: with it the trace begins here, or enters this process.
    #[cold]
    pub(crate) fn put_aside(
        &self,
        draft: &mut Draft,
        header: Header,
        origin: Option<&Origin>,
        is_entry: bool,
        keep: bool,
        name: &impl Named,
    ) {
        let (Some(cold), Some(trace_id)) = (&self.cold, TraceId::new(header.trace_id)) else {
            return;
        };
        let is_slow = is_entry && self.sampler.is_slow(name, header.duration);
        let has_failed = is_entry && self.keep_failed && header.flags & flag::FAILED != 0;
        if keep || is_slow || has_failed {
            count(&self.counters.kept, 1);
            cold.ask(&[trace_id]);
            self.push(draft, header, origin, true);
            let is_told = self.ring.kept(trace_id);
            count(&self.counters.kept_untold, u64::from(!is_told));
        } else if cold.remembers(trace_id) {
            self.push(draft, header, origin, false);
        } else {
            let counter = match draft.finish(header, self.caps) {
                Err(Oversize) => &self.counters.aside_oversize,
                Ok(span) => match cold.push(span, origin, |chunk| self.promote(chunk)) {
                    true => &self.counters.put_aside,
                    false => &self.counters.aside_too_large,
                },
            };
            count(counter, 1);
            self.count_cut(draft);
            if cold.remembers(trace_id) {
                // It was asked for in this moment: whoever searched may have been here before it.
                cold.ask(&[trace_id]);
                self.ring.hurry();
            }
        }
    }

    /// Asks for what is held of traces that nobody sampled, and for what finishes of them from now on. Whoever reads
    /// next looks for it. Returns whether there is anything to look in.
    pub(crate) fn collect(&self, ids: &[TraceId]) -> bool {
        let Some(cold) = &self.cold else { return false };
        if !ids.is_empty() {
            count(&self.counters.asked_for, ids.len() as u64);
            cold.ask(ids);
            self.ring.hurry();
        }
        true
    }

    /// Spans that were asked for go to the log.
    pub(crate) fn promote(&self, chunk: Chunk) {
        if chunk.spans == 0 {
            return;
        }
        count(&self.counters.promoted, chunk.spans);
        self.ring.adopt(chunk);
    }

    /// Puts a finished span into the log, if it fits its cap, and counts what was cut.
    #[inline(always)]
    pub(crate) fn push(
        &self,
        draft: &mut Draft,
        header: Header,
        origin: Option<&Origin>,
        urgent: bool,
    ) {
        match draft.finish(header, self.caps) {
            Ok(span) => self.ring.push(span, origin, urgent),
            Err(Oversize) => self.ring.refuse(),
        }
        self.count_cut(draft);
    }

    #[inline(always)]
    fn count_cut(&self, draft: &Draft) {
        if draft.values_cut != 0 || draft.dropped_tags != 0 || draft.denied_tags != 0 {
            count(&self.counters.tags_denied, draft.denied_tags.into());
            count(&self.counters.values_cut, draft.values_cut.into());
            count(&self.counters.tags_dropped, draft.dropped_tags.into());
        }
    }
}

fn random_epoch() -> u64 {
    let random = || getrandom::u64().unwrap_or_else(|_| fastrand::u64(..));
    let epoch = random();
    if epoch == 0 { fastrand::u64(1..) } else { epoch }
}
