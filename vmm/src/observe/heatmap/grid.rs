//! Counts by page and time, in a table of fixed size: when something lies beyond it, two neighbours become one.

/// Lines of pages.
pub(super) const ROWS: usize = 96;

/// Columns of time.
pub(super) const COLUMNS: usize = 128;

/// What changed in one cell: pages that came less those that left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// Of those that somebody waited for.
    pub asked: i64,
    /// Of those that came ahead.
    pub ahead: i64,
}

/// What became of the pages of one line that came ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// They were used.
    pub used: u64,
    /// They were not.
    pub unused: u64,
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    cells: Vec<[Cell; COLUMNS]>,
    pub judged: [Judged; ROWS],
    /// Log2 of the pages of a row.
    page_shift: u32,
    /// Log2 of the nanoseconds of a column.
    time_shift: u32,
}

impl Grid {
    /// An empty table, of one page a row and about a millisecond a column.
    pub fn new() -> Grid {
        Grid {
            cells: vec![[Cell::default(); COLUMNS]; ROWS],
            judged: [Judged::default(); ROWS],
            page_shift: 0,
            time_shift: 20,
        }
    }

    /// Pages of a row.
    pub fn pages(&self) -> u64 {
        1 << self.page_shift
    }

    /// Nanoseconds of a column.
    pub fn nanos(&self) -> u64 {
        1 << self.time_shift
    }

    /// The rows from the first page on, and their changes from the start of time on.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &[Cell; COLUMNS])> {
        self.cells.iter().enumerate()
    }

    /// Makes room for pages below `end`.
    pub fn reach_page(&mut self, end: u64) {
        while end.saturating_sub(1) >> self.page_shift >= ROWS as u64 {
            self.page_shift += 1;
            for row in 0..ROWS {
                let pair = [2 * row, 2 * row + 1];
                let mut merged = [Cell::default(); COLUMNS];
                let mut judged = Judged::default();
                for from in pair {
                    if let Some(cells) = self.cells.get(from) {
                        merged
                            .iter_mut()
                            .zip(cells)
                            .for_each(|(to, it)| add(to, it));
                    }
                    if let Some(it) = self.judged.get(from) {
                        judged.used += it.used;
                        judged.unused += it.unused;
                    }
                }
                if let (Some(to), Some(verdict)) =
                    (self.cells.get_mut(row), self.judged.get_mut(row))
                {
                    (*to, *verdict) = (merged, judged);
                }
            }
        }
    }

    /// Makes room for a time.
    pub fn reach_time(&mut self, at: u64) {
        while at >> self.time_shift >= COLUMNS as u64 {
            self.time_shift += 1;
            for row in &mut self.cells {
                let mut merged = [Cell::default(); COLUMNS];
                for (to, pair) in merged.iter_mut().zip(row.chunks(2)) {
                    pair.iter().for_each(|it| add(to, it));
                }
                *row = merged;
            }
        }
    }

    /// The parts of a run of pages in rows: (row, pages).
    fn parts(&self, first: u64, count: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (shift, end) = (self.page_shift, first + count);
        (first >> shift..(end + (1 << shift) - 1) >> shift).map(move |row| {
            let start = (row << shift).max(first);
            (row as usize, ((row + 1) << shift).min(end) - start)
        })
    }

    /// Adds so many times `change` for each page.
    pub fn change(&mut self, at: u64, first: u64, count: u64, change: Cell) {
        self.reach_page(first + count);
        self.reach_time(at);
        let column = (at >> self.time_shift) as usize;
        for (row, pages) in self.parts(first, count) {
            let cell = self.cells.get_mut(row).and_then(|row| row.get_mut(column));
            if let Some(cell) = cell {
                cell.asked += change.asked * pages as i64;
                cell.ahead += change.ahead * pages as i64;
            }
        }
    }

    /// Pages that came ahead were used, or were not.
    pub fn judge(&mut self, first: u64, count: u64, used: bool) {
        self.reach_page(first + count);
        for (row, pages) in self.parts(first, count) {
            if let Some(judged) = self.judged.get_mut(row) {
                match used {
                    true => judged.used += pages,
                    false => judged.unused += pages,
                }
            }
        }
    }
}

fn add(to: &mut Cell, it: &Cell) {
    to.asked += it.asked;
    to.ahead += it.ahead;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: Cell = Cell { asked: 1, ahead: 0 };

    #[test]
    fn a_run_is_spread_over_its_rows() {
        let mut grid = Grid::new();
        grid.reach_page(4 * ROWS as u64);
        assert_eq!(grid.pages(), 4);
        grid.change(0, 3, 6, ONE);
        let found: Vec<i64> = grid.rows().map(|(_, row)| row[0].asked).collect();
        assert_eq!(found[..4], [1, 4, 1, 0]);
        grid.judge(3, 2, false);
        assert_eq!((grid.judged[0].unused, grid.judged[1].unused), (1, 1));
    }

    proptest! {
        /// However often neighbours become one, nothing is lost, and all is where it belongs.
        #[test]
        fn nothing_is_lost(
            changes in prop::collection::vec((0u64..1 << 40, 0u64..1 << 30, 1u64..300), 1..40),
        ) {
            let mut grid = Grid::new();
            for &(at, first, count) in &changes {
                grid.change(at, first, count, ONE);
            }
            let mut expected = vec![[0; COLUMNS]; ROWS];
            for &(at, first, count) in &changes {
                for page in first..first + count {
                    let (row, column) = (page / grid.pages(), at / grid.nanos());
                    expected[row as usize][column as usize] += 1;
                }
            }
            for (row, cells) in grid.rows() {
                prop_assert_eq!(cells.map(|cell| cell.asked), expected[row]);
            }
        }
    }
}
