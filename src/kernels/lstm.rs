//! Long short-term memory: what each step computes of the gates' sums.
//!
//! Source: Hochreiter and Schmidhuber, 1997, <https://doi.org/10.1162/neco.1997.9.8.1735>, with gates in the
//! order of PyTorch: input, forget, candidate, output.

use crate::kernels::dense::{self, Dense};
use crate::kernels::exp::{sigmoid, tanh};
use crate::kernels::tier::{Tier, tiered};

/// One step: `cell = σ(forget) cell + σ(input) tanh(candidate)` and `hidden = σ(output) tanh(cell)`, of the
/// gates' sums `(4, width)`.
pub(crate) fn step(gates: &[f32], hidden: &mut [f32], cell: &mut [f32]) {
    step_on(Tier::best(), gates, hidden, cell);
}

/// All steps: `gates`, `(steps, 4, width)`, are what the inputs and the biases add to the gates' sums,
/// `recurrent` is `(4 width, width)`. Gives the hidden state of each step, `(steps, width)`; backwards from the
/// last step to the first where `is_reversed`. The states go on from what is there.
pub(crate) fn run(
    gates: &[f32],
    recurrent: Dense<'_>,
    [hidden, cell]: [&mut [f32]; 2],
    is_reversed: bool,
) -> Vec<f32> {
    let width = hidden.len();
    assert!(width > 0 && cell.len() == width && gates.len().is_multiple_of(4 * width));
    let steps = gates.len() / (4 * width);
    let mut out = vec![0.0; steps * width];
    for number in 0..steps {
        let at = if is_reversed { steps - 1 - number } else { number };
        let gates = &gates[at * 4 * width..][..4 * width];
        let sums = dense::multiply(hidden, width, recurrent, Some(gates));
        step(&sums, hidden, cell);
        out[at * width..][..width].copy_from_slice(hidden);
    }
    out
}

fn step_on(tier: Tier, gates: &[f32], hidden: &mut [f32], cell: &mut [f32]) {
    let width = hidden.len();
    assert!(cell.len() == width && gates.len() == 4 * width);
    let (input, rest) = gates.split_at(width);
    let (forget, rest) = rest.split_at(width);
    let (candidate, output) = rest.split_at(width);
    units(tier, [input, forget, candidate, output], hidden, cell);
}

tiered! {
    fn units(gates: [&[f32]; 4], hidden: &mut [f32], cell: &mut [f32]) {
        let [input, forget, candidate, output] = gates;
        let sums = input.iter().zip(forget).zip(candidate.iter().zip(output));
        for ((hidden, cell), ((input, forget), (candidate, output))) in
            hidden.iter_mut().zip(cell).zip(sums)
        {
            let kept = sigmoid::<FMA>(*forget) * *cell;
            *cell = kept + sigmoid::<FMA>(*input) * tanh::<FMA>(*candidate);
            *hidden = sigmoid::<FMA>(*output) * tanh::<FMA>(*cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 200.0 - 2.5).collect()
    }

    #[test]
    fn every_tier_and_width_agrees_with_f64() {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
        for width in [1, 3, 40, 129] {
            let (gates, before) = (numbers(4 * width, 1), numbers(width, 2));
            for tier in Tier::available() {
                let (mut hidden, mut cell) = (vec![0.0; width], before.clone());
                step_on(tier, &gates, &mut hidden, &mut cell);
                for unit in 0..width {
                    let gate = |number: usize| gates[number * width + unit];
                    let candidate = f64::from(gate(2)).tanh();
                    let expected =
                        sigmoid(gate(1)) * f64::from(before[unit]) + sigmoid(gate(0)) * candidate;
                    assert!((f64::from(cell[unit]) - expected).abs() < 2e-6, "{tier:?}");
                    let expected = sigmoid(gate(3)) * expected.tanh();
                    assert!((f64::from(hidden[unit]) - expected).abs() < 2e-6, "{tier:?}");
                }
            }
        }
    }

    #[test]
    fn backwards_is_forwards_of_what_is_turned_round() {
        let (width, steps) = (5, 7);
        let (gates, recurrent) = (numbers(steps * 4 * width, 1), numbers(4 * width * width, 2));
        let run = |gates: &[f32], is_reversed: bool| {
            let (mut hidden, mut cell) = (vec![0.1; width], vec![0.2; width]);
            super::run(gates, Dense::F32(&recurrent), [&mut hidden, &mut cell], is_reversed)
        };
        let turned: Vec<f32> = gates.rchunks(4 * width).flatten().copied().collect();
        let backwards: Vec<f32> = run(&turned, true).rchunks(width).flatten().copied().collect();
        assert_eq!(run(&gates, false), backwards);
    }
}
