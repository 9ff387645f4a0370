//! Some of many texts for a list, and always the same ones, in whatever order and pieces they come.

use std::collections::BTreeSet;

/// The least of the texts that were added, no more than so many.
///
/// The least of all are the least of what several of these hold, if each may hold as many. So a list does
/// not change when what it is made of is kept in other pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Least {
    max: usize,
    texts: BTreeSet<String>,
}

/// What became of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Known,
    New,
    /// This one is out for it.
    InPlaceOf(String),
    /// It is not among the least.
    Not,
}

impl Least {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, texts: BTreeSet::new() }
    }

    /// What such a set was kept as.
    pub(crate) fn of(max: usize, texts: Vec<String>) -> Self {
        let mut texts: BTreeSet<String> = texts.into_iter().collect();
        while texts.len() > max {
            texts.pop_last();
        }
        Self { max, texts }
    }

    pub(crate) fn add(&mut self, text: &str) -> Added {
        let is_full = self.texts.len() >= self.max;
        if is_full && self.texts.last().is_none_or(|last| last.as_str() < text) {
            return Added::Not;
        }
        if self.texts.contains(text) {
            return Added::Known;
        }
        let last = if is_full { self.texts.pop_last() } else { None };
        self.texts.insert(text.to_owned());
        last.map_or(Added::New, Added::InPlaceOf)
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.texts.contains(text)
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    pub(crate) fn into_sorted(self) -> Vec<String> {
        self.texts.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_stay_in_whatever_order_they_come() {
        let mut least = Least::new(2);
        assert_eq!(
            [least.add("c"), least.add("c"), least.add("b")],
            [Added::New, Added::Known, Added::New]
        );
        assert_eq!([least.add("d"), least.add("b")], [Added::Not, Added::Known]);
        assert_eq!(least.add("a"), Added::InPlaceOf("c".to_owned()));
        assert_eq!([least.add("c"), least.add("")], [Added::Not, Added::InPlaceOf("b".to_owned())]);
        assert_eq!(least.into_sorted(), ["", "a"]);
        assert_eq!(Least::new(0).add("a"), Added::Not);
    }

    #[test]
    fn pieces_make_no_difference() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let max = random.usize(1..10);
            let texts: Vec<String> = (0..40).map(|_| random.u8(..).to_string()).collect();
            let mut pieces: Vec<Least> = (0..4).map(|_| Least::new(max)).collect();
            for text in &texts {
                random.choice(&mut pieces).unwrap().add(text);
            }
            let mut together = Least::new(max);
            pieces.iter().flat_map(Least::iter).for_each(|text| _ = together.add(text));
            let mut expected = texts;
            expected.sort();
            expected.dedup();
            expected.truncate(max);
            assert_eq!(together.into_sorted(), expected);
        }
    }
}
