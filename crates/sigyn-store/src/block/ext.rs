//! The column `ext`: what the other columns of a span cannot say, in the log's own bytes.

use std::time::Duration;

use sigyn_model::{Endpoint, Span};

use crate::codec::{Decoder, Encoder, Malformed};

/// What an `ext` holds.
mod part {
    pub(super) const DROPPED: u64 = 1;
    /// How many tags each of the annotations has lost.
    pub(super) const ANNOTATIONS: u64 = 1 << 1;
    pub(super) const LOCAL: u64 = 1 << 2;
    pub(super) const REMOTE: u64 = 1 << 3;
    /// A duration of more nanoseconds than 64 bits count.
    pub(super) const DURATION: u64 = 1 << 4;
    pub(super) const ALL: u64 = (1 << 5) - 1;
}

/// What the columns of a span do not say.
#[derive(Debug, Default)]
pub(super) struct Ext {
    /// Tags, annotations, links.
    pub(super) dropped: [u32; 3],
    pub(super) dropped_of_annotations: Vec<u32>,
    /// Local and remote, if the columns do not bring them back.
    pub(super) endpoints: [Option<Endpoint>; 2],
    pub(super) duration: Option<Duration>,
}

impl Ext {
    /// `None` if there is nothing to say.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let Self { dropped, dropped_of_annotations, endpoints, duration } = self;
        let of_annotations = dropped_of_annotations.iter().any(|count| *count != 0);
        let flags = [
            (*dropped != [0; 3], part::DROPPED),
            (of_annotations, part::ANNOTATIONS),
            (endpoints[0].is_some(), part::LOCAL),
            (endpoints[1].is_some(), part::REMOTE),
            (duration.is_some(), part::DURATION),
        ];
        let flags = flags.iter().filter(|(is_there, _)| *is_there);
        let flags = flags.fold(0, |flags, (_, bit)| flags | bit);
        if flags == 0 {
            return None;
        }
        let mut encoder = Encoder::default();
        encoder.uint(flags);
        if flags & part::DROPPED != 0 {
            dropped.iter().for_each(|count| encoder.uint(u64::from(*count)));
        }
        if of_annotations {
            encoder.count(dropped_of_annotations.len());
            dropped_of_annotations.iter().for_each(|count| encoder.uint(u64::from(*count)));
        }
        endpoints.iter().flatten().for_each(|endpoint| encoder.endpoint(endpoint));
        if let Some(duration) = duration {
            encoder.duration(*duration);
        }
        Some(encoder.into_bytes())
    }

    /// The duration that an `ext` says, if it does.
    pub(super) fn duration(bytes: &[u8]) -> Result<Option<Duration>, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let flags = decoder.uint()?;
        let has = |bit: u64| flags & bit != 0;
        if !has(part::DURATION) {
            return Ok(None);
        }
        if has(part::DROPPED) {
            for _ in 0..3 {
                decoder.uint()?;
            }
        }
        if has(part::ANNOTATIONS) {
            decoder.list(Decoder::uint)?;
        }
        for endpoint in [part::LOCAL, part::REMOTE] {
            if has(endpoint) {
                decoder.endpoint()?;
            }
        }
        decoder.duration().map(Some)
    }

    /// Puts what an `ext` says into the span that the columns made.
    pub(super) fn apply(bytes: &[u8], span: &mut Span) -> Result<(), Malformed> {
        let mut decoder = Decoder::new(bytes);
        let flags = decoder.uint()?;
        if flags & !part::ALL != 0 {
            return Err(Malformed { what: "an unknown part of a span" });
        }
        let has = |bit: u64| flags & bit != 0;
        if has(part::DROPPED) {
            span.dropped_tags = decoder.uint_as()?;
            span.dropped_annotations = decoder.uint_as()?;
            span.dropped_links = decoder.uint_as()?;
        }
        if has(part::ANNOTATIONS) {
            let dropped: Vec<u32> = decoder.list(Decoder::uint_as)?;
            if dropped.len() != span.annotations.len() {
                return Err(Malformed { what: "more annotations than there are" });
            }
            for (annotation, dropped) in span.annotations.iter_mut().zip(dropped) {
                annotation.dropped_tags = dropped;
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
        decoder.end()
    }
}
