//! What Zipkin's formats share: how numbers become times and ports, and what they show of annotations.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use super::draft::Draft;
use super::sink::{AnnotationRef, Text};
use crate::{Span, Timestamp};

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
