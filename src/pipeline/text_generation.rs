//! `text-generation`: continues a text or a chat.
//!
//! Mirrors `pipelines/text_generation.py` of transformers 4.57.

mod assistant;
mod drafted;
mod options;
mod output;
mod prepare;
mod prompt;
mod roll;
#[cfg(feature = "remote")]
mod served;
mod session;
mod stream;
mod work;

use std::sync::Arc;

pub use options::{LongGeneration, TextGenerationOptions};
pub use output::{Generated, GeneratedOutput, GenerationDetails};
pub use prompt::Prompt;
#[cfg(feature = "remote")]
use served::Served;
pub use session::{ChatReply, ChatSession};

use crate::error::Result;
use crate::generation::{GenerationConfig, Plan, TaskParams};
use crate::models::{AutoModel, CausalLm};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::tokenizer::{EncodeOptions, Tokenizer};
use assistant::Assistant;

/// Continues a text or a chat with a decoder-only language model, here or at a
/// [service](crate::source::remote).
///
/// Generation options come from five places, and later ones override earlier ones: transformers'
/// defaults; the model's `generation_config.json`; the defaults of this pipeline (`max_new_tokens`
/// 256, `do_sample`, `temperature` 0.7); `task_specific_params` of the model's config.json; the
/// call.
///
/// [`run`](Self::run) gives `num_return_sequences` records for a prompt, one unless asked otherwise.
///
#[doc = include_str!("../../docs/tasks/text-generation.md")]
#[derive(Debug, Clone)]
pub struct TextGenerationPipeline {
    engine: Engine,
}

/// Where the model is.
#[derive(Debug, Clone)]
enum Engine {
    Local(Box<Local>),
    #[cfg(feature = "remote")]
    Served(Box<Served>),
}

/// A model that is computed here.
#[derive(Debug, Clone)]
struct Local {
    model: Arc<dyn CausalLm>,
    tokenizer: Tokenizer,
    defaults: GenerationConfig,
    /// Goes before every text, unless the call says otherwise.
    prefix: String,
    /// Drafts the answers.
    assistant: Option<Assistant>,
}

impl TextGenerationPipeline {
    /// The options of generation that a call's are laid over.
    #[must_use]
    pub fn generation_config(&self) -> &GenerationConfig {
        match &self.engine {
            Engine::Local(local) => &local.defaults,
            #[cfg(feature = "remote")]
            Engine::Served(served) => &served.defaults,
        }
    }

    /// The same pipeline with other options of generation for a call's to be laid over.
    #[must_use]
    pub fn with_generation_config(mut self, defaults: GenerationConfig) -> Self {
        match &mut self.engine {
            Engine::Local(local) => local.defaults = defaults,
            #[cfg(feature = "remote")]
            Engine::Served(served) => served.defaults = defaults,
        }
        self
    }

    /// A pipeline of a loaded model and tokenizer; both stay shared. The tokenizer's special tokens
    /// end answers; [`with_generation_config`](Self::with_generation_config) says more.
    #[must_use]
    pub fn from_parts(model: Arc<dyn CausalLm>, tokenizer: Tokenizer) -> Self {
        let defaults = own_defaults(&GenerationConfig::from_tokenizer(&tokenizer));
        let prefix = String::new();
        Local { model, tokenizer, defaults, prefix, assistant: None }.into()
    }

    /// The model, for sharing or inspection.
    ///
    /// # Errors
    ///
    /// When the model is run by a service.
    pub fn model(&self) -> Result<&Arc<dyn CausalLm>> {
        Ok(&self.local("model")?.model)
    }

    /// The tokenizer.
    ///
    /// # Errors
    ///
    /// When the model is run by a service.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        Ok(&self.local("tokenizer")?.tokenizer)
    }

    #[cfg_attr(not(feature = "remote"), expect(clippy::unnecessary_wraps, reason = "services"))]
    fn local(&self, _what: &str) -> Result<&Local> {
        match &self.engine {
            Engine::Local(local) => Ok(local),
            #[cfg(feature = "remote")]
            Engine::Served(served) => Err(served.has_no(_what)),
        }
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        #[cfg(feature = "remote")]
        if let Some(model) = files.remote() {
            return Ok(Self { engine: Engine::Served(Box::new(Served::open(model, options)?)) });
        }
        Local::load(files, options).map(Self::from)
    }
}

impl From<Local> for TextGenerationPipeline {
    fn from(local: Local) -> Self {
        Self { engine: Engine::Local(Box::new(local)) }
    }
}

impl Local {
    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::from_files::<dyn CausalLm>(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        let stored = GenerationConfig::from_files(files, &tokenizer)?;
        let task = TaskParams::read(files, "text-generation")?;
        let defaults = own_defaults(&stored).overlaid(&task.generation);
        let prefix = task.prefix.unwrap_or_default();
        Ok(Self { model, tokenizer, defaults, prefix, assistant: None })
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

    /// How a prompt is continued.
    fn plan(
        &self,
        prompt: &[u32],
        config: &GenerationConfig,
        options: &TextGenerationOptions,
    ) -> Result<Plan> {
        let mut plan = config.plan(prompt, self.model.limits(), Some(&self.tokenizer))?;
        if let Some(allowed) = &options.prefix_allowed_tokens_fn {
            plan = plan.with_prefix_allowed_tokens(allowed.clone());
        }
        if let Some(sampler) = &options.sampler {
            plan = plan.with_sampler(sampler.clone());
        }
        for constraint in &options.constraints {
            plan = plan.with_constraint(constraint.clone())?;
        }
        for processor in &options.logits_processor {
            plan = plan.with_processor(processor.clone());
        }
        for criterion in &options.stopping_criteria {
            plan = plan.with_stopping_criterion(criterion.clone());
        }
        Ok(plan)
    }
}

/// What the model says, and over it the defaults of the pipeline: transformers lets its pipeline's
/// win, but for a length that the model states.
fn own_defaults(stored: &GenerationConfig) -> GenerationConfig {
    let pipeline = GenerationConfig::default().do_sample(true).temperature(0.7);
    let pipeline = match stored.max_length {
        Some(length) if length != GLOBAL_MAX_LENGTH => pipeline,
        _ => pipeline.max_new_tokens(256),
    };
    stored.clone().overlaid(&pipeline)
}

/// The length that transformers generates to where nobody says one.
const GLOBAL_MAX_LENGTH: usize = 20;
