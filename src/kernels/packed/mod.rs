//! Products with weights in ggml's block formats, packed by eight rows.
//!
//! Weights keep their exact values and at most 1.04 times their bytes. Activations are rounded to 8
//! bits, 32 at a time (with AVX2 alone and quants of 8 bits, to 7.5 bits: [`Steps::Pairs`]); products
//! and their sums over 16 or 32 columns are exact integers.
#![expect(unsafe_code, reason = "vector instructions, and threads that write to one slice")]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod format;
mod layout;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod values;

use std::ops::Range;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

pub(crate) use format::BlockFormat;

use crate::kernels::activations::{Activations, FEW, Steps};
use crate::kernels::shared::{Shared, written};
use crate::kernels::tier::Tier;
use crate::kernels::{pool, quantize};
use format::ROWS;
use values::Values;

/// A weight of shape `(rows, columns)`, packed.
#[derive(Debug)]
pub(crate) struct Packed {
    format: BlockFormat,
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
}

/// Why rows cannot be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpackable {
    /// They are not as many whole blocks as the shape says.
    Shape,
    /// A scale or a minimum is NaN or infinite.
    NotFinite,
}

/// What activations are multiplied with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factor<'a> {
    pub(crate) weight: &'a Packed,
    /// One number for each row of the weight.
    pub(crate) bias: Option<&'a [f32]>,
}

impl Packed {
    /// Packs rows as they lie in a file, in pieces of whole rows.
    ///
    /// # Errors
    ///
    /// Where they are not as many bytes as the shape takes, rows are not whole blocks, or a scale is
    /// not finite.
    pub(crate) fn new(
        format: BlockFormat,
        rows: usize,
        columns: usize,
        pieces: &[&[u8]],
    ) -> Result<Self, Unpackable> {
        let layout = format.layout();
        let row_bytes = columns / format.columns() * layout.stored;
        let stored: usize = pieces.iter().map(|piece| piece.len()).sum();
        let whole = columns > 0
            && columns.is_multiple_of(format.columns())
            && rows.checked_mul(row_bytes) == Some(stored)
            && pieces.iter().all(|piece| piece.len().is_multiple_of(row_bytes));
        if !whole {
            return Err(Unpackable::Shape);
        }
        let starts: Vec<&[u8]> =
            pieces.iter().flat_map(|piece| piece.chunks_exact(row_bytes)).collect();
        let group_bytes = columns / format.columns() * layout.block();
        let mut bytes = vec![0; rows.div_ceil(ROWS) * group_bytes];
        let groups = bytes.par_chunks_mut(group_bytes).enumerate();
        let finite = groups.map(|(group, packed)| {
            let stored = &starts[group * ROWS..rows.min((group + 1) * ROWS)];
            layout::pack(format, stored, packed)
        });
        if !finite.reduce(|| true, |all, finite| all & finite) {
            return Err(Unpackable::NotFinite);
        }
        Ok(Self { format, rows, columns, bytes })
    }

    /// Quantizes and packs rows of whole blocks, eight at a time, so that no other copy is made of them:
    /// `read` writes those of a range, one after the other, on any thread. `None` where the format
    /// has no quantizer.
    pub(crate) fn quantized<E: Send>(
        format: BlockFormat,
        [rows, columns]: [usize; 2],
        read: impl Fn(Range<usize>, &mut [f32]) -> Result<(), E> + Sync,
    ) -> Result<Option<Self>, E> {
        let Some(quantize) = quantize::to(format) else { return Ok(None) };
        let layout = format.layout();
        let blocks = columns / format.columns();
        let (row_bytes, group_bytes) = (blocks * layout.stored, blocks * layout.block());
        let mut bytes = vec![0; rows.div_ceil(ROWS) * group_bytes];
        bytes.par_chunks_mut(group_bytes.max(1)).enumerate().try_for_each_init(
            || (vec![0.0; ROWS * columns], vec![0; ROWS * row_bytes]),
            |(values, stored), (group, packed)| {
                let range = group * ROWS..rows.min((group + 1) * ROWS);
                let values = &mut values[..range.len() * columns];
                let stored = &mut stored[..range.len() * row_bytes];
                read(range, values)?;
                quantize(values, stored);
                let rows: Vec<&[u8]> = stored.chunks_exact(row_bytes).collect();
                layout::pack(format, &rows, packed);
                Ok::<(), E>(())
            },
        )?;
        Ok(Some(Self { format, rows, columns, bytes }))
    }

    pub(crate) fn format(&self) -> BlockFormat {
        self.format
    }

    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The values of one row.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        let layout = self.format.layout();
        let group = self.groups(row / ROWS..row / ROWS + 1);
        for (i, out) in out.chunks_exact_mut(32).enumerate() {
            let block = &group[i / layout.pieces * layout.block()..][..layout.block()];
            let piece = layout::read(layout, block, i % layout.pieces, row % ROWS);
            let values = Values::new(layout, &piece);
            for (column, value) in out.iter_mut().enumerate() {
                let half = column / 16;
                *value = values.scale[half] * values.quant(column) as f32 + values.minimum[half];
            }
        }
    }

    fn groups(&self, groups: Range<usize>) -> &[u8] {
        let bytes = self.columns / self.format.columns() * self.format.layout().block();
        &self.bytes[groups.start * bytes..groups.end * bytes]
    }
}

/// Multiplies the same rows of activations with several weights of as many columns, in one hand-over
/// to the threads; of each `(x rows, weight rows)`.
///
/// Error against f64: that of rounding the activations, and of a sum in f32 per 32 columns.
pub(crate) fn multiply(x: &[f32], columns: usize, factors: &[Factor<'_>]) -> Vec<Vec<f32>> {
    let tier = Tier::best();
    multiply_on(tier, &Activations::quantize(tier, x, columns, steps(tier, factors)), factors)
}

/// Each of up to so many rows of activations gives what it gives alone.
pub(crate) fn few() -> usize {
    few_on(Tier::best())
}

fn few_on(tier: Tier) -> usize {
    match tier {
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 => avx2::SEVERAL,
        _ => FEW,
    }
}

/// What activations are rounded to, to be multiplied with these weights.
fn steps(tier: Tier, factors: &[Factor<'_>]) -> Steps {
    let pairs = tier == Tier::Avx2 && factors.iter().any(|factor| factor.weight.format.signed());
    if pairs { Steps::Pairs } else { Steps::Fine }
}

fn multiply_on(tier: Tier, x: &Activations, factors: &[Factor<'_>]) -> Vec<Vec<f32>> {
    let lengths: Vec<usize> = factors.iter().map(|factor| x.rows * factor.weight.rows).collect();
    // SAFETY: every group of rows of weights is multiplied with every row of activations.
    unsafe { written(&lengths, |outs| multiply_into(tier, x, factors, outs)) }
}

fn multiply_into(tier: Tier, x: &Activations, factors: &[Factor<'_>], outs: &[Shared<'_, f32>]) {
    let mut groups = 0;
    let mut parts = Vec::with_capacity(factors.len());
    for (Factor { weight, bias }, out) in factors.iter().zip(outs) {
        assert_eq!(weight.columns, x.columns);
        assert!(bias.is_none_or(|bias| bias.len() == weight.rows));
        parts.push(Part { first: groups, weight, bias: *bias, out });
        groups += weight.rows.div_ceil(ROWS);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(grain) = avx2::rows_together(tier, x.rows) {
        return pool::for_each(x.rows, grain, |rows| {
            for part in &parts {
                let Packed { format, rows: all, bytes, .. } = part.weight;
                // SAFETY: the tier says that the processor has these instructions; products of these
                // rows of activations are this thread's alone.
                unsafe {
                    let target = part.target(x.rows, 0..*all);
                    avx2::multiply_many(tier, *format, bytes, x, rows.clone(), target);
                }
            }
        });
    }
    let grain = pool::grain(groups, ROWS * x.columns * x.rows);
    #[cfg(target_arch = "x86_64")]
    let grain = grain.next_multiple_of(avx2::groups_together(tier, x.rows));
    pool::for_each(groups, grain, |range| {
        #[cfg(target_arch = "aarch64")]
        let mut scratch = neon::Scratch::default();
        for part in &parts {
            let Part { first, weight, bias, out } = *part;
            let groups = range.start.max(first) - first..range.end.max(first) - first;
            let groups = groups.start..groups.end.min(weight.rows.div_ceil(ROWS));
            if groups.is_empty() {
                continue;
            }
            let bytes = weight.groups(groups.clone());
            #[cfg(target_arch = "x86_64")]
            if x.rows > few_on(tier) && tier != Tier::Scalar {
                let rows = groups.start * ROWS..weight.rows.min(groups.end * ROWS);
                // SAFETY: the tier says that the processor has these instructions; products with these
                // rows of weights are this thread's alone.
                unsafe {
                    let target = part.target(x.rows, rows);
                    avx2::multiply_many(tier, weight.format, bytes, x, 0..x.rows, target);
                }
                continue;
            }
            let mut write = |row: usize, group: usize, sums: &[f32; ROWS]| {
                let start = (groups.start + group) * ROWS;
                let rows = (weight.rows - start).min(ROWS);
                let mut sums = *sums;
                if let Some(bias) = bias {
                    sums.iter_mut().zip(&bias[start..]).for_each(|(sum, bias)| *sum += bias);
                }
                // SAFETY: every group of every row is written by the one thread that got it.
                unsafe { out.write(row * weight.rows + start, &sums[..rows]) };
            };
            match tier {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the tier says that the processor has these instructions.
                Tier::Avx512 | Tier::AvxVnni | Tier::Avx2 => unsafe {
                    avx2::multiply_few(tier, weight.format, bytes, x, &mut write);
                },
                #[cfg(target_arch = "aarch64")]
                // SAFETY: as above.
                Tier::Neon | Tier::NeonDot | Tier::NeonI8mm => unsafe {
                    neon::multiply(tier, weight.format, bytes, x, &mut scratch, &mut write);
                },
                _ => scalar::multiply(weight.format, bytes, x, &mut write),
            }
        }
    });
}

/// A factor among others.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// Groups of the factors before.
    first: usize,
    weight: &'a Packed,
    bias: Option<&'a [f32]>,
    /// Where its products go.
    out: &'a Shared<'a, f32>,
}

#[cfg(target_arch = "x86_64")]
impl<'a> Part<'a> {
    /// Where products of `count` rows of activations with some rows of weights go.
    fn target(&self, count: usize, rows: Range<usize>) -> avx2::Target<'a> {
        let stride = self.weight.rows;
        avx2::Target {
            out: self.out.pointer(rows.start, (count - 1) * stride + rows.len()),
            stride,
            rows: rows.len(),
            bias: self.bias.map(|bias| &bias[rows]),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::quantized::{GgmlDType, QStorage, QTensor};
    use half::f16;

    use super::*;
    use crate::kernels::packed::format::TABLE;

    fn random(length: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.5
        };
        (0..length).map(|_| next() + next() * next()).collect()
    }

    /// Where the scale, and the minimum, of a block lie.
    fn heads(format: BlockFormat) -> &'static [usize] {
        match format {
            BlockFormat::Q2K => &[80, 82],
            BlockFormat::Q3K => &[108],
            BlockFormat::Q6K => &[208],
            BlockFormat::IQ4NL | BlockFormat::Q4_0 | BlockFormat::Q5_0 | BlockFormat::Q8_0 => &[0],
            _ => &[0, 2],
        }
    }

    /// Rows as a file has them: random bits reach every quant and factor, scales are near one.
    fn stored(format: BlockFormat, rows: usize, columns: usize) -> Vec<u8> {
        let size = format.layout().stored;
        let noise = random(rows * columns / format.columns() * size, 3);
        let mut bytes: Vec<u8> = noise.iter().map(|noise| (noise * 997.0) as i32 as u8).collect();
        for block in bytes.chunks_exact_mut(size) {
            for head in heads(format) {
                let scale = f16::from_f32(0.5 + f32::from(block[*head]) / 256.0);
                block[*head..head + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        bytes
    }

    fn packed(format: BlockFormat, rows: usize, columns: usize) -> Packed {
        let bytes = stored(format, rows, columns);
        let (first, rest) = bytes.split_at(bytes.len() / rows);
        let packed = Packed::new(format, rows, columns, &[first, rest]).unwrap();
        assert!(packed.bytes() * 100 <= bytes.len() * 104 * rows.next_multiple_of(ROWS) / rows);
        packed
    }

    /// What candle says the same bytes stand for.
    fn values(format: BlockFormat, rows: usize, columns: usize) -> Vec<f32> {
        let bytes = stored(format, rows, columns);
        let kind = match format {
            BlockFormat::IQ4NL => {
                let value = |block: &[u8], at: usize| {
                    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                    scale * f32::from(TABLE[usize::from(block[2 + at % 16] >> (at / 16 * 4) & 15)])
                };
                let blocks = bytes.chunks_exact(18);
                return blocks.flat_map(|block| (0..32).map(|at| value(block, at))).collect();
            }
            BlockFormat::Q2K => GgmlDType::Q2K,
            BlockFormat::Q3K => GgmlDType::Q3K,
            BlockFormat::Q4_0 => GgmlDType::Q4_0,
            BlockFormat::Q4_1 => GgmlDType::Q4_1,
            BlockFormat::Q4K => GgmlDType::Q4K,
            BlockFormat::Q5_0 => GgmlDType::Q5_0,
            BlockFormat::Q5_1 => GgmlDType::Q5_1,
            BlockFormat::Q5K => GgmlDType::Q5K,
            BlockFormat::Q6K => GgmlDType::Q6K,
            BlockFormat::Q8_0 => GgmlDType::Q8_0,
        };
        let storage = QStorage::from_data(bytes.into(), &Device::Cpu, kind).unwrap();
        let stored = QTensor::new(storage, (rows, columns)).unwrap();
        stored.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn rows_are_what_the_file_says() {
        for format in BlockFormat::ALL {
            let (packed, values) = (packed(format, 11, 512), values(format, 11, 512));
            for (row, expected) in values.chunks(512).enumerate() {
                let mut found = vec![0.0; 512];
                packed.row(row, &mut found);
                for (found, expected) in found.iter().zip(expected) {
                    let allowed = 1e-6 * expected.abs().max(1e-3);
                    assert!(
                        (found - expected).abs() <= allowed * 100.0,
                        "{format:?} {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_tier_and_shape_agrees_with_f64() {
        for format in BlockFormat::ALL {
            for (rows, blocks) in [(1, 1), (7, 3), (8, 2), (41, 1), (200, 2)] {
                agrees_with_f64(
                    format,
                    [rows, blocks * format.columns()],
                    &[1, 2, 3, 4, 5, 9, 17, 22],
                );
            }
            // More weights than are unpacked at a time; activations that threads share.
            agrees_with_f64(format, [270, 512], &[23]);
            pool::with_limit(1, || agrees_with_f64(format, [9, 512], &[70]));
        }
    }

    fn agrees_with_f64(format: BlockFormat, [rows, columns]: [usize; 2], batches: &[usize]) {
        let packed = packed(format, rows, columns);
        let mut values = vec![0.0; rows * columns];
        for (row, values) in values.chunks_exact_mut(columns).enumerate() {
            packed.row(row, values);
        }
        let factor = Factor { weight: &packed, bias: None };
        for (&batch, tier) in
            batches.iter().flat_map(|batch| Tier::available().map(move |tier| (batch, tier)))
        {
            let x = random(batch * columns, 5);
            let x = Activations::quantize(tier, &x, columns, steps(tier, &[factor]));
            let products = (0..batch * rows).map(|at| {
                let (i, row) = (at / rows, at % rows);
                (0..columns).fold((0.0_f64, 0.0_f64), |(sum, size), column| {
                    let scale = x.row_groups(i)[column / 32].scale;
                    let x = f64::from(x.value(i, column)) * f64::from(scale);
                    let product = x * f64::from(values[row * columns + column]);
                    (sum + product, size + product.abs())
                })
            });
            let products: Vec<_> = products.collect();
            let out = multiply_on(tier, &x, &[factor]).remove(0);
            assert_eq!(out.len(), products.len());
            for (found, (expected, size)) in out.iter().zip(&products) {
                assert!(
                    (f64::from(*found) - expected).abs() <= 2e-6 * size,
                    "{format:?} {rows}x{columns}, {batch}: {tier:?} {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn several_products_at_once_are_each_alone() {
        let formats = [BlockFormat::Q4K, BlockFormat::Q6K, BlockFormat::Q8_0];
        let weights = formats.map(|format| packed(format, 100, 512));
        let bias = random(100, 9);
        for (tier, batch) in Tier::available().flat_map(|tier| [(tier, 3), (tier, 9), (tier, 70)]) {
            let x = Activations::quantize(tier, &random(batch * 512, 1), 512, Steps::Pairs);
            let factors = weights.each_ref().map(|weight| Factor { weight, bias: Some(&bias) });
            let together = pool::with_limit(1, || multiply_on(tier, &x, &factors));
            for (weight, together) in weights.iter().zip(together) {
                let alone = multiply_on(tier, &x, &[Factor { weight, bias: None }]).remove(0);
                let largest = alone.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                for ((alone, bias), together) in alone.iter().zip(bias.iter().cycle()).zip(together)
                {
                    assert!((alone + bias - together).abs() <= 1e-6 * largest, "{tier:?} {batch}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_whole_number_of_rows_is_refused() {
        let bytes = vec![0; 36];
        let new = |rows, columns, pieces: &[&[u8]]| {
            Packed::new(BlockFormat::Q4_0, rows, columns, pieces).map(|packed| packed.dims())
        };
        assert_eq!(new(2, 32, &[&bytes]), Ok([2, 32]));
        assert_eq!(new(3, 32, &[&bytes]), Err(Unpackable::Shape));
        assert_eq!(new(2, 33, &[&bytes]), Err(Unpackable::Shape));
        assert_eq!(new(2, 32, &[&bytes[..20], &bytes[20..]]), Err(Unpackable::Shape));
        assert_eq!(new(0, 0, &[]), Err(Unpackable::Shape));
    }

    #[test]
    fn scales_that_are_not_finite_are_refused() {
        for format in BlockFormat::ALL {
            for (head, infinite) in [f16::INFINITY, f16::NAN, f16::NEG_INFINITY, f16::MAX]
                .into_iter()
                .flat_map(|value| heads(format).iter().map(move |&head| (head, value)))
            {
                let mut bytes = stored(format, 11, 512);
                let at = bytes.len() - format.layout().stored + head;
                bytes[at..at + 2].copy_from_slice(&infinite.to_le_bytes());
                let packed = Packed::new(format, 11, 512, &[&bytes]);
                assert_eq!(packed.is_ok(), infinite.is_finite(), "{format:?} {infinite}");
            }
        }
    }
}
