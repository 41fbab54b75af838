//! What becomes of a stored tensor that is written.

use std::fs;
use std::path::Path;

use candle_core::quantized::GgmlDType;

use crate::error::{Error, Result};
use crate::weights::save::outgoing;
use crate::weights::store::StoredTensor;
use crate::weights::{Weights, convert};

/// Called with the name of each tensor before it is made.
pub(crate) type Progress<'a> = &'a dyn Fn(&str);

/// How a stored tensor is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written<'a> {
    /// As the model sees it.
    pub(super) shape: &'a [usize],
    pub(super) transposed: bool,
    pub(super) form: WrittenForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenForm {
    /// The bytes that are there.
    AsStored,
    Blocks(GgmlDType),
    /// Made of several tensors, dense.
    Dense(&'static str),
}

/// The bytes of a tensor of that name, as it is to be written.
pub(super) fn bytes(weights: &Weights, name: &str, written: &Written<'_>) -> Result<Vec<u8>> {
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
pub(super) fn length(kind: GgmlDType, shape: &[usize]) -> usize {
    shape.iter().product::<usize>() / kind.block_size() * kind.type_size()
}

/// Lets `write` make a temporary file beside `to`, and renames it when it is complete.
pub(super) fn in_place_of(to: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
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
