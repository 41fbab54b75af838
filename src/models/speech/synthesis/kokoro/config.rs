//! The sizes of Kokoro: `config.json` of `hexgrad/Kokoro-82M`.

use serde::Serialize;

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::lists::{nested_sizes, sizes};

/// The sizes of Kokoro.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KokoroConfig {
    /// Ids are below this.
    pub n_token: usize,
    /// Channels between the parts.
    pub hidden_dim: usize,
    /// Of each half of a voice's row: the first is for the sound, the second for the melody.
    pub style_dim: usize,
    /// Layers of the text encoder, and of the encoder of durations.
    pub n_layer: usize,
    /// The most frames of an id at a speed of 1.
    pub max_dur: usize,
    /// Of the text encoder's convolutions.
    pub text_encoder_kernel_size: usize,
    /// The most ids, the zeros at both ends among them.
    pub max_position_embeddings: usize,
    /// Of each upsampling of the decoder: how many frames become of one, and the kernel.
    pub upsamples: Vec<(usize, usize)>,
    /// The kernels of the residual blocks behind each upsampling, and the dilations in each block.
    pub blocks: Vec<(usize, Vec<usize>)>,
    /// Channels before the first upsampling; halved by each.
    pub upsample_initial_channel: usize,
    /// Samples of a frame of the Fourier transform at the end.
    pub gen_istft_n_fft: usize,
    /// Samples from one such frame to the next.
    pub gen_istft_hop_size: usize,
}

impl KokoroConfig {
    /// Whether a config, which does not name its architecture, is Kokoro's.
    pub(in crate::models::speech::synthesis) fn is_one(raw: &RawConfig) -> bool {
        ["istftnet", "plbert", "style_dim"].iter().all(|field| raw.value(field).is_some())
    }

    pub(super) fn read(raw: &RawConfig) -> Result<Self> {
        let section = |field: &str| raw.section(field)?.ok_or_else(|| raw.missing(field));
        let (vocoder, bert) = (section("istftnet")?, section("plbert")?);
        let few = |raw: &RawConfig, field: &str, most: usize| match raw.size(field)? {
            size if size > most => Err(raw.refuse(field, "no model has that many")),
            size => Ok(size),
        };
        let hidden_dim = few(raw, "hidden_dim", 1 << 14)?;
        if !hidden_dim.is_multiple_of(2) {
            return Err(raw.refuse("hidden_dim", "it should be even"));
        }
        let kernel = few(raw, "text_encoder_kernel_size", 1 << 10)?;
        if kernel.is_multiple_of(2) {
            return Err(raw.refuse("text_encoder_kernel_size", "it should be odd"));
        }
        let rates = sizes(&vocoder, "upsample_rates", &[10, 6])?;
        let kernels = sizes(&vocoder, "upsample_kernel_sizes", &[20, 12])?;
        let whole =
            |(rate, kernel): (&usize, &usize)| kernel >= rate && (kernel - rate).is_multiple_of(2);
        if rates.len() != kernels.len() || !rates.iter().zip(&kernels).all(whole) {
            let reason =
                "as many as `upsample_rates` are wanted, each more than its rate by an even number";
            return Err(vocoder.refuse("upsample_kernel_sizes", reason));
        }
        let channels = few(&vocoder, "upsample_initial_channel", 1 << 14)?;
        if rates.len() > 12 || channels >> rates.len() == 0 {
            return Err(vocoder.refuse("upsample_initial_channel", "each upsampling halves it"));
        }
        let block_kernels = sizes(&vocoder, "resblock_kernel_sizes", &[3, 7, 11])?;
        let dilations =
            nested_sizes(&vocoder, "resblock_dilation_sizes", &[[1, 3, 5].as_slice(); 3])?;
        if block_kernels.len() != dilations.len() || dilations.iter().any(|list| list.len() != 3) {
            let reason = "a list of three numbers is wanted for each of `resblock_kernel_sizes`";
            return Err(vocoder.refuse("resblock_dilation_sizes", reason));
        }
        if block_kernels.iter().any(|kernel| kernel.is_multiple_of(2)) {
            return Err(vocoder.refuse("resblock_kernel_sizes", "they should be odd"));
        }
        let hop = few(&vocoder, "gen_istft_hop_size", 1 << 12)?;
        let config = Self {
            n_token: few(raw, "n_token", 1 << 20)?,
            hidden_dim,
            style_dim: few(raw, "style_dim", 1 << 14)?,
            n_layer: few(raw, "n_layer", 1 << 10)?,
            max_dur: few(raw, "max_dur", 1 << 10)?,
            text_encoder_kernel_size: kernel,
            max_position_embeddings: few(&bert, "max_position_embeddings", 1 << 16)?,
            upsamples: rates.into_iter().zip(kernels).collect(),
            blocks: block_kernels.into_iter().zip(dilations).collect(),
            upsample_initial_channel: channels,
            gen_istft_n_fft: few(&vocoder, "gen_istft_n_fft", 1 << 14)?,
            gen_istft_hop_size: hop,
        };
        // The reference draws a phase that fewer would let through.
        if !config.gen_istft_n_fft.is_multiple_of(2) || !(3..=1 << 14).contains(&config.pitch_hop())
        {
            let reason = "with `upsample_rates` it makes too few or too many samples of a frame";
            return Err(vocoder.refuse("gen_istft_hop_size", reason));
        }
        Ok(config)
    }

    /// Samples of a number of the pitch.
    pub(super) fn pitch_hop(&self) -> usize {
        let rates = self.upsamples.iter().map(|(rate, _)| rate);
        rates.fold(self.gen_istft_hop_size, |product, rate| product.saturating_mul(*rate))
    }

    /// Samples of a frame, of which each id has some: twice as many.
    pub(super) fn hop(&self) -> usize {
        2 * self.pitch_hop()
    }
}
