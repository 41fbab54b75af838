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

use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;

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
}

#[derive(Debug)]
enum Files {
    Directory(Directory),
    Gguf(GgufFile),
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
        Ok(Self::Gguf(GgufFile::open(parts)?))
    }
}

impl ModelFiles {
    fn new(files: Files) -> Self {
        Self { files: Arc::new(files), folder: String::new() }
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
        Ok(Self { files: Arc::clone(&self.files), folder })
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
            Files::Gguf(_) => Ok(None),
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
            Files::Hub(repo) => repo.to_string(),
            #[cfg(feature = "audio")]
            Files::WhisperCpp(file) => file.path().display().to_string(),
            #[cfg(feature = "audio")]
            Files::WhisperPt(file) => file.path().display().to_string(),
            Files::Remote(model) => model.to_string(),
        }
    }
}

/// Of the files in a folder.
#[cfg(feature = "audio")]
const MOST_LISTED: usize = 1 << 12;

/// The file by which the reference recognizes adapters: `find_adapter_config_file`.
const ADAPTER_CONFIG: &str = "adapter_config.json";

#[cfg(test)]
mod tests;
