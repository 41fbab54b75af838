//! How one prompt is continued.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::generation::beams::Constraint;
use crate::generation::beams::options::BeamOptions;
use crate::generation::distribution::Distribution;
use crate::generation::dola::DolaLayers;
use crate::generation::draft::DraftOptions;
use crate::generation::mode::{Contrastive, GenerationMode};
use crate::generation::outputs::OutputRequest;
use crate::generation::processors::{
    ExponentialDecay, ForcedTokens, Guidance, LogitsProcessor, PrefixAllowedTokens, RemoveInvalid,
    Suppress,
};
use crate::generation::sampler::{Greedy, Sampler, Token, chosen, top_logprobs};
use crate::generation::softmax::Softmax;
use crate::generation::stop::{
    FinishReason, StopRules, StopStrings, StoppingCriterion, refuse_empty,
};
use crate::models::{Autoregressive, CausalLm};
use crate::nn::cache::KvCache;
use crate::tokenizer::Tokenizer;

/// How one prompt is continued: logits processors, filters, a sampler and stop rules. A plan serves one
/// answer. A clone goes on from the same state with the same random numbers.
///
/// [`GenerationConfig::plan`](super::GenerationConfig::plan) makes a plan from options, in transformers'
/// order. [`new`](Self::new) makes one of your own parts. Both can be read and edited: processors can be
/// inserted anywhere, removed and replaced.
///
/// ```
/// use sconce::generation::processors::{RepetitionPenalty, Temperature, TopK};
/// use sconce::generation::{GenerationConfig, Multinomial, Plan};
/// use sconce::models::ModelLimits;
///
/// // Of parts:
/// let prompt = [5, 17, 42];
/// let mut plan = Plan::new(&prompt, 20)
///     .with_processor(Box::new(RepetitionPenalty::new(1.2)?))
///     .with_filter(Box::new(TopK::new(40)?))
///     .with_sampler(Box::new(Multinomial::seeded(7)))
///     .with_eos_token_id(vec![2]);
/// assert_eq!(plan.processors().len() + plan.filters().len(), 2);
///
/// // Of options, edited: the temperature last instead of first.
/// let config = GenerationConfig::default().do_sample(true).temperature(0.7).top_p(0.9);
/// let mut plan = config.plan(&prompt, ModelLimits::new(100, 2048), None)?;
/// let filters = plan.filters_mut();
/// let place = filters.iter().position(|filter| filter.is::<Temperature>()).unwrap();
/// let temperature = filters.remove(place);
/// filters.push(temperature);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    /// From the options, then the caller's own.
    pub(super) processors: Vec<Box<dyn LogitsProcessor>>,
    /// Temperature, top-k, top-p and what else narrows the distribution for sampling: run last.
    pub(super) filters: Vec<Box<dyn LogitsProcessor>>,
    pub(super) sampler: Box<dyn Sampler>,
    pub(super) stop: StopRules,
    pub(super) top_logprobs: usize,
    /// Drafts are looked up in what was said: the most tokens of a draft, and of the n-gram that is looked
    /// for.
    pub(super) lookup: Option<(usize, usize)>,
    /// Drafts are made by so many of the model's first layers.
    pub(super) early_exit: Option<(usize, DraftOptions)>,
    pub(super) mode: GenerationMode,
    /// Set where several beams are followed.
    pub(super) beams: Option<BeamOptions>,
    /// Logits are contrasted with those of early layers.
    pub(super) dola: Option<DolaLayers>,
    /// Tokens are chosen by what comes after them, too.
    pub(super) contrastive: Option<Contrastive>,
    /// What is kept of each step.
    pub(super) outputs: OutputRequest,
}

impl Plan {
    /// Continues `prompt` by up to `max_new_tokens` tokens, at least one, and each time takes the likeliest
    /// token. The other methods add to that.
    #[must_use]
    pub fn new(prompt: &[u32], max_new_tokens: usize) -> Self {
        let stop = StopRules {
            prompt: prompt.len(),
            length: prompt.len().saturating_add(max_new_tokens.max(1)),
            eos: Vec::new(),
            strings: None,
            criteria: Vec::new(),
            start: Instant::now(),
            time: None,
        };
        let (processors, filters) = (Vec::new(), Vec::new());
        Self {
            processors,
            filters,
            sampler: Box::new(Greedy),
            stop,
            top_logprobs: 0,
            lookup: None,
            early_exit: None,
            mode: GenerationMode::GreedySearch,
            beams: None,
            dola: None,
            contrastive: None,
            outputs: OutputRequest::default(),
        }
    }

    /// Adds a processor of your own: after those of the options so far, but before temperature and
    /// the filters of sampling, where transformers puts its `logits_processor` argument. For another place
    /// there are [`processors_mut`](Self::processors_mut) and [`filters_mut`](Self::filters_mut).
    #[must_use]
    pub fn with_processor(mut self, processor: Box<dyn LogitsProcessor>) -> Self {
        self.processors.push(processor);
        self
    }

    /// Lets only those tokens come that a function allows: transformers' `prefix_allowed_tokens_fn` argument, in
    /// its place, before forced tokens and what follows them.
    #[must_use]
    pub fn with_prefix_allowed_tokens(mut self, allowed: PrefixAllowedTokens) -> Self {
        let follows = |processor: &dyn LogitsProcessor| {
            processor.is::<ForcedTokens>()
                || processor.is::<RemoveInvalid>()
                || processor.is::<ExponentialDecay>()
                || processor.is::<Suppress>()
        };
        let place = self.processors.iter().position(|it| follows(&**it));
        let place = place.unwrap_or(self.processors.len());
        self.processors.insert(place, Box::new(allowed));
        self
    }

    /// Says which model [`guidance_scale`](super::GenerationConfig#structfield.guidance_scale) guides, for a loop
    /// of your own. A [`Stepper`](super::Stepper) does so by itself.
    #[must_use]
    pub fn with_model(mut self, model: &Arc<dyn CausalLm>) -> Self {
        let cache = model.new_cache();
        let model: Arc<dyn Autoregressive> = model.clone();
        self.bind(&model, &cache);
        self
    }

    /// Adds a processor after all others.
    #[must_use]
    pub fn with_filter(mut self, filter: Box<dyn LogitsProcessor>) -> Self {
        self.filters.push(filter);
        self
    }

    /// Chooses tokens with `sampler`.
    #[must_use]
    pub fn with_sampler(mut self, sampler: Box<dyn Sampler>) -> Self {
        self.sampler = sampler;
        self
    }

    /// Adds a stopping criterion of your own: transformers' `stopping_criteria` argument.
    #[must_use]
    pub fn with_stopping_criterion(mut self, criterion: Box<dyn StoppingCriterion>) -> Self {
        self.stop.criteria.push(criterion);
        self
    }

    /// Ends the answer with one of these ids, and with no others.
    #[must_use]
    pub fn with_eos_token_id(mut self, eos: Vec<u32>) -> Self {
        self.stop.eos = eos;
        self
    }

    /// Ends the answer with the token that completes one of these strings, and with no others. `prompt` is
    /// what is continued: a string may begin in it.
    ///
    /// # Errors
    ///
    /// When a string is empty, or the tokenizer cannot decode the prompt.
    pub fn with_stop_strings(
        mut self,
        strings: &[String],
        tokenizer: &Tokenizer,
        prompt: &[u32],
    ) -> Result<Self> {
        refuse_empty(strings)?;
        self.stop.strings = match strings.is_empty() {
            true => None,
            false => Some(StopStrings::new(strings, tokenizer, prompt)?),
        };
        Ok(self)
    }

    /// How many of the likeliest tokens are reported beside each token
    /// ([`Token::top_logprobs`](super::Token::top_logprobs)).
    #[must_use]
    pub fn with_top_logprobs(mut self, count: usize) -> Self {
        self.top_logprobs = count;
        self
    }

    /// Keeps results of each step beside its token: [`Generated::outputs`](super::Generated::outputs).
    #[must_use]
    pub fn with_outputs(mut self, outputs: OutputRequest) -> Self {
        self.outputs = outputs;
        self
    }

    /// Adds a constraint of your own, beside those of `force_words_ids`: transformers' `constraints` argument.
    ///
    /// # Errors
    ///
    /// When the plan has one beam, several groups of beams, or samples.
    pub fn with_constraint(mut self, constraint: Box<dyn Constraint>) -> Result<Self> {
        let Some(beams) = &mut self.beams else {
            return Err(Error::option("num_beams", "is 1, but constraints need at least 2"));
        };
        self.mode = beams.constrain(constraint, self.mode)?;
        Ok(self)
    }

    /// Starts all random numbers over from another seed: for several answers to one prompt.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.sampler.reseed(seed);
        self.processors.iter_mut().chain(&mut self.filters).for_each(|it| it.reseed(seed));
        self
    }

    /// Counts `max_time` from `start` instead of the making of the plan: for answers that belong to one
    /// call.
    #[must_use]
    pub fn counting_from(mut self, start: Instant) -> Self {
        self.stop.start = start;
        self
    }

    /// The processors that run first: those of the options, in transformers' order, and the caller's own.
    #[must_use]
    pub fn processors(&self) -> &[Box<dyn LogitsProcessor>] {
        &self.processors
    }

    /// The processors that run first, to insert, remove and replace. Which one is which says
    /// [`LogitsProcessor::is`](trait.LogitsProcessor.html#method.is).
    pub fn processors_mut(&mut self) -> &mut Vec<Box<dyn LogitsProcessor>> {
        &mut self.processors
    }

    /// The processors that run after all [`processors`](Self::processors): temperature and the filters of
    /// sampling, the watermark, and renormalizing.
    #[must_use]
    pub fn filters(&self) -> &[Box<dyn LogitsProcessor>] {
        &self.filters
    }

    /// The processors that run last, to insert, remove and replace.
    pub fn filters_mut(&mut self) -> &mut Vec<Box<dyn LogitsProcessor>> {
        &mut self.filters
    }

    /// What chooses the tokens.
    #[must_use]
    pub fn sampler(&self) -> &dyn Sampler {
        &*self.sampler
    }

    /// The caller's own stopping criteria.
    #[must_use]
    pub fn stopping_criteria(&self) -> &[Box<dyn StoppingCriterion>] {
        &self.stop.criteria
    }

    /// The caller's own stopping criteria, to insert, remove and replace.
    pub fn stopping_criteria_mut(&mut self) -> &mut Vec<Box<dyn StoppingCriterion>> {
        &mut self.stop.criteria
    }

    /// The ids that end the answer.
    #[must_use]
    pub fn eos_token_ids(&self) -> &[u32] {
        &self.stop.eos
    }

    /// Applies all processors to `logits`, one for each item of the vocabulary. `tokens` is the
    /// prompt and everything generated so far.
    ///
    /// # Errors
    ///
    /// What a processor returns.
    pub fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let mut chain = self.processors.iter_mut().chain(&mut self.filters);
        chain.try_for_each(|processor| processor.process(tokens, logits))
    }

    /// Applies all processors to `logits` and chooses the next token. `tokens` is the prompt and
    /// everything generated so far.
    ///
    /// # Errors
    ///
    /// When the processed logits hold NaN or `+inf`, or are all `-inf`; what a processor or the sampler
    /// returns; when the sampler chooses what is ruled out; and for a plan of several beams.
    pub fn next(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<Token> {
        self.refuse_beams()?;
        let own = self.has_processors().then(|| logits.to_vec());
        self.process(tokens, logits)?;
        let distribution = match Distribution::of(logits) {
            Ok(distribution) => distribution,
            Err(error) => return Err(self.explained(error, tokens, own)),
        };
        let index = chosen(&mut *self.sampler, &distribution)?;
        let logprob = distribution.log_probability(index);
        let (own, own_softmax) = match &own {
            Some(own) => (own.as_slice(), Softmax::of(own)),
            None => (distribution.logits(), distribution.softmax()),
        };
        Ok(Token {
            id: index as u32,
            logprob,
            model_logprob: own_softmax.log_probability(own[index]),
            top_logprobs: top_logprobs(own, own_softmax, self.top_logprobs),
        })
    }

    /// The error about processed logits, with the name of the processor after which none was left.
    fn explained(&self, error: Error, tokens: &[u32], own: Option<Vec<f32>>) -> Error {
        let (Error::InvalidInput { reason }, Some(mut logits)) = (&error, own) else {
            return error;
        };
        let none_left = |logits: &[f32]| logits.iter().all(|&logit| logit == f32::NEG_INFINITY);
        if none_left(&logits) {
            return error;
        }
        for processor in self.processors.iter().chain(&self.filters) {
            if processor.clone().process(tokens, &mut logits).is_ok() && none_left(&logits) {
                let name = format!("{processor:?}");
                let name = name.split(|letter: char| !letter.is_alphanumeric()).next();
                return Error::input(format!("{reason} after {}", name.unwrap_or_default()));
            }
        }
        error
    }

    /// Whether the last of `tokens` (prompt and answer) ends the answer, and why. Call it after
    /// each new token.
    ///
    /// # Errors
    ///
    /// When there are stop strings and the tokenizer cannot decode the token, and what a stopping
    /// criterion returns.
    pub fn finished(&mut self, tokens: &[u32]) -> Result<Option<FinishReason>> {
        self.stop.check(tokens)
    }

    /// The strings that end the answer.
    #[must_use]
    pub fn stop_strings(&self) -> &[String] {
        self.stop.strings.as_ref().map_or(&[], StopStrings::strings)
    }

    /// How many more tokens there may be after `tokens` of prompt and answer.
    pub(super) fn room(&self, tokens: usize) -> usize {
        self.stop.length.saturating_sub(tokens)
    }

    /// How answers are found, as the options say; a sampler of your own changes nothing.
    #[must_use]
    pub fn mode(&self) -> GenerationMode {
        self.mode
    }

    /// How many answers [`complete`](super::complete) gives to a sequence with this plan: several only
    /// with beams.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.beams.as_ref().map_or(1, |beams| beams.returned)
    }

    /// How many rows of a forward pass its sequence takes.
    pub(super) fn rows(&self) -> usize {
        let candidates = self.contrastive.map_or(1, |options| options.candidates);
        self.beams.as_ref().map_or(candidates, BeamOptions::rows)
    }

    /// An error for a plan whose tokens are not chosen one at a time.
    pub(super) fn refuse_beams(&self) -> Result<()> {
        if self.contrastive.is_some() {
            return Err(Error::option(
                "penalty_alpha",
                "contrastive search tries several tokens at a time; use `generate_batch` or `complete`",
            ));
        }
        match self.beams {
            None => Ok(()),
            Some(_) => Err(Error::option(
                "num_beams",
                "beams do not choose one token at a time; use `generate_batch` or `complete`",
            )),
        }
    }

    /// Whether the logits are changed before a token is chosen.
    pub(super) fn has_processors(&self) -> bool {
        !(self.processors.is_empty() && self.filters.is_empty())
    }

    /// Lets guidance compute by a model, of which `cache` is one.
    pub(super) fn bind(&mut self, model: &Arc<dyn Autoregressive>, cache: &KvCache) {
        for processor in &mut self.processors {
            if let Some(guidance) = processor.downcast_mut::<Guidance>() {
                guidance.bind(model, cache);
            }
        }
    }

    /// The guidance whose logits are computed beside those of the answer.
    pub(super) fn guidance(&self) -> Option<&Guidance> {
        let mut guidance = self.processors.iter().filter_map(|it| it.downcast_ref::<Guidance>());
        guidance.find(|guidance| guidance.is_unbound())
    }

    /// The same for guesses, which nobody computes a negative prompt for.
    pub(super) fn unguided(mut self) -> Self {
        let is_guided = |it: &dyn LogitsProcessor| {
            it.downcast_ref::<Guidance>().is_some_and(Guidance::is_unbound)
        };
        self.processors.retain(|processor| !is_guided(&**processor));
        self
    }

    /// Gives the guidance the next logits after the negative prompt, and those after each token of a draft.
    pub(super) fn guide_away_from<'a>(&mut self, logits: impl Iterator<Item = &'a [f32]>) {
        let mut guidance =
            self.processors.iter_mut().filter_map(|it| it.downcast_mut::<Guidance>());
        if let Some(guidance) = guidance.find(|guidance| guidance.is_unbound()) {
            guidance.give(logits);
        }
    }

    /// How many tokens to reserve in a cache: prompt and answer, up to a limit, because long
    /// answers usually end earlier.
    pub(super) fn slots(&self) -> usize {
        self.stop.length.min(self.stop.prompt + MOST_RESERVED)
    }

    /// Whether `max_time` is over.
    pub(super) fn is_late(&self) -> bool {
        self.stop.is_late()
    }

    /// The number of tokens in the prompt the plan was made for.
    pub(super) fn prompt_tokens(&self) -> usize {
        self.stop.prompt
    }
}

/// New tokens for which memory is reserved.
const MOST_RESERVED: usize = 512;
