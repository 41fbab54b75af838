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
#[cfg(feature = "audio")]
pub(crate) mod whisper_cpp;

mod advice;
mod directory;
mod lfs;
mod names;
mod served;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use directory::Directory;
use gguf::GgufFile;
use hub::{HubRepo, OpenRepo};
use names::check_name;
pub(crate) use names::{check_named_by, stays_inside};
use remote::RemoteModel;
#[cfg(feature = "audio")]
use whisper_cpp::WhisperCppFile;

/// Where a model comes from.
///
/// A string that begins with `openai:` names a model of a [service](remote). Any other string is a Hub id,
/// unless it begins with `/`, `./`, `../` or `~/`, is `.`, `..` or `~`, or ends in `.gguf` or `.bin`: then it is
/// a local path. The same holds with `\\` in place of `/`, and after a
/// drive (`C:\\`). The choice never depends on what is on the disk. If a file or folder has the
/// name of the repository, the error or a warning says so.
///
/// ```
/// use sconce::ModelSource;
///
/// let _hub = ModelSource::from("HuggingFaceTB/SmolLM2-135M-Instruct");
/// let _folder = ModelSource::from("./my-model");
/// let _file = ModelSource::from("my-model.Q4_K_M.gguf");
/// let _pinned = ModelSource::hub("Qwen/Qwen3-0.6B").revision("main");
/// let _service = ModelSource::from("openai:gpt-4o-mini");
/// let _in_repo = ModelSource::hub("bartowski/gemma-2-2b-it-GGUF").gguf("gemma-2-2b-it-Q4_K_M.gguf");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ModelSource {
    /// A local folder laid out like a Hub repository.
    Directory(PathBuf),
    /// A local GGUF file; config, tokenizer and chat template are read from its metadata. Of a
    /// split file (`-00001-of-0000N.gguf`) any part may be named. With the feature `audio` also one of
    /// whisper.cpp's files (`ggml-tiny.bin`), which it is told by its first bytes.
    Gguf(PathBuf),
    /// A Hub repository.
    Hub(HubRepo),
    /// A GGUF file, or one of whisper.cpp's, inside a Hub repository.
    HubGguf {
        /// The repository.
        repo: HubRepo,
        /// The file's path in it.
        file: String,
    },
    /// A model that a service runs; it has no files here.
    Remote(Box<RemoteModel>),
}

impl ModelSource {
    /// A Hub repository, to be given a revision, a token or a progress callback.
    #[must_use]
    pub fn hub(id: impl Into<String>) -> HubRepo {
        HubRepo::new(id)
    }

    /// A local folder laid out like a Hub repository.
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::Directory(path.into())
    }

    /// A local GGUF file.
    #[must_use]
    pub fn gguf(path: impl Into<PathBuf>) -> Self {
        Self::Gguf(path.into())
    }

    /// A model of the service that `OPENAI_BASE_URL` names, by default OpenAI's.
    #[must_use]
    pub fn openai(model: impl Into<String>) -> RemoteModel {
        RemoteModel::new(model)
    }

    /// A model of a service that speaks OpenAI's HTTP interface, with the address under which the service has
    /// `/chat/completions`: `http://localhost:8000/v1`.
    #[must_use]
    pub fn remote(base_url: impl Into<String>, model: impl Into<String>) -> RemoteModel {
        RemoteModel::new(model).base_url(base_url)
    }

    /// Opens the source: checks that it exists and, for GGUF, downloads every part and reads the
    /// header. Files of a repository are downloaded as they are asked for, all from the commit that
    /// its revision points to now.
    ///
    /// # Errors
    ///
    /// When the folder, file or repository does not exist or cannot be read, an id is not one, or
    /// a GGUF header is malformed. [`Error::FeatureDisabled`] for a repository in a build without
    /// the feature `hub`, and for a service without `remote`.
    pub fn open(&self) -> Result<ModelFiles> {
        Ok(ModelFiles::new(match self {
            Self::Directory(path) => Files::Directory(Directory::open(path)?),
            Self::Gguf(path) => {
                let parts = gguf::parts_on_disk(path)?;
                parts.iter().try_for_each(|part| lfs::refuse_pointer(part))?;
                Files::single(&parts)?
            }
            Self::Hub(repo) => Files::Hub(Box::new(repo.open_unless_meant_local("config.json")?)),
            Self::HubGguf { repo, file } => {
                check_name(file)?;
                let repo = ModelFiles::new(Files::Hub(Box::new(repo.open(file)?)));
                let parts = gguf::part_names(file)
                    .iter()
                    .map(|name| repo.required(name, "the model's weights"))
                    .collect::<Result<Vec<_>>>()?;
                Files::single(&parts)?
            }
            Self::Remote(_) if !cfg!(feature = "remote") => {
                return Err(Error::FeatureDisabled { feature: "remote" });
            }
            Self::Remote(model) => Files::Remote(model.clone()),
        }))
    }
}

impl HubRepo {
    /// A GGUF file inside this repository. Of a split file (`-00001-of-0000N.gguf`) any part may
    /// be named.
    #[must_use]
    pub fn gguf(self, file: impl Into<String>) -> ModelSource {
        ModelSource::HubGguf { repo: self, file: file.into() }
    }
}

/// The rule in the type's documentation; the disk is not looked at.
impl From<&str> for ModelSource {
    fn from(text: &str) -> Self {
        if let Some(model) = text.strip_prefix(remote::PREFIX) {
            return Self::openai(model).into();
        }
        let path = match text.strip_prefix('~').filter(|rest| is_rooted(rest) || rest.is_empty()) {
            Some(rest) => {
                let home = std::env::home_dir().unwrap_or_default();
                home.join(rest.trim_start_matches(['/', '\\']))
            }
            None => PathBuf::from(text),
        };
        if SINGLE.iter().any(|end| text.ends_with(&format!(".{end}"))) {
            Self::Gguf(path)
        } else if looks_local(text) {
            Self::Directory(path)
        } else {
            Self::Hub(HubRepo::from_text(text))
        }
    }
}

/// How the names of files end that hold a whole model.
const SINGLE: [&str; 2] = ["gguf", "bin"];

/// Whether a text that does not end as they do is a path.
fn looks_local(text: &str) -> bool {
    let begins = |start: &str| {
        text.strip_prefix(start).is_some_and(|rest| rest.is_empty() || is_rooted(rest))
    };
    let (drive, rest) = text.split_at_checked("C:".len()).unwrap_or_default();
    let is_drive = drive.ends_with(':') && drive.starts_with(|c: char| c.is_ascii_alphabetic());
    is_rooted(text) || [".", "..", "~"].into_iter().any(begins) || (is_drive && is_rooted(rest))
}

fn is_rooted(text: &str) -> bool {
    text.starts_with(['/', '\\'])
}

impl From<String> for ModelSource {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for ModelSource {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<HubRepo> for ModelSource {
    fn from(repo: HubRepo) -> Self {
        Self::Hub(repo)
    }
}

impl From<&Self> for ModelSource {
    fn from(source: &Self) -> Self {
        source.clone()
    }
}

/// A path is a folder, or a single file where it ends in `.gguf` or `.bin`.
impl From<&Path> for ModelSource {
    fn from(path: &Path) -> Self {
        if path.extension().is_some_and(|end| SINGLE.iter().any(|single| end == *single)) {
            Self::gguf(path)
        } else {
            Self::directory(path)
        }
    }
}

impl From<PathBuf> for ModelSource {
    fn from(path: PathBuf) -> Self {
        Self::from(path.as_path())
    }
}

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
