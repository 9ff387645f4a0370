//! Which names there are: services, and per service the names of its spans and of its peers.
//!
//! Lists are bounded, for a name may be unique per request, which is no name. What is left out of them
//! is found all the same.

use std::collections::BTreeMap;

use sigyn_model::Searched;

use crate::least::{Added, Least};

/// Services that are listed, and of each so many names of either sort: the first ones in order.
pub(crate) const SERVICES_MAX: usize = 10_000;
pub(crate) const NAMES_MAX: usize = 10_000;
/// Longer names are not listed.
const NAME_BYTES_MAX: usize = 1_024;
/// What a name takes beside its letters: its place in a set, and the allocator's share.
const PLACE_BYTES: usize = 48;

/// Services with their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    services: BTreeMap<String, ServiceNames>,
    bytes: usize,
}

/// The names that one service used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceNames {
    pub(crate) spans: Least,
    pub(crate) remotes: Least,
}

impl Default for ServiceNames {
    fn default() -> Self {
        Self { spans: Least::new(NAMES_MAX), remotes: Least::new(NAMES_MAX) }
    }
}

impl Names {
    /// Returns how many names are out: those of the span, or others for them.
    pub(crate) fn add(&mut self, span: &impl Searched) -> u64 {
        let remote = span.remote_service_name().unwrap_or("");
        span.service_name().map_or(0, |service| self.add_names(service, span.name(), remote))
    }

    /// The same for the names themselves; the second and third may be empty.
    pub(crate) fn add_names(&mut self, service: &str, name: &str, remote: &str) -> u64 {
        let mut left_out = 0;
        if !self.services.contains_key(service) {
            if service.len() > NAME_BYTES_MAX {
                return 1;
            }
            if self.services.len() >= SERVICES_MAX {
                left_out += 1;
                match self.services.last_entry() {
                    Some(last) if service < last.key().as_str() => {
                        let (service, names) = last.remove_entry();
                        self.bytes -= service_bytes(&service) + names.bytes();
                    }
                    _ => return left_out,
                }
            }
            self.insert(service.to_owned(), ServiceNames::default());
        }
        let Some(names) = self.services.get_mut(service) else { return left_out };
        for (list, name) in [(&mut names.spans, name), (&mut names.remotes, remote)] {
            if name.is_empty() {
                continue;
            }
            if name.len() > NAME_BYTES_MAX {
                left_out += 1;
                continue;
            }
            match list.add(name) {
                Added::Known => {}
                Added::New => self.bytes += PLACE_BYTES + name.len(),
                Added::InPlaceOf(other) => {
                    self.bytes = self.bytes + name.len() - other.len();
                    left_out += 1;
                }
                Added::Not => left_out += 1,
            }
        }
        left_out
    }

    pub(crate) fn insert(&mut self, service: String, names: ServiceNames) {
        self.bytes += service_bytes(&service) + names.bytes();
        self.services.insert(service, names);
    }

    /// Whether spans of this service may be among those whose names these are.
    pub(crate) fn may_have_service(&self, service: &str) -> bool {
        self.services.contains_key(service)
            || self.services.len() >= SERVICES_MAX
            || service.len() > NAME_BYTES_MAX
    }

    pub(crate) fn service(&self, service: &str) -> Option<&ServiceNames> {
        self.services.get(service)
    }

    pub(crate) fn services(&self) -> impl ExactSizeIterator<Item = (&str, &ServiceNames)> {
        self.services.iter().map(|(service, names)| (service.as_str(), names))
    }

    /// What they take in memory, estimated.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl ServiceNames {
    fn bytes(&self) -> usize {
        self.spans.iter().chain(self.remotes.iter()).map(|name| PLACE_BYTES + name.len()).sum()
    }
}

fn service_bytes(service: &str) -> usize {
    2 * PLACE_BYTES + service.len()
}

#[cfg(test)]
mod tests {
    use sigyn_model::{Endpoint, Span, SpanId, TraceId};

    use super::*;

    fn add(names: &mut Names, service: &str, name: &str) -> u64 {
        let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::from_raw(1));
        span.local_endpoint = Endpoint::named(service).into_option();
        span.name = name.to_owned();
        names.add(&span)
    }

    #[test]
    fn too_many_names_leave_the_last_ones_out() {
        let mut names = Names::default();
        for n in (0..=NAMES_MAX).rev() {
            assert_eq!(add(&mut names, "a", &format!("{n:06}")), u64::from(n == 0));
        }
        assert_eq!(add(&mut names, "a", "x"), 1);
        let listed = names.service("a").unwrap();
        assert_eq!((listed.spans.len(), listed.spans.iter().next()), (NAMES_MAX, Some("000000")));
        assert!(!listed.spans.has(&format!("{NAMES_MAX:06}")));
        assert_eq!(names.bytes(), service_bytes("a") + listed.bytes());
    }

    #[test]
    fn too_many_services_leave_the_last_ones_out_but_may_still_be_there() {
        let mut names = Names::default();
        assert!(!names.may_have_service("x"));
        for n in (0..=SERVICES_MAX).rev() {
            assert_eq!(add(&mut names, &format!("{n:06}"), "get"), u64::from(n == 0));
        }
        assert_eq!(add(&mut names, "x", "get"), 1);
        assert_eq!(names.services().len(), SERVICES_MAX);
        assert_eq!(names.service(&format!("{SERVICES_MAX:06}")), None);
        assert!(names.may_have_service("x"));
        let bytes = names.services().map(|(name, listed)| service_bytes(name) + listed.bytes());
        assert_eq!(names.bytes(), bytes.sum::<usize>());
    }

    #[test]
    fn long_names_are_not_listed() {
        let mut names = Names::default();
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!((add(&mut names, &long, "get"), add(&mut names, "a", &long)), (1, 1));
        assert_eq!(names.services().len(), 1);
        assert!(names.may_have_service(&long));
    }
}
