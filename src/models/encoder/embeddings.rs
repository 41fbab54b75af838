//! From ids to the first layer's input.

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::models::encoder::config::{EncoderConfig, Projection};
use crate::nn::norm::{Norm, normed};
use crate::nn::packed::Tokens;
use crate::nn::positions::PositionTable;
use crate::nn::residual::join;
use crate::weights::{Bias, Embedding, Linear, Weights};

/// Tables of words, positions and token types, summed, normed and perhaps projected.
#[derive(Debug)]
pub(super) struct Embeddings {
    pub(super) words: Embedding,
    positions: Option<PositionTable>,
    types: Option<Embedding>,
    scale: Option<f64>,
    norm: Option<Norm>,
    place: Projection,
    projection: Option<Linear>,
}

impl Embeddings {
    /// Reads `positions`, `types`, `norm` and `projection` where there are such.
    pub(super) fn load(
        weights: &Weights,
        config: &EncoderConfig,
        words: Embedding,
    ) -> Result<Self> {
        let EncoderConfig { hidden_size, ref embeddings, .. } = *config;
        let size = embeddings.size;
        let types = match embeddings.token_types {
            0 => None,
            rows => Some(weights.embedding("types", rows, size)?),
        };
        let (projection, width) = match embeddings.projection {
            Projection::None => (None, size),
            place => {
                let linear = weights.linear("projection", size, hidden_size, Bias::IfStored)?;
                (Some(linear), if place == Projection::AfterNorm { size } else { hidden_size })
            }
        };
        Ok(Self {
            words,
            positions: PositionTable::load(weights, "positions", size, embeddings.positions)?,
            types,
            scale: embeddings.scale,
            norm: match embeddings.norm {
                Some(norm) => Some(Norm::load(weights, "norm", width, norm)?),
                None => None,
            },
            place: embeddings.projection,
            projection,
        })
    }

    /// `(packed tokens, hidden)`.
    pub(super) fn forward(&self, tokens: &Tokens, device: &Device) -> Result<Tensor> {
        let mut x = self.words.forward(&Tensor::new(tokens.ids.as_slice(), device)?)?;
        if let Some(scale) = self.scale {
            x = (x * scale)?;
        }
        if let Some(types) = &self.types {
            if let Some(id) = tokens.type_ids.iter().find(|&&id| id as usize >= types.vocab()) {
                let known = types.vocab();
                return Err(Error::input(format!("token type {id}; the model has {known}")));
            }
            let ids = Tensor::new(tokens.type_ids.as_slice(), device)?;
            x = join(&x, types.forward(&ids)?, None)?;
        }
        if let Some(positions) = &self.positions {
            let positions = positions.forward(&tokens.ids, &tokens.positions(), device)?;
            x = join(&x, positions, None)?;
        }
        let project = |x: Tensor| match &self.projection {
            Some(projection) => projection.forward(&x),
            None => Ok(x),
        };
        match self.place {
            Projection::BeforeNorm => normed(self.norm.as_ref(), project(x)?),
            Projection::AfterNorm | Projection::None => project(normed(self.norm.as_ref(), x)?),
        }
    }
}
