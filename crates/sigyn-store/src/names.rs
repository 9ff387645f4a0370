//! Which names there are: services, and per service the names of its spans and of its peers.

use std::collections::{BTreeMap, BTreeSet};

use sigyn_model::Span;

/// Names per service beyond this many are not listed: a name that is unique per request is none.
const NAMES_MAX: usize = 10_000;
/// What a name takes beside its letters: its place in a set, and the allocator's share.
const PLACE_BYTES: usize = 48;

/// Services with their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    services: BTreeMap<String, ServiceNames>,
}

/// The names that one service used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceNames {
    pub(crate) spans: BTreeSet<String>,
    pub(crate) remotes: BTreeSet<String>,
}

impl Names {
    /// Returns about how much more memory they take then.
    pub(crate) fn add(&mut self, span: &Span) -> usize {
        let Some(service) = span.service_name() else { return 0 };
        let mut bytes = 0;
        if !self.services.contains_key(service) {
            self.services.insert(service.to_owned(), ServiceNames::default());
            bytes = 2 * PLACE_BYTES + service.len();
        }
        let Some(names) = self.services.get_mut(service) else { return bytes };
        bytes
            + add_name(&mut names.spans, &span.name)
            + add_name(&mut names.remotes, span.remote_service_name().unwrap_or(""))
    }

    pub(crate) fn insert(&mut self, service: String, names: ServiceNames) {
        self.services.insert(service, names);
    }

    pub(crate) fn has_service(&self, service: &str) -> bool {
        self.services.contains_key(service)
    }

    pub(crate) fn service(&self, service: &str) -> Option<&ServiceNames> {
        self.services.get(service)
    }

    pub(crate) fn services(&self) -> impl ExactSizeIterator<Item = (&str, &ServiceNames)> {
        self.services.iter().map(|(service, names)| (service.as_str(), names))
    }
}

/// Returns how many bytes it takes.
fn add_name(names: &mut BTreeSet<String>, name: &str) -> usize {
    if name.is_empty() || names.len() >= NAMES_MAX || names.contains(name) {
        return 0;
    }
    names.insert(name.to_owned());
    PLACE_BYTES + name.len()
}
