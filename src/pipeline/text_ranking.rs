//! `text-ranking`: documents in the order in which they answer a query.
//!
//! Mirrors `CrossEncoder.rank` and `CrossEncoder.predict` of sentence-transformers 5. As there, a
//! tokenizer's chat template, where there is one, puts pairs together: messages of the roles `query`
//! and `document`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::embeddings::cross_encoder::CrossEncoder;
use crate::error::{Error, Result};
use crate::models::heads::SequenceClassifier;
use crate::options::LoadOptions;
use crate::pipeline::arguments;
use crate::pipeline::classify::{Classify, Reading, TextOrPair};
use crate::pipeline::options::{TaskOptions, task_options};
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::pipeline::text_classification::ScoreFunction;
use crate::pipeline::tokenize::{Rows, TokenizerOptions};
use crate::source::ModelFiles;
use crate::tokenizer::{Tokenizer, TruncationStrategy};

task_options! {
    /// Call options of [`TextRankingPipeline`].
    TextRankingOptions {
        /// From logits to scores: `activation_fn`. Default: as the model's config says, else sigmoid
        /// for a single logit and none for several.
        activation_fn: ScoreFunction,
        /// Whether the scores of a pair are normalized by a softmax after `activation_fn`; with a
        /// single label all scores are then 1. Default: `false`.
        apply_softmax: bool,
        /// The most tokens of a pair; longer pairs are truncated, the longer text first. If pairs
        /// go through the tokenizer's chat template, the end of the document is truncated and the
        /// end of the template kept. Default: the model's own, the tokenizer's `model_max_length`,
        /// or what the model can read.
        max_length: usize,
        /// Put before the query, or into a system message where pairs go through the tokenizer's chat
        /// template. Wins over `prompt_name`.
        prompt: String,
        /// One of the model's own prompts. Default: its `default_prompt_name`, if any.
        prompt_name: String,
        /// Whether each ranked record has the document's text. Default: `false`.
        return_documents: bool,
        /// How many documents of a ranking, best first. Default: all.
        top_k: usize,
    }
}

/// A document in a ranking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ranked {
    /// The index of the document.
    pub corpus_id: usize,
    /// How well it answers the query.
    pub score: f32,
    /// With `return_documents`, its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Scores pairs of texts, a query and what may answer it, with one score per label of the model; and
/// [orders documents](Self::rank) by that.
///
#[doc = include_str!("../../docs/tasks/text-ranking.md")]
#[derive(Debug, Clone)]
pub struct TextRankingPipeline {
    encoder: Arc<CrossEncoder>,
}

impl TextRankingPipeline {
    /// The documents, best first.
    ///
    /// # Errors
    ///
    /// When an option is invalid, or the model has not one logit but several, or fails.
    pub fn rank<D: Into<String>>(
        &self,
        query: impl Into<String>,
        documents: impl IntoIterator<Item = D>,
        options: &TextRankingOptions,
    ) -> Result<Vec<Ranked>> {
        let labels = self.model().labels().names.len();
        if labels != 1 {
            let reason = format!("ranking needs a model with one label; this one has {labels}");
            return Err(Error::input(reason));
        }
        let query = query.into();
        let documents: Vec<String> = documents.into_iter().map(Into::into).collect();
        let pairs = documents.iter().map(|text| TextOrPair::Pair(query.clone(), text.clone()));
        let scores = self.run_batch(pairs.collect::<Vec<_>>(), options)?;
        let mut ranked: Vec<Ranked> = documents
            .into_iter()
            .zip(scores)
            .enumerate()
            .map(|(corpus_id, (text, score))| Ranked {
                corpus_id,
                score: score.first().copied().unwrap_or(0.0),
                text: (options.return_documents == Some(true)).then_some(text),
            })
            .collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        ranked.truncate(options.top_k.unwrap_or(usize::MAX));
        Ok(ranked)
    }

    /// A pipeline of a loaded model and tokenizer; both stay shared. It has no prompts of its own.
    ///
    /// # Errors
    ///
    /// When the tokenizer's chat template leaves out the query or the document.
    pub fn from_parts(model: Arc<dyn SequenceClassifier>, tokenizer: Tokenizer) -> Result<Self> {
        Ok(Self { encoder: Arc::new(CrossEncoder::from_parts(model, tokenizer)?) })
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        Ok(Self { encoder: Arc::new(CrossEncoder::load(files, options)?) })
    }

    /// The model, for sharing or inspection.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn SequenceClassifier> {
        &self.encoder.model
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.encoder.reader.tokenizer
    }
}

impl TaskSteps for TextRankingPipeline {
    type Input = TextOrPair;
    type Output = Vec<f32>;
    type Options = TextRankingOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let limit = options.max_length.unwrap_or(self.encoder.reader.max_length);
        let cut = TruncationStrategy::LongestFirst;
        let rows = TokenizerOptions::default().truncation(cut).max_length(limit);
        let (asked, own) = (options.activation_fn, self.encoder.activation);
        let apply_softmax = options.apply_softmax == Some(true);
        let (prompt, name) = (options.prompt.as_deref(), options.prompt_name.as_deref());
        let prompt = self.encoder.prompts.choose(prompt, name)?.to_owned();
        Ok(Classify {
            reading: match self.encoder.reader.messages.clone() {
                Some(messages) => {
                    Reading::Messages { messages: Box::new(messages), system: prompt, limit }
                }
                None => Reading::Texts { prompt },
            },
            rows: Rows::new(self.tokenizer(), &**self.model(), Some(&rows)),
            model: Arc::clone(self.model()),
            output: move |mut logits| {
                let scores = match asked {
                    Some(function) => function.apply(logits),
                    None => {
                        own.apply(&mut logits);
                        logits
                    }
                };
                if apply_softmax { scores::softmax(&scores) } else { scores }
            },
        })
    }

    fn read_options(&self, mut options: Map<String, Value>) -> Result<Self::Options> {
        arguments::rename(&mut options, "activation_fct", "activation_fn");
        TaskOptions::read(options)
    }

    /// A pair or a list of pairs.
    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<TextOrPair>> {
        let pair = |[first, second]: [String; 2]| TextOrPair::Pair(first, second);
        match input {
            Value::Array(items) if items.iter().all(Value::is_array) => {
                Ok(Items::many(arguments::item::<Vec<_>>(input)?.into_iter().map(pair)))
            }
            Value::Array(_) => Ok(Items::One(pair(arguments::item(input)?))),
            _ => {
                let wanted =
                    "{\"query\": …, \"documents\": […]}, a pair of texts or a list of pairs";
                Err(arguments::misshapen(input, wanted))
            }
        }
    }

    fn write_output(&self, scores: Vec<f32>, _: &Self::Options) -> Result<Value> {
        arguments::one_or_more(scores)
    }

    /// `{"query": …, "documents": […]}` is ranked.
    fn answer(&self, input: &Value, options: &Self::Options) -> Result<Option<Value>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Rank {
            query: String,
            documents: Vec<String>,
        }
        if !input.is_object() {
            return Ok(None);
        }
        let Rank { query, documents } = arguments::item(input)?;
        arguments::output(self.rank(query, documents, options)?).map(Some)
    }
}
