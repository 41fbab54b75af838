//! Files to pixels, as transformers' `load_image` reads them with Pillow.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};

use crate::error::{Error, Result};
use crate::image::jpeg;
use crate::image::orientation;
use crate::image::resize::check_size;
use crate::media::Image;

/// What the bytes of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PixelLayout {
    /// Brightness.
    L,
    /// Brightness and alpha.
    La,
    /// Red, green and blue.
    Rgb,
    /// Red, green, blue and alpha.
    Rgba,
}

/// Reads a PNG, JPEG or WebP file, by what is in it and not by its name: upright, in red, green and blue, without alpha.
/// Of an animation it is the first picture.
///
/// # Errors
///
/// When the file cannot be read, is of another format, is broken or cut short, or has more pixels than Pillow takes
/// (178,956,970).
pub fn read(path: impl AsRef<Path>) -> Result<Image> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    read_bytes(&bytes).map_err(|error| match error {
        Error::InvalidInput { reason } => Error::input(format!("{}: {reason}", path.display())),
        error => error,
    })
}

/// As [`read`], of what is in a file.
///
/// # Errors
///
/// As there.
pub fn read_bytes(bytes: &[u8]) -> Result<Image> {
    let cursor = Cursor::new(bytes);
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => decode(PngDecoder::new(cursor)),
        [0xFF, 0xD8, 0xFF, ..] if !jpeg::is_whole(bytes) => {
            Err(Error::input("the picture is cut short"))
        }
        [0xFF, 0xD8, 0xFF, ..] => decode(JpegDecoder::new(cursor)),
        [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P', ..] => {
            // The decoder would read a picture whose last bytes are missing.
            let size = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            match bytes.len() - 8 < size {
                true => Err(Error::input("the picture is broken or cut short")),
                false => decode(WebPDecoder::new(cursor)),
            }
        }
        [] => Err(Error::input("an empty file, not a picture")),
        _ => {
            let name = FORMATS.iter().find(|(start, _)| bytes.starts_with(start));
            let name = name.map_or("a file of an unknown format", |(_, name)| *name);
            Err(Error::input(format!("{name}, not a picture that is read: PNG, JPEG and WebP are")))
        }
    }
}

/// A picture of pixels row by row from the top, of which alpha is dropped.
///
/// # Errors
///
/// When it has no pixels, or another number of bytes.
pub fn from_pixels(
    layout: PixelLayout,
    width: usize,
    height: usize,
    pixels: &[u8],
) -> Result<Image> {
    let channels = layout.channels();
    if Some(pixels.len()) != width.checked_mul(height).and_then(|count| count.checked_mul(channels))
    {
        let found = pixels.len();
        return Err(Error::input(format!(
            "{found} bytes for {width} by {height} pixels of {channels}"
        )));
    }
    let grey = |pixel: &[u8]| [pixel[0]; 3];
    let rgb = match layout {
        PixelLayout::Rgb => pixels.to_vec(),
        PixelLayout::Rgba => {
            pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
        }
        PixelLayout::L | PixelLayout::La => pixels.chunks_exact(channels).flat_map(grey).collect(),
    };
    Image::new(width, height, rgb)
}

impl PixelLayout {
    /// Bytes of a pixel.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::L => 1,
            Self::La => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

fn decode<D: ImageDecoder>(decoder: Result<D, ImageError>) -> Result<Image> {
    let mut decoder = decoder.map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    let orientation = orientation::of(&mut decoder);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_BYTES);
    decoder.set_limits(limits).map_err(broken)?;
    let color = decoder.color_type();
    let bytes = usize::try_from(decoder.total_bytes()).map_err(Error::input)?;
    let mut pixels = Vec::new();
    pixels
        .try_reserve_exact(bytes)
        .map_err(|_| Error::input(format!("no memory for {width} by {height} pixels")))?;
    pixels.resize(bytes, 0);
    decoder.read_image(&mut pixels).map_err(broken)?;
    let layout = match color {
        ColorType::L8 | ColorType::L16 => PixelLayout::L,
        ColorType::La8 | ColorType::La16 => PixelLayout::La,
        ColorType::Rgb8 | ColorType::Rgb16 => PixelLayout::Rgb,
        ColorType::Rgba8 | ColorType::Rgba16 => PixelLayout::Rgba,
        other => return Err(Error::input(format!("pixels of the kind {other:?} are not read"))),
    };
    let wide = || pixels.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]));
    // As Pillow: shades of grey are cut off at 255, colors lose their low bits.
    let pixels = match color {
        ColorType::L16 => wide().map(|value| u8::try_from(value).unwrap_or(u8::MAX)).collect(),
        ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => {
            wide().map(|value| (value >> 8) as u8).collect()
        }
        _ => pixels,
    };
    let image = from_pixels(layout, width, height, &pixels)?;
    Ok(orientation::upright(image, orientation))
}

fn broken(error: ImageError) -> Error {
    Error::input(format!("the picture is broken or cut short: {error}"))
}

/// How files begin that Pillow reads and this does not.
const FORMATS: &[(&[u8], &str)] = &[
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"\0\0\0\x0CjP", "a JPEG 2000"),
    (b"\0\0\x01\0", "an icon"),
    (b"qoif", "a QOI"),
    (b"<svg", "an SVG"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"%PDF", "a PDF"),
    (b"version https://git-lfs", "a pointer of Git LFS"),
];

/// What a decoder may allocate beside the pixels.
const MOST_BYTES: u64 = 2 << 30;
