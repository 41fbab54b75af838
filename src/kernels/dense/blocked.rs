//! Products of dense weights with many rows of activations, in blocks that stay in the caches.
//!
//! A thread takes a group of rows of weights and widens and transposes some hundred of their columns
//! into panels of some rows, which stay in its second cache while the activations pass by. Of
//! these, some rows at a time stay in the first cache while the panels pass by ([`tile`]).
//! The scheme is that of Goto and van de Geijn, *Anatomy of High-Performance Matrix
//! Multiplication* (2008), with the sides swapped.

use std::cell::RefCell;
use std::ops::Range;

use crate::kernels::dense::element::{Element, has_pairs};
use crate::kernels::dense::panel;
use crate::kernels::pool;
use crate::kernels::shared::Shared;
use crate::kernels::tier::Tier;
use crate::kernels::tile::{self, Rows, Store};

/// Columns of weights in a panel at most.
const DEPTH: usize = 768;
/// Numbers in a group of panels at most: half of a second cache of half a megabyte.
const GROUP: usize = 96 * DEPTH;
/// Activations that are multiplied with the same panels at most.
const ACTIVATIONS: usize = 512 << 10;
/// Rows of activations that are worth making panels once more for.
const CHUNK: usize = 192;
/// Products in a tile at most.
const MOST: usize = 8 * 48;

thread_local! {
    static PANELS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn multiply<T: Element>(
    tier: Tier,
    x: Rows<'_>,
    columns: usize,
    weight: &[T],
    bias: Option<&[f32]>,
    out: &Shared<'_, f32>,
) {
    assert!(!T::PAIRS || has_pairs(tier));
    let (batch, rows) = (x.count(columns), weight.len() / columns);
    if rows == 0 || batch == 0 {
        return;
    }
    let [tile, panel] = tile::tile(tier);
    let depth = depth(columns);
    // Every thread gets several shares, so that a slow one is not waited for long.
    let threads = pool::threads();
    let wanted = 8 * threads;
    let panels = rows.div_ceil(panel);
    let chunks = wanted
        .div_ceil(panels)
        .clamp(1, (batch / CHUNK).max(1))
        .max((batch * depth).div_ceil(ACTIVATIONS));
    let group = (panels * chunks / wanted).clamp(1, GROUP / (panel * depth)) * panel;
    let chunk = batch.div_ceil(chunks).next_multiple_of(tile);
    // Threads at work on neighbouring groups would write to the same lines of the cache.
    let apart = rows.div_ceil(group).div_ceil(threads);
    pool::for_each(apart * threads * chunks, 1, |items| {
        PANELS.with_borrow_mut(|panels| {
            for item in items {
                let (number, start) = (item / chunks, item % chunks * chunk);
                let first = (number % threads * apart + number / threads) * group;
                if first >= rows || start >= batch {
                    continue;
                }
                let count = chunk.min(batch - start);
                let share = Share {
                    tier,
                    tile,
                    panel,
                    columns,
                    depth,
                    x: Rows { values: &x.values[start * x.stride..], stride: x.stride },
                    count,
                    weight: &weight[first * columns..rows.min(first + group) * columns],
                    bias: bias.map(|bias| &bias[first..rows.min(first + group)]),
                    out: start * rows + first,
                    stride: rows,
                };
                share.multiply(panels, out);
            }
        });
    });
}

/// How many of so many columns are summed up by themselves.
pub(super) fn depth(columns: usize) -> usize {
    columns.div_ceil(columns.div_ceil(DEPTH)).next_multiple_of(8)
}

/// Some rows of weights and some of activations.
struct Share<'a, T> {
    tier: Tier,
    /// Rows of activations that are multiplied together.
    tile: usize,
    /// Rows of weights in a panel.
    panel: usize,
    columns: usize,
    /// Columns at a time.
    depth: usize,
    x: Rows<'a>,
    /// Rows of activations.
    count: usize,
    weight: &'a [T],
    bias: Option<&'a [f32]>,
    /// Where their products begin, and after how many the next row.
    out: usize,
    stride: usize,
}

impl<T: Element> Share<'_, T> {
    fn multiply(&self, panels: &mut Vec<f32>, out: &Shared<'_, f32>) {
        let rows = (self.weight.len() / self.columns).next_multiple_of(self.panel);
        if panels.len() < rows * self.depth {
            panels.resize(rows * self.depth, 0.0);
        }
        for start in (0..self.columns).step_by(self.depth) {
            let end = self.columns.min(start + self.depth);
            let panels = &mut panels[..rows * (end - start)];
            self.fill(start..end, panels);
            self.multiply_columns(start..end, panels, out);
        }
    }

    fn fill(&self, columns: Range<usize>, panels: &mut [f32]) {
        let weights = self.weight.chunks(self.panel * self.columns);
        for (panel, weight) in panels.chunks_exact_mut(columns.len() * self.panel).zip(weights) {
            let weight = &weight[columns.start..weight.len() - self.columns + columns.end];
            panel::fill(self.tier, weight, self.columns, columns.len(), panel, self.panel);
        }
    }

    fn multiply_columns(&self, columns: Range<usize>, panels: &[f32], out: &Shared<'_, f32>) {
        let rows = self.weight.len() / self.columns;
        let multiply = match T::PAIRS {
            true => tile::product_at::<true, f32>,
            false => tile::product_at::<false, f32>,
        };
        for at in (0..self.count).step_by(self.tile) {
            let values = &self.x.values[at * self.x.stride + columns.start..];
            let left = Rows { values, stride: self.x.stride };
            let (batch, start) = (self.tile.min(self.count - at), self.out + at * self.stride);
            let of_row = |row: usize| start + row * self.stride;
            for (number, panel) in panels.chunks_exact(columns.len() * self.panel).enumerate() {
                let right = Rows { values: panel, stride: self.panel };
                let first = number * self.panel;
                let width = self.panel.min(rows - first);
                let shape = [batch, columns.len(), width.next_multiple_of(8)];
                let bias = self.bias.filter(|_| columns.start == 0);
                let bias = bias.map(|bias| &bias[first..first + width]);
                if width.is_multiple_of(8) {
                    let out = out.pointer(of_row(0) + first, (batch - 1) * self.stride + width);
                    let into = match bias {
                        Some(bias) => Store::WriteWithBias(bias),
                        None if columns.start == 0 => Store::Write,
                        None => Store::Accumulate,
                    };
                    // SAFETY: the products of these rows are this share's alone; where there are pairs,
                    // the processor has what they need (asserted above).
                    unsafe {
                        multiply(self.tier, left, right, shape, (out, self.stride), into, None)
                    };
                    continue;
                }
                let mut products = [0.0; MOST];
                let out_of_tile = products[..batch * self.panel].as_mut_ptr();
                // SAFETY: there is room for the tile; as above.
                unsafe {
                    let (stride, into) = (self.panel, Store::Write);
                    multiply(self.tier, left, right, shape, (out_of_tile, stride), into, None);
                }
                for (row, products) in products.chunks_exact_mut(self.panel).take(batch).enumerate()
                {
                    let (at, products) = (of_row(row) + first, &mut products[..width]);
                    // SAFETY: as above; what is added to has been written.
                    unsafe {
                        if columns.start > 0 {
                            let before = out.part(at, products.len());
                            products.iter_mut().zip(before).for_each(|(sum, x)| *sum += *x);
                        }
                        let bias = bias.iter().flat_map(|bias| bias.iter());
                        products.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
                        out.write(at, products);
                    }
                }
            }
        }
    }
}
