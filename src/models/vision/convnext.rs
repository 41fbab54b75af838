//! ConvNeXT (<https://arxiv.org/abs/2201.03545>) and ConvNeXT V2 (<https://arxiv.org/abs/2301.00808>): stages of
//! convolutions that shrink pictures.
//!
//! Pixels lie one after the other with their channels together, so that all but one convolution of a layer is a product.
//! Config: `configuration_convnext.py` of transformers, with its defaults.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::image::PixelValues;
use crate::models::heads::{Labels, finite};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::models::vision::depthwise::Depthwise;
use crate::models::vision::traits::ImageClassifier;
use crate::nn::activation::Activation;
use crate::nn::function::Function;
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::names::{Rule, renamed};
use crate::weights::{Bias, Inventory, Linear, Weights};

/// The names of the two versions in config.json, which are also the prefixes of their tensors.
pub(super) const MODEL_TYPES: [&str; 2] = ["convnext", "convnextv2"];

/// A ConvNeXT with a classifier.
#[derive(Debug)]
pub(super) struct ConvNext {
    patch_size: usize,
    patches: Linear,
    first_norm: Norm,
    stages: Vec<Stage>,
    final_norm: Norm,
    out: Linear,
    labels: Labels,
    device: Device,
    compute: DType,
    inventory: Inventory,
    threads: Threads,
}

/// Layers of one width.
#[derive(Debug)]
struct Stage {
    /// A norm and a product that makes one pixel of two by two.
    shrinking: Option<(Norm, Linear)>,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    depthwise: Depthwise,
    norm: Norm,
    up: Linear,
    function: Function,
    /// Of V2: weight and bias of the response normalization, `(1, 4 * width)`.
    responses: Option<[Tensor; 2]>,
    down: Linear,
    /// Of V1.
    scale: Option<Tensor>,
}

/// Pixels with their channels, `(height * width, channels)`.
struct Pixels {
    values: Tensor,
    height: usize,
    width: usize,
}

impl ConvNext {
    /// Reads the model from weights under the names of [`NAMES`].
    pub(super) fn load(raw: &RawConfig, weights: &Weights, threads: Threads) -> Result<Self> {
        let is_second = raw.model_type()? == MODEL_TYPES[1];
        let widths = sizes(raw, "hidden_sizes", &[96, 192, 384, 768])?;
        let depths = sizes(raw, "depths", &[3, 3, 9, 3])?;
        let patch_size = raw.optional_size("patch_size")?.unwrap_or(4);
        let stages = raw.optional_size("num_stages")?.unwrap_or(4);
        if widths.len() != stages || depths.len() != stages {
            return Err(raw.refuse("num_stages", "`hidden_sizes` and `depths` should have so many"));
        }
        if patch_size > MOST_PATCH || depths.iter().sum::<usize>() > MOST_LAYERS {
            return Err(raw.refuse("depths", "too many layers, or too large a `patch_size`"));
        }
        if raw.optional_size("num_channels")?.is_some_and(|channels| channels != 3) {
            return Err(raw.refuse("num_channels", "pictures are of red, green and blue"));
        }
        if !weights.contains("out") {
            return Err(Error::unsupported(format!(
                "{}: the checkpoint has no image-classification head; choose one that was trained for it",
                raw.origin().display()
            )));
        }
        let activation = raw.activation("hidden_act", "gelu")?;
        let is_scaled = !is_second && raw.number("layer_scale_init_value", 1e-6)? > 0.0;
        let mut before = widths[0];
        let mut read = |number: usize| -> Result<Stage> {
            let scope = weights.scope("stages").scope(number);
            let width = widths[number];
            let shrinking = match number > 0 || before != width {
                true => Some((
                    Norm::load(&scope, "norm", before, NORM)?,
                    scope.linear("shrink", 4 * before, width, Bias::Present)?,
                )),
                false => None,
            };
            before = width;
            let layer = |number: usize| {
                let scope = scope.scope("layers").scope(number);
                Layer::load(&scope, width, activation, is_second, is_scaled)
            };
            let layers = (0..depths[number]).map(layer).collect::<Result<_>>()?;
            Ok(Stage { shrinking, layers })
        };
        let values = 3 * patch_size * patch_size;
        let labels = Labels::read(raw)?;
        let last = widths[stages - 1];
        let eps = raw.epsilon("layer_norm_eps", 1e-12)?;
        Ok(Self {
            patch_size,
            patches: weights.linear("patches", values, widths[0], Bias::Present)?,
            first_norm: Norm::load(weights, "first_norm", widths[0], NORM)?,
            stages: (0..stages).map(&mut read).collect::<Result<_>>()?,
            final_norm: Norm::load(weights, "final_norm", last, NormConfig::Layer { eps })?,
            out: weights.output_head("out", last, labels.names.len(), Bias::Present)?,
            labels,
            device: weights.device().clone(),
            compute: weights.dtype(),
            inventory: weights.inventory(),
            threads,
        })
    }

    /// Logits `(1, labels)`.
    fn logits(&self, picture: &PixelValues) -> Result<Tensor> {
        let mut x = self.embedded(picture)?;
        for stage in &self.stages {
            x = stage.forward(x)?;
        }
        let mean = x.values.to_dtype(DType::F32)?.mean_keepdim(0)?.to_dtype(self.compute)?;
        Ok(self.out.forward(&self.final_norm.forward(&mean)?)?.to_dtype(DType::F32)?)
    }

    fn embedded(&self, picture: &PixelValues) -> Result<Pixels> {
        let PixelValues { values, height, width, .. } = picture;
        let edge = self.patch_size;
        let (rows, columns) = (height / edge, width / edge);
        if rows * columns == 0 || values.len() != 3 * height * width {
            return Err(too_small(*height, *width));
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::input(format!("value {at} of the picture is {}", values[at])));
        }
        let x = Tensor::from_slice(values, (3, *height, *width), &self.device)?;
        let x = x.narrow(1, 0, rows * edge)?.narrow(2, 0, columns * edge)?.contiguous()?;
        let x = x.reshape((3, rows, edge, columns, edge))?.permute((1, 3, 0, 2, 4))?;
        let x = x.reshape((rows * columns, 3 * edge * edge))?.to_dtype(self.compute)?;
        let values = self.first_norm.forward(&self.patches.forward(&x)?)?;
        Ok(Pixels { values, height: rows, width: columns })
    }
}

impl Stage {
    fn forward(&self, x: Pixels) -> Result<Pixels> {
        let mut x = match &self.shrinking {
            None => x,
            Some((norm, shrink)) => {
                let Pixels { values, height, width } = x;
                let channels = values.dim(1)?;
                let (rows, columns) = (height / 2, width / 2);
                if rows * columns == 0 {
                    return Err(too_small(height, width));
                }
                let x = norm.forward(&values)?.reshape((height, width, channels))?;
                let x = x.narrow(0, 0, rows * 2)?.narrow(1, 0, columns * 2)?.contiguous()?;
                let x = x.reshape((rows, 2, columns, 2, channels))?.permute((0, 2, 4, 1, 3))?;
                let x = x.reshape((rows * columns, channels * 4))?;
                Pixels { values: shrink.forward(&x)?, height: rows, width: columns }
            }
        };
        for layer in &self.layers {
            x.values = layer.forward(&x)?;
        }
        Ok(x)
    }
}

impl Layer {
    fn load(
        weights: &Weights,
        width: usize,
        activation: Activation,
        is_second: bool,
        is_scaled: bool,
    ) -> Result<Self> {
        let inner = 4 * width;
        let responses =
            |name: &str| weights.tensor(name, &[inner])?.unsqueeze(0).map_err(Error::from);
        Ok(Self {
            depthwise: Depthwise::load(weights, "depthwise", width, KERNEL)?,
            norm: Norm::load(weights, "norm", width, NORM)?,
            up: weights.linear("up", width, inner, Bias::Present)?,
            function: Function::load(weights, activation)?,
            responses: match is_second {
                true => Some([responses("responses.weight")?, responses("responses.bias")?]),
                false => None,
            },
            down: weights.linear("down", inner, width, Bias::Present)?,
            scale: match is_scaled {
                true => Some(weights.tensor("scale", &[width])?),
                false => None,
            },
        })
    }

    fn forward(&self, x: &Pixels) -> Result<Tensor> {
        let seen = self.depthwise.forward(&x.values, x.height, x.width)?;
        let inner = self.function.forward(&self.up.forward(&self.norm.forward(&seen)?)?)?;
        let inner = match &self.responses {
            None => inner,
            Some([weight, bias]) => {
                let lengths = inner.to_dtype(DType::F32)?.sqr()?.sum_keepdim(0)?.sqrt()?;
                let mean = (lengths.mean_keepdim(1)? + 1e-6)?;
                let shares = lengths.broadcast_div(&mean)?.to_dtype(inner.dtype())?;
                let scaled = inner.broadcast_mul(&(shares * weight)?)?;
                (scaled.broadcast_add(bias)? + inner)?
            }
        };
        let result = self.down.forward(&inner)?;
        let result = match &self.scale {
            Some(scale) => result.broadcast_mul(scale)?,
            None => result,
        };
        Ok((&x.values + result)?)
    }
}

impl Model for ConvNext {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl ImageClassifier for ConvNext {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn classify(&self, pictures: &[&PixelValues]) -> Result<Tensor> {
        if pictures.is_empty() {
            return Err(Error::input("no pictures to look at"));
        }
        self.threads.run_on(&self.device, || {
            let rows = pictures.iter().map(|picture| self.logits(picture));
            finite(Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)?)
        })
    }
}

fn too_small(height: usize, width: usize) -> Error {
    Error::input(format!("{height} by {width} pixels are too few for the model's stages"))
}

/// A list of sizes, each at least 1.
fn sizes(raw: &RawConfig, field: &str, default: &[usize]) -> Result<Vec<usize>> {
    let Some(numbers) = raw.numbers(field)? else { return Ok(default.to_vec()) };
    let size = |number: &f32| {
        let is_size = number.fract() == 0.0 && (1.0..MOST_WIDTH).contains(number);
        is_size.then_some(*number as usize)
    };
    let sizes: Option<Vec<_>> = numbers.iter().map(size).collect();
    match sizes {
        Some(sizes) if !sizes.is_empty() => Ok(sizes),
        _ => Err(raw.refuse(field, "sizes are whole numbers from 1 on")),
    }
}

/// What the reference calls the tensors; a layer of theirs has our number.
pub(super) const NAMES: &[Rule] = &[
    renamed("patches", "embeddings.patch_embeddings"),
    renamed("first_norm", "embeddings.layernorm"),
    renamed("stages.*.norm", "encoder.stages.*.downsampling_layer.0"),
    renamed("stages.*.shrink", "encoder.stages.*.downsampling_layer.1"),
    renamed("stages.*.layers.*.depthwise", "encoder.stages.*.layers.*.dwconv"),
    renamed("stages.*.layers.*.norm", "encoder.stages.*.layers.*.layernorm"),
    renamed("stages.*.layers.*.act", "encoder.stages.*.layers.*.act"),
    renamed("stages.*.layers.*.up", "encoder.stages.*.layers.*.pwconv1"),
    renamed("stages.*.layers.*.responses", "encoder.stages.*.layers.*.grn"),
    renamed("stages.*.layers.*.down", "encoder.stages.*.layers.*.pwconv2"),
    renamed("stages.*.layers.*.scale", "encoder.stages.*.layers.*.layer_scale_parameter"),
    renamed("final_norm", "layernorm"),
    renamed("out", "classifier"),
];

/// Of all norms but the last.
const NORM: NormConfig = NormConfig::Layer { eps: 1e-6 };

/// The edge of the depthwise convolution.
const KERNEL: usize = 7;
const MOST_LAYERS: usize = 1 << 10;
const MOST_PATCH: usize = 1 << 8;
const MOST_WIDTH: f32 = 65_536.0;
