//! The layer: what becomes of the spans and events of a subscriber.

use std::sync::Arc;

use sigyn_recorder::{Recorder, TagValue};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::fields::{Fields, Visitor};
use crate::open::{Open, OpenSpans, Place};
use crate::running::Running;

/// Records the spans of a subscriber. [`layer`](crate::layer) makes one; the documentation of the crate
/// says what becomes of what.
#[derive(Debug)]
pub struct RecorderLayer {
    pub(crate) recorder: Recorder,
    wanted: Wanted,
    /// Of the subscriber that it becomes part of.
    pub(crate) open: Arc<OpenSpans>,
    /// Another one is below, and records.
    idle: bool,
}

/// A clone is for another subscriber.
impl Clone for RecorderLayer {
    fn clone(&self) -> Self {
        Self { wanted: self.wanted, ..Self::new(self.recorder.clone()) }
    }
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
        Self { recorder, wanted, open: Arc::default(), idle: false }
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

    /// A child of the nearest span above that is known here, or else a root.
    #[inline]
    fn start<S>(&self, of: &Attributes<'_>, id: &Id, context: &Context<'_, S>) -> Open
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let name = of.metadata().name();
        let child = |above: &Id| {
            self.open.with_context(above, |context| {
                let child = self.recorder.start(name, None, Some(context));
                match child.is_sampled() {
                    true => Open::Running(Place::of(Running::new(child))),
                    false => Open::LeftOut(Some(above.clone())),
                }
            })
        };
        let current;
        let above = match of.parent() {
            Some(above) => Some(above),
            None if of.is_contextual() => {
                current = context.current_span();
                current.id()
            }
            None => None,
        };
        let started = above.and_then(|above| {
            child(above).or_else(|| {
                // Filters left it out.
                let span = context.span(id)?;
                span.scope().skip(1).find_map(|above| child(&above.id()))
            })
        });
        started.unwrap_or_else(|| {
            Open::Running(Place::of(Running::new(self.recorder.start_undecided(name, None))))
        })
    }

    /// The span that an event is in, if it is recorded.
    fn span_of<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> Option<Id>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let current;
        let id = match event.parent() {
            Some(id) => id,
            None if event.is_contextual() => {
                current = context.current_span();
                current.id()?
            }
            None => return None,
        };
        match self.open.is_recorded(id) {
            Some(is_recorded) => is_recorded.then(|| id.clone()),
            None => {
                let id = context.event_span(event)?.id();
                self.open.is_recorded(&id)?.then_some(id)
            }
        }
    }
}

impl<S> Layer<S> for RecorderLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_layer(&mut self, below: &mut S) {
        if let Some(below) = (&*below as &dyn Subscriber).downcast_ref::<Self>() {
            self.open = below.open.clone();
            self.idle = true;
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if self.idle {
            return;
        }
        let mut open = self.start(attributes, id, &context);
        if let Open::Running(place) = &mut open
            && let Some(running) = place.get_mut()
            && running.span.is_sampled()
        {
            attributes.record(&mut Visitor(&mut *running));
            if self.wanted.target || self.wanted.location {
                for (key, value) in self.wanted.tags(attributes.metadata()) {
                    running.span.tag(key, value);
                }
            }
        }
        self.open.put(id, open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if self.idle || self.open.is_recorded(id) != Some(true) {
            return;
        }
        let mut said = Fields::up_to(self.recorder.value_bytes_max());
        values.record(&mut said.visitor());
        self.open.with_running(id, |running| {
            said.iter().for_each(|(key, value)| running.field(key, value));
        });
        said.keep();
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Context<'_, S>) {
        if self.idle || self.open.is_recorded(id) != Some(true) {
            return;
        }
        if let Some(to) = self.open.with_running(follows, |followed| followed.tell().clone()) {
            self.open.with_running(id, |running| {
                running.span.link(&to);
            });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.idle {
            return;
        }
        let Some(id) = self.span_of(event, &context) else { return };
        let mut said = Fields::up_to(self.recorder.value_bytes_max());
        event.record(&mut said.visitor());
        self.open.with_running(&id, |running| {
            running.event(event.metadata(), &said, self.wanted);
        });
        said.keep();
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        if !self.idle {
            // What is dropped here is recorded.
            drop(self.open.take(&id));
        }
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
