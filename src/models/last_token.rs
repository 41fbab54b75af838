//! Decoders that classify by their last token: by a projection of its hidden state to labels
//! (`LlamaForSequence…` and similar classes, `GenericForSequenceClassification` of transformers),
//! or by the logits of two next tokens (`LogitScore` of sentence-transformers).

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::decoder::Decoder;
use crate::models::heads::{Encoder, Labels, SequenceClassifier, finite};
use crate::models::raw_config::RawConfig;
use crate::models::traits::{CausalLm, HeadOnBody, LogitsAt, Model, ModelLimits, TextModel};
use crate::weights::{Bias, Inventory, Linear, Weights};

/// A decoder with a sequence-classification head.
#[derive(Debug)]
pub(super) struct LastTokenClassifier {
    body: Decoder,
    score: Linear,
    labels: Labels,
    /// Never the last token, as the reference has it.
    padding_id: Option<f64>,
    inventory: Inventory,
}

/// A language model whose one logit is that of the next token `wanted`, minus that of the next
/// token `unwanted`.
#[derive(Debug)]
pub(super) struct NextTokenScorer {
    body: Arc<dyn CausalLm>,
    wanted: usize,
    unwanted: Option<usize>,
    labels: Labels,
}

impl LastTokenClassifier {
    pub(super) fn load(body: Decoder, raw: &RawConfig, weights: &Weights) -> Result<Self> {
        if !weights.contains("score") {
            return Err(Error::unsupported(format!(
                "{}: the checkpoint has no sequence-classification head (no tensor \
                 `score.weight`, in GGUF files `cls.output.weight`): it is a language model; choose one \
                 that was trained to classify",
                raw.origin().display()
            )));
        }
        let labels = Labels::read(raw)?;
        let (hidden, count) = (body.hidden_size(), labels.names.len());
        let score = weights.output_head("score", hidden, count, Bias::IfStored)?;
        let padding_id = raw.optional_number("pad_token_id")?;
        Ok(Self { body, score, labels, padding_id, inventory: weights.inventory() })
    }

    /// The last token of each row, among the tokens of the batch; the first where all are padding
    /// by their id.
    fn last_tokens(&self, batch: &TokenBatch) -> Vec<u32> {
        let padding = |id: u32| self.padding_id == Some(f64::from(id));
        let rows = batch.ids().chunks(batch.tokens());
        let rows = rows.zip(batch.attention_mask().chunks(batch.tokens())).enumerate();
        rows.map(|(row, (ids, mask))| {
            let mut last = None;
            for (place, (&id, &mask)) in ids.iter().zip(mask).enumerate() {
                if mask == 1 && (last.is_none() || !padding(id)) {
                    last = Some(place);
                }
            }
            (row * batch.tokens() + last.unwrap_or(0)) as u32
        })
        .collect()
    }
}

impl Model for LastTokenClassifier {
    fn device(&self) -> &Device {
        self.body.device()
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl TextModel for LastTokenClassifier {
    fn limits(&self) -> ModelLimits {
        self.body.limits()
    }
}

impl SequenceClassifier for LastTokenClassifier {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn classify(&self, batch: &TokenBatch) -> Result<Tensor> {
        let hidden = self.body.encode(batch)?.flatten_to(1)?;
        let last = Tensor::new(self.last_tokens(batch), self.device())?;
        finite(self.score.forward(&hidden.index_select(&last, 0)?)?.to_dtype(DType::F32)?)
    }
}

impl NextTokenScorer {
    pub(super) fn new(body: Arc<dyn CausalLm>, wanted: u32, unwanted: Option<u32>) -> Result<Self> {
        let vocab = body.limits().vocab;
        if let Some(id) =
            [Some(wanted), unwanted].into_iter().flatten().find(|&id| id as usize >= vocab)
        {
            return Err(Error::input(format!("token id {id} in a vocabulary of {vocab}")));
        }
        let labels = Labels::unnamed(1);
        let (wanted, unwanted) = (wanted as usize, unwanted.map(|id| id as usize));
        Ok(Self { body, wanted, unwanted, labels })
    }
}

impl HeadOnBody for NextTokenScorer {
    fn body(&self) -> &dyn TextModel {
        &*self.body
    }
}

impl SequenceClassifier for NextTokenScorer {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn classify(&self, batch: &TokenBatch) -> Result<Tensor> {
        let logits = self.body.forward(batch, &mut self.body.new_cache(), LogitsAt::LastToken)?;
        let wanted = logits.narrow(1, self.wanted, 1)?;
        finite(match self.unwanted {
            Some(unwanted) => (wanted - logits.narrow(1, unwanted, 1)?)?,
            None => wanted,
        })
    }
}
