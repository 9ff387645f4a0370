//! What callers give: names and keys, and the values of tags.

use std::borrow::Cow;
use std::fmt;

use sigyn_model::{Tags, Value};

/// A name or a key. A literal costs least: it is numbered once and never copied again. Anything else is
/// copied into the span.
///
/// ```
/// # let route = String::from("/cart");
/// # fn takes(_: sigyn_recorder::Text<'_>) {}
/// use sigyn_recorder::Text;
/// takes("get /cart".into());
/// takes((&route).into());
/// takes(format_args!("get {route}").into());
/// takes(Text::new(&route[1..]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub(crate) Said<'a>);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Said<'a> {
    Literal(&'static str),
    Borrowed(&'a str),
    Format(fmt::Arguments<'a>),
}

impl<'a> Text<'a> {
    /// A text that is no literal.
    pub fn new(text: &'a str) -> Self {
        Self(Said::Borrowed(text))
    }
}

impl From<&'static str> for Text<'_> {
    #[inline]
    fn from(text: &'static str) -> Self {
        Self(Said::Literal(text))
    }
}

impl<'a> From<&'a String> for Text<'a> {
    fn from(text: &'a String) -> Self {
        Self::new(text)
    }
}

impl<'a> From<&'a Cow<'static, str>> for Text<'a> {
    fn from(text: &'a Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self(Said::Literal(text)),
            Cow::Owned(text) => Self::new(text),
        }
    }
}

impl<'a> From<fmt::Arguments<'a>> for Text<'a> {
    fn from(text: fmt::Arguments<'a>) -> Self {
        Self(Said::Format(text))
    }
}

/// A tag's value, read where it lies and copied into the span. It owns nothing, so that it costs nothing
/// to hand over: what was made for the span alone is given by reference, or with `format_args!`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TagValue<'a> {
    /// A text.
    Str(&'a str),
    /// A text that is written out where it is recorded.
    Format(fmt::Arguments<'a>),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// Whatever is no text.
    Bytes(&'a [u8]),
    /// A list or a map, or whatever else a [`Value`] can be.
    Value(&'a Value),
}

impl<'a> From<&'a str> for TagValue<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self::Str(text)
    }
}

impl<'a> From<&'a String> for TagValue<'a> {
    fn from(text: &'a String) -> Self {
        Self::Str(text)
    }
}

impl<'a> From<&'a Cow<'_, str>> for TagValue<'a> {
    fn from(text: &'a Cow<'_, str>) -> Self {
        Self::Str(text)
    }
}

impl<'a> From<fmt::Arguments<'a>> for TagValue<'a> {
    fn from(text: fmt::Arguments<'a>) -> Self {
        Self::Format(text)
    }
}

impl<'a> From<&'a [u8]> for TagValue<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Value> for TagValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Str(text) => Self::Str(text),
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Double(value) => Self::Double(*value),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::List(_) | Value::Map(_) | Value::Empty => Self::Value(value),
        }
    }
}

/// Tags of the model, where they lie.
pub(crate) fn borrowed(tags: &Tags) -> impl Iterator<Item = (Text<'_>, TagValue<'_>)> {
    tags.iter().map(|(key, value)| (Text::new(key), value.into()))
}

impl From<bool> for TagValue<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for TagValue<'_> {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<f32> for TagValue<'_> {
    fn from(value: f32) -> Self {
        Self::Double(value.into())
    }
}

macro_rules! ints {
    ($($int:ty),*) => {$(
        impl From<$int> for TagValue<'_> {
            #[inline]
            fn from(value: $int) -> Self {
                Self::Int(value.into())
            }
        }
    )*};
}

ints!(i8, i16, i32, i64, u8, u16, u32);
