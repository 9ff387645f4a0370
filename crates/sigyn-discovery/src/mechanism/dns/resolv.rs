//! `resolv.conf`: which servers to ask, and about which names in turn.

use std::net::IpAddr;

/// What the system's file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolv {
    pub(super) servers: Vec<IpAddr>,
    search: Vec<String>,
    dots_min: usize,
}

const DOTS_MAX: usize = 15;

impl Resolv {
    /// What it does not understand, it passes over. Of several lists of domains, the last counts.
    pub(super) fn parse(text: &str) -> Self {
        let mut resolv = Self { servers: Vec::new(), search: Vec::new(), dots_min: 1 };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    resolv
                        .servers
                        .extend(words.next().and_then(|address| address.parse::<IpAddr>().ok()));
                }
                Some("domain") => resolv.search = words.take(1).map(str::to_owned).collect(),
                Some("search") => resolv.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let dots = words.filter_map(|word| word.strip_prefix("ndots:")).next_back();
                    if let Some(dots) = dots.and_then(|dots| dots.parse().ok()) {
                        resolv.dots_min = DOTS_MAX.min(dots);
                    }
                }
                _ => {}
            }
        }
        resolv
    }

    /// The names that `name` may stand for, in the order in which they are asked about: as it is,
    /// and in each of the domains.
    pub(super) fn names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let whole = format!("{name}.");
        let mut names: Vec<String> = self
            .search
            .iter()
            .map(|domain| domain.trim_matches('.'))
            .filter(|domain| !domain.is_empty())
            .map(|domain| format!("{whole}{domain}."))
            .collect();
        let as_it_is = if name.matches('.').count() >= self.dots_min { 0 } else { names.len() };
        names.insert(as_it_is, whole);
        names
    }
}
