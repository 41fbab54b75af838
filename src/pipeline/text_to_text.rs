//! `summarization`, `translation` and `text2text-generation`: a text becomes another.
//!
//! Mirrors `pipelines/text2text_generation.py` of transformers 4.57, the last version that has it.

mod options;
mod output;
mod prepare;
pub(super) mod sentences;
mod stream;
mod tasks;
mod work;

use std::sync::Arc;

pub use options::TextToTextOptions;
pub use output::{WrittenOutput, WrittenText};
pub use tasks::{SummarizationPipeline, Text2TextGenerationPipeline, TranslationPipeline};

use crate::error::{Error, Result};
use crate::generation::{GenerationConfig, NO_TEXT_TO_HEAL, Plan, TasksParams};
use crate::models::{AutoModel, Seq2SeqLm};
use crate::options::LoadOptions;
use crate::pipeline::arguments;
use crate::source::ModelFiles;
use crate::tokenizer::{EncodeOptions, Tokenizer};
use crate::warning::warn;

/// Which of the three tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text2Text,
    Summarization,
    Translation,
}

/// What the three tasks share.
#[derive(Debug, Clone)]
struct TextToText {
    kind: Kind,
    model: Arc<dyn Seq2SeqLm>,
    tokenizer: Tokenizer,
    /// What the model and the pipeline say about generation.
    stored: GenerationConfig,
    /// What config.json says for each task.
    params: Arc<TasksParams>,
    /// Those in the task's name.
    languages: Option<(String, String)>,
    /// The task of the model that a translation without languages is taken for.
    taken_for: Option<String>,
    defaults: GenerationConfig,
    /// Goes before every text.
    prefix: String,
}

impl Kind {
    /// The name of the task.
    fn name(self) -> &'static str {
        match self {
            Self::Text2Text => "text2text-generation",
            Self::Summarization => "summarization",
            Self::Translation => "translation",
        }
    }

    /// What the fields of the output begin with.
    fn return_name(self) -> &'static str {
        match self {
            Self::Text2Text => "generated",
            Self::Summarization => "summary",
            Self::Translation => "translation",
        }
    }
}

impl TextToText {
    fn of(kind: Kind, model: Arc<dyn Seq2SeqLm>, tokenizer: Tokenizer) -> Self {
        let stored = own_defaults(&GenerationConfig::from_tokenizer(&tokenizer));
        let defaults = stored.clone();
        Self {
            kind,
            model,
            tokenizer,
            stored,
            params: Arc::default(),
            languages: None,
            taken_for: None,
            defaults,
            prefix: String::new(),
        }
    }

    fn load(kind: Kind, files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::from_files::<dyn Seq2SeqLm>(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        let stored = own_defaults(&GenerationConfig::from_files(files, &tokenizer)?);
        let params = Arc::new(TasksParams::open(files)?);
        let loaded = Self { stored, params, ..Self::of(kind, model, tokenizer) };
        // As transformers' `pipeline` does.
        let taken_for = match kind {
            Kind::Translation => loaded.params.named("translation").map(str::to_owned),
            Kind::Text2Text | Kind::Summarization => None,
        };
        let task = taken_for.as_deref().unwrap_or_else(|| kind.name());
        let languages = match task.split('_').collect::<Vec<_>>().as_slice() {
            [_, source, _, target] => Some(((*source).to_owned(), (*target).to_owned())),
            _ => None,
        };
        Ok(Self { languages, taken_for: taken_for.clone(), ..loaded.with_params_of(task)? })
    }

    /// The options of generation and the prefix that the model names for a task.
    fn with_params_of(self, task: &str) -> Result<Self> {
        let params = self.params.of(task)?;
        let defaults = self.stored.clone().overlaid(&params.generation);
        Ok(Self { defaults, prefix: params.prefix.unwrap_or_default(), ..self })
    }

    /// The pipeline of `translation_xx_to_yy`.
    fn for_languages(self, source: &str, target: &str) -> Result<Self> {
        let named = self.with_params_of(&format!("translation_{source}_to_{target}"))?;
        let languages = Some((source.to_owned(), target.to_owned()));
        Ok(Self { languages, taken_for: None, ..named })
    }

    /// The call's options over the pipeline's.
    fn config(&self, options: &TextToTextOptions) -> Result<GenerationConfig> {
        let mut config = self.defaults.clone().overlaid(&options.generation);
        if config.token_healing == Some(true) {
            return Err(Error::option("token_healing", NO_TEXT_TO_HEAL));
        }
        config.warn_of_what_has_no_effect();
        if let (Some(new), Some(_), None) = (
            config.max_new_tokens,
            options.generation.max_length,
            options.generation.max_new_tokens,
        ) {
            warn(&format!(
                "`max_new_tokens`, which is {new} by default, goes before `max_length`: set it"
            ));
        }
        if let Some(sequence) = &options.stop_sequence {
            let encode = EncodeOptions::default().add_special_tokens(false);
            let ids = self.tokenizer.encode_with(sequence.as_str(), &encode)?.ids;
            let [first, rest @ ..] = ids.as_slice() else {
                return Err(Error::option("stop_sequence", "has no tokens"));
            };
            if !rest.is_empty() {
                warn(
                    "of a stop sequence of several tokens only the first ends the text: use `stop_strings`",
                );
            }
            config = config.eos_token_id(vec![*first]);
        }
        Ok(config)
    }

    /// What the decoder begins with.
    fn start(&self, config: &GenerationConfig) -> Result<u32> {
        let start = config.decoder_start_token_id.or_else(|| self.model.start_id());
        start.or(config.bos_token_id).ok_or_else(|| {
            let reason = "the model names no token to begin with: set it";
            Error::option("decoder_start_token_id", reason)
        })
    }

    /// How the decoder goes on after `start`.
    fn plan(
        &self,
        start: u32,
        source: &[u32],
        config: &GenerationConfig,
        options: &TextToTextOptions,
    ) -> Result<Plan> {
        let (limits, tokenizer) = (self.model.limits(), Some(&self.tokenizer));
        let mut plan = config.plan_with_source(&[start], source, limits, tokenizer)?;
        for processor in &options.logits_processor {
            plan = plan.with_processor(processor.clone());
        }
        for criterion in &options.stopping_criteria {
            plan = plan.with_stopping_criterion(criterion.clone());
        }
        Ok(plan)
    }
}

/// What the model says, and over it the defaults of the pipelines: transformers lets its pipelines' win.
fn own_defaults(stored: &GenerationConfig) -> GenerationConfig {
    stored.clone().overlaid(&arguments::generation_defaults(stored, NUM_BEAMS))
}

/// Beams of the Python pipelines.
const NUM_BEAMS: usize = 4;
