//! Modules that make vectors of vectors: `Dense`, `LayerNorm`, `Normalize`.

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::embeddings::function::Function;
use crate::embeddings::layout::Module;
use crate::embeddings::pooling;
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::{Bias, Linear, NameTable, Weights};

/// A module after the pooling.
#[derive(Debug)]
pub(super) enum Step {
    Dense { linear: Linear, function: Function, device: Device, dtype: DType },
    LayerNorm { weight: Vec<f32>, bias: Vec<f32> },
    Normalize,
}

#[derive(Deserialize)]
struct DenseSettings {
    in_features: usize,
    out_features: usize,
    bias: Option<bool>,
    activation_function: Option<String>,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

#[derive(Deserialize)]
struct NormSettings {
    dimension: usize,
}

impl Step {
    /// A `Dense` or `LayerNorm` of vectors of `dimension` numbers, and what it makes, where it is not
    /// a vector of the text.
    pub(super) fn read(
        files: &ModelFiles,
        module: &Module,
        dimension: usize,
        options: &LoadOptions,
    ) -> Result<(Self, Option<String>)> {
        if module.kind != "LayerNorm" {
            return Self::dense(files, module, dimension, options, EMBEDDING);
        }
        let NormSettings { dimension: size } = module.config(files)?;
        fits(files, module, size, dimension)?;
        let weights = Weights::open(&module.files(files)?, NameTable::stored_names(), options)?;
        let [weight, bias] = ["norm.weight", "norm.bias"].map(|name| numbers(&weights, name, size));
        Ok((Self::LayerNorm { weight: weight?, bias: bias? }, None))
    }

    /// A `Dense` of vectors of tokens.
    pub(super) fn of_tokens(
        files: &ModelFiles,
        module: &Module,
        dimension: usize,
        options: &LoadOptions,
    ) -> Result<Self> {
        match Self::dense(files, module, dimension, options, TOKENS)? {
            (step, None) => Ok(step),
            (_, Some(output)) => {
                let reason = format!("makes {output:?} of vectors of tokens");
                Err(refused(files, module, SETTINGS, &reason))
            }
        }
    }

    fn dense(
        files: &ModelFiles,
        module: &Module,
        dimension: usize,
        options: &LoadOptions,
        wanted: &str,
    ) -> Result<(Self, Option<String>)> {
        let refuse = |why: String| refused(files, module, SETTINGS, &why);
        let dense: DenseSettings = module.config(files)?;
        let input = dense.module_input_name.as_deref().unwrap_or(EMBEDDING);
        if input != wanted {
            let why = match wanted {
                TOKENS => "and comes before a Pooling",
                _ => "and only vectors of texts can be taken there",
            };
            return Err(refuse(format!("takes {input:?}, {why}")));
        }
        fits(files, module, dense.in_features, dimension)?;
        let function = match &dense.activation_function {
            None => Function::TANH,
            Some(class) => Function::named(class, Function::TANH).map_err(refuse)?,
        };
        let weights = Weights::open(&module.files(files)?, NameTable::stored_names(), options)?;
        let bias = Bias::from(dense.bias.unwrap_or(true));
        let linear = weights.linear("linear", dense.in_features, dense.out_features, bias)?;
        let function =
            function.with_slope(|| numbers(&weights, "activation_function.weight", 1))?;
        let output = dense.module_output_name.filter(|name| name != input);
        let (device, dtype) = (weights.device().clone(), weights.dtype());
        Ok((Self::Dense { linear, function, device, dtype }, output))
    }

    /// How many numbers it makes of so many.
    pub(super) fn length(&self, of: usize) -> usize {
        match self {
            Self::Dense { linear, function, .. } => function.length(linear.out_features()),
            Self::LayerNorm { .. } | Self::Normalize => of,
        }
    }

    pub(super) fn apply(&self, mut vectors: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Dense { linear, function, device, dtype } => {
                let x = Tensor::new(vectors, device)?.to_dtype(*dtype)?;
                vectors = linear.forward(&x)?.to_dtype(DType::F32)?.to_vec2()?;
                vectors.iter_mut().for_each(|vector| function.apply(vector));
            }
            Self::LayerNorm { weight, bias } => {
                vectors.iter_mut().for_each(|vector| layer_norm(vector, weight, bias));
            }
            Self::Normalize => vectors.iter_mut().for_each(|vector| pooling::normalize(vector)),
        }
        Ok(vectors)
    }
}

/// Of a module's file.
pub(super) fn refused(files: &ModelFiles, module: &Module, file: &str, why: &str) -> Error {
    Error::unsupported(format!("{}: {}/{file}: {why}", files.origin(), module.path))
}

fn fits(files: &ModelFiles, module: &Module, taken: usize, given: usize) -> Result<()> {
    match taken == given {
        true => Ok(()),
        false => {
            let why = format!("takes {taken} numbers where the module before it gives {given}");
            Err(refused(files, module, SETTINGS, &why))
        }
    }
}

fn numbers(weights: &Weights, name: &str, count: usize) -> Result<Vec<f32>> {
    Ok(weights.tensor(name, &[count])?.to_dtype(DType::F32)?.to_vec1()?)
}

/// As `torch.nn.LayerNorm` with its default of `eps`.
fn layer_norm(vector: &mut [f32], weight: &[f32], bias: &[f32]) {
    let count = vector.len().max(1) as f64;
    let mean = vector.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let squares = vector.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>();
    let scale = 1.0 / (squares / count + 1e-5).sqrt();
    for (x, (weight, bias)) in vector.iter_mut().zip(weight.iter().zip(bias)) {
        *x = ((f64::from(*x) - mean) * scale) as f32 * weight + bias;
    }
}

/// The vector of a text, as features are called there.
const EMBEDDING: &str = "sentence_embedding";
const TOKENS: &str = "token_embeddings";
const SETTINGS: &str = "config.json";
