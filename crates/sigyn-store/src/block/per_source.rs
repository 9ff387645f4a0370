//! What is known by the numbers of a source, until another source comes.

#[derive(Debug)]
pub(super) struct PerSource<T>(Vec<Option<T>>);

impl<T> Default for PerSource<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> PerSource<T> {
    #[inline]
    pub(super) fn get_or_insert_with(&mut self, number: u32, make: impl FnOnce() -> T) -> T {
        match self.0.get(number as usize) {
            Some(Some(known)) => *known,
            _ => *at(&mut self.0, number).insert(make()),
        }
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<T> {
        self.0.get(number as usize).copied().flatten()
    }

    /// Its numbers mean something else from here on.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// An element of a list that grows as far as it is asked for.
#[inline]
pub(super) fn at<T: Default + Clone>(list: &mut Vec<T>, number: u32) -> &mut T {
    let at = number as usize;
    if list.len() <= at {
        list.resize(at + 1, T::default());
    }
    &mut list[at]
}
