//! Weights of some rows side by side.

use std::ops::Range;

use crate::kernels::dense::element::Element;
use crate::kernels::tier::Tier;

/// [`transpose`] of the first `columns` of weights, with the best instructions of a tier.
pub(super) fn transpose_on<T: Element>(
    tier: Tier,
    weight: &[T],
    stride: usize,
    columns: usize,
    panel: &mut [f32],
    width: usize,
) {
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier says that the processor has these instructions.
        Tier::Avx512 | Tier::AvxVnni | Tier::Avx2 => unsafe {
            super::avx2::transpose(weight, stride, columns, panel, width);
        },
        _ => transpose(weight, stride, 0..columns, panel, width),
    }
}

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
