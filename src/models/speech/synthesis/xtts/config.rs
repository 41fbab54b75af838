//! XTTS as data: config.json of Coqui's checkpoints.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::hifigan::{HifiGanConfig, HifiGanNames};
use crate::models::speech::synthesis::traits::SpeechRequest;
use crate::nn::activation::Activation;
use crate::nn::attention::AttentionConfig;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

/// XTTS 2 as data: `XttsConfig` and `XttsArgs` of Coqui, with their defaults.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct XttsConfig {
    /// The layers of the GPT.
    pub gpt: DecoderConfig,
    /// A text has fewer ids than this.
    pub max_text_tokens: usize,
    /// The most codes of a text, the one that ends it included.
    pub max_codes: usize,
    /// The code before the first.
    pub start_code: u32,
    /// The code that ends a text.
    pub stop_code: u32,
    /// Samples, at `sampling_rate`, that a code stands for.
    pub code_stride: usize,
    /// Samples, at `output_sampling_rate`, that a frame of the decoder stands for.
    pub hop_length: usize,
    /// Samples per second that codes are counted in.
    pub sampling_rate: u32,
    /// Samples per second of what is spoken.
    pub output_sampling_rate: u32,
    /// Numbers of a speaker's embedding.
    pub speaker_size: usize,
    /// Whether the embedding is added after each upsampling of the decoder.
    pub speaker_in_each: bool,
    /// The languages that the model speaks.
    pub languages: Vec<String>,
    /// How codes are chosen unless a call says otherwise.
    pub sampling: XttsSampling,
    /// How voices are cloned unless a call says otherwise.
    pub cloning: XttsCloning,
}

/// How codes are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct XttsSampling {
    /// Divides the logits.
    pub temperature: f64,
    /// For beams, which are not supported; without them it does nothing.
    pub length_penalty: f64,
    /// For codes that were there before.
    pub repetition_penalty: f64,
    /// How many of the likeliest codes are drawn from.
    pub top_k: usize,
    /// How much probability the codes that are drawn from have together.
    pub top_p: f64,
}

/// How a voice is cloned.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct XttsCloning {
    /// So many seconds of all recordings together condition the GPT; 0: all.
    pub gpt_cond_len: usize,
    /// Seconds that are heard at once; the mean of all is taken.
    pub gpt_cond_chunk_len: usize,
    /// So many seconds of each recording are heard.
    pub max_ref_len: usize,
    /// Whether recordings are made equally loud first.
    pub sound_norm_refs: bool,
}

impl XttsCloning {
    /// With what a request says.
    #[must_use]
    pub fn with(self, request: &SpeechRequest) -> Self {
        Self {
            gpt_cond_len: request.gpt_cond_len.unwrap_or(self.gpt_cond_len),
            gpt_cond_chunk_len: request.gpt_cond_chunk_len.unwrap_or(self.gpt_cond_chunk_len),
            max_ref_len: request.max_ref_len.unwrap_or(self.max_ref_len),
            sound_norm_refs: request.sound_norm_refs.unwrap_or(self.sound_norm_refs),
        }
    }
}

impl XttsConfig {
    pub(super) fn read(raw: &RawConfig) -> Result<Self> {
        let args = raw.section("model_args")?.ok_or_else(|| raw.missing("model_args"))?;
        let audio = raw.section("audio")?;
        let size = |field: &str, default: usize| -> Result<usize> {
            Ok(args.optional_size(field)?.unwrap_or(default))
        };
        if !args.flag("gpt_use_perceiver_resampler", false)? {
            let reason = "this is XTTS 1, whose conditioning is another; XTTS 2 is supported";
            return Err(args.refuse("gpt_use_perceiver_resampler", reason));
        }
        let codes = size("gpt_num_audio_tokens", 8194)?;
        let code = |field: &str, default: u32| -> Result<u32> {
            let code = args.optional_number(field)?.unwrap_or_else(|| f64::from(default));
            match code >= 0.0 && code < codes as f64 && code.fract() == 0.0 {
                true => Ok(code as u32),
                false => Err(args.refuse(field, format!("it should be below {codes}"))),
            }
        };
        let bounded = |field: &str, default: usize| -> Result<usize> {
            match size(field, default)? {
                size if size < 1 << 20 => Ok(size),
                _ => Err(args.refuse(field, "it is absurd")),
            }
        };
        let (texts, sounds) =
            (bounded("gpt_max_text_tokens", 402)?, bounded("gpt_max_audio_tokens", 605)?);
        if sounds < 4 {
            return Err(args.refuse("gpt_max_audio_tokens", "it should be at least 4"));
        }
        let prompts = bounded("gpt_max_prompt_tokens", 70)?;
        let most = texts + 2 + sounds + 3 + prompts;
        let rate = |raw: Option<&RawConfig>, field: &str, default: usize| -> Result<u32> {
            let Some(raw) = raw else { return Ok(default as u32) };
            match raw.optional_size(field)?.unwrap_or(default) {
                rate if (1000..=1 << 18).contains(&rate) => Ok(rate as u32),
                _ => Err(raw.refuse(field, "it is no sampling rate")),
            }
        };
        if rate(audio.as_ref(), "sample_rate", 22_050)? != CLONED_RATE {
            return Err(raw.refuse("audio.sample_rate", format!("only {CLONED_RATE} is supported")));
        }
        let languages = raw.texts("languages")?.unwrap_or_else(|| LANGUAGES.to_vec());
        let (stride, hop) =
            (bounded("gpt_code_stride_len", 1024)?, bounded("output_hop_length", 256)?);
        if hop > stride || stride / hop > 64 {
            return Err(args.refuse("output_hop_length", "it should be some part of the stride"));
        }
        Ok(Self {
            gpt: gpt(&args, codes, most)?,
            max_text_tokens: texts,
            max_codes: sounds - 3,
            start_code: code("gpt_start_audio_token", 8192)?,
            stop_code: code("gpt_stop_audio_token", 8193)?,
            code_stride: stride,
            hop_length: hop,
            sampling_rate: rate(Some(&args), "input_sample_rate", 22_050)?,
            output_sampling_rate: rate(Some(&args), "output_sample_rate", 24_000)?,
            speaker_size: bounded("d_vector_dim", 512)?,
            speaker_in_each: args.flag("cond_d_vector_in_each_upsampling_layer", true)?,
            languages: languages.into_iter().map(str::to_owned).collect(),
            sampling: XttsSampling {
                temperature: raw.number("temperature", 0.85)?,
                length_penalty: raw.number("length_penalty", 1.0)?,
                repetition_penalty: raw.number("repetition_penalty", 2.0)?,
                top_k: raw.optional_size("top_k")?.unwrap_or(50),
                top_p: raw.number("top_p", 0.85)?,
            },
            cloning: XttsCloning {
                gpt_cond_len: seconds(raw, "gpt_cond_len", 12)?,
                gpt_cond_chunk_len: seconds(raw, "gpt_cond_chunk_len", 4)?,
                max_ref_len: seconds(raw, "max_ref_len", 10)?,
                sound_norm_refs: raw.flag("sound_norm_refs", false)?,
            },
        })
    }

    /// Samples of what is spoken, for each code.
    #[must_use]
    pub fn samples_of_code(&self) -> usize {
        let spread = self.code_stride as f64 * f64::from(self.output_sampling_rate);
        (spread / f64::from(self.sampling_rate)) as usize
    }

    /// The decoder, whose channels the checkpoint tells.
    pub(super) fn decoder(&self, raw: &RawConfig, channels: usize) -> Result<HifiGanConfig> {
        let input = raw.section("model_args")?.map(|args| args.optional_size("decoder_input_dim"));
        let input = input.transpose()?.flatten().unwrap_or(1024);
        if input != self.gpt.hidden_size {
            let wanted = self.gpt.hidden_size;
            return Err(raw.refuse("decoder_input_dim", format!("the GPT gives {wanted}")));
        }
        if channels >> UPSAMPLES.len() == 0 {
            return Err(raw.refuse("model_args", "the decoder has too few channels"));
        }
        Ok(HifiGanConfig {
            in_channels: input,
            channels,
            upsamples: UPSAMPLES.to_vec(),
            blocks: [3, 7, 11].map(|kernel| (kernel, vec![1, 3, 5])).to_vec(),
            slope: 0.1,
            last_bias: false,
            speaker: self.speaker_size,
            names: HifiGanNames {
                upsampler: "ups",
                speaker: "cond_layer",
                speakers: self.speaker_in_each.then_some("conds"),
            },
        })
    }
}

fn seconds(raw: &RawConfig, field: &str, default: usize) -> Result<usize> {
    match raw.optional_number(field)?.unwrap_or(default as f64) {
        seconds if (0.0..=3600.0).contains(&seconds) && seconds.fract() == 0.0 => {
            Ok(seconds as usize)
        }
        _ => Err(raw.refuse(field, "it should be a whole number of seconds, an hour at most")),
    }
}

/// GPT-2, except that positions are the business of those who give it vectors.
fn gpt(raw: &RawConfig, codes: usize, most: usize) -> Result<DecoderConfig> {
    let hidden_size = raw.optional_size("gpt_n_model_channels")?.unwrap_or(1024);
    let heads = raw.optional_size("gpt_n_heads")?.unwrap_or(16);
    if !hidden_size.is_multiple_of(heads) {
        return Err(raw.refuse("gpt_n_heads", format!("it should divide {hidden_size}")));
    }
    let norm = NormConfig::Layer { eps: 1e-5 };
    let layer = LayerConfig {
        norms: NormPlace::Before,
        norm,
        residual_scale: None,
        attention: AttentionConfig::plain(heads, hidden_size / heads, Bias::Present),
        cross: None,
        mlp: MlpConfig::Plain {
            hidden: 4 * hidden_size,
            activation: Activation::GeluTanh,
            bias: Bias::Present,
        },
    };
    let layers = raw.layers_of("gpt_layers")?.unwrap_or(30);
    Ok(DecoderConfig {
        vocab_size: codes,
        hidden_size,
        max_positions: most,
        recomputed_beyond: None,
        embedding_scale: None,
        layers: vec![layer; layers],
        positions: AbsolutePositions::None,
        embedding_norm: None,
        ropes: Vec::new(),
        alibis: Vec::new(),
        spans: vec![AttentionSpan::Causal { window: None }],
        final_norm: Some(norm),
        head: HeadWeights::Own,
        head_bias: Bias::Present,
        logit_scale: None,
        logit_cap: None,
    })
}

/// Samples per second of what the GPT is conditioned on.
pub(super) const CLONED_RATE: u32 = 22_050;
/// Of each upsampling of the decoder: how many frames become of one, and the kernel. Coqui's code fixes them.
const UPSAMPLES: [(usize, usize); 4] = [(8, 16), (8, 16), (2, 4), (2, 4)];
/// Coqui's default.
const LANGUAGES: &[&str] = &[
    "en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh-cn", "hu", "ko",
    "ja", "hi",
];
