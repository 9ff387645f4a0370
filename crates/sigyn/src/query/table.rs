//! Aligned tables: as wide as their content, no borders.

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A cell: what is measured, and what is printed in its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    plain: String,
    painted: String,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let plain = super::style::plain(&text.into());
        Self { painted: plain.clone(), plain }
    }

    /// The same cell in colour.
    pub(crate) fn paint(self, paint: impl Fn(&str) -> String) -> Self {
        Self { painted: paint(&self.plain), plain: self.plain }
    }
}

/// A header and rows.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(title, align)| ((*title).to_owned(), *align)).collect();
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub(crate) fn render(&self, style: super::style::Style) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let cells = cells.map(|cell| cell.plain.chars().count());
            cells.chain([self.columns[column].0.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let header: Vec<Cell> = self
            .columns
            .iter()
            .map(|(title, _)| Cell::new(title.as_str()).paint(|text| style.faint(text)))
            .collect();
        let mut out = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, (_, align)), width) in row.iter().zip(&self.columns).zip(&widths) {
                let pad = " ".repeat(width.saturating_sub(cell.plain.chars().count()));
                match align {
                    Align::Left => line.extend([cell.painted.as_str(), &pad, "  "]),
                    Align::Right => line.extend([pad.as_str(), &cell.painted, "  "]),
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ColorChoice;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right)]);
        table.row(vec![Cell::new("naïve"), Cell::new("7")]);
        table.row(vec![Cell::new("a"), Cell::new("1,000")]);
        let style = super::super::style::Style::new(ColorChoice::Never);
        assert_eq!(table.render(style), "NAME       N\nnaïve      7\na      1,000\n");
    }
}
