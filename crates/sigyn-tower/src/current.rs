//! The span that a piece of code runs in, so that nobody has to hand it through.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};

use pin_project_lite::pin_project;
use sigyn_recorder::{ActiveSpan, Baggage, Context, Kind, Recorder, TagValue, Text};

use crate::owned::Owned;

thread_local! {
    static CURRENT: RefCell<Option<CurrentSpan>> = const { RefCell::new(None) };
}

/// The span of the request that is being served, or of whatever else is run with [`CurrentSpan::run`].
///
/// It is known where a layer of this crate, or something that it called, is being polled: in handlers and
/// whatever they await. It is not in tasks that they spawn, nor on other threads, unless it is taken
/// there: [`CurrentSpan::scope`].
pub fn current() -> Option<CurrentSpan> {
    // A thread that is ending has none any more.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// A handle on a span that is running. A server's request has it among its extensions, and [`current`]
/// finds it. It does not keep the span running: what is said after its end is lost.
#[derive(Clone, Debug)]
pub struct CurrentSpan {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    recorder: Recorder,
    context: Context,
    baggage: Baggage,
    /// `None` when it has ended. Nothing that a caller wrote runs while it is locked.
    span: Mutex<Option<ActiveSpan>>,
}

impl CurrentSpan {
    pub(crate) fn new(recorder: &Recorder, span: ActiveSpan, baggage: Baggage) -> Self {
        let (recorder, context) = (recorder.clone(), span.context().clone());
        let span = Mutex::new(Some(span));
        Self { shared: Arc::new(Shared { recorder, context, baggage, span }) }
    }

    /// What children need to know, here or in another process.
    pub fn context(&self) -> &Context {
        &self.shared.context
    }

    /// What the caller wants all below it to know.
    pub fn baggage(&self) -> &Baggage {
        &self.shared.baggage
    }

    /// Whether it is recorded, and goes on: worth asking before a costly tag.
    pub fn is_recording(&self) -> bool {
        self.lock().as_ref().is_some_and(ActiveSpan::is_sampled)
    }

    /// Starts a child.
    pub fn start<'a>(&self, name: impl Into<Text<'a>>, kind: Option<Kind>) -> ActiveSpan {
        self.shared.recorder.start(name, kind, Some(self.context()))
    }

    /// Runs something in a child of its own, which ends with it and is [`current`] meanwhile.
    pub fn run<'a, F: Future>(
        &self,
        name: impl Into<Text<'a>>,
        kind: Option<Kind>,
        future: F,
    ) -> Run<F> {
        let child = self.start(name, kind);
        let child = Self::new(&self.shared.recorder, child, self.shared.baggage.clone());
        Run { future, span: Owned::new(child) }
    }

    /// Runs something in this span, wherever that may be: `tokio::spawn(span.scope(future))`. The span
    /// ends when it would have ended.
    pub fn scope<F: Future>(self, future: F) -> Scope<F> {
        Scope { future, span: self }
    }

    /// Puts a tag, in place of an earlier value of the same key.
    pub fn tag<'a>(&self, key: &'static str, value: impl Into<TagValue<'a>>) -> &Self {
        match value.into() {
            // That is a caller's code.
            TagValue::Format(arguments) => {
                let text = arguments.to_string();
                self.with(|span| span.tag(key, &text));
            }
            value => self.with(|span| span.tag(key, value)),
        }
        self
    }

    /// Notes that something happened now.
    pub fn annotate(&self, text: &str) -> &Self {
        self.with(|span| span.annotate(Text::new(text)));
        self
    }

    /// Notes that the operation failed, and why.
    pub fn error(&self, text: &str) -> &Self {
        self.with(|span| span.error(text));
        self
    }

    /// Keeps the trace, though nobody sampled it, as [`ActiveSpan::keep`] does.
    pub fn keep(&self) -> &Self {
        self.with(ActiveSpan::keep);
        self
    }

    /// Gives a more telling name: that of a route which only the handler knows.
    pub fn set_name(&self, name: &str) -> &Self {
        self.with(|span| span.set_name(Text::new(name)));
        self
    }

    pub(crate) fn with(&self, change: impl FnOnce(&mut ActiveSpan) -> &mut ActiveSpan) {
        if let Some(span) = &mut *self.lock() {
            change(span);
        }
    }

    pub(crate) fn finish(&self) {
        let span = self.lock().take();
        drop(span);
    }

    /// Is current until this is dropped.
    pub(crate) fn enter(&self) -> Entered {
        let span = Some(self.clone());
        Entered { before: CURRENT.try_with(|current| current.replace(span)).ok().flatten() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<ActiveSpan>> {
        self.shared.span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Entered {
    before: Option<CurrentSpan>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        let _ = CURRENT.try_with(|current| current.replace(before));
    }
}

pin_project! {
    /// Something that runs in a span which goes on elsewhere: [`CurrentSpan::scope`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Scope<F> {
        #[pin]
        future: F,
        span: CurrentSpan,
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        this.future.poll(task)
    }
}

pin_project! {
    /// Something that runs in a span of its own: [`CurrentSpan::run`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Run<F> {
        #[pin]
        future: F,
        span: Owned,
    }
}

impl<F: Future> Future for Run<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.span.enter(|| this.future.poll(task));
        if polled.is_ready() {
            this.span.finish();
        }
        polled
    }
}
