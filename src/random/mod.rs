//! The random numbers of torch's CPU generator, bit for bit.
//!
//! So a seed gives here what it gives in Python: the noise that a picture begins with, and the noise of a voice.
//! Reference: torch 2.9.1, `aten/src/ATen/native/cpu/DistributionTemplates.h` and
//! `aten/src/ATen/core/DistributionsHelper.h`, as they run on an x86-64 processor with AVX2.

mod element;
mod engine;
mod normal;

use candle_core::{DType, Device, Shape, Tensor, WithDType};
use half::{bf16, f16};

pub use element::Element;
use element::sealed::Sealed;
use engine::Engine;

use crate::error::{Error, Result};

/// `torch.Generator("cpu")`.
///
/// Every method advances the generator as torch's function of that name does, so a program draws the same numbers in
/// the same order. A clone goes on with the same numbers.
///
/// Two things are worth knowing about torch's normal numbers. A tensor of fewer than 16 numbers is drawn in another
/// way than a longer one, so its numbers are not the beginning of the longer one. And the numbers of 16-bit dtypes
/// are not the rounded ones of f32: a pipeline in half precision begins with other noise than in f32.
///
/// ```
/// use sconce::random::Generator;
///
/// let mut generator = Generator::seed(0);
/// let noise: Vec<f32> = generator.randn(64);
/// assert_eq!(noise[..3], [-1.125_839_8, -1.152_360_2, -0.250_578_58]);
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    engine: Engine,
    /// The second number of a pair, for the next draw of fewer than 16. Longer draws leave it alone.
    kept: Option<f64>,
}

/// Of which distribution numbers are.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Uniform,
    Normal,
}

impl Generator {
    /// `torch.Generator().manual_seed(seed)`. Torch uses the low 32 bits of a seed alone; `-1 as u64` is its -1.
    #[must_use]
    pub fn seed(seed: u64) -> Self {
        Self { engine: Engine::seeded(seed), kept: None }
    }

    /// The bits that `torch.Tensor.random_()` makes an int32 of, the highest included.
    pub(crate) fn next_u32(&mut self) -> u32 {
        self.engine.next_u32()
    }

    /// `torch.rand(count)`: numbers between 0, which is included, and 1.
    pub fn rand<T: Element>(&mut self, count: usize) -> Vec<T> {
        (0..count).map(|_| T::uniform(&mut self.engine)).collect()
    }

    /// `torch.randn(count)`: numbers of the normal distribution with mean 0 and standard deviation 1.
    ///
    /// The shape of a tensor does not matter, as long as the tensor is contiguous. `randn(1, 4, 8, 8)` is
    /// `randn(256)`.
    pub fn randn<T: Element>(&mut self, count: usize) -> Vec<T> {
        if count < normal::BLOCK {
            return (0..count).map(|_| T::round(self.next_normal())).collect();
        }
        let mut numbers = self.rand(count);
        let (blocks, rest) = numbers.as_chunks_mut::<{ normal::BLOCK }>();
        blocks.iter_mut().for_each(T::normal_block);
        if !rest.is_empty() {
            // The last 16 are drawn anew, those before the ragged end included.
            let last = &mut numbers[count - normal::BLOCK..];
            last.fill_with(|| T::uniform(&mut self.engine));
            last.as_chunks_mut().0.iter_mut().for_each(T::normal_block);
        }
        numbers
    }

    /// [`rand`](Self::rand) as a tensor. The numbers are drawn on the CPU in `dtype` and then moved, as diffusers
    /// draws them.
    ///
    /// # Errors
    ///
    /// When the dtype is not f32, f64, f16 or bf16, or the device has no room.
    pub fn rand_tensor(
        &mut self,
        shape: impl Into<Shape>,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        self.tensor(Draw::Uniform, shape.into(), dtype, device)
    }

    /// [`randn`](Self::randn) as a tensor: `randn_tensor` of diffusers.
    ///
    /// # Errors
    ///
    /// As for [`rand_tensor`](Self::rand_tensor).
    pub fn randn_tensor(
        &mut self,
        shape: impl Into<Shape>,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        self.tensor(Draw::Normal, shape.into(), dtype, device)
    }

    /// `torch.randint(low, high, (count,))`: whole numbers from `low` to `high`, which is not included.
    ///
    /// # Errors
    ///
    /// When `low` is not below `high`.
    pub fn randint(&mut self, low: i64, high: i64, count: usize) -> Result<Vec<i64>> {
        if low >= high {
            let reason =
                format!("`randint` of {low} to {high}: the first must be below the second");
            return Err(Error::input(reason));
        }
        let range = low.abs_diff(high);
        let draw = |_| {
            let bits = match range >= WIDE_RANGE {
                true => self.engine.next_u64(),
                false => u64::from(self.engine.next_u32()),
            };
            low.wrapping_add_unsigned(bits % range)
        };
        Ok((0..count).map(draw).collect())
    }

    /// `torch.randperm(count)`: the numbers below `count` in random order.
    pub fn randperm(&mut self, count: usize) -> Vec<usize> {
        self.permutation(count, count)
    }

    /// The first `kept` numbers of `torch.randperm(count)`.
    pub(crate) fn permutation(&mut self, count: usize, kept: usize) -> Vec<usize> {
        let mut permuted: Vec<usize> = (0..count).collect();
        let kept = kept.min(count);
        for index in 0..kept.min(count.saturating_sub(1)) {
            let bits = match count >= MANY_ITEMS {
                true => self.engine.next_u64(),
                false => u64::from(self.engine.next_u32()),
            };
            permuted.swap(index, index + (bits % (count - index) as u64) as usize);
        }
        permuted.truncate(kept);
        permuted
    }

    fn tensor(
        &mut self,
        draw: Draw,
        shape: Shape,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        match dtype {
            DType::F32 => self.tensor_of::<f32>(draw, shape, device),
            DType::F64 => self.tensor_of::<f64>(draw, shape, device),
            DType::F16 => self.tensor_of::<f16>(draw, shape, device),
            DType::BF16 => self.tensor_of::<bf16>(draw, shape, device),
            other => {
                let reason = format!("random numbers of {other:?}; they are f32, f64, f16 or bf16");
                Err(Error::input(reason))
            }
        }
    }

    fn tensor_of<T: Element + WithDType>(
        &mut self,
        draw: Draw,
        shape: Shape,
        device: &Device,
    ) -> Result<Tensor> {
        let count = shape.elem_count();
        let numbers = match draw {
            Draw::Uniform => self.rand::<T>(count),
            Draw::Normal => self.randn::<T>(count),
        };
        Ok(Tensor::from_vec(numbers, shape, device)?)
    }

    /// One number, or the second of the last pair.
    fn next_normal(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let first = f64::uniform(&mut self.engine);
        let second = f64::uniform(&mut self.engine);
        let radius = (-2.0 * (-second).ln_1p()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * first).sin_cos();
        self.kept = Some(radius * sine);
        radius * cosine
    }
}

/// From here on `randint` takes 64 bits for a number.
const WIDE_RANGE: u64 = 1 << 28;
/// From here on `randperm` takes 64 bits for an item.
const MANY_ITEMS: usize = (u32::MAX / 20) as usize;

#[cfg(test)]
mod tests;
