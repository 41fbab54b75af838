//! Pictures of any number of channels, pixel by pixel.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// A picture, or what a model makes of one: the channels of each pixel, `(height * width, channels)`, row by row
/// from the top. So layers over tokens take pixels as they are.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) x: Tensor,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Picture {
    /// Of pixels `(height * width, channels)`.
    pub(crate) fn new(x: Tensor, height: usize, width: usize) -> Result<Self> {
        let (pixels, _) = x.dims2()?;
        if pixels != height * width {
            let reason = format!("{pixels} pixels for a picture of {height} by {width}");
            return Err(Error::input(reason));
        }
        Ok(Self { x, height, width })
    }

    /// Of `(channels, height, width)`.
    pub(crate) fn from_channels(x: &Tensor) -> Result<Self> {
        let (_, height, width) = x.dims3()?;
        Self::new(x.flatten_from(1)?.t()?.contiguous()?, height, width)
    }

    /// `(channels, height, width)`.
    pub(crate) fn to_channels(&self) -> Result<Tensor> {
        let shape = (self.channels()?, self.height, self.width);
        Ok(self.x.t()?.contiguous()?.reshape(shape)?)
    }

    pub(crate) fn channels(&self) -> Result<usize> {
        Ok(self.x.dim(1)?)
    }

    /// The same picture with other channels.
    pub(crate) fn with(&self, x: Tensor) -> Self {
        Self { x, ..*self }
    }

    #[cfg(feature = "image")]
    /// Another size, each pixel being the one that lies nearest: `F.interpolate` of torch with `nearest`.
    pub(crate) fn resized(&self, height: usize, width: usize) -> Result<Self> {
        let nearest = |place: usize, from: usize, to: usize| {
            let scale = from as f32 / to as f32;
            ((place as f32 * scale) as usize).min(from - 1)
        };
        let row = |y: usize| nearest(y, self.height, height) * self.width;
        let numbers = (0..height)
            .flat_map(|y| (0..width).map(move |x| (row(y) + nearest(x, self.width, width)) as u32));
        let numbers = Tensor::from_iter(numbers, self.x.device())?;
        Self::new(self.x.contiguous()?.index_select(&numbers, 0)?, height, width)
    }

    #[cfg(feature = "image")]
    /// A part of the picture.
    pub(crate) fn part(
        &self,
        [top, left]: [usize; 2],
        [height, width]: [usize; 2],
    ) -> Result<Self> {
        let channels = self.channels()?;
        let x = self.x.reshape((self.height, self.width, channels))?;
        let x = x.narrow(0, top, height)?.narrow(1, left, width)?.contiguous()?;
        Self::new(x.reshape((height * width, channels))?, height, width)
    }
}
