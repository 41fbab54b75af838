//! Attention straight over a cache: no copies for grouped heads, no matrix of scores.
//!
//! Softmax runs along with the scores (<https://arxiv.org/abs/2205.14135>): queries of one group of
//! heads go over the keys [`TILE`] at a time, and what has been summed is scaled whenever a larger
//! score comes. Keys that no query of a block sees are not read. Where there are fewer blocks than
//! threads can use, as in decoding, several share the keys of one block and their sums are joined.
//!
//! Sums are in f32: the error against f64 is below `1e-5` of the largest value.

#![expect(unsafe_code, reason = "threads that write to one slice")]

use std::ops::Range;

use crate::kernels::cached::Cached;
use crate::kernels::dense::{FEW, dots};
use crate::kernels::exp::{exp, exponentials, largest, tanh};
use crate::kernels::pool;
use crate::kernels::shared::{Shared, written};
use crate::kernels::tier::{Tier, tiered};
use crate::kernels::tile::{Into, Rows, product, turn};

/// What the queries of one row see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    /// For each query the slots it sees, apart from hidden ones.
    pub(crate) slots: Vec<Range<usize>>,
    /// Whether each slot is hidden from all, as padding is; empty where none is.
    pub(crate) hidden: Vec<bool>,
}

/// How queries attend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Slots that the cache has room for.
    pub(crate) capacity: usize,
    /// Multiplies scores.
    pub(crate) scale: f32,
    /// Scores become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f32>,
    /// Added to scores, `(rows, heads, slots)`.
    pub(crate) biases: Option<(&'a [f32], usize)>,
    /// One for each row.
    pub(crate) sights: &'a [Sight],
}

/// `queries: (rows, tokens, heads, head_dim)`, and so is the result. A query that sees nothing gets
/// zeros.
pub(crate) fn attend(
    attention: &Attention<'_>,
    queries: &[f32],
    keys: Cached<'_>,
    values: Cached<'_>,
) -> Vec<f32> {
    attend_on(Tier::best(), attention, queries, [keys, values])
}

fn attend_on(
    tier: Tier,
    attention: &Attention<'_>,
    queries: &[f32],
    cached: [Cached<'_>; 2],
) -> Vec<f32> {
    attention.check(queries.len(), cached);
    let attend = |outs: &[Shared<'_, f32>]| attend_into(tier, attention, queries, cached, &outs[0]);
    // SAFETY: every query is in one unit, whose results are written.
    unsafe { written(&[queries.len()], attend) }.swap_remove(0)
}

fn attend_into(
    tier: Tier,
    attention: &Attention<'_>,
    queries: &[f32],
    cached: [Cached<'_>; 2],
    out: &Shared<'_, f32>,
) {
    let Attention { heads, kv_heads, head_dim, sights, .. } = *attention;
    let (group, tokens) = (heads / kv_heads, sights.first().map_or(0, |sight| sight.slots.len()));
    let block = (QUERIES / group).clamp(1, tokens.max(1));
    let blocks = tokens.div_ceil(block);
    let units = sights.len() * kv_heads * blocks;
    let most = sights.iter().flat_map(|sight| &sight.slots).map(Range::len).max().unwrap_or(0);
    let wanted = (4 * pool::threads()).div_ceil(units.max(1));
    let parts = wanted.min(most / SMALLEST_PART).max(1);
    let unit = |number: usize| {
        let (row, rest) = (number / (kv_heads * blocks), number % (kv_heads * blocks));
        let (kv_head, start) = (rest / blocks, rest % blocks * block);
        Unit { row, kv_head, tokens: start..tokens.min(start + block) }
    };
    // Each part's results: for each of its queries sums, the largest score and the sum of shares.
    let width = head_dim.next_multiple_of(8) + 2;
    let part_size = block * group * width;
    let mut partial = vec![0.0; if parts > 1 { units * parts * part_size } else { 0 }];
    let shared_partial = Shared::new(&mut partial);
    let work = block * group * head_dim * (most / parts).max(1);
    let grain = (pool::SMALLEST_WORK / work.max(1)).max(1);
    pool::for_each(units * parts, grain, |range| {
        let mut scratch = Scratch::default();
        for number in range {
            let unit = unit(number / parts);
            unit.run(tier, attention, cached, queries, (number % parts, parts), &mut scratch);
            for (query, sums) in scratch.sums.chunks_exact_mut(width).enumerate() {
                if parts > 1 {
                    let start = number * part_size + query * width;
                    // SAFETY: each part of each unit has its own place, and one thread.
                    unsafe { shared_partial.part(start, width) }.copy_from_slice(sums);
                } else {
                    let at = unit.query(attention, query) * head_dim;
                    // SAFETY: each query is in one unit, which one thread got.
                    unsafe { out.write(at, mean(sums, head_dim)) };
                }
            }
        }
    });
    if parts > 1 {
        let mut joined = vec![0.0; head_dim];
        for number in 0..units {
            let unit = unit(number);
            for query in 0..unit.tokens.len() * group {
                let start = number * parts * part_size + query * width;
                let at = unit.query(attention, query) * head_dim;
                join(&partial[start..], part_size, parts, width, &mut joined);
                // SAFETY: no other thread is left.
                unsafe { out.write(at, &joined) };
            }
        }
    }
}

/// Queries that go over the keys together.
const QUERIES: usize = 96;
/// Keys at a time.
const TILE: usize = 64;
/// Keys that are worth a thread's while.
const SMALLEST_PART: usize = 128;
impl Attention<'_> {
    /// That everything is as large as it says: kernels rely on it.
    fn check(&self, queries: usize, cached: [Cached<'_>; 2]) {
        let Attention { heads, kv_heads, head_dim, capacity, sights, .. } = *self;
        assert!(kv_heads > 0 && head_dim > 0 && heads.is_multiple_of(kv_heads));
        let tokens = sights.first().map_or(0, |sight| sight.slots.len());
        assert_eq!(queries, sights.len() * tokens * heads * head_dim);
        let vectors = sights.len() * kv_heads * capacity;
        assert!(cached.iter().all(|cached| cached.holds(vectors, head_dim)));
        for sight in sights {
            assert_eq!(sight.slots.len(), tokens);
            let end = sight.slots.iter().map(|slots| slots.end).max().unwrap_or(0);
            assert!(end <= capacity && (sight.hidden.is_empty() || end <= sight.hidden.len()));
            if let Some((biases, slots)) = self.biases {
                assert!(end <= slots && biases.len() == sights.len() * heads * slots);
            }
        }
    }
}

/// The queries of one group of heads in some tokens of a row.
struct Unit {
    row: usize,
    kv_head: usize,
    tokens: Range<usize>,
}

/// What a thread needs beside its results.
#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    /// Keys of a tile, as they lie in the cache.
    keys: Vec<f32>,
    /// The same, `(head_dim, TILE)`.
    turned: Vec<f32>,
    values: Vec<f32>,
    /// Scores of a tile, `(queries, TILE)`, then shares.
    scores: Vec<f32>,
    /// For each query: sums of values, the largest score, the sum of shares.
    sums: Vec<f32>,
}

impl Unit {
    /// The number of a query among all, in the order of the queries' tensor.
    fn query(&self, attention: &Attention<'_>, number: usize) -> usize {
        let Attention { heads, kv_heads, sights, .. } = *attention;
        let group = heads / kv_heads;
        let token = self.row * sights[self.row].slots.len() + self.tokens.start + number / group;
        token * heads + self.kv_head * group + number % group
    }

    /// Part `part` of `parts` of the keys; results are in the scratch's sums.
    fn run(
        &self,
        tier: Tier,
        attention: &Attention<'_>,
        [keys, values]: [Cached<'_>; 2],
        queries: &[f32],
        (part, parts): (usize, usize),
        scratch: &mut Scratch,
    ) {
        let Attention { heads, kv_heads, head_dim, capacity, scale, cap, .. } = *attention;
        let (group, sight) = (heads / kv_heads, &attention.sights[self.row]);
        let count = self.tokens.len() * group;
        let stride = head_dim.next_multiple_of(8);
        let width = stride + 2;
        scratch.queries.clear();
        for number in 0..count {
            let at = self.query(attention, number) * head_dim;
            scratch.queries.extend(queries[at..at + head_dim].iter().map(|query| query * scale));
        }
        scratch.sums.clear();
        scratch.sums.resize(count * width, 0.0);
        for sums in scratch.sums.chunks_exact_mut(width) {
            sums[stride] = f32::NEG_INFINITY;
        }
        scratch.scores.resize(count * TILE, 0.0);
        scratch.keys.resize(TILE * head_dim, 0.0);
        scratch.turned.resize(head_dim * TILE, 0.0);
        scratch.values.resize(TILE * stride, 0.0);

        let seen = sight.slots[self.tokens.clone()].iter().filter(|slots| !slots.is_empty());
        let first = seen.clone().map(|slots| slots.start).min().unwrap_or(0);
        let end = seen.map(|slots| slots.end).max().unwrap_or(0);
        let each = (end - first).div_ceil(parts).next_multiple_of(TILE);
        let (first, end) = (first + part * each, end.min(first + (part + 1) * each));
        let head = (self.row * kv_heads + self.kv_head) * capacity;
        for start in (first..end).step_by(TILE) {
            let slots = start..end.min(start + TILE);
            let cached = head + slots.start..head + slots.end;
            scratch.score(tier, keys, cached.clone(), head_dim);
            let rows =
                scratch.scores.chunks_exact_mut(TILE).zip(scratch.sums.chunks_exact_mut(width));
            for (number, (scores, sums)) in rows.enumerate() {
                let scores = &mut scores[..slots.len()];
                if let Some(cap) = cap {
                    soft_cap(tier, scores, cap);
                }
                if let Some((biases, length)) = attention.biases {
                    let head = self.row * heads + self.kv_head * group + number % group;
                    let biases = &biases[head * length + slots.start..][..slots.len()];
                    scores.iter_mut().zip(biases).for_each(|(score, bias)| *score += bias);
                }
                hide(
                    scores,
                    &slots,
                    &sight.slots[self.tokens.start + number / group],
                    &sight.hidden,
                );
                soften(tier, scores, sums, stride);
            }
            let values = values.rows(cached, head_dim, stride, &mut scratch.values);
            let shares = Rows { values: &scratch.scores, stride: TILE };
            let shape = [count, slots.len(), stride];
            product(tier, shares, values, shape, &mut scratch.sums, width, Into::Add);
        }
    }
}

impl Scratch {
    /// The queries' scores with some keys. Few queries are multiplied with keys as they lie.
    fn score(&mut self, tier: Tier, keys: Cached<'_>, vectors: Range<usize>, head_dim: usize) {
        let Self { queries, keys: room, turned, scores, .. } = self;
        let range = vectors.start * head_dim..vectors.end * head_dim;
        let write = |query: usize, key: usize, sum: f32| scores[query * TILE + key] = sum;
        match keys {
            Cached::F16(keys) if queries.len() <= FEW * head_dim => {
                return dots(tier, queries, head_dim, &keys[range], write);
            }
            Cached::F32(keys) if queries.len() <= FEW * head_dim => {
                return dots(tier, queries, head_dim, &keys[range], write);
            }
            _ => {}
        }
        let (slots, count) = (vectors.len(), queries.len() / head_dim);
        turn(tier, keys.rows(vectors, head_dim, head_dim, room), [slots, head_dim], turned, TILE);
        let queries = Rows { values: queries, stride: head_dim };
        let turned = Rows { values: turned, stride: TILE };
        let shape = [count, head_dim, slots.next_multiple_of(8)];
        product(tier, queries, turned, shape, scores, TILE, Into::Write);
    }
}

/// Scores of slots that are not seen become minus infinity.
fn hide(scores: &mut [f32], slots: &Range<usize>, seen: &Range<usize>, hidden: &[bool]) {
    if seen.start > slots.start || seen.end < slots.end {
        for (score, slot) in scores.iter_mut().zip(slots.clone()) {
            if !seen.contains(&slot) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
    if !hidden.is_empty() {
        for (score, hidden) in scores.iter_mut().zip(&hidden[slots.clone()]) {
            if *hidden {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

tiered! {
    fn soft_cap(scores: &mut [f32], cap: f32) {
        for score in scores {
            *score = cap * tanh::<FMA>(*score / cap);
        }
    }
}

tiered! {
    /// Scores become shares relative to the largest so far, and what has been summed is scaled.
    fn soften(scores: &mut [f32], sums: &mut [f32], stride: usize) {
        let before = sums[stride];
        let largest = largest(scores).max(before);
        if largest == f32::NEG_INFINITY {
            scores.fill(0.0);
            return;
        }
        let total = exponentials::<FMA>(scores, largest);
        if largest > before {
            let shrink = exp::<FMA>(before - largest);
            for sum in sums.iter_mut() {
                *sum *= shrink;
            }
            sums[stride] = largest;
        }
        sums[stride + 1] += total;
    }
}

/// Sums of values become their mean.
fn mean(sums: &mut [f32], head_dim: usize) -> &[f32] {
    let total = sums[sums.len() - 1];
    let factor = if total > 0.0 { 1.0 / total } else { 0.0 };
    let sums = &mut sums[..head_dim];
    sums.iter_mut().for_each(|sum| *sum *= factor);
    sums
}

/// Joins what parts of the keys have given a query.
fn join(partial: &[f32], part_size: usize, parts: usize, width: usize, out: &mut [f32]) {
    let each = || (0..parts).map(|part| &partial[part * part_size..][..width]);
    let largest = each().map(|sums| sums[width - 2]).fold(f32::NEG_INFINITY, f32::max);
    out.fill(0.0);
    let mut total = 0.0;
    for sums in each().filter(|sums| sums[width - 1] > 0.0) {
        let share = exp::<false>(sums[width - 2] - largest);
        total += share * sums[width - 1];
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += share * sum);
    }
    if total > 0.0 {
        out.iter_mut().for_each(|out| *out /= total);
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::kernels::cached::{Buffer, block_bytes, store};

    fn random(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 252.0 - 2.0).collect()
    }

    /// The same numbers as every cache keeps them.
    struct Stored {
        f16: Vec<f16>,
        f32: Vec<f32>,
        q8: Vec<u8>,
    }

    impl Stored {
        fn new(values: &[f32], head_dim: usize) -> Self {
            let vectors = values.len() / head_dim;
            let mut q8 = vec![0; vectors * block_bytes(head_dim)];
            store(values, [1, vectors, 1, head_dim], 0, vectors, Buffer::Q8(&mut q8));
            let f16 = values.iter().map(|x| f16::from_f32(*x)).collect();
            Self { f16, f32: values.to_vec(), q8 }
        }
    }

    /// The same in f64, one query at a time.
    fn expected(
        attention: &Attention<'_>,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
    ) -> Vec<f32> {
        let Attention { heads, kv_heads, head_dim, capacity, sights, .. } = *attention;
        let tokens = sights[0].slots.len();
        let mut out = Vec::new();
        for (at, query) in queries.chunks_exact(head_dim).enumerate() {
            let (row, token, head) = (at / heads / tokens, at / heads % tokens, at % heads);
            let kv = (row * kv_heads + head / (heads / kv_heads)) * capacity;
            let seen = sights[row].slots[token].clone();
            let hidden = &sights[row].hidden;
            let seen: Vec<_> = seen.filter(|&slot| hidden.is_empty() || !hidden[slot]).collect();
            let scores = seen.iter().map(|slot| {
                let key = &keys[(kv + slot) * head_dim..][..head_dim];
                let products = query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k));
                let mut score = products.sum::<f64>() * f64::from(attention.scale);
                if let Some(cap) = attention.cap {
                    score = f64::from(cap) * (score / f64::from(cap)).tanh();
                }
                if let Some((biases, slots)) = attention.biases {
                    score += f64::from(biases[(row * heads + head) * slots + slot]);
                }
                score
            });
            let shares: Vec<f64> = scores.map(f64::exp).collect();
            let total: f64 = shares.iter().sum();
            out.extend((0..head_dim).map(|channel| {
                let value = |slot: &usize| f64::from(values[(kv + slot) * head_dim + channel]);
                let sum: f64 =
                    seen.iter().zip(&shares).map(|(slot, share)| share * value(slot)).sum();
                if total > 0.0 { (sum / total) as f32 } else { 0.0 }
            }));
        }
        out
    }

    #[test]
    fn every_tier_shape_and_mask_agrees_with_f64() {
        for (heads, kv_heads, head_dim, start, tokens, window, capped) in [
            (1, 1, 1, 0, 1, None, false),
            (3, 1, 5, 0, 9, None, true),
            (4, 2, 8, 70, 3, Some(20), false),
            (9, 3, 64, 0, 130, None, false),
            (6, 2, 16, 1000, 1, None, true),
            (2, 2, 24, 600, 1, Some(500), false),
            (8, 1, 40, 30, 70, Some(64), true),
        ] {
            let (rows, end) = (2, start + tokens);
            let capacity = end + 13;
            let sight = |row: usize| Sight {
                slots: (start..end)
                    .map(|slot| {
                        window.map_or(0, |window| (slot + 1_usize).saturating_sub(window))..slot + 1
                    })
                    .collect(),
                hidden: if row == 0 {
                    Vec::new()
                } else {
                    (0..end).map(|slot| slot % 3 == 1 || slot < 2).collect()
                },
            };
            let sights = [sight(0), sight(1)];
            let biases = random(rows * heads * end, 4);
            let queries = random(rows * tokens * heads * head_dim, 1);
            let keys = random(rows * kv_heads * capacity * head_dim, 2);
            let values = random(rows * kv_heads * capacity * head_dim, 3);
            let attention = Attention {
                heads,
                kv_heads,
                head_dim,
                capacity,
                sights: &sights,
                scale: 0.5 / (head_dim as f32).sqrt(),
                cap: capped.then_some(3.0),
                biases: capped.then_some((&biases, end)),
            };
            let stored = [&keys, &values].map(|values| Stored::new(values, head_dim));
            for tier in Tier::available() {
                for cached in [
                    stored.each_ref().map(|stored| Cached::F16(&stored.f16)),
                    stored.each_ref().map(|stored| Cached::F32(&stored.f32)),
                    stored.each_ref().map(|stored| Cached::Q8(&stored.q8)),
                ] {
                    let vectors = rows * kv_heads * capacity;
                    let [keys, values] = cached.map(|cached| {
                        let mut wide = vec![0.0; vectors * head_dim];
                        cached.widen(0..vectors, head_dim, head_dim, &mut wide);
                        wide
                    });
                    let expected = expected(&attention, &queries, &keys, &values);
                    let found = attend_on(tier, &attention, &queries, cached);
                    for (found, expected) in found.iter().zip(expected) {
                        assert!(
                            (found - expected).abs() < 2e-5,
                            "{heads} {head_dim} {tokens}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }
}
