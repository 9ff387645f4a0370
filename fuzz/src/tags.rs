//! Keys that stand once.

use sigyn_model::{Tags, Value};

/// A key stands where it stood first, with the value that came last.
pub(crate) fn last_of_each(tags: Vec<(String, Value)>) -> Tags {
    let mut out: Tags = Vec::new();
    for (key, value) in tags {
        match out.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => out.push((key, value)),
        }
    }
    out
}
