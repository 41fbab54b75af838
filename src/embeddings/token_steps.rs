//! Modules that make vectors of tokens of vectors of tokens: `CNN`, `LSTM`, `WeightedLayerPooling`, `WordWeights`,
//! and a `Dense` before the pooling.
//!
//! Mirrors the modules of these names in sentence-transformers 5.7.

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::embeddings::layout::Module;
use crate::embeddings::steps::{Step, refused};
use crate::embeddings::words::WordWeights;
use crate::error::{Error, Result};
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::lstm::{Lstm, LstmConfig};
use crate::options::LoadOptions;
use crate::source::{ModelFiles, json};
use crate::weights::{Bias, NameTable, Weights};

/// The tokens of one text on their way to a vector.
#[derive(Debug, Clone)]
pub(super) struct TokenRow {
    pub(super) ids: Vec<u32>,
    /// Of `size` numbers each.
    pub(super) vectors: Vec<f32>,
    pub(super) size: usize,
    /// The same as every layer of the model gave them, where these are wanted.
    pub(super) layers: Vec<Vec<f32>>,
    /// What the tokens weigh together, where they are weighted.
    pub(super) weight: Option<f64>,
}

/// A module between the first one and the pooling.
#[derive(Debug)]
pub(super) enum TokenStep {
    /// Results side by side.
    Convolutions {
        convolutions: Vec<Convolution>,
        device: Device,
        dtype: DType,
    },
    Dense(Step),
    /// The weighted mean of what the layers gave, from one layer on.
    Layers {
        start: usize,
        weights: Vec<f32>,
    },
    Lstm {
        lstm: Lstm,
        device: Device,
        dtype: DType,
    },
    /// By id.
    Weights(Vec<f32>),
}

/// `cnn_config.json`.
#[derive(Deserialize)]
struct Convolutional {
    #[serde(alias = "in_word_embedding_dimension")]
    in_embedding_dimension: usize,
    out_channels: usize,
    kernel_sizes: Vec<usize>,
}

/// `lstm_config.json`.
#[derive(Deserialize)]
struct Recurrent {
    #[serde(alias = "word_embedding_dimension")]
    embedding_dimension: usize,
    hidden_dim: usize,
    num_layers: usize,
    bidirectional: bool,
}

/// `config.json` of a `WeightedLayerPooling`.
#[derive(Deserialize)]
struct Layered {
    layer_start: usize,
    num_hidden_layers: usize,
}

impl TokenStep {
    /// A module of tokens with vectors of `size` numbers.
    pub(super) fn read(
        files: &ModelFiles,
        module: &Module,
        size: usize,
        options: &LoadOptions,
    ) -> Result<Self> {
        let own = module.files(files)?;
        let fits = |taken: usize, name: &str| match taken == size {
            true => Ok(()),
            false => {
                let reason =
                    format!("takes {taken} numbers where the module before it gives {size}");
                Err(refused(files, module, name, &reason))
            }
        };
        let open = || Weights::open(&own, NameTable::stored_names(), options);
        Ok(match module.kind.as_str() {
            "CNN" => {
                let name = "cnn_config.json";
                let settings: Convolutional =
                    json::read(&own.required(name, "the settings of a CNN")?)?;
                fits(settings.in_embedding_dimension, name)?;
                let is_odd = |kernel: &usize| kernel % 2 == 1;
                if settings.kernel_sizes.is_empty() || !settings.kernel_sizes.iter().all(is_odd) {
                    let reason =
                        "`kernel_sizes` should be odd numbers, so that every token has a result";
                    return Err(refused(files, module, name, reason));
                }
                let weights = open()?;
                let kernels = settings.kernel_sizes.iter().enumerate();
                let convolutions = kernels.map(|(number, &kernel)| {
                    let channels = [size, settings.out_channels];
                    let config = ConvolutionConfig::new(channels, kernel, Bias::Present)
                        .padding((kernel - 1) / 2);
                    Convolution::load(&weights, &format!("convs.{number}"), config)
                });
                let (device, dtype) = (weights.device().clone(), weights.dtype());
                Self::Convolutions {
                    convolutions: convolutions.collect::<Result<_>>()?,
                    device,
                    dtype,
                }
            }
            "LSTM" => {
                let name = "lstm_config.json";
                let settings: Recurrent =
                    json::read(&own.required(name, "the settings of an LSTM")?)?;
                fits(settings.embedding_dimension, name)?;
                if !(1..=MOST_LAYERS).contains(&settings.num_layers) {
                    let reason = format!("`num_layers` should be 1 to {MOST_LAYERS}");
                    return Err(refused(files, module, name, &reason));
                }
                let config = LstmConfig {
                    inputs: size,
                    hidden: settings.hidden_dim,
                    layers: settings.num_layers,
                    is_bidirectional: settings.bidirectional,
                };
                let weights = open()?;
                let lstm = Lstm::load(&weights, "encoder", config)?;
                Self::Lstm { lstm, device: weights.device().clone(), dtype: weights.dtype() }
            }
            "WeightedLayerPooling" => {
                let Layered { layer_start: start, num_hidden_layers } = module.config(files)?;
                let states = num_hidden_layers.checked_add(1);
                let count = states.and_then(|states| states.checked_sub(start));
                let Some(count) = count.filter(|count| *count > 0) else {
                    let reason = format!("layers from {start} on, of {num_hidden_layers}");
                    return Err(refused(files, module, "config.json", &reason));
                };
                let weights = open()?.tensor("layer_weights", &[count])?;
                Self::Layers { start, weights: weights.to_dtype(DType::F32)?.to_vec1()? }
            }
            "WordWeights" => Self::Weights(module.config::<WordWeights>(files)?.weights()),
            _ => Self::Dense(Step::of_tokens(files, module, size, options)?),
        })
    }

    /// How many numbers a vector has then.
    pub(super) fn length(&self, of: usize) -> usize {
        match self {
            Self::Convolutions { convolutions, .. } => {
                convolutions.iter().map(Convolution::out_channels).sum()
            }
            Self::Dense(step) => step.length(of),
            Self::Layers { .. } | Self::Weights(_) => of,
            Self::Lstm { lstm, .. } => lstm.outputs(),
        }
    }

    /// The row with other vectors; there is at least one token.
    pub(super) fn apply(&self, row: &mut TokenRow) -> Result<()> {
        match self {
            Self::Convolutions { convolutions, device, dtype } => {
                let x = row.tensor(device, *dtype)?;
                let parts = convolutions.iter().map(|convolution| convolution.forward(&x));
                row.set(&Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)?)
            }
            Self::Dense(step) => {
                let vectors = row.vectors.chunks(row.size).map(<[f32]>::to_vec).collect();
                let vectors = step.apply(vectors)?;
                row.size = vectors.first().map_or(0, Vec::len);
                row.vectors = vectors.concat();
                Ok(())
            }
            Self::Layers { start, weights } => {
                // Without them the reference leaves the vectors as they are.
                if row.layers.is_empty() {
                    return Ok(());
                }
                let layers = row.layers.get(*start..).unwrap_or_default();
                if layers.len() != weights.len() {
                    let (found, wanted) = (row.layers.len(), start + weights.len());
                    return Err(Error::unsupported(format!(
                        "the WeightedLayerPooling is of {wanted} states; the model gives {found}"
                    )));
                }
                let total: f64 = weights.iter().copied().map(f64::from).sum();
                row.vectors = (0..row.vectors.len())
                    .map(|at| {
                        let of_layer = layers.iter().zip(weights);
                        let sum: f64 =
                            of_layer.map(|(layer, w)| f64::from(layer[at]) * f64::from(*w)).sum();
                        (sum / total) as f32
                    })
                    .collect();
                Ok(())
            }
            Self::Lstm { lstm, device, dtype } => {
                let y = lstm.forward(&row.tensor(device, *dtype)?)?;
                row.set(&y)
            }
            Self::Weights(weights) => {
                let mut total = 0.0;
                for (id, vector) in row.ids.iter().zip(row.vectors.chunks_mut(row.size.max(1))) {
                    let Some(&weight) = weights.get(*id as usize) else {
                        let count = weights.len();
                        let reason =
                            format!("the token {id} is beyond the {count} words of WordWeights");
                        return Err(Error::unsupported(reason));
                    };
                    vector.iter_mut().for_each(|x| *x *= weight);
                    total += f64::from(weight);
                }
                row.weight = Some(total);
                Ok(())
            }
        }
    }
}

impl TokenRow {
    fn tensor(&self, device: &Device, dtype: DType) -> Result<Tensor> {
        let shape = (self.ids.len(), self.size);
        Ok(Tensor::from_slice(&self.vectors, shape, device)?.to_dtype(dtype)?)
    }

    fn set(&mut self, vectors: &Tensor) -> Result<()> {
        self.size = vectors.dim(1)?;
        self.vectors = vectors.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(())
    }
}

/// No LSTM has more.
const MOST_LAYERS: usize = 64;
