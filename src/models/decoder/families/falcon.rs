//! Falcon: Llama, except that query, key and value are stored fused, group by group; that norms are layer
//! norms and the MLP has no gate; and that there are three shapes of layers:
//! - 7B: one key-value head for all, both halves take the same normed input;
//! - `new_decoder_architecture` (40B, 180B, 11B): grouped key-value heads, halves in parallel with norms
//!   of their own (11B: with one);
//! - without `parallel_attn` (RW 1B, 7B): halves one after the other, all heads with keys and values.
//!
//! With `alibi`, positions are biases on the scores instead of rope. GGUF files cannot express
//! that.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, Family, GGUF, HF};
use crate::models::raw_config::RawConfig;
use crate::nn::alibi::AlibiConfig;
use crate::nn::attention::Positions;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::names::{fused, grouped, renamed};

const QKV: &str = "transformer.h.*.self_attention.query_key_value";

/// In GGUF files of layers with two norms.
const SECOND_NORM: &str = "blk.0.attn_norm_2.weight";

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["falcon"],
        names: &[
            renamed("embed", "transformer.word_embeddings"),
            renamed("final_norm", "transformer.ln_f"),
            renamed("layers.*.attn_norm", "transformer.h.*.ln_attn"),
            renamed("layers.*.attn_norm", "transformer.h.*.input_layernorm"),
            grouped("layers.*.attn.qkv", QKV),
            renamed("layers.*.attn.o", "transformer.h.*.self_attention.dense"),
            renamed("layers.*.mlp_norm", "transformer.h.*.ln_mlp"),
            renamed("layers.*.mlp_norm", "transformer.h.*.post_attention_layernorm"),
            renamed("layers.*.mlp.act", "transformer.h.*.mlp.act"),
            renamed("layers.*.mlp.up", "transformer.h.*.mlp.dense_h_to_4h"),
            renamed("layers.*.mlp.down", "transformer.h.*.mlp.dense_4h_to_h"),
        ],
        spellings: &[
            ("attention_bias", "bias"),
            ("hidden_act", "activation"),
            ("hidden_size", "n_embed"),
            ("layer_norm_eps", "layer_norm_epsilon"),
            ("mlp_bias", "bias"),
        ],
        sizes: &[
            ("vocab_size", 65_024),
            ("hidden_size", 4544),
            ("num_hidden_layers", 32),
            ("num_attention_heads", 71),
        ],
        ids: &[("bos_token_id", &[11]), ("eos_token_id", &[11])],
        unread: &["attention_bias", "hidden_act", "layer_norm_eps", "mlp_bias"],
        ..HF
    },
    gguf: Dialect {
        types: &["falcon"],
        names: &[
            renamed("layers.*.attn_norm", "blk.*.attn_norm_2"),
            renamed("layers.*.attn_norm", "blk.*.attn_norm"),
            renamed("layers.*.mlp_norm", "blk.*.attn_norm"),
            fused("layers.*.attn.qkv", "blk.*.attn_qkv"),
        ],
        spellings: &[
            ("new_decoder_architecture", SECOND_NORM),
            ("num_kv_heads", "num_key_value_heads"),
        ],
        translate: |raw| Ok(raw.with("multi_query", false)),
        biases: &[],
        keys: |_| vec![("tensor_data_layout", "jploski".into())],
        holds: |config, name| {
            let has_two = |layer: &LayerConfig| layer.norms == NormPlace::ParallelNorms;
            !name.contains("attn_norm_2") || config.layers.iter().any(has_two)
        },
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let grouped = raw.flag("new_decoder_architecture", false)?;
    let kv_heads = match raw.optional_size("num_kv_heads")? {
        _ if !grouped && raw.flag("multi_query", true)? => 1,
        Some(kv_heads) => kv_heads,
        None => raw.size("num_attention_heads")?,
    };
    let wide = raw.optional_size("ffn_hidden_size")?.unwrap_or(4 * raw.size("hidden_size")?);
    let raw = raw.with("num_key_value_heads", kv_heads).with("intermediate_size", wide);
    let residual = match (grouped, raw.flag("parallel_attn", true)?) {
        (false, false) => NormPlace::Before,
        (true, false) => {
            let reason = "`new_decoder_architecture` needs it";
            return Err(raw.refuse("parallel_attn", reason));
        }
        (true, true) if raw.number("num_ln_in_parallel_attn", 2.0)? == 2.0 => {
            NormPlace::ParallelNorms
        }
        (_, true) => NormPlace::Parallel,
    };
    let alibi = raw.flag("alibi", false)?;
    let mut config = match alibi {
        // Rope settings are ignored.
        true => llama::config(
            &raw.without("rope_scaling").without("rope_theta").with("rope.dimension_count", 2),
        )?,
        false => llama::config(&raw)?,
    };
    config.head = llama::head(&raw, true)?;
    let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-5)? };
    config.final_norm = Some(norm);
    if alibi {
        config.ropes.clear();
        let attention = &config.layers[0].attention;
        config.alibis = vec![AlibiConfig { heads: attention.heads, scale: attention.scale }];
    }
    for layer in &mut config.layers {
        layer.norms = residual;
        layer.norm = norm;
        layer.mlp = MlpConfig::Plain {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "gelu")?,
            bias: raw.flag("mlp_bias", false)?.into(),
        };
        if alibi {
            layer.attention.positions = Positions::Alibi(0);
        }
    }
    Ok(config)
}
