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
        let parts = Parts { file: self, module };
        let Update { product, outs, ins, rank } = parts.update()?;
        let scale = self.config.scale(&module.name, rank, parts.alpha()?) as f32 * self.scale;
        let magnitude = parts.magnitude(outs)?;
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

/// A module's tensors by their roles.
struct Parts<'a> {
    file: &'a AdapterFile,
    module: &'a Module,
}

/// What is added to a matrix `(outs, ins)`, and the rank by which it is scaled, if it has one.
struct Update {
    product: Product,
    outs: usize,
    ins: usize,
    rank: Option<usize>,
}

impl Update {
    fn whole(all: Numbers, rank: Option<usize>) -> Self {
        Self { outs: all.rows, ins: all.columns, product: Product::Whole(all.numbers), rank }
    }
}

impl Parts<'_> {
    fn has(&self, role: Role) -> bool {
        self.module.tensors.contains_key(&role)
    }

    fn numbers(&self, role: Role) -> Result<Numbers> {
        match self.module.tensors.get(&role) {
            Some(name) => self.file.numbers(name),
            None => {
                let (name, ending) = (&self.module.name, role.ending());
                let reason = format!("the adapter's module {name:?} has no {ending:?}");
                Err(Error::malformed(self.file.origin(), reason))
            }
        }
    }

    fn unfit(&self) -> Error {
        let reason = format!("the matrices of {:?} do not fit together", self.module.name);
        Error::malformed(self.file.origin(), reason)
    }

    fn update(&self) -> Result<Update> {
        if self.has(Role::HadaRight1) {
            self.hadamard()
        } else if self.has(Role::Kron1) || self.has(Role::KronRight1) {
            self.kronecker()
        } else if self.has(Role::Mid) {
            let (down, up) = (self.numbers(Role::Down)?, self.numbers(Role::Up)?);
            let rank = down.rows;
            let all = self.numbers(Role::Mid)?.tucker(up.turned(), down);
            Ok(Update::whole(all.ok_or_else(|| self.unfit())?, Some(rank)))
        } else {
            self.low_rank()
        }
    }

    /// Two factors, with a core between them where there is one; and their rank.
    fn half(&self, core: Option<Role>, left: Role, right: Role) -> Result<(Numbers, usize)> {
        let (left, right) = (self.numbers(left)?, self.numbers(right)?);
        let rank = right.rows;
        let product = match core.filter(|core| self.has(*core)) {
            Some(core) => self.numbers(core)?.tucker(left, right),
            None => left.times(right),
        };
        Ok((product.ok_or_else(|| self.unfit())?, rank))
    }

    /// LoHa.
    fn hadamard(&self) -> Result<Update> {
        let (second, _) = self.half(Some(Role::HadaCore2), Role::HadaLeft2, Role::HadaRight2)?;
        let (first, rank) = self.half(Some(Role::HadaCore1), Role::HadaLeft1, Role::HadaRight1)?;
        let all = first.hadamard(&second).ok_or_else(|| self.unfit())?;
        Ok(Update::whole(all, Some(rank)))
    }

    /// LoKr: each side whole, or of two factors.
    fn kronecker(&self) -> Result<Update> {
        let side = |full: Role, core, left, right| -> Result<(Numbers, Option<usize>)> {
            match self.has(full) {
                true => Ok((self.numbers(full)?, None)),
                false => self.half(core, left, right).map(|(all, rank)| (all, Some(rank))),
            }
        };
        let (first, rank) = side(Role::Kron1, None, Role::KronLeft1, Role::KronRight1)?;
        let core = Some(Role::KronCore2);
        let (second, other) = side(Role::Kron2, core, Role::KronLeft2, Role::KronRight2)?;
        Ok(Update::whole(first.kronecker(&second), rank.or(other)))
    }

    /// LoRA, of a matrix or of a table.
    fn low_rank(&self) -> Result<Update> {
        let (down, up) = match self.has(Role::TableDown) {
            false => (self.numbers(Role::Down)?, self.numbers(Role::Up)?),
            // Its rows are those of the table, `(vocabulary, features)`: what goes in are features.
            true => {
                (self.numbers(Role::TableUp)?.turned(), self.numbers(Role::TableDown)?.turned())
            }
        };
        let (rank, ins, outs) = (down.rows, down.columns, up.rows);
        if rank == 0 || up.columns != rank {
            let reason = format!(
                "the matrices of {:?} are {:?} and {:?}, which have no rank in common",
                self.module.name,
                [rank, ins],
                [outs, up.columns]
            );
            return Err(Error::malformed(self.file.origin(), reason));
        }
        let product = Product::LowRank { down: down.numbers, up: up.numbers, rank };
        Ok(Update { product, outs, ins, rank: Some(rank) })
    }

    fn alpha(&self) -> Result<Option<f64>> {
        match self.has(Role::Alpha) {
            true => Ok(self.numbers(Role::Alpha)?.numbers.first().copied().map(f64::from)),
            false => Ok(None),
        }
    }

    /// DoRA.
    fn magnitude(&self, outs: usize) -> Result<Option<Magnitude>> {
        let roles = [Role::Magnitude, Role::DoraScale];
        let Some(role) = roles.into_iter().find(|role| self.has(*role)) else { return Ok(None) };
        let Numbers { shape, numbers, .. } = self.numbers(role)?;
        // `(1, channels, …)`, by LyCORIS; PEFT's of kernels are so, too, and of rows.
        let of_inputs = role == Role::DoraScale && shape.len() > 1 && shape[0] == 1 && outs > 1;
        Ok(Some(if of_inputs { Magnitude::Inputs(numbers) } else { Magnitude::Rows(numbers) }))
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
