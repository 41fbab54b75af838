//! JPEG files to pixels, to the bit as Pillow reads them by libjpeg-turbo: its transform of whole numbers, its smooth
//! upsampling, its tables of colors. The standard leaves all of that open, so a decoder of another kind gives other
//! pixels.
//!
//! What is read: 8 bits, one to four components but two, baseline, extended and progressive by Huffman's codes, any
//! sampling factors that divide, restarts, any number of scans.
//!
//! Reference: ITU T.81; `jdhuff.c`, `jdphuff.c`, `jidctint.c`, `jdsample.c`, `jdcolor.c` of libjpeg-turbo, and
//! `JpegImagePlugin.py` of Pillow.

mod bits;
mod color;
mod frame;
mod idct;
mod scan;
mod upsample;
mod wrong;

use color::Colors;
use frame::{Frame, Tables};
use wrong::{broken, unread};

use crate::error::Result;
use crate::image::orientation;
use crate::image::pixels::room;
use crate::image::resize::check_size;
use crate::media::Image;

/// The pixels, upright.
pub(super) fn decode(bytes: &[u8]) -> Result<Image> {
    let mut tables = Tables::default();
    let mut marks = Marks::default();
    let mut frame: Option<Frame> = None;
    let (mut at, mut scans) = (2, 0);
    loop {
        let marker = next_marker(bytes, &mut at)?;
        match marker {
            END => break,
            // Restarts and reserved markers outside scans have no contents.
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let segment = segment(bytes, &mut at)?;
        match marker {
            0xC0..=0xC2 if frame.is_none() => frame = Some(open(bytes, segment, marker)?),
            0xC0..=0xC2 => return Err(broken("it has a second frame")),
            0xC9 | 0xCA => return Err(unread("arithmetic codes")),
            0xC3 | 0xC5..=0xC7 | 0xCB | 0xCD..=0xCF => {
                return Err(unread("lossless or layered data"));
            }
            0xC4 => tables.read_huffman(segment)?,
            0xDB => tables.read_quantization(segment)?,
            0xDD => tables.read_restarts(segment)?,
            0xDA => {
                let frame =
                    frame.as_mut().ok_or_else(|| broken("pixels come before their size"))?;
                scans += 1;
                if scans > MOST_SCANS {
                    return Err(broken("it has more than 200 scans, which no picture needs"));
                }
                at += scan::read(frame, &tables, segment, &bytes[at..])?;
            }
            // Pillow reads what comes before the pixels.
            _ if scans == 0 => marks.read(marker, segment),
            _ => {}
        }
    }
    let frame = frame.ok_or_else(|| broken("it has no pixels"))?;
    if frame.components.iter().any(|component| component.quantization.is_none()) {
        return Err(broken("a component has no pixels"));
    }
    let image = pixels(frame, &marks)?;
    Ok(orientation::upright(image, orientation::of(marks.exif.as_deref(), marks.xmp)))
}

/// The size of the picture, and room for it.
fn open(bytes: &[u8], segment: &[u8], marker: u8) -> Result<Frame> {
    let frame = Frame::read(segment, marker == 0xC2)?;
    check_size(frame.width, frame.height)?;
    // Each block takes a bit at the least: a few bytes that claim to be a large picture are none.
    let blocks: usize = frame.components.iter().map(frame::Component::blocks).sum();
    if blocks / 8 > bytes.len() {
        return Err(broken("there is not enough of it for its size"));
    }
    frame.with_room()
}

/// The upsampled components as colors.
fn pixels(frame: Frame, marks: &Marks<'_>) -> Result<Image> {
    let (width, height) = (frame.width, frame.height);
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    let colors = Colors::of(&ids, marks.has_jfif, marks.adobe);
    let planes = frame.into_planes()?;
    let mut rows: Vec<Vec<u8>> = planes.iter().map(upsample::Plane::row_room).collect();
    let mut rgb = room(0, width * height * 3, [width, height])?;
    for (y, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
        for (plane, row) in planes.iter().zip(&mut rows) {
            plane.row(y, row);
        }
        colors.convert(&rows, out);
    }
    Image::new(width, height, rgb)
}

/// What other segments say.
#[derive(Debug, Default)]
struct Marks<'a> {
    has_jfif: bool,
    /// Adobe's number of the transform of colors.
    adobe: Option<u8>,
    exif: Option<Vec<u8>>,
    xmp: Option<&'a [u8]>,
}

impl<'a> Marks<'a> {
    fn read(&mut self, marker: u8, segment: &'a [u8]) {
        match marker {
            0xE0 if segment.len() >= 14 && segment.starts_with(b"JFIF\0") => self.has_jfif = true,
            0xE1 => {
                if let Some(exif) = segment.strip_prefix(b"Exif\0\0") {
                    // Long data go on in the next one.
                    self.exif.get_or_insert_default().extend_from_slice(exif);
                } else if let Some(xmp) = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                    self.xmp = Some(xmp);
                }
            }
            0xEE if segment.len() >= 12 && segment.starts_with(b"Adobe") => {
                self.adobe = Some(segment[11]);
            }
            _ => {}
        }
    }
}

/// The next marker from a place on; what lies before it is passed over.
fn next_marker(bytes: &[u8], at: &mut usize) -> Result<u8> {
    let mut is_marked = false;
    while let Some(&byte) = bytes.get(*at) {
        *at += 1;
        match byte {
            0xFF => is_marked = true,
            0 => is_marked = false,
            marker if is_marked => return Ok(marker),
            _ => {}
        }
    }
    Err(broken("its end is missing"))
}

/// The contents of a segment.
fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8]> {
    let start = *at;
    let size =
        bytes.get(start..start + 2).map(|size| usize::from(size[0]) << 8 | usize::from(size[1]));
    let segment = size.and_then(|size| {
        *at = start + size;
        bytes.get(start + 2..start + size)
    });
    segment.ok_or_else(|| broken("a segment is longer than the file"))
}

/// A few bytes can be a scan over all of a picture. Encoders write some ten, and some forty where they try for the
/// smallest file.
const MOST_SCANS: usize = 200;
/// The end of the picture.
const END: u8 = 0xD9;
