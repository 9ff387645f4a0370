//! Keys and values of a block's tags, for completion: a bounded part of them, read when asked for.

use std::collections::BTreeMap;

use crate::codec::{Decoder, Encoder, Malformed};
use crate::least::Least;

/// Keys that are listed, and values of each: the first ones in order.
pub(crate) const KEYS_MAX: usize = 1_000;
pub(crate) const VALUES_MAX: usize = 4_000;
/// Longer texts are nothing that anyone would pick from a list.
pub(super) const TEXT_BYTES_MAX: usize = 256;

/// Whether a key or a value is short enough for a list.
pub(crate) fn is_listed(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX
}

/// A summary of these keys and their values, all in order.
pub(super) fn encode<'a>(keys: impl ExactSizeIterator<Item = (&'a str, Vec<&'a str>)>) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.count(keys.len());
    for (key, values) in keys {
        encoder.string(key);
        encoder.count(values.len());
        values.iter().for_each(|value| encoder.string(value));
    }
    encoder.into_bytes()
}

/// Values by key, as Zipkin shows them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TagSummary(BTreeMap<String, Least>);

impl TagSummary {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flat_map(Least::iter)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let mut tags = BTreeMap::new();
        for (key, values) in
            decoder.list(|decoder| Ok((decoder.string()?, decoder.list(Decoder::string)?)))?
        {
            tags.insert(key, Least::of(VALUES_MAX, values));
        }
        decoder.end()?;
        Ok(Self(tags))
    }
}
