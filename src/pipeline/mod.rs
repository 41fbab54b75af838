//! Tasks in two lines, under Hugging Face's names, options, defaults and output fields.
//!
//! ```no_run
//! use sconce::{Pipeline, tokenizer::chat::Message};
//!
//! let chat = Pipeline::text_generation("HuggingFaceTB/SmolLM2-135M-Instruct").build()?;
//! for piece in chat.stream(&[Message::user("Why is the sky blue?")])? {
//!     print!("{}", piece?);
//! }
//! # Ok::<(), sconce::Error>(())
//! ```
//!
//! A program that knows its task uses the task's own type, as above, with typed input and output. One
//! whose task is chosen at run time uses [`Pipeline::load`] and [`Pipeline::call`], which take and
//! give JSON in the shapes of the Python pipelines.

mod builder;
mod characters;
mod classify;
mod feature_extraction;
mod fill_mask;
mod flow;
mod json;
mod question_answering;
mod scores;
mod sentence_similarity;
mod tasks;
mod text_classification;
mod text_generation;
mod text_ranking;
mod token_classification;
mod tokenize;
mod truncation;
mod zero_shot_classification;

pub use crate::warning::on_warning;
pub use builder::PipelineBuilder;
pub use classify::TextOrPair;
pub use feature_extraction::{
    FeatureExtractionOptions, FeatureExtractionPipeline, Features, Pooling,
};
pub use fill_mask::{FillMaskOptions, FillMaskPipeline, Filling};
pub use question_answering::{
    Answer, Question, QuestionAnsweringOptions, QuestionAnsweringPipeline,
};
pub use sentence_similarity::{SentenceSimilarityOptions, SentenceSimilarityPipeline};
pub use tasks::{Pipeline, Task};
pub use text_classification::{
    LabelScore, ScoreFunction, TextClassificationOptions, TextClassificationPipeline, TopK,
};
pub use text_generation::{
    ChatReply, ChatSession, Generated, LongGeneration, Prompt, TextGenerationOptions,
    TextGenerationPipeline,
};
pub use text_ranking::{Ranked, TextRankingOptions, TextRankingPipeline};
pub use token_classification::{
    AggregationStrategy, Entity, TextOrWords, TokenClassificationOptions,
    TokenClassificationPipeline,
};
pub use tokenize::{TextTruncation, TokenizerOptions};
pub use truncation::TruncationReport;
pub use zero_shot_classification::{
    ZeroShotClassification, ZeroShotClassificationOptions, ZeroShotClassificationPipeline,
};

use serde_json::{Map, Value};

use crate::error::Result;
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// What every task's pipeline is. Programs use the pipelines' own methods; this is what the table
/// of tasks is written in.
pub trait TaskPipeline: Sized + Send + Sync {
    /// The task it does.
    const TASK: Task;

    /// Loads model and tokenizer from an opened source; the model first, so that one of an unknown
    /// kind is named as such, and not by the tokenizer that is missing.
    ///
    /// # Errors
    ///
    /// When a file is missing or broken, or the model cannot do the task.
    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self>;

    /// Runs the task on JSON, as the Python pipeline of that name is called: `input` is one item
    /// or a list of them, `options` are its keyword arguments. The report gets the numbers of the
    /// inputs that are cut.
    ///
    /// # Errors
    ///
    /// When an option or the input has a wrong name, type or value, or the model fails.
    fn call(
        &self,
        input: &Value,
        options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value>;
}
