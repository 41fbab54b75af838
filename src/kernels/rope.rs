//! Rotary position embeddings, in place.

use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// Which two channels are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// `(2i, 2i + 1)`.
    Adjacent,
    /// `(i, i + n)`, for `n` pairs.
    Halves,
}

/// Rotates each token's heads; `x` is `(tokens, heads, head_dim)`, cosines and sines
/// `(tokens, pairs)`. Channels beyond the pairs stay as they are.
pub(crate) fn rotate(
    x: &mut [f32],
    heads: usize,
    head_dim: usize,
    [cos, sin]: [&[f32]; 2],
    pairs: usize,
    pairing: Pairs,
) {
    rotate_on(Tier::best(), x, heads, head_dim, [cos, sin], pairs, pairing);
}

fn rotate_on(
    tier: Tier,
    x: &mut [f32],
    heads: usize,
    head_dim: usize,
    [cos, sin]: [&[f32]; 2],
    pairs: usize,
    pairing: Pairs,
) {
    let width = heads * head_dim;
    assert!(2 * pairs <= head_dim && width > 0 && x.len().is_multiple_of(width));
    assert!(cos.len() == x.len() / width * pairs && cos.len() == sin.len());
    each_row(x, width, 4 * width, |token, x| {
        let angles = token * pairs..(token + 1) * pairs;
        let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
        match pairing {
            Pairs::Adjacent => adjacent(tier, x, head_dim, cos, sin),
            Pairs::Halves => halves(tier, x, head_dim, cos, sin),
        }
    });
}

tiered! {
    fn adjacent(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
        for head in x.chunks_exact_mut(head_dim) {
            for (([a, b], cos), sin) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}

tiered! {
    fn halves(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
        for head in x.chunks_exact_mut(head_dim) {
            let (first, second) = head.split_at_mut(cos.len());
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_turn_and_the_rest_stays() {
        let (heads, head_dim, pairs, tokens) = (3, 20, 9, 7);
        let angle = |token: usize, pair: usize| (token * 31 + pair * 7) as f32 * 0.1;
        let table = |of: fn(f32) -> f32| -> Vec<f32> {
            (0..tokens * pairs).map(|i| of(angle(i / pairs, i % pairs))).collect()
        };
        let (cos, sin) = (table(f32::cos), table(f32::sin));
        let x: Vec<f32> = (0..tokens * heads * head_dim).map(|i| (i * 37 % 61) as f32).collect();
        for (pairing, first, second) in
            [(Pairs::Adjacent, (2, 0), (2, 1)), (Pairs::Halves, (1, 0), (1, pairs))]
        {
            for tier in Tier::available() {
                let mut found = x.clone();
                rotate_on(tier, &mut found, heads, head_dim, [&cos, &sin], pairs, pairing);
                for (number, (found, x)) in
                    found.chunks(head_dim).zip(x.chunks(head_dim)).enumerate()
                {
                    for pair in 0..pairs {
                        let [a, b] =
                            [first, second].map(|(step, start)| f64::from(x[step * pair + start]));
                        let (sin, cos) = f64::from(angle(number / heads, pair)).sin_cos();
                        let expected = [a * cos - b * sin, a * sin + b * cos];
                        let found = [first, second].map(|(step, start)| found[step * pair + start]);
                        for (found, expected) in found.iter().zip(expected) {
                            assert!((f64::from(*found) - expected).abs() < 2e-5, "{pairing:?}");
                        }
                    }
                    assert_eq!(found[2 * pairs..], x[2 * pairs..]);
                }
            }
        }
    }
}
