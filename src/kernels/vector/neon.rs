//! Vectors of NEON.

use std::arch::aarch64::*;

use half::f16;

use super::Vector;
use crate::kernels::neon;

/// Every 64-bit Arm has them.
pub(in crate::kernels) struct Neon;

impl Vector for Neon {
    type Floats = float32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: the caller's promise, here and below.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const f16) -> float32x4_t {
        // SAFETY: as above.
        neon::widen(unsafe { vld1_u16(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(x: float32x4_t, to: *mut f32) {
        // SAFETY: as above.
        unsafe { vst1q_f32(to, x) };
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn multiply_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vfmaq_f32(c, a, b) }
    }
}
