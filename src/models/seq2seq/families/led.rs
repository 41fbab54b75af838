//! LED (<https://arxiv.org/abs/2004.05150>): BART, except that the encoder's layers attend to a window on both
//! sides and to marked tokens, and that positions are numbered from 0 on, with a table for each half.

use crate::models::seq2seq::families::bart;
use crate::models::seq2seq::family::Family;
use crate::nn::globals::Globals;
use crate::nn::positions::AbsolutePositions;
use crate::nn::span::AttentionSpan;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["led"],
    defaults: &[
        ("vocab_size", 50_265),
        ("max_encoder_position_embeddings", 16_384),
        ("max_decoder_position_embeddings", 1024),
        ("d_model", 1024),
        ("encoder_layers", 12),
        ("encoder_ffn_dim", 4096),
        ("encoder_attention_heads", 16),
        ("decoder_layers", 12),
        ("decoder_ffn_dim", 4096),
        ("decoder_attention_heads", 16),
        ("bos_token_id", 0),
        ("pad_token_id", 1),
        ("eos_token_id", 2),
        ("decoder_start_token_id", 2),
    ],
    config: |raw| {
        let [read, written] =
            ["max_encoder_position_embeddings", "max_decoder_position_embeddings"]
                .map(|field| raw.size(field));
        let (read, written) = (read?, written?);
        let mut config =
            bart::config(&raw.without("scale_embedding").with("max_position_embeddings", written))?;
        let learned = |rows: usize| AbsolutePositions::Learned { offset: 0, rows };
        config.encoder.embeddings.positions = learned(read);
        config.encoder.max_positions = read;
        config.decoder.positions = learned(written);
        let layers = &mut config.encoder.layers;
        // One for all layers, or one for each.
        let windows = match raw.optional_size("attention_window") {
            Ok(window) => vec![window.unwrap_or(512) as f32; layers.len()],
            Err(_) => raw.numbers("attention_window")?.unwrap_or_default(),
        };
        let is_window = |&window: &f32| window >= 2.0 && window % 2.0 == 0.0;
        if windows.len() != layers.len() || !windows.iter().all(is_window) {
            let known = "it should be an even number, or one for each layer of the encoder";
            return Err(raw.refuse("attention_window", known));
        }
        config.encoder.spans.clear();
        for (layer, window) in layers.iter_mut().zip(windows) {
            // The token itself, and half of the window on either side.
            let window = Some(window as usize / 2 + 1);
            let span = AttentionSpan::Bidirectional { window };
            let spans = &mut config.encoder.spans;
            let known = spans.iter().position(|known| *known == span);
            layer.attention.globals = Globals::Marked;
            layer.attention.span = known.unwrap_or(spans.len());
            if known.is_none() {
                spans.push(span);
            }
        }
        Ok(config)
    },
    names: &[
        renamed("encoder.layers.*.attn.q", "encoder.layers.*.self_attn.longformer_self_attn.query"),
        renamed("encoder.layers.*.attn.k", "encoder.layers.*.self_attn.longformer_self_attn.key"),
        renamed("encoder.layers.*.attn.v", "encoder.layers.*.self_attn.longformer_self_attn.value"),
        renamed(
            "encoder.layers.*.attn.global.q",
            "encoder.layers.*.self_attn.longformer_self_attn.query_global",
        ),
        renamed(
            "encoder.layers.*.attn.global.k",
            "encoder.layers.*.self_attn.longformer_self_attn.key_global",
        ),
        renamed(
            "encoder.layers.*.attn.global.v",
            "encoder.layers.*.self_attn.longformer_self_attn.value_global",
        ),
        renamed("encoder.layers.*.attn.o", "encoder.layers.*.self_attn.output"),
    ],
    prefix: Some("led"),
    ..bart::FAMILY
};
