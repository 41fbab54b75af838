//! Encoder-decoders that classify: the decoder reads the text, too, and the vector of its last end-of-text
//! token goes through a head. `BartForSequenceClassification` of transformers and its kin.

use candle_core::{DType, Device, Tensor};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::models::decoder::Purpose;
use crate::models::heads::{Labels, SequenceClassifier, finite};
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::EncoderDecoder;
use crate::models::seq2seq::family::{Family, FirstToken};
use crate::models::traits::{Model, ModelLimits, TextModel};
use crate::nn::packed::{Packed, select};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::{Bias, Inventory, Linear};

/// An encoder-decoder with a sequence-classification head.
#[derive(Debug)]
pub(crate) struct Seq2SeqClassifier {
    body: EncoderDecoder,
    first: FirstToken,
    end_id: u32,
    dense: Linear,
    out: Linear,
    labels: Labels,
    inventory: Inventory,
}

impl Seq2SeqClassifier {
    /// Reads a model of a known family from an opened source.
    pub(crate) fn load(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self> {
        let purpose = Purpose::HiddenStates;
        let (body, weights) = EncoderDecoder::load(family, raw, files, options, purpose)?;
        let head = weights.scope("sequence");
        if !head.contains("out") {
            return Err(Error::unsupported(format!(
                "{}: the checkpoint has no sequence-classification head; choose one that was trained to \
                 classify",
                raw.origin().display()
            )));
        }
        let (labels, hidden) = (Labels::read(raw)?, body.hidden_size());
        Ok(Self {
            first: family.first_token,
            end_id: family.id(raw, "eos_token_id")?.ok_or_else(|| raw.missing("eos_token_id"))?,
            dense: head.linear("dense", hidden, hidden, Bias::Present)?,
            out: head.output_head("out", hidden, labels.names.len(), Bias::Present)?,
            labels,
            inventory: weights.inventory(),
            body,
        })
    }

    /// What the decoder reads of a text: its tokens one place later, and one before them.
    fn shifted(&self, text: &[u32]) -> Result<Vec<u32>> {
        let (last, before) =
            text.split_last().ok_or_else(|| Error::input("a text without tokens"))?;
        let first = match self.first {
            FirstToken::LastOfText => *last,
            FirstToken::OfConfig => self
                .body
                .start_id
                .ok_or_else(|| Error::unsupported("the config has no `decoder_start_token_id`"))?,
        };
        Ok([&[first], before].concat())
    }
}

impl Model for Seq2SeqClassifier {
    fn device(&self) -> &Device {
        self.body.device()
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl TextModel for Seq2SeqClassifier {
    fn limits(&self) -> ModelLimits {
        self.body.limits()
    }
}

impl SequenceClassifier for Seq2SeqClassifier {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn classify(&self, batch: &TokenBatch) -> Result<Tensor> {
        let texts = Packed::new(batch);
        let (mut ends, mut first) = (Vec::new(), 0);
        for (row, text) in texts.row_ids().into_iter().enumerate() {
            let end = text.iter().rposition(|&id| id == self.end_id).ok_or_else(|| {
                let end = self.end_id;
                Error::input(format!("row {row} has no token {end}, which ends a text"))
            })?;
            ends.push((first + end) as u32);
            first += text.len();
        }
        let read = texts.row_ids().into_iter().map(|text| self.shifted(text));
        let read = TokenBatch::padded(&read.collect::<Result<Vec<_>>>()?, 0, PaddingSide::Right)?;
        let hidden = select(&self.body.states(batch, &read)?, &ends)?;
        let pooled = self.dense.forward(&hidden)?.tanh()?;
        finite(self.out.forward(&pooled)?.to_dtype(DType::F32)?)
    }
}
