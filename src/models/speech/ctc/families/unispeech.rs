//! UniSpeech (<https://arxiv.org/abs/2101.07597>) and UniSpeech-SAT (<https://arxiv.org/abs/2110.05752>):
//! Wav2Vec2, trained otherwise.

use crate::models::speech::ctc::families::{Family, wav2vec2};

pub(super) const FAMILY: Family = Family {
    model_types: &["unispeech"],
    prefix: "unispeech",
    config: |raw| wav2vec2::config(&raw.without("add_adapter")),
    names: &[],
};

pub(super) const SAT: Family =
    Family { model_types: &["unispeech-sat"], prefix: "unispeech_sat", ..FAMILY };
