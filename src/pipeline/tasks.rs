//! The table of tasks.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::error::{Error, Result, none_of};
use crate::options::LoadOptions;
use crate::pipeline::PipelineBuilder;
use crate::pipeline::TaskPipeline;
use crate::pipeline::feature_extraction::FeatureExtractionPipeline;
use crate::pipeline::fill_mask::FillMaskPipeline;
use crate::pipeline::json;
use crate::pipeline::question_answering::QuestionAnsweringPipeline;
use crate::pipeline::sentence_similarity::SentenceSimilarityPipeline;
use crate::pipeline::text_classification::TextClassificationPipeline;
use crate::pipeline::text_generation::TextGenerationPipeline;
use crate::pipeline::text_ranking::TextRankingPipeline;
use crate::pipeline::token_classification::TokenClassificationPipeline;
use crate::pipeline::truncation::TruncationReport;
use crate::pipeline::zero_shot_classification::ZeroShotClassificationPipeline;
use crate::source::ModelSource;

/// Expands the table to [`Task`], its names, the [`Pipeline`] enum and what dispatches over it.
macro_rules! tasks {
    ($($(#[$doc:meta])* $variant:ident($pipeline:ty), $name:literal, aliases [$($alias:literal),*];)+) => {
        /// A task, by its Hugging Face name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Task { $($(#[$doc])* $variant),+ }

        impl Task {
            /// Every task.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The Hugging Face name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Other names that Hugging Face accepts for it.
            #[must_use]
            pub const fn aliases(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($alias),*]),+ }
            }
        }

        /// A loaded pipeline whose task was chosen at run time.
        #[derive(Debug)]
        #[non_exhaustive]
        #[expect(clippy::large_enum_variant, reason = "half a kilobyte beside a model is nothing")]
        pub enum Pipeline { $($(#[$doc])* $variant($pipeline)),+ }

        impl Pipeline {
            /// Loads the pipeline of a task.
            ///
            /// # Errors
            ///
            /// As [`PipelineBuilder::build`].
            pub fn load(
                task: Task,
                source: impl Into<ModelSource>,
                options: LoadOptions,
            ) -> Result<Self> {
                match task {
                    $(Task::$variant => PipelineBuilder::<$pipeline>::new(source)
                        .options(options)
                        .build()
                        .map(Self::$variant)),+
                }
            }

            /// The task it does.
            #[must_use]
            pub fn task(&self) -> Task {
                match self { $(Self::$variant(_) => Task::$variant),+ }
            }

            /// Runs the task on JSON, in the shapes of the Python pipeline of that name: `input`
            /// is one item or a list of them, `options` are its keyword arguments.
            ///
            /// # Errors
            ///
            /// When an option or the input has a wrong name, type or value, or the model fails.
            pub fn call(&self, input: &Value, options: Map<String, Value>) -> Result<Value> {
                self.call_reporting(input, options, &TruncationReport::default())
            }

            /// As [`call`](Self::call); the report gets the numbers of the inputs that are cut.
            ///
            /// # Errors
            ///
            /// As there.
            pub fn call_reporting(
                &self,
                input: &Value,
                mut options: Map<String, Value>,
                report: &TruncationReport,
            ) -> Result<Value> {
                // Of Python's data loader; texts are tokenized on a thread of their own here.
                let _not_needed: Option<usize> = json::take(&mut options, "num_workers")?;
                match self { $(Self::$variant(pipeline) => pipeline.call(input, options, report)),+ }
            }
        }

        $(impl From<$pipeline> for Pipeline {
            fn from(pipeline: $pipeline) -> Self {
                Self::$variant(pipeline)
            }
        })+
    };
}

tasks! {
    /// Gives the hidden vectors of texts.
    FeatureExtraction(FeatureExtractionPipeline), "feature-extraction", aliases [];
    /// Says which tokens fit where a text has a mask.
    FillMask(FillMaskPipeline), "fill-mask", aliases [];
    /// Answers questions from texts.
    QuestionAnswering(QuestionAnsweringPipeline), "question-answering", aliases [];
    /// Gives one vector per text, and says how alike texts are.
    SentenceSimilarity(SentenceSimilarityPipeline), "sentence-similarity",
        aliases ["embeddings"];
    /// Says which label fits a text or a pair of texts.
    TextClassification(TextClassificationPipeline), "text-classification",
        aliases ["sentiment-analysis"];
    /// Continues a text or a chat with a decoder-only language model.
    TextGeneration(TextGenerationPipeline), "text-generation", aliases [];
    /// Orders documents by how well they answer a query.
    TextRanking(TextRankingPipeline), "text-ranking", aliases [];
    /// Finds the entities of texts.
    TokenClassification(TokenClassificationPipeline), "token-classification", aliases ["ner"];
    /// Says which of any labels fits a text.
    ZeroShotClassification(ZeroShotClassificationPipeline), "zero-shot-classification", aliases [];
}

impl Pipeline {
    /// Continues a text or a chat with a decoder-only language model.
    #[must_use]
    pub fn text_generation(
        source: impl Into<ModelSource>,
    ) -> PipelineBuilder<TextGenerationPipeline> {
        PipelineBuilder::new(source)
    }

    /// Gives the hidden vectors of texts.
    #[must_use]
    pub fn feature_extraction(
        source: impl Into<ModelSource>,
    ) -> PipelineBuilder<FeatureExtractionPipeline> {
        PipelineBuilder::new(source)
    }

    /// Says which tokens fit where a text has a mask.
    #[must_use]
    pub fn fill_mask(source: impl Into<ModelSource>) -> PipelineBuilder<FillMaskPipeline> {
        PipelineBuilder::new(source)
    }

    /// Answers questions from texts.
    #[must_use]
    pub fn question_answering(
        source: impl Into<ModelSource>,
    ) -> PipelineBuilder<QuestionAnsweringPipeline> {
        PipelineBuilder::new(source)
    }

    /// Gives one vector per text, and says how alike texts are.
    #[must_use]
    pub fn sentence_similarity(
        source: impl Into<ModelSource>,
    ) -> PipelineBuilder<SentenceSimilarityPipeline> {
        PipelineBuilder::new(source)
    }

    /// Says which label fits a text or a pair of texts.
    #[must_use]
    pub fn text_classification(
        source: impl Into<ModelSource>,
    ) -> PipelineBuilder<TextClassificationPipeline> {
        PipelineBuilder::new(source)
    }

    /// Orders documents by how well they answer a query.
    #[must_use]
    pub fn text_ranking(source: impl Into<ModelSource>) -> PipelineBuilder<TextRankingPipeline> {
        PipelineBuilder::new(source)
    }

    /// Finds the entities of texts.
    #[must_use]
    pub fn token_classification(
        source: impl Into<ModelSource>,
    ) -> PipelineBuilder<TokenClassificationPipeline> {
        PipelineBuilder::new(source)
    }

    /// Says which of any labels fits a text.
    #[must_use]
    pub fn zero_shot_classification(
        source: impl Into<ModelSource>,
    ) -> PipelineBuilder<ZeroShotClassificationPipeline> {
        PipelineBuilder::new(source)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    /// Accepts a task's [`name`](Self::name) or one of its [`aliases`](Self::aliases).
    fn from_str(name: &str) -> Result<Self> {
        let known = |task: &Self| task.name() == name || task.aliases().contains(&name);
        Self::ALL.iter().copied().find(known).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|task| task.name()).collect();
            Error::option("task", none_of(name, &names))
        })
    }
}
