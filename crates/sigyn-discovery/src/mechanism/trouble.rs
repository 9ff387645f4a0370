//! What discovery fails at right now: since when, how often, and what it said last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::Whose;

/// Parts of a section that are remembered as failing. Of more, those that failed first are told.
const PARTS_MAX: usize = 64;

/// A section whose discovery fails. What it had found stays until it works again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The jobs that have the section.
    pub jobs: BTreeSet<String>,
    /// The mechanism's name, as in log lines and metrics.
    pub mechanism: &'static str,
    /// Whom it asks, or where it looks, without what is secret.
    pub server: String,
    /// The newest failure, with its causes.
    pub error: String,
    /// How many of its parts fail: target files, names, services, kinds of objects. One, if it has
    /// no parts.
    pub parts: usize,
    /// When the first of those failures was that go on.
    pub since: SystemTime,
    pub last_at: SystemTime,
    /// How many there were since then.
    pub failures: u64,
    /// Targets that it had found, and keeps.
    pub kept_targets: usize,
}

/// A view of all sections that fail now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<Vec<Arc<Whose>>>>);

impl Troubles {
    /// Those that fail now, in the order of their jobs.
    pub fn now(&self) -> Vec<Trouble> {
        let providers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut troubles: Vec<_> =
            providers.iter().filter_map(|provider| provider.trouble()).collect();
        troubles.sort_by(|one, other| one.jobs.cmp(&other.jobs));
        troubles
    }

    /// From now on it is about these.
    pub(crate) fn follow(&self, providers: Vec<Arc<Whose>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = providers;
    }
}

/// What of a section fails or works.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Its provider, as long as it cannot begin.
    Start,
    Whole,
    Named(String),
}

/// The parts of one section that fail.
#[derive(Debug, Default)]
pub(super) struct Failing(BTreeMap<Part, Failure>);

#[derive(Debug)]
struct Failure {
    error: String,
    since: SystemTime,
    last_at: SystemTime,
    count: u64,
}

/// [`Failing`] in short.
pub(super) struct Summary {
    pub(super) error: String,
    pub(super) parts: usize,
    pub(super) since: SystemTime,
    pub(super) last_at: SystemTime,
    pub(super) failures: u64,
}

impl Failing {
    pub(super) fn failed(&mut self, part: Part, error: String, at: SystemTime) {
        if let Some(failure) = self.0.get_mut(&part) {
            failure.count += 1;
            (failure.error, failure.last_at) = (error, at);
        } else if self.0.len() < PARTS_MAX {
            self.0.insert(part, Failure { error, since: at, last_at: at, count: 1 });
        }
    }

    pub(super) fn works(&mut self, part: &Part) {
        self.0.remove(part);
    }

    pub(super) fn keep(&mut self, is_kept: impl Fn(&Part) -> bool) {
        self.0.retain(|part, _| is_kept(part));
    }

    /// Where parts with names fail, they say more than the whole of which they are parts.
    pub(super) fn summary(&self) -> Option<Summary> {
        let has_names = self.0.keys().any(|part| matches!(part, Part::Named(_)));
        let told = self.0.iter().filter(|(part, _)| !has_names || **part != Part::Whole);
        let told: Vec<_> = told.collect();
        let (part, newest) = told.iter().max_by_key(|(_, failure)| failure.last_at)?;
        let error = match part {
            Part::Named(name) => format!("{name}: {}", newest.error),
            Part::Start | Part::Whole => newest.error.clone(),
        };
        Some(Summary {
            error,
            parts: told.len(),
            since: told.iter().map(|(_, failure)| failure.since).min()?,
            last_at: newest.last_at,
            failures: told.iter().map(|(_, failure)| failure.count).sum(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn told(failing: &Failing) -> Option<(String, usize, SystemTime, SystemTime, u64)> {
        let summary = failing.summary()?;
        let Summary { error, parts, since, last_at, failures } = summary;
        Some((error, parts, since, last_at, failures))
    }

    #[test]
    fn failures_add_up_until_it_works() {
        let mut failing = Failing::default();
        assert_eq!(told(&failing), None);
        failing.failed(Part::Whole, "no answer".into(), at(1));
        failing.failed(Part::Whole, "answer 500".into(), at(2));
        assert_eq!(told(&failing), Some(("answer 500".into(), 1, at(1), at(2), 2)));
        failing.works(&Part::Whole);
        assert_eq!(told(&failing), None);
        failing.failed(Part::Whole, "no answer".into(), at(5));
        assert_eq!(told(&failing), Some(("no answer".into(), 1, at(5), at(5), 1)));
    }

    #[test]
    fn parts_are_told_in_place_of_the_whole() {
        let mut failing = Failing::default();
        let named = |name: &str| Part::Named(name.to_owned());
        failing.failed(named("a"), "no such name".into(), at(1));
        failing.failed(named("b"), "refused".into(), at(2));
        failing.failed(Part::Whole, "none could be resolved".into(), at(3));
        assert_eq!(told(&failing), Some(("b: refused".into(), 2, at(1), at(2), 2)));
        failing.keep(|part| *part != named("b"));
        assert_eq!(told(&failing), Some(("a: no such name".into(), 1, at(1), at(1), 1)));
    }

    #[test]
    fn it_remembers_a_bounded_number_of_parts() {
        let mut failing = Failing::default();
        for name in 0..1000 {
            failing.failed(Part::Named(format!("{name:04}")), "no".into(), at(name));
        }
        assert_eq!(told(&failing).map(|told| told.1), Some(PARTS_MAX));
    }
}
