//! What is put on top of an encoder.

use candle_core::{DType, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::encoder::TextEncoder;
use crate::models::encoder::config::{HeadPooling, HeadsConfig, MaskedOutput, TransformConfig};
use crate::models::heads::{
    Labels, MaskedLm, QuestionAnswerer, SequenceClassifier, TokenClassifier, finite,
};
use crate::models::raw_config::RawConfig;
use crate::models::traits::{HeadOnBody, Model, TextModel};
use crate::nn::function::Function;
use crate::nn::norm::Norm;
use crate::weights::{Bias, Linear, Weights};

/// An encoder and a head.
#[derive(Debug)]
pub(crate) struct Headed<H> {
    body: TextEncoder,
    head: H,
}

/// Pool, transform, project.
#[derive(Debug)]
pub(crate) struct SequenceHead {
    labels: Labels,
    transform: Transform,
    out: Linear,
}

/// Project each token.
#[derive(Debug)]
pub(crate) struct TokenHead {
    labels: Labels,
    transform: Option<Transform>,
    out: Linear,
}

/// As a token head with two labels.
#[derive(Debug)]
pub(crate) struct SpanHead {
    transform: Option<Transform>,
    out: Linear,
}

/// Transform, then project to the vocabulary.
#[derive(Debug)]
pub(crate) struct MaskedHead {
    transform: Transform,
    out: Linear,
    bias: Option<Tensor>,
}

/// A linear layer, an activation and perhaps a norm.
#[derive(Debug)]
struct Transform {
    dense: Linear,
    function: Function,
    norm: Option<Norm>,
}

/// A head that is read beside its encoder.
pub(crate) trait Head: Sized {
    /// What the head is called.
    const NAME: &'static str;

    /// How the names of the classes end that have it.
    const CLASS: &'static str;

    /// Our name for a tensor that only checkpoints with this head have.
    fn mark(config: &HeadsConfig) -> &'static str;

    fn load(body: &TextEncoder, raw: &RawConfig, weights: &Weights) -> Result<Self>;
}

impl<H: Head> Headed<H> {
    pub(crate) fn load(body: TextEncoder, raw: &RawConfig, weights: &Weights) -> Result<Self> {
        // Heads of several kinds have tensors of the same names: the classes that the config names
        // decide.
        let classes = raw.texts("architectures")?.unwrap_or_default();
        let is_own = classes.iter().any(|class| class.ends_with(H::CLASS));
        let other = classes.iter().find_map(|class| {
            TASKS.iter().find(|(end, _)| !is_own && class.ends_with(end)).map(|(_, tasks)| tasks)
        });
        if other.is_some() || !weights.contains(H::mark(&body.config.heads)) {
            let (made_for, name) = (classes.join(", "), H::NAME);
            let fitting = other.map(|tasks| format!(" (this one does {tasks})"));
            return Err(Error::unsupported(format!(
                "{}: the checkpoint is a {made_for:?} and has no {name} head; choose one that was \
                 trained for it{}",
                raw.origin().display(),
                fitting.unwrap_or_default()
            )));
        }
        let head = H::load(&body, raw, weights)?;
        // With the head's own.
        let inventory = weights.inventory();
        Ok(Self { body: TextEncoder { inventory, ..body }, head })
    }
}

impl Head for SequenceHead {
    const NAME: &'static str = "sequence-classification";
    const CLASS: &'static str = "ForSequenceClassification";

    fn mark(_config: &HeadsConfig) -> &'static str {
        "sequence.out"
    }

    fn load(body: &TextEncoder, raw: &RawConfig, weights: &Weights) -> Result<Self> {
        let config = &body.config.heads;
        let labels = Labels::read(raw)?;
        let weights = weights.scope("sequence");
        if !weights.contains("dense") {
            return Err(Error::unsupported(format!(
                "{}: the layer before the classifier's last one is missing; llama.cpp's converter \
                 leaves it out of BERT's GGUF files (not of RoBERTa's and its kin's): use the original \
                 checkpoint",
                raw.origin().display()
            )));
        }
        let (size, hidden) = (config.sequence.size, body.config.hidden_size);
        Ok(Self {
            transform: Transform::load(&weights, hidden, &config.sequence)?,
            out: weights.output_head("out", size, labels.names.len(), Bias::IfStored)?,
            labels,
        })
    }
}

impl Head for TokenHead {
    const NAME: &'static str = "token-classification";
    const CLASS: &'static str = "ForTokenClassification";

    fn mark(_config: &HeadsConfig) -> &'static str {
        "token.out"
    }

    fn load(body: &TextEncoder, raw: &RawConfig, weights: &Weights) -> Result<Self> {
        let labels = Labels::read(raw)?;
        let (transform, out) = each_token(body, &weights.scope("token"), labels.names.len())?;
        Ok(Self { labels, transform, out })
    }
}

impl Head for SpanHead {
    const NAME: &'static str = "question-answering";
    const CLASS: &'static str = "ForQuestionAnswering";

    fn mark(_config: &HeadsConfig) -> &'static str {
        "spans.out"
    }

    fn load(body: &TextEncoder, _raw: &RawConfig, weights: &Weights) -> Result<Self> {
        let (transform, out) = each_token(body, &weights.scope("spans"), 2)?;
        Ok(Self { transform, out })
    }
}

impl Head for MaskedHead {
    const NAME: &'static str = "masked-language-model";
    const CLASS: &'static str = "ForMaskedLM";

    fn mark(config: &HeadsConfig) -> &'static str {
        match config.masked_bias {
            Bias::Present => "masked.bias",
            _ => "masked.dense",
        }
    }

    fn load(body: &TextEncoder, _raw: &RawConfig, weights: &Weights) -> Result<Self> {
        let config = &body.config.heads;
        let weights = weights.scope("masked");
        let (vocab, size) = (body.config.vocab_size, config.masked.size);
        Ok(Self {
            transform: Transform::load(&weights, body.config.hidden_size, &config.masked)?,
            out: match config.masked_output {
                MaskedOutput::Own => weights.output_head("out", size, vocab, Bias::Absent)?,
                MaskedOutput::TiedToEmbedding => body.embeddings.words.as_linear(),
            },
            bias: match config.masked_bias {
                Bias::Absent => None,
                Bias::IfStored if !weights.contains("bias") => None,
                _ => Some(weights.tensor("bias", &[vocab])?),
            },
        })
    }
}

impl<H> HeadOnBody for Headed<H>
where
    Self: std::fmt::Debug + Send + Sync,
{
    fn body(&self) -> &dyn TextModel {
        &self.body
    }
}

impl SequenceClassifier for Headed<SequenceHead> {
    fn labels(&self) -> &Labels {
        &self.head.labels
    }

    fn classify(&self, batch: &TokenBatch) -> Result<Tensor> {
        self.body.threads.run_on(self.device(), || {
            let (packed, hidden) = self.body.hidden(batch)?;
            let pooled = match self.body.config.heads.pooling {
                HeadPooling::First => packed.firsts(&hidden)?,
                HeadPooling::Mean => packed.means(&hidden)?,
            };
            let logits = self.head.out.forward(&self.head.transform.forward(&pooled)?)?;
            finite(logits.to_dtype(DType::F32)?)
        })
    }
}

impl TokenClassifier for Headed<TokenHead> {
    fn labels(&self) -> &Labels {
        &self.head.labels
    }

    fn classify_tokens(&self, batch: &TokenBatch) -> Result<Tensor> {
        let TokenHead { transform, out, .. } = &self.head;
        each_tokens_logits(&self.body, batch, transform.as_ref(), out)
    }
}

impl QuestionAnswerer for Headed<SpanHead> {
    fn spans(&self, batch: &TokenBatch) -> Result<(Tensor, Tensor)> {
        let SpanHead { transform, out } = &self.head;
        let logits = each_tokens_logits(&self.body, batch, transform.as_ref(), out)?;
        let side = |side: usize| logits.narrow(2, side, 1)?.squeeze(2)?.contiguous();
        Ok((side(0)?, side(1)?))
    }
}

impl MaskedLm for Headed<MaskedHead> {
    fn predict(&self, batch: &TokenBatch, places: &[(usize, usize)]) -> Result<Tensor> {
        self.body.threads.run_on(self.device(), || {
            let (packed, hidden) = self.body.hidden(batch)?;
            if places.is_empty() {
                let vocab = self.limits().vocab;
                return Ok(Tensor::zeros((0, vocab), DType::F32, self.device())?);
            }
            let asked = hidden.index_select(&packed.places(places, self.device())?, 0)?;
            let logits = self.head.out.forward(&self.head.transform.forward(&asked)?)?;
            let logits = match &self.head.bias {
                Some(bias) => logits.broadcast_add(bias)?,
                None => logits,
            };
            finite(logits.to_dtype(DType::F32)?)
        })
    }
}

impl Transform {
    /// Reads `dense`, and `norm` where there is one, from the scope.
    fn load(weights: &Weights, hidden: usize, config: &TransformConfig) -> Result<Self> {
        Ok(Self {
            dense: weights.linear("dense", hidden, config.size, config.bias)?,
            function: Function::load(weights, config.activation)?,
            norm: match config.norm {
                Some(norm) => Some(Norm::load(weights, "norm", config.size, norm)?),
                None => None,
            },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.function.forward(&self.dense.forward(x)?)?;
        self.norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.forward(&x))
    }
}

/// The transform of each token, where the family has one, and the projection to so many logits.
fn each_token(
    body: &TextEncoder,
    weights: &Weights,
    logits: usize,
) -> Result<(Option<Transform>, Linear)> {
    let hidden = body.config.hidden_size;
    let (transform, size) = match &body.config.heads.token {
        Some(config) => (Some(Transform::load(weights, hidden, config)?), config.size),
        None => (None, hidden),
    };
    Ok((transform, weights.output_head("out", size, logits, Bias::IfStored)?))
}

/// `(batch, tokens, logits)` in f32.
fn each_tokens_logits(
    body: &TextEncoder,
    batch: &TokenBatch,
    transform: Option<&Transform>,
    out: &Linear,
) -> Result<Tensor> {
    body.threads.run_on(&body.device, || {
        let (packed, hidden) = body.hidden(batch)?;
        let hidden = match transform {
            Some(transform) => transform.forward(&hidden)?,
            None => hidden,
        };
        finite(packed.unpack(&out.forward(&hidden)?)?)
    })
}

/// How the names of classes end, and the tasks that such models do.
const TASKS: [(&str, &str); 4] = [
    ("ForMaskedLM", "fill-mask"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForSequenceClassification", "text-classification, zero-shot-classification or text-ranking"),
    ("ForTokenClassification", "token-classification"),
];
