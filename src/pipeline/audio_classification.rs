//! `audio-classification`: what kind of sound a recording is.
//!
//! Mirrors `pipelines/audio_classification.py` of transformers 4.57.

use std::sync::Arc;

use serde_json::Value;

use crate::audio::{AudioFeatures, FeatureExtractor};
use crate::error::Result;
use crate::models::AutoModel;
use crate::models::heads::Labels;
use crate::models::speech::AudioClassifier;
use crate::options::LoadOptions;
use crate::pipeline::audio_input::{AudioInput, of_recordings};
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::pipeline::input::Input;
use crate::pipeline::options::task_options;
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::pipeline::text_classification::top_k;
use crate::pipeline::{LabelScore, ScoreFunction, TopK};
use crate::source::ModelFiles;

task_options! {
    /// Call options of [`AudioClassificationPipeline`], by their Hugging Face names.
    AudioClassificationOptions {
        /// From logits to scores. Default: softmax.
        function_to_apply: ScoreFunction,
        /// How many labels, best first. Default: all.
        #[serde(deserialize_with = "top_k")]
        top_k: TopK,
    }
}

/// Says what kind of sound a recording is.
///
#[doc = include_str!("../../docs/tasks/audio-classification.md")]
#[derive(Debug, Clone)]
pub struct AudioClassificationPipeline {
    model: Arc<dyn AudioClassifier>,
    extractor: Arc<FeatureExtractor>,
}

impl AudioClassificationPipeline {
    /// A pipeline of a loaded model and what it reads; the model stays shared.
    #[must_use]
    pub fn from_parts(model: Arc<dyn AudioClassifier>, extractor: FeatureExtractor) -> Self {
        Self { model, extractor: Arc::new(extractor) }
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::from_files::<dyn AudioClassifier>(files, options)?;
        Ok(Self::from_parts(model, FeatureExtractor::from_files(files)?))
    }

    /// The model, for sharing or inspection.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn AudioClassifier> {
        &self.model
    }

    /// What makes features of recordings.
    #[must_use]
    pub fn feature_extractor(&self) -> &FeatureExtractor {
        &self.extractor
    }

    /// The names of the labels, in the order of the logits.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        self.model.labels()
    }
}

impl TaskSteps for AudioClassificationPipeline {
    type Input = AudioInput;
    type Output = Vec<LabelScore>;
    type Options = AudioClassificationOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        Ok(Listen { pipeline: self.clone(), options: options.clone() })
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<AudioInput>> {
        AudioInput::items(input, self.extractor.sampling_rate())
    }

    fn read_media(&self, input: Input, _: &Self::Options) -> Result<AudioInput> {
        AudioInput::of(input, self.extractor.sampling_rate())
    }
}

struct Listen {
    pipeline: AudioClassificationPipeline,
    options: AudioClassificationOptions,
}

impl Measured for AudioFeatures {
    fn length(&self) -> usize {
        self.frames()
    }
}

impl Work for Listen {
    type Item = AudioInput;
    type Kept = ();
    type Row = AudioFeatures;
    type Answer = Vec<f32>;
    type Output = Vec<LabelScore>;

    fn pace(&self, batch_size: Option<usize>) -> Pace {
        of_recordings(batch_size)
    }

    fn prepare(&self, input: AudioInput) -> Result<((), Vec<AudioFeatures>)> {
        let extractor = &self.pipeline.extractor;
        let rate = extractor.sampling_rate();
        Ok(((), vec![extractor.extract(&input.samples(rate)?, rate)?]))
    }

    fn forward(&self, rows: &[&AudioFeatures]) -> Result<Vec<Vec<f32>>> {
        scores::rows(&self.pipeline.model.classify(rows)?)
    }

    fn finish(&self, (): (), rows: Vec<(AudioFeatures, Vec<f32>)>) -> Result<Vec<LabelScore>> {
        let logits = rows.into_iter().next().map(|(_, logits)| logits).unwrap_or_default();
        let function = self.options.function_to_apply.unwrap_or(ScoreFunction::Softmax);
        let names = &self.pipeline.labels().names;
        let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| format!("LABEL_{at}"));
        let mut scored = LabelScore::ranked((0..).map(name), function.apply(logits));
        if let Some(TopK::Best(count)) = self.options.top_k {
            scored.truncate(count);
        }
        Ok(scored)
    }
}
