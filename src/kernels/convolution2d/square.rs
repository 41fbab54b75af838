//! Where the pixels of results lie.

/// Which pixels a result is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Square {
    /// Pixels of a side.
    pub(crate) kernel: usize,
    /// From one result's first pixel to the next result's, in both directions.
    pub(crate) stride: usize,
    /// Zeros above the first row and left of the first column.
    pub(crate) before: usize,
    /// Results in a row and a column: `[height, width]`.
    pub(crate) results: [usize; 2],
}
