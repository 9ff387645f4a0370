//! Names and keys that stand in the program's text, as small numbers.
//!
//! A span says the same few names and keys over and over, and nearly all of them are literals. Each is
//! numbered once in the process, whoever records it; a thread remembers the numbers of those it met last
//! by where they lie, so that it need not look at their letters. What is no literal is never numbered
//! and stands in the span itself: numbers cannot run out because of what users send.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

/// The number of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u16);

/// Longer literals stand in the span: they are no names.
const TEXT_BYTES_MAX: usize = 256;
/// Numbers end here; a program has hundreds.
const TEXTS_MAX: usize = u16::MAX as usize;
/// Literals that a thread remembers, a power of two.
const REMEMBERED: usize = 256;

/// `Id` of the tag that marks a failed operation.
pub(crate) const ERROR: Id = Id(1);
const FIRST: [&str; 2] = ["", "error"];

static TEXTS: LazyLock<RwLock<Texts>> = LazyLock::new(|| {
    let mut texts = Texts { all: Vec::new(), ids: HashMap::new() };
    for text in FIRST {
        texts.add(text);
    }
    RwLock::new(texts)
});

thread_local! {
    /// Address, length and number.
    static LATELY: [Cell<(usize, usize, u16)>; REMEMBERED] =
        const { [const { Cell::new((0, 0, 0)) }; REMEMBERED] };
}

#[derive(Debug)]
struct Texts {
    all: Vec<&'static str>,
    ids: HashMap<&'static str, u16>,
}

impl Id {
    /// A literal's number; `None` if it gets none.
    #[inline]
    pub(crate) fn of(text: &'static str) -> Option<Self> {
        let (address, len) = (text.as_ptr() as usize, text.len());
        // Literals lie one behind the other, so the low bits differ.
        let place = (address ^ (address >> 8) ^ len) % REMEMBERED;
        let (known_address, known_len, id) = LATELY.with(|lately| lately[place].get());
        if (known_address, known_len) == (address, len) {
            return Some(Self(id));
        }
        let id = look_up(text)?;
        LATELY.with(|lately| lately[place].set((address, len, id)));
        Some(Self(id))
    }

    pub(crate) fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u16 {
        self.0
    }
}

#[cold]
fn look_up(text: &'static str) -> Option<u16> {
    let known = TEXTS.read().unwrap_or_else(PoisonError::into_inner).ids.get(text).copied();
    known.or_else(|| TEXTS.write().unwrap_or_else(PoisonError::into_inner).add(text))
}

impl Texts {
    fn add(&mut self, text: &'static str) -> Option<u16> {
        if let Some(id) = self.ids.get(text) {
            return Some(*id);
        }
        if text.len() > TEXT_BYTES_MAX || self.all.len() >= TEXTS_MAX {
            return None;
        }
        let id = u16::try_from(self.all.len()).ok()?;
        self.all.push(text);
        self.ids.insert(text, id);
        Some(id)
    }
}

/// All texts with a number at one moment. Whoever reads spans takes it once, and keeps nobody waiting.
#[derive(Clone, Debug)]
pub(crate) struct Glossary(Vec<&'static str>);

impl Glossary {
    pub(crate) fn now() -> Self {
        Self(TEXTS.read().unwrap_or_else(PoisonError::into_inner).all.clone())
    }

    pub(crate) fn text(&self, id: Id) -> &'static str {
        self.0.get(usize::from(id.0)).copied().unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_number_wherever_it_lies() {
        let elsewhere: &'static str = Box::leak(Box::<str>::from("http.method"));
        assert_eq!(Id::of("http.method"), Id::of(elsewhere));
        assert_eq!(Id::of("error"), Some(ERROR));
        assert_eq!(Id::of("").map(Id::raw), Some(0));
        let id = Id::of("http.method").unwrap();
        assert_eq!(Glossary::now().text(id), "http.method");
    }

    #[test]
    fn two_literals_of_one_address_are_told_apart() {
        let long: &'static str = "http.route";
        let short: &'static str = &long[..4];
        for _ in 0..2 {
            let ids = [long, short].map(|text| Id::of(text).unwrap());
            let texts = ids.map(|id| Glossary::now().text(id));
            assert_eq!(texts, ["http.route", "http"]);
        }
    }

    #[test]
    fn what_is_too_long_for_a_name_has_no_number() {
        assert_eq!(Id::of(Box::leak("x".repeat(TEXT_BYTES_MAX + 1).into_boxed_str())), None);
    }
}
