//! Windows, written down together.

use std::sync::Arc;

use candle_core::{D, Tensor};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::softmax::Softmax;
use crate::generation::{CancelHandle, FinishReason, Generated, Sequence, complete};
use crate::models::speech::SpeechSeq2Seq;
use crate::models::{Autoregressive, LogitsAt};
use crate::nn::cache::KvCache;
use crate::speech::whisper::compression::compression_ratio;
use crate::speech::whisper::normalizers::Normalizers;
use crate::speech::whisper::settings::Settings;
use crate::tokenizer::Tokenizer;

/// A window to be written down.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// What the decoder begins with.
    pub(super) prompt: Vec<u32>,
    /// How many of those are of what was said before.
    pub(super) before: usize,
    pub(super) timestamps: bool,
    /// Of the first temperature.
    pub(super) seed: u64,
}

/// A window that was written down.
#[derive(Debug, Clone, Default)]
pub(super) struct Decoded {
    /// The end included.
    pub(super) ids: Vec<u32>,
    pub(super) logprobs: Vec<f32>,
    pub(super) temperature: f64,
    pub(super) avg_logprob: f32,
    pub(super) compression_ratio: f64,
    pub(super) no_speech_prob: Option<f32>,
    /// Whether nobody speaks.
    pub(super) skipped: bool,
    pub(super) cancelled: bool,
}

/// Writes windows down by one set of options.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoding<'a> {
    pub(super) model: &'a Arc<dyn SpeechSeq2Seq>,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) settings: &'a Settings,
    pub(super) cancel: &'a CancelHandle,
}

impl Decoding<'_> {
    /// Writes windows down, each with the first temperature that meets the thresholds, or else the last.
    /// `sources` has a row for each.
    pub(super) fn run(&self, sources: &KvCache, jobs: &[Job]) -> Result<Vec<Decoded>> {
        let no_speech = self.no_speech(sources, jobs)?;
        let mut decoded = vec![Decoded::default(); jobs.len()];
        let mut open: Vec<usize> = (0..jobs.len()).collect();
        for (number, &temperature) in self.settings.temperatures.iter().enumerate() {
            for (&job, mut found) in open.iter().zip(self.at(sources, jobs, &open, number)?) {
                found.no_speech_prob = no_speech[job];
                found.temperature = temperature;
                decoded[job] = found;
            }
            open.retain(|&job| self.judge(&mut decoded[job]));
            if open.is_empty() {
                break;
            }
        }
        Ok(decoded)
    }

    /// Windows at one of the temperatures.
    fn at(
        &self,
        sources: &KvCache,
        jobs: &[Job],
        open: &[usize],
        temperature: usize,
    ) -> Result<Vec<Decoded>> {
        let Self { model, tokenizer, settings, cancel } = *self;
        let (number, temperature) = (temperature as u64, settings.temperatures[temperature]);
        let mut cache = sources.fork()?;
        cache.select_rows(open)?;
        let mut normalizers = Vec::with_capacity(open.len());
        let mut sequences = Vec::with_capacity(open.len());
        let mut has_beams = false;
        for &job in open {
            let Job { prompt, timestamps, seed, .. } = &jobs[job];
            let limits = model.limits();
            let mut plan = settings.plan(prompt, *timestamps, temperature, limits, tokenizer)?;
            has_beams = plan.mode().has_beams();
            let normalizer =
                (has_beams || temperature > 0.0).then(|| Normalizers::new(temperature));
            if let Some(normalizer) = &normalizer {
                plan = plan.with_filter(Box::new(normalizer.clone()));
            }
            normalizers.push(normalizer);
            let sequence = Sequence::new(prompt, plan.with_seed(seed.wrapping_add(number)))?;
            sequences.push(Ok(sequence.with_cancel_handle(cancel.clone())));
        }
        let decoder: Arc<dyn Autoregressive> = model.clone();
        let answers =
            complete(&decoder, &cache, sequences)?.into_iter().zip(&normalizers).zip(open);
        let decoded = answers.map(|((answers, normalizer), &job)| {
            let none = || Error::input("the options leave no text for a window");
            let answer = answers?.into_iter().next().ok_or_else(none)?;
            let logprobs = match normalizer {
                Some(it) => it.logprobs(&jobs[job].prompt, &answer.tokens, has_beams),
                None => answer.tokens.iter().map(|token| token.logprob).collect(),
            };
            Ok(self.decoded(&answer, logprobs))
        });
        decoded.collect()
    }

    fn decoded(&self, answer: &Generated, logprobs: Vec<f32>) -> Decoded {
        let ids = answer.ids();
        let sum: f32 = logprobs.iter().sum();
        Decoded {
            avg_logprob: sum / logprobs.len().max(1) as f32,
            compression_ratio: compression_ratio(&ids, self.model.limits().vocab),
            cancelled: answer.finish_reason == FinishReason::Cancelled,
            ids,
            logprobs,
            ..Decoded::default()
        }
    }

    /// Whether a window wants the next temperature; notes where nobody speaks (`_need_fallback`).
    fn judge(&self, decoded: &mut Decoded) -> bool {
        let Settings {
            compression_ratio_threshold, logprob_threshold, no_speech_threshold, ..
        } = self.settings;
        if decoded.cancelled {
            return false;
        }
        let repeats = compression_ratio_threshold.is_some_and(|it| decoded.compression_ratio > it);
        let is_improbable = logprob_threshold.map(|it| f64::from(decoded.avg_logprob) < it);
        let silence = no_speech_threshold.zip(decoded.no_speech_prob);
        let is_silent = silence.is_some_and(|(least, silence)| f64::from(silence) > least);
        decoded.skipped = is_silent && is_improbable.unwrap_or(true);
        !decoded.skipped && (repeats || is_improbable.unwrap_or(false))
    }

    /// How probable it is that nobody speaks, where there is a threshold for it: by what the model would write
    /// in the language's place.
    fn no_speech(&self, sources: &KvCache, jobs: &[Job]) -> Result<Vec<Option<f32>>> {
        let id = self.settings.no_speech_threshold.and_then(|_| self.settings.no_speech());
        let Some(id) = id else { return Ok(vec![None; jobs.len()]) };
        let prompts: Vec<_> = jobs.iter().map(|job| job.prompt[..=job.before].to_vec()).collect();
        let probability = |logits: Vec<f32>| {
            let normalizer = Softmax::of(&logits).log_sum();
            logits.get(id as usize).map(|logit| (logit - normalizer).exp())
        };
        Ok(next_logits(&**self.model, sources, &prompts)?.into_iter().map(probability).collect())
    }
}

/// The logits of the token after each prompt. `sources` has a row for each.
pub(super) fn next_logits(
    model: &dyn SpeechSeq2Seq,
    sources: &KvCache,
    prompts: &[Vec<u32>],
) -> Result<Vec<Vec<f32>>> {
    let batch = TokenBatch::padded(prompts, 0, PaddingSide::Left)?;
    let logits: Tensor = model.forward(&batch, &mut sources.fork()?, LogitsAt::LastToken)?;
    let vocab = logits.dim(D::Minus1)?;
    let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    Ok(logits.chunks(vocab).map(<[f32]>::to_vec).collect())
}
