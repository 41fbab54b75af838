//! Finding a SynthID watermark with a trained detector.

use std::collections::VecDeque;

use candle_core::{DType, Device};
use serde::Deserialize;

use super::Table;
use super::synth_id::{SynthId, SynthIdConfig};
use crate::error::{Error, Result};
use crate::options::{LoadOptions, Precision};
use crate::read::read;
use crate::source::{ModelSource, json};
use crate::weights::{NameTable, Weights};

/// How probable it is that a text has a SynthID watermark: `SynthIDTextWatermarkDetector` of transformers with
/// a trained `BayesianDetectorModel` (doi 10.1038/s41586-024-08025-4).
///
/// ```
/// use sconce::generation::processors::SynthIdDetector;
///
/// let detector = SynthIdDetector::open("./tests/goldens/synthid_detector")?;
/// let probability = detector.detect(&[17, 503, 241, 88, 910, 3, 12, 7])?;
/// assert!((0.0..=1.0).contains(&probability));
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SynthIdDetector {
    watermark: SynthId,
    /// For each layer of the tournament.
    beta: Table<f32>,
    /// How each layer depends on those before it: `(depth, depth)`.
    delta: Table<f32>,
    prior: f64,
    eos: Option<u32>,
}

/// The config.json of a detector.
#[derive(Deserialize)]
struct Config {
    watermarking_depth: usize,
    watermarking_config: SynthIdConfig,
}

impl SynthIdDetector {
    /// Loads a detector as `BayesianDetectorModel.save_pretrained` writes it. Its config.json must hold the
    /// `watermarking_config` (`set_detector_information`).
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, a file is missing or malformed, or config and weights contradict
    /// each other.
    pub fn open(source: impl Into<ModelSource>) -> Result<Self> {
        let files = source.into().open()?;
        let path = files.optional("config.json")?.ok_or_else(|| {
            files.missing("config.json", "config.json", "it says how the watermark is made")
        })?;
        let config: Config = read(&json::read::<serde_json::Value>(&path)?)
            .map_err(|wrong| Error::malformed(&path, wrong.to_string()))?;
        let depth = config.watermarking_depth;
        if depth != config.watermarking_config.keys.len() {
            let reason = format!(
                "`watermarking_depth` is {depth}, but there are {} keys",
                config.watermarking_config.keys.len()
            );
            return Err(Error::malformed(&path, reason));
        }
        let options = LoadOptions::default().device(Device::Cpu).dtype(Precision::F32);
        let weights = Weights::open(&files, NameTable::stored_names(), &options)?;
        let values = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            Ok(weights.tensor(name, shape)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        let likelihood = "likelihood_model_watermarked";
        let prior = values("prior", &[1])?.first().copied().unwrap_or(0.5);
        Ok(Self {
            watermark: SynthId::new(&config.watermarking_config, 0)?,
            beta: Table(values(&format!("{likelihood}.beta"), &[1, 1, depth])?.into()),
            delta: Table(values(&format!("{likelihood}.delta"), &[1, 1, depth, depth])?.into()),
            prior: f64::from(prior),
            eos: None,
        })
    }

    /// Looks at a text up to this id.
    #[must_use]
    pub fn eos_token_id(self, eos: u32) -> Self {
        Self { eos: Some(eos), ..self }
    }

    /// How the watermark is made.
    #[must_use]
    pub fn config(&self) -> &SynthIdConfig {
        self.watermark.config()
    }

    /// The probability that the tokens, best without their prompt, have the watermark. What follows a
    /// context that has been there before does not count.
    ///
    /// # Errors
    ///
    /// When there are fewer tokens than the `ngram_len` of the watermark.
    pub fn detect(&self, tokens: &[u32]) -> Result<f64> {
        let SynthIdConfig { ngram_len, context_history_size, .. } = *self.config();
        if tokens.len() < ngram_len {
            return Err(Error::input(format!(
                "{} tokens are too few to look for a watermark: {ngram_len} are needed",
                tokens.len()
            )));
        }
        let end = tokens.iter().position(|&id| Some(id) == self.eos).unwrap_or(tokens.len());
        let mut contexts = VecDeque::new();
        let prior = self.prior.clamp(1e-5, 1.0 - 1e-5);
        let mut surprisal = prior.ln() - (1.0 - prior).ln();
        for ngram in tokens[..end].windows(ngram_len) {
            let context = self.watermark.context(&ngram[..ngram_len - 1]);
            if !contexts.contains(&context) {
                surprisal += self.log_odds(&self.watermark.bits(context, ngram[ngram_len - 1]));
            }
            contexts.push_front(context);
            contexts.truncate(context_history_size);
        }
        Ok(1.0 / (1.0 + (-surprisal).exp()))
    }

    /// How much likelier the bits of a token are with the watermark than without, as a logarithm.
    fn log_odds(&self, bits: &[bool]) -> f64 {
        let layers = bits.iter().zip(self.beta.0.iter()).zip(self.delta.0.chunks(bits.len()));
        let odds = layers.enumerate().map(|(layer, ((&bit, beta), delta))| {
            let before = bits[..layer].iter().zip(delta).filter(|(bit, _)| **bit);
            let logit = beta + before.map(|(_, delta)| delta).sum::<f32>();
            let two_tokens = 1.0 / (1.0 + (-f64::from(logit)).exp());
            let likelihood =
                0.5 * ((f64::from(u8::from(bit)) + 0.5) * two_tokens + 1.0 - two_tokens);
            (likelihood.max(1e-30) / 0.5).ln()
        });
        odds.sum()
    }
}
