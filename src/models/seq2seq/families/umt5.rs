//! UMT5 (<https://arxiv.org/abs/2304.09151>): mT5, except that each layer has a table of distances of its
//! own.

use crate::models::seq2seq::families::t5::Tables;
use crate::models::seq2seq::families::{mt5, t5};
use crate::models::seq2seq::family::Family;

pub(super) const FAMILY: Family = Family {
    model_types: &["umt5"],
    defaults: mt5::DEFAULTS,
    config: |raw| {
        t5::config(&raw.with_default("feed_forward_proj", "gated-gelu"), Tables::OfLayers)
    },
    ..t5::FAMILY
};
