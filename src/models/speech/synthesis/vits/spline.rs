//! Splines of rational quadratic functions, the way back. <https://arxiv.org/abs/1906.04032>

use crate::error::{Error, Result};

/// What a spline is made of, for one number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spline<'a> {
    /// Of each bin, before the softmax.
    pub(super) widths: &'a [f32],
    /// Of each bin, before the softmax.
    pub(super) heights: &'a [f32],
    /// Between bins, before the softplus.
    pub(super) derivatives: &'a [f32],
    /// The spline reaches from minus this to this, and is the identity beyond.
    pub(super) bound: f32,
}

impl Spline<'_> {
    /// The number that the spline takes to `y`.
    pub(super) fn invert(self, y: f32) -> Result<f32> {
        let Self { widths, heights, derivatives, bound } = self;
        if !(-bound..=bound).contains(&y) {
            return Ok(y);
        }
        let bins = widths.len();
        let (lefts, bottoms) = (edges(widths, bound), edges(heights, bound));
        // The last edge belongs to the last bin.
        let passed = bottoms[..bins].iter().filter(|&&bottom| y >= bottom).count();
        let bin = passed.max(1) - 1;
        let width = lefts[bin + 1] - lefts[bin];
        let height = bottoms[bin + 1] - bottoms[bin];
        let slope = height / width;
        let edge = f64::from(1.0 - LEAST).exp_m1().ln() as f32;
        let derivative = |at: usize| {
            let raw = if at == 0 || at == bins { edge } else { derivatives[at - 1] };
            LEAST + softplus(raw)
        };
        let (left, right) = (derivative(bin), derivative(bin + 1));
        let above = y - bottoms[bin];
        let bent = above * (left + right - 2.0 * slope);
        let a = height * (slope - left) + bent;
        let b = height * left - bent;
        let c = -slope * above;
        let discriminant = b * b - 4.0 * a * c;
        if discriminant.is_nan() || discriminant < 0.0 {
            return Err(Error::input("the predictor of durations has no solution for this text"));
        }
        let root = (2.0 * c) / (-b - discriminant.sqrt());
        Ok(root * width + lefts[bin])
    }
}

/// Where bins begin, and where the last one ends.
fn edges(raw: &[f32], bound: f32) -> Vec<f32> {
    let bins = raw.len() as f32;
    let largest = raw.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = raw.iter().map(|raw| (raw - largest).exp()).sum();
    let mut edges = vec![-bound];
    let mut so_far = 0.0;
    for raw in raw {
        so_far += LEAST + (1.0 - LEAST * bins) * ((raw - largest).exp() / sum);
        edges.push(2.0 * bound * so_far - bound);
    }
    if let Some(last) = edges.last_mut() {
        *last = bound;
    }
    edges
}

/// `ln(1 + e^x)`.
fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// Of widths, heights and derivatives.
const LEAST: f32 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_nothing_changes_and_within_it_order_is_kept() -> Result<()> {
        let spline = Spline {
            widths: &[0.5, -1.0, 2.0, 0.1],
            heights: &[-0.3, 1.0, 0.4, 0.0],
            derivatives: &[0.7, -2.0, 1.0],
            bound: 5.0,
        };
        assert_eq!((spline.invert(7.5)?, spline.invert(-5.1)?), (7.5, -5.1));
        assert!((spline.invert(5.0)? - 5.0).abs() < 1e-4);
        assert!((spline.invert(-5.0)? + 5.0).abs() < 1e-4);
        let values = (-50..=50).map(|y| spline.invert(y as f32 / 10.0));
        let values = values.collect::<Result<Vec<_>>>()?;
        assert!(values.is_sorted());
        Ok(())
    }
}
