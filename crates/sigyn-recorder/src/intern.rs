//! Names and keys that stand in the program's text, as small numbers.
//!
//! A span says the same few names and keys over and over, and nearly all of them are literals. Each is
//! numbered once in the process, whoever records it; a thread remembers the numbers of those it met last
//! by where they lie, so that it need not look at their letters. What is no literal is never numbered
//! and stands in the span itself: numbers cannot run out because of what users send.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
#[cfg(feature = "spool")]
use std::sync::{Arc, Weak};
use std::sync::{LazyLock, PoisonError, RwLock};

#[cfg(feature = "spool")]
use crate::spool::Names;

/// The number of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u16);

/// Longer literals stand in the span: they are no names.
const TEXT_BYTES_MAX: usize = 256;
/// Numbers end here; a program has hundreds.
const TEXTS_MAX: usize = u16::MAX as usize;
/// Literals that a thread remembers, in sets of a few: two that lie unluckily do not push each other out.
const SETS: usize = 64;
const SET: usize = 4;

/// `Id` of the tag that marks a failed operation.
pub(crate) const ERROR: Id = Id(1);
const FIRST: [&str; 2] = ["", "error"];

static TEXTS: LazyLock<RwLock<Texts>> = LazyLock::new(|| {
    let mut texts = Texts::default();
    for text in FIRST {
        texts.add(text);
    }
    RwLock::new(texts)
});

/// Address and length of a literal, and its number.
type Met = Cell<(usize, usize, u16)>;

thread_local! {
    static LATELY: [[Met; SET]; SETS] =
        const { [const { [const { Cell::new((0, 0, 0)) }; SET] }; SETS] };
}

#[derive(Debug, Default)]
struct Texts {
    all: Vec<&'static str>,
    ids: HashMap<&'static str, u16>,
    /// Who writes them down, each before anybody has its number.
    #[cfg(feature = "spool")]
    told: Vec<Weak<Names>>,
}

/// Writes down all texts, and those that come from now on.
#[cfg(feature = "spool")]
pub(crate) fn tell(names: &Arc<Names>) {
    let mut texts = TEXTS.write().unwrap_or_else(PoisonError::into_inner);
    for (id, text) in (0..).zip(&texts.all) {
        names.add(id, text);
    }
    texts.told.retain(|told| told.strong_count() > 0);
    texts.told.push(Arc::downgrade(names));
}

impl Id {
    /// A literal's number; `None` if it gets none.
    #[inline]
    pub(crate) fn of(text: &'static str) -> Option<Self> {
        Self::known(text).or_else(|| {
            let id = look_up(text)?;
            LATELY.with(|lately| {
                let set = &lately[set_of(text)];
                for way in (1..SET).rev() {
                    set[way].set(set[way - 1].get());
                }
                set[0].set((text.as_ptr() as usize, text.len(), id));
            });
            Some(Self(id))
        })
    }

    /// The number of one that this thread has met lately.
    #[inline(always)]
    pub(crate) fn known(text: &'static str) -> Option<Self> {
        LATELY.with(|lately| {
            let set = &lately[set_of(text)];
            set[0].is(text).or_else(|| among(&set[1..], text))
        })
    }

    pub(crate) fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u16 {
        self.0
    }
}

trait IsMet {
    fn is(&self, text: &'static str) -> Option<Id>;
}

impl IsMet for Met {
    #[inline(always)]
    fn is(&self, text: &'static str) -> Option<Id> {
        let (address, len, id) = self.get();
        (address == text.as_ptr() as usize && len == text.len()).then_some(Id(id))
    }
}

#[inline(never)]
fn among(others: &[Met], text: &'static str) -> Option<Id> {
    others.iter().find_map(|met| met.is(text))
}

/// Where a thread remembers it.
#[inline(always)]
fn set_of(text: &'static str) -> usize {
    let address = text.as_ptr() as usize;
    // Literals lie one behind the other.
    (address ^ (address >> 6) ^ text.len()) % SETS
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
        #[cfg(feature = "spool")]
        for names in self.told.iter().filter_map(Weak::upgrade) {
            names.add(id, text);
        }
        self.all.push(text);
        self.ids.insert(text, id);
        Some(id)
    }
}

/// All texts with a number at one moment. Whoever reads spans takes it once, and keeps nobody waiting.
#[derive(Clone, Debug)]
pub(crate) struct Glossary(Vec<Cow<'static, str>>);

/// Those of another process.
impl From<Vec<Cow<'static, str>>> for Glossary {
    fn from(texts: Vec<Cow<'static, str>>) -> Self {
        Self(texts)
    }
}

impl Glossary {
    pub(crate) fn now() -> Self {
        let texts = TEXTS.read().unwrap_or_else(PoisonError::into_inner);
        Self(texts.all.iter().copied().map(Cow::Borrowed).collect())
    }

    pub(crate) fn text(&self, id: Id) -> &str {
        self.0.get(usize::from(id.0)).map_or("", Cow::as_ref)
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
            let glossary = Glossary::now();
            let texts = ids.map(|id| glossary.text(id));
            assert_eq!(texts, ["http.route", "http"]);
        }
    }

    #[test]
    fn many_texts_are_told_apart_whoever_pushes_whom_out() {
        let texts: Vec<&'static str> = (0..2000)
            .map(|number| &*Box::leak(format!("text {number}").into_boxed_str()))
            .collect();
        for _ in 0..2 {
            let ids: Vec<Id> = texts.iter().map(|text| Id::of(text).unwrap()).collect();
            let glossary = Glossary::now();
            for (text, id) in texts.iter().zip(ids) {
                assert_eq!(glossary.text(id), *text);
            }
        }
    }

    #[test]
    fn what_is_too_long_for_a_name_has_no_number() {
        assert_eq!(Id::of(Box::leak("x".repeat(TEXT_BYTES_MAX + 1).into_boxed_str())), None);
    }
}
