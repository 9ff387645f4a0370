//! Where a span of `tracing` stands in its trace: told to other processes, and learnt from them.

use sigyn_recorder::Context;
use tracing::span::Id;
use tracing::{Dispatch, Span};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan as _;

use crate::layer::RecorderLayer;
use crate::open::{Open, Place};
use crate::running::Running;

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
        self.with_subscriber(|(id, dispatch)| {
            let open = &dispatch.downcast_ref::<RecorderLayer>()?.open;
            open.with_context(id, Context::clone).or_else(|| {
                // Filters left it out.
                let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
                span.scope().find_map(|span| open.with_context(&span.id(), Context::clone))
            })
        })
        .flatten()
    }

    fn set_parent(&self, parent: &Context) -> bool {
        self.with_subscriber(|(id, dispatch)| continue_trace(id, dispatch, parent)) == Some(true)
    }

    fn link(&self, to: &Context) {
        self.with_subscriber(|(id, dispatch)| {
            let open = &dispatch.downcast_ref::<RecorderLayer>()?.open;
            open.with_running(id, |running| {
                running.span.link(to);
            })
        });
    }
}

fn continue_trace(id: &Id, dispatch: &Dispatch, parent: &Context) -> bool {
    let layer = dispatch.downcast_ref::<RecorderLayer>();
    let name = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id));
    let (Some(layer), Some(name)) = (layer, name.map(|span| span.name())) else { return false };
    let done = layer.open.with(id, |open| {
        if open.is_told() {
            return false;
        }
        match open.running() {
            Some(running) if running.span.is_sampled() => {
                running.span.set_parent(parent);
            }
            // It was not sampled up to here; what was said of it is gone.
            _ => {
                let span = layer.recorder.start(name, None, Some(parent));
                *open = Open::Running(Place::of(Running::new(span)));
            }
        }
        true
    });
    done.unwrap_or(false)
}
