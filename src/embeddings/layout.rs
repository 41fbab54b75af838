//! What a sentence-transformers repository says of itself: `modules.json`,
//! `config_sentence_transformers.json`, and the settings of its `Transformer`.
//!
//! Mirrors `BaseModel._load_modules` of sentence-transformers 5.7; file by file in
//! [`guide::sentence_transformers`](crate::guide::sentence_transformers).

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::embeddings::prompts::Prompts;
use crate::error::{Error, Result, none_of};
use crate::source::{ModelFiles, check_named_by, json, stays_inside};

/// The class that opens a repository: `model_type` of its config, where that says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opener {
    CrossEncoder,
    SentenceTransformer,
}

/// The modules and the settings around them.
#[derive(Debug)]
pub(crate) struct Layout {
    /// `None`: the repository is none of this class, and its model gets the class's default modules.
    pub(crate) modules: Option<Vec<Module>>,
    pub(crate) prompts: Prompts,
    pub(crate) similarity: Option<String>,
    pub(crate) truncate_dim: Option<usize>,
    pub(crate) activation: Option<String>,
}

/// An entry of `modules.json`.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    /// The class without its path: `Pooling`.
    pub(crate) kind: String,
    /// The folder of its files; empty for the repository itself.
    pub(crate) path: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    class: String,
}

/// `config_sentence_transformers.json`.
#[derive(Deserialize, Default)]
struct Config {
    model_type: Option<String>,
    prompts: Option<Map<String, Value>>,
    default_prompt_name: Option<String>,
    similarity_fn_name: Option<String>,
    truncate_dim: Option<i64>,
    activation_fn: Option<String>,
}

impl Layout {
    /// Reads both files. Without `modules.json`, and where the other file says that the repository is
    /// of another class, neither counts.
    pub(crate) fn read(files: &ModelFiles, opener: Opener) -> Result<Self> {
        let modules: Option<Vec<Entry>> = files.json(MODULES)?;
        for Entry { path, .. } in modules.iter().flatten() {
            check_path(files, MODULES, path)?;
        }
        let mut config = Config::default();
        if modules.is_some() {
            config = files.json(CONFIG)?.unwrap_or_default();
        }
        let class = config.model_type.as_deref().unwrap_or("SentenceTransformer");
        let modules = modules.filter(|_| class == opener.name());
        if modules.is_none() {
            config = Config::default();
        }
        // Every SentenceTransformer knows these two.
        let mut prompts = Map::new();
        if opener == Opener::SentenceTransformer {
            prompts.extend(["query", "document"].map(|name| (name.into(), "".into())));
        }
        prompts.extend(config.prompts.unwrap_or_default());
        if let Some(name) = &config.default_prompt_name
            && !prompts.contains_key(name)
        {
            let reason = format!("`default_prompt_name` is {name:?}, and `prompts` has none such");
            return Err(malformed(files, reason));
        }
        let refuse = |reason| Error::unsupported(format!("{}: {reason}", files.origin()));
        let modules = modules.map(|modules| {
            let modules = modules.into_iter().map(|entry| Module::new(entry).map_err(refuse));
            modules.collect::<Result<Vec<_>>>()
        });
        let dimension = |given: i64| match usize::try_from(given) {
            Ok(dimension @ 1..) => Ok(dimension),
            _ => {
                let reason = "it should be the number of a vector's first numbers to keep";
                Err(malformed(files, format!("`truncate_dim` is {given}; {reason}")))
            }
        };
        Ok(Self {
            modules: modules.transpose()?,
            prompts: Prompts::new(prompts, config.default_prompt_name),
            similarity: config.similarity_fn_name,
            truncate_dim: config.truncate_dim.map(dimension).transpose()?,
            activation: config.activation_fn,
        })
    }
}

/// Refuses a path, which a file names, to what is not in the repository.
fn check_path(files: &ModelFiles, named_by: &str, path: &str) -> Result<()> {
    let mut parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    match parts.all(stays_inside) {
        true => Ok(()),
        false => check_named_by(&Path::new(&files.origin()).join(named_by), path),
    }
}

/// What is wrong with `config_sentence_transformers.json`.
pub(super) fn malformed(files: &ModelFiles, reason: impl ToString) -> Error {
    Error::malformed(Path::new(&files.origin()).join(CONFIG), reason)
}

impl Opener {
    fn name(self) -> &'static str {
        match self {
            Self::CrossEncoder => "CrossEncoder",
            Self::SentenceTransformer => "SentenceTransformer",
        }
    }
}

impl Module {
    fn new(Entry { path, class }: Entry) -> std::result::Result<Self, String> {
        let kind = class.rsplit('.').next().unwrap_or_default();
        if !class.starts_with("sentence_transformers.") {
            return Err(format!(
                "modules.json names {class:?} in {path:?}, which is Python code of the repository's \
                 own or of another package; only modules of sentence-transformers can be run"
            ));
        }
        if let Some((_, why)) = NOT_BUILT.iter().find(|(name, _)| *name == kind) {
            return Err(format!("modules.json names {class:?} in {path:?}: {why}"));
        }
        match BUILT.contains(&kind) {
            true => Ok(Self { kind: kind.to_owned(), path }),
            false => Err(format!("modules.json: {}", none_of(kind, BUILT))),
        }
    }

    /// A module that another one names, by its class.
    pub(crate) fn of_class(files: &ModelFiles, class: &str, path: &str) -> Result<Self> {
        check_path(files, "router_config.json", path)?;
        let refuse = |reason| Error::unsupported(format!("{}: {reason}", files.origin()));
        Self::new(Entry { path: path.to_owned(), class: class.to_owned() }).map_err(refuse)
    }

    /// The files of the module alone.
    pub(crate) fn files(&self, files: &ModelFiles) -> Result<ModelFiles> {
        files.folder(&self.path)
    }

    /// Its `config.json`.
    pub(crate) fn config<T: DeserializeOwned>(&self, files: &ModelFiles) -> Result<T> {
        let path = self.files(files)?.required("config.json", "the settings of a module")?;
        json::read(&path)
    }
}

const MODULES: &str = "modules.json";
const CONFIG: &str = "config_sentence_transformers.json";

const BUILT: &[&str] = &[
    "Asym",
    "BoW",
    "CNN",
    "Dense",
    "Dropout",
    "LSTM",
    "LayerNorm",
    "LogitScore",
    "Normalize",
    "Pooling",
    "Router",
    "StaticEmbedding",
    "Transformer",
    "WeightedLayerPooling",
    "WordEmbeddings",
    "WordWeights",
];

/// Modules of sentence-transformers that hardly any repository has, and what to do about them.
const NOT_BUILT: &[(&str, &str)] = &[
    ("CLIPModel", "embeddings of pictures are not built; a model of texts is needed"),
    ("MLMTransformer", SPARSE),
    ("SparseAutoEncoder", SPARSE),
    ("SparseStaticEmbedding", SPARSE),
    ("SpladePooling", SPARSE),
];
const SPARSE: &str =
    "it makes sparse vectors, which are not built; a model with a Pooling is needed";
