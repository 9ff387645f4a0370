//! Which keys follow which: spans of one sort say the same ones in the same order, over and over.

use super::scan::same_bytes;
use super::sink::Text;

/// How many are remembered. Spans whose keys are not among them cost more to look at.
const SHAPES_MAX: usize = 1_024;

/// How many keys may follow the same ones.
const NEXT_MAX: usize = 16;

/// A shape has no more keys than this: what comes before a new one is looked at key by key.
const KEYS_MAX: u32 = 24;

/// Some keys in their order, none of which stands there twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape(u32);

impl Shape {
    /// No keys at all.
    pub(crate) const EMPTY: Self = Self(0);

    /// Keys of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);

    /// A small number that no other shape has.
    pub(crate) fn number(self) -> Option<usize> {
        (self != Self::UNKNOWN).then_some(self.0 as usize)
    }
}

/// The shapes of the spans of one body.
#[derive(Debug)]
pub(crate) struct Shapes<'a> {
    /// By number; the first is that without keys.
    keys: Vec<LastKey<'a>>,
}

/// The last key of a shape, and where those before and behind it stand.
#[derive(Debug)]
struct LastKey<'a> {
    key: &'a [u8],
    length: u32,
    /// The shape without this key.
    before: u32,
    /// One of those with a further key; zero if there is none.
    next: u32,
    /// Another one that is the same but for the last key; zero if there is none.
    sibling: u32,
}

impl Default for Shapes<'_> {
    fn default() -> Self {
        Self { keys: vec![LastKey { key: &[], length: 0, before: 0, next: 0, sibling: 0 }] }
    }
}

impl<'a> Shapes<'a> {
    /// The shape with one key more. Unknown if that stands there already, or may.
    #[inline(always)]
    pub(crate) fn with(&mut self, shape: Shape, key: &Text<'a>) -> Shape {
        let bytes = match key {
            Text::Bytes(bytes) => bytes,
            Text::Str(text) => text.as_bytes(),
            Text::Escaped(_) | Text::Owned(_) => return Shape::UNKNOWN,
        };
        let Some(last) = self.keys.get(shape.0 as usize) else { return Shape::UNKNOWN };
        let mut next = last.next;
        // As long as there are no more than may be.
        while let Some(other @ LastKey { sibling, .. }) = self.keys.get(next as usize)
            && next != 0
        {
            if same_bytes(other.key, bytes) {
                return Shape(next);
            }
            next = *sibling;
        }
        self.add(shape, bytes, matches!(key, Text::Str(_)))
    }

    #[cold]
    fn add(&mut self, shape: Shape, key: &'a [u8], is_text: bool) -> Shape {
        let last = &self.keys[shape.0 as usize];
        let (length, sibling) = (last.length + 1, last.next);
        let siblings = self.count(sibling, |last| last.sibling);
        if length > KEYS_MAX || siblings >= NEXT_MAX || self.keys.len() >= SHAPES_MAX {
            return Shape::UNKNOWN;
        }
        // What is no text reads like something else.
        if !is_text && simdutf8::basic::from_utf8(key).is_err() {
            return Shape::UNKNOWN;
        }
        let mut before = shape.0;
        while before != 0 {
            let LastKey { key: other, before: earlier, .. } = self.keys[before as usize];
            if other == key {
                return Shape::UNKNOWN;
            }
            before = earlier;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.push(LastKey { key, length, before: shape.0, next: 0, sibling });
        self.keys[shape.0 as usize].next = number;
        Shape(number)
    }

    fn count(&self, first: u32, next: impl Fn(&LastKey<'a>) -> u32) -> usize {
        let numbers =
            std::iter::successors(Some(first), |number| self.keys.get(*number as usize).map(&next));
        numbers.take_while(|number| *number != 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape<'a>(shapes: &mut Shapes<'a>, keys: &[Text<'a>]) -> Option<usize> {
        keys.iter().fold(Shape::EMPTY, |shape, key| shapes.with(shape, key)).number()
    }

    #[test]
    fn the_same_keys_in_the_same_order_are_one_shape() {
        let mut shapes = Shapes::default();
        let mut check = |keys: &[&'static str], expected| {
            let texts: Vec<Text<'_>> = keys.iter().map(|key| Text::Str(key)).collect();
            assert_eq!(shape(&mut shapes, &texts), expected, "{keys:?}");
            let bytes: Vec<Text<'_>> = keys.iter().map(|key| Text::Bytes(key.as_bytes())).collect();
            assert_eq!(shape(&mut shapes, &bytes), expected, "{keys:?}");
        };
        check(&[], Some(0));
        check(&["a", "b"], Some(2));
        check(&["b", "a"], Some(4));
        check(&["a", "c", "é"], Some(6));
        check(&["a"], Some(1));
        check(&["a", "b"], Some(2));
        check(&["a", "b", "a"], None);
        check(&["a", "a", "b"], None);
        check(&["", ""], None);
        check(&["", "x"], Some(8));
    }

    #[test]
    fn what_may_read_alike_has_none() {
        let mut shapes = Shapes::default();
        for key in [Text::Bytes(b"\xff"), Text::Escaped("a"), Text::Owned("a".to_owned())] {
            assert_eq!(shape(&mut shapes, &[Text::Str("b"), key]), None);
        }
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let keys: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
        let mut shapes = Shapes::default();
        for key in &keys {
            shape(&mut shapes, &[Text::Str(key)]);
        }
        assert_eq!(shapes.keys.len(), NEXT_MAX + 1);
        let texts: Vec<Text<'_>> = keys.iter().map(|key| Text::Str(key)).collect();
        assert_eq!(shape(&mut shapes, &texts[..24]), Some(NEXT_MAX + 23));
        assert_eq!(shape(&mut shapes, &texts[..25]), None);
        for first in 0..1_900 {
            shape(&mut shapes, &[&texts[..1], &texts[first..first + 20]].concat());
        }
        assert!(shapes.keys.len() <= SHAPES_MAX);
    }
}
