//! Where the next page of a search begins, as a text that says nothing to its reader.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use sigyn_model::{Timestamp, TraceId, TracePlace};

/// The window of a search, and the last trace of the page before. The window travels along so that
/// all pages are of one search, however late the last of them is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) window_us: (u64, u64),
    pub(super) place: TracePlace,
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoCursor;

/// Changes when what follows does.
const VERSION: &str = "1";

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start_us, end_us) = self.window_us;
        let TracePlace { start, id } = self.place;
        write!(f, "{VERSION}-{start_us:x}-{end_us:x}-{:x}-{id}", start.0.nanos())
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let parts: Vec<&str> = text.split('-').collect();
        let [VERSION, start_us, end_us, nanos, id] = parts[..] else { return Err(NoCursor) };
        let number = |text: &str| u64::from_str_radix(text, 16).map_err(|_| NoCursor);
        let start = Reverse(Timestamp::from_nanos(number(nanos)?));
        let id = TraceId::parse(id).map_err(|_| NoCursor)?;
        Ok(Self {
            window_us: (number(start_us)?, number(end_us)?),
            place: TracePlace { start, id },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        for id in [1, 1 << 100, u128::MAX] {
            let place = TracePlace {
                start: Reverse(Timestamp::from_nanos(1_790_000_000_123_456_789)),
                id: TraceId::new(id).unwrap(),
            };
            let cursor = Cursor { window_us: (0, u64::MAX), place };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "1", "2-0-1-2-3", "1-0-1-2-0", "1-0-1-2-3-4", "1-0-x-2-3", "1-0-1-2-zz"] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
    }
}
