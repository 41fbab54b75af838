//! `image-feature-extraction`: the hidden vectors of a picture.
//!
//! Mirrors `pipelines/image_feature_extraction.py` of transformers 4.57.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::image::{ImageInput, ImageProcessor, PixelValues};
use crate::models::vision::ImageEncoder;
use crate::pipeline::feature_extraction::in_a_list;
use crate::pipeline::flow::{Pace, Work};
use crate::pipeline::input::Input;
use crate::pipeline::options::task_options;
use crate::pipeline::pictures;
use crate::pipeline::pictures::picture_pipeline;
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};

task_options! {
    /// Call options of [`ImageFeatureExtractionPipeline`], by their Hugging Face names.
    ImageFeatureExtractionOptions {
        /// Whether there is one vector for a picture, and not one for each of its tokens. Default: `false`.
        pool: bool,
        /// Accepted and without effect: what comes out is a list either way.
        return_tensors: bool,
        /// Accepted and without effect: nothing is fetched from the web.
        timeout: f64,
    }
}

/// The vectors of one picture. As JSON they stand in a list of one, as in Python.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum ImageFeatures {
    /// One for each token: those of the class and of registers, where the model has them, then the patches row by row.
    Tokens(#[serde(with = "in_a_list")] Vec<Vec<f32>>),
    /// One for the picture.
    Pooled([Vec<f32>; 1]),
}

picture_pipeline! {
    /// Returns the hidden states of pictures.
    ///
    #[doc = include_str!("../../docs/tasks/image-feature-extraction.md")]
    ImageFeatureExtractionPipeline<dyn ImageEncoder>
}

impl TaskSteps for ImageFeatureExtractionPipeline {
    type Input = ImageInput;
    type Output = ImageFeatures;
    type Options = ImageFeatureExtractionOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        Ok(Look {
            model: Arc::clone(&self.model),
            processor: self.processor.clone(),
            is_pooled: options.pool == Some(true),
        })
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<ImageInput>> {
        pictures::from_json(input)
    }

    fn read_media(&self, input: Input, _: &Self::Options) -> Result<ImageInput> {
        pictures::from_media(input)
    }
}

struct Look {
    model: Arc<dyn ImageEncoder>,
    processor: ImageProcessor,
    is_pooled: bool,
}

impl Work for Look {
    type Item = ImageInput;
    type Kept = ();
    type Row = PixelValues;
    type Answer = ImageFeatures;
    type Output = ImageFeatures;

    fn pace(&self, batch_size: Option<usize>) -> Pace {
        pictures::pace(batch_size)
    }

    fn prepare(&self, picture: ImageInput) -> Result<((), Vec<PixelValues>)> {
        Ok(((), vec![self.processor.process(&picture.load()?)?]))
    }

    fn forward(&self, rows: &[&PixelValues]) -> Result<Vec<ImageFeatures>> {
        if self.is_pooled {
            let rows = scores::rows(&self.model.pool(rows)?)?;
            return Ok(rows.into_iter().map(|row| ImageFeatures::Pooled([row])).collect());
        }
        let states = self.model.encode(rows)?;
        states.iter().map(|states| Ok(ImageFeatures::Tokens(scores::rows(states)?))).collect()
    }

    fn finish(&self, (): (), rows: Vec<(PixelValues, ImageFeatures)>) -> Result<ImageFeatures> {
        let features = rows.into_iter().next().map(|(_, features)| features);
        features.ok_or_else(|| Error::input("no picture"))
    }
}
