//! Writes models as they were loaded, so that they are quantized only once.

mod folder;
mod gguf;
mod outgoing;
mod written;

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::elements::{Elements, kind_of_blocks};
use crate::weights::inventory::{Inventory, Item, Role};
use crate::weights::{NameTable, Weights};
use written::{Written, WrittenForm};

pub(crate) use gguf::write as write_gguf;
pub(crate) use outgoing::{Order, Outgoing, Part};
pub(crate) use written::Progress;

/// Saves a model in the form it came in, one tensor at a time: a GGUF file of a GGUF file, else a
/// folder of our own. Linear layers are written in their blocks, everything else as the source
/// stores it.
pub(crate) fn save(
    files: &ModelFiles,
    inventory: &Inventory,
    to: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    refuse_adapted(inventory)?;
    let weights = Weights::open(files, NameTable::stored_names(), &LoadOptions::default())?;
    let written = tensors_to_write(&weights, inventory)?;
    match files.gguf() {
        Some(file) => gguf::save(file, &weights, &written, to, progress),
        None => folder::save(files, &weights, &written, to, progress),
    }
}

/// Refuses a model that is not what its files hold.
pub(crate) fn refuse_adapted(inventory: &Inventory) -> Result<()> {
    match inventory.is_adapted {
        false => Ok(()),
        true => Err(Error::unsupported(
            "saving a model that was loaded with adapters: save it without them, and load them with it",
        )),
    }
}

/// The stored tensors that the model uses, by name.
fn tensors_to_write<'a>(
    weights: &Weights,
    inventory: &'a Inventory,
) -> Result<BTreeMap<&'a str, Written<'a>>> {
    let mut tensors = BTreeMap::new();
    for item in inventory.items() {
        let form = form(weights, item);
        let shape = match form {
            WrittenForm::Blocks(_) => of_rows(&item.whole),
            WrittenForm::AsStored | WrittenForm::Dense(_) => &item.whole,
        };
        let written = Written { shape, transposed: item.transposed, form };
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

/// Blocks lie along rows: a convolution over one frame is stored as `(out, in, 1)`.
fn of_rows(shape: &[usize]) -> &[usize] {
    match shape {
        [rest @ .., 1] if rest.len() >= 2 => of_rows(rest),
        shape => shape,
    }
}

fn form(weights: &Weights, item: &Item) -> WrittenForm {
    let stored = weights.store.tensors.get(&item.stored_as).filter(|_| !item.assembled);
    let kind = kind_of_blocks(item.precision).filter(|_| item.role != Role::Tensor);
    match kind {
        // Blocks that are stored stay as they are, of whatever kind the parts of the model are.
        Some(kind) if stored.is_none_or(|stored| stored.elements != Elements::Blocks(kind)) => {
            WrittenForm::Blocks(kind)
        }
        None if item.assembled => WrittenForm::Dense(item.precision),
        _ => WrittenForm::AsStored,
    }
}
