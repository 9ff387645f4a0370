//! The column `ext`: what the other columns of a span cannot say, in the log's own bytes.

use std::collections::HashSet;
use std::time::Duration;

use parquet::data_type::ByteArray;
use sigyn_model::{Annotation, Endpoint, Span, Tags, Value};

use crate::codec::{Decoder, Encoder, Malformed, rare_flags};

/// What an `ext` holds; beside these bits stand those of [`Encoder::rare`].
mod part {
    /// How many tags are the span's own, and values that are no strings.
    pub(super) const TAGS: u64 = 1;
    /// All of the span's own tags: their keys repeat.
    pub(super) const ALL_TAGS: u64 = 1 << 1;
    /// Tags of annotations.
    pub(super) const ANNOTATIONS: u64 = 1 << 2;
    pub(super) const LOCAL: u64 = 1 << 3;
    pub(super) const REMOTE: u64 = 1 << 4;
    /// A duration of more nanoseconds than 64 bits count.
    pub(super) const DURATION: u64 = 1 << 5;
}

/// What the columns of a span do not say; `None` if that is nothing. `shown` tags are in them; the
/// span's own are all here if its keys repeat.
pub(crate) fn ext_of(span: &Span, shown: usize, all_tags: bool) -> Option<ByteArray> {
    let local = span.local_endpoint.as_ref().filter(|endpoint| is_odd(endpoint));
    let remote = span.remote_endpoint.as_ref().filter(|endpoint| is_odd(endpoint));
    let is_long = |duration: &Duration| u64::try_from(duration.as_nanos()).is_err();
    let duration = span.duration.filter(is_long);
    let typed: Vec<(usize, &Value)> = span
        .tags
        .iter()
        .enumerate()
        .filter_map(|(i, (_, value))| (!matches!(value, Value::Str(_))).then_some((i, value)))
        .collect();
    let annotations: Vec<(usize, &Annotation)> = span
        .annotations
        .iter()
        .enumerate()
        .filter(|(_, a)| !a.tags.is_empty() || a.dropped_tags != 0)
        .collect();
    let some_tags = !all_tags && (!typed.is_empty() || shown != span.tags.len());
    let flags = [
        (some_tags, part::TAGS),
        (all_tags, part::ALL_TAGS),
        (!annotations.is_empty(), part::ANNOTATIONS),
        (local.is_some(), part::LOCAL),
        (remote.is_some(), part::REMOTE),
        (duration.is_some(), part::DURATION),
    ];
    let flags = flags.iter().filter(|(is_there, _)| *is_there);
    let flags = flags.fold(rare_flags(span), |flags, (_, bit)| flags | bit);
    (flags != 0).then(|| {
        encoded(|encoder| {
            encoder.uint(flags);
            if some_tags {
                encoder.count(span.tags.len());
                encoder.count(typed.len());
                for (i, value) in typed {
                    encoder.count(i);
                    encoder.value(value, 0);
                }
            }
            if all_tags {
                encoder.tags(&span.tags);
            }
            if !annotations.is_empty() {
                encoder.count(annotations.len());
                for (i, annotation) in annotations {
                    encoder.count(i);
                    encoder.tags(&annotation.tags);
                    encoder.uint(u64::from(annotation.dropped_tags));
                }
            }
            for endpoint in [local, remote].into_iter().flatten() {
                encoder.endpoint(endpoint);
            }
            if let Some(duration) = duration {
                encoder.duration(duration);
            }
            encoder.rare(span);
        })
    })
}

/// Puts what an `ext` says into the span that the columns made.
pub(crate) fn apply_ext(span: &mut Span, bytes: &[u8]) -> Result<(), Malformed> {
    let mut decoder = Decoder::new(bytes);
    let flags = decoder.uint()?;
    let has = |bit: u64| flags & bit != 0;
    let unknown = Malformed { what: "an index of nothing" };
    if has(part::TAGS) {
        // Not `count`: the tags themselves are not in these bytes.
        span.tags.truncate(decoder.uint_as()?);
        for _ in 0..decoder.count()? {
            let i: usize = decoder.uint_as()?;
            span.tags.get_mut(i).ok_or(unknown)?.1 = decoder.value(0)?;
        }
    }
    if has(part::ALL_TAGS) {
        span.tags = decoder.tags()?;
    }
    if has(part::ANNOTATIONS) {
        for _ in 0..decoder.count()? {
            let i: usize = decoder.uint_as()?;
            let annotation = span.annotations.get_mut(i).ok_or(unknown)?;
            annotation.tags = decoder.tags()?;
            annotation.dropped_tags = decoder.uint_as()?;
        }
    }
    if has(part::LOCAL) {
        span.local_endpoint = Some(decoder.endpoint()?);
    }
    if has(part::REMOTE) {
        span.remote_endpoint = Some(decoder.endpoint()?);
    }
    if has(part::DURATION) {
        span.duration = Some(decoder.duration()?);
    }
    decoder.rare(flags, span)?;
    decoder.end()
}

pub(crate) fn keys_repeat(tags: &Tags) -> bool {
    if tags.len() <= FEW {
        return (1..tags.len()).any(|i| tags[..i].iter().any(|(other, _)| *other == tags[i].0));
    }
    let mut keys: HashSet<&str> = HashSet::with_capacity(tags.len());
    tags.iter().any(|(key, _)| !keys.insert(key))
}

/// Of so many keys, comparing each with each is quicker than a set of them.
pub(crate) const FEW: usize = 16;

/// Whether an endpoint's columns do not bring it back: it has two addresses, or nothing in it.
fn is_odd(endpoint: &Endpoint) -> bool {
    endpoint.is_empty() || (endpoint.ipv4.is_some() && endpoint.ipv6.is_some())
}

/// A record of its own.
pub(crate) fn encoded<'a>(put: impl FnOnce(&mut Encoder<'a>)) -> ByteArray {
    let mut encoder = Encoder::default();
    put(&mut encoder);
    ByteArray::from(encoder.into_bytes())
}
