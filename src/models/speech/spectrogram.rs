//! The Audio Spectrogram Transformer (AST, <https://arxiv.org/abs/2104.01778>): a spectrogram as a picture,
//! cut into patches that overlap, behind two tokens whose mean is classified.
//!
//! `configuration_audio_spectrogram_transformer.py` and `modeling_audio_spectrogram_transformer.py` of
//! transformers, with their defaults.

use candle_core::{DType, Device, Tensor};

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::models::heads::{Labels, finite};
use crate::models::raw_config::RawConfig;
use crate::models::speech::patches::{PatchConfig, Patches, Place};
use crate::models::speech::traits::AudioClassifier;
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::nn::attention::{Attention, AttentionConfig};
use crate::nn::layer::{Layer, LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::packed::Tokens;
use crate::nn::span::AttentionSpan;
use crate::nn::{Shared, Step};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::{NameTable, Rule, renamed};
use crate::weights::{Bias, Inventory, Linear, Weights};

/// The type of its models in config.json.
pub(super) const MODEL_TYPE: &str = "audio-spectrogram-transformer";

/// A spectrogram transformer that classifies.
#[derive(Debug)]
pub(super) struct SpectrogramTransformer {
    labels: Labels,
    /// Values of a frame, and frames.
    size: [usize; 2],
    place: Place,
    patches: Patches,
    /// The two tokens before the patches, with their positions, `(2, hidden)`.
    first: Tensor,
    /// Of the patches, `(patches, hidden)`.
    positions: Tensor,
    layers: Vec<Layer>,
    final_norm: Norm,
    head_norm: Norm,
    out: Linear,
    inventory: Inventory,
    threads: Threads,
}

const NAMES: &[Rule] = &[
    renamed("first.0", "embeddings.cls_token"),
    renamed("first.1", "embeddings.distillation_token"),
    renamed("positions", "embeddings.position_embeddings"),
    renamed("patches", "embeddings.patch_embeddings.projection"),
    renamed("layers.*.attn.q", "encoder.layer.*.attention.attention.query"),
    renamed("layers.*.attn.k", "encoder.layer.*.attention.attention.key"),
    renamed("layers.*.attn.v", "encoder.layer.*.attention.attention.value"),
    renamed("layers.*.attn.o", "encoder.layer.*.attention.output.dense"),
    renamed("layers.*.attn_norm", "encoder.layer.*.layernorm_before"),
    renamed("layers.*.mlp.act", "encoder.layer.*.intermediate.intermediate_act_fn"),
    renamed("layers.*.mlp.up", "encoder.layer.*.intermediate.dense"),
    renamed("layers.*.mlp.down", "encoder.layer.*.output.dense"),
    renamed("layers.*.mlp_norm", "encoder.layer.*.layernorm_after"),
    renamed("final_norm", "layernorm"),
    renamed("head.norm", "classifier.layernorm"),
    renamed("head.out", "classifier.dense"),
];

impl SpectrogramTransformer {
    pub(super) fn load(raw: &RawConfig, files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let names = NameTable { base: NAMES, own: &[] };
        let weights = Weights::open(files, names, options)?
            .base_model_prefix("audio_spectrogram_transformer");
        if !weights.contains("head.out") {
            return Err(Error::unsupported(format!(
                "{}: the checkpoint has no audio-classification head; choose one that was trained for it",
                raw.origin().display()
            )));
        }
        let size = |field, default| Ok::<_, Error>(raw.optional_size(field)?.unwrap_or(default));
        let hidden = size("hidden_size", 768)?;
        let patch = size("patch_size", 16)?;
        let patches = PatchConfig {
            kernel: [patch; 2],
            stride: [size("frequency_stride", 10)?, size("time_stride", 10)?],
            padding: [0; 2],
            channels: hidden,
        };
        let picture = [size("num_mel_bins", 128)?, size("max_length", 1024)?];
        let own = Patches::load(&weights, "patches", patches)?;
        let [rows, columns] = patches.grid(picture);
        let count = rows.saturating_mul(columns);
        if count == 0 {
            return Err(raw.refuse("patch_size", "a patch is larger than the spectrogram"));
        }
        let positions = weights.tensor("positions", &[1, count + 2, hidden])?.squeeze(0)?;
        let token = |name| Ok::<_, Error>(weights.tensor(name, &[1, 1, hidden])?.squeeze(0)?);
        let first = Tensor::cat(&[token("first.0")?, token("first.1")?], 0)?;
        let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-12)? };
        let layer = layer(raw, hidden, norm)?;
        let layers = (0..raw.layers()?.unwrap_or(12))
            .map(|number| Layer::load(&weights.scope("layers").scope(number), hidden, &layer));
        let labels = Labels::read(raw)?;
        let norm = |name| Norm::load(&weights, name, hidden, norm);
        Ok(Self {
            size: picture,
            place: Place::of(&weights),
            patches: own,
            first: (first + positions.narrow(0, 0, 2)?)?,
            positions: positions.narrow(0, 2, count)?.contiguous()?,
            layers: layers.collect::<Result<_>>()?,
            final_norm: norm("final_norm")?,
            head_norm: norm("head.norm")?,
            out: weights.output_head("head.out", hidden, labels.names.len(), Bias::Present)?,
            labels,
            inventory: weights.inventory(),
            threads: Threads::new(options.threads)?,
        })
    }

    /// What goes into the first layer, `(tokens, hidden)`.
    fn embedded(&self, features: &AudioFeatures) -> Result<Tensor> {
        let [width, frames] = self.size;
        let found = [features.width(), features.frames()];
        if found != self.size {
            return Err(Error::input(format!(
                "{} frames of {} values for a model that reads {frames} of {width}: make the features with \
                 the model's own feature extractor",
                found[1], found[0]
            )));
        }
        let values = features.values();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (frame, value) = (at / width, values[at]);
            return Err(Error::input(format!("frame {frame} of the features holds {value}")));
        }
        // Frequencies are rows.
        let picture: Vec<f32> =
            (0..width * frames).map(|at| values[(at % frames) * width + at / frames]).collect();
        let patches = (self.patches.forward(&picture, self.size, &self.place)? + &self.positions)?;
        Ok(Tensor::cat(&[&self.first, &patches], 0)?)
    }

    /// Logits of some recordings, by the threads at hand.
    fn logits(&self, rows: &[&AudioFeatures]) -> Result<Tensor> {
        let embedded = rows.iter().map(|row| self.embedded(row)).collect::<Result<Vec<_>>>()?;
        let count = self.positions.dim(0)? + 2;
        let tokens = Tokens::of_lengths(vec![count; rows.len()]);
        let spans = [AttentionSpan::Bidirectional { window: None }];
        let shared = Shared { ropes: &[], spans: &spans, alibis: &[], relative: None };
        let step = Step::uncached(&tokens, shared, &self.place.device)?;
        let mut x = Tensor::cat(&embedded, 0)?;
        for layer in &self.layers {
            x = layer.forward(
                &x,
                &step,
                |attention: &Attention, x| attention.forward_uncached(x, &step),
                |_, _| Err(Error::input("an encoder has no source")),
            )?;
        }
        let of_row = |row: usize| x.narrow(0, row * count, 2);
        let firsts = (0..rows.len()).map(of_row).collect::<candle_core::Result<Vec<_>>>()?;
        let firsts = self.final_norm.forward(&Tensor::stack(&firsts, 0)?.contiguous()?)?;
        let pooled = self.head_norm.forward(&firsts.mean(1)?)?;
        Ok(self.out.forward(&pooled)?.to_dtype(DType::F32)?)
    }
}

impl Model for SpectrogramTransformer {
    fn device(&self) -> &Device {
        &self.place.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl AudioClassifier for SpectrogramTransformer {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn classify(&self, rows: &[&AudioFeatures]) -> Result<Tensor> {
        if rows.is_empty() {
            return Err(Error::input("no recordings to classify"));
        }
        self.threads.run_on(&self.place.device, || {
            // On the CPU one by one, so that what lies between layers stays in the caches.
            let at_once = if self.place.device.is_cpu() { 1 } else { rows.len() };
            let logits = rows.chunks(at_once).map(|rows| self.logits(rows));
            finite(Tensor::cat(&logits.collect::<Result<Vec<_>>>()?, 0)?)
        })
    }
}

/// Every layer is alike: a norm before each half, biases everywhere.
fn layer(raw: &RawConfig, hidden: usize, norm: NormConfig) -> Result<LayerConfig> {
    let heads = raw.optional_size("num_attention_heads")?.unwrap_or(12);
    if !hidden.is_multiple_of(heads) {
        let reason = format!("it should divide `hidden_size`, which is {hidden}");
        return Err(raw.refuse("num_attention_heads", reason));
    }
    let head_dim = hidden / heads;
    Ok(LayerConfig {
        norms: NormPlace::Before,
        norm,
        residual_scale: None,
        attention: AttentionConfig {
            qkv_bias: Bias::from(raw.flag("qkv_bias", true)?),
            ..AttentionConfig::plain(heads, head_dim, Bias::Present)
        },
        cross: None,
        mlp: MlpConfig::Plain {
            hidden: raw.optional_size("intermediate_size")?.unwrap_or(3072),
            activation: raw.activation("hidden_act", "gelu")?,
            bias: Bias::Present,
        },
    })
}
