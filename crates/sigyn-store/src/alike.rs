//! Which spans are alike in what is asked of them: one of them is looked at for all.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::{Field, Tagged, TraceId, What};

/// What of a span is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The keys of its tags and labels.
    Keys,
    /// These fields.
    Fields(Vec<Field>),
    /// Nothing that stands in few columns.
    All,
}

impl Asked {
    pub(crate) fn of(what: &What) -> Self {
        match what {
            What::Keys => Self::Keys,
            What::Values(Field::Annotation) => Self::All,
            What::Values(field) => Self::Fields(vec![field.clone()]),
        }
    }

    /// Whether a span failed.
    pub(crate) fn errors() -> Self {
        Self::Fields(vec![Field::Status])
    }
}

/// Fields that a tag as Zipkin shows it is made of, beside the span's own tag and its resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Derived {
    pub(crate) from_status: bool,
    pub(crate) from_scope: bool,
}

impl Derived {
    pub(crate) fn of(key: &str) -> Self {
        Self {
            from_status: matches!(key, "error" | "otel.status_code"),
            from_scope: matches!(key, "otel.scope.name" | "otel.scope.version"),
        }
    }
}

/// A span of some part of a store.
pub(crate) trait Stored: Tagged {
    /// What to look at in the part where it is, once for all that is asked.
    type Columns;

    /// None if it cannot be read, which whoever reads then tells.
    fn trace_id(&self) -> Option<TraceId>;

    /// The same.
    fn span_id(&self) -> Option<u64>;

    /// Adds numbers that spans which stand near each other have in common if they are alike; `false` if
    /// there are none for it.
    fn numbers(&self, columns: &Self::Columns, out: &mut Vec<u32>) -> bool;
}

/// Kinds of spans that are told apart at a time, and what they may take in memory.
const KINDS_MAX: usize = if cfg!(test) { 8 } else { 64 << 10 };
const KINDS_BYTES_MAX: usize = 4 << 20;
/// What a kind takes beside its numbers and what is known of it.
const KIND_BYTES: usize = 64;

/// Things, by the numbers of spans that are alike in them.
#[derive(Debug)]
pub(crate) struct ByNumbers<T> {
    places: HashMap<Box<[u32]>, usize, RandomState>,
    /// What they take, about.
    bytes: usize,
    all: Vec<T>,
    /// Neighbours are often alike.
    last: (Box<[u32]>, usize),
}

impl<T> Default for ByNumbers<T> {
    fn default() -> Self {
        Self {
            places: HashMap::default(),
            bytes: 0,
            all: Vec::new(),
            last: (Box::default(), usize::MAX),
        }
    }
}

impl<T> ByNumbers<T> {
    /// What is known of these, or what `make` makes, and in how many bytes beside its own place.
    pub(crate) fn get_or_insert_with(
        &mut self,
        numbers: &[u32],
        make: impl FnOnce() -> (T, usize),
    ) -> &mut T {
        if self.last.1 < self.all.len() && *self.last.0 == *numbers {
            return &mut self.all[self.last.1];
        }
        let place = match self.places.get(numbers) {
            Some(place) => *place,
            None => {
                let (made, bytes) = make();
                self.bytes += bytes + KIND_BYTES + size_of::<T>() + size_of_val(numbers);
                self.all.push(made);
                self.places.insert(numbers.into(), self.all.len() - 1);
                self.all.len() - 1
            }
        };
        if self.last.0.len() == numbers.len() {
            self.last.0.copy_from_slice(numbers);
        } else {
            self.last.0 = numbers.into();
        }
        self.last.1 = place;
        &mut self.all[place]
    }

    /// Whether it is time to forget them.
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() >= KINDS_MAX || self.bytes >= KINDS_BYTES_MAX
    }

    /// What they take in memory, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Leaves nothing.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.places = HashMap::default();
        self.bytes = 0;
        self.last.1 = usize::MAX;
        std::mem::take(&mut self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_take_no_more_than_they_are_said_to() {
        let mut kinds: ByNumbers<String> = ByNumbers::default();
        kinds.get_or_insert_with(&[1, 2], || (String::new(), 0));
        let one = kinds.bytes();
        assert!(one > 0 && !kinds.is_full());
        kinds.get_or_insert_with(&[1, 2], || (String::new(), 5 << 20));
        assert_eq!(kinds.bytes(), one);
        kinds.get_or_insert_with(&[1, 3], || (String::new(), 5 << 20));
        assert!(kinds.bytes() > 5 << 20 && kinds.is_full());
        kinds.drain();
        assert!(kinds.bytes() == 0 && !kinds.is_full());
    }
}
