//! From ids to the first layer's input.

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::models::encoder::config::{EncoderConfig, Positions, Projection};
use crate::models::encoder::packed::Tokens;
use crate::nn::norm::Norm;
use crate::weights::{Bias, Embedding, Linear, Weights};

/// Tables of words, positions and token types, summed, normed and perhaps projected.
#[derive(Debug)]
pub(super) struct Embeddings {
    pub(super) words: Embedding,
    numbering: Positions,
    positions: Option<Embedding>,
    types: Option<Embedding>,
    norm: Norm,
    place: Projection,
    projection: Option<Linear>,
}

impl Embeddings {
    /// Reads `words`, and `positions`, `types`, `norm` and `projection` where there are such.
    pub(super) fn load(weights: &Weights, config: &EncoderConfig) -> Result<Self> {
        let EncoderConfig { vocab_size, hidden_size, ref embeddings, .. } = *config;
        let size = embeddings.size;
        let table = |name: &str, rows: usize| weights.embedding(name, rows, size);
        let positions = match embeddings.positions {
            Positions::None => None,
            Positions::AfterPadding { rows, .. } | Positions::FromZero { rows } => {
                Some(table("positions", rows)?)
            }
        };
        let types = match embeddings.token_types {
            0 => None,
            rows => Some(table("types", rows)?),
        };
        let (projection, normed) = match embeddings.projection {
            Projection::None => (None, size),
            place => {
                let linear = weights.linear("projection", size, hidden_size, Bias::IfStored)?;
                (Some(linear), if place == Projection::AfterNorm { size } else { hidden_size })
            }
        };
        Ok(Self {
            words: table("words", vocab_size)?,
            numbering: embeddings.positions,
            positions,
            types,
            norm: Norm::load(weights, "norm", normed, embeddings.norm)?,
            place: embeddings.projection,
            projection,
        })
    }

    /// `(packed tokens, hidden)`.
    pub(super) fn forward(&self, tokens: &Tokens, device: &Device) -> Result<Tensor> {
        let mut x = self.words.forward(&Tensor::new(tokens.ids.as_slice(), device)?)?;
        if let Some(types) = &self.types {
            if let Some(id) = tokens.type_ids.iter().find(|&&id| id as usize >= types.vocab()) {
                let known = types.vocab();
                return Err(Error::input(format!("token type {id}; the model has {known}")));
            }
            x = (x + types.forward(&Tensor::new(tokens.type_ids.as_slice(), device)?)?)?;
        }
        if let Some(positions) = &self.positions {
            x = (x + positions.forward(&Tensor::new(self.numbers(tokens), device)?)?)?;
        }
        let project = |x: Tensor| match &self.projection {
            Some(projection) => projection.forward(&x),
            None => Ok(x),
        };
        match self.place {
            Projection::BeforeNorm => self.norm.forward(&project(x)?),
            Projection::AfterNorm | Projection::None => project(self.norm.forward(&x)?),
        }
    }

    /// Each token's number in the table of positions.
    fn numbers(&self, tokens: &Tokens) -> Vec<u32> {
        let Positions::AfterPadding { padding_id, .. } = self.numbering else {
            return tokens.positions();
        };
        let number = |row: &std::ops::Range<usize>| {
            let mut next = padding_id;
            let ids = &tokens.ids[row.clone()];
            ids.iter().map(move |&id| {
                // A padding token in the text itself takes no number: `create_position_ids_from_
                // input_ids` of modeling_roberta.py.
                next += u32::from(id != padding_id);
                if id == padding_id { padding_id } else { next }
            })
        };
        tokens.rows.iter().flat_map(number).collect()
    }
}
