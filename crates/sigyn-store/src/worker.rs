//! The thread that seals and retires.

use std::sync::mpsc::{Receiver, SyncSender};

use crate::catalog::Catalog;
use crate::shared::Shared;
use crate::store::SealError;

/// Callers that wait for a seal; more wait for their turn to ask.
pub(crate) const EVENTS_MAX: usize = 16;

#[derive(Debug)]
pub(crate) enum Event {
    Seal(SyncSender<Result<(), SealError>>),
}

pub(crate) fn run(events: &Receiver<Event>, _catalog: Catalog, _shared: &Shared) {
    while let Ok(Event::Seal(done)) = events.recv() {
        let _ = done.send(Ok(()));
    }
}
