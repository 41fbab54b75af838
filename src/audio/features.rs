//! What a speech model reads of one recording.

use crate::error::{Error, Result};

/// What a speech model reads of one recording: frames of log-mel values, or the samples themselves as
/// frames of one value.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFeatures {
    values: Vec<f32>,
    width: usize,
    length: usize,
}

impl AudioFeatures {
    /// Frames of `width` values each, frame by frame. Those from `length` on are padding, which belongs
    /// to what the model reads: Whisper always reads 30 seconds.
    ///
    /// # Errors
    ///
    /// When the values are no whole frames, or fewer than `length`.
    pub fn new(values: Vec<f32>, width: usize, length: usize) -> Result<Self> {
        if width == 0 || !values.len().is_multiple_of(width) || values.len() / width < length {
            let found = values.len();
            return Err(Error::input(format!(
                "{found} values are not {length} frames of {width} values or more"
            )));
        }
        Ok(Self { values, width, length })
    }

    /// The values, `(frames, width)`, padding included.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of one frame.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of frames, padding included.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.values.len() / self.width
    }

    /// The number of frames before the padding.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole() {
        let features = AudioFeatures::new(vec![0.0; 6], 2, 1).unwrap();
        assert_eq!((features.frames(), features.length(), features.width()), (3, 1, 2));
        for (values, width, length) in [(5, 2, 1), (6, 0, 0), (6, 2, 4)] {
            assert!(AudioFeatures::new(vec![0.0; values], width, length).is_err());
        }
    }
}
