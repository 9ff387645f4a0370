//! A span while it is written: bytes in the form of [`layout`](crate::layout), within bounds.

use std::fmt::{self, Write as _};

use sigyn_model::{Endpoint, Value};

use crate::intern::{self, Id};
use crate::layout::{HEADER, Header, INLINE, item};
use crate::text::{self, Said, TagValue, Text};

/// Bounds on one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) value_bytes_max: usize,
    pub(crate) span_bytes_max: usize,
}

/// W3C asks that at least this much of `tracestate` travels; more than this is not kept.
pub(crate) const TRACE_STATE_BYTES_MAX: usize = 512;

/// A span's bytes, and what did not get into them.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    pub(crate) dropped_tags: u32,
    pub(crate) dropped_annotations: u32,
    pub(crate) dropped_links: u32,
    pub(crate) values_cut: u32,
    /// Holds a tag `error`.
    pub(crate) error: bool,
}

/// A span that is too large even with everything dropped that may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oversize;

impl Draft {
    /// Ready for a new span; keeps its memory.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; HEADER]);
        self.dropped_tags = 0;
        self.dropped_annotations = 0;
        self.dropped_links = 0;
        self.values_cut = 0;
        self.error = false;
    }

    /// Memory that it keeps.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends a tag. A later one of the same key takes the place of this one when the span is read.
    ///
    /// Inlined, so that the caller's types decide the way: nearly all tags take one of the short ones.
    #[inline(always)]
    pub(crate) fn tag(&mut self, key: Text<'_>, value: TagValue<'_>, caps: Caps) {
        match (key.0, value) {
            (Said::Literal(key), TagValue::Str(value)) => {
                self.literal_str(key, value, caps);
            }
            (Said::Literal(key), TagValue::Int(value)) => self.literal_int(key, value, caps),
            (key, value) => self.any_tag(Text(key), value, caps),
        }
    }

    /// A short tag fits in any case.
    fn has_much_room(&self, caps: Caps) -> bool {
        self.bytes.len() + 512 <= caps.span_bytes_max
    }

    fn literal_str(&mut self, key: &'static str, value: &str, caps: Caps) {
        if let (Some(id), Ok(len)) = (Id::of(key), u8::try_from(value.len()))
            && value.len() <= caps.value_bytes_max
            && self.has_much_room(caps)
        {
            let [low, high] = id.raw().to_le_bytes();
            self.bytes.extend_from_slice(&[item::SHORT_STR, low, high, len]);
            self.bytes.extend_from_slice(value.as_bytes());
            self.error |= id == intern::ERROR;
        } else {
            self.any_tag(key.into(), value.into(), caps);
        }
    }

    fn literal_int(&mut self, key: &'static str, value: i64, caps: Caps) {
        if let (Some(id), Ok(short)) = (Id::of(key), i16::try_from(value))
            && self.has_much_room(caps)
        {
            let ([low, high], [a, b]) = (id.raw().to_le_bytes(), short.to_le_bytes());
            self.bytes.extend_from_slice(&[item::INT16, low, high, a, b]);
            self.error |= id == intern::ERROR;
        } else {
            self.any_tag(key.into(), value.into(), caps);
        }
    }

    fn any_tag(&mut self, key: Text<'_>, value: TagValue<'_>, caps: Caps) {
        let start = self.bytes.len();
        self.bytes.push(0);
        self.error |= self.key(key, caps.value_bytes_max) == Key::Error;
        let Some(kind) = self.value(value, caps.value_bytes_max) else {
            return self.drop_tag(start);
        };
        self.bytes[start] = kind;
        if self.bytes.len() > caps.span_bytes_max {
            self.drop_tag(start);
        }
    }

    #[cold]
    fn drop_tag(&mut self, start: usize) {
        self.bytes.truncate(start);
        self.dropped_tags = self.dropped_tags.saturating_add(1);
    }

    pub(crate) fn annotation<'a>(
        &mut self,
        time: u64,
        name: Text<'_>,
        tags: impl IntoIterator<Item = (Text<'a>, TagValue<'a>)>,
        dropped: u32,
        caps: Caps,
    ) {
        let start = self.open(item::ANNOTATION);
        self.bytes.extend_from_slice(&time.to_le_bytes());
        self.key(name, caps.value_bytes_max);
        self.nested_tags(tags, dropped, caps.value_bytes_max);
        if !self.close(start, caps.span_bytes_max) {
            self.dropped_annotations = self.dropped_annotations.saturating_add(1);
        }
    }

    pub(crate) fn link(&mut self, link: &sigyn_model::Link, caps: Caps) {
        let start = self.open(item::LINK);
        self.bytes.extend_from_slice(&link.trace_id.as_u128().to_le_bytes());
        self.bytes.extend_from_slice(&link.span_id.as_u64().to_le_bytes());
        self.bytes.extend_from_slice(&link.flags.to_le_bytes());
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
            self.bytes.push(tag);
            let text = self.cut(text, value_bytes_max);
            self.long(text.as_bytes());
        }
    }

    /// Half a list of vendors' entries would be a lie in somebody's name: it goes as a whole or not.
    pub(crate) fn trace_state(&mut self, state: &str) {
        let state = self.whole_trace_state(state);
        self.text(item::TRACE_STATE, state, TRACE_STATE_BYTES_MAX);
    }

    pub(crate) fn endpoint(&mut self, tag: u8, endpoint: &Endpoint, value_bytes_max: usize) {
        self.bytes.push(tag);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.push(u8::from(endpoint.ipv4.is_some()) | u8::from(endpoint.ipv6.is_some()) << 1);
        self.bytes.extend(endpoint.ipv4.iter().flat_map(|ip| ip.octets()));
        self.bytes.extend(endpoint.ipv6.iter().flat_map(|ip| ip.octets()));
        self.bytes.extend_from_slice(&endpoint.port.to_le_bytes());
        let name = self.cut(&endpoint.service_name, value_bytes_max);
        self.bytes.extend_from_slice(name.as_bytes());
        self.set_len(at);
    }

    pub(crate) fn flags(&mut self, flags: u32) {
        if flags != 0 {
            self.bytes.push(item::FLAGS);
            self.bytes.extend_from_slice(&flags.to_le_bytes());
        }
    }

    /// The finished span's bytes, within the cap: tags go first, then annotations, then links, each from
    /// the end.
    #[inline]
    pub(crate) fn finish(&mut self, header: Header, caps: Caps) -> Result<&[u8], Oversize> {
        if self.bytes.len() > caps.span_bytes_max {
            self.shrink(caps.span_bytes_max)?;
        }
        if (self.dropped_tags | self.dropped_annotations | self.dropped_links) != 0 {
            self.bytes.push(item::DROPPED);
            for dropped in [self.dropped_tags, self.dropped_annotations, self.dropped_links] {
                self.bytes.extend_from_slice(&dropped.to_le_bytes());
            }
        }
        let len = u32::try_from(self.bytes.len()).map_err(|_| Oversize)?;
        if let Some(place) = self.bytes.first_chunk_mut() {
            Header { len, ..header }.write(place);
        }
        Ok(&self.bytes)
    }

    #[cold]
    fn shrink(&mut self, span_bytes_max: usize) -> Result<(), Oversize> {
        let mut items: Vec<(u8, std::ops::Range<usize>)> = Vec::new();
        let mut at = HEADER;
        for (tag, len) in crate::view::lengths(&self.bytes[HEADER..]) {
            items.push((tag, at..at + len));
            at += len;
        }
        let mut over = self.bytes.len() - span_bytes_max;
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
            items.into_iter().flat_map(|(_, range)| self.bytes[range].to_vec()).collect();
        self.bytes.truncate(HEADER);
        self.bytes.extend_from_slice(&kept);
        Ok(())
    }

    /// An item whose length goes before it.
    fn open(&mut self, tag: u8) -> usize {
        let start = self.bytes.len();
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&[0; 4]);
        start
    }

    fn close(&mut self, start: usize, span_bytes_max: usize) -> bool {
        if self.bytes.len() > span_bytes_max {
            self.bytes.truncate(start);
            return false;
        }
        self.set_len(start + 1);
        true
    }

    fn set_len(&mut self, at: usize) {
        let len = u32::try_from(self.bytes.len() - at - 4).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Tags until the end of an item. A list or a map that is too large goes as a whole.
    fn nested_tags<'a>(
        &mut self,
        tags: impl IntoIterator<Item = (Text<'a>, TagValue<'a>)>,
        mut dropped: u32,
        value_bytes_max: usize,
    ) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        for (key, value) in tags {
            let start = self.bytes.len();
            self.bytes.push(0);
            self.key(key, value_bytes_max);
            match self.value(value, value_bytes_max) {
                Some(kind) => self.bytes[start] = kind,
                None => {
                    self.bytes.truncate(start);
                    dropped = dropped.saturating_add(1);
                }
            }
        }
        self.bytes[at..at + 4].copy_from_slice(&dropped.to_le_bytes());
    }

    /// A number, or the text itself.
    #[inline]
    fn key(&mut self, key: Text<'_>, value_bytes_max: usize) -> Key {
        if let Said::Literal(text) = key.0
            && let Some(id) = Id::of(text)
        {
            self.bytes.extend_from_slice(&id.raw().to_le_bytes());
            return if id == intern::ERROR { Key::Error } else { Key::Other };
        }
        self.inline_key(key, value_bytes_max)
    }

    fn inline_key(&mut self, key: Text<'_>, value_bytes_max: usize) -> Key {
        self.bytes.extend_from_slice(&INLINE.to_le_bytes());
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.said(key, value_bytes_max.min(usize::from(u16::MAX)));
        let text = &self.bytes[at + 2..];
        let is_error = text == b"error";
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.bytes[at..at + 2].copy_from_slice(&len.to_le_bytes());
        if is_error { Key::Error } else { Key::Other }
    }

    /// A text, cut to the cap.
    pub(crate) fn said(&mut self, text: Text<'_>, max: usize) {
        match text.0 {
            Said::Literal(text) | Said::Borrowed(text) => {
                let text = self.cut(text, max);
                self.bytes.extend_from_slice(text.as_bytes());
            }
            Said::Format(arguments) => self.format(arguments, max),
        }
    }

    fn format(&mut self, arguments: fmt::Arguments<'_>, max: usize) {
        let mut to = Bounded { bytes: &mut self.bytes, left: max, cut: false };
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
                    self.bytes.extend_from_slice(&short.to_le_bytes());
                    item::INT16
                }
                Err(_) => {
                    self.bytes.extend_from_slice(&value.to_le_bytes());
                    item::INT64
                }
            },
            TagValue::Bool(false) => item::FALSE,
            TagValue::Bool(true) => item::TRUE,
            TagValue::Double(value) => {
                self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
                item::DOUBLE
            }
            TagValue::Bytes(bytes) => {
                let kept = &bytes[..bytes.len().min(max)];
                self.values_cut += u32::from(kept.len() < bytes.len());
                self.long(kept);
                item::BYTES
            }
            TagValue::Format(arguments) => {
                let at = self.bytes.len();
                self.bytes.extend_from_slice(&[0; 4]);
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
                self.bytes.push(len);
                self.bytes.extend_from_slice(text.as_bytes());
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
                let at = self.bytes.len();
                self.bytes.extend_from_slice(&[0; 4]);
                for value in values {
                    self.element(value, max)?;
                }
                self.set_len(at);
                (self.bytes.len() - at <= max).then_some(item::LIST)
            }
            Value::Map(entries) => {
                let at = self.bytes.len();
                self.bytes.extend_from_slice(&[0; 4]);
                for (key, value) in entries {
                    let key = self.cut(key, max);
                    self.long(key.as_bytes());
                    self.element(value, max)?;
                }
                self.set_len(at);
                (self.bytes.len() - at <= max).then_some(item::MAP)
            }
            Value::Empty => Some(item::EMPTY),
            other => self.value(other.into(), max),
        }
    }

    fn element(&mut self, value: &Value, max: usize) -> Option<()> {
        let at = self.bytes.len();
        self.bytes.push(0);
        let kind = self.composed(value, max)?;
        self.bytes[at] = kind;
        Some(())
    }

    fn long(&mut self, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(bytes);
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
    bytes: &'a mut Vec<u8>,
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
        self.bytes.extend_from_slice(kept.as_bytes());
        Ok(())
    }
}
