//! Vectors of numbers in f32, of each tier: what products are made with.
#![expect(unsafe_code, reason = "vector instructions")]

#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

use half::f16;

#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;
pub(super) use plain::Plain;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Narrow, NarrowPairs, Wide, WidePairs};

/// A vector. Its methods are inlined into functions that enable its instructions.
pub(super) trait Vector {
    type Floats: Copy;
    /// Numbers in one.
    const LANES: usize;

    /// # Safety
    ///
    /// As all methods: the processor must have the instructions, and pointers must point to as many
    /// numbers as a vector has.
    unsafe fn load(from: *const f32) -> Self::Floats;
    /// As many numbers of f16.
    unsafe fn widen(from: *const f16) -> Self::Floats;
    unsafe fn store(x: Self::Floats, to: *mut f32);
    /// The same number in all lanes.
    unsafe fn all(x: f32) -> Self::Floats;
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a b + c`.
    unsafe fn multiply_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    /// Prefetches memory that is written soon into the first-level cache; the pointer need not be
    /// valid.
    fn fetch(_: *const f32) {}
}

/// What vectors can be loaded from.
pub(super) trait Number: Copy {
    /// # Safety
    ///
    /// As of [`Vector::load`].
    unsafe fn load<V: Vector>(from: *const Self) -> V::Floats;
}

impl Number for f32 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V::Floats {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    }
}

impl Number for f16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V::Floats {
        // SAFETY: the caller's promise.
        unsafe { V::widen(from) }
    }
}
