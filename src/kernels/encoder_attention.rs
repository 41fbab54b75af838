//! Attention that looks both ways, over rows packed one after the other: no padding, no masks, no
//! copies of heads, and scores of a few queries at a time.
//!
//! Sums are in f32: the error against f64 is below `1e-5` of the largest value.

#![expect(unsafe_code, reason = "threads that write to one slice, processor features")]

use std::ops::Range;

use crate::kernels::elementwise::multiply_add;
use crate::kernels::exp::exp;
use crate::kernels::pool;
use crate::kernels::shared::Shared;
use crate::kernels::tier::Tier;

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
    pool::for_each(rows.len() * heads, 1, |range| {
        let mut room = Room::default();
        for number in range {
            let (row, head) = (&rows[number / heads], number % heads);
            let write = |token: usize, values: &[f32]| {
                // SAFETY: no other row and head writes to this part.
                unsafe { out.write((token * heads + head) * head_dim, values) };
            };
            match tier {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the tier says that the processor has these features.
                Tier::Avx2 => unsafe { head_avx2(&attention, row, head, &mut room, &write) },
                _ => one_head::<false>(&attention, row, head, &mut room, &write),
            }
        }
    });
}

/// Memory that is used again for each row and head.
#[derive(Default)]
struct Room {
    /// Keys, `(head_dim, tokens)`.
    keys: Vec<f32>,
    /// Scores of [`QUERIES`] queries, `(queries, tokens)`.
    scores: Vec<f32>,
    sums: Vec<f32>,
}

/// Queries at a time: each key and value that is read is used so often.
const QUERIES: usize = 4;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn head_avx2(
    attention: &Attention<'_>,
    row: &Range<usize>,
    head: usize,
    room: &mut Room,
    write: &impl Fn(usize, &[f32]),
) {
    one_head::<true>(attention, row, head, room, write);
}

#[inline(always)]
fn one_head<const FMA: bool>(
    attention: &Attention<'_>,
    row: &Range<usize>,
    head: usize,
    room: &mut Room,
    write: &impl Fn(usize, &[f32]),
) {
    let Attention { queries, keys, values, head_dim, scale, bias, .. } = *attention;
    let tokens = row.len();
    let vector = |of: Vectors<'_>, place: usize| -> Range<usize> {
        let start = (row.start + place) * of.token_stride + head * of.head_stride;
        start..start + head_dim
    };
    let Room { keys: columns, scores, sums } = room;
    columns.resize(head_dim * tokens, 0.0);
    scores.resize(QUERIES * tokens, 0.0);
    sums.resize(QUERIES * head_dim, 0.0);
    for place in 0..tokens {
        for (at, &key) in keys.values[vector(keys, place)].iter().enumerate() {
            columns[at * tokens + place] = key;
        }
    }
    for first in (0..tokens).step_by(QUERIES) {
        let count = QUERIES.min(tokens - first);
        scores[..count * tokens].fill(0.0);
        // The last block may have fewer queries; then its last one is computed several times.
        let four: [&[f32]; QUERIES] = std::array::from_fn(|number| {
            &queries.values[vector(queries, first + number.min(count - 1))]
        });
        if count == QUERIES {
            let (one, rest) = scores.split_at_mut(tokens);
            let (two, rest) = rest.split_at_mut(tokens);
            let (three, four_) = rest.split_at_mut(tokens);
            for at in 0..head_dim {
                let column = &columns[at * tokens..][..tokens];
                let [a, b, c, d] = four.map(|query| query[at] * scale);
                let lines = one.iter_mut().zip(two.iter_mut());
                let lines = lines.zip(three.iter_mut().zip(four_.iter_mut())).zip(column);
                for (((one, two), (three, four)), &key) in lines {
                    *one = multiply_add::<FMA>(a, key, *one);
                    *two = multiply_add::<FMA>(b, key, *two);
                    *three = multiply_add::<FMA>(c, key, *three);
                    *four = multiply_add::<FMA>(d, key, *four);
                }
            }
        } else {
            for (scores, query) in scores.chunks_exact_mut(tokens).zip(four).take(count) {
                for at in 0..head_dim {
                    let query = query[at] * scale;
                    for (score, &key) in scores.iter_mut().zip(&columns[at * tokens..][..tokens]) {
                        *score = multiply_add::<FMA>(query, key, *score);
                    }
                }
            }
        }
        for (number, scores) in scores.chunks_exact_mut(tokens).take(count).enumerate() {
            if let Some(bias) = bias {
                let of_head = if bias.per_head { head * bias.longest } else { 0 };
                let start = (of_head + first + number) * bias.longest;
                let added = &bias.values[start..][..tokens];
                scores.iter_mut().zip(added).for_each(|(score, added)| *score += added);
            }
            softmax(scores);
        }
        sums[..count * head_dim].fill(0.0);
        for place in 0..tokens {
            let value = &values.values[vector(values, place)];
            for number in 0..count {
                let share = scores[number * tokens + place];
                let sums = &mut sums[number * head_dim..][..head_dim];
                for (sum, &value) in sums.iter_mut().zip(value) {
                    *sum = multiply_add::<FMA>(share, value, *sum);
                }
            }
        }
        for (number, sums) in sums.chunks_exact(head_dim).take(count).enumerate() {
            write(row.start + first + number, sums);
        }
    }
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    const LANES: usize = 16;
    let mut most = [f32::NEG_INFINITY; LANES];
    let mut parts = scores.chunks_exact(LANES);
    for part in parts.by_ref() {
        most.iter_mut().zip(part).for_each(|(most, score)| *most = most.max(*score));
    }
    let rest = parts.remainder().iter().copied();
    let most = most.into_iter().chain(rest).fold(f32::NEG_INFINITY, f32::max);
    let mut sum = [0.0; LANES];
    for part in scores.chunks_mut(LANES) {
        for (score, sum) in part.iter_mut().zip(&mut sum) {
            *score = exp(*score - most);
            *sum += *score;
        }
    }
    let by = 1.0 / sum.iter().sum::<f32>();
    scores.iter_mut().for_each(|score| *score *= by);
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
        let rows = [0..1, 1..8, 8..12, 12..53, 53..70];
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
