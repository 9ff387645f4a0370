//! Traces that were deleted, and whose spans are still in blocks: nobody sees them any more.

use std::collections::HashMap;

use sigyn_model::TraceId;

use crate::catalog::Tombstone;
use crate::facts::TraceKey;

/// Of each such trace, up to which frame of the log its spans are gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buried(HashMap<TraceKey, u64>);

impl Buried {
    pub(crate) fn new(tombstones: &[Tombstone]) -> Self {
        let keyed = |one: &Tombstone| (TraceKey::from(one.trace_id), one.through);
        Self(tombstones.iter().map(keyed).collect())
    }

    /// Whether a trace's spans in a block are gone. A head is sealed before a trace of it is deleted,
    /// so a block is deleted from as a whole or not at all.
    pub(crate) fn hides(&self, block_last_seq: u64, trace_id: TraceId) -> bool {
        !self.0.is_empty()
            && self.0.get(&trace_id.into()).is_some_and(|through| block_last_seq <= *through)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that others do not have, or not up to so late a frame.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let is_new = |(key, through): &(&TraceKey, &u64)| {
            before.0.get(key).is_none_or(|before| before < through)
        };
        Self(self.0.iter().filter(is_new).map(|(key, through)| (*key, *through)).collect())
    }

    /// All that are gone from a block that ends with this frame.
    pub(crate) fn of(&self, block_last_seq: u64) -> impl Iterator<Item = TraceKey> {
        let gone = self.0.iter().filter(move |(_, through)| block_last_seq <= **through);
        gone.map(|(key, _)| *key)
    }
}
