//! From f32 to ggml's blocks, byte for byte as the reference quantizers of ggml (`*_ref` in
//! `ggml-quants.c`) make them, which is what `llama-quantize` writes.

mod k;
mod search;
mod small;

use candle_core::quantized::GgmlDType;

use crate::error::{Error, Result};

/// Quantizes whole blocks of finite numbers into `out`, which is as long as they take.
///
/// # Errors
///
/// Where there is no quantizer for the type, which no [`QuantLevel`](crate::QuantLevel) is.
pub(super) fn quantize(kind: GgmlDType, values: &[f32], out: &mut [u8]) -> Result<()> {
    match kind {
        GgmlDType::Q4_0 => each(values, out, small::q4_0),
        GgmlDType::Q4_1 => each(values, out, small::q4_1),
        GgmlDType::Q5_0 => each(values, out, small::q5_0),
        GgmlDType::Q5_1 => each(values, out, small::q5_1),
        GgmlDType::Q8_0 => each(values, out, small::q8_0),
        GgmlDType::Q2K => each(values, out, k::q2_k),
        GgmlDType::Q3K => each(values, out, k::q3_k),
        GgmlDType::Q4K => each(values, out, k::q4_k),
        GgmlDType::Q5K => each(values, out, k::q5_k),
        GgmlDType::Q6K => each(values, out, k::q6_k),
        _ => return Err(Error::unsupported(format!("quantizing to {kind:?}"))),
    }
    Ok(())
}

fn each<const WEIGHTS: usize, const BYTES: usize>(
    values: &[f32],
    out: &mut [u8],
    quantize: fn(&[f32; WEIGHTS], &mut [u8; BYTES]),
) {
    for (values, out) in values.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        quantize(values, out);
    }
}

/// Stores a number as f16 and returns what was stored.
fn put(out: &mut [u8], at: usize, value: f32) -> f32 {
    let half = half::f16::from_f32(value);
    out[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::options::QuantLevel;

    /// `tests/goldens/weights/make_quantizers.py` says how the blocks came about.
    #[test]
    fn every_level_quantizes_to_the_bytes_of_ggml() {
        let path = "tests/goldens/weights/quantizers.safetensors";
        let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let values = golden["x"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for &level in QuantLevel::ALL {
            let expected = golden[level.name()].to_vec1::<u8>().unwrap();
            let mut found = vec![0xff; expected.len()];
            quantize(level.ggml(), &values, &mut found).unwrap();
            let size = level.ggml().type_size();
            for (block, (found, expected)) in
                found.chunks(size).zip(expected.chunks(size)).enumerate()
            {
                assert_eq!(found, expected, "block {block} of {level}");
            }
        }
    }
}
