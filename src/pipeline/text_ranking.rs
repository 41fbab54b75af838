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
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::classify::{Classify, Reading, TextOrPair};
use crate::pipeline::flow::Flow;
use crate::pipeline::json;
use crate::pipeline::scores;
use crate::pipeline::text_classification::ScoreFunction;
use crate::pipeline::tokenize::{Rows, TextTruncation, TokenizerOptions};
use crate::pipeline::truncation::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::TruncationStrategy;

/// Call options of [`TextRankingPipeline`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TextRankingOptions {
    /// From logits to scores: `activation_fn`. Default: as the model's config says, else sigmoid
    /// for a single logit and none for several.
    pub activation_fn: Option<ScoreFunction>,
    /// Whether the scores of a pair are made to add up to 1, after `activation_fn`; with a single
    /// label they are all 1 then. Default: `false`.
    pub apply_softmax: Option<bool>,
    /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
    pub batch_size: Option<usize>,
    /// The most tokens of a pair; what is longer is cut, the longer text first. Where pairs go through
    /// the tokenizer's chat template, the end of the document is cut and that of the template kept.
    /// Default: the model's own, the tokenizer's `model_max_length`, or what the model can read.
    pub max_length: Option<usize>,
    /// Put before the query, or into a system message where pairs go through the tokenizer's chat
    /// template. Wins over `prompt_name`.
    pub prompt: Option<String>,
    /// One of the model's own prompts. Default: its `default_prompt_name`, if any.
    pub prompt_name: Option<String>,
    /// Whether each ranked record has the document's text. Default: `false`.
    pub return_documents: Option<bool>,
    /// How many documents, best first. Default: all.
    pub top_k: Option<usize>,
    /// Gets the numbers of the pairs that are cut.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
}

/// A document's place in a ranking.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ranked {
    /// Which of the documents it is.
    pub corpus_id: usize,
    /// How well it answers the query.
    pub score: f32,
    /// With `return_documents`, its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Orders documents by how well they answer a query.
#[derive(Debug)]
pub struct TextRankingPipeline {
    encoder: CrossEncoder,
}

impl TextRankingPipeline {
    /// The documents, best first.
    ///
    /// # Errors
    ///
    /// When the model has not one logit but several, or fails.
    pub fn rank<D: Into<String>>(
        &self,
        query: impl Into<String>,
        documents: impl IntoIterator<Item = D>,
        options: &TextRankingOptions,
    ) -> Result<Vec<Ranked>> {
        let labels = self.encoder.model.labels().names.len();
        if labels != 1 {
            let reason = format!("ranking needs a model with one label; this one has {labels}");
            return Err(Error::input(reason));
        }
        let query = query.into();
        let documents: Vec<String> = documents.into_iter().map(Into::into).collect();
        let pairs = documents.iter().map(|text| TextOrPair::Pair(query.clone(), text.clone()));
        let scores = self.predict(pairs.collect::<Vec<_>>(), options)?;
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

    /// The scores of pairs, in order; one score per label of the model.
    ///
    /// # Errors
    ///
    /// When the model fails.
    pub fn predict<T: Into<TextOrPair>>(
        &self,
        pairs: impl IntoIterator<Item = T>,
        options: &TextRankingOptions,
    ) -> Result<Vec<Vec<f32>>> {
        self.stream(pairs, options)?.collect()
    }

    /// As [`predict`](Self::predict), one output after the other, in bounded memory.
    ///
    /// # Errors
    ///
    /// When an option is invalid. A pair that fails gives an error in its place.
    pub fn stream<T: Into<TextOrPair>, I: IntoIterator<Item = T>>(
        &self,
        pairs: I,
        options: &TextRankingOptions,
    ) -> Result<impl Iterator<Item = Result<Vec<f32>>> + use<T, I>> {
        let cut = TextTruncation::On(TruncationStrategy::LongestFirst);
        let limit = options.max_length.unwrap_or(self.encoder.reader.max_length);
        let max_length = Some(limit);
        let rows = TokenizerOptions { truncation: Some(cut), max_length, ..Default::default() };
        let (asked, own) = (options.activation_fn, self.encoder.activation);
        let apply_softmax = options.apply_softmax == Some(true);
        let (prompt, name) = (options.prompt.as_deref(), options.prompt_name.as_deref());
        let prompt = self.encoder.prompts.choose(prompt, name)?.to_owned();
        let (reading, prompt) = match self.encoder.reader.messages.clone() {
            Some(messages) => {
                let messages = Box::new(messages);
                (Reading::Messages { messages, system: prompt, limit }, String::new())
            }
            None => (Reading::Texts, prompt),
        };
        let work = Classify {
            reading,
            rows: Rows::new(&self.encoder.reader.tokenizer, &*self.encoder.model, &rows),
            model: Arc::clone(&self.encoder.model),
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
        };
        let prompted = move |pair: T| match pair.into() {
            TextOrPair::Text(text) => TextOrPair::Text(prompt.clone() + &text),
            TextOrPair::Pair(query, text) => TextOrPair::Pair(prompt.clone() + &query, text),
        };
        let pairs = pairs.into_iter().map(prompted);
        Flow::new(work, pairs, options.batch_size, options.truncation_report.as_ref())
    }
}

impl TaskPipeline for TextRankingPipeline {
    const TASK: Task = Task::TextRanking;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        Ok(Self { encoder: CrossEncoder::load(files, options)? })
    }

    /// Takes `{"query": …, "documents": […]}` and ranks; or a pair or a list of pairs, and scores.
    fn call(
        &self,
        input: &Value,
        mut options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Rank {
            query: String,
            documents: Vec<String>,
        }
        json::rename(&mut options, "activation_fct", "activation_fn");
        let mut options: TextRankingOptions = json::options(options)?;
        options.truncation_report = Some(report.clone());
        let score = |mut scores: Vec<f32>| match scores.len() {
            1 => json::output(scores.pop()),
            _ => json::output(scores),
        };
        let pair = |[first, second]: [String; 2]| TextOrPair::Pair(first, second);
        match input {
            Value::Object(_) => {
                let Rank { query, documents } = json::item(input)?;
                json::output(self.rank(query, documents, &options)?)
            }
            Value::Array(items) if items.iter().all(Value::is_array) => {
                let pairs: Vec<[String; 2]> = json::item(input)?;
                let scores = self.predict(pairs.into_iter().map(pair), &options)?;
                scores.into_iter().map(score).collect::<Result<Vec<_>>>().map(Value::Array)
            }
            Value::Array(_) => {
                let texts = json::item::<[String; 2]>(input)?;
                score(self.predict([pair(texts)], &options)?.pop().unwrap_or_default())
            }
            _ => {
                let wanted =
                    "{\"query\": …, \"documents\": […]}, a pair of texts or a list of pairs";
                Err(json::misshapen(input, wanted))
            }
        }
    }
}
