//! What lies between the projections of a gated MLP, in place.

use crate::kernels::exp::{exp, sigmoid};
use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// An activation of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// `x Φ(x)`, approximated with a hyperbolic tangent.
    GeluTanh,
    /// `x / (1 + e^-x)`.
    Silu,
}

/// `gate = act(gate) * up`. Error against f64: below `1e-6` of the larger of the result and `up`.
pub(crate) fn apply(gate: Gate, gates: &mut [f32], up: &[f32]) {
    apply_on(Tier::best(), gate, gates, up);
}

fn apply_on(tier: Tier, gate: Gate, gates: &mut [f32], up: &[f32]) {
    assert_eq!(gates.len(), up.len());
    let (whole, rest) = gates.split_at_mut(up.len() / PART * PART);
    let end = whole.len();
    let part = |gates: &mut [f32], up: &[f32]| match gate {
        Gate::GeluTanh => gelu_tanh(tier, gates, up),
        Gate::Silu => silu(tier, gates, up),
    };
    each_row(whole, PART, 8 * PART, |number, gates| part(gates, &up[number * PART..][..PART]));
    part(rest, &up[end..]);
}

/// Numbers that one thread works on at a time.
const PART: usize = 256;

tiered! {
    fn silu(gates: &mut [f32], up: &[f32]) {
        for (gate, up) in gates.iter_mut().zip(up) {
            *gate = *gate / (1.0 + exp::<FMA>(-*gate)) * up;
        }
    }
}

tiered! {
    fn gelu_tanh(gates: &mut [f32], up: &[f32]) {
        for (gate, up) in gates.iter_mut().zip(up) {
            // (1 + tanh(u)) / 2 = sigmoid(2 u), with u = sqrt(2 / pi) (x + 0.044715 x^3).
            let x = *gate;
            let twice = x * (1.595_769_2 + 0.071_354_814 * x * x);
            *gate = x * sigmoid::<FMA>(twice) * up;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_agrees_with_f64() {
        let x: Vec<f32> = (0..1003).map(|i| (i as f32 - 500.0) * 0.05).collect();
        let up: Vec<f32> = (0..1003).map(|i| (i % 13) as f32 - 6.0).collect();
        for tier in Tier::available() {
            for gate in [Gate::Silu, Gate::GeluTanh] {
                let mut found = x.clone();
                apply_on(tier, gate, &mut found, &up);
                for ((found, x), up) in found.iter().zip(&x).zip(&up) {
                    let (x, up) = (f64::from(*x), f64::from(*up));
                    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                    let expected = up
                        * match gate {
                            Gate::Silu => x / (1.0 + (-x).exp()),
                            Gate::GeluTanh => 0.5 * x * (1.0 + inner.tanh()),
                        };
                    let allowed = 1e-6 * expected.abs().max(up.abs());
                    assert!((f64::from(*found) - expected).abs() <= allowed, "{gate:?} {x}");
                }
            }
        }
    }
}
