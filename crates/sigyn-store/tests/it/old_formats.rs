//! Stores that were written by earlier versions of this program: they open, and answer as they did.
//! `tests/fixtures/README.md` says what is in them, and how the next one is made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sigyn_store::{Offline, Options, Store};

use crate::answers::answers;

/// No stretch of so much time is ever over.
const NEVER: Duration = Duration::from_secs(1 << 40);

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Without the last digits of doubles: how exactly `serde_json` reads them is for the crates to say that are
/// built together with this one.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            Value::String(format!("{:.12e}", number.as_f64().unwrap()))
        }
        Value::Array(values) => values.iter().map(rounded).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), rounded(value))).collect()
        }
        other => other.clone(),
    }
}

/// Compares one kind of answer after the other, so that a difference is seen in little text.
#[track_caller]
fn check_answers(store: &Store, expected: &Value, context: &str) {
    let found = answers(store, expected["end_ms"].as_u64().unwrap());
    for (kind, expected) in expected.as_object().unwrap() {
        assert_eq!(rounded(&found[kind]), rounded(expected), "{kind}, {context}");
    }
    assert_eq!(found.as_object().map(|all| all.len()), expected.as_object().map(|all| all.len()));
    let stats = store.stats();
    assert_eq!(
        (
            stats.unreadable_blocks,
            stats.damaged_spots,
            stats.damaged_files,
            stats.quarantined_files
        ),
        (0, 0, 0, 0),
        "{context}: {:?}",
        stats.damages
    );
}

fn check(fixture: &str) {
    let fixture = Path::new("tests/fixtures").join(fixture);
    let expected = std::fs::read_to_string(fixture.join("answers.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("store");
    copy(&fixture.join("store"), &path);
    let offline = Offline::open(&path).unwrap();
    assert_eq!(offline.verify(|_| ()), []);
    assert_eq!(offline.deleted_traces(), 2);
    drop(offline);
    // However long ago it was written, nothing becomes a block unless it is told to.
    let open = |merge_window| {
        let options = Options { merge_window, seal_after: NEVER, ..Options::new(&path) };
        Store::open(options).unwrap()
    };

    let store = open(NEVER);
    assert!(store.stats().blocks >= 5 && store.stats().head_spans > 0);
    check_answers(&store, &expected, "as it was");
    store.seal().unwrap();
    assert_eq!(store.stats().head_spans, 0);
    check_answers(&store, &expected, "with a block of what was in the log");
    drop(store);

    // What was deleted goes first, so that every old block is read as a whole and written anew.
    let store = open(Duration::from_secs(60));
    store.compact();
    assert!(store.stats().compactions_total >= 1);
    check_answers(&store, &expected, "merged");
    drop(store);
    check_answers(&open(NEVER), &expected, "merged, and opened again");
}

#[test]
fn a_store_of_format_3_answers_as_it_did() {
    check("v3");
}

#[test]
fn a_store_of_format_4_answers_as_it_did() {
    check("v4");
}

#[test]
fn a_store_of_format_5_answers_as_it_did() {
    check("v5");
}
