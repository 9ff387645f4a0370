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

fn open(disk: &Disk) -> Catalog {
    let Opened { catalog, damaged, is_torn, .. } = Catalog::open(disk, INSTANCE).unwrap();
    assert!(damaged.is_empty() && !is_torn, "{damaged:?}");
    catalog
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
        let opened = open(&disk);
        assert_eq!(opened.state(), catalog.state(), "commit {n}");
        assert_eq!(opened.next_number(), n + 1);
        if random.u8(0..10) == 0 {
            catalog = opened;
        }
        assert_eq!(look::look(&disk, INSTANCE).unwrap(), [], "commit {n}");
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
        let opened = open(&disk);
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
    assert_eq!(open(&disk).state(), &State::default());
    faulty.limit(None);
    catalog.commit(change).unwrap();
    assert_eq!(open(&disk).state(), catalog.state());
}

#[test]
fn two_writers_do_not_both_win() {
    let (_, disk) = disk();
    let mut first = Catalog::create(&disk, INSTANCE).unwrap();
    let mut second = open(&disk);
    let change = |seq| Change { sealed_through: seq, ..Change::default() };
    first.commit(change(1)).unwrap();
    let error = second.commit(change(2)).unwrap_err();
    assert!(matches!(error, CommitError::Taken) && error.is_final());
    assert_eq!(open(&disk).state().sealed_through, 1);
}

#[test]
fn a_writer_that_finds_its_own_commit_has_won() {
    let (faulty, disk) = disk();
    let mut catalog = Catalog::create(&disk, INSTANCE).unwrap();
    // As over a network whose answer is lost: done, and asked again.
    faulty.link_twice();
    catalog.commit(Change { sealed_through: 1, ..Change::default() }).unwrap();
    assert_eq!(open(&disk).state().sealed_through, 1);
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

#[test]
fn what_is_damaged_is_told_and_nothing_else_is_lost() {
    let mut random = fastrand::Rng::with_seed(6);
    let (faulty, disk) = disk();
    let mut catalog = Catalog::create(&disk, INSTANCE).unwrap();
    let mut states = vec![catalog.state().clone()];
    for _ in 0..CHECKPOINT_EVERY * 2 + 5 {
        let change = random_change(&mut random, catalog.state());
        catalog.commit(change).unwrap();
        states.push(catalog.state().clone());
    }
    let newest = states.last().unwrap();
    for name in names(&disk) {
        let path = format!("{DIR}/{name}");
        let (kind, number) = file::number_of(&name).unwrap();
        let good = faulty.read(&path).unwrap();
        faulty.corrupt(&path, |bytes| bytes[random.usize(..good.len())] ^= 1);
        let opened = Catalog::open(&disk, INSTANCE).unwrap();
        let is_told = opened.damaged.iter().any(|(damaged, _)| *damaged == path);
        // Of commits nothing else knows; a checkpoint only sums them up.
        let is_torn = kind == Kind::Commit && number > CHECKPOINT_EVERY * 2;
        assert_eq!(opened.is_torn, is_torn, "{path}");
        let is_newest = kind == Kind::Checkpoint && number == CHECKPOINT_EVERY * 2;
        assert_eq!(is_told, is_torn || is_newest, "{path}");
        if !opened.is_torn {
            assert_eq!(opened.catalog.state(), newest, "{path}");
        } else if number + 1 == states.len() as u64 {
            assert_eq!(opened.catalog.state(), &states[states.len() - 2], "{path}");
        }
        assert_eq!(opened.catalog.next_number(), states.len() as u64, "{path}");
        let told = || -> Vec<String> {
            look::look(&disk, INSTANCE).unwrap().into_iter().map(|one| one.file).collect()
        };
        assert_eq!(told(), [path.as_str()]);
        disk.remove(&path).unwrap();
        // Whether there was one more commit, nobody knows.
        let is_last = number + 1 == states.len() as u64;
        let gone = if is_last { Vec::new() } else { vec![path.clone()] };
        assert_eq!(told(), gone);
        disk.replace(&path, &good).unwrap();
    }
    open(&disk);
    assert_eq!(look::look(&disk, INSTANCE).unwrap(), []);
    // A hole among commits.
    let path = file::path(Kind::Commit, CHECKPOINT_EVERY * 2 + 2);
    disk.remove(&path).unwrap();
    let mut opened = Catalog::open(&disk, INSTANCE).unwrap();
    assert!(opened.is_torn && opened.damaged.len() == 1, "{:?}", opened.damaged);
    // Once it is settled nothing is missing any more.
    opened.catalog.settle().unwrap();
    opened.catalog.commit(Change { sealed_through: 1_000, ..Change::default() }).unwrap();
    assert_eq!(open(&disk).state(), opened.catalog.state());
    assert_eq!(look::look(&disk, INSTANCE).unwrap(), []);
}

#[test]
fn without_any_checkpoint_commits_say_it_all_if_all_are_there() {
    let mut random = fastrand::Rng::with_seed(7);
    for is_missing in [false, true] {
        for commits in [0, 3, CHECKPOINT_EVERY + 3, CHECKPOINT_EVERY * 2 + 3] {
            let (faulty, disk) = disk();
            let mut catalog = Catalog::create(&disk, INSTANCE).unwrap();
            for _ in 0..commits {
                let change = random_change(&mut random, catalog.state());
                catalog.commit(change).unwrap();
            }
            for name in names(&disk).iter().filter(|name| name.ends_with("checkpoint")) {
                let path = format!("{DIR}/{name}");
                match is_missing {
                    true => disk.remove(&path).unwrap(),
                    false => faulty.corrupt(&path, |bytes| bytes.truncate(20)),
                }
            }
            let mut opened = Catalog::open(&disk, INSTANCE).unwrap();
            let is_lost = commits > CHECKPOINT_EVERY * 2 || (is_missing && commits == 0);
            assert!(opened.is_without_checkpoint && !opened.damaged.is_empty());
            assert_eq!((opened.is_torn, opened.catalog.number), (is_lost, commits));
            if !is_lost || commits == 0 {
                assert_eq!(opened.catalog.state(), catalog.state());
            }
            opened.catalog.settle().unwrap();
            let change = random_change(&mut random, opened.catalog.state());
            opened.catalog.commit(change).unwrap();
            assert_eq!(open(&disk).state(), opened.catalog.state());
        }
    }
}
