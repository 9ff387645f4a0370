//! A chapter of the log that goes on in another head: its words are told there again.

use std::sync::Arc;

use super::chapter::{SORTS, Sort};
use super::origins::{Numbered, Origin};
use super::rare::Extra;
use super::replay::{Replay, UNKNOWN};
use super::writer::HeadWriter;
use super::{Head, Words};

impl Replay {
    /// What words are called in another head from now on.
    pub(crate) fn go_on_in(&mut self, to: &mut HeadWriter, from: &Head) {
        for sort in SORTS {
            let known = self.words[sort as usize].iter_mut().filter(|word| **word != UNKNOWN);
            known.for_each(|word| *word = told_again(sort, *word, from, to));
        }
        to.settle();
    }
}

fn told_again(sort: Sort, word: u32, from: &Head, to: &mut HeadWriter) -> u32 {
    if word == 0 {
        return 0;
    }
    let text = |words: &Words| words.text(&from.slabs, word).to_owned();
    match sort {
        Sort::Name => to.name(&text(&from.names)),
        Sort::Text => to.text(&text(&from.texts)),
        Sort::Key => to.key(&text(&from.keys)),
        Sort::Tag => {
            let key = told_again(Sort::Key, from.tags.about(word), from, to);
            to.tag(key, from.tags.get(&from.slabs, word)).number()
        }
        Sort::Endpoint => {
            let name = told_again(Sort::Name, from.endpoints.about(word), from, to);
            to.endpoint(name, from.endpoints.get(&from.slabs, word))
        }
        Sort::Resource => {
            let (bytes, value) = shared(&from.origins.resources, word, from);
            to.resource(bytes, value)
        }
        Sort::Scope => {
            let (bytes, value) = shared(&from.origins.scopes, word, from);
            to.scope(bytes, value)
        }
        Sort::Target => {
            let (bytes, value) = shared(&from.origins.targets, word, from);
            to.target(bytes, value)
        }
        Sort::Origin => {
            let Origin { resource, scope, target } = from.origins.get(word);
            let origin = Origin {
                resource: told_again(Sort::Resource, resource, from, to),
                scope: told_again(Sort::Scope, scope, from, to),
                target: told_again(Sort::Target, target, from, to),
            };
            to.origin_of(origin)
        }
        Sort::Extra => {
            let extra = Extra::from_bytes(from.extras.get(&from.slabs, word));
            let status_message = told_again(Sort::Text, extra.status_message, from, to);
            let trace_state = told_again(Sort::Text, extra.trace_state, from, to);
            to.extra(Extra { status_message, trace_state, ..extra })
        }
    }
}

/// The bytes of a value that many spans share, and the value.
fn shared<'a, T: Default>(
    numbered: &'a Numbered<T>,
    word: u32,
    from: &'a Head,
) -> (&'a [u8], impl FnOnce() -> Arc<T>) {
    let value = move || numbered.get(word).map_or_else(Arc::default, Arc::clone);
    (numbered.words.get(&from.slabs, word), value)
}
