//! Names and values in little room: all texts of a set in one, one after the other.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// Values by name, sorted. There are thousands of such sets, and most have a few dozen names: two
/// allocations for all of them take a third of what a map of texts takes.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
pub(crate) struct Pairs {
    /// `name value name value ..`, without anything between them.
    text: String,
    /// Where in the text each name and each value ends, by turns.
    ends: Vec<u32>,
}

impl Pairs {
    pub(crate) const fn new() -> Self {
        Self { text: String::new(), ends: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len() / 2
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.find(name).ok().map(|index| self.at(index).1)
    }

    pub(crate) fn insert(&mut self, name: &str, value: &str) {
        match self.find(name) {
            Ok(index) => {
                let (start, end) = (self.end(2 * index + 1), self.end(2 * index + 2));
                self.replace(start, end, "", value);
                self.shift(2 * index + 1, end - start, value.len());
            }
            Err(index) => {
                let (start, grown) = (self.end(2 * index), name.len() + value.len());
                self.replace(start, start, name, value);
                self.shift(2 * index, 0, grown);
                let ends = [short(start + name.len()), short(start + grown)];
                self.ends.splice(2 * index..2 * index, ends);
            }
        }
    }

    /// Takes a name out, and tells its value.
    pub(crate) fn remove(&mut self, name: &str) -> Option<String> {
        let index = self.find(name).ok()?;
        let value = self.at(index).1.to_owned();
        let (start, end) = (self.end(2 * index), self.end(2 * index + 2));
        self.text.replace_range(start..end, "");
        self.ends.drain(2 * index..2 * index + 2);
        self.shift(2 * index, end - start, 0);
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> + Clone {
        (0..self.len()).map(|index| self.at(index))
    }

    /// Gives back room that nothing is in.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// A name that is larger than all there are.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        debug_assert!(self.iter().next_back().is_none_or(|(last, _)| last < name));
        let start = self.text.len();
        self.replace(start, start, name, value);
        self.ends.extend([short(start + name.len()), short(self.text.len())]);
    }

    fn at(&self, index: usize) -> (&str, &str) {
        let (start, middle) = (self.end(2 * index), self.end(2 * index + 1));
        (&self.text[start..middle], &self.text[middle..self.end(2 * index + 2)])
    }

    /// Where the first `count` texts end.
    fn end(&self, count: usize) -> usize {
        count.checked_sub(1).map_or(0, |last| self.ends[last] as usize)
    }

    /// Where a name is, or where it belongs.
    fn find(&self, name: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle).0.cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    fn replace(&mut self, start: usize, end: usize, name: &str, value: &str) {
        let size = self.text.len() - (end - start) + name.len() + value.len();
        // As texts do that grow beyond all memory.
        assert!(u32::try_from(size).is_ok(), "labels of four gigabytes");
        self.text.replace_range(start..end, name);
        self.text.insert_str(start + name.len(), value);
    }

    /// Tells the ends from one on that a text before them has another length.
    fn shift(&mut self, from: usize, before: usize, now: usize) {
        for end in &mut self.ends[from..] {
            *end = short(*end as usize - before + now);
        }
    }
}

/// A place in a text that was found to be short enough.
fn short(end: usize) -> u32 {
    u32::try_from(end).unwrap_or(u32::MAX)
}

impl From<BTreeMap<String, String>> for Pairs {
    fn from(map: BTreeMap<String, String>) -> Self {
        let size = map.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut pairs =
            Self { text: String::with_capacity(size), ends: Vec::with_capacity(2 * map.len()) };
        for (name, value) in &map {
            pairs.push(name, value);
        }
        pairs
    }
}

impl PartialOrd for Pairs {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pairs {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(String, String),
        Remove(String),
    }

    fn step() -> impl Strategy<Value = Step> {
        let insert =
            ("[abä]{0,3}", "[xyü]{0,4}").prop_map(|(name, value)| Step::Insert(name, value));
        prop_oneof![2 => insert, 1 => "[abä]{0,3}".prop_map(Step::Remove)]
    }

    fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
        btree_map("[abä]{0,2}", "[xyü]{0,2}", 0..3)
    }

    proptest! {
        #[test]
        fn they_are_what_a_map_is(steps in vec(step(), 0..40)) {
            let (mut pairs, mut map) = (Pairs::new(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Insert(name, value) => {
                        pairs.insert(&name, &value);
                        map.insert(name, value);
                    }
                    Step::Remove(name) => {
                        prop_assert_eq!(pairs.remove(&name), map.remove(&name));
                        prop_assert_eq!(pairs.get(&name), None);
                    }
                }
                prop_assert_eq!(pairs.len(), map.len());
                prop_assert_eq!(pairs.is_empty(), map.is_empty());
                let of_map = map.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                prop_assert!(pairs.iter().eq(of_map.clone()));
                prop_assert!(pairs.iter().rev().eq(of_map.rev()));
                for (name, value) in &map {
                    prop_assert_eq!(pairs.get(name), Some(value.as_str()));
                }
                prop_assert_eq!(&pairs, &Pairs::from(map.clone()));
            }
        }

        #[test]
        fn they_are_ordered_as_maps_are(a in texts(), b in texts()) {
            let (pairs_a, pairs_b) = (Pairs::from(a.clone()), Pairs::from(b.clone()));
            prop_assert_eq!(pairs_a.cmp(&pairs_b), a.cmp(&b));
            prop_assert_eq!(pairs_a == pairs_b, a == b);
        }
    }
}
