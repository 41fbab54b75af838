//! WavLM (<https://arxiv.org/abs/2110.13900>): Wav2Vec2, except that attention adds a number for each
//! bucket of distances, times what each query makes of it.

use crate::models::speech::ctc::config::SpeechLayerConfig;
use crate::models::speech::ctc::families::{Family, wav2vec2};
use crate::nn::attention::Positions;
use crate::nn::relative::RelativePositions;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["wavlm"],
    prefix: "wavlm",
    config: |raw| {
        let mut config = wav2vec2::config(raw)?;
        let buckets = raw.optional_size("num_buckets")?.unwrap_or(320);
        let max_distance = raw.optional_size("max_bucket_distance")?.unwrap_or(800);
        if buckets < 4 {
            return Err(raw.refuse("num_buckets", "it should be 4 or more"));
        }
        if max_distance <= buckets / 4 {
            let reason = "it should be more than a quarter of `num_buckets`";
            return Err(raw.refuse("max_bucket_distance", reason));
        }
        for layer in &mut config.layers {
            if let SpeechLayerConfig::Transformer { layer, .. } = layer {
                let relative = RelativePositions::GatedBuckets { buckets, max_distance };
                layer.attention.positions = Positions::Relative(relative);
            }
        }
        Ok(config)
    },
    names: &[
        renamed("relative.0", "encoder.layers.0.attention.rel_attn_embed"),
        renamed("layers.*.attn.gate", "encoder.layers.*.attention.gru_rel_pos_linear"),
        renamed("layers.*.attn.gate_constant", "encoder.layers.*.attention.gru_rel_pos_const"),
    ],
};
