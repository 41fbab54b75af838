//! Drafts by a smaller model.

use std::sync::Arc;

use super::options::DraftOptions;
use super::translate::Translation;
use super::{Draft, Drafter};
use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::generation::config::{AssistantSchedule, GenerationConfig};
use crate::generation::distribution::Distribution;
use crate::generation::plan::Plan;
use crate::models::{Autoregressive, CausalLm, Checkpoint, LogitsAt, TextModel};
use crate::nn::cache::KvCache;
use crate::tokenizer::Tokenizer;

/// Lets a smaller model guess (`AssistedCandidateGenerator`): the assistant.
///
/// With the same tokenizer it chooses as the answer's own plan does: with the same processors and, where
/// it samples, with the same random numbers, so that both choose the same token as often as their
/// distributions are alike. With another tokenizer
/// ([`with_tokenizers`](Self::with_tokenizers)) it goes on with the text, by its likeliest tokens.
///
/// ```no_run
/// use sconce::generation::{DraftModel, GenerationConfig, generate};
/// use sconce::models::{AutoModel, CausalLm};
///
/// let options = Default::default();
/// let model = AutoModel::open::<dyn CausalLm>("HuggingFaceTB/SmolLM2-1.7B", &options)?;
/// let small = AutoModel::open::<dyn CausalLm>("HuggingFaceTB/SmolLM2-135M", &options)?;
/// let config = GenerationConfig::default().max_new_tokens(40);
/// let drafter = DraftModel::new(&small, &*model, &GenerationConfig::default())?;
/// let mut answer = generate(&model, &[504, 3575, 282], &config)?.with_drafter(drafter);
/// while let Some(token) = answer.next().transpose()? {
///     println!("{}", token.id);
/// }
/// println!("{} tokens of drafts were accepted", answer.timings().accepted_tokens);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug)]
pub struct DraftModel {
    assistant: Assistant,
    /// As they are at present.
    options: DraftOptions,
    translation: Option<Translation>,
}

/// The smaller model, and what it has read.
#[derive(Debug)]
struct Assistant {
    model: Arc<dyn CausalLm>,
    cache: KvCache,
}

impl DraftModel {
    /// `model` guesses for `target`, whose tokenizer it has. `config` holds the options of drafting:
    /// `num_assistant_tokens`, `num_assistant_tokens_schedule` and `assistant_confidence_threshold`.
    ///
    /// # Errors
    ///
    /// When the vocabularies differ in size, which models with the same tokenizer have in common, or an
    /// option makes no sense.
    pub fn new(
        model: &Arc<dyn CausalLm>,
        target: &dyn TextModel,
        config: &GenerationConfig,
    ) -> Result<Self> {
        let (own, other) = (model.limits().vocab, target.limits().vocab);
        if own != other {
            return Err(Error::input(format!(
                "a draft model with a vocabulary of {own} tokens for a model with {other}: their \
                 tokenizers are not the same, so give both to `DraftModel::with_tokenizers`"
            )));
        }
        Ok(Self::of(model, DraftOptions::of(config)?, None))
    }

    /// Lets the first so many layers of `model` guess for all of it (`EarlyExitCandidateGenerator`): its
    /// option [`assistant_early_exit`](crate::generation::GenerationConfig#structfield.assistant_early_exit). The model
    /// should be trained for early exits, or few guesses come true.
    ///
    /// # Errors
    ///
    /// When the model cannot exit there, or an option makes no sense.
    pub fn early_exit(
        model: &dyn Autoregressive,
        layers: usize,
        config: &GenerationConfig,
    ) -> Result<Self> {
        Self::of_first_layers(model, layers, DraftOptions::of(config)?)
    }

    pub(in crate::generation) fn of_first_layers(
        model: &dyn Autoregressive,
        layers: usize,
        options: DraftOptions,
    ) -> Result<Self> {
        let early = model.first_layers(layers).map_err(|error| match error {
            Error::InvalidInput { reason } => Error::option("assistant_early_exit", reason),
            other => other,
        })?;
        Ok(Self::of(&early, options, None))
    }

    /// As [`new`](Self::new), for a model with another tokenizer: text is decoded by one and encoded by
    /// the other. Of `config`, `assistant_lookbehind` and `target_lookbehind` say how many tokens before
    /// the new ones are encoded again with them.
    ///
    /// # Errors
    ///
    /// When an option makes no sense.
    pub fn with_tokenizers(
        model: &Arc<dyn CausalLm>,
        tokenizer: &Tokenizer,
        target_tokenizer: &Tokenizer,
        config: &GenerationConfig,
    ) -> Result<Self> {
        let translation = Translation::new(
            [target_tokenizer, tokenizer],
            config.target_lookbehind.unwrap_or(LOOKBEHIND),
            config.assistant_lookbehind.unwrap_or(LOOKBEHIND),
        );
        Ok(Self::of(model, DraftOptions::of(config)?, Some(translation)))
    }

    fn of(
        model: &Arc<dyn CausalLm>,
        options: DraftOptions,
        translation: Option<Translation>,
    ) -> Self {
        let assistant = Assistant { model: Arc::clone(model), cache: model.new_cache() };
        Self { assistant, options, translation }
    }
}

impl Assistant {
    /// What the model says after `tokens`, at most `most` tokens; `choose` picks each and says how likely
    /// it is by its logarithm. One of `ends` is the last, and so is one that is less probable than the
    /// confidence of the options asks for.
    fn go_on(
        &mut self,
        tokens: &[u32],
        (most, confidence): (usize, f64),
        ends: &[u32],
        checkpoint: &Checkpoint<'_>,
        mut choose: impl FnMut(&[u32], &mut [f32]) -> Result<(u32, f32)>,
    ) -> Result<Vec<u32>> {
        let room = (self.model.limits().context + 1).saturating_sub(tokens.len());
        let most = most.min(room);
        if most == 0 || tokens.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = tokens.to_vec();
        let mut computed = self.keep_common(tokens, most);
        while all.len() < tokens.len() + most {
            checkpoint()?;
            let batch = TokenBatch::single(&all[computed..])?;
            computed = all.len();
            let at = LogitsAt::LastToken;
            let logits = self.model.forward_with(&batch, &mut self.cache, at, checkpoint)?;
            let (id, logprob) = choose(&all, &mut logits.flatten_all()?.to_vec1()?)?;
            all.push(id);
            if ends.contains(&id) || f64::from(logprob).exp() < confidence {
                break;
            }
        }
        Ok(all.split_off(tokens.len()))
    }

    /// Cuts the cache down to what it has in common with `tokens`, except for the last, and returns how
    /// many that are.
    fn keep_common(&mut self, tokens: &[u32], most: usize) -> usize {
        let cached = self.cache.row_ids(0).unwrap_or_default();
        let common = cached.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let common = common.min(tokens.len() - 1);
        let kept = self.model.reusable(&self.cache, common, tokens.len() + most);
        if kept < self.cache.tokens() && self.cache.truncate(kept).is_err() {
            self.cache.clear();
            return 0;
        }
        kept
    }
}

impl Drafter for DraftModel {
    fn draft(&mut self, tokens: &[u32], plan: &Plan, most: usize) -> Result<Draft> {
        self.draft_with(tokens, plan, most, &|| Ok(()))
    }

    fn draft_with(
        &mut self,
        tokens: &[u32],
        plan: &Plan,
        most: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Draft> {
        let limits = (most.min(self.options.most), self.options.confidence);
        let assistant = &mut self.assistant;
        let tokens = match &mut self.translation {
            None => {
                let mut plan = plan.clone();
                let ends = plan.eos_token_ids().to_vec();
                assistant.go_on(tokens, limits, &ends, checkpoint, |all, logits| {
                    plan.next(all, logits).map(|token| (token.id, token.logprob))
                })?
            }
            Some(translation) => {
                let ends = translation.ends();
                let own = translation.forth(tokens)?;
                let new = assistant
                    .go_on(own, limits, &ends, checkpoint, |_, logits| likeliest(logits))?;
                translation.back(tokens, &new)?
            }
        };
        Ok(Draft { tokens, kind: 0 })
    }

    /// `heuristic` of transformers: two tokens more after a draft that was right, one less after another.
    fn verified(&mut self, drafted: usize, accepted: usize) {
        let DraftOptions { most, schedule, .. } = &mut self.options;
        if *schedule != AssistantSchedule::Constant {
            *most = match accepted == drafted {
                true => most.saturating_add(2),
                false => most.saturating_sub(1).max(1),
            };
        }
    }
}

/// With a copy of the cache, so that both go on from the same tokens.
impl Clone for DraftModel {
    fn clone(&self) -> Self {
        let Assistant { model, cache } = &self.assistant;
        let assistant = Assistant {
            model: Arc::clone(model),
            // Where there is no memory for a copy, the clone reads the tokens again.
            cache: cache.fork().unwrap_or_else(|_| model.new_cache()),
        };
        Self { assistant, translation: self.translation.clone(), options: self.options }
    }
}

fn likeliest(logits: &[f32]) -> Result<(u32, f32)> {
    let distribution = Distribution::of(logits)?;
    let index = distribution.likeliest();
    Ok((index as u32, distribution.log_probability(index)))
}

/// Transformers' default.
const LOOKBEHIND: usize = 10;
