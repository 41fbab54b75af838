//! One layer: where its norms stand and how its halves join.

use candle_core::Tensor;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::nn::attention::{Attention, AttentionConfig, Positions};
use crate::nn::globals::Globals;
use crate::nn::mlp::{Mlp, MlpConfig};
use crate::nn::norm::{Norm, NormConfig, normed};
use crate::nn::relative::{RelativePositions, SharedRelative};
use crate::nn::{Step, residual};
use crate::weights::Weights;

/// One attention half and one feed-forward half.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerConfig {
    /// Where norms stand and how the halves join.
    pub norms: NormPlace,
    /// Every norm of the layer.
    pub norm: NormConfig,
    /// Multiplies each half before it is added: `residual_multiplier` in Granite.
    pub residual_scale: Option<f64>,
    /// The attention half.
    pub attention: AttentionConfig,
    /// Attention to another sequence, between the two halves: the decoders of encoder-decoders.
    pub cross: Option<AttentionConfig>,
    /// The feed-forward half.
    pub mlp: MlpConfig,
}

/// Where norms stand in a layer, and how its halves join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum NormPlace {
    /// Each half's result is normed before it is added: OLMo 2, OLMo 3.
    AfterHalf,
    /// The sum of each half's input and result is normed, as in the first transformer: BERT and most
    /// encoders.
    AfterSum,
    /// Each half's input is normed: Llama and most decoders, ModernBERT.
    Before,
    /// As [`Before`](Self::Before), but the attention's input is not: ModernBERT's first layer, whose
    /// input the embeddings have normed.
    BeforeMlpOnly,
    /// As [`Before`](Self::Before), and each half's result is multiplied channel by channel with learned factors:
    /// DINOv2. <https://arxiv.org/abs/2103.17239>
    BeforeScaled,
    /// Both halves take the same input, normed once: Falcon 7B, Phi-2, Command-R.
    Parallel,
    /// Both halves take the same input, each through a norm of its own: Falcon 40B, GPT-NeoX.
    ParallelNorms,
    /// Each half's input and its result are normed: Gemma 2, Gemma 3, GLM-4.
    Sandwich,
}

/// One attention half and one feed-forward half, and perhaps one that attends to a source.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    attention: Half<Attention>,
    cross: Option<Half<Attention>>,
    mlp: Half<Mlp>,
    parallel: bool,
    residual_scale: Option<f64>,
}

/// A half of a layer.
#[derive(Debug, Clone)]
struct Half<T> {
    inner: T,
    norms: Norms,
}

/// The norms of a half that the layer's [`NormPlace`] asks for.
#[derive(Debug, Clone, Default)]
struct Norms {
    before: Option<Norm>,
    after: Option<Norm>,
    after_sum: Option<Norm>,
    /// Of the result, `(hidden)`.
    scale: Option<Tensor>,
}

impl Layer {
    /// Reads `attn`, `mlp`, `cross` where there is one, and the norms that there are from the scope:
    /// `attn_norm`, `cross_norm` and `mlp_norm` before each half or after each sum, `attn_post_norm` and
    /// so on after each half; and `attn_scale` and `mlp_scale`.
    pub(crate) fn load(weights: &Weights, hidden: usize, config: &LayerConfig) -> Result<Self> {
        let place = config.norms;
        let parallel = matches!(place, NormPlace::Parallel | NormPlace::ParallelNorms);
        if parallel && config.cross.is_some() {
            return Err(Error::unsupported("parallel halves beside attention to a source"));
        }
        let attention = |name: &str, config: &AttentionConfig| {
            Attention::load(&weights.scope(name), hidden, config)
        };
        let half = |name: &str| Norms::load(weights, name, hidden, config.norm, place);
        let before =
            |name: &str, wanted: bool| if wanted { half(name) } else { Ok(Norms::default()) };
        Ok(Self {
            attention: Half {
                inner: attention("attn", &config.attention)?,
                norms: before("attn", place != NormPlace::BeforeMlpOnly)?,
            },
            cross: match &config.cross {
                Some(cross) => {
                    Some(Half { inner: attention("cross", cross)?, norms: half("cross")? })
                }
                None => None,
            },
            mlp: Half {
                inner: Mlp::load(&weights.scope("mlp"), hidden, &config.mlp)?,
                norms: before("mlp", place != NormPlace::Parallel)?,
            },
            parallel,
            residual_scale: config.residual_scale,
        })
    }

    /// ```text
    /// Before                   Sandwich                        AfterHalf                AfterSum
    /// x -+- norm - half -+-    x -+- norm - half - norm -+-    x -+- half - norm -+-    x -+- half -+- norm -
    ///    +---------------+        +----------------------+        +---------------+        +--------+
    /// ```
    /// first for attention, then for the MLP; for the parallel ones
    /// ```text
    /// Parallel                        ParallelNorms
    /// x -+- norm -+- attention -+-    x -+- norm - attention -+-
    ///    |        +- MLP -------+        +- norm - MLP -------+
    ///    +----------------------+        +--------------------+
    /// ```
    /// Attention to a source is a half between these. `x: (tokens, hidden)`, and so are the result and
    /// what `attend` and `attend_source` give.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        step: &Step,
        attend: impl FnOnce(&Attention, &Tensor) -> Result<Tensor>,
        attend_source: impl FnOnce(&Attention, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Self { attention, cross, mlp, residual_scale: scale, .. } = self;
        if self.parallel {
            let normed = normed(attention.norms.before.as_ref(), x.clone())?;
            let attended = attend(&attention.inner, &normed)?;
            let own = mlp.norms.before.as_ref().map(|norm| norm.forward(x)).transpose()?;
            let fed = mlp.inner.forward_rows(&own.unwrap_or(normed), &step.rows())?;
            return residual::join(x, (fed + attended)?, *scale);
        }
        let mut x = attention.forward(x, *scale, attend)?;
        if let Some(cross) = cross {
            x = cross.forward(&x, *scale, attend_source)?;
        }
        mlp.forward(&x, *scale, |mlp, x| mlp.forward_rows(x, &step.rows()))
    }

    /// The attention to a source, which keeps keys and values of it.
    pub(crate) fn cross(&self) -> Option<&Attention> {
        self.cross.as_ref().map(|cross| &cross.inner)
    }
}

impl Norms {
    fn load(
        weights: &Weights,
        half: &str,
        hidden: usize,
        config: NormConfig,
        place: NormPlace,
    ) -> Result<Self> {
        let norm =
            |name: &str| Norm::load(weights, &format!("{half}_{name}"), hidden, config).map(Some);
        let none = Self::default();
        Ok(match place {
            NormPlace::AfterHalf => Self { after: norm("post_norm")?, ..none },
            NormPlace::AfterSum => Self { after_sum: norm("norm")?, ..none },
            NormPlace::Sandwich => {
                Self { before: norm("norm")?, after: norm("post_norm")?, ..none }
            }
            NormPlace::BeforeScaled => Self {
                before: norm("norm")?,
                scale: Some(weights.tensor(&format!("{half}_scale"), &[hidden])?),
                ..none
            },
            NormPlace::Before
            | NormPlace::BeforeMlpOnly
            | NormPlace::Parallel
            | NormPlace::ParallelNorms => Self { before: norm("norm")?, ..none },
        })
    }
}

impl<T> Half<T> {
    fn forward(
        &self,
        x: &Tensor,
        scale: Option<f64>,
        run: impl FnOnce(&T, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Norms { before, after, after_sum, scale: factors } = &self.norms;
        let result = run(&self.inner, &normed(before.as_ref(), x.clone())?)?;
        let result = match factors {
            Some(factors) => result.broadcast_mul(factors)?,
            None => result,
        };
        let sum = residual::join(x, normed(after.as_ref(), result)?, scale)?;
        normed(after_sum.as_ref(), sum)
    }
}

/// What the layers of a model share to tell positions by distances, if they do.
pub(crate) fn shared_relative(
    weights: &Weights,
    hidden: usize,
    layers: &[LayerConfig],
) -> Result<Option<SharedRelative>> {
    let of_layer = |layer: &LayerConfig| -> Vec<(usize, RelativePositions)> {
        let AttentionConfig { heads, positions, globals, .. } = layer.attention;
        let own = match positions {
            Positions::Relative(relative) => Some(relative),
            _ => None,
        };
        let of_sums = match globals {
            Globals::Sums { positions, .. } => Some(positions),
            Globals::Marked | Globals::None => None,
        };
        own.into_iter().chain(of_sums).map(|relative| (heads, relative)).collect()
    };
    let relative: Vec<_> = layers.iter().flat_map(of_layer).collect();
    SharedRelative::load(weights, hidden, &relative)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::{DType, Device};

    use super::*;
    use crate::nn::Shared;
    use crate::nn::activation::Activation;
    use crate::nn::cache::{CacheLayer, KvCache};
    use crate::nn::span::AttentionSpan;
    use crate::options::LoadOptions;
    use crate::source::ModelSource;
    use crate::weights::Bias;
    use crate::weights::names::{NameTable, Rule, renamed};

    const HIDDEN: usize = 16;
    const NAMES: &[Rule] = &[renamed("relative.0", "relative")];
    /// Tokens of the rows and of their sources in `tests/goldens/layers`, by `make_layers.py`.
    const ROWS: [usize; 2] = [30, 5];
    const SOURCES: [usize; 2] = [7, 12];

    fn attention(heads: usize, scale: f64, positions: Positions, bias: Bias) -> AttentionConfig {
        AttentionConfig { scale, positions, ..AttentionConfig::plain(heads, 8, bias) }
    }

    /// Layers of BART and T5 give what the reference's do, with kernels and with candle's operations,
    /// for rows of different lengths in two chunks.
    #[test]
    fn layers_with_a_source_are_those_of_the_reference() -> Result<()> {
        let bart = |positions| attention(2, 8_f64.powf(-0.5), positions, Bias::Present);
        let t5 = |positions| attention(3, 1.0, positions, Bias::Absent);
        let (table, bidirectional, buckets, max_distance) = (0, false, 8, 20);
        let buckets = RelativePositions::Buckets { table, bidirectional, buckets, max_distance };
        for (name, config) in [
            (
                "bart",
                LayerConfig {
                    norms: NormPlace::AfterSum,
                    norm: NormConfig::Layer { eps: 1e-5 },
                    residual_scale: None,
                    attention: bart(Positions::None),
                    cross: Some(bart(Positions::None)),
                    mlp: MlpConfig::Plain {
                        hidden: 24,
                        activation: Activation::Gelu,
                        bias: Bias::Present,
                    },
                },
            ),
            (
                "t5",
                LayerConfig {
                    norms: NormPlace::Before,
                    norm: NormConfig::Rms { eps: 1e-6 },
                    residual_scale: None,
                    attention: t5(Positions::Relative(buckets)),
                    cross: Some(t5(Positions::None)),
                    mlp: MlpConfig::Gated {
                        hidden: 24,
                        activation: Activation::GeluTanh,
                        bias: Bias::Absent,
                    },
                },
            ),
        ] {
            let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/layers");
            let files = ModelSource::directory(goldens.join(name)).open()?;
            let options = LoadOptions::default().device(Device::Cpu);
            let names = NameTable { base: NAMES, own: &[] };
            let weights = Weights::open(&files, names, &options)?;
            let layer = Layer::load(&weights, HIDDEN, &config)?;
            let relative = shared_relative(&weights, HIDDEN, std::slice::from_ref(&config))?;
            let tensor =
                |name: &str, rows: [usize; 2]| weights.tensor(name, &[rows.iter().sum(), HIDDEN]);
            let (x, y) = (tensor("x", ROWS)?, tensor("y", ROWS)?.to_vec2::<f32>()?);
            let largest = y.iter().flatten().fold(0.0_f32, |most, y| most.max(y.abs()));

            let kept = CacheLayer::new(config.attention.kv_heads, config.attention.head_dim);
            let extend = |cache: &mut KvCache, rows: [usize; 2]| {
                let ids = rows.map(|tokens| vec![0; tokens]);
                cache.extend_rows(ids.iter().map(Vec::as_slice));
            };
            let cross = layer.cross().unwrap();
            let keep_source = || -> Result<KvCache> {
                let mut source = KvCache::new([kept], DType::F32);
                extend(&mut source, SOURCES);
                cross.keep_source(&tensor("source", SOURCES)?, &mut source.layer(0))?;
                Ok(source)
            };

            let spans = [AttentionSpan::Causal { window: None }];
            let relative = relative.as_ref();
            let shared = Shared { ropes: &[], spans: &spans, alibis: &[], relative };
            for by_kernels in [true, false] {
                let mut cache = KvCache::new([kept], DType::F32).with_sources(keep_source()?)?;
                let mut done = [0, 0];
                for chunk in [[20, 2], [10, 3]] {
                    let places: Vec<u32> = (0..2)
                        .flat_map(|row| (row * ROWS[0] + done[row]..).take(chunk[row]))
                        .map(|place| place as u32)
                        .collect();
                    extend(&mut cache, chunk);
                    done = cache.row_lengths().try_into().unwrap();
                    let step = Step::new(&cache, &done, shared, &Device::Cpu)?;
                    let step = if by_kernels { step } else { step.with_masks(&Device::Cpu)? };
                    let part = x.index_select(&Tensor::new(places.as_slice(), &Device::Cpu)?, 0)?;
                    let (mut own, source) = cache.layer_and_source(0);
                    let found = layer.forward(
                        &part,
                        &step,
                        |attention, x| attention.forward(x, &step, &mut own),
                        |cross, x| cross.forward_source(x, &step, &source.unwrap()),
                    )?;
                    for (found, place) in found.to_vec2::<f32>()?.iter().zip(&places) {
                        for (found, expected) in found.iter().zip(&y[*place as usize]) {
                            assert!(
                                (found - expected).abs() < 1e-5 * largest,
                                "{name}, {place}: {found}, not {expected}"
                            );
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
