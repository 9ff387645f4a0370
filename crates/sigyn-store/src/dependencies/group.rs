//! A trace as links see it, and where its parts are.

use super::LENIENT;
use crate::block::QueryFailed;
use crate::block::entry::Entry;
use crate::facts::TraceKey;
use crate::sweep::Stretch;
use crate::twins::Place;
use crate::view::Parts;

/// A trace, of one or more ids whose right halves are equal.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) low: u64,
    /// In blocks, by their places.
    pub(super) parts: Vec<(usize, Entry)>,
    /// Whether heads may have something of it.
    pub(super) may_be_in_heads: bool,
    pub(super) rows: u64,
}

impl Group {
    /// One that a block alone has.
    pub(super) fn alone(part: (usize, Entry)) -> Self {
        let (low, rows) = (part.1.key.low, u64::from(part.1.rows));
        Self { low, parts: vec![part], may_be_in_heads: false, rows }
    }

    /// `None` if nothing of it can be in the stretch. It is looked for where it is known to be, or everywhere.
    pub(super) fn find(
        low: u64,
        places: Option<&[Place]>,
        parts: &Parts,
        stretch: Stretch,
    ) -> Result<Option<Self>, QueryFailed> {
        let group = TraceKey { low, high: 0 };
        let (mut found, mut rows, mut touches) = (Vec::new(), 0, false);
        let mut look = |number: usize| -> Result<(), QueryFailed> {
            for entry in parts.blocks[number].group(group, LENIENT)? {
                touches |= entry.may_touch(stretch.start_ms, stretch.end_ms);
                rows += u64::from(entry.rows);
                found.push((number, entry));
            }
            Ok(())
        };
        match places {
            Some(places) => places.iter().try_for_each(|(_, number)| look(*number as usize))?,
            None => (0..parts.blocks.len()).try_for_each(look)?,
        }
        for head in &parts.heads {
            for (_, trace) in head.group(group, LENIENT) {
                touches |= stretch.touches(&trace.facts());
                rows += u64::from(trace.len());
            }
        }
        Ok(touches.then_some(Self { low, parts: found, may_be_in_heads: true, rows }))
    }
}
