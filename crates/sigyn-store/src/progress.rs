//! How far each target was read: the newest record of each, and when it came.

use std::collections::BTreeMap;

use sigyn_model::TargetProgress;

use crate::wal::record::{Decoder, Encoder, Malformed};

/// A target that was not heard of for this long is forgotten.
const UNSEEN_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Of more targets than this, those not heard of for longest are forgotten.
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

    pub(crate) fn all(&self) -> Vec<TargetProgress> {
        self.targets.values().map(|seen| seen.progress.clone()).collect()
    }

    pub(crate) fn forget_old(&mut self, now_ms: u64) {
        self.targets.retain(|_, seen| now_ms.saturating_sub(seen.at_ms) <= UNSEEN_MS_MAX);
        let surplus = self.targets.len().saturating_sub(TARGETS_MAX);
        if surplus > 0 {
            let mut times: Vec<u64> = self.targets.values().map(|seen| seen.at_ms).collect();
            let (_, newest_forgotten, _) = times.select_nth_unstable(surplus - 1);
            let newest_forgotten = *newest_forgotten;
            self.targets.retain(|_, seen| seen.at_ms > newest_forgotten);
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
    fn targets_long_unseen_are_forgotten() {
        let mut progress = Progress::default();
        progress.put(target(1), 0);
        progress.put(target(2), 1_000);
        progress.forget_old(UNSEEN_MS_MAX + 1);
        assert_eq!(progress.all(), [target(2)]);
    }

    #[test]
    fn of_too_many_targets_the_newest_are_kept() {
        let mut progress = Progress::default();
        for n in 0..TARGETS_MAX + 10 {
            progress.put(target(n), n as u64);
        }
        progress.forget_old(0);
        assert_eq!(progress.all().len(), TARGETS_MAX);
        assert!(!progress.all().contains(&target(9)));
    }
}
