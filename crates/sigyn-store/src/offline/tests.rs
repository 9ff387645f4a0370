//! A store of which traces were deleted, and whose files are damaged one by one.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use sigyn_model::Span;
use tempfile::TempDir;

use super::*;
use crate::block::description;

/// One with tombstones, as it lies in the folder of fixtures.
fn stored() -> (TempDir, PathBuf) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to),
                false => drop(fs::copy(entry.path(), to).unwrap()),
            }
        }
    }
    let fixture = Path::new("tests/fixtures/v4/store");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    copy(fixture, &path);
    (dir, path)
}

fn spans(block: &Block) -> Vec<Span> {
    let mut spans = Vec::new();
    block.read_all(&Stop::default(), &mut |span| spans.push(span)).unwrap();
    spans
}

#[test]
fn every_file_of_the_catalog_is_read_also_those_that_nothing_needs_now() {
    let (_dir, path) = stored();
    let cat = path.join(catalog::DIR);
    let files: Vec<PathBuf> =
        fs::read_dir(&cat).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 70);
    let told = || -> Vec<String> {
        let damages = Offline::open(&path).unwrap().verify(|_| ());
        damages.into_iter().map(|one| one.file).collect()
    };
    for (at, file) in files.iter().enumerate() {
        let name = format!("{}/{}", catalog::DIR, file.file_name().unwrap().display());
        let good = fs::read(file).unwrap();
        let mut bad = good.clone();
        bad[at % good.len()] ^= 1;
        fs::write(file, bad).unwrap();
        assert!(told().contains(&name), "{name}");
        fs::write(file, good).unwrap();
    }
    fs::remove_file(cat.join("00000000000000000064.checkpoint")).unwrap();
    assert_eq!(told(), ["cat/00000000000000000064.checkpoint"]);
}

#[test]
fn what_was_deleted_is_in_no_copy_of_a_block() {
    let (dir, path) = stored();
    let to = dir.path().join("copies");
    fs::create_dir_all(to.join(block::DIR)).unwrap();
    let offline = Offline::open(&path).unwrap();
    let mut there: HashSet<TraceId> = HashSet::new();
    offline
        .each_spans(&Stop::default(), |spans| there.extend(spans.iter().map(|one| one.trace_id)))
        .unwrap();
    let tombstones = offline.recovered.catalog.state().tombstones.clone();
    let mut of_tombstones = tombstones.iter().map(|one| one.trace_id);
    assert!(of_tombstones.any(|id| !there.contains(&id)), "one did not come again");
    let (disk, mut made) = (Disk::Real(to.clone()), 0);
    for (summary, entry) in offline.blocks().zip(offline.entries()) {
        let block = Block::open(offline.disk(), entry, &Arc::default()).unwrap();
        let before = spans(&block);
        for id in before.iter().map(|span| span.trace_id) {
            assert_eq!(offline.has(id), Some(there.contains(&id)));
        }
        let is_left = |span: &Span| {
            let mut deleted = tombstones.iter().filter(|one| one.trace_id == span.trace_id);
            !deleted.any(|one| entry.last_seq <= one.through)
        };
        let expected: Vec<Span> = before.iter().filter(|span| is_left(span)).cloned().collect();
        let Some(copied) = offline.copy_undeleted(&summary.file, &to).unwrap() else {
            assert_eq!(before.len(), expected.len(), "{}", summary.file);
            continue;
        };
        made += 1;
        assert!(expected.len() < before.len() && copied.len() == usize::from(!expected.is_empty()));
        for Copied { file, spans: count, .. } in copied {
            assert_eq!(count, expected.len() as u64);
            fs::create_dir_all(to.join(block::DIR)).unwrap();
            disk.rename(&file, &format!("{}/{file}", block::DIR)).unwrap();
            let bytes = fs::metadata(to.join(block::DIR).join(&file)).unwrap().len();
            let copy = description::examine(&disk, &file, bytes, offline.instance_id()).unwrap();
            assert_eq!(spans(&copy), expected);
            fs::remove_file(to.join(block::DIR).join(&file)).unwrap();
        }
    }
    assert!(made > 0);
}
