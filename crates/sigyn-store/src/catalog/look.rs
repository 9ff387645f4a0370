//! Whether all files of a catalog are what was written: also those that are read only where others are damaged.

use std::io;

use super::change::{Commit, State};
use super::file::{Kind, number_of, path};
use super::{CHECKPOINT_EVERY, CatalogError, DIR, DamagedFile, read};
use crate::damage::{Damage, sentence};
use crate::disk::Disk;

/// So many of what stood one after the other are named: a name alone may make it look like very many.
const NAMED_MAX: usize = 100;

/// Reads them all; returns what is wrong with them, and which are missing as far as the others tell.
pub(crate) fn look(disk: &Disk, instance: u64) -> io::Result<Vec<Damage>> {
    let (mut commits, mut checkpoints, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for (name, _) in disk.list(DIR)? {
        let Some((kind, number)) = number_of(&name) else { continue };
        let outcome = match kind {
            Kind::Commit => {
                commits.push(number);
                read(disk, kind, instance, number, Commit::decode).map(drop)
            }
            Kind::Checkpoint => {
                checkpoints.push(number);
                read(disk, kind, instance, number, State::decode).map(drop)
            }
        };
        if let Err(error) = outcome {
            let cause = match error {
                CatalogError::Damaged { source, .. } => sentence(&source),
                other => sentence(&other),
            };
            found.push(Damage { file: path(kind, number), cause });
        }
    }
    let missing = missing(&commits, &checkpoints).into_iter();
    found.extend(missing.map(|(kind, number)| Damage {
        file: path(kind, number),
        cause: sentence(&DamagedFile::Missing),
    }));
    Ok(found)
}

/// What should be there beside these, both in order. A checkpoint without the commit of its number is what all
/// begins with: the one before the last, for what is older is removed; or one that was made because files
/// before it were damaged.
fn missing(commits: &[u64], checkpoints: &[u64]) -> Vec<(Kind, u64)> {
    let mut missing = Vec::new();
    let is_base = |at: &usize| {
        let number = checkpoints[*at];
        // One that was due has a commit, or had.
        let is_due = *at > 0 && number - checkpoints[at - 1] == CHECKPOINT_EVERY;
        !is_due && commits.binary_search(&number).is_err()
    };
    let base = (0..checkpoints.len()).rev().find(is_base);
    let base = match (base, commits.first()) {
        (Some(at), _) => checkpoints[at],
        (None, Some(first)) => {
            let before = first.saturating_sub(1);
            missing.push((Kind::Checkpoint, before));
            before
        }
        (None, None) => return missing,
    };
    let newest = commits.iter().chain(checkpoints).copied().max().unwrap_or_default();
    let mut next = base.saturating_add(1);
    for number in commits.iter().copied().filter(|number| *number > base) {
        missing.extend((next..number).take(NAMED_MAX).map(|number| (Kind::Commit, number)));
        next = number.saturating_add(1);
    }
    // A checkpoint tells of the last ones.
    let last = checkpoints.last().copied().unwrap_or_default().saturating_add(1);
    missing.extend((next..last).take(NAMED_MAX).map(|number| (Kind::Commit, number)));
    // It is made with a commit, or else with the next one.
    let last = checkpoints.last().copied().unwrap_or(base).max(base);
    if newest - last > CHECKPOINT_EVERY {
        missing.push((Kind::Checkpoint, last + CHECKPOINT_EVERY));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        commits: impl IntoIterator<Item = u64>,
        checkpoints: &[u64],
        expected: &[(Kind, u64)],
    ) {
        let commits: Vec<u64> = commits.into_iter().collect();
        assert_eq!(missing(&commits, checkpoints), expected, "{commits:?}, {checkpoints:?}");
    }

    #[test]
    fn what_is_missing_is_told_by_what_is_there() {
        let (commit, checkpoint) = (Kind::Commit, Kind::Checkpoint);
        check([], &[0], &[]);
        check(1..=64, &[0], &[]);
        check(1..=70, &[0, 64], &[]);
        check(65..=130, &[64, 128], &[]);
        // After a crash between a commit and its checkpoint.
        check(1..=66, &[0, 65], &[]);
        // Made because files before it were damaged, of which commit 71 and checkpoint 64 are gone.
        check(1..=70, &[0, 72], &[]);
        check((1..=70).chain(73..=80), &[0, 72], &[]);
        check([], &[9], &[]);

        check(2..=9, &[0], &[(commit, 1)]);
        check((1..=5).chain(8..=9), &[0], &[(commit, 6), (commit, 7)]);
        check((1..=63).chain(65..=70), &[0, 64], &[(commit, 64)]);
        check(1..=70, &[0], &[(checkpoint, 64)]);
        check(1..=70, &[64], &[(checkpoint, 0)]);
        check(65..=130, &[128], &[(checkpoint, 64)]);
        check(65..=130, &[64], &[(checkpoint, 128)]);
        check(66..=130, &[64, 128], &[(commit, 65)]);
        check(1..=63, &[0, 64], &[(commit, 64)]);
        let gap: Vec<(Kind, u64)> = (1..101).map(|number| (commit, number)).collect();
        check([u64::MAX], &[0], &[&gap[..], &[(checkpoint, 64)]].concat());
    }
}
