//! Columns that wait to be filled again: allocated, and with the words of before.

use std::sync::{Arc, Mutex, PoisonError};

use crate::codec::Limits;

use super::Columns;

/// So many are kept, those that are in use included: as many as are filled and taken over at the same
/// time where all goes well. Each knows most words that there are.
const SPARES_MAX: usize = 8;

/// What all of them take together, unless it is told otherwise.
const BYTES_MAX: usize = 32 << 20;

/// A stock of [`Columns`] for all who read spans and all who take them over. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spares(Arc<Stock>);

#[derive(Debug)]
struct Stock {
    /// What each of them may take while it waits.
    bytes_max: usize,
    /// The one that came last goes first: it is the one that a processor remembers.
    #[expect(clippy::vec_box, reason = "they come and go in their boxes")]
    waiting: Mutex<Vec<Box<Columns>>>,
    tickets: Ticket,
}

/// Who has one comes back.
pub(super) type Ticket = Arc<()>;

impl Default for Spares {
    fn default() -> Self {
        Self::within(BYTES_MAX)
    }
}

impl Spares {
    /// A stock that takes no more memory than this.
    pub fn within(bytes: usize) -> Self {
        let bytes_max = bytes / SPARES_MAX;
        Self(Arc::new(Stock { bytes_max, waiting: Mutex::default(), tickets: Ticket::default() }))
    }

    /// Columns without spans, which take no more memory than this from a reader.
    pub fn take(&self, limits: Limits) -> Box<Columns> {
        let Stock { waiting, tickets, .. } = &*self.0;
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut columns) = waiting.pop() {
            columns.limits = limits;
            return columns;
        }
        let is_one_of_few = Arc::strong_count(tickets) <= SPARES_MAX;
        let ticket = is_one_of_few.then(|| tickets.clone());
        drop(waiting);
        Box::new(Columns { ticket, ..Columns::within(limits) })
    }

    /// Columns that are not needed any more.
    pub fn give_back(&self, mut columns: Box<Columns>) {
        if columns.ticket.is_none() {
            return;
        }
        columns.clear();
        if columns.kept.words + columns.kept.rows <= self.0.bytes_max {
            self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_come_back_however_many_are_taken() {
        let spares = Spares::default();
        for _ in 0..3 {
            let taken: Vec<_> =
                (0..2 * SPARES_MAX).map(|_| spares.take(Limits::default())).collect();
            let known = taken.iter().filter(|columns| columns.ticket.is_some()).count();
            assert_eq!(known, SPARES_MAX);
            // The first gets lost.
            taken.into_iter().skip(1).for_each(|columns| spares.give_back(columns));
            assert_eq!(spares.0.waiting.lock().unwrap().len(), SPARES_MAX - 1);
        }
        let spares = Spares::within(SPARES_MAX * 100_000);
        for (spans, expected) in [(10, 1), (10_000, 0)] {
            let mut columns = spares.take(Limits::default());
            let span =
                crate::Span::new(crate::TraceId::new(1).unwrap(), crate::SpanId::from_raw(1));
            (0..spans).for_each(|_| _ = columns.push(&span));
            spares.give_back(columns);
            assert_eq!(spares.0.waiting.lock().unwrap().len(), expected);
        }
    }
}
