//! Classifiers on top of an encoder of pictures.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::image::PixelValues;
use crate::models::heads::{Labels, finite};
use crate::models::raw_config::RawConfig;
use crate::models::traits::Model;
use crate::models::vision::config::Classified;
use crate::models::vision::encoder::VisionEncoder;
use crate::models::vision::traits::ImageClassifier;
use crate::weights::{Bias, Inventory, Linear, Weights};

/// An encoder of pictures and a classifier.
#[derive(Debug)]
pub(crate) struct PictureClassifier {
    body: VisionEncoder,
    labels: Labels,
    out: Linear,
    /// Of the second token.
    second: Option<Linear>,
}

impl PictureClassifier {
    /// Reads `head.out`, and `head.second` where there is one.
    pub(super) fn load(body: VisionEncoder, raw: &RawConfig, weights: &Weights) -> Result<Self> {
        let head = weights.scope("head");
        if !head.contains("out") {
            let made_for = raw.texts("architectures")?.unwrap_or_default().join(", ");
            return Err(Error::unsupported(format!(
                "{}: the checkpoint is a {made_for:?} and has no image-classification head; choose one that was \
                 trained for it",
                raw.origin().display()
            )));
        }
        let labels = Labels::read(raw)?;
        let (count, hidden) = (labels.names.len(), body.config().hidden_size);
        let classified = body.config().classified;
        let inputs = match classified {
            Classified::FirstAndMean => 2 * hidden,
            Classified::First | Classified::FirstAndSecond | Classified::Mean => hidden,
        };
        let out = head.output_head("out", inputs, count, Bias::Present)?;
        let second = match classified {
            Classified::FirstAndSecond => {
                Some(head.output_head("second", hidden, count, Bias::Present)?)
            }
            _ => None,
        };
        let body = body.with_inventory(weights.inventory());
        Ok(Self { body, labels, out, second })
    }

    /// Logits `(1, labels)` of the hidden states of a picture.
    fn logits(&self, states: &Tensor) -> Result<Tensor> {
        let config = self.body.config();
        let leading = config.leading.count();
        let token = |at: usize| states.narrow(0, at, 1);
        let mean = || -> Result<Tensor> {
            let patches = states.narrow(0, leading, states.dim(0)? - leading)?;
            Ok(patches.to_dtype(DType::F32)?.mean_keepdim(0)?.to_dtype(states.dtype())?)
        };
        let logits = match (config.classified, &self.second) {
            (Classified::FirstAndSecond, Some(second)) => {
                let sum = (self.out.forward(&token(0)?)? + second.forward(&token(1)?)?)?;
                (sum / 2.0)?
            }
            (Classified::First | Classified::FirstAndSecond, _) => self.out.forward(&token(0)?)?,
            (Classified::FirstAndMean, _) => {
                self.out.forward(&Tensor::cat(&[token(0)?, mean()?], 1)?)?
            }
            (Classified::Mean, _) => self.out.forward(&mean()?)?,
        };
        Ok(logits.to_dtype(DType::F32)?)
    }
}

impl Model for PictureClassifier {
    fn device(&self) -> &Device {
        self.body.device()
    }

    fn inventory(&self) -> &Inventory {
        self.body.inventory()
    }
}

impl ImageClassifier for PictureClassifier {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn classify(&self, pictures: &[&PixelValues]) -> Result<Tensor> {
        let rows = self.body.each(pictures, |states| self.logits(states))?;
        finite(Tensor::cat(&rows, 0)?)
    }
}
