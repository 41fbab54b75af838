//! Writes quantized models, so that quantizing is done once.

mod folder;
mod gguf;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::quantized::GgmlDType;

use crate::error::{Error, Result};
use crate::source::ModelFiles;
use crate::weights::Inventory;
use crate::weights::convert;
use crate::weights::elements::{Elements, kind_of_blocks};
use crate::weights::inventory::Role;
use crate::weights::store::Store;

pub(super) use folder::blocks_of;

/// Saves a model as it was quantized while it was loaded, one tensor at a time.
///
/// `files` is the source that the model was loaded from and `inventory` what it
/// [is made of](crate::models::heads::TextModel::inventory). Linear layers are written in their
/// blocks, everything else as the source stores it, so that loading what was saved, without
/// options, gives the same blocks bit for bit.
///
/// From a GGUF file comes a GGUF file with the same metadata, which llama.cpp loads, too; `to` ends
/// in `.gguf`. From a folder or repository comes a folder of our own: `model.safetensors`, in which
/// blocks are bytes with their type told in the file's metadata, and all files beside it.
///
/// ```no_run
/// use sconce::models::AutoModel;
/// use sconce::{LoadOptions, ModelSource, QuantLevel, weights};
///
/// let files = ModelSource::from("./SmolLM2-135M-Instruct").open()?;
/// let options = LoadOptions::default().quantize(QuantLevel::Q4K);
/// let model = AutoModel::causal_lm_from(&files, &options)?;
/// weights::save(&files, model.inventory(), "./SmolLM2-135M-Instruct-q4_k")?;
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// # Errors
///
/// When there is a model at `to` already or it cannot be written; when a tensor is not stored as it
/// is used (GPT-2's transposed matrices, checkpoints that another library quantized), or a folder is
/// to become a GGUF file or the other way round.
pub fn save(files: &ModelFiles, inventory: &Inventory, to: impl AsRef<Path>) -> Result<()> {
    let to = to.as_ref();
    let is_gguf = to.extension().is_some_and(|ending| ending == "gguf");
    let store = Store::open(files)?;
    let blocks = blocks_to_write(&store, inventory)?;
    match (files.gguf(), is_gguf) {
        (Some(file), true) => gguf::save(file, &store, &blocks, to),
        (None, false) => folder::save(files, &store, &blocks, to),
        (Some(_), false) => Err(Error::input(format!(
            "a GGUF file is saved as one: {} does not end in .gguf",
            to.display()
        ))),
        (None, true) => Err(Error::input(format!(
            "a folder is saved as a folder, and {} ends in .gguf; llama.cpp's \
             convert_hf_to_gguf.py makes GGUF files of folders",
            to.display()
        ))),
    }
}

/// The stored tensors that the model uses, and the blocks that they were quantized to.
fn blocks_to_write(
    store: &Store,
    inventory: &Inventory,
) -> Result<BTreeMap<String, Option<GgmlDType>>> {
    let mut blocks = BTreeMap::new();
    for item in inventory.items() {
        let stored = store.tensor(&item.stored_as).filter(|_| item.used_as_stored);
        let Some(stored) = stored else {
            return Err(Error::unsupported(format!(
                "{:?} is not stored as the model uses it (transposed, or quantized by another \
                 library); such a model cannot be saved",
                item.stored_as
            )));
        };
        let kind = (item.role == Role::Linear).then(|| kind_of_blocks(item.precision)).flatten();
        let kind = kind.filter(|kind| stored.elements != Elements::Blocks(*kind));
        blocks.insert(stored.name, kind);
    }
    Ok(blocks)
}

/// The tensor's bytes, quantized where `kind` says so.
fn bytes(store: &Store, name: &str, kind: Option<GgmlDType>) -> Result<Vec<u8>> {
    let Some(stored) = store.tensor(name) else {
        return Err(Error::input(format!("no tensor {name:?}")));
    };
    match kind {
        Some(kind) => convert::quantized(&stored, kind),
        None => Ok(stored.pieces.concat()),
    }
}

/// How many bytes a tensor of that shape takes in blocks.
fn length(kind: GgmlDType, shape: &[usize]) -> usize {
    shape.iter().product::<usize>() / kind.block_size() * kind.type_size()
}

/// Lets `write` make a file beside `to`, which takes its place when it is whole.
fn in_place_of(to: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if to.exists() {
        return Err(Error::input(format!("{} exists already", to.display())));
    }
    let partial = to.with_extension("partial");
    let outcome = write(&partial).and_then(|()| fs::rename(&partial, to).map_err(Error::write(to)));
    if outcome.is_err() {
        let _ = fs::remove_file(&partial);
    }
    outcome
}
