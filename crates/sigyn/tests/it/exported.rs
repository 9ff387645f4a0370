//! All spans of a store that a tracer left behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::program::command;

/// Hands each line of the export to `each`: lists of spans in Zipkin's JSON.
fn read(folder: &Path, mut each: impl FnMut(&str)) {
    let mut command = command();
    command.args(["store", "export", "-"]).current_dir(folder);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        each(&line);
        line.clear();
    }
    assert!(child.wait().unwrap().success());
}

/// How often each span is there, by its id, of those with ids from 0 to `last`.
pub(crate) fn times(folder: &Path, last: u64) -> Vec<u8> {
    const KEY: &str = "\"id\":\"";
    let mut times = vec![0_u8; usize::try_from(last).unwrap() + 1];
    read(folder, |line| {
        for (at, _) in line.match_indices(KEY) {
            let hex = &line[at + KEY.len()..][..16];
            let id = usize::from_str_radix(hex, 16).unwrap();
            times[id] = times[id].saturating_add(1);
        }
    });
    times
}

/// Every span as it is written, in an order that says nothing.
pub(crate) fn spans(folder: &Path) -> Vec<String> {
    let mut spans = Vec::new();
    read(folder, |line| {
        let list: Value = serde_json::from_str(line).unwrap();
        spans.extend(list.as_array().unwrap().iter().map(Value::to_string));
    });
    spans.sort_unstable();
    spans
}
