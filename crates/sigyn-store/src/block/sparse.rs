//! Values of those rows that have one.

#[derive(Debug)]
pub(super) struct Sparse<T> {
    pub(super) rows: Vec<u32>,
    pub(super) values: Vec<T>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), values: Vec::new() }
    }
}

impl<T> Sparse<T> {
    #[inline]
    pub(super) fn push(&mut self, row: u32, value: T) {
        self.rows.push(row);
        self.values.push(value);
    }

    #[inline]
    pub(super) fn push_some(&mut self, row: u32, value: Option<T>) {
        if let Some(value) = value {
            self.push(row, value);
        }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
    }
}
