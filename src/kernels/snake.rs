//! Snake: an activation for waves. <https://arxiv.org/abs/2006.08195>

use crate::kernels::exp::multiply_add;
use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// `x + sin²(alpha x) / alpha` of each number in place: frames of as many channels as there are of `alpha` and
/// of `inverse`, which is `1 / alpha`.
pub(crate) fn snake(x: &mut [f32], alpha: &[f32], inverse: &[f32]) {
    snake_on(Tier::best(), x, alpha, inverse);
}

fn snake_on(tier: Tier, x: &mut [f32], alpha: &[f32], inverse: &[f32]) {
    let channels = alpha.len();
    assert!(channels > 0 && inverse.len() == channels && x.len().is_multiple_of(channels));
    each_row(x, channels, 8 * channels, |_, x| {
        let angles = x.iter().zip(alpha).map(|(x, alpha)| (x * alpha).abs());
        if angles.fold(0.0, f32::max) <= LARGEST {
            return snake_row(tier, x, alpha, inverse);
        }
        for ((x, alpha), inverse) in x.iter_mut().zip(alpha).zip(inverse) {
            *x += (*x * alpha).sin().powi(2) * inverse;
        }
    });
}

tiered! {
    fn snake_row(x: &mut [f32], alpha: &[f32], inverse: &[f32]) {
        for ((x, alpha), inverse) in x.iter_mut().zip(alpha).zip(inverse) {
            let sine = sine_but_for_its_sign::<FMA>(*x * alpha);
            *x = multiply_add::<FMA>(sine * sine, *inverse, *x);
        }
    }
}

/// The sine of an angle up to [`LARGEST`], or the negative of it.
#[inline(always)]
fn sine_but_for_its_sign<const FMA: bool>(x: f32) -> f32 {
    /// Adding and taking it away rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let half_turns = multiply_add::<FMA>(x, std::f32::consts::FRAC_1_PI, ROUND) - ROUND;
    // Half a turn in three parts, the first two exact in few bits.
    let r = multiply_add::<FMA>(half_turns, -3.140_625, x);
    let r = multiply_add::<FMA>(half_turns, -9.676_516e-4, r);
    let r = multiply_add::<FMA>(half_turns, -1.984_187e-9, r);
    // sin(r) / r, of r squared; fitted between a quarter of a turn back and one ahead.
    let square = r * r;
    let p = [2.753_605_7e-6, -1.984_108_1e-4, 8.333_333e-3, -1.666_666_7e-1]
        .into_iter()
        .fold(-2.407_083_4e-8, |p, next| multiply_add::<FMA>(p, square, next));
    multiply_add::<FMA>(p * square, r, r)
}

/// Beyond it, half turns are counted with an error that the result shows.
const LARGEST: f32 = 1_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_as_stated_on_every_tier() {
        for (alpha, reach) in [(1.0_f32, 100.0_f32), (0.1, 900.0), (7.0, 14.0), (1.0, 1e6)] {
            let x: Vec<f32> = (-5_000..5_000).map(|i| i as f32 / 5_000.0 * reach).collect();
            for tier in Tier::available() {
                let mut found = x.clone();
                snake_on(tier, &mut found, &[alpha; 5], &[1.0 / alpha; 5]);
                for (x, found) in x.iter().zip(found) {
                    let angle = f64::from(x * alpha);
                    let expected = f64::from(*x) + angle.sin().powi(2) / f64::from(alpha);
                    let allowed = 2e-6 * f64::from(1.0 / alpha) + 2e-7 * expected.abs();
                    let error = (f64::from(found) - expected).abs();
                    assert!(error < allowed, "{tier:?}: snake({x}) with {alpha}: {error}");
                }
            }
        }
        let mut odd = [f32::NAN, f32::INFINITY, 0.0];
        snake(&mut odd, &[1.0; 3], &[1.0; 3]);
        assert!(odd[0].is_nan() && odd[2] == 0.0);
    }
}
