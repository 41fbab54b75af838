//! How many tokens are drafted and computed.
//!
//! A draft of `k` tokens, of which each comes true with probability `p` if those before it have, gives
//! `1 + p + … + p^k` tokens for one pass. It pays where that grows faster than the cost of the pass.
//! Here are numbers alone: [`Stepper`](crate::generation::Stepper) measures.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What passes cost by their number of tokens, in seconds.
#[derive(Debug, Clone, Default)]
pub(in crate::generation) struct Costs(BTreeMap<usize, f64>);

impl Costs {
    /// Takes in the cost of a pass. One that took far longer than passes of its size do counts as twice
    /// their cost: something else was going on.
    pub(in crate::generation) fn record(&mut self, tokens: usize, seconds: f64) {
        let cost = self.0.entry(tokens).or_insert(seconds);
        *cost += (seconds.min(2.0 * *cost) - *cost) * NEWEST_COST;
    }

    /// What a pass is likely to cost: between the sizes that were measured on a line, beyond them with
    /// the slope of the last, and where too little is known by a cautious guess.
    fn of(&self, tokens: usize) -> f64 {
        let line = |(a, at_a): (usize, f64), (b, at_b): (usize, f64), n: usize| {
            at_a + (at_b - at_a) * (n as f64 - a as f64) / (b as f64 - a as f64)
        };
        let known = |(&tokens, &cost): (&usize, &f64)| (tokens, cost);
        let below = self.0.range(..=tokens).next_back().map(known);
        let above = self.0.range(tokens..).next().map(known);
        match (below, above) {
            (Some((at, cost)), _) | (_, Some((at, cost))) if at == tokens => cost,
            (Some(below), Some(above)) => line(below, above, tokens),
            (Some(last), None) => {
                let guess = last.1 * (1.0 + SLOPE * (tokens - last.0) as f64);
                match self.0.range(..last.0).next_back().map(known) {
                    Some(before) => guess.max(line(before, last, tokens)),
                    None => guess,
                }
            }
            (None, Some((at, cost))) => cost / (1.0 + SLOPE * (at - tokens) as f64),
            (None, None) => 1.0 + SLOPE * tokens as f64,
        }
    }

    fn is_known(&self) -> bool {
        !self.0.is_empty()
    }
}

/// How often drafts of a sequence come true, and what they cost.
#[derive(Debug, Clone)]
pub(super) struct Acceptance {
    rates: [Rate; KINDS],
    /// The kind of the last draft.
    last: usize,
    /// Seconds for a token.
    cost: Option<f64>,
    drafts: usize,
    /// Steps since drafting has not paid, and after how many it is tried again.
    pause: (usize, usize),
}

/// How often something happens, with the newest counting most.
#[derive(Debug, Clone, Copy)]
struct Rate {
    rate: f64,
    seen: f64,
}

impl Default for Acceptance {
    fn default() -> Self {
        let rates = [Rate { rate: 0.5, seen: 1.0 }; KINDS];
        Self { rates, last: 0, cost: None, drafts: 0, pause: (0, SHORTEST_PAUSE) }
    }
}

impl Acceptance {
    /// Takes in whether a guess of that kind came true.
    pub(super) fn record(&mut self, kind: usize, came_true: bool) {
        self.last = kind.min(KINDS - 1);
        let Rate { rate, seen } = &mut self.rates[self.last];
        *seen += 1.0;
        let outcome = if came_true { 1.0 } else { 0.0 };
        *rate += (outcome - *rate) / seen.min(LONGEST_MEMORY);
    }

    /// How often a guess of that kind comes true.
    pub(super) fn rate(&self, kind: usize) -> f64 {
        self.rates[kind.min(KINDS - 1)].rate
    }

    /// Takes in how long a draft took. The first does not count: its drafter has read the prompt.
    pub(super) fn record_cost(&mut self, seconds: f64, tokens: usize) {
        self.drafts += 1;
        if self.drafts == 1 {
            return;
        }
        let new = seconds / tokens.max(1) as f64;
        let cost = self.cost.get_or_insert(new);
        *cost += (new.min(2.0 * *cost) - *cost) * NEWEST_COST;
    }

    /// For how many tokens of at most `most` to ask the drafter, beside `rows` that are computed anyway.
    pub(super) fn asks(&mut self, most: usize, costs: &Costs, rows: usize) -> usize {
        let Some(cost) = self.cost.filter(|_| costs.is_known()) else {
            return most.min(FIRST_DRAFT);
        };
        if cost * most as f64 <= FOR_NOTHING * costs.of(rows) {
            return most;
        }
        let offer = Offer { rate: self.rates[self.last].rate, least: 0, most };
        let asked = lengths_at(&[offer], rows, costs, cost)[0];
        let (waited, pause) = &mut self.pause;
        if asked > 0 {
            (*waited, *pause) = (0, SHORTEST_PAUSE);
            return asked;
        }
        *waited += 1;
        if *waited < *pause {
            return 0;
        }
        (*waited, *pause) = (0, (2 * *pause).min(LONGEST_PAUSE));
        1.min(most)
    }
}

/// A draft that may be computed in part.
#[derive(Debug, Clone, Copy)]
pub(in crate::generation) struct Offer {
    /// How often such a guess comes true, if those before it have.
    pub(super) rate: f64,
    /// Tokens that are computed in any case.
    pub(super) least: usize,
    /// Its length.
    pub(super) most: usize,
}

/// How much of each offer to compute beside `rows` that are computed anyway, so that tokens come
/// fastest; together no more than `most`.
pub(in crate::generation) fn lengths(
    offers: &[Offer],
    rows: usize,
    costs: &Costs,
    most: usize,
) -> Vec<usize> {
    let mut lengths = lengths_at(offers, rows, costs, 0.0);
    let mut left = most;
    for length in &mut lengths {
        *length = left.min(*length);
        left -= *length;
    }
    lengths
}

/// The same where each token of a draft costs so many seconds before.
fn lengths_at(offers: &[Offer], rows: usize, costs: &Costs, drafting: f64) -> Vec<usize> {
    let mut lengths: Vec<_> = offers.iter().map(|offer| offer.least).collect();
    let certain = rows + lengths.iter().sum::<usize>();
    // The likeliest tokens first; those of one offer stay in their order.
    let mut guesses: Vec<(f64, usize)> = Vec::new();
    for (number, offer) in offers.iter().enumerate() {
        let mut likelihood = 1.0;
        guesses.extend((offer.least..offer.most).map(|_| {
            likelihood *= offer.rate;
            (likelihood, number)
        }));
    }
    guesses.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal));
    let mut tokens = certain as f64;
    let mut fastest = tokens / costs.of(certain) * WORTH_IT;
    let mut taken = 0;
    for (number, (likelihood, _)) in guesses.iter().enumerate() {
        tokens += likelihood;
        let count = number + 1;
        let speed = tokens / (costs.of(certain + count) + drafting * count as f64);
        if speed > fastest {
            (fastest, taken) = (speed, count);
        }
    }
    guesses[..taken].iter().for_each(|&(_, number)| lengths[number] += 1);
    lengths
}

/// Kinds of drafts that are told apart.
const KINDS: usize = 8;

/// Guesses after which older ones are as good as forgotten.
const LONGEST_MEMORY: f64 = 16.0;

/// How much the newest measurement changes a cost.
const NEWEST_COST: f64 = 0.2;

/// How much more each further token of a pass costs, where that was not measured, by the cost of the
/// pass: on a processor the weights are read once for all.
const SLOPE: f64 = 0.05;

/// How much faster than without a draft it has to be: costs are measured with noise.
const WORTH_IT: f64 = 1.02;

/// The part of a pass that is nothing to speak of.
const FOR_NOTHING: f64 = 0.01;

/// Tokens that are asked for before costs are known.
const FIRST_DRAFT: usize = 4;

/// Steps without a draft, before a drafter that takes time is tried again: doubled with each failure.
const SHORTEST_PAUSE: usize = 4;
const LONGEST_PAUSE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs of a machine on which a pass of `n` tokens takes `1 + slope (n - 1)` milliseconds.
    fn costs(slope: f64) -> Costs {
        let mut costs = Costs::default();
        for tokens in [1, 2, 5, 9, 17] {
            costs.record(tokens, 1e-3 * (1.0 + slope * (tokens - 1) as f64));
        }
        costs
    }

    fn rated(outcomes: impl IntoIterator<Item = bool>) -> Acceptance {
        let mut acceptance = Acceptance::default();
        outcomes.into_iter().for_each(|outcome| acceptance.record(0, outcome));
        acceptance
    }

    #[test]
    fn costs_between_and_beyond_what_was_measured() {
        let linear = costs(0.1);
        for tokens in [1, 2, 3, 5, 7, 12, 17, 30] {
            let expected = 1e-3 * (1.0 + 0.1 * (tokens - 1) as f64);
            assert!((linear.of(tokens) - expected).abs() < 1e-9 || tokens > 17, "{tokens}");
            assert!(linear.of(tokens) > expected - 1e-9);
        }
        let mut few = Costs::default();
        assert!(few.of(3) > few.of(2));
        few.record(4, 2.0);
        assert!(few.of(1) < 2.0 && few.of(9) > 2.0);
        few.record(4, 1000.0);
        assert!(few.of(4) < 2.5);
    }

    /// The length that is best by trying all.
    #[test]
    fn lengths_are_the_fastest() {
        for slope in [0.02, 0.1, 0.3, 0.7, 1.0] {
            for rate in [0.05, 0.3, 0.6, 0.9, 0.99] {
                let costs = costs(slope);
                let speed = |k: usize| {
                    let tokens: f64 = (0..=k).map(|power| f64::powi(rate, power as i32)).sum();
                    tokens / costs.of(1 + k) / if k == 0 { 1.0 / WORTH_IT } else { 1.0 }
                };
                let best = (0..=16).max_by(|&a, &b| speed(a).total_cmp(&speed(b))).unwrap();
                let found = lengths(&[Offer { rate, least: 0, most: 16 }], 1, &costs, 100)[0];
                assert!((speed(found) - speed(best)).abs() < 1e-9 * speed(best), "{slope} {rate}");
            }
        }
    }

    #[test]
    fn the_likelier_draft_gets_more() {
        let offer = |rate| Offer { rate, least: 0, most: 10 };
        let found = lengths(&[offer(0.95), offer(0.2), offer(0.95)], 3, &costs(0.1), 100);
        assert!(found[0] > found[1] && found[0] == found[2], "{found:?}");
        let whole = Offer { rate: 1.0, least: 7, most: 7 };
        assert_eq!(lengths(&[whole, offer(0.01)], 2, &costs(1.0), 100), [7, 0]);
        assert_eq!(lengths(&[whole, whole], 2, &costs(1.0), 9), [7, 2]);
        // Many rows fill the machine, and nothing is left for drafts.
        assert_eq!(lengths(&[offer(0.5); 8], 8, &costs(1.0), 100), [0; 8]);
    }

    #[test]
    fn what_comes_true_is_drafted_and_what_does_not_is_not() {
        let costs = costs(0.1);
        let asked = |acceptance: &Acceptance| {
            lengths(&[Offer { rate: acceptance.rate(0), least: 0, most: 10 }], 1, &costs, 100)[0]
        };
        assert_eq!(asked(&rated([true; 30])), 10);
        assert_eq!(asked(&rated([false; 30])), 0);
        // What costs nothing is compared on, and soon computed again.
        let mut acceptance = rated([false; 30]);
        let again = (1..).find(|_| {
            acceptance.record(0, true);
            asked(&acceptance) > 0
        });
        assert!(again.unwrap() <= 4, "{again:?}");
    }

    #[test]
    fn a_drafter_that_takes_time_is_asked_less_and_less() {
        let costs = costs(0.1);
        let mut acceptance = rated([false; 30]);
        assert_eq!(acceptance.asks(10, &costs, 1), FIRST_DRAFT);
        // The first has read the prompt.
        acceptance.record_cost(10.0, 4);
        acceptance.record_cost(1e-3, 4);
        let mut asked = 0;
        for _ in 0..640 {
            let tokens = acceptance.asks(10, &costs, 1);
            asked += tokens;
            (0..tokens).for_each(|_| acceptance.record(0, false));
        }
        assert!((5..=20).contains(&asked), "{asked}");
        (0..30).for_each(|_| acceptance.record(0, true));
        assert!(acceptance.asks(10, &costs, 1) > 2);
        // A faster one is asked for all it may give.
        (0..100).for_each(|_| acceptance.record_cost(1e-9, 4));
        assert_eq!(acceptance.asks(10, &costs, 1), 10);
    }
}
