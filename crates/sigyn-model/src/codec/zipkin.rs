//! What Zipkin's formats share: how numbers become times, and JSON's values.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use super::draft::{Draft, EndpointDraft};
use super::json::{JsonError, Scalar, Scanner};
use super::shortened;
use super::sink::{AnnotationRef, Text};
use crate::{Span, Timestamp};

/// A message quotes no more of a key or a value, in characters.
const QUOTE_CHARS_MAX: usize = 150;

/// Microseconds since the epoch; zero and less mean that there are none. So do those past the year
/// 2554: a clock that is so far off tells nothing, and is no reason to lose a span and its neighbours.
pub(super) fn timestamp(us: i64) -> Option<Timestamp> {
    positive(us).and_then(Timestamp::from_micros)
}

/// Microseconds; zero and less mean that there are none. The longest that can be kept in nanoseconds
/// stands for those that are longer.
pub(super) fn duration(us: i64) -> Option<Duration> {
    positive(us).map(|us| Duration::from_micros(us.min(Timestamp::MAX.micros())))
}

fn positive(us: i64) -> Option<u64> {
    u64::try_from(us).ok().filter(|us| *us > 0)
}

/// Zero and less mean that there is none.
pub(super) fn port(number: i64) -> Result<u16, BadPort> {
    u16::try_from(number.max(0)).map_err(|_| BadPort(number))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid port {0}")]
pub(super) struct BadPort(i64);

/// Puts an annotation into a span; one whose time cannot be kept is counted instead.
pub(super) fn put_annotation<'a>(draft: &mut Draft<'a>, us: i64, value: Text<'a>) {
    match timestamp(us) {
        Some(timestamp) => {
            let tags = Vec::new();
            draft.annotation(AnnotationRef { timestamp, value, tags, dropped_tags: 0 });
        }
        None => draft.dropped_annotations = draft.dropped_annotations.saturating_add(1),
    }
}

/// Annotations as Zipkin's formats hold them: by microsecond, then text, duplicates once. One without
/// a time is left out: no reader would take it.
pub(super) fn annotations(span: &Span) -> Vec<(u64, Cow<'_, str>)> {
    let mut annotations: Vec<(u64, Cow<'_, str>)> = span
        .annotations
        .iter()
        .map(|annotation| (annotation.timestamp.micros(), annotation.zipkin_value()))
        .filter(|(us, _)| *us > 0)
        .collect();
    annotations.sort();
    annotations.dedup();
    annotations
}

/// Microseconds of a span's begin, if there is one.
pub(super) fn timestamp_us(span: &Span) -> Option<u64> {
    span.timestamp.map(Timestamp::micros).filter(|us| *us > 0)
}

/// Text, or a number in its own spelling.
pub(super) fn json_string<'a>(json: &mut Scanner<'a>, key: &str) -> Result<Text<'a>, JsonError> {
    match json.scalar()? {
        Scalar::Str(Cow::Borrowed(text)) | Scalar::Number(text) => Ok(Text::Str(text)),
        Scalar::Str(Cow::Owned(text)) => Ok(Text::Owned(text)),
        Scalar::Bool(_) | Scalar::Null => {
            let key = shortened(key, QUOTE_CHARS_MAX);
            Err(JsonError::new(format!("{key} is not a string")))
        }
    }
}

/// A whole number, however it is spelled: `12`, `"12"`, `12.0`, `1.2e1`.
pub(super) fn json_integer(json: &mut Scanner<'_>, key: &str) -> Result<i64, JsonError> {
    let text = json_string(json, key)?;
    let text = text.read();
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    /// Two to the power of 63, which no `i64` reaches.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let whole = text.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && n.abs() < BOUND);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the bound")]
    let whole = whole.map(|number| number as i64);
    whole.ok_or_else(|| {
        let text = shortened(&text, QUOTE_CHARS_MAX);
        JsonError::new(format!("{key} {text} is not a whole number"))
    })
}

pub(super) fn json_bool(json: &mut Scanner<'_>, key: &str) -> Result<bool, JsonError> {
    match json.scalar()? {
        Scalar::Bool(value) => Ok(value),
        _ => Err(JsonError::new(format!("{key} is not true or false"))),
    }
}

/// An endpoint, which may turn out to be empty.
pub(super) fn json_endpoint<'a>(json: &mut Scanner<'a>) -> Result<EndpointDraft<'a>, JsonError> {
    let mut endpoint = EndpointDraft::default();
    json.object(|json, key| {
        if json.null() {
            return Ok(());
        }
        match &*key {
            "serviceName" => endpoint.service_name = json_string(json, &key)?,
            "ipv4" | "ipv6" => endpoint.address.set_ip_text(&json_string(json, &key)?.read()),
            "port" => {
                let number = json_integer(json, &key)?;
                endpoint.address.port =
                    port(number).map_err(|bad| JsonError::new(bad.to_string()))?;
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    Ok(endpoint)
}
