//! The largest logits and the smallest keys, without sorting.

use std::cmp::Ordering;

/// The `k`-th largest logit; `None` where fewer are above `-inf`.
pub(super) fn kth_largest(k: usize, logits: &[f32], scratch: &mut Vec<f32>) -> Option<f32> {
    let descending = |a: &f32, b: &f32| b.total_cmp(a);
    scratch.clear();
    // Nearly all logits are below the k-th of those seen so far, and need but one look.
    let mut kth = f32::NEG_INFINITY;
    for &logit in logits {
        if logit > kth {
            scratch.push(logit);
            if scratch.len() >= k.saturating_mul(2).saturating_add(64) {
                kth = *scratch.select_nth_unstable_by(k - 1, descending).1;
                scratch.truncate(k);
            }
        }
    }
    (scratch.len() >= k).then(|| *scratch.select_nth_unstable_by(k - 1, descending).1)
}

/// Rules out what is smaller than `threshold`.
pub(super) fn rule_out_below(threshold: f32, logits: &mut [f32]) {
    for logit in logits {
        if *logit < threshold {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// The finite logits' `key` and index.
pub(super) fn ranked(logits: &[f32], key: impl Fn(f32) -> f32) -> Vec<(f32, u32)> {
    // Adding 0 makes -0 and 0 the same key, as they are for torch's sort.
    let item = |(index, &logit): (usize, &f32)| (key(logit) + 0.0, index as u32);
    logits.iter().enumerate().filter(|(_, it)| **it > f32::NEG_INFINITY).map(item).collect()
}

/// Of `ranked` in ascending order of key, then index: how many come first while the probability of
/// all up to and including each, and of weight `before`, satisfies `holds`, which must not hold
/// again once it has failed. That many are then at the front, in any order, the next one after them.
///
/// The same as sorting and summing, as quickselect: it takes time linear in the vocabulary.
pub(super) fn leading(
    ranked: &mut [(f32, u32)],
    weight: impl Fn(u32) -> f32,
    mut before: f64,
    total: f64,
    holds: impl Fn(f32) -> bool,
) -> usize {
    let (mut from, mut to) = (0, ranked.len());
    while from < to {
        let middle = (to - from) / 2;
        let span = &mut ranked[from..to];
        span.select_nth_unstable_by(middle, ascending);
        let sum = span[..=middle].iter().map(|&(_, index)| f64::from(weight(index))).sum::<f64>();
        if holds(((before + sum) / total) as f32) {
            before += sum;
            from += middle + 1;
        } else {
            to = from + middle;
        }
    }
    from
}

/// Moves the `count` smallest, by key, then index, to the front, in any order; the next one follows them.
pub(super) fn smallest_first(ranked: &mut [(f32, u32)], count: usize) {
    if count < ranked.len() {
        ranked.select_nth_unstable_by(count, ascending);
    }
}

fn ascending(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn leading_is_sorting_and_summing(
            weights in proptest::collection::vec(0u8..6, 0..60), limit in 0f32..1.1,
        ) {
            let total = weights.iter().map(|&it| f64::from(it)).sum::<f64>().max(1.0);
            let mut ranked: Vec<_> = weights.iter().enumerate()
                .map(|(index, &it)| (f32::from(it), index as u32)).collect();
            let mut sorted = ranked.clone();
            sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let mut sum = 0.0;
            let expected = sorted.iter().take_while(|item| {
                sum += f64::from(item.0);
                (sum / total) as f32 <= limit
            }).count();
            let weight = |index: u32| f32::from(weights[index as usize]);
            let found = leading(&mut ranked, weight, 0.0, total, |mass| mass <= limit);
            prop_assert_eq!(found, expected);
            ranked[..found].sort_by(|a, b| a.partial_cmp(b).unwrap());
            prop_assert_eq!(&ranked[..found], &sorted[..found]);
            prop_assert_eq!(ranked.get(found), sorted.get(found));
        }
    }
}
