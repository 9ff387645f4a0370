//! Deleting traces while no server runs.

use std::path::Path;

use anyhow::Context as _;
use sigyn_model::TraceId;

use super::{online, print};
use crate::Failure;

pub(super) fn run(path: &Path, ids: &[String]) -> Result<(), Failure> {
    let parse = |id: &String| TraceId::parse(id).with_context(|| format!("{id:?} is no trace id"));
    let ids: Vec<TraceId> =
        ids.iter().map(parse).collect::<Result<_, _>>().map_err(Failure::usage)?;
    let store = online(path)?;
    let deleted = store.delete_traces(&ids)?;
    // Now, for nobody does it later.
    store.compact();
    store.close()?;
    print(&format!("{deleted} of {} traces were there and are deleted\n", ids.len()))
}
