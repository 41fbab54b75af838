//! Which files a checkpoint is, and what they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::source::mapped::MappedFile;
use crate::source::{ModelFiles, json, stays_inside};
use crate::weights::store::{Format, Store};
use crate::weights::{gguf, safetensors, torch};

impl Store {
    /// Opens the weights of a source: GGUF, else `model.safetensors` (or its shards), else
    /// `pytorch_model.bin` (or its shards), which is the order transformers looks in; or the same under
    /// another name than `model` and `pytorch_model`.
    pub(super) fn open(files: &ModelFiles, stem: Option<&str>) -> Result<Self> {
        if let Some(file) = files.gguf() {
            return gguf::open(file);
        }
        if let Some(path) = files.weights() {
            return Self::open_file(path);
        }
        #[cfg(feature = "audio")]
        if let Some(file) = files.whisper_cpp() {
            return Ok(gguf::open_whisper_cpp(file));
        }
        #[cfg(feature = "audio")]
        if let Some(file) = files.whisper_pt() {
            return torch::open_whisper(file);
        }
        let mut names = Vec::new();
        let formats = [&safetensors::FORMAT, &torch::FORMAT, &torch::PLAIN, &torch::SCRIPT];
        // The last two are looked for only where they are named.
        for format in &formats[..if stem.is_some() { formats.len() } else { 2 }] {
            let single = format!("{}.{}", stem.unwrap_or(format.stem), format.extension);
            if let Some(path) = files.optional(&single)? {
                return Self::open_as(path, format);
            }
            let index = format!("{single}.index.json");
            if let Some(index) = files.optional(&index)? {
                return Self::open_shards(files, index, format);
            }
            names.extend([single, index]);
        }
        let last = names.pop().unwrap_or_default();
        let all = format!("{} or {last}", names.join(", "));
        Err(files.missing(&names[0], &all, "one of them holds the model's weights"))
    }

    /// Opens a file of weights, of the format that its name ends in: safetensors, or else a pickle.
    pub(super) fn open_file(path: &Path) -> Result<Self> {
        let is_safetensors =
            path.extension().is_some_and(|end| end == safetensors::FORMAT.extension);
        let format = if is_safetensors { &safetensors::FORMAT } else { &torch::FORMAT };
        Self::open_as(path.to_owned(), format)
    }

    fn open_as(path: PathBuf, format: &Format) -> Result<Self> {
        let mapped = Arc::new(MappedFile::open(&path)?);
        let tensors = (format.read)(&mapped, 0)?.into_iter().collect();
        Ok(Self::of_files(path, vec![mapped], tensors))
    }

    fn open_shards(files: &ModelFiles, index: PathBuf, format: &Format) -> Result<Self> {
        let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tensor, shard) in read_index(&index)? {
            shards.entry(shard).or_default().push(tensor);
        }
        let mut store = Self::of_files(index, Vec::new(), BTreeMap::new());
        for (shard, names) in shards {
            let index = store.origin.file_name().unwrap_or_default().display();
            let path = files.required(&shard, &format!("tensors that {index} puts there"))?;
            let mapped = Arc::new(MappedFile::open(&path)?);
            let mut tensors: BTreeMap<_, _> =
                (format.read)(&mapped, store.files.len())?.into_iter().collect();
            for name in names {
                match tensors.remove(&name) {
                    Some(entry) => drop(store.tensors.insert(name, entry)),
                    None => drop(store.lacking.insert(name, path.clone())),
                }
            }
            store.files.push(mapped);
        }
        Ok(store)
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let index: Index = json::read(path)?;
    for (tensor, shard) in &index.weight_map {
        if !stays_inside(shard) || shard.contains('/') {
            let reason = format!(
                "puts tensor {tensor:?} into {shard:?}, which is not the file name of a shard"
            );
            return Err(Error::malformed(path, reason));
        }
    }
    Ok(index.weight_map)
}
