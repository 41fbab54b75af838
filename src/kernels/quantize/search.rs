//! The searches for the scale of the few weights that share it: for as many groups of weights at once
//! as there are lanes.
//!
//! In a lane, sums run in the order of ggml's and nothing is fused, so that the results are its to
//! the bit.

use crate::kernels::quantize::lanes::{LANES, Lanes};

/// Where all weights are below this, they are taken for zeros.
pub(super) const NOTHING: f32 = 1e-15;

/// Adding this to what is smaller than 2^22 rounds it to the nearest integer, ties to even, as it
/// leaves no bits for a fraction; these are then the lowest.
pub(super) const ROUND: f32 = 12_582_912.0;

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
