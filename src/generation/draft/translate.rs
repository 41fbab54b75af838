//! Tokens of one tokenizer as tokens of another, by way of their text.

use crate::error::Result;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// What a model with another tokenizer reads and writes in place of the target's tokens
/// (`AssistedCandidateGeneratorDifferentTokenizers`). Special tokens are left out.
///
/// Where new tokens come, some before them are encoded once more, because text is split by what stands
/// beside it; the old tokens and the new ones are then joined where they agree.
#[derive(Debug, Clone)]
pub(super) struct Translation {
    target: Tokenizer,
    own: Tokenizer,
    target_lookbehind: usize,
    own_lookbehind: usize,
    /// The target's tokens so far, and what they are here.
    read: Vec<u32>,
    ids: Vec<u32>,
}

impl Translation {
    pub(super) fn new(
        [target, own]: [&Tokenizer; 2],
        target_lookbehind: usize,
        own_lookbehind: usize,
    ) -> Self {
        let (target, own) = (target.clone(), own.clone());
        let (read, ids) = (Vec::new(), Vec::new());
        Self { target, own, target_lookbehind, own_lookbehind, read, ids }
    }

    /// The ids at which the other model ends.
    pub(super) fn ends(&self) -> Vec<u32> {
        self.own.stop_ids()
    }

    /// The target's tokens as the other model reads them.
    pub(super) fn forth(&mut self, tokens: &[u32]) -> Result<&[u32]> {
        let is_new = self.read.is_empty() || !tokens.starts_with(&self.read);
        if is_new {
            self.ids = self.own.encode(&self.target.decode(tokens, true)?)?.ids;
        } else if tokens.len() > self.read.len() {
            let start = self.read.len().saturating_sub(self.target_lookbehind);
            let window = converted(&tokens[start..], [&self.target, &self.own])?;
            match agreement(&self.ids, &window) {
                Some((old, new)) => {
                    self.ids.truncate(old);
                    self.ids.extend(&window[new..]);
                }
                None => {
                    let new = &tokens[self.read.len()..];
                    self.ids.extend(converted(new, [&self.target, &self.own])?);
                }
            }
        }
        self.read = tokens.to_vec();
        Ok(&self.ids)
    }

    /// What the other model says after what it has read, as tokens of the target after `tokens`.
    pub(super) fn back(&self, tokens: &[u32], new: &[u32]) -> Result<Vec<u32>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let start = self.ids.len().saturating_sub(self.own_lookbehind);
        let window = [&self.ids[start..], new].concat();
        let window = converted(&window, [&self.own, &self.target])?;
        Ok(match agreement(tokens, &window) {
            // What the target split otherwise stays as it is.
            Some((old, new)) => window.get(new + tokens.len() - old..).unwrap_or_default().to_vec(),
            None => Vec::new(),
        })
    }
}

/// Tokens of one tokenizer as tokens of another.
fn converted(tokens: &[u32], [from, to]: [&Tokenizer; 2]) -> Result<Vec<u32>> {
    let plain = EncodeOptions::default().add_special_tokens(false);
    Ok(to.encode_with(from.decode(tokens, true)?.as_str(), &plain)?.ids)
}

/// Where the longest run of tokens ends that the end of `old` and `window` have in common: its end in
/// both. Of equally long ones the last.
fn agreement(old: &[u32], window: &[u32]) -> Option<(usize, usize)> {
    let start = old.len().saturating_sub(window.len());
    let run = |(at, from): (usize, usize)| {
        old[at..].iter().zip(&window[from..]).take_while(|(a, b)| a == b).count()
    };
    let starts = (start..old.len()).flat_map(|at| (0..window.len()).map(move |from| (at, from)));
    let (length, (at, from)) =
        starts.map(|start| (run(start), start)).max_by_key(|(length, _)| *length)?;
    (length > 0).then_some((at + length, from + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreements() {
        for (old, window, expected) in [
            (&[1, 2, 3][..], &[2, 3, 4][..], Some((3, 2))),
            (&[1, 2, 3], &[1, 2, 9, 4], Some((2, 2))),
            (&[9, 9, 1, 2], &[2, 1, 2, 5], Some((4, 3))),
            (&[1, 2], &[3, 4], None),
            (&[], &[3], None),
            (&[7], &[], None),
            (&[7, 7, 7], &[7], Some((3, 1))),
        ] {
            assert_eq!(agreement(old, window), expected, "{old:?} {window:?}");
        }
    }
}
