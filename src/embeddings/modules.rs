//! The modules of a sentence-transformers repository: `modules.json` and the folders it names.

use std::path::Path;

use candle_core::{DType, Tensor};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::batch::TokenBatch;
use crate::embeddings::pooling;
use crate::embeddings::pooling::Pooling;
use crate::embeddings::prompts::Prompts;
use crate::embeddings::search::Similarity;
use crate::error::{Error, Result};
use crate::nn::activation::Activation;
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource, check_named_by, json};
use crate::weights::{Bias, Linear, NameTable, Weights};

/// What comes after the encoder, and the settings around it.
#[derive(Debug)]
pub(super) struct Modules {
    /// Several are concatenated.
    pooling: Vec<Pooling>,
    steps: Vec<Step>,
    pub(super) dimension: usize,
    pub(super) prompts: Prompts,
    /// Whether the tokens of a prompt are pooled too.
    pub(super) includes_prompt: bool,
    pub(super) similarity: Similarity,
    pub(super) truncate_dim: Option<usize>,
    pub(super) max_seq_length: Option<usize>,
    pub(super) lower_case: bool,
}

/// A module after the pooling.
#[derive(Debug)]
pub(super) enum Step {
    Dense(Linear, Option<Activation>),
    Normalize,
}

#[derive(serde::Deserialize)]
struct Entry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(serde::Deserialize, Default)]
struct Settings {
    #[serde(default)]
    prompts: Map<String, Value>,
    default_prompt_name: Option<String>,
    similarity_fn_name: Option<String>,
    truncate_dim: Option<usize>,
}

#[derive(serde::Deserialize, Default)]
struct TransformerSettings {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(serde::Deserialize)]
struct DenseSettings {
    in_features: usize,
    out_features: usize,
    bias: Option<bool>,
    activation_function: Option<String>,
}

impl Modules {
    pub(super) fn read(files: &ModelFiles, hidden: usize, options: &LoadOptions) -> Result<Self> {
        let settings: Settings =
            json::optional(files, "config_sentence_transformers.json")?.unwrap_or_default();
        let transformer: TransformerSettings =
            json::optional(files, "sentence_bert_config.json")?.unwrap_or_default();
        // As in the reference, every model knows these two.
        let mut prompts =
            Map::from_iter(["query", "document"].map(|name| (name.into(), "".into())));
        prompts.extend(settings.prompts);
        let mut modules = Self {
            pooling: vec![gguf_pooling(files)?.unwrap_or(Pooling::Mean)],
            steps: Vec::new(),
            dimension: hidden,
            prompts: Prompts::new(prompts, settings.default_prompt_name),
            includes_prompt: true,
            similarity: match settings.similarity_fn_name {
                Some(name) => name.parse()?,
                None => Similarity::Cosine,
            },
            truncate_dim: settings.truncate_dim,
            max_seq_length: transformer.max_seq_length,
            lower_case: transformer.do_lower_case,
        };
        let entries: Vec<Entry> = json::optional(files, "modules.json")?.unwrap_or_default();
        for entry in entries {
            let origin = files.origin();
            if !entry.path.is_empty() {
                check_named_by(&Path::new(&origin).join("modules.json"), &entry.path)?;
            }
            match entry.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" if entry.path.is_empty() => {}
                "Pooling" => modules.read_pooling(files, &entry.path, hidden)?,
                "Dense" => modules.read_dense(files, &entry.path, options)?,
                "Normalize" => modules.steps.push(Step::Normalize),
                _ => {
                    let (kind, path) = (entry.kind, entry.path);
                    return Err(Error::unsupported(format!(
                        "{origin}: the module {kind:?} in {path:?}; a Transformer in the folder \
                         itself, Pooling, Dense and Normalize are supported"
                    )));
                }
            }
        }
        Ok(modules)
    }

    /// One vector for each row of the batch, whose first `skipped` tokens are not looked at;
    /// `hidden` is `(batch, tokens, hidden)`.
    pub(super) fn run(
        &self,
        hidden: &Tensor,
        batch: &TokenBatch,
        skipped: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let (_, tokens, size) = hidden.dims3()?;
        let device = hidden.device();
        let values = hidden.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let rows = values.chunks(tokens * size).zip(batch.attention_mask().chunks(tokens));
        let mut vectors: Vec<Vec<f32>> = rows
            .map(|(row, mask)| {
                let kept = row.chunks(size).zip(mask).filter(|(_, mask)| **mask == 1);
                let kept: Vec<_> = kept.map(|(token, _)| token).collect();
                self.pooling.iter().flat_map(|pooling| pooling.pool(&kept, skipped)).collect()
            })
            .collect();
        for step in &self.steps {
            match step {
                Step::Normalize => {
                    vectors.iter_mut().for_each(|vector| pooling::normalize(vector));
                }
                Step::Dense(linear, activation) => {
                    let x = linear.forward(&Tensor::new(vectors, device)?)?;
                    let x = match activation {
                        Some(activation) => activation.forward(&x)?,
                        None => x,
                    };
                    vectors = x.to_vec2()?;
                }
            }
        }
        Ok(vectors)
    }

    fn read_pooling(&mut self, files: &ModelFiles, path: &str, hidden: usize) -> Result<()> {
        let name = format!("{path}/config.json");
        let fields: Map<String, Value> = required(files, &name)?;
        let named = match fields.get("pooling_mode") {
            Some(Value::String(mode)) => Some(vec![mode.as_str()]),
            Some(Value::Array(modes)) => Some(modes.iter().filter_map(Value::as_str).collect()),
            _ => None,
        };
        let flagged = || {
            let on = |field: &str| fields.get(field).and_then(Value::as_bool).unwrap_or(false);
            let modes = POOLING_FLAGS.iter().filter(|(flag, _)| on(flag));
            modes.map(|(_, mode)| *mode).collect()
        };
        let modes: Vec<&str> = named.unwrap_or_else(flagged);
        self.pooling = modes.into_iter().map(Pooling::parse).collect::<Result<_>>()?;
        if self.pooling.is_empty() {
            self.pooling.push(Pooling::Mean);
        }
        self.dimension = self.pooling.len() * hidden;
        self.includes_prompt =
            fields.get("include_prompt").and_then(Value::as_bool).unwrap_or(true);
        Ok(())
    }

    fn read_dense(&mut self, files: &ModelFiles, path: &str, options: &LoadOptions) -> Result<()> {
        let name = format!("{path}/config.json");
        let dense: DenseSettings = required(files, &name)?;
        let weights = ["model.safetensors", "pytorch_model.bin"];
        let mut found = None;
        for file in weights {
            if found.is_none() {
                found = files.optional(&format!("{path}/{file}"))?;
            }
        }
        let folder =
            found.as_ref().and_then(|file| file.parent()).ok_or_else(|| Error::MissingFile {
                origin: files.origin(),
                file: format!("{path}/{}", weights.join(" or ")),
                reason: "it holds a dense module's weights".to_owned(),
            })?;
        let weights = Weights::open(
            &ModelSource::directory(folder).open()?,
            NameTable::stored_names(),
            options,
        )?;
        let bias = Bias::from(dense.bias.unwrap_or(true));
        let linear = weights.linear("linear", dense.in_features, dense.out_features, bias)?;
        if dense.in_features != self.dimension {
            let (found, expected) = (dense.in_features, self.dimension);
            return Err(Error::unsupported(format!(
                "{}: {name} takes {found} numbers where the module before it gives {expected}",
                files.origin()
            )));
        }
        let activation = dense.activation_function.as_deref().unwrap_or("Tanh");
        let activation = match activation.rsplit('.').next().unwrap_or_default() {
            "Identity" => None,
            "Tanh" => Some(Activation::Tanh),
            "GELU" => Some(Activation::Gelu),
            "ReLU" => Some(Activation::Relu),
            "SiLU" => Some(Activation::Silu),
            _ => {
                let origin = files.origin();
                return Err(Error::unsupported(format!("{origin}: {name}: {activation:?}")));
            }
        };
        self.dimension = dense.out_features;
        self.steps.push(Step::Dense(linear, activation));
        Ok(())
    }
}

/// What a GGUF file says, `<architecture>.pooling_type`: `enum llama_pooling_type` of llama.cpp.
fn gguf_pooling(files: &ModelFiles) -> Result<Option<Pooling>> {
    let Some(file) = files.gguf() else { return Ok(None) };
    let architecture = file.string("general.architecture")?.unwrap_or_default();
    match file.integer(&format!("{architecture}.pooling_type"))? {
        None | Some(0) => Ok(None),
        Some(1) => Ok(Some(Pooling::Mean)),
        Some(2) => Ok(Some(Pooling::First)),
        Some(3) => Ok(Some(Pooling::Last)),
        Some(other) => {
            let origin = files.origin();
            let reason = "it gives no embeddings; use it for text-ranking";
            Err(Error::unsupported(format!("{origin} has the pooling type {other}: {reason}")))
        }
    }
}

/// In the order in which sentence-transformers concatenates them.
const POOLING_FLAGS: &[(&str, &str)] = &[
    ("pooling_mode_cls_token", "cls"),
    ("pooling_mode_max_tokens", "max"),
    ("pooling_mode_mean_tokens", "mean"),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
    ("pooling_mode_weightedmean_tokens", "weightedmean"),
    ("pooling_mode_lasttoken", "lasttoken"),
];

fn required<T: DeserializeOwned>(files: &ModelFiles, name: &str) -> Result<T> {
    files.required(name, "the settings of a module")?;
    json::optional(files, name)?.ok_or_else(|| Error::input(format!("{name} is gone")))
}
