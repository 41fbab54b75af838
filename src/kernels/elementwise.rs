//! Functions of single numbers that vectorize.

use crate::kernels::exp::{exp_within, multiply_add};
#[cfg(feature = "audio")]
use crate::kernels::exp::{sigmoid, tanh};
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

/// `a gelu(b)` of rows that hold `width` of `a` and then as many of `b`: `(rows, 2 width)` to `(rows, width)`.
#[cfg(feature = "image")]
pub(crate) fn times_gelu(x: &[f32], width: usize) -> Vec<f32> {
    assert!(width > 0 && x.len().is_multiple_of(2 * width));
    let tier = Tier::best();
    let mut out = vec![0.0; x.len() / 2];
    each_row(&mut out, width, 10 * width, |row, out| {
        let (a, b) = x[row * 2 * width..][..2 * width].split_at(width);
        out.copy_from_slice(b);
        gelu_part(tier, out);
        out.iter_mut().zip(a).for_each(|(out, a)| *out *= a);
    });
    out
}

/// `x`, and `slope` times it below 0, of each number.
#[cfg(feature = "audio")]
pub(crate) fn leaky_relu(x: &[f32], slope: f32) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    let whole = x.len() / PART * PART;
    let (head, rest) = out.split_at_mut(whole);
    let tier = Tier::best();
    each_row(head, PART, PART, |number, out| {
        leaky_relu_part(tier, &x[number * PART..][..PART], slope, out);
    });
    leaky_relu_part(tier, &x[whole..], slope, rest);
    out
}

#[cfg(feature = "audio")]
tiered! {
    fn leaky_relu_part(x: &[f32], slope: f32, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = if *x < 0.0 { x * slope } else { *x };
        }
    }
}

/// `tanh(a) sigmoid(b)` of rows that hold `width` of `a` and then as many of `b`: `(rows, 2 width)` to
/// `(rows, width)`. Error against f64: below `1e-6`.
#[cfg(feature = "audio")]
pub(crate) fn tanh_times_sigmoid(x: &[f32], width: usize) -> Vec<f32> {
    tanh_times_sigmoid_on(Tier::best(), x, width)
}

#[cfg(feature = "audio")]
fn tanh_times_sigmoid_on(tier: Tier, x: &[f32], width: usize) -> Vec<f32> {
    assert!(width > 0 && x.len().is_multiple_of(2 * width));
    let mut out = vec![0.0; x.len() / 2];
    each_row(&mut out, width, 16 * width, |row, out| {
        let (a, b) = x[row * 2 * width..][..2 * width].split_at(width);
        gated_row(tier, a, b, out);
    });
    out
}

#[cfg(feature = "audio")]
tiered! {
    fn gated_row(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = tanh::<FMA>(*a) * sigmoid::<FMA>(*b);
        }
    }
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

    #[cfg(feature = "image")]
    #[test]
    fn the_other_half_of_a_row_is_the_gate() {
        let x: Vec<f32> = (0..3 * 2 * 40).map(|i| (i % 89) as f32 * 0.05 - 2.0).collect();
        let mut gates: Vec<f32> = x.chunks(80).flat_map(|row| row[40..].to_vec()).collect();
        gelu(&mut gates);
        let values = x.chunks(80).flat_map(|row| &row[..40]);
        let expected: Vec<f32> = values.zip(&gates).map(|(value, gate)| value * gate).collect();
        assert_eq!(times_gelu(&x, 40), expected);
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

    #[cfg(feature = "audio")]
    #[test]
    fn waves_are_gated_on_every_tier() {
        let x: Vec<f32> = (0..4 * 2 * 37).map(|i| (i * 37 % 101) as f32 * 0.2 - 10.0).collect();
        for tier in Tier::available() {
            let found = tanh_times_sigmoid_on(tier, &x, 37);
            for (at, found) in found.iter().enumerate() {
                let row = &x[at / 37 * 74..];
                let (a, b) = (f64::from(row[at % 37]), f64::from(row[37 + at % 37]));
                let expected = a.tanh() / (1.0 + (-b).exp());
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{tier:?}: {a}, {b}");
            }
        }
        let long: Vec<f32> = (0..PART + 3).map(|i| i as f32 - 500.0).collect();
        let found = leaky_relu(&long, 0.1);
        assert!(found.iter().zip(&long).all(|(y, x)| *y == if *x < 0.0 { 0.1 * x } else { *x }));
    }
}
