//! Processors that keep the likeliest tokens.

use super::LogitsProcessor;
use crate::error::Result;
use crate::generation::softmax::Softmax;

/// Keeps the `k` likeliest tokens and what ties with the last of them (`TopKLogitsWarper`).
#[derive(Debug, Clone)]
pub(in crate::generation) struct TopK {
    /// At least 1.
    k: usize,
    scratch: Vec<f32>,
}

impl TopK {
    pub(in crate::generation) fn new(k: usize) -> Self {
        Self { k: k.max(1), scratch: Vec::new() }
    }
}

impl LogitsProcessor for TopK {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let descending = |a: &f32, b: &f32| b.total_cmp(a);
        let top = &mut self.scratch;
        top.clear();
        // Nearly all logits are below the k-th of those seen so far, and need but one look.
        let mut kth = f32::NEG_INFINITY;
        for &logit in &*logits {
            if logit > kth {
                top.push(logit);
                if top.len() >= self.k.saturating_mul(2).saturating_add(64) {
                    kth = *top.select_nth_unstable_by(self.k - 1, descending).1;
                    top.truncate(self.k);
                }
            }
        }
        if top.len() >= self.k {
            rule_out_below(*top.select_nth_unstable_by(self.k - 1, descending).1, logits);
        }
        Ok(())
    }
}

/// Keeps the likeliest tokens that together reach probability `p`, at least one
/// (`TopPLogitsWarper`). Of tokens that tie at the border the later ones are kept, as by torch's
/// stable ascending sort.
#[derive(Debug, Clone)]
pub(in crate::generation) struct TopP {
    pub(in crate::generation) p: f64,
}

impl LogitsProcessor for TopP {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let softmax = Softmax::of(logits);
        let unlikely = (1.0 - self.p) as f32;
        // Even if all were as unlikely as this, together they would not reach the border: these are
        // nearly all there are, and need no sorting.
        let negligible = 0.5 * unlikely * softmax.total() as f32 / logits.len() as f32;
        let mut mass = 0.0;
        for logit in logits.iter_mut().filter(|logit| **logit > f32::NEG_INFINITY) {
            let weight = softmax.weight(*logit);
            if weight < negligible {
                mass += f64::from(weight);
                *logit = f32::NEG_INFINITY;
            }
        }
        let mut ranked = ranked(logits, |logit| logit);
        let weight = |index: u32| softmax.weight(logits[index as usize]);
        let removed = leading(&mut ranked, weight, mass, softmax.total(), |mass| mass <= unlikely);
        // At least one is kept: the last.
        for &(_, index) in &ranked[..removed.min(ranked.len().saturating_sub(1))] {
            logits[index as usize] = f32::NEG_INFINITY;
        }
        Ok(())
    }
}

/// Keeps tokens above a probability, and always the likeliest.
#[derive(Debug, Clone)]
pub(in crate::generation) enum Cutoff {
    /// A fixed probability (`EpsilonLogitsWarper`).
    Epsilon(f32),
    /// A probability that falls with the entropy of the distribution (`EtaLogitsWarper`).
    Eta(f32),
    /// So many times the greatest probability (`MinPLogitsWarper`).
    MinP(f32),
}

impl LogitsProcessor for Cutoff {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let softmax = Softmax::of(logits);
        let threshold = match *self {
            Self::Epsilon(epsilon) => epsilon,
            Self::Eta(epsilon) => epsilon.min(epsilon.sqrt() * (-softmax.entropy(logits)).exp()),
            Self::MinP(min_p) => min_p * softmax.probability(softmax.max()),
        };
        let threshold = (f64::from(threshold) * softmax.total()) as f32;
        for logit in logits {
            if *logit < softmax.max() && softmax.weight(*logit) < threshold {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
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
    let ascending =
        |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1));
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

fn rule_out_below(threshold: f32, logits: &mut [f32]) {
    for logit in logits {
        if *logit < threshold {
            *logit = f32::NEG_INFINITY;
        }
    }
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
