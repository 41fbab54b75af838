//! What a softmax is made of, over the keys of attention or over a vocabulary.

use crate::kernels::exp::{exp, exponentials, largest as largest_of};
use crate::kernels::tier::{Tier, tiered};

/// The largest number; those that are NaN are passed over; `-inf` of none.
pub(crate) fn largest(values: &[f32]) -> f32 {
    let mut result = f32::NEG_INFINITY;
    largest_on(Tier::best(), values, &mut result);
    result
}

/// `Σ e^(x - shift)`, summed in f64. Differences of more than 88 count as 88; NaN where a difference is NaN.
pub(crate) fn exponential_sum(values: &[f32], shift: f32) -> f64 {
    let mut result = 0.0;
    exponential_sum_on(Tier::best(), values, shift, &mut result);
    result
}

/// `e^x`, as in [`exponential_sum`].
#[inline(always)]
pub(crate) fn exponential(x: f32) -> f32 {
    exp::<false>(x)
}

tiered! {
    /// Scores become shares of `total`.
    pub(super) fn soften(scores: &mut [f32], total: &mut f32) {
        let largest = largest_of(scores);
        *total = exponentials::<FMA>(scores, largest);
    }
}

tiered! {
    fn largest_on(values: &[f32], result: &mut f32) {
        *result = largest_of(values);
    }
}

tiered! {
    fn exponential_sum_on(values: &[f32], shift: f32, result: &mut f64) {
        let (groups, rest) = values.as_chunks::<LANES>();
        let mut totals = [0.0_f64; LANES];
        for group in groups {
            for (total, value) in totals.iter_mut().zip(group) {
                *total += f64::from(exp::<FMA>(*value - shift));
            }
        }
        let rest = rest.iter().map(|value| f64::from(exp::<FMA>(*value - shift)));
        *result = totals.into_iter().chain(rest).sum();
    }
}

/// Numbers that are taken together.
const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_agrees_with_f64() {
        for width in [1, 3, 16, 40, 577] {
            let values: Vec<f32> = (0..width).map(|i| (i * 37 % 101) as f32 * 0.7 - 30.0).collect();
            let expected = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = values.iter().map(|&x| f64::from(x - expected).exp()).sum();
            for tier in Tier::available() {
                let (mut found, mut total) = (0.0, 0.0);
                largest_on(tier, &values, &mut found);
                assert_eq!(found, expected);
                exponential_sum_on(tier, &values, expected, &mut total);
                assert!((total / sum - 1.0).abs() < 3e-7, "{tier:?} {width}: {total} {sum}");
            }
        }
        for tier in Tier::available() {
            for (value, shift) in [(f32::NAN, 0.0), (f32::INFINITY, f32::INFINITY)] {
                let mut total = 0.0;
                exponential_sum_on(tier, &[0.0, value], shift, &mut total);
                assert!(total.is_nan());
            }
            let (mut found, mut total) = (0.0, 1.0);
            exponential_sum_on(tier, &[f32::NEG_INFINITY; 17], 0.0, &mut total);
            largest_on(tier, &[f32::NAN, -1.0], &mut found);
            assert_eq!((found, total), (-1.0, 0.0));
        }
    }
}
