//! The kernel against f64.

use std::sync::Arc;

use crate::kernels::attention::{Attention, Reach, Row, attend_on};
use crate::kernels::cached::{Block, Kind, Layout, TOKENS};
use crate::kernels::encoder_attention::DistanceBias;
use crate::kernels::tier::Tier;

fn random(length: usize, seed: usize) -> Vec<f32> {
    (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 252.0 - 2.0).collect()
}

/// Blocks of so many slots of random keys and values; and these as they are kept, each
/// `(kv_heads, slots, head_dim)`.
fn stored(layout: &Layout, slots: usize, seed: usize) -> (Vec<Option<Arc<Block>>>, [Vec<f32>; 2]) {
    let [kv_heads, head_dim] = layout.shape(1);
    let vectors = [1, 2].map(|part| random(slots * kv_heads * head_dim, seed + part));
    let mut kept = [1, 2].map(|_| vec![0.0; kv_heads * slots * head_dim]);
    let mut blocks = Vec::new();
    for start in (0..slots).step_by(TOKENS) {
        let slots_here = start..slots.min(start + TOKENS);
        let mut block = layout.block(slots_here.len()).unwrap();
        // One and the rest, so that it begins in the middle, too.
        for part in [start..start + 1, start + 1..slots_here.end] {
            let of_part = |vectors: &[f32]| {
                let width = kv_heads * head_dim;
                vectors[part.start * width..part.end * width].to_vec()
            };
            let [keys, values] = vectors.each_ref().map(|vectors| of_part(vectors));
            block.store(layout, 1, part.start - start, [&keys, &values]);
        }
        for head in 0..kv_heads {
            let to = kept.each_mut().map(|kept| {
                let places = head * slots + slots_here.start..head * slots + slots_here.end;
                &mut kept[places.start * head_dim..places.end * head_dim]
            });
            block.read(layout, [1, head], 0..slots_here.len(), to);
        }
        blocks.push(Some(Arc::new(block)));
    }
    (blocks, kept)
}

/// The same in f64, one query at a time.
fn expected(attention: &Attention<'_>, queries: &[f32], kept: &[[Vec<f32>; 2]]) -> Vec<f32> {
    let Attention { heads, layout, .. } = *attention;
    let [kv_heads, head_dim] = layout.shape(1);
    let mut out = Vec::new();
    for (at, query) in queries.chunks_exact(head_dim).enumerate() {
        let (token, head) = (at / heads, at % heads);
        let number = attention.rows.iter().position(|row| row.tokens.contains(&token)).unwrap();
        let (row, [keys, values]) = (&attention.rows[number], &kept[number]);
        let kv = head / (heads / kv_heads) * row.slots;
        let own = row.start + token - row.tokens.start;
        let Reach { before, after } = attention.reach;
        let seen: Vec<usize> = (0..row.slots)
            .filter(|slot| own.saturating_sub(*slot) <= before && slot.saturating_sub(own) <= after)
            .collect();
        let scores = seen.iter().map(|slot| {
            let key = &keys[(kv + slot) * head_dim..][..head_dim];
            let products = query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k));
            let mut score = products.sum::<f64>() * f64::from(attention.scale);
            if let Some(cap) = attention.cap {
                score = f64::from(cap) * (score / f64::from(cap)).tanh();
            }
            if let Some((biases, slots)) = attention.biases {
                score += f64::from(biases[head * slots + slot]);
            }
            if let Some(DistanceBias { values, longest }) = attention.distances {
                score += f64::from(values[head * (2 * longest - 1) + longest - 1 + slot - own]);
            }
            score
        });
        let shares: Vec<f64> = scores.map(f64::exp).collect();
        let total: f64 = shares.iter().sum();
        out.extend((0..head_dim).map(|channel| {
            let value = |slot: &usize| f64::from(values[(kv + slot) * head_dim + channel]);
            let sum: f64 = seen.iter().zip(&shares).map(|(slot, share)| share * value(slot)).sum();
            if total > 0.0 { (sum / total) as f32 } else { 0.0 }
        }));
    }
    out
}

#[test]
fn every_tier_shape_and_reach_agrees_with_f64() {
    let everything = Reach { before: usize::MAX, after: usize::MAX };
    let before = Reach { before: usize::MAX, after: 0 };
    // Of each row, the tokens before and those with queries.
    for (heads, kv_heads, head_dim, rows, reach, capped) in [
        (1, 1, 1, vec![(0, 1)], before, false),
        (3, 1, 5, vec![(0, 9), (70, 2)], before, true),
        (4, 2, 8, vec![(70, 3), (1, 1), (150, 0)], Reach { before: 19, after: 0 }, false),
        (9, 3, 64, vec![(0, 130), (63, 1)], before, false),
        (6, 2, 16, vec![(1000, 1), (5, 40), (300, 1)], before, true),
        (2, 2, 24, vec![(600, 1), (127, 1)], Reach { before: 499, after: 0 }, false),
        (8, 1, 40, vec![(30, 70)], Reach { before: 63, after: 0 }, true),
        (4, 2, 36, vec![(0, 75), (0, 3)], everything, false),
        (4, 2, 8, vec![(0, 75), (0, 3)], Reach { before: 5, after: 5 }, true),
    ] {
        let longest = rows.iter().map(|(start, new)| start + new).max().unwrap();
        let biases = random(heads * longest, 4);
        let by_distance = random(heads * (2 * longest - 1), 5);
        let tokens = rows.iter().map(|row| row.1).sum::<usize>();
        let queries = random(tokens * heads * head_dim, 1);
        for kind in [Kind::F16, Kind::F32, Kind::Q8] {
            let layout = Layout::new(kind, [[2, 3], [kv_heads, head_dim]]);
            let (mut blocks, mut kept) = (Vec::new(), Vec::new());
            for (seed, (start, new)) in rows.iter().enumerate() {
                let (mut row, numbers) = stored(&layout, start + new, seed);
                // What nobody sees may be gone.
                let gone = start.saturating_sub(reach.before) / TOKENS;
                row[..gone].fill(None);
                blocks.push(row);
                kept.push(numbers);
            }
            let mut end = 0;
            let rows: Vec<_> = rows
                .iter()
                .zip(&blocks)
                .map(|(&(start, new), blocks)| {
                    end += new;
                    Row { tokens: end - new..end, start, slots: start + new, blocks }
                })
                .collect();
            let attention = Attention {
                heads,
                scale: 0.5 / (head_dim as f32).sqrt(),
                cap: capped.then_some(3.0),
                biases: capped.then_some((&biases, longest)),
                distances: (!capped).then_some(DistanceBias { values: &by_distance, longest }),
                reach,
                rows: &rows,
                layout: &layout,
                layer: 1,
            };
            let expected = expected(&attention, &queries, &kept);
            for tier in Tier::available() {
                let found = attend_on(tier, &attention, &queries);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() < 2e-5,
                        "{heads} {head_dim} {kind:?} {tier:?}: {found} {expected}"
                    );
                }
            }
        }
    }
}
