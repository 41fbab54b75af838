//! Finding the watermark of green tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::greenlist::{Greenlist, SeedingScheme, WatermarkingConfig};
use crate::error::{Error, Result};

/// Counts the green tokens of a text: `WatermarkDetector` of transformers (arXiv 2306.04634).
///
/// ```
/// use sconce::generation::processors::{WatermarkDetector, WatermarkingConfig};
///
/// let detector = WatermarkDetector::new(&WatermarkingConfig::default(), 1000)?;
/// let found = detector.detect(&[17, 503, 241, 88, 910, 3], 3.0)?;
/// assert_eq!(found.num_tokens_scored, 5); // the first token has none before it
/// assert!(!found.prediction);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WatermarkDetector {
    greenlist: Greenlist,
    ratio: f64,
    bos: Option<u32>,
    once: bool,
}

/// What a [`WatermarkDetector`] has found in a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WatermarkDetection {
    /// The tokens that could be green.
    pub num_tokens_scored: usize,
    /// The tokens that are green.
    pub num_green_tokens: usize,
    /// Their share.
    pub green_fraction: f64,
    /// How many standard deviations the green tokens are above what text without a watermark has.
    pub z_score: f64,
    /// The probability of such a text without a watermark, by transformers' approximation of the normal
    /// distribution.
    pub p_value: f64,
    /// Whether the z-score is above the threshold.
    pub prediction: bool,
    /// `1 - p_value`.
    pub confidence: f64,
}

impl WatermarkDetector {
    /// Detects what a [`Watermark`](super::Watermark) of the same config and vocabulary makes.
    ///
    /// # Errors
    ///
    /// When a field of the config is out of its range.
    pub fn new(config: &WatermarkingConfig, vocab: usize) -> Result<Self> {
        let greenlist = Greenlist::new(config, vocab)?;
        Ok(Self { greenlist, ratio: config.greenlist_ratio, bos: None, once: false })
    }

    /// Ignores this id at the beginning of a text.
    #[must_use]
    pub fn bos_token_id(self, bos: u32) -> Self {
        Self { bos: Some(bos), ..self }
    }

    /// Whether a sequence of tokens that comes again counts only once. Default: `false`.
    #[must_use]
    pub fn ignore_repeated_ngrams(self, once: bool) -> Self {
        Self { once, ..self }
    }

    /// Looks for the watermark in `tokens`, best without the prompt. transformers' threshold for the z-score
    /// is 3.
    ///
    /// # Errors
    ///
    /// When there are not more tokens than `context_width`.
    pub fn detect(&self, tokens: &[u32], z_threshold: f64) -> Result<WatermarkDetection> {
        let tokens = match tokens.split_first() {
            Some((first, rest)) if self.bos == Some(*first) => rest,
            _ => tokens,
        };
        let width = self.greenlist.width;
        if tokens.len() <= width {
            return Err(Error::input(format!(
                "{} tokens are too few to look for a watermark: {} are needed",
                tokens.len(),
                width + 1
            )));
        }
        let left = self.greenlist.scheme == SeedingScheme::LeftHash;
        let mut ngrams: BTreeMap<&[u32], usize> = BTreeMap::new();
        for ngram in tokens.windows(width + usize::from(left)) {
            *ngrams.entry(ngram).or_default() += 1;
        }
        let (mut scored, mut green) = (0, 0);
        for (ngram, count) in ngrams {
            let count = if self.once { 1 } else { count };
            let context = if left { &ngram[..width] } else { ngram };
            scored += count;
            if ngram.last().is_some_and(|last| self.greenlist.of(context).contains(last)) {
                green += count;
            }
        }
        let (total, expected) = (scored as f64, self.ratio);
        let deviation = (total * expected * (1.0 - expected)).sqrt();
        let z_score = (green as f64 - expected * total) / deviation;
        let tail = 1.0 - (-2.0 * z_score * z_score / std::f64::consts::PI).exp();
        let sign = if z_score == 0.0 { 0.0 } else { z_score.signum() };
        let p_value = 1.0 - 0.5 * (1.0 + sign * tail);
        Ok(WatermarkDetection {
            num_tokens_scored: scored,
            num_green_tokens: green,
            green_fraction: green as f64 / total,
            z_score,
            p_value,
            prediction: z_score > z_threshold,
            confidence: 1.0 - p_value,
        })
    }
}
