//! Pixels of other layouts, and room for them.

use crate::error::{Error, Result};
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

/// So many of a value, or an error where there is no memory for the picture.
pub(super) fn room<T: Clone>(
    value: T,
    count: usize,
    [width, height]: [usize; 2],
) -> Result<Vec<T>> {
    let mut room = Vec::new();
    room.try_reserve_exact(count)
        .map_err(|_| Error::input(format!("no memory for {width} by {height} pixels")))?;
    room.resize(count, value);
    Ok(room)
}
