//! The fields of spans and events, each of the type it was given in.

use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::ops::Range;

use sigyn_recorder::TagValue;
use tracing::field::{Field, Visit};

/// Causes of an error that are told; one that is its own cause has no end of them.
const CAUSES_MAX: usize = 16;
/// What grew beyond this is not kept for the next fields.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Takes fields one by one.
pub(crate) trait Takes {
    fn take(&mut self, key: &'static str, value: TagValue<'_>);
}

impl<F: FnMut(&'static str, TagValue<'_>)> Takes for F {
    fn take(&mut self, key: &'static str, value: TagValue<'_>) {
        self(key, value);
    }
}

/// Hands each field over as a tag.
#[derive(Debug)]
pub(crate) struct Visitor<T>(pub(crate) T);

impl<T: Takes> Visitor<T> {
    /// Inlined, so that the type of the value is known where it is taken.
    #[inline(always)]
    fn take(&mut self, field: &Field, value: TagValue<'_>) {
        let name = field.name();
        // `r#type` is how Rust writes a field `type`.
        self.0.take(name.strip_prefix("r#").unwrap_or(name), value);
    }
}

impl<T: Takes> Visit for Visitor<T> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, TagValue::Str(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, TagValue::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_u128(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.take(field, TagValue::Format(format_args!("{value}"))),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.take(field, TagValue::Format(format_args!("{value}"))),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, TagValue::Double(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, TagValue::Bool(value));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.take(field, TagValue::Bytes(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.take(field, TagValue::Format(format_args!("{}", Chain(value))));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, TagValue::Format(format_args!("{value:?}")));
    }
}

/// An error and what caused it: `cannot load the cart: connection refused`.
#[derive(Debug)]
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let causes = std::iter::successors(self.0.source(), |&cause| cause.source());
        causes.take(CAUSES_MAX).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// Fields that are written out already. Values are written by the program's own code, which may do
/// anything, such as log: that must not happen while a span is locked.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    all: Vec<(&'static str, Value)>,
    text: String,
    value_bytes_max: usize,
}

#[derive(Clone, Debug)]
enum Value {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Range<usize>),
    Bytes(Vec<u8>),
}

thread_local! {
    static KEPT: Cell<Option<Fields>> = const { Cell::new(None) };
}

impl Fields {
    /// Of values, not much more is written out than a span takes.
    pub(crate) fn up_to(value_bytes_max: usize) -> Self {
        // A thread that is ending keeps nothing any more.
        let kept = KEPT.try_with(Cell::take).ok().flatten();
        Self { value_bytes_max, ..kept.unwrap_or_default() }
    }

    pub(crate) fn visitor(&mut self) -> Visitor<impl Takes> {
        Visitor(|key, value: TagValue<'_>| self.put(key, value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, TagValue<'_>)> {
        self.all.iter().map(|(key, value)| (*key, self.value(value)))
    }

    /// A field's value, if that is a text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|field| match field {
            (of, TagValue::Str(text)) if of == key => Some(text),
            _ => None,
        })
    }

    /// Gives the memory to whoever comes next on this thread.
    pub(crate) fn keep(mut self) {
        if self.text.capacity() <= KEPT_BYTES_MAX {
            self.all.clear();
            self.text.clear();
            let _ = KEPT.try_with(|kept| kept.set(Some(self)));
        }
    }

    fn put(&mut self, key: &'static str, value: TagValue<'_>) {
        let value = match value {
            TagValue::Bool(value) => Value::Bool(value),
            TagValue::Int(value) => Value::Int(value),
            TagValue::Double(value) => Value::Double(value),
            TagValue::Str(text) => self.write(format_args!("{text}")),
            TagValue::Format(arguments) => self.write(arguments),
            TagValue::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            // No field is a list or a map.
            _ => return,
        };
        self.all.push((key, value));
    }

    fn write(&mut self, arguments: fmt::Arguments<'_>) -> Value {
        let start = self.text.len();
        // Enough that the recorder sees that there is more, cuts, and counts it.
        let end = start.saturating_add(self.value_bytes_max).saturating_add(char::MAX.len_utf8());
        write(&mut self.text, end, arguments);
        Value::Text(start..self.text.len())
    }

    fn value<'a>(&'a self, value: &'a Value) -> TagValue<'a> {
        match value {
            Value::Bool(value) => TagValue::Bool(*value),
            Value::Int(value) => TagValue::Int(*value),
            Value::Double(value) => TagValue::Double(*value),
            Value::Text(range) => TagValue::Str(self.text.get(range.clone()).unwrap_or_default()),
            Value::Bytes(bytes) => TagValue::Bytes(bytes),
        }
    }
}

/// A value as a text of its own.
pub(crate) fn written(arguments: fmt::Arguments<'_>, bytes_max: usize) -> String {
    let mut text = String::new();
    write(&mut text, bytes_max, arguments);
    text
}

fn write(text: &mut String, end: usize, arguments: fmt::Arguments<'_>) {
    // A `Display` that fails says no more; what it said is kept.
    let _ = Bounded { text, end }.write_fmt(arguments);
}

/// Takes text until there is no more room, and cuts it between characters. A program's `Debug` that
/// trusts its formatter need not learn of it.
struct Bounded<'a> {
    text: &'a mut String,
    end: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.end.saturating_sub(self.text.len());
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
        Ok(())
    }
}
