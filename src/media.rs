//! Sound and pictures, as they go in and out.

use crate::error::{Error, Result};

/// What is no JSON.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Media {
    /// Sound.
    Audio(Audio),
    /// A picture.
    Image(Image),
}

/// Sound of one channel.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Audio {
    /// The samples, from -1 to 1.
    pub samples: Vec<f32>,
    /// Samples per second, at least 1.
    pub sampling_rate: u32,
}

impl Audio {
    /// Sound of one channel, with samples from -1 to 1.
    ///
    /// # Errors
    ///
    /// When there are 0 samples per second, or one is no finite number.
    pub fn new(samples: Vec<f32>, sampling_rate: u32) -> Result<Self> {
        if sampling_rate == 0 {
            return Err(Error::input("audio with a sampling rate of 0"));
        }
        match samples.iter().position(|sample| !sample.is_finite()) {
            None => Ok(Self { samples, sampling_rate }),
            Some(at) => Err(Error::input(format!("sample {at} of the audio is {}", samples[at]))),
        }
    }
}

/// A picture of red, green and blue, 8 bits each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// The number of rows.
    pub height: usize,
    /// The pixels row by row from the top, `(height, width, 3)`.
    pub rgb: Vec<u8>,
}

impl Image {
    /// A picture of pixels row by row from the top, `(height, width, 3)`.
    ///
    /// # Errors
    ///
    /// When it has no pixels, or not three bytes for each.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        if rgb.is_empty() || bytes != Some(rgb.len()) {
            let found = rgb.len();
            return Err(Error::input(format!("{found} bytes for an image of {width} by {height}")));
        }
        Ok(Self { width, height, rgb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Audio::new(vec![0.0], 0).is_err());
        assert!(Audio::new(vec![0.0, f32::NAN], 8_000).is_err());
        for (width, height, bytes) in [(2, 2, 11), (0, 5, 0), (usize::MAX, 3, 9)] {
            assert!(Image::new(width, height, vec![0; bytes]).is_err());
        }
    }
}
