//! Scrapes that are about another epoch of the directory than the own one: `docs/formats/pull-protocol.md`, "Spools".

use std::time::Duration;

use sigyn_model::pull::Cursor;

use super::bell::Bell;
use super::foreign::Foreign;
use super::{Own, Spool};
use crate::ring::Page;

/// How long an answer waits for a sibling to seal. One that is stopped keeps nobody for longer.
const SEAL_WAIT: Duration = Duration::from_millis(250);
const SEAL_LOOK: Duration = Duration::from_millis(2);

/// What another epoch answers.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) page: Page,
    pub(crate) epoch: u64,
    pub(crate) own: Own,
}

/// What a cursor of another epoch means here.
#[derive(Debug)]
pub(crate) enum Turned {
    /// It is answered.
    Told(Box<Told>),
    /// The epoch is over, and this is its end: the answer is about the own one.
    Ended(Cursor),
    /// Nothing: nobody knows that epoch.
    Unknown,
}

impl Spool {
    /// Answers a cursor of another epoch. That of a process that lives only to scrapers that follow siblings: others would
    /// never get to see the own one.
    pub(crate) async fn turn(
        &self,
        cursor: Cursor,
        scraper: Option<&str>,
        follows: bool,
    ) -> Turned {
        let Some(mut foreign) = self.foreign(cursor.epoch) else { return Turned::Unknown };
        if !foreign.is_orphan {
            if !follows {
                return Turned::Unknown;
            }
            foreign = self.sealed(foreign).await;
        }
        let (start, newest) = (cursor.seq.max(1), foreign.newest());
        if start > newest + 1 {
            return Turned::Unknown;
        }
        if let Some(scraper) = scraper {
            foreign.acknowledge(scraper, start);
        }
        if foreign.is_orphan && start > newest {
            return Turned::Ended(Cursor { epoch: cursor.epoch, seq: start });
        }
        let (page, own) = (foreign.page(start), foreign.own());
        Turned::Told(Box::new(Told { page, epoch: foreign.epoch(), own }))
    }

    /// The same file once its process has sealed what waits.
    async fn sealed(&self, foreign: Foreign) -> Foreign {
        let (epoch, before) = (foreign.epoch(), foreign.answered());
        Bell::ring_at(&self.directory, epoch);
        let answered = async {
            while foreign.answered() == before && !foreign.is_gone() {
                tokio::time::sleep(SEAL_LOOK).await;
            }
        };
        let _ = tokio::time::timeout(SEAL_WAIT, answered).await;
        // It may have ended meanwhile.
        self.foreign(epoch).unwrap_or(foreign)
    }

    /// Where a scraper that follows them goes on in each epoch. What nobody needs any more is deleted by the way.
    pub(crate) fn siblings(&self, scraper: &str) -> Vec<Cursor> {
        let own = Cursor { epoch: self.header.epoch, seq: self.next_for(scraper) };
        let mut siblings = vec![own];
        for epoch in self.directory.epochs() {
            let Some(foreign) = self.foreign(epoch) else { continue };
            if foreign.is_orphan && self.directory.is_due(epoch, &foreign) {
                drop(foreign);
                self.directory.delete(epoch);
                continue;
            }
            siblings.extend(foreign.next_for(scraper).map(|seq| Cursor { epoch, seq }));
        }
        siblings.sort_by_key(|cursor| cursor.epoch);
        siblings
    }
}
