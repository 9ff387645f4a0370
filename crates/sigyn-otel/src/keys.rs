//! Keys of attributes as literals, which is what they nearly always were: OpenTelemetry does not tell.
//!
//! The recorder keeps a literal as a number. So the first keys of a process are kept for as long as it
//! runs, within a bound, and each thread finds those that it met lately by their letters. Others are
//! written into their spans.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{LazyLock, PoisonError, RwLock};

use sigyn_recorder::Text;

/// So many keys are kept, and none that is longer: 64 KiB at most.
const KEYS_MAX: usize = 1024;
const KEY_BYTES_MAX: usize = 64;
/// Keys that a thread remembers, in pairs: two that meet unluckily do not push each other out.
const PAIRS: usize = 128;

static KEYS: LazyLock<RwLock<HashSet<&'static str>>> = LazyLock::new(RwLock::default);

thread_local! {
    static LATELY: [[Cell<&'static str>; 2]; PAIRS] =
        const { [const { [const { Cell::new("") }; 2] }; PAIRS] };
}

/// A key as cheaply as the recorder takes it.
#[inline]
pub(crate) fn text(key: &str) -> Text<'_> {
    match known(key) {
        Some(key) => Text::from(key),
        None => Text::new(key),
    }
}

#[inline]
pub(crate) fn known(key: &str) -> Option<&'static str> {
    let place = place(key)?;
    // A thread that is ending remembers nothing any more.
    let found = LATELY.try_with(|lately| {
        let [first, second] = &lately[place];
        if is(first.get(), key) {
            return Some(first.get());
        }
        if is(second.get(), key) {
            return Some(second.get());
        }
        let key = look_up(key)?;
        second.set(first.replace(key));
        Some(key)
    });
    found.ok().flatten()
}

/// Where a thread remembers it: by its length and its ends, in which keys differ. `None`: nowhere.
#[inline]
fn place(key: &str) -> Option<usize> {
    let bytes = key.as_bytes();
    if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX {
        return None;
    }
    let ends = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first).rotate_left(23) ^ u64::from_le_bytes(*last)
        }
        _ => bytes.iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte)),
    };
    let mixed = (ends ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 57).ok()
}

/// Whether both are the same, word by word: keys are short, and a call would cost as much again.
#[inline]
fn is(known: &str, key: &str) -> bool {
    let (known, key) = (known.as_bytes(), key.as_bytes());
    let (Some(end), true) = (key.last_chunk::<8>(), known.len() == key.len()) else {
        return known == key;
    };
    let (words, _) = key.as_chunks::<8>();
    let (known_words, _) = known.as_chunks::<8>();
    words.iter().zip(known_words).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && known.last_chunk() == Some(end)
}

#[cold]
fn look_up(key: &str) -> Option<&'static str> {
    let kept = KEYS.read().unwrap_or_else(PoisonError::into_inner);
    if kept.contains(key) || kept.len() >= KEYS_MAX {
        return kept.get(key).copied();
    }
    drop(kept);
    let mut kept = KEYS.write().unwrap_or_else(PoisonError::into_inner);
    if !kept.contains(key) && kept.len() < KEYS_MAX {
        kept.insert(Box::leak(key.into()));
    }
    kept.get(key).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_once_and_only_so_many_are() {
        let first = known("http.request.method").unwrap();
        let owned = String::from("http.request.method");
        assert!(std::ptr::eq(known(&owned).unwrap(), first));
        assert_eq!(known(""), None);
        assert_eq!(known(&"x".repeat(65)), None);
        for n in 0..3 * KEYS_MAX {
            let key = format!("key {n}");
            assert!(known(&key).is_none_or(|known| known == key));
        }
        assert!(KEYS.read().unwrap().len() == KEYS_MAX);
        assert_eq!(known("key 3000"), None);
        assert!(std::ptr::eq(known(&owned).unwrap(), first));
    }

    #[test]
    fn keys_are_the_same_if_every_byte_is() {
        for len in 0..40 {
            let key = "abcdefgh".repeat(5)[..len].to_owned();
            assert!(is(&key, &key.clone()));
            assert!(!is(&key, &format!("{key}x")));
            for at in 0..len {
                let mut other = key.clone();
                other.replace_range(at..=at, "-");
                assert!(!is(&key, &other), "{other}");
            }
        }
    }

    #[test]
    fn every_key_has_its_place() {
        for len in 1..=KEY_BYTES_MAX {
            assert!(place(&"k".repeat(len)).is_some_and(|place| place < PAIRS));
        }
    }
}
