//! Rows side by side, with the best instructions of a tier.

#[cfg(target_arch = "x86_64")]
use crate::kernels::dense::avx2;
use crate::kernels::dense::element::Element;
use crate::kernels::dense::transpose::transpose;
use crate::kernels::tier::Tier;

/// `panel[column][row]` of the first `columns` of up to `width` rows, which begin `stride` after each other; zeros for
/// rows that are not there.
pub(super) fn fill<T: Element>(
    tier: Tier,
    rows: &[T],
    stride: usize,
    columns: usize,
    panel: &mut [f32],
    width: usize,
) {
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier says that the processor has these instructions.
        Tier::Avx512 | Tier::AvxVnni | Tier::Avx2 => unsafe {
            avx2::transpose(rows, stride, columns, panel, width);
        },
        _ => transpose(rows, stride, 0..columns, panel, width),
    }
}
