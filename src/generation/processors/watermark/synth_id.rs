//! SynthID: a watermark that keeps the distribution.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Table;
use crate::error::{Error, Result};
use crate::generation::processors::LogitsProcessor;
use crate::generation::softmax::Softmax;
use crate::random::Generator;

/// How a SynthID watermark is made: `SynthIDTextWatermarkingConfig` of transformers, with its names and
/// defaults. Whoever detects the watermark must know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SynthIdConfig {
    /// The tokens that decide together with the next one, and the next one: at least 2.
    pub ngram_len: usize,
    /// The secret: a key for each layer of the tournament, 1 to 1,024 of them.
    pub keys: Vec<i64>,
    /// How many contexts back a repetition is noticed: what follows a repeated context gets no watermark.
    /// Default: 1024.
    #[serde(default = "context_history_size")]
    pub context_history_size: usize,
    /// Seeds the table of random bits. Default: 0.
    #[serde(default)]
    pub sampling_table_seed: u64,
    /// The size of the table of random bits, 1 to 2^24. Default: 65536.
    #[serde(default = "sampling_table_size")]
    pub sampling_table_size: usize,
    /// Whether the first `ngram_len - 1` tokens get no watermark. Default: `false`.
    #[serde(default)]
    pub skip_first_ngram_calls: bool,
    /// Replaces the logits by equal ones first, to test a detector. Default: `false`.
    #[serde(default)]
    pub debug_mode: bool,
}

impl SynthIdConfig {
    /// The defaults, with these keys and this length.
    #[must_use]
    pub fn new(ngram_len: usize, keys: Vec<i64>) -> Self {
        Self {
            ngram_len,
            keys,
            context_history_size: context_history_size(),
            sampling_table_seed: 0,
            sampling_table_size: sampling_table_size(),
            skip_first_ngram_calls: false,
            debug_mode: false,
        }
    }
}

/// Draws tokens by a tournament that secret keys and the tokens before them decide
/// (`SynthIDTextWatermarkLogitsProcessor`, doi 10.1038/s41586-024-08025-4): over all keys the distribution
/// stays what it was. The logits become log-probabilities.
///
/// As in transformers only generated tokens decide, not those of the prompt.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::{SynthId, SynthIdConfig};
///
/// let mut logits = [0f32; 8];
/// SynthId::new(&SynthIdConfig::new(3, vec![11, 22, 33]), 1)?.process(&[5], &mut logits)?;
/// let total: f32 = logits.iter().map(|logit| logit.exp()).sum();
/// assert!((total - 1.0).abs() < 1e-4);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SynthId {
    config: Arc<SynthIdConfig>,
    /// A bit for each remainder of a hash.
    table: Table<bool>,
    prompt: usize,
}

impl SynthId {
    /// For an answer to a prompt of `prompt` tokens.
    ///
    /// # Errors
    ///
    /// When a field of the config is out of its range.
    pub fn new(config: &SynthIdConfig, prompt: usize) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::option("watermarking_config", reason));
        if !(2..=1024).contains(&config.ngram_len) {
            return refuse("`ngram_len` must be 2 to 1,024");
        }
        if config.keys.is_empty() || config.keys.len() > 1024 {
            return refuse("`keys` must hold 1 to 1,024 keys");
        }
        if config.sampling_table_size == 0 || config.sampling_table_size > 1 << 24 {
            return refuse("`sampling_table_size` must be 1 to 2^24");
        }
        let mut random = Generator::seed(config.sampling_table_seed);
        let bits = (0..config.sampling_table_size).map(|_| random.next_u32() & 1 == 1);
        Ok(Self { config: Arc::new(config.clone()), table: Table(bits.collect()), prompt })
    }

    /// How it is made.
    #[must_use]
    pub fn config(&self) -> &SynthIdConfig {
        &self.config
    }

    /// The bits of a token after a context, one for each key.
    pub(super) fn bits(&self, context: i64, token: u32) -> Vec<bool> {
        let hash = hashed(context, i64::from(token));
        self.config.keys.iter().map(|&key| self.bit(hash, key)).collect()
    }

    /// The bit of a hash of context and token, and a key.
    fn bit(&self, hash: i64, key: i64) -> bool {
        let size = self.table.0.len() as i64;
        self.table.0[hashed(hash, key).rem_euclid(size) as usize]
    }

    /// The hash of what comes before a token, after `generated` tokens.
    pub(super) fn context(&self, generated: &[u32]) -> i64 {
        let width = self.config.ngram_len - 1;
        let context = &generated[generated.len().saturating_sub(width)..];
        let missing = std::iter::repeat_n(0, width - context.len());
        missing.chain(context.iter().map(|&id| i64::from(id))).fold(1, hashed)
    }

    /// Whether the context after `generated` tokens has been there before.
    fn is_repeated(&self, generated: &[u32], context: i64) -> bool {
        let first = match self.config.skip_first_ngram_calls {
            true => self.config.ngram_len - 1,
            false => 0,
        };
        let first = first.max(generated.len().saturating_sub(self.config.context_history_size));
        (first..generated.len()).any(|length| self.context(&generated[..length]) == context)
    }
}

impl LogitsProcessor for SynthId {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let generated = tokens.get(self.prompt..).unwrap_or_default();
        if self.config.debug_mode {
            logits.fill(1.0);
        }
        let context = self.context(generated);
        let too_early =
            self.config.skip_first_ngram_calls && generated.len() + 1 < self.config.ngram_len;
        if too_early || self.is_repeated(generated, context) {
            return Ok(());
        }
        let softmax = Softmax::of(logits);
        let possible = logits.iter().enumerate().filter(|(_, it)| **it > f32::NEG_INFINITY);
        let mut players: Vec<Player> = possible
            .map(|(index, &logit)| Player {
                hash: hashed(context, index as i64),
                index,
                probability: f64::from(softmax.probability(logit)),
            })
            .collect();
        for &key in &self.config.keys {
            let wins = |player: &Player| self.bit(player.hash, key);
            let winning = players.iter().filter(|player| wins(player));
            let mass: f64 = winning.map(|player| player.probability).sum();
            for player in &mut players {
                let growth = 1.0 + f64::from(u8::from(wins(player))) - mass;
                // Rounding makes a mass of all a little more than 1.
                player.probability *= growth.max(0.0);
            }
        }
        for player in players {
            logits[player.index] = player.probability.ln() as f32;
        }
        Ok(())
    }
}

/// A token in the tournament.
struct Player {
    hash: i64,
    index: usize,
    probability: f64,
}

/// The hash with one number more: the linear congruential generator of musl.
fn hashed(hash: i64, number: i64) -> i64 {
    hash.wrapping_add(number).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)
}

fn context_history_size() -> usize {
    1024
}

fn sampling_table_size() -> usize {
    1 << 16
}
