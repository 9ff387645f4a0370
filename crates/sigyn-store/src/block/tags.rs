//! Keys and values of a block's tags, for completion: a bounded part of them, read when asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{Decoder, Encoder, Malformed};

const KEYS_MAX: usize = 1_000;
const VALUES_MAX: usize = 1_000;
/// Longer values are nothing that anyone would pick from a list.
const VALUE_BYTES_MAX: usize = 256;

/// Values by key, as Zipkin shows them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TagSummary(BTreeMap<String, BTreeSet<String>>);

impl TagSummary {
    pub(crate) fn add(&mut self, key: &str, value: &str) {
        if key.len() > VALUE_BYTES_MAX {
            return;
        }
        if !self.0.contains_key(key) {
            if self.0.len() >= KEYS_MAX {
                return;
            }
            self.0.insert(key.to_owned(), BTreeSet::new());
        }
        let Some(values) = self.0.get_mut(key) else { return };
        if values.len() < VALUES_MAX && value.len() <= VALUE_BYTES_MAX && !values.contains(value) {
            values.insert(value.to_owned());
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.count(self.0.len());
        for (key, values) in &self.0 {
            encoder.string(key);
            encoder.count(values.len());
            values.iter().for_each(|value| encoder.string(value));
        }
        encoder.into_bytes()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let tags = decoder
            .list(|decoder| Ok((decoder.string()?, decoder.list(Decoder::string)?)))?
            .into_iter()
            .map(|(key, values)| (key, values.into_iter().collect()))
            .collect();
        decoder.end()?;
        Ok(Self(tags))
    }
}
