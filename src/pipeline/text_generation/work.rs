//! Prompts through the model, as the flow of all tasks brings them.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::batch::Budget;
use crate::error::Result;
use crate::generation::{self, GenerationConfig, Plan, Sequence, complete};
use crate::models::Autoregressive;
use crate::pipeline::arguments;
#[cfg(feature = "remote")]
use crate::pipeline::either::Either;
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::pipeline::text_generation::output::{GeneratedOutput, GenerationDetails, answered};
use crate::pipeline::text_generation::prepare::Prepared;
use crate::pipeline::text_generation::{
    Engine, Generated, Local, Prompt, TextGenerationOptions, TextGenerationPipeline,
};
use crate::tokenizer::chat::{Response, ResponseFormat};
use crate::warning::warn;

impl TaskSteps for TextGenerationPipeline {
    type Input = Prompt;
    type Output = Vec<Generated>;
    type Options = TextGenerationOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        match &self.engine {
            #[cfg(not(feature = "remote"))]
            Engine::Local(local) => local.work(options),
            #[cfg(feature = "remote")]
            Engine::Local(local) => local.work(options).map(Either::Here),
            #[cfg(feature = "remote")]
            Engine::Served(served) => served.work(options).map(Either::There),
        }
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<Prompt>> {
        let prompt = |item: &Value| match item {
            Value::String(text) => Ok(Prompt::from(text.as_str())),
            _ => Prompt::chat(item),
        };
        Ok(match input {
            Value::String(text) => Items::One(text.as_str().into()),
            Value::Array(items) if items.first().is_some_and(Value::is_object) => {
                Items::One(Prompt::chat(input)?)
            }
            Value::Array(items) => {
                Items::many(items.iter().map(prompt).collect::<Result<Vec<_>>>()?)
            }
            _ => return Err(arguments::misshapen(input, "a text, a chat or a list of them")),
        })
    }
}

impl Local {
    fn work(&self, options: &TextGenerationOptions) -> Result<Continuation> {
        options.check_here()?;
        let config = self.config(options)?;
        config.warn_of_what_has_no_effect();
        if self.assistant.is_some() && config.mode().has_beams() {
            warn("the assistant model has no effect with beams");
        }
        Ok(Continuation { local: self.clone(), options: options.clone(), config })
    }
}

/// One call of the pipeline.
struct Continuation {
    local: Local,
    options: TextGenerationOptions,
    /// The call's options over the pipeline's.
    config: GenerationConfig,
}

/// A prompt, ready for the model, and how it is continued.
struct Row {
    prepared: Prepared,
    plan: Plan,
}

impl Measured for Prompt {
    fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Chat(messages) => messages.iter().map(|message| message.text().len()).sum(),
        }
    }
}

impl Measured for Row {
    fn length(&self) -> usize {
        self.prepared.ids.len()
    }

    fn is_cut(&self) -> bool {
        self.prepared.ids.len() < self.prepared.whole
    }
}

impl Work for Continuation {
    type Item = Prompt;
    type Kept = ();
    type Row = Row;
    /// As many as `num_return_sequences` says; or what went wrong with this prompt alone.
    type Answer = Result<Vec<generation::Generated>>;
    type Output = Vec<Generated>;

    /// As many prompts as the caller allows for, and no more: what they take grows with their answers.
    fn pace(&self, batch_size: Option<usize>) -> Pace {
        let items = batch_size.unwrap_or(1);
        let batch = Budget { rows: items, tokens: usize::MAX, may_be_loose: usize::MAX };
        Pace { items, length: usize::MAX, batch }
    }

    fn prepare(&self, prompt: Prompt) -> Result<((), Vec<Row>)> {
        let prepared = self.local.prepare(prompt, &self.options)?;
        let plan = self.local.plan(&prepared.ids, &self.config, &self.options)?;
        Ok(((), vec![Row { prepared, plan }]))
    }

    fn forward(&self, rows: &[&Row]) -> Result<Vec<Self::Answer>> {
        let started = Instant::now();
        let each = self.config.sequences_per_prompt();
        let cancel = self.options.cancel.clone().unwrap_or_default();
        let sequences = rows.iter().flat_map(|row| {
            // What a prompt is answered does not depend on what stands beside it.
            let seed = self.config.seed.unwrap_or_else(rand::random);
            let cancel = &cancel;
            (0..each).map(move |answer| {
                let plan = row.plan.clone().with_seed(seed.wrapping_add(answer as u64));
                let sequence = Sequence::new(&row.prepared.ids, plan.counting_from(started))?;
                let sequence = sequence.with_cancel_handle(cancel.clone());
                self.local.drafted(sequence, &self.config)
            })
        });
        let model: Arc<dyn Autoregressive> = self.local.model.clone();
        let mut answers = complete(&model, &self.local.model.new_cache(), sequences)?.into_iter();
        let mut answer = || {
            let lists = answers.by_ref().take(each).collect::<Result<Vec<_>>>();
            lists.map(|lists| lists.into_iter().flatten().collect())
        };
        Ok(rows.iter().map(|_| answer()).collect())
    }

    fn finish(&self, (): (), rows: Vec<(Row, Self::Answer)>) -> Result<Vec<Generated>> {
        let mut records = Vec::new();
        for (row, answers) in rows {
            for answer in answers? {
                let output = self.output(&row.prepared, &answer.ids())?;
                let dropped = row.prepared.dropped.clone();
                let details = || GenerationDetails::new(answer, dropped);
                let details = (self.options.details == Some(true)).then(details);
                records.push(Generated { output, details });
            }
        }
        Ok(records)
    }
}

impl Continuation {
    /// `prompt` and `new` ids in the shape asked for. As in transformers, the text of the prompt is
    /// cut off from the text of all ids by its length in characters.
    fn output(&self, prepared: &Prepared, new: &[u32]) -> Result<GeneratedOutput> {
        let options = &self.options;
        let all = [prepared.ids.as_slice(), new].concat();
        if options.return_tensors == Some(true) {
            return Ok(GeneratedOutput::TokenIds(all));
        }
        if let (Some(format), Prompt::Chat(messages)) = (options.response_format, &prepared.prompt)
        {
            let response = self.local.response(prepared, new, format, options)?;
            let messages = match options.return_full_text {
                Some(false) => vec![response.to_message()],
                _ => answered(messages, &response, prepared.continues),
            };
            return Ok(GeneratedOutput::Chat(messages));
        }
        let skip_special = options.skip_special_tokens.unwrap_or(true);
        let clean_up = options.clean_up_tokenization_spaces.unwrap_or(true);
        let tokenizer = &self.local.tokenizer;
        let decode = |ids: &[u32]| tokenizer.decode_with(ids, skip_special, clean_up);
        let said = prepared.unhealed.as_ref().unwrap_or(&prepared.ids);
        let prompt_length = decode(said)?.chars().count();
        let new: String = decode(&all)?.chars().skip(prompt_length).collect();
        if options.return_full_text == Some(false) {
            return Ok(GeneratedOutput::Text(new));
        }
        Ok(match &prepared.prompt {
            Prompt::Text(text) => GeneratedOutput::Text(format!("{text}{new}")),
            Prompt::Chat(messages) => {
                let answer = Response::parse(&new, ResponseFormat::PLAIN);
                GeneratedOutput::Chat(answered(messages, &answer, prepared.continues))
            }
        })
    }
}
