//! Exponentials that vectorize.

use crate::kernels::reduce::across;

/// `a b + c`, in one step where the processor has one.
#[inline(always)]
pub(super) fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` within `3e-7` of it, relatively; 0 below -87.3, where f32 ends, and `e^88` above 88.
///
/// Range reduction and polynomial as in Cephes' `expf`.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    let value = exp_within::<FMA>(x.clamp(-87.3, 88.0));
    if x < -87.3 { 0.0 } else { value }
}

/// [`exp`] between -87.3 and 88.
#[inline(always)]
pub(super) fn exp_within<const FMA: bool>(x: f32) -> f32 {
    /// Adding and taking it away rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let shifted = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // The logarithm of 2 in two parts, the first exact in few bits.
    let r = multiply_add::<FMA>(n, -0.693_359_4, x);
    let r = multiply_add::<FMA>(n, 2.121_944_4e-4, r);
    let p = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1]
        .into_iter()
        .fold(1.987_569_1e-4, |p, next| multiply_add::<FMA>(p, r, next));
    let p = multiply_add::<FMA>(p, r * r, r) + 1.0;
    // The whole part is in the low bits of the shifted number; it becomes the exponent.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    p * power
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// `tanh x`, within `2e-7`.
#[inline(always)]
pub(super) fn tanh<const FMA: bool>(x: f32) -> f32 {
    2.0 * sigmoid::<FMA>(2.0 * x) - 1.0
}

/// Numbers that are taken together: a vector of AVX-512, two of AVX2.
const LANES: usize = 16;

/// The largest of all; minus infinity if there are none.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = larger(*lane, *value);
        }
    }
    rest.iter().copied().fold(across(lanes, larger), larger)
}

/// `e^(x - largest)` of each in place, and their sum.
#[inline(always)]
pub(super) fn exponentials<const FMA: bool>(values: &mut [f32], largest: f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (whole, rest) = values.as_chunks_mut::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *value = exp::<FMA>(*value - largest);
            *lane += *value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *value = exp::<FMA>(*value - largest);
        *lane += *value;
    }
    across(lanes, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_as_stated() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            let expected = f64::from(x).exp();
            for found in [exp::<false>(x), exp::<true>(x)] {
                let error = (f64::from(found) - expected).abs() / expected;
                assert!(error < 3e-7, "e^{x} is off by {error}");
            }
            for found in [tanh::<false>(x), tanh::<true>(x)] {
                let error = (f64::from(found) - f64::from(x).tanh()).abs();
                assert!(error < 2e-7, "tanh({x}) is off by {error}");
            }
        }
        for exp in [exp::<false>, exp::<true>] {
            assert_eq!((exp(f32::NEG_INFINITY), exp(-1e30), exp(0.0)), (0.0, 0.0, 1.0));
            assert!(exp(f32::INFINITY) > 1e38 && exp(f32::NAN).is_nan());
        }
    }
}
