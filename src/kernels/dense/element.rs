//! What dense weights are made of.

use half::{bf16, f16};

use crate::kernels::tier::Tier;

/// A number that a weight may be.
pub(in crate::kernels) trait Element: Copy + Sync {
    /// Whether it is two numbers, of which others see the bits as if they were one of f32.
    const PAIRS: bool = false;

    fn widen(self) -> f32;

    /// Weights that need not be widened.
    fn wide(_: &[Self]) -> Option<&[f32]> {
        None
    }

    /// # Safety
    ///
    /// `from` must point to eight of them, and the processor have AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256;

    /// # Safety
    ///
    /// `from` must point to eight of them.
    #[cfg(target_arch = "aarch64")]
    unsafe fn load(from: *const Self) -> [std::arch::aarch64::float32x4_t; 2];
}

impl Element for f32 {
    fn widen(self) -> f32 {
        self
    }

    fn wide(weights: &[Self]) -> Option<&[f32]> {
        Some(weights)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller's promise.
        unsafe { std::arch::x86_64::_mm256_loadu_ps(from) }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    unsafe fn load(from: *const Self) -> [std::arch::aarch64::float32x4_t; 2] {
        use std::arch::aarch64::vld1q_f32;
        // SAFETY: the caller's promise.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
    }
}

impl Element for f16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps};
        // SAFETY: the caller's promise.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    unsafe fn load(from: *const Self) -> [std::arch::aarch64::float32x4_t; 2] {
        use std::arch::aarch64::{vget_high_u16, vget_low_u16, vld1q_u16};

        use crate::kernels::neon::widen;
        // SAFETY: the caller's promise.
        unsafe {
            let halves = vld1q_u16(from.cast());
            [widen(vget_low_u16(halves)), widen(vget_high_u16(halves))]
        }
    }
}

impl Element for bf16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::{
            _mm_loadu_si128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_slli_epi32,
        };
        // SAFETY: the caller's promise.
        let halves = unsafe { _mm_loadu_si128(from.cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    unsafe fn load(from: *const Self) -> [std::arch::aarch64::float32x4_t; 2] {
        use std::arch::aarch64::{
            vget_high_u16, vget_low_u16, vld1q_u16, vreinterpretq_f32_u32, vshll_n_u16,
        };
        // SAFETY: the caller's promise.
        unsafe {
            let halves = vld1q_u16(from.cast());
            [vget_low_u16(halves), vget_high_u16(halves)]
                .map(|halves| vreinterpretq_f32_u32(vshll_n_u16::<16>(halves)))
        }
    }
}

impl Element for [bf16; 2] {
    const PAIRS: bool = true;

    fn widen(self) -> f32 {
        let [first, second] = self.map(|number| u32::from(number.to_bits()));
        f32::from_bits(first | second << 16)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller's promise.
        unsafe { std::arch::x86_64::_mm256_loadu_ps(from.cast()) }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    unsafe fn load(from: *const Self) -> [std::arch::aarch64::float32x4_t; 2] {
        use std::arch::aarch64::vld1q_f32;
        // SAFETY: the caller's promise.
        unsafe { [vld1q_f32(from.cast()), vld1q_f32(from.cast::<f32>().add(4))] }
    }
}

/// Whether the tier has products of pairs, on this processor.
pub(super) fn has_pairs(tier: Tier) -> bool {
    match tier {
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512 => std::arch::is_x86_feature_detected!("avx512bf16"),
        _ => false,
    }
}
