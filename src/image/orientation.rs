//! Which side of a picture is up: `ImageOps.exif_transpose` of Pillow.

use image::ImageDecoder;
use image::metadata::Orientation;

use crate::media::Image;

/// The number of the orientation in EXIF data, or else in XMP data; 1, upright, where there is none.
pub(super) fn of(decoder: &mut impl ImageDecoder) -> u8 {
    let exif = decoder.exif_metadata().ok().flatten();
    let exif = exif.as_deref().map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    if let Some(orientation) = exif.and_then(Orientation::from_exif_chunk) {
        return orientation.to_exif();
    }
    let xmp = decoder.xmp_metadata().ok().flatten();
    xmp.as_deref().and_then(of_xmp).unwrap_or(1)
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
