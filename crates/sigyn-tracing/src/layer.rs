//! The layer: what becomes of the spans and events of a subscriber.

use sigyn_recorder::{Recorder, TagValue};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::fields::{Fields, Visitor};
use crate::running::{LeftOut, Running, is_recorded, with_context};

/// Records the spans of a subscriber. [`layer`](crate::layer) makes one; the documentation of the crate
/// says what becomes of what.
#[derive(Clone, Debug)]
pub struct RecorderLayer {
    pub(crate) recorder: Recorder,
    wanted: Wanted,
    /// Another one is below, and records.
    idle: bool,
}

/// What else is told of spans and events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) failures: bool,
    target: bool,
    location: bool,
}

impl RecorderLayer {
    pub(crate) fn new(recorder: Recorder) -> Self {
        let wanted = Wanted { failures: true, target: false, location: false };
        Self { recorder, wanted, idle: false }
    }

    /// Whether an event of level `ERROR` says that its span failed; it does unless this says no.
    pub fn with_error_events_to_status(mut self, wanted: bool) -> Self {
        self.wanted.failures = wanted;
        self
    }

    /// Whether spans and events have a tag `target`, which is the module that they come from unless
    /// they say otherwise. They have none unless this says so.
    pub fn with_target(mut self, wanted: bool) -> Self {
        self.wanted.target = wanted;
        self
    }

    /// Whether spans and events have tags `code.file.path` and `code.line.number`. They have none
    /// unless this says so.
    pub fn with_location(mut self, wanted: bool) -> Self {
        self.wanted.location = wanted;
        self
    }

    /// A child of the nearest span above that is known here, or else a root. `None` if it is a child and
    /// not sampled.
    #[inline]
    fn start<'a, S: LookupSpan<'a>>(&self, span: &SpanRef<'a, S>) -> Option<Running> {
        let name = span.name();
        let child =
            with_context(span.parent(), |above| self.recorder.start(name, None, Some(above)));
        let span = child.unwrap_or_else(|| self.recorder.start_undecided(name, None));
        span.is_sampled().then(|| Running::new(span))
    }
}

// A span that closes needs no call. The registry forgets it at once, and drops what it carries, which
// records it; to look it up before that would cost an eighth of all that a span costs.
impl<S> Layer<S> for RecorderLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_layer(&mut self, below: &mut S) {
        self.idle = (&*below as &dyn Subscriber).is::<Self>();
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|_| !self.idle) else { return };
        let Some(mut running) = self.start(&span) else {
            span.extensions_mut().replace(LeftOut);
            return;
        };
        attributes.record(&mut Visitor(|key, value: TagValue<'_>| running.field(key, value)));
        if self.wanted.target || self.wanted.location {
            for (key, value) in self.wanted.tags(span.metadata()) {
                running.span.tag(key, value);
            }
        }
        span.extensions_mut().replace(running);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).filter(|span| !self.idle && is_recorded(span));
        let Some(span) = span else { return };
        let mut said = Fields::up_to(self.recorder.value_bytes_max());
        values.record(&mut said.visitor());
        if let Some(running) = span.extensions_mut().get_mut::<Running>() {
            said.iter().for_each(|(key, value)| running.field(key, value));
        }
        said.keep();
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let (Some(span), Some(followed)) = (context.span(id), context.span(follows)) else {
            return;
        };
        if self.idle || !is_recorded(&span) {
            return;
        }
        let to = followed.extensions_mut().get_mut::<Running>().map(|it| it.tell().clone());
        if let (Some(to), Some(running)) = (to, span.extensions_mut().get_mut::<Running>()) {
            running.span.link(&to);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let span = context.event_span(event).filter(|span| !self.idle && is_recorded(span));
        let Some(span) = span else { return };
        let mut said = Fields::up_to(self.recorder.value_bytes_max());
        event.record(&mut said.visitor());
        if let Some(running) = span.extensions_mut().get_mut::<Running>() {
            running.event(event.metadata(), &said, self.wanted);
        }
        said.keep();
    }
}

impl Wanted {
    pub(crate) fn tags<'a>(
        self,
        of: &'static Metadata<'static>,
    ) -> impl Iterator<Item = (&'static str, TagValue<'a>)> {
        let target = self.target.then(|| ("target", TagValue::Str(of.target())));
        let file = of.file().filter(|_| self.location);
        let file = file.map(|file| ("code.file.path", TagValue::Str(file)));
        let line = of.line().filter(|_| self.location);
        let line = line.map(|line| ("code.line.number", TagValue::Int(line.into())));
        target.into_iter().chain(file).chain(line)
    }
}
