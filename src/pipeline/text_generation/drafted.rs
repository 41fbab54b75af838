//! Answers that a second, smaller model drafts.

use std::sync::Arc;

use crate::error::Result;
use crate::generation::{GenerationConfig, Sequence};
use crate::models::{AutoModel, CausalLm};
use crate::options::LoadOptions;
use crate::pipeline::builder::PipelineBuilder;
use crate::pipeline::text_generation::assistant::Assistant;
use crate::pipeline::text_generation::{Local, TextGenerationPipeline};
use crate::source::ModelSource;
use crate::tokenizer::Tokenizer;

impl TextGenerationPipeline {
    /// Lets a smaller model draft answers ([`DraftModel`](crate::generation::DraftModel)): `assistant_model`
    /// and `assistant_tokenizer` of Python's pipeline. Answers stay the same; whether they come faster is measured while they are
    /// computed, and where drafts do not pay none are made. With beams, and where the options say that
    /// drafts are looked up or made by an early exit, it is not asked.
    ///
    /// The tokenizers are the same if the vocabularies of both models have one size and the tokenizers agree
    /// in the tokens that begin, end and pad a text. If not, text is translated between them.
    ///
    /// ```
    /// use sconce::Pipeline;
    /// use sconce::generation::GenerationConfig;
    ///
    /// let small = Pipeline::text_generation("./tests/goldens/llama-gqa-tiny").build()?;
    /// let plain = Pipeline::text_generation("./tests/goldens/llama-tiny").build()?;
    /// let drafted = plain.clone().with_assistant(small.model()?.clone(), small.tokenizer()?.clone())?;
    /// let greedy = GenerationConfig::default().do_sample(false).max_new_tokens(8).into();
    /// assert_eq!(plain.run_with("Hello", &greedy)?, drafted.run_with("Hello", &greedy)?);
    /// # Ok::<(), sconce::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the model is run by a service.
    pub fn with_assistant(self, model: Arc<dyn CausalLm>, tokenizer: Tokenizer) -> Result<Self> {
        self.assisted_by(model, tokenizer, GenerationConfig::default())
    }

    fn assisted_by(
        self,
        model: Arc<dyn CausalLm>,
        tokenizer: Tokenizer,
        defaults: GenerationConfig,
    ) -> Result<Self> {
        let local = self.local("assistant model")?.clone();
        let ids = |tokenizer: &Tokenizer| {
            [tokenizer.bos_token(), tokenizer.eos_token(), tokenizer.pad_token()]
                .map(|token| token.map(|token| token.id))
        };
        let is_same = model.limits().vocab == local.model.limits().vocab
            && ids(&tokenizer) == ids(&local.tokenizer);
        let tokenizer = Some(tokenizer).filter(|_| !is_same);
        let assistant = Some(Assistant { model, tokenizer, defaults });
        Ok(Local { assistant, ..local }.into())
    }
}

impl Local {
    /// The sequence with drafts, if a model makes them.
    pub(super) fn drafted(
        &self,
        sequence: Sequence,
        config: &GenerationConfig,
    ) -> Result<Sequence> {
        let looks_up = config.prompt_lookup_num_tokens.is_some();
        let Some(assistant) = &self.assistant else { return Ok(sequence) };
        if looks_up || config.assistant_early_exit.is_some() || config.mode().has_beams() {
            return Ok(sequence);
        }
        let drafter = assistant.drafter(&*self.model, &self.tokenizer, config)?;
        Ok(sequence.with_drafter(drafter))
    }
}

impl PipelineBuilder<TextGenerationPipeline> {
    /// Loads a second, smaller model with the same options, which drafts the answers:
    /// [`TextGenerationPipeline::with_assistant`]. How it drafts says its own `generation_config.json`, and the
    /// call.
    ///
    /// ```no_run
    /// use sconce::Pipeline;
    ///
    /// let pipeline = Pipeline::text_generation("HuggingFaceTB/SmolLM2-1.7B-Instruct")
    ///     .assistant_model("HuggingFaceTB/SmolLM2-135M-Instruct")
    ///     .build()?;
    /// # Ok::<(), sconce::Error>(())
    /// ```
    #[must_use]
    pub fn assistant_model(self, source: impl Into<ModelSource>) -> Self {
        let source = source.into();
        self.then(move |pipeline, options| pipeline.open_assistant(&source, options))
    }
}

impl TextGenerationPipeline {
    fn open_assistant(self, source: &ModelSource, options: &LoadOptions) -> Result<Self> {
        let files = source.open()?;
        let model = AutoModel::from_files::<dyn CausalLm>(&files, options)?;
        let tokenizer = Tokenizer::from_files(&files)?;
        let stored = GenerationConfig::from_files(&files, &tokenizer)?;
        self.assisted_by(model, tokenizer, stored)
    }
}
