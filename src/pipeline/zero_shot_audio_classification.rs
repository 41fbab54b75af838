//! `zero-shot-audio-classification`: which of any labels fits a recording, asked of a model that puts sounds
//! and texts into one space.
//!
//! Mirrors `pipelines/zero_shot_audio_classification.py` of transformers 4.57.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::Value;

use crate::audio::{AudioFeatures, FeatureExtractor};
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::speech::AudioTextModel;
use crate::options::LoadOptions;
use crate::pipeline::LabelScore;
use crate::pipeline::audio_input::{AudioInput, of_recordings};
use crate::pipeline::flow::{Pace, Work};
use crate::pipeline::hypothesis::formatted;
use crate::pipeline::input::Input;
use crate::pipeline::options::task_options;
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::pipeline::tokenize::{Rows, token_batch};
use crate::source::ModelFiles;
use crate::tokenizer::{TextInput, Tokenizer};

task_options! {
    /// Call options of [`ZeroShotAudioClassificationPipeline`], by their Hugging Face names.
    /// `candidate_labels` have no default.
    ZeroShotAudioClassificationOptions {
        /// The labels, at least one.
        candidate_labels: (Vec<String>),
        /// The sentence that a label is put into, at `{}`. Default: `This is a sound of {}.`
        hypothesis_template: String,
    }
}

/// Scores a recording against labels of your own. The options name the labels.
///
#[doc = include_str!("../../docs/tasks/zero-shot-audio-classification.md")]
#[derive(Debug, Clone)]
pub struct ZeroShotAudioClassificationPipeline {
    model: Arc<dyn AudioTextModel>,
    tokenizer: Tokenizer,
    extractor: Arc<FeatureExtractor>,
}

impl ZeroShotAudioClassificationPipeline {
    /// A pipeline of a loaded model, its tokenizer and what it reads; they stay shared.
    #[must_use]
    pub fn from_parts(
        model: Arc<dyn AudioTextModel>,
        tokenizer: Tokenizer,
        extractor: FeatureExtractor,
    ) -> Self {
        Self { model, tokenizer, extractor: Arc::new(extractor) }
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::from_files::<dyn AudioTextModel>(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        Ok(Self::from_parts(model, tokenizer, FeatureExtractor::from_files(files)?))
    }

    /// Scores a recording against labels.
    ///
    /// # Errors
    ///
    /// As [`run_with`](Self::run_with).
    pub fn classify<L: Into<String>>(
        &self,
        recording: impl Into<AudioInput>,
        candidate_labels: impl IntoIterator<Item = L>,
    ) -> Result<Vec<LabelScore>> {
        let options =
            ZeroShotAudioClassificationOptions::default().candidate_labels(candidate_labels);
        self.run_with(recording, &options)
    }

    /// The model, for sharing or inspection.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn AudioTextModel> {
        &self.model
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What makes features of recordings.
    #[must_use]
    pub fn feature_extractor(&self) -> &FeatureExtractor {
        &self.extractor
    }
}

impl TaskSteps for ZeroShotAudioClassificationPipeline {
    type Input = AudioInput;
    type Output = Vec<LabelScore>;
    type Options = ZeroShotAudioClassificationOptions;

    /// The labels are read once, before the first recording.
    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let labels = options.candidate_labels.clone().unwrap_or_default();
        if labels.is_empty() {
            return Err(Error::option("candidate_labels", "name at least one label"));
        }
        let template = options.hypothesis_template.as_deref().unwrap_or("This is a sound of {}.");
        let rows = Rows::new(&self.tokenizer, &*self.model, None);
        let row = |label: &String| {
            let text = formatted(template, label)?;
            Ok(rows.row(TextInput::Text(&text))?)
        };
        let texts = labels.iter().map(row).collect::<Result<Vec<_>>>()?;
        let texts = self.model.text_features(&token_batch(&texts.iter().collect::<Vec<_>>())?)?;
        Ok(Compare { pipeline: self.clone(), labels, texts })
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<AudioInput>> {
        AudioInput::items(input, self.extractor.sampling_rate())
    }

    fn read_media(&self, input: Input, _: &Self::Options) -> Result<AudioInput> {
        AudioInput::of(input, self.extractor.sampling_rate())
    }
}

struct Compare {
    pipeline: ZeroShotAudioClassificationPipeline,
    labels: Vec<String>,
    /// Of the labels, `(labels, size)`.
    texts: Tensor,
}

impl Work for Compare {
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

    /// Logits of the labels for each recording.
    fn forward(&self, rows: &[&AudioFeatures]) -> Result<Vec<Vec<f32>>> {
        let model = &self.pipeline.model;
        let products = model.audio_features(rows)?.matmul(&self.texts.t()?)?;
        scores::rows(&(products * f64::from(model.logit_scales().audio))?)
    }

    fn finish(&self, (): (), rows: Vec<(AudioFeatures, Vec<f32>)>) -> Result<Vec<LabelScore>> {
        let logits = rows.into_iter().next().map(|(_, logits)| logits).unwrap_or_default();
        Ok(LabelScore::ranked(self.labels.iter().cloned(), scores::softmax(&logits)))
    }
}
