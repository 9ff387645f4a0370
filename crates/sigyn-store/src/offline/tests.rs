//! A store of which traces were deleted, and whose files are damaged one by one.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

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
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v4/store");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    copy(&fixture, &path);
    (dir, path)
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
