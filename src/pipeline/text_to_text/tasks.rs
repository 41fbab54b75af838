//! The three pipelines.

use std::sync::Arc;

use serde_json::Value;

use crate::error::Result;
use crate::generation::{GenerationConfig, TextStream};
use crate::models::Seq2SeqLm;
use crate::options::LoadOptions;
use crate::pipeline::arguments;
use crate::pipeline::skeleton::{self, Items, TaskSteps, WorkOf};
use crate::pipeline::text_to_text::work::Writing;
use crate::pipeline::text_to_text::{Kind, TextToText, TextToTextOptions, WrittenText};
use crate::source::ModelFiles;
use crate::tokenizer::Tokenizer;

/// Declares the pipeline of a task, which is a [`TextToText`] of a kind.
macro_rules! text_to_text {
    ($(#[$about:meta])* $name:ident, $kind:ident) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        pub struct $name(TextToText);

        impl $name {
            /// A pipeline of a loaded model and tokenizer; both stay shared. The tokenizer's special tokens
            /// end texts; [`with_generation_config`](Self::with_generation_config) says more.
            #[must_use]
            pub fn from_parts(model: Arc<dyn Seq2SeqLm>, tokenizer: Tokenizer) -> Self {
                Self(TextToText::of(Kind::$kind, model, tokenizer))
            }

            pub(in crate::pipeline) fn load(
                files: &ModelFiles,
                options: &LoadOptions,
            ) -> Result<Self> {
                TextToText::load(Kind::$kind, files, options).map(Self)
            }

            /// The model, for sharing or inspection.
            #[must_use]
            pub fn model(&self) -> &Arc<dyn Seq2SeqLm> {
                &self.0.model
            }

            /// The tokenizer.
            #[must_use]
            pub fn tokenizer(&self) -> &Tokenizer {
                &self.0.tokenizer
            }

            /// The options of generation that a call's are laid over.
            #[must_use]
            pub fn generation_config(&self) -> &GenerationConfig {
                &self.0.defaults
            }

            /// The same pipeline with other options of generation for a call's to be laid over.
            #[must_use]
            pub fn with_generation_config(self, defaults: GenerationConfig) -> Self {
                Self(TextToText { defaults, ..self.0 })
            }

            /// What goes before every text: `prefix` of the model's config.json, or of its
            /// `task_specific_params`.
            #[must_use]
            pub fn prefix(&self) -> &str {
                &self.0.prefix
            }

            /// The same pipeline with another prefix.
            #[must_use]
            pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
                Self(TextToText { prefix: prefix.into(), ..self.0 })
            }

            /// What becomes of a text, piece by piece, as it is generated. There is one beam.
            ///
            /// # Errors
            ///
            /// When the text is empty, or longer than the model reads.
            pub fn stream_text(&self, text: impl AsRef<str>) -> Result<TextStream> {
                self.stream_text_with(text, &TextToTextOptions::default())
            }

            /// As [`stream_text`](Self::stream_text), with options. Those that shape the output of
            /// [`run`](Self::run) (`return_tensors`, `num_return_sequences`, …) do not apply.
            ///
            /// # Errors
            ///
            /// As there, and when an option is invalid, such as `num_beams` above 1.
            pub fn stream_text_with(
                &self,
                text: impl AsRef<str>,
                options: &TextToTextOptions,
            ) -> Result<TextStream> {
                self.0.stream_text(text.as_ref(), options)
            }
        }

        impl TaskSteps for $name {
            type Input = String;
            type Output = Vec<WrittenText>;
            type Options = TextToTextOptions;

            fn work(&self, options: &TextToTextOptions) -> Result<impl WorkOf<Self> + use<>> {
                Writing::new(&self.0, options)
            }

            fn read_input(&self, input: &Value, _: &TextToTextOptions) -> Result<Items<String>> {
                Items::texts(input)
            }

            fn write_output(&self, output: Self::Output, _: &TextToTextOptions) -> Result<Value> {
                let name = Kind::$kind.return_name();
                output.into_iter().map(|one| one.into_record(name)).collect()
            }

            /// A list of texts of which each becomes one gives their records in one list.
            fn answer(&self, input: &Value, options: &TextToTextOptions) -> Result<Option<Value>> {
                let Value::Array(_) = input else { return Ok(None) };
                let (Items::Many(texts), name) =
                    (self.read_input(input, options)?, Kind::$kind.return_name())
                else {
                    return Ok(None);
                };
                let outputs = skeleton::stream(self, texts, options)?.map(|output| {
                    let records = output?.into_iter().map(|one| one.into_record(name));
                    arguments::one_or_more(records.collect::<Result<_>>()?)
                });
                outputs.collect::<Result<Value>>().map(Some)
            }

            text_to_text!(@languages $kind);
        }
    };
    (@languages Translation) => {
        fn for_languages(self, source: &str, target: &str) -> Result<Self> {
            self.between(source, target)
        }
    };
    (@languages $kind:ident) => {};
}

text_to_text! {
    /// Summarizes texts with an encoder-decoder.
    ///
    /// Options of generation come from five places, and later ones override earlier ones: transformers'
    /// defaults; the model's `generation_config.json`; the defaults of this pipeline (`num_beams` 4, and
    /// `max_new_tokens` 256 unless the model states a length); `task_specific_params` of the model's
    /// config.json; the call.
    ///
    /// [`run`](Self::run) gives `num_return_sequences` records for a text, one unless asked otherwise.
    ///
    #[doc = include_str!("../../../docs/tasks/summarization.md")]
    SummarizationPipeline, Summarization
}

text_to_text! {
    /// Translates texts with an encoder-decoder.
    ///
    /// Options of generation come from the same places as those of
    /// [`SummarizationPipeline`](super::SummarizationPipeline).
    ///
    #[doc = include_str!("../../../docs/tasks/translation.md")]
    TranslationPipeline, Translation
}

text_to_text! {
    /// Makes texts of texts with an encoder-decoder: whatever the model was trained for.
    ///
    /// Options of generation come from the same places as those of
    /// [`SummarizationPipeline`](super::SummarizationPipeline).
    ///
    #[doc = include_str!("../../../docs/tasks/text2text-generation.md")]
    Text2TextGenerationPipeline, Text2Text
}

impl TranslationPipeline {
    /// The pipeline of `translation_xx_to_yy`: with the prefix and the options that the model names for
    /// that task, and from and to these languages where the model knows languages and a call names none.
    ///
    /// # Errors
    ///
    /// When config.json names a value of the wrong type for that task.
    pub fn between(self, source: &str, target: &str) -> Result<Self> {
        self.0.for_languages(source, target).map(Self)
    }
}
