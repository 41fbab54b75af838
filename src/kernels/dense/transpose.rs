//! Weights of some rows side by side.

use std::ops::Range;

use crate::kernels::dense::element::Element;

/// `panel[column][row]` of some columns of up to `width` rows of weights, which begin `stride` after
/// each other; zeros for rows that are not there.
pub(super) fn transpose<T: Element>(
    weight: &[T],
    stride: usize,
    columns: Range<usize>,
    panel: &mut [f32],
    width: usize,
) {
    for row in 0..width {
        for at in columns.clone() {
            let value = weight.get(row * stride + at).map_or(0.0, |weight| weight.widen());
            panel[at * width + row] = value;
        }
    }
}
