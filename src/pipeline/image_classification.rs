//! `image-classification`: what a picture shows, by the labels that a model was trained on.
//!
//! Mirrors `pipelines/image_classification.py` of transformers 4.57.

use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::image::{ImageInput, ImageProcessor, PixelValues};
use crate::models::heads::{Labels, ProblemType};
use crate::models::vision::ImageClassifier;
use crate::pipeline::flow::{Pace, Work};
use crate::pipeline::input::Input;
use crate::pipeline::options::task_options;
use crate::pipeline::pictures;
use crate::pipeline::pictures::picture_pipeline;
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::pipeline::text_classification::{LabelScore, ScoreFunction};

task_options! {
    /// Call options of [`ImageClassificationPipeline`], by their Hugging Face names.
    ImageClassificationOptions {
        /// From logits to scores. Default: sigmoid for a single label or several that may hold at once, else softmax.
        function_to_apply: ScoreFunction,
        /// Accepted and without effect: nothing is fetched from the web.
        timeout: f64,
        /// How many labels, best first. Default: 5.
        top_k: usize,
    }
}

picture_pipeline! {
    /// Says what pictures show.
    ///
    #[doc = include_str!("../../docs/tasks/image-classification.md")]
    ImageClassificationPipeline<dyn ImageClassifier>
}

impl ImageClassificationPipeline {
    /// The names of the labels, in the order of the logits.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        self.model.labels()
    }
}

impl TaskSteps for ImageClassificationPipeline {
    type Input = ImageInput;
    type Output = Vec<LabelScore>;
    type Options = ImageClassificationOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        Ok(Look {
            model: Arc::clone(&self.model),
            processor: self.processor.clone(),
            function: options.function_to_apply,
            top_k: options.top_k.unwrap_or(5),
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
    model: Arc<dyn ImageClassifier>,
    processor: ImageProcessor,
    function: Option<ScoreFunction>,
    top_k: usize,
}

impl Work for Look {
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
        scores::rows(&self.model.classify(rows)?)
    }

    fn finish(&self, (): (), rows: Vec<(PixelValues, Vec<f32>)>) -> Result<Vec<LabelScore>> {
        let logits = rows.into_iter().next().map(|(_, logits)| logits);
        let logits = logits.ok_or_else(|| Error::input("no picture"))?;
        let labels = self.model.labels();
        let is_each_alone =
            labels.problem_type == Some(ProblemType::MultiLabel) || logits.len() == 1;
        let default = if is_each_alone { ScoreFunction::Sigmoid } else { ScoreFunction::Softmax };
        let scores = self.function.unwrap_or(default).apply(logits);
        let mut scored = LabelScore::ranked(labels.names.iter().cloned(), scores);
        scored.truncate(self.top_k);
        Ok(scored)
    }
}
