//! Attention straight over a cache's blocks: no copies for grouped heads, no matrix of scores.
//!
//! Softmax runs along with the scores (<https://arxiv.org/abs/2205.14135>): queries of one group of
//! heads go over the keys a block at a time, and what has been summed is scaled whenever a larger
//! score comes. Keys that none of them sees are not read. Long rows of few queries, as in decoding, are
//! cut into parts for all threads, and the sums of parts are joined.
//!
//! Sums are in f32: the error against f64 is below `1e-5` of the largest value.

#![expect(unsafe_code, reason = "threads that write to one slice")]

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use crate::kernels::cached::{Block, Head, KeptOfHead, Layout, TOKENS, width};
use crate::kernels::encoder_attention::DistanceBias;
use crate::kernels::exp::{exp, exponentials, largest, tanh};
use crate::kernels::pool;
use crate::kernels::shared::{Shared, written};
use crate::kernels::tier::{Tier, tiered};
use crate::kernels::tile::{Rows, Store, product};

/// A row of queries, and the keys and values that it attends to.
#[derive(Debug, Clone)]
pub(crate) struct Row<'a> {
    /// Which of all queries are its own: those of so many tokens that follow each other.
    pub(crate) tokens: Range<usize>,
    /// The slot of the first token.
    pub(crate) start: usize,
    /// Slots that hold keys.
    pub(crate) slots: usize,
    /// [`TOKENS`] slots each, the last perhaps fewer; `None` for what no query sees any more.
    pub(crate) blocks: &'a [Option<Arc<Block>>],
}

/// How far queries see from the slot of their own token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Slots before it.
    pub(crate) before: usize,
    /// Slots after it.
    pub(crate) after: usize,
}

impl Reach {
    /// What the token in a slot sees, of so many.
    pub(crate) fn seen(self, slot: usize, slots: usize) -> Range<usize> {
        let end = slot.saturating_add(self.after).saturating_add(1).min(slots);
        slot.saturating_sub(self.before).min(end)..end
    }
}

/// How queries attend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) heads: usize,
    /// Multiplies scores.
    pub(crate) scale: f32,
    /// Scores become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f32>,
    /// Added to scores, `(heads, slots)`, and the slots that there are.
    pub(crate) biases: Option<(&'a [f32], usize)>,
    /// Added to scores by distance, for rows of as many slots as the longest has.
    pub(crate) distances: Option<DistanceBias<'a>>,
    pub(crate) reach: Reach,
    /// One after the other; together they are all queries.
    pub(crate) rows: &'a [Row<'a>],
    pub(crate) layout: &'a Layout,
    pub(crate) layer: usize,
}

/// `queries: (tokens, heads, head_dim)`, and so is the result. A query that sees nothing gets zeros.
pub(crate) fn attend(attention: &Attention<'_>, queries: &[f32]) -> Vec<f32> {
    attend_on(Tier::best(), attention, queries)
}

fn attend_on(tier: Tier, attention: &Attention<'_>, queries: &[f32]) -> Vec<f32> {
    attention.check(queries.len());
    let attend = |outs: &[Shared<'_, f32>]| attend_into(tier, attention, queries, &outs[0]);
    // SAFETY: every query is in one unit, whose results are written.
    unsafe { written(&[queries.len()], attend) }.swap_remove(0)
}

fn attend_into(tier: Tier, attention: &Attention<'_>, queries: &[f32], out: &Shared<'_, f32>) {
    let [_, head_dim] = attention.layout.shape(attention.layer);
    let units = attention.units();
    let keys: usize = units.iter().map(|unit| unit.seen.len()).sum();
    let share = (keys / (4 * pool::threads())).max(SMALLEST_PART);
    let mut parts = Vec::with_capacity(units.len());
    // Where there are several parts of a unit, each has a place for its results: for each query the sums,
    // the largest score and the sum of shares.
    let size = width(head_dim) + 2;
    let mut sums = 0;
    for (number, unit) in units.iter().enumerate() {
        let count = (unit.seen.len() / share).max(1);
        let blocks = unit.seen.start / TOKENS * TOKENS;
        let each = (unit.seen.end - blocks).div_ceil(count).next_multiple_of(TOKENS);
        for part in 0..count {
            let start = unit.seen.start.max(blocks + part * each);
            let end = unit.seen.end.min(blocks + (part + 1) * each);
            let sums_at = (count > 1).then_some(sums);
            parts.push(Part { unit: number, slots: start..end.max(start), sums_at });
            sums += if count > 1 { unit.count(attention) * size } else { 0 };
        }
    }
    let mut partial = vec![0.0; sums];
    let shared = Shared::new(&mut partial);
    let most = units.iter().map(|unit| unit.count(attention) * head_dim).max().unwrap_or(0);
    let work = most * (keys / parts.len().max(1)).max(1);
    pool::for_each(parts.len(), (pool::SMALLEST_WORK / work.max(1)).max(1), |range| {
        let mut scratch = Scratch::default();
        for part in &parts[range] {
            let unit = &units[part.unit];
            unit.run(tier, attention, queries, part.slots.clone(), &mut scratch);
            for (query, sums) in scratch.sums.chunks_exact_mut(size).enumerate() {
                if let Some(start) = part.sums_at {
                    // SAFETY: each part of each unit has its own place, and one thread.
                    unsafe { shared.write(start + query * size, sums) };
                } else {
                    let at = unit.query(attention, query) * head_dim;
                    // SAFETY: each query is in one unit, which one thread got.
                    unsafe { out.write(at, mean(sums, head_dim)) };
                }
            }
        }
    });
    let mut joined = vec![0.0; head_dim];
    let split = parts.chunk_by(|one, other| one.unit == other.unit).filter(|parts| parts.len() > 1);
    for parts in split {
        let unit = &units[parts[0].unit];
        for query in 0..unit.count(attention) {
            let places = parts.iter().filter_map(|part| part.sums_at);
            let sums = places.map(|start| &partial[start + query * size..][..size]);
            join(sums, &mut joined);
            // SAFETY: no other thread is left.
            unsafe { out.write(unit.query(attention, query) * head_dim, &joined) };
        }
    }
}

/// Queries that go over the keys together.
const QUERIES: usize = 96;
/// Keys that are worth a thread's while.
const SMALLEST_PART: usize = 2 * TOKENS;
/// Up to so many queries are multiplied with numbers of f16 as they lie; for more, they are widened once.
const FEW: usize = 8;

impl Attention<'_> {
    /// That everything is as large as it says.
    fn check(&self, queries: usize) {
        let [kv_heads, head_dim] = self.layout.shape(self.layer);
        assert!(kv_heads > 0 && head_dim > 0 && self.heads.is_multiple_of(kv_heads));
        let mut tokens = 0;
        for row in self.rows {
            assert!(row.tokens.start == tokens && row.slots <= row.blocks.len() * TOKENS);
            assert!(row.blocks.iter().enumerate().all(|(number, block)| {
                let slots = row.slots.saturating_sub(number * TOKENS).min(TOKENS);
                block.as_ref().is_none_or(|block| slots <= block.room())
            }));
            assert!(self.biases.is_none_or(|(_, slots)| row.slots <= slots));
            assert!(self.distances.is_none_or(|DistanceBias { longest, .. }| {
                row.slots.max(row.start + row.tokens.len()) <= longest
            }));
            tokens = row.tokens.end;
        }
        assert_eq!(queries, tokens * self.heads * head_dim);
        assert!(self.biases.is_none_or(|(biases, slots)| biases.len() == self.heads * slots));
        assert!(self.distances.is_none_or(|DistanceBias { values, longest }| {
            values.len() == self.heads * (2 * longest - 1)
        }));
    }

    /// What a token of a row sees.
    fn seen(&self, row: &Row<'_>, token: usize) -> Range<usize> {
        self.reach.seen(row.start + token - row.tokens.start, row.slots)
    }

    fn units(&self) -> Vec<Unit> {
        let [kv_heads, _] = self.layout.shape(self.layer);
        let most = (QUERIES / (self.heads / kv_heads)).max(1);
        let mut units = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            for start in row.tokens.clone().step_by(most) {
                let tokens = start..row.tokens.end.min(start + most);
                let seen = self.seen(row, start).start..self.seen(row, tokens.end - 1).end;
                units.extend((0..kv_heads).map(|kv_head| Unit {
                    row: number,
                    kv_head,
                    tokens: tokens.clone(),
                    seen: seen.clone(),
                }));
            }
        }
        units
    }
}

/// The queries of one group of heads in some tokens of a row.
struct Unit {
    row: usize,
    kv_head: usize,
    tokens: Range<usize>,
    /// The slots that any of them sees.
    seen: Range<usize>,
}

/// Some of the slots that a unit sees.
struct Part {
    unit: usize,
    slots: Range<usize>,
    /// Where its sums go, if there are other parts of the unit.
    sums_at: Option<usize>,
}

/// What a thread needs beside its results.
#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    /// Keys or values of a block in f32.
    wide: Vec<f32>,
    /// Scores of a block, `(queries, TOKENS)`, then shares.
    scores: Vec<f32>,
    /// For each query: sums of values, the largest score, the sum of shares.
    sums: Vec<f32>,
}

impl Unit {
    fn count(&self, attention: &Attention<'_>) -> usize {
        self.tokens.len() * attention.heads / attention.layout.shape(attention.layer)[0]
    }

    /// The number of a query among all, in the order of the queries' tensor.
    fn query(&self, attention: &Attention<'_>, number: usize) -> usize {
        let group = attention.heads / attention.layout.shape(attention.layer)[0];
        let token = self.tokens.start + number / group;
        token * attention.heads + self.kv_head * group + number % group
    }

    /// The queries with the keys in some slots; results are in the scratch's sums.
    fn run(
        &self,
        tier: Tier,
        attention: &Attention<'_>,
        queries: &[f32],
        slots: Range<usize>,
        scratch: &mut Scratch,
    ) {
        let Attention { scale, cap, biases, distances, layout, layer, .. } = *attention;
        let [kv_heads, head_dim] = layout.shape(layer);
        let (group, row) = (attention.heads / kv_heads, &attention.rows[self.row]);
        let (count, width) = (self.count(attention), width(head_dim));
        let size = width + 2;
        scratch.queries.clear();
        for number in 0..count {
            let at = self.query(attention, number) * head_dim;
            scratch.queries.extend(queries[at..at + head_dim].iter().map(|query| query * scale));
        }
        scratch.sums.clear();
        scratch.sums.resize(count * size, 0.0);
        for sums in scratch.sums.chunks_exact_mut(size) {
            sums[width] = f32::NEG_INFINITY;
        }
        scratch.scores.resize(count * TOKENS, 0.0);

        let mut start = slots.start;
        while start < slots.end {
            let first = start / TOKENS * TOKENS;
            let here = start..slots.end.min(first + TOKENS);
            start = here.end;
            // What has been let go of is out of reach, or it would be missed here.
            let Some(block) = &row.blocks[first / TOKENS] else {
                unreachable!("block {} of a row is gone", first / TOKENS)
            };
            let (within, cached) =
                (here.start - first..here.end - first, block.head(layout, layer, self.kv_head));
            scratch.score(tier, cached, head_dim, within.end);
            let rows =
                scratch.scores.chunks_exact_mut(TOKENS).zip(scratch.sums.chunks_exact_mut(size));
            for (number, (scores, sums)) in rows.enumerate() {
                let scores = &mut scores[within.clone()];
                if let Some(cap) = cap {
                    soft_cap(tier, scores, cap);
                }
                if let Some((biases, length)) = biases {
                    let head = self.kv_head * group + number % group;
                    let biases = &biases[head * length + here.start..][..here.len()];
                    scores.iter_mut().zip(biases).for_each(|(score, bias)| *score += bias);
                }
                let token = self.tokens.start + number / group;
                if let Some(DistanceBias { values, longest }) = distances {
                    let head = self.kv_head * group + number % group;
                    let own = row.start + token - row.tokens.start;
                    let start = head * (2 * longest - 1) + longest - 1 + here.start - own;
                    let added = &values[start..][..here.len()];
                    scores.iter_mut().zip(added).for_each(|(score, added)| *score += added);
                }
                hide(scores, &here, &attention.seen(row, token));
                soften(tier, scores, sums, width);
            }
            scratch.add_values(tier, cached, head_dim, within);
        }
    }
}

impl Scratch {
    /// The queries' scores with the first keys of a block.
    fn score(&mut self, tier: Tier, cached: Head<'_>, head_dim: usize, keys: usize) {
        let Self { queries, wide, scores, .. } = self;
        let count = queries.len() / head_dim;
        let queries = Rows { values: queries, stride: head_dim };
        let shape = [count, head_dim, keys.next_multiple_of(8)];
        let into = Store::Write;
        let stride = cached.room;
        if let (KeptOfHead::F16(numbers), true) = (cached.kept, count <= FEW) {
            let keys = Rows { values: &numbers[..head_dim * stride], stride };
            return product(tier, queries, keys, shape, scores, TOKENS, into);
        }
        let keys = Rows { values: cached.keys(tier, head_dim, wide), stride };
        product(tier, queries, keys, shape, scores, TOKENS, into);
    }

    /// Adds the values in some slots of a block, by the queries' shares.
    fn add_values(&mut self, tier: Tier, cached: Head<'_>, head_dim: usize, slots: Range<usize>) {
        let Self { wide, scores, sums, .. } = self;
        let (count, width) = (scores.len() / TOKENS, width(head_dim));
        let shares = Rows { values: &scores[slots.start..], stride: TOKENS };
        let shape = [count, slots.len(), width];
        let into = Store::Accumulate;
        if let (KeptOfHead::F16(numbers), true) = (cached.kept, count <= FEW) {
            let values = &numbers[head_dim * cached.room..][slots.start * width..];
            let values = Rows { values, stride: width };
            return product(tier, shares, values, shape, sums, width + 2, into);
        }
        let values = Rows { values: cached.values(tier, head_dim, slots, wide), stride: width };
        product(tier, shares, values, shape, sums, width + 2, into);
    }
}

/// Scores of slots that are not seen become minus infinity.
fn hide(scores: &mut [f32], slots: &Range<usize>, seen: &Range<usize>) {
    if seen.start > slots.start || seen.end < slots.end {
        for (score, slot) in scores.iter_mut().zip(slots.clone()) {
            if !seen.contains(&slot) {
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
fn join<'a>(parts: impl Iterator<Item = &'a [f32]> + Clone, out: &mut [f32]) {
    let pair = |sums: &[f32]| (sums[sums.len() - 2], sums[sums.len() - 1]);
    let largest = parts.clone().map(|sums| pair(sums).0).fold(f32::NEG_INFINITY, f32::max);
    out.fill(0.0);
    let mut total = 0.0;
    for sums in parts.filter(|sums| pair(sums).1 > 0.0) {
        let (most, shares) = pair(sums);
        let share = exp::<false>(most - largest);
        total += share * shares;
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += share * sum);
    }
    if total > 0.0 {
        out.iter_mut().for_each(|out| *out /= total);
    }
}
