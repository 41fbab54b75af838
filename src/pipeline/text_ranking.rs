//! `text-ranking`: documents in the order in which they answer a query.
//!
//! Mirrors `CrossEncoder.rank` and `CrossEncoder.predict` of sentence-transformers 5.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::SequenceClassifier;
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::flow::{Flow, Work};
use crate::pipeline::json;
use crate::pipeline::scores;
use crate::pipeline::text_classification::{ScoreFunction, TextOrPair};
use crate::pipeline::tokenize::{Rows, TextTruncation, TokenizerOptions};
use crate::source::ModelFiles;
use crate::tokenizer::{Encoding, Tokenizer, TruncationStrategy};

/// Call options of [`TextRankingPipeline`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TextRankingOptions {
    /// From logits to scores: `activation_fn`. Default: as the model's config says, else sigmoid
    /// for a single logit and none for several.
    pub activation_fn: Option<ScoreFunction>,
    /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
    pub batch_size: Option<usize>,
    /// Whether each ranked record has the document's text. Default: `false`.
    pub return_documents: Option<bool>,
    /// How many documents, best first. Default: all.
    pub top_k: Option<usize>,
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
    model: Arc<dyn SequenceClassifier>,
    tokenizer: Tokenizer,
    activation: ScoreFunction,
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
        let labels = self.model.labels().names.len();
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
        let rows = TokenizerOptions { truncation: Some(cut), ..Default::default() };
        let work = Score {
            rows: Rows::new(&self.tokenizer, &*self.model, &rows),
            model: Arc::clone(&self.model),
            activation: options.activation_fn.unwrap_or(self.activation),
        };
        Flow::new(work, pairs.into_iter().map(Into::into), options.batch_size)
    }
}

impl TaskPipeline for TextRankingPipeline {
    const TASK: Task = Task::TextRanking;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let tokenizer = Tokenizer::from_files(files)?;
        let model = AutoModel::sequence_classifier_from(files, options)?;
        let activation = match activation(files)? {
            Some(activation) => activation,
            None if model.labels().names.len() == 1 => ScoreFunction::Sigmoid,
            None => ScoreFunction::None,
        };
        Ok(Self { model, tokenizer, activation })
    }

    /// Takes `{"query": …, "documents": […]}` and ranks; or a pair or a list of pairs, and scores.
    fn call(&self, input: &Value, options: Map<String, Value>) -> Result<Value> {
        #[derive(Deserialize)]
        #[serde(untagged, deny_unknown_fields)]
        enum Input {
            Rank { query: String, documents: Vec<String> },
            Pair([String; 2]),
            Pairs(Vec<[String; 2]>),
        }
        let options = json::options(options)?;
        let expected = "{\"query\": …, \"documents\": […]}, a pair of texts or a list of pairs";
        let score = |mut scores: Vec<f32>| match scores.len() {
            1 => json::output(scores.pop()),
            _ => json::output(scores),
        };
        let pair = |[first, second]: [String; 2]| TextOrPair::Pair(first, second);
        match json::item(input, expected)? {
            Input::Rank { query, documents } => {
                json::output(self.rank(query, documents, &options)?)
            }
            Input::Pair(texts) => {
                score(self.predict([pair(texts)], &options)?.pop().unwrap_or_default())
            }
            Input::Pairs(pairs) => {
                let scores = self.predict(pairs.into_iter().map(pair), &options)?;
                scores.into_iter().map(score).collect::<Result<Vec<_>>>().map(Value::Array)
            }
        }
    }
}

/// The activation that the model's config names by the path of its class in torch.
fn activation(files: &ModelFiles) -> Result<Option<ScoreFunction>> {
    let Some(path) = files.optional("config.json")? else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(Error::read(&path))?;
    let config: Value =
        serde_json::from_str(&text).map_err(|error| Error::malformed(&path, error))?;
    let named = config
        .pointer("/sentence_transformers/activation_fn")
        .or_else(|| config.get("sbert_ce_default_activation_function"))
        .and_then(Value::as_str);
    match named.map(|path| path.rsplit('.').next().unwrap_or(path)) {
        None => Ok(None),
        Some("Identity") => Ok(Some(ScoreFunction::None)),
        Some("Sigmoid") => Ok(Some(ScoreFunction::Sigmoid)),
        Some(other) => Err(Error::unsupported(format!(
            "the activation function {other:?}; Identity and Sigmoid are supported"
        ))),
    }
}

struct Score {
    rows: Rows,
    model: Arc<dyn SequenceClassifier>,
    activation: ScoreFunction,
}

impl Work for Score {
    type Item = TextOrPair;
    type Kept = ();
    type Row = Vec<f32>;
    type Output = Vec<f32>;

    fn size(item: &TextOrPair) -> usize {
        item.size()
    }

    fn prepare(&self, item: TextOrPair) -> Result<((), Vec<Encoding>)> {
        Ok(((), vec![self.rows.row(item.as_input())?]))
    }

    fn forward(&self, batch: &TokenBatch, _: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        scores::rows(&self.model.classify(batch)?)
    }

    fn finish(&self, (): (), rows: Vec<(Encoding, Vec<f32>)>) -> Result<Vec<f32>> {
        let logits = rows.into_iter().next().map(|(_, logits)| logits).unwrap_or_default();
        Ok(self.activation.apply(logits))
    }
}
