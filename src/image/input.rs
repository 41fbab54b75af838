//! Pictures, as they come in.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, quoted};
use crate::image::base64;
use crate::image::read::{read, read_bytes};
use crate::media::Image;

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageInput {
    /// What transformers' `load_image` takes as a text: the path of a file, or what is in one in base64, perhaps as a
    /// `data:image/…` address.
    Text(String),
    /// A file.
    File(PathBuf),
    /// What is in a file.
    Bytes(Vec<u8>),
    /// The pixels. [`from_pixels`](crate::image::from_pixels) makes them of shades of grey and of pixels with alpha.
    Pixels(Image),
}

impl ImageInput {
    /// The pixels: upright, in red, green and blue.
    ///
    /// # Errors
    ///
    /// When there is no such picture, it is an address of the web, which is not fetched, and as
    /// [`read`](crate::image::read).
    pub fn load(self) -> Result<Image> {
        match self {
            Self::Text(text) => load_text(&text),
            Self::File(path) => read(path),
            Self::Bytes(bytes) => read_bytes(&bytes),
            Self::Pixels(image) => Ok(image),
        }
    }
}

fn load_text(text: &str) -> Result<Image> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(Error::input(format!("{}: download it, and give the file", quoted(text))));
    }
    if Path::new(text).is_file() {
        return read(text);
    }
    let data = match text.starts_with("data:image/") {
        true => text.split(',').nth(1).unwrap_or_default(),
        false => text,
    };
    let bytes = base64::decode(data).filter(|bytes| !bytes.is_empty());
    let wrong = |reason: &str| {
        Error::input(format!("{} is neither a file nor a picture in base64{reason}", quoted(text)))
    };
    let bytes = bytes.ok_or_else(|| wrong(""))?;
    read_bytes(&bytes).map_err(|error| match error {
        Error::InvalidInput { reason } => wrong(&format!(" ({reason})")),
        error => error,
    })
}

impl From<&str> for ImageInput {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ImageInput {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Path> for ImageInput {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<PathBuf> for ImageInput {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<Vec<u8>> for ImageInput {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Image> for ImageInput {
    fn from(image: Image) -> Self {
        Self::Pixels(image)
    }
}
