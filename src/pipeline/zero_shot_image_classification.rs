//! `zero-shot-image-classification`: which of any labels fits a picture.
//!
//! Mirrors `pipelines/zero_shot_image_classification.py` of transformers 4.57. The texts of the labels are embedded once
//! for all pictures of a call.

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use crate::batch::PaddingSide;
use crate::error::{Error, Result};
use crate::image::{ImageInput, ImageProcessor, PixelValues};
use crate::models::AutoModel;
use crate::models::vision::{ImageTextModel, TextPooling};
use crate::options::LoadOptions;
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::pipeline::hypothesis::formatted;
use crate::pipeline::input::Input;
use crate::pipeline::options::task_options;
use crate::pipeline::pictures;
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::pipeline::text_classification::LabelScore;
use crate::pipeline::tokenize::{Rows, TokenizerOptions};
use crate::source::ModelFiles;
use crate::tokenizer::{TextInput, Tokenizer, TruncationStrategy};
use crate::warning::warn;

task_options! {
    /// Call options of [`ZeroShotImageClassificationPipeline`], by their Hugging Face names.
    /// `candidate_labels` have no default.
    ZeroShotImageClassificationOptions {
        /// The labels, at least one.
        candidate_labels: (Vec<String>),
        /// The sentence that a label is put into, at `{}`. Default: `This is a photo of {}.`
        hypothesis_template: String,
        /// Accepted and without effect: nothing is fetched from the web.
        timeout: f64,
        /// How the sentences become tokens. Deprecated in transformers.
        tokenizer_kwargs: TokenizerOptions,
    }
}

/// Scores pictures against labels of your own. The options name the labels.
///
#[doc = include_str!("../../docs/tasks/zero-shot-image-classification.md")]
#[derive(Debug, Clone)]
pub struct ZeroShotImageClassificationPipeline {
    model: Arc<dyn ImageTextModel>,
    processor: ImageProcessor,
    tokenizer: Tokenizer,
}

impl ZeroShotImageClassificationPipeline {
    /// A pipeline of a loaded model, an image processor and a tokenizer; all stay shared.
    ///
    /// # Errors
    ///
    /// When the model reads padded texts and the tokenizer has no padding token.
    pub fn from_parts(
        model: Arc<dyn ImageTextModel>,
        processor: ImageProcessor,
        tokenizer: Tokenizer,
    ) -> Result<Self> {
        let pipeline = Self { model, processor, tokenizer };
        pipeline.check()?;
        Ok(pipeline)
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::from_files::<dyn ImageTextModel>(files, options)?;
        if model.text_pooling() == TextPooling::Padded {
            check_inputs(files)?;
        }
        let processor = ImageProcessor::from_files(files)?;
        Self::from_parts(model, processor, Tokenizer::from_files(files)?)
    }

    /// Scores a picture against labels.
    ///
    /// # Errors
    ///
    /// As [`run_with`](Self::run_with).
    pub fn classify<L: Into<String>>(
        &self,
        picture: impl Into<ImageInput>,
        candidate_labels: impl IntoIterator<Item = L>,
    ) -> Result<Vec<LabelScore>> {
        let options =
            ZeroShotImageClassificationOptions::default().candidate_labels(candidate_labels);
        self.run_with(picture, &options)
    }

    /// The model, for sharing or inspection.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn ImageTextModel> {
        &self.model
    }

    /// The image processor.
    #[must_use]
    pub fn processor(&self) -> &ImageProcessor {
        &self.processor
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The ids of each sentence.
    fn rows(&self, sentences: &[String], options: &TokenizerOptions) -> Result<Vec<Vec<u32>>> {
        let limits = self.model.text_limits();
        let rows = match self.model.text_pooling() {
            TextPooling::End => Rows::with_limits(&self.tokenizer, limits, options.clone()),
            TextPooling::Padded => {
                let mut options = options.clone();
                let padded = *options.max_length.get_or_insert(PADDED);
                if padded > MOST_PADDED {
                    let reason = format!("is {padded}; {MOST_PADDED} tokens are the limit");
                    return Err(Error::option("max_length", reason));
                }
                options.truncation.get_or_insert(TruncationStrategy::LongestFirst);
                Rows::with_limits(&self.tokenizer, limits, options)
            }
        };
        let pad_id = self.tokenizer.pad_token().map_or(0, |token| token.id);
        let row = |sentence: &String| -> Result<Vec<u32>> {
            let row = rows.row(TextInput::Text(sentence))?;
            if row.is_cut() {
                warn(&format!("{sentence:?} is cut to {} tokens", row.len()));
            }
            let mut ids = row.ids;
            if self.model.text_pooling() == TextPooling::Padded {
                let padding = vec![pad_id; rows.longest().saturating_sub(ids.len())];
                ids = match self.tokenizer.padding_side() {
                    PaddingSide::Left => [padding, ids].concat(),
                    PaddingSide::Right => [ids, padding].concat(),
                };
            }
            Ok(ids)
        };
        sentences.iter().map(row).collect()
    }
}

impl TaskSteps for ZeroShotImageClassificationPipeline {
    type Input = ImageInput;
    type Output = Vec<LabelScore>;
    type Options = ZeroShotImageClassificationOptions;

    fn check(&self) -> Result<()> {
        let needs_padding = self.model.text_pooling() == TextPooling::Padded;
        match self.tokenizer.pad_token() {
            None if needs_padding => Err(Error::unsupported(
                "the model reads texts with their padding, and the tokenizer has no padding token",
            )),
            _ => Ok(()),
        }
    }

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let labels = options.candidate_labels.clone().unwrap_or_default();
        if labels.is_empty() {
            return Err(Error::option("candidate_labels", "name at least one label"));
        }
        let template = options.hypothesis_template.as_deref().unwrap_or("This is a photo of {}.");
        let sentences = labels.iter().map(|label| formatted(template, label));
        let sentences = sentences.collect::<Result<Vec<_>>>()?;
        let tokenizer = options.tokenizer_kwargs.clone().unwrap_or_default();
        let rows = self.rows(&sentences, &tokenizer)?;
        Ok(Judge {
            texts: self.model.embed_texts(&rows)?,
            model: Arc::clone(&self.model),
            processor: self.processor.clone(),
            labels,
        })
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<ImageInput>> {
        pictures::from_json(input)
    }

    fn read_media(&self, input: Input, _: &Self::Options) -> Result<ImageInput> {
        pictures::from_media(input)
    }
}

/// Refuses a tokenizer that masks padding: in the files of such models it does not.
fn check_inputs(files: &ModelFiles) -> Result<()> {
    let config: Option<Map<String, Value>> = files.json("tokenizer_config.json")?;
    let names = config.as_ref().and_then(|config| config.get("model_input_names"));
    let is_mask = |name: &Value| name == "attention_mask";
    match names.and_then(Value::as_array) {
        Some(names) if !names.iter().any(is_mask) => Ok(()),
        _ => Err(Error::unsupported(format!(
            "{}: `model_input_names` of tokenizer_config.json should be [\"input_ids\"], as in SigLIP's own files: the \
             model reads padding as well, and masked padding is not supported",
            files.origin()
        ))),
    }
}

struct Judge {
    model: Arc<dyn ImageTextModel>,
    processor: ImageProcessor,
    labels: Vec<String>,
    /// `(labels, size)`.
    texts: Tensor,
}

impl Work for Judge {
    type Item = ImageInput;
    type Kept = ();
    type Row = PixelValues;
    type Answer = Vec<f32>;
    type Output = Vec<LabelScore>;

    fn pace(&self, batch_size: Option<usize>) -> Pace {
        pictures::pace(batch_size)
    }

    fn prepare(&self, picture: ImageInput) -> Result<((), Vec<PixelValues>)> {
        Ok(((), vec![self.processor.process(&picture.load()?)?]))
    }

    fn forward(&self, rows: &[&PixelValues]) -> Result<Vec<Vec<f32>>> {
        let pictures = self.model.embed_images(rows)?;
        scores::rows(&self.model.similarity(&pictures, &self.texts)?)
    }

    fn finish(&self, (): (), rows: Vec<(PixelValues, Vec<f32>)>) -> Result<Vec<LabelScore>> {
        let logits = rows.into_iter().next().map(|(_, logits)| logits);
        let logits = logits.ok_or_else(|| Error::input("no picture"))?;
        let scores = match self.model.text_pooling() {
            TextPooling::End => scores::softmax(&logits),
            TextPooling::Padded => logits.into_iter().map(scores::sigmoid).collect(),
        };
        Ok(LabelScore::ranked(self.labels.iter().cloned(), scores))
    }
}

/// The tokens of a padded text, as transformers has it for all of SigLIP.
const PADDED: usize = 64;
/// Those of the longest text that is padded to.
const MOST_PADDED: usize = 1 << 16;
