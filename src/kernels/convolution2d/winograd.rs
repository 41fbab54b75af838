//! Convolutions of a pixel and its eight neighbours with a quarter of the products.
//!
//! Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2015): a square of 4 by 4 results is computed
//! from the 6 by 6 pixels around it. Pixels and weights are each turned into 36 numbers, and what were nine products for
//! each of 16 results becomes 36 products. The pixels are a polynomial's values at 0, at plus and minus the square roots
//! of 1/2 and of 2, and at infinity, which loses less to rounding than whole numbers do (Barabasz and others, *Error
//! Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks*, 2020).
#![expect(unsafe_code, reason = "threads that write to one slice")]

use std::cell::RefCell;
use std::f32::consts::{FRAC_1_SQRT_2 as A, SQRT_2 as B};
use std::ops::Range;

use crate::kernels::convolution2d::panels::{Panel, Panels};
use crate::kernels::convolution2d::square::Square;
use crate::kernels::pool;
use crate::kernels::shared::{Shared, written};
use crate::kernels::tier::{Tier, tiered};
use crate::kernels::tile::{Rows, Store, product};

/// Results of a side of a square.
const RESULTS: usize = 4;
/// Pixels of a side of what a square is computed from.
const SIDE: usize = 6;
const POINTS: usize = SIDE * SIDE;
/// Numbers that the pixels of some squares become: few enough to stay in the last cache.
const TOGETHER: usize = 1 << 21;
/// Squares that a thread computes at a time at least: for each such part, weights are turned anew.
const LEAST: usize = 48;

/// Whether there are enough results and channels for it to be faster.
pub(super) fn pays(square: Square, panels: &Panels) -> bool {
    let squares = square.results.map(|side| side.div_ceil(RESULTS));
    (square.kernel, square.stride) == (3, 1)
        && panels.inputs.min(panels.outputs) >= 16
        && squares[0] * squares[1] >= 12
}

thread_local! {
    static SCRATCH: RefCell<[Vec<f32>; 3]> = const { RefCell::new([const { Vec::new() }; 3]) };
}

/// As [`super::convolve`].
pub(super) fn convolve(
    tier: Tier,
    x: &[f32],
    shape: [usize; 3],
    square: Square,
    panels: &Panels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let channels = panels.inputs;
    let [high, wide] = square.results.map(|side| side.div_ceil(RESULTS));
    let most = (TOGETHER / (POINTS * channels)).max(2 * LEAST);
    let together = (high * wide).div_ceil((high * wide).div_ceil(most));
    // SAFETY: each square is computed for each panel, and they cover all results.
    let mut outs = unsafe {
        written(&[square.results[0] * square.results[1] * panels.outputs], |outs| {
            for start in (0..high * wide).step_by(together) {
                let squares = start..(high * wide).min(start + together);
                let pixels = turn_pixels(tier, x, shape, square, squares.clone());
                let work = Work { tier, square, panels, bias, squares, pixels };
                work.multiply(&outs[0]);
            }
        })
    };
    outs.swap_remove(0)
}

/// The pixels of some squares: `(36, squares, channels)`.
fn turn_pixels(
    tier: Tier,
    x: &[f32],
    [height, width, channels]: [usize; 3],
    square: Square,
    squares: Range<usize>,
) -> Vec<f32> {
    let wide = square.results[1].div_ceil(RESULTS);
    let zeros = vec![0.0; channels];
    // SAFETY: each point of each square is written.
    let mut outs = unsafe {
        written(&[POINTS * squares.len() * channels], |outs| {
            pool::for_each(squares.len(), 1, |numbers| {
                for number in numbers {
                    let (top, left) = both(squares.start + number, wide);
                    let pixel = |point: usize| {
                        let y = (RESULTS * top + point / SIDE).checked_sub(square.before);
                        let x_at = (RESULTS * left + point % SIDE).checked_sub(square.before);
                        match (y, x_at) {
                            (Some(y), Some(x_at)) if y < height && x_at < width => {
                                &x[(y * width + x_at) * channels..][..channels]
                            }
                            _ => &zeros,
                        }
                    };
                    let room = |point: usize| {
                        outs[0].part((point * squares.len() + number) * channels, channels)
                    };
                    let mut turned = std::array::from_fn(room);
                    turn_square(tier, &std::array::from_fn(pixel), &mut turned);
                }
            });
        })
    };
    outs.swap_remove(0)
}

/// The row and the column of a square.
fn both(number: usize, wide: usize) -> (usize, usize) {
    (number / wide, number % wide)
}

/// Squares whose pixels have been turned.
struct Work<'a> {
    tier: Tier,
    square: Square,
    panels: &'a Panels,
    bias: Option<&'a [f32]>,
    squares: Range<usize>,
    pixels: Vec<f32>,
}

impl Work<'_> {
    fn multiply(&self, out: &Shared<'_, f32>) {
        let count = self.squares.len();
        let wanted = (8 * pool::threads()).div_ceil(self.panels.count());
        let part = count.div_ceil(wanted.clamp(1, (count / LEAST).max(1)));
        let parts = count.div_ceil(part);
        pool::for_each(self.panels.count() * parts, 1, |items| {
            SCRATCH.with_borrow_mut(|scratch| {
                for item in items {
                    let start = item % parts * part;
                    let panel = self.panels.get(item / parts);
                    self.multiply_panel(&panel, start..count.min(start + part), scratch, out);
                }
            });
        });
    }

    fn multiply_panel(
        &self,
        panel: &Panel<'_>,
        squares: Range<usize>,
        [room, weights, sums]: &mut [Vec<f32>; 3],
        out: &Shared<'_, f32>,
    ) {
        let (channels, width, count) = (self.panels.inputs, panel.width, squares.len());
        let size = channels * width;
        let panel_weights = panel.rows(self.tier, 0..9 * channels, room);
        weights.resize(SIDE * size, 0.0);
        sums.resize(POINTS * count * width, 0.0);
        for row in 0..SIDE {
            turn_weights(self.tier, row, panel_weights, weights);
            for (column, weights) in weights.chunks_exact(size).enumerate() {
                let point = row * SIDE + column;
                let first = (point * self.squares.len() + squares.start) * channels;
                let left = Rows { values: &self.pixels[first..], stride: channels };
                let right = Rows { values: weights, stride: width };
                let sums = &mut sums[point * count * width..][..count * width];
                let shape = [count, channels, width];
                product(self.tier, left, right, shape, sums, width, Store::Write);
            }
        }
        let [height, in_row] = self.square.results;
        let wide = in_row.div_ceil(RESULTS);
        let mut results = vec![0.0; RESULTS * RESULTS * width];
        for at in 0..count {
            let of_point = |point: usize| &sums[(point * count + at) * width..][..width];
            turn_back(self.tier, &std::array::from_fn(of_point), &mut results);
            let (top, left) = both(self.squares.start + squares.start + at, wide);
            for (number, sums) in results.chunks_exact_mut(width).enumerate() {
                let (y, x) = (RESULTS * top + number / RESULTS, RESULTS * left + number % RESULTS);
                if y < height && x < in_row {
                    // SAFETY: a result's outputs of a panel are this item's alone.
                    unsafe { panel.write(sums, self.bias, out, y * in_row + x) };
                }
            }
        }
    }
}

/// Numbers that are computed at a time: those of one or two vectors.
const LANES: usize = 16;
type Lanes = [f32; LANES];

/// Numbers from `start` on, and zeros beyond their end.
#[inline(always)]
fn load(from: &[f32], start: usize) -> Lanes {
    let from = &from[start..];
    match from.first_chunk() {
        Some(lanes) => *lanes,
        None => {
            let mut lanes = [0.0; LANES];
            lanes[..from.len()].copy_from_slice(from);
            lanes
        }
    }
}

#[inline(always)]
fn store(lanes: &Lanes, out: &mut [f32], start: usize) {
    let out = &mut out[start..];
    match out.first_chunk_mut() {
        Some(out) => *out = *lanes,
        None => out.copy_from_slice(&lanes[..out.len()]),
    }
}

/// Six numbers in a row as the values of a polynomial: the transposed `B` of the paper.
#[inline(always)]
fn turn_six(x: &mut [Lanes; POINTS], at: [usize; SIDE]) {
    let from = at.map(|at| x[at]);
    for lane in 0..LANES {
        let [x0, x1, x2, x3, x4, x5] = from.map(|lanes| lanes[lane]);
        let (even, odd) = (x4 - 2.0 * x2, A * (x3 - 2.0 * x1));
        let (even_far, odd_far) = (x4 - 0.5 * x2, B * (x3 - 0.5 * x1));
        let turned = [
            x0 - 2.5 * x2 + x4,
            even + odd,
            even - odd,
            even_far + odd_far,
            even_far - odd_far,
            x1 - 2.5 * x3 + x5,
        ];
        for (at, turned) in at.into_iter().zip(turned) {
            x[at][lane] = turned;
        }
    }
}

tiered! {
    /// The pixels of a square, `(6, 6)`, each of some channels.
    fn turn_square(pixels: &[&[f32]; POINTS], turned: &mut [&mut [f32]; POINTS]) {
        for start in (0..pixels[0].len()).step_by(LANES) {
            let mut x = pixels.map(|pixel| load(pixel, start));
            for line in 0..SIDE {
                turn_six(&mut x, std::array::from_fn(|at| line * SIDE + at));
            }
            for line in 0..SIDE {
                turn_six(&mut x, std::array::from_fn(|at| at * SIDE + line));
            }
            for (x, turned) in x.iter().zip(turned.iter_mut()) {
                store(x, turned, start);
            }
        }
    }
}

/// `G` of the paper: a row for each number that three weights become.
const WEIGHTS: [[f32; 3]; SIDE] = [
    [1.0, 0.0, 0.0],
    [-2.0 / 3.0, -2.0 / 3.0 * A, -1.0 / 3.0],
    [-2.0 / 3.0, 2.0 / 3.0 * A, -1.0 / 3.0],
    [1.0 / 6.0, B / 6.0, 1.0 / 3.0],
    [1.0 / 6.0, -B / 6.0, 1.0 / 3.0],
    [0.0, 0.0, 1.0],
];

tiered! {
    /// One row of six of what weights `(3, 3, numbers)` become.
    fn turn_weights(row: usize, weights: &[f32], turned: &mut [f32]) {
        let count = weights.len() / 9;
        for start in (0..count).step_by(LANES) {
            let of_weight = |at: usize| load(&weights[at * count..][..count], start);
            let x: [Lanes; 9] = std::array::from_fn(of_weight);
            let mut of_row = [[0.0; LANES]; SIDE];
            for lane in 0..LANES {
                let of_column = |column: usize| {
                    let [above, middle, below] = WEIGHTS[row];
                    above * x[column][lane]
                        + middle * x[3 + column][lane]
                        + below * x[6 + column][lane]
                };
                let [x0, x1, x2]: [f32; 3] = std::array::from_fn(of_column);
                for (turned, [left, middle, right]) in of_row.iter_mut().zip(WEIGHTS) {
                    turned[lane] = left * x0 + middle * x1 + right * x2;
                }
            }
            for (at, of_row) in of_row.iter().enumerate() {
                store(of_row, &mut turned[at * count..][..count], start);
            }
        }
    }
}

tiered! {
    /// The results of a square, `(4, 4, width)`, from the 36 products of each output.
    fn turn_back(products: &[&[f32]; POINTS], results: &mut [f32]) {
        let width = products[0].len();
        for start in (0..width).step_by(LANES) {
            let x = products.map(|products| load(products, start));
            let mut halves = [[0.0; LANES]; RESULTS * SIDE];
            for column in 0..SIDE {
                let of_column = four(std::array::from_fn(|row| x[row * SIDE + column]));
                for (row, of_row) in of_column.into_iter().enumerate() {
                    halves[row * SIDE + column] = of_row;
                }
            }
            for row in 0..RESULTS {
                let of_row = four(std::array::from_fn(|column| halves[row * SIDE + column]));
                for (column, lanes) in of_row.iter().enumerate() {
                    let number = row * RESULTS + column;
                    store(lanes, &mut results[number * width..][..width], start);
                }
            }
        }
    }
}

/// Four results from six products: the transposed `A` of the paper.
#[inline(always)]
fn four(x: [Lanes; SIDE]) -> [Lanes; RESULTS] {
    let mut results = [[0.0; LANES]; RESULTS];
    for lane in 0..LANES {
        let [x0, x1, x2, x3, x4, x5] = x.map(|lanes| lanes[lane]);
        let (sum, difference) = (x1 + x2, x1 - x2);
        let (sum_far, difference_far) = (x3 + x4, x3 - x4);
        let numbers = [
            x0 + sum + sum_far,
            A * difference + B * difference_far,
            0.5 * sum + 2.0 * sum_far,
            0.5 * A * difference + 2.0 * B * difference_far + x5,
        ];
        for (results, number) in results.iter_mut().zip(numbers) {
            results[lane] = number;
        }
    }
    results
}
