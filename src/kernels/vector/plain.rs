//! What the compiler makes of plain Rust.

use std::array::from_fn;

use half::f16;

use super::Vector;

/// Every processor has them.
pub(in crate::kernels) struct Plain;

impl Vector for Plain {
    type Floats = [f32; 8];
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 8] {
        // SAFETY: the caller's promise, here and below.
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn widen(from: *const f16) -> [f32; 8] {
        // SAFETY: as above.
        unsafe { from.cast::<[f16; 8]>().read_unaligned() }.map(f16::to_f32)
    }

    #[inline(always)]
    unsafe fn store(x: [f32; 8], to: *mut f32) {
        // SAFETY: as above.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(x) };
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> [f32; 8] {
        [x; 8]
    }

    #[inline(always)]
    unsafe fn add(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn multiply_add(a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        from_fn(|i| a[i] * b[i] + c[i])
    }
}
