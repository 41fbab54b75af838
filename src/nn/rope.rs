//! Rotary position embeddings (<https://arxiv.org/abs/2104.09864>) and their scalings.
//!
//! Follows `modeling_rope_utils.py` of transformers, frequency by frequency in f32. One thing
//! differs on purpose. Where frequencies depend on the length of the sequence (`dynamic`,
//! `longrope`), transformers uses the longest row of a batch, so a short row's result depends on
//! its neighbours. Here each row uses its own length and gives what it gives alone.

use std::f64::consts::PI;
use std::ops::Range;

use candle_core::{Device, Tensor};
use candle_nn::rotary_emb;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernels::rope::{self, Pairs};
use crate::weights::slices::with_f32;

/// Rotary position embeddings of one kind of layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RopeConfig {
    /// The base of the wavelengths.
    pub theta: f64,
    /// How many of a head's channels are rotated, from the first; even.
    pub rotary_dim: usize,
    /// Which channels form a pair.
    pub pairing: RopePairing,
    /// How frequencies are changed for contexts beyond the original one.
    pub scaling: RopeScaling,
}

/// Which two channels are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum RopePairing {
    /// `(2i, 2i + 1)`: Command-R and GLM-4; GGUF files of the llama architecture, whose rows are reordered
    /// for it.
    Adjacent,
    /// `(i, i + rotary_dim / 2)`: other Hugging Face checkpoints and GGUF files.
    Halves,
}

/// How frequencies are changed for contexts beyond the original one, by its `rope_type`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub enum RopeScaling {
    /// `dynamic`: a larger base the longer the sequence.
    Dynamic {
        /// How much longer the context becomes.
        factor: f64,
        /// The context the model was trained on.
        original_positions: usize,
    },
    /// Each frequency divided by its own factor: `rope_freqs` of GGUF files.
    Factors(Vec<f32>),
    /// `linear`: every frequency divided by the factor. <https://arxiv.org/abs/2306.15595>
    Linear {
        /// How much longer the context becomes.
        factor: f64,
    },
    /// `llama3`: low frequencies divided, high ones kept, those between interpolated.
    Llama3 {
        /// How much longer the context becomes.
        factor: f64,
        /// Wavelengths above `original_positions / low_freq_factor` are stretched in full.
        low_freq_factor: f64,
        /// Wavelengths below `original_positions / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context the model was trained on.
        original_positions: usize,
    },
    /// `longrope`: each frequency divided by its own factor, one set for sequences within the
    /// original context and one for longer ones. <https://arxiv.org/abs/2402.13753>
    LongRope {
        /// For sequences within the original context, `rotary_dim / 2` of them.
        short: Vec<f32>,
        /// For longer sequences.
        long: Vec<f32>,
        /// The context the model was trained on.
        original_positions: usize,
        /// Multiplies queries and keys.
        attention_factor: f64,
    },
    /// `default`: as trained.
    None,
    /// `yarn`: low frequencies divided, high ones kept, a linear ramp between.
    /// <https://arxiv.org/abs/2309.00071>
    Yarn {
        /// How much longer the context becomes.
        factor: f64,
        /// Rotations in the original context above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which it is divided in full.
        beta_slow: f64,
        /// Whether the ramp's ends are rounded to whole channels.
        truncate: bool,
        /// The context the model was trained on.
        original_positions: usize,
        /// Multiplies queries and keys.
        attention_factor: f64,
    },
}

impl RopeConfig {
    /// What the unscaled frequencies are divided by, for a sequence of `length` tokens.
    pub(crate) fn divisors(&self, length: usize) -> Vec<f32> {
        let plain = Self { scaling: RopeScaling::None, ..self.clone() };
        let scaled = self.inverse_frequencies(length);
        plain.inverse_frequencies(length).iter().zip(scaled).map(|(a, b)| a / b).collect()
    }

    /// Whether sequences of these two lengths are rotated alike.
    pub(crate) fn is_same_at(&self, one: usize, other: usize) -> bool {
        match self.scaling {
            RopeScaling::Dynamic { original_positions, .. } => {
                one == other || one.max(other) <= original_positions
            }
            RopeScaling::LongRope { original_positions, .. } => {
                (one > original_positions) == (other > original_positions)
            }
            RopeScaling::Factors(_)
            | RopeScaling::Linear { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::None
            | RopeScaling::Yarn { .. } => true,
        }
    }

    /// The angle per position of each pair, for a sequence of `length` tokens.
    fn inverse_frequencies(&self, length: usize) -> Vec<f32> {
        let dim = self.rotary_dim as f64;
        let pairs = self.rotary_dim / 2;
        let wavelengths = |theta: f64| -> Vec<f32> {
            (0..pairs).map(|i| (theta as f32).powf((2 * i) as f32 / dim as f32)).collect()
        };
        let plain = || wavelengths(self.theta).into_iter().map(|length| 1.0 / length);
        let divided = |factors: &[f32]| -> Vec<f32> {
            let lengths = wavelengths(self.theta);
            lengths.iter().zip(factors).map(|(length, factor)| 1.0 / (factor * length)).collect()
        };
        match &self.scaling {
            RopeScaling::None => plain().collect(),
            RopeScaling::Linear { factor } => plain().map(|freq| freq / *factor as f32).collect(),
            RopeScaling::Factors(factors) => divided(factors),
            RopeScaling::Dynamic { factor, original_positions } => {
                let original = *original_positions as f64;
                let length = (length as f64).max(original);
                let stretch = (factor * length / original) - (factor - 1.0);
                let theta = self.theta * stretch.powf(dim / (dim - 2.0));
                wavelengths(theta).into_iter().map(|length| 1.0 / length).collect()
            }
            RopeScaling::LongRope { short, long, original_positions, .. } => {
                divided(if length > *original_positions { long } else { short })
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_positions,
            } => {
                let original = *original_positions as f64;
                let stretch = |freq: f32| {
                    let freq = f64::from(freq);
                    let wavelength = 2.0 * PI / freq;
                    let stretched = if wavelength > original / low_freq_factor {
                        freq / factor
                    } else if wavelength < original / high_freq_factor {
                        freq
                    } else {
                        let smooth = (original / wavelength - low_freq_factor)
                            / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * freq / factor + smooth * freq
                    };
                    stretched as f32
                };
                plain().map(stretch).collect()
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                truncate,
                original_positions,
                ..
            } => {
                let channel = |rotations: f64| {
                    dim * (*original_positions as f64 / (rotations * 2.0 * PI)).ln()
                        / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (channel(*beta_fast), channel(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                (low, high) = (low.max(0.0), high.min(dim - 1.0));
                if low == high {
                    high += 0.001;
                }
                let ramp = |(i, freq): (usize, f32)| {
                    let divided = (((i as f64 - low) / (high - low)) as f32).clamp(0.0, 1.0);
                    freq / *factor as f32 * divided + freq * (1.0 - divided)
                };
                plain().enumerate().map(ramp).collect()
            }
        }
    }

    fn attention_factor(&self) -> f32 {
        match self.scaling {
            RopeScaling::LongRope { attention_factor, .. }
            | RopeScaling::Yarn { attention_factor, .. } => attention_factor as f32,
            _ => 1.0,
        }
    }
}

/// Cosines and sines of one forward pass, `(tokens, rotary_dim / 2)` in f32.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    cos: Tensor,
    sin: Tensor,
    pairing: RopePairing,
    rotary_dim: usize,
}

impl Rope {
    /// For the tokens of rows, one row after the other: their positions, and the length of the row, by
    /// which its frequencies go.
    pub(crate) fn new(
        config: &RopeConfig,
        rows: impl IntoIterator<Item = (Range<u32>, usize)>,
        device: &Device,
    ) -> Result<Self> {
        let factor = config.attention_factor();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        let (mut frequencies, mut of_length) = (Vec::new(), None);
        for (positions, length) in rows {
            if of_length != Some(length) {
                (frequencies, of_length) = (config.inverse_frequencies(length), Some(length));
            }
            for position in positions {
                for &frequency in &frequencies {
                    let (s, c) = (position as f32 * frequency).sin_cos();
                    cos.push(c * factor);
                    sin.push(s * factor);
                }
            }
        }
        let pairs = config.rotary_dim / 2;
        let tokens = cos.len() / pairs.max(1);
        Ok(Self {
            cos: Tensor::from_vec(cos, (tokens, pairs), device)?,
            sin: Tensor::from_vec(sin, (tokens, pairs), device)?,
            pairing: config.pairing,
            rotary_dim: config.rotary_dim,
        })
    }

    /// Rotates queries or keys, `(heads, tokens, head_dim)`, in f32 and back to their dtype.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (x, head_dim) = (x.unsqueeze(0)?, x.dim(2)?);
        if self.rotary_dim == head_dim {
            return Ok(self.rotate(&x)?.squeeze(0)?);
        }
        let rotated = self.rotate(&x.narrow(3, 0, self.rotary_dim)?)?;
        let kept = x.narrow(3, self.rotary_dim, head_dim - self.rotary_dim)?;
        Ok(Tensor::cat(&[&rotated, &kept], 3)?.squeeze(0)?)
    }

    /// Rotates queries or keys in place, `(tokens, heads, head_dim)`, on the CPU.
    pub(crate) fn rotate_rows(&self, x: &mut [f32], heads: usize, head_dim: usize) -> Result<()> {
        let pairing = match self.pairing {
            RopePairing::Adjacent => Pairs::Adjacent,
            RopePairing::Halves => Pairs::Halves,
        };
        let (pairs, width) = (self.rotary_dim / 2, heads * head_dim);
        let tokens = self.cos.elem_count() / pairs.max(1);
        if 2 * pairs > head_dim || width == 0 || x.len() != tokens * width {
            let reason = format!("{pairs} pairs of channels in {heads} heads of {head_dim}");
            return Err(Error::input(reason));
        }
        with_f32(&self.cos, |cos| {
            with_f32(&self.sin, |sin| rope::rotate(x, heads, head_dim, [cos, sin], pairs, pairing))
        })?
    }

    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let x = x.to_dtype(self.cos.dtype())?.contiguous()?;
        let rotated = match self.pairing {
            RopePairing::Adjacent => rotary_emb::rope_i(&x, &self.cos, &self.sin)?,
            RopePairing::Halves => rotary_emb::rope(&x, &self.cos, &self.sin)?,
        };
        Ok(rotated.to_dtype(dtype)?)
    }
}
