//! Drafts of the sequences of a step.

use crate::error::Error;
use crate::generation::draft::{Costs, Draft, lengths};
use crate::generation::sequence::Sequence;
use crate::models::Autoregressive;

/// Lets the sequences at these places draft, those that have drafters, and decides how much of each draft
/// is computed. Returns those whose drafter has failed, which are over. So are those that were interrupted
/// meanwhile.
///
/// It waits until all prompts are computed: on a prompt's pass nothing but the last logits is wanted.
pub(super) fn draft(
    sequences: &mut [Sequence],
    running: &[usize],
    costs: &Costs,
    model: &dyn Autoregressive,
) -> Vec<(usize, Error)> {
    for &place in running {
        let sequence = &mut sequences[place];
        (sequence.draft, sequence.drafted) = (Draft::default(), 0);
    }
    let drafts = running.iter().any(|&place| sequences[place].drafting.is_some());
    if !drafts || !running.iter().all(|&place| sequences[place].is_at_its_last()) {
        return Vec::new();
    }
    // What guides an answer follows its draft in a row of its own.
    let guided = running.iter().filter(|&&place| sequences[place].shadow.is_some()).count();
    let (rows, vocab) = (running.len() + guided, model.limits().vocab);
    // Logits come for as many tokens of each row as the longest draft has.
    let longest = (MOST_LOGITS / vocab.max(1) / rows).saturating_sub(1).min(LONGEST_DRAFT);
    // With the drafts, a pass must round as it does without.
    let within =
        model.rounding_border().filter(|&border| rows <= border).map(|border| border - rows);
    let most_tokens = within.unwrap_or(MOST_TOKENS) / if guided > 0 { 2 } else { 1 };
    let longest = longest.min(most_tokens);
    let (mut failed, mut drafted, mut offers) = (Vec::new(), Vec::new(), Vec::new());
    for &place in running {
        let sequence = &mut sequences[place];
        let Some(drafting) = &mut sequence.drafting else { continue };
        let tokens = sequence.tokens.as_slice();
        let interruption = || Sequence::interruption_of(&sequence.cancel, &sequence.plan);
        let checkpoint = || match interruption() {
            Some(_) => Err(Error::Interrupted),
            None => Ok(()),
        };
        // The token after the draft comes in any case.
        let most = sequence.plan.room(tokens.len()).saturating_sub(1).min(longest);
        let unguided = sequence.shadow.is_some().then(|| sequence.plan.clone().unguided());
        let plan = unguided.as_ref().unwrap_or(&sequence.plan);
        match drafting.draft(tokens, plan, most, (costs, rows), &checkpoint) {
            Ok(mut draft) => {
                let is_unknown = |&id: &u32| id as usize >= vocab;
                let known = draft.tokens.iter().position(is_unknown);
                draft.tokens.truncate(known.unwrap_or(draft.tokens.len()));
                offers.push(drafting.offer(&draft));
                drafted.push(place);
                sequence.draft = draft;
            }
            Err(Error::Interrupted) if interruption().is_some() => {
                sequence.finish = interruption();
            }
            Err(error) => {
                sequence.failed = true;
                failed.push((place, error));
            }
        }
    }
    for (place, length) in drafted.into_iter().zip(lengths(&offers, rows, costs, most_tokens)) {
        sequences[place].drafted = length;
    }
    failed
}

/// Tokens of a draft. A sliding window lets rows go back by more.
const LONGEST_DRAFT: usize = 256;

/// Tokens of all drafts of a step.
const MOST_TOKENS: usize = 512;

/// Logits of a step, in f32.
const MOST_LOGITS: usize = 1 << 26;
