//! Names and keys that stand in the program's text, as small numbers.
//!
//! A span says the same few names and keys over and over, and nearly all of them are literals. Each is
//! numbered once in the process, whoever records it, and found again by where it lies, so that nobody looks at its
//! letters. What is no literal is never numbered and stands in the span itself: numbers cannot run out because of what
//! users send.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
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
/// Places of literals, in sets of a few: those that lie unluckily do not push each other out.
const SETS: usize = 512;
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

/// Where literals lie that have been met: the address in the upper bits, the number in the lower ones. Two literals may
/// begin at one address: their lengths tell them apart.
static MET: [[AtomicU64; SET]; SETS] = [const { [const { AtomicU64::new(0) }; SET] }; SETS];
/// Written before anybody finds the number.
static LENGTHS: [AtomicU16; TEXTS_MAX + 1] = [const { AtomicU16::new(0) }; TEXTS_MAX + 1];
const NUMBER_BITS: u32 = 16;

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
        Self::at_once(text).or_else(|| Self::find(text))
    }

    /// The number of one that lies luckily: nearly all of them.
    #[inline(always)]
    pub(crate) fn at_once(text: &'static str) -> Option<Self> {
        let [first, second, ..] = &MET[set_of(text)];
        met(first, text).or_else(|| met(second, text))
    }

    #[inline(never)]
    fn find(text: &'static str) -> Option<Self> {
        let set = &MET[set_of(text)];
        set.iter().find_map(|place| met(place, text)).or_else(|| {
            let id = look_up(text)?;
            let address = text.as_ptr() as u64;
            // Addresses have no more bits anywhere; if they had, the literal would be looked up each time.
            if address >> (64 - NUMBER_BITS) == 0 {
                let place = set.iter().find(|place| place.load(Ordering::Relaxed) == 0);
                let place = place.unwrap_or(&set[usize::from(id) % SET]);
                LENGTHS[usize::from(id)].store(length(text), Ordering::Relaxed);
                place.store(address << NUMBER_BITS | u64::from(id), Ordering::Release);
            }
            Some(Self(id))
        })
    }

    pub(crate) fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u16 {
        self.0
    }
}

#[inline(always)]
fn met(place: &AtomicU64, text: &'static str) -> Option<Id> {
    let met = place.load(Ordering::Acquire);
    if met >> NUMBER_BITS != text.as_ptr() as u64 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits are the number")]
    let id = met as u16;
    (usize::from(LENGTHS[usize::from(id)].load(Ordering::Relaxed)) == text.len()).then_some(Id(id))
}

/// Of a text that has a number.
fn length(text: &str) -> u16 {
    u16::try_from(text.len()).unwrap_or(u16::MAX)
}

/// Literals lie one behind the other: each bit of the address has a say in the upper ones of this product.
#[inline(always)]
fn set_of(text: &'static str) -> usize {
    let product = (text.as_ptr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(product >> (64 - SETS.ilog2())).unwrap_or(0)
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
