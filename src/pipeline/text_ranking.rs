//! `text-ranking`: documents in the order in which they answer a query.
//!
//! Mirrors `CrossEncoder.rank` and `CrossEncoder.predict` of sentence-transformers 5. As there, a
//! tokenizer's chat template, where there is one, puts pairs together: messages of the roles `query`
//! and `document`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::embeddings::prompts::Prompts;
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::SequenceClassifier;
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
use crate::source::json as json_file;
use crate::tokenizer::chat::{ChatOptions, Message};
use crate::tokenizer::{Tokenizer, TruncationStrategy};

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
    /// The most tokens of a pair; what is longer is cut, the longer text first, and is an error
    /// where pairs go through the tokenizer's chat template. Default: the
    /// tokenizer's `model_max_length`, or what the model can read.
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
    model: Arc<dyn SequenceClassifier>,
    tokenizer: Tokenizer,
    activation: ScoreFunction,
    prompts: Prompts,
    /// `max_seq_length` of sentence_bert_config.json.
    max_length: Option<usize>,
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
        let max_length = options.max_length.or(self.max_length);
        let rows = TokenizerOptions { truncation: Some(cut), max_length, ..Default::default() };
        let activation = options.activation_fn.unwrap_or(self.activation);
        let apply_softmax = options.apply_softmax == Some(true);
        let (prompt, name) = (options.prompt.as_deref(), options.prompt_name.as_deref());
        let prompt = self.prompts.choose(prompt, name)?.to_owned();
        let (reading, prompt) = match self.tokenizer.chat_template() {
            Some(_) => (Reading::Messages { system: prompt }, String::new()),
            None => (Reading::Texts, prompt),
        };
        let work = Classify {
            reading,
            rows: Rows::new(&self.tokenizer, &*self.model, &rows),
            model: Arc::clone(&self.model),
            output: move |logits| {
                let scores = activation.apply(logits);
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
        let tokenizer = Tokenizer::from_files(files)?;
        let settings = Settings::read(files)?;
        let model = match settings.scored_tokens(&tokenizer)? {
            Some((wanted, unwanted)) => {
                AutoModel::next_token_scorer_from(files, options, wanted, unwanted)?
            }
            None => AutoModel::sequence_classifier_from(files, options)?,
        };
        if tokenizer.chat_template().is_some() {
            check_template(files, &tokenizer)?;
        }
        let activation = match settings.activation()? {
            Some(activation) => activation,
            None if model.labels().names.len() == 1 => ScoreFunction::Sigmoid,
            None => ScoreFunction::None,
        };
        let max_length = settings.max_length();
        let prompts = settings.prompts();
        Ok(Self { model, tokenizer, activation, prompts, max_length })
    }

    /// Takes `{"query": …, "documents": […]}` and ranks; or a pair or a list of pairs, and scores.
    fn call(
        &self,
        input: &Value,
        options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value> {
        #[derive(Deserialize)]
        #[serde(untagged, deny_unknown_fields)]
        enum Input {
            Rank { query: String, documents: Vec<String> },
            Pair([String; 2]),
            Pairs(Vec<[String; 2]>),
        }
        let mut options: TextRankingOptions = json::options(options)?;
        options.truncation_report = Some(report.clone());
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

/// Refuses a chat template that leaves the query or the document out, as one for chats alone does.
fn check_template(files: &ModelFiles, tokenizer: &Tokenizer) -> Result<()> {
    let ids = |query: &str, document: &str| -> Result<Vec<u32>> {
        let pair = [Message::new("query", query), Message::new("document", document)];
        Ok(tokenizer.encode_chat(&pair, &ChatOptions::default())?.encoding.ids)
    };
    let base = ids("alpha", "bravo")?;
    for (role, other) in [("query", ids("charlie", "bravo")?), ("document", ids("alpha", "golf")?)]
    {
        if base == other {
            return Err(Error::unsupported(format!(
                "{}: the chat template leaves out messages of the role {role:?}, by which pairs are \
                 put together; use one that has them",
                files.origin()
            )));
        }
    }
    Ok(())
}

/// What sentence-transformers keeps beside a model.
struct Settings {
    config: Value,
    own: Value,
    transformer: Value,
    /// Of the module `LogitScore`, where there is one.
    logit_score: Option<Value>,
}

impl Settings {
    fn read(files: &ModelFiles) -> Result<Self> {
        let read = |name: &str| -> Result<Value> {
            Ok(json_file::optional(files, name)?.unwrap_or_default())
        };
        let modules = read("modules.json")?;
        let mut logit_score = None;
        for module in modules.as_array().into_iter().flatten() {
            let text = |field: &str| module[field].as_str().unwrap_or_default();
            match text("type").rsplit('.').next() {
                Some("Transformer") => {}
                Some("LogitScore") => {
                    logit_score = Some(read(&format!("{}/config.json", text("path")))?);
                }
                _ => {
                    return Err(Error::unsupported(format!(
                        "{}: the module {:?}; what can rank is a Transformer with a \
                         sequence-classification head, alone, or with a LogitScore",
                        files.origin(),
                        text("type")
                    )));
                }
            }
        }
        // Without modules.json, sentence-transformers does not look at its other files.
        let beside = |name: &str| if modules.is_null() { Ok(Value::Null) } else { read(name) };
        Ok(Self {
            config: read("config.json")?,
            own: beside("config_sentence_transformers.json")?,
            transformer: beside("sentence_bert_config.json")?,
            logit_score,
        })
    }

    /// The tokens by which a language model scores: those of its `LogitScore`, else `yes` and `no`.
    /// None for a model with a head.
    fn scored_tokens(&self, tokenizer: &Tokenizer) -> Result<Option<(u32, Option<u32>)>> {
        let Some(settings) = &self.logit_score else {
            let made_for = self.config["architectures"][0].as_str().unwrap_or_default();
            if !made_for.ends_with("ForCausalLM") {
                return Ok(None);
            }
            return match (tokenizer.token_to_id("yes"), tokenizer.token_to_id("no")) {
                (Some(yes), Some(no)) => Ok(Some((yes, Some(no)))),
                _ => Err(Error::unsupported(format!(
                    "a {made_for} ranks by its tokens `yes` and `no`, and the tokenizer has none \
                     such: choose a model that was trained to rank, or one with a LogitScore module"
                ))),
            };
        };
        let id = |field: &str| settings[field].as_u64().and_then(|id| u32::try_from(id).ok());
        match id("true_token_id") {
            Some(wanted) => Ok(Some((wanted, id("false_token_id")))),
            None => Err(Error::unsupported("LogitScore has no `true_token_id` in its config.json")),
        }
    }

    /// The activation, which is named by the path of its class in torch.
    fn activation(&self) -> Result<Option<ScoreFunction>> {
        let named = [
            &self.own["activation_fn"],
            &self.config["sentence_transformers"]["activation_fn"],
            &self.config["sbert_ce_default_activation_function"],
        ];
        let named = named.into_iter().find_map(Value::as_str);
        match named.map(|path| path.rsplit('.').next().unwrap_or(path)) {
            None => Ok(None),
            Some("Identity") => Ok(Some(ScoreFunction::None)),
            Some("Sigmoid") => Ok(Some(ScoreFunction::Sigmoid)),
            Some(other) => Err(Error::unsupported(format!(
                "the activation function {other:?}; Identity and Sigmoid are supported"
            ))),
        }
    }

    fn max_length(&self) -> Option<usize> {
        self.transformer["max_seq_length"].as_u64().and_then(|length| usize::try_from(length).ok())
    }

    fn prompts(&self) -> Prompts {
        let named = self.own["prompts"].as_object().cloned().unwrap_or_default();
        Prompts::new(named, self.own["default_prompt_name"].as_str().map(str::to_owned))
    }
}
