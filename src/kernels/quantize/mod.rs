//! From f32 to ggml's blocks, byte for byte as the reference quantizers of ggml (`*_ref` in
//! `ggml-quants.c`) make them, which is what `llama-quantize` writes.
//!
//! What they search through takes some 400 operations a weight in Q4_K, in an order that decides
//! the last bits. So the groups that have a scale of their own are searched side by side, one in each
//! lane of a vector, and each as ggml would.

mod k;
mod lanes;
mod search;
mod small;

use crate::kernels::packed::BlockFormat;
use crate::kernels::tier::Tier;

/// The quantizer of a format, which writes whole blocks of finite numbers; `None` for IQ4_NL, which
/// has none.
pub(crate) fn to(format: BlockFormat) -> Option<impl Fn(&[f32], &mut [u8]) + Sync> {
    let quantize = on_tiers(format)?;
    Some(move |values: &[f32], out: &mut [u8]| quantize(Tier::best(), values, out))
}

type Quantizer = fn(Tier, &[f32], &mut [u8]);

fn on_tiers(format: BlockFormat) -> Option<Quantizer> {
    Some(match format {
        BlockFormat::IQ4NL => return None,
        BlockFormat::Q4_0 => small::q4_0,
        BlockFormat::Q4_1 => small::q4_1,
        BlockFormat::Q5_0 => small::q5_0,
        BlockFormat::Q5_1 => small::q5_1,
        BlockFormat::Q8_0 => small::q8_0,
        BlockFormat::Q2K => k::q2_k,
        BlockFormat::Q3K => k::q3_k,
        BlockFormat::Q4K => k::q4_k,
        BlockFormat::Q5K => k::q5_k,
        BlockFormat::Q6K => k::q6_k,
    })
}

/// Stores a number as f16 and returns what was stored.
fn put(out: &mut [u8], at: usize, value: f32) -> f32 {
    let half = half::f16::from_f32(value);
    out[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// The lowest four bits of each of twice as many codes: those of the first half below the others.
#[inline(always)]
fn nibbles(codes: &[u8], out: &mut [u8]) {
    let (low, high) = codes.split_at(out.len());
    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
        *out = low & 15 | high << 4;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::options::QuantLevel;

    const FORMATS: [(QuantLevel, BlockFormat); 10] = [
        (QuantLevel::Q2K, BlockFormat::Q2K),
        (QuantLevel::Q3K, BlockFormat::Q3K),
        (QuantLevel::Q4_0, BlockFormat::Q4_0),
        (QuantLevel::Q4_1, BlockFormat::Q4_1),
        (QuantLevel::Q4K, BlockFormat::Q4K),
        (QuantLevel::Q5_0, BlockFormat::Q5_0),
        (QuantLevel::Q5_1, BlockFormat::Q5_1),
        (QuantLevel::Q5K, BlockFormat::Q5K),
        (QuantLevel::Q6K, BlockFormat::Q6K),
        (QuantLevel::Q8_0, BlockFormat::Q8_0),
    ];

    /// `tests/goldens/weights/make_quantizers.py` says how the blocks came about.
    #[test]
    fn every_level_quantizes_to_the_bytes_of_ggml_on_every_tier() {
        let path = "tests/goldens/weights/quantizers.safetensors";
        let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let values = golden["x"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(FORMATS.len(), QuantLevel::ALL.len());
        for (level, format) in FORMATS {
            let expected = golden[level.name()].to_vec1::<u8>().unwrap();
            let size = level.ggml().type_size();
            for tier in Tier::available() {
                let mut found = vec![0xff; expected.len()];
                on_tiers(format).unwrap()(tier, &values, &mut found);
                let blocks = found.chunks(size).zip(expected.chunks(size));
                for (block, (found, expected)) in blocks.enumerate() {
                    assert_eq!(found, expected, "block {block} of {level} on {tier:?}");
                }
            }
        }
    }

    /// Lanes that no group is in, or one that has nothing to look for, change nothing.
    #[test]
    fn blocks_are_what_each_is_alone() {
        let values: Vec<f32> = (0..9 * 256)
            .map(|at| match at / 256 {
                2 => 0.0,
                5 => -1.5,
                block => ((at * 37 % 61) as f32 - 30.0) * 0.3_f32.powi(block),
            })
            .collect();
        for (level, format) in FORMATS {
            let (weights, size) = (level.ggml().block_size(), level.ggml().type_size());
            for tier in Tier::available() {
                let quantize = |values: &[f32]| {
                    let mut blocks = vec![0xff; values.len() / weights * size];
                    on_tiers(format).unwrap()(tier, values, &mut blocks);
                    blocks
                };
                let alone: Vec<u8> = values.chunks(weights).flat_map(quantize).collect();
                assert_eq!(quantize(&values), alone, "{level} on {tier:?}");
            }
        }
    }
}
