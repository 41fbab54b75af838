//! Which side of a picture is up: `ImageOps.exif_transpose` of Pillow.

use crate::media::Image;

/// The number of the orientation in EXIF data, or else in XMP data; 1, upright, where there is none.
pub(super) fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> u8 {
    exif.and_then(of_exif).or_else(|| xmp.and_then(of_xmp)).unwrap_or(1)
}

/// The tag of a TIFF's first directory, as a whole number of any kind.
fn of_exif(mut exif: &[u8]) -> Option<u8> {
    while let Some(rest) = exif.strip_prefix(b"Exif\0\0") {
        exif = rest;
    }
    let is_big = match exif.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes = [*exif.get(at)?, *exif.get(at + 1)?];
        Some(if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let long = |at: usize| -> Option<u32> {
        let (first, second) = (u32::from(short(at)?), u32::from(short(at + 2)?));
        Some(if is_big { first << 16 | second } else { second << 16 | first })
    };
    let directory = long(4)? as usize;
    let count = usize::from(short(directory)?);
    let entries = (0..count).map(|number| directory + 2 + 12 * number);
    // Where the tag comes twice, the first counts.
    let mut orientations = entries.filter(|&entry| short(entry) == Some(ORIENTATION));
    let value = orientations.find_map(|entry| match (short(entry + 2)?, long(entry + 4)?) {
        (SHORT | SIGNED_SHORT, 1 | 2) => short(entry + 8).map(u32::from),
        (LONG | SIGNED_LONG, 1) => long(entry + 8),
        _ => None,
    });
    value.map(|value| u8::try_from(value).unwrap_or(1))
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6`.
fn of_xmp(xmp: &[u8]) -> Option<u8> {
    let places = xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    places.into_iter().find_map(|(at, _)| match &xmp[at + NAME.len()..] {
        [b'=', b'"', digit, ..] | [b'>', digit, ..] if digit.is_ascii_digit() => Some(digit - b'0'),
        _ => None,
    })
}

/// The picture upright.
pub(super) fn upright(image: Image, orientation: u8) -> Image {
    let Image { width, height, rgb } = &image;
    let (width, height) = (*width, *height);
    // From a place in the new picture to the one in the old.
    let from: fn([usize; 2], [usize; 2]) -> [usize; 2] = match orientation {
        2 => |[x, y], [w, _]| [w - 1 - x, y],
        3 => |[x, y], [w, h]| [w - 1 - x, h - 1 - y],
        4 => |[x, y], [_, h]| [x, h - 1 - y],
        5 => |[x, y], _| [y, x],
        6 => |[x, y], [_, h]| [y, h - 1 - x],
        7 => |[x, y], [w, h]| [w - 1 - y, h - 1 - x],
        8 => |[x, y], [w, _]| [w - 1 - y, x],
        _ => return image,
    };
    let is_turned = orientation > 4;
    let (to_width, to_height) = if is_turned { (height, width) } else { (width, height) };
    let mut out = Vec::with_capacity(rgb.len());
    for y in 0..to_height {
        for x in 0..to_width {
            let [x, y] = from([x, y], [width, height]);
            let at = (y * width + x) * 3;
            out.extend_from_slice(&rgb[at..at + 3]);
        }
    }
    Image { width: to_width, height: to_height, rgb: out }
}

const NAME: &[u8] = b"tiff:Orientation";

/// The tag, and the numbers of its kinds.
const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const SIGNED_SHORT: u16 = 8;
const SIGNED_LONG: u16 = 9;
