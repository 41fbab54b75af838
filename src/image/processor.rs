//! What a model reads of a picture, as preprocessor_config.json describes it.

mod classes;
mod config;

pub use config::{ImageProcessorConfig, ImageSize, Resizing};

use crate::error::{Error, Result};
use crate::image::resize::{check_size, resize};
use crate::media::Image;
use crate::source::ModelFiles;

/// Turns pictures into what a model reads: `AutoImageProcessor` of transformers, `use_fast=False`.
///
/// The classes that compute with Pillow and NumPy are the reference. Those that end in `Fast` compute with torchvision,
/// and differ from them by up to one of 255 levels.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessor {
    config: ImageProcessorConfig,
}

/// What a model reads of a picture.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PixelValues {
    /// Red, green and blue planes, `(3, height, width)`.
    pub values: Vec<f32>,
    /// The number of rows.
    pub height: usize,
    /// Values in a row.
    pub width: usize,
}

impl ImageProcessor {
    /// A processor with this config.
    ///
    /// # Errors
    ///
    /// When a size is 0 or too large, or a number makes no sense.
    pub fn new(config: ImageProcessorConfig) -> Result<Self> {
        let sizes = [config.resizing.size(), config.center_crop].into_iter().flatten();
        for ImageSize { height, width } in sizes {
            if height == 0 || width == 0 {
                return Err(Error::option("size", format!("{height} by {width} has no pixels")));
            }
            check_size(width, height).map_err(|error| Error::option("size", error.to_string()))?;
            if width * height > MOST_PIXELS {
                let reason =
                    format!("{height} by {width}; no model sees more than {MOST_PIXELS} pixels");
                return Err(Error::option("size", reason));
            }
        }
        if let Resizing::Share { crop_pct, .. } = config.resizing
            && !(crop_pct > 0.0 && crop_pct.is_finite())
        {
            return Err(Error::option("crop_pct", format!("{crop_pct} is no share")));
        }
        if config.rescale_factor.is_some_and(|factor| !factor.is_finite()) {
            return Err(Error::option("rescale_factor", "it is no finite number"));
        }
        if let Some((mean, std)) = config.normalize {
            if mean.iter().any(|mean| !mean.is_finite()) {
                return Err(Error::option("image_mean", "it holds what is no finite number"));
            }
            if std.iter().any(|std| *std == 0.0 || !std.is_finite()) {
                return Err(Error::option("image_std", "it holds what is nothing to divide by"));
            }
        }
        Ok(Self { config })
    }

    /// Reads preprocessor_config.json, or else the image processor in processor_config.json. The class is
    /// `image_processor_type`, or the older `feature_extractor_type`, or else follows from `model_type` in config.json.
    ///
    /// # Errors
    ///
    /// When there is neither file, the class is not supported, or an option makes no sense; the error names the file and
    /// the option.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let (path, config) = config::read(files)?;
        Self::new(config).map_err(|error| match error {
            Error::InvalidOption { option, reason } => {
                Error::malformed(&path, format!("`{option}`: {reason}"))
            }
            error => error,
        })
    }

    /// What it does.
    #[must_use]
    pub fn config(&self) -> &ImageProcessorConfig {
        &self.config
    }

    /// What the model reads of a picture.
    ///
    /// # Errors
    ///
    /// When the picture would become too large: one that is a thousand times as wide as high, say.
    pub fn process(&self, image: &Image) -> Result<PixelValues> {
        let resized = self.resized(image)?;
        let image = resized.as_ref().unwrap_or(image);
        let cropped = self.config.center_crop.map(|size| center_crop(image, size));
        Ok(self.values(cropped.as_ref().unwrap_or(image)))
    }

    fn resized(&self, image: &Image) -> Result<Option<Image>> {
        let filter = self.config.resample;
        let shortest = |edge: usize| {
            let (width, height) = shortest_edge(image, edge);
            resize(image, width, height, filter)
        };
        Ok(match self.config.resizing {
            Resizing::None => None,
            Resizing::Exact(ImageSize { height, width }) => {
                Some(resize(image, width, height, filter)?)
            }
            Resizing::ShortestEdge(edge) => Some(shortest(edge)?),
            Resizing::Share { edge, .. } if edge >= WARPED => {
                Some(resize(image, edge, edge, filter)?)
            }
            Resizing::Share { edge, crop_pct } => {
                let larger = shortest((edge as f64 / crop_pct) as usize)?;
                Some(center_crop(&larger, ImageSize { height: edge, width: edge }))
            }
        })
    }

    fn values(&self, image: &Image) -> PixelValues {
        let table = |channel: usize| -> Vec<f32> {
            (0..=u8::MAX)
                .map(|level| {
                    let value = match self.config.rescale_factor {
                        Some(factor) => (f64::from(level) * factor) as f32,
                        None => f32::from(level),
                    };
                    match self.config.normalize {
                        Some((mean, std)) => (value - mean[channel]) / std[channel],
                        None => value,
                    }
                })
                .collect()
        };
        let mut values = Vec::with_capacity(image.rgb.len());
        for channel in 0..3 {
            let table = table(channel);
            let levels = image.rgb[channel..].iter().step_by(3);
            values.extend(levels.map(|&level| table[usize::from(level)]));
        }
        PixelValues { values, height: image.height, width: image.width }
    }
}

/// Width and height after the shorter edge has become `edge`: `get_resize_output_image_size`, which cuts the longer one
/// to a whole number.
fn shortest_edge(image: &Image, edge: usize) -> (usize, usize) {
    let (width, height) = (image.width, image.height);
    let longer = |short: usize, long: usize| {
        // As Python divides whole numbers.
        let product = edge as u128 * long as u128;
        (product as f64 / short as f64) as usize
    };
    match width <= height {
        true => (edge, longer(width, height)),
        false => (longer(height, width), edge),
    }
}

/// The middle, with black around where the picture is smaller.
fn center_crop(image: &Image, ImageSize { height, width }: ImageSize) -> Image {
    let mut out = vec![0; height * width * 3];
    let (from_y, to_y, rows) = middle(image.height, height);
    let (from_x, to_x, columns) = middle(image.width, width);
    for row in 0..rows {
        let from = ((from_y + row) * image.width + from_x) * 3;
        let to = ((to_y + row) * width + to_x) * 3;
        out[to..to + columns * 3].copy_from_slice(&image.rgb[from..from + columns * 3]);
    }
    Image { width, height, rgb: out }
}

/// Where the part that stays begins before and after the crop, and how long it is.
fn middle(size: usize, crop: usize) -> (usize, usize, usize) {
    match size.checked_sub(crop) {
        Some(more) => (more / 2, 0, crop),
        // The larger half of the padding is in front.
        None => (0, (crop - size).div_ceil(2), size),
    }
}

/// From this edge on ConvNeXT pictures are warped, not cropped.
const WARPED: usize = 384;
/// Pixels that a picture is resized to: models see 224 to 1,024 of a side.
const MOST_PIXELS: usize = 1 << 24;
