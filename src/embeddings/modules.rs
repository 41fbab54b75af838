//! What comes after the encoder: the modules that make one vector of a text's tokens, and others of
//! that.

use candle_core::{DType, Tensor};
use serde_json::{Map, Value};

use crate::batch::TokenBatch;
use crate::embeddings::layout::Module;
use crate::embeddings::pooling::Pooling;
use crate::embeddings::steps::Step;
use crate::embeddings::token_steps::{TokenRow, TokenStep};
use crate::error::{Error, Result};
use crate::models::heads::Encoder;
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// The modules after the encoder, in order.
#[derive(Debug)]
pub(crate) struct Modules {
    /// Several are concatenated; none where vectors of texts come in.
    pooling: Vec<Pooling>,
    /// Before the pooling.
    token_steps: Vec<TokenStep>,
    /// After it.
    steps: Vec<Step>,
    /// Whether the encoder gives what its layers made (`output_hidden_states`).
    pub(crate) gives_layers: bool,
    /// Numbers of a vector when it comes out of the pooling.
    pooled: usize,
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
            token_steps: Vec::new(),
            steps: Vec::new(),
            gives_layers: false,
            pooled: dimension,
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
                "CNN" | "Dense" | "LSTM" | "WeightedLayerPooling" | "WordWeights" if !is_pooled => {
                    let step = TokenStep::read(files, module, modules.dimension, options)?;
                    modules.dimension = step.length(modules.dimension);
                    modules.token_steps.push(step);
                }
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

    /// One vector for each row of the batch, whose first `skipped` tokens are not pooled.
    pub(crate) fn run(
        &self,
        encoder: &dyn Encoder,
        batch: &TokenBatch,
        skipped: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let is_of_layers = |step: &TokenStep| matches!(step, TokenStep::Layers { .. });
        if !(self.gives_layers && self.token_steps.iter().any(is_of_layers)) {
            return self.run_on(&encoder.encode(batch)?, &[], batch, skipped);
        }
        let layers = encoder.encode_layers(batch)?;
        let last = layers.last().ok_or_else(|| Error::input("a model without layers"))?;
        self.run_on(last, &layers, batch, skipped)
    }

    /// `hidden` is `(batch, tokens, hidden)`, and so is each of `layers`, where these are wanted.
    fn run_on(
        &self,
        hidden: &Tensor,
        layers: &[Tensor],
        batch: &TokenBatch,
        skipped: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let (rows, tokens, size) = hidden.dims3()?;
        let numbers = |x: &Tensor| -> Result<Vec<f32>> {
            Ok(x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)
        };
        let values = numbers(hidden)?;
        let layers = layers.iter().map(numbers).collect::<Result<Vec<_>>>()?;
        let pooled = (0..rows).map(|row| {
            let mask = &batch.attention_mask()[row * tokens..][..tokens];
            let kept = |values: &'_ [f32]| -> Vec<f32> {
                let of_row = values[row * tokens * size..][..tokens * size].chunks(size);
                of_row
                    .zip(mask)
                    .filter(|(_, mask)| **mask == 1)
                    .flat_map(|(token, _)| token)
                    .copied()
                    .collect()
            };
            let ids = batch.ids()[row * tokens..][..tokens].iter().zip(mask);
            self.pool(
                TokenRow {
                    ids: ids.filter(|(_, mask)| **mask == 1).map(|(&id, _)| id).collect(),
                    vectors: kept(&values),
                    size,
                    layers: layers.iter().map(|layer| kept(layer)).collect(),
                    weight: None,
                },
                skipped,
            )
        });
        self.finish(pooled.collect::<Result<_>>()?)
    }

    /// The vector of a text of at least one token.
    pub(super) fn pool(&self, mut row: TokenRow, skipped: usize) -> Result<Vec<f32>> {
        self.token_steps.iter().try_for_each(|step| step.apply(&mut row))?;
        let tokens: Vec<_> = row.vectors.chunks(row.size.max(1)).collect();
        let pooled =
            self.pooling.iter().map(|pooling| pooling.weighted(&tokens, skipped, row.weight));
        Ok(pooled.flatten().collect())
    }

    /// The vector of a text without tokens: zeros, as means and sums of nothing are.
    pub(crate) fn empty(&self) -> Result<Vec<Vec<f32>>> {
        if let Some(pooling) =
            self.pooling.iter().find(|pooling| matches!(pooling, Pooling::Cls | Pooling::Max))
        {
            let name = pooling.name();
            let reason = "the text has no word that the model knows, and nothing to pool by";
            return Err(Error::input(format!("{reason} {name:?}")));
        }
        self.finish(vec![vec![0.0; self.pooled]])
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
        self.pooled = self.dimension;
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
