//! CPU kernels on plain slices: matrix products with packed weights, attention, norms. They know no
//! model and no file.
//!
//! Each kernel has a plain scalar version. It runs on processors without a better one, and the
//! tests compare the others with it. The tier of the processor is detected at run time ([`tier`]):
//! AVX-512 with VNNI, AVX2 with or without AVX-VNNI, NEON with or without products of bytes
//! (`dotprod`, `i8mm`).
//!
//! Products of bf16 (`vdpbf16ps`) round activations, so they are used only if arithmetic in bf16
//! was asked for, and only where the processor is faster that way (`dense/rounded_bf16.rs`): AMD's since
//! Zen 4; on Intel's Emerald Rapids they multiply 42 billion numbers a second and core, products of
//! f32 89.
//!
//! | kernel | weights | activations | error against f64 |
//! |---|---|---|---|
//! | [`packed`] | blocks of 2 to 8 bits, exact | 8 bits per 32 values | that of rounding activations to 1/254 of the largest of 32 |
//! | [`dense`] | f32, f16, bf16, exact | f32 | below `3e-6` of the sum of the products' magnitudes |
//! | [`dense`], where asked for | bf16, exact | rounded to bf16 | that of rounding, and below `1e-5` of the sum of the products' magnitudes |
//! | [`attention`] | cached keys and values, f32, f16 or 8 bits, exact | f32 | below `1e-5` of the largest value |
//! | [`norm`] and [`group_norm`], [`rope`], [`gate`] | f32 | f32 | below `3e-6`, `2e-5` and `1e-6`, relatively |
//! | [`convolution`] of each channel by itself | f32 | f32 | below `3e-6` of the sum of the products' magnitudes |
//! | [`convolution2d`] | f32, f16, bf16, Q8_0, exact | f32 | below `3e-6` of the sum of the products' magnitudes, `2e-5` by Winograd's way |
//! | [`softmax`] over a vocabulary | | f32, summed in f64 | below `3e-7`, relatively |
//! | [`elementwise`] | | f32 | GELU: below `2e-7`, `1.6e-7` of a larger result |
//! | [`lstm`] | f32 | f32 | a step: below `2e-6` |
//! | [`snake`] | f32 | f32 | below `2e-6 / alpha`, and `2e-7` of the result |
//! | [`encoder_attention`], `cross_attention` | | f32 | below `1e-5` of the largest value |
//! | [`quantize`] | f32 to blocks | | that of ggml's reference, or less |

pub(crate) mod activations;
pub(crate) mod attention;
pub(crate) mod cached;
pub(crate) mod convolution;
#[cfg(any(feature = "audio", feature = "image"))]
pub(crate) mod convolution2d;
#[cfg(feature = "image")]
pub(crate) mod cross_attention;
pub(crate) mod dense;
pub(crate) mod elementwise;
pub(crate) mod encoder_attention;
pub(crate) mod gate;
#[cfg(any(feature = "audio", feature = "image"))]
pub(crate) mod group_norm;
pub(crate) mod lstm;
pub(crate) mod norm;
pub(crate) mod packed;
pub(crate) mod pool;
pub(crate) mod quantize;
pub(crate) mod residual;
pub(crate) mod rope;
#[cfg(feature = "audio")]
pub(crate) mod snake;
pub(crate) mod softmax;

mod exp;
mod memory;
#[cfg(target_arch = "aarch64")]
mod neon;
mod reduce;
mod shared;
mod tier;
mod tile;
mod vector;

#[cfg(feature = "audio")]
pub(crate) use shared::each_part;
