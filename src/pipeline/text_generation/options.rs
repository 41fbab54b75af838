//! Call options, by their Hugging Face names.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::fields::{choices, options};
use crate::generation::processors::PrefixAllowedTokens;
use crate::generation::{
    CancelHandle, Constraint, GenerationConfig, LogitsProcessor, Sampler, StoppingCriterion,
};
use crate::pipeline::arguments;
use crate::pipeline::options::{CallOptions, Progress, TaskOptions, TruncationReport};
use crate::tokenizer::TruncationStrategy;
use crate::tokenizer::chat::ResponseFormat;

/// Call options of [`TextGenerationPipeline`](super::TextGenerationPipeline), by their Hugging Face
/// names. `None` is transformers' default, which the field's docs name. As JSON they are keyword
/// arguments of the Python pipeline.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct TextGenerationOptions {
    /// Whether special tokens (`<s>`) are put around a text. Default: as the tokenizer does. Chats
    /// have theirs from the template.
    pub add_special_tokens: Option<bool>,
    /// Prompts per forward pass. Default: 1. More is faster, and gives the same results.
    pub batch_size: Option<usize>,
    /// Ends generation from another thread; what was generated until then is returned.
    #[serde(skip)]
    pub cancel: Option<CancelHandle>,
    /// Whether spaces before punctuation are removed from the output (` .`, ` ,`, ` n't`). Default:
    /// `true`.
    pub clean_up_tokenization_spaces: Option<bool>,
    /// Whether the last message of a chat is continued instead of answered. Default: where it is
    /// the assistant's.
    pub continue_final_message: Option<bool>,
    /// Whether the output says how each answer came about: [`Generated::details`](super::Generated::details).
    /// Default: `false`.
    pub details: Option<bool>,
    /// What the answers of beams have to hold, beside `force_words_ids` of [`generation`](Self::generation):
    /// constraints of your own. Default: none.
    #[serde(skip)]
    pub constraints: Vec<Box<dyn Constraint>>,
    /// Documents for the chat template, for retrieval-augmented generation. Default: none.
    pub documents: Option<Vec<Value>>,
    /// What to do with a prompt that leaves no room for `max_new_tokens`. Default: nothing.
    pub handle_long_generation: Option<LongGeneration>,
    /// The JSON schema that answers of a service follow: `response_format` of its interface.
    /// [`Generated::json`](super::Generated::json) reads them. A model here has no such grammar. Default: none.
    pub json_schema: Option<Value>,
    /// Put before a text. Default: the config's `prefix`, or nothing.
    pub prefix: Option<String>,
    /// How the model marks reasoning and tool calls, by name. The answers of chats are then taken apart: the
    /// message has `reasoning_content` and `tool_calls` as fields of their own, as chat templates take them
    /// back. What the model's chat template writes is
    /// [`Tokenizer::response_format`](crate::tokenizer::Tokenizer::response_format). Default: everything is
    /// content, as in Python.
    pub response_format: Option<ResponseFormat>,
    /// Whether the output holds the prompt too. Default: `true`.
    pub return_full_text: Option<bool>,
    /// Whether the output is token ids, the prompt's included. Default: `false`.
    pub return_tensors: Option<bool>,
    /// Whether special tokens are left out of the output. Default: `true`.
    pub skip_special_tokens: Option<bool>,
    /// Generation ends at any token of this text, and no longer at the model's own end tokens, as
    /// in transformers 4. To end at the whole text, use `stop_strings`. Default: none.
    pub stop_sequence: Option<String>,
    /// Tool schemas for the chat template. Default: none.
    pub tools: Option<Vec<Value>>,
    /// Whether a prompt longer than [`prompt_max_length`](Self::prompt_max_length) is truncated, on
    /// the tokenizer's `truncation_side`. Default: `true` if `prompt_max_length` is set, or else
    /// `false`.
    pub truncation: Option<bool>,
    /// The most tokens of a prompt: `max_length` within Python's `tokenizer_encode_kwargs`. Default: with
    /// `truncation`, `max_length` of [`generation`](Self::generation), or the tokenizer's
    /// `model_max_length`.
    #[serde(rename = "tokenizer_encode_kwargs", serialize_with = "within_kwargs")]
    pub prompt_max_length: Option<usize>,
    /// Where the progress of a long call is reported. Default: a bar on stderr.
    #[serde(skip)]
    pub progress: Option<Progress>,
    /// Processors of your own, run after those of [`generation`](Self::generation) and before temperature
    /// and what else narrows the distribution. Each answer gets a clone. Default: none.
    #[serde(skip)]
    pub logits_processor: Vec<Box<dyn LogitsProcessor>>,
    /// What says which tokens may come. Default: all may.
    #[serde(skip)]
    pub prefix_allowed_tokens_fn: Option<PrefixAllowedTokens>,
    /// Chooses the tokens, instead of what [`generation`](Self::generation) says. Each answer gets a clone,
    /// with a seed of its own. Default: none.
    #[serde(skip)]
    pub sampler: Option<Box<dyn Sampler>>,
    /// Stopping criteria of your own. Each answer gets a clone. Default: none.
    #[serde(skip)]
    pub stopping_criteria: Vec<Box<dyn StoppingCriterion>>,
    /// Receives the numbers of the truncated prompts.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
    /// More variables for the chat template, such as `enable_thinking`. Default: none.
    #[serde(rename = "chat_template_kwargs")]
    pub template_variables: Map<String, Value>,
    /// Everything that `generate` takes: `max_new_tokens`, `do_sample`, `temperature`, …
    #[serde(flatten)]
    pub generation: GenerationConfig,
}

choices! {
    /// What to do with a prompt that leaves no room for the answer.
    LongGeneration, "handle_long_generation" {
        /// Drop as much of the prompt's beginning as makes room for `max_new_tokens`.
        Hole = "hole",
        /// Drop the oldest turns of a chat, but not its system prompt and not its last turn: so many that
        /// prompt and `max_new_tokens` take at most three quarters of the context, so that a conversation
        /// does not lose turns with every answer. Not in Python.
        Roll = "roll",
    }
}

impl TextGenerationOptions {
    options!(@setter add_special_tokens bool);
    options!(@setter batch_size usize);
    options!(@setter cancel CancelHandle);
    options!(@setter clean_up_tokenization_spaces bool);
    options!(@setter continue_final_message bool);
    options!(@setter details bool);
    options!(@setter documents (Vec<Value>));
    options!(@setter handle_long_generation LongGeneration);
    options!(@setter json_schema Value);
    options!(@setter prefix String);
    options!(@setter prefix_allowed_tokens_fn PrefixAllowedTokens);
    options!(@setter response_format ResponseFormat);
    options!(@setter return_full_text bool);
    options!(@setter return_tensors bool);
    options!(@setter skip_special_tokens bool);
    options!(@setter stop_sequence String);
    options!(@setter tools (Vec<Value>));
    options!(@setter truncation bool);
    options!(@setter prompt_max_length usize);
    options!(@setter progress Progress);
    options!(@setter truncation_report TruncationReport);

    /// Adds to [`logits_processor`](Self::logits_processor).
    #[must_use]
    pub fn with_processor(mut self, processor: impl LogitsProcessor + 'static) -> Self {
        self.logits_processor.push(Box::new(processor));
        self
    }

    /// Adds to [`constraints`](Self::constraints).
    #[must_use]
    pub fn with_constraint(mut self, constraint: impl Constraint + 'static) -> Self {
        self.constraints.push(Box::new(constraint));
        self
    }

    /// Sets [`sampler`](Self::sampler).
    #[must_use]
    pub fn with_sampler(self, sampler: impl Sampler) -> Self {
        Self { sampler: Some(Box::new(sampler)), ..self }
    }

    /// Adds to [`stopping_criteria`](Self::stopping_criteria).
    #[must_use]
    pub fn with_stopping_criterion(mut self, criterion: impl StoppingCriterion + 'static) -> Self {
        self.stopping_criteria.push(Box::new(criterion));
        self
    }

    /// Adds to [`template_variables`](Self::template_variables).
    #[must_use]
    pub fn template_variable(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.template_variables.insert(name.into(), value.into());
        self
    }

    /// Sets [`generation`](Self::generation).
    #[must_use]
    pub fn generation(self, generation: GenerationConfig) -> Self {
        Self { generation, ..self }
    }

    /// Reads keyword arguments of the Python pipeline.
    ///
    /// # Errors
    ///
    /// When there is no such option, its value has the wrong type, or two exclude each other.
    pub fn from_json(mut options: Map<String, Value>) -> Result<Self> {
        let take = &mut options;
        let mut encode: Map<String, Value> =
            arguments::take(take, "tokenizer_encode_kwargs")?.unwrap_or_default();
        let prompt_max_length = arguments::take(&mut encode, "max_length")?;
        take.extend(arguments::split(&mut encode, &OF_TOKENIZER));
        let _not_needed: Option<Value> = arguments::take(take, "padding")?;
        let mut template_variables: Map<String, Value> =
            arguments::take(take, "chat_template_kwargs")?.unwrap_or_default();
        // What the tokenizer doesn't know goes to the chat template.
        template_variables.extend(encode);
        let truncation = match arguments::take(take, "truncation")? {
            None => None,
            Some(TruncationStrategy::DoNotTruncate) => Some(false),
            Some(TruncationStrategy::OnlySecond) => {
                return Err(Error::option("truncation", "a prompt has no second text"));
            }
            Some(_) => Some(true),
        };
        let return_text: Option<bool> = arguments::take(take, "return_text")?;
        let mut read = Self {
            add_special_tokens: arguments::take(take, "add_special_tokens")?,
            batch_size: arguments::take(take, "batch_size")?,
            clean_up_tokenization_spaces: arguments::take(take, "clean_up_tokenization_spaces")?,
            continue_final_message: arguments::take(take, "continue_final_message")?,
            details: arguments::take(take, "details")?,
            documents: arguments::take(take, "documents")?,
            handle_long_generation: arguments::take(take, "handle_long_generation")?,
            prefix: arguments::take(take, "prefix")?,
            json_schema: arguments::take(take, "json_schema")?,
            response_format: arguments::take(take, "response_format")?,
            return_full_text: arguments::take(take, "return_full_text")?,
            return_tensors: arguments::take(take, "return_tensors")?,
            skip_special_tokens: arguments::take(take, "skip_special_tokens")?,
            stop_sequence: arguments::take(take, "stop_sequence")?,
            tools: arguments::take(take, "tools")?,
            truncation,
            prompt_max_length,
            template_variables,
            ..Self::default()
        };
        let of_pipeline = OF_PIPELINE.iter().chain(&OF_TOKENIZER);
        arguments::generation(&mut read.generation, options, of_pipeline)?;
        if return_text.is_some() && read.return_full_text.is_some() {
            return Err(Error::option("return_text", "excludes `return_full_text`"));
        }
        if return_text.is_some() && read.return_tensors.is_some() {
            return Err(Error::option("return_text", "excludes `return_tensors`"));
        }
        read.check()?;
        Ok(read)
    }

    /// Refuses what excludes each other.
    pub(super) fn check(&self) -> Result<()> {
        if self.return_full_text.is_some() && self.return_tensors.is_some() {
            return Err(Error::option("return_full_text", "excludes `return_tensors`"));
        }
        if self.batch_size == Some(0) {
            return Err(Error::option("batch_size", "should be at least 1"));
        }
        Ok(())
    }

    /// As [`check`](Self::check), for a model that is here.
    pub(super) fn check_here(&self) -> Result<()> {
        if self.json_schema.is_some() {
            let reason = "is for services; of a model here, `constraints`, `prefix_allowed_tokens_fn` or \
                          `logits_processor` say what it may write";
            return Err(Error::option("json_schema", reason));
        }
        self.check()
    }
}

/// Options that are the pipeline's own.
const OF_PIPELINE: [&str; 14] = [
    "batch_size",
    "chat_template_kwargs",
    "clean_up_tokenization_spaces",
    "details",
    "handle_long_generation",
    "prefix",
    "json_schema",
    "response_format",
    "return_full_text",
    "return_tensors",
    "return_text",
    "skip_special_tokens",
    "stop_sequence",
    "tokenizer_encode_kwargs",
];

/// Those that the tokenizer and its chat template take, also within `tokenizer_encode_kwargs`.
const OF_TOKENIZER: [&str; 6] =
    ["add_special_tokens", "continue_final_message", "documents", "padding", "tools", "truncation"];

impl From<GenerationConfig> for TextGenerationOptions {
    fn from(generation: GenerationConfig) -> Self {
        Self { generation, ..Self::default() }
    }
}

/// Keyword arguments of the Python pipeline, as [`from_json`](TextGenerationOptions::from_json) reads them.
impl<'de> Deserialize<'de> for TextGenerationOptions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        Self::from_json(Map::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl TaskOptions for TextGenerationOptions {
    fn read(options: Map<String, Value>) -> Result<Self> {
        Self::from_json(options)
    }

    fn call(&self) -> CallOptions {
        CallOptions {
            batch_size: self.batch_size,
            progress: self.progress.clone().unwrap_or_default(),
            truncation_report: self.truncation_report.clone(),
            ..CallOptions::default()
        }
    }

    fn report_to(&mut self, report: TruncationReport) {
        self.truncation_report = Some(report);
    }
}

fn within_kwargs<S: Serializer>(
    longest: &Option<usize>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    longest.map(|longest| json!({"max_length": longest})).serialize(serializer)
}
