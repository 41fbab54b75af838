//! One configurable encoder of pictures.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::image::PixelValues;
use crate::kernels::pool;
use crate::models::heads::finite;
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::models::vision::config::VisionConfig;
use crate::models::vision::embeddings::Embeddings;
use crate::models::vision::pooling::Pooler;
use crate::models::vision::traits::ImageEncoder;
use crate::nn::attention::Attention;
use crate::nn::layer::Layer;
use crate::nn::norm::{Norm, normed};
use crate::nn::packed::Tokens;
use crate::nn::span::AttentionSpan;
use crate::nn::{Shared, Step};
use crate::weights::{Inventory, Weights};

/// An encoder of pictures, built from its [`VisionConfig`].
#[derive(Debug)]
pub struct VisionEncoder {
    config: VisionConfig,
    device: Device,
    /// Of activations.
    compute: DType,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
    pooler: Option<Pooler>,
    inventory: Inventory,
    threads: Threads,
}

/// Tokens that go through all layers together, for each thread.
const TOKENS: usize = 512;

impl VisionEncoder {
    /// Reads `embed`, `layers.*`, `final_norm` and `pooler` from a scope of weights.
    pub(super) fn load(config: VisionConfig, weights: &Weights, threads: Threads) -> Result<Self> {
        let hidden = config.hidden_size;
        let scope = weights.scope("layers");
        let layer = |(number, layer)| Layer::load(&scope.scope(number), hidden, layer);
        Ok(Self {
            embeddings: Embeddings::load(&weights.scope("embed"), &config)?,
            layers: config.layers.iter().enumerate().map(layer).collect::<Result<_>>()?,
            final_norm: match config.final_norm {
                Some(norm) => Some(Norm::load(weights, "final_norm", hidden, norm)?),
                None => None,
            },
            pooler: Pooler::load(&weights.scope("pooler"), hidden, &config.pooling)?,
            device: weights.device().clone(),
            compute: weights.dtype(),
            inventory: weights.inventory(),
            threads,
            config,
        })
    }

    /// The parts of the encoder.
    #[must_use]
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// The dtype of activations.
    pub(super) fn compute(&self) -> DType {
        self.compute
    }

    /// With what has been read of the checkpoint since.
    pub(super) fn with_inventory(self, inventory: Inventory) -> Self {
        Self { inventory, ..self }
    }

    /// Calls `work` with the hidden states of each picture, `(tokens, hidden)`, on the threads of the model.
    pub(super) fn each<T: Send>(
        &self,
        pictures: &[&PixelValues],
        work: impl Fn(&Tensor) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        if pictures.is_empty() {
            return Err(Error::input("no pictures to look at"));
        }
        self.threads.run_on(&self.device, move || {
            let most = if self.device.is_cpu() { TOKENS * pool::threads() } else { usize::MAX };
            let mut results = Vec::with_capacity(pictures.len());
            let mut waiting: Vec<Tensor> = Vec::new();
            let mut tokens = 0;
            for picture in pictures {
                let embedded =
                    self.embeddings.forward(picture, &self.config, self.compute, &self.device)?;
                let count = embedded.dim(0)?;
                if !waiting.is_empty() && tokens + count > most {
                    for states in self.together(&std::mem::take(&mut waiting))? {
                        results.push(work(&states)?);
                    }
                    tokens = 0;
                }
                tokens += count;
                waiting.push(embedded);
            }
            for states in self.together(&waiting)? {
                results.push(work(&states)?);
            }
            Ok(results)
        })
    }

    /// Some pictures through all layers.
    fn together(&self, rows: &[Tensor]) -> Result<Vec<Tensor>> {
        let lengths = rows.iter().map(|row| row.dim(0)).collect::<candle_core::Result<Vec<_>>>()?;
        let tokens = Tokens::of_lengths(lengths);
        let spans = [AttentionSpan::Bidirectional { window: None }];
        let shared = Shared { ropes: &[], spans: &spans, alibis: &[], relative: None };
        let step = Step::uncached(&tokens, shared, &self.device)?;
        let mut x = Tensor::cat(rows, 0)?;
        for layer in &self.layers {
            x = layer.forward(
                &x,
                &step,
                |attention: &Attention, x| attention.forward_uncached(x, &step),
                |_, _| Err(Error::input("an encoder has no source")),
            )?;
        }
        let x = normed(self.final_norm.as_ref(), x)?;
        tokens.rows.iter().map(|row| Ok(x.narrow(0, row.start, row.len())?)).collect()
    }

    /// The vector of a picture, `(1, size)`, of its hidden states.
    pub(super) fn pooled(&self, states: &Tensor) -> Result<Tensor> {
        let pooler = self.pooler.as_ref().ok_or_else(|| {
            Error::unsupported(
                "the checkpoint has no pooler: the vectors of its tokens are all there is",
            )
        })?;
        pooler.forward(states)
    }
}

impl Model for VisionEncoder {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl ImageEncoder for VisionEncoder {
    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    fn encode(&self, pictures: &[&PixelValues]) -> Result<Vec<Tensor>> {
        self.each(pictures, |states| finite(states.to_dtype(DType::F32)?))
    }

    fn pool(&self, pictures: &[&PixelValues]) -> Result<Tensor> {
        if self.pooler.is_none() {
            self.pooled(&Tensor::zeros((1, 1), DType::F32, &self.device)?)?;
        }
        let rows =
            self.each(pictures, |states| Ok(self.pooled(states)?.to_dtype(DType::F32)?))?;
        finite(Tensor::cat(&rows, 0)?)
    }
}
