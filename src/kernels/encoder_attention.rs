//! Attention that looks both ways, over rows packed one after the other: no padding, no masks, no
//! copies of heads, and scores of a few queries at a time. What distances between tokens add to
//! scores is looked up by the distance, and what is beyond a window is not computed.
//!
//! Sums are in f32: the error against f64 is below `1e-5` of the largest value.

#![expect(unsafe_code, reason = "threads that write to one slice")]

use std::ops::Range;

use crate::kernels::pool;
use crate::kernels::shared::{Shared, written};
use crate::kernels::softmax::soften;
use crate::kernels::tier::Tier;
use crate::kernels::tile::{Rows, Store, product, turn};

/// Numbers that are added to scores: MPNet, T5.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DistanceBias<'a> {
    /// `(heads, 2 longest - 1)`, by the place of the key minus that of the query plus `longest - 1`.
    pub(crate) values: &'a [f32],
    /// The most tokens of a row.
    pub(crate) longest: usize,
}

impl<'a> DistanceBias<'a> {
    /// What a head's query at a place gets for the keys of the row from the place `first` on.
    pub(crate) fn of(&self, head: usize, query: usize, first: usize) -> &'a [f32] {
        &self.values[head * (2 * self.longest - 1) + self.longest - 1 + first - query..]
    }
}

/// Vectors for distances, whose products with queries and keys are added to scores: DeBERTa.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DistanceVectors<'a> {
    /// What keys are multiplied with, scaled: `(heads, head_dim, count)`.
    pub(crate) queries: Option<&'a [f32]>,
    /// What queries are multiplied with: `(heads, head_dim, count)`.
    pub(crate) keys: Option<&'a [f32]>,
    /// Vectors; a multiple of 8.
    pub(crate) count: usize,
    /// The number of each distance's vector, by the place of the key minus that of the query plus
    /// `longest - 1`.
    pub(crate) numbers: &'a [u32],
    /// The most tokens of a row.
    pub(crate) longest: usize,
}

/// What is attended with what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention<'a> {
    /// `(tokens, heads, head_dim)`.
    pub(crate) queries: &'a [f32],
    /// `(tokens, kv_heads, head_dim)`.
    pub(crate) keys: &'a [f32],
    /// `(tokens, kv_heads, head_dim)`.
    pub(crate) values: &'a [f32],
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Multiplies scores.
    pub(crate) scale: f32,
    /// Tokens attend to those less than so many away; at least 1.
    pub(crate) window: Option<usize>,
    pub(crate) bias: Option<DistanceBias<'a>>,
    /// Multiplies the bias of each query and head, `(tokens, heads)`: WavLM.
    pub(crate) gates: Option<&'a [f32]>,
    pub(crate) distances: Option<DistanceVectors<'a>>,
}

/// `softmax(scale q kᵀ + …) v` of each row and head, `(tokens, heads * head_dim)`. Rows are all tokens,
/// one after the other.
pub(crate) fn attend(attention: Attention<'_>, rows: &[Range<usize>]) -> Vec<f32> {
    attend_on(Tier::best(), attention, rows)
}

fn attend_on(tier: Tier, attention: Attention<'_>, rows: &[Range<usize>]) -> Vec<f32> {
    let tokens = rows.iter().fold(0, |end, row| {
        assert!(row.start == end && row.end >= end);
        row.end
    });
    let length = tokens * attention.heads * attention.head_dim;
    // SAFETY: every token of each head is written.
    unsafe { written(&[length], |outs| attend_into(tier, attention, rows, &outs[0])) }
        .swap_remove(0)
}

fn attend_into(tier: Tier, attention: Attention<'_>, rows: &[Range<usize>], out: &Shared<'_, f32>) {
    let Attention { heads, head_dim, .. } = attention;
    let units = rows.len() * heads;
    let longest = rows.iter().map(Range::len).max().unwrap_or(0);
    pool::for_each(units, pool::grain(units, 2 * longest * longest * head_dim), |range| {
        let mut room = Room::default();
        for number in range {
            let (row, head) = (&rows[number / heads], number % heads);
            Head { tier, attention: &attention, row, head }.run(&mut room, |token, sums, by| {
                let sums = &mut sums[..head_dim];
                sums.iter_mut().for_each(|sum| *sum *= by);
                // SAFETY: no other row and head writes to this part.
                unsafe { out.write((token * heads + head) * head_dim, sums) };
            });
        }
    });
}

/// Memory that is used again for each row and head.
#[derive(Default)]
struct Room {
    /// Scaled keys, `(head_dim, tokens)`.
    keys: Vec<f32>,
    /// Values, `(tokens, head_dim)`, rows padded to eights: closer together than they lie among
    /// other heads'.
    values: Vec<f32>,
    /// Scores of [`QUERIES`] queries, `(queries, tokens)`, then shares.
    scores: Vec<f32>,
    /// Products of queries and of keys with vectors for distances.
    of_queries: Vec<f32>,
    of_keys: Vec<f32>,
    sums: Vec<f32>,
}

/// Queries at a time: as many as keep their scores in the cache next to the processor.
const QUERIES: usize = 24;

/// One head of one row.
struct Head<'a> {
    tier: Tier,
    attention: &'a Attention<'a>,
    row: &'a Range<usize>,
    head: usize,
}

impl<'a> Head<'a> {
    /// `write` gets each token, the sums of its values and what they are multiplied by.
    fn run(&self, room: &mut Room, write: impl Fn(usize, &mut [f32], f32)) {
        let Attention { queries, keys, values, heads, kv_heads, head_dim, scale, window, .. } =
            *self.attention;
        let keys = self.rows(keys, kv_heads, 0);
        let (tier, tokens) = (self.tier, self.row.len());
        let (padded, width) = (tokens.next_multiple_of(8), head_dim.next_multiple_of(8));
        let Room { keys: turned, values: copied, scores, of_queries, of_keys, sums } = room;
        turned.resize(head_dim * padded, 0.0);
        scores.resize(QUERIES * padded, 0.0);
        sums.resize(QUERIES * width, 0.0);
        let Rows { values, stride } = self.rows(values, kv_heads, 0);
        copied.resize(tokens * width, 0.0);
        for (place, copied) in copied.chunks_exact_mut(width).take(tokens).enumerate() {
            copied[..head_dim].copy_from_slice(&values[place * stride..][..head_dim]);
        }
        turn(tier, keys, [tokens, head_dim], turned, padded);
        turned.iter_mut().for_each(|key| *key *= scale);
        if let Some(right) = self.of_head(|distances| distances.queries) {
            of_keys.resize(tokens * right.stride, 0.0);
            let shape = [tokens, head_dim, right.stride];
            product(tier, keys, right, shape, of_keys, right.stride, Store::Write);
        }
        for first in (0..tokens).step_by(QUERIES) {
            let count = QUERIES.min(tokens - first);
            let seen = match window {
                None => 0..tokens,
                // Products begin at eights.
                Some(window) => {
                    let end = tokens.min((first + count - 1).saturating_add(window));
                    (first + 1).saturating_sub(window) / 8 * 8..end
                }
            };
            let left = self.rows(queries, heads, first);
            let right = Rows { values: &turned[seen.start..], stride: padded };
            let shape = [count, head_dim, seen.len().next_multiple_of(8)];
            product(tier, left, right, shape, scores, padded, Store::Write);
            if let Some(right) = self.of_head(|distances| distances.keys) {
                of_queries.resize(QUERIES * right.stride, 0.0);
                let shape = [count, head_dim, right.stride];
                product(tier, left, right, shape, of_queries, right.stride, Store::Write);
            }
            let mut totals = [0.0; QUERIES];
            for (number, scores) in scores.chunks_exact_mut(padded).take(count).enumerate() {
                let eights = &mut scores[..seen.len().next_multiple_of(8)];
                let (scores, beyond) = eights.split_at_mut(seen.len());
                let products = [of_queries.as_slice(), of_keys.as_slice()];
                self.add_distances(scores, &seen, first + number, number, products);
                self.hide(scores, &seen, first + number);
                // One by one, the last numbers would take as long as all others.
                beyond.fill(f32::NEG_INFINITY);
                soften(tier, eights, &mut totals[number]);
            }
            let shares = Rows { values: scores, stride: padded };
            let values = Rows { values: &copied[seen.start * width..], stride: width };
            product(tier, shares, values, [count, seen.len(), width], sums, width, Store::Write);
            for (number, sums) in sums.chunks_exact_mut(width).take(count).enumerate() {
                write(self.row.start + first + number, sums, 1.0 / totals[number]);
            }
        }
    }

    /// The head's vectors from a place in the row on, of as many heads as there are of their kind.
    fn rows(&self, values: &'a [f32], heads: usize, place: usize) -> Rows<'a> {
        let head = self.head * heads / self.attention.heads;
        let start = ((self.row.start + place) * heads + head) * self.attention.head_dim;
        let stride = heads * self.attention.head_dim;
        Rows { values: values.get(start..).unwrap_or_default(), stride }
    }

    /// The head's vectors for distances, `(head_dim, count)`.
    fn of_head(
        &self,
        which: impl Fn(&DistanceVectors<'a>) -> Option<&'a [f32]>,
    ) -> Option<Rows<'a>> {
        let distances = self.attention.distances.as_ref()?;
        let size = self.attention.head_dim * distances.count;
        let values = &which(distances)?[self.head * size..][..size];
        Some(Rows { values, stride: distances.count })
    }

    /// Adds what the distances between a query and the keys it sees say; `number` is the query's
    /// among those with products, which are of queries and of keys.
    fn add_distances(
        &self,
        scores: &mut [f32],
        seen: &Range<usize>,
        query: usize,
        number: usize,
        [of_queries, of_keys]: [&[f32]; 2],
    ) {
        if let Some(bias) = self.attention.bias {
            let added = &bias.of(self.head, query, seen.start)[..scores.len()];
            let heads = self.attention.heads;
            let gate = self
                .attention
                .gates
                .map_or(1.0, |gates| gates[(self.row.start + query) * heads + self.head]);
            scores.iter_mut().zip(added).for_each(|(score, added)| *score += gate * added);
        }
        let Some(distances) = &self.attention.distances else { return };
        let DistanceVectors { count, numbers, longest, .. } = *distances;
        let numbers = &numbers[longest - 1 + seen.start - query..][..scores.len()];
        if distances.keys.is_some() {
            let products = &of_queries[number * count..][..count];
            for (score, &number) in scores.iter_mut().zip(numbers) {
                *score += self.attention.scale * products[number as usize];
            }
        }
        if distances.queries.is_some() {
            let products = of_keys[seen.start * count..].chunks_exact(count);
            for ((score, &number), products) in scores.iter_mut().zip(numbers).zip(products) {
                *score += products[number as usize];
            }
        }
    }

    /// Scores of keys beyond the window become minus infinity.
    fn hide(&self, scores: &mut [f32], seen: &Range<usize>, query: usize) {
        let Some(window) = self.attention.window else { return };
        let before = (query + 1).saturating_sub(window).saturating_sub(seen.start);
        let after = query.saturating_add(window).saturating_sub(seen.start).min(scores.len());
        scores[..before].fill(f32::NEG_INFINITY);
        scores[after..].fill(f32::NEG_INFINITY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 200.0 - 2.5).collect()
    }

    /// Rows of ragged lengths, heads that share keys, and everything that may be added to scores.
    #[test]
    fn every_tier_and_shape_agrees_with_f64() {
        let rows = [0..1, 1..8, 8..12, 12..53, 53..70, 70..70];
        let (tokens, longest, count) = (70, 41, 16);
        for (heads, kv_heads, head_dim) in [(1, 1, 1), (3, 3, 5), (4, 2, 8), (2, 2, 8), (4, 4, 32)]
        {
            let [queries, keys, values] = [(heads, 1), (kv_heads, 2), (kv_heads, 3)]
                .map(|(heads, seed)| random(tokens * heads * head_dim, seed));
            let biases = random(heads * (2 * longest - 1), 4);
            let gates = random(tokens * heads, 7);
            let [to_queries, to_keys] = [5, 6].map(|seed| random(heads * head_dim * count, seed));
            let to_queries: Vec<f32> = to_queries.iter().map(|x| x * 0.1).collect();
            let numbers: Vec<u32> = (0..2 * longest as u32 - 1).map(|at| at * 7 % 16).collect();
            let plain = Attention {
                queries: &queries,
                keys: &keys,
                values: &values,
                heads,
                kv_heads,
                head_dim,
                scale: 0.3,
                window: None,
                bias: None,
                gates: None,
                distances: None,
            };
            let bias = Some(DistanceBias { values: &biases, longest });
            let distances = |queries, keys| {
                Some(DistanceVectors { queries, keys, count, numbers: &numbers, longest })
            };
            let (to_queries, to_keys) = (to_queries.as_slice(), to_keys.as_slice());
            for attention in [
                plain,
                Attention { window: Some(4), ..plain },
                Attention { window: Some(1), ..plain },
                Attention { window: Some(30), bias, ..plain },
                Attention { bias, ..plain },
                Attention { bias, gates: Some(&gates), ..plain },
                Attention { distances: distances(Some(to_queries), Some(to_keys)), ..plain },
                Attention { distances: distances(Some(to_queries), None), ..plain },
                Attention { distances: distances(None, Some(to_keys)), ..plain },
            ] {
                for tier in Tier::available() {
                    let out = attend_on(tier, attention, &rows);
                    assert_eq!(out.len(), tokens * heads * head_dim);
                    check(&attention, &rows, &out);
                }
            }
        }
    }

    fn check(attention: &Attention<'_>, rows: &[Range<usize>], out: &[f32]) {
        let Attention { queries, keys, values, heads, kv_heads, head_dim, .. } = *attention;
        let at = |(values, heads_of): (&[f32], usize), token: usize, head: usize, place: usize| {
            let head = head * heads_of / heads;
            f64::from(values[(token * heads_of + head) * head_dim + place])
        };
        let (queries, keys, values) = ((queries, heads), (keys, kv_heads), (values, kv_heads));
        // With vectors for distances, of a head and a number.
        let product =
            |of: (&[f32], usize), token: usize, head: usize, vectors: &[f32], number: u32| {
                let count = vectors.len() / heads / head_dim;
                let value = |i| f64::from(vectors[(head * head_dim + i) * count + number as usize]);
                (0..head_dim).map(|i| at(of, token, head, i) * value(i)).sum::<f64>()
            };
        let score = |row: &Range<usize>, head: usize, query: usize, key: usize| {
            let products =
                (0..head_dim).map(|i| at(queries, query, head, i) * at(keys, key, head, i));
            let mut score = f64::from(attention.scale) * products.sum::<f64>();
            let (query_place, key_place) = (query - row.start, key - row.start);
            if attention.window.is_some_and(|window| query.abs_diff(key) >= window) {
                return f64::NEG_INFINITY;
            }
            if let Some(DistanceBias { values, longest }) = attention.bias {
                let place = longest - 1 + key_place - query_place;
                let gate = attention.gates.map_or(1.0, |gates| gates[query * heads + head]);
                score += f64::from(gate) * f64::from(values[head * (2 * longest - 1) + place]);
            }
            if let Some(distances) = attention.distances {
                let number = distances.numbers[distances.longest - 1 + key_place - query_place];
                let to_keys = distances.keys.map(|to| product(queries, query, head, to, number));
                score += f64::from(attention.scale) * to_keys.unwrap_or(0.0);
                let to_queries = distances.queries.map(|to| product(keys, key, head, to, number));
                score += to_queries.unwrap_or(0.0);
            }
            score
        };
        for row in rows {
            let pairs = (0..heads).flat_map(|head| row.clone().map(move |query| (head, query)));
            for (head, query) in pairs {
                let scores: Vec<f64> =
                    row.clone().map(|key| score(row, head, query, key)).collect();
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
