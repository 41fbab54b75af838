//! One adapter: its files, and which modules it is for.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::options::{Adapter, AdapterPlace, ModelPart};
use crate::source::gguf::GgufValue;
use crate::source::{ModelFiles, ModelSource, json};
use crate::weights::adapters::config::Config;
use crate::weights::adapters::names::{Key, Role, flat};
use crate::weights::store::{Store, StoredTensor};
use crate::weights::{convert, safetensors};

/// An opened adapter.
#[derive(Debug)]
pub(super) struct AdapterFile {
    store: Store,
    config: Config,
    /// What the caller multiplies it by.
    pub(super) scale: f32,
    pub(super) place: AdapterPlace,
    /// By their [flat](flat) names.
    modules: BTreeMap<String, Module>,
    /// Tensors in the place of the model's, by their flat names.
    whole: BTreeMap<String, String>,
}

/// The tensors of a module, by their names in the file.
#[derive(Debug, Default)]
struct Module {
    name: String,
    tensors: BTreeMap<Role, String>,
}

/// The matrices of a module, in f32.
#[derive(Debug)]
pub(in crate::weights) struct Matrices {
    /// `(rank, in_features)`.
    pub(in crate::weights) down: Vec<f32>,
    /// `(out_features, rank)`.
    pub(in crate::weights) up: Vec<f32>,
    pub(in crate::weights) rank: usize,
    pub(in crate::weights) ins: usize,
    pub(in crate::weights) outs: usize,
    /// By what their product is multiplied.
    pub(in crate::weights) scale: f32,
    /// The lengths of the rows of the sum: DoRA.
    pub(in crate::weights) magnitude: Option<Vec<f32>>,
}

/// What is read, for an error.
const KNOWN: &str = "names like \"base_model.model.….lora_A.weight\", \"unet.….lora_A.weight\" and \
                     \"lora_unet_….lora_down.weight\" are read";
/// Where diffusers and PEFT put the weights of an adapter.
const STEMS: [&str; 2] = ["adapter_model", "pytorch_lora_weights"];
const CONFIG: &str = "adapter_config.json";

impl AdapterFile {
    pub(super) fn open(adapter: &Adapter, part: Option<ModelPart>) -> Result<Self> {
        if !adapter.scale.is_finite() {
            let reason = format!("{:?} at the scale {}", adapter.source, adapter.scale);
            return Err(Error::option("adapters", reason));
        }
        let files = ModelSource::from(adapter.source.as_str()).open()?;
        let (store, in_folder) = match (&adapter.weight_name, files.is_single()) {
            (None, true) => (Store::open(&files, None)?, false),
            (Some(name), false) => (Store::open_file(&files.required(name, "the adapter")?)?, true),
            (Some(name), true) => {
                let reason = format!("{:?} is a file, which has no {name:?}", adapter.source);
                return Err(Error::option("adapters", reason));
            }
            (None, false) => (in_folder(&files)?, true),
        };
        let config = match in_folder.then(|| files.optional(CONFIG)).transpose()?.flatten() {
            Some(path) => json::read::<Config>(&path)?.checked(&path)?,
            None => of_file(&files, &store, part)?,
        };
        let mut opened = Self {
            store,
            config,
            scale: adapter.scale,
            place: adapter.place,
            modules: BTreeMap::new(),
            whole: BTreeMap::new(),
        };
        opened.sort(part)?;
        Ok(opened)
    }

    /// Finds out which tensors are for the part of the model.
    fn sort(&mut self, part: Option<ModelPart>) -> Result<()> {
        let mut unknown = Vec::new();
        for name in self.store.tensors.keys() {
            let key = match Key::read(name, part.is_some()) {
                Ok(key) => key,
                Err(Some(kind)) => {
                    return Err(Error::unsupported(format!(
                        "{}: tensor {name:?} is of {kind}; LoRA, and DoRA of PEFT, are supported",
                        self.store.origin.display()
                    )));
                }
                Err(None) => {
                    unknown.push(name.as_str());
                    continue;
                }
            };
            if let Some(ModelPart { name: here, all }) = part {
                let is_main = |name: &str| !name.starts_with("text_encoder");
                let named = key.part.or_else(|| all.iter().copied().find(|part| is_main(part)));
                match named {
                    Some(named) if !all.contains(&named) => {
                        unknown.push(name.as_str());
                        continue;
                    }
                    named if named != Some(here) => continue,
                    _ => {}
                }
            }
            match key.role {
                Role::Whole => drop(self.whole.insert(flat(&key.module), name.clone())),
                role => {
                    let module = self.modules.entry(flat(&key.module)).or_default();
                    module.name = key.module;
                    module.tensors.insert(role, name.clone());
                }
            }
        }
        match unknown.as_slice() {
            [] => Ok(()),
            unknown => {
                let parts =
                    part.map_or_else(String::new, |part| format!(" ({})", part.all.join(", ")));
                Err(Error::unsupported(format!(
                    "{}: {} of {} tensors are of no LoRA for this model{parts}, such as {:?}; {KNOWN}",
                    self.store.origin.display(),
                    unknown.len(),
                    self.store.tensors.len(),
                    unknown.iter().take(3).collect::<Vec<_>>(),
                )))
            }
        }
    }

    pub(super) fn origin(&self) -> &Path {
        &self.store.origin
    }

    /// The flat names of its modules and of tensors in the place of the model's.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().chain(self.whole.keys()).map(String::as_str)
    }

    /// A module's name as the file has it.
    pub(super) fn shown<'a>(&'a self, flat: &'a str) -> &'a str {
        self.modules.get(flat).map_or(flat, |module| module.name.as_str())
    }

    pub(super) fn has(&self, flat: &str) -> bool {
        self.modules.contains_key(flat)
    }

    /// The tensor in the place of the model's of that flat name.
    pub(super) fn whole(&self, flat: &str) -> Option<StoredTensor<'_>> {
        self.store.tensor(self.whole.get(flat)?)
    }

    /// The matrices of a module.
    pub(super) fn matrices(&self, flat: &str) -> Result<Option<Matrices>> {
        let Some(module) = self.modules.get(flat) else { return Ok(None) };
        let lacks = |what: &str| {
            let reason = format!("the adapter's module {:?} has no {what}", module.name);
            Error::malformed(self.origin(), reason)
        };
        let read =
            |role: Role| module.tensors.get(&role).map(|name| self.numbers(name)).transpose();
        let is_table = module.tensors.contains_key(&Role::TableDown);
        let (first, second) = match is_table {
            false => (read(Role::Down)?, read(Role::Up)?),
            // Its rows are those of the table, `(vocabulary, features)`: what goes in are features.
            true => (read(Role::TableUp)?.map(turned), read(Role::TableDown)?.map(turned)),
        };
        let (down, up) = (
            first.ok_or_else(|| lacks("first matrix"))?,
            second.ok_or_else(|| lacks("second matrix"))?,
        );
        let (rank, ins, outs) = (down.rows, down.columns, up.rows);
        if rank == 0 || up.columns != rank {
            let reason = format!(
                "the matrices of {:?} are {:?} and {:?}, which have no rank in common",
                module.name,
                [rank, ins],
                [outs, up.columns]
            );
            return Err(Error::malformed(self.origin(), reason));
        }
        let alpha = read(Role::Alpha)?.map(|alpha| alpha.numbers.first().copied().map(f64::from));
        let scale = self.config.scale(&module.name, rank, alpha.flatten()) as f32;
        let magnitude = read(Role::Magnitude)?.map(|magnitude| magnitude.numbers);
        Ok(Some(Matrices {
            down: down.numbers,
            up: up.numbers,
            rank,
            ins,
            outs,
            scale: scale * self.scale,
            magnitude,
        }))
    }

    fn numbers(&self, name: &str) -> Result<Numbers> {
        let stored = self.store.tensor(name);
        let stored =
            stored.ok_or_else(|| Error::malformed(self.origin(), format!("lacks {name:?}")))?;
        let numbers = convert::numbers(&stored)?;
        let rows = stored.shape.first().copied().unwrap_or(1);
        Ok(Numbers { rows, columns: numbers.len().checked_div(rows).unwrap_or(0), numbers })
    }
}

/// A matrix.
struct Numbers {
    rows: usize,
    columns: usize,
    numbers: Vec<f32>,
}

fn turned(matrix: Numbers) -> Numbers {
    let Numbers { rows, columns, numbers } = matrix;
    let number = |at: usize| numbers[at % rows * columns + at / rows];
    Numbers { rows: columns, columns: rows, numbers: (0..rows * columns).map(number).collect() }
}

/// The weights of a folder.
fn in_folder(files: &ModelFiles) -> Result<Store> {
    for stem in STEMS {
        for end in ["safetensors", "bin"] {
            if let Some(path) = files.optional(&format!("{stem}.{end}"))? {
                return Store::open_file(&path);
            }
        }
    }
    let names = STEMS.map(|stem| format!("{stem}.safetensors"));
    let reason = "it holds the adapter; name another file by `weight_name`, or the file itself";
    Err(files.missing(&names[0], &names.join(" or "), reason))
}

/// What the file of weights says of the adapter.
fn of_file(files: &ModelFiles, store: &Store, part: Option<ModelPart>) -> Result<Config> {
    /// diffusers writes the config of PEFT into it.
    const KEY: &str = "lora_adapter_metadata";
    if let Some(file) = files.gguf() {
        let kind = file.string("general.type")?;
        if kind != Some("adapter")
            || file.string("adapter.type")?.is_some_and(|kind| kind != "lora")
        {
            let reason =
                format!("is a GGUF file of the type {:?}, no LoRA", kind.unwrap_or("model"));
            return Err(Error::malformed(file.path(), reason));
        }
        let alpha = file.metadata().get("adapter.lora.alpha").and_then(GgufValue::as_f64);
        return Ok(Config::of_alpha(alpha));
    }
    let Some(text) = store.files.first().and_then(|file| safetensors::metadata(file, KEY)) else {
        return Ok(Config::default());
    };
    Config::of_metadata(&text, part.map(|part| part.name))
        .map_err(|reason| Error::malformed(&store.origin, format!("{KEY}: {reason}")))?
        .checked(&store.origin)
}
