//! An encoder of pictures and an encoder of texts with a space in common.

use candle_core::{D, DType, Device, Tensor};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::image::PixelValues;
use crate::models::clip_text::ClipText;
use crate::models::encoder::TextEncoder;
use crate::models::heads::{Encoder, finite};
use crate::models::threads::Threads;
use crate::models::traits::{Model, ModelLimits, TextModel};
use crate::models::vision::encoder::VisionEncoder;
use crate::models::vision::families::{TextConfig, TowerConfig};
use crate::models::vision::traits::{ImageTextModel, TextPooling};
use crate::weights::{Bias, Inventory, Linear, Weights};

/// An encoder of pictures and an encoder of texts.
#[derive(Debug)]
pub(crate) struct ImageTextPair {
    vision: VisionEncoder,
    /// None in SigLIP, whose pooled vectors are those of the space.
    image_projection: Option<Linear>,
    tower: Tower,
    /// What multiplies similarities.
    scale: f64,
    /// What is added to them: SigLIP.
    bias: f64,
    inventory: Inventory,
}

#[derive(Debug)]
enum Tower {
    Causal(Box<ClipText>),
    Bidirectional { encoder: Box<TextEncoder>, projection: Linear },
}

impl ImageTextPair {
    /// Reads `text`, `pair.image`, `pair.text`, `logit_scale` and `logit_bias`.
    pub(super) fn load(
        vision: VisionEncoder,
        text: TextConfig,
        weights: &Weights,
        threads: Threads,
    ) -> Result<Self> {
        let TextConfig { tower, projection } = text;
        let (scope, pair) = (weights.scope("text"), weights.scope("pair"));
        let number = |name: &str| -> Result<f64> {
            let number = weights.tensor(name, &[1])?.to_dtype(DType::F32)?.flatten_all()?;
            Ok(f64::from(number.to_vec1::<f32>()?[0]))
        };
        let seen = vision.config().hidden_size;
        Ok(match tower {
            TowerConfig::Causal(config) => Self {
                image_projection: Some(pair.linear("image", seen, projection, Bias::Absent)?),
                tower: Tower::Causal(Box::new(ClipText::load(*config, &scope, threads)?)),
                scale: number("logit_scale")?.exp(),
                bias: 0.0,
                inventory: weights.inventory(),
                vision,
            },
            TowerConfig::Bidirectional(config) => {
                let (vocab, hidden) = (config.vocab_size, config.hidden_size);
                let words = scope.embedding("embed.words", vocab, hidden)?;
                let encoder = TextEncoder::of(*config, &scope, words, threads)?;
                if projection != seen {
                    return Err(Error::unsupported(format!(
                        "texts are projected to {projection} values and pictures have {seen}"
                    )));
                }
                Self {
                    image_projection: None,
                    tower: Tower::Bidirectional {
                        projection: pair.linear("text", hidden, projection, Bias::Present)?,
                        encoder: Box::new(encoder),
                    },
                    scale: number("logit_scale")?.exp(),
                    bias: number("logit_bias")?,
                    inventory: weights.inventory(),
                    vision,
                }
            }
        })
    }
}

/// Vectors `(rows, size)` of length 1, in f32.
fn unit(vectors: &Tensor) -> Result<Tensor> {
    let vectors = vectors.to_dtype(DType::F32)?;
    let lengths = vectors.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    finite(vectors.broadcast_div(&lengths)?)
}

impl Model for ImageTextPair {
    fn device(&self) -> &Device {
        self.vision.device()
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl ImageTextModel for ImageTextPair {
    fn text_pooling(&self) -> TextPooling {
        match &self.tower {
            Tower::Causal(_) => TextPooling::End,
            Tower::Bidirectional { .. } => TextPooling::Padded,
        }
    }

    fn text_limits(&self) -> ModelLimits {
        match &self.tower {
            Tower::Causal(clip) => clip.limits(),
            Tower::Bidirectional { encoder, .. } => encoder.limits(),
        }
    }

    fn embed_images(&self, pictures: &[&PixelValues]) -> Result<Tensor> {
        let rows = self.vision.each(pictures, |states| {
            let pooled = self.vision.pooled(states)?;
            match &self.image_projection {
                Some(projection) => projection.forward(&pooled),
                None => Ok(pooled),
            }
        })?;
        unit(&Tensor::cat(&rows, 0)?)
    }

    fn embed_texts(&self, rows: &[Vec<u32>]) -> Result<Tensor> {
        let (encoder, projection) = match &self.tower {
            Tower::Causal(clip) => {
                let projected = clip.encode(rows, 0)?.projected;
                let without = || Error::unsupported("the checkpoint has no `text_projection`");
                return unit(&projected.ok_or_else(without)?);
            }
            Tower::Bidirectional { encoder, projection } => (encoder, projection),
        };
        let states = encoder.encode(&TokenBatch::padded(rows, 0, PaddingSide::Right)?)?;
        let pooled = rows.iter().enumerate().map(|(row, ids)| -> Result<Tensor> {
            Ok(states.narrow(0, row, 1)?.narrow(1, ids.len() - 1, 1)?.squeeze(1)?)
        });
        let pooled = Tensor::cat(&pooled.collect::<Result<Vec<_>>>()?, 0)?;
        unit(&projection.forward(&pooled.to_dtype(self.vision.compute())?)?)
    }

    fn similarity(&self, images: &Tensor, texts: &Tensor) -> Result<Tensor> {
        Ok(((images.matmul(&texts.t()?)? * self.scale)? + self.bias)?)
    }
}
