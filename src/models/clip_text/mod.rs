//! The half of CLIP that reads: prompts of Stable Diffusion and FLUX.
//!
//! Reference: `modeling_clip.py` of transformers.

mod config;

use candle_core::{Device, Tensor};

pub use config::{ClipTextConfig, Pooled};

use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::nn::attention::Attention;
use crate::nn::layer::Layer;
use crate::nn::norm::Norm;
use crate::nn::packed::Tokens;
use crate::nn::positions::PositionTable;
use crate::nn::{Shared, Step};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::{NameTable, Rule, renamed};
use crate::weights::{Bias, Embedding, Inventory, Linear, Weights};

/// The half of CLIP that reads: `CLIPTextModel` and `CLIPTextModelWithProjection`.
#[derive(Debug)]
pub struct ClipText {
    config: ClipTextConfig,
    device: Device,
    words: Embedding,
    positions: Option<PositionTable>,
    layers: Vec<Layer>,
    final_norm: Norm,
    projection: Option<Linear>,
    inventory: Inventory,
    threads: Threads,
}

/// What a [`ClipText`] makes of texts of equal length.
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
        let config = ClipTextConfig::read(&RawConfig::read(files)?)?;
        let weights = Weights::open(files, names(), options)?;
        Self::load(config, &weights, options)
    }

    /// As [`from_files`](Self::from_files), with weights of another name than `model`, such as `model.fp16`.
    pub(crate) fn from_stem(files: &ModelFiles, stem: &str, options: &LoadOptions) -> Result<Self> {
        let config = ClipTextConfig::read(&RawConfig::read(files)?)?;
        let weights = Weights::open_stem(files, stem, names(), options)?;
        Self::load(config, &weights, options)
    }

    /// Reads the model from weights with the names of [`names`].
    pub(crate) fn load(
        config: ClipTextConfig,
        weights: &Weights,
        options: &LoadOptions,
    ) -> Result<Self> {
        let hidden = config.hidden_size;
        let scope = weights.scope("layers");
        let layer = |(number, layer)| Layer::load(&scope.scope(number), hidden, layer);
        let layers = config.layers.iter().enumerate().map(layer).collect::<Result<_>>()?;
        let projection = match weights.contains("projection") {
            true => Some(weights.linear("projection", hidden, config.projection, Bias::Absent)?),
            false => None,
        };
        Ok(Self {
            words: weights.embedding("embed.words", config.vocab_size, hidden)?,
            positions: PositionTable::load(weights, "embed.positions", hidden, config.positions)?,
            layers,
            final_norm: Norm::load(weights, "final_norm", hidden, config.norm)?,
            projection,
            device: weights.device().clone(),
            inventory: weights.inventory(),
            threads: Threads::new(options.threads)?,
            config,
        })
    }

    /// The parts of the model.
    #[must_use]
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Reads texts of equal length, which are padded with the tokenizer's own padding token, that is not hidden:
    /// with `hidden` as after the layer `before_last` layers before the last.
    ///
    /// # Errors
    ///
    /// When the texts are of different lengths or too long, an id is none of the vocabulary, or there are not so
    /// many layers.
    pub fn encode(&self, rows: &[Vec<u32>], before_last: usize) -> Result<ClipTextStates> {
        let ClipTextConfig { vocab_size, max_positions, .. } = self.config;
        let tokens = rows.first().map_or(0, Vec::len);
        if tokens == 0 || rows.iter().any(|row| row.len() != tokens) {
            return Err(Error::input("texts of different lengths, or without a token: pad them"));
        }
        if tokens > max_positions {
            return Err(Error::ContextOverflow { tokens, limit: max_positions });
        }
        if let Some(id) = rows.iter().flatten().find(|&&id| id as usize >= vocab_size) {
            return Err(Error::input(format!("token id {id} in a vocabulary of {vocab_size}")));
        }
        let layers = self.layers.len();
        if before_last > layers {
            let reason = format!("the model has {layers} layers, not more than {before_last}");
            return Err(Error::option("clip_skip", reason));
        }
        self.threads.run_on(&self.device, || self.states(rows, tokens, layers - before_last))
    }

    fn states(&self, rows: &[Vec<u32>], tokens: usize, wanted: usize) -> Result<ClipTextStates> {
        let packed = Tokens {
            rows: (0..rows.len()).map(|row| row * tokens..(row + 1) * tokens).collect(),
            ids: rows.concat(),
            type_ids: vec![0; rows.len() * tokens],
        };
        let spans = [self.config.span];
        let shared = Shared { ropes: &[], spans: &spans, alibis: &[], relative: None };
        let step = Step::uncached(&packed, shared, &self.device)?;
        let mut x = self.words.forward(&Tensor::new(packed.ids.as_slice(), &self.device)?)?;
        if let Some(positions) = &self.positions {
            x = (x + positions.forward(&packed.ids, &packed.positions(), &self.device)?)?;
        }
        let mut hidden = x.clone();
        for (number, layer) in (1..).zip(&self.layers) {
            x = layer.forward(
                &x,
                |attention: &Attention, x| attention.forward_uncached(x, &step),
                |_, _| Err(Error::input("an encoder has no source")),
            )?;
            if number == wanted {
                hidden = x.clone();
            }
        }
        let last = self.final_norm.forward(&x)?;
        let places = rows.iter().enumerate().map(|(row, ids)| {
            let place = self.config.pooled.place(ids);
            (row * tokens + place) as u32
        });
        let pooled = last.index_select(&Tensor::from_iter(places, &self.device)?, 0)?;
        let by_row = |x: Tensor| x.reshape((rows.len(), tokens, self.config.hidden_size));
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

    /// The hidden states after the final norm, which `clip_skip` applies to those of an earlier layer.
    pub(crate) fn normed(&self, hidden: &Tensor) -> Result<Tensor> {
        self.final_norm.forward(hidden)
    }
}

impl Model for ClipText {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
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
    renamed("layers.*.mlp.up", "text_model.encoder.layers.*.mlp.fc1"),
    renamed("layers.*.mlp.down", "text_model.encoder.layers.*.mlp.fc2"),
    renamed("layers.*.mlp_norm", "text_model.encoder.layers.*.layer_norm2"),
    renamed("final_norm", "text_model.final_layer_norm"),
    renamed("projection", "text_projection"),
];
