//! NEON instructions that Rust has no stable functions for.
#![expect(unsafe_code, reason = "assembly")]

use std::arch::aarch64::*;
use std::arch::asm;

/// Adds the products of four rows of four bytes with the four bytes number `LANE` of `x`.
///
/// # Safety
///
/// The processor must have `dotprod`.
#[inline(always)]
pub(super) unsafe fn dot<const LANE: u8>(
    mut sum: int32x4_t,
    rows: int8x16_t,
    x: int8x16_t,
) -> int32x4_t {
    // SAFETY: the caller's promise; nothing but the operands is touched.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {rows:v}.16b, {x:v}.4b[{lane}]",
            sum = inout(vreg) sum, rows = in(vreg) rows, x = in(vreg) x, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Adds the products of two rows of eight bytes with two rows: `left 0 * right 0`, `left 0 * right 1`,
/// `left 1 * right 0`, `left 1 * right 1`.
///
/// # Safety
///
/// The processor must have `i8mm`.
#[inline(always)]
pub(super) unsafe fn matrix(mut sum: int32x4_t, left: int8x16_t, right: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's promise; nothing but the operands is touched.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {sum:v}.4s, {left:v}.16b, {right:v}.16b",
            sum = inout(vreg) sum, left = in(vreg) left, right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Four numbers in f16 as f32.
#[inline(always)]
pub(super) fn widen(halves: uint16x4_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: every 64-bit Arm has the instruction; nothing but the operands is touched.
    unsafe {
        asm!(
            "fcvtl {wide:v}.4s, {halves:v}.4h",
            wide = lateout(vreg) wide, halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    wide
}
