//! From preprocessor_config.json to what is done to a picture.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result, quoted};
use crate::image::processor::classes::{CLASSES, Class, Sizing};
use crate::image::resize::ResizeFilter;
use crate::read;
use crate::source::ModelFiles;
use crate::source::json;

/// What is done to a picture, in this order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImageProcessorConfig {
    /// `do_resize` and `size`.
    pub resizing: Resizing,
    /// How pixels of another size are computed.
    pub resample: ResizeFilter,
    /// `do_center_crop` and `crop_size`: the middle, with black around it where the picture is smaller.
    pub center_crop: Option<ImageSize>,
    /// `do_rescale` and `rescale_factor`: what multiplies the levels from 0 to 255.
    pub rescale_factor: Option<f64>,
    /// `do_normalize`, `image_mean` and `image_std`: what is taken away from red, green and blue, and what divides them
    /// then.
    pub normalize: Option<([f32; 3], [f32; 3])>,
}

/// Height and width in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageSize {
    /// The number of rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

/// How the size of pictures changes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Resizing {
    /// Not at all.
    None,
    /// To this size, whatever shape the picture has.
    Exact(ImageSize),
    /// So that the shorter edge is as long as this; the shape stays.
    ShortestEdge(usize),
    /// To a square: the middle of a picture whose shorter edge is `edge / crop_pct`, or from 384 on all of it: ConvNeXT.
    Share {
        /// Of the square.
        edge: usize,
        /// The share of the shorter edge that is seen.
        crop_pct: f64,
    },
}

impl ImageSize {
    /// A size of so many rows of so many pixels.
    #[must_use]
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }
}

impl Resizing {
    /// The sizes that it names.
    pub(super) fn size(self) -> Option<ImageSize> {
        match self {
            Self::None => None,
            Self::Exact(size) => Some(size),
            Self::ShortestEdge(edge) | Self::Share { edge, .. } => Some(ImageSize::new(edge, edge)),
        }
    }
}

impl ImageProcessorConfig {
    /// The config of a class by its name in transformers, with the class's defaults.
    ///
    /// # Errors
    ///
    /// When the class is not known.
    pub fn of_class(name: &str) -> Result<Self> {
        Options { fields: &Map::new(), class: class(name)? }.read()
    }
}

/// The file, and what it says.
pub(super) fn read(files: &ModelFiles) -> Result<(PathBuf, ImageProcessorConfig)> {
    let path = match files.optional(PREPROCESSOR)? {
        Some(path) => path,
        None => match files.optional(PROCESSOR)? {
            Some(path) => path,
            None => files.required(PREPROCESSOR, "how the model reads pictures")?,
        },
    };
    let mut fields: Map<String, Value> = json::read(&path)?;
    if let Some(inner) = fields.remove("image_processor") {
        fields = match inner {
            Value::Object(inner) => inner,
            other => {
                let found = read::described(&other);
                return Err(Error::malformed(
                    path,
                    format!("`image_processor`: {found} is no object"),
                ));
            }
        };
    }
    let name = class_name(files, &path, &fields)?;
    let class = class(&name).map_err(|error| match error {
        Error::UnsupportedModel { reason } => {
            Error::unsupported(format!("{}: {reason}", path.display()))
        }
        error => error,
    })?;
    let config = Options { fields: &fields, class }.read().map_err(|error| match error {
        Error::InvalidOption { option, reason } => {
            Error::malformed(&path, format!("`{option}`: {reason}"))
        }
        error => error,
    })?;
    Ok((path, config))
}

/// The class of the reference.
fn class_name(files: &ModelFiles, path: &Path, fields: &Map<String, Value>) -> Result<String> {
    for field in ["image_processor_type", "feature_extractor_type"] {
        if let Some(name) = fields.get(field).filter(|name| !name.is_null()) {
            let name: String =
                read::read_field(field, name).map_err(|wrong| Error::malformed(path, wrong))?;
            return Ok(name.replace("FeatureExtractor", "ImageProcessor"));
        }
    }
    // Files of before 2022 do not say.
    let config: Option<Map<String, Value>> = files.json("config.json")?;
    let model_type =
        config.as_ref().and_then(|config| config.get("model_type")).and_then(Value::as_str);
    let known = |model_type| CLASSES.iter().find(|class| class.model_types.contains(&model_type));
    model_type.and_then(known).map(|class| class.name.to_owned()).ok_or_else(|| {
        let model_type = model_type.map_or_else(|| "missing".to_owned(), quoted);
        Error::malformed(
            path,
            format!(
                "`image_processor_type` is missing, and `model_type` of config.json ({model_type}) does not \
                 tell it"
            ),
        )
    })
}

fn class(name: &str) -> Result<&'static Class> {
    let slow = name.strip_suffix("Fast").unwrap_or(name);
    CLASSES.iter().find(|class| class.name == slow).ok_or_else(|| {
        let known: Vec<_> = CLASSES.iter().map(|class| class.name).collect();
        let (name, known) = (quoted(name), known.join(", "));
        Error::unsupported(format!(
            "the image processor {name} is not supported; known are {known}"
        ))
    })
}

/// The fields of a file, read as a class does.
struct Options<'a> {
    fields: &'a Map<String, Value>,
    class: &'static Class,
}

impl Options<'_> {
    fn read(&self) -> Result<ImageProcessorConfig> {
        let class = self.class;
        let resizing = match self.flag("do_resize", true)? {
            true => self.resizing()?,
            false => Resizing::None,
        };
        let resample = match self.given::<u64>("resample")? {
            None => class.resample,
            Some(number) => ResizeFilter::from_number(number).ok_or_else(|| {
                Error::option("resample", format!("{number} is no filter of Pillow: 0 to 5 are"))
            })?,
        };
        let center_crop = match class.crop {
            Some(edge) if self.flag("do_center_crop", true)? => {
                Some(match self.sides("crop_size")? {
                    None => ImageSize::new(edge, edge),
                    Some(Sides::Edge(edge)) => ImageSize::new(edge, edge),
                    Some(Sides::Both(size)) => size,
                    Some(Sides::Shortest(_)) => {
                        return Err(Error::option(
                            "crop_size",
                            "it should have `height` and `width`",
                        ));
                    }
                })
            }
            _ => None,
        };
        let rescale_factor = match self.flag("do_rescale", true)? {
            true => Some(self.given("rescale_factor")?.unwrap_or(1.0 / 255.0)),
            false => None,
        };
        let normalize = match self.flag("do_normalize", true)? {
            true => Some((
                self.channels("image_mean")?.unwrap_or(class.mean),
                self.channels("image_std")?.unwrap_or(class.std),
            )),
            false => None,
        };
        Ok(ImageProcessorConfig { resizing, resample, center_crop, rescale_factor, normalize })
    }

    fn resizing(&self) -> Result<Resizing> {
        let class = self.class;
        let wrong = |wanted: &str| Error::option("size", format!("{} needs {wanted}", class.name));
        let size = self.sides("size")?.unwrap_or(Sides::Edge(class.size));
        Ok(match (class.sizing, size) {
            (Sizing::Exact, Sides::Edge(edge)) => Resizing::Exact(ImageSize::new(edge, edge)),
            (Sizing::Exact | Sizing::Edge, Sides::Both(size)) => Resizing::Exact(size),
            (Sizing::Exact, Sides::Shortest(_)) => return Err(wrong("`height` and `width`")),
            (Sizing::Edge, Sides::Edge(edge) | Sides::Shortest(edge)) => {
                // Of KOSMOS-2, which distorts pictures.
                match class.name == "CLIPImageProcessor" && self.flag("use_square_size", false)? {
                    true => Resizing::Exact(ImageSize::new(edge, edge)),
                    false => Resizing::ShortestEdge(edge),
                }
            }
            (Sizing::Share, Sides::Edge(edge) | Sides::Shortest(edge)) => {
                Resizing::Share { edge, crop_pct: self.given("crop_pct")?.unwrap_or(224.0 / 256.0) }
            }
            (Sizing::Share, Sides::Both(_)) => return Err(wrong("`shortest_edge`")),
        })
    }

    /// A size: a number, a list of height and width, or an object of edges.
    fn sides(&self, name: &str) -> Result<Option<Sides>> {
        let Some(value) = self.fields.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let side = |value: &Value| -> Result<usize> {
            read::read(value).map_err(|wrong| Error::option(name, wrong))
        };
        let names = |names: &[&str]| {
            value.as_object().is_some_and(|fields| {
                fields.len() == names.len() && names.iter().all(|name| fields.contains_key(*name))
            })
        };
        Ok(Some(match value {
            Value::Number(_) => Sides::Edge(side(value)?),
            Value::Array(sides) if sides.len() == 2 => {
                Sides::Both(ImageSize::new(side(&sides[0])?, side(&sides[1])?))
            }
            Value::Object(fields) if names(&["height", "width"]) => {
                Sides::Both(ImageSize::new(side(&fields["height"])?, side(&fields["width"])?))
            }
            // The classes here do not look at the longest edge.
            Value::Object(fields)
                if names(&["shortest_edge"]) || names(&["shortest_edge", "longest_edge"]) =>
            {
                Sides::Shortest(side(&fields["shortest_edge"])?)
            }
            other => {
                let found = read::described(other);
                let wanted = "a number, a list of height and width, `height` and `width`, or `shortest_edge`";
                return Err(Error::option(name, format!("{found} is no size: {wanted} are")));
            }
        }))
    }

    /// One number for each channel, or one for all.
    fn channels(&self, name: &str) -> Result<Option<[f32; 3]>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(_)) => Ok(self.given::<f32>(name)?.map(|value| [value; 3])),
            Some(_) => self.given(name),
        }
    }

    /// A flag; null is false, as in Python.
    fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.fields.get(name) {
            None => Ok(default),
            Some(_) => Ok(self.given(name)?.unwrap_or(false)),
        }
    }

    fn given<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read::read_field(name, value)
                .map(Some)
                .map_err(|wrong| Error::option(wrong.place, wrong.reason)),
        }
    }
}

/// A size, as it is written.
enum Sides {
    Edge(usize),
    Shortest(usize),
    Both(ImageSize),
}

const PREPROCESSOR: &str = "preprocessor_config.json";
const PROCESSOR: &str = "processor_config.json";
