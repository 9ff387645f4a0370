//! Finished spans read out of their bytes. Nothing here trusts them: what does not fit ends the reading.

use std::borrow::Cow;

use sigyn_model::{Endpoint, Value};

use crate::draft::Finished;
use crate::intern::{Glossary, Id};
use crate::layout::{Bytes, HEADER, Header, INLINE, item};

/// One finished span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) header: Header,
    items: Bytes<'a>,
}

/// All spans of a chunk. What has no trace is none.
pub(crate) fn views(bytes: &[u8]) -> impl Iterator<Item = View<'_>> {
    views_at(bytes).map(|(_, view)| view)
}

/// All spans of a chunk, and where they begin.
pub(crate) fn views_at(bytes: &[u8]) -> impl Iterator<Item = (usize, View<'_>)> {
    let mut at = 0;
    let records = std::iter::from_fn(move || {
        let begins = at;
        let (header, items) = next(bytes.get(at..)?)?;
        at += HEADER + items.len();
        Some((begins, View { header, items: Bytes(items) }))
    });
    records.filter(|(_, view)| view.header.trace_id != 0)
}

/// The first record of a chunk, if all of it is there: its header, and the bytes behind that.
#[inline]
pub(crate) fn next(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let header = Header::read(bytes)?;
    let record = bytes.get(..usize::try_from(header.len).ok()?)?;
    Some((header, record.get(HEADER..)?))
}

/// The tags and lengths of items, tags included.
pub(crate) fn lengths(items: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut rest = Bytes(items);
    std::iter::from_fn(move || {
        let before = rest.0.len();
        let tag = *rest.0.first()?;
        Item::read(&mut rest)?;
        Some((tag, before - rest.0.len()))
    })
}

/// A name or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    Id(Id),
    Inline(&'a [u8]),
}

impl<'a> Name<'a> {
    fn read(bytes: &mut Bytes<'a>) -> Option<Self> {
        match bytes.u16()? {
            INLINE => {
                let len = bytes.u16()?;
                Some(Self::Inline(bytes.take(usize::from(len))?))
            }
            id => Some(Self::Id(Id::from_raw(id))),
        }
    }

    pub(crate) fn bytes(self, glossary: &'a Glossary) -> &'a [u8] {
        match self {
            Self::Id(id) => glossary.text(id).as_bytes(),
            Self::Inline(bytes) => bytes,
        }
    }

    pub(crate) fn text(self, glossary: &'a Glossary) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes(glossary))
    }
}

/// A tag's value. Lists and maps are read element by element.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueView<'a> {
    Empty,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(&'a [u8]),
    Bytes(&'a [u8]),
    List(&'a [u8]),
    Map(&'a [u8]),
}

impl<'a> ValueView<'a> {
    fn read(tag: u8, bytes: &mut Bytes<'a>) -> Option<Self> {
        Some(match tag {
            item::EMPTY => Self::Empty,
            item::FALSE => Self::Bool(false),
            item::TRUE => Self::Bool(true),
            item::INT16 => Self::Int(i16::from_le_bytes(bytes.array()?).into()),
            item::INT64 => Self::Int(i64::from_le_bytes(bytes.array()?)),
            item::DOUBLE => Self::Double(f64::from_bits(bytes.u64()?)),
            item::SHORT_STR => {
                let len = bytes.u8()?;
                Self::Str(bytes.take(usize::from(len))?)
            }
            item::STR => Self::Str(bytes.long()?),
            item::BYTES => Self::Bytes(bytes.long()?),
            item::LIST => Self::List(bytes.long()?),
            item::MAP => Self::Map(bytes.long()?),
            _ => return None,
        })
    }

    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Empty => Value::Empty,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Double(value) => Value::Double(value),
            Self::Str(text) => Value::Str(String::from_utf8_lossy(text).into_owned()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Self::List(bytes) => {
                let mut rest = Bytes(bytes);
                let elements = std::iter::from_fn(|| element(&mut rest));
                Value::List(elements.collect())
            }
            Self::Map(bytes) => {
                let mut rest = Bytes(bytes);
                let entries = std::iter::from_fn(|| {
                    let key = String::from_utf8_lossy(rest.long()?).into_owned();
                    Some((key, element(&mut rest)?))
                });
                Value::Map(entries.collect())
            }
        }
    }
}

fn element(bytes: &mut Bytes<'_>) -> Option<Value> {
    let tag = bytes.u8()?;
    ValueView::read(tag, bytes).map(ValueView::to_value)
}

/// The tags of an annotation or a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagViews<'a>(Bytes<'a>);

impl<'a> Iterator for TagViews<'a> {
    type Item = (Name<'a>, ValueView<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.0.u8()?;
        Some((Name::read(&mut self.0)?, ValueView::read(tag, &mut self.0)?))
    }
}

/// What a span holds beside its header.
#[derive(Clone, Debug)]
pub(crate) enum Item<'a> {
    Tag { key: Name<'a>, value: ValueView<'a> },
    Annotation { time: u64, name: Name<'a>, dropped_tags: u32, tags: TagViews<'a> },
    Link(LinkView<'a>),
    Name(&'a str),
    StatusMessage(&'a str),
    TraceState(&'a str),
    LocalEndpoint(Endpoint),
    RemoteEndpoint(Endpoint),
    Dropped { tags: u32, annotations: u32, links: u32 },
    Flags(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkView<'a> {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) flags: u32,
    pub(crate) trace_state: &'a str,
    pub(crate) dropped_tags: u32,
    pub(crate) tags: TagViews<'a>,
}

impl<'a> Item<'a> {
    #[inline]
    fn read(bytes: &mut Bytes<'a>) -> Option<Self> {
        let tag = bytes.u8()?;
        if tag <= item::TAG_MAX {
            let key = Name::read(bytes)?;
            return Some(Self::Tag { key, value: ValueView::read(tag, bytes)? });
        }
        Some(match tag {
            item::ANNOTATION => {
                let mut bytes = Bytes(bytes.long()?);
                let (time, name) = (bytes.u64()?, Name::read(&mut bytes)?);
                let dropped_tags = bytes.u32()?;
                Self::Annotation { time, name, dropped_tags, tags: TagViews(bytes) }
            }
            item::LINK => {
                let mut bytes = Bytes(bytes.long()?);
                Self::Link(LinkView {
                    trace_id: u128::from_le_bytes(bytes.array()?),
                    span_id: bytes.u64()?,
                    flags: bytes.u32()?,
                    trace_state: bytes.long_text()?,
                    dropped_tags: bytes.u32()?,
                    tags: TagViews(bytes),
                })
            }
            item::NAME => Self::Name(bytes.long_text()?),
            item::STATUS_MESSAGE => Self::StatusMessage(bytes.long_text()?),
            item::TRACE_STATE => Self::TraceState(bytes.long_text()?),
            item::LOCAL_ENDPOINT => Self::LocalEndpoint(endpoint(bytes.long()?)?),
            item::REMOTE_ENDPOINT => Self::RemoteEndpoint(endpoint(bytes.long()?)?),
            item::DROPPED => {
                Self::Dropped { tags: bytes.u32()?, annotations: bytes.u32()?, links: bytes.u32()? }
            }
            item::FLAGS => Self::Flags(bytes.u32()?),
            _ => return None,
        })
    }
}

fn endpoint(bytes: &[u8]) -> Option<Endpoint> {
    let mut bytes = Bytes(bytes);
    let has = bytes.u8()?;
    let ipv4 = if has & 1 == 0 { None } else { Some(bytes.array::<4>()?.into()) };
    let ipv6 = if has & 2 == 0 { None } else { Some(bytes.array::<16>()?.into()) };
    let port = bytes.u16()?;
    let service_name = String::from_utf8_lossy(bytes.0).into_owned();
    Some(Endpoint { service_name, ipv4, ipv6, port })
}

impl<'a> View<'a> {
    /// As it was before it was put away.
    pub(crate) fn finished(&self) -> Finished<'a> {
        Finished::of(self.header, self.items.0)
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || Item::read(&mut rest))
    }
}
