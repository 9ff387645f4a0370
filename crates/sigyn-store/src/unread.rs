//! A log of which a start reads no more than memory takes, for no blocks can be made of it. It is read on once they can.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::damage::sentence;
use crate::error::SealError;
use crate::recovery::replay::{Replay, Unsealable};
use crate::shared::Shared;

/// Frames that are neither in a block nor in memory. Until they are read nothing is written behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// The last frame before them.
    pub(crate) after: u64,
    /// The last of them.
    pub(crate) through: u64,
    /// Whether frames before them could not be read since some had spans again.
    pub(crate) is_any_lost: bool,
}

impl Unread {
    pub(crate) fn frames(&self) -> u64 {
        self.through.saturating_sub(self.after)
    }

    /// Why no spans are taken.
    pub(crate) fn refusal(&self, cause: Option<&str>) -> Arc<str> {
        let cause = cause.unwrap_or("they are being made");
        format!(
            "of the log that was there {} frames wait until blocks can be made, for memory takes no more: {cause}",
            self.frames()
        )
        .into()
    }
}

/// Makes blocks of all that is unread, once all before it is in blocks. What could not be done stays so.
pub(crate) fn read_on(shared: &Shared, catalog: &mut Catalog) -> Result<(), SealError> {
    let Some(unread) = shared.unread() else { return Ok(()) };
    let mut replay = Replay::to_read_on(shared, catalog, unread.is_any_lost);
    let read = replay.read_on();
    let Replay { unsealable, is_any_lost, is_catalog_unknown, .. } = replay;
    let Unsealable { cause, is_full } = match (read, unsealable) {
        (Ok(()), None) => {
            shared.note_unread(None);
            tracing::info!(frames = unread.frames(), "read what was left of the log");
            return Ok(());
        }
        (Ok(()), Some(unsealable)) => unsealable,
        (Err(error), _) => Unsealable { cause: sentence(&error).into(), is_full: false },
    };
    if is_catalog_unknown {
        shared.queue.poison(cause.clone());
    }
    let after = catalog.state().sealed_through;
    shared.note_unread(Some(Unread { after, is_any_lost, ..unread }));
    Err(SealError::Failed { cause, is_full })
}
