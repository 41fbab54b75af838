//! One adapter: its files, and which modules it is for.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::options::{Adapter, AdapterPlace, ModelPart};
use crate::source::gguf::GgufValue;
use crate::source::{ModelFiles, ModelSource, json};
use crate::weights::adapters::config::Config;
use crate::weights::adapters::matrices::{Magnitude, Matrices, Numbers, Product};
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
                        "{}: tensor {name:?} is of {kind}; LoRA, DoRA, LoHa and LoKr are supported",
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

    /// What it adds to a module.
    pub(super) fn matrices(&self, flat: &str) -> Result<Option<Matrices>> {
        let Some(module) = self.modules.get(flat) else { return Ok(None) };
        let has = |role: Role| module.tensors.contains_key(&role);
        let numbers = |role: Role| match module.tensors.get(&role) {
            Some(name) => self.numbers(name),
            None => {
                let (name, ending) = (&module.name, role.ending());
                let reason = format!("the adapter's module {name:?} has no {ending:?}");
                Err(Error::malformed(self.origin(), reason))
            }
        };
        let unfit = || {
            let reason = format!("the matrices of {:?} do not fit together", module.name);
            Error::malformed(self.origin(), reason)
        };
        let whole = |all: Numbers| (Product::Whole(all.numbers), [all.rows, all.columns]);
        let half = |core: Option<Role>, left: Role, right: Role| -> Result<Numbers> {
            let (left, right) = (numbers(left)?, numbers(right)?);
            let product = match core.filter(|core| has(*core)) {
                Some(core) => numbers(core)?.tucker(left, right),
                None => left.times(right),
            };
            product.ok_or_else(unfit)
        };
        let rows_of = |role: Role| numbers(role).map(|matrix| matrix.rows);
        let (rank, (product, [outs, ins])) = if has(Role::HadaRight1) {
            let second = half(Some(Role::HadaCore2), Role::HadaLeft2, Role::HadaRight2)?;
            let first = half(Some(Role::HadaCore1), Role::HadaLeft1, Role::HadaRight1)?;
            let all = first.hadamard(&second).ok_or_else(unfit)?;
            (Some(rows_of(Role::HadaRight1)?), whole(all))
        } else if [Role::Kron1, Role::KronRight1].into_iter().any(has) {
            let side = |full: Role,
                        core: Option<Role>,
                        left: Role,
                        right: Role|
             -> Result<(Numbers, Option<usize>)> {
                match has(full) {
                    true => Ok((numbers(full)?, None)),
                    false => Ok((half(core, left, right)?, Some(rows_of(right)?))),
                }
            };
            let (first, rank) = side(Role::Kron1, None, Role::KronLeft1, Role::KronRight1)?;
            let core = Some(Role::KronCore2);
            let (second, other) = side(Role::Kron2, core, Role::KronLeft2, Role::KronRight2)?;
            (rank.or(other), whole(first.kronecker(&second)))
        } else if has(Role::Mid) {
            let (down, up) = (numbers(Role::Down)?, numbers(Role::Up)?);
            let rank = down.rows;
            let all = numbers(Role::Mid)?.tucker(up.turned(), down).ok_or_else(unfit)?;
            (Some(rank), whole(all))
        } else {
            let (down, up) = match has(Role::TableDown) {
                false => (numbers(Role::Down)?, numbers(Role::Up)?),
                // Its rows are those of the table, `(vocabulary, features)`: what goes in are features.
                true => (numbers(Role::TableUp)?.turned(), numbers(Role::TableDown)?.turned()),
            };
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
            let product = Product::LowRank { down: down.numbers, up: up.numbers, rank };
            (Some(rank), (product, [outs, ins]))
        };
        let alpha = match has(Role::Alpha) {
            true => numbers(Role::Alpha)?.numbers.first().copied().map(f64::from),
            false => None,
        };
        let scale = self.config.scale(&module.name, rank, alpha) as f32;
        let magnitude = match [Role::Magnitude, Role::DoraScale].into_iter().find(|role| has(*role))
        {
            None => None,
            Some(role) => {
                let Numbers { shape, numbers, .. } = numbers(role)?;
                // `(1, channels, …)`, by LyCORIS; PEFT's of kernels are so, too, and of rows.
                let of_inputs =
                    role == Role::DoraScale && shape.len() > 1 && shape[0] == 1 && outs > 1;
                Some(if of_inputs { Magnitude::Inputs(numbers) } else { Magnitude::Rows(numbers) })
            }
        };
        let scale = scale * self.scale;
        Ok(Some(Matrices { product, ins, outs, scale, magnitude }))
    }

    fn numbers(&self, name: &str) -> Result<Numbers> {
        let stored = self.store.tensor(name);
        let stored =
            stored.ok_or_else(|| Error::malformed(self.origin(), format!("lacks {name:?}")))?;
        let numbers = convert::numbers(&stored)?;
        Ok(Numbers::new(stored.shape.to_vec(), numbers))
    }
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
