//! What the pipelines of pictures share.

use serde_json::Value;

use crate::batch::Budget;
use crate::error::{Error, Result};
use crate::image::{ImageInput, PixelValues};
use crate::media::Media;
use crate::pipeline::flow::{Measured, Pace};
use crate::pipeline::input::Input;
use crate::pipeline::skeleton::Items;

/// Declares the pipeline of one kind of model and an image processor.
macro_rules! picture_pipeline {
    ($(#[$about:meta])* $name:ident<$model:ty>) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        pub struct $name {
            model: std::sync::Arc<$model>,
            processor: crate::image::ImageProcessor,
        }

        impl $name {
            /// A pipeline of a loaded model and an image processor; the model stays shared.
            #[must_use]
            pub fn from_parts(
                model: std::sync::Arc<$model>,
                processor: crate::image::ImageProcessor,
            ) -> Self {
                Self { model, processor }
            }

            pub(super) fn load(
                files: &crate::source::ModelFiles,
                options: &crate::options::LoadOptions,
            ) -> Result<Self> {
                let model = crate::models::AutoModel::from_files::<$model>(files, options)?;
                Ok(Self::from_parts(model, crate::image::ImageProcessor::from_files(files)?))
            }

            /// The model, for sharing or inspection.
            #[must_use]
            pub fn model(&self) -> &std::sync::Arc<$model> {
                &self.model
            }

            /// The image processor.
            #[must_use]
            pub fn processor(&self) -> &crate::image::ImageProcessor {
                &self.processor
            }
        }
    };
}

pub(super) use picture_pipeline;

/// A picture, or a list of pictures, of JSON: paths, or files in base64.
pub(super) fn from_json(input: &Value) -> Result<Items<ImageInput>> {
    Items::texts(input)
}

/// A picture that is no JSON.
pub(super) fn from_media(input: Input) -> Result<ImageInput> {
    match input {
        Input::Bytes(bytes) => Ok(bytes.into()),
        Input::Media(Media::Image(image)) => Ok(image.into()),
        Input::Media(Media::Audio(_)) => Err(Error::input("audio where a picture is wanted")),
        Input::Json(Value::String(text)) => Ok(text.into()),
        Input::Json(_) | Input::List(_) => {
            Err(Error::input("each of a list of pictures is a text, a file or pixels"))
        }
    }
}

/// How many pictures are prepared and seen at once.
pub(super) fn pace(batch_size: Option<usize>) -> Pace {
    let rows = batch_size.unwrap_or(AT_ONCE);
    let batch = Budget { rows, tokens: usize::MAX, may_be_loose: usize::MAX };
    Pace { items: rows.clamp(1, 4 * AT_ONCE), length: FILES, batch }
}

impl Measured for ImageInput {
    /// Bytes; 0 where a file cannot be read, which is said later.
    fn length(&self) -> usize {
        let of_file = |path: &std::path::Path| {
            let size = path.metadata().map(|metadata| metadata.len()).unwrap_or(0);
            usize::try_from(size).unwrap_or(usize::MAX)
        };
        match self {
            Self::Text(text) => text.len().max(of_file(text.as_ref())),
            Self::File(path) => of_file(path),
            Self::Bytes(bytes) => bytes.len(),
            Self::Pixels(image) => image.rgb.len(),
        }
    }
}

impl Measured for PixelValues {
    fn length(&self) -> usize {
        self.values.len()
    }
}

/// Pictures that a model sees at once by default.
const AT_ONCE: usize = 16;

/// Bytes of files that are prepared at once.
const FILES: usize = 1 << 26;
