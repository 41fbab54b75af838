//! Attention that looks both ways, over rows packed one after the other: no padding, no masks, and
//! scores of a few queries at a time.
//!
//! Sums are in f32: the error against f64 is below `1e-5` of the largest value.

#![expect(unsafe_code, reason = "threads that write to one slice")]

use std::ops::Range;

use crate::kernels::exp::exp;
use crate::kernels::pool;
use crate::kernels::shared::Shared;
use crate::kernels::tier::{Tier, tiered};
use crate::kernels::tile::{Into, Rows, product, turn};

/// Queries, keys or values of all tokens and heads: where the vector of a token and a head begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vectors<'a> {
    pub(crate) values: &'a [f32],
    /// From one token to the next.
    pub(crate) token_stride: usize,
    /// From one head to the next.
    pub(crate) head_stride: usize,
}

/// What is added to scores, by the places of query and key in their row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bias<'a> {
    /// `(1 or heads, longest, longest)`.
    pub(crate) values: &'a [f32],
    pub(crate) longest: usize,
    /// Whether each head has its own.
    pub(crate) per_head: bool,
}

/// What is attended with what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) queries: Vectors<'a>,
    pub(crate) keys: Vectors<'a>,
    pub(crate) values: Vectors<'a>,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    /// Multiplies scores before the bias is added.
    pub(crate) scale: f32,
    pub(crate) bias: Option<Bias<'a>>,
}

/// `softmax(scale q kᵀ + bias) v` of each row and head into `out`, `(tokens, heads * head_dim)`.
pub(crate) fn attend(attention: Attention<'_>, rows: &[Range<usize>], out: &mut [f32]) {
    attend_on(Tier::best(), attention, rows, out);
}

fn attend_on(tier: Tier, attention: Attention<'_>, rows: &[Range<usize>], out: &mut [f32]) {
    let Attention { heads, head_dim, .. } = attention;
    let out = Shared::new(out);
    let work = 2 * head_dim * rows.iter().map(|row| row.len().pow(2)).sum::<usize>();
    let units = rows.len() * heads;
    pool::for_each(units, pool::grain(units, work / rows.len().max(1)), |range| {
        let mut room = Room::default();
        for number in range {
            let (row, head) = (&rows[number / heads], number % heads);
            one_head(tier, &attention, row, head, &mut room, |token, sums, by| {
                // SAFETY: no other row and head writes to this part.
                let out = unsafe { out.part((token * heads + head) * head_dim, head_dim) };
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * by);
            });
        }
    });
}

/// Memory that is used again for each row and head. Widths are padded to a multiple of 8.
#[derive(Default)]
struct Room {
    /// Keys, `(head_dim, tokens)`, times the scale.
    keys: Vec<f32>,
    /// Values, `(tokens, head_dim)`.
    values: Vec<f32>,
    /// Scores of [`QUERIES`] queries, `(queries, tokens)`, then shares.
    scores: Vec<f32>,
    /// Sums of values, `(queries, head_dim)`.
    sums: Vec<f32>,
}

/// Queries at a time: their scores stay in the first cache.
const QUERIES: usize = 24;

/// `write` gets each token, the sums of its values and what they are multiplied by.
fn one_head(
    tier: Tier,
    attention: &Attention<'_>,
    row: &Range<usize>,
    head: usize,
    room: &mut Room,
    mut write: impl FnMut(usize, &[f32], f32),
) {
    let Attention { queries, keys, values, head_dim, scale, bias, .. } = *attention;
    let tokens = row.len();
    if tokens == 0 {
        return;
    }
    let start = |of: Vectors<'_>, place: usize| {
        (row.start + place) * of.token_stride + head * of.head_stride
    };
    let (width, channels) = (tokens.next_multiple_of(8), head_dim.next_multiple_of(8));
    room.keys.resize(head_dim * width, 0.0);
    room.values.resize(tokens * channels, 0.0);
    room.scores.resize(QUERIES * width, 0.0);
    room.sums.resize(QUERIES * channels, 0.0);
    let rows = Rows { values: &keys.values[start(keys, 0)..], stride: keys.token_stride };
    turn(tier, rows, [tokens, head_dim], &mut room.keys, width);
    room.keys.iter_mut().for_each(|key| *key *= scale);
    for place in 0..tokens {
        let value = &values.values[start(values, place)..][..head_dim];
        room.values[place * channels..][..head_dim].copy_from_slice(value);
    }
    for first in (0..tokens).step_by(QUERIES) {
        let count = QUERIES.min(tokens - first);
        let queries =
            Rows { values: &queries.values[start(queries, first)..], stride: queries.token_stride };
        let keys = Rows { values: &room.keys, stride: width };
        let shape = [count, head_dim, width];
        product(tier, queries, keys, shape, &mut room.scores, width, Into::Write);
        let mut sums = [0.0; QUERIES];
        let scores = room.scores.chunks_exact_mut(width);
        for (number, (scores, sum)) in scores.zip(&mut sums).take(count).enumerate() {
            let scores = &mut scores[..tokens];
            if let Some(bias) = bias {
                let of_head = if bias.per_head { head * bias.longest } else { 0 };
                let start = (of_head + first + number) * bias.longest;
                let added = &bias.values[start..][..tokens];
                scores.iter_mut().zip(added).for_each(|(score, added)| *score += added);
            }
            soften(tier, scores, sum);
        }
        let shares = Rows { values: &room.scores, stride: width };
        let values = Rows { values: &room.values, stride: channels };
        let shape = [count, tokens, channels];
        product(tier, shares, values, shape, &mut room.sums, channels, Into::Write);
        let of_queries = room.sums.chunks_exact(channels).zip(sums).take(count);
        for (number, (values, sum)) in of_queries.enumerate() {
            write(row.start + first + number, values, 1.0 / sum);
        }
    }
}

tiered! {
    /// Scores become shares relative to the largest; `sum` is that of all.
    fn soften(scores: &mut [f32], sum: &mut f32) {
        let mut most = [f32::NEG_INFINITY; 8];
        let (whole, rest) = scores.as_chunks_mut::<8>();
        for part in whole.iter() {
            for (most, score) in most.iter_mut().zip(part) {
                *most = if *score > *most { *score } else { *most };
            }
        }
        let most = most.iter().chain(rest.iter()).copied().fold(f32::NEG_INFINITY, f32::max);
        let mut lanes = [0.0_f32; 8];
        for part in whole {
            for (lane, score) in lanes.iter_mut().zip(part) {
                *score = exp(*score - most);
                *lane += *score;
            }
        }
        for (lane, score) in lanes.iter_mut().zip(rest) {
            *score = exp(*score - most);
            *lane += *score;
        }
        *sum = lanes.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 200.0 - 2.5).collect()
    }

    /// Rows of ragged lengths, heads side by side or one after the other, with and without a bias.
    #[test]
    fn every_tier_and_shape_agrees_with_f64() {
        let rows = [0..1, 1..8, 8..12, 12..53, 53..70, 70..70];
        let tokens = 70;
        for (heads, head_dim) in [(1, 1), (3, 5), (2, 8), (4, 32)] {
            let [queries, keys, values] =
                [1, 2, 3].map(|seed| random(tokens * heads * head_dim, seed));
            let biases = random(heads * 41 * 41, 4);
            for (token_stride, head_stride) in
                [(heads * head_dim, head_dim), (head_dim, tokens * head_dim)]
            {
                for bias in [None, Some(true), Some(false)] {
                    let vectors = |values| Vectors { values, token_stride, head_stride };
                    let attention = Attention {
                        queries: vectors(&queries),
                        keys: vectors(&keys),
                        values: vectors(&values),
                        heads,
                        head_dim,
                        scale: 0.3,
                        bias: bias.map(|per_head| Bias { values: &biases, longest: 41, per_head }),
                    };
                    for tier in [Tier::best(), Tier::Scalar] {
                        let mut out = vec![f32::NAN; tokens * heads * head_dim];
                        attend_on(tier, attention, &rows, &mut out);
                        check(&attention, &rows, &out);
                    }
                }
            }
        }
    }

    fn check(attention: &Attention<'_>, rows: &[Range<usize>], out: &[f32]) {
        let Attention { queries, keys, values, heads, head_dim, scale, bias } = *attention;
        let at = |of: Vectors<'_>, token: usize, head: usize, place: usize| {
            f64::from(of.values[token * of.token_stride + head * of.head_stride + place])
        };
        for row in rows {
            for (head, query) in
                (0..heads).flat_map(|head| row.clone().map(move |query| (head, query)))
            {
                let scores = row.clone().map(|key| {
                    let products =
                        (0..head_dim).map(|i| at(queries, query, head, i) * at(keys, key, head, i));
                    let added = bias.map_or(0.0, |bias| {
                        let of_head = if bias.per_head { head * 41 } else { 0 };
                        f64::from(bias.values[(of_head + query - row.start) * 41 + key - row.start])
                    });
                    f64::from(scale) * products.sum::<f64>() + added
                });
                let scores: Vec<f64> = scores.collect();
                let most = scores.iter().copied().fold(f64::MIN, f64::max);
                let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
                let sum: f64 = shares.iter().sum();
                for place in 0..head_dim {
                    let weighted = shares.iter().zip(row.clone());
                    let expected: f64 = weighted
                        .map(|(share, key)| share / sum * at(values, key, head, place))
                        .sum();
                    let found = f64::from(out[(query * heads + head) * head_dim + place]);
                    assert!(
                        (found - expected).abs() < 2.5e-5,
                        "{heads}x{head_dim}: {found}, not {expected}"
                    );
                }
            }
        }
    }
}
