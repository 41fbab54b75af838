//! `text-to-image`: a picture of a text.
//!
//! Mirrors `StableDiffusionPipeline`, `StableDiffusionXLPipeline` and `FluxPipeline` of diffusers 0.39, and their kin that
//! begin with a picture.

use std::marker::PhantomData;
use std::sync::Arc;

use candle_core::Tensor;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::diffusion::{PaintOptions, Painter};
use crate::error::{Error, Result};
use crate::media::{Image, Media};
use crate::pipeline::arguments;
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::pipeline::options::{CallOptions, Progress, TaskOptions, TruncationReport};
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};

/// Call options of [`TextToImagePipeline`]: [`PaintOptions`], which are all that JSON holds, and what every task has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "PaintOptions", into = "PaintOptions")]
#[non_exhaustive]
pub struct TextToImageOptions {
    /// How pictures are painted.
    pub paint: PaintOptions,
    /// Where the progress of a call with several texts is reported. Default: a bar on stderr.
    pub progress: Option<Progress>,
    /// Receives the numbers of the texts that were cut.
    pub truncation_report: Option<TruncationReport>,
}

impl TextToImageOptions {
    /// Sets [`progress`](Self#structfield.progress).
    #[must_use]
    pub fn progress(self, progress: Progress) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// Sets [`truncation_report`](Self#structfield.truncation_report).
    #[must_use]
    pub fn truncation_report(self, report: TruncationReport) -> Self {
        Self { truncation_report: Some(report), ..self }
    }
}

impl From<PaintOptions> for TextToImageOptions {
    fn from(paint: PaintOptions) -> Self {
        Self { paint, ..Self::default() }
    }
}

impl From<TextToImageOptions> for PaintOptions {
    fn from(options: TextToImageOptions) -> Self {
        options.paint
    }
}

impl TaskOptions for TextToImageOptions {
    fn read(options: Map<String, Value>) -> Result<Self> {
        arguments::options(options)
    }

    fn call(&self) -> CallOptions {
        CallOptions {
            batch_size: Some(1),
            progress: self.progress.clone().unwrap_or_default(),
            truncation_report: self.truncation_report.clone(),
            ..CallOptions::default()
        }
    }

    fn report_to(&mut self, report: TruncationReport) {
        self.truncation_report = Some(report);
    }
}

/// The pictures of one text. As JSON their sizes, which no picture can be read from; the pictures themselves are an
/// [`Output`]'s media.
///
/// [`Output`]: crate::pipeline::Output
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PaintedImages {
    /// As many as `num_images_per_prompt` says; none where `output_type` is `latent`.
    #[serde(serialize_with = "sizes")]
    pub images: Vec<Image>,
    /// Their latents, `(pictures, channels, height, width)` in f32.
    #[serde(skip)]
    pub latents: Option<Tensor>,
}

fn sizes<S: Serializer>(images: &[Image], to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(images.len()))?;
    for image in images {
        list.serialize_element(&json!({"width": image.width, "height": image.height}))?;
    }
    list.end()
}

/// Declares a pipeline of models that paint.
macro_rules! painter_pipeline {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        pub struct $name {
            painter: std::sync::Arc<crate::diffusion::Painter>,
        }

        impl $name {
            /// A pipeline of a loaded painter, which stays shared.
            #[must_use]
            pub fn from_painter(painter: std::sync::Arc<crate::diffusion::Painter>) -> Self {
                Self { painter }
            }

            pub(super) fn load(
                files: &crate::source::ModelFiles,
                options: &crate::options::LoadOptions,
            ) -> Result<Self> {
                let painter = crate::diffusion::Painter::from_files(files, options)?;
                Ok(Self::from_painter(std::sync::Arc::new(painter)))
            }

            /// The model with all of its parts.
            #[must_use]
            pub fn painter(&self) -> &std::sync::Arc<crate::diffusion::Painter> {
                &self.painter
            }
        }
    };
}

pub(super) use painter_pipeline;

painter_pipeline! {
    /// Paints texts.
    ///
    #[doc = include_str!("../../docs/tasks/text-to-image.md")]
    TextToImagePipeline
}

impl TaskSteps for TextToImagePipeline {
    type Input = String;
    type Output = PaintedImages;
    type Options = TextToImageOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        Ok(Paint::new(&self.painter, options))
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<String>> {
        Items::texts(input)
    }

    fn take_media(&self, output: &mut Self::Output) -> Vec<Media> {
        output.images.iter().cloned().map(Media::Image).collect()
    }
}

/// What is painted.
pub(super) trait Subject {
    /// The text, and the options with its pictures.
    fn into_parts(self, options: PaintOptions) -> Result<(String, PaintOptions)>;
}

impl Subject for String {
    fn into_parts(self, options: PaintOptions) -> Result<(String, PaintOptions)> {
        Ok((self, options))
    }
}

/// Painting, one subject after the other.
pub(super) struct Paint<T> {
    painter: Arc<Painter>,
    options: PaintOptions,
    subject: PhantomData<fn(T)>,
}

impl<T> Paint<T> {
    pub(super) fn new(painter: &Arc<Painter>, options: &TextToImageOptions) -> Self {
        let (painter, options) = (Arc::clone(painter), options.paint.clone());
        Self { painter, options, subject: PhantomData }
    }
}

/// A text, and how many of its tokens the encoder has no room for.
pub(super) struct Row {
    text: String,
    options: PaintOptions,
    cut: usize,
}

impl Measured for Row {
    fn length(&self) -> usize {
        self.text.len()
    }

    fn is_cut(&self) -> bool {
        self.cut > 0
    }
}

impl<T: Subject + Measured + Send + 'static> Work for Paint<T> {
    type Item = T;
    type Kept = ();
    type Row = Row;
    type Answer = PaintedImages;
    type Output = PaintedImages;

    /// A picture takes long: one by one.
    fn pace(&self, _: Option<usize>) -> Pace {
        Pace::one_by_one()
    }

    fn prepare(&self, subject: T) -> Result<((), Vec<Row>)> {
        let (text, options) = subject.into_parts(self.options.clone())?;
        let cut = self.painter.cut_tokens(&text, &options)?;
        Ok(((), vec![Row { text, options, cut }]))
    }

    fn forward(&self, rows: &[&Row]) -> Result<Vec<PaintedImages>> {
        let paint = |row: &&Row| {
            let painted = self.painter.paint(&row.text, &row.options)?;
            Ok(PaintedImages { images: painted.images, latents: Some(painted.latents) })
        };
        rows.iter().map(paint).collect()
    }

    fn finish(&self, (): (), rows: Vec<(Row, PaintedImages)>) -> Result<PaintedImages> {
        // A subject is one row.
        let answers = rows.into_iter().map(|(_, answer)| answer);
        answers.last().ok_or_else(|| Error::input("nothing was painted"))
    }
}
