//! What is put on top of an encoder of speech.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops;

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::models::heads::{Labels, finite};
use crate::models::raw_config::RawConfig;
use crate::models::speech::ctc::{OpenedWeights, SpeechEncoder};
use crate::models::speech::traits::{AudioClassifier, Ctc};
use crate::models::traits::Model;
use crate::weights::{Bias, Inventory, Linear};

/// An encoder of speech and a head.
#[derive(Debug)]
pub(crate) struct Headed<H> {
    body: SpeechEncoder,
    head: H,
    inventory: Inventory,
}

/// A letter, or none, for every frame.
#[derive(Debug)]
pub(crate) struct CtcHead {
    out: Linear,
}

/// Labels for a whole recording: of the mean of all frames.
#[derive(Debug)]
pub(crate) struct ClassifierHead {
    labels: Labels,
    /// Of the inputs of all layers and the result, which add up to 1.
    layers: Option<Vec<f64>>,
    projector: Linear,
    out: Linear,
}

/// A head that is read beside its encoder.
pub(crate) trait Head: Sized {
    /// What the head is called.
    const NAME: &'static str;

    /// Our name for a tensor that only checkpoints with this head have.
    const MARK: &'static str;

    fn load(body: &SpeechEncoder, raw: &RawConfig, weights: &OpenedWeights) -> Result<Self>;
}

impl<H> Headed<H> {
    pub(super) fn body(&self) -> &SpeechEncoder {
        &self.body
    }

    pub(super) fn head(&self) -> &H {
        &self.head
    }
}

impl<H: Head> Headed<H> {
    pub(crate) fn load(
        body: SpeechEncoder,
        raw: &RawConfig,
        weights: &OpenedWeights,
    ) -> Result<Self> {
        if !weights.language.contains(H::MARK) {
            let made_for = raw.texts("architectures")?.unwrap_or_default().join(", ");
            return Err(Error::unsupported(format!(
                "{}: the checkpoint is a {made_for:?} and has no {} head; choose one that was trained \
                 for it",
                raw.origin().display(),
                H::NAME
            )));
        }
        let head = H::load(&body, raw, weights)?;
        Ok(Self { body, head, inventory: weights.model.inventory() })
    }
}

impl Head for CtcHead {
    const NAME: &'static str = "CTC";
    const MARK: &'static str = "ctc.out";

    fn load(body: &SpeechEncoder, raw: &RawConfig, weights: &OpenedWeights) -> Result<Self> {
        let weights = &weights.language;
        // Each language may have letters of its own.
        let stored = weights.shape("ctc.out.weight").and_then(|shape| shape.first().copied());
        let vocab = match (stored, raw.optional_size("vocab_size")?) {
            (Some(stored), _) => stored,
            (None, Some(size)) => size,
            (None, None) => return Err(raw.missing("vocab_size")),
        };
        let size = body.config.out_size();
        Ok(Self { out: weights.output_head("ctc.out", size, vocab, Bias::Present)? })
    }
}

impl Head for ClassifierHead {
    const NAME: &'static str = "audio-classification";
    const MARK: &'static str = "sequence.out";

    fn load(body: &SpeechEncoder, raw: &RawConfig, weights: &OpenedWeights) -> Result<Self> {
        let weights = weights.model.scope("sequence");
        let config = &body.config;
        if config.adapter.is_some() {
            return Err(raw.refuse("add_adapter", "a classifier reads the frames of the layers"));
        }
        let labels = Labels::read(raw)?;
        let layers = match config.weighted_layers {
            true => {
                let shares = weights.tensor("layers", &[config.layers.len() + 1])?;
                let shares = ops::softmax(&shares.to_dtype(DType::F32)?, D::Minus1)?;
                Some(shares.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
            }
            false => None,
        };
        let (hidden, size) = (config.hidden_size, config.classifier_size);
        Ok(Self {
            layers,
            projector: weights.linear("projector", hidden, size, Bias::Present)?,
            out: weights.output_head("out", size, labels.names.len(), Bias::Present)?,
            labels,
        })
    }
}

impl<H: std::fmt::Debug + Send + Sync> Model for Headed<H> {
    fn device(&self) -> &Device {
        &self.body.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl Ctc for Headed<CtcHead> {
    fn hidden_states(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>> {
        self.body.each(rows, None, |x| finite(x.to_dtype(DType::F32)?))
    }

    fn logits(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>> {
        let logits = |x: &Tensor| finite(self.head.out.forward(x)?.to_dtype(DType::F32)?);
        self.body.each(rows, None, logits)
    }

    fn vocab(&self) -> usize {
        self.head.out.out_features()
    }

    fn inputs_to_logits_ratio(&self) -> usize {
        self.body.config.inputs_to_logits_ratio
    }
}

impl AudioClassifier for Headed<ClassifierHead> {
    fn labels(&self) -> &Labels {
        &self.head.labels
    }

    fn classify(&self, rows: &[&AudioFeatures]) -> Result<Tensor> {
        let ClassifierHead { layers, projector, out, .. } = &self.head;
        let rows = self.body.each(rows, layers.as_deref(), |x| {
            let mean = projector.forward(x)?.to_dtype(DType::F32)?.mean_keepdim(0)?;
            Ok(out.forward(&mean.to_dtype(x.dtype())?)?.to_dtype(DType::F32)?)
        })?;
        finite(Tensor::cat(&rows, 0)?)
    }
}
