//! OpenAI's own files: what `torch.save` writes of a dict with the sizes (`dims`) and the tensors
//! (`model_state_dict`). `load_model` of OpenAI's `whisper/__init__.py`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::source::mapped::MappedFile;
use crate::source::pickle::{Parsed, unpickle};
use crate::source::torch_archive::TorchArchive;
use crate::source::whisper_cpp::folder::Folder;
use crate::source::whisper_cpp::reader::Sizes;
use crate::source::whisper_cpp::special::Special;
use crate::source::whisper_cpp::text;
use crate::source::whisper_cpp::vocabulary::Vocabulary;
use crate::source::whisper_cpp::words;

/// Finds the file of a vocabulary, given a repository of the Hub that has it and the name of OpenAI's own.
type Find = Box<dyn Fn(&str, &str) -> Result<PathBuf> + Send + Sync>;

/// A file of OpenAI's.
pub(crate) struct WhisperPtFile {
    file: Arc<MappedFile>,
    find: Find,
    sizes: Sizes,
    special: Special,
    folder: Folder,
    words: OnceLock<Vec<Vec<u8>>>,
}

impl WhisperPtFile {
    /// The dict of the tensors.
    pub(crate) const TENSORS: &'static str = "model_state_dict";

    /// Maps a file and reads its sizes.
    pub(in crate::source) fn open(path: &Path, find: Find) -> Result<Self> {
        let file = Arc::new(MappedFile::open(path)?);
        let malformed = |reason| Error::malformed(path, reason);
        let sizes = sizes(file.bytes()).map_err(malformed)?;
        let special = Special::of_sizes(sizes.vocab).map_err(malformed)?;
        let folder = Folder::new(path);
        let words = OnceLock::new();
        Ok(Self { file, find, sizes, special, folder, words })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn mapped(&self) -> &Arc<MappedFile> {
        &self.file
    }

    /// Lays a file of that name beside the others.
    pub(crate) fn put(&self, name: &str, content: Vec<u8>) -> Result<PathBuf> {
        let path = self.folder.file(name, || Ok(Some(content)))?;
        path.ok_or_else(|| Error::malformed(self.path(), "has no folder"))
    }

    /// The local path of a file that the folder would hold.
    pub(in crate::source) fn optional(&self, name: &str) -> Result<Option<PathBuf>> {
        let text = || text(name, &self.sizes, &self.special, || self.vocabulary());
        self.folder.file(name, text)
    }

    fn vocabulary(&self) -> Result<Vocabulary<'_>> {
        let words = match self.words.get() {
            Some(words) => words,
            None => {
                let found = words::of(&self.find, &self.sizes, &self.special)?;
                self.words.get_or_init(|| found)
            }
        };
        let words = words.iter().map(Vec::as_slice).collect();
        Vocabulary::new(words).map_err(|reason| Error::malformed(self.path(), reason))
    }
}

impl fmt::Debug for WhisperPtFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhisperPtFile").field("path", &self.path()).finish_non_exhaustive()
    }
}

fn sizes(bytes: &[u8]) -> Parsed<Sizes> {
    if !TorchArchive::is_one(bytes) {
        return Err("is not one of OpenAI's Whisper files, which torch.save writes".to_owned());
    }
    let archive = TorchArchive::open(bytes)?;
    let (unpickled, _) = unpickle(&bytes[archive.pickle.clone()])?;
    Sizes::read(|name| {
        unpickled.size_in("dims", name).ok_or_else(|| {
            format!("says no {name:?} in \"dims\": it is none of OpenAI's Whisper files")
        })
    })
}
