//! Products of dense weights with some rows of activations: fewer than of weights, which are read as they lie in memory.
//!
//! The activations are transposed into panels, once for all threads. Then each thread multiplies groups of
//! rows of weights with all panels, and transposes what comes out. [`blocked`](super::blocked) does it the other way
//! round: it transposes weights, and is faster where there are hundreds of rows of activations to make
//! up for it. Sums are added in the same order, so both give the same bits.

use std::cell::RefCell;
use std::ops::Range;

use crate::kernels::dense::blocked::depth;
use crate::kernels::dense::element::Element;
use crate::kernels::dense::panel;
use crate::kernels::pool;
use crate::kernels::shared::{Shared, written};
use crate::kernels::tier::Tier;
use crate::kernels::tile::{Ahead, Rows, Store, product_at, tile};

/// Rows of weights that are multiplied with all activations before the next, where there are many.
const GROUP: usize = 48;
/// Rows of activations from which on transposing weights is as fast.
const MOST: usize = 128;

thread_local! {
    static WIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static PRODUCTS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Whether so many rows of activations are multiplied with so many of weights in less time than by
/// [`blocked`](super::blocked).
pub(super) fn is_faster(batch: usize, rows: usize) -> bool {
    batch <= MOST && rows >= GROUP * pool::threads()
}

pub(super) fn multiply<T: Element>(
    tier: Tier,
    x: Rows<'_>,
    columns: usize,
    weight: &[T],
    bias: Option<&[f32]>,
    out: &Shared<'_, f32>,
) {
    assert!(!T::PAIRS);
    let (batch, rows) = (x.count(columns), weight.len() / columns);
    let panels = Panels::new(tier, x, columns);
    // Every thread gets several groups, so that a slow one is not waited for long.
    let group = if rows < 4 * GROUP * pool::threads() { GROUP / 2 } else { GROUP };
    pool::for_each(rows.div_ceil(group), 1, |groups| {
        PRODUCTS.with_borrow_mut(|products| {
            products.resize(group * panels.rows, 0.0);
            for number in groups {
                let first = number * group;
                let count = group.min(rows - first);
                let weight = &weight[first * columns..][..count * columns];
                let bias = bias.map(|bias| &bias[first..first + count]);
                panels.multiply(tier, weight, bias, products);
                write(
                    tier,
                    Rows { values: products, stride: panels.rows },
                    [count, batch],
                    out,
                    [first, rows],
                );
            }
        });
    });
}

/// Writes `products`, of rows of weights with rows of activations, where those of a row of activations lie side by side:
/// from number `first` of each of `rows` on.
fn write(
    tier: Tier,
    products: Rows<'_>,
    [count, batch]: [usize; 2],
    out: &Shared<'_, f32>,
    [first, rows]: [usize; 2],
) {
    let to = out.pointer(first, (batch - 1) * rows + count);
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier says that the processor has these instructions; the products with these rows of
        // weights are this thread's alone.
        Tier::Avx512 | Tier::AvxVnni | Tier::Avx2 => unsafe {
            super::avx2::turn(products.values, products.stride, [count, batch], to, rows);
        },
        _ => {
            for (at, products) in
                products.values.chunks_exact(products.stride).take(count).enumerate()
            {
                for (row, product) in products.iter().take(batch).enumerate() {
                    // SAFETY: as above.
                    unsafe { *to.add(row * rows + at) = *product };
                }
            }
        }
    }
}

/// Activations side by side: for each part of the columns panels of some rows, `panel[column][row]`.
struct Panels {
    values: Vec<f32>,
    /// Rows of activations, a multiple of 8: the last may be zeros.
    rows: usize,
    columns: usize,
    /// Columns of a part.
    depth: usize,
    /// Rows of a panel at most.
    panel: usize,
}

impl Panels {
    fn new(tier: Tier, x: Rows<'_>, columns: usize) -> Self {
        let (batch, depth, [_, panel]) = (x.count(columns), depth(columns), tile(tier));
        let rows = batch.next_multiple_of(8);
        let fill = |outs: &[Shared<'_, f32>]| {
            let panels = batch.div_ceil(panel);
            pool::for_each(panels * columns.div_ceil(depth), 1, |items| {
                for item in items {
                    let (start, first) = (item / panels * depth, item % panels * panel);
                    let (end, width) = (columns.min(start + depth), panel.min(rows - first));
                    let at = rows * start + first * (end - start);
                    // SAFETY: each panel is filled by the one thread that got it.
                    let to = unsafe { outs[0].part(at, width * (end - start)) };
                    let last = (first + width).min(batch) - 1;
                    let from = &x.values[first * x.stride + start..last * x.stride + end];
                    panel::fill(tier, from, x.stride, end - start, to, width);
                }
            });
        };
        // SAFETY: the panels of all parts and rows make up all of it.
        let values = unsafe { written(&[rows * columns], fill) }.swap_remove(0);
        Self { values, rows, columns, depth, panel }
    }

    /// Some rows of weights with all activations: `(rows of weights, rows of activations)`.
    fn multiply<T: Element>(
        &self,
        tier: Tier,
        weight: &[T],
        bias: Option<&[f32]>,
        products: &mut [f32],
    ) {
        let count = weight.len() / self.columns;
        for start in (0..self.columns).step_by(self.depth) {
            let end = self.columns.min(start + self.depth);
            let into = if start == 0 { Store::Write } else { Store::Accumulate };
            let part = &self.values[self.rows * start..self.rows * end];
            widened(weight, self.columns, start..end, |left| {
                for first in (0..self.rows).step_by(self.panel) {
                    let width = self.panel.min(self.rows - first);
                    let panels = self.rows.div_ceil(self.panel);
                    // The weights behind these, some for each panel.
                    let bytes = (end - start) * size_of::<T>() / panels;
                    let before = count * (start * size_of::<T>() + first / self.panel * bytes);
                    let from = weight.as_ptr_range().end.cast::<u8>().wrapping_add(before);
                    let ahead = Some(Ahead { from, bytes });
                    let values = &part[first * (end - start)..][..width * (end - start)];
                    let right = Rows { values, stride: width };
                    let out = products[first..].as_mut_ptr();
                    assert!(first + width <= self.rows && count * self.rows <= products.len());
                    // SAFETY: `products` has so many rows (asserted above), and is ours alone.
                    unsafe {
                        let shape = [count, end - start, width];
                        product_at::<false, f32>(
                            tier,
                            left,
                            right,
                            shape,
                            (out, self.rows),
                            into,
                            ahead,
                        );
                    }
                }
            });
            if let (0, Some(bias)) = (start, bias) {
                for (products, bias) in products.chunks_exact_mut(self.rows).zip(bias) {
                    products.iter_mut().for_each(|product| *product += bias);
                }
            }
        }
    }
}

/// Some columns of weights in f32: as they are, or widened.
fn widened<T: Element>(
    weight: &[T],
    columns: usize,
    part: Range<usize>,
    multiply: impl FnOnce(Rows<'_>),
) {
    if let Some(values) = T::wide(weight) {
        return multiply(Rows { values: &values[part.start..], stride: columns });
    }
    WIDE.with_borrow_mut(|wide| {
        wide.clear();
        for row in weight.chunks_exact(columns) {
            wide.extend(row[part.clone()].iter().map(|weight| weight.widen()));
        }
        multiply(Rows { values: wide, stride: part.len() });
    });
}
