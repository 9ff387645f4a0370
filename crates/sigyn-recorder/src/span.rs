//! A span that has not finished yet.

use std::cell::{Cell, RefCell};
use std::mem;
use std::sync::Arc;

use sigyn_model::{Endpoint, Kind, Link, SpanId, StatusCode, Tags};

use crate::draft::Draft;
use crate::intern::{Glossary, Id};
use crate::layout::{Header, INLINE, flag, item};
use crate::operations::Key;
use crate::propagation::Context;
use crate::record::Recorder;
use crate::running::Place;
use crate::sampler::Named;
use crate::text::{Said, TagValue, Text};
use crate::whole::{kind_bits, status_bits};

/// Unfinished spans' memory that a thread keeps for the next ones.
const KEPT_MAX: usize = 16;
/// What grew beyond this is not kept.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// A running operation. It finishes when it is dropped, and is recorded then.
#[derive(Debug)]
#[must_use = "a span finishes when it is dropped"]
pub struct ActiveSpan {
    context: Context,
    /// `None` if it is put nowhere when it finishes. It is there while that is undecided.
    open: Option<Box<Open>>,
}

/// On cache lines of its own, as other threads have theirs beside it.
#[derive(Debug)]
#[repr(align(64))]
struct Open {
    /// It stays here between spans: counting its owners would cost as much as a tag.
    recorder: Recorder,
    draft: Draft,
    started: u64,
    kind: Option<Kind>,
    name: Option<Id>,
    /// A name that is no literal.
    own_name: String,
    status: StatusCode,
    status_message: String,
    remote_endpoint: Option<Endpoint>,
    /// Whoever sampled what: it is kept.
    keep: bool,
    /// Where others see it while it runs.
    place: Arc<Place>,
}

thread_local! {
    static KEPT: Kept = const { Kept { last: Cell::new(None), more: RefCell::new(Vec::new()) } };
}

/// Memory of spans that have finished. Most need no more than the last one's.
struct Kept {
    last: Cell<Option<Box<Open>>>,
    #[expect(clippy::vec_box, reason = "the box itself is what goes to a span and comes back")]
    more: RefCell<Vec<Box<Open>>>,
}

impl Kept {
    #[inline(always)]
    fn take(&self) -> Option<Box<Open>> {
        self.last.take().or_else(|| self.more.borrow_mut().pop())
    }

    #[inline(always)]
    fn give(&self, open: Box<Open>) {
        if let Some(before) = self.last.replace(Some(open)) {
            self.give_another(before);
        }
    }

    #[inline(never)]
    fn give_another(&self, open: Box<Open>) {
        let mut more = self.more.borrow_mut();
        if more.len() < KEPT_MAX {
            more.push(open);
        }
    }
}

impl ActiveSpan {
    pub(crate) fn unsampled(context: Context) -> Self {
        Self { context, open: None }
    }

    #[inline(always)]
    pub(crate) fn open(
        recorder: &Recorder,
        context: Context,
        kind: Option<Kind>,
        name: Text<'_>,
    ) -> Self {
        let mut open = Open::of(recorder);
        open.kind = kind;
        open.set_name(name);
        open.started = recorder.shared.clock.ticks();
        open.place.start(&context, open.started, Place::rest(open.name, kind));
        Self { context, open: Some(open) }
    }

    /// What a child of this span needs to know, here or in another process. Of a span that was started
    /// undecided, [`Self::decide`] tells it.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether anything is done with what it is told: it will be recorded, or put aside in case somebody wants it, or that
    /// is undecided. Worth asking before a costly tag.
    pub fn is_sampled(&self) -> bool {
        self.open.is_some()
    }

    /// Decides whether it is recorded, where that was left open ([`Recorder::start_undecided`]).
    #[inline]
    pub fn decide(&mut self) -> &Context {
        if self.context.sampled.is_none() {
            self.settle();
        }
        &self.context
    }

    #[inline(never)]
    fn end(&mut self) {
        if self.context.sampled.is_none() {
            self.settle();
        }
        if let Some(mut open) = self.open.take() {
            open.finish(&self.context);
            open.keep_memory();
        }
    }

    #[cold]
    fn settle(&mut self) {
        let Some(open) = &self.open else { return };
        if open.recorder.decide(&mut self.context, &**open) {
            open.place.set_context(&self.context);
        } else if let Some(open) = self.open.take() {
            open.discard();
        }
    }

    /// Makes it a child of `parent` instead: of that trace, and recorded as was decided there. For those
    /// only whose context nobody has been told yet. One that is not sampled stays so.
    pub fn set_parent(&mut self, parent: &Context) -> &mut Self {
        self.context = parent.child();
        if self.open.is_none() {
            self.context.sampled = Some(false);
            self.context.debug = false;
        } else if parent.debug || parent.sampled.is_some() {
            self.settle();
        } else if let Some(open) = &self.open {
            open.place.set_context(&self.context);
        }
        self
    }

    /// Gives a more telling name, known only after the start.
    pub fn set_name<'a>(&mut self, name: impl Into<Text<'a>>) -> &mut Self {
        self.with(|open| {
            open.set_name(name.into());
            open.place.set_rest(Place::rest(open.name, open.kind));
        })
    }

    /// Says which role it plays in a call, where that is known only after the start.
    pub fn set_kind(&mut self, kind: Option<Kind>) -> &mut Self {
        self.with(|open| {
            open.kind = kind;
            open.place.set_rest(Place::rest(open.name, kind));
        })
    }

    /// Sees to it that the trace is kept, as far as this process still has it, even if nobody sampled it: something about
    /// it is worth a look. Without memory for such traces ([`Options::cold_bytes_max`](crate::Options)) it changes
    /// nothing.
    pub fn keep(&mut self) -> &mut Self {
        self.with(|open| open.keep = true)
    }

    /// Puts a tag, in place of an earlier value of the same key.
    #[inline(always)]
    pub fn tag<'a, 'b>(
        &mut self,
        key: impl Into<Text<'a>>,
        value: impl Into<TagValue<'b>>,
    ) -> &mut Self {
        if let Some(open) = &mut self.open {
            open.draft.tag(key.into(), value.into());
        }
        self
    }

    /// Notes that something happened now.
    pub fn annotate<'a>(&mut self, text: impl Into<Text<'a>>) -> &mut Self {
        self.annotate_with(text, [])
    }

    /// Notes that something happened now, and more about it.
    pub fn annotate_with<'a, 'b>(
        &mut self,
        text: impl Into<Text<'a>>,
        tags: impl IntoIterator<Item = (Text<'b>, TagValue<'b>)>,
    ) -> &mut Self {
        self.with(|open| {
            let shared = &*open.recorder.shared;
            open.draft.annotation(shared.clock.ticks(), text.into(), tags, 0, shared.caps);
        })
    }

    /// Notes that another span, of this trace or of another one, has to do with this one.
    pub fn link(&mut self, to: &Context) -> &mut Self {
        let Some(span_id) = to.span_id else { return self };
        self.with(|open| {
            let link = Link {
                trace_id: to.trace_id,
                span_id,
                trace_state: to.trace_state.clone(),
                tags: Tags::new(),
                dropped_tags: 0,
                flags: u32::from(to.debug || to.sampled == Some(true)),
            };
            open.draft.link(&link, open.recorder.shared.caps);
        })
    }

    /// Notes that the operation failed, and why. A waiting scraper is told at once.
    pub fn error(&mut self, text: &str) -> &mut Self {
        self.with(|open| {
            open.status = StatusCode::Error;
            text.clone_into(&mut open.status_message);
        })
    }

    /// Notes how the operation ended. What was said of a failure is forgotten unless it is one.
    pub fn set_status(&mut self, code: StatusCode) -> &mut Self {
        self.with(|open| {
            open.status = code;
            if code != StatusCode::Error {
                open.status_message.clear();
            }
        })
    }

    /// Notes who is at the other end.
    pub fn remote_endpoint(&mut self, endpoint: Endpoint) -> &mut Self {
        self.with(|open| open.remote_endpoint = endpoint.into_option())
    }

    /// Ends the operation. Dropping does the same.
    pub fn finish(self) {}

    #[inline(always)]
    fn with(&mut self, change: impl FnOnce(&mut Open)) -> &mut Self {
        if let Some(open) = &mut self.open {
            change(open);
        }
        self
    }
}

impl Named for Open {
    fn key(&self) -> Key {
        (self.name, &self.own_name).key()
    }

    fn text(&self) -> String {
        (self.name, &self.own_name).text()
    }
}

impl<S: AsRef<str>> Named for (Option<Id>, S) {
    fn key(&self) -> Key {
        Key::of(self.0, self.1.as_ref())
    }

    fn text(&self) -> String {
        match self.0 {
            Some(id) => Glossary::now().text(id).to_owned(),
            None => self.1.as_ref().to_owned(),
        }
    }
}

impl Named for Text<'_> {
    fn key(&self) -> Key {
        match self.0 {
            Said::Literal(text) => Key::of(Id::of(text), text),
            _ => Key::of(None, &self.text()),
        }
    }

    fn text(&self) -> String {
        match self.0 {
            Said::Literal(text) | Said::Borrowed(text) => text.to_owned(),
            Said::Format(arguments) => arguments.to_string(),
        }
    }
}

impl Drop for ActiveSpan {
    #[inline]
    fn drop(&mut self) {
        if self.open.is_some() {
            self.end();
        }
    }
}

impl Open {
    #[inline(always)]
    fn of(recorder: &Recorder) -> Box<Self> {
        // A thread that is ending keeps nothing any more.
        let kept = KEPT.try_with(Kept::take).ok().flatten();
        match kept {
            Some(mut open) => {
                if !open.recorder.is(recorder) {
                    open.recorder = recorder.clone();
                    open.place = recorder.shared.running.take();
                    open.draft = Draft::of(recorder.shared.rules.as_ref());
                }
                open.draft.clear(recorder.shared.caps);
                open.status = StatusCode::Unset;
                open.keep = false;
                open
            }
            None => Self::new(recorder),
        }
    }

    #[cold]
    fn new(recorder: &Recorder) -> Box<Self> {
        let mut draft = Draft::of(recorder.shared.rules.as_ref());
        draft.clear(recorder.shared.caps);
        Box::new(Self {
            recorder: recorder.clone(),
            draft,
            started: 0,
            kind: None,
            name: None,
            own_name: String::new(),
            status: StatusCode::Unset,
            status_message: String::new(),
            remote_endpoint: None,
            keep: false,
            place: recorder.shared.running.take(),
        })
    }

    /// Not recorded after all.
    #[cold]
    fn discard(mut self: Box<Self>) {
        self.place.finish();
        self.status_message.clear();
        self.remote_endpoint = None;
        self.keep_memory();
    }

    /// For the next span of this thread.
    #[inline(always)]
    fn keep_memory(self: Box<Self>) {
        let bytes =
            self.draft.capacity() + self.own_name.capacity() + self.status_message.capacity();
        if bytes <= KEPT_BYTES_MAX {
            let _ = KEPT.try_with(|kept| kept.give(self));
        }
    }

    #[inline(always)]
    fn set_name(&mut self, name: Text<'_>) {
        self.name = match name.0 {
            Said::Literal(text) => Id::of(text),
            _ => None,
        };
        if self.name.is_none() {
            self.set_own_name(name);
        }
    }

    #[cold]
    fn set_own_name(&mut self, name: Text<'_>) {
        self.own_name.clear();
        match name.0 {
            Said::Literal(text) | Said::Borrowed(text) => self.own_name.push_str(text),
            Said::Format(arguments) => {
                // A `Display` that fails says no more; what it said is kept.
                let _ = std::fmt::Write::write_fmt(&mut self.own_name, arguments);
            }
        }
        self.place.set_own_name(&self.own_name);
    }

    #[inline(always)]
    fn finish(&mut self, context: &Context) {
        let took = self.recorder.shared.clock.ticks().saturating_sub(self.started);
        self.place.finish();
        let Some(id) = context.span_id else { return };
        let failed = self.status == StatusCode::Error;
        if failed || self.remote_endpoint.is_some() || !context.trace_state.is_empty() {
            self.append_rest(context);
        }
        if self.name.is_none() {
            let max = self.recorder.shared.caps.value_bytes_max;
            self.draft.text(item::NAME, &self.own_name, max);
        }
        let urgent = failed || self.draft.error;
        if context.debug || context.sampled == Some(true) {
            let header = self.header(context, id, took, urgent);
            self.recorder.shared.push(&mut self.draft, header, None, urgent);
        } else {
            self.put_aside(context, id, took, urgent);
        }
    }

    #[inline(always)]
    fn header(&self, context: &Context, id: SpanId, took: u64, urgent: bool) -> Header {
        Header {
            len: 0,
            trace_id: context.trace_id.as_u128(),
            id: id.as_u64(),
            parent_id: context.parent_id.map_or(0, SpanId::as_u64),
            start: self.started,
            // Never zero: zero means that none is known.
            duration: took.max(1),
            name: self.name.map_or(INLINE, Id::raw),
            origin: 0,
            flags: kind_bits(self.kind)
                | status_bits(self.status)
                | flag::OWN
                | flag::TIMESTAMP
                | flag::DURATION
                | if context.debug { flag::DEBUG } else { 0 }
                | if urgent { flag::FAILED } else { 0 },
        }
    }

    #[cold]
    fn put_aside(&mut self, context: &Context, id: SpanId, took: u64, urgent: bool) {
        let header = self.header(context, id, took, urgent);
        let is_entry =
            context.parent_id.is_none() || matches!(self.kind, Some(Kind::Server | Kind::Consumer));
        let name = (self.name, mem::take(&mut self.own_name));
        let shared = &*self.recorder.shared;
        shared.put_aside(&mut self.draft, header, None, is_entry, self.keep, &name);
        self.own_name = name.1;
    }

    #[cold]
    fn append_rest(&mut self, context: &Context) {
        let max = self.recorder.shared.caps.value_bytes_max;
        self.draft.text(item::STATUS_MESSAGE, &self.status_message, max);
        if let Some(endpoint) = self.remote_endpoint.take() {
            self.draft.endpoint(item::REMOTE_ENDPOINT, &endpoint, max);
        }
        self.draft.trace_state(&context.trace_state);
        self.status_message.clear();
    }
}
