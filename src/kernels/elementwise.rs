//! Functions of single numbers that vectorize.

use crate::kernels::exp::{exp_within, multiply_add};
use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// `x Φ(x)` with the exact error function, of each number in place. Error against f64: at most
/// `2e-7`, and `1.6e-7` of a larger result.
pub(crate) fn gelu(values: &mut [f32]) {
    gelu_on(Tier::best(), values);
}

fn gelu_on(tier: Tier, values: &mut [f32]) {
    let (whole, rest) = values.split_at_mut(values.len() / PART * PART);
    each_row(whole, PART, 8 * PART, |_, values| gelu_part(tier, values));
    gelu_part(tier, rest);
}

/// Numbers that one thread works on at a time.
const PART: usize = 1024;

tiered! {
    fn gelu_part(values: &mut [f32]) {
        for value in values {
            let (x, size) = (*value, value.abs());
            // Nothing is left beyond.
            let within = if size < 8.0 { size } else { 8.0 };
            let next = |sum, next: &f32| multiply_add::<FMA>(sum, within, *next);
            let logarithm = TAIL[1..].iter().fold(TAIL[0], next) * within;
            let tail = exp_within::<FMA>(logarithm);
            // Half of twice the tail, off what is `x` where it is positive and else nothing.
            let positive = multiply_add::<FMA>(0.5, x, 0.5 * size);
            *value = multiply_add::<FMA>(-0.5 * within, tail, positive);
        }
    }
}

/// Of `ln(1 - erf(x / √2)) / x` for x from 0 to 8, the highest power first; fitted so that `x` times
/// the tail has the least error.
const TAIL: [f32; 6] =
    [2.074_325_7e-5, -5.128_518e-4, 5.529_582_5e-3, -3.690_193e-2, -3.180_961e-1, -7.979_144e-1];

#[cfg(test)]
mod tests {
    use super::*;

    /// By a series whose terms are all positive.
    fn erf_exact(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > 1e-18 * sum.abs() {
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
    }

    #[test]
    fn errors_are_as_stated() {
        let x: Vec<f32> = (-30_000..30_000).map(|i| i as f32 * 2e-4).collect();
        for tier in [Tier::best(), Tier::Scalar] {
            let mut found = x.clone();
            gelu_on(tier, &mut found);
            for (&x, &found) in x.iter().zip(&found) {
                let x = f64::from(x);
                let expected = 0.5 * x * (1.0 + erf_exact(x / 2.0_f64.sqrt()));
                let error = (f64::from(found) - expected).abs();
                let allowed = 1.6e-7 * expected.abs().max(1.25);
                assert!(error <= allowed, "{tier:?}: gelu({x}) is off by {error}");
            }
        }
        let mut out = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 100.0];
        gelu(&mut out);
        assert!(out[0].is_infinite() && out[2].is_nan() && out[3] == 100.0, "{out:?}");
    }

    #[test]
    fn long_slices_are_done_whole() {
        let x: Vec<f32> = (0..3 * PART + 77).map(|i| (i % 97) as f32 * 0.05 - 2.0).collect();
        let mut found = x.clone();
        gelu(&mut found);
        for (at, x) in x.iter().enumerate() {
            let mut alone = [*x];
            gelu(&mut alone);
            assert!((found[at] - alone[0]).abs() < 1e-6);
        }
    }
}
