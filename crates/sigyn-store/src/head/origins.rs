//! Where spans come from: the process, the library, the target. Many spans share each of them.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use sigyn_model::{Labels, Resource, Scope};

use super::column::{Column, Shelf};
use super::words::Words;

/// Resources, scopes and labels by number, and which of them meet. Zero is none.
#[derive(Debug, Default)]
pub(super) struct Origins {
    pub(super) resources: Numbered<Resource>,
    pub(super) scopes: Numbered<Scope>,
    pub(super) targets: Numbered<Labels>,
    resource_of: Column<AtomicU32>,
    scope_of: Column<AtomicU32>,
    target_of: Column<AtomicU32>,
}

/// Numbers of what a span comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) resource: u32,
    pub(super) scope: u32,
    pub(super) target: u32,
}

/// Shared values by number, with the bytes that they have in a record.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    pub(super) words: Words,
    pub(super) values: Shelf<Arc<T>>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { words: Words::default(), values: Shelf::default() }
    }
}

impl<T> Numbered<T> {
    pub(super) fn get(&self, number: u32) -> Option<&Arc<T>> {
        if number == 0 { None } else { self.values.get(number) }
    }
}

impl Origins {
    pub(super) fn get(&self, number: u32) -> Origin {
        if number == 0 {
            return Origin::default();
        }
        Origin {
            resource: self.resource_of.get(number),
            scope: self.scope_of.get(number),
            target: self.target_of.get(number),
        }
    }

    pub(super) fn set(&self, number: u32, origin: Origin) {
        self.resource_of.set(number, origin.resource);
        self.scope_of.set(number, origin.scope);
        self.target_of.set(number, origin.target);
    }

    pub(super) fn bytes(&self) -> usize {
        let columns = [&self.resource_of, &self.scope_of, &self.target_of];
        columns.map(Column::bytes).iter().sum::<usize>()
            + self.resources.words.bytes()
            + self.resources.values.bytes()
            + self.scopes.words.bytes()
            + self.scopes.values.bytes()
            + self.targets.words.bytes()
            + self.targets.values.bytes()
    }
}
