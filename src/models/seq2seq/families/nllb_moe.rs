//! NLLB-MoE (<https://arxiv.org/abs/2207.04672>), the NLLB-200 of 54 billion weights: M2M100, except that every
//! few layers have experts, of which each token takes two.
//!
//! Config: `configuration_nllb_moe.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::families::m2m_100;
use crate::models::seq2seq::family::Family;
use crate::nn::experts::{
    Capacity, ExpertForm, ExpertLimit, ExpertShares, ExpertsConfig, FirstServed, PairConfig,
    PairSums, RouterPrecision,
};
use crate::nn::layer::LayerConfig;
use crate::nn::mlp::MlpConfig;
use crate::weights::Bias;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["nllb-moe"],
    config: |raw| {
        let mut config = m2m_100::config(raw)?;
        let experts = pairs(raw)?;
        spread(raw, "encoder_sparse_step", &experts, &mut config.encoder.layers)?;
        spread(raw, "decoder_sparse_step", &experts, &mut config.decoder.layers)?;
        Ok(config)
    },
    names: &[
        renamed("encoder.layers.*.mlp.act", "encoder.layers.*.ffn.act"),
        renamed("encoder.layers.*.mlp.up", "encoder.layers.*.ffn.fc1"),
        renamed("encoder.layers.*.mlp.down", "encoder.layers.*.ffn.fc2"),
        renamed("encoder.layers.*.mlp.router", "encoder.layers.*.ffn.router.classifier"),
        renamed("encoder.layers.*.mlp.experts.*.act", "encoder.layers.*.ffn.experts.expert_*.act"),
        renamed("encoder.layers.*.mlp.experts.*.up", "encoder.layers.*.ffn.experts.expert_*.fc1"),
        renamed("encoder.layers.*.mlp.experts.*.down", "encoder.layers.*.ffn.experts.expert_*.fc2"),
        renamed("encoder.layers.*.mlp_norm", "encoder.layers.*.ff_layer_norm"),
        renamed("decoder.layers.*.cross.q", "decoder.layers.*.cross_attention.q_proj"),
        renamed("decoder.layers.*.cross.k", "decoder.layers.*.cross_attention.k_proj"),
        renamed("decoder.layers.*.cross.v", "decoder.layers.*.cross_attention.v_proj"),
        renamed("decoder.layers.*.cross.o", "decoder.layers.*.cross_attention.out_proj"),
        renamed("decoder.layers.*.cross_norm", "decoder.layers.*.cross_attention_layer_norm"),
        renamed("decoder.layers.*.mlp.act", "decoder.layers.*.ffn.act"),
        renamed("decoder.layers.*.mlp.up", "decoder.layers.*.ffn.fc1"),
        renamed("decoder.layers.*.mlp.down", "decoder.layers.*.ffn.fc2"),
        renamed("decoder.layers.*.mlp.router", "decoder.layers.*.ffn.router.classifier"),
        renamed("decoder.layers.*.mlp.experts.*.act", "decoder.layers.*.ffn.experts.expert_*.act"),
        renamed("decoder.layers.*.mlp.experts.*.up", "decoder.layers.*.ffn.experts.expert_*.fc1"),
        renamed("decoder.layers.*.mlp.experts.*.down", "decoder.layers.*.ffn.experts.expert_*.fc2"),
        renamed("decoder.layers.*.mlp_norm", "decoder.layers.*.ff_layer_norm"),
    ],
    ..m2m_100::FAMILY
};

/// The experts of every layer that has such, but for their width.
fn pairs(raw: &RawConfig) -> Result<ExpertsConfig> {
    let count = raw.optional_size("num_experts")?.unwrap_or(128);
    if count < 2 {
        return Err(raw.refuse("num_experts", "each token takes two"));
    }
    if !matches!(raw.text("second_expert_policy")?, None | Some("all")) {
        let reason =
            "only \"all\" is supported: the others choose by chance, even where nothing is trained";
        return Err(raw.refuse("second_expert_policy", reason));
    }
    let precision = match raw.text("router_dtype")? {
        None | Some("float32") => RouterPrecision::F32,
        Some("float16") => RouterPrecision::F16,
        Some("bfloat16") => RouterPrecision::BF16,
        Some(_) => {
            let known = "it should be \"float32\", \"float16\" or \"bfloat16\"";
            return Err(raw.refuse("router_dtype", known));
        }
    };
    let capacity = match raw.number("moe_eval_capacity_token_fraction", 1.0)? {
        // No expert can be chosen more often.
        all if all >= 1.0 => None,
        part if part > 0.0 => Some(Capacity::Fraction(part)),
        _ => {
            let known = "it should be above 0, or `expert_capacity` a number";
            let tokens =
                raw.with_default("expert_capacity", 64).optional_size("expert_capacity")?;
            let refused = || raw.refuse("moe_eval_capacity_token_fraction", known);
            Some(Capacity::Tokens(tokens.ok_or_else(refused)?))
        }
    };
    let first = match raw.flag("batch_prioritized_routing", false)? {
        true => FirstServed::LargestShare,
        false => FirstServed::Order,
    };
    let sums = match raw.flag("normalize_router_prob_before_dropping", false)? {
        true => PairSums::OfBoth,
        false => PairSums::OfTaken,
    };
    let shares = ExpertShares::OfPairs(PairConfig {
        precision,
        router_bias: Bias::from(raw.flag("router_bias", false)?),
        scale: 1.0 - raw.number("moe_token_dropout", 0.2)?,
        limit: capacity.map(|capacity| ExpertLimit { capacity, first, sums }),
    });
    Ok(ExpertsConfig {
        count,
        chosen: 2,
        hidden: 0,
        activation: raw.activation("activation_function", "relu")?,
        form: ExpertForm::Plain,
        shares,
        shared: None,
    })
}

/// Gives every layer whose number, from 1 on, the field's divides experts as wide as its MLP.
fn spread(
    raw: &RawConfig,
    field: &str,
    experts: &ExpertsConfig,
    layers: &mut [LayerConfig],
) -> Result<()> {
    let step = raw.number(field, 4.0)?;
    if step.fract() != 0.0 {
        return Err(raw.refuse(field, "it should be a whole number"));
    }
    if step <= 0.0 {
        return Ok(());
    }
    let step = step as usize;
    for layer in layers.iter_mut().skip(step - 1).step_by(step) {
        if let MlpConfig::Plain { hidden, .. } = layer.mlp {
            layer.mlp = MlpConfig::Experts(ExpertsConfig { hidden, ..experts.clone() });
        }
    }
    Ok(())
}
