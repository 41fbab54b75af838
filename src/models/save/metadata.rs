//! A config as the metadata of a GGUF file, which
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md> describes.

use crate::models::decoder::{DecoderConfig, Dialect};
use crate::nn::layer::LayerConfig;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::rope::RopeScaling;
use crate::nn::span::AttentionSpan;
use crate::source::gguf::GgufValue;

pub(super) type Metadata = Vec<(String, GgufValue)>;
/// Tensors of divisors of frequencies, by name.
pub(super) type Factors = Vec<(&'static str, Vec<f32>)>;

/// What the metadata and, for ropes, tensors say of a model of this architecture.
pub(super) fn of(
    config: &DecoderConfig,
    architecture: &str,
    dialect: &Dialect,
) -> (Metadata, Factors) {
    let mut keys = Keys::new(architecture);
    keys.push("embedding_length", config.hidden_size);
    keys.push("block_count", config.layers.len());
    keys.push("vocab_size", config.vocab_size);
    if let Some(layer) = config.layers.first() {
        keys.layer(layer, config.layers.iter().map(|layer| &layer.mlp));
    }
    for span in &config.spans {
        if let AttentionSpan::Causal { window: Some(window) } = *span {
            keys.push("attention.sliding_window", window);
        }
    }
    keys.optional("embedding_scale", config.embedding_scale);
    keys.optional("final_logit_softcapping", config.logit_cap);
    let factors = keys.ropes(config);
    for (key, value) in (dialect.keys)(config) {
        keys.push(key, value);
    }
    (keys.metadata, factors)
}

/// Metadata behind the prefix of an architecture.
pub(super) struct Keys<'a> {
    architecture: &'a str,
    pub(super) metadata: Metadata,
}

impl<'a> Keys<'a> {
    pub(super) fn new(architecture: &'a str) -> Self {
        let metadata = vec![
            ("general.architecture".to_owned(), architecture.into()),
            ("general.type".to_owned(), "model".into()),
        ];
        Self { architecture, metadata }
    }

    fn layer<'m>(&mut self, layer: &LayerConfig, mlps: impl Iterator<Item = &'m MlpConfig>) {
        let attention = &layer.attention;
        self.push("attention.head_count", attention.heads);
        self.push("attention.head_count_kv", attention.kv_heads);
        self.push("attention.key_length", attention.head_dim);
        self.push("attention.value_length", attention.head_dim);
        if attention.scale != (attention.head_dim as f64).powf(-0.5) {
            self.push("attention.scale", attention.scale);
        }
        self.optional("attn_logit_softcapping", attention.score_cap);
        self.optional("residual_scale", layer.residual_scale);
        match layer.norm {
            NormConfig::Rms { eps } => self.push("attention.layer_norm_rms_epsilon", eps),
            NormConfig::Layer { eps } | NormConfig::LayerWithoutBias { eps } => {
                self.push("attention.layer_norm_epsilon", eps);
            }
        }
        let mut wide = None;
        let mut mixture = None;
        for mlp in mlps {
            match mlp {
                MlpConfig::Gated { hidden, .. } | MlpConfig::Plain { hidden, .. } => {
                    wide = wide.or(Some(*hidden));
                }
                MlpConfig::Experts(experts) => mixture = mixture.or(Some(experts)),
            }
        }
        if let Some(experts) = mixture {
            self.push("expert_count", experts.count);
            self.push("expert_used_count", experts.chosen);
            self.push("expert_feed_forward_length", experts.hidden);
            if let Some(shared) = experts.shared {
                self.push("expert_shared_feed_forward_length", shared);
            }
            wide = wide.or(Some(experts.hidden));
        }
        self.push("feed_forward_length", wide.unwrap_or(0));
    }

    fn ropes(&mut self, config: &DecoderConfig) -> Factors {
        let mut context = config.max_positions;
        let mut tensors = Vec::new();
        if let Some(rope) = config.ropes.first() {
            self.push("rope.dimension_count", rope.rotary_dim);
            self.push("rope.freq_base", rope.theta);
            match &rope.scaling {
                RopeScaling::Linear { factor } => {
                    self.push("rope.scaling.type", "linear");
                    self.push("rope.scaling.factor", *factor);
                    context = (context as f64 / factor) as usize;
                }
                RopeScaling::Llama3 { .. } => {
                    tensors.push(("rope_freqs.weight", rope.divisors(config.max_positions)));
                }
                RopeScaling::LongRope { short, long, original_positions, attention_factor } => {
                    self.push("rope.scaling.type", "longrope");
                    self.push("rope.scaling.original_context_length", *original_positions);
                    self.push("rope.scaling.attn_factor", *attention_factor);
                    tensors.push(("rope_factors_long.weight", long.clone()));
                    tensors.push(("rope_factors_short.weight", short.clone()));
                }
                RopeScaling::Yarn { factor, beta_fast, beta_slow, original_positions, .. } => {
                    self.push("rope.scaling.type", "yarn");
                    self.push("rope.scaling.factor", *factor);
                    self.push("rope.scaling.original_context_length", *original_positions);
                    self.push("rope.scaling.yarn_beta_fast", *beta_fast);
                    self.push("rope.scaling.yarn_beta_slow", *beta_slow);
                }
                // No file can express these; the check that reads the file back finds them.
                RopeScaling::Dynamic { .. } | RopeScaling::Factors(_) | RopeScaling::None => {}
            }
        }
        if let Some(local) = config.ropes.get(1) {
            self.push("rope.freq_base_swa", local.theta);
        }
        self.push("context_length", context);
        tensors
    }

    fn optional(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.push(key, value);
        }
    }

    pub(super) fn push(&mut self, key: &str, value: impl Into<GgufValue>) {
        self.metadata.push((format!("{}.{key}", self.architecture), value.into()));
    }
}
