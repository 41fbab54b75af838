//! PNG files to pixels, as Pillow reads them.

use std::borrow::Cow;
use std::io::Cursor;

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Info, Limits};

use crate::error::{Error, Result};
use crate::image::orientation;
use crate::image::pixels::{PixelLayout, from_pixels, room};
use crate::image::resize::check_size;
use crate::media::Image;

/// The pixels, upright. Of an animation it is what programs show that know none.
pub(super) fn decode(bytes: &[u8]) -> Result<Image> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(Limits { bytes: MOST_METADATA });
    let header = decoder.read_header_info().map_err(broken)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check_size(width, height)?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let palette = reader.info().palette.clone().unwrap_or_default();
    let size = reader.output_buffer_size().ok_or_else(|| Error::input("too many pixels"))?;
    let mut data = room(0, size, [width, height])?;
    let frame = reader.next_frame(&mut data).map_err(broken)?;
    // What stands behind the pixels says what is up, too; where that is damaged, the pixels are not.
    let _ = reader.finish();
    let info = reader.info();
    let samples =
        samples(&data, frame.line_size, width * info.color_type.samples(), frame.bit_depth);
    let levels = (1_u32 << (info.bit_depth as u32).min(8)) - 1;
    let image = match (info.color_type, info.bit_depth) {
        (ColorType::Indexed, _) => {
            let palette = palette.as_chunks::<3>().0;
            let color = |index: &u8| palette.get(usize::from(*index)).copied().unwrap_or_default();
            Image::new(width, height, samples.iter().flat_map(color).collect())?
        }
        (ColorType::Grayscale, BitDepth::One | BitDepth::Two | BitDepth::Four) => {
            let spread = |sample: &u8| (u32::from(*sample) * 255 / levels) as u8;
            let spread: Vec<u8> = samples.iter().map(spread).collect();
            from_pixels(PixelLayout::L, width, height, &spread)?
        }
        // Shades of grey of 16 bits are cut off at 255, as by Pillow.
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            let cut = |[high, low]: &[u8; 2]| if *high > 0 { u8::MAX } else { *low };
            let cut: Vec<u8> = data.as_chunks::<2>().0.iter().map(cut).collect();
            from_pixels(PixelLayout::L, width, height, &cut)?
        }
        (ColorType::Grayscale, _) => from_pixels(PixelLayout::L, width, height, &samples)?,
        (ColorType::GrayscaleAlpha, _) => from_pixels(PixelLayout::La, width, height, &samples)?,
        (ColorType::Rgb, _) => from_pixels(PixelLayout::Rgb, width, height, &samples)?,
        (ColorType::Rgba, _) => from_pixels(PixelLayout::Rgba, width, height, &samples)?,
    };
    Ok(orientation::upright(image, orientation_of(info)))
}

/// Samples of 8 bits: of 16 the upper ones, of fewer as they are.
fn samples(data: &[u8], line: usize, count: usize, depth: BitDepth) -> Cow<'_, [u8]> {
    match depth {
        BitDepth::Eight => Cow::Borrowed(data),
        BitDepth::Sixteen => data.iter().step_by(2).copied().collect(),
        BitDepth::One | BitDepth::Two | BitDepth::Four => {
            let bits = depth as usize;
            let sample = |line: &[u8], at: usize| {
                let shift = 8 - bits - at * bits % 8;
                line[at * bits / 8] >> shift & ((1 << bits) - 1)
            };
            let row = |line| (0..count).map(move |at| sample(line, at));
            data.chunks_exact(line).flat_map(row).collect()
        }
    }
}

/// What EXIF data say, which ImageMagick writes as a text, or else XMP data.
fn orientation_of(info: &Info<'_>) -> u8 {
    let plain = info.uncompressed_latin1_text.iter().filter(|chunk| chunk.keyword == RAW);
    let packed = info.compressed_latin1_text.iter().filter(|chunk| chunk.keyword == RAW);
    let raw = plain
        .map(|chunk| chunk.text.clone())
        .chain(packed.filter_map(|chunk| chunk.get_text().ok()))
        .last();
    let exif = match (&info.exif_metadata, raw) {
        (Some(exif), _) => Some(exif.to_vec()),
        (None, Some(raw)) => Some(of_hex(&raw)),
        (None, None) => None,
    };
    let xmp = info.utf8_text.iter().rfind(|chunk| chunk.keyword == "XML:com.adobe.xmp");
    let xmp = xmp.and_then(|chunk| chunk.get_text().ok());
    orientation::of(exif.as_deref(), xmp.as_deref().map(str::as_bytes))
}

/// The bytes of a profile as ImageMagick writes it: two lines of title and length, and then digits.
fn of_hex(text: &str) -> Vec<u8> {
    let digits = text.lines().skip(3).flat_map(str::bytes);
    let digits: Vec<u8> =
        digits.filter_map(|d| char::from(d).to_digit(16)).map(|d| d as u8).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}

fn broken(error: DecodingError) -> Error {
    Error::input(format!("the picture is broken or cut short: {error}"))
}

/// The keyword of EXIF data among the texts.
const RAW: &str = "Raw profile type exif";

/// The bytes that texts and profiles of a file may take.
const MOST_METADATA: usize = 64 << 20;
