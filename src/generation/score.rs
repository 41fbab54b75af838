//! The probability of a given text: for perplexity, and for evaluation by multiple choice.

use serde::{Deserialize, Serialize};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::distribution::Distribution;
use crate::generation::sampler::{TopLogprob, logprob_json, top_logprobs};
use crate::models::{CausalLm, LogitsAt};
use crate::nn::cache::KvCache;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// A token of a given text, and how likely the model finds it after those before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScoredToken {
    /// Its id.
    pub id: u32,
    /// The natural logarithm of its probability.
    #[serde(with = "logprob_json")]
    pub logprob: f32,
    /// Whether no other token is likelier.
    pub is_greedy: bool,
    /// The likeliest tokens in its place, the likeliest first, as many as were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TopLogprob>,
}

/// How texts are scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ScoreOptions {
    /// How many of the likeliest tokens are returned for each place. Default: 0.
    pub top_logprobs: usize,
    /// The most logits that are in memory at a time, which are 4 bytes each. Default: 64 Mi.
    pub most_logits: usize,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self { top_logprobs: 0, most_logits: 64 << 20 }
    }
}

impl ScoreOptions {
    /// Sets [`top_logprobs`](Self::top_logprobs).
    #[must_use]
    pub fn top_logprobs(self, top_logprobs: usize) -> Self {
        Self { top_logprobs, ..self }
    }

    /// Sets [`most_logits`](Self::most_logits).
    #[must_use]
    pub fn most_logits(self, most_logits: usize) -> Self {
        Self { most_logits, ..self }
    }
}

/// The log-probability of each token of `texts` but the first, which nothing precedes: for a text of `n`
/// tokens, `n - 1`. Texts may have different lengths; each is scored as it would be alone.
///
/// Logits are computed for so many tokens at a time that
/// [`most_logits`](ScoreOptions::most_logits) holds. (Where a model's keys depend on the length of the whole
/// text, as with rope scaling `dynamic` and `longrope`, a text is computed in one pass.)
///
/// ```no_run
/// use sconce::generation::{perplexity, score};
/// use sconce::models::{AutoModel, CausalLm};
/// use sconce::tokenizer::Tokenizer;
///
/// let model = AutoModel::open::<dyn CausalLm>("HuggingFaceTB/SmolLM2-135M", &Default::default())?;
/// let tokenizer = Tokenizer::open("HuggingFaceTB/SmolLM2-135M")?;
/// let text = tokenizer.encode("The sky is blue.")?.ids;
/// let scored = score(&*model, &[text], &Default::default())?;
/// println!("{}", perplexity(&scored[0]));
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// # Errors
///
/// What the model refuses.
pub fn score(
    model: &dyn CausalLm,
    texts: &[Vec<u32>],
    options: &ScoreOptions,
) -> Result<Vec<Vec<ScoredToken>>> {
    let mut scored = vec![Vec::new(); texts.len()];
    score_with(model, texts, options, |text, at, distribution| {
        scored[text].push(ScoredToken::new(texts[text][at], &distribution, options));
        Ok(())
    })?;
    Ok(scored)
}

/// As [`score`], but calls `visit` with the number of a text, the place of a token in it, and the distribution
/// from which the model would draw that token: for what is computed from whole distributions, such as the
/// divergence of two models. The tokens of a text come in their order; those of several texts alternate.
///
/// # Errors
///
/// What the model refuses, and what `visit` returns.
pub fn score_with(
    model: &dyn CausalLm,
    texts: &[Vec<u32>],
    options: &ScoreOptions,
    mut visit: impl FnMut(usize, usize, Distribution<'_>) -> Result<()>,
) -> Result<()> {
    let scoring = Scoring::new(model, options);
    // Texts of like length together, so that few rows wait for others.
    let mut order: Vec<_> = (0..texts.len()).filter(|&text| texts[text].len() > 1).collect();
    order.sort_by_key(|&text| texts[text].len());
    for group in order.chunks(scoring.rows) {
        let together: Vec<_> = group.iter().map(|&text| texts[text].as_slice()).collect();
        scoring.run(model.new_cache(), &together, &mut |row, at, distribution| {
            visit(group[row], at, distribution)
        })?;
    }
    Ok(())
}

/// As [`score`], of the tokens of each continuation alone, after a common `context` that is computed once.
///
/// # Errors
///
/// When the context is empty, and what the model refuses.
pub fn score_continuations(
    model: &dyn CausalLm,
    context: &[u32],
    continuations: &[Vec<u32>],
    options: &ScoreOptions,
) -> Result<Vec<Vec<ScoredToken>>> {
    let Some((last, before)) = context.split_last() else {
        return Err(Error::input("the context has no tokens; give the one that begins a text"));
    };
    let with = |start: &[u32]| {
        let whole = continuations.iter().map(|continuation| [start, continuation].concat());
        whole.collect::<Vec<_>>()
    };
    let mut cache = model.new_cache();
    if !before.is_empty() {
        model.forward(&TokenBatch::single(before)?, &mut cache, LogitsAt::LastToken)?;
    }
    let longest = continuations.iter().map(Vec::len).max().unwrap_or(0);
    if before.is_empty()
        || model.reusable(&cache, before.len(), context.len() + longest) < before.len()
    {
        let mut scored = score(model, &with(context), options)?;
        scored.iter_mut().for_each(|tokens| drop(tokens.drain(..context.len() - 1)));
        return Ok(scored);
    }
    let scoring = Scoring::new(model, options);
    let mut scored = vec![Vec::new(); continuations.len()];
    let texts = with(&[*last]);
    for (texts, scored) in texts.chunks(scoring.rows).zip(scored.chunks_mut(scoring.rows)) {
        let mut cache = cache.fork()?;
        cache.select_rows(&vec![0; texts.len()])?;
        let texts: Vec<_> = texts.iter().map(Vec::as_slice).collect();
        scoring.run(cache, &texts, &mut |text, at, distribution| {
            scored[text].push(ScoredToken::new(texts[text][at], &distribution, options));
            Ok(())
        })?;
    }
    Ok(scored)
}

/// `exp` of the mean of the negative log-probabilities; NaN of no tokens.
#[must_use]
pub fn perplexity(tokens: &[ScoredToken]) -> f64 {
    (-logprob(tokens) / tokens.len() as f64).exp()
}

/// The log-probability of all tokens together: their sum.
#[must_use]
pub fn logprob(tokens: &[ScoredToken]) -> f64 {
    tokens.iter().map(|token| f64::from(token.logprob)).sum()
}

/// One of several continuations of a context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScoredChoice {
    /// Its tokens.
    pub tokens: Vec<ScoredToken>,
    /// The sum of their log-probabilities: the largest is the answer for `acc` of lm-evaluation-harness.
    pub logprob: f64,
    /// That by the number of characters: the largest is the answer for `acc_norm`.
    pub logprob_per_char: f64,
    /// Whether greedy decoding would give it.
    pub is_greedy: bool,
}

/// Scores texts as continuations of a context, as lm-evaluation-harness does for multiple choice
/// (`loglikelihood` of its `HFLM`): spaces at the end of the context belong to the continuation; context and
/// continuation are encoded together, and the tokens beyond those of the context alone are scored. An empty
/// context is the token that begins a text, or else the one that ends it.
///
/// # Errors
///
/// When a choice adds no token, an empty context has no token to stand for it, and what the model refuses.
pub fn score_choices(
    model: &dyn CausalLm,
    tokenizer: &Tokenizer,
    context: &str,
    choices: &[impl AsRef<str>],
    options: &ScoreOptions,
) -> Result<Vec<ScoredChoice>> {
    let trimmed = context.trim_end();
    let spaces = &context[trimmed.len()..];
    let plain = EncodeOptions::default();
    let mut prefix = tokenizer.encode_with(trimmed, &plain)?.ids;
    let mut continuations = Vec::with_capacity(choices.len());
    for choice in choices {
        let choice = choice.as_ref();
        let ids = if trimmed.is_empty() {
            let text = format!("{context}{choice}");
            tokenizer.encode_with(text.as_str(), &plain.clone().add_special_tokens(false))?.ids
        } else {
            let whole = format!("{trimmed}{spaces}{choice}");
            let mut ids = tokenizer.encode_with(whole.as_str(), &plain)?.ids;
            ids.drain(..prefix.len().min(ids.len()));
            ids
        };
        if ids.is_empty() {
            return Err(Error::input(format!(
                "the choice `{choice}` adds no token to its context"
            )));
        }
        continuations.push(ids);
    }
    if trimmed.is_empty() {
        let begins = tokenizer.bos_token().or_else(|| tokenizer.eos_token());
        prefix = begins.map(|token| vec![token.id]).unwrap_or_default();
    }
    let scored = score_continuations(model, &prefix, &continuations, options)?;
    let choice = |(tokens, choice): (Vec<ScoredToken>, &_)| {
        let choice: &str = AsRef::<str>::as_ref(choice);
        let logprob = logprob(&tokens);
        ScoredChoice {
            logprob,
            logprob_per_char: logprob / choice.chars().count().max(1) as f64,
            is_greedy: tokens.iter().all(|token| token.is_greedy),
            tokens,
        }
    };
    Ok(scored.into_iter().zip(choices).map(choice).collect())
}

impl ScoredToken {
    fn new(id: u32, distribution: &Distribution<'_>, options: &ScoreOptions) -> Self {
        Self {
            id,
            logprob: distribution.log_probability(id as usize),
            is_greedy: distribution.likeliest() == id as usize,
            top_logprobs: top_logprobs(
                distribution.logits(),
                distribution.softmax(),
                options.top_logprobs,
            ),
        }
    }
}

/// How many tokens of how many texts are computed at a time.
struct Scoring<'a> {
    model: &'a dyn CausalLm,
    tokens: usize,
    rows: usize,
}

/// Takes the number of a row, the place of a token in its text, and the token's distribution.
type Visit<'a> = dyn FnMut(usize, usize, Distribution<'_>) -> Result<()> + 'a;

impl<'a> Scoring<'a> {
    fn new(model: &'a dyn CausalLm, options: &ScoreOptions) -> Self {
        let most = options.most_logits / model.limits().vocab.max(1);
        let tokens = most.clamp(1, MOST_TOKENS);
        Self { model, tokens, rows: (most / tokens).clamp(1, MOST_ROWS) }
    }

    /// Visits all tokens of `texts` but the first; the rows of the cache, if there are any, precede them.
    fn run(&self, mut cache: KvCache, texts: &[&[u32]], visit: &mut Visit<'_>) -> Result<()> {
        let vocab = self.model.limits().vocab;
        if let Some(id) = texts.iter().copied().flatten().find(|&&id| id as usize >= vocab) {
            return Err(Error::input(format!("token id {id} in a vocabulary of {vocab}")));
        }
        // The rows of the cache, by the texts they are of.
        let mut live: Vec<_> = (0..texts.len()).collect();
        let mut start = 0;
        let mut chunk = self.tokens;
        let before = cache.tokens();
        loop {
            let (over, kept): (Vec<_>, Vec<_>) =
                (0..live.len()).partition(|&row| texts[live[row]].len() <= start + 1);
            if kept.is_empty() {
                return Ok(());
            }
            live = kept.iter().map(|&row| live[row]).collect();
            if !over.is_empty() && cache.rows() > 0 {
                cache.select_rows(&kept)?;
            }
            let part = |&text: &usize| {
                let end = (texts[text].len() - 1).min(start.saturating_add(chunk));
                texts[text][start..end].to_vec()
            };
            let rows: Vec<_> = live.iter().map(part).collect();
            let batch = TokenBatch::padded(&rows, 0, PaddingSide::Right)?;
            let logits = self.model.forward(&batch, &mut cache, LogitsAt::EveryToken)?;
            let width = batch.tokens();
            let longest = live.iter().map(|&text| texts[text].len()).max().unwrap_or(0);
            // Keys of the first part that would be others in the whole: it is computed in one pass.
            let done = before + width;
            if start == 0
                && longest > width + 1
                && self.model.reusable(&cache, done, before + longest) < done
            {
                match before {
                    0 => cache.clear(),
                    _ => cache.truncate(before)?,
                }
                chunk = usize::MAX;
                continue;
            }
            for (row, (&text, part)) in live.iter().zip(&rows).enumerate() {
                let logits = logits.get(row)?;
                for at in 0..part.len() {
                    let logits: Vec<f32> = logits.get(at)?.to_vec1()?;
                    visit(text, start + at + 1, Distribution::of(&logits)?)?;
                }
            }
            start += width;
        }
    }
}

/// Rows of one pass, and tokens of a row: what the layers compute at a time anyway.
const MOST_ROWS: usize = 64;
const MOST_TOKENS: usize = 512;
