//! Encoder-decoders with another head than that of words: the decoder reads the text, too, and the head looks at
//! its hidden states. `BartForSequenceClassification` and `BartForQuestionAnswering` of transformers and their kin.

use candle_core::{DType, Tensor};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::models::decoder::Purpose;
use crate::models::heads::{Labels, QuestionAnswerer, SequenceClassifier, finite};
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::EncoderDecoder;
use crate::models::seq2seq::family::{Family, FirstToken};
use crate::models::traits::{HeadOnBody, TextModel};
use crate::nn::packed::{Packed, select};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::{Bias, Linear, Weights};

/// An encoder-decoder that classifies, by the vector of the last token that ends a text.
#[derive(Debug)]
pub(crate) struct Seq2SeqClassifier {
    reader: Reader,
    end_id: u32,
    dense: Linear,
    out: Linear,
    labels: Labels,
}

/// An encoder-decoder that says for each token whether an answer begins or ends there.
#[derive(Debug)]
pub(crate) struct Seq2SeqSpans {
    reader: Reader,
    out: Linear,
}

/// An encoder-decoder whose halves read the same text.
#[derive(Debug)]
struct Reader {
    body: EncoderDecoder,
    first: FirstToken,
}

impl Seq2SeqClassifier {
    /// Reads a model of a known family from an opened source.
    pub(crate) fn load(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self> {
        let (body, weights) = Reader::body(family, raw, files, options)?;
        let head = weights.scope("sequence");
        if !head.contains("out") {
            return Err(headless(raw, "sequence-classification"));
        }
        let (labels, hidden) = (Labels::read(raw)?, body.hidden_size());
        let end_id = family.id(raw, "eos_token_id")?.ok_or_else(|| raw.missing("eos_token_id"))?;
        let dense = head.linear("dense", hidden, hidden, Bias::Present)?;
        let out = head.output_head("out", hidden, labels.names.len(), Bias::Present)?;
        Ok(Self { reader: Reader::new(family, body, &weights), end_id, dense, out, labels })
    }
}

impl Seq2SeqSpans {
    /// Reads a model of a known family from an opened source.
    pub(crate) fn load(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self> {
        let (body, weights) = Reader::body(family, raw, files, options)?;
        let head = weights.scope("spans");
        if !head.contains("out") {
            return Err(headless(raw, "question-answering"));
        }
        let out = head.output_head("out", body.hidden_size(), 2, Bias::Present)?;
        Ok(Self { reader: Reader::new(family, body, &weights), out })
    }
}

impl Reader {
    fn body(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<(EncoderDecoder, Weights)> {
        EncoderDecoder::load(family, raw, files, options, Purpose::HiddenStates)
    }

    /// Once the head is read, which then is among the parts of the model.
    fn new(family: &Family, body: EncoderDecoder, weights: &Weights) -> Self {
        let body = EncoderDecoder { inventory: weights.inventory(), ..body };
        Self { body, first: family.first_token }
    }

    /// The decoder's hidden states of these texts, `(packed tokens, hidden)`.
    fn states(&self, batch: &TokenBatch, texts: &Packed) -> Result<Tensor> {
        let read = texts.row_ids().into_iter().map(|text| self.shifted(text));
        let read = TokenBatch::padded(&read.collect::<Result<Vec<_>>>()?, 0, PaddingSide::Right)?;
        self.body.states(batch, &read)
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

impl HeadOnBody for Seq2SeqClassifier {
    fn body(&self) -> &dyn TextModel {
        &self.reader.body
    }
}

impl HeadOnBody for Seq2SeqSpans {
    fn body(&self) -> &dyn TextModel {
        &self.reader.body
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
        let hidden = select(&self.reader.states(batch, &texts)?, &ends)?;
        let pooled = self.dense.forward(&hidden)?.tanh()?;
        finite(self.out.forward(&pooled)?.to_dtype(DType::F32)?)
    }
}

impl QuestionAnswerer for Seq2SeqSpans {
    fn spans(&self, batch: &TokenBatch) -> Result<(Tensor, Tensor)> {
        let texts = Packed::new(batch);
        let logits = self.out.forward(&self.reader.states(batch, &texts)?)?;
        let logits = finite(texts.unpack(&logits)?)?;
        let side = |side: usize| logits.narrow(2, side, 1)?.squeeze(2)?.contiguous();
        Ok((side(0)?, side(1)?))
    }
}

fn headless(raw: &RawConfig, head: &str) -> Error {
    Error::unsupported(format!(
        "{}: the checkpoint has no {head} head; choose one that was trained for it",
        raw.origin().display()
    ))
}
