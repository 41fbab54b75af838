//! `StaticEmbedding`: one vector for each token, whatever is beside it, and their mean. model2vec
//! distils such models (potion).

use candle_core::Device;

use crate::embeddings::table::VectorTable;
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::tokenizer::{EncodeOptions, Encoding, Tokenizer, Truncation};
use crate::weights::{NameTable, Weights};

/// A table of vectors and the tokenizer whose ids it is by.
#[derive(Debug)]
pub(super) struct StaticEmbedding {
    pub(super) tokenizer: Tokenizer,
    /// As the tokenizer's file says; mostly none.
    truncation: Option<Truncation>,
    pub(super) table: VectorTable,
}

impl StaticEmbedding {
    /// Of a module's folder: `tokenizer.json`, and weights with `embedding.weight` or, as model2vec
    /// saves them, `embeddings`.
    pub(super) fn read(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let options = options.clone().device(Device::Cpu);
        let weights = Weights::open(files, NameTable::stored_names(), &options)?;
        let origin = files.origin();
        if weights.contains("mapping") {
            return Err(Error::unsupported(format!(
                "{origin}: several tokens of the model2vec table share a vector (\"mapping\"), which \
                 StaticEmbedding does not know; save the model without `vocabulary_quantization`"
            )));
        }
        let table = VectorTable::read(&weights, &["embedding.weight", "embeddings"], origin)?;
        let (tokenizer, truncation) = Tokenizer::plain(files)?;
        Ok(Self { tokenizer, truncation, table })
    }

    /// The most tokens of a text that are looked at.
    pub(super) fn max_seq_length(&self) -> usize {
        self.truncation.map_or(usize::MAX, |truncation| truncation.max_length)
    }

    /// The tokens of a text, without any around it.
    pub(super) fn encode(&self, text: &str) -> Result<Encoding> {
        let mut options = EncodeOptions::default().add_special_tokens(false);
        options.truncation = self.truncation;
        self.tokenizer.encode_with(text, &options)
    }
}
