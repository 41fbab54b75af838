//! Products of weights of one type, by few rows of activations or many.

#[cfg(target_arch = "x86_64")]
use crate::kernels::dense::avx2;
use crate::kernels::dense::element::Element;
#[cfg(target_arch = "aarch64")]
use crate::kernels::dense::neon;
use crate::kernels::dense::{blocked, turned};
use crate::kernels::pool;
use crate::kernels::shared::{Shared, written};
use crate::kernels::tier::Tier;
use crate::kernels::tile::Rows;

/// As [`super::multiply`], for weights of this type.
pub(super) fn multiply_as<T: Element>(
    tier: Tier,
    x: Rows<'_>,
    columns: usize,
    weight: &[T],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    assert!(columns > 0 && weight.len().is_multiple_of(columns));
    let (batch, rows) = (x.count(columns), weight.len() / columns);
    assert!(bias.is_none_or(|bias| bias.len() == rows));
    let few = |out: &Shared<'_, f32>| {
        let grain = pool::grain(rows, columns * (batch + WEIGHT)).next_multiple_of(4);
        pool::for_each(rows, grain, |range| {
            let start = range.start;
            let weight = &weight[start * columns..range.end * columns];
            let write = |x: usize, row: usize, sum: f32| {
                let row = start + row;
                let sum = bias.map_or(sum, |bias| sum + bias[row]);
                // SAFETY: every row is written by the one thread that got it.
                unsafe { out.write(x * rows + row, &[sum]) };
            };
            dots(tier, x.values, columns, weight, write);
        });
    };
    // SAFETY: every row of weights is multiplied with every row of activations.
    let mut products = unsafe {
        written(&[batch * rows], |outs| match batch {
            0..=FEW if !T::PAIRS && x.stride == columns => few(&outs[0]),
            _ if !T::PAIRS && turned::is_faster(batch, rows) => {
                turned::multiply(tier, x, columns, weight, bias, &outs[0]);
            }
            _ => blocked::multiply(tier, x, columns, weight, bias, &outs[0]),
        })
    };
    products.swap_remove(0)
}

/// Each row of weights with each of up to [`FEW`] of activations; `write` gets the number of the row of
/// activations, of that of weights, and the sum.
pub(in crate::kernels) fn dots<T: Element>(
    tier: Tier,
    x: &[f32],
    columns: usize,
    weight: &[T],
    mut write: impl FnMut(usize, usize, f32),
) {
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier says that the processor has these instructions.
        Tier::Avx512 | Tier::AvxVnni | Tier::Avx2 => unsafe {
            avx2::few(x, columns, weight, &mut write)
        },
        #[cfg(target_arch = "aarch64")]
        Tier::Neon | Tier::NeonDot | Tier::NeonI8mm => neon::few(x, columns, weight, &mut write),
        _ => scalar(x, columns, weight, &mut write),
    }
}

/// Numbers as f32.
pub(in crate::kernels) fn widen<T: Element>(tier: Tier, from: &[T], out: &mut [f32]) {
    assert_eq!(from.len(), out.len());
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier says that the processor has these instructions.
        Tier::Avx512 | Tier::AvxVnni | Tier::Avx2 => unsafe { avx2::widen(from, out) },
        #[cfg(target_arch = "aarch64")]
        Tier::Neon | Tier::NeonDot | Tier::NeonI8mm => neon::widen(from, out),
        _ => out.iter_mut().zip(from).for_each(|(out, from)| *out = from.widen()),
    }
}

/// Products that take as long as reading a weight from memory.
const WEIGHT: usize = 8;
/// Up to this many rows of activations, weights are read once for all of them.
pub(in crate::kernels) const FEW: usize = 4;

fn scalar<T: Element>(
    x: &[f32],
    columns: usize,
    weight: &[T],
    write: &mut impl FnMut(usize, usize, f32),
) {
    for (row, weight) in weight.chunks_exact(columns).enumerate() {
        for (at, x) in x.chunks_exact(columns).enumerate() {
            // Several sums, which are more exact and vectorize.
            let mut parts = [0.0_f32; 8];
            for (i, (x, weight)) in x.iter().zip(weight).enumerate() {
                parts[i % 8] += x * weight.widen();
            }
            write(at, row, parts.iter().sum());
        }
    }
}
