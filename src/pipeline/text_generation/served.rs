//! Models that a service runs.

use std::thread;

use crate::batch::Budget;
use crate::error::{Error, Result};
use crate::generation::GenerationConfig;
use crate::options::LoadOptions;
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::pipeline::text_generation::output::{GeneratedOutput, GenerationDetails, answered};
use crate::pipeline::text_generation::prompt::check_contents;
use crate::pipeline::text_generation::{Generated, Prompt, TextGenerationOptions};
use crate::remote::{AnswerStream, Answers, Question, Service, refused};
use crate::source::remote::RemoteModel;

/// A model of a service, and the options of generation that a call's are laid over.
#[derive(Debug, Clone)]
pub(super) struct Served {
    service: Service,
    pub(super) defaults: GenerationConfig,
}

impl Served {
    pub(super) fn open(model: &RemoteModel, options: &LoadOptions) -> Result<Self> {
        if options.quantize.is_some() {
            return Err(Error::option(
                "quantize",
                "a service decides by itself how its weights are stored",
            ));
        }
        Ok(Self { service: Service::open(model)?, defaults: GenerationConfig::default() })
    }

    /// The error for what only a model has that is here.
    pub(super) fn has_no(&self, what: &str) -> Error {
        let (model, url) = (self.service.model(), self.service.base_url());
        Error::unsupported(format!(
            "{model:?} is run by the service at {url}, which gives out no {what}"
        ))
    }

    /// An answer, or the continuation of a text, piece by piece.
    pub(super) fn stream(
        &self,
        prompt: &Prompt,
        options: &TextGenerationOptions,
    ) -> Result<AnswerStream> {
        let mut generation = self.config(options);
        // A stream is one answer.
        generation.num_return_sequences = None;
        self.service.stream(&question(prompt, options)?.generation(generation))
    }

    /// The work of a call.
    pub(super) fn work(&self, options: &TextGenerationOptions) -> Result<Asking> {
        options.check()?;
        refuse(options)?;
        Ok(Asking { served: self.clone(), options: options.clone() })
    }

    fn config(&self, options: &TextGenerationOptions) -> GenerationConfig {
        self.defaults.clone().overlaid(&options.generation)
    }
}

/// What a service is asked, but for the options of generation.
fn question(prompt: &Prompt, options: &TextGenerationOptions) -> Result<Question> {
    options.check()?;
    refuse(options)?;
    let question = match prompt {
        Prompt::Text(text) => {
            if options.tools.is_some() {
                return Err(Error::option("tools", "a text calls none; give a chat"));
            }
            Question::text(format!("{}{text}", options.prefix.as_deref().unwrap_or_default()))
        }
        Prompt::Chat(messages) => {
            let Some(last) = messages.last() else {
                return Err(Error::input("the chat has no messages"));
            };
            check_contents(messages)?;
            let continues = options.continue_final_message;
            if continues.unwrap_or_else(|| last.role() == "assistant") {
                let reason = "a service answers a chat and does not continue its last message; end the chat \
                              with another role, or set it to false for a new message";
                return Err(Error::option("continue_final_message", reason));
            }
            Question::chat(messages).tools(options.tools.iter().flatten().cloned())
        }
    };
    let question = match &options.json_schema {
        Some(schema) => question.json_schema(schema.clone()),
        None => question,
    };
    Ok(match &options.cancel {
        Some(cancel) => question.cancel(cancel.clone()),
        None => question,
    })
}

/// Refuses what is done to the ids of tokens, or by a chat template.
fn refuse(options: &TextGenerationOptions) -> Result<()> {
    let o = options;
    let asked = [
        ("add_special_tokens", o.add_special_tokens.is_some()),
        ("clean_up_tokenization_spaces", o.clean_up_tokenization_spaces == Some(true)),
        ("documents", o.documents.is_some()),
        ("handle_long_generation", o.handle_long_generation.is_some()),
        ("response_format", o.response_format.is_some()),
        ("return_tensors", o.return_tensors == Some(true)),
        ("skip_special_tokens", o.skip_special_tokens == Some(false)),
        ("stop_sequence", o.stop_sequence.is_some()),
        ("truncation", o.truncation == Some(true)),
        ("tokenizer_encode_kwargs", o.prompt_max_length.is_some()),
        ("constraints", !o.constraints.is_empty()),
        ("logits_processor", !o.logits_processor.is_empty()),
        ("prefix_allowed_tokens_fn", o.prefix_allowed_tokens_fn.is_some()),
        ("sampler", o.sampler.is_some()),
        ("stopping_criteria", !o.stopping_criteria.is_empty()),
        ("chat_template_kwargs", !o.template_variables.is_empty()),
    ];
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        Some((name, _)) => Err(refused(name)),
        None => Ok(()),
    }
}

/// One call of the pipeline.
pub(super) struct Asking {
    served: Served,
    options: TextGenerationOptions,
}

/// A prompt, and what is asked.
pub(super) struct Asked {
    prompt: Prompt,
    question: Question,
}

impl Measured for Asked {
    fn length(&self) -> usize {
        self.prompt.length()
    }
}

impl Work for Asking {
    type Item = Prompt;
    type Kept = ();
    type Row = Asked;
    /// Or what went wrong with this prompt alone.
    type Answer = Result<Answers>;
    type Output = Vec<Generated>;

    /// `batch_size` requests at once.
    fn pace(&self, batch_size: Option<usize>) -> Pace {
        let items = batch_size.unwrap_or(1);
        let batch = Budget { rows: items, tokens: usize::MAX, may_be_loose: usize::MAX };
        Pace { items, length: usize::MAX, batch }
    }

    fn prepare(&self, prompt: Prompt) -> Result<((), Vec<Asked>)> {
        let generation = self.served.config(&self.options);
        let question = question(&prompt, &self.options)?.generation(generation);
        Ok(((), vec![Asked { prompt, question }]))
    }

    fn forward(&self, rows: &[&Asked]) -> Result<Vec<Self::Answer>> {
        let service = &self.served.service;
        if let [row] = rows {
            return Ok(vec![service.ask(&row.question)]);
        }
        let died = |_| Err(Error::input("the thread of a request died"));
        Ok(thread::scope(|scope| {
            let ask = |row: &&Asked| {
                let question = row.question.clone();
                scope.spawn(move || service.ask(&question))
            };
            let asked: Vec<_> = rows.iter().map(ask).collect();
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(died)).collect()
        }))
    }

    fn finish(&self, (): (), rows: Vec<(Asked, Self::Answer)>) -> Result<Vec<Generated>> {
        let mut records = Vec::new();
        let is_new_alone = self.options.return_full_text == Some(false);
        for (row, answers) in rows {
            let Answers { answers, timings, details, .. } = answers?;
            for ((response, finish_reason), served) in answers.into_iter().zip(details) {
                let output = match &row.prompt {
                    Prompt::Chat(_) if is_new_alone => {
                        GeneratedOutput::Chat(vec![response.to_message()])
                    }
                    Prompt::Chat(messages) => {
                        GeneratedOutput::Chat(answered(messages, &response, false))
                    }
                    Prompt::Text(_) if is_new_alone => GeneratedOutput::Text(response.content),
                    Prompt::Text(text) => {
                        GeneratedOutput::Text(format!("{text}{}", response.content))
                    }
                };
                let details = || GenerationDetails::served(finish_reason, timings, served);
                let details = (self.options.details == Some(true)).then(details);
                records.push(Generated { output, details });
            }
        }
        Ok(records)
    }
}
