//! Where a span of `tracing` stands in its trace: told to other processes, and learnt from them.

use sigyn_recorder::Context;
use tracing::{Dispatch, Span};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::{LookupSpan as _, SpanRef};

use crate::layer::RecorderLayer;
use crate::running::{LeftOut, Running, with_context};

/// What other processes need to know of a span, and what it needs to know of them.
///
/// It works with subscribers that are made of layers on a [`Registry`], as nearly all are. Without one,
/// without the layer, and for spans that filters leave out, there is nothing to tell and nothing is done.
pub trait SpanExt {
    /// The context that a call from within this span passes on, with
    /// [`propagation::inject`](sigyn_recorder::propagation::inject). A span that is not recorded
    /// passes on that of the nearest one above. `None` if it is in no trace.
    ///
    /// From now on it is decided whether a trace that begins with this span is sampled, and
    /// [`Self::set_parent`] comes too late for it.
    fn context(&self) -> Option<Context>;

    /// Continues the trace of a caller, as
    /// [`Recorder::extract`](sigyn_recorder::Recorder::extract) read it. Says whether it does: it is
    /// too late when the span has a child, or its context has been asked for.
    fn set_parent(&self, parent: &Context) -> bool;

    /// Notes that another span has to do with this one, such as that which sent one of the messages that
    /// are read here.
    fn link(&self, to: &Context);
}

impl SpanExt for Span {
    fn context(&self) -> Option<Context> {
        self.with_subscriber(|(id, dispatch)| with_context(find(dispatch, id), Context::clone))
            .flatten()
    }

    fn set_parent(&self, parent: &Context) -> bool {
        let done = self.with_subscriber(|(id, dispatch)| {
            let span = find(dispatch, id)?;
            let mut extensions = span.extensions_mut();
            match extensions.get_mut::<Running>() {
                Some(running) if running.told => return Some(false),
                Some(running) if running.span.is_sampled() => {
                    running.span.set_parent(parent);
                    return Some(true);
                }
                // It was not sampled up to here; what was said of it is gone.
                Some(_) => {}
                None => {
                    extensions.get_mut::<LeftOut>()?;
                }
            }
            let recorder = &dispatch.downcast_ref::<RecorderLayer>()?.recorder;
            let running = Running::new(recorder.start(span.name(), None, Some(parent)));
            extensions.replace(running);
            Some(true)
        });
        done.flatten().unwrap_or(false)
    }

    fn link(&self, to: &Context) {
        self.with_subscriber(|(id, dispatch)| {
            let span = find(dispatch, id)?;
            let mut extensions = span.extensions_mut();
            extensions.get_mut::<Running>()?.span.link(to);
            Some(())
        });
    }
}

fn find<'a>(dispatch: &'a Dispatch, id: &tracing::span::Id) -> Option<SpanRef<'a, Registry>> {
    dispatch.downcast_ref::<Registry>()?.span(id)
}
