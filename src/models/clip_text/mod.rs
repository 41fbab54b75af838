//! The half of CLIP that reads: prompts of Stable Diffusion and FLUX, and labels of pictures.
//!
//! Reference: `modeling_clip.py` of transformers.

mod config;
mod layouts;

use candle_core::{Device, Tensor};

pub use config::{ClipTextConfig, Pooled};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::models::encoder::TextEncoder;
use crate::models::threads::Threads;
use crate::models::traits::{EncoderTrace, Model, ModelLimits, TextModel};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::{NameTable, Rule, renamed};
use crate::weights::{Bias, Inventory, Linear, Weights, check_adapters};

/// The half of CLIP that reads: `CLIPTextModel` and `CLIPTextModelWithProjection`. An encoder whose tokens see those
/// before them.
#[derive(Debug)]
pub struct ClipText {
    encoder: TextEncoder,
    pooled: Pooled,
    projection: Option<Linear>,
    inventory: Inventory,
}

/// The weights of an encoder in a file: of a whole Stable Diffusion, of which it is the part that `options` are for, or
/// alone.
fn in_one_file(
    files: &ModelFiles,
    config: &ClipTextConfig,
    options: &LoadOptions,
) -> Result<Weights> {
    const OF_TRANSFORMERS: &str = "text_model.embeddings.token_embedding.weight";
    const OF_OPEN_CLIP: &str = "token_embedding.weight";
    let is_second = options.part.is_some_and(|part| part.name == "text_encoder_2");
    let (clip, open_clip): (&[&str], &[&str]) = match is_second {
        true => (&[], &["conditioner.embedders.1.model.", "conditioner.embedders.0.model."]),
        false => (
            &[
                "cond_stage_model.transformer.",
                "state_dict.cond_stage_model.transformer.",
                "conditioner.embedders.0.transformer.",
            ],
            &["cond_stage_model.model.", "state_dict.cond_stage_model.model."],
        ),
    };
    let found = (clip, OF_TRANSFORMERS);
    if let Some(weights) = Weights::open_moved(files, found, layouts::clip, names(), options)? {
        return Ok(weights);
    }
    let layout = |prefix: &str| layouts::open_clip(config, is_second, prefix);
    let found = (open_clip, OF_OPEN_CLIP);
    match Weights::open_moved(files, found, layout, names(), options)? {
        Some(weights) => Ok(weights),
        None => Weights::open(files, names(), options),
    }
}

/// What a [`ClipText`] makes of texts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClipTextStates {
    /// The hidden states of the layer that was asked for, `(rows, tokens, hidden)`, not normed.
    pub hidden: Tensor,
    /// The hidden states of the last layer, normed, `(rows, tokens, hidden)`: `last_hidden_state`.
    pub last: Tensor,
    /// The normed vector of each text's last token, `(rows, hidden)`: `pooler_output`.
    pub pooled: Tensor,
    /// The pooled vectors projected, `(rows, projection)`, where the model has a projection: `text_embeds`.
    pub projected: Option<Tensor>,
}

impl ClipText {
    /// Reads a model from an opened folder: a text encoder of diffusers, or a whole CLIP.
    ///
    /// # Errors
    ///
    /// When a file is missing or broken, or the model is of another kind.
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let config = ClipTextConfig::from_files(files)?;
        let weights = match files.weights() {
            None => Weights::open(files, names(), options)?,
            Some(_) => in_one_file(files, &config, options)?,
        };
        Self::checked(config, &weights, options)
    }

    /// As [`from_files`](Self::from_files), with weights of another name than `model`, such as `model.fp16`.
    pub(crate) fn from_stem(files: &ModelFiles, stem: &str, options: &LoadOptions) -> Result<Self> {
        if files.weights().is_some() {
            return Self::from_files(files, options);
        }
        let config = ClipTextConfig::from_files(files)?;
        let weights = Weights::open_stem(files, stem, names(), options)?;
        Self::checked(config, &weights, options)
    }

    /// As [`load`](Self::load), of weights that hold nothing else.
    fn checked(config: ClipTextConfig, weights: &Weights, options: &LoadOptions) -> Result<Self> {
        let model = Self::load(config, weights, Threads::new(options.threads)?)?;
        check_adapters(&model.inventory)?;
        Ok(model)
    }

    /// Reads the model from a scope of weights with the names of [`names`].
    pub(in crate::models) fn load(
        config: ClipTextConfig,
        weights: &Weights,
        threads: Threads,
    ) -> Result<Self> {
        let ClipTextConfig { encoder, pooled, projection } = config;
        let hidden = encoder.hidden_size;
        let words = weights.embedding("embed.words", encoder.vocab_size, hidden)?;
        let encoder = TextEncoder::of(encoder, weights, words, threads)?;
        let projection = match weights.contains("projection") {
            true => Some(weights.linear("projection", hidden, projection, Bias::Absent)?),
            false => None,
        };
        Ok(Self { encoder, pooled, projection, inventory: weights.inventory() })
    }

    /// The encoder under the projection.
    #[must_use]
    pub fn encoder(&self) -> &TextEncoder {
        &self.encoder
    }

    /// Reads texts, with `hidden` as after the layer `before_last` layers before the last. Where texts are padded with
    /// the tokenizer's own padding token, as in diffusers, it is not hidden; shorter rows are read as they are, and
    /// what stands behind their end is 0.
    ///
    /// # Errors
    ///
    /// When a text is empty or too long, an id is none of the vocabulary, or there are not so many layers.
    pub fn encode(&self, rows: &[Vec<u32>], before_last: usize) -> Result<ClipTextStates> {
        let layers = self.encoder.config().layers.len();
        let Some(wanted) = layers.checked_sub(before_last) else {
            let reason = format!("the model has {layers} layers, not more than {before_last}");
            return Err(Error::option("clip_skip", reason));
        };
        let batch = TokenBatch::padded(rows, 0, PaddingSide::Right)?;
        let (packed, [hidden, last]) = self.encoder.states_of(&batch, wanted)?;
        let places = packed.tokens.rows.iter().zip(rows).map(|(row, ids)| {
            let place = self.pooled.place(ids);
            (row.start + place) as u32
        });
        let pooled = last.index_select(&Tensor::from_iter(places, last.device())?, 0)?;
        let dtype = last.dtype();
        let by_row = |x: Tensor| Ok::<_, Error>(packed.unpack(&x)?.to_dtype(dtype)?);
        Ok(ClipTextStates {
            projected: match &self.projection {
                Some(projection) => Some(projection.forward(&pooled)?),
                None => None,
            },
            hidden: by_row(hidden)?,
            last: by_row(last)?,
            pooled,
        })
    }

    /// What each layer has computed of each text, `attentions` included if wanted: `output_hidden_states` and
    /// `output_attentions` of transformers, but for the last hidden states, which are normed here.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn trace(&self, rows: &[Vec<u32>], attentions: bool) -> Result<Vec<EncoderTrace>> {
        let batch = TokenBatch::padded(rows, 0, PaddingSide::Right)?;
        Ok(self.encoder.traced(&batch, attentions)?.2)
    }

    /// The hidden states after the final norm, which `clip_skip` applies to those of an earlier layer.
    pub(crate) fn normed(&self, hidden: &Tensor) -> Result<Tensor> {
        self.encoder.normed(hidden)
    }
}

impl Model for ClipText {
    fn device(&self) -> &Device {
        self.encoder.device()
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl TextModel for ClipText {
    fn limits(&self) -> ModelLimits {
        self.encoder.limits()
    }
}

/// What our tensors are called in checkpoints.
pub(crate) fn names() -> NameTable {
    NameTable { base: NAMES, own: &[] }
}

const NAMES: &[Rule] = &[
    renamed("embed.words", "text_model.embeddings.token_embedding"),
    renamed("embed.positions", "text_model.embeddings.position_embedding"),
    renamed("layers.*.attn.q", "text_model.encoder.layers.*.self_attn.q_proj"),
    renamed("layers.*.attn.k", "text_model.encoder.layers.*.self_attn.k_proj"),
    renamed("layers.*.attn.v", "text_model.encoder.layers.*.self_attn.v_proj"),
    renamed("layers.*.attn.o", "text_model.encoder.layers.*.self_attn.out_proj"),
    renamed("layers.*.attn_norm", "text_model.encoder.layers.*.layer_norm1"),
    renamed("layers.*.mlp.act", "text_model.encoder.layers.*.mlp.activation_fn"),
    renamed("layers.*.mlp.up", "text_model.encoder.layers.*.mlp.fc1"),
    renamed("layers.*.mlp.down", "text_model.encoder.layers.*.mlp.fc2"),
    renamed("layers.*.mlp_norm", "text_model.encoder.layers.*.layer_norm2"),
    renamed("final_norm", "text_model.final_layer_norm"),
    renamed("projection", "text_projection"),
];
