//! Which spans of a trace call which, from the little of each that decides about it.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::{Endpoint, Kind, Timestamp};

/// What an endpoint takes among others, beside its name.
const ENDPOINT_BYTES: usize = 192;

/// What decides about links, of one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) kind: Option<Kind>,
    pub(crate) is_shared: bool,
    pub(crate) is_error: bool,
    /// By number; zero for none.
    pub(crate) endpoint: u32,
    pub(crate) service: u32,
    pub(crate) remote: u32,
}

/// A span's spot, and when it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    pub(crate) spot: Spot,
    pub(crate) at: Option<Timestamp>,
}

/// Numbers of endpoints and services.
#[derive(Debug, Default)]
pub(crate) struct Named {
    endpoints: HashMap<Endpoint, u32, RandomState>,
    services: Vec<String>,
    numbers: HashMap<String, u32, RandomState>,
    bytes: usize,
}

/// How the spans of a trace hang together; kept for the next trace.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    parents: Vec<Option<usize>>,
    callers: Vec<Option<usize>>,
    has_children: Vec<bool>,
    states: Vec<State>,
    path: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    OnPath,
    Rooted,
    /// It is its own ancestor, or below such a span.
    Cyclic,
}

impl Named {
    /// Those of an endpoint and of its service, from one; zero for none.
    pub(crate) fn numbers(&mut self, endpoint: Option<Endpoint>) -> (u32, u32) {
        let Some(endpoint) = endpoint else { return (0, 0) };
        let service = self.service(&endpoint.service_name);
        let next = number_of(self.endpoints.len() + 1);
        let bytes = ENDPOINT_BYTES + endpoint.service_name.len();
        let number = *self.endpoints.entry(endpoint).or_insert_with(|| {
            self.bytes += bytes;
            next
        });
        (number, service)
    }

    pub(crate) fn service(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.bytes += ENDPOINT_BYTES + 2 * name.len();
        self.services.push(name.to_owned());
        let number = number_of(self.services.len());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// By their numbers, less one.
    pub(crate) fn services(&self) -> &[String] {
        &self.services
    }

    /// How many there are of what there are more.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len().max(self.services.len())
    }

    /// What they take in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn number_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Puts spans of a trace in order, if every id stands once, or twice as the two halves of a call.
pub(crate) fn put_in_order(spots: &mut [Spot]) -> bool {
    spots.sort_unstable_by_key(|spot| (spot.id, spot.is_shared));
    for at in 1..spots.len() {
        let (before, spot) = (spots[at - 1], &mut spots[at]);
        if before.id == spot.id {
            if before.is_shared == spot.is_shared {
                return false;
            }
            spot.parent = spot.parent.or(before.parent);
        }
    }
    true
}

impl Tree {
    /// What [`sigyn_model::each_link`] does, for spans that could be put in order.
    pub(crate) fn link(&mut self, spots: &[Spot], mut each: impl FnMut(u32, u32, bool)) {
        let root = spots.iter().position(|spot| !spot.is_shared && spot.parent.is_none());
        self.hang(spots, root);
        self.find_callers(spots);
        for (at, spot) in spots.iter().enumerate() {
            if self.states[at] != State::Rooted {
                continue;
            }
            let Spot { service: local, remote, .. } = *spot;
            let kind = match spot.kind {
                Some(Kind::Client) if self.has_children[at] => continue,
                Some(kind) => kind,
                None if local != 0 && remote != 0 => Kind::Client,
                None => continue,
            };
            let (mut parent, child) = match kind {
                Kind::Client | Kind::Producer => (local, remote),
                Kind::Server | Kind::Consumer => (remote, local),
            };
            if kind == Kind::Server && root == Some(at) && parent == 0 {
                continue;
            }
            let mut is_error = spot.is_error;
            let caller = self.callers[at].filter(|_| matches!(kind, Kind::Client | Kind::Server));
            if let Some(caller) = caller.map(|caller| spots[caller])
                && caller.service != 0
            {
                if kind == Kind::Client && local != 0 && local != caller.service {
                    each(caller.service, local, false);
                }
                if kind == Kind::Server || parent == 0 {
                    parent = caller.service;
                }
                if caller.kind == Some(Kind::Client) && spot.parent == Some(caller.id) {
                    is_error |= caller.is_error;
                }
            }
            if parent != 0 && child != 0 {
                each(parent, child, is_error);
            }
        }
    }

    /// Hangs spans under their parents, or under the root.
    fn hang(&mut self, spots: &[Spot], root: Option<usize>) {
        let find = |id: u64, is_shared: bool| {
            spots.binary_search_by_key(&(id, is_shared), |spot| (spot.id, spot.is_shared)).ok()
        };
        let any = |id: u64| find(id, false).or_else(|| find(id, true));
        self.parents.clear();
        self.has_children.clear();
        self.has_children.resize(spots.len(), false);
        for (at, spot) in spots.iter().enumerate() {
            let parent = if spot.is_shared {
                find(spot.id, false).or_else(|| any(spot.parent?))
            } else {
                spot.parent.and_then(|id| {
                    let server = find(id, true);
                    let server = server.filter(|server| spots[*server].endpoint == spot.endpoint);
                    server.or_else(|| any(id))
                })
            };
            let parent = parent.filter(|parent| *parent != at).or(root);
            let parent = parent.filter(|_| root != Some(at));
            if let Some(parent) = parent {
                self.has_children[parent] = true;
            }
            self.parents.push(parent);
        }
    }

    /// Of each span the nearest ancestor that is one side of a call.
    fn find_callers(&mut self, spots: &[Spot]) {
        self.states.clear();
        self.states.resize(spots.len(), State::Unknown);
        self.callers.clear();
        self.callers.resize(spots.len(), None);
        for first in 0..spots.len() {
            let mut at = first;
            let end = loop {
                match self.states[at] {
                    State::Unknown => {
                        self.states[at] = State::OnPath;
                        self.path.push(at);
                    }
                    State::OnPath => break State::Cyclic,
                    known => break known,
                }
                match self.parents[at] {
                    Some(parent) => at = parent,
                    None => break State::Rooted,
                }
            };
            while let Some(at) = self.path.pop() {
                self.states[at] = end;
                self.callers[at] = self.parents[at].and_then(|parent| match spots[parent].kind {
                    Some(_) => Some(parent),
                    None => self.callers[parent],
                });
            }
        }
    }
}
