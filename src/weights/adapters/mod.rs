//! The adapters that a model is loaded with.

mod config;
mod file;
mod matrices;
mod merge;
mod names;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

pub(super) use matrices::{Magnitude, Matrices, Product};
pub(super) use merge::merged;
pub(super) use names::flat;

use crate::error::{Error, Result};
use crate::options::{AdapterPlace, LoadOptions};
use crate::weights::layout::MovedPart;
use crate::weights::store::StoredTensor;
use file::AdapterFile;

/// The adapters that a model is loaded with, and which of their modules it has.
#[derive(Debug, Default)]
pub(super) struct Adapters {
    files: Vec<AdapterFile>,
    /// By the number of the adapter.
    used: Mutex<BTreeSet<(usize, String)>>,
}

/// The modules of an adapter that a model does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) origin: String,
    pub(super) modules: Vec<String>,
    pub(super) of: usize,
}

/// A module's name in an adapter, and what of the module of that name it is.
pub(super) type Name = (String, MovedPart);

impl Adapters {
    pub(super) fn open(options: &LoadOptions) -> Result<Self> {
        let open = |adapter| AdapterFile::open(adapter, options.part);
        let files = options.adapters.iter().map(open).collect::<Result<_>>()?;
        Ok(Self { files, used: Mutex::default() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn note(&self, number: usize, name: &str) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert((number, name.to_owned()));
    }

    /// The modules that no layer has been loaded for.
    pub(super) fn unfit(&self) -> Vec<Unfit> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let unfit = |(number, file): (usize, &AdapterFile)| {
            let is_unused = |name: &&str| !used.contains(&(number, (*name).to_owned()));
            let unused = file.names().filter(is_unused).map(|name| file.shown(name).to_owned());
            let modules: Vec<_> = unused.collect();
            let of = file.names().count();
            let origin = file.origin().display().to_string();
            (!modules.is_empty()).then_some(Unfit { origin, modules, of })
        };
        self.files.iter().enumerate().filter_map(unfit).collect()
    }

    /// The tensor of an adapter in the place of the model's; the last adapter counts.
    pub(super) fn whole(&self, name: &str) -> Option<StoredTensor<'_>> {
        let flat = flat(name);
        let mut found = None;
        for (number, file) in self.files.iter().enumerate() {
            if let Some(tensor) = file.whole(&flat) {
                self.note(number, &flat);
                found = Some(tensor);
            }
        }
        found
    }

    /// What the adapters have for a module of these names.
    pub(super) fn of(
        &self,
        names: &[Name],
        tensor: &StoredTensor<'_>,
        found: &Rows<'_>,
    ) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            let Some((name, part)) = names.iter().find(|(name, _)| file.has(name)) else {
                continue;
            };
            let Some(matrices) = file.matrices(name)? else { continue };
            self.note(number, name);
            let shape = [matrices.outs, matrices.ins];
            let half = matrices.outs / 2;
            let matrices = match part {
                MovedPart::All => matrices,
                MovedPart::Rows(rows, of) if *of == matrices.outs => {
                    matrices.rows(std::slice::from_ref(rows))
                }
                MovedPart::HalvesSwapped => matrices.rows(&[half..2 * half, 0..half]),
                MovedPart::Rows(..) | MovedPart::Transposed => {
                    return Err(mismatch(file, name, shape, tensor));
                }
            };
            let matrices = match found.cut {
                None => matrices,
                Some(ranges) if matrices.outs == found.of => matrices.rows(ranges),
                Some(_) => return Err(mismatch(file, name, shape, tensor)),
            };
            let outs = tensor.shape.first().copied().unwrap_or(0);
            let ins = tensor.shape.iter().skip(1).product::<usize>();
            let is_wrong = match &matrices.magnitude {
                None => false,
                Some(Magnitude::Rows(lengths)) => lengths.len() != outs,
                // Of all rows; some of them do not tell it.
                Some(Magnitude::Inputs(lengths)) => {
                    matrices.outs != shape[0] || tensor.shape.get(1) != Some(&lengths.len())
                }
            };
            if is_wrong || [matrices.outs, matrices.ins] != [outs, ins] {
                return Err(mismatch(file, name, shape, tensor));
            }
            changes.push(Change { matrices, place: file.place });
        }
        Ok(changes)
    }
}

/// The rows of a stored tensor that are asked for, where that is not all of them.
pub(super) struct Rows<'a> {
    pub(super) cut: Option<&'a [Range<usize>]>,
    /// How many there are.
    pub(super) of: usize,
}

fn mismatch(file: &AdapterFile, name: &str, shape: [usize; 2], tensor: &StoredTensor<'_>) -> Error {
    Error::unsupported(format!(
        "{}: the adapter's module {:?} is for a layer of {shape:?}, and {:?} is {:?}: it is for another model",
        file.origin().display(),
        file.shown(name),
        tensor.name,
        tensor.shape
    ))
}

/// What an adapter does to a module.
pub(super) struct Change {
    pub(super) matrices: Matrices,
    pub(super) place: AdapterPlace,
}
