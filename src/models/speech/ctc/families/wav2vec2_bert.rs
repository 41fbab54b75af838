//! Wav2Vec2-BERT (<https://arxiv.org/abs/2312.05187>): reads frames of log-mel values, has a convolution in
//! each layer, and vectors for distances.
//!
//! Config: `configuration_wav2vec2_bert.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::speech::ctc::config::{
    AdapterBlockConfig, AdapterConfig, ConformerConfig, PositionsConfig, SpeechEncoderConfig,
    SpeechLayerConfig,
};
use crate::models::speech::ctc::families::{Family, wav2vec2};
use crate::models::speech::ctc::layer::causal_depthwise;
use crate::nn::activation::Activation;
use crate::nn::attention::Positions;
use crate::nn::convolution::ConvolutionConfig;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::relative::RelativePositions;
use crate::weights::Bias;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["wav2vec2-bert"],
    prefix: "wav2vec2_bert",
    config,
    names: &[
        renamed("layers.*.first_norm", "encoder.layers.*.ffn1_layer_norm"),
        renamed("layers.*.first.act", "encoder.layers.*.ffn1.intermediate_act_fn"),
        renamed("layers.*.first.up", "encoder.layers.*.ffn1.intermediate_dense"),
        renamed("layers.*.first.down", "encoder.layers.*.ffn1.output_dense"),
        renamed("layers.*.attn_norm", "encoder.layers.*.self_attn_layer_norm"),
        renamed("layers.*.attn.q", "encoder.layers.*.self_attn.linear_q"),
        renamed("layers.*.attn.k", "encoder.layers.*.self_attn.linear_k"),
        renamed("layers.*.attn.v", "encoder.layers.*.self_attn.linear_v"),
        renamed("layers.*.attn.o", "encoder.layers.*.self_attn.linear_out"),
        renamed("layers.*.attn.distances", "encoder.layers.*.self_attn.distance_embedding"),
        renamed("layers.*.convolution_norm", "encoder.layers.*.conv_module.layer_norm"),
        renamed("layers.*.convolution.act", "encoder.layers.*.conv_module.activation"),
        renamed("layers.*.convolution.gated", "encoder.layers.*.conv_module.pointwise_conv1"),
        renamed("layers.*.convolution.depthwise", "encoder.layers.*.conv_module.depthwise_conv"),
        renamed("layers.*.convolution.norm", "encoder.layers.*.conv_module.depthwise_layer_norm"),
        renamed("layers.*.convolution.joined", "encoder.layers.*.conv_module.pointwise_conv2"),
        renamed("layers.*.last_norm", "encoder.layers.*.ffn2_layer_norm"),
        renamed("layers.*.last.act", "encoder.layers.*.ffn2.intermediate_act_fn"),
        renamed("layers.*.last.up", "encoder.layers.*.ffn2.intermediate_dense"),
        renamed("layers.*.last.down", "encoder.layers.*.ffn2.output_dense"),
        renamed("layers.*.final_norm", "encoder.layers.*.final_layer_norm"),
        renamed("last_mlp.up", "intermediate_ffn.intermediate_dense"),
        renamed("last_mlp.down", "intermediate_ffn.output_dense"),
        renamed("adapter.layers.*.residual_norm", "adapter.layers.*.residual_layer_norm"),
        renamed("adapter.layers.*.conv", "adapter.layers.*.residual_conv"),
        renamed("adapter.layers.*.attn_norm", "adapter.layers.*.self_attn_layer_norm"),
        renamed("adapter.layers.*.attn_conv", "adapter.layers.*.self_attn_conv"),
        renamed("adapter.layers.*.attn.q", "adapter.layers.*.self_attn.linear_q"),
        renamed("adapter.layers.*.attn.k", "adapter.layers.*.self_attn.linear_k"),
        renamed("adapter.layers.*.attn.v", "adapter.layers.*.self_attn.linear_v"),
        renamed("adapter.layers.*.attn.o", "adapter.layers.*.self_attn.linear_out"),
        renamed("adapter.layers.*.mlp_norm", "adapter.layers.*.ffn_layer_norm"),
        renamed("adapter.layers.*.mlp.up", "adapter.layers.*.ffn.intermediate_dense"),
        renamed("adapter.layers.*.mlp.down", "adapter.layers.*.ffn.output_dense"),
    ],
};

fn config(raw: &RawConfig) -> Result<SpeechEncoderConfig> {
    let hidden_size = raw.optional_size("hidden_size")?.unwrap_or(1024);
    let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-5)? };
    let inner = raw.optional_size("intermediate_size")?.unwrap_or(4096);
    let mlp = |activation| MlpConfig::Plain { hidden: inner, activation, bias: Bias::Present };
    let activation = raw.activation("hidden_act", "swish")?;
    let mut attention = wav2vec2::attention(raw, hidden_size, 16)?;
    attention.positions = positions(raw)?;
    let kernel = raw.optional_size("conv_depthwise_kernel_size")?.unwrap_or(31);
    if kernel.is_multiple_of(2) || kernel >= MOST {
        return Err(raw.refuse("conv_depthwise_kernel_size", format!("odd and below {MOST}")));
    }
    let layer = SpeechLayerConfig::Conformer(ConformerConfig {
        norm,
        mlp: mlp(activation),
        attention,
        convolution: causal_depthwise(hidden_size, kernel),
        activation,
    });
    let layers = raw.layers()?.unwrap_or(24);
    let frame_size = raw.optional_size("feature_projection_input_dim")?.unwrap_or(160);
    let adapter = adapter(raw, hidden_size, norm, inner)?;
    let strides = adapter
        .iter()
        .flat_map(|adapter| std::iter::repeat_n(adapter.convolution.stride, adapter.layers));
    Ok(SpeechEncoderConfig {
        front: Vec::new(),
        frame_size,
        projection_norm: Some(norm),
        hidden_size,
        positions: PositionsConfig::None,
        first_norm: None,
        layers: vec![layer; layers],
        final_norm: None,
        last_mlp: raw
            .flag("use_intermediate_ffn_before_adapter", false)?
            .then(|| mlp(Activation::Relu)),
        inputs_to_logits_ratio: strides.fold(2 * frame_size, usize::saturating_mul),
        adapter,
        classifier_size: raw.optional_size("classifier_proj_size")?.unwrap_or(768),
        weighted_layers: raw.flag("use_weighted_layer_sum", false)?,
    })
}

/// No distance or convolution of a model is near this.
const MOST: usize = 1 << 16;

fn positions(raw: &RawConfig) -> Result<Positions> {
    let field = "position_embeddings_type";
    // A null is no type; a missing field is the default.
    let raw = raw.with_default(field, "relative_key");
    match raw.text(field)? {
        None => Ok(Positions::None),
        Some("relative_key") => {
            let side = |field: &str, default: f64| -> Result<usize> {
                let number = raw.number(field, default)?;
                if number >= 0.0 && number.fract() == 0.0 && number < MOST as f64 {
                    return Ok(number as usize);
                }
                Err(raw.refuse(field, format!("it should be a number from 0 to {MOST}")))
            };
            let before = side("left_max_position_embeddings", 64.0)?;
            let after = side("right_max_position_embeddings", 8.0)?;
            Ok(Positions::Relative(RelativePositions::Clamped { before, after }))
        }
        Some(_) => Err(raw.refuse(field, "only relative_key is supported")),
    }
}

fn adapter(
    raw: &RawConfig,
    hidden_size: usize,
    norm: NormConfig,
    inner: usize,
) -> Result<Option<AdapterConfig>> {
    if !raw.flag("add_adapter", false)? {
        return Ok(None);
    }
    let size = raw.optional_size("output_hidden_size")?.unwrap_or(hidden_size);
    let kernel = raw.optional_size("adapter_kernel_size")?.unwrap_or(3);
    let stride = raw.optional_size("adapter_stride")?.unwrap_or(2);
    let activation = raw.plain_activation("adapter_act", "relu")?;
    Ok(Some(AdapterConfig {
        projection_norm: (size != hidden_size).then_some(norm),
        size,
        layers: raw.layers_of("num_adapter_layers")?.unwrap_or(1),
        convolution: ConvolutionConfig::new([size, 2 * size], kernel, Bias::Present)
            .stride(stride)
            .padding(stride / 2),
        block: Some(AdapterBlockConfig {
            norm,
            attention: wav2vec2::attention(raw, size, 16)?,
            mlp: MlpConfig::Plain { hidden: inner, activation, bias: Bias::Present },
        }),
    }))
}
