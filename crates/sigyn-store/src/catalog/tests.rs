//! The catalog on a disk that fails, against the changes it was told.

use std::io;

use super::change::tests::random_change;
use super::*;
use crate::disk::faulty::FaultyDisk;

const INSTANCE: u64 = 7;

fn disk() -> (FaultyDisk, Disk) {
    let faulty = FaultyDisk::default();
    let disk = Disk::Faulty(faulty.clone());
    disk.create_dir(DIR).unwrap();
    (faulty, disk)
}

fn names(disk: &Disk) -> Vec<String> {
    disk.list(DIR).unwrap().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_catalog_is_after_every_commit_what_it_was_told() {
    let (_, disk) = disk();
    let mut random = fastrand::Rng::with_seed(3);
    let mut catalog = Catalog::create(&disk, INSTANCE).unwrap();
    for n in 1..=CHECKPOINT_EVERY * 4 + 3 {
        let change = random_change(&mut random, catalog.state());
        catalog.commit(change).unwrap();
        let opened = Catalog::open(&disk, INSTANCE).unwrap();
        assert_eq!(opened.state(), catalog.state(), "commit {n}");
        assert_eq!(opened.next_number(), n + 1);
        if random.u8(0..10) == 0 {
            catalog = opened;
        }
        // Two checkpoints, and what came after the first of them.
        assert!(names(&disk).len() as u64 <= 2 * CHECKPOINT_EVERY + 2, "commit {n}");
    }
    let checkpoints = names(&disk).iter().filter(|name| name.ends_with("checkpoint")).count();
    assert_eq!((checkpoints, names(&disk).len() as u64), (2, 2 + CHECKPOINT_EVERY + 3));
}

#[test]
fn a_crash_at_any_step_leaves_the_old_or_the_new() {
    for crash_at in 0..600 {
        let (faulty, disk) = disk();
        let mut random = fastrand::Rng::with_seed(crash_at);
        let mut catalog = Catalog::create(&disk, INSTANCE).unwrap();
        faulty.crash_after(crash_at);
        let (before, after) = loop {
            let change = random_change(&mut random, catalog.state());
            let before = catalog.state().clone();
            let mut after = before.clone();
            after.apply(change.clone());
            if catalog.commit(change).is_err() {
                break (before, after);
            }
        };
        faulty.restart(&mut random);
        let opened = Catalog::open(&disk, INSTANCE).unwrap();
        assert!([&before, &after].contains(&opened.state()), "crash at {crash_at}");
        assert!(names(&disk).iter().all(|name| !name.ends_with(TEMPORARY)));
    }
}

#[test]
fn a_full_disk_changes_nothing_and_when_there_is_room_the_commit_goes_through() {
    let (faulty, disk) = disk();
    let mut random = fastrand::Rng::with_seed(5);
    let mut catalog = Catalog::create(&disk, INSTANCE).unwrap();
    let change = random_change(&mut random, catalog.state());
    faulty.limit(Some(faulty.used() + 10));
    let error = catalog.commit(change.clone()).unwrap_err();
    assert!(matches!(error, CommitError::Unchanged(_)), "{error:?}");
    assert_eq!(Catalog::open(&disk, INSTANCE).unwrap().state(), &State::default());
    faulty.limit(None);
    catalog.commit(change).unwrap();
    assert_eq!(Catalog::open(&disk, INSTANCE).unwrap().state(), catalog.state());
}

#[test]
fn two_writers_do_not_both_win() {
    let (_, disk) = disk();
    let mut first = Catalog::create(&disk, INSTANCE).unwrap();
    let mut second = Catalog::open(&disk, INSTANCE).unwrap();
    let change = |seq| Change { sealed_through: seq, ..Change::default() };
    first.commit(change(1)).unwrap();
    let error = second.commit(change(2)).unwrap_err();
    assert!(matches!(error, CommitError::Taken) && error.is_final());
    assert_eq!(Catalog::open(&disk, INSTANCE).unwrap().state().sealed_through, 1);
}

#[test]
fn a_writer_that_finds_its_own_commit_has_won() {
    let (faulty, disk) = disk();
    let mut catalog = Catalog::create(&disk, INSTANCE).unwrap();
    // As over a network whose answer is lost: done, and asked again.
    faulty.link_twice();
    catalog.commit(Change { sealed_through: 1, ..Change::default() }).unwrap();
    assert_eq!(Catalog::open(&disk, INSTANCE).unwrap().state().sealed_through, 1);
}

#[test]
fn what_became_of_a_commit_whose_sync_failed_is_unknown() {
    let (faulty, disk) = disk();
    let mut catalog = Catalog::create(&disk, INSTANCE).unwrap();
    // Create, write, sync, link, remove; then the directory.
    faulty.crash_after(5);
    let error = catalog.commit(Change { sealed_through: 1, ..Change::default() }).unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)) && error.is_final(), "{error:?}");
    assert_eq!(io::Error::from(error).to_string(), "the machine is off");
}

#[test]
fn a_catalog_of_another_store_is_refused() {
    let (_, disk) = disk();
    Catalog::create(&disk, INSTANCE).unwrap();
    let error = Catalog::open(&disk, INSTANCE + 1).unwrap_err().to_string();
    assert_eq!(error, "it belongs to another store");
}
