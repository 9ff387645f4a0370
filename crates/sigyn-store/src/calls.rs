//! Who calls whom, how often, and how often that fails: as traces are added, and taken away again.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use sigyn_model::{DependencyLink, Span, each_link};

use crate::spots::{Named, Spot, Tree, put_in_order};

/// Calls, and those of them that failed.
type Counted = (u64, u64);

#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// By parent, then child.
    sums: BTreeMap<String, BTreeMap<String, Counted>>,
    /// What numbers mean.
    named: Named,
    /// What is still to be added, or taken away, by parent and child.
    changes: HashMap<[u32; 2], [i64; 2], RandomState>,
    /// Of one trace.
    spots: Vec<Spot>,
    tree: Tree,
}

impl Calls {
    fn of(&mut self, parent: &str, child: &str) -> &mut Counted {
        if !self.sums.contains_key(parent) {
            self.sums.insert(parent.to_owned(), BTreeMap::new());
        }
        let children = self.sums.entry(parent.to_owned()).or_default();
        children.entry(child.to_owned()).or_default()
    }

    pub(crate) fn add(&mut self, parent: &str, child: &str, calls: u64, errors: u64) {
        let (all_calls, all_errors) = self.of(parent, child);
        *all_calls = all_calls.saturating_add(calls);
        *all_errors = all_errors.saturating_add(errors);
    }

    fn change(&mut self, parent: &str, child: &str, calls: i64, errors: i64) {
        let (all_calls, all_errors) = self.of(parent, child);
        let sums = (all_calls.checked_add_signed(calls), all_errors.checked_add_signed(errors));
        // Or it was not counted, and is missing from now on.
        debug_assert!(sums.0.is_some() && sums.1.is_some(), "{parent} to {child}");
        (*all_calls, *all_errors) = (sums.0.unwrap_or(0), sums.1.unwrap_or(0));
    }

    pub(crate) fn add_trace(&mut self, trace: &[Span]) {
        each_link(trace, &mut |parent, child, is_error| {
            self.change(parent, child, 1, i64::from(is_error));
        });
    }

    pub(crate) fn remove_trace(&mut self, trace: &[Span]) {
        each_link(trace, &mut |parent, child, is_error| {
            self.change(parent, child, -1, -i64::from(is_error));
        });
    }

    /// Endpoints and services by their numbers, as spots have them.
    pub(crate) fn named(&mut self) -> &mut Named {
        &mut self.named
    }

    /// Whether these, of one trace, tell its links.
    pub(crate) fn are_enough(&mut self, spots: impl Iterator<Item = Spot>) -> bool {
        self.spots.clear();
        self.spots.extend(spots);
        put_in_order(&mut self.spots)
    }

    pub(crate) fn add_spots(&mut self, spots: impl Iterator<Item = Spot>) {
        self.put(spots, 1);
    }

    pub(crate) fn remove_spots(&mut self, spots: impl Iterator<Item = Spot>) {
        self.put(spots, -1);
    }

    fn put(&mut self, spots: impl Iterator<Item = Spot>, calls: i64) {
        if self.are_enough(spots) {
            let Self { changes, spots, tree, .. } = self;
            tree.link(spots, |parent, child, is_error| {
                let [all_calls, errors] = changes.entry([parent, child]).or_default();
                *all_calls += calls;
                *errors += if is_error { calls } else { 0 };
            });
        }
    }

    /// Numbers mean nothing from here on.
    pub(crate) fn forget_numbers(&mut self) {
        let (named, changes) = (std::mem::take(&mut self.named), std::mem::take(&mut self.changes));
        let name = |number: u32| Some(named.services().get(number as usize - 1)?.as_str());
        for ([parent, child], [calls, errors]) in changes {
            if let Some((parent, child)) = name(parent).zip(name(child)) {
                self.change(parent, child, calls, errors);
            }
        }
    }

    pub(crate) fn into_links(mut self) -> Vec<DependencyLink> {
        self.forget_numbers();
        let links = self.sums.into_iter().flat_map(|(parent, children)| {
            children.into_iter().filter(|(_, (calls, _))| *calls > 0).map(
                move |(child, (call_count, error_count))| DependencyLink {
                    parent: parent.clone(),
                    child,
                    call_count,
                    error_count,
                },
            )
        });
        links.collect()
    }
}
