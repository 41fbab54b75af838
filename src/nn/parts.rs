//! Long rows of frames, computed in parts.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::kernels::{each_part, pool};
use crate::weights::slices::with_f32;

/// What becomes of frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frames {
    /// How many of one.
    pub(crate) rate: usize,
    /// Channels of each that comes out.
    pub(crate) width: usize,
    /// How many before and after one that comes out it depends on, counted as those that come out.
    pub(crate) beside: usize,
}

/// `compute` of `x`: `(frames, channels)` to `(rate * frames, width)`, for any number of frames.
///
/// Many frames in f32 on the CPU are computed in parts, each by one thread with the frames beside it, so that what lies
/// between `x` and the result stays in the thread's cache. Results are the same to the bit where those of each
/// frame are.
pub(crate) fn in_parts(
    x: &Tensor,
    Frames { rate, width, beside }: Frames,
    compute: impl Fn(&Tensor) -> Result<Tensor> + Sync,
) -> Result<Tensor> {
    let (frames, _) = x.dims2()?;
    let part = (PART / width.max(1)).max(LEAST.saturating_mul(beside)).div_ceil(rate).max(1);
    if frames / part < 2 * pool::threads() || !x.device().is_cpu() || x.dtype() != DType::F32 {
        return compute(x);
    }
    let beside = beside.div_ceil(rate);
    let compute = |number: usize, out: &mut [f32]| -> Result<()> {
        let (start, end) = (number * part, frames.min((number + 1) * part));
        let (from, to) = (start.saturating_sub(beside), frames.min(end + beside));
        let y = compute(&x.narrow(0, from, to - from)?)?;
        if y.dims() != [(to - from) * rate, width] {
            let found = format!("{:?} of {} frames, not {width} times {rate}", y.dims(), to - from);
            return Err(Error::input(found));
        }
        let y = y.narrow(0, (start - from) * rate, (end - start) * rate)?.contiguous()?;
        with_f32(&y, |y| out[..y.len()].copy_from_slice(y))
    };
    let size = part * rate * width;
    let mut out = vec![0.0; frames.div_ceil(part) * size];
    let failure = Mutex::new(None);
    each_part(&mut out, size, size, |first, parts| {
        for (number, out) in (first..).zip(parts.chunks_exact_mut(size)) {
            if let Err(error) = compute(number, out) {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    out.truncate(frames * rate * width);
    Ok(Tensor::from_vec(out, (frames * rate, width), x.device())?)
}

/// Numbers of a part: few enough for some copies to stay in a thread's second cache.
const PART: usize = 1 << 16;
/// So many times as many frames as there are beside it make a part at least, since those are computed twice.
const LEAST: usize = 32;

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::convolution::{Convolution, ConvolutionConfig};
    use crate::nn::transposed::{TransposedConfig, TransposedConvolution};
    use crate::weights::Bias;

    fn numbers(shape: &[usize], seed: usize) -> Result<Tensor> {
        let number = |at: usize| ((at * 7919 + seed * 101) % 1009) as f32 / 5045.0 - 0.1;
        let count = shape.iter().product();
        Ok(Tensor::from_iter((0..count).map(number), &Device::Cpu)?.reshape(shape)?)
    }

    #[test]
    fn parts_are_the_whole_to_the_bit() -> Result<()> {
        let upsample = TransposedConfig::new([16, 32], 16, 8, 4, Bias::Absent);
        let upsample = TransposedConvolution::new(&numbers(&[16, 32, 16], 1)?, None, upsample)?;
        let config = ConvolutionConfig::new([32; 2], 5, Bias::Absent).dilation(2).padding(4);
        let convolution = Convolution::new(numbers(&[32, 32, 5], 2)?, None, config)?;
        let compute = |x: &Tensor| convolution.forward(&upsample.forward(x)?);
        let frames = Frames { rate: 8, width: 32, beside: 4 + 16 };
        let x = numbers(&[2 * pool::threads() * (PART / 32 / 8) + 11, 16], 3)?;
        let (whole, parts) = (compute(&x)?, in_parts(&x, frames, compute)?);
        assert_eq!(parts.dims(), whole.dims());
        assert!(parts.flatten_all()?.to_vec1::<f32>()? == whole.flatten_all()?.to_vec1::<f32>()?);
        // An error of a part is that of the whole.
        assert!(in_parts(&x, frames, |_| Err(Error::input("no"))).is_err());
        assert!(in_parts(&x, frames, |x| Ok(x.clone())).is_err());
        Ok(())
    }
}
