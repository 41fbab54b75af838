//! Convolutions over pictures, `(height, width, channels)`: what of them is no product of matrices.

use std::ops::Range;

use crate::kernels::shared::each_row;

/// Which pixels a result is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Square {
    /// Pixels of a side.
    pub(crate) kernel: usize,
    /// From one result's first pixel to the next result's, in both directions.
    pub(crate) stride: usize,
    /// Zeros above the first row and left of the first column.
    pub(crate) before: usize,
    /// Results in a row.
    pub(crate) results: usize,
}

/// The pixels of some results, one result after the other: `(results, kernel, kernel, channels)` of
/// `x: (height, width, channels)`, with zeros beyond its edges.
pub(crate) fn unfold(
    x: &[f32],
    [height, width, channels]: [usize; 3],
    square: Square,
    results: Range<usize>,
) -> Vec<f32> {
    let Square { kernel, stride, before, results: in_row } = square;
    assert!(x.len() == height * width * channels && in_row > 0);
    let columns = kernel * kernel * channels;
    let mut out = vec![0.0; results.len() * columns];
    each_row(&mut out, columns, columns, |number, out| {
        let result = results.start + number;
        let (top, left) = (result / in_row * stride, result % in_row * stride);
        for (row, out) in out.chunks_exact_mut(kernel * channels).enumerate() {
            let Some(y) = (top + row).checked_sub(before).filter(|&y| y < height) else { continue };
            // Columns within the picture lie together.
            let first = before.saturating_sub(left);
            let end = kernel.min((width + before).saturating_sub(left));
            if first < end {
                let start = (y * width + left + first - before) * channels;
                out[first * channels..end * channels]
                    .copy_from_slice(&x[start..][..(end - first) * channels]);
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_written_out_with_zeros_beyond_the_edges() {
        // Two rows of three pixels of one channel.
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let square = Square { kernel: 3, stride: 1, before: 1, results: 3 };
        let found = unfold(&x, [2, 3, 1], square, 0..6);
        assert_eq!(found[..9], [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
        assert_eq!(found[45..], [2.0, 3.0, 0.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
        let square = Square { kernel: 3, stride: 2, before: 0, results: 1 };
        let found = unfold(&x, [2, 3, 1], square, 0..1);
        assert_eq!(found, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0]);
    }
}
