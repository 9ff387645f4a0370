//! Deleting traces: at once for whoever asks, from the disk soon after.

use sigyn_model::TraceId;

use super::{Sealed, Worker};
use crate::catalog::{Change, Tombstone};
use crate::damage::sentence;
use crate::error::{DeleteError, SealError};
use crate::facts::Strictness;

impl Worker<'_> {
    /// Deletes what is stored of these traces; returns how many of them there were. Durable when it
    /// returns.
    pub(super) fn delete(&mut self, ids: &[TraceId]) -> Result<u64, DeleteError> {
        let failed = |error: SealError| DeleteError::Failed {
            cause: sentence(&error).into(),
            is_full: matches!(error, SealError::Failed { is_full: true, .. }),
        };
        // A block is deleted from as a whole, so what is in memory becomes one first.
        let is_in_head = |id: &TraceId| {
            let heads = self.shared.view.parts().heads;
            heads.iter().any(|head| head.trace((*id).into()).is_some())
        };
        // Of what is not read nobody knows.
        let is_unread = self.shared.unread().is_some() && !ids.is_empty();
        if is_unread || ids.iter().any(is_in_head) {
            self.seal(Sealed::All).map_err(failed)?;
        }
        let state = self.catalog.state();
        let parts = self.shared.view.parts();
        // Of what cannot be read nobody knows.
        let mut is_all_readable = parts.blocks.len() == state.blocks.len();
        let mut there: Vec<TraceId> = Vec::new();
        for id in ids {
            let seen = parts.blocks.iter();
            let mut seen = seen.filter(|block| !parts.buried.hides(block.entry().last_seq, *id));
            let is_there = seen.any(|block| {
                let found = block.group((*id).into(), Strictness::Strict);
                is_all_readable &= found.is_ok();
                found.is_ok_and(|found| !found.is_empty())
            });
            if is_there && !there.contains(id) {
                there.push(*id);
            }
        }
        let bury: Vec<TraceId> = if is_all_readable { there.clone() } else { ids.to_vec() };
        let through = state.sealed_through;
        let tombstone = |trace_id| Tombstone { trace_id, through };
        let change =
            Change { bury: bury.into_iter().map(tombstone).collect(), ..Change::default() };
        if !change.is_idle(state) {
            self.commit(change).map_err(failed)?;
            self.show_buried();
            self.compact_wait_ticks = 0;
        }
        self.shared.counters.deleted_traces.add(there.len() as u64);
        Ok(there.len() as u64)
    }
}
