//! Where a model comes from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::source::directory::Directory;
use crate::source::hub::HubRepo;
use crate::source::names::check_name;
use crate::source::remote::{self, RemoteModel};
#[cfg(feature = "audio")]
use crate::source::whisper_cpp::WhisperPtFile;
use crate::source::{Files, ModelFiles, WEIGHTS, file, gguf, lfs};

/// Where a model comes from.
///
/// A string that begins with `openai:` names a model of a [service](remote). Any other string is a Hub id,
/// unless it begins with `/`, `./`, `../` or `~/`, is `.`, `..` or `~`, or ends in `.gguf`, `.bin`, `.pt`,
/// `.safetensors` or `.ckpt`: then it is a local path. The same holds with `\\` in place of `/`, and after a
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
    /// A local file of weights alone (`.safetensors`, `.ckpt`): a whole Stable Diffusion or FLUX in the layout of its
    /// makers, or an adapter.
    Weights(PathBuf),
    /// A source of which some parts are others: see [`part`](Self::part).
    Parts {
        /// The source.
        base: Box<Self>,
        /// The folders in it that are others, by their names.
        parts: BTreeMap<String, Self>,
    },
    /// A Hub repository.
    Hub(HubRepo),
    /// A GGUF file, one of whisper.cpp's, or one of weights alone, inside a Hub repository.
    HubGguf {
        /// The repository.
        repo: HubRepo,
        /// The file's path in it.
        file: String,
    },
    /// One of OpenAI's own Whisper files (`tiny.en.pt`), and where its tokenizer comes from. It needs the feature
    /// `audio`.
    WhisperPt(Box<WhisperPt>),
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

    /// One of OpenAI's own Whisper files, to be given a tokenizer.
    #[must_use]
    pub fn whisper_pt(path: impl Into<PathBuf>) -> WhisperPt {
        WhisperPt::new(path)
    }

    /// A file of weights with a folder that says what they are: configs and tokenizers as diffusers writes them, `config`
    /// of its `from_single_file`.
    ///
    /// ```
    /// use sconce::ModelSource;
    ///
    /// let _one_file = ModelSource::from("v1-5-pruned.safetensors").config("./stable-diffusion-v1-5");
    /// ```
    #[must_use]
    pub fn config(self, source: impl Into<Self>) -> Self {
        self.part(CONFIG, source)
    }

    /// The same source with another one in the place of a folder in it, as of those of diffusers: a transformer in a
    /// GGUF file, a text encoder, a tokenizer.
    ///
    /// ```
    /// use sconce::ModelSource;
    ///
    /// let _flux = ModelSource::from("./FLUX.1-schnell")
    ///     .part("transformer", "flux1-schnell-Q4_0.gguf")
    ///     .part("text_encoder_2", "t5-v1_1-xxl-encoder-Q5_K_M.gguf");
    /// ```
    #[must_use]
    pub fn part(self, folder: impl Into<String>, source: impl Into<Self>) -> Self {
        let (base, mut parts) = match self {
            Self::Parts { base, parts } => (base, parts),
            other => (Box::new(other), BTreeMap::new()),
        };
        parts.insert(folder.into(), source.into());
        Self::Parts { base, parts }
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
            Self::Weights(path) => {
                lfs::refuse_pointer(path)?;
                file::open(path)?;
                Files::Weights(path.clone())
            }
            Self::Parts { base, parts } => {
                let mut files = base.open()?;
                let mut opened = BTreeMap::new();
                for (folder, part) in parts {
                    check_name(folder)?;
                    opened.insert(folder.clone(), part.open()?);
                }
                if files.is_single()
                    && let Some(configs) = opened.remove(CONFIG)
                {
                    files = files.with_beside(configs);
                }
                files.parts = Arc::new(opened);
                return Ok(files);
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
            #[cfg(feature = "audio")]
            Self::WhisperPt(file) => {
                lfs::refuse_pointer(file.path())?;
                let source = file.clone();
                let find = move |hub: &str, ranked: &str| source.vocabulary(hub, ranked);
                Files::WhisperPt(Box::new(WhisperPtFile::open(file.path(), Box::new(find))?))
            }
            #[cfg(not(feature = "audio"))]
            Self::WhisperPt(_) => return Err(Error::FeatureDisabled { feature: "audio" }),
            Self::Remote(_) if !cfg!(feature = "remote") => {
                return Err(Error::FeatureDisabled { feature: "remote" });
            }
            Self::Remote(model) => Files::Remote(model.clone()),
        }))
    }
}

impl HubRepo {
    /// A file of weights inside this repository: [`ModelSource::Weights`].
    #[must_use]
    pub fn weights(self, file: impl Into<String>) -> ModelSource {
        self.gguf(file)
    }

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
        if text.ends_with(".pt") {
            Self::whisper_pt(path).into()
        } else if WEIGHTS.iter().any(|end| text.ends_with(&format!(".{end}"))) {
            Self::Weights(path)
        } else if SINGLE.iter().any(|end| text.ends_with(&format!(".{end}"))) {
            Self::Gguf(path)
        } else if looks_local(text) {
            Self::Directory(path)
        } else {
            Self::Hub(HubRepo::from_text(text))
        }
    }
}

/// The part of a file of weights that says what it is.
const CONFIG: &str = "config";

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

/// A path is a folder, or a single file where it ends in `.gguf`, `.bin`, `.pt`, `.safetensors` or `.ckpt`.
impl From<&Path> for ModelSource {
    fn from(path: &Path) -> Self {
        if path.extension().is_some_and(|end| end == "pt") {
            Self::whisper_pt(path).into()
        } else if path.extension().is_some_and(|end| WEIGHTS.iter().any(|other| end == *other)) {
            Self::Weights(path.to_owned())
        } else if path.extension().is_some_and(|end| SINGLE.iter().any(|single| end == *single)) {
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

/// One of OpenAI's own Whisper files (`tiny.en.pt`, `large-v3.pt`): sizes and weights without a vocabulary.
///
/// The vocabulary comes from [`tokenizer`](Self::tokenizer); else from `tokenizer.json`, `vocab.json`,
/// `multilingual.tiktoken` or `gpt2.tiktoken` beside the file; else from the Hub's repository of a model of that
/// size, such as `openai/whisper-tiny.en`. What else a repository would say follows from the sizes.
///
/// ```no_run
/// use sconce::ModelSource;
/// use sconce::Pipeline;
///
/// # fn main() -> sconce::Result<()> {
/// let source = ModelSource::whisper_pt("tiny.en.pt").tokenizer("./whisper-tiny.en");
/// # #[cfg(feature = "audio")]
/// let pipeline = Pipeline::automatic_speech_recognition(source).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WhisperPt {
    path: PathBuf,
    #[cfg_attr(
        not(feature = "audio"),
        expect(dead_code, reason = "files of Whisper are heard with the feature alone")
    )]
    tokenizer: Option<ModelSource>,
}

impl WhisperPt {
    /// The file at a path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), tokenizer: None }
    }

    /// Where the vocabulary comes from: a folder or a Hub repository with `tokenizer.json` or `vocab.json`, or
    /// the path of one of OpenAI's `.tiktoken` files (`./multilingual.tiktoken`).
    #[must_use]
    pub fn tokenizer(self, source: impl Into<ModelSource>) -> Self {
        Self { tokenizer: Some(source.into()), ..self }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the vocabulary: from where it is said to be, or beside this file, where OpenAI's is called
    /// `ranked`, or in this repository of the Hub.
    #[cfg(feature = "audio")]
    fn vocabulary(&self, repository: &str, ranked: &str) -> Result<PathBuf> {
        let within = |files: &ModelFiles| {
            let names = VOCABULARIES.iter();
            let found =
                names.map(|name| files.optional(name)).find(|found| !matches!(found, Ok(None)));
            let none = || {
                files.missing(
                    VOCABULARIES[0],
                    "tokenizer.json or vocab.json",
                    "it holds the vocabulary",
                )
            };
            found.transpose()?.flatten().ok_or_else(none)
        };
        match &self.tokenizer {
            Some(ModelSource::Directory(path)) if path.is_file() => return Ok(path.clone()),
            Some(place) => return within(&place.open()?),
            None => {}
        }
        let beside = VOCABULARIES.iter().copied().chain([ranked]);
        if let Some(path) =
            beside.map(|name| self.path.with_file_name(name)).find(|path| path.is_file())
        {
            return Ok(path);
        }
        let hub = ModelSource::from(ModelSource::hub(repository));
        hub.open().and_then(|files| within(&files)).map_err(|error| {
            error.advised(&format!(
                "{} holds no vocabulary, which {repository} of the Hub has: give its tokenizer.json by \
                 `WhisperPt::tokenizer`, or lay it or OpenAI's {ranked} beside the file",
                self.path.display()
            ))
        })
    }
}

impl From<WhisperPt> for ModelSource {
    fn from(file: WhisperPt) -> Self {
        Self::WhisperPt(Box::new(file))
    }
}

/// Files with a vocabulary, the first of which that is there is read.
#[cfg(feature = "audio")]
const VOCABULARIES: [&str; 2] = ["tokenizer.json", "vocab.json"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_ids_unless_they_look_like_paths() {
        for id in ["gpt2", "owner/name", "models/x", "...", ".x", "~x", "a:b", "", "x.GGUF", "é:/"]
        {
            assert!(matches!(ModelSource::from(id), ModelSource::Hub(_)), "{id}");
        }
        let windows = [r"C:\models\x", "c:/models", r".\x", r"..\x", r"\\server\share", r"\x"];
        for path in ["/models/x", "./x", "../x", "./", "/", ".", ".."].into_iter().chain(windows) {
            let ModelSource::Directory(found) = ModelSource::from(path) else { panic!("{path}") };
            assert_eq!(found, Path::new(path));
        }
        for path in ["x.gguf", "./x.gguf", "/a/x.gguf", "owner/x-00001-of-00002.gguf", "x.bin"] {
            let ModelSource::Gguf(found) = ModelSource::from(path) else { panic!("{path}") };
            assert_eq!(found, Path::new(path));
        }
        for path in ["x.safetensors", "./x.ckpt", "owner/x.safetensors"] {
            assert!(matches!(ModelSource::from(path), ModelSource::Weights(_)), "{path}");
        }
        for path in ["tiny.en.pt", "./a/tiny.pt"] {
            let ModelSource::WhisperPt(found) = ModelSource::from(path) else { panic!("{path}") };
            assert_eq!(found.path(), Path::new(path));
        }
        for (text, model) in
            [("openai:gpt-4o-mini", "gpt-4o-mini"), ("openai:a/b.gguf", "a/b.gguf")]
        {
            let ModelSource::Remote(found) = ModelSource::from(text) else { panic!("{text}") };
            assert_eq!(found.model(), model);
        }
        let home = std::env::home_dir().unwrap();
        assert!(
            matches!(ModelSource::from("~/x"), ModelSource::Directory(path) if path == home.join("x"))
        );
        assert!(
            matches!(ModelSource::from("~/x.gguf"), ModelSource::Gguf(path) if path == home.join("x.gguf"))
        );
    }

    #[test]
    fn paths_are_folders_unless_they_end_in_gguf() {
        assert!(matches!(ModelSource::from(Path::new("owner/name")), ModelSource::Directory(_)));
        for path in ["x.gguf", "owner/x.bin"] {
            assert!(matches!(ModelSource::from(PathBuf::from(path)), ModelSource::Gguf(_)));
        }
    }
}
