//! A checkpoint through a name table: which tensor a name means.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device};

use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::adapters::Adapters;
use crate::weights::elements::Elements;
use crate::weights::inventory::{Inventory, Notes};
use crate::weights::layout::Layout;
use crate::weights::names::{HeadCounts, How, NameTable, Resolved};
use crate::weights::plan::LoadPlan;
use crate::weights::quantized::Scheme;
use crate::weights::store::{Store, StoredTensor};

/// A checkpoint, seen through a name table, from inside one scope of the model.
///
/// Cloning and scoping are cheap: the files are mapped once and shared. They are closed when the
/// last clone is dropped; a model drops its own when it is loaded.
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
    pub(super) store: Arc<Store>,
    pub(super) names: NameTable,
    pub(super) scope: String,
    pub(super) heads: Option<HeadCounts>,
    pub(super) prefix: Option<String>,
    pub(super) part: Option<&'static str>,
    pub(super) scheme: Scheme,
    pub(super) plan: LoadPlan,
    pub(super) notes: Arc<Notes>,
    pub(super) adapters: Arc<Adapters>,
    pub(super) layout: Option<Arc<Layout>>,
}

impl Weights {
    /// A number that tells the values of the weights in the files from others, of a sample of their bytes.
    pub(crate) fn sample(&self) -> u64 {
        self.store.sample()
    }

    /// Opens the weights of a source: the tensors of a GGUF file, or else `model.safetensors`, or
    /// else `pytorch_model.bin`. The latter two may be whole, or in shards listed by an index file.
    ///
    /// Files are mapped and their headers checked; tensors are read as they are asked for.
    ///
    /// # Errors
    ///
    /// When there are no weights, a shard is missing, or a header is malformed.
    pub fn open(files: &ModelFiles, names: NameTable, options: &LoadOptions) -> Result<Self> {
        Self::of(Store::open(files, None)?, files, names, options)
    }

    /// As [`open`](Self::open), from files that are not called `model` or `pytorch_model`:
    /// `diffusion_pytorch_model` as in diffusers, `adapter_model` as in PEFT.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_stem(
        files: &ModelFiles,
        stem: &str,
        names: NameTable,
        options: &LoadOptions,
    ) -> Result<Self> {
        Self::of(Store::open(files, Some(stem))?, files, names, options)
    }

    /// Opens a single file in the layout of its makers: `layout` says what is called how behind the first of
    /// `prefixes` that a tensor `probe` is found with. `None` where there is none.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    #[cfg(feature = "image")]
    pub(crate) fn open_moved(
        files: &ModelFiles,
        (prefixes, probe): (&[&str], &str),
        layout: impl FnOnce(&str) -> Layout,
        names: NameTable,
        options: &LoadOptions,
    ) -> Result<Option<Self>> {
        let store = Store::open(files, None)?;
        let is_there = |prefix: &&&str| store.contains(&format!("{prefix}{probe}"));
        match prefixes.iter().find(is_there) {
            None => Ok(None),
            Some(prefix) => Self::of(store.moved(&layout(prefix)), files, names, options).map(Some),
        }
    }

    fn of(
        store: Store,
        files: &ModelFiles,
        names: NameTable,
        options: &LoadOptions,
    ) -> Result<Self> {
        let plan = LoadPlan::new(&store, options);
        let total = store.tensors.values().map(|entry| entry.range.len() as u64).sum();
        Ok(Self {
            store: Arc::new(store),
            names,
            scope: String::new(),
            heads: None,
            prefix: None,
            part: None,
            scheme: Scheme::read(files)?,
            plan,
            adapters: Arc::new(Adapters::open(options)?),
            layout: None,
            notes: Arc::new(Notes::new(total, options.progress.clone())),
        })
    }

    /// The weights under a name: `weights.scope("layers").scope(3)` reads `layers.3.*`.
    #[must_use]
    pub fn scope(&self, name: impl fmt::Display) -> Self {
        Self { scope: self.path(&name.to_string()), ..self.clone() }
    }

    /// Sets where query, key and value lie in a fused tensor. Called once by the loader of an
    /// attention whose family may fuse them.
    #[must_use]
    pub(crate) fn with_heads(&self, heads: HeadCounts) -> Self {
        Self { heads: Some(heads), ..self.clone() }
    }

    /// Tensor names may begin with this prefix or not: checkpoints with a head have it, checkpoints
    /// of the base model do not (`base_model_prefix` in transformers).
    #[must_use]
    pub(crate) fn base_model_prefix(&self, prefix: &str) -> Self {
        Self { prefix: Some(prefix.to_owned()), ..self.clone() }
    }

    /// The checkpoint is multimodal, and the model is its part `part`: tensors are also looked for
    /// under `part.` and `model.part.`, the names of both generations of such checkpoints.
    #[must_use]
    pub(crate) fn inside_multimodal(&self, part: &'static str) -> Self {
        Self { part: Some(part), ..self.clone() }
    }

    /// The same checkpoint through another table of names, from outside of all scopes: for a model that is made
    /// of others.
    #[cfg(feature = "audio")]
    pub(crate) fn named(&self, names: NameTable) -> Self {
        let (heads, prefix, part) = (None, None, None);
        Self { names, scope: String::new(), heads, prefix, part, ..self.clone() }
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

    /// What has been loaded so far, from all scopes of the checkpoint.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        self.notes.inventory(&self.adapters)
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

    /// The dtype of keys and values.
    pub(crate) fn cache_dtype(&self) -> DType {
        self.plan.cache
    }

    /// The tensor in its file, of that shape.
    pub(super) fn stored(&self, name: &str, shape: &[usize]) -> Result<Found<'_>> {
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
        let rows = ranges.clone();
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
        // GGUF files leave out dimensions of one, and some biases have such.
        let dims = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        let squeezed = stored.shape.len() != shape.len() && dims(&stored.shape) == dims(shape);
        if stored.shape != shape && !squeezed && !is_flattened(&stored.shape, shape) {
            return Err(mismatch(&stored, shape.to_vec()));
        }
        let tensor = StoredTensor { shape: shape.to_vec(), ..stored };
        let plus = if resolved.how == How::PlusOne { 1.0 } else { 0.0 };
        match tensor.elements {
            Elements::Other(_) => Err(tensor.unreadable()),
            _ => {
                let is_one_of_many = matches!(resolved.how, How::Expert(_));
                Ok(Found { tensor, plus, whole, transposed, rows, is_one_of_many })
            }
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
        names.into_iter().find(|name| {
            self.store.contains(name)
                || self.scheme.contains(&self.store, name)
                || self.adapters.whole(name).is_some()
        })
    }

    /// The tensor of that name, put together where it is stored as several.
    pub(super) fn read(&self, name: &str) -> Result<Option<StoredTensor<'_>>> {
        if let Some(whole) = self.adapters.whole(name) {
            return Ok(Some(StoredTensor { name: name.to_owned(), ..whole }));
        }
        Ok(match self.scheme.assemble(&self.store, name)? {
            None => self.store.tensor(name),
            Some(assembled) => Some(StoredTensor { name: name.to_owned(), ..assembled }),
        })
    }

    pub(super) fn path(&self, name: &str) -> String {
        match self.scope.as_str() {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        }
    }
}

/// A tensor that was asked for.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) tensor: StoredTensor<'a>,
    /// What is to be added to each of its elements.
    pub(super) plus: f32,
    /// The shape of what it is cut from, in the order of its own dimensions.
    pub(super) whole: Vec<usize>,
    /// Whether the checkpoint holds it the other way round.
    pub(super) transposed: bool,
    /// The rows of that tensor which it is, where these are not all.
    pub(super) rows: Option<Vec<Range<usize>>>,
    /// Whether that tensor is a stack of several.
    pub(super) is_one_of_many: bool,
}

/// Whether a matrix is asked for where the windows of a convolution lie: one that goes over a picture in steps of its own
/// size is a product.
fn is_flattened(stored: &[usize], matrix: &[usize]) -> bool {
    match (stored, matrix) {
        (&[out, channels, height, width], &[rows, columns]) => {
            out == rows
                && channels.checked_mul(height).and_then(|size| size.checked_mul(width))
                    == Some(columns)
        }
        _ => false,
    }
}

fn mismatch(stored: &StoredTensor<'_>, expected: Vec<usize>) -> Error {
    Error::ShapeMismatch {
        tensor: stored.name.clone(),
        expected,
        found: stored.shape.clone(),
        path: stored.file.path().to_owned(),
    }
}
