//! Segments in OTLP, straight from the bytes that spans were recorded in.
//!
//! Nearly all spans are the process's own and say nothing that OTLP has no word for: they are written
//! without a detour, all under one resource. The others become spans of the model and take its road.

use sigyn_model::codec::otlp;
use sigyn_model::codec::proto::{
    put_bytes_field, put_fixed32_field, put_fixed64_field, put_message_field, put_text_field,
    put_varint_field, put_varint_field_always,
};
use sigyn_model::{Endpoint, Span, Value};

use crate::intern::Id;
use crate::layout::{Header, INLINE, flag};
use crate::view::{Item, LinkView, Name, TagViews, ValueView, View};
use crate::whole::{Own, Reading};

/// Tags of one span that are compared each with each; beyond, the model does it.
const TAGS_MAX: usize = 32;
/// Keys that mean something of their own to a reader: see `docs/formats/otlp.md`.
const RESERVED: &[u8] = b"zipkin.";

/// Writes one request after the other; they concatenate.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    own: &'a Own,
    spans: Vec<u8>,
    others: Vec<Span>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(own: &'a Own, bytes: usize) -> Self {
        Self { own, spans: Vec::with_capacity(bytes * 2), others: Vec::new() }
    }

    pub(crate) fn push(&mut self, view: &View<'_>, reading: &Reading<'_>) {
        let start = self.spans.len();
        let mut written = None;
        put_message_field(&mut self.spans, 2, |out| written = write_span(view, reading, out));
        if written.is_none() {
            self.spans.truncate(start);
            self.others.extend(reading.span(view));
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.spans.len() + 1024);
        if !self.spans.is_empty() {
            let mut resource = Vec::new();
            if let Some(own) = &self.own.resource {
                put_message_field(&mut resource, 1, |out| {
                    for (key, value) in &own.tags {
                        put_message_field(out, 1, |out| {
                            put_text_field(out, 1, key);
                            put_message_field(out, 2, |out| write_whole_value(value, out));
                        });
                    }
                });
            }
            put_message_field(&mut out, 1, |out| {
                out.extend_from_slice(&resource);
                put_bytes_field(out, 2, &self.spans);
            });
        }
        if !self.others.is_empty() {
            out.extend_from_slice(&otlp::encode(&self.others));
        }
        out
    }
}

/// `None` if the span says what only the model can put into OTLP's words.
fn write_span(view: &View<'_>, reading: &Reading<'_>, out: &mut Vec<u8>) -> Option<()> {
    let Header { trace_id, id, parent_id, start, duration, name, origin, flags, .. } = view.header;
    const PLAIN: u16 = flag::OWN | flag::TIMESTAMP | flag::DURATION;
    let plain = flags & (PLAIN | flag::DEBUG | flag::SHARED | flag::WALL) == PLAIN;
    if !plain || origin != 0 || parent_id == id {
        return None;
    }
    // What all spans have is written at once: most of the time went into asking for room, field by field.
    let mut ids = [0; 38];
    (ids[0], ids[1], ids[18], ids[19], ids[28], ids[29]) = (0x0a, 16, 0x12, 8, 0x22, 8);
    ids[2..18].copy_from_slice(&trace_id.to_be_bytes());
    ids[20..28].copy_from_slice(&id.to_be_bytes());
    ids[30..38].copy_from_slice(&parent_id.to_be_bytes());
    out.extend_from_slice(if parent_id == 0 { &ids[..28] } else { &ids });
    if name != INLINE {
        write_name(reading.glossary.text(Id::from_raw(name)), out);
    }
    let kind = match flags & flag::KIND {
        1 => 3,
        2 => 2,
        3 => 4,
        4 => 5,
        _ => 1,
    };
    let start = reading.wall(flags, start);
    let mut times = [0; 20];
    (times[0], times[1], times[2], times[11]) = (0x30, kind, 0x39, 0x41);
    times[3..11].copy_from_slice(&start.to_le_bytes());
    times[12..20].copy_from_slice(&start.checked_add(duration)?.to_le_bytes());
    out.extend_from_slice(&times);
    let (mut message, mut tags) = ("", Keys::default());
    for item in view.items() {
        match item {
            Item::Tag { key, value } => {
                let text = key.bytes(reading.glossary);
                if text.starts_with(RESERVED) || !tags.add(key, reading) {
                    return None;
                }
                write_key_value(9, text, value, out);
            }
            Item::Annotation { time, name, dropped_tags, tags } => {
                put_message_field_of(out, 11, |out| {
                    put_fixed64_field(out, 1, reading.wall(flags, time));
                    put_bytes_field(out, 2, name.bytes(reading.glossary));
                    write_tags(3, tags, reading, out)?;
                    put_varint_field(out, 4, dropped_tags.into());
                    Some(())
                })?;
            }
            Item::Link(link) => {
                put_message_field_of(out, 13, |out| write_link(link, reading, out))?;
            }
            Item::Name(name) => write_name(name, out),
            Item::StatusMessage(said) => message = said,
            Item::TraceState(state) => put_text_field(out, 3, state),
            Item::RemoteEndpoint(endpoint) => write_remote(&endpoint, out),
            Item::LocalEndpoint(_) | Item::Flags(_) => return None,
            Item::Dropped { tags, annotations, links } => {
                put_varint_field(out, 10, tags.into());
                put_varint_field(out, 12, annotations.into());
                put_varint_field(out, 14, links.into());
            }
        }
    }
    let code = (flags & flag::STATUS) >> flag::STATUS_SHIFT;
    if code != 0 || !message.is_empty() {
        put_message_field(out, 15, |out| {
            put_text_field(out, 2, message);
            put_varint_field(out, 3, code.into());
        });
    }
    Some(())
}

/// The keys of one span so far.
#[derive(Debug, Default)]
struct Keys<'a> {
    numbers: [u16; TAGS_MAX],
    len: usize,
    /// Those that have no number.
    texts: Vec<&'a [u8]>,
}

impl<'a> Keys<'a> {
    /// False if the key was there already, or there are too many of them.
    fn add(&mut self, key: Name<'a>, reading: &Reading<'_>) -> bool {
        let numbers = &self.numbers[..self.len];
        match key {
            Name::Id(id) => {
                let is_text = |text: &&[u8]| *text == reading.glossary.text(id).as_bytes();
                let known = numbers.contains(&id.raw()) || self.texts.iter().any(is_text);
                if known || self.len == TAGS_MAX {
                    return false;
                }
                self.numbers[self.len] = id.raw();
                self.len += 1;
            }
            Name::Inline(text) => {
                let text_of = |number: &u16| reading.glossary.text(Id::from_raw(*number));
                let is_number = |number: &u16| text_of(number).as_bytes() == text;
                let known = numbers.iter().any(is_number) || self.texts.contains(&text);
                if known || self.texts.len() == TAGS_MAX {
                    return false;
                }
                self.texts.push(text);
            }
        }
        true
    }
}

/// Like `put_message_field`, of what may turn out not to be writable.
fn put_message_field_of(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let mut written = None;
    put_message_field(out, number, |out| written = write(out));
    written
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    // All of it, whatever comes first: that is done many bytes at a time.
    let is_odd = |odd, byte: u8| odd | !byte.is_ascii() | byte.is_ascii_uppercase();
    if !name.bytes().fold(false, is_odd) {
        put_text_field(out, 5, name);
    } else {
        put_text_field(out, 5, &name.to_lowercase());
    }
}

fn write_link(link: LinkView<'_>, reading: &Reading<'_>, out: &mut Vec<u8>) -> Option<()> {
    put_bytes_field(out, 1, &link.trace_id.to_be_bytes());
    put_bytes_field(out, 2, &link.span_id.to_be_bytes());
    put_text_field(out, 3, link.trace_state);
    write_tags(4, link.tags, reading, out)?;
    put_varint_field(out, 5, link.dropped_tags.into());
    put_fixed32_field(out, 6, link.flags);
    Some(())
}

fn write_tags(
    number: u32,
    tags: TagViews<'_>,
    reading: &Reading<'_>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut keys = Keys::default();
    for (key, value) in tags {
        if !keys.add(key, reading) {
            return None;
        }
        write_key_value(number, key.bytes(reading.glossary), value, out);
    }
    Some(())
}

/// What the reader of the facts of `docs/formats/otlp.md` takes for the other side.
fn write_remote(remote: &Endpoint, out: &mut Vec<u8>) {
    let mut put = |key: &str, value: ValueView<'_>| write_key_value(9, key.as_bytes(), value, out);
    if !remote.service_name.is_empty() {
        let name = remote.service_name.to_lowercase();
        put("zipkin.remote.service_name", ValueView::Str(name.as_bytes()));
    }
    if let Some(ip) = remote.ipv4 {
        put("zipkin.remote.ipv4", ValueView::Str(ip.to_string().as_bytes()));
    }
    if let Some(ip) = remote.ipv6 {
        put("zipkin.remote.ipv6", ValueView::Str(ip.to_string().as_bytes()));
    }
    if remote.port != 0 {
        put("zipkin.remote.port", ValueView::Int(remote.port.into()));
    }
}

fn write_key_value(number: u32, key: &[u8], value: ValueView<'_>, out: &mut Vec<u8>) {
    let is_short = match value {
        ValueView::Str(text) => write_short(number, key, 0x0a, text, out),
        ValueView::Bool(value) => write_short(number, key, 0x10, &[value.into()], out),
        ValueView::Int(value @ 0..0x80) => {
            write_short(number, key, 0x18, &[value.to_le_bytes()[0]], out)
        }
        ValueView::Int(value @ 0x80..0x4000) => {
            let [low, high, ..] = (value << 1).to_le_bytes();
            write_short(number, key, 0x18, &[low >> 1 | 0x80, high], out)
        }
        _ => false,
    };
    if is_short {
        return;
    }
    put_message_field(out, number, |out| {
        if !key.is_empty() {
            put_bytes_field(out, 1, key);
        }
        put_message_field(out, 2, |out| write_value(value, out));
    });
}

/// Writes a pair at once, all lengths of which take a byte. `tag` is that of the value; with its length, if it has one.
/// False: it is longer, and nothing was written.
fn write_short(number: u32, key: &[u8], tag: u8, value: &[u8], out: &mut Vec<u8>) -> bool {
    const MAX: usize = 128;
    let has_length = tag & 7 == 2;
    let inner = 1 + usize::from(has_length) + value.len();
    let len = 2 + key.len() + 2 + inner;
    if key.is_empty() || len >= MAX - 2 || number >= 16 {
        return false;
    }
    let mut pair = [0; MAX];
    let [byte, ..] = (number << 3 | 2).to_le_bytes();
    let one = |len: usize| len.to_le_bytes()[0];
    (pair[0], pair[1], pair[2], pair[3]) = (byte, one(len), 0x0a, one(key.len()));
    let (head, rest) = pair[4..].split_at_mut(key.len());
    head.copy_from_slice(key);
    (rest[0], rest[1], rest[2], rest[3]) = (0x12, one(inner), tag, one(value.len()));
    let at = if has_length { 4 } else { 3 };
    rest[at..at + value.len()].copy_from_slice(value);
    out.extend_from_slice(&pair[..2 + len]);
    true
}

fn write_value(value: ValueView<'_>, out: &mut Vec<u8>) {
    match value {
        ValueView::Str(text) => put_bytes_field(out, 1, text),
        ValueView::Bool(value) => put_varint_field_always(out, 2, value.into()),
        ValueView::Int(value) => put_varint_field_always(out, 3, value.cast_unsigned()),
        ValueView::Double(value) => put_fixed64_field(out, 4, value.to_bits()),
        ValueView::Bytes(bytes) => put_bytes_field(out, 7, bytes),
        ValueView::List(_) | ValueView::Map(_) | ValueView::Empty => {
            write_whole_value(&value.to_value(), out);
        }
    }
}

fn write_whole_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Str(text) => write_value(ValueView::Str(text.as_bytes()), out),
        Value::Bool(value) => write_value(ValueView::Bool(*value), out),
        Value::Int(value) => write_value(ValueView::Int(*value), out),
        Value::Double(value) => write_value(ValueView::Double(*value), out),
        Value::Bytes(bytes) => write_value(ValueView::Bytes(bytes), out),
        Value::List(values) => put_message_field(out, 5, |out| {
            for value in values {
                put_message_field(out, 1, |out| write_whole_value(value, out));
            }
        }),
        Value::Map(entries) => put_message_field(out, 6, |out| {
            for (key, value) in entries {
                put_message_field(out, 1, |out| {
                    put_text_field(out, 1, key);
                    put_message_field(out, 2, |out| write_whole_value(value, out));
                });
            }
        }),
        Value::Empty => {}
    }
}
