//! Tasks in two lines, under Hugging Face's names, options, defaults and output fields.
//!
//! ```no_run
//! use sconce::{Pipeline, tokenizer::chat::Message};
//!
//! let chat = Pipeline::text_generation("HuggingFaceTB/SmolLM2-135M-Instruct").build()?;
//! for piece in chat.stream_text(&[Message::user("Why is the sky blue?")])? {
//!     print!("{}", piece?);
//! }
//! # Ok::<(), sconce::Error>(())
//! ```
//!
//! A program that knows its task uses the task's own type, as above, with typed input and output. One
//! whose task is chosen at run time uses [`Pipeline::open`] and [`Pipeline::call`], which take and
//! give JSON in the shapes of the Python pipelines.

mod arguments;
#[cfg(feature = "audio")]
mod audio_blocks;
#[cfg(feature = "audio")]
mod audio_classification;
#[cfg(feature = "audio")]
mod audio_input;
#[cfg(feature = "audio")]
mod automatic_speech_recognition;
mod builder;
mod characters;
mod classify;
mod default_models;
#[cfg(feature = "remote")]
mod either;
mod feature_extraction;
mod fill_mask;
mod flow;
mod hypothesis;
#[cfg(feature = "image")]
mod image_classification;
#[cfg(feature = "image")]
mod image_feature_extraction;
#[cfg(feature = "image")]
mod image_to_image;
mod input;
mod options;
#[cfg(feature = "image")]
mod pictures;
mod question_answering;
mod scores;
mod sentence_similarity;
mod skeleton;
mod tasks;
mod text_classification;
mod text_generation;
mod text_ranking;
#[cfg(feature = "audio")]
mod text_to_audio;
#[cfg(feature = "image")]
mod text_to_image;
#[cfg(feature = "audio")]
mod text_to_speech;
mod text_to_text;
mod token_classification;
mod tokenize;
#[cfg(all(feature = "audio", feature = "remote"))]
mod transcripts;
#[cfg(feature = "audio")]
mod zero_shot_audio_classification;
mod zero_shot_classification;
#[cfg(feature = "image")]
mod zero_shot_image_classification;

pub use crate::embeddings::Pooling;
#[cfg(feature = "image")]
pub use crate::image::ImageInput;
pub use crate::media::{Audio, Image, Media};
pub use crate::warning::on_warning;
#[cfg(feature = "audio")]
pub use audio_classification::{AudioClassificationOptions, AudioClassificationPipeline};
#[cfg(feature = "audio")]
pub use audio_input::AudioInput;
#[cfg(feature = "audio")]
pub use automatic_speech_recognition::{
    AudioProgressCall, AutomaticSpeechRecognitionOptions, AutomaticSpeechRecognitionPipeline,
    ReturnTimestamps, SpeakersOf, StrideLength, TranscriptStream,
};
pub use builder::PipelineBuilder;
pub use classify::TextOrPair;
pub use feature_extraction::{FeatureExtractionOptions, FeatureExtractionPipeline, Features};
pub use fill_mask::{FillMaskOptions, FillMaskPipeline, Filling};
#[cfg(feature = "image")]
pub use image_classification::{ImageClassificationOptions, ImageClassificationPipeline};
#[cfg(feature = "image")]
pub use image_feature_extraction::{
    ImageFeatureExtractionOptions, ImageFeatureExtractionPipeline, ImageFeatures,
};
#[cfg(feature = "image")]
pub use image_to_image::{ImageToImagePipeline, PicturePrompt};
pub use input::{Input, Output};
pub use options::{Progress, TruncationReport};
pub use question_answering::{
    Answer, Question, QuestionAnsweringOptions, QuestionAnsweringPipeline,
};
pub use sentence_similarity::{SentenceSimilarityOptions, SentenceSimilarityPipeline};
pub use tasks::{Pipeline, Task, TaskName};
pub use text_classification::{
    LabelScore, ScoreFunction, TextClassificationOptions, TextClassificationPipeline, TopK,
};
pub use text_generation::{
    ChatReply, ChatSession, Generated, GeneratedOutput, GenerationDetails, LongGeneration, Prompt,
    TextGenerationOptions, TextGenerationPipeline,
};
pub use text_ranking::{Ranked, TextRankingOptions, TextRankingPipeline};
#[cfg(feature = "audio")]
pub use text_to_audio::{GeneratedAudio, SoundModel, TextToAudioOptions, TextToAudioPipeline};
#[cfg(feature = "image")]
pub use text_to_image::{PaintedImages, TextToImageOptions, TextToImagePipeline};
#[cfg(feature = "audio")]
pub use text_to_speech::{
    SpeechReader, SpeechStream, SpokenPart, SpokenSpan, SpokenText, TextToSpeechOptions,
    TextToSpeechPipeline,
};
pub use text_to_text::{
    SummarizationPipeline, Text2TextGenerationPipeline, TextToTextOptions, TranslationPipeline,
    WrittenOutput, WrittenText,
};
pub use token_classification::{
    AggregationStrategy, Entity, TextOrWords, TokenClassificationOptions,
    TokenClassificationPipeline,
};
pub use tokenize::TokenizerOptions;
#[cfg(feature = "audio")]
pub use zero_shot_audio_classification::{
    ZeroShotAudioClassificationOptions, ZeroShotAudioClassificationPipeline,
};
pub use zero_shot_classification::{
    ZeroShotClassification, ZeroShotClassificationOptions, ZeroShotClassificationPipeline,
};
#[cfg(feature = "image")]
pub use zero_shot_image_classification::{
    ZeroShotImageClassificationOptions, ZeroShotImageClassificationPipeline,
};

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// What every task's pipeline is. Programs use the pipelines' own methods; this is for code that is written
/// for any task.
pub trait TaskPipeline: Clone + fmt::Debug + Send + Sync + Sized + 'static {
    /// The task it does.
    const TASK: Task;

    /// Loads model and tokenizer from an opened source.
    ///
    /// # Errors
    ///
    /// When a file is missing or broken, or the model cannot do the task.
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self>;

    /// The pipeline for the languages in a task's name.
    ///
    /// # Errors
    ///
    /// When there are some, and the task knows none.
    fn named(self, name: &TaskName) -> Result<Self> {
        match &name.languages {
            None => Ok(self),
            Some(_) => Err(Error::option("task", format!("{} has no languages", name.task))),
        }
    }

    /// Runs the task as the Python pipeline of that name is called: `input` is one item or a list of
    /// them, `options` are its keyword arguments.
    ///
    /// # Errors
    ///
    /// When an option or the input has a wrong name, type or value, or the model fails.
    fn call(&self, input: Input, options: Map<String, Value>) -> Result<Output>;
}
