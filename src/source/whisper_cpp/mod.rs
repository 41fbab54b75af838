//! Whisper in one file, as whisper.cpp's converters write it: sizes, filters, a vocabulary and tensors of
//! ggml's types (`ggml-tiny.bin`, `ggml-large-v3-turbo-q5_0.bin`).
//!
//! Such a file says less than a folder of the Hub. What it leaves out follows from its sizes, as it does
//! for whisper.cpp: the numbers of special tokens, the tokens that are no speech, the heads that tell the
//! times of words. So it is seen as the folder that it was made from: everyone who asks for `config.json`,
//! `generation_config.json`, `preprocessor_config.json`, `tokenizer.json` or `tokenizer_config.json` gets
//! it, out of a temporary folder that goes with the last user of the file.
//!
//! OpenAI's own files ([`WhisperPtFile`]) are seen the same way, with the vocabulary from elsewhere.
//!
//! Format: `models/convert-pt-to-ggml.py` and `whisper_model_load` of whisper.cpp.

mod configs;
mod folder;
mod pt;
mod reader;
mod special;
mod vocabulary;
mod words;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::source::file;
use crate::source::mapped::MappedFile;
use folder::Folder;
pub(crate) use pt::WhisperPtFile;
pub(crate) use reader::Tensor;
use reader::{Header, Sizes};
use special::Special;
use vocabulary::Vocabulary;

/// A file of whisper.cpp.
#[derive(Debug)]
pub(crate) struct WhisperCppFile {
    file: Arc<MappedFile>,
    header: Header,
    special: Special,
    folder: Folder,
}

impl WhisperCppFile {
    /// Whether a file begins as these do.
    pub(crate) fn is_one(path: &Path) -> Result<bool> {
        let mut magic = [0; 4];
        let is_long_enough = file::open(path)?.read_exact(&mut magic).is_ok();
        Ok(is_long_enough && u32::from_le_bytes(magic) == reader::MAGIC)
    }

    /// Maps a file and reads all but its tensors.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = Arc::new(MappedFile::open(path)?);
        let malformed = |reason| Error::malformed(path, reason);
        let header = reader::header(file.bytes()).map_err(malformed)?;
        let special = Special::of(header.sizes.vocab, header.words.len()).map_err(malformed)?;
        let folder = Folder::new(path);
        Ok(Self { file, header, special, folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn mapped(&self) -> &Arc<MappedFile> {
        &self.file
    }

    /// All tensors, under OpenAI's names.
    pub(crate) fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.header.tensors
    }

    /// The local path of a file that the folder would hold.
    pub(super) fn optional(&self, name: &str) -> Result<Option<PathBuf>> {
        let text = || text(name, &self.header.sizes, &self.special, || self.vocabulary());
        self.folder.file(name, text)
    }

    fn vocabulary(&self) -> Result<Vocabulary<'_>> {
        let words = self.header.words.iter().map(|word| &self.file.bytes()[word.clone()]);
        Vocabulary::new(words.collect()).map_err(|reason| Error::malformed(self.path(), reason))
    }
}

/// What a file of the folder says, which follows from sizes and a vocabulary.
fn text<'a>(
    name: &str,
    sizes: &Sizes,
    special: &Special,
    vocabulary: impl FnOnce() -> Result<Vocabulary<'a>>,
) -> Result<Option<Vec<u8>>> {
    let json = match name {
        "config.json" => configs::model(sizes, special),
        "generation_config.json" => configs::generation(sizes, special, &vocabulary()?),
        "preprocessor_config.json" => configs::features(sizes),
        "tokenizer.json" => vocabulary()?.tokenizer(special),
        "tokenizer_config.json" => configs::tokenizer(special),
        _ => return Ok(None),
    };
    Ok(Some(json.to_string().into_bytes()))
}
