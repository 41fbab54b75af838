//! `image-to-image`: a picture becomes another, as a text says.
//!
//! Mirrors the image-to-image and inpainting pipelines of diffusers 0.39.

use serde::Deserialize;
use serde_json::Value;

use crate::diffusion::PaintOptions;
use crate::error::{Error, Result};
use crate::image::ImageInput;
use crate::media::Media;
use crate::pipeline::arguments;
use crate::pipeline::flow::Measured;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::pipeline::text_to_image::{
    Paint, PaintedImages, Subject, TextToImageOptions, painter_pipeline,
};

/// A picture, and what it is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PicturePrompt {
    /// The picture.
    pub image: ImageInput,
    /// What it is to become.
    pub prompt: String,
    /// Light where it is painted anew, and of its size: inpainting. Default: all of it is painted anew.
    pub mask_image: Option<ImageInput>,
}

impl PicturePrompt {
    /// A picture, and what it is to become.
    pub fn new(image: impl Into<ImageInput>, prompt: impl Into<String>) -> Self {
        Self { image: image.into(), prompt: prompt.into(), mask_image: None }
    }

    /// Paints anew only where this is light.
    #[must_use]
    pub fn mask_image(self, mask: impl Into<ImageInput>) -> Self {
        Self { mask_image: Some(mask.into()), ..self }
    }
}

impl<I: Into<ImageInput>, T: Into<String>> From<(I, T)> for PicturePrompt {
    fn from((image, prompt): (I, T)) -> Self {
        Self::new(image, prompt)
    }
}

impl Measured for PicturePrompt {
    fn length(&self) -> usize {
        self.image.length()
    }
}

impl Subject for PicturePrompt {
    fn into_parts(self, options: PaintOptions) -> Result<(String, PaintOptions)> {
        if options.image.is_some() || options.mask_image.is_some() {
            return Err(Error::option("image", "the pictures are in the input"));
        }
        let options = options.image(self.image.load()?);
        let options = match self.mask_image {
            Some(mask) => options.mask_image(mask.load()?),
            None => options,
        };
        Ok((self.prompt, options))
    }
}

painter_pipeline! {
    /// Paints pictures anew.
    ///
    #[doc = include_str!("../../docs/tasks/image-to-image.md")]
    ImageToImagePipeline
}

impl TaskSteps for ImageToImagePipeline {
    type Input = PicturePrompt;
    type Output = PaintedImages;
    type Options = TextToImageOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        Ok(Paint::new(&self.painter, options))
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<PicturePrompt>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            image: String,
            prompt: String,
            mask_image: Option<String>,
        }
        let prompt = |Fields { image, prompt, mask_image }| PicturePrompt {
            image: ImageInput::Text(image),
            prompt,
            mask_image: mask_image.map(ImageInput::Text),
        };
        Ok(match input {
            Value::Object(_) => Items::One(prompt(arguments::item(input)?)),
            Value::Array(_) => {
                Items::many(arguments::item::<Vec<Fields>>(input)?.into_iter().map(prompt))
            }
            _ => {
                let wanted = "{\"image\": …, \"prompt\": …} or a list of such";
                return Err(arguments::misshapen(input, wanted));
            }
        })
    }

    fn take_media(&self, output: &mut Self::Output) -> Vec<Media> {
        output.images.iter().cloned().map(Media::Image).collect()
    }
}
