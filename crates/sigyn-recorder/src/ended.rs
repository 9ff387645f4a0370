//! Spans that have ended already, as others have made them: told piece by piece, so that nothing needs to
//! be put together for it.

use std::cell::Cell;

use sigyn_model::{Kind, Link, SpanId, StatusCode, Timestamp, TraceId};

use crate::draft::{Caps, Draft};
use crate::intern::Id;
use crate::layout::{Header, INLINE, flag, item};
use crate::record::Recorder;
use crate::text::{Said, TagValue, Text};
use crate::whole::{Origin, kind_bits, status_bits};

/// What grew beyond this is not kept for the next span.
const KEPT_BYTES_MAX: usize = 4 * 1024;
/// Of OTLP's flags: the parent is in another process.
const IS_REMOTE: u32 = 0x200;

thread_local! {
    static KEPT: Cell<Option<Box<Draft>>> = const { Cell::new(None) };
}

/// A span that has ended, all but what there is a list of: that is told by [`Rest`].
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The trace that it is of.
    pub trace_id: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The span above it; `None` if the trace begins with it.
    pub parent_id: Option<SpanId>,
    /// Which side of a call it is; `None` if neither.
    pub kind: Option<Kind>,
    /// What was done.
    pub name: Text<'a>,
    /// When it began, by the machine's clock.
    pub start: Timestamp,
    /// When it ended, by the same.
    pub end: Timestamp,
    /// Whether it went well, as far as somebody said so.
    pub status: StatusCode,
    /// Why it failed; empty means absent.
    pub status_message: &'a str,
    /// W3C `tracestate`; empty means absent.
    pub trace_state: &'a str,
    /// OTLP's flags.
    pub flags: u32,
    /// Who made it, if that is not the recorder's own resource, and with what.
    pub origin: Option<&'a Origin>,
}

/// The rest of a span that has ended. What there is no room for is dropped, and counted.
#[derive(Debug)]
pub struct Rest<'a> {
    draft: &'a mut Draft,
    caps: Caps,
}

impl Recorder {
    /// Takes a span that has ended elsewhere in this process. It is of the recorder's own service, unless
    /// it has a resource that says otherwise.
    pub fn record_ended(&self, span: &Ended<'_>, rest: impl FnOnce(&mut Rest<'_>)) {
        self.ended(span, rest, true);
    }

    /// The same for a span of a trace that nobody sampled: it is kept for a while, or for good if there is a reason to, like
    /// those that begin here ([`Options::cold_bytes_max`](crate::Options::cold_bytes_max)). Without memory for such spans
    /// nothing is done.
    pub fn put_aside_ended(&self, span: &Ended<'_>, rest: impl FnOnce(&mut Rest<'_>)) {
        if self.shared.cold.is_some() {
            self.ended(span, rest, false);
        }
    }

    #[inline]
    fn ended(&self, span: &Ended<'_>, rest: impl FnOnce(&mut Rest<'_>), is_sampled: bool) {
        // A thread that is ending keeps nothing any more.
        let mut draft = KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default();
        let shared = &*self.shared;
        let caps = shared.caps;
        draft.obey(shared.rules.as_ref());
        draft.clear(caps);
        let max = caps.value_bytes_max;
        let name = match span.name.0 {
            Said::Literal(name) => Id::of(name),
            _ => None,
        };
        if name.is_none() {
            draft.said_item(item::NAME, span.name, max);
        }
        draft.text(item::STATUS_MESSAGE, span.status_message, max);
        draft.trace_state(span.trace_state);
        draft.flags(span.flags);
        rest(&mut Rest { draft: &mut draft, caps });
        let urgent = span.status == StatusCode::Error || draft.error;
        let start = span.start.nanos();
        let header = Header {
            len: 0,
            trace_id: span.trace_id.as_u128(),
            id: span.id.as_u64(),
            parent_id: span.parent_id.map_or(0, SpanId::as_u64),
            start,
            // Never zero: zero means that none is known.
            duration: span.end.nanos().saturating_sub(start).max(1),
            name: name.map_or(INLINE, Id::raw),
            origin: 0,
            flags: kind_bits(span.kind)
                | status_bits(span.status)
                | flag::OWN
                | flag::WALL
                | flag::TIMESTAMP
                | flag::DURATION
                | if urgent { flag::FAILED } else { 0 },
        };
        if is_sampled {
            shared.push(&mut draft, header, span.origin, urgent);
        } else {
            let is_entry = span.parent_id.is_none() || span.flags & IS_REMOTE != 0;
            shared.put_aside(&mut draft, header, span.origin, is_entry, false, &span.name);
        }
        if draft.capacity() <= KEPT_BYTES_MAX {
            let _ = KEPT.try_with(|kept| kept.set(Some(draft)));
        }
    }
}

impl Rest<'_> {
    /// A tag. Whether its key was told before is not looked at.
    #[inline(always)]
    pub fn tag<'a, 'b>(&mut self, key: impl Into<Text<'a>>, value: impl Into<TagValue<'b>>) {
        self.draft.tag(key.into(), value.into());
    }

    /// Something that happened at that time; so many of its own tags were dropped before.
    pub fn annotation<'a, 'b>(
        &mut self,
        time: Timestamp,
        text: impl Into<Text<'a>>,
        tags: impl IntoIterator<Item = (Text<'b>, TagValue<'b>)>,
        dropped: u32,
    ) {
        self.draft.annotation(time.nanos(), text.into(), tags, dropped, self.caps);
    }

    /// Another span that it has to do with.
    pub fn link(&mut self, link: &Link) {
        self.draft.link(link, self.caps);
    }

    /// What was dropped before it came here: tags, annotations, links.
    pub fn dropped(&mut self, tags: u32, annotations: u32, links: u32) {
        let draft = &mut *self.draft;
        draft.dropped_tags = draft.dropped_tags.saturating_add(tags);
        draft.dropped_annotations = draft.dropped_annotations.saturating_add(annotations);
        draft.dropped_links = draft.dropped_links.saturating_add(links);
    }
}
