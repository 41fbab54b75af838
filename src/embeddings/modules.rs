//! What comes after the encoder: the modules that make one vector of a text's tokens, and others of
//! that.

use candle_core::{DType, Tensor};
use serde_json::{Map, Value};

use crate::batch::TokenBatch;
use crate::embeddings::layout::Module;
use crate::embeddings::pooling::Pooling;
use crate::embeddings::steps::Step;
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// The modules after the encoder, in order.
#[derive(Debug)]
pub(crate) struct Modules {
    /// Several are concatenated; none where vectors of texts come in.
    pooling: Vec<Pooling>,
    steps: Vec<Step>,
    /// Of the vectors that come out.
    pub(crate) dimension: usize,
    /// Whether the tokens of a prompt are pooled too.
    pub(crate) includes_prompt: bool,
    /// What the last one makes, where it is not a vector of the text: `scores`.
    pub(crate) output: Option<String>,
}

impl Modules {
    /// Nothing but a pooling of vectors of `dimension` numbers.
    pub(crate) fn pooled(pooling: Pooling, dimension: usize) -> Self {
        Self { pooling: vec![pooling], dimension, ..Self::after(dimension) }
    }

    fn after(dimension: usize) -> Self {
        Self {
            pooling: Vec::new(),
            steps: Vec::new(),
            dimension,
            includes_prompt: true,
            output: None,
        }
    }

    /// The entries of `modules.json` behind one that gives vectors of so many numbers: one per token,
    /// if `tokens`, else one per text.
    pub(crate) fn read(
        files: &ModelFiles,
        entries: &[Module],
        dimension: usize,
        tokens: bool,
        options: &LoadOptions,
    ) -> Result<Self> {
        let mut modules = Self::after(dimension);
        let refuse = |module: &Module, why: &str| {
            let (origin, kind, path) = (files.origin(), &module.kind, &module.path);
            Err(Error::unsupported(format!("{origin}: the module {kind} in {path:?} {why}")))
        };
        for module in entries {
            let is_pooled = !tokens || !modules.pooling.is_empty();
            if let Some(output) = &modules.output {
                return refuse(module, &format!("comes after the one that makes {output:?}"));
            }
            match module.kind.as_str() {
                "Pooling" if is_pooled => {
                    return refuse(module, "has no vectors of tokens to pool");
                }
                "Pooling" => modules.read_pooling(files, module)?,
                // Without vectors of texts it does nothing.
                "Normalize" if !is_pooled => {}
                _ if !is_pooled => return refuse(module, "comes before a Pooling"),
                "Dropout" => {}
                "Normalize" => modules.steps.push(Step::Normalize),
                "Dense" | "LayerNorm" => {
                    let (step, output) = Step::read(files, module, modules.dimension, options)?;
                    modules.dimension = step.length(modules.dimension);
                    modules.steps.push(step);
                    modules.output = output;
                }
                _ => return refuse(module, "stands where vectors are at work"),
            }
        }
        if tokens && modules.pooling.is_empty() {
            let origin = files.origin();
            return Err(Error::unsupported(format!(
                "{origin}: modules.json has no Pooling, so there is a vector for each token and none \
                 for a text"
            )));
        }
        Ok(modules)
    }

    /// One vector for each row of the batch, whose first `skipped` tokens are not looked at;
    /// `hidden` is `(batch, tokens, hidden)`.
    pub(crate) fn run(
        &self,
        hidden: &Tensor,
        batch: &TokenBatch,
        skipped: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let (_, tokens, size) = hidden.dims3()?;
        let values = hidden.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let rows = values.chunks(tokens * size).zip(batch.attention_mask().chunks(tokens));
        let pooled = rows.map(|(row, mask)| {
            let kept = row.chunks(size).zip(mask).filter(|(_, mask)| **mask == 1);
            let kept: Vec<_> = kept.map(|(token, _)| token).collect();
            self.pooling.iter().flat_map(|pooling| pooling.pool(&kept, skipped)).collect()
        });
        self.finish(pooled.collect())
    }

    /// What the modules after the pooling make of vectors.
    pub(crate) fn finish(&self, mut vectors: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>> {
        for step in &self.steps {
            vectors = step.apply(vectors)?;
        }
        Ok(vectors)
    }

    fn read_pooling(&mut self, files: &ModelFiles, module: &Module) -> Result<()> {
        let fields: Map<String, Value> = module.config(files)?;
        let flagged = || {
            let on = |flag: &str| fields.get(flag).and_then(Value::as_bool) == Some(true);
            POOLING_FLAGS
                .iter()
                .filter(|(flag, _)| on(flag))
                .map(|(_, mode)| mode.name().into())
                .collect()
        };
        let modes: Vec<Value> = match fields.get("pooling_mode") {
            None | Some(Value::Null) => flagged(),
            Some(Value::Array(modes)) => modes.clone(),
            Some(mode) => vec![mode.clone()],
        };
        let known = |mode: &Value| {
            let found = mode.as_str().and_then(|mode| mode.parse().ok());
            found.ok_or_else(|| {
                let known = Pooling::NAMES.join(", ");
                let reason = format!("the pooling mode {mode}; there are {known}");
                Error::unsupported(format!("{}: {}: {reason}", files.origin(), module.path))
            })
        };
        self.pooling = modes.iter().map(known).collect::<Result<_>>()?;
        if self.pooling.is_empty() {
            self.pooling.push(Pooling::Mean);
        }
        self.dimension *= self.pooling.len();
        self.includes_prompt =
            fields.get("include_prompt").and_then(Value::as_bool).unwrap_or(true);
        Ok(())
    }
}

/// In the order in which sentence-transformers concatenates them.
const POOLING_FLAGS: &[(&str, Pooling)] = &[
    ("pooling_mode_cls_token", Pooling::Cls),
    ("pooling_mode_max_tokens", Pooling::Max),
    ("pooling_mode_mean_tokens", Pooling::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLength),
    ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
    ("pooling_mode_lasttoken", Pooling::Last),
];
