//! HiFi-GAN in pieces: frames that come bit by bit, and the samples that are known by them.

use candle_core::{D, DType, Tensor};

use super::{HifiGan, LAST_SLOPE, ResidualBlock, Stage};
use crate::error::Result;
use crate::nn::activation::leaky_relu;
use crate::nn::convolution::Convolution;
use crate::nn::pieces::{
    Slots, convolution_piece, summed_piece, summed_pieces, transposed_convolution_piece,
};

impl HifiGan {
    /// As [`forward`](Self::forward), of the next frames of a row, or of its end: the samples that no frame to come
    /// changes. All pieces together give what the whole row gives.
    pub(in crate::models::speech::synthesis) fn forward_piece(
        &self,
        frames: Option<Tensor>,
        speaker: Option<&Tensor>,
        is_last: bool,
        slots: &mut Slots,
    ) -> Result<Vec<f32>> {
        slots.rewind();
        let spoken = |x: Option<Tensor>, layer: &Option<Convolution>| -> Result<Option<Tensor>> {
            match (x, layer, speaker) {
                (Some(x), Some(layer), Some(speaker)) => {
                    Ok(Some(x.broadcast_add(&layer.forward(speaker)?)?))
                }
                (x, _, _) => Ok(x),
            }
        };
        let mut x = convolution_piece(&self.first, frames, is_last, slots)?;
        x = spoken(x, &self.speaker)?;
        for Stage { upsample, speaker, blocks, .. } in &self.stages {
            x = rectified(x.as_ref(), self.slope)?;
            x = transposed_convolution_piece(upsample, x, is_last, slots)?;
            x = spoken(x, speaker)?;
            let parts =
                blocks.iter().map(|block| block.piece(x.clone(), self.slope, is_last, slots));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let count = parts.len() as f64;
            x = summed_pieces(parts, slots)?.map(|sum| sum / count).transpose()?;
        }
        let x = rectified(x.as_ref(), LAST_SLOPE)?;
        match convolution_piece(&self.last, x, is_last, slots)? {
            None => Ok(Vec::new()),
            Some(x) => Ok(x.tanh()?.squeeze(D::Minus1)?.to_dtype(DType::F32)?.to_vec1()?),
        }
    }
}

impl ResidualBlock {
    fn piece(
        &self,
        x: Option<Tensor>,
        slope: f32,
        is_last: bool,
        slots: &mut Slots,
    ) -> Result<Option<Tensor>> {
        let mut x = x;
        for step in &self.steps {
            let mut y = x.clone();
            for convolution in step {
                y = convolution_piece(convolution, rectified(y.as_ref(), slope)?, is_last, slots)?;
            }
            x = summed_piece([y, x], slots)?;
        }
        Ok(x)
    }
}

fn rectified(x: Option<&Tensor>, slope: f32) -> Result<Option<Tensor>> {
    x.map(|x| leaky_relu(x, slope)).transpose()
}
