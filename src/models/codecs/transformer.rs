//! The transformer on the inside of Mimi.

use candle_core::{DType, Device, Tensor};

use super::common;
use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::{Attention, AttentionConfig, Positions};
use crate::nn::cache::{CacheLayer, KvCache};
use crate::nn::mlp::{Mlp, MlpConfig};
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};
use crate::nn::span::AttentionSpan;
use crate::nn::{Shared, Step};
use crate::weights::names::{Rule, renamed};
use crate::weights::{Bias, Weights};

/// A transformer over frames as data: Llama's, except that norms are layer norms, that the MLP has no gate, and that
/// each channel of what the halves of a layer give is scaled.
#[derive(Debug, Clone)]
pub(super) struct CodecTransformerConfig {
    hidden: usize,
    layers: usize,
    attention: AttentionConfig,
    mlp: MlpConfig,
    norm: NormConfig,
    rope: RopeConfig,
    max_positions: usize,
}

/// A transformer over the frames of a row, each of which sees those before it.
#[derive(Debug, Clone)]
pub(super) struct CodecTransformer {
    config: CodecTransformerConfig,
    layers: Vec<Layer>,
    device: Device,
    cache_dtype: DType,
}

#[derive(Debug, Clone)]
struct Layer {
    norms: [Norm; 2],
    attention: Attention,
    mlp: Mlp,
    /// Of what each half gives, by channel.
    scales: [Tensor; 2],
}

impl CodecTransformerConfig {
    pub(super) fn read(raw: &RawConfig, hidden: usize) -> Result<Self> {
        let size = |field: &str, default: usize| common::size(raw, field, default);
        let heads = size("num_attention_heads", 8)?;
        let kv_heads = size("num_key_value_heads", 8)?;
        if !heads.is_multiple_of(kv_heads) || hidden < heads {
            return Err(raw.refuse("num_key_value_heads", format!("it should divide {heads}")));
        }
        if raw.section("rope_scaling")?.is_some() {
            return Err(raw.refuse("rope_scaling", "codecs with scaled ropes are not supported"));
        }
        let head_dim = size("head_dim", hidden / heads)?;
        if !head_dim.is_multiple_of(2) {
            return Err(raw.refuse("head_dim", "it should be even"));
        }
        let bias = Bias::from(raw.flag("attention_bias", false)?);
        let raw = raw.with_default("num_hidden_layers", 8);
        Ok(Self {
            hidden,
            layers: raw.layers()?.ok_or_else(|| raw.missing("num_hidden_layers"))?,
            attention: AttentionConfig {
                kv_heads,
                positions: Positions::Rotary(0),
                ..AttentionConfig::plain(heads, head_dim, bias)
            },
            mlp: MlpConfig::Plain {
                hidden: size("intermediate_size", 2048)?,
                activation: raw.activation("hidden_act", "gelu")?,
                bias: Bias::Absent,
            },
            norm: NormConfig::Layer { eps: raw.epsilon("norm_eps", 1e-5)? },
            rope: RopeConfig {
                theta: raw.number("rope_theta", 10_000.0)?,
                rotary_dim: head_dim,
                pairing: RopePairing::Halves,
                scaling: RopeScaling::None,
            },
            // Frames beyond it are computed as well, as in the reference.
            max_positions: 1 << 24,
        })
    }
}

impl CodecTransformer {
    /// Reads `layers.*` from the scope.
    pub(super) fn load(config: &CodecTransformerConfig, weights: &Weights) -> Result<Self> {
        let hidden = config.hidden;
        let layer = |number: usize| -> Result<Layer> {
            let weights = weights.scope("layers").scope(number);
            let norm = |name: &str| Norm::load(&weights, name, hidden, config.norm);
            let scale = |name: &str| weights.tensor(name, &[hidden]);
            Ok(Layer {
                norms: [norm("attn_norm")?, norm("mlp_norm")?],
                attention: Attention::load(&weights.scope("attn"), hidden, &config.attention)?,
                mlp: Mlp::load(&weights.scope("mlp"), hidden, &config.mlp)?,
                scales: [scale("attn_scale")?, scale("mlp_scale")?],
            })
        };
        Ok(Self {
            layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
            device: weights.device().clone(),
            cache_dtype: weights.dtype(),
            config: config.clone(),
        })
    }

    /// The frames of a row, `(frames, hidden)`, the same shape back.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, &mut self.new_cache())
    }

    /// A cache for the frames of a row that come in pieces.
    pub(super) fn new_cache(&self) -> KvCache {
        let AttentionConfig { kv_heads, head_dim, .. } = self.config.attention;
        let kept = vec![CacheLayer::new(kv_heads, head_dim); self.layers.len()];
        KvCache::new(kept, self.cache_dtype)
    }

    /// As [`forward`](Self::forward), of frames after those that the cache holds.
    pub(super) fn forward_with(&self, x: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let (frames, limit) = (x.dim(0)?, self.config.max_positions);
        let total = frames + cache.row_lengths().first().copied().unwrap_or(0);
        if total > limit {
            return Err(Error::ContextOverflow { tokens: total, limit });
        }
        let mut outputs = Vec::with_capacity(frames.div_ceil(CHUNK));
        let ids = vec![0_u32; CHUNK.min(frames)];
        for start in (0..frames).step_by(CHUNK) {
            let count = CHUNK.min(frames - start);
            cache.extend_rows([&ids[..count]].into_iter());
            let shared = Shared {
                ropes: std::slice::from_ref(&self.config.rope),
                spans: &[AttentionSpan::Causal { window: None }],
                alibis: &[],
                relative: None,
            };
            let step = Step::new(cache, &[total], shared, &self.device)?;
            let mut x = x.narrow(0, start, count)?.contiguous()?;
            for (number, layer) in self.layers.iter().enumerate() {
                let Layer { norms: [first, second], attention, mlp, scales } = layer;
                let mut own = cache.layer(number);
                let y = attention.forward(&first.forward(&x)?, &step, &mut own)?;
                x = (x + y.broadcast_mul(&scales[0])?)?;
                let y = mlp.forward(&second.forward(&x)?)?;
                x = (x + y.broadcast_mul(&scales[1])?)?;
            }
            outputs.push(x);
        }
        Ok(Tensor::cat(&outputs, 0)?)
    }
}

/// Frames that go through the layers together.
const CHUNK: usize = 512;

/// What the tensors of both transformers are called.
pub(super) const NAMES: &[Rule] = &names();

const fn names() -> [Rule; 22] {
    macro_rules! of {
        ($($part:literal),+) => {
            [$(
                renamed(concat!($part, ".layers.*.attn.q"), concat!($part, ".layers.*.self_attn.q_proj")),
                renamed(concat!($part, ".layers.*.attn.k"), concat!($part, ".layers.*.self_attn.k_proj")),
                renamed(concat!($part, ".layers.*.attn.v"), concat!($part, ".layers.*.self_attn.v_proj")),
                renamed(concat!($part, ".layers.*.attn.o"), concat!($part, ".layers.*.self_attn.o_proj")),
                renamed(concat!($part, ".layers.*.attn_norm"), concat!($part, ".layers.*.input_layernorm")),
                renamed(concat!($part, ".layers.*.attn_scale"), concat!($part, ".layers.*.self_attn_layer_scale.scale")),
                renamed(concat!($part, ".layers.*.mlp.act"), concat!($part, ".layers.*.mlp.activation_fn")),
                renamed(concat!($part, ".layers.*.mlp.up"), concat!($part, ".layers.*.mlp.fc1")),
                renamed(concat!($part, ".layers.*.mlp.down"), concat!($part, ".layers.*.mlp.fc2")),
                renamed(concat!($part, ".layers.*.mlp_norm"), concat!($part, ".layers.*.post_attention_layernorm")),
                renamed(concat!($part, ".layers.*.mlp_scale"), concat!($part, ".layers.*.mlp_layer_scale.scale")),
            )+]
        };
    }
    of!("encoder_transformer", "decoder_transformer")
}
