//! Where weights go and what they become: [`LoadOptions`] applied to one checkpoint.

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor, utils};

use crate::kernels::dense::rounded_bf16;
use crate::options::{CachePrecision, LoadOptions, Precision, QuantLevel};
use crate::weights::elements::Elements;
use crate::weights::linear::Matrix;
use crate::weights::store::Store;

#[derive(Debug, Clone)]
pub(super) struct LoadPlan {
    pub(super) device: Device,
    /// Of activations and small tensors. The CPU computes in f32 whatever the weights are.
    pub(super) compute: DType,
    /// Of matrices that are not quantized; `None`: what each is stored in, which loses nothing.
    dense: Option<DType>,
    /// Of keys and values; bytes are those of blocks in 8 bits.
    pub(super) cache: DType,
    keep_blocks: bool,
    /// Whether matrices in bf16 are multiplied in bf16, on the CPU.
    rounds_to_bf16: bool,
    quantize: Option<QuantLevel>,
    skip_modules: Option<Vec<String>>,
}

impl LoadPlan {
    pub(super) fn new(store: &Store, options: &LoadOptions) -> Self {
        let device = options.device.clone().unwrap_or_else(best_device);
        let dense = match options.dtype {
            Some(Precision::BF16) => Some(DType::BF16),
            Some(Precision::F16) => Some(DType::F16),
            Some(Precision::F32) => Some(DType::F32),
            None if device.is_cpu() => None,
            Some(Precision::AsStored) | None => Some(as_stored(store)),
        };
        let compute = dense.filter(|_| !device.is_cpu()).unwrap_or(DType::F32);
        let keep_blocks = options.dtype.is_none();
        let cache = match options.cache {
            _ if !device.is_cpu() => compute,
            Some(CachePrecision::F16) => DType::F16,
            Some(CachePrecision::F32) => DType::F32,
            Some(CachePrecision::Q8) => DType::U8,
            None if options.quantize.is_some() => DType::F16,
            None => match options.dtype {
                Some(Precision::F32) => DType::F32,
                Some(Precision::BF16 | Precision::F16) => DType::F16,
                Some(Precision::AsStored) | None if store.is_full_precision() => DType::F32,
                Some(Precision::AsStored) | None => DType::F16,
            },
        };
        let rounds_to_bf16 =
            options.dtype == Some(Precision::BF16) && device.is_cpu() && rounded_bf16::is_faster();
        let LoadOptions { quantize, skip_modules, .. } = options.clone();
        Self { device, compute, dense, cache, keep_blocks, rounds_to_bf16, quantize, skip_modules }
    }

    /// A dense matrix, to be multiplied as the options say.
    pub(super) fn matrix(&self, weight: Tensor) -> Matrix {
        match weight.dtype() {
            DType::BF16 if self.rounds_to_bf16 => Matrix::RoundedBF16(weight),
            _ => Matrix::Dense(weight),
        }
    }

    /// The dtype of a matrix that is not quantized, stored as `stored`.
    pub(super) fn dense(&self, stored: &Elements) -> DType {
        self.dense.unwrap_or(match stored {
            Elements::BF16 | Elements::F8E4M3 => DType::BF16,
            Elements::F16 => DType::F16,
            _ => DType::F32,
        })
    }

    /// The blocks that a linear layer's rows of `row` weights, stored as `stored`, are kept in.
    pub(super) fn linear_blocks(
        &self,
        stored: &Elements,
        row: usize,
        names: ModuleNames<'_>,
    ) -> Option<Blocks> {
        let level = self.quantize.filter(|_| !self.skips(names));
        let asked = level.and_then(|level| level_for_rows(level, row));
        asked.map(Blocks::Of).or_else(|| self.kept_blocks(stored, row))
    }

    /// Whether kernels of convolutions over pictures are rounded to blocks of 8 bits, which other devices do not
    /// multiply.
    #[cfg(any(feature = "audio", feature = "image"))]
    pub(super) fn quantizes_kernels(&self, names: ModuleNames<'_>) -> bool {
        self.device.is_cpu() && self.quantize.is_some() && !self.skips(names)
    }

    fn skips(&self, names: ModuleNames<'_>) -> bool {
        let stored = names.stored.strip_suffix(".weight").unwrap_or(names.stored);
        match &self.skip_modules {
            None => names.is_output_head,
            Some(modules) => {
                modules.iter().any(|module| is_in(names.ours, module) || is_in(stored, module))
            }
        }
    }

    /// Whether an output head is left alone by its name, or as no list says otherwise: what a head that is
    /// tied to the embedding goes by, which is no module of its own.
    pub(super) fn skips_head(&self) -> bool {
        self.skip_modules.as_ref().is_none_or(|modules| {
            modules.iter().any(|module| OUTPUT_HEADS.contains(&module.as_str()))
        })
    }

    /// The blocks that a tensor with rows of `row` weights is already in and may stay in; Q8_0, which
    /// adds the least error, for those that nobody multiplies here.
    pub(super) fn kept_blocks(&self, stored: &Elements, row: usize) -> Option<Blocks> {
        match stored {
            _ if !self.keep_blocks => None,
            Elements::Blocks(_) => Some(Blocks::AsStored),
            Elements::ReadOnlyBlocks(_) if self.device.is_cpu() && stored.packed().is_some() => {
                Some(Blocks::AsStored)
            }
            Elements::ReadOnlyBlocks(_) => Some(Blocks::Of(GgmlDType::Q8_0)),
            Elements::Dequantized => level_for_rows(QuantLevel::Q8_0, row).map(Blocks::Of),
            _ => None,
        }
    }
}

/// Names of output heads, ours and those of checkpoints: they can be skipped whether a model has such a
/// module or not.
pub(super) const OUTPUT_HEADS: [&str; 6] =
    ["classifier", "embed_out", "head", "lm_head", "output", "score"];

/// Whether a name is that of a module, or of what is in it.
pub(super) fn is_in(name: &str, module: &str) -> bool {
    !module.is_empty() && format!(".{name}.").contains(&format!(".{module}."))
}

/// The blocks that a matrix is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocks {
    AsStored,
    Of(GgmlDType),
}

/// What a linear layer is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModuleNames<'a> {
    pub(super) ours: &'a str,
    /// That of its weight in the checkpoint.
    pub(super) stored: &'a str,
    /// Whether the layer makes logits.
    pub(super) is_output_head: bool,
}

/// The level itself; where a row does not divide into its blocks of 256 weights, the nearest with
/// blocks of 32; nothing where it does not even divide into these.
pub(super) fn level_for_rows(level: QuantLevel, row: usize) -> Option<GgmlDType> {
    [level.ggml(), smaller_blocks(level)]
        .into_iter()
        .find(|kind| row.is_multiple_of(kind.block_size()))
}

/// As `llama-quantize` falls back, but for IQ4_NL, in whose place is Q4_0.
fn smaller_blocks(level: QuantLevel) -> GgmlDType {
    match level {
        QuantLevel::Q2K | QuantLevel::Q3K => GgmlDType::Q4_0,
        QuantLevel::Q4K => GgmlDType::Q5_0,
        QuantLevel::Q5K => GgmlDType::Q5_1,
        QuantLevel::Q6K => GgmlDType::Q8_0,
        level => level.ggml(),
    }
}

/// The dtype of most of the checkpoint, as far as there is arithmetic for it.
fn as_stored(store: &Store) -> DType {
    match store.main_dense_elements() {
        Some(Elements::BF16 | Elements::F8E4M3) => DType::BF16,
        Some(Elements::F16) => DType::F16,
        _ => DType::F32,
    }
}

/// The first GPU this build supports and this machine has, else the CPU.
fn best_device() -> Device {
    let gpu = if utils::cuda_is_available() {
        Device::new_cuda(0)
    } else if utils::metal_is_available() {
        Device::new_metal(0)
    } else {
        Ok(Device::Cpu)
    };
    gpu.unwrap_or(Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_do_not_divide_fall_back() {
        let kind = |level, row| level_for_rows(level, row);
        assert_eq!(kind(QuantLevel::Q4K, 512), Some(GgmlDType::Q4K));
        assert_eq!(kind(QuantLevel::Q4K, 576), Some(GgmlDType::Q5_0));
        assert_eq!(kind(QuantLevel::Q4_0, 576), Some(GgmlDType::Q4_0));
        assert_eq!(kind(QuantLevel::Q4_0, 100), None);
    }
}
