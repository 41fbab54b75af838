//! Activations rounded to 8 bits, once for all weights they are multiplied with.
#![expect(unsafe_code, reason = "vector instructions, and threads that write to one slice")]

use crate::kernels::pool;
use crate::kernels::shared::room;
use crate::kernels::tier::Tier;

/// Up to this many rows, weights are unpacked where they are multiplied.
pub(crate) const FEW: usize = 4;
/// Values rounded together.
pub(crate) const GROUP: usize = 32;
/// Groups that one thread rounds in about the time that a hand-over takes.
const SMALLEST_PART: usize = 256;
/// Groups with nothing larger count as zeros: 127 divided by it would be infinite.
const SMALLEST: f32 = 1e-36;

/// Rows of activations in 8 bits: `x` is about `value * scale`, with one scale for 32 values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Row by row, between -127 and 127.
    pub(super) values: Vec<i8>,
    /// The same plus 128; only where there are more than [`FEW`] rows, and VNNI to multiply them.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "for VNNI alone"))]
    pub(super) raised: Vec<u8>,
    pub(super) groups: Vec<Group>,
}

/// What the steps that activations are rounded to are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    /// The largest of 32 is 127.
    Fine,
    /// Neighbours are at most 128 together, without their signs, so that two products with unsigned
    /// bytes fit 16 bits, and none is more than 127. Of numbers that are normally distributed the
    /// error grows by 1.4.
    Pairs,
}

impl Steps {
    /// The most steps: of neighbours a little less than 128, which sums of rounded numbers stay below.
    const fn most(self) -> f32 {
        match self {
            Self::Fine => 127.0,
            Self::Pairs => 127.9999,
        }
    }

    /// What one number counts for beside a sum of two.
    const ALONE: f32 = Self::Pairs.most() / Self::Fine.most();
}

/// What products need to know of 32 activations.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(super) struct Group {
    pub(super) scale: f32,
    /// Of the 32 rounded activations, times `scale`.
    pub(super) sum: f32,
    /// The same of the first 16 and of the last.
    pub(super) halves: [f32; 2],
    /// Of the 32 rounded activations.
    pub(super) total: i32,
}

impl Activations {
    /// Rounds rows of `columns` values, a multiple of 32, to the nearest step.
    pub(super) fn quantize(tier: Tier, x: &[f32], columns: usize, steps: Steps) -> Self {
        assert!(columns > 0 && columns.is_multiple_of(GROUP) && x.len().is_multiple_of(columns));
        let rows = x.len() / columns;
        let raise = matches!(tier, Tier::Avx512 | Tier::AvxVnni) && rows > FEW;
        let (mut values, mut raised, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let shared_values = room(&mut values, x.len());
        let shared_raised = room(&mut raised, if raise { x.len() } else { 0 });
        let shared_groups = room(&mut groups, x.len() / GROUP);
        pool::for_each(x.len() / GROUP, SMALLEST_PART, |range| {
            let start = range.start;
            let x = &x.as_chunks::<GROUP>().0[range];
            let mut write = |number: usize, values: &[i8; GROUP], group: Group| {
                let number = start + number;
                // SAFETY: every group is written by the one thread that got it.
                unsafe {
                    shared_values.write(number * GROUP, values);
                    if raise {
                        let raised = values.map(|value| value.cast_unsigned() ^ 0x80);
                        shared_raised.write(number * GROUP, &raised);
                    }
                    shared_groups.write(number, &[group]);
                }
            };
            match tier {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the tier says that the processor has these instructions.
                Tier::Avx512 | Tier::AvxVnni | Tier::Avx2 => unsafe {
                    avx2::each(x, steps, &mut write);
                },
                #[cfg(target_arch = "aarch64")]
                Tier::Neon | Tier::NeonDot | Tier::NeonI8mm => {
                    each(x, |x| neon::quantize(x, steps), &mut write);
                }
                _ => each(x, |x| quantize(x, steps), &mut write),
            }
        });
        // SAFETY: all of them have been written.
        unsafe {
            values.set_len(x.len());
            raised.set_len(if raise { x.len() } else { 0 });
            groups.set_len(x.len() / GROUP);
        }
        Self { rows, columns, values, raised, groups }
    }

    /// The groups of one row.
    pub(super) fn row_groups(&self, row: usize) -> &[Group] {
        let groups = self.columns / GROUP;
        &self.groups[row * groups..][..groups]
    }

    /// Piece number `at` of a row: 32 rounded activations.
    #[cfg(target_arch = "aarch64")]
    pub(super) fn piece(&self, row: usize, at: usize) -> &[i8; GROUP] {
        &self.values.as_chunks::<GROUP>().0[row * (self.columns / GROUP) + at]
    }

    /// Rounded activation number `column` of a row.
    pub(super) fn value(&self, row: usize, column: usize) -> i32 {
        i32::from(self.values[row * self.columns + column])
    }
}

#[inline(always)]
fn each(
    x: &[[f32; GROUP]],
    quantize: impl Fn(&[f32; GROUP]) -> ([i8; GROUP], Group),
    write: &mut impl FnMut(usize, &[i8; GROUP], Group),
) {
    for (number, x) in x.iter().enumerate() {
        let (values, group) = quantize(x);
        write(number, &values, group);
    }
}

fn quantize(x: &[f32; GROUP], steps: Steps) -> ([i8; GROUP], Group) {
    let size = |[a, b]: &[f32; 2]| match steps {
        Steps::Fine => a.abs().max(b.abs()),
        Steps::Pairs => (a.abs().max(b.abs()) * Steps::ALONE).max(a.abs() + b.abs()),
    };
    let largest = x.as_chunks().0.iter().map(size).fold(0.0_f32, f32::max);
    let inverse = if largest > SMALLEST { steps.most() / largest } else { 0.0 };
    let (mut values, mut sums) = ([0; GROUP], [0_i32; 2]);
    for (i, (x, value)) in x.iter().zip(&mut values).enumerate() {
        *value = (x * inverse).round_ties_even() as i8;
        sums[i / 16] += i32::from(*value);
    }
    (values, group(largest / steps.most(), sums))
}

fn group(scale: f32, sums: [i32; 2]) -> Group {
    Group {
        scale,
        sum: scale * (sums[0] + sums[1]) as f32,
        halves: sums.map(|sum| scale * sum as f32),
        total: sums[0] + sums[1],
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{GROUP, Group, SMALLEST, Steps, group};

    /// What is inlined into this function may use its instructions too.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn each(
        x: &[[f32; GROUP]],
        steps: Steps,
        write: &mut impl FnMut(usize, &[i8; GROUP], Group),
    ) {
        super::each(x, |x| quantize(x, steps), write);
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn quantize(x: &[f32; GROUP], steps: Steps) -> ([i8; GROUP], Group) {
        // SAFETY: 32 floats are four vectors of eight.
        let x: [__m256; 4] =
            std::array::from_fn(|i| unsafe { _mm256_loadu_ps(x.as_ptr().add(8 * i)) });
        let sign = _mm256_set1_ps(-0.0);
        let magnitude = |x| _mm256_andnot_ps(sign, x);
        let size = |x, y| {
            let (x, y) = (magnitude(x), magnitude(y));
            let largest = _mm256_max_ps(x, y);
            match steps {
                Steps::Fine => largest,
                Steps::Pairs => _mm256_max_ps(
                    _mm256_mul_ps(largest, _mm256_set1_ps(Steps::ALONE)),
                    _mm256_hadd_ps(x, y),
                ),
            }
        };
        let largest = _mm256_max_ps(size(x[0], x[1]), size(x[2], x[3]));
        let four = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps::<1>(largest));
        let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
        let largest = _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
        let inverse = if largest > SMALLEST { steps.most() / largest } else { 0.0 };
        let inverse = _mm256_set1_ps(inverse);
        let rounded = x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)));
        // Packing works within halves of 128 bits; the permutation puts the fours in order again.
        let words = _mm256_packs_epi32(rounded[0], rounded[1]);
        let more = _mm256_packs_epi32(rounded[2], rounded[3]);
        let bytes = _mm256_packs_epi16(words, more);
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(bytes, order);
        let mut values = [0; GROUP];
        // SAFETY: 32 bytes are one vector.
        unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), bytes) };
        let sum = |a, b| {
            let eight = _mm256_add_epi32(a, b);
            let four =
                _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
            let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
        };
        (
            values,
            group(
                largest / steps.most(),
                [sum(rounded[0], rounded[1]), sum(rounded[2], rounded[3])],
            ),
        )
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use super::{GROUP, Group, SMALLEST, Steps, group};

    pub(super) fn quantize(x: &[f32; GROUP], steps: Steps) -> ([i8; GROUP], Group) {
        // SAFETY: 32 floats are eight vectors of four, which every 64-bit Arm has; so are 32 bytes
        // two of sixteen.
        unsafe {
            let x: [float32x4_t; 8] = std::array::from_fn(|i| vld1q_f32(x.as_ptr().add(4 * i)));
            let size = |[x, y]: [float32x4_t; 2]| {
                let (x, y) = (vabsq_f32(x), vabsq_f32(y));
                let largest = vmaxq_f32(x, y);
                match steps {
                    Steps::Fine => largest,
                    Steps::Pairs => vmaxq_f32(vmulq_n_f32(largest, Steps::ALONE), vpaddq_f32(x, y)),
                }
            };
            let largest = (x.as_chunks().0.iter())
                .fold(vdupq_n_f32(0.0), |largest, x| vmaxq_f32(largest, size(*x)));
            let largest = vmaxvq_f32(largest);
            let inverse = if largest > SMALLEST { steps.most() / largest } else { 0.0 };
            let rounded = x.map(|x| vcvtnq_s32_f32(vmulq_n_f32(x, inverse)));
            let sums = [0, 4].map(|first| {
                let add = |sum, i: usize| vaddq_s32(sum, rounded[first + i]);
                vaddvq_s32((1..4).fold(rounded[first], add))
            });
            let mut values = [0; GROUP];
            for half in 0..2 {
                let pair =
                    |i: usize| vcombine_s16(vqmovn_s32(rounded[i]), vqmovn_s32(rounded[i + 1]));
                let (low, high) = (pair(4 * half), pair(4 * half + 2));
                let bytes = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
                vst1q_s8(values.as_mut_ptr().add(16 * half), bytes);
            }
            (values, group(largest / steps.most(), sums))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_rounds_alike_to_a_254th_of_the_largest() {
        let x: Vec<f32> = (0..96).map(|i| ((i * 37 % 61) as f32 - 30.0) * 0.13).collect();
        let x = [x, vec![0.0; 32], vec![1e-30; 32], vec![-3e36; 32]].concat();
        for steps in [Steps::Fine, Steps::Pairs] {
            let plain = Activations::quantize(Tier::Scalar, &x, 64, steps);
            for tier in Tier::available() {
                let other = Activations::quantize(tier, &x, 64, steps);
                assert_eq!((other.rows, &other.values), (3, &plain.values), "{tier:?}");
                assert_eq!(other.groups, plain.groups, "{tier:?}");
            }
            for (i, (group, x)) in plain.groups.iter().zip(x.as_chunks::<GROUP>().0).enumerate() {
                let value = |j| plain.value(i / 2, i % 2 * 32 + j);
                for (j, x) in x.iter().enumerate() {
                    assert!((x - value(j) as f32 * group.scale).abs() <= 0.501 * group.scale);
                }
                let split = group.halves[0] + group.halves[1];
                assert!((split - group.sum).abs() <= group.scale * 0.01);
                let sizes = x.as_chunks().0.iter().map(|[a, b]: &[f32; 2]| match steps {
                    Steps::Fine => a.abs().max(b.abs()) / 127.0,
                    Steps::Pairs => (a.abs().max(b.abs()) / 127.0).max((a.abs() + b.abs()) / 128.0),
                });
                let scale = sizes.fold(0.0, f32::max);
                assert!((group.scale - scale).abs() <= 1e-6 * scale);
            }
        }
    }

    /// The most that neighbours are together: their products with 255 fit 16 bits.
    #[test]
    fn neighbours_are_at_most_128_together() {
        for i in 0..=512 {
            let first = i as f32 / 4.0;
            let x = [vec![first, first - 128.0], vec![first / 3.0; 30]].concat();
            let rounded = Activations::quantize(Tier::best(), &x, 32, Steps::Pairs);
            let [a, b] = [0, 1].map(|column| rounded.value(0, column).abs());
            assert!(a + b <= 128 && a <= 127 && b <= 127, "{x:?}: {a} {b}");
        }
        let equal = Activations::quantize(Tier::best(), &[3.0; 32], 32, Steps::Pairs);
        assert_eq!(equal.values, [64; 32]);
        assert!((equal.groups[0].sum - 96.0).abs() < 2e-4);
    }
}
