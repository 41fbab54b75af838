//! Attention of some vectors to others, or to themselves: the pixels of a picture to one another and to a text.
//! There are many of them, so scores are those of a few queries at a time, and threads share the queries of a
//! head.
#![expect(unsafe_code, reason = "threads that write to one slice")]

use crate::kernels::pool;
use crate::kernels::shared::{each_row, written};
use crate::kernels::softmax::soften;
use crate::kernels::tier::Tier;
use crate::kernels::tile::{Rows, Store, product, turn};

/// What is attended with what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CrossAttention<'a> {
    /// `(queries, heads, head_dim)`.
    pub(crate) queries: &'a [f32],
    /// `(keys, heads, head_dim)`.
    pub(crate) keys: &'a [f32],
    /// `(keys, heads, head_dim)`.
    pub(crate) values: &'a [f32],
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    /// Multiplies scores.
    pub(crate) scale: f32,
}

/// `softmax(scale q kᵀ) v` of each head, `(queries, heads * head_dim)`. There is at least one key.
pub(crate) fn attend(attention: CrossAttention<'_>) -> Vec<f32> {
    attend_on(Tier::best(), attention)
}

/// Queries at a time: as many as keep their scores in the caches.
const QUERIES: usize = 24;

fn attend_on(tier: Tier, attention: CrossAttention<'_>) -> Vec<f32> {
    let CrossAttention { queries, keys, values, heads, head_dim, scale } = attention;
    let all = heads * head_dim;
    assert!(all > 0 && queries.len().is_multiple_of(all) && !keys.is_empty());
    assert!(keys.len() == values.len() && keys.len().is_multiple_of(all));
    let (tokens, seen) = (queries.len() / all, keys.len() / all);
    let (padded, width) = (seen.next_multiple_of(8), head_dim.next_multiple_of(8));
    // Scaled keys of each head, `(head_dim, keys)`, and its values, rows padded to eights.
    let mut turned = vec![0.0; heads * head_dim * padded];
    each_row(&mut turned, head_dim * padded, head_dim * padded, |head, out| {
        let rows = Rows { values: &keys[head * head_dim..], stride: all };
        turn(tier, rows, [seen, head_dim], out, padded);
        out.iter_mut().for_each(|key| *key *= scale);
    });
    let mut copied = vec![0.0; heads * seen * width];
    each_row(&mut copied, seen * width, seen * width, |head, out| {
        for (place, out) in out.chunks_exact_mut(width).enumerate() {
            out[..head_dim].copy_from_slice(&values[place * all + head * head_dim..][..head_dim]);
        }
    });
    let blocks = tokens.div_ceil(QUERIES);
    let units = blocks * heads;
    let work = |out: &crate::kernels::shared::Shared<'_, f32>| {
        pool::for_each(units, pool::grain(units, 2 * QUERIES * padded * width), |range| {
            let mut scores = vec![0.0; QUERIES * padded];
            let mut sums = vec![0.0; QUERIES * width];
            for unit in range {
                let (head, first) = (unit / blocks, unit % blocks * QUERIES);
                let count = QUERIES.min(tokens - first);
                let left = Rows { values: &queries[first * all + head * head_dim..], stride: all };
                let right = Rows { values: &turned[head * head_dim * padded..], stride: padded };
                let shape = [count, head_dim, padded];
                product(tier, left, right, shape, &mut scores, padded, Store::Write);
                let mut totals = [0.0; QUERIES];
                for (scores, total) in scores.chunks_exact_mut(padded).zip(&mut totals[..count]) {
                    scores[seen..].fill(f32::NEG_INFINITY);
                    soften(tier, scores, total);
                }
                let shares = Rows { values: &scores, stride: padded };
                let right = Rows { values: &copied[head * seen * width..], stride: width };
                let shape = [count, seen, width];
                product(tier, shares, right, shape, &mut sums, width, Store::Write);
                for (number, sums) in sums.chunks_exact_mut(width).take(count).enumerate() {
                    let sums = &mut sums[..head_dim];
                    sums.iter_mut().for_each(|sum| *sum /= totals[number]);
                    // SAFETY: no other unit writes to this query's part of this head.
                    unsafe { out.write((first + number) * all + head * head_dim, sums) };
                }
            }
        });
    };
    // SAFETY: every query of each head is written.
    unsafe { written(&[tokens * all], |outs| work(&outs[0])) }.swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 200.0 - 2.5).collect()
    }

    #[test]
    fn every_tier_and_shape_agrees_with_f64() {
        for (tokens, seen, heads, head_dim) in
            [(1, 1, 1, 1), (30, 7, 3, 5), (49, 77, 2, 40), (3, 130, 1, 16)]
        {
            let all = heads * head_dim;
            let [queries, keys, values] =
                [(tokens, 1), (seen, 2), (seen, 3)].map(|(rows, seed)| random(rows * all, seed));
            let scale = 0.3;
            let attention = CrossAttention {
                queries: &queries,
                keys: &keys,
                values: &values,
                heads,
                head_dim,
                scale,
            };
            for tier in Tier::available() {
                let found = attend_on(tier, attention);
                for (at, found) in found.iter().enumerate() {
                    let (token, head, channel) = (at / all, at % all / head_dim, at % head_dim);
                    let part = |x: &[f32], row: usize| -> Vec<f64> {
                        let part = &x[row * all + head * head_dim..][..head_dim];
                        part.iter().map(|x| f64::from(*x)).collect()
                    };
                    let query = part(&queries, token);
                    let score = |key: usize| -> f64 {
                        let products = query.iter().zip(part(&keys, key)).map(|(q, k)| q * k);
                        (products.sum::<f64>() * f64::from(scale)).exp()
                    };
                    let shares: Vec<f64> = (0..seen).map(score).collect();
                    let total: f64 = shares.iter().sum();
                    let each = shares.iter().enumerate();
                    let expected: f64 =
                        each.map(|(key, share)| share / total * part(&values, key)[channel]).sum();
                    assert!((f64::from(*found) - expected).abs() < 3e-5, "{tier:?}: {found}");
                }
            }
        }
    }
}
