//! The table of tasks.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::error::{Error, Result, none_of};
use crate::options::{LoadOptions, as_text};
use crate::pipeline::skeleton;
#[cfg(feature = "audio")]
use crate::pipeline::text_to_audio;
use crate::pipeline::{
    Answer, Entity, FeatureExtractionOptions, FeatureExtractionPipeline, Features, FillMaskOptions,
    FillMaskPipeline, Filling, Generated, Input, LabelScore, Output, PipelineBuilder, Prompt,
    Question, QuestionAnsweringOptions, QuestionAnsweringPipeline, SentenceSimilarityOptions,
    SentenceSimilarityPipeline, SummarizationPipeline, TaskPipeline, Text2TextGenerationPipeline,
    TextClassificationOptions, TextClassificationPipeline, TextGenerationOptions,
    TextGenerationPipeline, TextOrPair, TextOrWords, TextRankingOptions, TextRankingPipeline,
    TextToTextOptions, TokenClassificationOptions, TokenClassificationPipeline,
    TranslationPipeline, WrittenText, ZeroShotClassification, ZeroShotClassificationOptions,
    ZeroShotClassificationPipeline,
};
#[cfg(feature = "audio")]
use crate::pipeline::{
    AudioClassificationOptions, AudioClassificationPipeline, AudioInput,
    AutomaticSpeechRecognitionOptions, AutomaticSpeechRecognitionPipeline, GeneratedAudio,
    SpokenText, TextToAudioOptions, TextToAudioPipeline, TextToSpeechOptions, TextToSpeechPipeline,
    ZeroShotAudioClassificationOptions, ZeroShotAudioClassificationPipeline,
};
#[cfg(feature = "image")]
use crate::pipeline::{
    ImageClassificationOptions, ImageClassificationPipeline, ImageFeatureExtractionOptions,
    ImageFeatureExtractionPipeline, ImageFeatures, ImageInput, ZeroShotImageClassificationOptions,
    ZeroShotImageClassificationPipeline,
};
#[cfg(feature = "image")]
use crate::pipeline::{
    ImageToImagePipeline, PaintedImages, PicturePrompt, TextToImageOptions, TextToImagePipeline,
};
use crate::source::{ModelFiles, ModelSource};
#[cfg(feature = "audio")]
use crate::speech::transcript::Transcript;

/// Expands the table to [`Task`], its names, the [`Pipeline`] enum with its constructors, what
/// dispatches over it, and the methods that the pipelines of all tasks have.
macro_rules! tasks {
    ($(
        $(#[$doc:meta])*
        $variant:ident, $name:literal, aliases [$($alias:literal),*] $(feature $feature:literal)?,
        $constructor:ident: $pipeline:ident($input:ty, $options:ty) -> $output:ty;
    )+) => {
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

            /// The cargo feature that the task needs and this build has not.
            fn missing_feature(self) -> Option<&'static str> {
                $($(
                    #[cfg(not(feature = $feature))]
                    if self == Self::$variant {
                        return Some($feature);
                    }
                )?)+
                None
            }
        }

        /// A loaded pipeline whose task was chosen at run time.
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub enum Pipeline {
            $($(#[$doc])* $(#[cfg(feature = $feature)])? $variant($pipeline),)+
        }

        impl Pipeline {
            $(
                $(#[$doc])*
                $(#[cfg(feature = $feature)])?
                #[must_use]
                pub fn $constructor(source: impl Into<ModelSource>) -> PipelineBuilder<$pipeline> {
                    PipelineBuilder::new(source)
                }
            )+

            /// Opens a source as the pipeline of a task.
            ///
            /// # Errors
            ///
            /// As [`PipelineBuilder::build`].
            pub fn open(
                task: impl Into<TaskName>,
                source: impl Into<ModelSource>,
                options: LoadOptions,
            ) -> Result<Self> {
                let name = task.into();
                if let Some(feature) = name.task.missing_feature() {
                    return Err(Error::FeatureDisabled { feature });
                }
                let files = source.into().open()?;
                match for_model(name.task, &files)? {
                    $(
                        $(#[cfg(feature = $feature)])?
                        Task::$variant => $pipeline::from_files(&files, &options)?
                            .named(&name)
                            .map(Self::$variant),
                        $(
                            #[cfg(not(feature = $feature))]
                            Task::$variant => Err(Error::FeatureDisabled { feature: $feature }),
                        )?
                    )+
                }
            }

            /// The task it does.
            #[must_use]
            pub fn task(&self) -> Task {
                match self {
                    $($(#[cfg(feature = $feature)])? Self::$variant(_) => Task::$variant,)+
                }
            }

            /// Runs the task as the Python pipeline of that name is called: `input` is one item or a
            /// list of them, `options` are its keyword arguments. The output holds JSON in the shape of
            /// the Python pipeline.
            ///
            /// # Errors
            ///
            /// When an option or the input has a wrong name, type or value, or the model fails.
            pub fn call(
                &self,
                input: impl Into<Input>,
                options: Map<String, Value>,
            ) -> Result<Output> {
                match self {
                    $(
                        $(#[cfg(feature = $feature)])?
                        Self::$variant(pipeline) => pipeline.call(input.into(), options),
                    )+
                }
            }
        }

        $($(#[cfg(feature = $feature)])? impl From<$pipeline> for Pipeline {
            fn from(pipeline: $pipeline) -> Self {
                Self::$variant(pipeline)
            }
        })+

        $(
            $(#[cfg(feature = $feature)])?
            impl TaskPipeline for $pipeline {
                const TASK: Task = Task::$variant;

                fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
                    Self::load(files, options)
                }

                fn named(self, name: &TaskName) -> Result<Self> {
                    match &name.languages {
                        None => Ok(self),
                        Some((source, target)) => {
                            skeleton::TaskSteps::for_languages(self, source, target)
                        }
                    }
                }

                fn call(&self, input: Input, options: Map<String, Value>) -> Result<Output> {
                    skeleton::call(self, input, options)
                }
            }

            $(#[cfg(feature = $feature)])?
            impl $pipeline {
                /// Runs the task on one input.
                ///
                /// # Errors
                ///
                /// When the input cannot be used, or the model fails.
                pub fn run(&self, input: impl Into<$input>) -> Result<$output> {
                    skeleton::run(self, input.into(), &Default::default())
                }

                /// As [`run`](Self::run), with options.
                ///
                /// # Errors
                ///
                /// As there, and when an option is invalid.
                pub fn run_with(
                    &self,
                    input: impl Into<$input>,
                    options: &$options,
                ) -> Result<$output> {
                    skeleton::run(self, input.into(), options)
                }

                /// Many inputs, in order, each with what it would get alone.
                ///
                /// # Errors
                ///
                /// As [`run_with`](Self::run_with); nothing is returned where one input fails.
                pub fn run_batch<T: Into<$input>>(
                    &self,
                    inputs: impl IntoIterator<Item = T>,
                    options: &$options,
                ) -> Result<Vec<$output>> {
                    self.stream(inputs, options)?.collect()
                }

                /// As [`run_batch`](Self::run_batch), one output after the other, in bounded memory.
                ///
                /// # Errors
                ///
                /// When an option is invalid. An input that fails yields an error in its place.
                pub fn stream<T: Into<$input>, I: IntoIterator<Item = T>>(
                    &self,
                    inputs: I,
                    options: &$options,
                ) -> Result<impl Iterator<Item = Result<$output>> + use<T, I>> {
                    skeleton::stream(self, inputs, options)
                }
            }
        )+
    };
}

tasks! {
    /// Says what kind of sound a recording is. Needs the feature `audio`.
    AudioClassification, "audio-classification", aliases [] feature "audio",
        audio_classification: AudioClassificationPipeline(AudioInput, AudioClassificationOptions) -> Vec<LabelScore>;
    /// Writes what is said in recordings. Needs the feature `audio`.
    AutomaticSpeechRecognition, "automatic-speech-recognition", aliases ["asr"] feature "audio",
        automatic_speech_recognition: AutomaticSpeechRecognitionPipeline(AudioInput, AutomaticSpeechRecognitionOptions) -> Transcript;
    /// Returns the hidden states of texts.
    FeatureExtraction, "feature-extraction", aliases [],
        feature_extraction: FeatureExtractionPipeline(String, FeatureExtractionOptions) -> Features;
    /// Predicts the tokens behind the masks of a text.
    FillMask, "fill-mask", aliases [],
        fill_mask: FillMaskPipeline(String, FillMaskOptions) -> Vec<Vec<Filling>>;
    /// Says what pictures show. Needs the feature `image`.
    ImageClassification, "image-classification", aliases [] feature "image",
        image_classification: ImageClassificationPipeline(ImageInput, ImageClassificationOptions) -> Vec<LabelScore>;
    /// Returns the hidden states of pictures. Needs the feature `image`.
    ImageFeatureExtraction, "image-feature-extraction", aliases [] feature "image",
        image_feature_extraction: ImageFeatureExtractionPipeline(ImageInput, ImageFeatureExtractionOptions) -> ImageFeatures;
    /// Paints pictures anew, or parts of them. Needs the feature `image`.
    ImageToImage, "image-to-image", aliases ["inpainting"] feature "image",
        image_to_image: ImageToImagePipeline(PicturePrompt, TextToImageOptions) -> PaintedImages;
    /// Answers questions from texts.
    QuestionAnswering, "question-answering", aliases [],
        question_answering: QuestionAnsweringPipeline(Question, QuestionAnsweringOptions) -> Vec<Answer>;
    /// Returns one vector per text, and the similarity of texts.
    SentenceSimilarity, "sentence-similarity", aliases ["embeddings"],
        sentence_similarity: SentenceSimilarityPipeline(String, SentenceSimilarityOptions) -> Vec<f32>;
    /// Summarizes texts.
    Summarization, "summarization", aliases [],
        summarization: SummarizationPipeline(String, TextToTextOptions) -> Vec<WrittenText>;
    /// Makes texts of texts with an encoder-decoder.
    Text2TextGeneration, "text2text-generation", aliases [],
        text2text_generation: Text2TextGenerationPipeline(String, TextToTextOptions) -> Vec<WrittenText>;
    /// Classifies a text or a pair of texts.
    TextClassification, "text-classification", aliases ["sentiment-analysis"],
        text_classification: TextClassificationPipeline(TextOrPair, TextClassificationOptions) -> Vec<LabelScore>;
    /// Continues a text or a chat with a decoder-only language model.
    TextGeneration, "text-generation", aliases [],
        text_generation: TextGenerationPipeline(Prompt, TextGenerationOptions) -> Vec<Generated>;
    /// Scores how well texts answer queries, and orders documents by that.
    TextRanking, "text-ranking", aliases [],
        text_ranking: TextRankingPipeline(TextOrPair, TextRankingOptions) -> Vec<f32>;
    /// Turns texts into music, speech and noises. Needs the feature `audio`.
    TextToAudio, "text-to-audio", aliases [] feature "audio",
        text_to_audio: TextToAudioPipeline(String, TextToAudioOptions) -> GeneratedAudio;
    /// Paints texts. Needs the feature `image`.
    TextToImage, "text-to-image", aliases [] feature "image",
        text_to_image: TextToImagePipeline(String, TextToImageOptions) -> PaintedImages;
    /// Speaks texts. Needs the feature `audio`.
    TextToSpeech, "text-to-speech", aliases [] feature "audio",
        text_to_speech: TextToSpeechPipeline(String, TextToSpeechOptions) -> SpokenText;
    /// Finds the named entities of texts.
    TokenClassification, "token-classification", aliases ["ner"],
        token_classification: TokenClassificationPipeline(TextOrWords, TokenClassificationOptions) -> Vec<Entity>;
    /// Translates texts. The name may hold languages: `translation_en_to_fr`.
    Translation, "translation", aliases [],
        translation: TranslationPipeline(String, TextToTextOptions) -> Vec<WrittenText>;
    /// Scores recordings against labels of your own. Needs the feature `audio`.
    ZeroShotAudioClassification, "zero-shot-audio-classification", aliases [] feature "audio",
        zero_shot_audio_classification: ZeroShotAudioClassificationPipeline(AudioInput, ZeroShotAudioClassificationOptions) -> Vec<LabelScore>;
    /// Scores a text against labels of your own.
    ZeroShotClassification, "zero-shot-classification", aliases [],
        zero_shot_classification: ZeroShotClassificationPipeline(String, ZeroShotClassificationOptions) -> ZeroShotClassification;
    /// Scores a picture against labels of your own. Needs the feature `image`.
    ZeroShotImageClassification, "zero-shot-image-classification", aliases [] feature "image",
        zero_shot_image_classification: ZeroShotImageClassificationPipeline(ImageInput, ZeroShotImageClassificationOptions) -> Vec<LabelScore>;
}

/// The task that a model does. Python has one pipeline behind both names; here the model decides.
fn for_model(task: Task, files: &ModelFiles) -> Result<Task> {
    #[cfg(feature = "audio")]
    if matches!(task, Task::TextToAudio | Task::TextToSpeech) {
        return Ok(match text_to_audio::writes_codes(files)? {
            true => Task::TextToAudio,
            false => Task::TextToSpeech,
        });
    }
    let _ = files;
    Ok(task)
}

as_text!(Task);
as_text!(TaskName);

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

/// A task, and the languages that its name may hold: `translation_en_to_fr` is `translation` from `en` to
/// `fr`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TaskName {
    /// The task.
    pub task: Task,
    /// The language to read and the one to write, by the codes of the model.
    pub languages: Option<(String, String)>,
}

/// The name of the task, and the languages behind it, as Python's `PipelineRegistry.check_task` takes it
/// apart.
fn split(name: &str) -> (&str, Option<(&str, &str)>) {
    let parts: Vec<_> = name.split('_').collect();
    match parts[..] {
        [task, source, "to", target] => (task, Some((source, target))),
        _ => (name, None),
    }
}

impl From<Task> for TaskName {
    fn from(task: Task) -> Self {
        Self { task, languages: None }
    }
}

impl FromStr for TaskName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (task, languages) = split(name);
        let languages = languages.map(|(source, target)| (source.to_owned(), target.to_owned()));
        Ok(Self { task: task.parse()?, languages })
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, languages } = self;
        match languages {
            None => write!(f, "{task}"),
            Some((source, target)) => write!(f, "{task}_{source}_to_{target}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_taken_apart() {
        for (name, expected) in [
            ("translation_en_to_fr", ("translation", Some(("en", "fr")))),
            ("translation_pt-BR_to_de", ("translation", Some(("pt-BR", "de")))),
            ("translation", ("translation", None)),
            ("translation_en_fr", ("translation_en_fr", None)),
            ("translation_en_to_fr_CA", ("translation_en_to_fr_CA", None)),
        ] {
            assert_eq!(split(name), expected);
        }
    }

    #[test]
    fn names_are_read_and_written() {
        for name in ["fill-mask", "fill-mask_en_to_fr"] {
            assert_eq!(name.parse::<TaskName>().unwrap().to_string(), name);
        }
        assert_eq!("ner".parse::<TaskName>().unwrap(), Task::TokenClassification.into());
        assert!("translate_en_to_fr".parse::<TaskName>().is_err());
    }

    #[cfg(not(feature = "audio"))]
    #[test]
    fn a_task_of_a_feature_that_is_off_says_which() {
        let name: TaskName = "automatic-speech-recognition".parse().unwrap();
        let error = Pipeline::open(name, "./nothing", LoadOptions::default()).unwrap_err();
        assert!(matches!(error, Error::FeatureDisabled { feature: "audio" }), "{error}");
    }
}
