//! Files to pixels, as transformers' `load_image` reads them with Pillow.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};

use crate::error::{Error, Result};
use crate::image::pixels::{PixelLayout, from_pixels, room};
use crate::image::resize::check_size;
use crate::image::{jpeg, orientation, png};
use crate::media::Image;

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
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => png::decode(bytes),
        [0xFF, 0xD8, 0xFF, ..] => jpeg::decode(bytes),
        [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P', ..] => {
            // The decoder would read a picture whose last bytes are missing.
            let size = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            match bytes.len() - 8 < size {
                true => Err(Error::input("the picture is broken or cut short")),
                false => decode_webp(WebPDecoder::new(Cursor::new(bytes))),
            }
        }
        [] => Err(Error::input("an empty file, not a picture")),
        _ => {
            // What is in a box of MPEG-4 says so behind the size of the box.
            let start = match bytes.get(4..8) {
                Some(b"ftyp") => &bytes[4..],
                _ => bytes,
            };
            let name = FORMATS.iter().find(|(known, _)| start.starts_with(known));
            let name = name.map_or("a file of an unknown format", |(_, name)| *name);
            Err(Error::input(format!("{name}, not a picture that is read: PNG, JPEG and WebP are")))
        }
    }
}

fn decode_webp<D: ImageDecoder>(decoder: Result<D, ImageError>) -> Result<Image> {
    let mut decoder = decoder.map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    let exif = decoder.exif_metadata().ok().flatten();
    let xmp = decoder.xmp_metadata().ok().flatten();
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_BYTES);
    decoder.set_limits(limits).map_err(broken)?;
    let layout = match decoder.color_type() {
        ColorType::Rgb8 => PixelLayout::Rgb,
        ColorType::Rgba8 => PixelLayout::Rgba,
        other => return Err(Error::input(format!("pixels of the kind {other:?} are not read"))),
    };
    let bytes = usize::try_from(decoder.total_bytes()).map_err(Error::input)?;
    let mut pixels = room(0, bytes, [width, height])?;
    decoder.read_image(&mut pixels).map_err(broken)?;
    let image = from_pixels(layout, width, height, &pixels)?;
    Ok(orientation::upright(image, orientation::of(exif.as_deref(), xmp.as_deref())))
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
    (b"ftypavi", "an AVIF"),
    (b"ftyphe", "a HEIC"),
    (b"ftypmif1", "a HEIC"),
    (b"qoif", "a QOI"),
    (b"<svg", "an SVG"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"%PDF", "a PDF"),
    (b"version https://git-lfs", "a pointer of Git LFS"),
];

/// What a decoder may allocate beside the pixels.
const MOST_BYTES: u64 = 2 << 30;
