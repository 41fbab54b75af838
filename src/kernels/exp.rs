//! Exponentials that vectorize.

/// `e^x` within `3e-7` of it, relatively; 0 below -87.3, where f32 ends, and `e^88` above 88.
///
/// Range reduction and polynomial as in Cephes' `expf`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding and taking it away rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let within = x.clamp(-87.3, 88.0);
    let shifted = within * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // The logarithm of 2 in two parts, the first exact in few bits.
    let r = within - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let p = p * r * r + r + 1.0;
    // The whole part is in the low bits of the shifted number; it becomes the exponent.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let value = p * power;
    if x < -87.3 { 0.0 } else { value }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh x`, within `2e-7`.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// Numbers that are taken together: a vector of AVX-512, two of AVX2.
const LANES: usize = 16;

/// The largest of all; minus infinity where there is none.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max)
}

/// `e^(x - largest)` of each in place, and their sum.
#[inline(always)]
pub(super) fn exponentials(values: &mut [f32], largest: f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (whole, rest) = values.as_chunks_mut::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *value = exp(*value - largest);
            *lane += *value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *value = exp(*value - largest);
        *lane += *value;
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_as_stated() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "e^{x} is off by {error}");
            let error = (f64::from(tanh(x)) - f64::from(x).tanh()).abs();
            assert!(error < 2e-7, "tanh({x}) is off by {error}");
        }
        assert_eq!((exp(f32::NEG_INFINITY), exp(-1e30), exp(0.0)), (0.0, 0.0, 1.0));
        assert!(exp(f32::INFINITY) > 1e38 && exp(f32::NAN).is_nan());
    }
}
