//! Writes models as they were loaded, so that quantizing is done once.

mod folder;
mod gguf;
mod outgoing;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::quantized::GgmlDType;

use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::elements::{Elements, kind_of_blocks};
use crate::weights::inventory::{Inventory, Item, Role};
use crate::weights::store::StoredTensor;
use crate::weights::{NameTable, Weights, convert};

pub(super) use folder::blocks_of;
pub(crate) use gguf::write as write_gguf;
pub(crate) use outgoing::{Order, Outgoing, Part};

/// Told the name of each tensor before it is made.
pub(crate) type Progress<'a> = &'a dyn Fn(&str);

/// Saves a model in the form it came in, one tensor at a time: a GGUF file of a GGUF file, else a
/// folder of our own. Linear layers are written in their blocks, everything else as the source
/// stores it.
pub(crate) fn save(
    files: &ModelFiles,
    inventory: &Inventory,
    to: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    let weights = Weights::open(files, NameTable::stored_names(), &LoadOptions::default())?;
    let written = tensors_to_write(&weights, inventory)?;
    match files.gguf() {
        Some(file) => gguf::save(file, &weights, &written, to, progress),
        None => folder::save(files, &weights, &written, to, progress),
    }
}

/// How a stored tensor is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written<'a> {
    /// As the model sees it.
    shape: &'a [usize],
    transposed: bool,
    form: WrittenForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WrittenForm {
    /// The bytes that are there.
    AsStored,
    Blocks(GgmlDType),
    /// Made of several tensors, dense.
    Dense(&'static str),
}

/// The stored tensors that the model uses, by name.
fn tensors_to_write<'a>(
    weights: &Weights,
    inventory: &'a Inventory,
) -> Result<BTreeMap<&'a str, Written<'a>>> {
    let mut tensors = BTreeMap::new();
    for item in inventory.items() {
        let written =
            Written { shape: &item.whole, transposed: item.transposed, form: form(weights, item) };
        let earlier = tensors.insert(item.stored_as.as_str(), written);
        if earlier.is_some_and(|earlier| earlier.form != written.form) {
            return Err(Error::unsupported(format!(
                "parts of {:?} are quantized and others are not, and it can only be saved whole",
                item.stored_as
            )));
        }
    }
    Ok(tensors)
}

fn form(weights: &Weights, item: &Item) -> WrittenForm {
    let stored = weights.store.tensors.get(&item.stored_as).filter(|_| !item.assembled);
    let kind = kind_of_blocks(item.precision).filter(|_| item.role == Role::Linear);
    match kind {
        // Blocks that are stored stay as they are, of whatever kind the parts of the model are.
        Some(kind) if stored.is_none_or(|stored| stored.elements != Elements::Blocks(kind)) => {
            WrittenForm::Blocks(kind)
        }
        None if item.assembled => WrittenForm::Dense(item.precision),
        _ => WrittenForm::AsStored,
    }
}

/// The bytes of a tensor of that name, as it is to be written.
fn bytes(weights: &Weights, name: &str, written: &Written<'_>) -> Result<Vec<u8>> {
    let read = || -> Result<StoredTensor<'_>> {
        weights.read(name)?.ok_or_else(|| Error::input(format!("no tensor {name:?}")))
    };
    match written.form {
        WrittenForm::AsStored => {
            let stored = weights.store.tensor(name);
            let stored = stored.ok_or_else(|| Error::input(format!("no tensor {name:?}")))?;
            Ok(stored.pieces.concat())
        }
        WrittenForm::Blocks(kind) if written.transposed => {
            let rows = 0..written.shape.first().copied().unwrap_or(0);
            let turned = read()?.transposed_rows(std::slice::from_ref(&rows))?;
            convert::quantized(&turned, kind)
        }
        WrittenForm::Blocks(kind) => convert::quantized(&read()?, kind),
        WrittenForm::Dense(precision) => outgoing::in_precision(&read()?, 0.0, precision),
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
    let extension = to.extension().unwrap_or_default().to_string_lossy();
    let partial = &to.with_extension(format!("partial.{extension}"));
    let outcome = write(partial).and_then(|()| fs::rename(partial, to).map_err(Error::write(to)));
    if outcome.is_err() {
        let _ = fs::remove_file(partial);
    }
    outcome
}
