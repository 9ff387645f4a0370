//! Many traces whole, as many at a time as there is room for.

use sigyn_model::Span;

use crate::block::QueryFailed;
use crate::facts::{Strictness, TraceKey};
use crate::query::{Bounds, READ_TRACES_MAX};
use crate::view::Parts;

/// What is held of many traces at a time; one that is larger is read alone.
pub(crate) const READ_BYTES_MAX: u64 = if cfg!(test) { 8_000 } else { 64 << 20 };

impl Parts {
    /// Calls `each` with all spans of each of these groups of traces, from every part; with nothing for one
    /// that is larger than an answer may be.
    pub(crate) fn each_group(
        &self,
        groups: &[TraceKey],
        strictness: Strictness,
        bounds: Bounds<'_>,
        each: &mut dyn FnMut(TraceKey, Option<Vec<Span>>) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        for groups in groups.chunks(READ_TRACES_MAX) {
            self.halve(groups, strictness, bounds, each)?;
        }
        Ok(())
    }

    fn halve(
        &self,
        groups: &[TraceKey],
        strictness: Strictness,
        bounds: Bounds<'_>,
        each: &mut dyn FnMut(TraceKey, Option<Vec<Span>>) -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        // As many as may ask at once find room for that.
        let together = Bounds { bytes_max: (bounds.bytes_max / 4).min(READ_BYTES_MAX), ..bounds };
        let mut read = self.read(groups, strictness, together);
        if let Err(QueryFailed::TooLarge { .. } | QueryFailed::NoRoom) = read {
            if groups.len() > 1 {
                let (first, second) = groups.split_at(groups.len() / 2);
                self.halve(first, strictness, bounds, each)?;
                return self.halve(second, strictness, bounds, each);
            }
            read = self.read(groups, strictness, bounds);
        }
        let mut spans = match read {
            Err(QueryFailed::TooLarge { .. }) => {
                return groups.iter().try_for_each(|group| each(*group, None));
            }
            read => read?,
        };
        for group in groups {
            bounds.stop.check()?;
            each(*group, Some(spans.remove(group).unwrap_or_default()))?;
        }
        Ok(())
    }
}
