//! What an adapter adds to a layer: the product of two small matrices, or what LyCORIS builds of more of them.
//!
//! Reference: `get_delta_weight` of PEFT's LoRA, LoHa and LoKr.

use std::ops::Range;

use crate::kernels::dense;
use crate::kernels::dense::Dense;

/// What an adapter adds to a layer, in f32.
#[derive(Debug)]
pub(in crate::weights) struct Matrices {
    pub(in crate::weights) product: Product,
    pub(in crate::weights) ins: usize,
    pub(in crate::weights) outs: usize,
    /// By what the product is multiplied.
    pub(in crate::weights) scale: f32,
    pub(in crate::weights) magnitude: Option<Magnitude>,
}

/// A matrix `(out_features, in_features)`.
#[derive(Debug)]
pub(in crate::weights) enum Product {
    /// `up` `(out_features, rank)` times `down` `(rank, in_features)`.
    LowRank { down: Vec<f32>, up: Vec<f32>, rank: usize },
    /// All of it.
    Whole(Vec<f32>),
}

/// The lengths that the sum of weight and adapter is stretched to: DoRA.
#[derive(Debug)]
pub(in crate::weights) enum Magnitude {
    /// Of each row.
    Rows(Vec<f32>),
    /// Of all that is read from each channel that goes in: older files of LyCORIS.
    Inputs(Vec<f32>),
}

/// A matrix; a kernel `(rows, channels, height, width)` lies flat in its rows.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) numbers: Vec<f32>,
}

impl Numbers {
    pub(super) fn new(shape: Vec<usize>, numbers: Vec<f32>) -> Self {
        let rows = shape.first().copied().unwrap_or(1);
        let columns = numbers.len().checked_div(rows).unwrap_or(0);
        Self { shape, rows, columns, numbers }
    }

    pub(super) fn turned(self) -> Self {
        let Self { rows, columns, numbers, .. } = self;
        let number = |at: usize| numbers[at % rows * columns + at / rows];
        Self::new(vec![columns, rows], (0..rows * columns).map(number).collect())
    }

    /// This matrix times another; nothing where they do not fit.
    pub(super) fn times(&self, other: Self) -> Option<Self> {
        if self.columns != other.rows || self.columns == 0 {
            return None;
        }
        let shape = vec![self.rows, other.columns];
        // The product takes the second matrix turned.
        let other = other.turned();
        let numbers =
            dense::multiply(&self.numbers, self.columns, Dense::F32(&other.numbers), None);
        Some(Self::new(shape, numbers))
    }

    /// The core `(a, b, …)` between `left` `(a, rows)` and `right` `(b, columns)`: `(rows, columns, …)`.
    pub(super) fn tucker(&self, left: Self, right: Self) -> Option<Self> {
        let (&[a, b], columns) = (self.shape.get(..2)?, right.columns) else { return None };
        let kernel = self.columns.checked_div(b)?;
        let right = right.turned();
        let mut inner = Vec::with_capacity(a * columns * kernel);
        for row in self.numbers.chunks(self.columns.max(1)) {
            let core = Self::new(vec![b, kernel], row.to_vec());
            inner.extend(right.times(core)?.numbers);
        }
        left.turned().times(Self::new(vec![a, columns * kernel], inner))
    }

    /// Each number times the other's at the same place.
    pub(super) fn hadamard(mut self, other: &Self) -> Option<Self> {
        if [self.rows, self.columns] != [other.rows, other.columns] {
            return None;
        }
        self.numbers.iter_mut().zip(&other.numbers).for_each(|(number, other)| *number *= other);
        Some(self)
    }

    /// The Kronecker product: the other matrix in the place of each number, times that number.
    pub(super) fn kronecker(&self, other: &Self) -> Self {
        let shape = vec![self.rows * other.rows, self.columns * other.columns];
        let mut numbers = Vec::with_capacity(shape[0] * shape[1]);
        for outer in self.numbers.chunks(self.columns.max(1)) {
            for inner in other.numbers.chunks(other.columns.max(1)) {
                for number in outer {
                    numbers.extend(inner.iter().map(|other| number * other));
                }
            }
        }
        Self::new(shape, numbers)
    }
}

impl Matrices {
    /// Those of some rows of the layer.
    pub(super) fn rows(self, ranges: &[Range<usize>]) -> Self {
        let cut = |numbers: &[f32], width: usize| -> Vec<f32> {
            let rows = ranges.iter().flat_map(|range| {
                numbers.get(range.start * width..range.end * width).unwrap_or_default()
            });
            rows.copied().collect()
        };
        let (product, outs) = match self.product {
            Product::LowRank { down, up, rank } => {
                let up = cut(&up, rank);
                let outs = up.len() / rank.max(1);
                (Product::LowRank { down, up, rank }, outs)
            }
            Product::Whole(all) => {
                let all = cut(&all, self.ins);
                let outs = all.len() / self.ins.max(1);
                (Product::Whole(all), outs)
            }
        };
        let magnitude = self.magnitude.map(|magnitude| match magnitude {
            Magnitude::Rows(lengths) => Magnitude::Rows(cut(&lengths, 1)),
            inputs @ Magnitude::Inputs(_) => inputs,
        });
        Self { product, outs, magnitude, ..self }
    }

    /// What is added to the weight, `(out_features, in_features)`.
    fn difference(&self) -> Vec<f32> {
        let mut difference = match &self.product {
            Product::Whole(all) => all.clone(),
            Product::LowRank { down, up, rank } => {
                // The product takes the second matrix turned.
                let ins = self.ins;
                let turned: Vec<f32> =
                    (0..rank * ins).map(|at| down[at % rank * ins + at / rank]).collect();
                dense::multiply(up, *rank, Dense::F32(&turned), None)
            }
        };
        difference.iter_mut().for_each(|number| *number *= self.scale);
        difference
    }

    /// Adds it to a weight `(out_features, in_features)`.
    pub(super) fn add_to(&self, weight: &mut [f32]) {
        for (number, more) in weight.iter_mut().zip(self.difference()) {
            *number += more;
        }
        match &self.magnitude {
            None => {}
            Some(Magnitude::Rows(lengths)) => {
                for (row, length) in weight.chunks_mut(self.ins.max(1)).zip(lengths) {
                    let squares: f32 = row.iter().map(|number| number * number).sum();
                    let factor = length / squares.sqrt();
                    row.iter_mut().for_each(|number| *number *= factor);
                }
            }
            Some(Magnitude::Inputs(lengths)) => {
                let width = (self.ins / lengths.len().max(1)).max(1);
                let mut squares = vec![0.0_f32; lengths.len()];
                for row in weight.chunks(self.ins.max(1)) {
                    for (sum, part) in squares.iter_mut().zip(row.chunks(width)) {
                        *sum += part.iter().map(|number| number * number).sum::<f32>();
                    }
                }
                for row in weight.chunks_mut(self.ins.max(1)) {
                    let factors = lengths.iter().zip(&squares);
                    for (part, (length, squares)) in row.chunks_mut(width).zip(factors) {
                        let factor = length / squares.sqrt();
                        part.iter_mut().for_each(|number| *number *= factor);
                    }
                }
            }
        }
    }
}
