//! Where a model comes from: a Hub repository, a local folder, a GGUF file, or a service that runs it.
//!
//! Nothing above this floor downloads: callers ask [`ModelFiles`] for a file by name and get a
//! local path. How Hub repositories are fetched and cached, and which environment variables matter,
//! is described in [`hub`].

pub mod gguf;
pub mod hub;
pub mod remote;

pub(crate) mod file;
pub(crate) mod ggml;
#[cfg(any(feature = "hub", feature = "remote"))]
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod mapped;
pub(crate) mod pickle;
pub(crate) mod torch_archive;
#[cfg(feature = "audio")]
pub(crate) mod whisper_cpp;

mod advice;
mod directory;
mod lfs;
mod model_source;
mod names;
mod served;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use directory::Directory;
use gguf::GgufFile;
use hub::OpenRepo;
pub use model_source::{ModelSource, WhisperPt};
use names::check_name;
pub(crate) use names::{check_named_by, stays_inside};
use remote::RemoteModel;
#[cfg(feature = "audio")]
use whisper_cpp::{WhisperCppFile, WhisperPtFile};

/// An opened source: local paths of the files asked for, downloaded if needed.
#[derive(Debug)]
pub struct ModelFiles {
    files: Arc<Files>,
    /// Where names begin: nothing, or the path of a subfolder and `/`.
    folder: String,
    /// The folders that are others.
    parts: Arc<BTreeMap<String, Self>>,
    /// What lies beside a single file: configs and tokenizers.
    beside: Option<Arc<Self>>,
}

#[derive(Debug)]
enum Files {
    Directory(Directory),
    Gguf(GgufFile),
    Weights(PathBuf),
    /// The contents of JSON files.
    #[cfg_attr(not(feature = "image"), expect(dead_code, reason = "configs of models that paint"))]
    Given(Map<String, Value>),
    Hub(Box<OpenRepo>),
    #[cfg(feature = "audio")]
    WhisperCpp(Box<WhisperCppFile>),
    #[cfg(feature = "audio")]
    WhisperPt(Box<WhisperPtFile>),
    Remote(Box<RemoteModel>),
}

impl Files {
    /// A model in one file, or in the parts of one.
    fn single(parts: &[PathBuf]) -> Result<Self> {
        #[cfg(feature = "audio")]
        if let [file] = parts
            && WhisperCppFile::is_one(file)?
        {
            return Ok(Self::WhisperCpp(Box::new(WhisperCppFile::open(file)?)));
        }
        if let [file] = parts
            && file.extension().is_some_and(|end| WEIGHTS.iter().any(|weights| end == *weights))
        {
            return Ok(Self::Weights(file.clone()));
        }
        Ok(Self::Gguf(GgufFile::open(parts)?))
    }
}

impl ModelFiles {
    fn new(files: Files) -> Self {
        let (folder, parts) = (String::new(), Arc::default());
        Self { files: Arc::new(files), folder, parts, beside: None }
    }

    /// The files of a folder in this one, as diffusers and sentence-transformers keep parts of a model; of
    /// this one itself where the path is empty or `.`. Whether there is such a folder is not looked at.
    ///
    /// # Errors
    ///
    /// When the path leads out of the folder.
    pub fn folder(&self, path: &str) -> Result<Self> {
        let mut folder = self.folder.clone();
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            check_name(part)?;
            folder += &format!("{part}/");
        }
        Ok(match self.parts.get(folder.trim_end_matches('/')) {
            // A file alone keeps the configs of the folder whose place it takes.
            Some(part) if part.is_single() && part.beside.is_none() => {
                let parts = Arc::default();
                part.with_beside(Self { folder, parts, ..self.same() })
            }
            Some(part) => part.same(),
            None => Self { folder, ..self.same() },
        })
    }

    /// The same files again.
    pub(crate) fn same(&self) -> Self {
        let (files, parts) = (Arc::clone(&self.files), Arc::clone(&self.parts));
        Self { files, folder: self.folder.clone(), parts, beside: self.beside.clone() }
    }

    /// The same file with others beside it.
    pub(crate) fn with_beside(&self, beside: Self) -> Self {
        Self { beside: Some(Arc::new(beside)), ..self.same() }
    }

    /// The same files with others in the place of a folder.
    #[cfg(feature = "image")]
    pub(crate) fn with_part(&self, folder: &str, files: Self) -> Self {
        let part = |(name, part): (&String, &Self)| (name.clone(), part.same());
        let mut parts: BTreeMap<_, _> = self.parts.iter().map(part).collect();
        parts.insert(folder.to_owned(), files);
        Self { parts: Arc::new(parts), ..self.same() }
    }

    /// Whether a folder in this one is another source.
    #[cfg(feature = "image")]
    pub(crate) fn has_part(&self, folder: &str) -> bool {
        self.parts.contains_key(folder)
    }

    /// The same file alone.
    #[cfg(feature = "image")]
    pub(crate) fn alone(&self) -> Self {
        Self { beside: None, ..self.same() }
    }

    /// What lies beside the file.
    #[cfg(feature = "image")]
    pub(crate) fn beside(&self) -> Option<&Self> {
        self.beside.as_deref()
    }

    /// Files that there are no files of: configs that are known.
    #[cfg(feature = "image")]
    pub(crate) fn given(files: Map<String, Value>) -> Self {
        Self::new(Files::Given(files))
    }

    /// The local path of a file of the folder or repository; `None` where there is no such file,
    /// and always for a GGUF file, which stands alone. For one of whisper.cpp's files these are the files
    /// of the folder that it was made from, as far as it tells. Folders in `name` are separated by `/`.
    ///
    /// # Errors
    ///
    /// When the file exists but cannot be fetched, or `name` leads out of the folder.
    pub fn optional(&self, name: &str) -> Result<Option<PathBuf>> {
        check_name(name)?;
        let name = format!("{}{name}", self.folder);
        match &*self.files {
            Files::Directory(directory) => directory.optional(&name),
            Files::Gguf(_) | Files::Weights(_) => match &self.beside {
                Some(beside) => beside.optional(&name),
                None => Ok(None),
            },
            Files::Given(_) => Ok(None),
            Files::Hub(repo) => repo.optional(&name),
            #[cfg(feature = "audio")]
            Files::WhisperCpp(file) => file.optional(&name),
            #[cfg(feature = "audio")]
            Files::WhisperPt(file) => file.optional(&name),
            Files::Remote(model) => Err(Error::unsupported(format!(
                "{model} is run by a service, which gives out no {name:?}; services do \
                 `text-generation`, and transcripts by `remote::Service::transcribe`"
            ))),
        }
    }

    /// As [`optional`](Self::optional), for a file that must be there: `needed_for` says why.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFile`] where there is no such file, [`Error::Hub`] where it is not in the
    /// cache and the Hub could not be asked, else as [`optional`](Self::optional).
    pub fn required(&self, name: &str, needed_for: &str) -> Result<PathBuf> {
        if let Some(path) = self.optional(name)? {
            return Ok(path);
        }
        let not_asked = match &*self.files {
            Files::Hub(repo) => repo.not_asked(&format!("{}{name}", self.folder)),
            _ => None,
        };
        Err(not_asked
            .unwrap_or_else(|| self.missing(name, name, &format!("it holds {needed_for}"))))
    }

    /// The names of the files in a folder of a local folder, in no order; `None` where the files are elsewhere, or
    /// there is no such folder.
    #[cfg(feature = "audio")]
    pub(crate) fn listed(&self, folder: &str) -> Option<Vec<String>> {
        let Files::Directory(directory) = &*self.files else { return None };
        let path = directory.path().join(format!("{}{folder}", self.folder));
        let entries = std::fs::read_dir(path).ok()?.take(MOST_LISTED).flatten();
        Some(entries.filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// What a JSON file says; `None` where there is no such file.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.optional(name)?.map(|path| json::read(&path)).transpose()
    }

    /// What the fields of a JSON file say that must be there, and the file; also one that is
    /// [given](Self::given).
    #[cfg(feature = "image")]
    pub(crate) fn required_json<T: DeserializeOwned>(
        &self,
        name: &str,
        needed_for: &str,
    ) -> Result<(T, PathBuf)> {
        let (fields, path) = self.required_map(name, needed_for)?;
        Ok((json::fields_of(&fields, &path)?, path))
    }

    /// As [`required_json`](Self::required_json), the fields themselves.
    pub(crate) fn required_map(
        &self,
        name: &str,
        needed_for: &str,
    ) -> Result<(Map<String, Value>, PathBuf)> {
        if let Some(Value::Object(fields)) = self.given_json(name) {
            return Ok((fields.clone(), PathBuf::from(name)));
        }
        let path = self.required(name, needed_for)?;
        Ok((json::read(&path)?, path))
    }

    fn given_json(&self, name: &str) -> Option<&Value> {
        let name = format!("{}{name}", self.folder);
        match (&*self.files, &self.beside) {
            (Files::Given(files), _) => files.get(&name),
            (_, Some(beside)) => beside.given_json(&name),
            _ => None,
        }
    }

    /// The error for a file that is not there, with what to do about it; `file` may list
    /// alternatives to `name`.
    pub(crate) fn missing(&self, name: &str, file: &str, reason: &str) -> Error {
        let error = Error::MissingFile {
            origin: self.origin(),
            file: format!("{}{file}", self.folder),
            reason: reason.to_owned(),
        };
        let advice = match (self.optional(ADAPTER_CONFIG), &*self.files) {
            (Ok(Some(config)), _) => Some(advice::for_adapter(&config)),
            (_, Files::Directory(directory)) => {
                advice::for_folder(directory.path(), &format!("{}{name}", self.folder))
            }
            (_, Files::Hub(repo)) => advice::for_repository(&repo.to_string()),
            _ => None,
        };
        match advice {
            Some(advice) => error.advised(&advice),
            None => error,
        }
    }

    /// Refuses a PEFT adapter, also one that a model lies beside: the reference would load both.
    pub(crate) fn refuse_adapter(&self) -> Result<()> {
        match self.optional(ADAPTER_CONFIG)? {
            None => Ok(()),
            Some(config) => {
                let (origin, advice) = (self.origin(), advice::for_adapter(&config));
                Err(Error::unsupported(format!("{origin}: {advice}")))
            }
        }
    }

    /// The GGUF file, where the source is one.
    #[must_use]
    pub fn gguf(&self) -> Option<&GgufFile> {
        match &*self.files {
            Files::Gguf(file) => Some(file),
            _ => None,
        }
    }

    /// The file, where the source is one of weights alone.
    #[must_use]
    pub fn weights(&self) -> Option<&Path> {
        match &*self.files {
            Files::Weights(path) => Some(path),
            _ => None,
        }
    }

    /// Whether the source is a single file.
    pub(crate) fn is_single(&self) -> bool {
        self.gguf().is_some() || self.weights().is_some()
    }

    /// The file of whisper.cpp, where the source is one.
    #[cfg(feature = "audio")]
    pub(crate) fn whisper_cpp(&self) -> Option<&WhisperCppFile> {
        match &*self.files {
            Files::WhisperCpp(file) => Some(file),
            _ => None,
        }
    }

    /// OpenAI's own file of Whisper, where the source is one.
    #[cfg(feature = "audio")]
    pub(crate) fn whisper_pt(&self) -> Option<&WhisperPtFile> {
        match &*self.files {
            Files::WhisperPt(file) => Some(file),
            _ => None,
        }
    }

    /// The model, where a service runs it.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteModel> {
        match &*self.files {
            Files::Remote(model) => Some(model),
            _ => None,
        }
    }

    /// The folder, repository or file, for messages.
    #[must_use]
    pub fn origin(&self) -> String {
        match &*self.files {
            Files::Directory(directory) => directory.path().display().to_string(),
            Files::Gguf(file) => file.path().display().to_string(),
            Files::Weights(path) => path.display().to_string(),
            Files::Given(_) => "what is known of the model".to_owned(),
            Files::Hub(repo) => repo.to_string(),
            #[cfg(feature = "audio")]
            Files::WhisperCpp(file) => file.path().display().to_string(),
            #[cfg(feature = "audio")]
            Files::WhisperPt(file) => file.path().display().to_string(),
            Files::Remote(model) => model.to_string(),
        }
    }
}

/// How those end that hold weights alone.
const WEIGHTS: [&str; 2] = ["safetensors", "ckpt"];

/// Of the files in a folder.
#[cfg(feature = "audio")]
const MOST_LISTED: usize = 1 << 12;

/// The file by which the reference recognizes adapters: `find_adapter_config_file`.
const ADAPTER_CONFIG: &str = "adapter_config.json";

#[cfg(test)]
mod tests;
