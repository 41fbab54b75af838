//! Functions of single numbers that vectorize.

use crate::kernels::exp::{exp, multiply_add};
use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// `x Φ(x)` with the exact error function, of each number in place. Error against f64: at most
/// `5e-7`, and `4e-7` of a larger result.
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
            let x = *value;
            *value = 0.5 * x * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

/// The error function within `2e-7`: a polynomial near 0, one minus the exponential of another
/// further out; both are computed, so that there is nothing to branch on.
#[inline(always)]
fn erf<const FMA: bool>(x: f32) -> f32 {
    let polynomial = |by: f32, coefficients: &[f32]| {
        coefficients.iter().fold(0.0, |sum, &next| multiply_add::<FMA>(sum, by, next))
    };
    // Beyond 4 it is 1 in f32; infinities would become NaN in the polynomials.
    let size = x.abs().min(6.0);
    let square = size * size;
    let near = polynomial(square, &NEAR) * x + x;
    let far = polynomial(size, &FAR) * size;
    let far = (1.0 - exp::<FMA>(far)).copysign(x);
    if size > 0.927_734_4 { far } else { near }
}

const NEAR: [f32; 6] =
    [-5.967_617e-4, 4.991_194e-3, -2.676_813_5e-2, 1.128_199_3e-1, -3.761_253_4e-1, 1.283_791_7e-1];

/// Of `ln(1 - erf(x)) / x` for x from 0.93 on.
const FAR: [f32; 7] = [
    -1.728_534_7e-5,
    3.831_971_3e-4,
    -3.883_964_4e-3,
    2.425_462_2e-2,
    -1.067_778_8e-1,
    -6.348_468_7e-1,
    -1.128_717_5,
];

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
                let allowed = 4e-7 * expected.abs().max(1.25);
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
