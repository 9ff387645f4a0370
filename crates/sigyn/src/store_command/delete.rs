//! Deleting traces while no server runs.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use sigyn_model::TraceId;

use super::{counted, offline, online};
use crate::Failure;
use crate::stdout::print;

pub(super) fn run(path: &Path, ids: &[String]) -> Result<(), Failure> {
    let parse = |id: &String| TraceId::parse(id).with_context(|| format!("{id:?} is no trace id"));
    let ids: Vec<TraceId> =
        ids.iter().map(parse).collect::<Result<_, _>>().map_err(Failure::usage)?;
    // Whether anything is to be done is looked at first: nobody should find a store changed by nothing.
    let there = offline(path)?;
    let is_none_there = ids.iter().all(|id| there.has(*id) == Some(false));
    drop(there);
    if is_none_there {
        return Err(none(ids.len()));
    }
    let store = online(path)?;
    let deleted = store.delete_traces(&ids)?;
    let unreadable = store.unreadable_blocks();
    // Now, for nobody does it later.
    store.compact();
    store.close()?;
    if deleted == 0 && unreadable > 0 {
        let blocks = counted(unreadable, "block", "blocks");
        return print(&format!(
            "none that can be read; noted, for {blocks} that cannot be read now\n"
        ));
    }
    if deleted == 0 {
        return Err(none(ids.len()));
    }
    print(&format!("{deleted} of {} traces were there and are deleted\n", ids.len()))
}

fn none(ids: usize) -> Failure {
    let traces = counted(ids as u64, "trace", "traces");
    Failure::work(anyhow!("nothing was deleted: 0 of {traces} were there"))
}
