//! Pixels to files, and the texts inside a PNG.

use std::fs;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use png::{BitDepth, ColorType, Decoder, Encoder};

use crate::error::{Error, Result};
use crate::media::Image;

/// What a picture is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageFormat {
    /// Without loss, and with texts.
    Png,
    /// With loss.
    Jpeg {
        /// From 1 to 100; Pillow's default is 75.
        quality: u8,
    },
    /// WebP without loss.
    WebP,
}

impl ImageFormat {
    /// The format by the name of a file: `.png`, `.jpg`, `.jpeg` or `.webp`.
    ///
    /// # Errors
    ///
    /// When the name ends otherwise.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        Ok(match extension.to_ascii_lowercase().as_str() {
            "png" => Self::Png,
            "jpg" | "jpeg" => Self::Jpeg { quality: 75 },
            "webp" => Self::WebP,
            _ => {
                return Err(Error::input(format!(
                    "{}: pictures are written as .png, .jpg or .webp",
                    path.display()
                )));
            }
        })
    }
}

/// Writes a picture, in the format that the name of the file says.
///
/// # Errors
///
/// When the name says none, or the file cannot be written.
pub fn write(path: impl AsRef<Path>, image: &Image) -> Result<()> {
    write_with_texts(path, image, &[])
}

/// As [`write()`], with texts by their keywords, which only PNG files hold: Latin 1 as `tEXt`, others as `iTXt`, as
/// Pillow writes them. [`read_texts`] reads them back.
///
/// # Errors
///
/// As there, and when a keyword is none or the format holds no texts.
pub fn write_with_texts(
    path: impl AsRef<Path>,
    image: &Image,
    texts: &[(&str, &str)],
) -> Result<()> {
    let path = path.as_ref();
    let bytes = encode(image, ImageFormat::of(path)?, texts)?;
    fs::write(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// What [`write_with_texts`] writes.
///
/// # Errors
///
/// As there, but for those of the disk.
pub fn encode(image: &Image, format: ImageFormat, texts: &[(&str, &str)]) -> Result<Vec<u8>> {
    let size = |size: usize| u32::try_from(size).map_err(Error::input);
    let (width, height) = (size(image.width)?, size(image.height)?);
    let mut bytes = Vec::new();
    if format == ImageFormat::Png {
        encode_png(&mut bytes, [width, height], &image.rgb, texts).map_err(unwritten)?;
        return Ok(bytes);
    }
    if !texts.is_empty() {
        return Err(Error::input("only PNG files hold texts"));
    }
    let color = ExtendedColorType::Rgb8;
    match format {
        ImageFormat::Jpeg { quality: quality @ 1..=100 } => {
            JpegEncoder::new_with_quality(&mut bytes, quality)
                .write_image(&image.rgb, width, height, color)
        }
        ImageFormat::Jpeg { quality } => {
            return Err(Error::option("quality", format!("{quality} is not from 1 to 100")));
        }
        _ => WebPEncoder::new_lossless(&mut bytes).write_image(&image.rgb, width, height, color),
    }
    .map_err(unwritten)?;
    Ok(bytes)
}

fn encode_png(
    bytes: &mut Vec<u8>,
    [width, height]: [u32; 2],
    rgb: &[u8],
    texts: &[(&str, &str)],
) -> Result<(), png::EncodingError> {
    let mut encoder = Encoder::new(bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    for &(keyword, text) in texts {
        match text.chars().all(|character| u32::from(character) < 256) {
            true => encoder.add_text_chunk(keyword.to_owned(), text.to_owned())?,
            false => encoder.add_itxt_chunk(keyword.to_owned(), text.to_owned())?,
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()
}

fn unwritten(error: impl std::fmt::Display) -> Error {
    Error::input(format!("the picture cannot be written: {error}"))
}

/// The texts inside a PNG file, each with its keyword, compressed ones included.
///
/// # Errors
///
/// When the file cannot be read or is no PNG.
pub fn read_texts(path: impl AsRef<Path>) -> Result<Vec<(String, String)>> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let broken = |error: png::DecodingError| Error::input(format!("{}: {error}", path.display()));
    let mut reader = Decoder::new(BufReader::new(file)).read_info().map_err(broken)?;
    reader.finish().map_err(broken)?;
    let info = reader.info();
    let mut texts: Vec<_> = info
        .uncompressed_latin1_text
        .iter()
        .map(|chunk| (chunk.keyword.clone(), chunk.text.clone()))
        .collect();
    for chunk in &info.compressed_latin1_text {
        texts.push((chunk.keyword.clone(), chunk.get_text().map_err(unread)?));
    }
    for chunk in &info.utf8_text {
        texts.push((chunk.keyword.clone(), chunk.get_text().map_err(unread)?));
    }
    Ok(texts)
}

fn unread(error: png::DecodingError) -> Error {
    Error::input(format!("a text of the picture cannot be read: {error}"))
}
