//! From f32 to ggml's blocks, as the reference quantizers of ggml (`*_ref` in `ggml-quants.c`) make them,
//! which is what `llama-quantize` writes: byte for byte, but for Q2_K, Q4_K and Q5_K, which [`affine`]
//! searches in a third of the time and with less error.
//!
//! The groups of weights that have a scale of their own are searched side by side, one in each lane of
//! a vector.

mod affine;
mod bytes;
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::quantized::{QStorage, QTensor};
    use candle_core::{Device, Tensor};

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

    /// Those whose scales and minima are searched for otherwise than in ggml.
    const AFFINE: [QuantLevel; 3] = [QuantLevel::Q2K, QuantLevel::Q4K, QuantLevel::Q5K];

    /// `tests/goldens/weights/make_quantizers.py` says how it came about.
    fn golden() -> HashMap<String, Tensor> {
        candle_core::safetensors::load("tests/goldens/weights/quantizers.safetensors", &Device::Cpu)
            .unwrap()
    }

    fn blocks(format: BlockFormat, tier: Tier, values: &[f32], level: QuantLevel) -> Vec<u8> {
        let ggml = level.ggml();
        let mut blocks = vec![0xff; values.len() / ggml.block_size() * ggml.type_size()];
        on_tiers(format).unwrap()(tier, values, &mut blocks);
        blocks
    }

    /// The squares of what blocks of a level are away from their numbers, summed up.
    fn error(values: &[f32], blocks: &[u8], level: QuantLevel) -> f64 {
        let storage = QStorage::from_data(blocks.into(), &Device::Cpu, level.ggml()).unwrap();
        let stored = QTensor::new(storage, values.len()).unwrap();
        let stored = stored.dequantize(&Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
        values.iter().zip(stored).map(|(&x, y)| (f64::from(x) - f64::from(y)).powi(2)).sum()
    }

    #[test]
    fn every_level_quantizes_to_the_bytes_of_ggml_on_every_tier() {
        let golden = golden();
        let values = golden["x"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(FORMATS.len(), QuantLevel::ALL.len());
        for (level, format) in FORMATS {
            let expected = golden[level.name()].to_vec1::<u8>().unwrap();
            let size = expected.len() / (values.len() / 256);
            for tier in Tier::available() {
                let found = blocks(format, tier, &values, level);
                let rows = values.chunks(256).zip(found.chunks(size).zip(expected.chunks(size)));
                for (row, (values, (found, expected))) in rows.enumerate() {
                    if !AFFINE.contains(&level) {
                        assert_eq!(found, expected, "row {row} of {level} on {tier:?}");
                        continue;
                    }
                    // Of few weights either search may find what the other does not.
                    let (found, expected) =
                        (error(values, found, level), error(values, expected, level));
                    assert!(
                        found <= 1.15 * expected,
                        "{found} for {expected} in row {row} of {level} on {tier:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_level_is_further_from_many_weights_than_ggml() {
        // The halves of the words of splitmix64, as in the golden's maker.
        let count: u64 = 1024 * 256;
        let values: Vec<f32> = (0..count)
            .map(|at| {
                let word = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                let shorts = [0, 16, 32, 48].map(|shift| (word >> shift & 0xffff) as i64);
                let bell = shorts.iter().sum::<i64>() - 2 * 65_535;
                let wide = if at < count / 2 { bell << 16 } else { bell * shorts[0] };
                (wide as f64 * 2.0_f64.powi(-38)) as f32
            })
            .collect();
        let golden = golden();
        for (level, format) in FORMATS {
            let expected = golden[&format!("errors.{level}")].to_vec1::<f64>().unwrap()[0];
            let (least, most) = match level {
                QuantLevel::Q2K => (0.8, 0.88),
                QuantLevel::Q4K => (0.99, 0.998),
                QuantLevel::Q5K => (0.95, 0.98),
                _ => (1.0 - 1e-9, 1.0 + 1e-9),
            };
            for tier in Tier::available() {
                let ratio = error(&values, &blocks(format, tier, &values, level), level) / expected;
                assert!(ratio >= least && ratio <= most, "{ratio} for {level} on {tier:?}");
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
