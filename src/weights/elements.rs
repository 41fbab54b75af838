//! The element types of stored tensors, and how they become f32.

use std::borrow::Cow;

use candle_core::CpuStorage;
use candle_core::quantized::GgmlDType;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::error::Result;
use crate::kernels::packed::BlockFormat;
use crate::options::QuantLevel;
use crate::source::ggml::GgmlType;
use crate::weights::blocks;

/// The element type of a stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Elements {
    BF16,
    /// f32 stored in fewer bits, in a format without a matrix product.
    Dequantized,
    /// ggml's blocks of quantized weights, along the rows.
    Blocks(GgmlDType),
    /// Blocks that [`blocks`] reads and candle does not multiply.
    ReadOnlyBlocks(GgmlType),
    F16,
    F32,
    F64,
    /// `float8_e4m3fn`: no infinities, one NaN, largest value 448.
    F8E4M3,
    /// What it is, for the message: integers, and formats this crate does not read.
    Other(String),
}

impl Elements {
    /// Elements that are stored together and the bytes they take; `None` for [`Self::Other`].
    pub(super) fn unit(&self) -> Option<(usize, usize)> {
        Some(match self {
            Self::F64 => (1, 8),
            Self::Dequantized | Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::F8E4M3 => (1, 1),
            Self::Blocks(kind) => (kind.block_size(), kind.type_size()),
            Self::ReadOnlyBlocks(kind) => (kind.weights, kind.bytes),
            Self::Other(_) => return None,
        })
    }

    /// Writes the elements that begin `bytes` into `out`, whose length must be whole units.
    pub(super) fn widen(&self, bytes: &[u8], out: &mut [f32]) -> Result<()> {
        match self {
            Self::F64 => each(bytes, out, |raw| f64::from_le_bytes(raw) as f32),
            Self::Dequantized | Self::F32 => each(bytes, out, f32::from_le_bytes),
            Self::F16 => f16_to_f32(bytes, out),
            Self::BF16 => each(bytes, out, |raw| bf16::from_le_bytes(raw).to_f32()),
            Self::F8E4M3 => f8e4m3(bytes, out),
            Self::Blocks(kind) => {
                let length = out.len() / kind.block_size() * kind.type_size();
                let blocks = kind.from_data(Cow::Borrowed(&bytes[..length]));
                if let CpuStorage::F32(values) = blocks.dequantize(out.len())? {
                    out.copy_from_slice(&values);
                }
            }
            Self::ReadOnlyBlocks(kind) => {
                if let Some(read) = blocks::reader(*kind) {
                    read(bytes, out);
                }
            }
            Self::Other(_) => {}
        }
        Ok(())
    }

    /// Where the scales of a block lie: they are f16, and NaN or infinite where the weights are.
    pub(super) fn scales(&self) -> &'static [usize] {
        match self {
            Self::Blocks(kind) => match kind {
                GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => &[0],
                GgmlDType::Q4_1 | GgmlDType::Q5_1 | GgmlDType::Q4K | GgmlDType::Q5K => &[0, 2],
                GgmlDType::Q2K => &[80, 82],
                GgmlDType::Q3K => &[108],
                GgmlDType::Q6K => &[208],
                _ => &[],
            },
            Self::ReadOnlyBlocks(kind) if kind.number == IQ4_NL => &[0],
            _ => &[],
        }
    }

    /// The format of our kernels for these blocks.
    pub(super) fn packed(&self) -> Option<BlockFormat> {
        Some(match self {
            Self::Blocks(kind) => match kind {
                GgmlDType::Q2K => BlockFormat::Q2K,
                GgmlDType::Q3K => BlockFormat::Q3K,
                GgmlDType::Q4_0 => BlockFormat::Q4_0,
                GgmlDType::Q4_1 => BlockFormat::Q4_1,
                GgmlDType::Q4K => BlockFormat::Q4K,
                GgmlDType::Q5_0 => BlockFormat::Q5_0,
                GgmlDType::Q5_1 => BlockFormat::Q5_1,
                GgmlDType::Q5K => BlockFormat::Q5K,
                GgmlDType::Q6K => BlockFormat::Q6K,
                GgmlDType::Q8_0 => BlockFormat::Q8_0,
                _ => return None,
            },
            Self::ReadOnlyBlocks(kind) if kind.number == IQ4_NL => BlockFormat::IQ4NL,
            _ => return None,
        })
    }

    /// As the error messages and the table of a loaded model call it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::F64 => "f64",
            Self::Dequantized | Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F8E4M3 => "f8_e4m3",
            Self::Blocks(kind) => block_name(*kind),
            Self::ReadOnlyBlocks(kind) => kind.name,
            Self::Other(name) => name,
        }
    }
}

/// ggml's number for the one block type that our kernels know and candle does not.
const IQ4_NL: u32 = 20;

/// The name of a block type in the style of GGUF files, in lower case.
pub(super) fn block_name(kind: GgmlDType) -> &'static str {
    match kind {
        GgmlDType::F32 => "f32",
        GgmlDType::F16 => "f16",
        GgmlDType::BF16 => "bf16",
        GgmlDType::Q4_0 => "q4_0",
        GgmlDType::Q4_1 => "q4_1",
        GgmlDType::Q5_0 => "q5_0",
        GgmlDType::Q5_1 => "q5_1",
        GgmlDType::Q8_0 => "q8_0",
        GgmlDType::Q8_1 => "q8_1",
        GgmlDType::Q2K => "q2_k",
        GgmlDType::Q3K => "q3_k",
        GgmlDType::Q4K => "q4_k",
        GgmlDType::Q5K => "q5_k",
        GgmlDType::Q6K => "q6_k",
        GgmlDType::Q8K => "q8_k",
    }
}

/// The blocks of that name, as [`block_name`] gives it.
pub(super) fn kind_of_blocks(name: &str) -> Option<GgmlDType> {
    QuantLevel::ALL.iter().map(|level| level.ggml()).find(|kind| block_name(*kind) == name)
}

/// Reads numbers of `N` bytes each.
pub(super) fn each<T, const N: usize>(bytes: &[u8], out: &mut [T], read: impl Fn([u8; N]) -> T) {
    for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = read(*raw);
    }
}

/// Through a buffer, because the processor's own conversion wants several at a time.
fn f16_to_f32(bytes: &[u8], out: &mut [f32]) {
    let mut buffer = [f16::ZERO; 64];
    for (out, bytes) in out.chunks_mut(64).zip(bytes.chunks(128)) {
        let buffer = &mut buffer[..out.len()];
        for (half, raw) in buffer.iter_mut().zip(bytes.as_chunks().0) {
            *half = f16::from_le_bytes(*raw);
        }
        buffer.convert_to_f32_slice(out);
    }
}

/// 8-bit floats to f32.
pub(super) fn f8e4m3(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |[byte]| f8e4m3_to_f32(byte));
}

/// <https://arxiv.org/abs/2209.05433>, the format E4M3: exponent bias 7, no infinities.
fn f8e4m3_to_f32(byte: u8) -> f32 {
    let mantissa = f32::from(byte & 0x07);
    let magnitude = match (byte >> 3) & 0x0f {
        0 => mantissa / 512.0,
        0x0f if byte & 0x07 == 0x07 => f32::NAN,
        exponent => (1.0 + mantissa / 8.0) * f32::from(exponent).exp2() / 128.0,
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_floats() {
        // torch.tensor([...], dtype=torch.uint8).view(torch.float8_e4m3fn).float(), torch 2.9.1
        let expected = [
            (0x00, 0.0),
            (0x01, 0.001_953_125),
            (0x07, 0.013_671_875),
            (0x08, 0.015_625),
            (0x38, 1.0),
            (0x39, 1.125),
            (0x7e, 448.0),
            (0xb8, -1.0),
            (0xfe, -448.0),
        ];
        for (byte, value) in expected {
            assert_eq!(f8e4m3_to_f32(byte), value, "{byte:#x}");
        }
        assert!(f8e4m3_to_f32(0x7f).is_nan() && f8e4m3_to_f32(0xff).is_nan());
    }
}
