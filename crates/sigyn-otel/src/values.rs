//! OpenTelemetry's keys and values in the model's form.

use opentelemetry::{Array, Key, KeyValue, Value as Theirs};
use sigyn_model::{Tags, Value};
use sigyn_recorder::{TagValue, Text};

use crate::keys;

/// A value where it lies; `None` for a list.
#[inline]
pub(crate) fn borrowed(value: &Theirs) -> Option<TagValue<'_>> {
    match value {
        Theirs::String(text) => Some(TagValue::Str(text.as_str())),
        Theirs::I64(value) => Some(TagValue::Int(*value)),
        Theirs::Bool(value) => Some(TagValue::Bool(*value)),
        Theirs::F64(value) => Some(TagValue::Double(*value)),
        _ => None,
    }
}

pub(crate) fn owned(value: &Theirs) -> Value {
    match value {
        Theirs::String(text) => Value::Str(text.as_str().to_owned()),
        Theirs::I64(value) => Value::Int(*value),
        Theirs::Bool(value) => Value::Bool(*value),
        Theirs::F64(value) => Value::Double(*value),
        Theirs::Array(array) => Value::List(list(array)),
        // What a later version may have is told as it tells itself.
        other => Value::Str(other.as_str().into_owned()),
    }
}

fn list(array: &Array) -> Vec<Value> {
    match array {
        Array::Bool(all) => all.iter().map(|value| Value::Bool(*value)).collect(),
        Array::I64(all) => all.iter().map(|value| Value::Int(*value)).collect(),
        Array::F64(all) => all.iter().map(|value| Value::Double(*value)).collect(),
        Array::String(all) => all.iter().map(|text| Value::Str(text.as_str().to_owned())).collect(),
        other => vec![Value::Str(other.to_string())],
    }
}

/// The last value of a key counts.
pub(crate) fn tags<'a>(attributes: impl Iterator<Item = (&'a Key, &'a Theirs)>) -> Tags {
    let mut tags = Tags::new();
    for (key, value) in attributes {
        let value = owned(value);
        match tags.iter_mut().find(|(known, _)| known == key.as_str()) {
            Some((_, known)) => *known = value,
            None => tags.push((key.as_str().to_owned(), value)),
        }
    }
    tags
}

/// The lists among the values, in their order.
pub(crate) fn lists(attributes: &[KeyValue]) -> Vec<Value> {
    let lists = attributes.iter().filter(|attribute| borrowed(&attribute.value).is_none());
    lists.map(|attribute| owned(&attribute.value)).collect()
}

pub(crate) fn with_lists<'a>(
    attributes: &'a [KeyValue],
    lists: &'a [Value],
) -> impl Iterator<Item = (Text<'a>, TagValue<'a>)> {
    let mut lists = lists.iter();
    attributes.iter().filter_map(move |KeyValue { key, value, .. }| {
        let value = borrowed(value).or_else(|| lists.next().map(TagValue::from))?;
        Some((keys::text(key.as_str()), value))
    })
}
