//! The search for the scale and the minimum of the few weights that share them: a code stands for
//! `code * scale - min`. As many groups of weights are looked at side by side as there are lanes.
//!
//! Like ggml's (`make_qkx2_quants`) it rounds in several ways and finds scale and minimum for each by
//! least squares, in which large weights count more. It does not do so step by step as ggml, which takes three
//! times as long: the error comes from the sums of least squares; fewer ways are tried, each rounded again with
//! what was found; and the minimum is found anew for the scale as it is stored. In Q2_K, ggml's weights count by
//! their size alone and errors as they are, not squared.

use half::f16;

use crate::kernels::quantize::lanes::{LANES, Lanes};
use crate::kernels::quantize::search::{ROUND, nearest};

/// By how much codes' range is stretched over the range of the weights.
const STRETCHES: [f32; 4] = [-0.9, -0.3, 0.3, 0.9];

/// How often each is rounded.
const TIMES: usize = 2;

/// Scales and minima of the groups of a batch, as they are stored.
pub(super) struct Affine<const COUNT: usize> {
    pub(super) scales: Stored,
    pub(super) mins: Stored,
    most: i32,
}

/// Numbers of the groups of a batch that are not negative, as multiples of one number of each block.
pub(super) struct Stored {
    /// The number of the group's block.
    unit: [f16; LANES],
    pub(super) codes: [u8; LANES],
    values: Lanes,
}

impl<const COUNT: usize> Affine<COUNT> {
    /// For codes of weights up to `most`, and those of scales and minima up to `steps`.
    #[inline(always)]
    pub(super) fn new<const FMA: bool>(x: &[Lanes; COUNT], most: i32, steps: f32) -> Self {
        let mut room = [Lanes::all(0.0); COUNT];
        let groups = Groups::new::<FMA>(x, &mut room, most as f32);
        let line = groups.fit::<FMA>();
        let scales = Stored::new(line.scale, 256 / COUNT, steps);
        let mins = groups.minimum::<FMA>(scales.values, line.least);
        Self { scales, mins: Stored::new(mins, 256 / COUNT, steps), most }
    }

    /// The code of each weight of a block.
    #[inline(always)]
    pub(super) fn codes(&self, x: &[f32; 256], first: usize) -> [u8; 256] {
        let mut codes = [0; 256];
        for (i, (x, codes)) in x.chunks(COUNT).zip(codes.chunks_mut(COUNT)).enumerate() {
            let (scale, min) = (self.scales.values.get(first + i), self.mins.values.get(first + i));
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            for (code, &x) in codes.iter_mut().zip(x) {
                *code = nearest((x + min) * inverse).clamp(0, self.most) as u8;
            }
        }
        codes
    }
}

impl Stored {
    #[inline(always)]
    fn new(mut values: Lanes, together: usize, steps: f32) -> Self {
        let (mut unit, mut codes) = ([f16::ZERO; LANES], [0; LANES]);
        for first in (0..LANES).step_by(together) {
            let lanes = first..first + together;
            let largest =
                lanes.clone().fold(0.0_f32, |largest, lane| largest.max(values.get(lane)));
            let stored = f16::from_f32(largest / steps);
            let size = stored.to_f32();
            let inverse = if size > 0.0 { 1.0 / size } else { 0.0 };
            for lane in lanes {
                let code = rounded(inverse * values.get(lane), steps);
                unit[lane] = stored;
                codes[lane] = code as u8;
                values.set(lane, size * code);
            }
        }
        Self { unit, codes, values }
    }

    /// Writes the number of a block.
    #[inline(always)]
    pub(super) fn put_unit(&self, first: usize, out: &mut [u8]) {
        out[..2].copy_from_slice(&self.unit[first].to_le_bytes());
    }
}

/// The nearest integer from 0 to `most`, ties to even. As `search::rounded`, with an operation less; the searches
/// there are slower with this one.
#[inline(always)]
fn rounded(x: f32, most: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    let x = if x < most { x } else { most };
    x + ROUND - ROUND
}

/// Groups of weights, what each weight counts, and what of their sums does not depend on codes.
struct Groups<'a, const COUNT: usize> {
    x: &'a [Lanes; COUNT],
    importance: &'a [Lanes; COUNT],
    importances: Lanes,
    weighed: Lanes,
    /// The largest code.
    most: f32,
}

/// Codes stand for `code * scale + least`, which is never positive.
struct Line {
    scale: Lanes,
    least: Lanes,
}

/// Sums over a group, by importance, of codes, of their squares and of their products with weights.
struct Sums {
    codes: Lanes,
    squares: Lanes,
    products: Lanes,
}

impl<'a, const COUNT: usize> Groups<'a, COUNT> {
    /// `room` is for what each weight counts: its own size and the group's (root mean square).
    #[inline(always)]
    fn new<const FMA: bool>(
        x: &'a [Lanes; COUNT],
        room: &'a mut [Lanes; COUNT],
        most: f32,
    ) -> Self {
        let zero = Lanes::all(0.0);
        let squares = x.iter().fold(zero, |squares, &x| x.multiply_add::<FMA>(x, squares));
        let size = squares.map(|squares| (squares / COUNT as f32).sqrt());
        let (mut importances, mut weighed) = (zero, zero);
        for (&x, room) in x.iter().zip(&mut *room) {
            let importance = size + x.abs();
            importances = importances + importance;
            weighed = weighed + importance * x;
            *room = importance;
        }
        Self { x, importance: room, importances, weighed, most }
    }

    /// The scale and the minimum with the least error.
    #[inline(always)]
    fn fit<const FMA: bool>(&self) -> Line {
        let zero = Lanes::all(0.0);
        let (mut lowest, mut largest) = (zero, self.x[0]);
        for &x in self.x {
            lowest = lowest.least(x);
            largest = largest.largest(x);
        }
        let range = largest - lowest;
        let per_weight = range.map(|range| 1.0 / range);
        let mut found = Line { scale: range.map(|range| range / self.most), least: lowest };
        let mut best = Lanes::all(f32::INFINITY);
        for stretch in STRETCHES {
            let mut inverse = per_weight.map(|per_weight| (self.most + stretch) * per_weight);
            let mut from = lowest;
            for _ in 0..TIMES {
                let (line, error, next) = self.least_squares(&self.sums::<FMA>(inverse, from));
                let better = error.below(best);
                best = error.or(best, better);
                found.scale = line.scale.or(found.scale, better);
                found.least = line.least.or(found.least, better);
                (inverse, from) = (next, line.least);
            }
        }
        // Weights that are all the same have no range.
        Line { scale: found.scale.or(zero, zero.below(range)), ..found }
    }

    /// The minimum, its sign turned, that goes best with a scale, for codes rounded from what was found.
    #[inline(always)]
    fn minimum<const FMA: bool>(&self, scale: Lanes, least: Lanes) -> Lanes {
        let inverse = scale.map(|scale| if scale > 0.0 { 1.0 / scale } else { 0.0 });
        let codes = self.sums::<FMA>(inverse, least).codes;
        let minimum = (scale * codes - self.weighed) / self.importances;
        minimum.map(|minimum| if minimum > 0.0 { minimum } else { 0.0 })
    }

    #[inline(always)]
    fn sums<const FMA: bool>(&self, inverse: Lanes, from: Lanes) -> Sums {
        let zero = Lanes::all(0.0);
        let (mut codes, mut squares, mut products) = (zero, zero, zero);
        let offset = zero - inverse * from;
        for (&x, &importance) in self.x.iter().zip(self.importance) {
            let code = x.multiply_add::<FMA>(inverse, offset).map(|x| rounded(x, self.most));
            let weighed = importance * code;
            codes = codes + weighed;
            squares = weighed.multiply_add::<FMA>(code, squares);
            products = weighed.multiply_add::<FMA>(x, products);
        }
        Sums { codes, squares, products }
    }

    /// The best scale and minimum for codes, the error that they leave but for what is the same for all,
    /// and the scale's inverse.
    #[inline(always)]
    fn least_squares(&self, sums: &Sums) -> (Line, Lanes, Lanes) {
        let Sums { codes, squares, products } = *sums;
        let zero = Lanes::all(0.0);
        let determinant = self.importances * squares - codes * codes;
        let least = squares * self.weighed - codes * products;
        // The minimum is not below zero; the scale alone is found then.
        let above = zero.below(least);
        let numerator = products.or(self.importances * products - self.weighed * codes, above);
        let denominator = squares.or(determinant, above);
        let inverse = denominator.map(|denominator| 1.0 / denominator);
        let least = zero.or(least * inverse, above);
        let scale = numerator * inverse;
        let error = zero - scale * products - least * self.weighed;
        // Codes that are all the same leave nothing to divide by but what rounding left.
        let enough = (self.importances * squares).map(|x| x * 1e-5).below(determinant);
        let error = error.or(Lanes::all(f32::INFINITY), enough);
        (Line { scale, least }, error, denominator / numerator)
    }
}
