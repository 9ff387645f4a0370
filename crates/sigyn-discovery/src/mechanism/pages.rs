//! Walking through an answer that comes in pages: never in circles, and not for ever.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use url::Url;

use super::ask::{ANSWER_BYTES_MAX, AskError, Asker, from_json};

/// No list of targets takes more.
const PAGES_MAX: usize = 1000;
/// All pages together may be larger than one answer, as what is made of each is smaller.
const PAGES_BYTES_MAX: usize = 4 * ANSWER_BYTES_MAX;

/// The pages that were asked for, each by what asks for it: a number, or a word of the server's.
#[derive(Debug)]
pub(super) struct Pages<T> {
    turned: BTreeSet<T>,
    bytes: usize,
}

/// Why there is no list of all that there is.
#[derive(Debug, thiserror::Error)]
pub(super) enum PagesError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the pages of the answer go round in a circle")]
    Circle,
    #[error("the answer has more than {} pages", PAGES_MAX)]
    TooMany,
    #[error("the pages of the answer are larger than {} bytes", PAGES_BYTES_MAX)]
    TooLarge,
}

impl<T: Ord> Pages<T> {
    /// Before the first one, which need not be asked for in a way of its own.
    pub(super) fn new() -> Self {
        Self { turned: BTreeSet::new(), bytes: 0 }
    }

    /// Whether the page that this asks for may be asked for.
    pub(super) fn turn(&mut self, to: T) -> Result<(), PagesError> {
        if !self.turned.insert(to) {
            return Err(PagesError::Circle);
        }
        if self.turned.len() > PAGES_MAX { Err(PagesError::TooMany) } else { Ok(()) }
    }

    /// Counts a page that was read.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), PagesError> {
        self.bytes += bytes;
        if self.bytes > PAGES_BYTES_MAX { Err(PagesError::TooLarge) } else { Ok(()) }
    }

    /// Reads a page in JSON, which only `of` answers like this.
    #[cfg_attr(
        not(any(feature = "digitalocean", feature = "hetzner", feature = "linode")),
        expect(dead_code, reason = "the others answer with other things")
    )]
    pub(super) async fn json<A: DeserializeOwned>(
        &mut self,
        asker: &Asker,
        url: &Url,
        of: &'static str,
    ) -> Result<A, PagesError> {
        let (_, body) = asker.get(url).await?;
        self.count(body.len())?;
        Ok(from_json(&body, of)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end() {
        let mut pages = Pages::new();
        assert!(pages.turn("a").is_ok() && pages.turn("b").is_ok());
        assert!(matches!(pages.turn("a"), Err(PagesError::Circle)));
        let mut pages = Pages::new();
        assert!((0..PAGES_MAX).all(|page| pages.turn(page).is_ok()));
        assert!(matches!(pages.turn(PAGES_MAX), Err(PagesError::TooMany)));
        assert!(pages.count(PAGES_BYTES_MAX).is_ok());
        assert!(matches!(pages.count(1), Err(PagesError::TooLarge)));
    }
}
