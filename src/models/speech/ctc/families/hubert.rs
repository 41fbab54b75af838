//! HuBERT (<https://arxiv.org/abs/2106.07447>): Wav2Vec2, except that its frames may not be normed before
//! they are projected, and that its positions may be of normed hidden states.

use crate::models::speech::ctc::config::PositionsConfig;
use crate::models::speech::ctc::families::{Family, wav2vec2};

pub(super) const FAMILY: Family = Family {
    model_types: &["hubert"],
    prefix: "hubert",
    config: |raw| {
        let mut config = wav2vec2::config(&raw.without("add_adapter"))?;
        if !raw.flag("feat_proj_layer_norm", true)? {
            config.projection_norm = None;
        }
        if raw.flag("conv_pos_batch_norm", false)?
            && let PositionsConfig::WeightNorm(convolution, activation) = config.positions
        {
            config.positions = PositionsConfig::BatchNorm(convolution, activation);
        }
        Ok(config)
    },
    names: &[],
};
