//! data2vec for speech (<https://arxiv.org/abs/2202.03555>): Wav2Vec2, except that every convolution is
//! normed frame by frame, and that several short ones tell positions.

use crate::models::speech::ctc::config::PositionsConfig;
use crate::models::speech::ctc::families::{Family, wav2vec2};
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["data2vec-audio"],
    prefix: "data2vec_audio",
    config: |raw| {
        let plain = raw.with("feat_extract_norm", "layer").without("do_stable_layer_norm");
        let mut config = wav2vec2::config(&plain.without("num_conv_pos_embeddings"))?;
        let count = raw.layers_of("num_conv_pos_embeddings")?.unwrap_or(5);
        let kernel = raw.optional_size("conv_pos_kernel_size")?.unwrap_or(19);
        let field = "conv_pos_kernel_size";
        let convolution = wav2vec2::same_length(raw, config.hidden_size, kernel, field)?;
        let activation = raw.plain_activation("feat_extract_activation", "gelu")?;
        config.positions = PositionsConfig::Stack(convolution, activation, count);
        Ok(config)
    },
    names: &[renamed("positions.*", "encoder.pos_conv_embed.layers.*.conv")],
};
