//! Whoever ends a span, and says so if it ended otherwise than it should have.

use std::thread;

use crate::current::CurrentSpan;

/// A span that ends when this is told, or when it is dropped, or when what runs in it panics.
#[derive(Debug)]
pub(crate) struct Owned {
    span: CurrentSpan,
    is_over: bool,
}

impl Owned {
    pub(crate) fn new(span: CurrentSpan) -> Self {
        Self { span, is_over: false }
    }

    pub(crate) fn span(&self) -> &CurrentSpan {
        &self.span
    }

    /// Runs something with the span as the current one.
    pub(crate) fn enter<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let _entered = self.span.enter();
        let panic = Panic { was_panicking: thread::panicking(), of: self };
        let result = run();
        drop(panic);
        result
    }

    pub(crate) fn finish(&mut self) {
        self.is_over = true;
        self.span.finish();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.is_over {
            self.span.annotate("cancelled");
            self.finish();
        }
    }
}

struct Panic<'a> {
    of: &'a mut Owned,
    /// A destructor may poll while something else unwinds.
    was_panicking: bool,
}

impl Drop for Panic<'_> {
    fn drop(&mut self) {
        if thread::panicking() && !self.was_panicking {
            self.of.span.tag("error.type", "panic").error("panicked");
            self.of.finish();
        }
    }
}
