//! How far each target was read: the newest record of each, and when it came.

use std::collections::BTreeMap;

use sigyn_model::TargetProgress;

use crate::codec::{Decoder, Encoder, Malformed};

/// Of more targets than this, those not heard of for longest are forgotten. None by its age alone:
/// a clock that jumps ahead, or a store that was closed for long, must not cost every cursor.
const TARGETS_MAX: usize = 100_000;

/// All targets by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    targets: BTreeMap<String, Seen>,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    at_ms: u64,
    progress: TargetProgress,
}

impl Progress {
    pub(crate) fn put(&mut self, progress: TargetProgress, at_ms: u64) {
        self.targets.insert(progress.target.clone(), Seen { at_ms, progress });
    }

    pub(crate) fn put_all(&mut self, newer: Self) {
        self.targets.extend(newer.targets);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// What is not as it was before.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let is_new = |(target, seen): &(&String, &Seen)| before.targets.get(*target) != Some(*seen);
        let new = self.targets.iter().filter(is_new);
        Self { targets: new.map(|(target, seen)| (target.clone(), seen.clone())).collect() }
    }

    pub(crate) fn all(&self) -> Vec<TargetProgress> {
        self.targets.values().map(|seen| seen.progress.clone()).collect()
    }

    pub(crate) fn forget_surplus(&mut self) {
        let surplus = self.targets.len().saturating_sub(TARGETS_MAX);
        if surplus == 0 {
            return;
        }
        let mut by_age: Vec<(u64, String)> =
            self.targets.iter().map(|(target, seen)| (seen.at_ms, target.clone())).collect();
        by_age.sort_unstable();
        for (_, target) in by_age.into_iter().take(surplus) {
            self.targets.remove(&target);
        }
    }

    pub(crate) fn encode<'a>(&'a self, encoder: &mut Encoder<'a>) {
        encoder.count(self.targets.len());
        for seen in self.targets.values() {
            encoder.uint(seen.at_ms);
            encoder.progress(&seen.progress);
        }
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut progress = Self::default();
        for (at_ms, one) in decoder.list(|decoder| Ok((decoder.uint()?, decoder.progress()?)))? {
            progress.put(one, at_ms);
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: usize) -> TargetProgress {
        TargetProgress { target: name.to_string(), ..TargetProgress::default() }
    }

    #[test]
    fn only_of_too_many_targets_the_oldest_are_forgotten() {
        let mut progress = Progress::default();
        for n in 0..TARGETS_MAX + 10 {
            // Half of them at once.
            progress.put(target(n), n.max(TARGETS_MAX / 2) as u64);
        }
        progress.forget_surplus();
        assert_eq!(progress.all().len(), TARGETS_MAX);
        assert!(!progress.all().contains(&target(0)));
        assert!(progress.all().contains(&target(TARGETS_MAX)));
    }

    #[test]
    fn what_is_new_makes_the_old_the_new() {
        let mut before = Progress::default();
        (0..4).for_each(|n| before.put(target(n), 1));
        let mut after = before.clone();
        assert!(after.since(&before).is_empty());
        after.put(target(2), 2);
        after.put(target(9), 2);
        assert_eq!(after.since(&before).all(), [target(2), target(9)]);
        before.put_all(after.since(&before));
        assert_eq!(before, after);
    }
}
