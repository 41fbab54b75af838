//! From named tensors to the layers of a model.

use candle_core::{DType, Tensor};
use serde::Serialize;

use crate::error::Result;
#[cfg(any(feature = "audio", feature = "image"))]
use crate::kernels::convolution2d::Panels;
use crate::weights::convert;
use crate::weights::elements::Elements;
use crate::weights::embedding::Embedding;
use crate::weights::inventory::{Item, Role};
use crate::weights::linear::{Linear, Matrix};
use crate::weights::low_rank::LowRank;
use crate::weights::plan::{Blocks, ModuleNames};
use crate::weights::view::{Found, Weights};

/// Whether a linear layer has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Bias {
    /// Never, whatever the checkpoint holds.
    Absent,
    /// If the checkpoint holds one: where the config is silent.
    IfStored,
    /// Always: it is an error when the checkpoint has none.
    Present,
    /// As `Present`, and for the keys of an attention as `Absent`: Whisper.
    PresentButForKeys,
}

/// What a config's flag says.
impl From<bool> for Bias {
    fn from(present: bool) -> Self {
        if present { Self::Present } else { Self::Absent }
    }
}

impl Weights {
    /// The layer of that name: weight `(out_features, in_features)` under `name.weight`, bias
    /// `(out_features)` under `name.bias`. Only this, [`output_head`](Self::output_head)
    /// and [`tied_embedding`](Self::tied_embedding) quantize.
    ///
    /// # Errors
    ///
    /// When the weight, or a bias that must be there, is missing, has another shape or an
    /// unsupported type, or holds NaN or infinity.
    pub fn linear(
        &self,
        name: &str,
        in_features: usize,
        out_features: usize,
        bias: Bias,
    ) -> Result<Linear> {
        self.linear_or_head(name, [in_features, out_features], bias, false)
    }

    /// As [`linear`](Self::linear), of the layer that makes a model's logits: not quantized unless
    /// [`skip_modules`](crate::LoadOptions::skip_modules) says so.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn output_head(
        &self,
        name: &str,
        in_features: usize,
        out_features: usize,
        bias: Bias,
    ) -> Result<Linear> {
        self.linear_or_head(name, [in_features, out_features], bias, true)
    }

    fn linear_or_head(
        &self,
        name: &str,
        [in_features, out_features]: [usize; 2],
        bias: Bias,
        is_output_head: bool,
    ) -> Result<Linear> {
        let found = self.stored(&format!("{name}.weight"), &[out_features, in_features])?;
        let plan = &self.plan;
        let stored = &found.tensor;
        let names = ModuleNames { ours: &self.path(name), stored: &stored.name, is_output_head };
        let blocks = plan.linear_blocks(&stored.elements, in_features, names);
        let dtype = plan.dense(&stored.elements);
        let (found, beside) = self.adapted(found, blocks, true)?;
        let weight = self.matrix(&found, blocks, dtype)?;
        let bytes = weight.bytes() + beside.as_ref().map_or(0, LowRank::bytes);
        self.note(name, Role::Linear, &found, weight.precision(), bytes);
        let bias_name = format!("{name}.bias");
        let bias = match bias {
            Bias::Absent => None,
            Bias::IfStored if !self.contains(&bias_name) => None,
            Bias::IfStored | Bias::Present | Bias::PresentButForKeys => {
                Some(self.tensor(&bias_name, &[out_features])?)
            }
        };
        Ok(Linear { weight, bias, beside })
    }

    /// A matrix in blocks or dense.
    fn matrix(&self, found: &Found<'_>, blocks: Option<Blocks>, dtype: DType) -> Result<Matrix> {
        let device = &self.plan.device;
        Ok(match blocks {
            Some(blocks) => convert::blocks(&found.tensor, blocks, device)?,
            None => self.plan.matrix(convert::dense(&found.tensor, dtype, found.plus, device)?),
        })
    }

    /// The embedding table of that name, `(vocab, hidden)` under `name.weight`. Blocks stay blocks
    /// unless a dtype was asked for.
    ///
    /// # Errors
    ///
    /// As for [`linear`](Self::linear).
    pub fn embedding(&self, name: &str, vocab: usize, hidden: usize) -> Result<Embedding> {
        self.table(name, [vocab, hidden], false)
    }

    /// As [`embedding`](Self::embedding), of a table that is also the output head
    /// ([`Embedding::as_linear`]): quantized where an [`output_head`](Self::output_head) would be.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn tied_embedding(&self, name: &str, vocab: usize, hidden: usize) -> Result<Embedding> {
        self.table(name, [vocab, hidden], true)
    }

    fn table(
        &self,
        name: &str,
        [vocab, hidden]: [usize; 2],
        is_output_head: bool,
    ) -> Result<Embedding> {
        let found = self.stored(&format!("{name}.weight"), &[vocab, hidden])?;
        let plan = &self.plan;
        let stored = &found.tensor;
        let names = ModuleNames { ours: &self.path(name), stored: &stored.name, is_output_head };
        let dtype = plan.dense(&stored.elements);
        let blocks = match is_output_head && !plan.skips_head() {
            true => plan.linear_blocks(&stored.elements, hidden, names),
            false => plan.kept_blocks(&stored.elements, hidden),
        };
        let (found, _) = self.adapted(found, blocks, false)?;
        let table = self.matrix(&found, blocks, dtype)?;
        self.note(name, Role::Embedding, &found, table.precision(), table.bytes());
        Ok(Embedding::of(table, plan.compute))
    }

    /// The tensor of exactly that name, such as `attn_norm.weight`. It is always dense and in
    /// [`dtype`](Self::dtype): norms, biases, convolution kernels, routers.
    ///
    /// # Errors
    ///
    /// As for [`linear`](Self::linear).
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let (found, _) = self.adapted(self.stored(name, shape)?, None, false)?;
        let (dtype, device) = (self.plan.compute, &self.plan.device);
        let tensor = convert::dense(&found.tensor, dtype, found.plus, device)?;
        let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.note(name, Role::Tensor, &found, tensor.dtype().as_str(), bytes);
        Ok(tensor)
    }

    /// The kernel `name.weight`, `(outputs, inputs, kernel, kernel)`, of a convolution over pictures, in what matrices are
    /// kept in; and whether the convolution rounds it to blocks of 8 bits, where matrices are quantized.
    #[cfg(any(feature = "audio", feature = "image"))]
    pub(crate) fn kernel(
        &self,
        name: &str,
        [outputs, inputs, kernel]: [usize; 3],
        may_quantize: bool,
    ) -> Result<(Tensor, bool)> {
        let full = format!("{name}.weight");
        let found = self.stored(&full, &[outputs, inputs, kernel, kernel])?;
        let plan = &self.plan;
        let stored = &found.tensor;
        let names =
            ModuleNames { ours: &self.path(name), stored: &stored.name, is_output_head: false };
        // Those of few channels are small, and rounding them shows.
        let is_large = kernel > 1 && inputs.min(outputs) >= 32;
        let is_quantized = may_quantize && is_large && plan.quantizes_kernels(names);
        let dtype = match plan.device.is_cpu() && !is_quantized {
            true => plan.dense(&stored.elements),
            false => plan.compute,
        };
        let (found, _) = self.adapted(found, None, false)?;
        let tensor = convert::dense(&found.tensor, dtype, found.plus, &plan.device)?;
        let (precision, bytes) = match is_quantized {
            true => ("q8_0", Panels::quantized_bytes(outputs, inputs, kernel)),
            false => {
                (tensor.dtype().as_str(), tensor.elem_count() * tensor.dtype().size_in_bytes())
            }
        };
        self.note(&full, Role::Tensor, &found, precision, bytes);
        Ok((tensor, is_quantized))
    }

    fn note(
        &self,
        name: &str,
        role: Role,
        found: &Found<'_>,
        precision: &'static str,
        bytes: usize,
    ) {
        self.notes.advance(found.tensor.pieces.iter().map(|piece| piece.len() as u64).sum());
        self.notes.add(Item {
            name: self.path(name),
            stored_as: found.tensor.name.clone(),
            role,
            shape: found.tensor.shape.clone(),
            precision,
            bytes,
            whole: found.whole.clone(),
            transposed: found.transposed,
            assembled: found.tensor.elements == Elements::Dequantized,
        });
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;
    use crate::error::Error;
    use crate::options::LoadOptions;
    use crate::source::ModelSource;
    use crate::weights::names::{
        HeadCounts, NameTable, Part, Rule, expert, fused, grouped, part, plus_one, renamed,
    };

    const RULES: &[Rule] = &[
        fused("layers.*.attn.qkv", "h.*.qkv"),
        grouped("layers.*.falcon.qkv", "h.*.qkv"),
        part("layers.*.mlp.gate", "h.*.qkv", Part::Gate),
        expert("layers.*.experts.*.up", "h.*.ups"),
        plus_one("layers.*.norm", "h.*.norm"),
        renamed("embed", "wte"),
    ];
    /// Four query heads and two key-value heads of one row each: eight rows of 32.
    const HEADS: HeadCounts = HeadCounts { heads: 4, kv_heads: 2, head_dim: 1 };

    /// Row `r` of the fused tensor and of its bias is all `r`; expert `e` is all `10 + e`.
    fn weights(options: &LoadOptions) -> Result<Weights> {
        let f32s = |values: Vec<f32>| -> Vec<u8> {
            values.into_iter().flat_map(f32::to_le_bytes).collect()
        };
        let fused = f32s((0..8 * 32).map(|at| (at / 32) as f32).collect());
        let bias = f32s((0..8).map(|at| at as f32).collect());
        let experts = f32s((0..3 * 2 * 32).map(|at| (10 + at / 64) as f32).collect());
        let norm = f32s(vec![0.5; 32]);
        let view = |shape: &[usize], bytes| TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        let views = [
            ("h.5.qkv.weight", view(&[8, 32], &fused).unwrap()),
            ("h.5.qkv.bias", view(&[8], &bias).unwrap()),
            ("h.5.ups.weight", view(&[3, 2, 32], &experts).unwrap()),
            ("h.5.norm.weight", view(&[32], &norm).unwrap()),
        ];
        let folder = tempfile::tempdir().unwrap();
        let file = safetensors::serialize(views, None).unwrap();
        std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
        let files = ModelSource::directory(folder.path()).open()?;
        let weights = Weights::open(&files, NameTable { base: RULES, own: &[] }, options)?;
        Ok(weights.scope("layers").scope(5))
    }

    /// The rows that a layer is made of, told from its bias and its answer to ones.
    fn rows_of(linear: &Linear) -> Result<Vec<f32>> {
        let ones = Tensor::ones((1, 32), DType::F32, &Device::Cpu)?;
        let y = linear.forward(&ones)?.flatten_all()?.to_vec1::<f32>()?;
        let bias = linear.bias.as_ref().unwrap().to_vec1::<f32>()?;
        for (y, bias) in y.iter().zip(&bias) {
            assert!((y - 33.0 * bias).abs() < 0.1, "{y} {bias}");
        }
        Ok(bias)
    }

    #[test]
    fn fused_rows_dense_and_quantized() -> Result<()> {
        let cpu = LoadOptions::default().device(Device::Cpu);
        for options in [cpu.clone(), cpu.quantize(crate::options::QuantLevel::Q8_0)] {
            let weights = weights(&options)?.with_heads(HEADS);
            let rows = |name, out| rows_of(&weights.linear(name, 32, out, Bias::Present)?);
            assert_eq!(rows("attn.q", 4)?, [0.0, 1.0, 2.0, 3.0]);
            assert_eq!(rows("attn.k", 2)?, [4.0, 5.0]);
            assert_eq!(rows("attn.v", 2)?, [6.0, 7.0]);
            assert_eq!(rows("falcon.q", 4)?, [0.0, 1.0, 4.0, 5.0]);
            assert_eq!(rows("falcon.k", 2)?, [2.0, 6.0]);
            assert_eq!(rows("falcon.v", 2)?, [3.0, 7.0]);
            assert_eq!(rows("mlp.gate", 4)?, [0.0, 1.0, 2.0, 3.0]);
        }
        Ok(())
    }

    #[test]
    fn fused_tensors_of_another_size_are_refused() -> Result<()> {
        let weights = weights(&LoadOptions::default().device(Device::Cpu))?;
        let load = |weights: &Weights| weights.linear("attn.k", 32, 2, Bias::Absent).unwrap_err();
        assert!(matches!(load(&weights), Error::UnsupportedModel { .. }));
        let more = HeadCounts { heads: 5, ..HEADS };
        let Error::ShapeMismatch { expected, found, .. } = load(&weights.with_heads(more)) else {
            panic!("another error");
        };
        assert_eq!((expected, found), (vec![9, 32], vec![8, 32]));
        let absurd = HeadCounts { heads: usize::MAX, kv_heads: usize::MAX / 2, head_dim: 1 };
        assert!(matches!(load(&weights.with_heads(absurd)), Error::UnsupportedModel { .. }));
        Ok(())
    }

    #[test]
    fn experts_and_norms_minus_one() -> Result<()> {
        let weights = weights(&LoadOptions::default().device(Device::Cpu))?;
        let values = |name: &str, shape: &[usize]| -> Result<_> {
            Ok(weights.tensor(name, shape)?.flatten_all()?.to_vec1::<f32>()?)
        };
        assert_eq!(values("experts.2.up.weight", &[2, 32])?, [12.0; 64]);
        assert!(values("experts.3.up.weight", &[2, 32]).is_err());
        assert_eq!(values("norm.weight", &[32])?, [1.5; 32]);
        assert!(weights.contains("experts.0.up") && !weights.contains("experts"));
        let error = weights.tensor("embed.weight", &[1]).unwrap_err().to_string();
        assert!(error.contains("layers.5.embed.weight"), "{error}");
        Ok(())
    }
}
