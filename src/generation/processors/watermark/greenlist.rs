//! The watermark of green tokens.

use serde::{Deserialize, Serialize};

use super::Table;
use crate::error::{Error, Result};
use crate::fields::choices;
use crate::generation::processors::rank::{kth_largest, ranked};
use crate::generation::processors::{LogitsProcessor, checked, is_finite};
use crate::random::Generator;

/// How a watermark is made: `WatermarkingConfig` of transformers, with its names and defaults. Whoever detects
/// the watermark must know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WatermarkingConfig {
    /// The share of the vocabulary that is green, above 0 and below 1. Default: 0.25.
    pub greenlist_ratio: f64,
    /// What is added to the logits of green tokens; 0.5 to 2 is usual. Default: 2.
    pub bias: f64,
    /// The secret, below 2^63. Default: 15485863.
    pub hashing_key: u64,
    /// What decides which tokens are green. Default: `lefthash`.
    pub seeding_scheme: SeedingScheme,
    /// How many tokens decide, at least 1: with `selfhash` the next token is one of them. Default: 1.
    pub context_width: usize,
}

choices! {
    /// What decides which tokens are green.
    SeedingScheme, "seeding_scheme" {
        /// The last token (algorithm 2 of the paper).
        LeftHash = "lefthash",
        /// The next token and those before it (algorithm 3 of the paper). Only the 40 likeliest tokens are
        /// tried, each with a permutation of the vocabulary of its own, which takes time.
        SelfHash = "selfhash",
    }
}

impl Default for WatermarkingConfig {
    fn default() -> Self {
        Self {
            greenlist_ratio: 0.25,
            bias: 2.0,
            hashing_key: 15_485_863,
            seeding_scheme: SeedingScheme::LeftHash,
            context_width: 1,
        }
    }
}

/// Makes tokens likelier that a secret key and the tokens before them decide: the green ones
/// (`WatermarkLogitsProcessor`, arXiv 2306.04634). [`WatermarkDetector`](super::WatermarkDetector) counts them.
///
/// The green tokens are those of transformers on the CPU. With fewer tokens than `context_width` nothing is
/// done.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::{Watermark, WatermarkingConfig};
///
/// let mut logits = [0.0; 100];
/// Watermark::new(&WatermarkingConfig::default(), 100)?.process(&[17], &mut logits)?;
/// assert_eq!(logits.iter().filter(|&&logit| logit == 2.0).count(), 25);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Watermark {
    bias: f32,
    pub(super) greenlist: Greenlist,
}

impl Watermark {
    /// For a vocabulary of `vocab` tokens: [`ModelLimits::vocab`](crate::models::ModelLimits).
    ///
    /// # Errors
    ///
    /// When a field of the config is out of its range.
    pub fn new(config: &WatermarkingConfig, vocab: usize) -> Result<Self> {
        checked("watermarking_config", config.bias, "a finite bias", is_finite)?;
        Ok(Self { bias: config.bias as f32, greenlist: Greenlist::new(config, vocab)? })
    }

    /// Of the 40 likeliest tokens, those that are green when they come next.
    fn green_candidates(&self, tokens: &[u32], logits: &[f32]) -> Vec<u32> {
        let least = kth_largest(CANDIDATES, logits, &mut Vec::new()).unwrap_or(f32::NEG_INFINITY);
        let mut likeliest = ranked(logits, |logit| -logit);
        likeliest.retain(|&(key, _)| -key >= least);
        likeliest.sort_by(|a, b| a.0.total_cmp(&b.0));
        let candidates = likeliest.into_iter().take(CANDIDATES).map(|(_, index)| index);
        let context = &tokens[tokens.len() - (self.greenlist.width - 1)..];
        candidates
            .filter(|&id| self.greenlist.of(&[context, &[id]].concat()).contains(&id))
            .collect()
    }
}

impl LogitsProcessor for Watermark {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let Some(start) = tokens.len().checked_sub(self.greenlist.width) else { return Ok(()) };
        let green = match self.greenlist.scheme {
            SeedingScheme::LeftHash => self.greenlist.of(&tokens[start..]),
            SeedingScheme::SelfHash => self.green_candidates(tokens, logits),
        };
        for id in green {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit += self.bias;
            }
        }
        Ok(())
    }
}

/// Which tokens are green after a context.
#[derive(Debug, Clone)]
pub(super) struct Greenlist {
    pub(super) scheme: SeedingScheme,
    /// Tokens of a context.
    pub(super) width: usize,
    key: u64,
    vocab: u32,
    size: usize,
    /// Random numbers for ids, with `selfhash`.
    table: Option<Table<usize>>,
}

impl Greenlist {
    pub(super) fn new(config: &WatermarkingConfig, vocab: usize) -> Result<Self> {
        let refuse = |reason: String| Err(Error::option("watermarking_config", reason));
        let ratio = config.greenlist_ratio;
        if !(ratio > 0.0 && ratio < 1.0) {
            return refuse(format!(
                "`greenlist_ratio` is {ratio}, but must be above 0 and below 1"
            ));
        }
        if config.context_width == 0 {
            return refuse("`context_width` is 0, but must be at least 1".to_owned());
        }
        if config.hashing_key > i64::MAX as u64 {
            return refuse("`hashing_key` must be below 2^63".to_owned());
        }
        let Some(vocab) = u32::try_from(vocab).ok().filter(|&vocab| vocab < MOST_ITEMS) else {
            return refuse(format!("a vocabulary of {vocab} is too large"));
        };
        let table = || Generator::seed(config.hashing_key).randperm(TABLE as usize);
        let is_needed = config.seeding_scheme == SeedingScheme::SelfHash;
        Ok(Self {
            scheme: config.seeding_scheme,
            width: config.context_width,
            key: config.hashing_key,
            vocab,
            size: (f64::from(vocab) * ratio) as usize,
            table: is_needed.then(|| Table(table().into())),
        })
    }

    /// The green ids after a context of `width` tokens, with `selfhash` the token in question being the last.
    pub(super) fn of(&self, context: &[u32]) -> Vec<u32> {
        let green = Generator::seed(self.seed(context)).permutation(self.vocab as usize, self.size);
        green.into_iter().map(|id| id as u32).collect()
    }

    fn seed(&self, context: &[u32]) -> u64 {
        let last = context.last().copied().unwrap_or(0);
        let hash = match &self.table {
            None => i128::from(self.key) * i128::from(last),
            Some(table) => {
                let number = |id: u32| table.0[(id % TABLE) as usize] as i64 + 1;
                // As torch's 64-bit integers, which wrap.
                let key = self.key as i64;
                let products = context
                    .iter()
                    .map(|&id| key.wrapping_mul(number(id)).wrapping_mul(number(last)));
                products.min().map_or(0, i128::from)
            }
        };
        hash.rem_euclid(i128::from(u64::MAX)) as u64
    }
}

/// The tokens that are tried with `selfhash`.
const CANDIDATES: usize = 40;
/// The size of the table of random numbers.
const TABLE: u32 = 1_000_003;
/// The items that torch permutes with 32 random bits each.
const MOST_ITEMS: u32 = u32::MAX / 20;
