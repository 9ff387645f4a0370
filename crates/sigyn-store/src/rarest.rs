//! Values that so few traces have that these are all looked at, and no others.

use std::collections::HashSet;

use crate::block::QueryFailed;
use crate::block::index::LookedUp;
use crate::block::values::Where;
use crate::facts::{Strictness, TraceKey};
use crate::query::each_trace;
use crate::stop::Stop;
use crate::view::Parts;
use crate::wanted::Wanted;

/// More parts of traces in blocks are not few.
const PARTS_MAX: usize = 4_096;
/// Looking for the parts in a page of rows is as much work as looking at so many.
const PAGE_PARTS: usize = 16;

impl Parts {
    /// If one of the values that are wanted is rare: all groups of traces of which some part has it.
    pub(crate) fn with_rarest(
        &self,
        wanted: &Wanted,
        looked_up: &[LookedUp<'_>],
        strictness: Strictness,
        stop: &Stop,
    ) -> Result<Option<HashSet<TraceKey>>, QueryFailed> {
        let Some(sought) = rarest(wanted, looked_up) else { return Ok(None) };
        let Some(value) = wanted.sought.get(sought) else { return Ok(None) };
        let mut groups: HashSet<TraceKey> = HashSet::new();
        for looked_up in looked_up {
            stop.check()?;
            let parts = looked_up.parts_with(sought, stop)?;
            groups.extend(parts.into_iter().map(|key| strictness.group(key)));
        }
        for head in &self.heads {
            each_trace(head, stop, |key, trace| {
                if trace.rows().any(|row| value.is_in(&row)) {
                    groups.insert(strictness.group(key));
                }
            })?;
        }
        Ok(Some(groups))
    }
}

/// Whether one of the values that are wanted is rare.
pub(crate) fn has_rarest(wanted: &Wanted, looked_up: &[LookedUp<'_>]) -> bool {
    rarest(wanted, looked_up).is_some()
}

/// The value that fewest parts of traces have, as far as blocks tell, if these are few.
fn rarest(wanted: &Wanted, looked_up: &[LookedUp<'_>]) -> Option<usize> {
    let parts = |sought: usize| -> Option<usize> {
        looked_up.iter().try_fold(0usize, |sum, looked_up| {
            Some(sum.saturating_add(match looked_up.places().get(sought)? {
                Where::Anywhere => return None,
                Where::Entries(entries) => entries.len(),
                Where::Pages(pages) => pages.len() * PAGE_PARTS,
            }))
        })
    };
    let values = (0..wanted.sought.len()).filter_map(|sought| Some((parts(sought)?, sought)));
    values.min().filter(|(parts, _)| *parts <= PARTS_MAX).map(|(_, sought)| sought)
}
