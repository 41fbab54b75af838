//! `text-generation`: continues a text or a chat.
//!
//! Mirrors `pipelines/text_generation.py` of transformers 4.57.

mod options;
mod output;
mod prompt;
mod session;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use options::{LongGeneration, TextGenerationOptions};
pub use output::Generated;
pub use prompt::Prompt;
pub use session::{ChatReply, ChatSession};

use crate::batch::PaddingSide;
use crate::error::{Error, Result};
use crate::generation::{self, GenerationConfig, Sequence, TaskParams, TextStream, TokenStream};
use crate::models::{AutoModel, CausalLm};
use crate::nn::cache::KvCache;
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::arguments;
use crate::pipeline::media::{Input, Output};
use crate::pipeline::options::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::chat::{ChatOptions, Message};
use crate::tokenizer::{EncodeOptions, Tokenizer, Truncation};
use crate::warning::warn;

/// Continues a text or a chat with a decoder-only language model.
///
/// Generation options come, the later over the earlier, from transformers' defaults, the model's
/// `generation_config.json`, the defaults of this pipeline (`max_new_tokens` 256, `do_sample`,
/// `temperature` 0.7), `task_specific_params` of the model's config.json, and the call.
#[derive(Debug, Clone)]
pub struct TextGenerationPipeline {
    model: Arc<dyn CausalLm>,
    tokenizer: Tokenizer,
    defaults: GenerationConfig,
    /// Goes before every text, unless the call says otherwise.
    prefix: String,
}

impl TextGenerationPipeline {
    /// Continues one prompt; returns `num_return_sequences` records, one unless asked otherwise.
    ///
    /// # Errors
    ///
    /// When the prompt is empty or longer than the context, a chat meets a model without a chat
    /// template, or an option is invalid.
    pub fn run(&self, prompt: impl Into<Prompt>) -> Result<Vec<Generated>> {
        self.run_with(prompt, &TextGenerationOptions::default())
    }

    /// As [`run`](Self::run), with options.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn run_with(
        &self,
        prompt: impl Into<Prompt>,
        options: &TextGenerationOptions,
    ) -> Result<Vec<Generated>> {
        let mut batch = self.run_batch([prompt], options)?;
        Ok(batch.pop().unwrap_or_default())
    }

    /// Continues many prompts, `batch_size` of them in one forward pass; in order, each with what
    /// it would get alone.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); nothing is returned where one prompt fails.
    pub fn run_batch<P: Into<Prompt>>(
        &self,
        prompts: impl IntoIterator<Item = P>,
        options: &TextGenerationOptions,
    ) -> Result<Vec<Vec<Generated>>> {
        let prepared = prompts
            .into_iter()
            .map(|prompt| self.prepare(prompt.into(), options))
            .collect::<Result<Vec<_>>>()?;
        if let Some(report) = &options.truncation_report {
            let cut = prepared.iter().enumerate().filter(|(_, prepared)| prepared.is_cut);
            cut.for_each(|(number, _)| report.add(number));
        }
        let config = self.config(options)?;
        let returned = config.num_return_sequences.unwrap_or(1).max(1);
        let mut records = Vec::with_capacity(prepared.len());
        for batch in prepared.chunks(options.batch_size.unwrap_or(1).max(1)) {
            let rows: Vec<_> = batch.iter().map(|prepared| prepared.ids.clone()).collect();
            let outputs = generation::generate_batch_until(
                &self.model,
                Some(&self.tokenizer),
                &rows,
                &config,
                &options.cancel.clone().unwrap_or_default(),
            )?;
            for (prepared, outputs) in batch.iter().zip(outputs.chunks(returned)) {
                let record =
                    |output: &generation::Generated| self.record(prepared, &output.ids(), options);
                records.push(outputs.iter().map(record).collect::<Result<_>>()?);
            }
        }
        Ok(records)
    }

    /// Continues one prompt, piece by piece: the new text alone, as it is generated.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn stream(&self, prompt: impl Into<Prompt>) -> Result<TextStream> {
        self.stream_with(prompt, &TextGenerationOptions::default())
    }

    /// As [`stream`](Self::stream), with options. Those that shape the output of
    /// [`run`](Self::run) (`return_full_text`, `num_return_sequences`, …) do not apply.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn stream_with(
        &self,
        prompt: impl Into<Prompt>,
        options: &TextGenerationOptions,
    ) -> Result<TextStream> {
        let prepared = self.prepare(prompt.into(), options)?;
        self.stream_from(&prepared, options, || (self.model.new_cache(), Vec::new()))
    }

    /// A conversation that keeps what the model has read between its turns.
    #[must_use]
    pub fn chat_session(&self) -> ChatSession {
        ChatSession::new(self.clone())
    }

    /// The model, to share it or to look inside.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn CausalLm> {
        &self.model
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

impl TaskPipeline for TextGenerationPipeline {
    const TASK: Task = Task::TextGeneration;

    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::causal_lm_from(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        let stored = GenerationConfig::from_files(files, &tokenizer)?;
        // transformers lets its pipeline's defaults win over the model's, but for a length that the
        // model states.
        let pipeline = GenerationConfig::default().do_sample(true).temperature(0.7);
        let pipeline = match stored.max_length {
            Some(length) if length != GLOBAL_MAX_LENGTH => pipeline,
            _ => pipeline.max_new_tokens(256),
        };
        let task = TaskParams::read(files, Self::TASK.name())?;
        let defaults = stored.overlaid(&pipeline).overlaid(&task.generation);
        Ok(Self { model, tokenizer, defaults, prefix: task.prefix.unwrap_or_default() })
    }

    fn call(&self, input: Input, mut options: Map<String, Value>) -> Result<Output> {
        let _not_needed: Option<usize> = arguments::take(&mut options, "num_workers")?;
        let input = input.into_json()?;
        let mut options = TextGenerationOptions::from_json(options)?;
        let report = TruncationReport::default();
        options.truncation_report = Some(report.clone());
        let json = match &input {
            Value::String(text) => arguments::output(self.run_with(text.as_str(), &options)?),
            Value::Array(items) if items.first().is_some_and(Value::is_object) => {
                arguments::output(self.run_with(Prompt::chat(&input)?, &options)?)
            }
            Value::Array(items) => {
                let prompts = items.iter().map(|item| match item {
                    Value::String(text) => Ok(Prompt::from(text.as_str())),
                    _ => Prompt::chat(item),
                });
                arguments::output(self.run_batch(prompts.collect::<Result<Vec<_>>>()?, &options)?)
            }
            _ => Err(arguments::misshapen(&input, "a text, a chat or a list of them")),
        }?;
        Ok(Output { json, truncated: report.inputs(), ..Output::default() })
    }
}

/// A prompt, ready for the model.
struct Prepared {
    prompt: Prompt,
    ids: Vec<u32>,
    /// Whether the last message of a chat is continued.
    continues: bool,
    /// Whether there were more ids.
    is_cut: bool,
}

impl TextGenerationPipeline {
    fn prepare(&self, prompt: Prompt, options: &TextGenerationOptions) -> Result<Prepared> {
        options.check()?;
        let longest = self.longest_prompt(options);
        let (mut ids, whole, continues) = match &prompt {
            Prompt::Text(text) => {
                let prefix = options.prefix.as_deref().unwrap_or(&self.prefix);
                let text = format!("{prefix}{text}");
                let special = options.add_special_tokens.unwrap_or(true);
                let mut encode = EncodeOptions::default().add_special_tokens(special);
                let mut ids = self.tokenizer.encode_with(text.as_str(), &encode)?.ids;
                let whole = ids.len();
                if whole > longest {
                    // Special tokens stay.
                    encode.truncation = Some(Truncation::to(longest));
                    ids = self.tokenizer.encode_with(text.as_str(), &encode)?.ids;
                }
                (ids, whole, false)
            }
            Prompt::Chat(messages) => {
                let Some(last) = messages.last() else {
                    return Err(Error::input("the chat has no messages"));
                };
                prompt::check_contents(messages)?;
                let continues =
                    options.continue_final_message.unwrap_or_else(|| last.role() == "assistant");
                let mut chat = ChatOptions::default()
                    .add_generation_prompt(!continues)
                    .continue_final_message(continues)
                    .tools(options.tools.iter().flatten().cloned())
                    .documents(options.documents.iter().flatten().cloned());
                if options.truncation != Some(true) && options.handle_long_generation.is_none() {
                    chat = chat.max_bytes(self.tokenizer.most_bytes(self.model.limits().context));
                }
                for (name, value) in &options.template_variables {
                    chat = chat.variable(name, value.clone());
                }
                let mut ids = self.tokenizer.encode_chat(messages, &chat)?.encoding.ids;
                let whole = ids.len();
                match self.tokenizer.truncation_side() {
                    PaddingSide::Left => drop(ids.drain(..whole.saturating_sub(longest))),
                    PaddingSide::Right => ids.truncate(longest),
                }
                (ids, whole, continues)
            }
        };
        self.tokenizer.check_known(&ids, self.model.limits().vocab)?;
        if options.handle_long_generation == Some(LongGeneration::Hole) {
            self.make_room(&mut ids, options)?;
        }
        let is_cut = ids.len() < whole;
        if is_cut {
            warn(&format!("a prompt of {whole} tokens is cut to {}", ids.len()));
        }
        Ok(Prepared { prompt, ids, continues, is_cut })
    }

    /// Continues a prompt; `cached` gives a cache and the tokens in it, once nothing can be refused.
    fn stream_from(
        &self,
        prepared: &Prepared,
        options: &TextGenerationOptions,
        cached: impl FnOnce() -> (KvCache, Vec<u32>),
    ) -> Result<TextStream> {
        if let (true, Some(report)) = (prepared.is_cut, &options.truncation_report) {
            report.add(0);
        }
        let config = self.config(options)?;
        let plan = config.plan(&prepared.ids, self.model.limits(), Some(&self.tokenizer))?;
        let mut sequence = Sequence::new(&prepared.ids, plan)?;
        if let Some(cancel) = &options.cancel {
            sequence = sequence.with_cancel_handle(cancel.clone());
        }
        let (mut cache, cached) = cached();
        sequence.reuse(&*self.model, &mut cache, &cached)?;
        let tokens = TokenStream::new(self.model.clone(), cache, sequence)?;
        let skip_special = options.skip_special_tokens.unwrap_or(true);
        TextStream::new(tokens, self.tokenizer.decode_stream(skip_special))
    }

    /// The most tokens of a prompt that is not to be refused but cut.
    fn longest_prompt(&self, options: &TextGenerationOptions) -> usize {
        let context = self.model.limits().context;
        let longest = match (options.truncation, options.prompt_max_length) {
            (Some(false), _) | (None, None) => return usize::MAX,
            (_, Some(longest)) => Some(longest),
            (Some(true), None) => {
                options.generation.max_length.or_else(|| self.tokenizer.model_max_length())
            }
        };
        longest.unwrap_or(context).min(context)
    }

    /// The `hole` of `handle_long_generation`: the prompt loses its beginning.
    fn make_room(&self, ids: &mut Vec<u32>, options: &TextGenerationOptions) -> Result<()> {
        let refuse = |reason: &str| Error::option("handle_long_generation", reason);
        let config = &options.generation;
        let new = match (config.max_new_tokens, config.max_length.or(self.defaults.max_length)) {
            (Some(new), _) => new,
            (None, length) => {
                length.unwrap_or(GLOBAL_MAX_LENGTH).checked_sub(ids.len()).ok_or_else(|| {
                    refuse("the prompt is longer than `max_length`; set `max_new_tokens`")
                })?
            }
        };
        let context = self.model.limits().context;
        let limit = self.tokenizer.model_max_length().unwrap_or(context).min(context);
        let keep = limit.checked_sub(new).filter(|&keep| keep > 0).ok_or_else(|| {
            refuse(&format!("{new} new tokens alone do not fit the model's {limit}"))
        })?;
        ids.drain(..ids.len().saturating_sub(keep));
        Ok(())
    }

    /// The call's options over the pipeline's.
    fn config(&self, options: &TextGenerationOptions) -> Result<GenerationConfig> {
        let mut config = self.defaults.clone().overlaid(&options.generation);
        if let Some(sequence) = &options.stop_sequence {
            let encode = EncodeOptions::default().add_special_tokens(false);
            let ids = self.tokenizer.encode_with(sequence.as_str(), &encode)?.ids;
            config = config.eos_token_id(ids);
        }
        Ok(config)
    }

    /// `prompt` and `new` ids in the shape asked for. As in transformers, the text of the prompt is
    /// cut off from the text of all ids by its length in characters.
    fn record(
        &self,
        prepared: &Prepared,
        new: &[u32],
        options: &TextGenerationOptions,
    ) -> Result<Generated> {
        let all = [prepared.ids.as_slice(), new].concat();
        if options.return_tensors == Some(true) {
            return Ok(Generated::TokenIds(all));
        }
        let skip_special = options.skip_special_tokens.unwrap_or(true);
        let clean_up = options.clean_up_tokenization_spaces.unwrap_or(true);
        let decode = |ids: &[u32]| self.tokenizer.decode_with(ids, skip_special, clean_up);
        let prompt_length = decode(&prepared.ids)?.chars().count();
        let new: String = decode(&all)?.chars().skip(prompt_length).collect();
        if options.return_full_text == Some(false) {
            return Ok(Generated::Text(new));
        }
        Ok(match &prepared.prompt {
            Prompt::Text(text) => Generated::Text(format!("{text}{new}")),
            Prompt::Chat(messages) => Generated::Chat(answered(messages, new, prepared.continues)),
        })
    }
}

/// The length that transformers generates to where nobody says one.
const GLOBAL_MAX_LENGTH: usize = 20;

/// The chat with its answer: a new message, or the end of the last one.
fn answered(messages: &[Message], new: String, continues: bool) -> Vec<Message> {
    let mut messages = messages.to_vec();
    match messages.pop_if(|_| continues) {
        None => messages.push(Message::assistant(new)),
        Some(last) => {
            let text = format!("{}{new}", last.text());
            messages.push(Message::new(last.role(), text));
        }
    }
    messages
}
