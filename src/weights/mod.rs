#![doc = include_str!("../../docs/loading.md")]

mod blocks;
mod convert;
mod elements;
mod embedding;
mod gguf;
mod inventory;
mod linear;
pub(crate) mod names;
mod outcome;
mod pickle;
mod plan;
mod quantized;
mod safetensors;
mod save;
pub(crate) mod slices;
mod store;
mod torch;

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

pub use embedding::Embedding;
pub use inventory::{Inventory, Item, Role};
pub use linear::Linear;
pub use names::NameTable;
pub(crate) use outcome::check;
pub(crate) use save::{Order, Outgoing, Part, Progress, save, write_gguf};

use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::elements::Elements;
use crate::weights::inventory::Notes;
use crate::weights::names::{HeadCounts, How, Resolved};
use crate::weights::plan::{LoadPlan, ModuleNames};
use crate::weights::quantized::Scheme;
use crate::weights::store::{Store, StoredTensor};

/// A checkpoint, seen through a name table, from inside one scope of the model.
///
/// Cloning and scoping are cheap: the files are mapped once and shared, and closed when the last
/// clone is dropped, which a model does when it is loaded.
///
/// ```
/// use sconce::weights::{Bias, NameTable, Weights};
/// use sconce::{LoadOptions, ModelSource};
///
/// # fn main() -> sconce::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let layer = r#"{"model.layers.0.proj.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
/// # let mut file = (layer.len() as u64).to_le_bytes().to_vec();
/// # file.extend(layer.as_bytes());
/// # file.extend([0; 24]);
/// # std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
/// # let source = ModelSource::directory(folder.path());
/// // let source = ModelSource::directory("./my-model");
/// let weights = Weights::open(&source.open()?, NameTable::stored_names(), &LoadOptions::default())?;
/// let layer = weights.scope("model").scope("layers").scope(0);
/// let projection = layer.linear("proj", 3, 2, Bias::IfStored)?;
/// assert_eq!((projection.out_features(), projection.precision()), (2, "f32"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Weights {
    store: Arc<Store>,
    names: NameTable,
    scope: String,
    heads: Option<HeadCounts>,
    prefix: Option<String>,
    part: Option<&'static str>,
    scheme: Scheme,
    plan: LoadPlan,
    notes: Arc<Notes>,
}

/// Whether a linear layer has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Bias {
    /// Never, whatever the checkpoint holds.
    Absent,
    /// If the checkpoint holds one: where the config is silent.
    IfStored,
    /// Always: it is an error when the checkpoint has none.
    Present,
}

/// What a config's flag says.
impl From<bool> for Bias {
    fn from(present: bool) -> Self {
        if present { Self::Present } else { Self::Absent }
    }
}

impl Weights {
    /// Opens the weights of a source: the tensors of a GGUF file, else `model.safetensors`, else
    /// `pytorch_model.bin`, the latter two whole or in shards listed by an index file.
    ///
    /// Files are mapped and their headers checked; tensors are read as they are asked for.
    ///
    /// # Errors
    ///
    /// When there are no weights, a shard is missing, or a header is malformed.
    pub fn open(files: &ModelFiles, names: NameTable, options: &LoadOptions) -> Result<Self> {
        let store = Store::open(files)?;
        let plan = LoadPlan::new(&store, options);
        Ok(Self {
            store: Arc::new(store),
            names,
            scope: String::new(),
            heads: None,
            prefix: None,
            part: None,
            scheme: Scheme::read(files)?,
            plan,
            notes: Arc::default(),
        })
    }

    /// The weights under a name: `weights.scope("layers").scope(3)` reads `layers.3.*`.
    #[must_use]
    pub fn scope(&self, name: impl fmt::Display) -> Self {
        Self { scope: self.path(&name.to_string()), ..self.clone() }
    }

    /// Tells where query, key and value lie in a fused tensor; whoever loads an attention whose
    /// family may fuse them says so once.
    #[must_use]
    pub(crate) fn with_heads(&self, heads: HeadCounts) -> Self {
        Self { heads: Some(heads), ..self.clone() }
    }

    /// Tensors may be stored with or without this before their names: checkpoints of a base model
    /// leave out what those with a head put there, `base_model_prefix` in transformers.
    #[must_use]
    pub(crate) fn base_model_prefix(&self, prefix: &str) -> Self {
        Self { prefix: Some(prefix.to_owned()), ..self.clone() }
    }

    /// The model is a part of a larger one, which the checkpoint is of: tensors are also looked for in
    /// the part of that name, as both generations of multimodal checkpoints have it.
    #[must_use]
    pub(crate) fn part_of_more(&self, part: &'static str) -> Self {
        Self { part: Some(part), ..self.clone() }
    }

    /// Whether the checkpoint holds a tensor of our name, or a module of it with a `weight`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let name = self.path(name);
        [format!("{name}.weight"), name]
            .iter()
            .any(|name| self.find(&self.resolve(name).name).is_some())
    }

    /// The shape of a tensor of our name, where the checkpoint holds it.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        let stored = self.find(&self.resolve(&self.path(name)).name)?;
        self.store.tensors.get(&stored).map(|tensor| tensor.shape.as_slice())
    }

    /// The names that the checkpoint itself gives its tensors.
    pub fn stored_names(&self) -> impl Iterator<Item = &str> {
        self.store.tensors.keys().map(String::as_str)
    }

    /// The layer of that name: weight `(out_features, in_features)` under `name.weight`, bias
    /// `(out_features)` under `name.bias`. Only this and [`output_head`](Self::output_head) quantize.
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
    /// [`skip_modules`](LoadOptions::skip_modules) says so.
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
        let Found { tensor: stored, plus, .. } = &found;
        let plan = &self.plan;
        let names = ModuleNames { ours: &self.path(name), stored: &stored.name, is_output_head };
        let weight = match plan.linear_blocks(&stored.elements, in_features, names) {
            Some(blocks) => convert::blocks(stored, blocks, &plan.device)?,
            None => {
                let dtype = plan.dense(&stored.elements);
                plan.matrix(convert::dense(stored, dtype, *plus, &plan.device)?)
            }
        };
        self.note(name, Role::Linear, &found, weight.precision(), weight.bytes());
        let bias_name = format!("{name}.bias");
        let bias = match bias {
            Bias::Absent => None,
            Bias::IfStored if !self.contains(&bias_name) => None,
            Bias::IfStored | Bias::Present => Some(self.tensor(&bias_name, &[out_features])?),
        };
        Ok(Linear { weight, bias })
    }

    /// The table of that name, `(vocab, hidden)` under `name.weight`. Blocks stay blocks unless a
    /// dtype was asked for; for a tied output head see [`Embedding::as_linear`].
    ///
    /// # Errors
    ///
    /// As for [`linear`](Self::linear).
    pub fn embedding(&self, name: &str, vocab: usize, hidden: usize) -> Result<Embedding> {
        let found = self.stored(&format!("{name}.weight"), &[vocab, hidden])?;
        let Found { tensor: stored, plus, .. } = &found;
        let plan = &self.plan;
        let table = match plan.kept_blocks(&stored.elements, hidden) {
            Some(blocks) => convert::blocks(stored, blocks, &plan.device)?,
            None => {
                let dtype = plan.dense(&stored.elements);
                plan.matrix(convert::dense(stored, dtype, *plus, &plan.device)?)
            }
        };
        self.note(name, Role::Embedding, &found, table.precision(), table.bytes());
        Ok(Embedding::of(table, plan.compute))
    }

    /// The tensor of exactly that name, `attn_norm.weight` say: nothing is appended. Always dense
    /// and in [`dtype`](Self::dtype): norms, biases, convolution kernels, routers.
    ///
    /// # Errors
    ///
    /// As for [`linear`](Self::linear).
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let found = self.stored(name, shape)?;
        let (dtype, device) = (self.plan.compute, &self.plan.device);
        let tensor = convert::dense(&found.tensor, dtype, found.plus, device)?;
        let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.note(name, Role::Tensor, &found, tensor.dtype().as_str(), bytes);
        Ok(tensor)
    }

    /// What has been loaded so far, from all scopes of the checkpoint.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        self.notes.inventory()
    }

    /// Where tensors are put.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.plan.device
    }

    /// The dtype of activations: f32 on the CPU, that of the dense weights on a GPU.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.plan.compute
    }

    fn note(
        &self,
        name: &str,
        role: Role,
        found: &Found<'_>,
        precision: &'static str,
        bytes: usize,
    ) {
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

    /// The dtype of keys and values.
    pub(crate) fn cache_dtype(&self) -> DType {
        self.plan.cache
    }

    /// The tensor in its file, of that shape.
    fn stored(&self, name: &str, shape: &[usize]) -> Result<Found<'_>> {
        let ours = self.path(name);
        let resolved = self.resolve(&ours);
        let found = self.find(&resolved.name);
        let stored = found.as_deref().map(|name| self.read(name)).transpose()?.flatten();
        let Some(stored) = stored else {
            if let Some(error) = found.and_then(|name| self.store.lacking(&name)) {
                return Err(error);
            }
            return Err(Error::MissingTensor {
                tensor: ours,
                stored_as: resolved.name,
                path: self.store.origin.clone(),
            });
        };
        // Blocks lie along the rows that are multiplied, whatever they were made of.
        let transposed = resolved.transposed
            && stored.shape.len() == 2
            && !matches!(stored.elements, Elements::Blocks(_));
        let mut whole = stored.shape.clone();
        if transposed {
            whole.reverse();
        }
        let ranges = match resolved.how {
            How::Rows(part, layout) => {
                let rows = shape.first().copied().unwrap_or(1);
                let fused = part.of(layout, rows, self.heads).ok_or_else(|| {
                    let heads = self.heads;
                    let name = &stored.name;
                    Error::unsupported(format!(
                        "{name:?} fuses parts that {heads:?} do not tell apart"
                    ))
                })?;
                if whole.first() != Some(&fused.total) {
                    let rest = shape.iter().skip(1).copied();
                    let expected = std::iter::once(fused.total).chain(rest).collect();
                    return Err(mismatch(&StoredTensor { shape: whole, ..stored }, expected));
                }
                Some(fused.ranges())
            }
            How::Expert(number) => {
                let one = number..number.saturating_add(1);
                Some(std::iter::once(one).collect())
            }
            How::Whole | How::PlusOne => None,
        };
        let stored = match (ranges, transposed) {
            (None, false) => stored,
            (None, true) => {
                let all = 0..whole[0];
                stored.transposed_rows(std::slice::from_ref(&all))?
            }
            (Some(ranges), false) => stored.rows(&ranges)?,
            (Some(ranges), true) => stored.transposed_rows(&ranges)?,
        };
        let stored = match resolved.how {
            How::Expert(_) => stored.unstacked(),
            _ => stored,
        };
        // GGUF files leave out dimensions of one.
        let dims = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        let squeezed = stored.shape.len() < shape.len() && dims(&stored.shape) == dims(shape);
        if stored.shape != shape && !squeezed {
            return Err(mismatch(&stored, shape.to_vec()));
        }
        let tensor = StoredTensor { shape: shape.to_vec(), ..stored };
        let plus = if resolved.how == How::PlusOne { 1.0 } else { 0.0 };
        match tensor.elements {
            Elements::Other(_) => Err(tensor.unreadable()),
            _ => Ok(Found { tensor, plus, whole, transposed }),
        }
    }

    fn resolve(&self, ours: &str) -> Resolved {
        self.names.resolve(ours, |name| self.find(name).is_some())
    }

    /// What the checkpoint calls the tensor of that name: with the base model's prefix or without, or
    /// as that of a part.
    fn find(&self, name: &str) -> Option<String> {
        let mut names = vec![name.to_owned()];
        if let Some(prefix) = self.prefix.as_deref() {
            let bare = name.strip_prefix(prefix).and_then(|name| name.strip_prefix('.'));
            names.push(bare.map_or_else(|| format!("{prefix}.{name}"), str::to_owned));
        }
        if let Some(part) = self.part {
            names.push(format!("{part}.{name}"));
            names.extend(name.strip_prefix("model.").map(|bare| format!("model.{part}.{bare}")));
        }
        names
            .into_iter()
            .find(|name| self.store.contains(name) || self.scheme.contains(&self.store, name))
    }

    /// The tensor of that name, put together where it is stored as several.
    fn read(&self, name: &str) -> Result<Option<StoredTensor<'_>>> {
        Ok(match self.scheme.assemble(&self.store, name)? {
            None => self.store.tensor(name),
            Some(assembled) => Some(StoredTensor { name: name.to_owned(), ..assembled }),
        })
    }

    fn path(&self, name: &str) -> String {
        match self.scope.as_str() {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        }
    }
}

/// A tensor that was asked for.
#[derive(Debug)]
struct Found<'a> {
    tensor: StoredTensor<'a>,
    /// What is to be added to each of its elements.
    plus: f32,
    /// The shape of what it is cut from, in the order of its own dimensions.
    whole: Vec<usize>,
    /// Whether the checkpoint holds it the other way round.
    transposed: bool,
}

fn mismatch(stored: &StoredTensor<'_>, expected: Vec<usize>) -> Error {
    Error::ShapeMismatch {
        tensor: stored.name.clone(),
        expected,
        found: stored.shape.clone(),
        path: stored.file.path().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ::safetensors::Dtype;
    use ::safetensors::tensor::TensorView;

    use super::*;
    use crate::source::ModelSource;
    use crate::weights::names::{Fused, Part, Rule, expert, part, plus_one, renamed, rows};

    const RULES: &[Rule] = &[
        part("layers.*.attn.q", "h.*.qkv", Part::Query),
        part("layers.*.attn.k", "h.*.qkv", Part::Key),
        part("layers.*.attn.v", "h.*.qkv", Part::Value),
        rows("layers.*.falcon.q", "h.*.qkv", Part::Query, Fused::Grouped),
        rows("layers.*.falcon.k", "h.*.qkv", Part::Key, Fused::Grouped),
        rows("layers.*.falcon.v", "h.*.qkv", Part::Value, Fused::Grouped),
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
        let file = ::safetensors::serialize(views, None).unwrap();
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
