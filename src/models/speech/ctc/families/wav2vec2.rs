//! Wav2Vec2 (<https://arxiv.org/abs/2006.11477>), and what was trained like it: XLSR, XLS-R and MMS
//! (<https://arxiv.org/abs/2305.13516>). The families beside it are written as "Wav2Vec2, except …".
//!
//! Config: `configuration_wav2vec2.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::speech::ctc::config::{
    AdapterConfig, FrontLayerConfig, FrontNorm, PositionsConfig, SpeechEncoderConfig,
    SpeechLayerConfig,
};
use crate::models::speech::ctc::families::Family;
use crate::nn::attention::AttentionConfig;
use crate::nn::convolution::ConvolutionConfig;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::Bias;

pub(super) const FAMILY: Family = Family {
    model_types: &["wav2vec2"],
    prefix: "wav2vec2",
    config: |raw| {
        let mut config = config(raw)?;
        let width = raw.optional_size("adapter_attn_dim")?;
        // Layers that norm their sums have no place for what is learned for a language.
        if raw.flag("do_stable_layer_norm", false)? {
            for layer in &mut config.layers {
                if let SpeechLayerConfig::Transformer { language_adapter, .. } = layer {
                    *language_adapter = width;
                }
            }
        }
        Ok(config)
    },
    names: &[],
};

/// Convolutions from samples, a convolution for positions, and layers as in text.
pub(super) fn config(raw: &RawConfig) -> Result<SpeechEncoderConfig> {
    let hidden_size = raw.optional_size("hidden_size")?.unwrap_or(768);
    let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-5)? };
    let front = front(raw)?;
    let is_stable = raw.flag("do_stable_layer_norm", false)?;
    let layer = LayerConfig {
        norms: if is_stable { NormPlace::Before } else { NormPlace::AfterSum },
        norm,
        residual_scale: None,
        attention: attention(raw, hidden_size, 12)?,
        cross: None,
        mlp: MlpConfig::Plain {
            hidden: raw.optional_size("intermediate_size")?.unwrap_or(3072),
            activation: raw.activation("hidden_act", "gelu")?,
            bias: Bias::Present,
        },
    };
    let layer = SpeechLayerConfig::Transformer { layer, language_adapter: None };
    let layers = raw.layers()?.unwrap_or(12);
    let frame_size = front.last().map_or(1, |layer| layer.convolution.out_channels);
    let kernel = raw.optional_size("num_conv_pos_embeddings")?.unwrap_or(128);
    let activation = raw.plain_activation("feat_extract_activation", "gelu")?;
    let strides = front.iter().map(|layer| layer.convolution.stride);
    Ok(SpeechEncoderConfig {
        frame_size,
        projection_norm: Some(norm),
        hidden_size,
        positions: PositionsConfig::WeightNorm(
            same_length(raw, hidden_size, kernel, "num_conv_pos_embeddings")?,
            activation,
        ),
        first_norm: (!is_stable).then_some(norm),
        layers: vec![layer; layers],
        final_norm: is_stable.then_some(norm),
        last_mlp: None,
        adapter: adapter(raw, hidden_size)?,
        inputs_to_logits_ratio: strides.fold(1, usize::saturating_mul),
        classifier_size: raw.optional_size("classifier_proj_size")?.unwrap_or(256),
        weighted_layers: raw.flag("use_weighted_layer_sum", false)?,
        front,
    })
}

/// Attention with biases everywhere, by so many heads if the config does not say.
pub(super) fn attention(raw: &RawConfig, size: usize, heads: usize) -> Result<AttentionConfig> {
    let heads = raw.optional_size("num_attention_heads")?.unwrap_or(heads);
    if !size.is_multiple_of(heads) {
        let reason = format!("it should divide the width of the attention, which is {size}");
        return Err(raw.refuse("num_attention_heads", reason));
    }
    let head_dim = size / heads;
    Ok(AttentionConfig::plain(heads, head_dim, Bias::Present))
}

/// A convolution over hidden states in groups, as many of which come out as go in: of an even kernel the
/// last result is dropped.
pub(super) fn same_length(
    raw: &RawConfig,
    hidden_size: usize,
    kernel: usize,
    field: &str,
) -> Result<ConvolutionConfig> {
    let groups = raw.optional_size("num_conv_pos_embedding_groups")?.unwrap_or(16);
    if !hidden_size.is_multiple_of(groups) {
        let reason = format!("it should divide `hidden_size`, which is {hidden_size}");
        return Err(raw.refuse("num_conv_pos_embedding_groups", reason));
    }
    if kernel > MOST_TAPS {
        return Err(raw.refuse(field, format!("more than {MOST_TAPS} are not supported")));
    }
    let config = ConvolutionConfig::new([hidden_size; 2], kernel, Bias::Present).groups(groups);
    Ok(ConvolutionConfig { padding: [kernel / 2, (kernel - 1) / 2], ..config })
}

/// No convolution of a model is as long.
const MOST_TAPS: usize = 1 << 16;

fn front(raw: &RawConfig) -> Result<Vec<FrontLayerConfig>> {
    let numbers = |field: &str, default: &[usize]| -> Result<Vec<usize>> {
        let Some(numbers) = raw.numbers(field)? else { return Ok(default.to_vec()) };
        let is_size =
            |number: &f32| (1.0..=MOST_TAPS as f32).contains(number) && number.fract() == 0.0;
        if numbers.is_empty() || numbers.len() > MOST_LAYERS || !numbers.iter().all(is_size) {
            let reason = format!("it should be 1 to {MOST_LAYERS} numbers from 1 to {MOST_TAPS}");
            return Err(raw.refuse(field, reason));
        }
        Ok(numbers.into_iter().map(|number| number as usize).collect())
    };
    let sizes = numbers("conv_dim", &[512; 7])?;
    let strides = numbers("conv_stride", &[5, 2, 2, 2, 2, 2, 2])?;
    let kernels = numbers("conv_kernel", &[10, 3, 3, 3, 3, 2, 2])?;
    for (field, count) in [("conv_stride", strides.len()), ("conv_kernel", kernels.len())] {
        if count != sizes.len() {
            let reason = format!("there are {} convolutions in `conv_dim`", sizes.len());
            return Err(raw.refuse(field, reason));
        }
    }
    let norms = match raw.text("feat_extract_norm")? {
        None | Some("group") => [FrontNorm::Channels, FrontNorm::None],
        Some("layer") => [FrontNorm::Frames; 2],
        Some(_) => return Err(raw.refuse("feat_extract_norm", "it should be group or layer")),
    };
    let activation = raw.plain_activation("feat_extract_activation", "gelu")?;
    let bias = Bias::from(raw.flag("conv_bias", false)?);
    let inputs = std::iter::once(&1).chain(&sizes);
    let shapes = inputs.zip(&sizes).zip(strides).zip(kernels).enumerate();
    let layers = shapes.map(|(number, (((&inputs, &size), stride), kernel))| FrontLayerConfig {
        convolution: ConvolutionConfig::new([inputs, size], kernel, bias).stride(stride),
        norm: norms[number.min(1)],
        activation,
    });
    Ok(layers.collect())
}

/// No model has more convolutions before its layers, or is near it.
const MOST_LAYERS: usize = 64;

/// `add_adapter`: convolutions that shorten the frames.
fn adapter(raw: &RawConfig, hidden_size: usize) -> Result<Option<AdapterConfig>> {
    if !raw.flag("add_adapter", false)? {
        return Ok(None);
    }
    let size = raw.optional_size("output_hidden_size")?.unwrap_or(hidden_size);
    let kernel = raw.optional_size("adapter_kernel_size")?.unwrap_or(3);
    let stride = raw.optional_size("adapter_stride")?.unwrap_or(2);
    Ok(Some(AdapterConfig {
        projection_norm: (size != hidden_size).then_some(NormConfig::Layer { eps: 1e-5 }),
        size,
        layers: raw.layers_of("num_adapter_layers")?.unwrap_or(3),
        convolution: ConvolutionConfig::new([size, 2 * size], kernel, Bias::Present)
            .stride(stride)
            .padding(1),
        block: None,
    }))
}
