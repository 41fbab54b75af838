//! Dot products of dense weights with NEON, for few rows of activations.

use std::arch::aarch64::*;

use crate::kernels::dense::element::Element;

/// Rows of weights with up to four of activations; `write` gets the number of the row of activations,
/// of that of weights, and the sum.
pub(super) fn few<T: Element>(
    x: &[f32],
    columns: usize,
    weight: &[T],
    write: &mut impl FnMut(usize, usize, f32),
) {
    for (row, weight) in weight.chunks_exact(columns).enumerate() {
        let mut write = |m: usize, sum: f32| write(m, row, sum);
        match x.len() / columns {
            1 => dots::<T, 1>(x, weight, &mut write),
            2 => dots::<T, 2>(x, weight, &mut write),
            3 => dots::<T, 3>(x, weight, &mut write),
            _ => dots::<T, 4>(x, weight, &mut write),
        }
    }
}

/// One row of weights with `M` of activations.
#[inline(always)]
fn dots<T: Element, const M: usize>(x: &[f32], weight: &[T], write: &mut impl FnMut(usize, f32)) {
    let columns = weight.len();
    assert!(x.len() >= M * columns);
    let whole = columns / 8 * 8;
    // SAFETY: rows are `columns` long (asserted above), and eight fit wherever they are read; every
    // 64-bit Arm has NEON.
    unsafe {
        // Two sums each, so that one addition need not wait for the other.
        let mut sums = [[vdupq_n_f32(0.0); 2]; M];
        for at in (0..whole).step_by(8) {
            let weights = T::load(weight.as_ptr().add(at));
            for (m, sums) in sums.iter_mut().enumerate() {
                let x = x.as_ptr().add(m * columns + at);
                sums[0] = vfmaq_f32(sums[0], weights[0], vld1q_f32(x));
                sums[1] = vfmaq_f32(sums[1], weights[1], vld1q_f32(x.add(4)));
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            let rest = (whole..columns).map(|at| x[m * columns + at] * weight[at].widen());
            write(m, rest.fold(vaddvq_f32(vaddq_f32(sums[0], sums[1])), |sum, x| sum + x));
        }
    }
}

/// Numbers as f32.
pub(super) fn widen<T: Element>(from: &[T], out: &mut [f32]) {
    let (eights, rest) = from.as_chunks::<8>();
    let (out_eights, out_rest) = out.as_chunks_mut::<8>();
    for (out, from) in out_eights.iter_mut().zip(eights) {
        // SAFETY: both are eight numbers, two vectors, which every 64-bit Arm has.
        unsafe {
            let [low, high] = T::load(from.as_ptr());
            vst1q_f32(out.as_mut_ptr(), low);
            vst1q_f32(out.as_mut_ptr().add(4), high);
        }
    }
    out_rest.iter_mut().zip(rest).for_each(|(out, from)| *out = from.widen());
}
