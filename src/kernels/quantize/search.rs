//! The searches for the scale, and for some the minimum, of the few weights that share them: for as
//! many groups of weights at once as there are lanes.
//!
//! In a lane, sums run in the order of ggml's and nothing is fused, so that the results are its to
//! the bit.

use crate::kernels::quantize::lanes::{LANES, Lanes};

/// Where all weights are below this, they are taken for zeros.
pub(super) const NOTHING: f32 = 1e-15;

/// Adding this to what is smaller than 2^22 rounds it to the nearest integer, ties to even, as it
/// leaves no bits for a fraction; these are then the lowest.
const ROUND: f32 = 12_582_912.0;

/// The nearest integer, ties to even, for what is smaller than 2^22 (`nearest_int`).
#[inline(always)]
pub(super) fn nearest(x: f32) -> i32 {
    ((x + ROUND).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// `nearest(x).clamp(least, most)` without leaving f32, whatever `x` is.
#[inline(always)]
fn rounded(x: f32, least: f32, most: f32) -> f32 {
    let shifted = f32::from_bits((x + ROUND).to_bits() & 0x007f_ffff | 0x4b00_0000);
    let (least, most) = (least + ROUND, most + ROUND);
    let shifted = if shifted > least { shifted } else { least };
    let shifted = if shifted < most { shifted } else { most };
    shifted - ROUND
}

/// The groups' weights: first the first of each group, then the second. Lanes without a group have
/// zeros.
#[inline(always)]
pub(super) fn side_by_side<const COUNT: usize>(x: &[f32]) -> [Lanes; COUNT] {
    let mut lanes = [Lanes::all(0.0); COUNT];
    for (lane, group) in x.as_chunks::<COUNT>().0.iter().enumerate().take(LANES) {
        for (lanes, x) in lanes.iter_mut().zip(group) {
            lanes.set(lane, *x);
        }
    }
    lanes
}

/// The weight that is largest in size.
pub(super) fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |extreme: f32, &x| if x.abs() > extreme.abs() { x } else { extreme })
}

#[inline(always)]
fn extremes(x: &[Lanes; 16]) -> Lanes {
    x.iter().fold(Lanes::all(0.0), |extremes, x| {
        x.zip(extremes, |x, extreme| if x.abs() > extreme.abs() { x } else { extreme })
    })
}

/// What [`symmetric`] finds.
pub(super) struct Symmetric {
    pub(super) scale: Lanes,
    /// What the codes are rounded from.
    inverse: Lanes,
    half: i32,
}

impl Symmetric {
    /// The code of a weight, as the search left it.
    pub(super) fn code(&self, lane: usize, x: f32) -> i32 {
        let Self { inverse, half, .. } = self;
        // Nothing else has an inverse of zero.
        let inverse = inverse.get(lane);
        if inverse == 0.0 { -half } else { nearest(inverse * x).clamp(-half, half - 1) }
    }
}

/// The scale for codes from `-half` to `half - 1`, by least squares weighed by the weights' own
/// squares, over 19 ways to round (`make_qx_quants`).
#[inline(always)]
pub(super) fn symmetric(x: &[Lanes; 16], half: i32) -> Symmetric {
    let zero = Lanes::all(0.0);
    let extreme = extremes(x);
    let size = half as f32;
    let mut rounding = extreme.map(|extreme| -size / extreme);
    let (products, squares) = symmetric_sums(x, rounding, size);
    let mut scale = products
        .zip(squares, |products, squares| if squares == 0.0 { 0.0 } else { products / squares });
    let mut best = scale * products;
    for step in (-9..=9).filter(|&step| step != 0) {
        let stretched = -(size + 0.1 * step as f32);
        let tried = extreme.map(|extreme| stretched / extreme);
        let (products, squares) = symmetric_sums(x, tried, size);
        // Lanes without squares are not better than anything.
        let limit = (best * squares)
            .zip(squares, |limit, squares| if squares > 0.0 { limit } else { f32::INFINITY });
        let better = limit.below(products * products);
        scale = (products / squares).or(scale, better);
        best = (scale * products).or(best, better);
        rounding = tried.or(rounding, better);
    }
    let nothing = extreme.abs().below(Lanes::all(NOTHING));
    Symmetric { scale: zero.or(scale, nothing), inverse: zero.or(rounding, nothing), half }
}

#[inline(always)]
fn symmetric_sums(x: &[Lanes; 16], inverse: Lanes, size: f32) -> (Lanes, Lanes) {
    let (mut products, mut squares) = (Lanes::all(0.0), Lanes::all(0.0));
    for &x in x {
        let code = (inverse * x).map(|x| rounded(x, -size, size - 1.0));
        let weight = x * x;
        products = products + weight * x * code;
        squares = squares + weight * code * code;
    }
    (products, squares)
}

/// What [`refined`] finds.
pub(super) struct Refined {
    pub(super) scale: Lanes,
    codes: [Lanes; 16],
}

impl Refined {
    /// The code of a weight of that number, as the search left it.
    pub(super) fn code(&self, lane: usize, number: usize) -> i32 {
        self.codes[number].get(lane) as i32
    }
}

/// The scale and the codes from `-half` to `half - 1`, each code in turn moved to where it helps
/// most (`make_q3_quants`).
#[inline(always)]
pub(super) fn refined(x: &[Lanes; 16], half: i32) -> Refined {
    let zero = Lanes::all(0.0);
    let size = half as f32;
    let extreme = extremes(x);
    let inverse = extreme.map(|extreme| -size / extreme);
    let (mut products, mut squares) = (zero, zero);
    let mut codes = [zero; 16];
    for (&x, out) in x.iter().zip(&mut codes) {
        let code = (inverse * x).map(|x| rounded(x, -size, size - 1.0));
        *out = code;
        let weight = x * x;
        products = products + weight * x * code;
        squares = squares + weight * code * code;
    }
    for _ in 0..5 {
        let mut changed = false;
        for (&x, code_now) in x.iter().zip(&mut codes) {
            let weight = x * x;
            let old = *code_now;
            let others = products - weight * x * old;
            let other_squares = squares - weight * old * old;
            let moved = (x * other_squares / others).map(|x| rounded(x, -size, size - 1.0));
            let new_products = others + weight * x * moved;
            let new_squares = other_squares + weight * moved * moved;
            // Nowhere where there is nothing to divide by, nor where the code stays.
            let gain = (new_products * new_products * squares)
                .zip(others, |gain, others| if others > 0.0 { gain } else { f32::NEG_INFINITY })
                .zip(new_squares, |gain, new| if new > 0.0 { gain } else { f32::NEG_INFINITY })
                .zip(moved - old, |gain, by| if by != 0.0 { gain } else { f32::NEG_INFINITY });
            let better = (products * products * new_squares).below(gain);
            changed |= better.any();
            *code_now = moved.or(old, better);
            products = new_products.or(products, better);
            squares = new_squares.or(squares, better);
        }
        if !changed {
            break;
        }
    }
    let scale = products
        .zip(squares, |products, squares| if squares > 0.0 { products / squares } else { 0.0 });
    let nothing = extreme.abs().below(Lanes::all(NOTHING));
    for code in &mut codes {
        *code = Lanes::all(-size).or(*code, nothing);
    }
    Refined { scale: zero.or(scale, nothing), codes }
}

/// How many ways to round are tried: the codes' range is stretched by `first`, then by 0.1 more
/// each time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub(super) first: f32,
    pub(super) count: i32,
}

/// What [`shifted`] finds.
pub(super) struct Shifted {
    pub(super) scale: Lanes,
    /// Its sign turned.
    least: Lanes,
    /// What the codes are rounded from.
    inverse: Lanes,
    from: Lanes,
    most: i32,
}

impl Shifted {
    /// The minimum, its sign turned, which is never negative.
    pub(super) fn min(&self, lane: usize) -> f32 {
        -self.least.get(lane)
    }

    /// The code of a weight, as the search left it.
    pub(super) fn code(&self, lane: usize, x: f32) -> i32 {
        nearest(self.inverse.get(lane) * (x - self.from.get(lane))).clamp(0, self.most)
    }
}

/// Scale and minimum for codes from 0 to `most`, by weighed least squares (`make_qkx2_quants`).
/// `weigh` makes the weights of the least squares, and `error` what is summed up to tell how good codes
/// are of differences.
#[inline(always)]
pub(super) fn shifted<const COUNT: usize>(
    x: &[Lanes; COUNT],
    weigh: impl Fn(Lanes) -> Lanes,
    most: i32,
    steps: Steps,
    error: impl Fn(Lanes) -> Lanes,
) -> Shifted {
    let zero = Lanes::all(0.0);
    let size = most as f32;
    let (mut least, mut largest) = (x[0], x[0]);
    let mut weights = [weigh(x[0]); COUNT];
    let (mut sum_w, mut sum_x) = (weights[0], weights[0] * x[0]);
    for (&x, out) in x[1..].iter().zip(&mut weights[1..]) {
        let weight = weigh(x);
        *out = weight;
        least = least.least(x);
        largest = largest.largest(x);
        sum_w = sum_w + weight;
        sum_x = sum_x + weight * x;
    }
    least = least.least(zero);
    let range = largest - least;
    let mut codes = [zero; COUNT];
    let mut inverse = range.map(|range| size / range);
    let mut scale = inverse.map(|inverse| 1.0 / inverse);
    let mut from = least;
    let mut best = zero;
    for (&x, &weight) in x.iter().zip(&weights) {
        let code = (inverse * (x - least)).map(|x| rounded(x, 0.0, size));
        best = best + weight * error(scale * code + least - x);
    }
    for step in 0..=steps.count {
        let stretched = steps.first + 0.1 * step as f32 + size;
        let tried = (largest - least).map(|range| stretched / range);
        for (&x, out) in x.iter().zip(&mut codes) {
            *out = (tried * (x - least)).map(|x| rounded(x, 0.0, size));
        }
        let (mut sum_l, mut sum_l2, mut sum_xl) = (zero, zero, zero);
        for ((&x, &weight), &code) in x.iter().zip(&weights).zip(&codes) {
            let weighed = weight * code;
            sum_l = sum_l + weighed;
            sum_l2 = sum_l2 + weighed * code;
            sum_xl = sum_xl + weighed * x;
        }
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        let this_least = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        let above = zero.below(this_least);
        let this_least = zero.or(this_least, above);
        let this_scale =
            sum_xl.or(sum_w * sum_xl - sum_x * sum_l, above) / sum_l2.or(determinant, above);
        let mut this_error = zero;
        for ((&x, &weight), &code) in x.iter().zip(&weights).zip(&codes) {
            this_error = this_error + weight * error(this_scale * code + this_least - x);
        }
        // Where there is nothing to divide by, nothing is found.
        let this_error =
            this_error.zip(
                determinant,
                |error, determinant| {
                    if determinant > 0.0 { error } else { f32::INFINITY }
                },
            );
        let better = this_error.below(best);
        best = this_error.or(best, better);
        inverse = tried.or(inverse, better);
        from = least.or(from, better);
        scale = this_scale.or(scale, better);
        least = this_least.or(least, better);
    }
    // Weights that are all the same have no range.
    let spread = zero.below(range);
    let [scale, inverse, from] = [scale, inverse, from].map(|found| found.or(zero, spread));
    Shifted { scale, least, inverse, from, most }
}
