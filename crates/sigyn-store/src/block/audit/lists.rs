//! Lists of names, and of keys and values of tags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sigyn_model::Span;

use super::Checked;
use crate::block::tags::{KEYS_MAX, is_listed};
use crate::block::{Block, QueryFailed};
use crate::names::Names;

/// However little room there was, so many values of a key are listed.
const VALUES_LEAST: usize = 64;

pub(super) struct Lists {
    names: Arc<Names>,
    found: Names,
    /// By key, each value with whether a row says it.
    tags: BTreeMap<String, BTreeMap<String, bool>>,
    /// Keys that a row has.
    keys: BTreeSet<String>,
}

impl Lists {
    pub(super) fn of(block: &Block) -> Result<Self, QueryFailed> {
        let tags = block.tags()?;
        let of_key = |key: &str| {
            let values = tags.values(key).map(|value| (value.to_owned(), false));
            (key.to_owned(), values.collect())
        };
        Ok(Self {
            names: block.names()?,
            found: Names::default(),
            tags: tags.keys().map(of_key).collect(),
            keys: BTreeSet::new(),
        })
    }

    pub(super) fn row(&mut self, span: &Span) -> Checked {
        self.found.add(span);
        span.zipkin_tags().iter().try_for_each(|(key, value)| self.tag(key, value))
    }

    /// A row has this tag, as Zipkin shows it.
    pub(super) fn tag(&mut self, key: &str, value: &str) -> Checked {
        let is_full = self.tags.len() >= KEYS_MAX;
        let Some(values) = self.tags.get_mut(key) else {
            let last = self.tags.last_key_value();
            let is_past = is_full && last.is_some_and(|(last, _)| key > last.as_str());
            if is_listed(key) && !is_past {
                return Err(format!("its list of keys has no {key:?}, and its rows have"));
            }
            return Ok(());
        };
        if !self.keys.contains(key) {
            self.keys.insert(key.to_owned());
        }
        match values.get_mut(value) {
            Some(is_said) => *is_said = true,
            None => {
                let last = values.last_key_value();
                let is_past =
                    values.len() >= VALUES_LEAST && last.is_some_and(|(last, _)| *value > **last);
                if is_listed(value) && !is_past {
                    return Err(format!(
                        "its list of values of {key:?} has no {value:?}, and its rows have"
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn end(self) -> Checked {
        for (key, values) in &self.tags {
            if !self.keys.contains(key) {
                return Err(format!("its list of keys has {key:?}, and its rows have not"));
            }
            if let Some((value, _)) = values.iter().find(|(_, is_said)| !**is_said) {
                return Err(format!(
                    "its list of values of {key:?} has {value:?}, and its rows have not"
                ));
            }
        }
        if self.names.services().eq(self.found.services()) {
            return Ok(());
        }
        let (told, found) = (self.names.services(), self.found.services());
        let other = told.zip(found).find(|(one, other)| one != other);
        let service = other.map_or("", |((service, _), _)| service);
        Err(format!("its names, those of service {service:?} or others, are not those of its rows"))
    }
}
