//! A span while it is written: bytes in the form of [`layout`](crate::layout), within bounds.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use sigyn_model::{Endpoint, Value};

use crate::buffer::{Buffer, Line, SHORT_PIECE};
use crate::intern::{self, Id};
use crate::layout::{HEADER, Header, INLINE, item};
use crate::rules::{Fate, Rules};
use crate::text::{self, Said, TagValue, Text};

/// Bounds on one span.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caps {
    pub(crate) value_bytes_max: usize,
    pub(crate) span_bytes_max: usize,
}

/// W3C asks that at least this much of `tracestate` travels; more than this is not kept.
pub(crate) const TRACE_STATE_BYTES_MAX: usize = 512;

/// What stands in place of a value that nobody may read.
const REDACTED: &str = "REDACTED";

/// A span's bytes, and what did not get into them.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// Its items; the header is made when it is finished.
    items: Buffer,
    caps: Caps,
    /// `None` if all tags are recorded as they are.
    rules: Option<Arc<Rules>>,
    pub(crate) denied_tags: u32,
    /// While the items are shorter than this, a short tag fits.
    short_before: usize,
    /// Longer values are not short.
    short_value_max: usize,
    pub(crate) dropped_tags: u32,
    pub(crate) dropped_annotations: u32,
    pub(crate) dropped_links: u32,
    pub(crate) values_cut: u32,
    /// Holds a tag `error`.
    pub(crate) error: bool,
}

/// A span that can be put away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished<'a> {
    pub(crate) header: Header,
    items: &'a [u8],
    /// The same and whatever lies behind, if that may be read as well.
    lines: &'a [Line],
}

impl<'a> Finished<'a> {
    pub(crate) fn of(header: Header, items: &'a [u8]) -> Self {
        Self { header, items, lines: &[] }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        HEADER + self.items.len()
    }

    /// Writes it over as many bytes as it has.
    #[cfg(feature = "spool")]
    #[inline]
    pub(crate) fn write_to(&self, to: &mut [u8]) {
        if let Some((header, items)) = to.split_first_chunk_mut() {
            self.header.write(header);
            items.copy_from_slice(self.items);
        }
    }

    #[inline(always)]
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        let mut header = [0; HEADER];
        self.header.write(&mut header);
        to.extend_from_slice(&header);
        let end = to.len() + self.items.len();
        let lines = self.lines.as_flattened();
        if lines.len() >= self.items.len() && to.capacity() - to.len() >= lines.len() {
            // Pieces of one size each are no calls.
            self.lines.iter().for_each(|line| to.extend_from_slice(line));
            to.truncate(end);
        } else {
            to.extend_from_slice(self.items);
        }
    }
}

/// A span that is too large even with everything dropped that may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oversize;

impl Draft {
    pub(crate) fn of(rules: Option<&Arc<Rules>>) -> Self {
        Self { rules: rules.cloned(), ..Self::default() }
    }

    /// For spans of a recorder that may be another one than before.
    pub(crate) fn obey(&mut self, rules: Option<&Arc<Rules>>) {
        if self.rules.is_some() || rules.is_some() {
            self.rules = rules.cloned();
        }
    }

    /// Ready for a new span; keeps its memory.
    #[inline(always)]
    pub(crate) fn clear(&mut self, caps: Caps) {
        self.items.clear();
        // Whoever has rules looks at each tag.
        self.short_before = match self.rules {
            None => caps.span_bytes_max.saturating_sub(HEADER + SHORT_PIECE),
            Some(_) => 0,
        };
        self.short_value_max = caps.value_bytes_max.min(SHORT_PIECE - 4);
        self.caps = caps;
        self.dropped_tags = 0;
        self.dropped_annotations = 0;
        self.dropped_links = 0;
        self.values_cut = 0;
        self.denied_tags = 0;
        self.error = false;
    }

    /// Memory that it keeps.
    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Appends a tag. A later one of the same key takes the place of this one when the span is read.
    ///
    /// Inlined, so that the caller's types decide the way: nearly all tags are literals with a short value.
    #[inline(always)]
    pub(crate) fn tag(&mut self, key: Text<'_>, value: TagValue<'_>) {
        match (key.0, value) {
            (Said::Literal(key), TagValue::Str(value)) => {
                if !self.short_str(key, value) {
                    self.any_str(key, value);
                }
            }
            (Said::Literal(key), TagValue::Int(value)) => {
                if !self.short_int(key, value) {
                    self.any_int(key, value);
                }
            }
            (Said::Literal(key), TagValue::Bool(value)) => {
                if !self.short_bool(key, value) {
                    self.any_tag(key.into(), TagValue::Bool(value));
                }
            }
            _ => self.any_tag(key, value),
        }
    }

    // Those that write a short tag call nothing, and so have nothing to save.

    #[inline(never)]
    fn short_str(&mut self, key: &'static str, value: &str) -> bool {
        value.len() <= self.short_value_max
            && self.short(key, |items, [low, high]| {
                #[expect(clippy::cast_possible_truncation, reason = "it is short")]
                let len = value.len() as u8;
                items.put_short([item::SHORT_STR, low, high, len], value.as_bytes())
            })
    }

    #[inline(never)]
    fn short_int(&mut self, key: &'static str, value: i64) -> bool {
        let Ok(short) = i16::try_from(value) else { return false };
        self.short(key, |items, [low, high]| {
            items.put_short([item::INT16, low, high], &short.to_le_bytes())
        })
    }

    #[inline(never)]
    fn short_bool(&mut self, key: &'static str, value: bool) -> bool {
        let kind = if value { item::TRUE } else { item::FALSE };
        self.short(key, |items, [low, high]| items.put_short([kind, low, high], &[]))
    }

    /// A tag that fits in any case, and whose key is found at once. False: it is none.
    #[inline(always)]
    fn short(&mut self, key: &'static str, put: impl FnOnce(&mut Buffer, [u8; 2]) -> bool) -> bool {
        if self.items.len() >= self.short_before {
            return false;
        }
        let Some(id) = Id::at_once(key) else { return false };
        let is_put = put(&mut self.items, id.raw().to_le_bytes());
        self.error |= is_put && id == intern::ERROR;
        is_put
    }

    #[cold]
    #[inline(never)]
    fn any_str(&mut self, key: &'static str, value: &str) {
        self.any_tag(key.into(), TagValue::Str(value));
    }

    #[cold]
    #[inline(never)]
    fn any_int(&mut self, key: &'static str, value: i64) {
        self.any_tag(key.into(), TagValue::Int(value));
    }

    #[cold]
    #[inline(never)]
    fn any_tag(&mut self, key: Text<'_>, value: TagValue<'_>) {
        let caps = self.caps;
        let Some(value) = self.allowed(key, value) else { return };
        let is_put = self.whole_or_not(|draft, start| {
            draft.items.put(&[0]);
            draft.error |= draft.key(key, caps.value_bytes_max) == Key::Error;
            let kind = draft.value(value, caps.value_bytes_max)?;
            draft.items[start] = kind;
            (draft.len() <= caps.span_bytes_max).then_some(())
        });
        if is_put.is_none() {
            self.dropped_tags = self.dropped_tags.saturating_add(1);
        }
    }

    /// Writes an item that is told where it begins, and takes it back if it says so, or if the program's own code panics
    /// while it writes a value: the span may still be recorded.
    fn whole_or_not(&mut self, write: impl FnOnce(&mut Self, usize) -> Option<()>) -> Option<()> {
        struct Item<'a> {
            draft: &'a mut Draft,
            start: usize,
            is_whole: bool,
        }

        impl Drop for Item<'_> {
            fn drop(&mut self) {
                if !self.is_whole {
                    self.draft.items.truncate(self.start);
                }
            }
        }

        let start = self.items.len();
        let mut item = Item { draft: self, start, is_whole: false };
        let written = write(item.draft, start);
        item.is_whole = written.is_some();
        written
    }

    /// What may be recorded of a tag.
    fn allowed<'a>(&mut self, key: Text<'_>, value: TagValue<'a>) -> Option<TagValue<'a>> {
        let Some(rules) = &self.rules else { return Some(value) };
        let fate = match key.0 {
            Said::Literal(key) | Said::Borrowed(key) => rules.fate(key),
            Said::Format(key) => rules.fate(&key.to_string()),
        };
        match fate {
            Fate::Recorded => Some(value),
            Fate::Redacted => Some(TagValue::Str(REDACTED)),
            Fate::Denied => {
                self.denied_tags = self.denied_tags.saturating_add(1);
                None
            }
        }
    }

    pub(crate) fn annotation<'a>(
        &mut self,
        time: u64,
        name: Text<'_>,
        tags: impl IntoIterator<Item = (Text<'a>, TagValue<'a>)>,
        dropped: u32,
        caps: Caps,
    ) {
        let is_put = self.whole_or_not(|draft, start| {
            draft.open(item::ANNOTATION);
            draft.items.put(&time.to_le_bytes());
            draft.key(name, caps.value_bytes_max);
            draft.nested_tags(tags, dropped, caps.value_bytes_max);
            draft.set_len(start + 1);
            (draft.len() <= caps.span_bytes_max).then_some(())
        });
        if is_put.is_none() {
            self.dropped_annotations = self.dropped_annotations.saturating_add(1);
        }
    }

    pub(crate) fn link(&mut self, link: &sigyn_model::Link, caps: Caps) {
        let start = self.open(item::LINK);
        self.items.put(&link.trace_id.as_u128().to_le_bytes());
        self.items.put(&link.span_id.as_u64().to_le_bytes());
        self.items.put(&link.flags.to_le_bytes());
        let state = self.whole_trace_state(&link.trace_state);
        self.long(state.as_bytes());
        self.nested_tags(text::borrowed(&link.tags), link.dropped_tags, caps.value_bytes_max);
        if !self.close(start, caps.span_bytes_max) {
            self.dropped_links = self.dropped_links.saturating_add(1);
        }
    }

    /// What cannot be left out: it may break the cap, and [`Self::finish`] sees to it.
    pub(crate) fn text(&mut self, tag: u8, text: &str, value_bytes_max: usize) {
        if !text.is_empty() {
            self.items.put(&[tag]);
            let text = self.cut(text, value_bytes_max);
            self.long(text.as_bytes());
        }
    }

    /// Like [`Self::text`], of what a caller says.
    pub(crate) fn said_item(&mut self, tag: u8, text: Text<'_>, max: usize) {
        self.whole_or_not(|draft, start| {
            draft.open(tag);
            draft.said(text, max);
            draft.set_len(start + 1);
            Some(())
        });
    }

    /// Half a list of vendors' entries would be a lie in somebody's name: it goes as a whole or not.
    pub(crate) fn trace_state(&mut self, state: &str) {
        let state = self.whole_trace_state(state);
        self.text(item::TRACE_STATE, state, TRACE_STATE_BYTES_MAX);
    }

    pub(crate) fn endpoint(&mut self, tag: u8, endpoint: &Endpoint, value_bytes_max: usize) {
        self.items.put(&[tag]);
        let at = self.items.len();
        self.items.put(&[0; 4]);
        self.items
            .put(&[u8::from(endpoint.ipv4.is_some()) | u8::from(endpoint.ipv6.is_some()) << 1]);
        if let Some(ip) = endpoint.ipv4 {
            self.items.put(&ip.octets());
        }
        if let Some(ip) = endpoint.ipv6 {
            self.items.put(&ip.octets());
        }
        self.items.put(&endpoint.port.to_le_bytes());
        let name = self.cut(&endpoint.service_name, value_bytes_max);
        self.items.put(name.as_bytes());
        self.set_len(at);
    }

    pub(crate) fn flags(&mut self, flags: u32) {
        if flags != 0 {
            self.items.put(&[item::FLAGS]);
            self.items.put(&flags.to_le_bytes());
        }
    }

    /// The finished span's bytes, within the cap: tags go first, then annotations, then links, each from
    /// the end.
    #[inline(always)]
    pub(crate) fn finish(&mut self, header: Header, caps: Caps) -> Result<Finished<'_>, Oversize> {
        if self.len() > caps.span_bytes_max {
            self.shrink(caps.span_bytes_max)?;
        }
        if (self.dropped_tags | self.dropped_annotations | self.dropped_links) != 0 {
            self.items.put(&[item::DROPPED]);
            for dropped in [self.dropped_tags, self.dropped_annotations, self.dropped_links] {
                self.items.put(&dropped.to_le_bytes());
            }
        }
        let len = u32::try_from(self.len()).map_err(|_| Oversize)?;
        Ok(Finished {
            header: Header { len, ..header },
            items: &self.items,
            lines: self.items.lines(),
        })
    }

    /// With the header that it will have.
    #[inline]
    fn len(&self) -> usize {
        HEADER + self.items.len()
    }

    #[cold]
    fn shrink(&mut self, span_bytes_max: usize) -> Result<(), Oversize> {
        let mut items: Vec<(u8, std::ops::Range<usize>)> = Vec::new();
        let mut at = 0;
        for (tag, len) in crate::view::lengths(&self.items) {
            items.push((tag, at..at + len));
            at += len;
        }
        let mut over = self.len() - span_bytes_max;
        let mut drop_from_end = |which: fn(u8) -> bool, dropped: &mut u32| {
            let mut left = items.len();
            while let Some(last) =
                items[..left].iter().rposition(|(tag, _)| over > 0 && which(*tag))
            {
                over = over.saturating_sub(items.remove(last).1.len());
                *dropped = dropped.saturating_add(1);
                left = last;
            }
        };
        drop_from_end(|tag| tag <= item::TAG_MAX, &mut self.dropped_tags);
        drop_from_end(|tag| tag == item::ANNOTATION, &mut self.dropped_annotations);
        drop_from_end(|tag| tag == item::LINK, &mut self.dropped_links);
        if over > 0 {
            return Err(Oversize);
        }
        let kept: Vec<u8> =
            items.into_iter().flat_map(|(_, range)| self.items[range].to_vec()).collect();
        self.items.clear();
        self.items.put(&kept);
        Ok(())
    }

    /// An item whose length goes before it.
    fn open(&mut self, tag: u8) -> usize {
        let start = self.items.len();
        self.items.put(&[tag]);
        self.items.put(&[0; 4]);
        start
    }

    fn close(&mut self, start: usize, span_bytes_max: usize) -> bool {
        if self.len() > span_bytes_max {
            self.items.truncate(start);
            return false;
        }
        self.set_len(start + 1);
        true
    }

    fn set_len(&mut self, at: usize) {
        let len = u32::try_from(self.items.len() - at - 4).unwrap_or(u32::MAX);
        self.items[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Tags until the end of an item. A list or a map that is too large goes as a whole.
    fn nested_tags<'a>(
        &mut self,
        tags: impl IntoIterator<Item = (Text<'a>, TagValue<'a>)>,
        mut dropped: u32,
        value_bytes_max: usize,
    ) {
        let at = self.items.len();
        self.items.put(&[0; 4]);
        for (key, value) in tags {
            let Some(value) = self.allowed(key, value) else { continue };
            let start = self.items.len();
            self.items.put(&[0]);
            self.key(key, value_bytes_max);
            match self.value(value, value_bytes_max) {
                Some(kind) => self.items[start] = kind,
                None => {
                    self.items.truncate(start);
                    dropped = dropped.saturating_add(1);
                }
            }
        }
        self.items[at..at + 4].copy_from_slice(&dropped.to_le_bytes());
    }

    /// A number, or the text itself.
    #[inline]
    fn key(&mut self, key: Text<'_>, value_bytes_max: usize) -> Key {
        if let Said::Literal(text) = key.0
            && let Some(id) = Id::of(text)
        {
            self.items.put(&id.raw().to_le_bytes());
            return if id == intern::ERROR { Key::Error } else { Key::Other };
        }
        self.inline_key(key, value_bytes_max)
    }

    fn inline_key(&mut self, key: Text<'_>, value_bytes_max: usize) -> Key {
        self.items.put(&INLINE.to_le_bytes());
        let at = self.items.len();
        self.items.put(&[0; 2]);
        self.said(key, value_bytes_max.min(usize::from(u16::MAX)));
        let text = &self.items[at + 2..];
        let is_error = text == b"error";
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.items[at..at + 2].copy_from_slice(&len.to_le_bytes());
        if is_error { Key::Error } else { Key::Other }
    }

    /// A text, cut to the cap.
    pub(crate) fn said(&mut self, text: Text<'_>, max: usize) {
        match text.0 {
            Said::Literal(text) | Said::Borrowed(text) => {
                let text = self.cut(text, max);
                self.items.put(text.as_bytes());
            }
            Said::Format(arguments) => self.format(arguments, max),
        }
    }

    fn format(&mut self, arguments: fmt::Arguments<'_>, max: usize) {
        let mut to = Bounded { bytes: &mut self.items, left: max, cut: false };
        // A `Display` that fails says no more; what it said is kept.
        let _ = to.write_fmt(arguments);
        self.values_cut += u32::from(to.cut);
    }

    /// A value, and which type it is of; `None` if it is a list or a map that is too large.
    #[inline]
    fn value(&mut self, value: TagValue<'_>, max: usize) -> Option<u8> {
        Some(match value {
            TagValue::Str(text) => self.str(text, max),
            TagValue::Int(value) => match i16::try_from(value) {
                Ok(short) => {
                    self.items.put(&short.to_le_bytes());
                    item::INT16
                }
                Err(_) => {
                    self.items.put(&value.to_le_bytes());
                    item::INT64
                }
            },
            TagValue::Bool(false) => item::FALSE,
            TagValue::Bool(true) => item::TRUE,
            TagValue::Double(value) => {
                self.items.put(&value.to_bits().to_le_bytes());
                item::DOUBLE
            }
            TagValue::Bytes(bytes) => {
                let kept = &bytes[..bytes.len().min(max)];
                self.values_cut += u32::from(kept.len() < bytes.len());
                self.long(kept);
                item::BYTES
            }
            TagValue::Format(arguments) => {
                let at = self.items.len();
                self.items.put(&[0; 4]);
                self.format(arguments, max);
                self.set_len(at);
                item::STR
            }
            TagValue::Value(value) => return self.composed(value, max),
        })
    }

    #[inline]
    fn str(&mut self, text: &str, max: usize) -> u8 {
        let text = self.cut(text, max);
        match u8::try_from(text.len()) {
            Ok(len) => {
                self.items.put(&[len]);
                self.items.put(text.as_bytes());
                item::SHORT_STR
            }
            Err(_) => {
                self.long(text.as_bytes());
                item::STR
            }
        }
    }

    fn composed(&mut self, value: &Value, max: usize) -> Option<u8> {
        match value {
            Value::List(values) => {
                let at = self.items.len();
                self.items.put(&[0; 4]);
                for value in values {
                    self.element(value, max)?;
                }
                self.set_len(at);
                (self.items.len() - at <= max).then_some(item::LIST)
            }
            Value::Map(entries) => {
                let at = self.items.len();
                self.items.put(&[0; 4]);
                for (key, value) in entries {
                    let key = self.cut(key, max);
                    self.long(key.as_bytes());
                    self.element(value, max)?;
                }
                self.set_len(at);
                (self.items.len() - at <= max).then_some(item::MAP)
            }
            Value::Empty => Some(item::EMPTY),
            other => self.value(other.into(), max),
        }
    }

    fn element(&mut self, value: &Value, max: usize) -> Option<()> {
        let at = self.items.len();
        self.items.put(&[0]);
        let kind = self.composed(value, max)?;
        self.items[at] = kind;
        Some(())
    }

    fn long(&mut self, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.items.put(&len.to_le_bytes());
        self.items.put(bytes);
    }

    /// Cuts at a character's boundary.
    #[inline]
    fn cut<'a>(&mut self, text: &'a str, max: usize) -> &'a str {
        if text.len() <= max {
            return text;
        }
        self.values_cut += 1;
        &text[..text.floor_char_boundary(max)]
    }

    fn whole_trace_state<'a>(&mut self, state: &'a str) -> &'a str {
        if state.len() <= TRACE_STATE_BYTES_MAX {
            return state;
        }
        self.values_cut += 1;
        ""
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Error,
    Other,
}

/// Takes text until there is no more room, and cuts it between characters.
struct Bounded<'a> {
    bytes: &'a mut Buffer,
    left: usize,
    cut: bool,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        let kept = &text[..text.floor_char_boundary(self.left)];
        self.cut = kept.len() < text.len();
        self.left -= kept.len();
        self.bytes.put(kept.as_bytes());
        Ok(())
    }
}
